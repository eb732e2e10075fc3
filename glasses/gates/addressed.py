"""When a turn begins and ends: a touch opens it, silence after speech closes it. Pure; knows no sound and no model.

Speech without a touch is not for the assistant and opens nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from glasses.gates.voice import SPEECH

END_SILENCE_MS = 500  # plain end-of-turn timers sit at 400 to 500 ms: less cuts people off in mid-sentence
NO_SPEECH_MS = 2500  # a touch and no word: the question is the touch itself
LONGEST_MS = 15_000  # whatever goes on, a turn ends here
_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Span:
    """One addressed stretch. `spoken_ns` is where speech began and ended, None where nobody spoke."""

    touched_ns: int
    look: bool
    spoken_ns: tuple[int, int] | None
    decided_ns: int

    @property
    def end_ns(self) -> int:
        """End of speech; without speech, the moment of the decision."""
        return self.spoken_ns[1] if self.spoken_ns else self.decided_ns


class AddressGate:
    """`touch` opens, each `step` may close and then gives the Span. A touch while open only adds the wish to look."""

    def __init__(self) -> None:
        self._touched_ns: int | None = None
        self._look = False
        self._spoken_ns: tuple[int, int] | None = None

    @property
    def is_open(self) -> bool:
        """Whether a turn is being taken in."""
        return self._touched_ns is not None

    @property
    def looks(self) -> bool:
        """Whether the turn being taken in asks for the camera."""
        return self.is_open and self._look

    def touch(self, t_ns: int, *, look: bool) -> None:
        """The wearer touched the glasses; `look`: long enough to mean "look at this"."""
        if self._touched_ns is None:
            self._touched_ns, self._look, self._spoken_ns = t_ns, look, None
        self._look = self._look or look

    def step(self, from_ns: int, to_ns: int, probability: float) -> Span | None:
        """One step of sound; one that began before the touch does not count, whichever came first."""
        if self._touched_ns is None or from_ns < self._touched_ns:
            return None
        if probability >= SPEECH:
            self._spoken_ns = (self._spoken_ns[0] if self._spoken_ns else from_ns, to_ns)
        silent_ns = to_ns - self._spoken_ns[1] if self._spoken_ns else to_ns - self._touched_ns
        enough_ns = (END_SILENCE_MS if self._spoken_ns else NO_SPEECH_MS) * _MS
        if silent_ns < enough_ns and to_ns - self._touched_ns < LONGEST_MS * _MS:
            return None
        span = Span(self._touched_ns, self._look, self._spoken_ns, to_ns)
        self._touched_ns = None
        return span
