"""How long turns stay in the KV cache: each one that is over joins the turns before, until they are forgotten.

All of it happens on the responder's thread, between two turns, and can be aborted there by the next draft.
"""

from __future__ import annotations

from collections.abc import Callable

from glasses.assistant.claims import NOTHING_DONE
from glasses.assistant.clock import Clock
from glasses.assistant.kv_context import KvContext
from glasses.assistant.past_turns import last_within, shrunk
from glasses.assistant.reply import TOO_HOT
from glasses.backbone.repetition import is_repeating
from glasses.events import Draft, Outcome, Reply
from glasses.tools.builtin.about import UNABLE
from glasses.tools.planner import NOT_UNDERSTOOD
from glasses.types import NS_PER_S, Turn

# Every row in the cache makes every token a little later: behind 300 rows pocket's take 18% longer than behind none
# (which is less of the whole way to a first sound), behind 800 half as long again.
MOST_ROWS = 256  # of the turns before, in words of the user and of the assistant
MOST_TURNS = 8
# Once they are too many they shrink to this share of both, so that the cache is not made anew after each further turn.
LEFT = 0.75
# A small backbone that sees itself refuse, repeat one word or take back what it was about to claim does so again,
# whatever it is asked.
_NOT_KEPT = (TOO_HOT, UNABLE, NOTHING_DONE, NOT_UNDERSTOOD)
OnKept = Callable[[Turn | None, str], None]


class Conversation:
    """`end` each turn; `settle` before the next one is fed, and while nobody is answered."""

    def __init__(
        self,
        context: KvContext,
        clock: Clock,
        minutes: float,
        n_turns: int | None = None,
        *,
        on_kept: OnKept = lambda turn, said: None,
        use_persona: Callable[[str], int | None] = lambda name: None,
    ) -> None:
        """`minutes` without a turn end the conversation. With 0 every turn stands alone, but for one that interrupts a
        reply: it knows what was heard of that. `n_turns` are kept at the most (None: MOST_TURNS).
        `on_kept` is told of each turn that is kept, with what was heard of its reply, and with None that all are
        forgotten. `use_persona`: see `Cast.use`.
        """
        self._on_kept, self._use_persona = on_kept, use_persona
        self._context, self._clock = context, clock
        self._minutes = minutes if n_turns != 0 else 0.0
        self._most_turns = n_turns or MOST_TURNS
        self._ended: Reply | None = None  # the KV cache does not hold yet what was heard of it
        self._ended_ns = 0  # when the last turn was over
        self._turn_id: int | None = None  # whom `settle` was last called for

    @property
    def n_turns(self) -> int:
        """How many turns the KV cache holds that are over."""
        return len(self._context.turns)

    def has_work(self, draft: Draft | None) -> bool:
        """Whether `settle` has something to do that cannot wait for the next draft; as there, None: nobody waits."""
        if self._ended or draft is not None:
            return self._ended is not None
        return self._is_too_much or (self.n_turns > 0 and self._is_over(None))

    def end(self, reply: Reply) -> None:
        """The turn of `reply` is over: `settle` will keep what was heard of it, where the backbone may read it."""
        is_kept = self._minutes or reply.outcome is not Outcome.COMPLETED
        is_stuck = is_repeating([token.token_id for token in reply.tokens if token.token_id >= 0])
        if is_kept and not is_stuck and reply.text.strip() not in _NOT_KEPT:
            self._ended = reply
        self._ended_ns = self._clock.now_ns()

    def drop(self) -> None:
        """Nothing of the turn that ended last will be kept, where that was not done yet."""
        self._ended = None

    def forget(self) -> None:
        """Forgets all turns."""
        self._ended = None
        self._context.forget()
        self._on_kept(None, "")

    def settle(self, draft: Draft | None) -> None:
        """Brings the KV cache to where `draft` is to be fed; None: nobody is being answered.

        Raises ModelError: CONTEXT_FULL, and ABORTED, after which it is to be called again.
        """
        if draft and (n_prefix := self._use_persona(draft.turn.persona)) is not None:
            self._ended = None
            self._context.begin_after(n_prefix)
            self._on_kept(None, "")
        if self._ended:
            ended = self._ended
            n_heard = len(ended.tokens) if ended.outcome is Outcome.COMPLETED else ended.n_tokens_played
            n_before = self.n_turns
            self._context.keep(ended.draft, ended.tokens[:n_heard])
            self._ended = None
            if self.n_turns > n_before:
                self._on_kept(ended.draft.turn, "".join(token.text for token in ended.tokens[:n_heard]).strip())
        if draft is None and self._is_too_much:
            n_turns = max(1, round(LEFT * self._most_turns))
            self._context.rebuild(last_within(shrunk(self._context.turns), n_turns, round(LEFT * MOST_ROWS)))
        turn_id = draft.turn.id if draft else None
        if turn_id is None or turn_id != self._turn_id:
            if self.n_turns and self._is_over(draft):
                self.forget()
            self._turn_id = turn_id

    @property
    def _is_too_much(self) -> bool:
        turns = self._context.turns
        return len(turns) > self._most_turns or (len(turns) > 1 and sum(one.n_rows for one in turns) > MOST_ROWS)

    def _is_over(self, draft: Draft | None) -> bool:
        if not self._minutes:
            return draft is not None and not draft.follows_interruption
        return self._clock.now_ns() - self._ended_ns > 60 * self._minutes * NS_PER_S
