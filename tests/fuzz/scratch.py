"""A folder for readers that take files only: in memory, gone with the process."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

_SHM = Path("/dev/shm")
FOLDER = Path(tempfile.mkdtemp(prefix="glasses-fuzz-", dir=_SHM if _SHM.is_dir() else None))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


def write(name: str, data: bytes) -> Path:
    """A file in it; gone over at the next input."""
    path = FOLDER / name
    path.write_bytes(data)
    return path
