"""The index of documents: one SQLite file (FTS5) in the state folder, brought up to date before each search.

Nothing is in it that is not in the documents, so it may be deleted at any time, by `glasses wipe` too: it is made anew.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from glasses.errors import InputError, Reason
from glasses.tools.documents.passages import HTML, MARKDOWN, SUFFIXES, passages_of, text_of
from glasses.tools.documents.wording import query_of

log = logging.getLogger(__name__)
VERSION = 1
MAX_FILES = 5000
MAX_DEPTH = 12
FOUND = 20  # passages of a search
_WEIGHTS = "4.0, 3.0, 1.0"  # of words in the file's name, the headings, the text
_TABLES = """
CREATE TABLE files (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, mtime_ns INTEGER NOT NULL, size INTEGER NOT NULL,
                    problem TEXT NOT NULL DEFAULT '');
CREATE TABLE passages (id INTEGER PRIMARY KEY, file INTEGER NOT NULL);
CREATE INDEX passages_of_file ON passages (file);
CREATE VIRTUAL TABLE words USING fts5 (name, heading, text, tokenize = 'porter unicode61 remove_diacritics 2');
"""


@dataclass(frozen=True, slots=True)
class Found:
    """A passage that a search found, best first: `score` is higher where it fits better (BM25)."""

    path: Path
    heading: str
    text: str
    score: float


class DocumentIndex:
    """Any thread may use it. It holds no file open between two calls."""

    def __init__(self, path: Path, folders: Sequence[Path]) -> None:
        self._path, self._folders = path, tuple(folders)
        self._lock = threading.Lock()

    def update(self) -> int:
        """Reads what is new or changed and forgets what is gone; returns how many files are in the index.

        Raises InputError(NO_SPACE) where the index cannot be written.
        """
        with self._lock, self._opened() as db:
            known = {row[1]: row for row in db.execute("SELECT id, path, mtime_ns, size FROM files")}
            there = {}
            for path, status in self._files():
                there[path] = status
                row = known.get(path)
                if row is None or (row[2], row[3]) != (status.st_mtime_ns, status.st_size):
                    self._read(db, path, status)
            for path in known.keys() - there.keys():
                _forget(db, path)
            return len(there)

    def search(self, question: str) -> list[Found]:
        """The passages with the words of a question, best first; none where no word of it is in them."""
        words = query_of(question)
        if not words:
            return []
        query = " OR ".join(f'"{word}"' for word in words)
        with self._lock, self._opened() as db:
            rows = db.execute(
                f"SELECT files.path, words.heading, words.text, -bm25(words, {_WEIGHTS}) AS score FROM words"
                " JOIN passages ON passages.id = words.rowid JOIN files ON files.id = passages.file"
                " WHERE words MATCH ? ORDER BY score DESC LIMIT ?",
                (query, FOUND),
            ).fetchall()
        return [Found(Path(path), heading, text, score) for path, heading, text, score in rows]

    def problems(self) -> list[str]:
        """What could not be read, and why."""
        with self._lock, self._opened() as db:
            return [row[0] for row in db.execute("SELECT problem FROM files WHERE problem != '' ORDER BY path")]

    def _read(self, db: sqlite3.Connection, path: str, status: os.stat_result) -> None:
        _forget(db, path)
        problem = ""
        passages = []
        try:
            is_markdown = Path(path).suffix.lower() in (*MARKDOWN, *HTML)
            passages = list(passages_of(text_of(Path(path)), markdown=is_markdown))
        except InputError as error:
            problem = str(error)
            log.info("documents: %s", problem)
        row = (path, status.st_mtime_ns, status.st_size, problem)
        file = db.execute("INSERT INTO files (path, mtime_ns, size, problem) VALUES (?,?,?,?)", row).lastrowid
        name = Path(path).stem.replace("-", " ").replace("_", " ")
        for one in passages:
            passage = db.execute("INSERT INTO passages (file) VALUES (?)", (file,)).lastrowid
            db.execute(
                "INSERT INTO words (rowid, name, heading, text) VALUES (?,?,?,?)",
                (passage, name, one.heading, one.text),
            )

    def _files(self) -> Iterator[tuple[str, os.stat_result]]:
        """Documents in the folders, those in hidden folders and behind links not; MAX_FILES at most."""
        n_files = 0
        for folder in self._folders:
            for at, folders, names in os.walk(folder):
                depth = len(Path(at).relative_to(folder).parts)
                folders[:] = sorted(one for one in folders if not one.startswith(".")) if depth < MAX_DEPTH else []
                for name in sorted(names):
                    if name.startswith(".") or not name.lower().endswith(SUFFIXES):
                        continue
                    path = os.path.join(at, name)
                    try:
                        status = os.stat(path, follow_symlinks=False)
                        path.encode()
                    except (OSError, UnicodeError):
                        continue
                    if not os.path.isfile(path) or os.path.islink(path):
                        continue
                    n_files += 1
                    if n_files > MAX_FILES:
                        log.warning("documents: over %d files: the rest is not searched", MAX_FILES)
                        return
                    yield path, status

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """One transaction on the file, made anew where it is none. Raises InputError(NO_SPACE)."""
        try:
            with closing(self._connected()) as db:
                db.execute("BEGIN IMMEDIATE")
                yield db
                db.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            raise InputError(Reason.NO_SPACE, f"{self._path}: the index cannot be used: {error}") from error

    def _connected(self) -> sqlite3.Connection:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for _ in range(2):
            db = sqlite3.connect(self._path, isolation_level=None, timeout=10.0)
            try:
                db.execute("PRAGMA secure_delete = ON")
                version = db.execute("PRAGMA user_version").fetchone()[0]
                if version == VERSION:
                    return db
                if version == 0 and not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    os.chmod(self._path, 0o600)
                    db.executescript(f"BEGIN;{_TABLES}PRAGMA user_version={VERSION};COMMIT;")
                    return db
            except sqlite3.DatabaseError as error:
                log.warning("%s is no index: it is made anew (%s)", self._path, error)
            db.close()
            self._path.unlink()  # of another version, or none: all that it held is in the documents
        raise sqlite3.DatabaseError("it cannot be made anew")


def _forget(db: sqlite3.Connection, path: str) -> None:
    found = db.execute("SELECT id FROM files WHERE path = ?", (path,)).fetchone()
    if found:
        db.execute("DELETE FROM words WHERE rowid IN (SELECT id FROM passages WHERE file = ?)", found)
        db.execute("DELETE FROM passages WHERE file = ?", found)
        db.execute("DELETE FROM files WHERE id = ?", found)
