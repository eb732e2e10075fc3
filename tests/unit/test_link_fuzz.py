"""A short run of the fuzzers; `python -m tests.emulator.fuzz_link --frames 10000000` is the long one."""

from __future__ import annotations

from tests.emulator.fuzz_link import fuzz_c, fuzz_python


def test_the_firmware_takes_no_corruption() -> None:
    figures = fuzz_c(200_000, seed=3)
    assert figures["accepted_corruption"] == 0
    assert int(str(figures["passed_crc"])) >= int(str(figures["intact"])) > 90_000
    assert int(str(figures["messages_of_strangers"])) > 100  # else the fuzz reaches nothing


def test_the_host_takes_no_corruption() -> None:
    figures = fuzz_python(20_000, seed=3)
    assert figures["accepted_corruption"] == 0
    assert int(str(figures["passed_crc"])) >= int(str(figures["intact"])) > 9_000
    assert int(str(figures["messages_of_strangers"])) > 100
