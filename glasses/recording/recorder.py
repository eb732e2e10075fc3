"""Writes what happens to disk, in segments of about a minute that survive kill, a full disk and a pulled plug.

`Recorder.put` never blocks and never raises: a thread of its own writes, because the assistant must not wait for an SD
card, and what cannot be written is counted. While muted the assistant puts nothing in. folder.py keeps the folder.
"""

from __future__ import annotations

import fcntl
import logging
import os
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from glasses.errors import DISK_FULL, GlassesError, InputError, Reason
from glasses.recording.encryption import EncryptedWriter
from glasses.recording.entries import Entry
from glasses.recording.folder import Limits, prune, recover, segments
from glasses.recording.mcap_file import RawEntry, SegmentWriter
from glasses.system.supervised import SupervisedThread
from glasses.types import Wiped

log = logging.getLogger(__name__)

SEGMENT_S = 60.0
FLUSH_S = 0.5  # what a kill may cost
SYNC_S = 5.0  # what a pulled plug may cost; each sync wears an SD card
RETRY_S = 5.0  # after a disk that could not be written
CLOSE_S = 10.0  # what a disk has not taken by then is left to `recover`
MAX_WAITING = 1500  # entries, 30 s of sound: a slow card's longest pause


class Recorder:
    """Writes entries to segments in a folder until `close`.

    An entry that cannot be encoded is lost alone. A disk that fails costs the segment, and is tried again after
    RETRY_S. Any other failure is reported by `supervised.failed_threads`, and recording goes on in a new segment.
    """

    def __init__(
        self,
        folder: Path,
        about: Mapping[str, str],
        *,
        limits: Limits | None = None,
        public_key: X25519PublicKey | None = None,
        segment_s: float = SEGMENT_S,
        close_s: float = CLOSE_S,
    ) -> None:
        """`about` is written into each segment; with a `public_key` segments are encrypted for its owner.

        Recovers unfinished segments first. Raises InputError: BUSY (another process records here), BAD_INPUT (folder).
        """
        self._folder, self._about, self._public_key, self._segment_s = folder, dict(about), public_key, segment_s
        self._limits, self._close_s = limits or Limits(), close_s
        self._queue: queue.Queue[Entry | None] = queue.Queue(MAX_WAITING)
        self._open: _OpenSegment | None = None
        self._retry_ns = 0
        self.n_written = self.n_lost = self.bytes_written = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / ".lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise InputError(Reason.BUSY, f"another process records in {folder}") from error
        except OSError as error:
            raise InputError(Reason.BAD_INPUT, f"cannot record in {folder}: {error.strerror}") from error
        with self._abandoned_on_failure("recovering recordings"):
            recover(folder)
        self._next = 1 + max((int(path.name.split("-")[0]) for path in folder.glob("[0-9]*-*.mcap*")), default=0)
        self._closing = threading.Event()
        self._thread = SupervisedThread(self._run, "recorder", policy="restart").start()

    def put(self, entry: Entry) -> None:
        """Queues one entry and returns; counts it as lost where the disk has fallen 30 s behind."""
        try:
            self._queue.put_nowait(entry)
        except queue.Full:
            self.n_lost += 1

    @property
    def n_waiting(self) -> int:
        """Entries that are queued and not yet written."""
        return self._queue.qsize()

    def close(self) -> None:
        """Writes the queued entries and finishes the segment; gives up after CLOSE_S. Safe to call twice."""
        self._closing.set()
        with suppress(queue.Full):  # a full queue wakes the thread as well
            self._queue.put_nowait(None)
        if not self._thread.close(self._close_s):
            log.warning("the disk of %s does not take what was recorded", self._folder)
        self._lock.close()

    def _run(self) -> None:
        while True:
            try:
                entry = self._queue.get(timeout=0 if self._closing.is_set() else FLUSH_S)
            except queue.Empty:
                if self._closing.is_set():
                    break
                with self._abandoned_on_failure("recording"):
                    self._tick()
                continue
            if entry is not None:
                self._record(entry)
        with self._abandoned_on_failure("finishing a recording"):
            self._finish()

    def _record(self, entry: Entry) -> None:
        written = False
        try:
            raw = RawEntry.of(entry)
            with self._abandoned_on_failure("recording"):
                written = self._write(raw)
                if isinstance(entry, Wiped):  # what was recorded before can be deleted with the rest, at once
                    self._finish()
        except InputError as error:
            log.warning("an entry is not recorded: %s", error)
        finally:
            self.n_written, self.n_lost = self.n_written + written, self.n_lost + (not written)

    def _write(self, raw: RawEntry) -> bool:
        if self._open is None:
            if time.monotonic_ns() < self._retry_ns:
                return False
            prune(self._folder, self._limits)
            self._open = _OpenSegment(self._folder, self._next, self._about, self._public_key)
            self._next += 1
        self._open.segment.copy(raw)
        self._tick()
        return True

    def _tick(self) -> None:
        if self._open is None:
            return
        self.bytes_written += self._open.tick(time.monotonic_ns())
        if time.monotonic_ns() - self._open.began_ns > self._segment_s * 1e9:
            self._finish()

    def _finish(self) -> None:
        if self._open:
            self.bytes_written += self._open.finish()
            self._open = None  # not before: a segment that does not finish is abandoned
            prune(self._folder, self._limits)

    @contextmanager
    def _abandoned_on_failure(self, doing: str) -> Iterator[None]:
        """Abandons the open segment on any failure. Logs those of the disk, raises those nobody foresaw."""
        try:
            yield
        except (OSError, GlassesError) as error:
            log.warning("%s in %s: %s", doing, self._folder, error)
            self._abandon()
            self._retry_ns = time.monotonic_ns() + int(RETRY_S * 1e9)
            if isinstance(error, OSError) and error.errno in DISK_FULL:
                self._make_room()
        except Exception:
            self._abandon()
            raise

    def _abandon(self) -> None:
        segment, self._open = self._open, None
        if segment:
            segment.abandon()

    def _make_room(self) -> None:
        """The disk is full whatever statvfs says: deletes the oldest segment that may go, so that it is tried again."""
        oldest = next((segment for segment in segments(self._folder) if not segment.kept), None)
        if oldest:
            with suppress(OSError):
                oldest.path.unlink()
                self._retry_ns = 0
        with suppress(OSError):
            recover(self._folder)


class _OpenSegment:
    """The segment being written, as NAME.part until it is whole."""

    def __init__(self, folder: Path, number: int, about: Mapping[str, str], key: X25519PublicKey | None) -> None:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        name = f"{number:08d}-{stamp}.mcap" + (".sealed" if key else "")
        self._part = folder / f"{name}.part"
        self._file = self._part.open("wb")
        self._out = EncryptedWriter(self._file, key) if key else self._file
        self.began_ns = self._flushed_ns = self._synced_ns = time.monotonic_ns()
        offset_ns = time.time_ns() - self.began_ns
        try:
            self.segment = SegmentWriter(self._out, {**about, "wall_clock_minus_monotonic_ns": str(offset_ns)})
        except OSError:
            self.abandon()
            raise
        self._counted = 0

    def tick(self, now_ns: int) -> int:
        """Flushes and syncs when it is time; returns the bytes added since the last call."""
        if now_ns - self._flushed_ns >= FLUSH_S * 1e9:
            self._flushed_ns = now_ns
            self.segment.flush()
        if now_ns - self._synced_ns >= SYNC_S * 1e9:
            self._synced_ns = now_ns
            os.fsync(self._file.fileno())
        added, self._counted = self._out.tell() - self._counted, self._out.tell()
        return added

    def finish(self) -> int:
        """Writes the index, syncs and gives the file its final name; returns the bytes added."""
        self.segment.finish()
        added = self._out.tell() - self._counted
        if isinstance(self._out, EncryptedWriter):
            self._out.finish()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.replace(self._part.with_suffix(""))
        return added

    def abandon(self) -> None:
        """Leaves the part to `recover`. A file with bytes buffered for a full disk raises where it is closed."""
        with suppress(OSError):
            self._file.close()
