"""Drives a Link over a Transport, reopening it as often as the link wants.

One task reads, one writes, and nothing blocks the event loop. The writer takes from the link only what the transport
has room for, so that an urgent message never waits behind more than one small write.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType

from firmware_bridge.errors import LinkError, Reason
from firmware_bridge.link import CHANNELS, Link
from firmware_bridge.states import Change, Config, State, Why
from firmware_bridge.transport import Transport

_WRITE_BYTES = 1024
_UNANSWERED_KEYS = 3  # in a row, and it is the key: a bad wire does not lose a dozen repetitions three times
_TRIES_A_TRANSPORT = 4  # greetings without an answer before it is opened anew: some take a second to wake
_FAREWELL_S = 0.5
_REASONS = {
    Why.WRONG_PROTOCOL: Reason.WRONG_PROTOCOL,
    Why.KEY_NEEDED: Reason.NOT_AUTHENTIC,
    Why.NOT_AUTHENTIC: Reason.NOT_AUTHENTIC,
    Why.BAD_ADDRESS: Reason.BAD_INPUT,
}


def now_us() -> int:
    """The clock of every link of this process."""
    return time.monotonic_ns() // 1000


class Session:
    """`async with Session(open)`: the link is kept up until the end. `on_change` is called for each step it takes."""

    def __init__(
        self,
        open_transport: Callable[[], Awaitable[Transport]],
        config: Config | None = None,
        *,
        on_change: Callable[[Change], None] = lambda _: None,
    ) -> None:
        self.link = Link(config)
        self._open = open_transport
        self._on_change = on_change
        self._transport: Transport | None = None
        self._step = asyncio.Event()  # replaced at every step; waiters look again
        self._write = asyncio.Event()  # something may be due to go out
        self._ended: Change | None = None
        self._why = Why.ASKED
        self._unanswered_keys = 0
        self._tries = 0  # greetings on this transport since it last led to a session
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Session:
        self.link.start(now_us())
        self._tasks = [asyncio.create_task(self._drive())]
        self._tasks[0].add_done_callback(lambda _: self._step.set())  # however it ends, nobody waits for it any longer
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Says farewell, if the link is up, and ends all tasks."""
        was_up = self.link.state is State.UP
        if self.link.state is not State.CLOSED:
            self.link.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        transport, self._transport = self._transport, None
        if transport is not None:
            if was_up:
                with suppress(LinkError, TimeoutError):  # a peer that is gone needs no farewell
                    async with asyncio.timeout(_FAREWELL_S):
                        await transport.send(b"\0" + self.link.transmit(now_us()))  # ends what was cut off just now
            await transport.close()
        self._notify()

    async def wait_up(self, timeout_s: float = 10.0) -> None:
        """Returns once the link is up.

        Raises LinkError: NOT_AUTHENTIC (nobody there has this key), TIMEOUT with why, or what has ended it for good.
        """

        def up() -> bool:
            if self._unanswered_keys >= _UNANSWERED_KEYS:
                raise LinkError(Reason.NOT_AUTHENTIC, f"no link: {self._last}")
            return self.link.state is State.UP

        try:
            async with asyncio.timeout(timeout_s):
                await self._until(up)
        except TimeoutError as error:
            raise LinkError(Reason.TIMEOUT, f"no link within {timeout_s:.0f} s: {self._last}") from error

    async def send(self, channel: int, message: bytes) -> None:
        """Waits until the link has taken the message and with it the promise. Raises LinkError: CLOSED."""
        await self._until(lambda: self.link.send(channel, message))
        self._write.set()

    def try_send(self, channel: int, message: bytes) -> bool:
        """Like `send`, but says no at once when the channel is full."""
        taken = self.link.send(channel, message)
        self._write.set()
        return taken

    async def flushed(self) -> None:
        """Returns once everything promised has arrived. Raises LinkError: CLOSED."""
        await self._until(lambda: not any(self.link.pending(channel) for channel in CHANNELS))

    async def receive(self) -> tuple[int, bytes]:
        """The next (channel, message). Raises LinkError: CLOSED when the link has ended for good."""
        await self._until(lambda: bool(self.link.inbox))
        taken = self.link.take()
        assert taken is not None
        self._write.set()  # credit
        return taken

    def check(self) -> None:
        """Raises LinkError, with the reason, when the link has ended for good; or what `on_change` has raised."""
        for task in self._tasks:
            if task.done() and not task.cancelled() and (error := task.exception()):
                raise error
        if self.link.state is State.CLOSED:
            reason = _REASONS.get(self._ended.why, Reason.CLOSED) if self._ended else Reason.CLOSED
            raise LinkError(reason, f"the link is closed: {self._last}")

    async def _until(self, ready: Callable[[], bool]) -> None:
        while not ready():
            self.check()
            await self._step.wait()

    @property
    def _last(self) -> str:
        change = self._ended
        return (change.detail or str(change.why)) if change else f"still {self.link.state}"

    def _notify(self) -> None:
        while self.link.changes:
            change = self.link.changes.popleft()
            if change.state in (State.WAITING, State.CLOSED):
                self._ended, self._why = change, change.why
                self._unanswered_keys = self._unanswered_keys + 1 if change.why is Why.NO_KEY_ANSWER else 0
            elif change.state is State.UP:
                self._tries = self._unanswered_keys = 0
            self._on_change(change)
        step, self._step = self._step, asyncio.Event()
        step.set()

    async def _drive(self) -> None:
        while self.link.state is not State.CLOSED:
            if self.link.state is State.OPENING:
                await self._reopen()
            if self._transport is not None and self.link.state is not State.WAITING:
                await self._session(self._transport)
                if self._why is Why.TRANSPORT or self._tries >= _TRIES_A_TRANSPORT:
                    await self._transport.close()
                    self._transport = None
            wake_us = self.link.wake_us()
            if self.link.state is State.WAITING and wake_us is not None:
                await asyncio.sleep(max(0, wake_us - now_us()) / 1e6)
                self.link.transmit(now_us())  # lets the time pass
            self._notify()

    async def _reopen(self) -> None:
        self._notify()
        try:
            if self._transport is None:
                self._transport, self._tries = await self._open(), 0
            self._tries += 1
        except LinkError as error:
            if error.reason is Reason.BAD_INPUT and not self.link.counters.sessions:  # else it was right once
                self.link.close(Why.BAD_ADDRESS, str(error))
            else:
                self.link.lost(now_us(), Why.TRANSPORT, str(error))
        else:
            self.link.opened(now_us())

    async def _session(self, transport: Transport) -> None:
        """One transport, until the link or the transport gives it up."""
        reader = asyncio.create_task(self._read(transport))
        try:
            await self._write_all(transport)
        except LinkError as error:
            self.link.lost(now_us(), Why.TRANSPORT, str(error))
        finally:
            reader.cancel()
            (ended,) = await asyncio.gather(reader, return_exceptions=True)
            self._notify()
        if isinstance(ended, Exception):
            raise ended

    async def _read(self, transport: Transport) -> None:
        try:
            while True:
                self.link.received(await transport.receive(), now_us())
                self._write.set()
                self._notify()
        except LinkError as error:
            self.link.lost(now_us(), Why.TRANSPORT, str(error))
            self._write.set()
            self._notify()

    async def _write_all(self, transport: Transport) -> None:
        while self.link.state not in (State.CLOSED, State.WAITING, State.OPENING):
            self._write.clear()
            data = self.link.transmit(now_us(), _WRITE_BYTES)
            self._notify()
            if data:
                await self._sent(transport, data)
                continue
            wake_us = self.link.wake_us()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if wake_us is None else max(0, wake_us - now_us()) / 1e6):
                    await self._write.wait()

    async def _sent(self, transport: Transport, data: bytes) -> None:
        """A wire that takes nothing, with a hung device behind it, must not stop the clock: that is silence too."""
        limit_s = self.link.config.silence_us / 1e6
        try:
            async with asyncio.timeout(limit_s):
                await transport.send(data)
        except TimeoutError as error:
            raise LinkError(Reason.CLOSED, f"the wire has taken nothing for {limit_s:.1f} s") from error
