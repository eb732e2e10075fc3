"""A training run whose service is killed and whose link breaks: every step is applied once, to the last bit."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import numpy as np
from test_offload import Killable, Link

from glasses.errors import RemoteError
from glasses.service import messages
from glasses.service.client import Client
from glasses.service.transport import WebSocket

STEPS = 60


def undisturbed(weights: np.ndarray) -> np.ndarray:
    for _ in range(STEPS):
        weights = weights - np.float32(0.01) * 2 * weights
    return weights


def test_no_step_is_lost_or_repeated(tmp_path: Path) -> None:
    rng = random.Random(0)
    start = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)

    async def scenario() -> tuple[np.ndarray, int]:
        killable, link = Killable(tmp_path / "service"), Link(tmp_path / "service", tmp_path / "link")
        await killable.open()
        relay = await asyncio.start_unix_server(link.accept, str(link.outer))
        weights, struck = start, 0
        async with Client(await _reachable(link), resume_s=60.0) as client:
            for step in range(STEPS):
                request = messages.ForwardBackward(
                    client.next_rid(), f"run:{step}", [[messages.Rows(0)]], messages.CrossEntropy([[1]])
                )
                call = asyncio.create_task(client.call(request, [weights]))
                if rng.random() < 0.4:
                    await asyncio.sleep(rng.choice((0.0, 0.001, 0.004)))  # before, while and after it is computed
                    struck += 1
                    if rng.random() < 0.5:
                        link.reset()
                    else:
                        killable.kill()
                        await killable.start()
                _, (gradient,) = await call
                weights = (weights - np.float32(0.01) * gradient).astype(np.float32)
        relay.close()
        link.reset()
        await relay.wait_closed()
        await killable.close()
        return weights, struck

    weights, struck = asyncio.run(scenario())
    assert struck > 10
    assert np.array_equal(weights, undisturbed(start))


async def _reachable(link: Link) -> WebSocket:
    """The service needs a moment to start."""
    while True:
        probe = WebSocket(f"unix:{link.inner}")
        try:
            await probe.open()
        except RemoteError:
            await asyncio.sleep(0.05)
        else:
            await probe.close()
            return WebSocket(f"unix:{link.outer}")
