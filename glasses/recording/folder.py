"""A folder of recordings: lists segments, deletes old ones, recovers those that were cut off.

Names: NUMBER-UTC.mcap (whole), .mcap.part (being written, or cut off: `recover`), `.sealed` at the end where it is
encrypted, and NUMBER-UTC.keep, an empty file a person puts beside a segment that retention must leave alone. Numbers
order the segments, not the clock, which may jump.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from glasses import folders
from glasses.errors import DISK_FULL, InputError, Reason
from glasses.recording.encryption import EncryptedReader
from glasses.recording.mcap_file import SegmentWriter, read_raw

log = logging.getLogger(__name__)

_CLOCK_SET_S = 1_600_000_000  # a file dated before 2020 was written by a board that did not know the time yet


@dataclass(frozen=True, slots=True)
class Limits:
    """What recordings may take. Age counts only for segments whose date can be true."""

    max_bytes: int = 2 << 30
    max_age_s: float = 24 * 3600.0
    min_free_bytes: int = 200 << 20


@dataclass(frozen=True, slots=True)
class Segment:
    """One finished file; `kept` ones are never deleted."""

    path: Path
    size_bytes: int
    written_unix_s: float
    kept: bool


def default_folder() -> Path:
    """Where systemd says that state belongs, else $XDG_STATE_HOME/glasses/recordings; it need not exist.

    Raises InputError(NOT_FOUND) where this user has no home folder.
    """
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0]) / "recordings"
    return folders.state_folder() / "glasses" / "recordings"


def segments(folder: Path) -> list[Segment]:
    """Finished segments, oldest first."""
    out = []
    for path in sorted([*folder.glob("*.mcap"), *folder.glob("*.mcap.sealed")]):
        with suppress(FileNotFoundError):  # deleted meanwhile
            status = path.stat()
            kept = (folder / f"{path.name.split('.')[0]}.keep").exists()
            out.append(Segment(path, status.st_size, status.st_mtime, kept))
    return out


def to_delete(held: Sequence[Segment], limits: Limits, *, now_unix_s: float, free_bytes: int) -> list[Segment]:
    """Which segments go, oldest first. Pure."""
    out, total = [], sum(segment.size_bytes for segment in held)
    for segment in held:
        old = segment.written_unix_s > _CLOCK_SET_S and now_unix_s - segment.written_unix_s > limits.max_age_s
        if not segment.kept and (old or total > limits.max_bytes or free_bytes < limits.min_free_bytes):
            out.append(segment)
            total, free_bytes = total - segment.size_bytes, free_bytes + segment.size_bytes
    return out


def prune(folder: Path, limits: Limits) -> list[Path]:
    """Deletes what `to_delete` names and returns it. Raises OSError."""
    gone = to_delete(segments(folder), limits, now_unix_s=time.time(), free_bytes=shutil.disk_usage(folder).free)
    for segment in gone:
        segment.path.unlink(missing_ok=True)
    return [segment.path for segment in gone]


def wipe(folder: Path) -> int:
    """Deletes every recording, kept ones too; returns how many. Flash may hold old blocks: seal what must not leak."""
    paths = [path for pattern in ("*.mcap*", "*.keep") for path in folder.glob(pattern)]
    for path in paths:
        path.unlink(missing_ok=True)
    return sum(".mcap" in path.name for path in paths)


def recover(folder: Path) -> list[Path]:
    """Finishes what an earlier process left half-written; returns the files. Raises OSError.

    Plain segments are written anew up to the tear, with their index. Encrypted ones cannot be read here, and on a full
    disk there is no room: those only get their final name, and reading them ends with CutOffError.
    """
    out = []
    for part in sorted(folder.glob("*.part")):
        final = part.with_suffix("")
        try:
            if final.suffix == ".mcap":
                _rewrite(part, final)
            elif part.stat().st_size:
                part.replace(final)
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            part.replace(final)
        part.unlink(missing_ok=True)
        if final.exists():
            out.append(final)
    return out


def _rewrite(part: Path, final: Path) -> None:
    whole = final.with_suffix(".rewrite")
    try:
        with part.open("rb") as source, whole.open("wb") as out:
            n_entries = _copy(source, out, part.name)
            out.flush()
            os.fsync(out.fileno())
        if n_entries:
            whole.replace(final)
    finally:
        whole.unlink(missing_ok=True)


def _copy(source: BinaryIO, out: BinaryIO, name: str) -> int:
    """Entries that could be read and were written, up to the tear."""
    writer, n_entries = None, 0
    try:
        for entry in read_raw(source, name):
            if isinstance(entry, dict):
                writer = SegmentWriter(out, {**entry, "recovered": "yes"})
            elif writer:
                writer.copy(entry)
                n_entries += 1
    except InputError as tear:
        log.warning("recovered %d entries: %s", n_entries, tear)
    if writer and n_entries:
        writer.finish()
    return n_entries


@contextmanager
def opened(path: Path, private_key: X25519PrivateKey | None = None) -> Iterator[BinaryIO]:
    """The plain bytes of a segment. Raises InputError: NOT_FOUND, REFUSED (encrypted, and no key or another)."""
    with ExitStack() as stack:
        try:
            source: BinaryIO = stack.enter_context(path.open("rb"))
        except OSError as error:
            raise InputError(Reason.NOT_FOUND, f"cannot read {path}: {error.strerror}") from error
        if ".sealed" in path.suffixes:
            if private_key is None:
                raise InputError(Reason.REFUSED, f"{path} is encrypted: give the private key with --key FILE")
            # EncryptedReader is a RawIOBase, which type checkers do not take for a BufferedReader's source
            source = BufferedReader(EncryptedReader(source, private_key, path.name))  # pyright: ignore[reportArgumentType]
        yield source
