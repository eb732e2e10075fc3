"""What all glasses have in common: what they can do, what they report, and when a sample was recorded.

Sounds, touches and link changes of one device come out of one bounded `Inbox` in the order they happened.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from firmware_bridge.codecs import Decoder, Int16Array
from firmware_bridge.errors import LinkError, Reason
from firmware_bridge.sample_clock import RADIO_WINDOW_S, SampleClock

Ability = Literal[
    "microphone",
    "photo",
    "text",
    "bitmap",
    "speaker",
    "touch",
    "battery",
    "imu",
    "update",
    "haptic",
    "capture_light",
]
MAX_INBOX_EVENTS = 500  # ten seconds of sound in chunks of 20 ms


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


class Device(Protocol):
    """A session with one product over its vendor's own protocol; `keep_connected` (reconnect.py) keeps it up.

    All methods raise LinkError; one that the product has no ability for raises NOT_SUPPORTED. `connect` may be called
    again after a drop and sets everything up anew, sound that was on included.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What it can do, as far as is known by now."""
        ...

    @property
    def inbox(self) -> Inbox:
        """Gets what it reports."""
        ...

    async def connect(self) -> None:
        """Connects and sets it up; does nothing while it is connected."""
        ...

    async def wait_dropped(self) -> str:
        """Returns, saying which, when a link is down."""
        ...

    async def close(self) -> None:
        """Ends the session."""
        ...

    async def battery(self) -> int:
        """Charge in percent."""
        ...

    async def start_audio(self) -> None:
        """Sounds come to the inbox from now on."""
        ...

    async def stop_audio(self) -> None:
        """Ends the stream of sound."""
        ...

    async def take_photo(self) -> Any:
        """One photograph, a `photo.Photo`."""
        ...

    async def show_text(self, text: str) -> Any:
        """Shows text."""
        ...


class Stream:
    """One stream of encoded sound into an inbox: decodes frames, fills short gaps, gives each its time."""

    def __init__(self, decoder: Decoder, inbox: Inbox) -> None:
        self._decoder = decoder
        self._inbox = inbox
        self._clock = SampleClock(decoder.rate_hz, window_s=RADIO_WINDOW_S)
        self._frame_samples = 0  # of the last frame that could be decoded
        self._last_ns = 0  # time of the last sound: times never go back

    def frame(self, frame: bytes, arrived_ns: int, *, lost_before: int = 0) -> None:
        """Decodes one frame, after filling in for `lost_before` frames; a damaged one counts as lost."""
        if lost_before:
            self._fill(lost_before, arrived_ns, n_after=self._frame_samples)
        try:
            pcm = self._decoder.decode(frame)
        except LinkError as error:
            self._inbox.put(Message(arrived_ns, f"a frame of sound was lost: {error}"))
            self._fill(1, arrived_ns)
            return
        self._frame_samples = len(pcm)
        self._put(pcm, arrived_ns)

    def _fill(self, n_frames: int, arrived_ns: int, *, n_after: int = 0) -> None:
        """Fills in for up to half a second; the rest of a longer loss stays a hole in the times."""
        n_samples = n_frames * self._frame_samples
        filled = min(n_samples, self._decoder.rate_hz // 2)
        if filled:
            self._clock.skip(n_samples - filled)
            self._put(self._decoder.conceal(filled), arrived_ns, n_after=n_after, concealed=True)

    def _put(self, pcm: Int16Array, arrived_ns: int, *, n_after: int = 0, concealed: bool = False) -> None:
        """`arrived_ns` is when these samples, and `n_after` that follow them, had all been recorded and had come."""
        pcm.flags.writeable = False
        since_ns = (len(pcm) + n_after) * 1_000_000_000 // self._decoder.rate_hz
        self._last_ns = max(self._last_ns, self._clock.time_of(len(pcm), arrived_ns - since_ns))
        self._inbox.put(Sound(self._last_ns, pcm, self._decoder.rate_hz, concealed))
