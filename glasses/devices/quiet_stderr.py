"""Keeps what sound libraries write to stderr away from the user's terminal.

ALSA takes an error handler. PortAudio 19.6 prints each call that failed, from its own thread, and exports no way to
stop that: a `grep` between it and the terminal takes those lines out. It is a process of its own, so that the last
lines of a process that crashes are not lost with it.
"""

from __future__ import annotations

import ctypes
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)
_PORTAUDIO_SAYS = r"^Expression '.*' failed in '.*', line: [0-9]*$"
_CLOSING_S = 2.0
# void (*)(const char *file, int line, const char *function, int err, const char *fmt, ...) of alsa/error.h. What `...`
# holds cannot be had from here; the fixed arguments say enough, and what matters (underruns) is counted by us.
_Handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p)


@_Handler
def _alsa_says(_file: bytes, _line: int, function: bytes, _error: int, text: bytes) -> None:
    log.debug("ALSA, %s: %s", (function or b"").decode(errors="replace"), (text or b"").decode(errors="replace"))


def hush_alsa() -> bool:
    """Sends ALSA's errors to the log (DEBUG); False where there is no ALSA. Call it before PortAudio is opened."""
    try:
        alsa = ctypes.CDLL("libasound.so.2")  # by the name PortAudio asks for: the one library both then have
        alsa.snd_lib_error_set_handler(_alsa_says)
    except (OSError, AttributeError):
        return False
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(_alsa_says))  # a thread of PortAudio's may outlive this module
    return True


@contextmanager
def without_portaudio() -> Iterator[None]:
    """While open, filters PortAudio's own lines from stderr if that is a terminal."""
    grep = shutil.which("grep")
    if grep is None or not os.isatty(2):
        yield
        return
    sys.stderr.flush()
    terminal = os.dup(2)
    command = [grep, "--line-buffered", "--invert-match", "--text", "--regexp", _PORTAUDIO_SAYS]
    sieve = subprocess.Popen(  # a session of its own: Ctrl-C is not meant for it
        command, stdin=subprocess.PIPE, stdout=terminal, stderr=subprocess.DEVNULL, start_new_session=True
    )
    assert sieve.stdin is not None
    os.dup2(sieve.stdin.fileno(), 2)
    sieve.stdin.close()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(terminal, 2)
        os.close(terminal)
        try:
            sieve.wait(_CLOSING_S)
        except subprocess.TimeoutExpired:  # a child of ours still holds its other end
            sieve.kill()
            sieve.wait()
