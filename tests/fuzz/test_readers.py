"""A short run of each fuzz target, the same inputs every time; `tests.fuzz.fuzz_readers` is the long one."""

from __future__ import annotations

import itertools

import pytest

from tests.fuzz.mutator import mutated
from tests.fuzz.target import Target, tried
from tests.fuzz.targets import TARGETS

INPUTS = 150
NAMES = [pytest.param(name, marks=[pytest.mark.models] if TARGETS[name].needs_models else []) for name in TARGETS]


@pytest.mark.parametrize("name", NAMES)
def test_reader_of_bad_input_gives_a_value_or_refuses_in_words(name: str) -> None:
    target = TARGETS[name]
    for data in itertools.islice(mutated(target.seeds(), target.max_bytes, seed=7), INPUTS):
        finding = tried(target, data)
        assert finding is None or finding.signature == "slow", f"{data!r}\n{finding.report}"  # a busy machine is slow


@pytest.mark.parametrize("name", NAMES)
def test_reader_of_its_first_seed_gives_a_value(name: str) -> None:
    TARGETS[name].read(TARGETS[name].seeds()[0])


def test_tried_exception_that_is_no_error_of_ours_is_a_finding() -> None:
    def read(data: bytes) -> None:
        raise IndexError(data[5])

    finding = tried(Target(read, list), b"abc")
    assert finding is not None
    assert finding.signature.startswith("IndexError in test_readers.py:read")
