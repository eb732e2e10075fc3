"""Microphone, speaker and camera of glasses over our own link, with the faces of local ones. Knows no gate, no model.

The protocol cannot stop what the speaker of the glasses was given, so little is given ahead of time (LEAD_MS).
"""

from __future__ import annotations

import asyncio
import logging
import time

from firmware_bridge.devices.device import Sound
from firmware_bridge.devices.photo import Deadlines
from firmware_bridge.errors import LinkError
from firmware_bridge.link import AUDIO
from glasses.audio.chunker import Chunker
from glasses.audio.media import decode_image
from glasses.devices.camera import shrunk
from glasses.devices.event_queue import EventQueue
from glasses.devices.link_thread import ANSWER_S, LinkWorker
from glasses.devices.portaudio import SoundDevice
from glasses.devices.speaker import AudioOutput
from glasses.errors import InputError, Reason, SensorError
from glasses.types import NS_PER_MS, Frame, frozen

log = logging.getLogger(__name__)
DEAF_S = 3.0  # a microphone that was switched on and gives nothing for so long is gone
PIECE_MS = 20  # of sound in one message
LEAD_MS = 80  # lies ready in the glasses: what silence waits for
MOST_PENDING = 12  # messages of sound whose arrival is not known; beyond this the link is too slow, and we wait
MAX_PIXELS = 2_000_000  # of a photograph; a larger one is decoded smaller
_PHOTO = Deadlines(ask_s=1.0, first_chunk_s=3.0, next_chunk_s=2.0, whole_s=10.0)  # later it is no use to the turn


class LinkMicrophone:
    """On until `close`; `overruns` counts 20 ms that the glasses had no room for."""

    def __init__(self, on: LinkWorker, queue: EventQueue) -> None:
        on.must_be_up()
        self._on, self._closed = on, False
        rate_hz = on.glasses.info["mic_rate_hz"]
        self.device = SoundDevice(-1, f"{on.glasses.capabilities.product} at {on.address}", rate_hz)
        self._chunks = Chunker(queue.put, rate_hz)
        self._lost = on.glasses.audio_lost
        self.overruns = 0
        try:
            on.do(on.glasses.start_audio(), ANSWER_S + 0.5)
        except (LinkError, TimeoutError) as error:
            self.close()  # it must not begin by itself later
            raise SensorError(Reason.NOT_FOUND, f"the microphone of the glasses: {error or 'no answer'}") from error
        self._last_ns = time.monotonic_ns()

    def take(self, sound: Sound) -> None:
        """Of the link's thread: what came, wanted or not any more."""
        if self._closed:
            return
        self._last_ns = time.monotonic_ns()
        self.overruns = self._on.glasses.audio_lost - self._lost
        self._chunks.put(sound.pcm, sound.t_ns)

    @property
    def gone(self) -> bool:
        """Whether the link is down, or nothing comes over it."""
        return self._closed or not self._on.up or time.monotonic_ns() - self._last_ns > DEAF_S * 1e9

    def close(self) -> None:
        """Switches it off, at the latest when the link is back; nothing is heard of it from now on."""
        if not self._closed:
            self._closed = True
            self._on.later(self._off())

    async def _off(self) -> None:
        try:
            await self._on.glasses.stop_audio()
        except LinkError as error:
            log.info("the microphone of the glasses: %s; it is switched off when the link is back", error)


class LinkSpeaker(AudioOutput):
    """Sends what is to be said LEAD_MS before it is heard; silence is not sent."""

    def __init__(self, on: LinkWorker, given_hz: int) -> None:
        on.must_be_up()
        super().__init__(given_hz, on.glasses.info["speaker_rate_hz"])
        self._on, self._closed = on, False
        self._saying = on.later(self._say())

    async def _say(self) -> None:
        glasses, link = self._on.glasses, self._on.glasses.session.link
        ahead_ns = 0  # when the last that was sent will have been said
        while True:
            now_ns = time.monotonic_ns()
            on_the_way_ns = (link.clock.last_delay_us or 0) * 500
            ahead_ns = max(ahead_ns, now_ns)
            speaks = self.is_speaking and not self.held
            while self._on.up and ahead_ns - now_ns < (LEAD_MS if speaks else PIECE_MS) * NS_PER_MS:
                if speaks and link.pending(AUDIO) >= MOST_PENDING:
                    self.underruns += 1
                    break
                pcm = self._next(self.rate_hz * PIECE_MS // 1000, ahead_ns + on_the_way_ns)
                self.reference.append(pcm, ahead_ns)
                ahead_ns += PIECE_MS * NS_PER_MS
                if speaks or pcm.any():
                    await glasses.speak(pcm)
                speaks = self.is_speaking and not self.held
            self.latency_s = (ahead_ns - now_ns + on_the_way_ns) / 1e9
            await asyncio.sleep(PIECE_MS / 1000)

    @property
    def gone(self) -> bool:
        """Whether the link is down."""
        return self._closed or not self._on.up

    def close(self) -> None:
        """Sends no more."""
        self._closed = True
        if self._saying is not None:
            self._saying.cancel()


class LinkCamera:
    """Takes one photograph each time somebody looks."""

    def __init__(self, on: LinkWorker, queue: EventQueue) -> None:
        self._on, self._queue = on, queue
        self._seq, self._closed = 0, False

    @property
    def is_seeing(self) -> bool:
        """Whether the link is up: a photograph can be asked for."""
        return self._on.up

    def look(self) -> None:
        """The picture comes when it is there; that there is none is noted."""
        if not self._closed:
            self._on.later(self._photograph())

    async def _photograph(self) -> None:
        try:
            photo = await self._on.glasses.take_photo(tries=2, deadlines=_PHOTO)
            # Not on the link's own thread: it has sound to carry.
            rgb = await asyncio.to_thread(decode_image, photo.jpeg, "the photograph", max_pixels=MAX_PIXELS)
        except (LinkError, InputError) as error:
            self._on.note(f"no picture: {error}")
            return
        if not self._closed:
            self._queue.put(Frame(photo.t_ns, self._seq, frozen(shrunk(rgb))))
            self._seq += 1

    @property
    def gone(self) -> bool:
        """Whether it was closed: a link that is down comes back by itself."""
        return self._closed

    def close(self) -> None:
        """What is under way is thrown away."""
        self._closed = True
