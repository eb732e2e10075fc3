"""Microphone, speaker, camera, touches and HUD of glasses over our own link, as the spine wants its devices.

The link lives in a thread of its own and comes back by itself; while it is down its devices are `gone`, as local ones
that were pulled. What the glasses lack, or what was named to be used instead, is this machine's own device. A picture
is taken when somebody is to look at something, never otherwise. Knows no gate and no model.
"""

from __future__ import annotations

import asyncio
import logging
import textwrap
import time
from collections.abc import Callable

from firmware_bridge.devices.device import Ability, LinkChanged, Message, Sound, Touch
from firmware_bridge.errors import LinkError
from glasses.devices.event_queue import EventQueue
from glasses.devices.link_thread import LinkWorker
from glasses.devices.local import AudioInput, LocalDevices, VideoInput
from glasses.devices.remote_io import LinkCamera, LinkMicrophone, LinkSpeaker
from glasses.devices.speaker import AudioOutput
from glasses.types import NS_PER_MS, Button, Press

log = logging.getLogger(__name__)
HOLD_MS = 600  # a button kept down for so long is a long press
_PRESSES: dict[str, Press] = {"tap": "tap", "long": "long_press", "double_tap": "double_tap"}
_CELL, _MARGIN = (6, 11), 4  # pixels: the firmware's font (firmware/assets.py), and what stays free around the text
_HUD_S = 0.1  # between two texts: a word at a time is enough


class RemoteGlasses:
    """Connected until `close`; an `Opens` (sensors/devices.py). `link.note` gets what a person should know."""

    def __init__(self, address: str, key: bytes | None, local: LocalDevices) -> None:
        """`local` devices that have a name are used instead of those of the glasses.

        Raises firmware_bridge's LinkError as `Ours.connect` does.
        """
        self._local = local
        self.on_touch: Callable[[Button], None] = lambda button: None
        self._microphone: LinkMicrophone | None = None
        self._pressed_ns: dict[str, int] = {}
        self._text, self._text_changed = "", asyncio.Event()
        self.link = LinkWorker(address, key)
        self.glasses = self.link.glasses
        self._followers = [self.link.later(self._follow()), self.link.later(self._display())]

    @property
    def muted(self) -> bool:
        """Whether the switch on the glasses is on, as they last said."""
        return self.glasses.muted

    @property
    def sees(self) -> bool:
        """Whether there is a camera, theirs or one that was named."""
        return self._local.sees or "photo" in self.glasses.capabilities.abilities

    def microphone(self, queue: EventQueue) -> AudioInput:
        """Switches it on. Raises SensorError: NOT_FOUND (the link is down, or they refuse), and as Devices does."""
        if not self._theirs("microphone", self._local.microphone_name):
            return self._local.microphone(queue)
        self._microphone = LinkMicrophone(self.link, queue)
        return self._microphone

    def speaker(self, rate_hz: int) -> AudioOutput:
        """Raises SensorError: NOT_FOUND (the link is down), and as Devices does."""
        if not self._theirs("speaker", self._local.speaker_name):
            return self._local.speaker(rate_hz)
        return LinkSpeaker(self.link, rate_hz)

    def camera(self, queue: EventQueue) -> VideoInput:
        """Raises SensorError as Devices does; theirs takes a picture when somebody looks."""
        return self._local.camera(queue) if self._local.sees else LinkCamera(self.link, queue)

    def rescan(self) -> None:
        """Raises SensorError(NOT_INSTALLED) where this machine's sound devices are needed and it has no PortAudio."""
        named = self._local.microphone_name, self._local.speaker_name
        if not (self._theirs("microphone", named[0]) and self._theirs("speaker", named[1])):
            self._local.rescan()

    def show(self, text: str) -> None:
        """On the HUD, where there is one, instead of what is there; the last lines that fit. Returns at once."""

        def want() -> None:
            self._text = text
            self._text_changed.set()

        self.link.call(want)

    def close(self) -> None:
        """Switches off what is on, blanks the HUD and says farewell. Safe to call twice."""
        for follower in self._followers:
            if follower is not None:
                follower.cancel()
        self.link.close(self._blank)

    async def _blank(self) -> None:
        if self.link.up and "text" in self.glasses.capabilities.abilities:
            await self.glasses.command("hud_clear")

    def _theirs(self, ability: Ability, named: str | None) -> bool:
        return named is None and ability in self.glasses.capabilities.abilities

    def _at_ns(self, t_ns: int) -> int:
        """Their time on this host's clock; until the first answer to a ping that is not known."""
        return t_ns if self.glasses.session.link.clock.known else time.monotonic_ns()

    async def _follow(self) -> None:
        while True:
            event = await self.glasses.inbox.get()
            if isinstance(event, Sound):
                if self._microphone is not None and self.glasses.session.link.clock.known:
                    self._microphone.take(event)
            elif isinstance(event, Touch):
                self._touch(event)
            elif isinstance(event, LinkChanged):
                self._text_changed.set()  # they may have restarted
                self.link.note(
                    "the glasses are there" if event.up else f"the glasses are gone ({event.why}); trying again"
                )
            elif isinstance(event, Message):
                log.info("the glasses: %s", event.text)

    def _touch(self, touch: Touch) -> None:
        t_ns = self._at_ns(touch.t_ns)
        press = _PRESSES.get(touch.kind)
        if touch.kind == "press":
            self._pressed_ns[touch.part] = t_ns
        elif touch.kind == "release" and touch.part in self._pressed_ns:
            held_ns = t_ns - self._pressed_ns.pop(touch.part)
            press = "long_press" if held_ns >= HOLD_MS * NS_PER_MS else "tap"
        if press is not None:
            self.on_touch(Button(t_ns, press))

    async def _display(self) -> None:
        while True:
            await self._text_changed.wait()
            self._text_changed.clear()
            panel = self.glasses.capabilities.panel
            if panel is None or not self.link.up:
                continue  # shown when the link is back
            columns, rows = (panel.width - 2 * _MARGIN) // _CELL[0], (panel.height - 2 * _MARGIN) // _CELL[1]
            lines = textwrap.wrap(self._text, max(1, columns))[-max(1, rows) :]
            try:
                await self.glasses.show_text("\n".join(lines), x=_MARGIN, y=_MARGIN)
            except LinkError as error:
                log.warning("the HUD shows nothing: %s", error)
            await asyncio.sleep(_HUD_S)
