"""Ctrl-C while llama.cpp calls back into Python, and the end of a process in which it computes."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

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


_DECODES_AS_IT_ENDS = """
import atexit, os, sys, threading, time
from pathlib import Path
from glasses.backbone.native import Native

native = Native(Path(sys.argv[1]), n_ctx=256, n_batch=8, n_threads=1)
began = threading.Event()

def decode():
    import llama_cpp.llama_cpp as c
    while True:
        c.llama_memory_clear(c.llama_get_memory(native.context), True)
        for token in range(1, 60):
            c.llama_decode(native.context, c.llama_batch_get_one((c.llama_token * 1)(token), 1))
            began.set()

threading.Thread(target=decode, daemon=True).start()
began.wait()
atexit._run_exitfuncs()  # as an interrupted command ends: it waits for no thread
time.sleep(0.5)
os._exit(0)
"""


def test_native_while_a_thread_decodes_survives_the_exit_functions(gguf_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _DECODES_AS_IT_ENDS, str(gguf_path)], check=False)
    assert done.returncode == 0
