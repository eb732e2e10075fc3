"""The tools of `glasses run`."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime

from glasses.assistant import device_settings
from glasses.assistant.announcements import Announcements
from glasses.assistant.app_acts import AppActs
from glasses.assistant.cast import Cast
from glasses.assistant.config import AssistantConfig
from glasses.assistant.device_controls import DeviceControls
from glasses.assistant.open_tools import open_caller, registry_of
from glasses.assistant.text_reader import TextReader
from glasses.assistant.tool_turn import CalledTools
from glasses.commands.tool_sources import tools_from_elsewhere
from glasses.decoders.speech import Voice
from glasses.devices.local import DeviceFactory
from glasses.errors import InputError, Reason
from glasses.events import ShowText
from glasses.folders import own_state_folder, pictures_folder
from glasses.runtime.bundle import LoadedBundle
from glasses.system.governor import Reading
from glasses.tools.builtin.device import take_picture
from glasses.tools.store import FILE_NAME, ToolStore
from glasses.tools.tool import ToolContext

NO_LOOK = "the wearer does not let apps take pictures: [mcp.allow] look = true in config.toml does"


def open_store(note: Callable[[str], None]) -> ToolStore:
    """The store of this user; where it cannot be written, one that forgets when the process ends, with a note.

    Raises InputError(UNSUPPORTED) for a file of a newer version.
    """
    path = own_state_folder() / FILE_NAME
    try:
        return ToolStore(path)
    except (OSError, InputError) as error:
        if isinstance(error, InputError) and error.reason is Reason.UNSUPPORTED:
            raise
        note(f"timers, reminders and notes are not kept: {error}")
        return ToolStore(":memory:")


class WornTools:
    """The tools of a running assistant: what is kept, what there is, what may be done with the device, who calls them.

    `turns` is None, with a note, where the bundle has nothing that chooses among tools.
    """

    def __init__(
        self,
        config: AssistantConfig,
        cast: Cast,
        loaded: LoadedBundle,
        stack: ExitStack,
        *,
        devices: DeviceFactory,
        voice: Voice | None,
        read_board: Callable[[int], Reading],
        note: Callable[[str], None],
        publish: Callable[[object], None] = lambda event: None,
    ) -> None:
        """What it opens is closed with `stack`. `publish` tells the observers, the HUD among them.

        Raises InputError for a store of a newer version, ModelError from what chooses.
        """

        def show(text: str) -> None:
            note(text)
            publish(ShowText(time.monotonic_ns(), text))

        self.announcements, self.store = Announcements(), open_store(note)
        stack.callback(self.store.close)
        self.controls = DeviceControls(
            devices,
            voice,
            self.announcements,
            settings_file=device_settings.path(),
            pictures=config.camera.pictures or pictures_folder(),
            read_board=read_board,
            note=note,
            speed=cast.current.speed,
        )
        self.registry = registry_of(self.store)
        encoder = loaded.text_encoder
        self.text = TextReader(self.controls.look, encoder) if encoder else None
        context = ToolContext(datetime.now, self.store, self.controls, self.registry, self.text, self.controls.look)
        stack.enter_context(tools_from_elsewhere(self.registry, config, note=note, show=show, is_worn=True))
        for problem in dict.fromkeys(one for who in cast.members for one in who.unknown_tools(self.registry.tools)):
            note(problem)
        kept = own_state_folder() / "tools" / f"{loaded.bundle.name}.npz"
        self._caller = open_caller(loaded, self.registry, context, cast=cast, kept=kept)
        self.turns = CalledTools(self._caller, self.announcements.say) if self._caller else None
        refused = {} if config.mcp.allow.look else {take_picture.name: NO_LOOK}
        self.acts = (
            AppActs(self._caller, loaded, may_act=config.apps.act, refused=refused, note=note) if self._caller else None
        )
        if self.turns is None:
            note(f"the bundle {config.bundle} calls no tools")

    def forget(self) -> None:
        """Wiped: drops the text that was read in view."""
        if self.text:
            self.text.forget()

    def prepare(self) -> None:
        """Does now what would make the first call slow; on the backbone's thread. Raises ModelError."""
        if self._caller:
            self._caller.prepare()
