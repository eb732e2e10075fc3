"""The tools' store over a file that was damaged: one clear error, whenever it is found."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from glasses.errors import InputError, Reason
from glasses.tools.store import Due, ToolStore

NOW = datetime(2026, 5, 4, 10, 0)


def _rubbish(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    path.write_bytes(data)


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def _sql(statement: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with closing(sqlite3.connect(path)) as db, db:
            db.execute(statement)

    return damage


DAMAGES = {
    "rubbish": _rubbish,
    "truncated": _truncated,
    "no_table": _sql("DROP TABLE notes"),
    "no_time": _sql("UPDATE due SET at = 'noon'"),
    "no_json": _sql("INSERT INTO routines VALUES ('tea', '[[')"),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "tools.db"
    with closing(ToolStore(path)) as store:
        store.add_due(Due(0, "alarm", "up", NOW))
        store.add_note("a note", NOW)
    return path


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_store_of_a_damaged_file_is_not_opened(path: Path, damage: Callable[[Path], None]) -> None:
    damage(path)
    with pytest.raises(InputError) as error:
        ToolStore(path)
    assert error.value.reason is Reason.CORRUPT
    assert str(path) in str(error.value)


def test_store_damaged_while_it_is_open_raises_its_own_error(path: Path) -> None:
    with closing(ToolStore(path)) as store:
        _sql("UPDATE due SET at = 'noon'")(path)
        with pytest.raises(InputError, match="cannot be read"):
            store.open_dues()
        _sql("DROP TABLE notes")(path)
        for read in (store.notes, store.image):
            with pytest.raises(InputError, match="cannot be read"):
                read()
