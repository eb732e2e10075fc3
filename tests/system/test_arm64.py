"""The shipped encoders under onnxruntime's own arm64 wheel, in user-mode emulation; and that boards can install us."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from glasses import store
from glasses.encoders.image import preprocess
from glasses.encoders.mel import log_mel
from glasses.media import read_audio, read_image
from glasses.onnx_session import open_session

pytestmark = [pytest.mark.system, pytest.mark.models, pytest.mark.slow]
REPO = Path(__file__).parents[2]
_RUN = """
import sys, platform, numpy as np, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads, options.log_severity_level = 1, 3
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
np.save(sys.argv[3], session.run(None, {session.get_inputs()[0].name: np.load(sys.argv[2])})[0])
print(platform.machine(), onnxruntime.__version__)
"""
EVAL = REPO / "models" / "eval"
INPUTS = {
    "whisper-tiny-en-encoder-int8": ("mel", lambda: log_mel(read_audio(EVAL / "sounds" / "dog-0.ogg")[:16_000])[None]),
    "efficientnet-lite0-int8": ("pixels", lambda: preprocess(read_image(EVAL / "pictures" / "bee.jpg"))),
}


@pytest.fixture(scope="module")
def arm64(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Debian's arm64 Python in root/ and the wheels in site/; GLASSES_ARM64 names one made before."""
    if made := os.environ.get("GLASSES_ARM64"):
        return Path(made)
    folder = tmp_path_factory.mktemp("arm64")
    wheels = [f"{name}=={version(name)}" for name in ("onnxruntime", "numpy")]
    subprocess.run([str(REPO / "hardware" / "arm64_root.sh"), str(folder), *wheels], check=True)
    return folder


@pytest.mark.parametrize("name", INPUTS)
def test_an_encoder_gives_on_arm64_what_it_gives_here(name: str, arm64: Path, tmp_path: Path) -> None:
    key, read = INPUTS[name]
    value = read()
    given, made, model = tmp_path / "in.npy", tmp_path / "out.npy", store.path_of(name)
    np.save(given, value)
    command = [
        "qemu-aarch64-static",
        "-cpu",
        "cortex-a76",
        "-L",
        str(arm64 / "root"),
        "-E",
        f"PYTHONPATH={arm64 / 'site'}",
    ]
    python = str(arm64 / "root" / "usr" / "bin" / "python3.11")
    arguments = [python, "-c", _RUN, str(model), str(given), str(made)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["aarch64", version("onnxruntime")]
    there, here = np.load(made), np.asarray(open_session(model, n_threads=1).run(None, {key: value})[0])
    assert there.shape == here.shape
    cosine = float((there * here).sum() / np.sqrt((there**2).sum() * (here**2).sum()))
    assert cosine > 0.99, "other kernels round in another order, no more"


def test_every_base_dependency_can_be_had_for_arm64() -> None:
    script = REPO / "hardware" / "check_arm64.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "onnxruntime-" in done.stdout
    assert "MISSING" not in done.stdout
