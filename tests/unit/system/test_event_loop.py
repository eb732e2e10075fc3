"""A signal cancels what asyncio runs, and then goes to its handler."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from glasses.system.event_loop import run_until_signal


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_run_until_signal_cancels_the_work_then_calls_the_handler(number: int) -> None:
    told: list[object] = []
    before = signal.signal(number, lambda number, _frame: told.append(number))

    async def work() -> None:
        os.kill(os.getpid(), number)
        try:
            await asyncio.sleep(60)
        finally:
            told.append("tidied up")

    try:
        with pytest.raises(asyncio.CancelledError):
            run_until_signal(work())
        handler = signal.getsignal(number)
    finally:
        signal.signal(number, before)
    assert told == ["tidied up", number]
    assert callable(handler)


def test_run_until_signal_without_one_returns_what_the_work_does() -> None:
    async def work() -> int:
        return 7

    assert run_until_signal(work()) == 7
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
