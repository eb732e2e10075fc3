"""A short run of `fuzz_service`: requests generated from the published schema crash nothing and fill no memory."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("schemathesis", reason="needs the extra fuzz (make test-fuzz)")

from tests.fuzz.fuzz_service import MAX_GROWTH_BYTES, fuzz

pytestmark = [pytest.mark.models, pytest.mark.fuzz]


def test_service_requests_generated_from_the_schema_harm_nothing(tmp_path: Path) -> None:
    outcome = fuzz(tmp_path, examples=40)
    assert outcome.exit_code == 0, outcome.output
    assert outcome.answers_after
    assert outcome.growth_bytes < MAX_GROWTH_BYTES
