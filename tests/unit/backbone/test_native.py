"""Ctrl-C while llama.cpp calls back into Python."""

from __future__ import annotations

import signal
import threading

import pytest

from glasses.backbone.native import interrupt_held_back


def test_interrupt_while_held_back_comes_at_the_end() -> None:
    went_on: list[bool] = []

    def load() -> None:
        with interrupt_held_back():
            signal.raise_signal(signal.SIGINT)
            went_on.append(True)

    with pytest.raises(KeyboardInterrupt):
        load()
    assert went_on == [True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_interrupt_held_back_on_another_thread_changes_nothing() -> None:
    handlers: list[object] = []

    def load() -> None:
        with interrupt_held_back():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=load)
    thread.start()
    thread.join()
    assert handlers == [signal.default_int_handler]
