"""Every case of the wild corpus comes out right."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wild.case import Case, all_cases


def _as_param(case: Case) -> object:
    marks = [pytest.mark.models, *(getattr(pytest.mark, mark) for mark in case.marks)]
    if case.why_not:
        marks.append(pytest.mark.xfail(reason=case.why_not, strict=True))
    return pytest.param(case, id=f"{case.kind}-{case.name}", marks=marks)


@pytest.mark.parametrize("case", [_as_param(case) for case in all_cases()])
def test_wild_case_comes_out_right(case: Case, tmp_path: Path) -> None:
    came = case.came(tmp_path)
    assert case.is_right(came), f"right: {case.right}\ncame: {came}"
