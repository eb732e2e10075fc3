"""Writes a file completely or not at all, and reports a full disk as such."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glasses.errors import ModelError, Reason

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# What C++ libraries (onnxruntime, llama.cpp) say in an exception of their own, and numpy of a write that is cut short.
_FULL_TEXTS = (*map(os.strerror, _FULL), "basic_ios::clear", "system error number 28", " requested and ")


@contextmanager
def whole(out: Path) -> Iterator[Path]:
    """Yields a path in a scratch folder beside `out`; after the block it is synced and renamed to `out`.

    Intermediate files may lie beside the yielded path: the folder goes, whatever happens. Beside `out`,
    for /tmp may be a smaller disk. Raises ModelError: NO_SPACE, INTERNAL (other file errors).
    """
    scratch = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        part = scratch / out.name
        yield part
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.replace(out)
    except Exception as error:  # libraries raise classes of their own for a full disk: all pass through, or as NO_SPACE
        if is_full(error):
            raise ModelError(
                Reason.NO_SPACE, f"the disk of {out.parent} is full: {out.name} was not written; free some space"
            ) from error
        if isinstance(error, OSError):
            raise ModelError(Reason.INTERNAL, f"cannot write {out}: {error}") from error
        raise
    finally:
        if scratch:
            shutil.rmtree(scratch, ignore_errors=True)


def is_full(error: BaseException | None) -> bool:
    """Whether `error`, or what caused it, says that a disk or a quota is full."""
    if error is None:
        return False
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return any(text in str(error) for text in _FULL_TEXTS) or is_full(error.__cause__)


def write_text(out: Path, text: str) -> None:
    """Writes `text` to `out`, whole or not at all. Raises as `whole`."""
    with whole(out) as part:
        part.write_text(text, encoding="utf-8")
