"""Estimates which variants of a bundle a board can hold, and how long they would take there. Measures on this machine.

Memory is that of the whole runtime with the bundle as it is, after a turn and after speaking (`glasses bench memory`);
a variant's is that, plus what its files take alone and less what those they replace do.

Every time here is an ESTIMATE: the kernels of each model are timed on this machine by kind of operation, and scaled by
the ratio of peak throughputs for integer and float arithmetic or of memory bandwidth. Real kernels reach different
shares of the peak on different processors, so a figure may be off by a factor of two; only the board itself tells.
What runs in numpy (log-mel, the speech connector's scores) is not in them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from glasses.encoders.audio import LATENTS_PER_S
from glasses.errors import ModelError, Reason
from glasses.model_store import store
from glasses.model_store.onnx import WEIGHTS_FOLDER, open_session
from glasses.system.board import load_board
from quantize import backbone, bundle, feeds, measure, onnx_file
from quantize.processors import Compute, board_compute, scaled_ms, this_machine

RUNS = 5
RESERVED_MB = 100  # for the operating system
SUBWORDS_PER_S = 4  # in unhurried speech
TURN_S, TURN_ROWS, TURN_TOKENS = 5, 64, 24  # 5 s of sound, a picture, one short answer that takes 5 s to say
AS_IT_IS = "as it is"
BACKBONES = ("mixed", "Q8_0", "Q4_K_M")
Step = Callable[[str], Callable[[], None]]


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one file: its size, what a process grows by to use it, its estimated share of a turn on the board."""

    stored_mb: float
    resident_mb: float
    ms: dict[str, float]


def kernel_ms(path: Path, feed: feeds.Feed, weights: Path | None = None) -> dict[str, float]:
    """Milliseconds an inference on one core of this machine, by kind of operation, from onnxruntime's profiler.

    `weights` is the folder of a file that the graph points to.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder, "profile"))
        if weights:
            options.add_session_config_entry(WEIGHTS_FOLDER, str(weights))
        model = path.read_bytes() if weights else str(path)
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        for _ in range(RUNS):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    runs: dict[str, list[int]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            runs.setdefault(f"{event['args']['op_name']}\n{event['name']}", []).append(event["dur"])
    spent: dict[str, float] = {}
    for name, durations in runs.items():  # the fastest run: the others waited for something else
        kind = name.partition("\n")[0]
        spent[kind] = spent.get(kind, 0.0) + min(durations) / 1e3
    return spent


def estimates(name: str, board: str, *, variants: bool, step: Step) -> list[dict[str, Any]]:
    """Rows of the plan: the bundle as it is, then, if asked, what `quantize bundle --board` can make of it.

    Raises ModelError as its parts do; NOT_FOUND where a file of the bundle is not here.
    """
    here, there, names = this_machine(), board_compute(board), store.load_bundle(name)
    paths = [store.path_of(model) for model in (names.encoders["audio"], names.backbone)]
    step(f"{name}: the whole runtime")
    stored = sum(store.load_manifest(one).size_bytes for one in names.models()) / 1e6
    memory, ms = _memory(name), _fixed_ms(names, here, there)
    shipped = [_cost(path, here, there) for path in paths]
    for cost in shipped:
        ms |= cost.ms
    labels = {"bundle": name, "variant": AS_IT_IS, "command": f"glasses run --bundle {name}"}
    rows = [_row(board, labels, stored, memory, ms)]
    if not variants:
        return rows
    with tempfile.TemporaryDirectory() as folder:
        made = _made(board, paths[1], Path(folder), step)
        step(f"{name}: measuring the variants")
        costs = [{kind: _cost(path, here, there) for kind, path in one.items()} for one in made]
    costs[1] = {bundle.SHIPPED: shipped[1]} | costs[1]
    for (scheme, new_encoder), (kind, new_backbone) in product(costs[0].items(), costs[1].items()):
        new = (new_encoder, new_backbone)
        labels = {
            "bundle": name,
            "variant": f"sound {scheme}, backbone {kind}",
            "command": f"quantize bundle --board {board} --scheme {scheme} --backbone {kind}",
        }
        grown = sum(a.resident_mb - b.resident_mb for a, b in zip(new, shipped, strict=True))
        larger = sum(a.stored_mb - b.stored_mb for a, b in zip(new, shipped, strict=True))
        all_mb = {what: mb + grown for what, mb in memory.items()}
        rows.append(_row(board, labels, stored + larger, all_mb, ms | new_encoder.ms | new_backbone.ms))
    return rows


def _row(
    board: str, labels: dict[str, str], stored_mb: float, memory_mb: dict[str, float], ms: dict[str, float]
) -> dict[str, Any]:
    limits, there = load_board(board), board_compute(board)
    fits = {what: limits.memory_mb is None or mb + RESERVED_MB <= limits.memory_mb for what, mb in memory_mb.items()}
    return {
        **labels,
        "board": board,
        "storage_mb": round(stored_mb, 1),
        "memory_mb": {what: round(mb, 1) for what, mb in memory_mb.items()},
        "fits": fits | {"storage": stored_mb <= there.storage_mb},
        "estimated_ms": {what: round(one) for what, one in ms.items()} | {"turn": round(sum(ms.values()))},
        "estimated_joules": round(there.watts * sum(ms.values()) / 1e3, 1),
    }


def _memory(name: str) -> dict[str, float]:
    """MB of the whole runtime: `memory` with all of the bundle, and without its voice where one is installed."""
    command = [sys.executable, "-m", "glasses", "bench", "memory", "--bundle", name, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ModelError(Reason.INTERNAL, f"the memory of bundle {name} could not be measured: {last}")
    figures = json.loads(done.stdout)
    silent, speaking = figures["after a turn"], figures.get("with the voice, after speaking")
    return {"memory": speaking, "memory without the voice": silent} if speaking else {"memory": silent}


def _cost(path: Path, here: Compute, there: Compute) -> Cost:
    """Of an audio encoder or a backbone."""
    feed = None if path.suffix == ".gguf" else _feed(path)
    ms = {"encode speech": scaled_ms(kernel_ms(path, feed), here, there)} if feed else _backbone_ms(path, here, there)
    return Cost(path.stat().st_size / 1e6, measure.resident_mb(path, feed), ms)


def _fixed_ms(names: store.Bundle, here: Compute, there: Compute) -> dict[str, float]:
    """The networks that no variant replaces."""

    def ms(name: str) -> float:
        networks = [one.name for one in store.load_manifest(name).files if one.name.endswith(".onnx")]
        return sum(
            scaled_ms(kernel_ms(path, _feed(path)), here, there) for path in (store.path_of(name, n) for n in networks)
        )

    connectors = (names.audio_ambience, names.connectors["sound"], names.connectors["image"])
    found = {"encode sound": ms(names.encoders["sound"]), "encode picture": ms(names.encoders["image"])}
    found["connectors"] = sum(ms(name) for name in connectors if name)
    found["connectors"] += _listener_ms(names.connectors["audio"], here, there)
    return found | ({"speak": ms(names.voice)} if names.voice else {})


def _listener_ms(name: str, here: Compute, there: Compute) -> float:
    """Of what hears words: one beginning, and a step for every piece of TURN_S seconds of speech."""
    paths = {file.role: store.path_of(name, file.name) for file in store.load_manifest(name).files}
    begin, step, weights = (paths[f"decoder-{role}"] for role in ("begin", "step", "weights"))
    opened = open_session(begin, n_threads=1, weights=weights.parent)
    latents = np.zeros((TURN_S * LATENTS_PER_S, opened.get_inputs()[0].shape[-1]), np.float32)
    cross, bias, rows = map(np.asarray, opened.run(["cross", "bias", "start_rows"], {"latents": latents}))
    n = TURN_S * SUBWORDS_PER_S
    past = np.zeros((*cross.shape[:3], n, cross.shape[4]), np.float32)
    feed = {"rows": rows[:1], "positions_at": np.array([n]), "mask": np.zeros((1, n + 1), np.float32)}
    feed |= {"past": past, "cross": cross, "bias": bias}
    beginning = scaled_ms(kernel_ms(begin, {"latents": latents}, weights.parent), here, there)
    return beginning + n * scaled_ms(kernel_ms(step, feed, weights.parent), here, there)


def _feed(path: Path) -> feeds.Feed:
    return feeds.timing(onnx_file.load(path), TURN_S).feed


def _made(board: str, source: Path, out: Path, step: Step) -> tuple[dict[str, Path], dict[str, Path]]:
    """Audio encoders by scheme and backbones by type: what `quantize bundle --board` writes of each."""
    encoders, backbones = {}, {}
    for scheme in bundle.SCHEMES:
        step(f"making the audio encoder, {scheme}")
        encoders[scheme] = bundle.audio(out / f"{scheme}.onnx", bundle.audio_options_for(board, scheme))
    for kind in BACKBONES:
        step(f"making the backbone, {kind}")
        backbones[kind] = out / f"{kind}.gguf"
        backbone.quantize(source, backbones[kind], kind)
    return encoders, backbones


def _backbone_ms(path: Path, here: Compute, there: Compute) -> dict[str, float]:
    """Prefill is arithmetic, on int8 dot products; decoding reads every weight once a token."""
    cost = measure.backbones([path], rounds=2)
    prefill = cost["prefill_ms"][0] * here.int8_gmacs / there.int8_gmacs
    decode = cost["decode_ms"][0] * here.memory_gb_s / there.memory_gb_s
    floor = path.stat().st_size / there.memory_gb_s / 1e6
    return {"prefill": prefill * TURN_ROWS, "decode": max(decode, floor) * TURN_TOKENS}
