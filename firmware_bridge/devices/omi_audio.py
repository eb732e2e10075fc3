"""The sound of an Omi: packets to frames, frames to samples.

A packet is u16 LE counter, u8 part of a frame, payload (vendor-stated). Nothing in it says whether its frame goes on,
and firmwares cut frames at sizes of their own: as in the vendor's application, only the next part 0 ends a frame.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass
from typing import Literal

from firmware_bridge.ble import MAX_VALUE_BYTES
from firmware_bridge.codecs import Decoder, OpusDecoder, PcmDecoder
from firmware_bridge.devices.device import Inbox, Message, Stream
from firmware_bridge.devices.sequence import Sequence
from firmware_bridge.errors import LinkError, Reason

_HEADER = struct.Struct("<HB")
_LATE_PACKETS = 25  # half a second in frames of 20 ms; radios keep the order, so what is older is a new count
_MOST_LOST_PACKETS = 500  # ten seconds: a link that is silent for longer has dropped
_FRAME_ENDS_S = 0.1  # of silence; the parts of a frame come within one or two connection intervals


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """What a codec id means."""

    codec: Literal["pcm16", "mu_law", "opus"]
    rate_hz: int

    def decoder(self) -> Decoder:
        """A fresh one. Raises LinkError NOT_AVAILABLE where its library is missing."""
        if self.codec == "opus":
            return OpusDecoder(self.rate_hz)
        return PcmDecoder(self.rate_hz, mu_law=self.codec == "mu_law")


AUDIO_FORMATS = {
    0: AudioFormat("pcm16", 16_000),
    1: AudioFormat("pcm16", 8_000),
    10: AudioFormat("mu_law", 16_000),
    11: AudioFormat("mu_law", 8_000),
    20: AudioFormat("opus", 16_000),
    21: AudioFormat("opus", 16_000),  # frames of 320 samples, which an Opus packet says itself
}


def audio_format(codec_id: bytes) -> AudioFormat:
    """The format of the value of the codec characteristic. Raises LinkError WRONG_PROTOCOL for an id not known here."""
    found = AUDIO_FORMATS.get(codec_id[0]) if codec_id else None
    if found is None:
        raise LinkError(Reason.WRONG_PROTOCOL, f"unknown Omi sound codec {codec_id.hex() or 'none'}: a newer firmware?")
    return found


@dataclass(frozen=True, slots=True)
class Heard:
    """A whole frame of sound, how many frames before it were lost, and when its last part came."""

    lost: int
    frame: bytes
    t_ns: int = 0


class AudioFramer:
    """Packets to frames: parts 0, 1, 2, ... are one frame, which the next part 0 ends, or `flush`."""

    def __init__(self, max_payload_bytes: int = MAX_VALUE_BYTES - _HEADER.size) -> None:
        self._max_payload_bytes = max_payload_bytes
        self._sequence = Sequence(16, late=_LATE_PACKETS, most_lost=_MOST_LOST_PACKETS)
        self._parts: list[bytes] = []  # of the frame under way, from its first on
        self._parts_a_frame = 1  # of the last frame
        self._lost = 0  # frames before the one under way
        self._t_ns = 0

    def feed(self, packet: bytes, t_ns: int = 0) -> list[Heard]:
        """The frames that `packet` shows to be whole. Raises LinkError CORRUPT for an impossible length."""
        if not 0 < len(packet) - _HEADER.size <= self._max_payload_bytes:
            raise LinkError(Reason.CORRUPT, f"a sound packet of {len(packet)} bytes")
        counter, part = _HEADER.unpack_from(packet)
        lost = self._sequence.lost_before(counter)
        if lost is None:
            return []
        if lost and len(self._parts) < self._parts_a_frame:  # one of as many parts as the last is taken for whole
            lost, self._parts = lost + len(self._parts), []
        out = self.flush() if lost or part == 0 else []
        self._lost += -(-lost // self._parts_a_frame)
        if part == len(self._parts):
            self._parts.append(packet[_HEADER.size :])
            self._t_ns = t_ns
        elif self._parts:  # numbered as no frame is
            self._parts, self._lost = [], self._lost + 1
        return out

    def flush(self) -> list[Heard]:
        """The frame under way, where it has begun: nothing more came."""
        if not self._parts:
            return []
        heard = Heard(self._lost, b"".join(self._parts), self._t_ns)
        self._parts_a_frame = len(self._parts)
        self._parts, self._lost = [], 0
        return [heard]


class AudioReceiver:
    """What one subscription to the sound brings goes to `inbox`: decoded, gaps filled."""

    def __init__(self, codec_id: bytes, inbox: Inbox) -> None:
        """Raises LinkError: WRONG_PROTOCOL, NOT_AVAILABLE (the codec's library)."""
        self._stream, self._inbox = Stream(audio_format(codec_id).decoder(), inbox), inbox
        self._framer = AudioFramer()
        self._silence: asyncio.TimerHandle | None = None

    def receive(self, packet: bytes, t_ns: int) -> None:
        """One notification. The last frame before a pause follows after `_FRAME_ENDS_S`."""
        if self._silence is not None:
            self._silence.cancel()
        self._silence = asyncio.get_running_loop().call_later(_FRAME_ENDS_S, self._pause)
        try:
            self._put(self._framer.feed(packet, t_ns))
        except LinkError as error:
            self._inbox.put(Message(t_ns, str(error)))

    def close(self) -> None:
        """Nothing goes to the inbox any more."""
        if self._silence is not None:
            self._silence.cancel()

    def _pause(self) -> None:
        self._put(self._framer.flush())

    def _put(self, heard: list[Heard]) -> None:
        for one in heard:
            self._stream.frame(one.frame, one.t_ns, lost_before=one.lost)
