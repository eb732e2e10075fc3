"""Answers one turn that is given whole, and warms the models up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from glasses.backbone.repetition import stop_on_repetition
from glasses.decoders.speech import Voice
from glasses.model_store.onnx import give_back_memory
from glasses.runtime.bundle import LoadedBundle, LoadedEncoders
from glasses.runtime.given import Given, what_shows_something, windows_of
from glasses.runtime.prompt import prepare_questions, rows_of, suffix_of, view_and_words
from glasses.types import SAMPLE_RATE_HZ, Float32Array, Latents, Token, Turn

CANNED = -1  # the token id of words that no model made


@dataclass(slots=True)
class Times:
    """Milliseconds spent in each stage of one turn; the stages of a turn add up to the wait for its first piece."""

    stages_ms: dict[str, float] = field(default_factory=dict)

    def add(self, stage: str, since_ns: int) -> int:
        """Adds the time since `since_ns` to a stage and returns now."""
        now_ns = time.monotonic_ns()
        self.stages_ms[stage] = self.stages_ms.get(stage, 0.0) + (now_ns - since_ns) / 1e6
        return now_ns


def ask(loaded: LoadedBundle, *inputs: Given, max_tokens: int = 64) -> str:
    """The answer to one turn of any number of inputs, in their order; nothing of an earlier turn is in its context.

    An input is text, a sound (float32, 16 kHz, mono, as `read_audio` gives it), a picture (height, width, 3; uint8 RGB,
    as `read_image` gives it), or the latents that an encoder made of anything else. Where none of the sounds and
    pictures holds anything, the answer says so. Raises ModelError: CONTEXT_FULL, ABORTED, WRONG_SPACE;
    InputError(BAD_INPUT) for latents of a modality that the bundle lacks.
    """
    kept, canned_reply = what_shows_something(inputs)
    if canned_reply:
        return canned_reply
    given = tuple(part for one in kept for part in encode(loaded, one))
    turn = Turn(id=1, t_ns=time.monotonic_ns(), cause="ask", inputs=given)
    return "".join(token.text for token in answer(loaded, turn, Times(), max_tokens=max_tokens)).strip()


def encode(loaded: LoadedEncoders, given: Given) -> Iterator[Latents | str]:
    """What a Turn carries of one input: its text, the Latents of a picture and of text in it, or two for each
    window of a sound.
    """
    if isinstance(given, str | Latents):
        yield given
    elif given.ndim == 3:
        yield from loaded.encode_picture(given)
    else:
        for window in windows_of(loaded, given):
            yield from loaded.encode_audio(window)


def no_tools(rows: Float32Array) -> str | None:
    """No turn asks for a tool."""
    del rows
    return None


def tool_said(loaded: LoadedBundle, turn: Turn, tools: Callable[[Float32Array], str | None]) -> str | None:
    """What a tool says to a turn that is given whole; None where it asks for none. Raises ModelError as `answer`."""
    view, words = view_and_words(loaded, turn.inputs)
    loaded.backbone.rollback(loaded.n_prefix)
    loaded.backbone.feed([*view, *words, suffix_of(loaded.backbone)])
    return tools(rows_of(loaded.backbone, words))


def answer(
    loaded: LoadedBundle,
    turn: Turn,
    times: Times,
    *,
    max_tokens: int = 64,
    top_k: int = 0,
    want_latents: bool = False,
    on_question: Callable[[str], None] = lambda question: None,
    tools: Callable[[Float32Array], str | None] = no_tools,
) -> Iterator[Token]:
    """Streams the answer to one turn; the context is rolled back to the system prompt first.

    `on_question` is told which question is answered where the turn holds none. `tools` gets the rows of the words, in
    the KV cache with the suffix behind them, and returns what a tool says to that; None: the backbone answers.

    Raises ModelError: WRONG_SPACE, CONTEXT_FULL, ABORTED.
    """
    since_ns = time.monotonic_ns()
    view, words = view_and_words(loaded, turn.inputs, on_question=on_question)
    since_ns = times.add("connect", since_ns)
    loaded.backbone.rollback(loaded.n_prefix)
    loaded.backbone.feed([*view, *words, suffix_of(loaded.backbone)], hidden="last" if want_latents else "none")
    since_ns = times.add("prefill", since_ns)
    if (said := tools(rows_of(loaded.backbone, words))) is not None:
        times.add("tool", since_ns)
        yield Token(turn.id, CANNED, said, 0.0, None, last=True)
        return
    pieces = loaded.backbone.generate(turn.id, max_tokens=max_tokens, top_k=top_k, want_latents=want_latents)
    for i, piece in enumerate(stop_on_repetition(pieces)):
        since_ns = times.add("first piece" if i == 0 else "more pieces", since_ns)
        yield piece
        since_ns = time.monotonic_ns()  # what the consumer does meanwhile is not the backbone's time


def warm_up(loaded: LoadedBundle, voice: Voice | None, *, sees: bool = False) -> None:
    """A first turn touches every page of every model: nobody should wait for that, so it is asked by nobody.

    `sees`: about a picture as well. Raises ModelError from the voice, whose network may only be loaded here.
    """
    given = loaded.encode_audio(np.zeros(SAMPLE_RATE_HZ, np.float32))
    if sees:
        given = (loaded.image_encoder.encode(np.zeros((64, 64, 3), np.uint8)), *given)
        prepare_questions(loaded)
    for _ in answer(loaded, Turn(0, 0, "warm-up", given), Times(), max_tokens=1):
        pass
    loaded.backbone.rollback(loaded.n_prefix)
    if voice:
        voice.warm_up()
        give_back_memory()
