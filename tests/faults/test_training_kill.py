"""A training run whose service is killed and whose link breaks applies every step once, to the last bit."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_offload import Killable, Link

from glasses.errors import RemoteError
from glasses.service.client.client import Client
from glasses.service.client.transport import WebSocket
from glasses.service.protocol import messages

STEPS = 60


def undisturbed(weights: np.ndarray) -> np.ndarray:
    for _ in range(STEPS):
        weights = weights - np.float32(0.01) * 2 * weights
    return weights


def test_gradient_client_service_killed_loses_and_repeats_no_step(tmp_path: Path) -> None:
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


def trained(
    address: str, path: Path, before_step: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> np.ndarray:
    """The rows of names that the recipe `sound_align` trains through the service at `address`."""
    from models.recipes import sound_align  # noqa: PLC0415  (the extra `train`)
    from tests.contract import recipe_fixtures  # noqa: PLC0415

    class Watched(sound_align.Source):
        def batch(self, step: int, size: int) -> list[Any]:
            before_step(step)
            return super().batch(step, size)

    with monkeypatch.context() as patched:
        patched.setattr(sound_align, "Source", Watched)
        connector = recipe_fixtures.connector()
        sound_align.train(
            connector, recipe_fixtures.clips(), gguf=Path(), path=path, steps=STEPS, batch=4, through=address
        )
    return connector.names.detach().numpy()


@pytest.mark.train
def test_sound_align_service_killed_trains_the_same_to_the_last_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sound_align --through` trains to the last bit what an undisturbed run trains."""
    pytest.importorskip("torch", reason="needs the train extra")
    rng = random.Random(0)

    async def scenario() -> tuple[np.ndarray, np.ndarray, int]:
        killable, link = Killable(tmp_path / "service"), Link(tmp_path / "service", tmp_path / "link")
        await killable.open()
        relay = await asyncio.start_unix_server(link.accept, str(link.outer))
        await _reachable(link)
        loop, one_at_a_time, strikes = asyncio.get_running_loop(), asyncio.Lock(), []

        async def strike(delay_s: float, kill: bool) -> None:
            async with one_at_a_time:
                await asyncio.sleep(delay_s)
                if kill:
                    killable.kill()
                    await killable.start()
                else:
                    link.reset()

        def sometimes(_step: int) -> None:
            if rng.random() < 0.4:
                work = strike(rng.choice((0.0, 0.005, 0.02)), rng.random() < 0.5)
                strikes.append(asyncio.run_coroutine_threadsafe(work, loop))

        address = f"unix:{link.outer}"
        whole = await asyncio.to_thread(trained, address, tmp_path / "whole.pt", lambda _: None, monkeypatch)
        struck = await asyncio.to_thread(trained, address, tmp_path / "struck.pt", sometimes, monkeypatch)
        for work in strikes:
            await asyncio.wrap_future(work)
        relay.close()
        link.reset()
        await relay.wait_closed()
        await killable.close()
        return whole, struck, len(strikes)

    whole, struck, n_strikes = asyncio.run(scenario())
    assert n_strikes > 10
    assert np.array_equal(whole, struck)
