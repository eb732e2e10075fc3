"""One client of `glasses serve` beside others that take all they can get; see `fair_use.py`."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from tests.faults import fair_use

pytestmark = pytest.mark.models


def test_serve_beside_a_crowd_answers_a_question_and_a_wearer_before_the_crowd(capsys: pytest.CaptureFixture) -> None:
    """Times are printed; what is asserted is the order. The long prompt alone takes over ten times as long as what is
    answered beside it.
    """
    result = fair_use.measure(rounds=1)
    with capsys.disabled():
        print(f"\nbeside a crowd: {json.dumps({**asdict(result), 'ratio': round(result.ratio, 1)})}")
    assert result.long_ran_on
    assert result.errors == ""
    assert result.wearer_beside_s < fair_use.MANY * result.wearer_alone_s
    assert result.question_beside_s < fair_use.MANY * result.question_alone_s
