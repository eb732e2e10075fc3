"""What the link promises over a bad wire with an outage, in simulated time; link_scenario.py runs longer ones."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from tests.faults.link_scenario import IN_STEP_S, Scenario


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "open"])
def test_link_bad_wire_with_an_outage_loses_nothing_promised(sealed: bool) -> None:
    """Both directions work again within a second after the outage."""
    report = Scenario(loss=0.05, jitter_ms=50, sealed=sealed).run(75, (30.0, 10.0))
    print(asdict(report))  # what was shed, too: sound that the link said no to was never promised
    assert report.wrong == []
    assert report.frames_lost_or_doubled > 500  # else the wire was not as bad as it should be
    assert report.microphone_chunks > 3000  # 65 s of 20 ms each
    assert report.speaker_chunks > 3000
    assert report.photos > 25
    assert max(report.heard_again_s, report.spoken_again_s, report.photo_again_s) <= IN_STEP_S
