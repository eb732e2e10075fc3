"""A bigger brain beside a backbone that belongs to one thread: `--offload URL` of `glasses ask` and `glasses run`.

The turn itself is `turn.OffloadedTurn` on an event loop of its own; whatever it asks of this device's backbone is done
on the thread that called `answer`, between the pieces. Knows no sensor and no encoder.
"""

from __future__ import annotations

import asyncio
import queue
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import psutil

from glasses.backbone.inputs import ModelInput
from glasses.backbone.llama import LlamaBackbone
from glasses.backbone.repetition import stop_on_repetition
from glasses.errors import InputError, ModelError, Reason
from glasses.offload.policy import Limits, Signals
from glasses.offload.remote import Remote
from glasses.offload.turn import OffloadedTurn
from glasses.service.client.transport import Transport, WebSocket
from glasses.service.server.token_file import read_token
from glasses.types import Token, Turn

if TYPE_CHECKING:
    from glasses.assistant.responder import Write
    from glasses.events import Draft

WAIT_MS = 1400.0  # of a turn, until a first piece, whoever made it, is taken: 1.5 s at most with the taking
CONNECT_S = 2.0  # that `ask` waits for the first connection; `run` never waits
_LOOK_S = 0.05  # between two looks at whether the answer is still wanted
Near = Callable[[str, int, int], Iterator[Token]]  # (already said, most pieces, top k) -> pieces


def transport_of(url: str, token_file: Path | None, authority: Path | None) -> Callable[[], Transport]:
    """What connects to the service at `url`. Raises InputError where it cannot be one, or a file cannot be read."""
    token = read_token(token_file) if token_file else None
    try:
        tls = ssl.create_default_context(cafile=authority) if url.startswith("wss:") else None
    except OSError as error:
        why = error.strerror or error
        raise InputError(Reason.BAD_INPUT, f"--offload: cannot use the authority {authority}: {why}") from error
    WebSocket(url)  # an address that cannot be one is refused now, not in the background
    return lambda: WebSocket(url, token=token, tls=tls, dtype="f16")


class HedgedAnswerer:
    """`with Beside(make_transport) as brain:`; `answer` once a turn, from the thread that owns the backbone."""

    def __init__(self, make_transport: Callable[[], Transport], limits: Limits | None = None) -> None:
        self._limits, self._loop = limits or Limits(), asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="offload", daemon=True)
        self._remote = Remote(make_transport)
        self.why = ""  # the last turn's decision

    def __enter__(self) -> Self:
        self._thread.start()
        self._loop.call_soon_threadsafe(self._remote.start)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._remote.close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def wait_connected(self, seconds: float = CONNECT_S) -> bool:
        """Whether the link is there, after waiting for it."""

        async def wait() -> bool:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while not self._remote.connected:
                        await asyncio.sleep(0.02)
            return self._remote.connected

        return asyncio.run_coroutine_threadsafe(wait(), self._loop).result()

    def answer(
        self,
        turn: Turn,
        near: Near,
        *,
        max_tokens: int,
        wait_ms: float = WAIT_MS,
        stale: Callable[[], bool] = lambda: False,
        local_only: bool = False,
    ) -> Iterator[Token]:
        """The pieces of one answer, from here or from there; `near` is only ever called on this thread.

        Raises what `near` raises, and ModelError(ABORTED) once `stale` says so.
        """
        jobs: queue.Queue[Any] = queue.Queue()
        battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
        signals = Signals(
            connected=False,
            rtt_ms=None,
            bytes_per_s=None,
            to_send_bytes=0,
            remaining_ms=wait_ms,
            privacy="latents may leave",
            local_only=local_only,
            battery=None if battery is None or battery.power_plugged else battery.percent / 100,
        )

        async def work() -> None:
            here = _Here(near, jobs)
            offloaded = OffloadedTurn(turn.id, here, self._remote, signals, self._limits)
            offloaded.start()
            for part in turn.inputs:
                await offloaded.feed(part)
            pieces = offloaded.answer(max_tokens=max_tokens)
            try:
                async for piece in pieces:
                    jobs.put(piece)
            finally:
                await pieces.aclose()  # type: ignore[attr-defined]  # an async generator
                self.why = offloaded.decision.why if offloaded.decision else ""

        task = asyncio.run_coroutine_threadsafe(work(), self._loop)
        task.add_done_callback(lambda _: jobs.put(None))
        try:
            yield from self._serve(jobs, task, stale)
        finally:
            task.cancel()

    def writer(self, backbone: LlamaBackbone, max_tokens: int, *, allowed: Callable[[], bool] = lambda: True) -> Write:
        """What `mouth.Mouth.write` becomes. A reply that goes on from one that was interrupted is this device's: the
        service knows nothing of it. So is every reply while nothing is `allowed` to leave.
        """

        def write(draft: Draft, stale: Callable[[], bool]) -> Iterator[Token]:
            near, pieces = Prompted(backbone, draft.turn.id, draft.rows[-1:]), list[Token]()
            here = draft.follows_interruption or not allowed()
            try:
                for piece in stop_on_repetition(
                    self.answer(draft.turn, near, max_tokens=max_tokens, stale=stale, local_only=here)
                ):
                    pieces.append(piece)
                    yield piece
            finally:
                near.leave(pieces)

        return write

    @staticmethod
    def _serve(jobs: queue.Queue[Any], task: Future[None], stale: Callable[[], bool]) -> Iterator[Token]:
        while True:
            if stale():
                raise ModelError(Reason.ABORTED, "nobody waits for this answer any more")
            try:
                job = jobs.get(timeout=_LOOK_S)
            except queue.Empty:
                continue
            if isinstance(job, Token):
                yield job
            elif job is None:
                task.result()  # raises what ended it
                return
            else:
                job()


@dataclass(slots=True)
class _Here:
    """This device's backbone as OffloadedTurn wants it: what it computes is put among `jobs`."""

    near: Near
    jobs: queue.Queue[Any]
    n_past: int = 1
    id: str = "here"

    async def feed(self, *_: Any) -> int:
        """Nothing: the caller has fed the turn, or `near` does."""
        return self.n_past

    async def rollback(self, n_past: int) -> int:
        """Nothing: `near` goes on after what it is told was said."""
        return n_past

    async def close(self) -> None: ...

    async def generate(self, *, max_tokens: int = 64, **how: Any) -> AsyncIterator[Token]:
        pieces = await self._on_thread(lambda: self.near(how.get("said", ""), max_tokens, how.get("top_k", 0)))
        while (piece := await self._on_thread(lambda: next(pieces, None))) is not None:
            yield piece

    async def _on_thread(self, function: Callable[[], Any]) -> Any:
        future: Future[Any] = Future()

        def job() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except Exception as error:  # belongs to the turn
                    future.set_exception(error)

        self.jobs.put(job)
        return await asyncio.wrap_future(future)


@dataclass(slots=True)
class Prompted:
    """`Near` over a backbone whose context ends with the prompt; `last` is the prompt's last row or token.

    After `leave` the context holds the prompt and one row for each piece that was said, wherever it came from.
    """

    backbone: LlamaBackbone
    turn_id: int
    last: ModelInput
    _base: int = field(init=False)
    _made: list[Token] | None = None  # by the backbone since the prompt

    def __post_init__(self) -> None:
        self._base = self.backbone.n_past

    def __call__(self, said: str, max_tokens: int, top_k: int) -> Iterator[Token]:
        if self._made is not None or said:
            self._back([self.backbone.tokenize(said, special=False)] if said else [])
        self._made = []
        for piece in self.backbone.generate(self.turn_id, max_tokens=max_tokens, top_k=top_k):
            self._made.append(piece)
            yield piece

    def leave(self, pieces: list[Token]) -> None:
        """Makes the context what it would be had it said `pieces` itself; an abort leaves it at the prompt."""
        if [(p.token_id, p.logprob) for p in pieces] == [(p.token_id, p.logprob) for p in self._made or ()]:
            return
        ids = [self.backbone.tokenize(piece.text, special=False) for piece in pieces if piece.text]
        rows = [self.backbone.token_rows(i).mean(axis=0, dtype=np.float32) for i in ids if i]
        try:
            self._back([np.stack(rows)] if rows else [])
        except ModelError as error:
            if error.reason is not Reason.ABORTED:
                raise

    def _back(self, parts: list[ModelInput]) -> None:
        self.backbone.rollback(self._base - 1)
        self.backbone.feed([self.last, *parts])
