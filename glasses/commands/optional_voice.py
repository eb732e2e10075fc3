"""The voice of commands that answer as well without one."""

from __future__ import annotations

import sys

from glasses.decoders.speech import Voice
from glasses.errors import ModelError, Reason
from glasses.runtime.bundle import open_voice


def open_voice_or_none(bundle: str, name: str | None = None, *, warm: bool = True) -> Voice | None:
    """See `open_voice`; None, with a note, where the extra or the file is missing. Raises ModelError for all else."""
    try:
        return open_voice(bundle, name=name, warm=warm)
    except ModelError as error:
        if error.reason not in (Reason.NOT_INSTALLED, Reason.NOT_FOUND):
            raise
        print(f"note: answers are text only: {error}", file=sys.stderr)
        return None
