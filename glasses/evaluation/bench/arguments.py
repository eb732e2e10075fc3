"""The arguments of everyday requests, given the tool that each asks for: typed, spoken, and spoken in noise."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from glasses.data import data_path
from glasses.evaluation.degrade import with_noise
from glasses.evaluation.progress import Tick
from glasses.evaluation.requests import NOW, Request, read_requests, right_arguments
from glasses.evaluation.subset import spread
from glasses.model_store import store
from glasses.runtime.bundle import LoadedBundle, open_bundle
from glasses.runtime.prompt import request_of, suffix_of
from glasses.tools.arguments import ArgumentReader
from glasses.tools.builtin import BUILTIN
from glasses.types import Float32Array
from glasses.wake_word_training.voices import flite

HELD_OUT_VOICE = "rms"
CONDITIONS: dict[str, Callable[[Float32Array], Float32Array]] = {"spoken": lambda pcm: pcm, "10 dB noise": with_noise}
Rows = Callable[[LoadedBundle, str], Float32Array]


@dataclass(slots=True)
class Counted:
    """Requests whose arguments were right, of how many; `wrong` tells of the others."""

    right: int = 0
    of: int = 0
    tools: Counter[str] = field(default_factory=Counter)
    wrong: list[dict[str, Any]] = field(default_factory=list)
    longest_ms: float = 0.0

    def figures(self) -> dict[str, Any]:
        return {
            "right": round(self.right / max(1, self.of), 4),
            "requests": self.of,
            "wrong by tool": dict(self.tools.most_common()),
            "longest ms": round(self.longest_ms),
            "wrong": self.wrong,
        }


def typed_rows(loaded: LoadedBundle, words: str) -> Float32Array:
    """The rows of typed words."""
    return loaded.backbone.token_rows(loaded.backbone.tokenize(words, special=False))


def spoken_rows(loaded: LoadedBundle, words: str, *, change: Callable[[Float32Array], Float32Array]) -> Float32Array:
    """The rows of words said by a voice that nothing was trained on (Debian: flite), the room's sound included."""
    pcm = np.pad(flite(words, random.Random(words), (HELD_OUT_VOICE,)), (1600, 3200))
    inputs = [np.asarray(one) for one in request_of(loaded, loaded.encode_audio(change(pcm.astype(np.float32))))]
    rows: list[Float32Array] = [np.zeros((0, loaded.backbone.n_embd), np.float32)]
    return np.concatenate(rows + [one for one in inputs if one.ndim == 2])


def measure(
    loaded: LoadedBundle, reader: ArgumentReader, requests: Sequence[Request], rows_of: Rows, tick: Tick
) -> Counted:
    """How many requests get the right arguments, each by itself behind the system prompt."""
    tools = {tool.name: tool for tool in BUILTIN}
    counted = Counted()
    for request in requests:
        tool = tools.get(request.tool)
        if tool is None or not tool.arguments.__struct_fields__:
            continue
        rows = rows_of(loaded, request.words)
        loaded.backbone.rollback(loaded.n_prefix)
        loaded.backbone.feed([rows, suffix_of(loaded.backbone)])
        since_s = time.monotonic()
        found = reader.read(tool, rows)
        counted.longest_ms = max(counted.longest_ms, (time.monotonic() - since_s) * 1e3)
        counted.of += 1
        if right_arguments(request.tool, found, request.expected):
            counted.right += 1
        else:
            counted.tools[request.tool] += 1
            counted.wrong.append({"words": request.words, "tool": request.tool, "found": found})
        tick("requests", counted.of, None)
    return counted


def run(bundle: str, *, with_speech: bool, limit: int | None, tick: Tick) -> dict[str, Any]:
    """Figures over models/eval/requests; at most `limit` requests, spread over the set."""
    requests = spread(read_requests(data_path("models/eval/requests") / "tools.jsonl"), limit)
    loaded = open_bundle(bundle)
    name = loaded.bundle.tool_arguments
    reader = ArgumentReader(loaded.backbone, None if name is None else store.path_of(name), lambda: NOW)
    reader.prepare()
    try:
        out = {"typed": measure(loaded, reader, requests, typed_rows, tick).figures()}
        for condition, change in CONDITIONS.items() if with_speech else ():
            out[condition] = measure(loaded, reader, requests, partial(spoken_rows, change=change), tick).figures()
    finally:
        loaded.close()
    return out


def report(figures: dict[str, Any]) -> str:
    """The figures as text."""
    lines = []
    for condition, one in figures.items():
        wrong = ", ".join(f"{tool} {n}" for tool, n in one["wrong by tool"].items())
        lines.append(
            f"{condition:>12}  {one['right']:6.1%} of {one['requests']} requests have the right arguments, "
            f"at most {one['longest ms']} ms each"
        )
        lines.append(f"{'':>12}  wrong: {wrong or 'none'}")
    return "\n".join(lines)
