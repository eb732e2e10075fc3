"""Words between a pair become pulses, never too many."""

from __future__ import annotations

from glasses.decoders.haptic import GAP_MS, MAX_PULSES, Pulse, pulses
from glasses.types import Token


def said(text: str) -> list[Token]:
    return [Token(1, i, part, 0.0, None, False) for i, part in enumerate(text)]


def test_pulses_words_become_vibrations() -> None:
    assert pulses(said(" short LONG")) == (Pulse(80, GAP_MS), Pulse(250, GAP_MS))
    assert pulses(said("a cat")) == ()
    assert pulses([]) == ()
    assert len(pulses(said(" short" * 100))) == MAX_PULSES
