"""Times of a turn: waits from a recording of room and speaker, and how much of a wait each stage took."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glasses.events import Reply
from glasses.types import NS_PER_MS, SAMPLE_RATE_HZ

_LOUD = 200  # of 32768 on the speaker


def acoustic_waits_ms(tape: np.ndarray, n_questions: int) -> list[float | None]:
    """From the end of each question on the left of `tape` int16 (N, 2) to the next sound on the right, None if none.

    A question ends with its last sample louder than a hundredth of the loudest. The questions are separated at the
    `n_questions` - 1 longest pauses.
    """
    room = np.abs(tape[:, 0].astype(np.int32))
    asked = np.flatnonzero(room > room.max(initial=0) // 100)
    said = np.flatnonzero(np.abs(tape[:, 1].astype(np.int32)) > _LOUD)
    if len(asked) < 2:
        return [None] * n_questions
    gaps = np.sort(np.diff(asked).argsort()[len(asked) - n_questions :]) if n_questions > 1 else np.array([], int)
    ends = [*asked[gaps], asked[-1]]
    starts = [*asked[gaps + 1], len(tape)]
    out: list[float | None] = []
    for end, until in zip(ends, starts, strict=True):
        after = said[(said > end) & (said < until)]
        out.append(float(after[0] - end) * 1000 / SAMPLE_RATE_HZ if len(after) else None)
    return out


def early_share(reply: Reply) -> float:
    """Share of the work up to the first sound that was done before the wearer had ended."""
    if reply.ended is None or reply.audible_ns is None:
        return 0.0
    end_ns = reply.ended.span.end_ns
    work = [(work.began_ns, work.ended_ns) for work in reply.work if work.began_ns < reply.audible_ns]
    early = sum(max(0, min(after, end_ns) - first) for first, after in work)
    return early / max(1, sum(after - first for first, after in work))


def waterfall_ms(reply: Reply) -> dict[str, float]:
    """Where the wait went: the silence waited out, then the work that was left, by stage, and what is neither.

    Work on the listener's and the responder's threads may overlap, so the stages may add up to more than the wait.
    """
    if reply.ended is None or reply.audible_ns is None:
        return {}
    decided_ns, audible_ns = reply.ended.decided_ns, reply.audible_ns
    out = {"silence": (decided_ns - reply.ended.span.end_ns) / NS_PER_MS}
    covered: list[tuple[int, int]] = []
    for work in reply.work:
        began_ns, ended_ns = max(work.began_ns, decided_ns), min(work.ended_ns, audible_ns)
        if ended_ns > began_ns:
            out[work.stage] = out.get(work.stage, 0.0) + (ended_ns - began_ns) / NS_PER_MS
            covered.append((began_ns, ended_ns))
    busy_ns, until_ns = 0, decided_ns
    for began_ns, ended_ns in sorted(covered):
        busy_ns += max(0, ended_ns - max(began_ns, until_ns))
        until_ns = max(until_ns, ended_ns)
    return {**out, "other": (audible_ns - decided_ns - busy_ns) / NS_PER_MS}


def median_waterfall_ms(falls: Sequence[dict[str, float]]) -> dict[str, float]:
    """Of each stage over all turns; a turn without a stage counts as 0 of it."""
    stages = dict.fromkeys(stage for fall in falls for stage in fall)
    return {stage: round(float(np.median([fall.get(stage, 0.0) for fall in falls])), 1) for stage in stages}
