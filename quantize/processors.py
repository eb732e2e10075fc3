"""Peak figures of a board's processor, and the onnxruntime options and schemes that follow from them.

The figures of a board stand in the [compute] table of hardware/boards/NAME.toml.
"""

from __future__ import annotations

import os
import time
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from glasses.errors import InputError, Reason
from glasses.system.board import BOARDS_DIR, load_board
from quantize.schemes import Options

_DOT_PRODUCT = frozenset({"dotprod", "i8mm", "avx512_vnni"})
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


def scaled_ms(spent: dict[str, float], here: Compute, there: Compute) -> float:
    """What `kernel_ms` would be on one core `there`: integer kernels by int8 peaks, all others by float peaks."""
    integer = sum(ms for name, ms in spent.items() if name.startswith(_INTEGER) or "Integer" in name)
    rest = sum(spent.values()) - integer
    return integer * here.int8_gmacs / there.int8_gmacs + rest * here.float_gmacs / there.float_gmacs


def audio_options(compute: Compute) -> tuple[Options, str]:
    """How to quantize the audio encoder for a processor, and why: what `plan` advises and `bundle` does.

    Dynamic on every processor, for calibrated int8 of all its products misses a cosine of 0.99 (README.md).
    """
    if _DOT_PRODUCT & set(compute.isa):
        return Options("dynamic-int8", every_product=True), "dot products multiply int8 directly, attention's too"
    why = "no dot product: attention's products stay float32; int8 gains memory more than time, compare on the board"
    return Options("dynamic-int8"), why


def session_options(board: str) -> dict[str, Any]:
    """What to set in onnxruntime on that processor and how to quantize for it, each with its reason."""
    compute, cores = board_compute(board), load_board(board).cores or os.cpu_count() or 1
    audio, why = audio_options(compute)
    options = {
        "intra_op_num_threads": [max(1, cores - 1), "leave one core to sound, camera and link"],
        "session.intra_op.allow_spinning": ["0", "spinning threads starve the backbone's"],
        "enable_cpu_mem_arena": [False, "for models whose largest input is rare: memory goes back after a call"],
        "scheme of the audio encoder": [audio.scheme + (" --every-product" if audio.every_product else ""), why],
        "scheme of the image encoder": [
            "static-qdq, first three convolutions in float (as shipped)",
            "its weights are convolutions, which dynamic-int8 leaves in float; all in int8 misses a cosine of 0.99",
        ],
    }
    if "bf16" in compute.isa:
        options["mlas.enable_gemm_fastmath_arm64_bfloat16"] = ["1", "float products in bfloat16"]
    return options
