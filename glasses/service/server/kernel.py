"""The service inside of `glasses run`: apps use the backbone, encoders and connectors that the wearer's turns use.

The server is started by the first app that connects: until then it costs no memory and no time. It has a thread for
its event loop and one for its engine, which share the backbone with the wearer through a `Handover`. While a turn of
the wearer is open, nothing is worked on and nothing is read from apps but the answers of their tools.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from glasses.backbone.handover import Handover
from glasses.errors import ModelError
from glasses.runtime.bundle import LoadedBundle
from glasses.service.server.peers import Gate
from glasses.system.supervised import SupervisedThread
from glasses.tools.acts import Acts
from glasses.tools.registry import ToolRegistry

if TYPE_CHECKING:
    from glasses.service.server.service import Service

log = logging.getLogger(__name__)
# Less than a server's, for the wearer's board has little memory. All sessions together have one context's rows, which
# are up to 47 MB with SmolLM2-135M; a request may be as large as the protocol allows.
SESSIONS, LINGER_S, REQUEST_BYTES = 4, 30.0, 32 << 20
CLOSE_S = 10.0  # the server tells its clients, and waits 3 s for them
SWITCH_S = 0.0005
LOOK_S = 0.5  # between two looks whether a turn that gives no sign is over
FORGET_S = 2.0  # how long `forget` waits: a decode step that runs


class Kernel:
    """Serves on the listening socket `sock` at `address` while `running` lasts."""

    def __init__(
        self,
        loaded: LoadedBundle,
        handover: Handover,
        sock: socket.socket,
        address: str,
        *,
        tokens: Path,
        why_not: Callable[[], str] = lambda: "",
        tools: ToolRegistry | None = None,
        acts: Acts | None = None,
    ) -> None:
        """`tokens`: the file of the added tokens. `why_not`: why no app is served now, "" where they are. `tools`:
        where those of apps come and go. `acts`: what calls tools for apps, None for nothing.
        """
        self._loaded, self._handover, self._sock, self._address = loaded, handover, sock, address
        self._tokens, self._why_not, self._tools, self._acts = tokens, why_not, tools, acts
        self._loop: asyncio.AbstractEventLoop | None = None  # while apps are served
        self._service: Service | None = None
        self._told_to_end: asyncio.Event | None = None
        self._looks_again: asyncio.TimerHandle | None = None
        self._ended, self._end = os.pipe()  # closed at one end: no server is started any more

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serves meanwhile, from the first connection on."""
        self._handover.on_held = self._on_held
        thread = SupervisedThread(self._run, "apps", policy="restart").start()
        try:
            yield
        finally:
            self._handover.on_held = lambda held: None
            self._handover.close()  # what waits for the wearer's turn to end would wait for good
            os.close(self._end)
            if self._loop and self._told_to_end:
                self._call(self._told_to_end.set)
            if thread.close(CLOSE_S):
                os.close(self._ended)
            else:
                log.error("the server of apps hangs: left behind")

    def forget(self) -> None:
        """Ends the sessions of all apps: nothing that they fed stays. From any thread but the server's."""
        loop, service = self._loop, self._service
        if loop is None or service is None:
            return
        forgotten: Future[None] = asyncio.run_coroutine_threadsafe(service.forget(), loop)
        try:
            forgotten.result(FORGET_S)
        except TimeoutError:
            log.error("wiped, but for the sessions of apps: their server hangs")

    def _run(self) -> None:
        while self._ended not in select.select([self._sock, self._ended], [], [])[0]:
            try:
                asyncio.run(self._serve())
            except ModelError:
                if not self._is_ending:
                    raise

    @property
    def _is_ending(self) -> bool:
        return bool(select.select([self._ended], [], [], 0)[0])

    async def _serve(self) -> None:
        # Imported here: the server costs 25 MB and half a second, which no wearer without apps should pay.
        from glasses.service.engines.llama import LlamaEngine  # noqa: PLC0415
        from glasses.service.server.app_tools import AppTools  # noqa: PLC0415
        from glasses.service.server.caps import Caps, Worn  # noqa: PLC0415
        from glasses.service.server.server import Listen, serving  # noqa: PLC0415
        from glasses.service.server.service import Service  # noqa: PLC0415

        # An app that floods keeps this thread in Python, and each call of llama.cpp or onnxruntime in the wearer's turn
        # ends with a wait for the interpreter's lock: by default up to 5 ms.
        sys.setswitchinterval(SWITCH_S)
        self._told_to_end = asyncio.Event()
        rows, gate = self._loaded.backbone.n_ctx, Gate()
        tools = AppTools(self._tools, gate) if self._tools else None
        service = Service(
            lambda: LlamaEngine(self._loaded, self._handover, max_rows=rows),
            backend="llama",
            tokens=self._tokens,
            caps=Caps(sessions=SESSIONS, linger_s=LINGER_S, request_bytes=REQUEST_BYTES),
            worn=Worn(self._why_not, gate, tools),
            open_acts=lambda loaded: self._acts,
        )
        try:
            async with serving(service, Listen(self._address), bound=self._sock) as running:
                self._loop, self._service = asyncio.get_running_loop(), service
                self._follow()
                told = asyncio.create_task(self._told_to_end.wait())
                if not self._is_ending:  # it may have been closed before this loop was known
                    await asyncio.wait({told, running.task}, return_when=asyncio.FIRST_COMPLETED)
                told.cancel()
        finally:
            self._loop = self._service = None
            if tools:
                tools.close()

    def _on_held(self, held: bool) -> None:
        self._call(self._follow)

    def _follow(self) -> None:
        """Opens or closes the gate, as the wearer's turn is; looks again, for a turn may end without a word."""
        if self._service is None or self._loop is None:
            return
        held = self._handover.is_held
        self._service.gate.set_open(not held)
        if self._looks_again:
            self._looks_again.cancel()
        self._looks_again = self._loop.call_later(LOOK_S, self._follow) if held else None

    def _call(self, function: Callable[[], None]) -> None:
        loop = self._loop
        try:
            if loop is not None:
                loop.call_soon_threadsafe(function)
        except RuntimeError:  # it was closed meanwhile
            log.debug("apps are not served any more")
