"""What native libraries write to file descriptor 2, kept from the user's terminal."""

from __future__ import annotations

import logging
import os
import sys
import threading

import pytest

from glasses.media.native_output import native_output_to_log


def test_native_output_to_log_library_lines_go_to_the_log_others_through(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "glasses.media"), native_output_to_log():
        os.write(2, b"libpng warning: iCCP: too short\n")
        print("somebody else's line", file=sys.stderr, flush=True)
        os.write(2, b"[ WARN:0@0.083] global grfmt_tiff.cpp:811 readData\n")
    assert capfd.readouterr().err == "somebody else's line\n"
    assert [record.message.split()[0] for record in caplog.records] == ["libpng", "["]


def test_native_output_to_log_error_inside_restores_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), native_output_to_log():
        raise KeyError
    os.write(2, b"here again\n")
    assert capfd.readouterr().err == "here again\n"


def test_native_output_to_log_many_threads_lose_nothing_and_no_descriptor(capfd: pytest.CaptureFixture[str]) -> None:
    before = len(os.listdir("/proc/self/fd"))

    def work(name: int) -> None:
        for i in range(50):
            with native_output_to_log():
                os.write(2, b"libpng warning: x\n")
            if i == 49:
                os.write(2, f"thread {name}\n".encode())

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(capfd.readouterr().err.split("\n")) == ["", *(f"thread {i}" for i in range(6))]
    assert len(os.listdir("/proc/self/fd")) == before
