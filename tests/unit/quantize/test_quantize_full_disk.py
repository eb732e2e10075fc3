"""Each subcommand that writes, on a disk that fills up during the write: it says so and leaves nothing behind."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

onnx = pytest.importorskip("onnx", reason="the quantize extra is not installed")
pytest.importorskip("onnx_ir")

from glasses.model_store import store  # noqa: E402
from quantize.graph import Graph  # noqa: E402

pytestmark = pytest.mark.quantize
WIDTH, NAME = 64, "pocket-full-disk"
COMMANDS = {  # arguments in the test's folder, and how many bytes a file may have
    "export": ("export a.onnx --out out/made.onnx", 12_000),
    "report --html": ("report a.onnx a.onnx --data data --html out/made.html", 3_000),
    "report --out-json": ("report a.onnx a.onnx --data data --out-json out/made.json", 1_000),
    "connector": ("connector audio-ambience-pocket --scheme fp16 --data sound --out out/made.onnx", 100_000),
    "imatrix": ("imatrix smollm2-135m-instruct-q4_1 --text some.txt --limit 1 --out out/made.gguf", 100_000),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the commands read: a model of one layer, inputs for it, a second of noise, some text."""
    rng = np.random.default_rng(0)
    graph = Graph()
    graph.linear("x", "only", rng.standard_normal((WIDTH, WIDTH)), np.zeros(WIDTH), output="y")
    value = [onnx.helper.make_tensor_value_info(name, 1, ["n", WIDTH]) for name in ("x", "y")]
    onnx.save(graph.model("one", [value[0]], [value[1]]), tmp_path / "a.onnx")
    for name in ("data", "sound"):
        (tmp_path / name).mkdir()
    np.savez(tmp_path / "data" / "0.npz", x=rng.standard_normal((4, WIDTH)).astype(np.float32))
    soundfile.write(tmp_path / "sound" / "noise.wav", 0.1 * rng.standard_normal(16_000), 16_000)
    (tmp_path / "some.txt").write_text("The cat sat on the mat and looked at the bird in the tree.\n" * 4)
    return tmp_path


def full(arguments: list[str], n_bytes: int, cwd: Path) -> str:
    """Standard error of `quantize` where no file may have more than `n_bytes`."""
    done = subprocess.run(
        [sys.executable, "-m", "quantize", *arguments],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes)),
    )
    assert done.returncode == 2, done.stderr
    return done.stderr


@pytest.mark.models
@pytest.mark.parametrize("command", COMMANDS)
def test_quantize_on_a_full_disk_says_so_and_leaves_nothing(folder: Path, command: str) -> None:
    arguments, n_bytes = COMMANDS[command]
    assert "is full" in full(arguments.split(), n_bytes, folder)
    assert not (folder / "out").exists()


@pytest.mark.models
def test_quantize_bundle_disk_full_at_the_second_file_removes_the_first(folder: Path) -> None:
    store.pull(["whisper-tiny-en-ct2"])
    arguments = ["bundle", "--board", "zero2w", "--name", NAME, "--out", "built/mine"]
    assert "is full" in full(arguments, 40_000_000, folder)  # the encoder fits, the backbone does not
    assert not (folder / "built").exists()
    assert NAME not in store.bundle_names()
