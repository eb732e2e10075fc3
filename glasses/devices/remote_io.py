"""Microphone, speaker and camera of glasses over the reference link, with the interfaces of local ones."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from firmware_bridge.devices.device import Sound
from firmware_bridge.devices.photo import Deadlines
from firmware_bridge.errors import LinkError
from firmware_bridge.link import AUDIO
from glasses.audio.chunker import Chunker
from glasses.devices.camera import shrunk
from glasses.devices.event_queue import EventQueue
from glasses.devices.link_thread import ANSWER_S, LinkWorker
from glasses.devices.portaudio import SoundDevice
from glasses.devices.speaker import AudioOutput
from glasses.errors import InputError, Reason, SensorError
from glasses.media.pictures import decode_image
from glasses.types import NS_PER_MS, Frame, UInt8Array, frozen

log = logging.getLogger(__name__)
SILENT_S = 3.0  # a microphone that was switched on and gives nothing for so long is gone
SEGMENT_MS = 20  # of sound in one message
LEAD_MS = 80  # sound sent ahead of time: the protocol cannot stop what the glasses were given, so barge-in waits for it
MAX_PENDING = 12  # messages of sound not known to have arrived; beyond this the link is too slow, and sending waits
MAX_PIXELS = 2_000_000  # of a photograph; a larger one is decoded smaller
_PHOTO = Deadlines(ask_s=1.0, first_chunk_s=3.0, next_chunk_s=2.0, whole_s=10.0)  # later it is no use to the turn


class LinkMicrophone:
    """On until `close`; `overruns` counts 20 ms that the glasses had no room for."""

    def __init__(self, link: LinkWorker, queue: EventQueue) -> None:
        """Raises SensorError(NOT_FOUND): the link is down, or the glasses refuse."""
        link.require_up()
        self._link, self._closed = link, False
        rate_hz = link.glasses.info["mic_rate_hz"]
        self.device = SoundDevice(-1, f"{link.glasses.capabilities.product} at {link.address}", rate_hz)
        self._chunker = Chunker(queue.put, rate_hz)
        self._lost_before = link.glasses.audio_lost
        self.overruns = 0
        try:
            link.run(link.glasses.start_audio(), ANSWER_S + 0.5)
        except (LinkError, TimeoutError) as error:
            self.close()  # it must not begin by itself later
            raise SensorError(Reason.NOT_FOUND, f"the microphone of the glasses: {error or 'no answer'}") from error
        self._last_ns = time.monotonic_ns()

    def take(self, sound: Sound) -> None:
        """Puts what the glasses sent into the queue, unless it is closed; called in the link's thread."""
        if self._closed:
            return
        self._last_ns = time.monotonic_ns()
        self.overruns = self._link.glasses.audio_lost - self._lost_before
        self._chunker.put(sound.pcm, sound.t_ns)

    @property
    def gone(self) -> bool:
        """Whether the link is down, or no sound comes over it."""
        return self._closed or not self._link.up or time.monotonic_ns() - self._last_ns > SILENT_S * 1e9

    def close(self) -> None:
        """Puts no more sound, and switches the microphone off: now, or when the link is back."""
        if not self._closed:
            self._closed = True
            self._link.start(self._switch_off())

    async def _switch_off(self) -> None:
        try:
            await self._link.glasses.stop_audio()
        except LinkError as error:
            log.info("the microphone of the glasses: %s; it is switched off when the link is back", error)


class LinkSpeaker(AudioOutput):
    """Sends sound LEAD_MS before it is heard; silence is not sent."""

    def __init__(self, link: LinkWorker, given_hz: int) -> None:
        """`given_hz` is the rate `play` will be given. Raises SensorError(NOT_FOUND) while the link is down."""
        link.require_up()
        super().__init__(given_hz, link.glasses.info["speaker_rate_hz"])
        self._link, self._closed = link, False
        self._sending = link.start(self._send())

    async def _send(self) -> None:
        glasses, link = self._link.glasses, self._link.glasses.session.link
        sent_until_ns = 0  # when the last sample that was sent will have been played
        while True:
            now_ns = time.monotonic_ns()
            one_way_ns = (link.clock.last_delay_us or 0) * 500
            sent_until_ns = max(sent_until_ns, now_ns)
            speaks = self.is_speaking and not self.held
            while self._link.up and sent_until_ns - now_ns < (LEAD_MS if speaks else SEGMENT_MS) * NS_PER_MS:
                if speaks and link.pending(AUDIO) >= MAX_PENDING:
                    self.underruns += 1
                    break
                pcm = self._next(self.rate_hz * SEGMENT_MS // 1000, sent_until_ns + one_way_ns)
                self.reference.append(pcm, sent_until_ns)
                sent_until_ns += SEGMENT_MS * NS_PER_MS
                if speaks or pcm.any():
                    await glasses.speak(pcm)
                speaks = self.is_speaking and not self.held
            self.latency_s = (sent_until_ns - now_ns + one_way_ns) / 1e9
            await asyncio.sleep(SEGMENT_MS / 1000)

    @property
    def gone(self) -> bool:
        """Whether the link is down, or sending has failed: it has to be opened anew then."""
        return self._closed or not self._link.up or self._sending is None or self._sending.done()

    def close(self) -> None:
        """Sends no more."""
        self._closed = True
        if self._sending is not None:
            self._sending.cancel()


class LinkCamera:
    """Takes one photograph each time a picture is asked for."""

    def __init__(self, link: LinkWorker, queue: EventQueue) -> None:
        self._link, self._queue = link, queue
        self._seq, self._closed = 0, False

    @property
    def is_seeing(self) -> bool:
        """Whether the link is up: a photograph can be asked for."""
        return self._link.up

    def look(self) -> None:
        """Asks for a photograph, whose Frame comes when it has arrived; a failure goes to the link's `note`."""
        if not self._closed:
            self._link.start(self._photograph(lambda rgb: None))

    def photograph(self, give: Callable[[UInt8Array], None]) -> None:
        """As `look`; `give` gets it as large as it was taken, uint8 (H, W, 3)."""
        if not self._closed:
            self._link.start(self._photograph(give))

    async def _photograph(self, give: Callable[[UInt8Array], None]) -> None:
        try:
            photo = await self._link.glasses.take_photo(tries=2, deadlines=_PHOTO)
            # Not decoded in the link's own thread, which has sound to carry.
            rgb = await asyncio.to_thread(decode_image, photo.jpeg, "the photograph", max_pixels=MAX_PIXELS)
        except (LinkError, InputError) as error:
            self._link.note(f"no picture: {error}")
            return
        if not self._closed:
            give(rgb)
            self._queue.put(Frame(photo.t_ns, self._seq, frozen(shrunk(rgb))))
            self._seq += 1

    @property
    def gone(self) -> bool:
        """Whether it was closed: a link that is down comes back by itself."""
        return self._closed

    def close(self) -> None:
        """Drops a photograph that is under way."""
        self._closed = True
