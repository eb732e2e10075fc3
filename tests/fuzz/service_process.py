"""Runs the service in its own process, as `glasses serve` does, with the pocket backbone cut to three layers.

`python -m tests.fuzz.service_process FOLDER` prints its address; SIGINT ends it.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

from glasses.model_store import store
from glasses.service.server.server import Listen, serving
from glasses.service.server.service import Caps, Service
from tests.contract.service_fixtures import small_llama


async def serve(folder: Path) -> None:
    gguf = store.path_of("smollm2-135m-instruct-q4_1")
    service = Service(small_llama(gguf, folder), backend="llama", tokens=folder / "t.tokens", caps=Caps(linger_s=1.0))
    async with serving(service, Listen("127.0.0.1:0")) as running:
        print(running.address, flush=True)
        await running.until_signal()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(Path(sys.argv[1])))
