"""The index of documents: one SQLite file in the state folder, brought up to date before each search.

It finds sentences by their words (FTS5, BM25) and, where there is a sentence encoder, by their meaning. Nothing is in
it that is not in the documents, so it may be deleted at any time, by `glasses wipe` too: it is made anew.
"""

from __future__ import annotations

import logging
import math
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np

from glasses.errors import InputError, Reason
from glasses.tools.documents.passages import HTML, MARKDOWN, SUFFIXES, passages_of, text_of
from glasses.tools.documents.wording import query_of
from glasses.types import Float32Array

log = logging.getLogger(__name__)
VERSION = 2
MAX_FILES = 5000
MAX_DEPTH = 12
FOUND = 20  # passages of a search by words
MEANING_PER_WORD = 0.02  # of BM25's score, beside the cosine of two vectors; chosen on models/eval/documents
NEAREST = 0.39  # cosine and words together: below, a sentence has nothing to do with the question (the same)
MAX_VECTORS = 200_000  # sentences that are searched by meaning: 150 MB on the disk
_AT_ONCE = 32  # sentences that are encoded within one transaction, for which a search waits
_ROWS = 4096  # vectors in memory at once
_WEIGHTS = "4.0, 3.0, 1.0"  # of words in the file's name, the headings, the text
_TABLES = """
CREATE TABLE files (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, mtime_ns INTEGER NOT NULL, size INTEGER NOT NULL,
                    problem TEXT NOT NULL DEFAULT '');
CREATE TABLE passages (id INTEGER PRIMARY KEY, file INTEGER NOT NULL);
CREATE INDEX passages_of_file ON passages (file);
CREATE TABLE sentences (id INTEGER PRIMARY KEY, passage INTEGER NOT NULL, text TEXT NOT NULL, vector BLOB);
CREATE INDEX sentences_of_passage ON sentences (passage);
CREATE INDEX sentences_to_encode ON sentences (id) WHERE vector IS NULL;
CREATE TABLE encoder (space TEXT NOT NULL);
CREATE VIRTUAL TABLE words USING fts5 (name, heading, text, tokenize = 'porter unicode61 remove_diacritics 2');
"""


@dataclass(frozen=True, slots=True)
class Found:
    """A passage that a search found, best first: `score` is higher where it fits better.

    `sentence` is the one of its sentences that fits best, "" where that is not known.
    """

    path: Path
    heading: str
    text: str
    score: float
    sentence: str = ""


class Encoder(Protocol):
    """Text -> a vector of length 1. `space` changes with the encoder."""

    space: str

    def encode(self, text: str) -> Float32Array:
        """float32 (n,)."""
        ...


class DocumentIndex:
    """Any thread may use it. It holds no file open between two calls."""

    def __init__(
        self, path: Path, folders: Sequence[Path], open_encoder: Callable[[], Encoder | None] = lambda: None
    ) -> None:
        """`open_encoder` is called once, when it is needed first; without an encoder words alone are searched."""
        self._path, self._folders = path, tuple(folders)
        self._encoder = cache(open_encoder)
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

    def encode(self, until_s: float = math.inf, *, stop: Callable[[], bool] = lambda: False) -> bool:
        """Encodes sentences that are new, up to the time `until_s` (time.monotonic); whether all are.

        Raises InputError(NO_SPACE), ModelError.
        """
        encoder = self._encoder()
        if encoder is None:
            return True
        while time.monotonic() < until_s and not stop():
            with self._lock, self._opened() as db:
                if db.execute("SELECT space FROM encoder").fetchall() != [(encoder.space,)]:
                    db.execute("DELETE FROM encoder")
                    db.execute("INSERT INTO encoder VALUES (?)", (encoder.space,))
                    db.execute("UPDATE sentences SET vector = NULL")
                query = "SELECT id, text FROM sentences WHERE vector IS NULL AND id <= ? ORDER BY id LIMIT ?"
                rows = db.execute(query, (MAX_VECTORS, _AT_ONCE)).fetchall()
                if not rows:
                    return True
                made = [(encoder.encode(text).astype(np.float16).tobytes(), id) for id, text in rows]
                db.executemany("UPDATE sentences SET vector = ? WHERE id = ?", made)
        return False

    def search(self, question: str) -> list[Found]:
        """The passages that fit a question, best first; none where nothing has to do with it."""
        encoder = self._encoder()
        with self._lock, self._opened() as db:
            by_words = self._by_words(db, question)
            if encoder is None or _has_new(db):
                return [one for one, _ in by_words]  # some have no vector yet, which must not hide them
            return self._by_meaning(db, encoder.encode(question), {passage: one.score for one, passage in by_words})

    def _by_words(self, db: sqlite3.Connection, question: str) -> list[tuple[Found, int]]:
        """With the numbers of the passages."""
        words = query_of(question)
        if not words:
            return []
        rows = db.execute(
            f"SELECT files.path, words.heading, words.text, -bm25(words, {_WEIGHTS}) AS score, words.rowid FROM words"
            " JOIN passages ON passages.id = words.rowid JOIN files ON files.id = passages.file"
            " WHERE words MATCH ? ORDER BY score DESC LIMIT ?",
            (" OR ".join(f'"{word}"' for word in words), FOUND),
        ).fetchall()
        return [(Found(Path(row[0]), *row[1:4]), row[4]) for row in rows]

    def _by_meaning(self, db: sqlite3.Connection, asked: Float32Array, by_words: dict[int, float]) -> list[Found]:
        """The best sentence of each of the best passages."""
        best: dict[int, tuple[float, str]] = {}
        cursor = db.execute("SELECT passage, text, vector FROM sentences WHERE vector IS NOT NULL")
        while rows := cursor.fetchmany(_ROWS):
            vectors = np.frombuffer(b"".join(row[2] for row in rows), np.float16).reshape(len(rows), -1)
            for (passage, text, _), score in zip(rows, vectors.astype(np.float32) @ asked, strict=True):
                total = float(score) + MEANING_PER_WORD * by_words.get(passage, 0.0)
                if total >= NEAREST and total > best.get(passage, (0.0, ""))[0]:
                    best[passage] = (total, text)
        found: list[Found] = []
        for passage, (score, sentence) in sorted(best.items(), key=lambda one: -one[1][0])[:FOUND]:
            row = db.execute(
                "SELECT files.path, words.heading, words.text FROM words JOIN passages ON passages.id = words.rowid"
                " JOIN files ON files.id = passages.file WHERE words.rowid = ?",
                (passage,),
            ).fetchone()
            # a sentence is encoded with what it stands under, which is no part of a quotation
            found.append(Found(Path(row[0]), row[1], row[2], score, sentence.split(": ", 1)[1]))
        return found

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
            words = (passage, name, one.heading, one.text)
            db.execute("INSERT INTO words (rowid, name, heading, text) VALUES (?,?,?,?)", words)
            under = (one.heading or name).replace(": ", " ")
            sentences = [(passage, f"{under}: {sentence}") for sentence in one.text.split("\n")]
            db.executemany("INSERT INTO sentences (passage, text) VALUES (?,?)", sentences)

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


def _has_new(db: sqlite3.Connection) -> bool:
    """Whether a sentence is to be encoded yet."""
    query = "SELECT 1 FROM sentences WHERE vector IS NULL AND id <= ? LIMIT 1"
    return db.execute(query, (MAX_VECTORS,)).fetchone() is not None


def _forget(db: sqlite3.Connection, path: str) -> None:
    found = db.execute("SELECT id FROM files WHERE path = ?", (path,)).fetchone()
    if found:
        for table, key in (("words", "rowid"), ("sentences", "passage")):
            db.execute(f"DELETE FROM {table} WHERE {key} IN (SELECT id FROM passages WHERE file = ?)", found)
        db.execute("DELETE FROM passages WHERE file = ?", found)
        db.execute("DELETE FROM files WHERE id = ?", found)
