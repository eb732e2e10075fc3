"""What `glasses run` needs for tools: the store of timers, reminders and notes; what they may do with the device."""

from __future__ import annotations

from collections.abc import Callable

from glasses.assistant import device_settings
from glasses.assistant.announcements import Announcements
from glasses.assistant.config import AssistantConfig
from glasses.assistant.device_controls import DeviceControls
from glasses.decoders.speech import Voice
from glasses.devices.local import DeviceFactory
from glasses.errors import InputError, Reason
from glasses.folders import own_state_folder, pictures_folder
from glasses.system.governor import Reading
from glasses.tools.store import FILE_NAME, ToolStore


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


def open_controls(
    config: AssistantConfig,
    devices: DeviceFactory,
    voice: Voice | None,
    announcements: Announcements,
    *,
    speed: int,
    read_board: Callable[[int], Reading],
    note: Callable[[str], None],
) -> DeviceControls:
    """What tools may do with the device; complete once it is attached to the assistant."""
    return DeviceControls(
        devices,
        voice,
        announcements,
        settings_file=device_settings.path(),
        pictures=config.camera.pictures or pictures_folder(),
        read_board=read_board,
        note=note,
        speed=speed,
    )
