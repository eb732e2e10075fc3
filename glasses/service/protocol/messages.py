"""What a client may say to a service: every request, its fields and their limits. Knows no network and no model.

Requests carry `rid`, a number of the client's choice that the answer repeats. Requests on a session carry `seq` as
well, counted from 1: one that was done already is answered again and not done again, so a client that lost its
connection may simply repeat what was not answered. `array` fields are indices of the arrays behind the header.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from glasses.service.protocol import wire

MAX_TOKENS = 1024  # one generation
MAX_PARTS = 64
MAX_SEQUENCES = 64
MAX_TOP_K = 32
Count = Annotated[int, Meta(ge=0, le=2**53)]
Index = Annotated[int, Meta(ge=0, lt=wire.MAX_ARRAYS)]
Session = Annotated[str, Meta(min_length=22, max_length=22, pattern="^[A-Za-z0-9_-]+$")]
Name = Annotated[str, Meta(pattern=r"^</?[a-z0-9][a-z0-9_.-]{0,30}>$")]
Ids = Annotated[list[Annotated[int, Meta(ge=0, lt=1 << 24)]], Meta(max_length=8192)]


class Message(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


class Text(Message, tag="text", frozen=True):
    """Plain text; control tokens in it are spelled out as text."""

    text: Annotated[str, Meta(max_length=65_536)]


class Tokens(Message, tag="tokens", frozen=True):
    """Token ids of the backbone, or of added tokens."""

    ids: Ids


class Rows(Message, tag="rows", frozen=True):
    """Raw backbone latents (n, n_embd)."""

    array: Index


class Sensed(Message, tag="latents", frozen=True):
    """Pre-connector latents (T, D) of the named space; the service's own connector makes rows of them."""

    array: Index
    space: Annotated[str, Meta(max_length=128)]
    modality: Annotated[str, Meta(pattern="^[a-z]{1,32}$")]
    duration_ms: Count = 0


Part = Text | Tokens | Rows | Sensed
Parts = Annotated[list[Part], Meta(max_length=MAX_PARTS)]


class GenerationParams(Message, frozen=True):
    """How to generate. `generation` is the client's number for it, over every earlier one of this session."""

    generation: Count
    max_tokens: Annotated[int, Meta(ge=1, le=MAX_TOKENS)] = 64
    top_k: Annotated[int, Meta(ge=0, le=MAX_TOP_K)] = 0
    latents: bool = False
    temperature: Annotated[float, Meta(ge=0, le=10)] = 0.0
    top_p: Annotated[float, Meta(gt=0, le=1)] = 1.0
    repetition_penalty: Annotated[float, Meta(ge=1, le=10)] = 1.0
    seed: Count = 0
    said: Annotated[str, Meta(max_length=8192)] = ""  # the answer begins with this already; pieces go on after it
    budget_ms: Annotated[int, Meta(ge=1, le=600_000)] | None = None  # what is left of the turn's deadline


class Open(Message, tag="open", frozen=True):
    """A session: with `chat` after the system prompt and framed as a chat turn, without it empty and raw.

    `latents` keeps the last row's hidden state at hand after every feed, which a raw session needs to be asked for
    latents. `key` makes a repeated open return the same session.
    """

    rid: Count
    chat: bool = True
    latents: bool = False
    key: Annotated[str, Meta(max_length=64)] = ""


class Attach(Message, tag="attach", frozen=True):
    """Goes on with a session after a lost connection; `have` pieces of `generation` have arrived."""

    rid: Count
    session: Session
    generation: Count = 0
    have: Count = 0


class Feed(Message, tag="feed", frozen=True):
    """Appends parts; they are prefilled at once."""

    rid: Count
    session: Session
    seq: Count
    parts: Parts


class Generate(Message, tag="generate", frozen=True):
    """Answers what was fed, as Piece events."""

    rid: Count
    session: Session
    seq: Count
    how: GenerationParams


class Cancel(Message, tag="cancel", frozen=True):
    """Stops generation `generation`, or every feed and generation up to now where it is absent."""

    rid: Count
    session: Session
    generation: Count | None = None


class Rollback(Message, tag="rollback", frozen=True):
    """Forgets all rows from `n_past` on; a running generation is cancelled first."""

    rid: Count
    session: Session
    seq: Count
    n_past: Count


class Branch(Message, tag="branch", frozen=True):
    """A second session that starts where this one is."""

    rid: Count
    session: Session
    seq: Count


class Close(Message, tag="close", frozen=True):
    """Ends a session."""

    rid: Count
    session: Session


class Once(Message, tag="once", frozen=True):
    """Open, feed, generate and close in one."""

    rid: Count
    parts: Parts
    how: GenerationParams
    chat: bool = True


class CrossEntropy(Message, tag="ce", frozen=True):
    """Mean cross-entropy of the reply tokens after each sequence."""

    targets: Annotated[list[Ids], Meta(max_length=MAX_SEQUENCES)]


class KLToTeacher(Message, tag="kl-to-teacher", frozen=True):
    """Mean KL(teacher || student) at the reply tokens; the teacher is the same backbone given `teacher` instead."""

    targets: Annotated[list[Ids], Meta(max_length=MAX_SEQUENCES)]
    teacher: Annotated[list[Parts], Meta(max_length=MAX_SEQUENCES)]


class MSEOnLatents(Message, tag="mse-on-latents", frozen=True):
    """Mean squared error of each sequence's last hidden states (n, n_embd) against `arrays`."""

    arrays: Annotated[list[Index], Meta(max_length=MAX_SEQUENCES)]


Loss = CrossEntropy | KLToTeacher | MSEOnLatents
Sequences = Annotated[list[Parts], Meta(min_length=1, max_length=MAX_SEQUENCES)]
StepId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,40}:[0-9]{1,12}$")]


class Forward(Message, tag="forward", frozen=True):
    """Hidden states after the final norm of every position of every sequence, one array a sequence."""

    rid: Count
    sequences: Sequences
    chat: bool = True
    dtype: wire.Dtype = "f32"


class Backward(Message, tag="backward", frozen=True):
    """Gradients at every `rows` part, given those at the hidden states (`grads`: one array a sequence)."""

    rid: Count
    step: StepId
    sequences: Sequences
    grads: Annotated[list[Index], Meta(max_length=MAX_SEQUENCES)]
    chat: bool = True
    dtype: wire.Dtype = "f32"


class ForwardBackward(Message, tag="forward_backward", frozen=True):
    """Loss, and its gradients at every `rows` part in order. `step` is "run:number"; a repeated step is answered from
    memory, the same step with other content is refused.
    """

    rid: Count
    step: StepId
    sequences: Sequences
    loss: Loss
    chat: bool = True
    dtype: wire.Dtype = "f32"


class Example(Message, frozen=True):
    """What the wearer says and the call that answers it; `call` None says that no added token may be called. `payload`
    is the text between a begin token and its end.
    """

    text: Annotated[str, Meta(max_length=2000)]
    call: Name | None = None
    payload: Annotated[str, Meta(max_length=200)] = ""


class AddToken(Message, tag="add_token", frozen=True):
    """A new token, or with `end` a begin/end pair; `meaning` is the text whose rows it starts from. A token without an
    end is a call, and ends the answer.
    """

    rid: Count
    name: Name
    meaning: Annotated[str, Meta(min_length=1, max_length=200)]
    end: Name | None = None
    decoder: Annotated[str, Meta(max_length=64)] = ""


class TrainTokens(Message, tag="train_tokens", frozen=True):
    """Trains the rows of the added tokens, and nothing else, on examples."""

    rid: Count
    examples: Annotated[list[Example], Meta(min_length=1, max_length=3000)]


class RemoveToken(Message, tag="remove_token", frozen=True):
    """Removes a token; the other one of a pair goes with it."""

    rid: Count
    name: Name


class ListTokens(Message, tag="list_tokens", frozen=True):
    """What was added."""

    rid: Count


class Tokenize(Message, tag="tokenize", frozen=True):
    """Token ids of a text, for targets; with `rows` their input rows as well, for a connector to start from. With
    `special`, `<|im_end|>` and its like become control tokens.
    """

    rid: Count
    text: Annotated[str, Meta(max_length=8192)]
    special: bool = False
    rows: bool = False


class Ping(Message, tag="ping", frozen=True):
    """Asks for a Done at once; tells the round trip."""

    rid: Count


class Describe(Message, tag="describe", frozen=True):
    """Asks for the Description."""

    rid: Count


SessionRequest = Feed | Generate | Rollback | Branch
GradientRequest = Forward | Backward | ForwardBackward
TokenRequest = AddToken | TrainTokens | RemoveToken | ListTokens
Request = (
    Open | Attach | Feed | Generate | Cancel | Rollback | Branch | Close | Once | Forward | Backward | ForwardBackward
    | AddToken | TrainTokens | RemoveToken | ListTokens | Tokenize | Ping | Describe
)  # fmt: skip
