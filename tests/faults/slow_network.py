"""Answers turns over a network that is slow, loses packets and disappears; runs in its own network namespace.

`python slow_network.py N_TURNS TC_ARGUMENT...` answers N_TURNS turns with the loopback device as `tc qdisc` sets it (no
arguments: unchanged), then some during which it goes down, then some without it. It prints one JSON line a turn.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from counting import ANSWER, CountingEngine

from glasses.backbone.inputs import ModelInput
from glasses.offload.answerer import WAIT_MS
from glasses.offload.policy import Limits, Signals
from glasses.offload.remote import RemoteModel
from glasses.offload.turn import OffloadedTurn
from glasses.service.client.transport import WebSocket
from glasses.service.engines.engine import Context, Output
from glasses.service.server.server import Listen, serving
from glasses.service.server.service import Caps, Service
from glasses.types import Token, Turn

PAUSE_S = 0.8  # between two turns
TOKEN_S = 0.03
N_GOES = N_GONE = 3
SHIPPED = WAIT_MS, Limits()
# The link is waited for though it is slow, and the first token is never sure: what the remote model does then matters.
EAGER = 1200.0, Limits(sure_nats=-1.0, reserve_ms=300.0, remote_start_ms=5.0)


class UnhurriedEngine(CountingEngine):
    """Takes as long for a token as a model does, so that the network can go down during an answer."""

    def feed(self, context: Context, inputs: Sequence[ModelInput], *, hidden: bool) -> Output:
        time.sleep(TOKEN_S)
        return super().feed(context, inputs, hidden=hidden)


def network(*command: str) -> None:
    subprocess.run(command, check=True)


def counted(said: str, max_tokens: int, top_k: int) -> Iterator[Token]:
    """The local backbone: it continues the count from `said`. Its first token is an uncertain one."""
    rest = ANSWER[len(said) :][:max_tokens]
    undecided = tuple((i, -3.0) for i in range(top_k))
    for i, char in enumerate([*rest, ""]):
        yield Token(0, i, char, -1.0, None, i == len(rest), undecided if i == 0 else ())


def one_turn(n: int, phase: str, remote: RemoteModel) -> None:
    """Answers a turn and returns how. In the phase "goes" the network goes down after the fifth token."""
    wait_ms, limits = EAGER if n % 2 else SHIPPED
    signals = Signals(False, None, None, 0, remaining_ms=wait_ms, privacy="latents may leave")
    inputs: Any = (*(np.ones((5, 4), np.float32) for _ in range(3)), "Count!")
    turn = OffloadedTurn(Turn(n, 0, "test", inputs), counted, remote, signals, limits)
    said, n_last, silences_s, before_s = "", 0, list[float](), time.monotonic()
    for token in turn.answer(max_tokens=100):
        silences_s.append(time.monotonic() - before_s)
        said, n_last = said + token.text, n_last + token.last
        if phase == "goes" and len(silences_s) == 5:
            network("ip", "link", "set", "lo", "down")
        before_s = time.monotonic()
    assert turn.decision is not None
    about = {
        "phase": phase,
        "whole": said == ANSWER,
        "last_tokens": n_last,
        "tried_remotely": turn.decision.place != "local",
    }
    times = {"first_s": silences_s[0], "longest_s": max(silences_s), "rtt_ms": remote.meter.rtt_ms}
    print(json.dumps({**about, "broke_off": turn.switched_ms is not None, **times}), flush=True)


def answer_all(address: str, n_turns: int) -> None:
    """Answers all turns, in a thread beside the service's event loop."""
    with RemoteModel(lambda: WebSocket(address)) as remote:
        assert remote.wait_connected(60)
        for n in range(n_turns):
            one_turn(n, "slow", remote)
            time.sleep(PAUSE_S)
        for n in range(N_GOES):
            assert remote.wait_connected(60)
            one_turn(2 * n + 1, "goes", remote)
            if n < N_GOES - 1:
                network("ip", "link", "set", "lo", "up")
        for n in range(N_GONE):
            one_turn(n, "gone", remote)
        network("ip", "link", "set", "lo", "up")
        assert remote.wait_connected(60)
        one_turn(1, "back", remote)


async def main(n_turns: int, tc: list[str]) -> None:
    network("ip", "link", "set", "lo", "up")
    if tc:
        network("tc", "qdisc", "add", "dev", "lo", "root", *tc)
    service = Service(UnhurriedEngine, backend="counting", caps=Caps(sessions=64))
    async with serving(service, Listen("127.0.0.1:0")) as running:
        await asyncio.to_thread(answer_all, running.address, n_turns)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2:]))
