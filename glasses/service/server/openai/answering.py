"""Feeds the conversation of a request once, and generates its answers."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Literal, Self

from glasses.backbone import call_grammar, prompt
from glasses.backbone.call_grammar import Call
from glasses.errors import InputError, ModelError, Reason
from glasses.runtime.given import Given, reply_about
from glasses.service.client.client import Client, RemoteSession
from glasses.service.protocol import messages
from glasses.service.protocol.generation_params import CallAnswer, JsonAnswer
from glasses.service.protocol.packing import Frame, Input
from glasses.service.server.answer_form import functions_of
from glasses.service.server.openai.asked import Asked, Turn
from glasses.service.server.openai.cutter import Cutter, Piece
from glasses.service.server.openai.sensing import Sensing
from glasses.service.server.problems import FieldError
from glasses.service.server.service import Service
from glasses.types import Token

Finish = Literal["stop", "length", "tool_calls"]


@dataclass(slots=True)
class Choice:
    """One answer while it comes: `pieces` gives its text, the rest is known at its end.

    `n_tokens` counts every token that was generated, that which ended the answer included.
    """

    index: int
    finish: Finish = "stop"
    calls: list[Call] = field(default_factory=list)
    n_tokens: int = 0


class Answering:
    """One request at work. `n_prompt` counts the rows of the prompt. `client`'s sessions end with the request.

    `notes` say what the readers found missing in pictures and sounds. Where what is asked about is empty, no model is
    asked: the answer says so.
    """

    def __init__(self, service: Service, client: Client, asked: Asked) -> None:
        self.service, self._client, self.asked = service, client, asked
        self._session: RemoteSession | None = None
        self._seed = asked.seed if asked.seed is not None else secrets.randbits(32)
        self.n_prompt = self._n_before = 0
        self._ending: Input = []
        self.notes: list[str] = []
        self._reply = ""  # in place of the backbone's

    async def begin(self) -> Self:
        """Feeds the prompt. Raises GlassesError: what it holds cannot be used, does not fit, or nobody has time."""
        self._session = await self._client.open(chat=False)
        await self._feed(self._session)
        return self

    @property
    def is_refused(self) -> bool:
        """Whether JSON was asked for, and the answer says instead why there is none."""
        return bool(self._reply) and isinstance(self.asked.form, JsonAnswer)

    async def end(self) -> None:
        """Ends the session before the request ends."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def pieces(self, choice: Choice) -> AsyncIterator[Piece]:
        """The text of one answer; choices are asked for in order. Raises GlassesError."""
        if self._reply:
            choice.n_tokens = len(self._ids(self._reply, "messages"))
            yield Piece(Cutter(self.asked.stop).add(Token(1, 0, self._reply, 0.0, None, last=True)).text, ())
            return
        assert self._session is not None
        session = self._session
        if choice.index:
            await session.rollback(self._n_before)
            await session.feed(self._ending)
        mark = call_grammar.BEGIN if isinstance(self.asked.form, CallAnswer) else ""
        cutter = Cutter(self.asked.stop, mark)
        params = {**self.asked.sampling, "seed": (self._seed + choice.index) % 2**53, "form": self.asked.form}
        async with aclosing(session.generate(**params)) as tokens:
            async for token in tokens:
                choice.n_tokens += 1
                yield _without_end(cutter.add(token), session.end)
                if cutter.stopped:
                    return
        choice.finish = _finish(session.end)
        choice.calls = call_grammar.read(cutter.rest)[1]
        if choice.calls and choice.finish == "stop":
            choice.finish = "tool_calls"

    async def _feed(self, session: RemoteSession) -> None:
        if self.asked.prompt is None:
            inputs = await self._conversation(session)
        elif ids := self._ids(self.asked.prompt, "prompt"):
            inputs = [ids[:-1], ids[-1:]]
        else:
            raise FieldError("prompt", "there is nothing to continue")
        if self._reply:
            self.n_prompt = _n_tokens(inputs)
            return
        *inputs, self._ending = inputs
        for i in range(0, len(inputs), messages.MAX_PARTS):
            await session.feed(*inputs[i : i + messages.MAX_PARTS])
        self._n_before = session.n_past
        await session.feed(self._ending)
        self.n_prompt = session.n_past

    async def _conversation(self, session: RemoteSession) -> list[Input]:
        """The conversation in the backbone's chat format, with our system prompt where it has none."""
        backbone, turns = self.service.host.loaded.backbone, _with_system(self.asked)
        frame = backbone.prompt_format.frame([turn.role for turn in turns])
        sensing = Sensing(self.service, session.id, self.service.session(session.id).client or None, self.notes.append)
        inputs: list[Input] = [Frame(backbone.tokenize(frame[0]))]
        empty, kept = list[str](), list[Given]()  # since the assistant spoke last
        for turn, text_after in zip(turns, frame[1:], strict=True):
            for part in turn.parts:
                if isinstance(part, str):
                    inputs.append(self._ids(part, "messages"))
                    continue
                sensed = await sensing.latents_of(part)
                inputs += sensed.latents
                kept += sensed.latents
                empty += [sensed.empty] if sensed.empty else []
            inputs.append(Frame(backbone.tokenize(text_after)))
            if turn.role == "assistant":
                empty, kept = [], []
        self._reply = reply_about(empty, kept)
        n_rows, n_ctx = _n_tokens(inputs), backbone.n_ctx
        if n_rows > n_ctx:
            raise FieldError(
                "messages",
                f"{n_rows} tokens of text; this model's context holds {n_ctx}",
                code="context_length_exceeded",
            )
        return inputs

    def _ids(self, text: str | list[int], where: str) -> list[int]:
        """Token ids of a text from outside. Raises FieldError."""
        backbone = self.service.host.loaded.backbone
        if not isinstance(text, str):
            wrong = [one for one in text if not 0 <= one < backbone.n_vocab]
            if wrong:
                raise FieldError(where, f"there is no token {wrong[0]}")
        try:
            ids = backbone.tokenize(text, special=False) if isinstance(text, str) else text
        except InputError as error:
            code = "context_length_exceeded" if error.reason is Reason.TOO_LARGE else "invalid_value"
            raise FieldError(where, str(error), code=code) from error
        if len(ids) > backbone.n_ctx:
            message = f"{len(ids)} tokens of text; this model's context holds {backbone.n_ctx}"
            raise FieldError(where, message, code="context_length_exceeded")
        return ids


def _n_tokens(inputs: Sequence[Input]) -> int:
    """How many tokens of text and frame are in the inputs."""
    return sum(len(one) for one in inputs if isinstance(one, list | Frame))


def _with_system(asked: Asked) -> tuple[Turn, ...]:
    """The conversation with a system prompt, which also says what the form of the answer needs said."""
    turns = asked.turns
    if turns[0].role != "system":
        turns = (Turn("system", (prompt.SYSTEM,)), *turns)
    said = ""
    if isinstance(asked.form, CallAnswer):
        said = call_grammar.description(functions_of(asked.form.functions))
    elif isinstance(asked.form, JsonAnswer):
        said = f"Answer in JSON that fits this schema: {json.dumps(asked.form.schema, ensure_ascii=False)}"
    return turns if not said else (replace(turns[0], parts=(*turns[0].parts, "\n\n" + said)), *turns[1:])


def _without_end(piece: Piece, end: str | None) -> Piece:
    """A piece without the token that only ends an answer."""
    if end != "eos" or not piece.tokens:
        return piece
    return Piece(piece.text, tuple(token for token in piece.tokens if not token.last))


def _finish(end: str | None) -> Finish:
    match end:
        case "eos" | "call":
            return "stop"
        case "length" | "context_full":
            return "length"
    raise ModelError(Reason.ABORTED, f"the answer was broken off ({end})")
