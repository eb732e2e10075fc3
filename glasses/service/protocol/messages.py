"""The requests that a client may send: their fields and limits.

The client numbers its requests (`rid`), and an answer repeats the number of its request. Requests on a session carry
`seq` as well, counted from 1. The service does each `seq` once and keeps the answer, so a client that lost its
connection may repeat every request that was not answered. An `array` field is an index into the arrays that follow the
header of the message.

A *row* is one input embedding of the backbone, float32 (n_embd,). *Latents* are what an encoder made of a sensor's
data; a connector turns them into rows.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from glasses.service.protocol import wire
from glasses.service.protocol.generation_params import Count, GenerationParams, Message
from glasses.service.protocol.tool_messages import OfferTools, ToolResult
from glasses.types import SAMPLE_RATE_HZ

MAX_PARTS = 64
MAX_SEQUENCES = 64
MAX_SAMPLES = 120 * SAMPLE_RATE_HZ  # of one sound
Index = Annotated[int, Meta(ge=0, lt=wire.MAX_ARRAYS)]
Session = Annotated[str, Meta(min_length=22, max_length=22, pattern="^[A-Za-z0-9_-]+$")]
Name = Annotated[str, Meta(pattern=r"^</?[a-z0-9][a-z0-9_.-]{0,30}>$")]
Ids = Annotated[list[Annotated[int, Meta(ge=0, lt=1 << 24)]], Meta(max_length=8192)]


class Text(Message, tag="text", frozen=True):
    """Plain text; control tokens written in it are read as text."""

    text: Annotated[str, Meta(max_length=65_536)]


class Tokens(Message, tag="tokens", frozen=True):
    """Token ids of the backbone, or of added tokens.

    `is_frame`: they are the chat format's own, between two turns, and nobody's words. Where the turn before them has
    pictures or sounds and no question, the question is put before them.
    """

    ids: Ids
    is_frame: bool = False


class Rows(Message, tag="rows", frozen=True):
    """Input embeddings of the backbone, (n, n_embd)."""

    array: Index


class Sensed(Message, tag="latents", frozen=True):
    """Latents (T, D) of the encoder that `space` names; the service's connector turns them into rows."""

    array: Index
    space: Annotated[str, Meta(max_length=128)]
    modality: Annotated[str, Meta(pattern="^[a-z]{1,32}$")]
    duration_ms: Count = 0


class Sound(Message, tag="sound", frozen=True):
    """Sound, 16 kHz, mono, its samples from -1 to 1 in order over the rows of the array; the service encodes the first
    `n_samples` of them.
    """

    array: Index
    n_samples: Annotated[int, Meta(ge=1, le=MAX_SAMPLES)]


Part = Text | Tokens | Rows | Sensed | Sound
Parts = Annotated[list[Part], Meta(max_length=MAX_PARTS)]


class Open(Message, tag="open", frozen=True):
    """Opens a session. With `chat` it begins after the system prompt and every turn is framed as a chat turn; without,
    it is empty and nothing is added.

    `latents` computes the last row's hidden state with every feed, without which a raw session cannot return latents.
    A repeated open with the same `key` returns the same session.
    """

    rid: Count
    chat: bool = True
    latents: bool = False
    key: Annotated[str, Meta(max_length=64)] = ""


class Attach(Message, tag="attach", frozen=True):
    """Continues a session after a lost connection; the client has the first `have` tokens of `generation`."""

    rid: Count
    session: Session
    generation: Count = 0
    have: Count = 0


class Feed(Message, tag="feed", frozen=True):
    """Appends parts to the context; the backbone reads them at once (prefill)."""

    rid: Count
    session: Session
    seq: Count
    parts: Parts


class Generate(Message, tag="generate", frozen=True):
    """Generates the answer to what was fed, as TokenEvents."""

    rid: Count
    session: Session
    seq: Count
    params: GenerationParams = field(name="how")


class Cancel(Message, tag="cancel", frozen=True):
    """Stops generation `generation`; without a number, every feed and generation that was asked up to now."""

    rid: Count
    session: Session
    generation: Count | None = None


class Rollback(Message, tag="rollback", frozen=True):
    """Removes all rows from `n_past` on; a running generation is cancelled first."""

    rid: Count
    session: Session
    seq: Count
    n_past: Count


class Branch(Message, tag="branch", frozen=True):
    """Opens a second session with the same context as this one."""

    rid: Count
    session: Session
    seq: Count


class Act(Message, tag="act", frozen=True):
    """Does what the turn that was fed to a chat asks for, where it asks for a tool of the wearer's glasses: the tool's
    sentence ends the turn as its answer. A turn that asks for none stays as it is. Answered by Acted.
    """

    rid: Count
    session: Session
    seq: Count


class Close(Message, tag="close", frozen=True):
    """Ends a session."""

    rid: Count
    session: Session


class OneShot(Message, tag="once", frozen=True):
    """Opens a session, feeds, generates and closes, in one request."""

    rid: Count
    parts: Parts
    params: GenerationParams = field(name="how")
    chat: bool = True


class CrossEntropy(Message, tag="ce", frozen=True):
    """Mean cross-entropy of the reply tokens after each sequence."""

    targets: Annotated[list[Ids], Meta(max_length=MAX_SEQUENCES)]


class KLToTeacher(Message, tag="kl-to-teacher", frozen=True):
    """Mean KL(teacher || student) at the reply tokens; the teacher is the same backbone after the parts `teacher`."""

    targets: Annotated[list[Ids], Meta(max_length=MAX_SEQUENCES)]
    teacher: Annotated[list[Parts], Meta(max_length=MAX_SEQUENCES)]


class MSEOnLatents(Message, tag="mse-on-latents", frozen=True):
    """Mean squared error of each sequence's last hidden states (n, n_embd) against `arrays`."""

    arrays: Annotated[list[Index], Meta(max_length=MAX_SEQUENCES)]


Loss = CrossEntropy | KLToTeacher | MSEOnLatents
Sequences = Annotated[list[Parts], Meta(min_length=1, max_length=MAX_SEQUENCES)]
StepId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,40}:[0-9]{1,12}$")]


class Forward(Message, tag="forward", frozen=True):
    """Asks for the hidden states after the final norm at every position, one array a sequence."""

    rid: Count
    sequences: Sequences
    chat: bool = True
    dtype: wire.Dtype = "f32"


class Backward(Message, tag="backward", frozen=True):
    """Asks for the gradients at every `rows` part, from those at the hidden states (`grads`: one array a sequence)."""

    rid: Count
    step: StepId
    sequences: Sequences
    grads: Annotated[list[Index], Meta(max_length=MAX_SEQUENCES)]
    chat: bool = True
    dtype: wire.Dtype = "f32"


class ForwardBackward(Message, tag="forward_backward", frozen=True):
    """Asks for a loss and its gradients at every `rows` part, in order. `step` is "run:number". A repeated step is
    answered from memory; the same step with other content is refused.
    """

    rid: Count
    step: StepId
    sequences: Sequences
    loss: Loss
    chat: bool = True
    dtype: wire.Dtype = "f32"


class Example(Message, frozen=True):
    """A training example: what the wearer says, and the added token that answers it. With `call` None no added token
    may come. `payload` is the text between a begin token and its end token.
    """

    text: Annotated[str, Meta(max_length=2000)]
    call: Name | None = None
    payload: Annotated[str, Meta(max_length=200)] = ""


class AddToken(Message, tag="add_token", frozen=True):
    """Adds a token, or with `end` a pair of begin and end token. Its row starts as the mean row of the text `meaning`.
    A token without an end is a call, and ends the answer.
    """

    rid: Count
    name: Name
    meaning: Annotated[str, Meta(min_length=1, max_length=200)]
    end: Name | None = None
    decoder: Annotated[str, Meta(max_length=64)] = ""


class TrainTokens(Message, tag="train_tokens", frozen=True):
    """Trains the rows of the added tokens on examples; nothing else changes."""

    rid: Count
    examples: Annotated[list[Example], Meta(min_length=1, max_length=3000)]


class RemoveToken(Message, tag="remove_token", frozen=True):
    """Removes a token; of a pair, both."""

    rid: Count
    name: Name


class ListTokens(Message, tag="list_tokens", frozen=True):
    """Asks for the added tokens."""

    rid: Count


class Tokenize(Message, tag="tokenize", frozen=True):
    """Asks for the token ids of a text; with `rows` for their input embeddings as well. With `special`, control tokens
    that are written in the text are read as such.
    """

    rid: Count
    text: Annotated[str, Meta(max_length=8192)]
    special: bool = False
    rows: bool = False


class Ping(Message, tag="ping", frozen=True):
    """Asks for a Done at once, to measure the round trip."""

    rid: Count


class Describe(Message, tag="describe", frozen=True):
    """Asks for the Description."""

    rid: Count


SessionRequest = Feed | Generate | Rollback | Branch | Act
GradientRequest = Forward | Backward | ForwardBackward
TokenRequest = AddToken | TrainTokens | RemoveToken | ListTokens
Request = (
    Open | Attach | Feed | Generate | Cancel | Rollback | Branch | Act | Close | OneShot | Forward | Backward
    | ForwardBackward | AddToken | TrainTokens | RemoveToken | ListTokens | Tokenize | Ping | Describe | OfferTools
    | ToolResult
)  # fmt: skip
