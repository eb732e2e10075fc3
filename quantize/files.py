"""Writes a file completely or not at all, reports a full disk as such, and refuses an output that cannot be one.

`check_out` is asked before any work is done: minutes of it must not end at a folder that cannot be written, and no
command may write over what it reads.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from glasses.errors import InputError, ModelError, Reason

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# What C++ libraries (onnxruntime, llama.cpp) say in an exception of their own, and numpy of a write that is cut short.
_FULL_TEXTS = (*map(os.strerror, _FULL), "basic_ios::clear", "system error number 28", " requested and ")


def check_out(out: Path, *inputs: Path) -> None:
    """Tries whether `out` can be written, and leaves nothing behind.

    Raises InputError(BAD_INPUT): `out` is one of `inputs` (or a file directly in one that is a folder) under this or
    another name, a folder, or no regular file (renaming a file over /dev/null would replace that).
    ModelError: NO_SPACE, INTERNAL for a folder that cannot be written.
    """
    if out.exists() and not out.is_file():
        raise InputError(Reason.BAD_INPUT, f"{out} is {'a folder' if out.is_dir() else 'no regular file'}: name a file")
    for one in inputs:
        if clash := next((each for each in _files_in(one) if _is_same(each, out)), None):
            under = "" if clash.absolute() == out.absolute() else f", under the name {clash}"
            raise InputError(Reason.BAD_INPUT, f"{out} is what is read here{under}: give another --out")
    try_folder(out.parent)


def try_folder(folder: Path) -> None:
    """Raises ModelError, NO_SPACE or INTERNAL, where no file can be written in `folder`; makes nothing that stays."""
    there = next((one for one in (folder, *folder.absolute().parents) if one.exists()), folder)
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"\0")
    except OSError as error:
        raise _as_model_error(error, folder) from error


def _files_in(path: Path) -> list[Path]:
    return [one for one in path.iterdir() if one.is_file()] if path.is_dir() else [path]


def _is_same(a: Path, b: Path) -> bool:
    """Whether two paths lead to one file: by name, by a link, or as two hard links of it."""
    with suppress(OSError):
        return a.absolute() == b.absolute() or os.path.samefile(a, b)
    return False


@contextmanager
def whole(out: Path) -> Iterator[Path]:
    """Yields a path in a scratch folder beside `out`; after the block it is synced and renamed to `out`.

    Intermediate files may lie beside the yielded path: the folder goes, whatever happens. Beside `out`,
    for /tmp may be a smaller disk. Folders that were made for `out` go too where it was not written.
    Raises ModelError: NO_SPACE, INTERNAL (other file errors).
    """
    with _scratch_beside(out) as scratch:
        part = scratch / out.name
        yield part
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.replace(out)


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """The same of a folder: what is yielded is an empty one, which then takes the place of `out`, whatever that is."""
    with _scratch_beside(out) as scratch:
        part, before = scratch / "new", scratch / "old"
        part.mkdir()
        yield part
        with uninterrupted():
            if out.is_symlink():
                out.unlink()
            elif out.exists():
                out.rename(before)
            part.rename(out)


@contextmanager
def _scratch_beside(out: Path) -> Iterator[Path]:
    scratch = None
    made = [one for one in (out.parent, *out.absolute().parent.parents) if not one.exists()]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        yield scratch
    except Exception as error:  # libraries raise classes of their own for a full disk: all pass through, or as NO_SPACE
        if is_full(error) or isinstance(error, OSError):
            raise _as_model_error(error, out) from error
        raise
    finally:
        if scratch:
            shutil.rmtree(scratch, ignore_errors=True)
        for folder in made:
            with suppress(OSError):  # it holds `out`, or something of another process
                folder.rmdir()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C, and being told to end, wait until the block is over.

    Not by the thread's mask: the system gives the signal to a thread of a library then, and Python handles it at once.
    """
    if threading.current_thread() is not threading.main_thread():  # no other is ever interrupted
        yield
        return
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _frame: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) not in (signal.SIG_IGN, None)  # as under nohup
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def _as_model_error(error: BaseException, out: Path) -> ModelError:
    if is_full(error):
        return ModelError(
            Reason.NO_SPACE, f"the disk of {out.parent} is full: {out.name} was not written; free some space"
        )
    return ModelError(Reason.INTERNAL, f"cannot write {out}: {getattr(error, 'strerror', None) or error}")


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
