"""Each package has its log level, and a log that nobody reads blocks nobody."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator

import pytest

from glasses.commands.log_setup import levels, set_up
from glasses.commands.log_thread import logging_on_a_thread
from glasses.errors import InputError


@pytest.fixture(autouse=True)
def levels_as_before() -> Iterator[None]:
    """Restores the logger levels of the process after a test."""
    names = ("glasses", "glasses.assistant", "glasses.devices", "glasses.llama_cpp")
    before = {name: logging.getLogger(name).level for name in names}
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def test_set_up_sets_a_level_for_each_package() -> None:
    set_up(verbose=False, environ={"GLASSES_LOG": "assistant=debug, devices=INFO"})
    assert logging.getLogger("glasses.assistant.responder").isEnabledFor(logging.DEBUG)
    assert logging.getLogger("glasses.devices.camera").getEffectiveLevel() == logging.INFO
    assert logging.getLogger("glasses.memory").getEffectiveLevel() == logging.WARNING
    assert logging.getLogger("glasses.llama_cpp").getEffectiveLevel() == logging.CRITICAL


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("debug", {"glasses": logging.DEBUG}),
        ("llama_cpp=error,memory.writer=info", {"glasses.llama_cpp": 40, "glasses.memory.writer": 20}),
    ],
)
def test_levels_of_the_environment_variable_are_read(text: str, found: dict[str, int]) -> None:
    assert levels(text) == found


@pytest.mark.parametrize("text", ["assistant", "assistant=loud", "=debug", "assistant=debug,x=y"])
def test_levels_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"\$GLASSES_LOG"):
        levels(text)


def test_logging_on_a_thread_into_a_pipe_nobody_reads_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"\n" * fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096))
    stderr = os.dup(2)
    try:
        os.dup2(writing, 2)
        began_s = time.monotonic()
        with logging_on_a_thread():
            for n in range(3000):
                logging.getLogger("glasses.test").warning("line %d", n)
            assert time.monotonic() - began_s < 5.0
        assert time.monotonic() - began_s < 10.0, "it does not wait for a reader at the end either"
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(writing)
        threading.Thread(target=lambda: os.read(reading, 1 << 20)).start()
        time.sleep(0.1)
        os.close(reading)
