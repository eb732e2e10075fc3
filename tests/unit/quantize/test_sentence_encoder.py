"""A BERT of random weights, rebuilt as ONNX, against the same network in numpy."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

onnx = pytest.importorskip("onnx", reason="the quantize extra is not installed")

from safetensors.numpy import save_file  # noqa: E402

from glasses.errors import ModelError  # noqa: E402
from glasses.model_store.flat_weights import write  # noqa: E402
from glasses.model_store.sentence_weights import make  # noqa: E402
from quantize.sentence_encoder import D_HEAD, WEIGHTS, build  # noqa: E402

pytestmark = pytest.mark.quantize
N_STATE, N_HIDDEN, N_WORDS = 64, 128, 50


def made() -> dict[str, Any]:
    rng = np.random.default_rng(7)

    def random(*shape: int) -> Any:
        return rng.normal(0, 0.15, shape).astype(np.float32)

    weights = {f"embeddings.{name}.weight": random(n, N_STATE) for name, n in
               (("word_embeddings", N_WORDS), ("position_embeddings", 16), ("token_type_embeddings", 2))}  # fmt: skip
    norms = ["embeddings.LayerNorm"]
    for i in range(2):
        layer = f"encoder.layer.{i}"
        for name, shape in (
            *((f"attention.self.{role}", (N_STATE, N_STATE)) for role in ("query", "key", "value")),
            ("attention.output.dense", (N_STATE, N_STATE)),
            ("intermediate.dense", (N_HIDDEN, N_STATE)),
            ("output.dense", (N_STATE, N_HIDDEN)),
        ):
            weights |= {f"{layer}.{name}.weight": random(*shape), f"{layer}.{name}.bias": random(shape[0])}
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    for name in norms:
        weights |= {f"{name}.weight": 1 + random(N_STATE), f"{name}.bias": random(N_STATE)}
    return weights


def forward(w: dict[str, Any], ids: list[int]) -> Any:
    def linear(x: Any, name: str) -> Any:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(x: Any, name: str) -> Any:
        x = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)
        return x * w[f"{name}.weight"] + w[f"{name}.bias"]

    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for i in range(2):
        name = f"encoder.layer.{i}"
        q, k, v = (
            linear(x, f"{name}.attention.self.{role}").reshape(len(ids), -1, D_HEAD).swapaxes(0, 1)
            for role in ("query", "key", "value")
        )
        scores = np.exp(q @ k.swapaxes(1, 2) / math.sqrt(D_HEAD))
        mixed = (scores / scores.sum(-1, keepdims=True) @ v).swapaxes(0, 1).reshape(len(ids), -1)
        x = norm(x + linear(mixed, f"{name}.attention.output.dense"), f"{name}.attention.output.LayerNorm")
        hidden = linear(x, f"{name}.intermediate.dense")
        hidden = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
        x = norm(x + linear(hidden, f"{name}.output.dense"), f"{name}.output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


def test_build_gives_nearly_the_networks_own_vector(tmp_path: Path) -> None:
    tensors, ids = made(), [3, 9, 27, 4, 4, 49]
    model, held = build(tensors)
    onnx.save(model, tmp_path / "graph.onnx")
    write(held, tmp_path / WEIGHTS)
    session = onnxruntime.InferenceSession(tmp_path / "graph.onnx")
    vector = np.asarray(session.run(["embedding"], {"ids": np.array([ids], np.int64)})[0])[0]
    assert abs(float(np.linalg.norm(vector)) - 1) < 1e-5
    assert float(vector @ forward(tensors, ids)) > 0.99


def test_make_from_safetensors_writes_what_the_graph_reads(tmp_path: Path) -> None:
    tensors = made()
    save_file(tensors, tmp_path / "model.safetensors")
    make(tmp_path / "model.safetensors", tmp_path / "made.bin")
    write(build(tensors)[1], tmp_path / WEIGHTS)
    assert (tmp_path / "made.bin").read_bytes() == (tmp_path / WEIGHTS).read_bytes()


def test_make_from_another_model_says_what_is_missing(tmp_path: Path) -> None:
    save_file({"head.weight": np.zeros((2, 2), np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"no sentence encoder: 'embeddings\.word_embeddings\.weight'"):
        make(tmp_path / "model.safetensors", tmp_path / "made.bin")


def test_make_from_damaged_safetensors_says_so(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(ModelError, match="no sentence encoder"):
        make(tmp_path / "model.safetensors", tmp_path / "made.bin")
