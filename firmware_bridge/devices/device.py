"""What all glasses have in common: what they can do, what they report, when a sample was heard. Knows NO product.

Sounds, touches and link changes of one device come out of one bounded `Inbox` in the order they happened.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Literal

from firmware_bridge.codecs import Decoder, Int16Array
from firmware_bridge.errors import LinkError, Reason

Ability = Literal["microphone", "photo", "text", "bitmap", "speaker", "touch", "battery", "imu", "update"]
MAX_INBOX_EVENTS = 500  # ten seconds of sound in chunks of 20 ms
_DRIFT_PPM = 100  # two crystals at the edge of what Bluetooth allows them (50 ppm each)
_PAUSE_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Panel:
    """A display of `width` x `height` pixels that shows `colours` colours at a time."""

    width: int
    height: int
    colours: int


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one product can do, as far as this software drives it; nothing else may be asked of it."""

    product: str
    abilities: frozenset[Ability]
    links: int = 1
    panel: Panel | None = None
    mic_rate_hz: int | None = None
    max_text_bytes: int = 0

    def require(self, ability: Ability) -> None:
        """Raises LinkError NOT_SUPPORTED where the product lacks the ability."""
        if ability not in self.abilities:
            raise self.lacks(ability)

    def lacks(self, ability: Ability) -> LinkError:
        """The error that says so, and what the product can do."""
        able = ", ".join(sorted(self.abilities)) or "nothing"
        return LinkError(Reason.NOT_SUPPORTED, f"{self.product} has no {ability}; it has: {able}")


@dataclass(frozen=True, slots=True)
class Sound:
    """Samples int16 (N,); `t_ns` is the first one's time. `concealed` samples were lost and made up."""

    t_ns: int
    pcm: Int16Array
    rate_hz: int
    concealed: bool = False


@dataclass(frozen=True, slots=True)
class Battery:
    """Charge in percent; `part` names the half of a two-part device."""

    t_ns: int
    percent: int
    part: str = ""


@dataclass(frozen=True, slots=True)
class Touch:
    """Something the wearer did: "tap", "double_tap", "head_up", "head_down", "assistant_start", ..."""

    t_ns: int
    kind: str
    part: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """A line the device printed, or something it said that is out of order."""

    t_ns: int
    text: str


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """The link went up, or down and why; `retry_in_s` where it will be tried again."""

    t_ns: int
    up: bool
    why: str = ""
    retry_in_s: float | None = None


Event = Sound | Battery | Touch | Message | LinkChanged


class Inbox:
    """A bounded queue of events. A reader that is late loses the oldest sound, or where none waits the oldest event.

    Touches and link changes stay as long as there is sound to drop instead; `overflowed` counts what was dropped.
    """

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._ready = asyncio.Event()
        self.overflowed = 0

    def put(self, event: Event) -> None:
        """Adds an event; never blocks."""
        self._events.append(event)
        if len(self._events) > MAX_INBOX_EVENTS:
            del self._events[next((i for i, one in enumerate(self._events) if isinstance(one, Sound)), 0)]
            self.overflowed += 1
        self._ready.set()

    async def get(self) -> Event:
        """The next event, waited for."""
        while not self._events:
            self._ready.clear()
            await self._ready.wait()
        return self._events.popleft()

    def take_all(self) -> list[Event]:
        """Every event that waits, oldest first."""
        events = list(self._events)
        self._events.clear()
        return events


class SampleClock:
    """When each sample was heard, from when its packet came.

    The packet that came with the least delay says best when the stream began; the minimum may rise by `_DRIFT_PPM`,
    as the device's crystal and this machine's are not equally fast. Delay common to all packets stays unknown. A
    stream that falls `_PAUSE_NS` behind was paused and begins anew. Times never go back.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._n_samples = 0
        self._start_ns: int | None = None
        self._last_ns = 0
        self._stamped_ns = 0

    def stamp(self, n_samples: int, arrived_ns: int, *, ahead_samples: int = 0) -> int:
        """Monotonic time of the first of the next `n_samples`; `arrived_ns` is when the `ahead_samples` after came."""
        start_ns = arrived_ns - self._ns(self._n_samples + n_samples + ahead_samples)
        if self._start_ns is not None and start_ns < self._start_ns + _PAUSE_NS:
            start_ns = min(start_ns, self._start_ns + (arrived_ns - self._last_ns) * _DRIFT_PPM // 1_000_000)
        self._start_ns, self._last_ns = start_ns, arrived_ns
        self._stamped_ns = max(self._stamped_ns, start_ns + self._ns(self._n_samples))
        self._n_samples += n_samples
        return self._stamped_ns

    def skip(self, n_samples: int) -> None:
        """Lets `n_samples` pass that are known to be lost."""
        self._n_samples += n_samples

    def _ns(self, n_samples: int) -> int:
        return n_samples * 1_000_000_000 // self._rate_hz


class Stream:
    """One stream of sound into an inbox: decodes, fills short gaps, stamps. Knows no packet format."""

    def __init__(self, decoder: Decoder, inbox: Inbox) -> None:
        self._decoder = decoder
        self._inbox = inbox
        self._clock = SampleClock(decoder.rate_hz)
        self._frame_samples = 0  # of the last frame that could be decoded

    def frame(self, frame: bytes, arrived_ns: int, *, lost_before: int = 0) -> None:
        """Decodes one frame, after filling in for `lost_before` frames; a damaged one counts as lost."""
        if lost_before:
            self._fill(lost_before, arrived_ns, ahead_samples=self._frame_samples)
        try:
            pcm = self._decoder.decode(frame)
        except LinkError as error:
            self._inbox.put(Message(arrived_ns, f"a frame of sound was lost: {error}"))
            self._fill(1, arrived_ns)
            return
        self._frame_samples = len(pcm)
        self._put(pcm, self._clock.stamp(len(pcm), arrived_ns))

    def _fill(self, n_frames: int, arrived_ns: int, *, ahead_samples: int = 0) -> None:
        """Fills in for up to half a second; what is longer stays a hole in the timestamps."""
        n_samples = n_frames * self._frame_samples
        filled = min(n_samples, self._decoder.rate_hz // 2)
        if filled:
            self._clock.skip(n_samples - filled)
            pcm = self._decoder.conceal(filled)
            self._put(pcm, self._clock.stamp(len(pcm), arrived_ns, ahead_samples=ahead_samples), concealed=True)

    def _put(self, pcm: Int16Array, t_ns: int, *, concealed: bool = False) -> None:
        pcm.flags.writeable = False
        self._inbox.put(Sound(t_ns, pcm, self._decoder.rate_hz, concealed))
