"""A fake backbone that answers every question with "0 1 2 ... 12.", so that lost, doubled or mixed answers show.

The service, its client and the offload that are tested with it are real. Run as a program it starts services to be
killed: each line on stdin forks one, with everything loaded, on the Unix socket that the first argument names; it
prints the process id on stdout.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from glasses.backbone.prompt import SYSTEM
from glasses.backbone.prompt_format import CHATML
from glasses.service.engines.engine import Ability, Context, Output
from glasses.service.protocol import events
from glasses.service.server.server import Listen, serving
from glasses.service.server.service import Caps, Service

ANSWER = " ".join(map(str, range(13))) + "."
N_VOCAB, N_EMBD, EOS, OTHER = 258, 4, 256, 257


class Bytes:
    """A tokenizer with one token a byte."""

    n_vocab, eos = N_VOCAB, frozenset({EOS})

    def tokenize(self, text: str, *, special: bool = True) -> list[int]:
        return list(text.encode())

    def token_rows(self, ids: list[int]) -> np.ndarray:
        return np.repeat(np.array(ids, np.float32)[:, None], N_EMBD, axis=1)

    def token_bytes(self, token: int) -> bytes:
        return bytes([token]) if token < 256 else b""


async def _squares(_run: Any, _added: Any, request: Any, arrays: list[np.ndarray]) -> tuple[Any, list[np.ndarray]]:
    """A Gradient API whose loss is the sum of squares of all rows."""
    await asyncio.sleep(0.002)
    loss = float(sum(np.square(a).sum() for a in arrays))
    return events.Gradients(request.rid, loss, 1), [2 * a for a in arrays]


@dataclass
class CountingParts:
    """The fields of `glasses.runtime.bundle.LoadedBundle` that a service reads."""

    backbone: Any
    bundle: Any

    def widths(self) -> dict[str, int]:
        """One latent space."""
        return {"none:0": 4}


class CountingEngine:
    """An engine whose context is the bytes fed to it; each row counts as one OTHER."""

    can: tuple[Ability, ...] = ("latent", "hidden", "tokens", "gradient")
    gradient: Any = staticmethod(_squares)

    def __init__(self) -> None:
        vocabulary = Bytes()
        backbone = SimpleNamespace(
            vocabulary=vocabulary,
            tokenize=vocabulary.tokenize,
            token_rows=vocabulary.token_rows,
            n_vocab=N_VOCAB,
            n_embd=N_EMBD,
            n_ctx=4096,
            sha256="0",
            prompt_format=CHATML,
        )
        self.loaded: Any = CountingParts(
            backbone=backbone,
            bundle=SimpleNamespace(name="n"),
        )
        prefix = tuple(CHATML.prefix(SYSTEM).encode())
        self.chat = Context(len(prefix), prefix)

    def feed(self, context: Context, inputs: Any, *, hidden: bool) -> Output:
        for part in inputs:
            rows = np.asarray(part)
            context.state = (*(context.state or ()), *(rows.tolist() if rows.ndim == 1 else [OTHER] * len(rows)))
        context.n_past = len(context.state)
        _, asked, said = bytes(b for b in context.state if b < 256).decode().rpartition(CHATML.suffix)
        said = said if asked and ANSWER.startswith(said) else ""  # else the next turn's parts
        logits = np.zeros(N_VOCAB, np.float32)
        logits[ord(ANSWER[len(said)]) if said != ANSWER else EOS] = 9.0
        return Output(logits, np.zeros(N_EMBD, np.float32) if hidden else None)

    def slices(self, inputs: Any) -> list[list[Any]]:
        return [list(inputs)]

    def truncate(self, context: Context, n_past: int) -> None:
        context.state, context.n_past = (context.state or ())[:n_past], n_past

    def copy(self, context: Context) -> Context:
        return Context(context.n_past, context.state)

    def abort(self) -> None: ...
    def clear_abort(self) -> None: ...
    def close(self) -> None: ...


async def serve(path: Path) -> None:
    service = Service(CountingEngine, backend="counting", caps=Caps(sessions=64, linger_s=2.0))
    async with serving(service, Listen(f"unix:{path}")) as running:
        await running.task


def main() -> None:
    print("ready", flush=True)
    child = 0
    for _ in sys.stdin:
        if child:
            os.waitpid(child, 0)  # it was killed; only when it is gone its socket is free
        child = os.fork()
        if not child:
            asyncio.run(serve(Path(sys.argv[1])))
            return
        print(child, flush=True)


if __name__ == "__main__":
    main()
