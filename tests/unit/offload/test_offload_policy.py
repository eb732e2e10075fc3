"""The offload policy by its table, and what it measures."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from glasses.offload.policy import LinkMeter, Signals, decide, entropy_nats

GOOD = Signals(True, 20.0, 1e6, 25_000, 3000.0, privacy="latents may leave")


@pytest.mark.parametrize(
    ("change", "place", "why"),
    [
        ({}, "hedge", "both: rtt 20 ms, upload 25 ms, first token expected in 195 ms"),
        ({"privacy": "nothing leaves", "battery": 0.01}, "local", "local: the wearer lets nothing leave"),
        ({"local_only": True}, "local", "local: only this device can do it"),
        ({"connected": False}, "local", "local: no connection"),
        ({"rtt_ms": None}, "local", "local: no connection"),
        ({"rtt_ms": 2500.0}, "local", "too late for 3000 ms"),
        ({"bytes_per_s": 5000.0}, "local", "too late for 3000 ms"),
        ({"remaining_ms": 900.0}, "local", "too late for 900 ms"),
        ({"battery": 0.1}, "remote", "remote: battery 10%"),
        ({"temperature_c": 80.0}, "remote", "remote: 80 C"),
    ],
)
def test_decide_each_case_gives_the_decision_and_its_line(change: dict[str, object], place: str, why: str) -> None:
    decision = decide(replace(GOOD, **change))  # type: ignore[arg-type]
    assert decision.place == place
    assert why in decision.why
    assert "\n" not in decision.why


def test_decide_without_permission_sends_nothing() -> None:
    assert decide(Signals(True, 1.0, 1e9, 0, 1e6)).place == "local"


def test_entropy_of_known_distributions_is_as_computed() -> None:
    assert entropy_nats([(1, 0.0)]) == pytest.approx(0.0, abs=1e-9)
    assert entropy_nats([(i, math.log(0.25)) for i in range(4)]) == pytest.approx(math.log(4))
    assert 0 < entropy_nats([(1, math.log(0.5))]) <= math.log(2) + 1e-9


def test_link_meter_tells_round_trip_from_transfer() -> None:
    meter = LinkMeter()
    meter.observe(100_000, 50.0)
    assert meter.bytes_per_s is None  # not before a round trip is known
    for _ in range(20):
        meter.observe(100, 20.0)
        meter.observe(100_000, 120.0)
    assert meter.rtt_ms == pytest.approx(20.0)
    assert meter.bytes_per_s == pytest.approx(1e6)
    meter.forget()
    assert meter.rtt_ms is None
