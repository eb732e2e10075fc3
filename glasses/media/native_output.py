"""Keeps what native libraries write to stderr away from the user: their lines go to the log, at DEBUG.

OpenCV, libpng, libjpeg, libtiff and mpg123 print warnings of their own to file descriptor 2, in the middle of an answer
or of JSON; llama.cpp prints the whole of a grammar that it cannot read. While `native_output_to_log` is open,
descriptor 2 is a file in memory. Several threads may have it open: the first one redirects, the last one restores. Keep
it around single calls of a library, not around long work: what others write meanwhile, Python included, appears only
afterwards.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_log = logging.getLogger(__name__)
# Lines of these libraries; anything else that came meanwhile is somebody else's and is written through.
_NATIVE = re.compile(
    rb"^\s*(?:\[ ?(?:WARN|INFO|ERROR|DEBUG)[ :]|libpng |Corrupt JPEG data|Premature end of JPEG|Invalid SOS|"
    rb"Unsupported marker|Warning: |Note: |\[src/libmpg123|\[.*libmpg123|_?TIFF\w*: |MissingRequired: |imdecode_|"
    rb"parse: error parsing grammar: |"
    rb"(?:JPEG|Bogus|Extraneous|Application transferred|Inconsistent|Unknown Adobe) )"
)
_lock = threading.Lock()
_users = 0
_terminal = _captured = -1
_quoted: set[bytes] = set()


@contextmanager
def native_output_to_log(quotes: str = "") -> Iterator[None]:
    """While open, what is written to file descriptor 2 is held back; lines of native libraries go to the log.

    So do lines of `quotes`, which the library may print as it is.
    """
    _begin({line.strip() for line in quotes.encode().splitlines()})
    try:
        yield
    finally:
        _end()


def _begin(quotes: set[bytes]) -> None:
    global _users, _terminal, _captured  # noqa: PLW0603  # descriptor 2 is one for the whole process
    with _lock:
        _users += 1
        _quoted.update(quotes)
        if _users > 1:
            return
        with suppress(AttributeError, OSError, ValueError):
            sys.stderr.flush()
        try:
            _terminal = os.dup(2)
        except OSError:  # a process without stderr
            _terminal = -1
            return
        _captured = os.memfd_create("stderr")
        os.dup2(_captured, 2)


def _end() -> None:
    global _users, _terminal, _captured  # noqa: PLW0603
    with _lock:
        _users -= 1
        if _users or _terminal < 0:
            return
        with suppress(AttributeError, OSError, ValueError):
            sys.stderr.flush()
        os.dup2(_terminal, 2)
        os.close(_terminal)
        said = os.pread(_captured, 1 << 20, 0)
        os.close(_captured)
        _terminal = _captured = -1
        quoted = frozenset(_quoted)
        _quoted.clear()
    for line in said.splitlines(keepends=True):
        if _NATIVE.match(line) or line.strip() in quoted:
            _log.debug("%s", line.decode(errors="replace").strip())
        elif line.strip():
            with suppress(OSError):
                os.write(2, line)
