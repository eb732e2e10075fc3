"""That the wearer muted outlives the process; the flag is this user's plain file or is refused."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from glasses.errors import InputError, Reason
from glasses.system import mute_file


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "glasses"


def test_mute_file_set_is_kept_until_it_is_cleared(folder: Path) -> None:
    assert not mute_file.is_kept()
    mute_file.keep(True)
    assert mute_file.is_kept()
    assert (folder / "glasses-muted").stat().st_mode & 0o777 == 0o600
    mute_file.keep(False)
    assert not mute_file.is_kept()
    mute_file.keep(False)


def test_mute_file_of_systemd_lies_in_the_state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "var"))
    mute_file.keep(True)
    assert (tmp_path / "var" / "glasses-muted").exists()


@pytest.mark.parametrize("kind", ["symbolic", "hard"])
def test_mute_file_linked_is_refused_and_its_target_kept(
    folder: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder.mkdir()
    target, link = folder / "precious", folder / "glasses-muted"
    target.write_text("keep me")
    link.symlink_to(target) if kind == "symbolic" else link.hardlink_to(target)
    with pytest.raises(InputError) as error:
        mute_file.is_kept()
    assert error.value.reason is Reason.REFUSED
    with caplog.at_level(logging.ERROR):
        mute_file.keep(True)
    assert "a restart will not know it" in caplog.text
    assert target.read_text() == "keep me"


def test_mute_file_folder_refuses_is_logged(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.write_text("no folder")
    with caplog.at_level(logging.ERROR):
        mute_file.keep(True)
    assert "a restart will not know it" in caplog.text
