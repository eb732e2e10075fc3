"""The shipped encoders and connectors under onnxruntime's arm64 wheel, emulated; all dependencies exist for arm64."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from glasses.audio.sound_files import read_audio
from glasses.encoders.audio import AudioEncoder
from glasses.encoders.image import ImageEncoder, preprocess
from glasses.encoders.mel import log_mel
from glasses.encoders.sound import SoundEncoder, log_mel_patches
from glasses.media.pictures import read_image
from glasses.model_store import store
from glasses.model_store.onnx import WEIGHTS_FOLDER, open_session
from glasses.types import Float32Array

pytestmark = [pytest.mark.system, pytest.mark.models, pytest.mark.slow]
REPO = Path(__file__).parents[2]
RUNNER = REPO / "quantize" / "run_onnx.py"
EVAL = REPO / "models" / "eval"
WORDS = "audio-words-pocket"
Feed = dict[str, np.ndarray]


def sound() -> Float32Array:
    return read_audio(EVAL / "sounds" / "dog-0.ogg")[:16_000]


def heard() -> Float32Array:
    return AudioEncoder(store.path_of("whisper-tiny-en-encoder-int8"), n_threads=1).encode(sound()).data


def weights_of(name: str) -> Path | None:
    """The folder of the file that the graph `name` points to."""
    return store.path_of(WORDS, "whisper-tiny-en-decoder-int8.bin").parent if name.startswith("listener-") else None


def spoken() -> Feed:
    """The inputs of about the fifth step of the listener."""
    question = read_audio(EVAL / "speech" / "question-090.ogg")
    latents = AudioEncoder(store.path_of("whisper-tiny-en-encoder-int8"), n_threads=1).encode(question)
    opened = (open_session(path_of(name), n_threads=1, weights=weights_of(name)) for name in INPUTS if weights_of(name))
    begin, step = opened
    seen = begin.run(["cross", "bias", "start_rows"], {"latents": latents.data})
    cross, bias, rows = map(np.asarray, seen)
    past = np.zeros((*cross.shape[:3], 0, cross.shape[4]), np.float32)
    feed: Feed = {"cross": cross, "bias": bias, "past": past, "rows": rows}
    for n in (0, 2, 3, 4):
        m = len(feed["rows"])
        mask = np.triu(np.full((m, n + m), -1e9, np.float32), n + 1)
        feed |= {"positions_at": np.arange(n, n + m), "mask": mask}
        if n < 4:
            feed["rows"], feed["past"] = map(np.asarray, step.run(["row", "past_out"], feed))
    return feed


def path_of(name: str) -> Path:
    """A model's file, or one of the listener's graphs."""
    return store.path_of(WORDS, name) if name.startswith("listener-") else store.path_of(name)


def beside() -> Feed:
    rows = SoundEncoder(store.path_of("yamnet-int8"), n_threads=1).encode(sound()).data
    return {"latents": rows, "beside": heard(), "has_beside": np.ones(1, np.float32)}


def seen() -> Float32Array:
    picture = read_image(EVAL / "pictures" / "bee.jpg")
    return ImageEncoder(store.path_of("efficientnet-lite0-int8"), n_threads=1).encode(picture).data


INPUTS: dict[str, Callable[[], Feed]] = {
    "whisper-tiny-en-encoder-int8": lambda: {"mel": log_mel(sound())[None]},
    "yamnet-int8": lambda: {"patches": log_mel_patches(sound())},
    "efficientnet-lite0-int8": lambda: {"pixels": preprocess(read_image(EVAL / "pictures" / "bee.jpg"))},
    "listener-begin.onnx": lambda: {"latents": heard()},
    "listener-step.onnx": spoken,
    "audio-ambience-pocket": lambda: {"latents": heard()},
    "sound-connector-pocket": beside,
    "image-connector-pocket": lambda: {"latents": seen()},
}


@pytest.fixture(scope="module")
def arm64(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Debian's arm64 Python in root/ and the wheels in site/; GLASSES_ARM64 names an existing one."""
    if made := os.environ.get("GLASSES_ARM64"):
        return Path(made)
    folder = tmp_path_factory.mktemp("arm64")
    wheels = [f"{name}=={version(name)}" for name in ("onnxruntime", "numpy")]
    subprocess.run([str(REPO / "hardware" / "arm64_root.sh"), str(folder), *wheels], check=True)
    return folder


@pytest.mark.parametrize("name", INPUTS)
def test_model_on_arm64_gives_what_it_gives_here(name: str, arm64: Path, tmp_path: Path) -> None:
    feed = INPUTS[name]()
    given, made, model = tmp_path / "in.npz", tmp_path / "out.npz", path_of(name)
    weights = weights_of(name)
    np.savez(given, allow_pickle=False, **{f"0/{key}": value for key, value in feed.items()})
    python = str(arm64 / "root" / "usr" / "bin" / "python3.11")
    emulator = ["qemu-aarch64-static", "-cpu", "cortex-a76", "-L", str(arm64 / "root")]
    command = [*emulator, "-E", f"PYTHONPATH={arm64 / 'site'}", python, str(RUNNER), str(model), str(given), str(made)]
    if weights:
        command += [WEIGHTS_FOLDER, str(weights)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["aarch64", version("onnxruntime")]
    expected = open_session(model, n_threads=1, weights=weights).run(None, feed)
    with np.load(made) as arrays:
        assert len(arrays.files) == len(expected)
        for key, here in zip(arrays.files, map(np.asarray, expected), strict=True):
            there = arrays[key]
            assert there.shape == here.shape
            if here.dtype == np.int64:  # subwords, the likeliest first
                assert there[0] == here[0]
                continue
            cosine = float((there * here).sum() / np.sqrt((there**2).sum() * (here**2).sum()))
            assert cosine > 0.99, "other kernels round in another order, no more"


def test_check_arm64_finds_every_base_dependency() -> None:
    script = REPO / "hardware" / "check_arm64.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "onnxruntime-" in done.stdout
    assert "MISSING" not in done.stdout
