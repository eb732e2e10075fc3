"""THE SPINE, first half: what the sensors give, in order of time, becomes Turns. Knows no device and no backbone.

A touch opens a turn and silence after speech ends it (gates/addressed.py). A turn carries, in this order, the picture
(if the touch was a long one: "look at this"), what could be heard in the seconds before the touch ("what was that?"),
and what was heard from the touch on, each as latents. Without a touch nothing is encoded and nothing leaves the ring;
what people said before a touch stays there too, for it was not said to the assistant.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from glasses.encoders.image import ImageEncoder
from glasses.gates.addressed import LONGEST_MS, AddressGate, Span
from glasses.gates.level import is_audible
from glasses.gates.ring import RATE_HZ, SoundRing
from glasses.gates.voice import SPEECH, STEP, VoiceDetector
from glasses.loop import Times
from glasses.types import AudioChunk, Float32Array, Frame, Latents, Turn

_MS = 1_000_000
STEP_NS = STEP * 1_000_000_000 // RATE_HZ
BEFORE_MS = 4000  # of what was heard before the touch
LEAD_MS = 200  # people begin to speak while they touch: this much before the touch belongs to what is said
TAIL_MS = 200  # kept after speech: the last consonant is quieter than the detector hears
TALK_STEPS = 5  # speech for 160 ms on end is talk; of the held-out sounds that are not voices, 2 in 120 reach that
SEEN_MS = 2000  # how old the last picture before a touch may be, where none comes after it


Press = Literal["tap", "hold", "double"]


@dataclass(frozen=True, slots=True)
class Button:
    """The wearer touched the glasses. `hold` is a long press: "look at this"; `double`: "what was that?"."""

    t_ns: int
    press: Press


SensorEvent = AudioChunk | Frame | Button
Hear = Callable[[Float32Array, int], tuple[Latents, ...]]  # a window of sound and its time, as app.Parts.hear


@dataclass(frozen=True, slots=True)
class Heard:
    """A Turn with where it came from. `decided_ns` is this host's monotonic time when work on it began."""

    turn: Turn
    span: Span
    view: Frame | None
    times: Times
    decided_ns: int


class Listener:
    """`feed` one event at a time; a Turn comes back when one is complete."""

    def __init__(self, detector: VoiceDetector, hear: Hear, image: ImageEncoder) -> None:
        detector.reset()
        self._detector, self._encode, self._image = detector, hear, image
        self._ring = SoundRing((LONGEST_MS + BEFORE_MS) // 1000 + 2)
        self._gate = AddressGate()
        self._steps = self._n_turns = self._done_ns = self._talk_ns = self._talk_steps = 0
        self._frame: Frame | None = None
        self._view: tuple[Frame, Latents] | None = None
        self._before: tuple[Latents, ...] = ()

    def feed(self, event: SensorEvent) -> Heard | None:
        """Takes one event. Raises InputError for sound of another rate or type, ModelError from the encoders."""
        if isinstance(event, AudioChunk):
            return self._hear(event)
        if isinstance(event, Button):
            self._touch(event)
            return None
        self._frame = event
        if self._gate.looks and self._view is None:
            self._view = event, self._image.encode(event.rgb, event.t_ns)
        return None

    def _touch(self, button: Button) -> None:
        """What lies before the touch is encoded now, while the wearer begins to speak: it costs no time afterwards."""
        opens = not self._gate.is_open
        self._gate.touch(button.t_ns, look=button.press == "hold")
        if not opens:
            return
        self._view, self._before = None, ()
        if self._frame is not None and button.t_ns - self._frame.t_ns > SEEN_MS * _MS:
            self._frame = None
        start_ns = button.t_ns - LEAD_MS * _MS
        before_ns = max(start_ns - BEFORE_MS * _MS, self._done_ns, self._ring.begin_ns, self._talk_ns)
        before = self._ring.between(before_ns, start_ns)
        if is_audible(before):
            self._before = self._encode(before, before_ns)

    def _hear(self, chunk: AudioChunk) -> Heard | None:
        added = self._ring.append(chunk)
        if added is None:
            self._detector.reset()
            self._gate, self._steps, added = AddressGate(), 0, chunk.pcm
        heard = None
        for probability in self._detector.feed(added):
            from_ns = self._ring.begin_ns + self._steps * STEP_NS
            self._steps += 1
            self._talk_steps = self._talk_steps + 1 if probability >= SPEECH else 0
            if self._talk_steps >= TALK_STEPS:
                self._talk_ns = from_ns + STEP_NS + TAIL_MS * _MS
            span = self._gate.step(from_ns, from_ns + STEP_NS, probability)
            heard = self._turn(span) if span else heard
        return heard

    def _turn(self, span: Span) -> Heard:
        times, decided_ns = Times(), time.monotonic_ns()
        start_ns = max(span.touched_ns - LEAD_MS * _MS, self._done_ns)
        end_ns = min(span.end_ns + TAIL_MS * _MS, span.decided_ns)
        if span.look and self._view is None and self._frame is not None:  # none came after the touch: the last before
            self._view = self._frame, self._image.encode(self._frame.rgb, self._frame.t_ns)
        said = self._encode(self._ring.between(start_ns, end_ns), start_ns)
        seen = (self._view[1],) if self._view and span.look else ()
        times.add("encode", decided_ns)
        self._done_ns = end_ns
        self._n_turns += 1
        turn = Turn(self._n_turns, span.end_ns, "hold" if span.look else "tap", (*seen, *self._before, *said))
        return Heard(turn, span, self._view[0] if self._view and span.look else None, times, decided_ns)


def listen(events: Iterable[SensorEvent], detector: VoiceDetector, hear: Hear, image: ImageEncoder) -> Iterator[Heard]:
    """The Turns in a stream of events that are in order of time; the same for live sensors and for a recording."""
    listener = Listener(detector, hear, image)
    for event in events:
        heard = listener.feed(event)
        if heard:
            yield heard
