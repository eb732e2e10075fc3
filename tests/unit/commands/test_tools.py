"""`glasses tools` lists the tools and calls one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from glasses.__main__ import main


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)


def test_tools_keep_what_was_set_between_calls(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tools", "remember", "text=the code is nine"]) == 0
    assert main(["tools", "recall", "about=code", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["said"] == "You said: the code is nine."


def test_tools_list_has_schemas_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tools", "--json"]) == 0
    assert {one["name"] for one in json.loads(capsys.readouterr().out)} >= {"set_timer", "take_picture"}


@pytest.mark.parametrize(
    "argv", [["nosuch"], ["convert", "amount=x", "unit=mile", "to=foot"], ["spell", "cat"], ["mute"]]
)
def test_tools_wrong_call_is_one_line(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tools", *argv]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
