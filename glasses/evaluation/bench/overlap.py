"""What streaming latents while the wearer speaks saves, against sending all of them at the end of speech.

A real service on a Unix socket, behind a relay that delays everything by half a round trip each way. Both ways send the
same windows of the same speech, in pairs whose order is reversed each time. Times are from the end of speech to the
first token.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from glasses.encoders.audio import windows
from glasses.evaluation.progress import Tick
from glasses.recording.demo_session import SHIPPED, load_session
from glasses.runtime.bundle import SPARE_ONE, open_bundle
from glasses.service.client.client import Client
from glasses.service.client.transport import WebSocket
from glasses.service.engines.llama import LlamaEngine
from glasses.service.server.server import Listen, serving
from glasses.service.server.service import Service
from glasses.system.event_loop import run_until_signal
from glasses.types import SAMPLE_RATE_HZ, Latents

ROUND_TRIPS_MS = (20, 80, 200)
WINDOW_S, PAIRS = 1.2, 3


class Relay:
    """Passes bytes of a Unix socket on after `delay_s`, in order."""

    def __init__(self, inner: Path) -> None:
        self.inner, self.delay_s = inner, 0.0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(str(self.inner))
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while data := await reader.read(65_536):
            loop.call_later(self.delay_s, writer.write, data)
        with suppress(OSError):
            loop.call_later(self.delay_s, writer.close)


def run(bundle_name: str, *, tick: Tick = lambda stage, done, total: None) -> dict[str, Any]:
    """Medians in ms by round trip, and the ratio of the two. Raises ModelError where the bundle was not pulled."""
    return run_until_signal(_run(bundle_name, tick))


def report(figures: dict[str, Any]) -> str:
    """One line a round trip."""
    lines = [f"{figures['speech_s']:.1f} s of speech in {figures['windows']} windows, {figures['pairs']} pairs"]
    for ms, row in figures["by_round_trip_ms"].items():
        line = f"round trip {ms:>3} ms: first token after {row['streamed_ms']:.0f} ms, all at the end"
        lines.append(f"{line} {row['at_the_end_ms']:.0f} ms, ratio {row['ratio']:.2f}")
    return "\n".join(lines)


async def _run(bundle_name: str, tick: Tick) -> dict[str, Any]:
    latents: list[Latents] = []

    def opened() -> LlamaEngine:
        loaded = open_bundle(bundle_name, n_threads=SPARE_ONE)
        latents.extend(loaded.audio_encoder.encode(window) for window in windows(_speech(), max_s=WINDOW_S))
        return LlamaEngine(loaded)

    with tempfile.TemporaryDirectory() as folder:
        inner, outer = Path(folder, "service"), Path(folder, "relay")
        service, relay = Service(opened, backend="llama"), Relay(inner)
        async with serving(service, Listen(f"unix:{inner}")):
            server = await asyncio.start_unix_server(relay.accept, str(outer))
            async with Client(WebSocket(f"unix:{outer}"), dtype="i8") as client:
                rows = {ms: await _pairs(client, relay, ms, latents, tick) for ms in ROUND_TRIPS_MS}
            server.close()
    speech_s = sum(x.duration_ns for x in latents) / 1e9
    return {"speech_s": speech_s, "windows": len(latents), "pairs": PAIRS, "by_round_trip_ms": rows}


async def _pairs(
    client: Client, relay: Relay, round_trip_ms: int, latents: list[Latents], tick: Tick
) -> dict[str, float]:
    relay.delay_s = round_trip_ms / 2000
    took: dict[bool, list[float]] = {True: [], False: []}
    for pair in range(PAIRS):
        for streamed in (True, False) if pair % 2 else (False, True):
            took[streamed].append(await _turn(client, latents, streamed=streamed))
        tick(f"round trip {round_trip_ms} ms", pair + 1, PAIRS)
    ratios = [a / b for a, b in zip(took[True], took[False], strict=True)]
    return {
        "streamed_ms": statistics.median(took[True]),
        "at_the_end_ms": statistics.median(took[False]),
        "ratio": statistics.median(ratios),
    }


async def _turn(client: Client, latents: list[Latents], *, streamed: bool) -> float:
    """ms from the end of speech to the first token."""
    session = await client.open()
    feeds: list[asyncio.Task[int]] = []
    ends = time.monotonic()
    for window in latents:
        ends += window.duration_ns / 1e9
        if streamed:
            await asyncio.sleep(max(0.0, ends - time.monotonic()))
            feeds.append(asyncio.create_task(session.feed(window)))
    await asyncio.sleep(max(0.0, ends - time.monotonic()))
    ended = time.monotonic()
    if not streamed:
        feeds = [asyncio.create_task(session.feed(window)) for window in latents]
    await asyncio.sleep(0)  # the feeds are on their way before the request to answer
    pieces = session.generate(max_tokens=1)
    await anext(pieces)
    took_ms = 1000 * (time.monotonic() - ended)
    await pieces.aclose()  # type: ignore[attr-defined]  # an async generator
    await asyncio.gather(*feeds)
    await session.close()
    return took_ms


def _speech() -> np.ndarray:
    """The shipped session's longest addressed sentence, float32 (N,)."""
    session = load_session(SHIPPED)
    said = max((s for s in session.said if s.addressed), key=lambda s: s.end_ms - s.t_ms)
    first, after = said.t_ms * SAMPLE_RATE_HZ // 1000, said.end_ms * SAMPLE_RATE_HZ // 1000
    return (session.pcm[first:after] / 32768).astype(np.float32)
