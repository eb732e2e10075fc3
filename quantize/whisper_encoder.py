"""Rebuilds Whisper's encoder half from CTranslate2 tensors as ONNX and quantizes it to int8.

Whisper's architecture: Radford et al. 2022, section 2.2; pre-norm transformer, GELU, sinusoidal positions. The graph
takes any even number of log-mel frames up to 3000 (30 s).

The output row of one 20 ms position is 2 x n_state wide: the final, layer-normed state (words) beside the mean of the
normalised states before it (embedding and all layers but the last), which keeps far more of sounds that are not speech
(Whisper-AT, Gong et al. 2023).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from glasses.model_store.ctranslate2 import read_tensors
from quantize import files
from quantize.graph import Graph, save_int8

Tensors = dict[str, NDArray[Any]]
N_MELS = 80


def _linear(graph: Graph, x: str, weights: Tensors, name: str) -> str:
    return graph.linear(x, name, weights[f"{name}/weight"], weights[f"{name}/bias"])


def _norm(graph: Graph, x: str, weights: Tensors, name: str) -> str:
    return graph.norm(x, name, weights[f"{name}/gamma"], weights[f"{name}/beta"])


def _attention(graph: Graph, x: str, weights: Tensors, layer: str, n_head: int) -> str:
    n_state = weights[f"{layer}/self_attention/linear_1/bias"].size
    d_head = n_state // n_head
    # Split the fused projection's weights, not its output: three plain matrix products quantize better than a Split.
    parts: Tensors = {}
    for i, role in enumerate("qkv"):
        rows = slice(i * n_state, (i + 1) * n_state)
        scale = d_head**-0.5 if role == "q" else 1.0
        for kind in ("weight", "bias"):
            fused = weights[f"{layer}/self_attention/linear_0/{kind}"]
            parts[f"{layer}/{role}/{kind}"] = fused[rows].astype(np.float32) * scale
    shape = graph.const("heads_shape", np.array([0, -1, n_head, d_head]))
    heads = {
        role: graph.op("Transpose", graph.op("Reshape", _linear(graph, x, parts, f"{layer}/{role}"), shape), perm=perm)
        for role, perm in {"q": [0, 2, 1, 3], "k": [0, 2, 3, 1], "v": [0, 2, 1, 3]}.items()
    }
    weights_of_rows = graph.op("Softmax", graph.op("MatMul", heads["q"], heads["k"]), axis=-1)
    mixed = graph.op("Transpose", graph.op("MatMul", weights_of_rows, heads["v"]), perm=[0, 2, 1, 3])
    joined = graph.op("Reshape", mixed, graph.const("joined_shape", np.array([0, -1, n_state])))
    return _linear(graph, joined, weights, f"{layer}/self_attention/linear_1")


def _stem(graph: Graph, weights: Tensors) -> str:
    x = "mel"
    for conv, stride in (("conv1", 1), ("conv2", 2)):
        kernel = graph.const(f"{conv}.weight", weights[f"encoder/{conv}/weight"])
        bias = graph.const(f"{conv}.bias", weights[f"encoder/{conv}/bias"])
        x = graph.op("Gelu", graph.op("Conv", x, kernel, bias, pads=[1, 1], strides=[stride]))
    x = graph.op("Transpose", x, perm=[0, 2, 1])
    positions = graph.const("positions", weights["encoder/position_encodings/encodings"])
    length = graph.op("Shape", x, start=1, end=2)
    zero, axis = graph.const("zero", np.array([0])), graph.const("time_axis", np.array([0]))
    return graph.op("Add", x, graph.op("Slice", positions, zero, length, axis))


def build(weights: Tensors) -> onnx.ModelProto:
    """Returns the float32 encoder: `mel` (1, 80, 2T) -> `latents` (1, T, 2 * n_state)."""
    graph = Graph()
    n_head = int(weights["encoder/num_heads"])
    n_layer = sum(name.endswith("ffn/linear_0/bias") and name.startswith("encoder/") for name in weights)
    n_state = weights["encoder/layer_norm/beta"].size
    ones, zeros = graph.const("ones", np.ones(n_state)), graph.const("zeros", np.zeros(n_state))
    x = _stem(graph, weights)
    before_last: list[str] = []
    for i in range(n_layer):
        before_last.append(graph.op("LayerNormalization", x, ones, zeros, epsilon=1e-5))
        layer = f"encoder/layer_{i}"
        normed = _norm(graph, x, weights, f"{layer}/self_attention/layer_norm")
        x = graph.op("Add", x, _attention(graph, normed, weights, layer, n_head))
        normed = _norm(graph, x, weights, f"{layer}/ffn/layer_norm")
        hidden = graph.op("Gelu", _linear(graph, normed, weights, f"{layer}/ffn/linear_0"))
        x = graph.op("Add", x, _linear(graph, hidden, weights, f"{layer}/ffn/linear_1"))
    final = _norm(graph, x, weights, "encoder/layer_norm")
    graph.op("Concat", final, graph.op("Mean", *before_last), axis=-1, name="latents")
    mel = helper.make_tensor_value_info("mel", TensorProto.FLOAT, [1, N_MELS, "n_frames"])
    latents = helper.make_tensor_value_info("latents", TensorProto.FLOAT, [1, "n_positions", 2 * n_state])
    return graph.model("whisper_encoder", [mel], [latents])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("source", type=Path, help="CTranslate2 model.bin of a Whisper model")
    parser.add_argument("out", type=Path, help="where the int8 ONNX goes")
    parser.add_argument("--float32", type=Path, help="also write the float32 ONNX here")
    args = parser.parse_args()
    model = build(read_tensors(args.source))
    if args.float32:
        with files.whole(args.float32) as part:
            onnx.save(model, part)
    with files.whole(args.out) as part:
        save_int8(model, part)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
