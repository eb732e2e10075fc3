"""Boards: every shipped file loads, and each kind of bad file is refused with its name and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from glasses.errors import InputError, Reason
from glasses.system.board import board_names, load_board
from glasses.types import Display

GOOD = 'about = "a"\nsource = "b"\n'


def write(folder: Path, text: str) -> Path:
    (folder / "mine.toml").write_text(text)
    return folder


def test_load_board_of_every_shipped_name_succeeds() -> None:
    names = board_names()
    assert {"desktop", "pi5", "zero2w", "orin-nano", "frame", "even-g1"} <= set(names)
    for name in names:
        assert load_board(name).name == name


def test_load_board_panels_are_those_of_real_glasses() -> None:
    assert load_board("frame").display == Display(640, 400, 16)
    assert load_board("even-g1").display == Display(576, 136, 2)
    assert load_board().require_display().bits == 4
    assert load_board("even-g1").require_display().bits == 1
    assert load_board("zero2w").memory_mb == 512


def test_load_board_without_display_says_so() -> None:
    with pytest.raises(InputError, match=r"pi5.*no display"):
        load_board("pi5").require_display()


@pytest.mark.parametrize("name", ["glass-eye", "../boards/desktop", ""])
def test_load_board_unknown_name_lists_the_known(name: str) -> None:
    with pytest.raises(InputError, match=r"known are .*desktop") as caught:
        load_board(name)
    assert caught.value.reason is Reason.NOT_FOUND


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (GOOD + "memory_mb = -1", "memory_mb"),
        (GOOD + "cores = true", "cores"),
        (GOOD + 'mic_rate_hz = "16000"', "mic_rate_hz"),
        (GOOD + "colour = 3", "unknown key 'colour'"),
        (GOOD + "display = 3", "display"),
        (GOOD + "[display]\nwidth = 640\nheight = 400", r"display\.colours"),
        (GOOD + "[display]\nwidth = 640\nheight = 9999999\ncolours = 2", r"display\.height"),
        (GOOD + "[display]\nwidth = 640\nheight = 400\ncolours = 2\ndepth = 1", r"display\.depth"),
        ('about = "a"', "source"),
    ],
)
def test_load_board_bad_value_is_refused_by_file_and_key(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(InputError, match=rf"mine\.toml.*{key}") as caught:
        load_board("mine", write(tmp_path, text))
    assert caught.value.reason is Reason.BAD_INPUT


def test_load_board_file_that_is_not_toml_is_corrupt(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"mine\.toml: not a TOML") as caught:
        load_board("mine", write(tmp_path, "about = ["))
    assert caught.value.reason is Reason.CORRUPT


def test_load_board_oversized_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_board("mine", write(tmp_path, GOOD + "#" * 70_000))
    assert caught.value.reason is Reason.TOO_LARGE
