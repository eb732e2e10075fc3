"""hardware/trial.sh, start by start: when an update stays and when the previous version returns. No systemd."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

TRIAL = Path(__file__).parents[3] / "hardware/trial.sh"
CRASHED, NO_MICROPHONE, TOLD_TO = ("exited", "1"), ("exited", "2"), ("killed", "TERM")
HUNG = ("killed", "ABRT")


class Board:
    """A board: the programs in its /opt, and the calls that systemd makes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("glasses", "glasses.old"):
            (root / "opt" / name / "hardware").mkdir(parents=True)
            (root / "opt" / name / "hardware/glasses.service").write_text(name)
        (root / "etc/systemd/system").mkdir(parents=True)
        self.mark.write_text("0 0 0\n")

    @property
    def mark(self) -> Path:
        return self.root / "opt/glasses/.trial"

    @property
    def runs(self) -> str:
        """Which program would be started."""
        return (self.root / "opt/glasses/hardware/glasses.service").read_text()

    def call(self, word: str, ended: tuple[str, str] = ("", "")) -> int:
        env = {**os.environ, "GLASSES_ROOT": str(self.root), "EXIT_CODE": ended[0], "EXIT_STATUS": ended[1]}
        return subprocess.run(["sh", TRIAL, word], env=env, capture_output=True, timeout=60, check=False).returncode

    def start(self, ended: tuple[str, str] | None, *, hears: bool = False, after_s: int = 0) -> None:
        """One start, and how it ended `after_s` after it heard; None is power that was cut."""
        assert self.call("start") == 0
        if hears:
            assert self.call("ready") == 0
            if self.mark.exists():
                *counts, heard_s = self.mark.read_text().split()
                self.mark.write_text(" ".join([*counts, str(int(heard_s) - after_s)]) + "\n")
        if ended:
            assert self.call("stopped", ended) == 0


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


# Power that is cut while it hears says nothing of the program; before that a board may reset because of it.
@pytest.mark.parametrize(
    ("ended", "hears"), [(CRASHED, False), (HUNG, False), (None, False), (CRASHED, True), (HUNG, True)]
)
def test_trial_two_crashes_bring_the_previous_version_back(
    board: Board, ended: tuple[str, str] | None, hears: bool
) -> None:
    """The third start runs the previous version, and no later crash changes that."""
    for _ in range(2):
        board.start(ended, hears=hears)
        assert board.runs == "glasses"
    board.call("start")
    assert board.runs == "glasses.old"
    assert (board.root / "etc/systemd/system/glasses.service").read_text() == "glasses.old"
    assert (board.root / "opt/glasses.failed/hardware/glasses.service").read_text() == "glasses"
    for _ in range(5):  # and that one stays, whatever happens
        board.start(CRASHED)
    assert board.runs == "glasses.old"


@pytest.mark.parametrize(("ended", "hears"), [(NO_MICROPHONE, False), (TOLD_TO, False), (TOLD_TO, True), (None, True)])
def test_trial_end_that_is_no_crash_does_not_count(board: Board, ended: tuple[str, str] | None, hears: bool) -> None:
    for _ in range(10):
        board.start(ended, hears=hears)
    assert board.runs == "glasses"
    assert board.mark.exists(), "still on trial"


def test_trial_version_that_listened_for_a_minute_is_proven(board: Board) -> None:
    board.start(CRASHED)
    board.start(CRASHED, hears=True, after_s=61)
    assert not board.mark.exists()
    for _ in range(5):
        board.start(CRASHED)
    assert board.runs == "glasses"


def test_trial_without_a_previous_version_keeps_the_new_one(board: Board) -> None:
    (board.root / "opt/glasses.old").rename(board.root / "elsewhere")
    for _ in range(4):
        board.start(CRASHED)
    assert board.runs == "glasses"
    assert board.call("nonsense") == 2


def test_trial_power_cut_between_two_moves_leaves_the_previous_version(board: Board) -> None:
    (board.root / "opt/glasses").rename(board.root / "opt/glasses.failed")
    board.call("start")
    assert board.runs == "glasses.old"
