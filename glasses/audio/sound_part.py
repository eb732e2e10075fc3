"""One recording in a sound file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Read = Callable[[int, int], bytes]  # (offset, number of bytes) -> as many of them as there are
MAX_PARTS = 64  # recordings in one file that are read


@dataclass(frozen=True, slots=True)
class Part:
    """One recording in a file: its bytes, what to write over them, and a note on what its header said wrongly.

    `note` follows the file's name, "" is none. `frames` is what a header says that cannot be checked against bytes.
    """

    first: int
    end: int
    patches: tuple[tuple[int, bytes], ...] = ()  # (offset in the file, bytes)
    note: str = ""
    frames: int = 0
