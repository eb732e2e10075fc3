"""Runs an ONNX model on the int8 kernels of other processors, in user-mode emulation (Debian: qemu-user-static).

ONNX Runtime chooses its kernels by what the processor can do, and it offers no switch. Emulation is exact and some
hundred times slower, so it shows what a kernel computes, never how long it takes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from glasses.errors import InputError, ModelError, Reason
from glasses.model_store.onnx import WEIGHTS_FOLDER
from quantize import run_onnx
from quantize.feeds import Feed
from quantize.fidelity import Difference

ARM64_VARIABLE = "GLASSES_ARM64"  # names a folder that hardware/arm64_root.sh has made
Outputs = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Kernel:
    """An emulated processor; `program` is "" for this machine's own."""

    what: str
    program: str = ""
    cpu: str = ""


KERNELS = {
    "native": Kernel("this machine"),
    "avx2": Kernel("x86-64 with AVX2, without AVX-512 and VNNI (Haswell, emulated)", "qemu-x86_64-static", "Haswell"),
    "arm64": Kernel("ARMv8.2 with dot products (Cortex-A76, emulated)", "qemu-aarch64-static", "cortex-a76"),
}


def run(model: Path, feeds: Sequence[Feed], name: str, *, weights: Path | None = None) -> list[Outputs]:
    """The outputs for each feed on the kernels `name`; `weights` is the folder of a file that the graph points to.

    Raises InputError(NOT_INSTALLED) without the emulator or the arm64 root, ModelError(CORRUPT) where the run fails.
    """
    command = [*_python(name), str(Path(run_onnx.__file__))]
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "in.npz"), Path(folder, "out.npz")
        arrays: dict[str, Any] = {f"{i}/{key}": value for i, feed in enumerate(feeds) for key, value in feed.items()}
        np.savez(given, allow_pickle=False, **arrays)
        command += [str(model), str(given), str(made), *((WEIGHTS_FOLDER, str(weights)) if weights else ())]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip() or "no output").splitlines()[-1]
            raise ModelError(Reason.CORRUPT, f"{model} on {name}: {last}")
        outputs: list[Outputs] = [{} for _ in feeds]
        with np.load(made) as file:
            for key in file.files:
                number, _, output = key.partition("/")
                outputs[int(number)][output] = file[key]
    return outputs


def _python(name: str) -> list[str]:
    """The start of a command line that runs Python on the kernels `name`."""
    kernel = KERNELS[name]
    if not kernel.program:
        return [sys.executable]
    if not shutil.which(kernel.program):
        raise InputError(Reason.NOT_INSTALLED, f"{kernel.program} is needed: apt-get install qemu-user-static")
    emulator = [kernel.program, "-cpu", kernel.cpu]
    if name == "arm64":
        root = Path(os.environ.get(ARM64_VARIABLE, ""))
        if not (root / "site").is_dir() or not os.environ.get(ARM64_VARIABLE):
            how = "hardware/arm64_root.sh DIR onnxruntime==VERSION numpy==VERSION"
            raise InputError(Reason.NOT_INSTALLED, f"${ARM64_VARIABLE} names no folder with an arm64 Python: {how}")
        python = root / "root" / "usr" / "bin" / "python3.11"
        return [*emulator, "-L", str(root / "root"), "-E", f"PYTHONPATH={root / 'site'}", str(python)]
    packages = {str(Path(module.__file__ or "").parents[1]) for module in (np, onnxruntime)}
    return [*emulator, "-E", f"PYTHONPATH={os.pathsep.join(sorted(packages))}", os.path.realpath(sys.executable)]


def compare(reference: Path, other: Path, feeds: Sequence[Feed], names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Kernel -> the cosine of each output of `other` there to `reference` here: mean and least over the feeds.

    Raises as `run`.
    """
    expected = run(reference, feeds, "native")
    found: dict[str, dict[str, float]] = {}
    for name in names:
        sums: dict[str, Difference] = {}
        for i, (here, there) in enumerate(zip(expected, run(other, feeds, name), strict=True)):
            for output in (one for one in here if here[one].dtype.kind == "f"):
                sums.setdefault(output, Difference()).add(here[output], there[output], str(i))
        figures = [one.figures() for one in sums.values()]
        found[name] = {
            "cosine_mean": min(one["cosine_mean"] for one in figures),
            "cosine_least": min(one["cosine_least"] for one in figures),
            "items": len(feeds),
        }
    return found
