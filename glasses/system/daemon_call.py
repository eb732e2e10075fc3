"""Calls of anybody's code, which may hang: each on a thread of its own that never keeps the process from ending."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

_T = TypeVar("_T")


def call_on_daemon(function: Callable[[], _T], name: str) -> Future[_T]:
    """Starts it on a thread with this name. What it raises is raised where the result is asked for; a call that has
    begun cannot be cancelled.
    """
    called = Future[_T]()
    called.set_running_or_notify_cancel()

    def call() -> None:
        try:
            result = function()
        except BaseException as error:
            called.set_exception(error)
        else:
            called.set_result(result)

    threading.Thread(target=call, name=name, daemon=True).start()
    return called
