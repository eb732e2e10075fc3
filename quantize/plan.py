"""Estimates which variants of a bundle a board can hold, and how long they would take there. Measures on this machine.

Every time here is an ESTIMATE: the kernels of each model are timed on this machine by kind of operation, and scaled by
the ratio of peak throughputs for integer and float arithmetic or of memory bandwidth. Real kernels reach different
shares of the peak on different processors, so a figure may be off by a factor of two; only the board itself tells.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from glasses import store
from glasses.board import BOARDS_DIR, load_board
from glasses.errors import InputError, Reason
from quantize import feeds, measure, onnx_file

RUNS = 5
BASE_MB = 90.0  # Python with numpy, onnxruntime and llama.cpp loaded: "start" of `glasses bench memory`
RESERVED_MB = 100  # for the system beside us
TURN_S, TURN_ROWS, TURN_TOKENS = 5, 64, 24  # the turn that is estimated: 5 s of sound, a picture, one short answer
_INTEGER = ("Integer", "QLinear", "QGemm", "DynamicQuantize", "NBits", "QAttention")
_RANGES = {
    "clock_mhz": (10, 10_000),
    "float_macs_per_cycle": (1, 1024),
    "int8_macs_per_cycle": (1, 4096),
    "memory_gb_s": (0.1, 5000),
    "storage_mb": (1, 1 << 24),
    "watts": (0.1, 1000),
}


@dataclass(frozen=True, slots=True)
class Compute:
    """What a processor can do at best; throughputs are of one core."""

    isa: tuple[str, ...]
    clock_mhz: float
    float_macs_per_cycle: float
    int8_macs_per_cycle: float
    memory_gb_s: float
    storage_mb: float = 0
    watts: float = 0

    @property
    def float_gmacs(self) -> float:
        """Float32 multiply-adds a nanosecond."""
        return self.clock_mhz * self.float_macs_per_cycle / 1e3

    @property
    def int8_gmacs(self) -> float:
        """int8 multiply-adds a nanosecond."""
        return self.clock_mhz * self.int8_macs_per_cycle / 1e3


def board_compute(name: str, folder: Path = BOARDS_DIR) -> Compute:
    """The [compute] table of a board. Raises InputError: as load_board; NOT_FOUND (no such table), BAD_INPUT."""
    load_board(name, folder)
    path = folder / f"{name}.toml"
    table = tomllib.loads(path.read_text(encoding="utf-8")).get("compute")
    if table is None:
        raise InputError(Reason.NOT_FOUND, f"{path}: no [compute] table, so nothing can be estimated for it")
    names = {field.name for field in fields(Compute)}
    if set(table) != names or not all(isinstance(one, str) for one in table["isa"]):
        raise InputError(Reason.BAD_INPUT, f"{path}: [compute] needs exactly {', '.join(sorted(names))}")
    for key, (low, high) in _RANGES.items():
        if not isinstance(table[key], int | float) or not low <= table[key] <= high:
            raise InputError(Reason.BAD_INPUT, f"{path}: compute.{key} must be a number from {low} to {high}")
    return Compute(**{**table, "isa": tuple(table["isa"])})


def this_machine() -> Compute:
    """This machine's processor as the kernel describes it. The widths are those of the instruction sets."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    lines = {key.strip(): value.strip() for key, _, value in (row.partition(":") for row in text.splitlines())}
    flags = set((lines.get("flags") or lines.get("Features") or "").split())
    isa = tuple(sorted(flags & {"avx2", "avx512f", "avx512_vnni", "avx_vnni", "asimd", "asimddp", "asimdhp", "i8mm"}))
    wide = 32 if "avx512f" in flags else 16 if "avx2" in flags else 8
    dots = {"avx512_vnni", "avx_vnni", "asimddp"} & flags
    return Compute(isa, float(lines.get("cpu MHz", 2000)), wide, wide * (4 if dots else 2), _bandwidth_gb_s())


def _bandwidth_gb_s() -> float:
    """Read bandwidth of one core, from summing 64 MB: the best of three."""

    block = np.ones(16 << 20, np.float32)
    best = 1e9
    for _ in range(3):
        since = time.process_time()
        block.sum()
        best = min(best, time.process_time() - since)
    return block.nbytes / best / 1e9


def kernel_ms(path: Path, feed: feeds.Feed) -> dict[str, float]:
    """Milliseconds an inference on one core of this machine, by kind of operation, from onnxruntime's profiler."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder, "profile"))
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
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


def scaled_ms(spent: dict[str, float], here: Compute, there: Compute) -> float:
    """What `kernel_ms` would be on one core `there`: integer kernels by int8 peaks, all others by float peaks."""
    integer = sum(ms for name, ms in spent.items() if name.startswith(_INTEGER) or "Integer" in name)
    rest = sum(spent.values()) - integer
    return integer * here.int8_gmacs / there.int8_gmacs + rest * here.float_gmacs / there.float_gmacs


def estimate(bundle: str, board: str) -> dict[str, Any]:
    """One row of the plan: sizes measured here, memory measured here, times scaled. Raises as its parts do."""
    there, limits, here = board_compute(board), load_board(board), this_machine()
    names = store.load_bundle(bundle)
    size = sum(store.load_manifest(name).size_bytes for name in names.models()) / 1e6
    encoders = {"speech": names.audio_encoder, "sound": names.sound_encoder, "picture": names.image_encoder}
    memory, times = BASE_MB, {}
    for what, name in encoders.items():
        path = store.path_of(name)
        feed = feeds.timing(onnx_file.load(path), TURN_S).feed
        memory += measure.resident_mb(path, feed)
        times[f"encode {what}"] = scaled_ms(kernel_ms(path, feed), here, there)
    memory += sum(store.path_of(name).stat().st_size / 1e6 * 2 for name in (names.audio_words, names.image_connector))
    path = store.path_of(names.backbone)
    memory += measure.resident_mb(path, None)
    times |= _backbone_ms(path, here, there)
    total = sum(times.values())
    budget = limits.memory_mb
    return {
        "bundle": bundle,
        "board": board,
        "storage_mb": round(size, 1),
        "memory_mb": round(memory, 1),
        "fits": {
            "memory": budget is None or memory + RESERVED_MB <= budget,
            "storage": size <= there.storage_mb,
        },
        "estimated_ms": {name: round(ms) for name, ms in times.items()} | {"turn": round(total)},
        "estimated_joules": round(there.watts * total / 1e3, 1),
    }


def _backbone_ms(path: Path, here: Compute, there: Compute) -> dict[str, float]:
    """Prefill is arithmetic, on int8 dot products; decoding reads every weight once a token."""
    cost = measure.backbones([path], rounds=2)
    prefill = cost["prefill_ms"][0] * here.int8_gmacs / there.int8_gmacs
    decode = cost["decode_ms"][0] * here.memory_gb_s / there.memory_gb_s
    floor = path.stat().st_size / there.memory_gb_s / 1e6
    return {"prefill": prefill * TURN_ROWS, "decode": max(decode, floor) * TURN_TOKENS}


def session_options(board: str) -> dict[str, Any]:
    """What to set in onnxruntime on that processor, each with its reason."""
    compute, cores = board_compute(board), load_board(board).cores or os.cpu_count() or 1
    options = {
        "intra_op_num_threads": [max(1, cores - 1), "leave one core to sound, camera and link"],
        "session.intra_op.allow_spinning": ["0", "spinning threads starve the backbone's"],
        "enable_cpu_mem_arena": [False, "for models whose largest input is rare: memory goes back after a call"],
        "scheme": ["dynamic-int8 or static-qdq S8S8", "dot-product instructions multiply int8 directly"],
    }
    if not {"dotprod", "i8mm", "avx512_vnni"} & set(compute.isa):
        options["scheme"] = [
            "static-qdq, signed activations",
            "no dot product: int8 gains memory more than time; compare with float32 on the board",
        ]
    if "bf16" in compute.isa:
        options["mlas.enable_gemm_fastmath_arm64_bfloat16"] = ["1", "float products in bfloat16"]
    return options
