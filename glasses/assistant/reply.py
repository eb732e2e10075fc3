"""An answer being made, and how much of one is the same as before or was heard. Knows no thread and no model."""

from __future__ import annotations

from typing import Any

import numpy as np

from glasses.events import Clause, Reply
from glasses.types import Float32Array

SAME_ROW = 0.15  # two rows this close, relative to their length, are one: the encoder's second thoughts about a word


def same_rows(fed: Float32Array, wanted: Float32Array) -> int:
    """How many rows at the start of (n, n_embd) `fed` and `wanted` are as good as equal."""
    n = min(len(fed), len(wanted))
    distance = np.linalg.norm(fed[:n] - wanted[:n], axis=1)
    differ = np.flatnonzero(distance > SAME_ROW * np.linalg.norm(wanted[:n], axis=1))
    return int(differ[0]) if len(differ) else n


def tokens_heard(texts: list[str], heard: list[Clause]) -> int:
    """How many pieces the wearer heard: whole words, of the last clause as many as its share of sound tells."""
    words = sum(
        round(len(clause.text.split()) * clause.n_samples_played / max(clause.n_samples, 1)) for clause in heard
    )
    text = ""
    for i, piece in enumerate(texts):
        if len((text + piece).split()) > words:
            return i
        text += piece
    return len(texts)


def reply_fields(reply: Reply) -> dict[str, Any]:
    """A reply as figures: times are ms from the end of speech, work is ms by stage before and after it."""
    ended = reply.ended
    end_ns = ended.span.end_ns if ended else 0
    before, after = dict[str, float](), dict[str, float]()
    for work in reply.work:
        early_ns = max(0, min(work.ended_ns, end_ns) - work.began_ns)
        late_ns = max(0, work.ended_ns - max(work.began_ns, end_ns))
        if reply.audible_ns and work.began_ns > reply.audible_ns:
            continue  # while it already speaks
        before[work.stage] = before.get(work.stage, 0.0) + early_ns / 1e6
        after[work.stage] = after.get(work.stage, 0.0) + late_ns / 1e6
    return {
        "turn": reply.draft.turn.id,
        "outcome": reply.outcome,
        "answer": reply.text,
        "drafts": reply.number,
        "reused_rows": reply.n_reused_rows,
        "rows": len(reply.draft.rows),
        "decided_ms": round((ended.decided_ns - end_ns) / 1e6, 1) if ended else None,
        "first_audio_ms": round((reply.audible_ns - end_ns) / 1e6, 1) if reply.audible_ns else None,
        "work_before_ms": {stage: round(ms, 1) for stage, ms in before.items()},
        "work_after_ms": {stage: round(ms, 1) for stage, ms in after.items()},
    }
