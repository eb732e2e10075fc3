"""What `quantize` makes multiplies exactly on every processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the quantize extra is not installed")


from glasses.model_store import store  # noqa: E402
from quantize import exact_int8, graph  # noqa: E402

pytestmark = pytest.mark.quantize


def product(weight: np.ndarray) -> Any:
    """One float matrix product."""
    made = graph.Graph()
    made.op("MatMul", "x", made.const("w", weight), name="y")
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", n])
        for name, n in zip("xy", weight.shape, strict=True)
    ]
    return made.model("product", ends[:1], ends[1:])


def test_save_int8_weights_never_saturate(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)
    graph.save_int8(product(weight), tmp_path / "int8.onnx")
    made = onnx.load(tmp_path / "int8.onnx")
    tensors = {one.name: onnx.numpy_helper.to_array(one) for one in made.graph.initializer}
    assert exact_int8.inexact(made) == []
    assert "hold on every processor" in exact_int8.statement(made)
    assert np.allclose(tensors["w_quantized"] * tensors["w_scale"], weight, atol=0.03)


def test_inexact_names_weights_scaled_by_their_largest(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)
    graph.save_int8(product(weight), tmp_path / "int8.onnx")
    made = onnx.load(tmp_path / "int8.onnx")
    for tensor in made.graph.initializer:
        if tensor.name == "w_quantized":
            usual = np.rint(weight / (np.abs(weight).max(axis=0) / 127)).astype(np.int8)
            tensor.CopyFrom(onnx.numpy_helper.from_array(usual, tensor.name))
    assert exact_int8.inexact(made) == ["w_quantized"]
    assert "saturate" in exact_int8.statement(made)


@pytest.mark.models
@pytest.mark.parametrize("name", ["whisper-tiny-en-encoder-int8", "efficientnet-lite0-int8", "yamnet-int8"])
def test_shipped_encoders_are_exact(name: str) -> None:
    assert exact_int8.inexact(onnx.load(store.path_of(name))) == []
