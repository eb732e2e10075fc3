"""`glasses config`: where the files are, what they say, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from glasses.__main__ import main
from glasses.assistant import device_settings


@pytest.fixture(autouse=True)
def user_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GLASSES_CONFIG_DIRS", str(tmp_path / "system"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("GLASSES_BOARD", raising=False)
    (tmp_path / "glasses").mkdir()
    return tmp_path / "glasses" / "config.toml"


def test_config_path_lists_the_files_and_which_exist(
    user_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    user_file.write_text("")
    assert main(["config", "path"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/system/glasses.toml (does not exist)\n{user_file}\n"


def test_config_show_says_where_each_value_comes_from(user_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    user_file.write_text('activation = "speech"\n[recording]\nfolder = "day"\n')
    assert main(["config", "show"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["activation", '"speech"', f"({user_file})"] for line in lines)
    assert any(line.split() == ["memory.minutes", "30.0", "(built", "in)"] for line in lines)
    assert main(["config", "show", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["recording.folder"] == {"value": str(user_file.parent / "day"), "source": str(user_file)}
    assert shown["audio.voice"] == {"value": True, "source": "built in"}


def test_config_check_says_what_is_wrong(user_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check"]) == 0
    assert capsys.readouterr().out == "valid: no file, all is built in\n"
    user_file.write_text("volume = 11\n")
    assert main(["config", "check"]) == 2
    assert f"{user_file}: unknown key 'volume'" in capsys.readouterr().err
    assert main(["run"]) == 2, "glasses run reads the same files"
    assert "unknown key 'volume'" in capsys.readouterr().err


def test_config_show_tells_what_was_set_by_voice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file = tmp_path / "state" / "glasses" / "settings.json"
    device_settings.save(file, device_settings.DeviceSettings(volume=40))
    assert main(["config", "show", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["volume"] == {"value": 40, "source": f"set by voice: {file}"}
    assert "speed" not in shown
