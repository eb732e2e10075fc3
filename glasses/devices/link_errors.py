"""Where the errors of firmware_bridge become errors of glasses: that package never imports this one."""

from __future__ import annotations

from firmware_bridge import errors as bridge
from glasses.errors import InputError, LinkError, Reason

_REASONS = {
    bridge.Reason.BAD_INPUT: Reason.BAD_INPUT,
    bridge.Reason.TOO_LARGE: Reason.TOO_LARGE,
    bridge.Reason.NOT_FOUND: Reason.NOT_FOUND,
    bridge.Reason.NOT_AVAILABLE: Reason.NOT_INSTALLED,
    bridge.Reason.NOT_SUPPORTED: Reason.UNSUPPORTED,
    bridge.Reason.CLOSED: Reason.ABORTED,
    bridge.Reason.TIMEOUT: Reason.TIMEOUT,
    bridge.Reason.REFUSED: Reason.REFUSED,
    bridge.Reason.BUSY: Reason.BUSY,
    bridge.Reason.CORRUPT: Reason.CORRUPT,
    bridge.Reason.WRONG_PROTOCOL: Reason.UNSUPPORTED,
    bridge.Reason.NOT_AUTHENTIC: Reason.REFUSED,
}


def as_runtime_error(error: bridge.LinkError) -> LinkError | InputError:
    """The same message and the nearest reason, as an InputError where the caller's arguments are wrong."""
    family = InputError if error.reason is bridge.Reason.BAD_INPUT else LinkError
    return family(_REASONS[error.reason], str(error))
