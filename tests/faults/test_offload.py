"""A turn that may be answered remotely, while link and service fail in every way: always one whole answer."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from counting import ANSWER

from glasses.errors import ModelError, Reason
from glasses.offload.policy import Limits, Signals
from glasses.offload.remote import RemoteModel
from glasses.offload.turn import OffloadedTurn
from glasses.service.client.transport import WebSocket
from glasses.types import Token, Turn

TURNS = int(os.environ.get("GLASSES_TEST_TURNS", "150"))  # make test-offload runs 1,000
STAGES = ("before", "sending", "sent", "first token", "middle", "last token")
FAULTS = ("none", "none", "delay", "reset", "black hole", "kill -9")
# Never sure of itself, so that the remote is always waited for and what it does matters.
LIMITS = Limits(sure_nats=-1.0, reserve_ms=300.0, remote_start_ms=5.0)


class Link:
    """A relay between client and service, on one Unix socket each: passes, delays, drops or resets the bytes."""

    def __init__(self, inner: Path, outer: Path) -> None:
        self.inner, self.outer, self.delay_s, self.swallow = inner, outer, 0.0, False
        self._writers: set[asyncio.StreamWriter] = set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            remote_reader, remote_writer = await asyncio.open_unix_connection(str(self.inner))
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, remote_writer}
        await asyncio.gather(self._pump(reader, remote_writer), self._pump(remote_reader, writer))

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


class Watched(WebSocket):
    """A transport that reports before and after a turn's latents are sent and keeps what was sent, except pings."""

    def __init__(self, address: str, at: Callable[[str], None], sent: list[bytes]) -> None:
        super().__init__(address)
        self._at, self._sent = at, sent

    async def send(self, data: bytes) -> None:
        feeds = b'"feed"' in data
        if feeds:
            self._at("sending")
        if b'"ping"' not in data and b'"open"' not in data:
            self._sent.append(data)
        await super().send(data)
        if feeds:
            self._at("sent")


class World:
    """A remote model behind a link and in a process that the tests can break, on an event loop of its own."""

    def __init__(self, folder: Path) -> None:
        self.killable, self.link = Killable(folder / "service"), Link(folder / "service", folder / "link")
        self.sent = list[bytes]()  # what left for the remote model
        self.at: Callable[[str], None] = lambda stage: None  # is told of each stage of a turn
        self.remote = RemoteModel(lambda: Watched(f"unix:{self.link.outer}", self._at, self.sent))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def _at(self, stage: str) -> None:
        self.at(stage)

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Runs `work` to its end on the loop of the link and the process."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def __enter__(self) -> Self:
        self._thread.start()
        self.do(self.killable.open())
        self._proxy = self.do(asyncio.start_unix_server(self.link.accept, str(self.link.outer)))
        self.remote.__enter__()
        assert self.remote.wait_connected(20)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.remote.__exit__(*exc_info)
        self.do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _close(self) -> None:
        self.link.reset()
        self._proxy.close()
        await self._proxy.wait_closed()
        await self.killable.close()


async def reset(link: Link) -> None:
    link.reset()


async def inject_fault(fault: str, link: Link, killable: Killable) -> None:
    if fault == "delay":
        link.delay_s = 0.08
    elif fault == "black hole":
        link.swallow = True
    elif fault == "reset":
        link.reset()
    elif fault == "kill -9":
        killable.kill()
        await killable.start()


def counted(said: str, max_tokens: int, top_k: int) -> Iterator[Token]:
    """The local backbone: it continues the count from `said`. Its first token is an uncertain one."""
    rest = ANSWER[len(said) :][:max_tokens]
    undecided = tuple((i, -3.0) for i in range(top_k))
    for i, char in enumerate([*rest, ""]):
        yield Token(0, i, char, -1.0, None, i == len(rest), undecided if i == 0 else ())


def one_turn(n: int, world: World) -> tuple[str, int, OffloadedTurn]:
    """The text of the answer, and its number of last tokens."""
    world.at("before")
    signals = Signals(False, None, None, 0, remaining_ms=1500.0, privacy="latents may leave")
    inputs: Any = (*(np.ones((5, 4), np.float32) for _ in range(3)), "Count!")
    turn = OffloadedTurn(Turn(n, 0, "test", inputs), counted, world.remote, signals, LIMITS)
    said, n_last = "", 0
    for token in turn.answer(max_tokens=100):
        said += token.text
        n_last += token.last
        assert token.turn_id == n
        world.at({1: "first token", 12: "middle", len(ANSWER): "last token"}.get(len(said), ""))
    return said, n_last, turn


def many_turns(folder: Path, n_turns: int, seed: int) -> tuple[list[float], int]:
    """The ms that each fallback during a reply took, and the number of turns tried remotely."""
    rng, fallback_ms, n_tried = random.Random(seed), list[float](), 0
    with World(folder) as world:
        link, remote = world.link, world.remote
        for n in range(n_turns):
            fault, stage = rng.choice(FAULTS), rng.choice(STAGES)
            struck, began = threading.Event(), time.monotonic()

            def at(now: str, fault: str = fault, stage: str = stage, struck: threading.Event = struck) -> None:
                if now == stage and not struck.is_set():
                    struck.set()
                    world.do(inject_fault(fault, link, world.killable))

            world.at = at
            said, n_last, turn = one_turn(n, world)
            world.at = lambda stage: None
            assert (said, n_last) == (ANSWER, 1), f"turn {n}: {fault} at {stage}: {said!r}"
            assert turn.decision is not None
            n_tried += turn.decision.place != "local"
            if turn.switched_ms is not None:
                fallback_ms.append(turn.switched_ms)
            assert time.monotonic() - began < 30, f"turn {n}: {fault} at {stage}"
            if link.swallow:
                link.swallow = False
                world.do(reset(link))
            link.delay_s = 0.0
            if rng.random() < 0.8:  # sometimes the next turn begins with the link still down
                assert remote.wait_connected(20)
    return fallback_ms, n_tried


def test_offload_forty_turns_with_faults_are_each_answered_once(tmp_path: Path) -> None:
    _, n_tried = many_turns(tmp_path, 40, seed=1)
    assert n_tried > 5


@pytest.mark.slow
def test_offload_many_turns_with_faults_are_each_answered_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fallback_ms, n_tried = many_turns(tmp_path, TURNS, seed=0)
    assert n_tried > TURNS / 5
    p95 = float(np.percentile(fallback_ms, 95))
    with capsys.disabled():
        print(f"\n{TURNS} turns, {n_tried} tried remotely, {len(fallback_ms)} fell back mid-reply: p95 {p95:.0f} ms")
    assert p95 < 1500


def test_offload_privacy_forbids_sending_nothing_leaves(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        signals = Signals(False, None, None, 0, 1500.0, privacy="nothing leaves")
        turn = OffloadedTurn(Turn(1, 0, "test", ("Count!",)), counted, world.remote, signals, LIMITS)
        assert "".join(token.text for token in turn.answer(max_tokens=100)) == ANSWER
        assert world.sent == []
        assert turn.decision is not None
        assert turn.decision.why == "local: the wearer lets nothing leave"


@dataclass
class Bystander:
    """The TurnProgress of a turn that turns out not to be addressed to the assistant, after some looks at it."""

    n_looks: int = 5
    is_completed: bool = False

    def check(self) -> None:
        self.n_looks -= 1
        if self.n_looks < 0:
            raise ModelError(Reason.ABORTED, "not addressed")

    def wait_completed(self) -> None:
        while True:
            self.check()


def test_offload_turn_that_is_never_completed_sends_nothing(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        signals = Signals(False, None, None, 0, 1500.0, privacy="latents may leave")
        given = Turn(1, 0, "test", (np.ones((5, 4), np.float32),))  # type: ignore[arg-type]
        turn = OffloadedTurn(given, counted, world.remote, signals, LIMITS, Bystander())
        with pytest.raises(ModelError, match="not addressed"):
            list(turn.answer(max_tokens=100))
        assert turn.decision is not None
        assert turn.decision.place == "hedge"
        time.sleep(0.2)
        assert world.sent == []
