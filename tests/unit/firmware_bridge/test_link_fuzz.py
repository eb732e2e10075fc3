"""A short run of the fuzzers; `python -m tests.emulator.fuzz_link --frames 10000000` is the long one."""

from __future__ import annotations

from tests.emulator.fuzz_link import fuzz_c, fuzz_python


def check(figures: dict[str, object], harmed: int) -> None:
    """Asserts that no corrupted message was accepted and that the fuzzer reached the code it is for."""
    numbers = {name: int(str(figures[name])) for name in ("harmed", "intact", "genuine", "passed_crc", "messages")}
    assert figures["accepted_corruption"] == 0
    assert numbers["harmed"] == harmed
    assert numbers["passed_crc"] >= numbers["intact"] > harmed * 0.4
    assert numbers["genuine"] > harmed * 0.5
    assert numbers["messages"] > harmed * 0.05  # what was not harmed still gets through


def test_link_fuzz_firmware_survives_corruption() -> None:
    check(fuzz_c(200_000, seed=3), 200_000)


def test_link_fuzz_host_survives_corruption() -> None:
    check(fuzz_python(20_000, seed=3), 20_000)
