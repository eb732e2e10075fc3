"""What a session has fed to the engine, and what its next request needs to know about it.

Methods run on the engine's thread, except `end_turn`.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from glasses.backbone.inputs import ModelInput
from glasses.errors import InputError, Reason, RemoteError
from glasses.runtime import prompt
from glasses.runtime.modalities import question_about
from glasses.runtime.prompt import PromptState
from glasses.service.engines.engine import Context, LendsBackbone, Output, ReadsValues, check_all
from glasses.service.protocol.messages import Part, Tokens
from glasses.service.server import prompting
from glasses.service.server.engine_host import EngineHost
from glasses.service.server.generation import Generated, Generation
from glasses.tools.acts import Acts, PlannedAct
from glasses.types import Float32Array


class Mark(NamedTuple):
    """A place that a rollback may return to."""

    n_past: int
    turn: PromptState
    pending: list[ModelInput]
    asked: list[ModelInput]


@dataclass(slots=True)
class Conversation:
    """`chat` frames every turn as a chat turn; `latents` computes the hidden state of the last row with every feed."""

    host: EngineHost
    context: Context
    chat: bool
    latents: bool
    turn: PromptState = field(default_factory=PromptState)  # what the current turn has brought so far
    asked: list[ModelInput] = field(default_factory=list)  # in the context, of the current turn
    _pending: list[ModelInput] = field(default_factory=list)  # what is to be fed before anything else
    _output: Output | None = None  # of the last row, None where it is not known
    _marks: list[Mark] = field(default_factory=list)

    @property
    def n_past(self) -> int:
        """Rows in the context."""
        return self.context.n_past

    @property
    def question(self) -> str:
        """What is put at the end of the turn, as it is now, "" for nothing."""
        turn = self.turn
        is_asked = turn.has_question or not turn.modalities or not self.chat
        return "" if is_asked else question_about(turn.modalities)

    def branch(self) -> Conversation:
        """A second conversation that continues from here."""
        return Conversation(
            self.host,
            self.host.engine.copy(self.context),
            self.chat,
            self.latents,
            replace(self.turn),
            list(self.asked),
            list(self._pending),
            self._output,
            list(self._marks),
        )

    def feed(self, parts: Sequence[Part], arrays: Sequence[Float32Array]) -> Generator[None]:
        """Appends the parts of a message, a slice of work at a time. A part that cannot be used raises and leaves
        everything as it was; so does an error that is thrown in between.
        """
        host, turn, inputs = self.host, replace(self.turn), list[ModelInput]()
        before, begins = self.asked, 0  # where the turn begins among the inputs, behind what came before
        for part in parts:
            for connected in prompting.connect_slices(host.loaded, host.added, part, arrays, turn):
                inputs += connected
                yield
            if isinstance(part, Tokens) and part.is_frame:
                before, begins = [], len(inputs)
        if not any(len(item) for item in inputs):
            self.turn = turn  # such as sound in which nobody spoke: it has no rows
            return
        hidden = self.latents or bool(host.added.tokens and not self.chat)
        self._output = yield from self._feed([*self._pending, *inputs], hidden=hidden)
        self._pending, self.turn, self.asked = [], turn, [*before, *inputs[begins:]]
        self._mark()

    def _feed(self, inputs: Sequence[ModelInput], *, hidden: bool) -> Generator[None, None, Output]:
        """Feeds `inputs` in the engine's slices. After an error the context is as it was."""
        engine, start = self.host.engine, self.context.n_past
        first, *rest = engine.slices(inputs)
        if rest:  # what is wrong with a later slice is told before work is done for an earlier one
            check_all(inputs, self.host.loaded.backbone, start)
        output = engine.feed(self.context, first, hidden=hidden and not rest)
        try:
            while rest:
                yield
                output = engine.feed(self.context, rest.pop(0), hidden=hidden and not rest)
        except Exception:  # but not GeneratorExit, which may come on another thread
            engine.truncate(self.context, start)
            raise
        return output

    def rollback(self, n_past: int) -> None:
        """Removes the rows from `n_past` on."""
        self.host.engine.truncate(self.context, n_past)
        while self._marks and self._marks[-1].n_past > n_past:
            self._marks.pop()
        mark = self._marks[-1] if self._marks else Mark(0, PromptState(), [], [])
        self._output, self.turn, self.asked = None, mark.turn, mark.asked
        self._pending = mark.pending if self._marks and mark.n_past == n_past else []

    def answer(self, generation: Generation) -> Generator[None]:
        """Feeds the end of a chat turn, then generates token by token until it is no longer asked for more. Each slice
        of work ends with a yield.
        """
        if self.chat:
            inputs = [*self._pending, *self._ending(generation)]
            self._output = yield from self._feed(inputs, hidden=generation.needs_hidden)
            self._pending = []
        while True:
            self.step(generation)
            yield

    def step(self, generation: Generation) -> None:
        """Feeds the last token and generates the next one."""
        engine = self.host.engine
        if self._pending:
            hidden = generation.needs_hidden or self.latents
            self._output = engine.feed(self.context, self._pending, hidden=hidden)
            self._pending = []
        if self._output is None:
            raise InputError(Reason.BAD_INPUT, "nothing to continue: feed something first")
        values = None
        if generation.needs_values and isinstance(engine, ReadsValues):
            values = engine.values(self.context)
        room = self.n_past < self.host.loaded.backbone.n_ctx
        chosen = generation.next(self._output, room=room, values=values)
        if generation.tokens[-1].event.end in (None, "length"):  # a raw session may continue after its last token
            self._pending = [chosen]

    def feed_prompt(self, generation: Generation) -> None:
        """Feeds what stands before the answer of an engine that generates by itself."""
        inputs = [*self._pending, *(self._ending(generation) if self.chat else [])]
        self._pending = []
        if inputs:
            self.host.engine.feed(self.context, inputs, hidden=False)

    def feed_answer(self, tokens: Sequence[Generated]) -> None:
        """Feeds the tokens that an engine generated by itself."""
        ids = [event.token for event, _ in tokens if event.end != "eos"]
        if ids:
            self.host.engine.feed(self.context, [ids], hidden=False)

    def plan(self, acts: Acts) -> PlannedAct | None:
        """What the turn asks the tools for, None for nothing; the context is as it was.

        Raises RemoteError(UNSUPPORTED) where no turn of a chat can be looked at, ModelError as the backbone does.
        """
        engine, loaded = self.host.engine, self.host.loaded
        if not self.chat or not isinstance(engine, LendsBackbone):
            raise RemoteError(Reason.UNSUPPORTED, "tools are called for the turns of chats, in llama.cpp")
        if not self.asked:
            return None
        rows = prompt.rows_of(loaded.backbone, [*self.asked, *prompt.question_of(loaded, self.turn)])

        def look() -> PlannedAct | None:
            loaded.backbone.feed(prompt.ending(loaded, self.turn))
            return acts.plan(rows)

        return engine.lend(self.context, look)

    def feed_said(self, said: str) -> None:
        """Feeds what a tool said as the turn's answer."""
        loaded = self.host.loaded
        answer = loaded.backbone.tokenize(said, special=False)
        self.host.engine.feed(self.context, [*prompt.ending(loaded, self.turn), answer], hidden=False)

    def end_turn(self) -> None:
        """After an answer: the next parts of a chat belong to a new turn of the user."""
        if self.chat:
            backbone = self.host.loaded.backbone
            self._pending, self._output = [backbone.tokenize(backbone.prompt_format.turn_break)], None
            self.turn, self.asked = PromptState(), []
            self._mark()

    def _mark(self) -> None:
        self._marks.append(Mark(self.n_past, self.turn, list(self._pending), self.asked))

    def _ending(self, generation: Generation) -> list[ModelInput]:
        ending = prompt.ending(self.host.loaded, self.turn)
        if generation.params.said:
            ending.append(self.host.loaded.backbone.tokenize(generation.params.said, special=False))
        return ending
