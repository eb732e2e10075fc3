from __future__ import annotations

import json
from dataclasses import replace

import pytest

from glasses.__main__ import main
from glasses.commands import models_recommend
from glasses.commands.models_recommend import Candidate, recommend
from glasses.system.memory_limit import MemoryLimit

MACHINE = MemoryLimit(4000.0, "this machine")
POCKET = Candidate("pocket", 45, 520.0, 268.0, pulled=True, fits=True, first_sound_ms=350.0, how="measured")
DESK = Candidate("desk", 73, 944.0, 660.0, pulled=False, fits=True, first_sound_ms=500.0, how="scaled from pocket")
LARGE = Candidate("large", 90, 2219.0, 1290.0, pulled=False, fits=True, first_sound_ms=900.0, how="scaled from pocket")


def test_recommend_takes_the_best_that_fits_and_is_soon_enough() -> None:
    assert recommend([POCKET, DESK, LARGE], MACHINE)[0] is LARGE


def test_recommend_leaves_out_what_answers_late_and_says_so() -> None:
    late = replace(LARGE, first_sound_ms=1400.0)
    chosen, why = recommend([POCKET, DESK, late], MACHINE)
    assert chosen is DESK
    assert "large would answer after 1400 ms, over 1000" in why


def test_recommend_leaves_out_what_does_not_fit_and_says_so() -> None:
    chosen, why = recommend([POCKET, replace(DESK, fits=False), replace(LARGE, fits=False)], MemoryLimit(950, "this"))
    assert chosen is POCKET
    assert "desk does not fit: 750 of the 950 MB" in why


def test_recommend_on_a_slow_and_small_board_takes_the_smallest_and_warns() -> None:
    slow = replace(POCKET, first_sound_ms=1500.0)
    chosen, why = recommend([slow, replace(DESK, fits=False)], MemoryLimit(460, "this machine"))
    assert chosen is slow
    assert "nothing smaller is there" in why
    assert "end other programs" in why


def test_recommend_without_anything_to_measure_with_goes_by_memory() -> None:
    rows = [replace(one, first_sound_ms=None, how="", pulled=False) for one in (POCKET, DESK)]
    chosen, why = recommend(rows, MACHINE)
    assert chosen.name == "desk"
    assert "memory alone decides" in why


@pytest.mark.models
def test_recommend_command_measures_what_is_pulled_and_fits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(models_recommend, "memory_limit", lambda: MemoryLimit(950.0, "this machine"))
    assert main(["models", "recommend", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["recommended"] == "pocket"
    assert found["measured"].keys() == {"pocket"}
    assert [one["name"] for one in found["bundles"]] == ["pocket", "desk", "large"]
    pocket, desk, _ = found["bundles"]
    assert (pocket["how"], desk["how"]) == ("measured", "scaled from pocket")
    assert desk["first_sound_ms"] > pocket["first_sound_ms"] > 0
    assert not desk["fits"]
