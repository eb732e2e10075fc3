"""Runs one ONNX file on arrays: `python run_onnx.py MODEL IN.npz OUT.npz [WEIGHTS_KEY WEIGHTS_FOLDER]`.

This file stands alone (numpy and onnxruntime), because it also runs in user-mode emulation of another processor.
IN.npz holds `NUMBER/INPUT` for each run; OUT.npz gets `NUMBER/OUTPUT`. It prints the machine and onnxruntime's version.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime


def main(model: str, given: str, made: str, *weights: str) -> None:
    """Opens `model`, whose weights may lie in a folder that onnxruntime's option names, and runs it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    source: Any = model
    if weights:
        options.add_session_config_entry(*weights)
        source = Path(model).read_bytes()
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    runs: dict[str, dict[str, Any]] = {}
    with np.load(given) as arrays:
        for key in arrays.files:
            number, _, name = key.partition("/")
            runs.setdefault(number, {})[name] = arrays[key]
    outputs: dict[str, Any] = {}
    for number, feed in runs.items():
        outputs |= {f"{number}/{name}": out for name, out in zip(names, session.run(names, feed), strict=True)}
    np.savez(made, **outputs)
    print(platform.machine(), onnxruntime.__version__)


if __name__ == "__main__":
    main(*sys.argv[1:])
