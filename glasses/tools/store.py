"""What tools keep between runs, in one SQLite file: timers, alarms, reminders, notes and routines."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from glasses.errors import InputError, Reason

Kind = Literal["timer", "alarm", "reminder"]
Image = Mapping[str, Mapping[int, tuple[Any, ...]]]  # table -> row number -> row
VERSION = 2
FILE_NAME = "tools.db"
MAX_OPEN = 1000  # of timers, alarms and reminders; notes
MAX_TEXT = 2000  # characters
MAX_ROUTINES = 50
_TABLES = """
CREATE TABLE due (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, text TEXT NOT NULL,
    at TEXT NOT NULL,           -- local time; of a timer, in which it would ring by the clock on the wall
    repeat TEXT,                -- daily, weekdays, weekly
    boot TEXT, boot_s REAL,     -- of a timer: which boot, and the second since then in which it rings
    said_at TEXT                -- when the wearer was told; NULL: still open
);
CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL, written TEXT NOT NULL);
"""
# Since version 2; the steps are JSON.
_ROUTINES = "CREATE TABLE routines (phrase TEXT PRIMARY KEY COLLATE NOCASE, steps TEXT NOT NULL);"


_KEPT = ("due", "notes", "routines")


@dataclass(frozen=True, slots=True)
class Due:
    """A timer, alarm or reminder. `at` is local, without a zone; `boot`, `boot_s`: see `ToolStore.add_due`."""

    id: int
    kind: Kind
    text: str
    at: datetime
    repeat: str | None = None
    boot: str | None = None
    boot_s: float | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """Something the wearer wanted remembered, and when they said it."""

    id: int
    text: str
    written: datetime


class ToolStore:
    """The file, open. Every change is on the disk when its method returns. Threads may share it."""

    def __init__(self, path: Path | str) -> None:
        """Opens or makes the file; ":memory:" keeps nothing.

        Raises InputError: CORRUPT for a file that is no such database or cannot be opened, UNSUPPORTED for one of a
        newer version.
        """
        self._lock = threading.Lock()
        try:
            if path != ":memory:":
                Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA synchronous=FULL")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version < VERSION:
                missing = (_TABLES if version == 0 else "") + _ROUTINES
                self._db.executescript(f"BEGIN;{missing}PRAGMA user_version={VERSION};COMMIT;")
        except sqlite3.DatabaseError as error:
            raise InputError(Reason.CORRUPT, f"{path} cannot be used as the tools' store: {error}") from error
        if version > VERSION:
            raise InputError(Reason.UNSUPPORTED, f"{path} was written by a newer version ({version})")
        try:
            for read in (self.image, self.open_dues, self.notes, self.routines):
                read()  # damage is found now, not by the wearer
        except InputError as error:
            self._db.close()
            raise InputError(Reason.CORRUPT, f"{path} cannot be used as the tools' store: {error}") from error

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @property
    def version(self) -> tuple[int, int]:
        """Another one after each change of what is kept, here or by another process."""
        with self._reading() as db:
            return db.execute("PRAGMA data_version").fetchone()[0], db.total_changes

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Raises InputError(CORRUPT) where the file, or what is in it, cannot be read."""
        with self._lock:
            try:
                yield self._db
            except (sqlite3.Error, ValueError, TypeError) as error:  # what was read is no time, no JSON
                raise InputError(Reason.CORRUPT, f"what was kept cannot be read: {error}") from error

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """One transaction. Raises InputError(NO_SPACE) where the disk does not take it."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise InputError(Reason.NO_SPACE, f"it could not be written down: {error}") from error
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    def add_due(self, due: Due) -> Due:
        """Keeps it, and returns it with its id.

        A timer runs by the seconds since the machine started (`boot_s`), as the clock on the wall may be set meanwhile;
        after a restart of the machine (another `boot`) `at` decides. Raises InputError where there are too many.
        """
        text = due.text[:MAX_TEXT]
        with self._changing() as db:
            (count,) = db.execute("SELECT count(*) FROM due WHERE said_at IS NULL").fetchone()
            if count >= MAX_OPEN:
                raise InputError(Reason.BAD_INPUT, f"there are {count} timers and reminders already")
            row = (due.kind, text, due.at.isoformat(), due.repeat, due.boot, due.boot_s)
            made = db.execute("INSERT INTO due (kind, text, at, repeat, boot, boot_s) VALUES (?,?,?,?,?,?)", row)
            return Due(int(made.lastrowid or 0), due.kind, text, due.at, due.repeat, due.boot, due.boot_s)

    def open_dues(self, kind: Kind | None = None) -> list[Due]:
        """What the wearer has not been told yet, soonest first."""
        query = "SELECT id, kind, text, at, repeat, boot, boot_s FROM due WHERE said_at IS NULL"
        with self._reading() as db:
            rows = db.execute(query + " AND kind = ?" if kind else query, (kind,) if kind else ()).fetchall()
            found = [Due(row[0], row[1], row[2], datetime.fromisoformat(row[3]), *row[4:]) for row in rows]
        return sorted(found, key=lambda due: due.at)

    def mark_said(self, due: Due, now: datetime, next_at: datetime | None = None) -> None:
        """The wearer was told; a repeated one is due again at `next_at`. Telling twice is not possible after this."""
        with self._changing() as db:
            if next_at:
                db.execute("UPDATE due SET at = ? WHERE id = ?", (next_at.isoformat(), due.id))
            else:
                db.execute("UPDATE due SET said_at = ? WHERE id = ?", (now.isoformat(), due.id))

    def remove_dues(self, dues: list[Due]) -> None:
        with self._changing() as db:
            db.executemany("DELETE FROM due WHERE id = ?", [(due.id,) for due in dues])

    def add_note(self, text: str, now: datetime) -> Note:
        """Keeps a note. Raises InputError where there are too many."""
        with self._changing() as db:
            (count,) = db.execute("SELECT count(*) FROM notes").fetchone()
            if count >= MAX_OPEN:
                raise InputError(Reason.BAD_INPUT, f"there are {count} notes already: forget some first")
            made = db.execute("INSERT INTO notes (text, written) VALUES (?,?)", (text[:MAX_TEXT], now.isoformat()))
            return Note(int(made.lastrowid or 0), text[:MAX_TEXT], now)

    def notes(self) -> list[Note]:
        """All notes, newest first."""
        with self._reading() as db:
            rows = db.execute("SELECT id, text, written FROM notes ORDER BY id DESC").fetchall()
            return [Note(id, text, datetime.fromisoformat(written)) for id, text, written in rows]

    def remove_notes(self, notes: list[Note]) -> None:
        with self._changing() as db:
            db.executemany("DELETE FROM notes WHERE id = ?", [(note.id,) for note in notes])

    def put_routine(self, phrase: str, steps: Sequence[str]) -> None:
        """Keeps a routine, in place of one with the same phrase. Raises InputError where there are too many."""
        with self._changing() as db:
            (count,) = db.execute("SELECT count(*) FROM routines").fetchone()
            if count >= MAX_ROUTINES:
                raise InputError(Reason.BAD_INPUT, f"there are {count} routines already: forget some first")
            db.execute("INSERT OR REPLACE INTO routines VALUES (?,?)", (phrase, json.dumps(list(steps))))

    def routines(self) -> list[tuple[str, tuple[str, ...]]]:
        """Phrase and steps of all routines, in the order of their phrases."""
        with self._reading() as db:
            rows = db.execute("SELECT phrase, steps FROM routines ORDER BY phrase").fetchall()
            return [(phrase, tuple(json.loads(steps))) for phrase, steps in rows]

    def remove_routine(self, phrase: str) -> None:
        with self._changing() as db:
            db.execute("DELETE FROM routines WHERE phrase = ?", (phrase,))

    def image(self) -> Image:
        """All rows as they are now, to find out what a call changes."""
        with self._reading() as db:
            return {table: {row[0]: row[1:] for row in db.execute(f"SELECT rowid, * FROM {table}")} for table in _KEPT}

    def revert(self, before: Image, after: Image) -> None:
        """Undoes what changed between two images, and nothing else."""
        with self._changing() as db:
            for table in _KEPT:
                old, new = before[table], after[table]
                changed = [rowid for rowid in {*old, *new} if old.get(rowid) != new.get(rowid)]
                db.executemany(f"DELETE FROM {table} WHERE rowid = ?", [(rowid,) for rowid in changed])
                back = [old[rowid] for rowid in changed if rowid in old]
                if back:
                    db.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * len(back[0]))})", back)
