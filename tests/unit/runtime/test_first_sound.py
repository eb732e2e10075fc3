from __future__ import annotations

from contextlib import closing

import pytest

from glasses.runtime import first_sound
from glasses.runtime.bundle import open_bundle
from glasses.runtime.first_sound import FirstSound


def test_expected_ms_adds_the_stages() -> None:
    one = FirstSound("pocket", 100, hear=10.0, read=20.0, write=30.0, speak=40.0)
    assert one.expected_ms() == pytest.approx(first_sound.SILENCE_MS + 100)


def test_expected_ms_of_a_larger_backbone_grows_by_its_part_alone() -> None:
    one = FirstSound("pocket", 100, hear=10.0, read=20.0, write=30.0, speak=40.0)
    ten_times = one.expected_ms(1000) - one.expected_ms()
    assert ten_times == pytest.approx(50 * (10**first_sound.GROWTH - 1))


@pytest.mark.models
def test_measure_times_every_stage_and_leaves_the_context_as_it_was() -> None:
    with closing(open_bundle("pocket", n_threads=1)) as loaded:
        found = first_sound.measure(loaded, None, repeats=1)
        assert loaded.backbone.n_past == loaded.n_prefix
    assert min(found.hear, found.read, found.write) > 0
    assert found.speak < found.hear  # no voice: nothing is done
    assert found.backbone_bytes == 98_362_432
