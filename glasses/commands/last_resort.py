"""One line for errors that are not ours: what went wrong, and what to do."""

from __future__ import annotations

import ssl
import traceback

from glasses.errors import DISK_FULL

_SHOWN = 500  # characters of what a library says
_WHERE = "--verbose before the command shows where"


def explained(error: BaseException, *, verbose: bool) -> str:
    """The line for `error`; with `verbose` its traceback stands before it."""
    if verbose:
        traceback.print_exception(error)
    says = " ".join(str(error).split())[:_SHOWN]
    match error:
        case MemoryError():
            return (
                f"there is not enough memory{f': {says}' if says else ''}; close other programs, or give less at once"
            )
        case ImportError():
            return f"a package cannot be loaded: {says}; install this program again ({_WHERE})"
        case ssl.SSLError():
            return f"TLS fails: {says} ({_WHERE})"
        case OSError():
            return _of_the_system(error, says)
        case UnicodeError():
            return f"text that cannot be read or written: {says} ({_WHERE})"
    return (
        f"a fault of this program, not of yours: {type(error).__name__}: {says}; {_WHERE}: please report that text as "
        "an issue of the project"
    )


def _of_the_system(error: OSError, says: str) -> str:
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in DISK_FULL:
        return f"{where}the disk is full, or what output was sent to takes no more; free some space"
    if error.strerror:
        return f"{where}{error.strerror} ({_WHERE})"
    return f"{says or type(error).__name__} ({_WHERE})"
