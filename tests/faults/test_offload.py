"""A turn that may be answered far away, while the link and the service fail in every way: one whole answer, always."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from counting import ANSWER, CountingEngine

from glasses.offload.policy import Limits, Signals
from glasses.offload.remote import Remote
from glasses.offload.turn import OffloadedTurn
from glasses.service.client.client import Client
from glasses.service.client.transport import WebSocket
from glasses.service.server.in_process import InProcess
from glasses.service.server.service import Caps, Service

TURNS = int(os.environ.get("GLASSES_TEST_TURNS", "150"))  # make test-offload runs 1,000
STAGES = ("before", "begun", "fed some", "fed all", "first piece", "middle", "last piece")
FAULTS = ("none", "none", "delay", "reset", "black hole", "kill -9")
# Never sure of itself, so that the remote is always waited for and what it does matters.
LIMITS = Limits(sure_nats=-1.0, reserve_ms=300.0, remote_start_ms=5.0)


class Link:
    """Between client and service on one Unix socket each: passes, delays, swallows or resets what goes by."""

    def __init__(self, inner: Path, outer: Path) -> None:
        self.inner, self.outer, self.delay_s, self.swallow = inner, outer, 0.0, False
        self._writers: set[asyncio.StreamWriter] = set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(str(self.inner))
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                await asyncio.sleep(self.delay_s)
                if not self.swallow:
                    writer.write(data)
                    await writer.drain()
        writer.transport.abort()
        self._writers.discard(writer)

    def reset(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()


class Killable:
    """The service in a process of its own."""

    def __init__(self, path: Path) -> None:
        self._path, self._pid = path, 0

    async def open(self) -> None:
        program = str(Path(__file__).with_name("counting.py"))
        pipe = asyncio.subprocess.PIPE
        self._master = await asyncio.create_subprocess_exec(
            sys.executable, program, str(self._path), stdin=pipe, stdout=pipe
        )
        assert await self._line() == "ready"
        await self.start()

    async def start(self) -> None:
        assert self._master.stdin
        self._master.stdin.write(b"\n")
        self._pid = int(await self._line())

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)

    async def close(self) -> None:
        self.kill()
        self._master.kill()
        await self._master.wait()

    async def _line(self) -> str:
        assert self._master.stdout
        return (await asyncio.wait_for(self._master.stdout.readline(), 60)).decode().strip()


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[tuple[Client, Remote, Link, Killable]]:
    killable, link = Killable(folder / "service"), Link(folder / "service", folder / "link")
    await killable.open()
    proxy = await asyncio.start_unix_server(link.accept, str(link.outer))
    service = Service(CountingEngine, backend="counting", caps=Caps(sessions=64))
    await service.start()
    remote = Remote(lambda: WebSocket(f"unix:{link.outer}"))
    remote.start()
    try:
        async with Client(InProcess(service)) as local:
            yield local, remote, link, killable
    finally:
        await remote.close()
        link.reset()
        proxy.close()
        await proxy.wait_closed()
        await service.close()
        await killable.close()


async def strike(fault: str, link: Link, killable: Killable) -> None:
    if fault == "delay":
        link.delay_s = 0.08
    elif fault == "black hole":
        link.swallow = True
    elif fault == "reset":
        link.reset()
    elif fault == "kill -9":
        killable.kill()
        await killable.start()


async def one_turn(
    n: int, local: Client, remote: Remote, at: Callable[[str], Awaitable[None]]
) -> tuple[str, int, OffloadedTurn]:
    """What was said, how many last pieces there were; `at` is told every stage."""

    await at("before")
    signals = Signals(False, None, None, 0, remaining_ms=1500.0, privacy="latents may leave")
    turn = await OffloadedTurn.begin(n, local, remote, signals, LIMITS)
    await at("begun")
    for i in range(3):
        await turn.feed(np.ones((5, 4), np.float32))
        if i == 1:
            await at("fed some")
    await turn.feed("Count!")
    await at("fed all")
    said, n_last = "", 0
    async for piece in turn.answer(max_tokens=100):
        said += piece.text
        n_last += piece.last
        assert piece.turn_id == n
        await at({1: "first piece", 12: "middle", len(ANSWER): "last piece"}.get(len(said), ""))
    return said, n_last, turn


async def connected(remote: Remote, within_s: float = 20.0) -> None:
    until = time.monotonic() + within_s
    while not remote.connected and time.monotonic() < until:
        await asyncio.sleep(0.01)
    assert remote.connected


async def many_turns(folder: Path, n_turns: int, seed: int) -> tuple[list[float], int]:
    rng, fallback_ms, n_remote = random.Random(seed), list[float](), 0
    async with world(folder) as (local, remote, link, killable):
        await connected(remote)
        for n in range(n_turns):
            fault, stage = rng.choice(FAULTS), rng.choice(STAGES)
            began = time.monotonic()

            async def at(now: str, fault: str = fault, stage: str = stage) -> None:
                if now == stage:
                    await strike(fault, link, killable)

            said, n_last, turn = await one_turn(n, local, remote, at)
            assert (said, n_last) == (ANSWER, 1), f"turn {n}: {fault} at {stage}: {said!r}"
            assert turn.decision is not None
            n_remote += turn.decision.place != "local"
            if turn.switched_ms is not None:
                fallback_ms.append(turn.switched_ms)
            assert time.monotonic() - began < 30, f"turn {n}: {fault} at {stage}"
            if link.swallow:
                link.swallow = False
                link.reset()
            link.delay_s = 0.0
            if rng.random() < 0.8:  # sometimes the next turn begins with the link still down
                await connected(remote)
    return fallback_ms, n_remote


def test_forty_turns_with_faults(tmp_path: Path) -> None:
    _, n_remote = asyncio.run(many_turns(tmp_path, 40, seed=1))
    assert n_remote > 5


@pytest.mark.slow
def test_no_turn_is_lost_or_answered_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fallback_ms, n_remote = asyncio.run(many_turns(tmp_path, TURNS, seed=0))
    assert n_remote > TURNS / 5
    with capsys.disabled():
        p95 = float(np.percentile(fallback_ms, 95))
        print(f"\n{TURNS} turns, {n_remote} tried far away, {len(fallback_ms)} fell back mid-reply: p95 {p95:.0f} ms")


def test_nothing_leaves_where_the_wearer_forbids_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as (local, remote, link, _):
            await connected(remote)
            passed = []
            original, pump = link._pump, passed.append

            async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await original(reader, writer)

            link._pump = watch  # type: ignore[method-assign]
            assert remote.client is not None
            send = remote.client._transport.send

            async def spy(data: bytes) -> None:
                pump(data)
                await send(data)

            remote.client._transport.send = spy  # type: ignore[method-assign]
            signals = Signals(False, None, None, 0, 1500.0, privacy="nothing leaves")
            turn = await OffloadedTurn.begin(1, local, remote, signals, LIMITS)
            await turn.feed(np.ones((5, 4), np.float32))
            await turn.feed("Count!")
            assert "".join([p.text async for p in turn.answer(max_tokens=100)]) == ANSWER
            assert not [data for data in passed if b'"ping"' not in data]
            assert turn.decision is not None
            assert turn.decision.why == "local: the wearer lets nothing leave"

    asyncio.run(scenario())
