"""What `glasses run` needs for tools: the store of timers, reminders and notes."""

from __future__ import annotations

from collections.abc import Callable

from glasses.errors import InputError, Reason
from glasses.folders import own_state_folder
from glasses.tools.store import ToolStore

STORE_NAME = "tools.db"


def open_store(note: Callable[[str], None]) -> ToolStore:
    """The store of this user; where it cannot be written, one that forgets when the process ends, with a note.

    Raises InputError(UNSUPPORTED) for a file of a newer version.
    """
    path = own_state_folder() / STORE_NAME
    try:
        return ToolStore(path)
    except (OSError, InputError) as error:
        if isinstance(error, InputError) and error.reason is Reason.UNSUPPORTED:
            raise
        note(f"timers, reminders and notes are not kept: {error}")
        return ToolStore(":memory:")
