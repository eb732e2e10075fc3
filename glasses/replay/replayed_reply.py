"""The reply to a replayed turn, with what its first sound waited for."""

from __future__ import annotations

from dataclasses import dataclass

from glasses.events import Outcome, Reply, TurnCompleted
from glasses.types import NS_PER_MS, Float32Array


@dataclass(frozen=True, slots=True)
class ReplayedReply:
    """The reply to a turn.

    `pcm` is at the voice's rate, None without a voice. `wait_ms`: from the end of speech to the first sound, or to the
    first text without a voice, stage by stage in order. `n_tokens_played`: of the tokens, where it was interrupted.
    """

    ended: TurnCompleted
    tokens: tuple[str, ...]
    pcm: Float32Array | None
    wait_ms: dict[str, float]
    outcome: Outcome
    n_tokens_played: int

    @property
    def text(self) -> str:
        """All that was written."""
        return "".join(self.tokens).strip()


def replayed(reply: Reply, ended: TurnCompleted, pcm: Float32Array | None, *, on_clock: bool) -> ReplayedReply:
    """A reply that is over; `pcm` and `on_clock` as in `ReplayedReply` and `ReplayEngine`."""
    assert reply.outcome is not None
    tokens = tuple(token.text for token in reply.tokens)
    waits = _wait_ms(reply, ended, on_clock=on_clock, as_text=pcm is None)
    return ReplayedReply(ended, tokens, pcm, waits, reply.outcome, reply.n_tokens_played)


def _wait_ms(reply: Reply, ended: TurnCompleted, *, on_clock: bool, as_text: bool) -> dict[str, float]:
    """What the first sound, or as text the first token, waited for: a silence, then the first work of each stage."""
    decided_ns = ended.decided_ns if on_clock else ended.span.decided_ns
    began_ns, ended_ns = reply.draft.work_ns
    ms = {
        "silence": (decided_ns - ended.span.end_ns) / NS_PER_MS,
        "encode": max(0, ended_ns - max(began_ns, ended.decided_ns)) / NS_PER_MS,
    }
    for work in reply.work:
        if as_text and work.stage == "voice":
            continue
        until_ns = reply.first_token_ns if as_text and work.stage == "write" else None
        ms.setdefault(work.stage, ((until_ns or work.ended_ns) - work.began_ns) / NS_PER_MS)
    return ms
