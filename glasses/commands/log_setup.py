"""Logging of the command line: a level for each package.

$GLASSES_LOG holds PACKAGE=LEVEL, separated by commas: `assistant=debug,devices=info`. A level alone is for all of
`glasses`; `llama_cpp` is what the C++ library says.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from glasses.errors import InputError, Reason

FORMAT = "%(levelname)s %(message)s"
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def set_up(*, verbose: bool, environ: Mapping[str, str] = os.environ) -> None:
    """Sets the levels. Raises InputError(BAD_INPUT) for a $GLASSES_LOG that means nothing."""
    logging.basicConfig(level=logging.DEBUG if verbose else logging.WARNING, format=FORMAT)
    if not verbose:
        # What it says, hundreds of lines, is only asked for where --verbose or the variable does; errors are raised.
        logging.getLogger("glasses.llama_cpp").setLevel(logging.CRITICAL)
        logging.getLogger("PIL").setLevel(logging.CRITICAL)  # complains of damage in pictures, which is raised too
    for name, level in levels(environ.get("GLASSES_LOG", "")).items():
        logging.getLogger(name).setLevel(level)


def levels(text: str) -> dict[str, int]:
    """Logger names with their levels, from what $GLASSES_LOG holds. Raises InputError(BAD_INPUT)."""
    found: dict[str, int] = {}
    for one in filter(None, (part.strip() for part in text.split(","))):
        package, equals, level = one.rpartition("=")
        if level.lower() not in _LEVELS or (equals and not package):
            known = ", ".join(_LEVELS)
            raise InputError(
                Reason.BAD_INPUT, f"$GLASSES_LOG: {one!r}: PACKAGE=LEVEL, as assistant=debug; levels are {known}"
            )
        found[f"glasses.{package}" if package else "glasses"] = _LEVELS[level.lower()]
    return found
