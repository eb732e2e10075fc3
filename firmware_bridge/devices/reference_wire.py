"""The meaning of the reference link's messages to a host: capabilities, events, photographs, sound."""

from __future__ import annotations

import zlib
from typing import Any

from firmware_bridge import protocol
from firmware_bridge.codecs import Int16Array, Lc3Decoder, OpusDecoder, PcmDecoder
from firmware_bridge.devices.device import Ability, Battery, Capabilities, Event, Panel, Sound, Touch
from firmware_bridge.devices.device import Message as Line
from firmware_bridge.devices.photo import MAX_PHOTO_BYTES, Assembled, Assembler, PhotoError, PhotoFailure
from firmware_bridge.errors import LinkError, Reason
from firmware_bridge.protocol import HEADER, Message, value_of

OK, BUSY, MUTED = (value_of(f"STATUS_{name}") for name in ("OK", "BUSY", "MUTED"))
STATUS = {value: name.removeprefix("STATUS_").lower() for name, value in HEADER.enums["status"].items()}
_ABILITIES: dict[str, Ability] = {
    **{"CAP_MICROPHONE": "microphone", "CAP_CAMERA": "photo", "CAP_SPEAKER": "speaker", "CAP_BATTERY": "battery"},
    **{"CAP_TOUCH": "touch", "CAP_IMU": "imu", "CAP_UPDATE": "update"},
    **{"CAP_HAPTIC": "haptic", "CAP_CAPTURE_LIGHT": "capture_light"},
}
_GESTURES = {1: "tap", 2: "double_tap", 3: "long_press", 4: "forward", 5: "back"}


def capabilities(info: dict[str, Any]) -> Capabilities:
    """What a msg_info says the device can do."""
    bits = info["capabilities"]
    able: set[Ability] = {ability for name, ability in _ABILITIES.items() if bits & value_of(name)}
    panel = None
    if bits & value_of("CAP_HUD"):
        able |= {"text", "bitmap"}
        panel = Panel(info["hud_width"], info["hud_height"], 1 << info["hud_bits"])
    name = info["board"].rstrip(b"\0").decode(errors="replace")
    return Capabilities(name, frozenset(able), 1, panel, info["mic_rate_hz"], protocol.max_data("hud_text"))


class _Lc3:
    """A message of LC3 is two frames of 10 ms, so half of it tells their size."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz, self._frame_bytes = rate_hz, 20
        self._decoder = Lc3Decoder(rate_hz, self._frame_bytes)

    def decode(self, frame: bytes) -> Int16Array:
        if len(frame) // 2 != self._frame_bytes:
            self._decoder, self._frame_bytes = Lc3Decoder(self._rate_hz, len(frame) // 2), len(frame) // 2
        return self._decoder.decode(frame)


class Microphone:
    """The device's sound to PCM, whichever of its codecs a message is in."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._decoders: dict[int, PcmDecoder | OpusDecoder | _Lc3] = {value_of("CODEC_PCM16"): PcmDecoder(rate_hz)}

    def prepare(self, codec: int) -> None:
        """Makes ready for a codec, with a fresh decoder. Raises LinkError: NOT_AVAILABLE (its library)."""
        made = {value_of("CODEC_OPUS"): OpusDecoder, value_of("CODEC_LC3"): _Lc3}.get(codec)
        if made is not None:
            self._decoders[codec] = made(self._rate_hz)

    def heard(self, message: Message, t_ns: int) -> Sound:
        """A msg_audio as sound at `t_ns`. Raises LinkError CORRUPT, BAD_INPUT (a size the codec does not have)."""
        decoder = self._decoders.get(message.fields["codec"])
        if decoder is None:
            raise LinkError(Reason.CORRUPT, f"sound in codec {message.fields['codec']}, which nobody asked for")
        pcm = decoder.decode(message.data)
        pcm.flags.writeable = False
        return Sound(t_ns, pcm, self._rate_hz)


def event(message: Message, t_ns: int) -> Event | None:
    """What goes to the inbox, at `t_ns` of this host; None for answers, records and sound."""
    fields, found = message.fields, None
    if message.name == "battery":
        percent = fields["percent"]
        found = Battery(t_ns, percent) if percent <= 100 else Line(t_ns, f"a battery at {percent} percent")
    elif message.name == "touch":
        found = Touch(t_ns, _GESTURES.get(fields["gesture"], f"gesture {fields['gesture']}"))
    elif message.name == "button":
        found = Touch(t_ns, "press" if fields["pressed"] else "release", f"button {fields['button']}")
    elif message.name == "worn":
        found = Touch(t_ns, "put_on" if fields["worn"] else "taken_off")
    elif message.name == "log":
        found = Line(t_ns, message.data.decode(errors="replace"))
    return found


def assemble(request: int) -> Assembler:
    """Puts the photograph of one request together from its messages, all others ignored."""
    jpeg, size = bytearray(), 0
    while True:
        message = protocol.decode((yield))
        fields = message.fields
        if fields["request"] != request:
            continue  # the rest of an earlier one
        if message.name == "photo":
            size = fields["size"]
            if size > MAX_PHOTO_BYTES:
                raise PhotoError(PhotoFailure.CAPTURE, "first chunk", f"glasses: a photograph of {size} bytes")
        elif message.name == "photo_chunk":
            if fields["offset"] != len(jpeg) or len(jpeg) + len(message.data) > size:
                raise PhotoError(PhotoFailure.GAP, "next chunk", f"glasses: photograph: gap at byte {len(jpeg)}")
            jpeg += message.data
        elif fields["status"] != OK:
            failure = PhotoFailure.BUSY if fields["status"] == BUSY else PhotoFailure.CAPTURE
            said = STATUS.get(fields["status"], "something unknown")
            raise PhotoError(failure, "first chunk", f"glasses: the camera says {said}")
        elif len(jpeg) != size or zlib.crc32(jpeg) != fields["crc32"]:
            raise PhotoError(PhotoFailure.GAP, "whole", "glasses: photograph: its CRC-32 does not fit")
        else:
            return Assembled(bytes(jpeg), None)


def is_last(chunk: bytes) -> bool:
    """Whether the message ends a photograph."""
    return chunk[0] == protocol.IDS["photo_end"]
