"""An hour of wear, as fast as it goes: each budget of evaluation/bench/soak.py is asserted from this one run."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from glasses.evaluation.bench import soak

pytestmark = [pytest.mark.models, pytest.mark.slow]
MINUTES = 60


def test_soak_one_hour_keeps_every_budget_and_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "glasses", "bench", "soak", "--minutes", str(MINUTES), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)  # its memory is its own
    assert done.stdout, done.stderr[-2000:]
    figures = json.loads(done.stdout)
    with capsys.disabled():
        print(f"\n{figures}")
    assert set(soak.BUDGETS) <= set(figures), "a budget of nothing that was measured"
    assert figures["over"] == []
    assert figures["recording_lost"] == 0
    assert figures["turns"] >= MINUTES
    assert done.returncode == 0
