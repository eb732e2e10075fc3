"""Turns that may be answered over a network that is slow, loses packets, and goes; run in a namespace of its own.

`python slow_network.py N_TURNS TC_ARGUMENT...`: N_TURNS turns with the loopback device as `tc qdisc` makes it (no
arguments: as it is), then some in which it goes in the middle of a reply, then some without it. One JSON line a turn.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time

import numpy as np
from counting import ANSWER, CountingEngine

from glasses.offload.answerer import WAIT_MS
from glasses.offload.policy import Limits, Signals
from glasses.offload.remote import Remote
from glasses.offload.turn import OffloadedTurn
from glasses.service.client.client import Client
from glasses.service.client.transport import WebSocket
from glasses.service.server.in_process import InProcess
from glasses.service.server.server import Listen, serving
from glasses.service.server.service import Caps, Service

SAY_S = 0.8  # between two parts of a turn: somebody speaks
N_GOES = N_GONE = 3
SHIPPED = WAIT_MS, Limits()
# The link is waited for though it is slow, and the first piece is never sure: what the far side does then matters.
EAGER = 1200.0, Limits(sure_nats=-1.0, reserve_ms=300.0, remote_start_ms=5.0)


def network(*command: str) -> None:
    subprocess.run(command, check=True)


async def one_turn(n: int, phase: str, local: Client, remote: Remote) -> None:
    """Says a turn, and how it was answered; in the phase "goes" the network does, after the fifth piece."""
    wait_ms, limits = EAGER if n % 2 else SHIPPED
    signals = Signals(False, None, None, 0, remaining_ms=wait_ms, privacy="latents may leave")
    turn = await OffloadedTurn.begin(n, local, remote, signals, limits)
    for _ in range(3):
        await turn.feed(np.ones((5, 4), np.float32))
        await asyncio.sleep(SAY_S)
    await turn.feed("Count!")
    await asyncio.sleep(SAY_S)
    said, n_last, silences_s, before_s = "", 0, list[float](), time.monotonic()
    async for piece in turn.answer(max_tokens=100):
        silences_s.append(time.monotonic() - before_s)
        said, n_last = said + piece.text, n_last + piece.last
        if phase == "goes" and len(silences_s) == 5:
            network("ip", "link", "set", "lo", "down")
        before_s = time.monotonic()
    assert turn.decision is not None
    about = {
        "phase": phase,
        "whole": said == ANSWER,
        "last_pieces": n_last,
        "tried_far": turn.decision.place != "local",
    }
    times = {"first_s": silences_s[0], "longest_s": max(silences_s), "rtt_ms": remote.meter.rtt_ms}
    print(json.dumps({**about, "broke_off": turn.switched_ms is not None, **times}), flush=True)


async def connected(remote: Remote) -> None:
    async with asyncio.timeout(60):
        while not remote.connected:
            await asyncio.sleep(0.05)


async def main(n_turns: int, tc: list[str]) -> None:
    network("ip", "link", "set", "lo", "up")
    if tc:
        network("tc", "qdisc", "add", "dev", "lo", "root", *tc)
    far, near = (Service(CountingEngine, backend="counting", caps=Caps(sessions=64)) for _ in range(2))
    await near.start()
    async with serving(far, Listen("127.0.0.1:0")) as there, Client(InProcess(near)) as local:
        remote = Remote(lambda: WebSocket(there.address))
        remote.start()
        await connected(remote)
        for n in range(n_turns):
            await one_turn(n, "slow", local, remote)
        for n in range(N_GOES):
            await connected(remote)
            await one_turn(2 * n + 1, "goes", local, remote)
            if n < N_GOES - 1:
                network("ip", "link", "set", "lo", "up")
        for n in range(N_GONE):
            await one_turn(n, "gone", local, remote)
        network("ip", "link", "set", "lo", "up")
        await connected(remote)
        await one_turn(1, "back", local, remote)
        await remote.close()
    await near.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2:]))
