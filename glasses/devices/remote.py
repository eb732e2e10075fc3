"""Microphone, speaker, camera, touches and HUD of glasses over the reference link, as a DeviceFactory.

The link lives in a thread of its own and comes back by itself; while it is down its devices are `gone`, as local ones
that were pulled. What the glasses lack, and what the user named instead, is this machine's own device.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, get_args

from firmware_bridge.devices.device import Ability, LinkChanged, Message, Panel, Sound, Touch
from firmware_bridge.errors import LinkError
from firmware_bridge.errors import Reason as WireReason
from glasses.decoders import hud
from glasses.decoders.haptic import GAP_MS, PULSES_MS
from glasses.devices.event_queue import EventQueue
from glasses.devices.link_thread import ANSWER_S, LinkWorker
from glasses.devices.local import AudioInput, LocalDevices, VideoInput
from glasses.devices.remote_io import LinkCamera, LinkMicrophone, LinkSpeaker
from glasses.devices.speaker import AudioOutput
from glasses.errors import Reason, SensorError
from glasses.types import NS_PER_MS, Button, Display, Press

T = TypeVar("T")
log = logging.getLogger(__name__)
LONG_PRESS_MS = 600  # a button kept down for so long is a long press
FONT = hud.Cell(6, 11)  # the firmware's own (firmware/assets.py)
_TEXT_INTERVAL_S = 0.1  # between two texts: a word at a time is enough
_PRESSES: dict[str, Press] = {press: press for press in get_args(Press)}  # touches that are presses; swipes are none


class RemoteGlasses:
    """Connected until `close`; a DeviceFactory (local.py)."""

    def __init__(
        self,
        address: str,
        key: bytes | None,
        local: LocalDevices,
        *,
        on_touch: Callable[[Button], None] = lambda button: None,
        note: Callable[[str], None] = log.info,
    ) -> None:
        """`local` devices that have a name are used instead of those of the glasses.

        `on_touch` gets each touch, `note` what the user should be told of the link, both in the link's thread.
        Raises firmware_bridge's LinkError as `ReferenceGlasses.connect` does.
        """
        self._local, self.on_touch = local, on_touch
        self._microphone: LinkMicrophone | None = None
        self._pressed_ns: dict[str, int] = {}  # button: when it was pressed
        self._text, self._text_changed = "", asyncio.Event()
        self.link = LinkWorker(address, key, note)
        self.glasses = self.link.glasses
        self._tasks = [
            self.link.start_kept("reading events", self._read_events),
            self.link.start_kept("the HUD", self._update_hud),
        ]

    @property
    def muted(self) -> bool:
        """Whether the switch on the glasses is on, as they last said."""
        return self.glasses.muted

    @property
    def sees(self) -> bool:
        """Whether there is a camera, theirs or one that was named."""
        return self._local.sees or "photo" in self.glasses.capabilities.abilities

    def microphone(self, queue: EventQueue) -> AudioInput:
        """Switches it on. Raises SensorError: NOT_FOUND (the link is down, or they refuse), and as LocalDevices."""
        if not self._uses_theirs("microphone", self._local.microphone_name):
            return self._local.microphone(queue)
        self._microphone = LinkMicrophone(self.link, queue)
        return self._microphone

    def speaker(self, rate_hz: int) -> AudioOutput:
        """Raises SensorError: NOT_FOUND (the link is down), and as LocalDevices."""
        if not self._uses_theirs("speaker", self._local.speaker_name):
            return self._local.speaker(rate_hz)
        return LinkSpeaker(self.link, rate_hz)

    def camera(self, queue: EventQueue) -> VideoInput:
        """Raises SensorError as LocalDevices; the glasses' own takes a picture only when asked."""
        return self._local.camera(queue) if self._local.sees else LinkCamera(self.link, queue)

    def rescan(self) -> None:
        """Raises SensorError(NOT_INSTALLED) where this machine's sound devices are needed and it has no PortAudio."""
        named = self._local.microphone_name, self._local.speaker_name
        if not (self._uses_theirs("microphone", named[0]) and self._uses_theirs("speaker", named[1])):
            self._local.rescan()

    def show(self, text: str) -> None:
        """Shows the last lines of `text` that fit on the HUD, where there is one. Returns at once."""

        def change() -> None:
            self._text = text
            self._text_changed.set()

        self.link.call_soon(change)

    def brightness(self, percent: int | None = None) -> int:
        """See `WornParts`."""
        if self.glasses.capabilities.panel is None:
            raise SensorError(Reason.UNSUPPORTED, "the glasses have no display")
        return self._ask(self.glasses.setting("brightness", percent))

    def buzz(self, times: int) -> None:
        """See `WornParts`."""

        async def pulses() -> None:
            for _ in range(times):
                await self.glasses.haptic(PULSES_MS["short"])
                await asyncio.sleep((PULSES_MS["short"] + GAP_MS) / 1000)

        self._ask(pulses(), limit_s=ANSWER_S + times * (PULSES_MS["short"] + GAP_MS) / 1000)

    def capture_light(self, on: bool) -> None:
        """See `WornParts`."""
        self._ask(self.glasses.capture_light(on))

    def battery_percent(self) -> int:
        """See `WornParts`."""
        return self._ask(self.glasses.battery())

    def _ask(self, coroutine: Coroutine[Any, Any, T], *, limit_s: float = ANSWER_S) -> T:
        """Raises SensorError: UNSUPPORTED, and NOT_FOUND where the glasses are away or do not answer."""
        try:
            self.link.require_up()
        except SensorError:
            coroutine.close()
            raise
        try:
            return self.link.run(coroutine, limit_s + 0.5)
        except LinkError as error:
            lacks = error.reason is WireReason.NOT_SUPPORTED
            raise SensorError(Reason.UNSUPPORTED if lacks else Reason.NOT_FOUND, str(error)) from error
        except TimeoutError as error:
            raise SensorError(Reason.NOT_FOUND, "the glasses do not answer") from error

    def close(self) -> None:
        """Switches off what is on, blanks the HUD and says farewell. Safe to call twice."""
        for task in self._tasks:
            if task is not None:
                task.cancel()
        self.link.close(self._blank_hud)

    async def _blank_hud(self) -> None:
        if self.link.up and "text" in self.glasses.capabilities.abilities:
            await self.glasses.command("hud_clear")

    def _uses_theirs(self, ability: Ability, named: str | None) -> bool:
        return named is None and ability in self.glasses.capabilities.abilities

    def _on_host_clock(self, t_ns: int) -> int:
        """Their time on this host's clock; now, until the first answer to a ping has told how the clocks differ."""
        return t_ns if self.glasses.session.link.clock.known else time.monotonic_ns()

    async def _read_events(self) -> None:
        while True:
            event = await self.glasses.inbox.get()
            if isinstance(event, Sound):
                if self._microphone is not None and self.glasses.session.link.clock.known:
                    self._microphone.take(event)
            elif isinstance(event, Touch):
                self._touched(event)
            elif isinstance(event, LinkChanged):
                self._text_changed.set()  # they may have restarted
                self.link.note(
                    "the glasses are there" if event.up else f"the glasses are gone ({event.why}); trying again"
                )
            elif isinstance(event, Message):
                log.info("the glasses: %s", event.text)

    def _touched(self, touch: Touch) -> None:
        t_ns = self._on_host_clock(touch.t_ns)
        press = _PRESSES.get(touch.kind)
        if touch.kind == "press":
            self._pressed_ns[touch.part] = t_ns
        elif touch.kind == "release" and touch.part in self._pressed_ns:
            held_ns = t_ns - self._pressed_ns.pop(touch.part)
            press = "long_press" if held_ns >= LONG_PRESS_MS * NS_PER_MS else "tap"
        if press is not None:
            self.on_touch(Button(t_ns, press))

    async def _update_hud(self) -> None:
        while True:
            await self._text_changed.wait()
            self._text_changed.clear()
            panel = self.glasses.capabilities.panel
            if panel is None or not self.link.up:
                continue  # shown when the link is back
            try:
                await self.glasses.show_text(hud_text(self._text, panel), x=hud.MARGIN_PX, y=hud.MARGIN_PX)
            except LinkError as error:
                log.warning("the HUD shows nothing: %s", error)
            await asyncio.sleep(_TEXT_INTERVAL_S)


def hud_text(text: str, panel: Panel) -> str:
    """The last lines of `text` that fit on `panel`, in the firmware's font."""
    display = Display(panel.width, panel.height, panel.colours)
    return "\n".join(hud.newest(text, display, cell=FONT))
