"""A wearer's responder and a kernel for apps on one real backbone, without devices: what `glasses run` is made of."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from glasses.assistant.answer import warm_up
from glasses.assistant.app_acts import AppActs
from glasses.assistant.open_tools import open_caller
from glasses.assistant.responder import Responder
from glasses.backbone.handover import Handover
from glasses.events import Draft, Reply, TurnCompleted, TurnEvent, TurnSignal, TurnSpan
from glasses.runtime.bundle import open_bundle
from glasses.runtime.prompt import request_of
from glasses.service.server.kernel import Kernel
from glasses.system import kernel_socket
from glasses.tools.builtin.clock import time as time_of_day
from glasses.tools.builtin.notes import forget
from glasses.tools.builtin.timers import set_timer
from glasses.tools.registry import ToolRegistry
from glasses.tools.store import ToolStore
from glasses.tools.tool import ToolContext
from glasses.types import Float32Array, Turn

WAIT_S = 60.0


class Worn:
    """`address` is for apps. `ask` is the wearer's turn."""

    def __init__(self, address: str) -> None:
        self.address, self.why_not = address, ""
        self.handover: Any = None
        self.kernel: Any = None
        self.loaded: Any = None
        self.tools = ToolRegistry([time_of_day, set_timer, forget])
        self.n_own_tools = len(self.tools.tools)
        self.store = ToolStore(":memory:")
        self.refused: dict[str, str] = {}  # what apps may not call, and why
        self.told: list[str] = []
        self.responder: Any = None
        self.ready = threading.Event()
        self.replies: queue.Queue[Reply] = queue.Queue()
        self._n_turns = 0

    def rows(self, text: str) -> Float32Array:
        backbone = self.loaded.backbone
        asked = request_of(self.loaded, (text,))
        return np.concatenate([p if isinstance(p, np.ndarray) else backbone.token_rows(p) for p in asked])

    def begin(self) -> None:
        """The wearer begins to speak."""
        self._n_turns += 1
        self.responder.put(TurnSignal(TurnEvent.TURN_STARTED, time.monotonic_ns(), self._n_turns))

    def dismiss(self) -> None:
        """What was said was not for the assistant."""
        self.responder.put(TurnSignal(TurnEvent.NOT_ADDRESSED, time.monotonic_ns(), self._n_turns))

    def ask(self, text: str, *, speaks_s: float = 0.0) -> Reply:
        """The reply to a turn that is spoken for so long."""
        self.begin()
        time.sleep(speaks_s)
        turn = Turn(self._n_turns, 0, "tap", (text,))
        draft = Draft(
            turn, self.rows(text), may_be_complete=True, is_final=True, follows_interruption=False, work_ns=(0, 0)
        )
        self.responder.put(draft)
        self.responder.put(TurnCompleted(turn, TurnSpan(0, False, None, 0), None, time.monotonic_ns()))
        return self.replies.get(timeout=WAIT_S)


@contextmanager
def worn_kernel(bundle: str = "pocket") -> Iterator[Worn]:
    """Runs meanwhile, on a thread of its own. XDG_RUNTIME_DIR is a folder of the test's."""
    worn = Worn(f"unix:{kernel_socket.kernel_socket_path()}")
    thread = threading.Thread(target=_wear, args=(worn, bundle))
    thread.start()
    assert worn.ready.wait(WAIT_S)
    try:
        yield worn
    finally:
        worn.responder.stop()
        thread.join(WAIT_S)
    assert not thread.is_alive()


def _wear(worn: Worn, bundle: str) -> None:
    loaded = worn.loaded = open_bundle(bundle, n_threads=1)
    worn.handover = Handover(loaded.backbone)
    tokens = Path(worn.address.removeprefix("unix:")).with_name("apps.tokens")
    with kernel_socket.bound() as sock:
        caller = open_caller(loaded, worn.tools, ToolContext(datetime.now, worn.store, tools=worn.tools))
        assert caller
        worn.kernel = Kernel(
            loaded,
            worn.handover,
            sock,
            worn.address,
            tokens=tokens,
            why_not=lambda: worn.why_not,
            tools=worn.tools,
            acts=AppActs(caller, loaded, refused=worn.refused, note=worn.told.append),
        )
        with worn.kernel.running():
            worn.responder = Responder(
                loaded, None, None, on_state=lambda _: None, on_reply=worn.replies.put, handover=worn.handover
            )
            warm_up(loaded, None)
            worn.ready.set()
            worn.responder.run()
    loaded.close()
