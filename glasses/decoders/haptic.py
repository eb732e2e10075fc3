"""Decodes the payload between <buzz> and </buzz> into pulses of a vibration motor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from glasses.types import Token

# Felt as one short or one long pulse, with a gap that keeps two apart.
PULSES_MS = {"short": 80, "long": 250}
GAP_MS = 120
MAX_PULSES = 12  # a reply that never ends must not shake the wearer for ever


@dataclass(frozen=True, slots=True)
class Pulse:
    """`on_ms` of vibration, then `off_ms` of rest."""

    on_ms: int
    off_ms: int


def pulses(tokens: Iterable[Token]) -> tuple[Pulse, ...]:
    """The pulses named by the words short and long, at most MAX_PULSES; other words are ignored."""
    words = "".join(token.text for token in tokens).lower().split()
    return tuple(Pulse(PULSES_MS[word], GAP_MS) for word in words if word in PULSES_MS)[:MAX_PULSES]
