"""Measures what model B costs against model A: fidelity, speed, memory and tasks, as one dict (`page` draws it)."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from glasses.errors import InputError, Reason
from glasses.model_store import store
from glasses.runtime import bundle
from quantize import backbone, divergence, exact_int8, feeds, fidelity, measure, onnx_file, prompts, tasks
from quantize.verdict import verdict

WINDOWS_S = (2, 5, 10, 30)  # of sound: attention grows with the square of the window


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to measure: at most `limit` held-out items a domain, `task_limit` items an eval set (0: no tasks)."""

    bundle: str = store.DEFAULT_BUNDLE
    limit: int | None = 24
    task_limit: int | None = 0
    data: Path | None = None  # a folder instead of models/eval
    text: Path | None = None  # running text, for backbones


def compare(a: Path, b: Path, wanted: Wanted, step: Callable[[str], Callable[[], None]]) -> dict[str, Any]:
    """Measures everything; `step(what)` is called when a measurement begins and returns its tick callback.

    Raises InputError(BAD_INPUT) for two files that are no pair, and whatever the measurements raise.
    """
    kinds = {path.suffix.lower() for path in (a, b)}
    if kinds not in ({".onnx"}, {".gguf"}):
        raise InputError(Reason.BAD_INPUT, f"{a} and {b}: two .onnx or two .gguf files are compared")
    result = (_backbones if kinds == {".gguf"} else _networks)(a, b, wanted, step)
    result["a"], result["b"] = (
        {
            "file": path.name,
            "bytes": path.stat().st_size,
            "sha256": store.sha256_of(path),
            "resident_mb": round(result["resident_mb"][i], 1),
        }
        for i, path in enumerate((a, b))
    )
    del result["resident_mb"]
    result["machine"] = f"{os.cpu_count()}-core {platform.machine()}"
    result["limits"] = {"items a domain": wanted.limit, "items an eval set": wanted.task_limit}
    result["verdict"] = verdict(result)
    return result


def _networks(a: Path, b: Path, wanted: Wanted, step: Callable[[str], Callable[[], None]]) -> dict[str, Any]:
    model = onnx_file.load(a)
    onnx_file.check_pair((model, onnx_file.load(b)), (a, b))
    role = feeds.role_of(model, wanted.bundle)
    feeds.check_held_out(role, wanted.data)

    def items() -> Iterator[feeds.Named]:
        return feeds.held_out(role, limit=wanted.limit, folder=wanted.data)

    found: dict[str, Any] = {"role": role.name, "fidelity": fidelity.compare(a, b, items(), tick=step("fidelity"))}
    few = feeds.held_out(role, limit=min(wanted.limit or 12, 12), folder=wanted.data)
    found["kernels"] = exact_int8.statement(onnx_file.load(b))
    found["speed"] = measure.encoders([a, b], few, step("speed"))
    if role.name == "audio-encoder":
        tick = step("speed by window")
        found["speed by window"] = {
            f"{seconds} s": measure.encoders([a, b], [feeds.timing(model, seconds)], tick)["speed"][1]
            for seconds in WINDOWS_S
        }
    first = next(islice(items(), 1)).feed
    step("memory")
    found["resident_mb"] = [measure.resident_mb(path, first) for path in (a, b)]
    found["tasks"] = _tasks(role.name, a, b, wanted, step)
    return found


def _backbones(a: Path, b: Path, wanted: Wanted, step: Callable[[str], Callable[[], None]]) -> dict[str, Any]:
    backbone.check_pair(a, b)
    types = [backbone.tensor_types(path) for path in (a, b)]
    tick = step("prompts")
    parts = bundle.open_bundle(wanted.bundle, n_threads=1)
    try:
        held = []  # token ids and a few hundred rows each: some MB
        for domain in ("text", "speech", "sounds", "pictures"):
            for prompt in prompts.held_out(parts, domain, wanted.limit):
                held.append(prompt)
                tick()
        if wanted.text:
            held += prompts.texts(wanted.text, parts, wanted.limit)
    finally:
        parts.close()
    found: dict[str, Any] = {
        "role": "backbone",
        "tensor types": types,
        "divergence": divergence.compare(a, b, held, tick=step("divergence")),
    }
    step("speed and memory")
    found["speed"] = measure.backbones([a, b])
    found["resident_mb"] = [measure.resident_mb(path, None) for path in (a, b)]
    found["tasks"] = _tasks("backbone", a, b, wanted, step)
    return found


def _tasks(role: str, a: Path, b: Path, wanted: Wanted, step: Callable[[str], Callable[[], None]]) -> dict[str, Any]:
    if wanted.task_limit == 0 or role not in tasks.SETS:
        return {}
    figures = [
        tasks.run(role, path, wanted.bundle, limit=wanted.task_limit, tick=step(f"tasks with {name}"))
        for name, path in (("A", a), ("B", b))
    ]
    return {
        name: {
            "a_percent": round(figures[0][name]["percent"], 2),
            "b_percent": round(figures[1][name]["percent"], 2),
            "items": figures[0][name]["items"],
            "higher_is_better": figures[0][name]["higher_is_better"],
        }
        for name in figures[0]
    }
