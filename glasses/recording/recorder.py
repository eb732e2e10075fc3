"""Keeps what happened on disk: segments of about a minute that survive kill, a full disk and a pulled plug.

`Recorder.put` never blocks and never raises: a thread of its own writes, and what it cannot write is counted, for the
spine must not wait for an SD card. Knows neither sensors nor models, and not whether somebody wants to be
recorded: while muted, the spine puts nothing in. The folder itself is recordings.py's.
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

from glasses.errors import GlassesError, InputError, Reason
from glasses.recording.encryption import EncryptedWriter
from glasses.recording.entries import Entry
from glasses.recording.folder import FULL, Limits, prune, recover, segments
from glasses.recording.mcap_file import SegmentWriter
from glasses.types import Wiped

log = logging.getLogger(__name__)

SEGMENT_S = 60.0
FLUSH_S = 0.5  # what a kill may cost
SYNC_S = 5.0  # what a pulled plug may cost; each sync wears an SD card
RETRY_S = 5.0  # after a disk that could not be written
QUEUE = 1500  # entries, 30 s of sound: a slow card's longest pause


class Recorder:
    """Writes entries to segments in a folder until `close`."""

    def __init__(
        self,
        folder: Path,
        about: Mapping[str, str],
        *,
        limits: Limits | None = None,
        public_key: X25519PublicKey | None = None,
        segment_s: float = SEGMENT_S,
    ) -> None:
        """Recovers what is torn first. Raises InputError: BUSY (another process records here), BAD_INPUT (folder)."""
        self._folder, self._about, self._key, self._segment_s = folder, dict(about), public_key, segment_s
        self._limits = limits or Limits()
        self._queue: queue.Queue[Entry | None] = queue.Queue(QUEUE)
        self._writing: _Writing | None = None
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
        with self._survived("recovering recordings"):
            recover(folder)
        self._next = 1 + max((int(path.name.split("-")[0]) for path in folder.glob("[0-9]*-*.mcap*")), default=0)
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def put(self, entry: Entry) -> None:
        """Takes one entry, at once; counts it as lost where the disk has fallen 30 s behind."""
        try:
            self._queue.put_nowait(entry)
        except queue.Full:
            self.n_lost += 1

    @property
    def n_waiting(self) -> int:
        """Entries that are taken and not yet written."""
        return self._queue.qsize()

    def close(self) -> None:
        """Writes what waits and finishes the segment."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
        self._lock.close()

    def _run(self) -> None:
        while True:
            try:
                entry = self._queue.get(timeout=FLUSH_S)
            except queue.Empty:
                with self._survived("recording"):
                    self._tick()
                continue
            if entry is None:
                break
            written = False
            with self._survived("recording"):
                written = self._write(entry)
            self.n_written, self.n_lost = self.n_written + written, self.n_lost + (not written)
        with self._survived("finishing a recording"):
            self._finish()

    def _write(self, entry: Entry) -> bool:
        now_ns = time.monotonic_ns()
        if self._writing is None:
            if now_ns < self._retry_ns:
                return False
            prune(self._folder, self._limits)
            self._writing = _Writing(self._folder, self._next, self._about, self._key)
            self._next += 1
        self._writing.segment.write(entry)
        self._tick()
        if isinstance(entry, Wiped):  # what was recorded before can be deleted with the rest, at once
            self._finish()
        return True

    def _tick(self) -> None:
        writing = self._writing
        if writing is None:
            return
        self.bytes_written += writing.tick(time.monotonic_ns())
        if time.monotonic_ns() - writing.begun_ns > self._segment_s * 1e9:
            self._finish()

    def _finish(self) -> None:
        if self._writing:
            self.bytes_written += self._writing.finish()
            self._writing = None  # not before: what fails here is abandoned by `_survived`
            prune(self._folder, self._limits)

    @contextmanager
    def _survived(self, doing: str) -> Iterator[None]:
        """A disk that fails costs recordings, never the spine."""
        try:
            yield
        except (OSError, GlassesError) as error:
            log.warning("%s in %s: %s", doing, self._folder, error)
            writing, self._writing = getattr(self, "_writing", None), None
            self._retry_ns = time.monotonic_ns() + int(RETRY_S * 1e9)
            if writing:
                writing.abandon()
            if isinstance(error, OSError) and error.errno in FULL:
                self._make_room()

    def _make_room(self) -> None:
        """The disk is full whatever statvfs says: the oldest segment that may go, goes; then it is tried again."""
        oldest = next((segment for segment in segments(self._folder) if not segment.kept), None)
        if oldest:
            with suppress(OSError):
                oldest.path.unlink()
                self._retry_ns = 0
        with suppress(OSError):
            recover(self._folder)


class _Writing:
    """The segment being written, as NAME.part until it is whole."""

    def __init__(self, folder: Path, number: int, about: Mapping[str, str], key: X25519PublicKey | None) -> None:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        name = f"{number:08d}-{stamp}.mcap" + (".sealed" if key else "")
        self._part = folder / f"{name}.part"
        self._file = self._part.open("wb")
        self._out = EncryptedWriter(self._file, key) if key else self._file
        self.begun_ns = self._flushed_ns = self._synced_ns = time.monotonic_ns()
        offset_ns = time.time_ns() - self.begun_ns
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
        """Index, sync, final name; returns the bytes added."""
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
        """Leaves the part to `recover`; a file that still holds bytes for a full disk closes with an error."""
        with suppress(OSError):
            self._file.close()
