"""The session over wires that stall, and with a listener that fails: no call waits for ever."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from firmware_bridge.session import Session
from firmware_bridge.states import Change, Config, State, Why
from firmware_bridge.transport import Transport, open_transport

STALLED = Config(silence_us=200_000, greeting_us=60_000_000)  # so that only the wire can end it


class Stalled:
    """A wire that takes nothing and says nothing."""

    def __init__(self) -> None:
        self.closed = 0

    async def send(self, data: bytes) -> None:
        await asyncio.Event().wait()

    async def receive(self) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError

    async def close(self) -> None:
        self.closed += 1


def opener(transport: Transport) -> Callable[[], Awaitable[Transport]]:
    async def opened() -> Transport:
        return transport

    return opened


def test_session_wire_that_takes_nothing_is_closed_and_opened_again() -> None:
    async def run() -> None:
        wire, ended = Stalled(), asyncio.Queue[Change]()
        async with Session(opener(wire), STALLED, on_change=ended.put_nowait):
            states = [await ended.get() for _ in range(5)]
        assert [change.state for change in states[:3]] == [State.OPENING, State.GREETING, State.WAITING]
        assert (states[2].why, states[4].state) == (Why.TRANSPORT, State.GREETING)
        assert "taken nothing" in states[2].detail
        assert wire.closed == 2

    asyncio.run(run())


def test_session_exception_of_a_listener_reaches_who_waits() -> None:
    def fails(change: Change) -> None:
        if change.state is State.GREETING:
            raise ValueError("the listener")

    async def run() -> None:
        async with Session(opener(Stalled()), STALLED, on_change=fails) as session:
            with pytest.raises(ValueError, match="the listener"):
                await session.receive()

    asyncio.run(run())


def test_transport_tcp_peer_that_reads_nothing_does_not_delay_close() -> None:
    async def run(port: int) -> None:
        wire = await open_transport(f"127.0.0.1:{port}")
        full = asyncio.create_task(wire.send(bytes(64 << 20)))
        await asyncio.sleep(0)
        assert not full.done()
        await wire.close()
        await asyncio.gather(full, return_exceptions=True)  # it ends, one way or the other

    with socket.create_server(("127.0.0.1", 0)) as never_reads:
        asyncio.run(run(never_reads.getsockname()[1]))
