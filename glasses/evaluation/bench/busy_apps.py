"""Apps that want the backbone all the time, in processes of their own, beside a wearer: for `bench latency --apps`.

`python -m glasses.evaluation.bench.busy_apps unix:PATH` is one of them.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from glasses.backbone.handover import Handover
from glasses.errors import InputError, Reason
from glasses.runtime.bundle import LoadedBundle
from glasses.service.client import SyncClient, WebSocket

PROMPT = "Tell me a long story about a dragon that lives in a cave by the sea. " * 8  # some 130 rows
TOKENS = 200


@contextmanager
def busy_apps(loaded: LoadedBundle, folder: Path, n: int) -> Iterator[Handover]:
    """Keeps `n` apps busy meanwhile; gives what shares the backbone between them and the wearer.

    Raises InputError(INTERNAL) where an app does not begin.
    """
    from glasses.service.server.kernel import Kernel  # noqa: PLC0415  (clients below need no server)

    path, handover = folder / "apps.sock", Handover(loaded.backbone)
    path.unlink(missing_ok=True)
    with ExitStack() as stack:
        sock = stack.enter_context(socket.socket(socket.AF_UNIX))
        sock.bind(str(path))
        sock.listen()
        sock.setblocking(False)
        kernel = Kernel(loaded, handover, sock, f"unix:{path}", tokens=folder / "apps.tokens")
        stack.enter_context(kernel.running())
        handover.give()  # nobody speaks to the wearer's side yet, which would
        for _ in range(n):
            command = [sys.executable, "-m", "glasses.evaluation.bench.busy_apps", f"unix:{path}"]
            process = stack.enter_context(
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            )
            stack.callback(process.kill)
            if process.stdout is None or process.stdout.readline() != "connected\n":
                raise InputError(Reason.INTERNAL, "an app could not connect")
        yield handover


def _be_busy(address: str) -> None:
    with SyncClient(lambda: WebSocket(address, open_timeout_s=30.0)) as client:
        print("connected", flush=True)
        while True:
            session = client.open()
            session.feed(PROMPT)
            for _ in session.generate(max_tokens=TOKENS):
                pass
            session.close()


if __name__ == "__main__":
    _be_busy(sys.argv[1])
