"""Converts text to phonemes in a child process that holds the GPL-3 part (espeak_worker.py).

The child is started at once and answers over pipes; one call takes a fraction of a millisecond. If the child dies, the
call that notices fails and the next call starts another.
"""

from __future__ import annotations

import importlib.util
import json
import re
import select
import struct
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any, Self

from glasses.errors import InputError, ModelError, Reason

MAX_CHARS = 2000  # a clause is under 400; bounds the memory of one synthesis for whoever calls without a splitter
_MAX_REPLY_BYTES = 1 << 20
_REPLY_TIMEOUT_S = 10.0  # starting takes 0.1 s here and espeak far less: this long means the child hangs
_LENGTH = struct.Struct("<I")
_WORKER = Path(__file__).resolve().parent / "espeak_worker.py"
_LANGUAGE_FLAG = re.compile(r"\([^)]+\)")  # espeak marks a foreign word "(fr)...(en)"


class Phonemizer:
    """An espeak-ng voice (such as "en-us") in a child process. One caller at a time; `close` when done."""

    def __init__(self, voice: str) -> None:
        """Raises ModelError(NOT_INSTALLED) without the piper-tts package, saying how to install it."""
        spec = importlib.util.find_spec("piper")  # finds, does not import
        if spec is None or not spec.submodule_search_locations:
            raise ModelError(
                Reason.NOT_INSTALLED,
                "speech needs the optional piper-tts package (GPL-3, run as a process of its own): "
                "from the checkout: pip install -e '.[voice]'",
            )
        self._command = [sys.executable, "-P", str(_WORKER), spec.submodule_search_locations[0], voice]
        self._child: subprocess.Popen[bytes] | None = None
        self._start()

    def phonemes(self, text: str) -> str:
        """IPA of `text`, pause marks kept, decomposed (NFD) as Piper's voices expect.

        Raises InputError(TOO_LARGE) over MAX_CHARS; ModelError(INTERNAL) if the child fails.
        """
        if len(text) > MAX_CHARS:
            raise InputError(Reason.TOO_LARGE, f"{len(text)} characters in one clause: at most {MAX_CHARS}")
        reply = self._ask(text.encode("utf-8", errors="replace"))
        if "error" in reply:
            raise ModelError(Reason.INTERNAL, f"espeak-ng could not read {text!r}: {reply['error']}")
        parts = []
        for sounds, mark, _ends_sentence in reply["clauses"]:
            parts.append(_LANGUAGE_FLAG.sub("", sounds) + mark)
        return unicodedata.normalize("NFD", " ".join(parts))

    def close(self) -> None:
        """Ends the child. Safe to call twice."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()  # it holds no state worth a goodbye
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
        child.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _start(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            self._child = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        return self._child

    def _ask(self, message: bytes) -> dict[str, Any]:
        child = self._start()
        assert child.stdin is not None
        try:
            child.stdin.write(_LENGTH.pack(len(message)) + message)
            (size,) = _LENGTH.unpack(self._read(child, _LENGTH.size))
            if size > _MAX_REPLY_BYTES:
                raise ModelError(Reason.INTERNAL, f"the phonemizer process announced {size} bytes")
            return json.loads(self._read(child, size))
        except BrokenPipeError as error:
            self.close()
            raise ModelError(Reason.INTERNAL, "the phonemizer process ended: its own message is above") from error
        except ModelError:
            self.close()
            raise

    def _read(self, child: subprocess.Popen[bytes], size: int) -> bytes:
        assert child.stdout is not None
        data = b""
        while len(data) < size:
            if not select.select([child.stdout], [], [], _REPLY_TIMEOUT_S)[0]:
                raise ModelError(Reason.INTERNAL, f"the phonemizer process was silent for {_REPLY_TIMEOUT_S:.0f} s")
            part = child.stdout.read(size - len(data))
            if not part:
                raise ModelError(Reason.INTERNAL, "the phonemizer process ended: its own message is above")
            data += part
        return data
