"""Glasses that speak the reference link (protocol.h): one device over serial, TCP or BLE.

What the device reports comes out of `inbox`, on this host's clock; commands return when the device has carried them
out. Sounds keep coming after a reconnect.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from firmware_bridge import protocol
from firmware_bridge.devices import device, display_text
from firmware_bridge.devices import reference_wire as wire
from firmware_bridge.devices.device import Capabilities, Inbox, LinkChanged
from firmware_bridge.devices.photo import Assembler, Camera, Deadlines, Photo
from firmware_bridge.errors import LinkError, Reason
from firmware_bridge.link import AUDIO, CONTROL
from firmware_bridge.protocol import Message, value_of
from firmware_bridge.session import Session
from firmware_bridge.states import Change, Config, State
from firmware_bridge.transport import Transport

_NOT_CONNECTED = Capabilities("glasses, not connected yet", frozenset())
Codec = Literal["pcm16", "opus", "lc3"]
SPEAK_BYTES = 640  # 20 ms of 16 kHz PCM16


class ReferenceGlasses:
    """A session with one device. `heartbeat` and `info` are its latest records, empty until they come."""

    def __init__(
        self,
        open_transport: Callable[[], Awaitable[Transport]],
        config: Config | None = None,
        *,
        answer_s: float = 5.0,
        on_change: Callable[[Change], None] = lambda _: None,
    ) -> None:
        """`on_change` is called with every step of the link."""
        self.capabilities = _NOT_CONNECTED
        self.inbox = Inbox()
        self._answer_s = answer_s
        self._on_change = on_change
        self.info: dict[str, Any] = {}
        self.heartbeat: dict[str, Any] = {}
        self.muted = False
        self.smp: asyncio.Queue[bytes] = asyncio.Queue(8)  # firmware_bridge/smp.py: answers of the update server
        self.audio_lost = 0  # 20 ms of microphone that the device had no room for
        self.session = Session(open_transport, config, on_change=self._link_changed)
        self._camera = Camera("glasses", ask=self._ask_for_photo, assemble=self._assemble, is_last=wire.is_last)
        self._answers: dict[tuple[str, int], asyncio.Future[Message]] = {}
        self._request = self._speak_seq = 0
        self._audio_seq: int | None = None
        self._streams_audio = False
        self._codec = value_of("CODEC_PCM16")
        self._microphone = wire.Microphone(0)
        self._dropped = asyncio.Event()
        self._drop_reason = ""
        self._reader: asyncio.Task[None] | None = None

    async def connect(self, timeout_s: float = 10.0) -> None:
        """Brings the link up and asks what the device can do. Raises LinkError."""
        if self._reader is None:
            await self.session.__aenter__()
            self._reader = asyncio.create_task(self._read())
        await self.session.wait_up(timeout_s)
        await self._read_info()

    async def close(self) -> None:
        """Ends the session."""
        await self.session.close()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    async def wait_dropped(self) -> str:
        """Returns, saying why, when the link is down; it comes up again by itself."""
        await self._dropped.wait()
        return self._drop_reason

    async def battery(self) -> int:
        """Charge in percent, as the device last said; asked for anew with every connection."""
        self.capabilities.require("battery")
        if (percent := self.info["battery_percent"]) > 100:
            raise LinkError(Reason.CORRUPT, f"{self.capabilities.product}: a battery at {percent} percent")
        return percent

    async def start_audio(self, codec: Codec = "pcm16") -> None:
        """Sounds come to the inbox from now on; `codec` is what they travel in.

        Raises LinkError: REFUSED (the mute switch is on), NOT_SUPPORTED (the device has no such encoder),
        NOT_AVAILABLE (this machine lacks the decoder's library).
        """
        self.capabilities.require("microphone")
        number = value_of(f"CODEC_{codec.upper()}")
        if not self.info["codecs"] >> number & 1:
            raise LinkError(Reason.NOT_SUPPORTED, f"{self.capabilities.product} does not encode {codec}")
        self._microphone.prepare(number)
        self._codec, self._streams_audio, self._audio_seq = number, True, None
        await self.command("mic", on=1, codec=number)

    async def stop_audio(self) -> None:
        """Ends the stream of sound."""
        self._streams_audio = False
        await self.command("mic", on=0, codec=self._codec)

    async def speak(self, pcm: NDArray[np.int16]) -> None:
        """Sound int16 (N,) at 16 kHz for the speaker; returns when the link has taken it, at the speaker's pace."""
        self.capabilities.require("speaker")
        data = pcm.astype("<i2").tobytes()
        for start in range(0, len(data), SPEAK_BYTES):
            self._speak_seq += 1
            piece = data[start : start + SPEAK_BYTES]
            message = protocol.encode("speak", piece, seq=self._speak_seq, codec=value_of("CODEC_PCM16"))
            await self.session.send(AUDIO, message)

    async def take_photo(self, *, tries: int = 3, deadlines: Deadlines | None = None) -> Photo:
        """One photograph. Raises PhotoError."""
        self.capabilities.require("photo")
        return await self._camera.take(tries=tries, deadlines=deadlines)

    async def show_text(self, text: str, *, x: int = 0, y: int = 0) -> None:
        """Clears the HUD and writes `text`. Raises LinkError: NOT_SUPPORTED, TOO_LARGE."""
        self.capabilities.require("text")
        await self.command("hud_clear")
        await self.command("hud_text", display_text.clean(text).encode(), x=x, y=y, level=255)

    async def show_bitmap(self, pixels: NDArray[np.uint8], *, x: int = 0, y: int = 0) -> None:
        """Puts pixels uint8 (H, W) there; as many rows a message as fit."""
        self.capabilities.require("bitmap")
        height, width = pixels.shape
        rows = protocol.max_data("hud_bitmap") // width
        if rows < 1:
            raise LinkError(Reason.TOO_LARGE, f"a bitmap {width} pixels wide; the link carries rows of 660")
        for top in range(0, height, rows):
            await self.command("hud_bitmap", pixels[top : top + rows].tobytes(), x=x, y=y + top, width=width, bits=8)

    async def read_hud(self) -> NDArray[np.uint8]:
        """What the HUD shows, uint8 (H, W); only simulated boards can tell."""
        width, height = self.info["hud_width"], self.info["hud_height"]
        data = b""
        while len(data) < width * height:
            data += (await self.ask("hud_read", "hud_data", offset=len(data))).data
        return np.frombuffer(data, np.uint8).reshape(height, width)

    async def haptic(self, duration_ms: int, strength: int = 255) -> None:
        """Buzzes. Raises LinkError: NOT_SUPPORTED."""
        self.capabilities.require("haptic")
        await self.command("haptic", duration_ms=duration_ms, strength=strength)

    async def capture_light(self, on: bool) -> None:
        """Asks for more light than the firmware shows anyway while it captures. Raises LinkError: NOT_SUPPORTED."""
        self.capabilities.require("capture_light")
        await self.command("capture_light", on=on)

    async def setting(self, name: str, value: int | None = None) -> int:
        """Reads, or with a value writes, "volume", "brightness" or "mic_gain" (0-100). Raises LinkError: REFUSED."""
        number = value_of(f"SETTING_{name.upper()}")
        if value is None:
            return (await self.ask("setting_get", "setting", setting=number)).fields["value"]
        return (await self.ask("setting_set", "setting", setting=number, value=value)).fields["value"]

    async def simulate(self, what: str, value: int = 0) -> None:
        """Plays a hand, a battery or a fault on a simulated board: "button", "mute", "hang", ..."""
        fields = {"what": value_of(f"SIMULATED_{what.upper()}"), "value": value}
        await self.session.send(CONTROL, protocol.encode("simulate", **fields))

    async def command(self, name: str, data: bytes = b"", /, **fields: Any) -> None:
        """Sends a command and waits for its result. Raises LinkError: REFUSED, BUSY, TIMEOUT, CLOSED."""
        _check((await self.ask(name, "result", data, **fields)).fields["status"], name)

    async def ask(self, name: str, answer: str, data: bytes = b"", /, **fields: Any) -> Message:
        """Sends one message and returns the answer to it; one question of a kind at a time."""
        key = (answer, protocol.IDS[name] if answer == "result" else 0)
        while (asked := self._answers.get(key)) is not None:
            await asyncio.wait([asked])
        future = self._answers[key] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._answer_s):
                await self.session.send(CONTROL, protocol.encode(name, data, **fields))
                return await future
        except TimeoutError as error:
            raise LinkError(Reason.TIMEOUT, f"{name}: no answer within {self._answer_s:.0f} s") from error
        finally:
            if self._answers.get(key) is future:
                del self._answers[key]
            future.cancel()  # lets others ask

    async def _read_info(self) -> None:
        self.info |= (await self.ask("info_get", "info")).fields
        self.capabilities = wire.capabilities(self.info)
        if not self._streams_audio:
            self._microphone = wire.Microphone(self.info["mic_rate_hz"])

    async def _ask_for_photo(self) -> None:
        self._request = (self._request + 1) & 0xFFFF
        size = {"width": self.info["camera_width"], "height": self.info["camera_height"]}
        await self.session.send(CONTROL, protocol.encode("capture", request=self._request, quality=80, **size))

    def _assemble(self) -> Assembler:
        return wire.assemble(self._request + 1 & 0xFFFF)

    def _link_changed(self, change: Change) -> None:
        self._on_change(change)
        if change.state is State.UP:
            self._dropped = asyncio.Event()
            self.inbox.put(LinkChanged(_now_ns(), True))
            if change.dropped or change.detail:
                self._audio_seq = None  # a restarted device counts its sound from 0 again
                self._report(f"{change.detail}; {change.dropped} messages were lost with it")
            if self._streams_audio:
                mic = protocol.encode("mic", on=1, codec=self._codec)
                self.session.try_send(CONTROL, mic)
        elif change.state in (State.WAITING, State.CLOSED) and not self._dropped.is_set():
            self._drop_reason = f"{change.why}{': ' + change.detail if change.detail else ''}"
            self._dropped.set()
            self._camera.link_lost()
            self.inbox.put(LinkChanged(_now_ns(), False, self._drop_reason))

    async def _read(self) -> None:
        while True:
            try:
                _, data = await self.session.receive()
            except LinkError:
                return  # ended for good; `_link_changed` was called with it
            try:
                self._take(data, protocol.decode(data))
            except LinkError as error:
                self._report(str(error))

    def _take(self, data: bytes, message: Message) -> None:
        fields = message.fields
        if message.name in ("photo", "photo_chunk", "photo_end"):
            self._camera.feed(data)
        elif message.name == "heartbeat":
            self.heartbeat = fields
        elif message.name == "mute":
            self.muted = bool(fields["muted"])
        elif message.name == "smp":
            if not self.smp.full():  # each question waits for its answer: more than a few are nobody's
                self.smp.put_nowait(message.data)
        elif message.name == "battery" and fields["percent"] <= 100:
            self.info |= {"battery_percent": fields["percent"]}
        waiting = self._answers.get((message.name, fields["message"] if message.name == "result" else 0))
        if waiting is not None and not waiting.done():
            waiting.set_result(message)
        elif message.name == "result" and fields["status"] not in (wire.OK, wire.MUTED):
            self._report(f"{protocol.NAMES.get(fields['message'])}: {wire.STATUS.get(fields['status'])}")
        if message.name == "audio":
            expected, self._audio_seq = self._audio_seq, fields["seq"] + 1
            self.audio_lost += max(0, fields["seq"] - expected) if expected is not None else 0
        t_ns = self.session.link.clock.to_ours_us(fields["t_us"]) * 1000 if "t_us" in fields else _now_ns()
        event = self._microphone.heard(message, t_ns) if message.name == "audio" else wire.event(message, t_ns)
        if event is not None:
            self.inbox.put(event)

    def _report(self, text: str) -> None:
        """A line for whoever reads what the device has to say."""
        self.inbox.put(device.Message(_now_ns(), text))


def _check(status: int, name: str) -> None:
    if status != wire.OK:
        reason = Reason.BUSY if status == wire.BUSY else Reason.REFUSED
        raise LinkError(reason, f"{name}: the device says {wire.STATUS.get(status, status)}")


def _now_ns() -> int:
    return time.monotonic_ns()
