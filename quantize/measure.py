"""Measures time and memory of two models side by side.

Times are ratios of one paired run: every input goes through both models in turn, and the processor time of the one
thread is counted, so that whatever else the machine does takes no part in it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from glasses.backbone.native import Native
from glasses.errors import InputError, ModelError, Reason
from glasses.model_store.onnx import open_session
from quantize.feeds import Feed, Named

REPEATS = 3  # of each input; the fastest counts
PREFILL_ROWS, DECODED = 128, 24


def encoders(paths: Sequence[Path], feeds: Iterable[Named], tick: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Processor milliseconds an input of each model and `speed`, how many times faster each is than the first.

    Raises InputError(BAD_INPUT) where a feed does not fit.
    """
    sessions = [open_session(path, n_threads=1) for path in paths]
    spent: list[list[float]] = []
    for named in feeds:
        spent.append([min(_cpu_s(session, named.feed) for _ in range(REPEATS)) for session in sessions])
        tick()
    if not spent:
        raise InputError(Reason.BAD_INPUT, "nothing to time: no input fits these models")
    total = np.array(spent).sum(axis=0)
    return {"ms": [float(1e3 * one / len(spent)) for one in total], "speed": [float(total[0] / one) for one in total]}


def _cpu_s(session: Any, feed: Feed) -> float:
    since = time.thread_time()
    session.run(None, feed)
    return time.thread_time() - since


def backbones(paths: Sequence[Path], *, rounds: int = 3) -> dict[str, Any]:
    """The same of GGUF files, one thread: a prefill of 128 tokens, then 24 decodes; `ms` is all of it."""
    natives = [Native(path, n_ctx=256, n_batch=PREFILL_ROWS, n_threads=1) for path in paths]
    tokens = np.arange(1000, 1000 + PREFILL_ROWS, dtype=np.int32)
    best = np.full((len(paths), 2), np.inf)
    try:
        for _ in range(rounds):
            for i, native in enumerate(natives):
                best[i] = np.minimum(best[i], _prefill_and_decode(native, tokens))
    finally:
        for native in natives:
            native.close()
    total = best.sum(axis=1)
    return {
        "ms": [float(1e3 * one) for one in total],
        "speed": [float(total[0] / one) for one in total],
        "prefill_speed": [float(best[0, 0] / one) for one in best[:, 0]],
        "decode_speed": [float(best[0, 1] / one) for one in best[:, 1]],
        "decode_ms": [float(1e3 * one / DECODED) for one in best[:, 1]],
        "prefill_ms": [float(1e3 * one / PREFILL_ROWS) for one in best[:, 0]],
    }


def _prefill_and_decode(native: Native, tokens: np.ndarray) -> tuple[float, float]:
    native.truncate(0)
    since = time.process_time()  # llama.cpp's one thread is the calling one
    native.decode(tokens, 0, hidden=False)
    between = time.process_time()
    for i in range(DECODED):
        native.decode(tokens[i : i + 1], len(tokens) + i, hidden=False)
    return between - since, time.process_time() - between


def resident_mb(path: Path, feed: Feed | None) -> float:
    """MB that a process grows by, loading `path` and using it once: measured in a process of its own, peak.

    `feed` is an ONNX model's input, None for a GGUF. Raises ModelError(INTERNAL) if that process fails.
    """
    shapes = {name: [list(array.shape), str(array.dtype)] for name, array in (feed or {}).items()}
    done = subprocess.run(
        [sys.executable, "-m", "quantize.measure", str(path), json.dumps(shapes)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ModelError(Reason.INTERNAL, f"{path}: its memory could not be measured: {last}")
    return float(done.stdout)


def _grow(path: Path, shapes: dict[str, Any]) -> float:
    before = _peak_kb()
    if path.suffix == ".gguf":
        native = Native(path, n_ctx=2048, n_batch=PREFILL_ROWS, n_threads=1)
        _prefill_and_decode(native, np.arange(PREFILL_ROWS, dtype=np.int32))
    else:
        feed = {name: np.zeros(shape, dtype) for name, (shape, dtype) in shapes.items()}
        open_session(path, n_threads=1).run(None, feed)
    return (_peak_kb() - before) / 1e3


def _peak_kb() -> float:
    """Peak resident memory: /proc's VmHWM, for getrusage counts what the parent had before the fork."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return float(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1.024


if __name__ == "__main__":
    print(_grow(Path(sys.argv[1]), json.loads(sys.argv[2])))
