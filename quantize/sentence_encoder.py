"""Builds a small BERT sentence encoder of the MiniLM family as an ONNX graph with int8 weights.

    python -m quantize.sentence_encoder model.safetensors OUT.onnx

Architecture: Devlin et al. 2019, with the mean of the last layer's states as the sentence's embedding (Reimers and
Gurevych 2019). One sentence at a time: `ids` int64 (1, T) -> `embedding` float32 (1, n_state), of length 1. The graph
points to its weights in a file of their own (`glasses/model_store/sentence_weights.py`), which is written beside it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from safetensors.numpy import load_file

from glasses.model_store.flat_weights import Arrays, write
from glasses.model_store.sentence_weights import arrays, layers
from quantize import files
from quantize.graph import FlatGraph

WEIGHTS = "sentence-minilm-l6-int8.bin"
D_HEAD = 32  # of the MiniLM family: 12 heads of 384 numbers
EPSILON = 1e-12


def build(tensors: Arrays) -> tuple[onnx.ModelProto, Arrays]:
    """The graph, and the arrays that it reads from WEIGHTS."""
    held = arrays(tensors)
    graph = FlatGraph(held, WEIGHTS)
    n_state = held["words.int8"].shape[1]
    x = graph.normed(_words(graph), "embeddings.LayerNorm", EPSILON)
    for layer in layers(tensors):
        mixed = _attention(graph, x, f"{layer}.attention", n_state)
        x = graph.normed(graph.op("Add", x, mixed), f"{layer}.attention.output.LayerNorm", EPSILON)
        hidden = graph.op("Gelu", graph.product(x, f"{layer}.intermediate.dense"))
        hidden = graph.product(hidden, f"{layer}.output.dense")
        x = graph.normed(graph.op("Add", x, hidden), f"{layer}.output.LayerNorm", EPSILON)
    mean = graph.op("ReduceMean", x, graph.const("time_axis", np.array([1])), keepdims=0)
    graph.op("LpNormalization", mean, axis=-1, p=2, name="embedding")
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, [1, "n_tokens"])
    embedding = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, n_state])
    return graph.unchecked("sentence_encoder", [ids], [embedding]), held


def _words(graph: FlatGraph) -> str:
    """The embeddings of words, positions and the one segment, added."""
    words, scale, positions = (graph.weight(name) for name in ("words.int8", "words.scale", "positions"))
    found = graph.op("Cast", graph.op("Gather", words, "ids"), to=TensorProto.FLOAT)
    found = graph.op("Mul", found, graph.op("Gather", scale, "ids"))
    length = graph.op("Shape", "ids", start=1, end=2)
    zero, axis = graph.const("zero", np.array([0])), graph.const("positions_axis", np.array([0]))
    return graph.op("Add", found, graph.op("Slice", positions, zero, length, axis))


def _attention(graph: FlatGraph, x: str, name: str, n_state: int) -> str:
    shape = graph.const("heads_shape", np.array([0, -1, n_state // D_HEAD, D_HEAD]))
    perms = {"query": [0, 2, 1, 3], "key": [0, 2, 3, 1], "value": [0, 2, 1, 3]}
    heads = {
        role: graph.op("Transpose", graph.op("Reshape", graph.product(x, f"{name}.self.{role}"), shape), perm=perm)
        for role, perm in perms.items()
    }
    scores = graph.op("MatMul", heads["query"], heads["key"])
    scores = graph.op("Mul", scores, graph.const("attention_scale", np.array(D_HEAD**-0.5)))
    mixed = graph.op("MatMul", graph.op("Softmax", scores, axis=-1), heads["value"])
    joined_shape = graph.const("joined_shape", np.array([0, -1, n_state]))
    joined = graph.op("Reshape", graph.op("Transpose", mixed, perm=[0, 2, 1, 3]), joined_shape)
    return graph.product(joined, f"{name}.output.dense")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("source", type=Path, help="model.safetensors of a BERT sentence encoder of the MiniLM family")
    parser.add_argument("out", type=Path, help="where the graph goes")
    args = parser.parse_args()
    model, held = build(load_file(args.source))
    beside = args.out.with_name(WEIGHTS)
    with files.whole(beside) as part:
        write(held, part)
    with files.whole(args.out) as part:
        onnx.save(model, part)
    onnx.checker.check_model(args.out, full_check=True)
    for path in (args.out, beside):
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
