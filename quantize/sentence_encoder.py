"""Rebuilds a small BERT sentence encoder from safetensors as ONNX and quantizes it to int8.

    python -m quantize.sentence_encoder model.safetensors OUT.onnx

Architecture: Devlin et al. 2019, with the mean of the last layer's states as the sentence's embedding (Reimers and
Gurevych 2019). One sentence at a time: `ids` int64 (1, T) -> `embedding` float32 (1, n_state), of length 1. The word
table is int8 with one scale a row, so that the file is a quarter of the weights' size.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

from quantize import files
from quantize.graph import Graph, save_int8

Tensors = dict[str, NDArray[Any]]
D_HEAD = 32  # of the MiniLM family: 12 heads of 384 numbers
EPSILON = 1e-12


def build(weights: Tensors) -> onnx.ModelProto:
    """The encoder, its word table in int8 already; the other weights are float32."""
    graph = Graph()
    n_state = weights["embeddings.LayerNorm.weight"].size
    n_layer = sum(name.endswith("intermediate.dense.bias") for name in weights)
    x = _norm(graph, _words(graph, weights), weights, "embeddings.LayerNorm")
    for i in range(n_layer):
        layer = f"encoder.layer.{i}"
        mixed = _attention(graph, x, weights, f"{layer}.attention", n_state)
        x = _norm(graph, graph.op("Add", x, mixed), weights, f"{layer}.attention.output.LayerNorm")
        hidden = graph.op("Gelu", _linear(graph, x, weights, f"{layer}.intermediate.dense"))
        hidden = _linear(graph, hidden, weights, f"{layer}.output.dense")
        x = _norm(graph, graph.op("Add", x, hidden), weights, f"{layer}.output.LayerNorm")
    mean = graph.op("ReduceMean", x, graph.const("time_axis", np.array([1])), keepdims=0)
    graph.op("LpNormalization", mean, axis=-1, p=2, name="embedding")
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, [1, "n_tokens"])
    embedding = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, n_state])
    return graph.model("sentence_encoder", [ids], [embedding])


def _words(graph: Graph, weights: Tensors) -> str:
    """The embeddings of words, positions and the one segment, added."""
    table = weights["embeddings.word_embeddings.weight"].astype(np.float32)
    scale = np.abs(table).max(axis=1, keepdims=True) / 127 + 1e-12
    for name, value in (("words", np.round(table / scale).astype(np.int8)), ("words.scale", scale)):
        graph.tensors[name] = numpy_helper.from_array(value, name)
    found = graph.op("Cast", graph.op("Gather", "words", "ids"), to=TensorProto.FLOAT)
    found = graph.op("Mul", found, graph.op("Gather", "words.scale", "ids"))
    fixed = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    length = graph.op("Shape", "ids", start=1, end=2)
    zero, axis = graph.const("zero", np.array([0])), graph.const("positions_axis", np.array([0]))
    return graph.op("Add", found, graph.op("Slice", graph.const("positions", fixed), zero, length, axis))


def _attention(graph: Graph, x: str, weights: Tensors, name: str, n_state: int) -> str:
    shape = graph.const("heads_shape", np.array([0, -1, n_state // D_HEAD, D_HEAD]))
    perms = {"query": [0, 2, 1, 3], "key": [0, 2, 3, 1], "value": [0, 2, 1, 3]}
    heads = {
        role: graph.op(
            "Transpose", graph.op("Reshape", _linear(graph, x, weights, f"{name}.self.{role}"), shape), perm=perm
        )
        for role, perm in perms.items()
    }
    scores = graph.op("MatMul", heads["query"], heads["key"])
    scores = graph.op("Mul", scores, graph.const("attention_scale", np.array(D_HEAD**-0.5)))
    mixed = graph.op("MatMul", graph.op("Softmax", scores, axis=-1), heads["value"])
    joined_shape = graph.const("joined_shape", np.array([0, -1, n_state]))
    joined = graph.op("Reshape", graph.op("Transpose", mixed, perm=[0, 2, 1, 3]), joined_shape)
    return _linear(graph, joined, weights, f"{name}.output.dense")


def _linear(graph: Graph, x: str, weights: Tensors, name: str) -> str:
    return graph.linear(x, name, weights[f"{name}.weight"], weights[f"{name}.bias"])


def _norm(graph: Graph, x: str, weights: Tensors, name: str) -> str:
    scale, bias = (graph.const(f"{name}.{kind}", weights[f"{name}.{kind}"]) for kind in ("weight", "bias"))
    return graph.op("LayerNormalization", x, scale, bias, epsilon=EPSILON)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("source", type=Path, help="model.safetensors of a BERT sentence encoder of the MiniLM family")
    parser.add_argument("out", type=Path, help="where the int8 ONNX goes")
    args = parser.parse_args()
    model = build(load_file(args.source))
    with files.whole(args.out) as part:
        save_int8(model, part)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
