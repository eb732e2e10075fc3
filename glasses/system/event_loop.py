"""asyncio for commands: a signal that ends the process cancels the work first, so that it can tidy up."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

from glasses.system.ending import ENDING

_T = TypeVar("_T")


def run_until_signal(work: Coroutine[Any, Any, _T]) -> _T:
    """As asyncio.run, in the main thread. INT, TERM and HUP cancel `work`, and go to their handlers when it has ended.

    A handler that raises would do so in the midst of the event loop, whose tasks would be left behind. A second signal
    goes to its handler at once.
    """
    before: dict[int, Any] = {number: signal.getsignal(number) for number in ENDING}
    came: list[int] = []

    async def watched() -> _T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def on_signal(number: int, _frame: Any) -> None:
            if came:
                _give_back(before)
                signal.raise_signal(number)
            came.append(number)
            if task is not None:
                loop.call_soon_threadsafe(task.cancel)

        for number, handler in before.items():
            if callable(handler) or handler is signal.SIG_DFL:  # else it is ignored, as under nohup
                signal.signal(number, on_signal)
        return await work

    try:
        return asyncio.run(watched())
    finally:
        _give_back(before)
        if came:
            signal.raise_signal(came[0])


def _give_back(before: dict[int, Any]) -> None:
    for number, handler in before.items():
        if handler is not None:
            signal.signal(number, handler)
