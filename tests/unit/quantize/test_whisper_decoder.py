"""The decoder's graphs, made again as they are shipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the quantize extra is not installed")

from glasses.model_store import store  # noqa: E402
from quantize import whisper_decoder  # noqa: E402

pytestmark = [pytest.mark.quantize, pytest.mark.models]


def _learned(begin: Path, out: Path) -> dict[str, str]:
    """Writes the rows that were trained, as the shipped graph holds them, and returns what it says of itself."""
    model = onnx.load(begin, load_external_data=False)
    held = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer if "tail" in one.name}
    rows = {role: np.stack([held[f"tail{i}.{role}"] for i in range(4)]) for role in ("k", "v")}
    np.savez(out, allow_pickle=False, **rows, b=held["tail_bias"][:, :, 0])
    return {one.key: one.value for one in model.metadata_props}


def test_whisper_decoder_main_makes_the_shipped_graphs_bit_for_bit(tmp_path: Path) -> None:
    store.pull(["whisper-tiny-en-ct2"])
    source = [str(store.path_of("whisper-tiny-en-ct2", name)) for name in ("model.bin", "config.json")]
    said = _learned(store.path_of("audio-words-pocket", "listener-begin.onnx"), tmp_path / "tail.npz")
    spaces = [said["space"], str(tmp_path / "out"), "--trained-on", said["trained_on"]]
    whisper_decoder.main([*source, str(tmp_path / "tail.npz"), *spaces])
    for name in ("listener-begin.onnx", "listener-step.onnx"):
        made = tmp_path / "out" / name
        assert made.read_bytes() == store.path_of("audio-words-pocket", name).read_bytes(), name
    weights = store.path_of("audio-words-pocket", whisper_decoder.WEIGHTS)
    assert (tmp_path / "out" / whisper_decoder.WEIGHTS).read_bytes() == weights.read_bytes()
