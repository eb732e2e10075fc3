from __future__ import annotations

import numpy as np

from glasses.encoders.text_order import rows_in_order
from glasses.types import Float32Array


def box(left: float, top: float, width: float, height: float = 20.0) -> list[list[float]]:
    return [[left, top], [left + width, top], [left + width, top + height], [left, top + height]]


def turned(boxes: list[list[list[float]]], degrees: float) -> Float32Array:
    a = np.radians(degrees)
    return (np.array(boxes) @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])).astype(np.float32)


MENU = [box(300, 0, 60), box(0, 2, 90), box(0, 40, 120), box(300, 41, 60), box(0, 80, 60), box(300, 79, 60)]
COLUMNS = [
    box(0, 0, 500, 40),
    *(box(0, 60 + 30 * i, 200) for i in range(4)),
    *(box(260, 60 + 30 * i, 200) for i in range(4)),
]


def test_rows_of_nothing_are_none() -> None:
    assert rows_in_order(np.zeros((0, 4, 2), np.float32)) == []


def test_rows_of_a_menu_have_their_prices() -> None:
    assert rows_in_order(turned(MENU, 0)) == [[1, 0], [2, 3], [4, 5]]


def test_rows_of_a_tilted_menu_are_the_same() -> None:
    for degrees in (-25, -8, 8, 25):
        assert rows_in_order(turned(MENU, degrees)) == [[1, 0], [2, 3], [4, 5]]


def test_rows_of_columns_are_read_one_column_after_the_other_below_the_headline() -> None:
    shuffled = [5, 0, 8, 2, 3, 7, 1, 6, 4]
    found = rows_in_order(turned([COLUMNS[i] for i in shuffled], 3))
    assert [[shuffled[i] for i in row] for row in found] == [[i] for i in range(9)]
