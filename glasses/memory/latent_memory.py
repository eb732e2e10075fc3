"""The last minutes of sound and pictures as latents, in RAM only: never on disk, never as sound or picture.

Questions such as "what was that sound just now?" are answered from it. Older latents are kept coarser, as the policy of
their modality says (policy.py). Bounded in time and in bytes. Every time comes from the caller.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from glasses.events import MemoryIntent
from glasses.memory.policy import MemoryPolicy
from glasses.types import NS_PER_S, Latents, Modality, frozen

JOINED_NS = NS_PER_S  # pieces with a smaller gap between them are one sound: a dog barks twice
RECALLED_NS = 10 * NS_PER_S  # at most, of one recalled sound: connectors are trained on windows of a few seconds


@dataclass(frozen=True, slots=True)
class Tier:
    """How things are kept until they are `until_s` old: pooled ones with `rate_hz` rows a second, of thinned ones one
    every `every_s`.
    """

    until_s: float
    rate_hz: float
    every_s: float


# A minute as it came, five at a tenth to a fifth of it, half an hour as a sketch: 9 MB for sound at 50 x 768 a second.
TIERS = (Tier(60, 50, 0), Tier(300, 10, 10), Tier(1800, 2, 60))


def tiers_within(longest_s: float) -> tuple[Tier, ...]:
    """TIERS, but that nothing is kept for longer than `longest_s`, which is above 0."""
    shorter = tuple(tier for tier in TIERS if tier.until_s < longest_s)
    rest = TIERS[len(shorter) :]
    return (*shorter, replace(rest[0], until_s=longest_s)) if rest else TIERS


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    latents: Latents  # without its data
    data: NDArray[np.float16]
    talk: bool
    pooled: int  # latents that became one
    n_rows: int  # there were before

    @property
    def t_ns(self) -> int:
        return self.latents.t_ns

    @property
    def end_ns(self) -> int:
        return self.latents.t_ns + self.latents.duration_ns


class LatentMemory:
    """`remember` as it happens, `recall` and `between` when asked, `wipe` when told."""

    def __init__(
        self,
        policies: Mapping[Modality, MemoryPolicy],
        *,
        tiers: tuple[Tier, ...] = TIERS,
        max_bytes: int = 24 << 20,
    ) -> None:
        """`policies` of the modalities that may be remembered."""
        self._policies, self._tiers, self._max_bytes = policies, tiers, max_bytes
        self._kept: list[deque[_Kept]] = [deque() for _ in tiers]  # one for each tier, oldest first
        self._newest_ns = 0

    @property
    def n_bytes(self) -> int:
        """Held now."""
        return sum(kept.data.nbytes for tier in self._kept for kept in tier)

    @property
    def span_ns(self) -> tuple[int, int] | None:
        """From the oldest to the newest moment held; None when empty."""
        held = self._all()
        return (min(kept.t_ns for kept in held), max(kept.end_ns for kept in held)) if held else None

    def remember(self, latents: Latents, *, talk: bool = False) -> None:
        """Adds one window; `talk`: somebody spoke in it. What is too old or too much leaves, oldest first."""
        about = Latents(
            latents.t_ns, latents.duration_ns, latents.modality, frozen(np.zeros((0, 0), np.float32)), latents.space
        )
        self._kept[0].append(_Kept(about, latents.data.astype(np.float16), talk, 1, len(latents.data)))
        self._newest_ns = max(self._newest_ns, latents.t_ns + latents.duration_ns)
        self.age(self._newest_ns)

    def age(self, now_ns: int) -> None:
        """Moves what has become old to coarser tiers and out."""
        for i, tier in enumerate(self._tiers):
            while self._kept[i] and now_ns - self._kept[i][0].end_ns > tier.until_s * NS_PER_S:
                kept = self._kept[i].popleft()
                if i + 1 < len(self._tiers):
                    self._demote(kept, i + 1)
        while self.n_bytes > self._max_bytes:
            next(tier for tier in reversed(self._kept) if tier).popleft()

    def recall(self, intent: MemoryIntent, before_ns: int, *, within_s: float = 60.0) -> tuple[Latents, ...]:
        """What a turn carries of the last thing of the kind it asks for; empty where nothing of the kind is held."""
        for modality, policy in self._policies.items():
            if policy.answers == intent != "":
                last = self._last_whole if policy.ages == "thinned" else self._last_stretch
                if found := last(modality, before_ns, within_s):
                    return (found,)
        return ()

    def _last_stretch(self, modality: Modality, before_ns: int, within_s: float) -> Latents | None:
        """The last windows in a row that ended before a moment and were not talk; None where there were none."""
        held = [k for k in self._all() if k.latents.modality == modality and not k.talk and k.end_ns <= before_ns]
        if not held or before_ns - held[-1].end_ns > within_s * NS_PER_S:
            return None
        run = [held[-1]]
        for kept in reversed(held[:-1]):
            joined = run[0].t_ns - kept.end_ns <= JOINED_NS and kept.latents.space == run[0].latents.space
            if not joined or run[-1].end_ns - kept.t_ns > RECALLED_NS:
                break
            run.insert(0, kept)
        return _joined(run)

    def _last_whole(self, modality: Modality, before_ns: int, within_s: float) -> Latents | None:
        """The last window that began before a moment."""
        held = [
            k for k in self._all() if k.latents.modality == modality and 0 <= before_ns - k.t_ns <= within_s * NS_PER_S
        ]
        return _joined(held[-1:]) if held else None

    def between(self, from_ns: int, to_ns: int, *, modality: Modality) -> list[Latents]:
        """Every window that touches a stretch of time, in order."""
        held = [k for k in self._all() if k.latents.modality == modality and k.t_ns < to_ns and k.end_ns >= from_ns]
        return [_joined([kept]) for kept in held]

    def wipe(self, from_ns: int = 0, to_ns: int | None = None) -> int:
        """Forgets a stretch of time (default: all), overwritten and not just let go; returns how many windows went."""
        n_gone = 0
        for tier in self._kept:
            for kept in list(tier):
                if kept.end_ns >= from_ns and (to_ns is None or kept.t_ns <= to_ns):
                    kept.data.fill(0)
                    tier.remove(kept)
                    n_gone += 1
        return n_gone

    def _all(self) -> list[_Kept]:
        return sorted((kept for tier in self._kept for kept in tier), key=lambda kept: kept.t_ns)

    def _demote(self, kept: _Kept, to: int) -> None:
        tier, here = self._tiers[to], self._kept[to]
        modality = kept.latents.modality
        if modality in self._policies and self._policies[modality].ages == "thinned":
            last = next((k.t_ns for k in reversed(here) if k.latents.modality == modality), None)
            if last is None or kept.t_ns - last >= tier.every_s * NS_PER_S:
                here.append(kept)
            return
        rate_hz = len(kept.data) / max(kept.latents.duration_ns / NS_PER_S, 1e-3)
        by = max(1, round(rate_hz / tier.rate_hz))
        here.append(_Kept(kept.latents, pool(kept.data, by), kept.talk, kept.pooled * by, kept.n_rows))


@dataclass(frozen=True, slots=True)
class PastReply:
    """What the assistant said itself, to a turn that was decided on at `t_ns`."""

    t_ns: int
    turn_id: int
    text: str


class PastReplies:
    """The assistant's own last replies, to be repeated. Text, so kept only where the user wants that."""

    def __init__(self, n_kept: int = 20) -> None:
        self._kept: deque[PastReply] = deque(maxlen=n_kept)

    def add(self, reply: PastReply) -> None:
        """Remembers one."""
        self._kept.append(reply)

    def last(self, n: int = 1) -> list[PastReply]:
        """The last `n`, oldest first."""
        return list(self._kept)[-n:]

    def wipe(self) -> None:
        """Forgets all."""
        self._kept.clear()


def pool(data: NDArray[np.float16], by: int) -> NDArray[np.float16]:
    """Mean of every `by` rows of (T, D): (ceil(T / by), D); the last mean is of what is left."""
    starts = np.arange(0, len(data), by)
    sums = np.add.reduceat(data.astype(np.float32), starts, axis=0)
    counts = np.minimum(by, len(data) - starts)[:, None]
    return (sums / counts).astype(np.float16)


def _joined(run: list[_Kept]) -> Latents:
    """Windows in order as one, pooled ones stretched again to the encoder's own rate, which connectors know."""
    rows = [np.repeat(k.data.astype(np.float32), k.pooled, axis=0)[: k.n_rows] for k in run]
    first = run[0].latents
    duration_ns = run[-1].end_ns - first.t_ns
    return Latents(first.t_ns, duration_ns, first.modality, frozen(np.concatenate(rows)), first.space)
