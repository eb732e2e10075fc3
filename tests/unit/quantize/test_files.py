"""An output is written whole or not at all."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time

import pytest

from quantize.files import uninterrupted


def test_uninterrupted_ctrl_c_waits_though_another_thread_gets_it() -> None:
    ended, done = threading.Event(), list[str]()
    other = threading.Thread(target=lambda: all(not ended.is_set() for _ in itertools.count()))

    def work() -> None:
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            until_s = time.monotonic() + 0.2
            while time.monotonic() < until_s:
                pass
            done.append("all")

    other.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            work()
    finally:
        ended.set()
        other.join()
    assert done == ["all"]
