"""Everyday requests: is the right tool chosen with the right arguments, typed and spoken, and none without need?

The wordings are those of models/eval/requests, which nothing is trained or tuned on. They are spoken by a voice that
no part was trained with (flite's rms). The baseline is the same backbone with all tools in its prompt, seven examples,
and a grammar that its answer has to fit.
"""

from __future__ import annotations

import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from glasses.data import data_path
from glasses.errors import InputError, Reason
from glasses.evaluation.bench import request_baseline
from glasses.evaluation.bench.arguments import spoken_rows, typed_rows
from glasses.evaluation.degrade import with_noise
from glasses.evaluation.progress import Tick
from glasses.evaluation.requests import read_requests, right_arguments
from glasses.evaluation.subset import spread
from glasses.runtime.bundle import LoadedBundle, open_bundle
from glasses.runtime.heads import open_argument_reader, open_tool_chooser
from glasses.runtime.prompt import suffix_of
from glasses.tools.arguments import ArgumentReader
from glasses.tools.builtin import BUILTIN
from glasses.tools.choice import ToolChooser
from glasses.types import Float32Array

FOLDER = data_path("models/eval/requests")
SETS = {"first": "", "stranger": "stranger-"}  # and what their files' names start with
TOOLS = {tool.name: tool for tool in BUILTIN}
_SHOWN = 40  # mistakes

Rows = Callable[[str], Float32Array]


class Call(NamedTuple):
    """What a turn is taken for: a tool or None, and its arguments, None where they were not read."""

    tool: str | None
    arguments: dict[str, Any] | None = None


def run(
    bundle: str, *, spoken: bool = False, noise_db: float | None = None, with_baseline: bool = False,
    limit: int | None = None, of: str = "first", tick: Tick = lambda stage, done, total: None,
) -> dict[str, Any]:  # fmt: skip
    """Figures over at most `limit` wordings of each kind, spread over the set `of` SETS.

    Raises ModelError: NOT_FOUND, CORRUPT; InputError(UNSUPPORTED) for a bundle that has no tool choice.
    """
    loaded = open_bundle(bundle)
    try:
        tracemalloc.start()  # resident memory says nothing: what the bundle gave back is used again
        chooser = open_tool_chooser(loaded)
        held_mb = tracemalloc.get_traced_memory()[0] / 1e6
        tracemalloc.stop()
        if chooser is None:
            raise InputError(Reason.UNSUPPORTED, f"the bundle {bundle} has no tool_choice")
        system = ToolRows(loaded, chooser, open_argument_reader(loaded), _rows(loaded, spoken, noise_db))
        figures = measure(system.call, limit, "the tools' rows", tick, of)
        figures |= {"choice_ms": round(1000 * float(np.median(system.took_s)), 2), "memory_mb": round(held_mb, 1)}
        if with_baseline:
            prompted = request_baseline.PromptedCalls(loaded)
            figures["baseline"] = measure(lambda words: Call(prompted.choose(words)), limit, "the baseline", tick, of)
    finally:
        loaded.close()
    chance = round(1 / (len(TOOLS) + 1), 4)
    return {
        "bundle": bundle,
        "set": of,
        "spoken": spoken or noise_db is not None,
        "noise_db": noise_db,
        "chance": chance,
        **figures,
    }


def _rows(loaded: LoadedBundle, spoken: bool, noise_db: float | None) -> Rows:
    if noise_db is not None:
        return partial(spoken_rows, loaded, change=lambda pcm: with_noise(pcm, noise_db))
    return partial(spoken_rows, loaded, change=lambda pcm: pcm) if spoken else partial(typed_rows, loaded)


class ToolRows:
    """What `glasses run` does with a turn: its tool is chosen by rows, and the arguments are read."""

    def __init__(self, loaded: LoadedBundle, chooser: ToolChooser, reader: ArgumentReader, rows: Rows) -> None:
        self._loaded, self._chooser, self._reader, self._rows = loaded, chooser, reader, rows
        self.took_s = list[float]()  # of each choice

    def call(self, words: str) -> Call:
        """Raises ModelError as the backbone does."""
        rows = self._rows(words)
        since_s = time.perf_counter()
        chosen = self._chooser.choose(rows, list(TOOLS))
        self.took_s.append(time.perf_counter() - since_s)
        if chosen is None:
            return Call(None)
        backbone = self._loaded.backbone
        backbone.rollback(self._loaded.n_prefix)
        backbone.feed([rows, suffix_of(backbone)])
        return Call(chosen.name, self._reader.read(TOOLS[chosen.name], rows))


def measure(
    call: Callable[[str], Call], limit: int | None, stage: str, tick: Tick, of: str = "first"
) -> dict[str, Any]:
    """What one system makes of each kind of wording."""
    start = SETS[of]
    requests = spread(read_requests(FOLDER / f"{start}tools.jsonl"), limit)
    none, unable = (
        spread((FOLDER / f"{start}{name}.txt").read_text().splitlines(), limit) for name in ("none", "unable")
    )
    words = [*(one.words for one in requests), *none, *unable]
    wanted = [*(one.tool for one in requests), *[None] * len(none), *["unable"] * len(unable)]
    calls = list[Call]()
    for i, one in enumerate(words):
        tick(stage, i, len(words))
        calls.append(call(one))
    pairs = list(zip(wanted, (one.tool for one in calls), strict=True))
    asked, silent, beyond = pairs[: len(requests)], pairs[len(requests) : -len(unable)], pairs[-len(unable) :]
    whole = [
        got.tool == one.tool and right_arguments(one.tool, got.arguments or {}, one.expected)
        for one, got in zip(requests, calls, strict=False)
    ]
    return {
        "n": {"requests": len(asked), "none": len(silent), "unable": len(beyond)},
        "right_tool": _share(asked, lambda tool, got: tool == got),
        "right_call": round(sum(whole) / len(whole), 4),
        "false_calls": _share(silent, lambda tool, got: got is not None),
        "unable_told": _share(beyond, lambda tool, got: tool == got),
        "wrong_tool_of_unable": _share(beyond, lambda tool, got: got not in (None, "unable")),
        "wrong": [
            f"{one} | {a or 'none'} -> {b or 'none'}" for one, (a, b) in zip(words, pairs, strict=True) if a != b
        ],
    }


def _share(pairs: Sequence[tuple[str | None, str | None]], of: Callable[[str | None, str | None], bool]) -> float:
    return round(sum(of(wanted, got) for wanted, got in pairs) / max(1, len(pairs)), 4)


def report(figures: Mapping[str, Any]) -> str:
    """The figures as a table for people."""
    systems = {"tool rows": figures} | ({"baseline": figures["baseline"]} if "baseline" in figures else {})
    lines = [f"{'':>34} {'of':>5} " + " ".join(f"{name:>10}" for name in systems) + f" {'chance':>8}"]
    for title, key, kind in _LINES:
        shares = " ".join(f"{100 * one[key]:>9.1f}%" for one in systems.values())
        chance = f" {100 * figures['chance']:>7.1f}%" if key == "right_tool" else ""
        lines.append(f"{title:>34} {figures['n'][kind]:>5} {shares}{chance}")
    lines.append(f"a choice takes {figures['choice_ms']} ms; its rows {figures['memory_mb']} MB")
    common = Counter(one.partition(" | ")[2] for one in figures["wrong"]).most_common(8)
    lines += [f"{n:>4}  {what}" for what, n in common]
    return "\n".join([*lines, *figures["wrong"][:_SHOWN]])


_LINES = (
    ("right tool", "right_tool", "requests"),
    ("and right arguments", "right_call", "requests"),
    ("called without need", "false_calls", "none"),
    ("said that it cannot", "unable_told", "unable"),
    ("another tool instead", "wrong_tool_of_unable", "unable"),
)
