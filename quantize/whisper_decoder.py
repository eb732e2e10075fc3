"""Builds Whisper's decoder as two ONNX graphs for soft decoding (`glasses.connectors.soft_decoder`).

`begin` turns the encoder's latents into keys and values of the cross-attention, followed by learned rows that stand for
silence up to 30 s. Whisper was trained on windows of 30 s only; without these rows it never ends a shorter one
(models/recipes/soft_decoder_tail.py). `step` takes the previous step's row and gives the likeliest subwords, their
probabilities and the mean of their rows, which is the next step's input. No subword is ever chosen, so uncertainty
reaches the backbone.

Both graphs point to the weights in a file of their own (`glasses/model_store/whisper_decoder_weights.py`).

    python -m quantize.whisper_decoder model.bin config.json tail.npz SPACE OUT_FOLDER --trained-on SPACE
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from glasses.model_store.ctranslate2 import read_tensors
from glasses.model_store.flat_weights import Arrays, write
from glasses.model_store.whisper_decoder_weights import N_PIECES, arrays
from quantize import files
from quantize.graph import FlatGraph

WEIGHTS = "whisper-tiny-en-decoder-int8.bin"
N_MIXED = 8  # subwords mixed in one row; the rest of the distribution is noise
END = 50_256  # of the text
NEVER = -1e9


class DecoderGraph(FlatGraph):
    """The decoder's parts, on the arrays of the file of weights."""

    def __init__(self, held: Arrays) -> None:
        super().__init__(held, WEIGHTS)
        self.n_layer = sum(name.endswith("ffn.gamma") for name in held)
        self.n_state = held["start"].shape[1]
        self.n_head = self.n_state // 64

    def half(self, name: str, value: NDArray[Any]) -> str:
        """A constant that is kept as float16 and read as float32."""
        self.tensors[name] = numpy_helper.from_array(np.ascontiguousarray(value, np.float16), name)
        return self.op("Cast", name, to=TensorProto.FLOAT)

    def heads(self, x: str) -> str:
        """(n, n_state) -> (n_head, n, d_head)."""
        shape = self.const("heads_shape", np.array([-1, self.n_head, self.n_state // self.n_head]))
        return self.op("Transpose", self.op("Reshape", x, shape), perm=[1, 0, 2])

    def attend(self, query: str, keys: str, values: str, bias: str) -> str:
        """Rows (m, n_state) of query looking at (n_head, n, d_head) keys and values, `bias` added to the scores."""
        scores = self.op("MatMul", self.heads(query), self.op("Transpose", keys, perm=[0, 2, 1]))
        mixed = self.op("MatMul", self.op("Softmax", self.op("Add", scores, bias), axis=-1), values)
        joined = self.const("joined_shape", np.array([-1, self.n_state]))
        return self.op("Reshape", self.op("Transpose", mixed, perm=[1, 0, 2]), joined)


def begin(held: Arrays, tail: Arrays, space: str, width: int, *, trained_on: str = "") -> onnx.ModelProto:
    """`latents` (T, width) -> `cross` (n_layer, 2, n_head, T + n_tail, 64), `bias` (n_layer, n_head, 1, T + n_tail).

    Only the encoder's final state, the first n_state of each latent, is looked at. `start_rows` are the first two.
    """
    graph = DecoderGraph(held)
    n = graph.n_state
    cut = [graph.const(name, np.array([value])) for name, value in (("from", 0), ("to", n), ("axis", 1))]
    final = graph.op("Slice", "latents", *cut)
    layers = []
    for i in range(graph.n_layer):
        both = []
        for role in ("k", "v"):
            learned = graph.half(f"tail{i}.{role}", tail[role][i])
            heard = graph.product(final, f"layer{i}.cross.{role}")
            both.append(graph.heads(graph.op("Concat", heard, learned, axis=0)))
        layers.append(
            graph.op("Unsqueeze", graph.op("Concat", *(_lifted(graph, x) for x in both), axis=0), _first(graph))
        )
    graph.op("Concat", *layers, axis=0, name="cross")
    length = graph.op("Shape", final, end=1)
    shape = graph.op("Concat", graph.const("bias_head", np.array([graph.n_layer, graph.n_head, 1])), length, axis=0)
    zeros = graph.op("Expand", graph.const("no_bias", np.zeros(1)), shape)
    graph.op("Concat", zeros, graph.const("tail_bias", tail["b"][:, :, None]), axis=-1, name="bias")
    graph.op("Identity", graph.weight("start"), name="start_rows")
    latents = helper.make_tensor_value_info("latents", TensorProto.FLOAT, ["n_latents", width])
    outputs = [
        helper.make_tensor_value_info("cross", TensorProto.FLOAT, [graph.n_layer, 2, graph.n_head, "n_seen", 64]),
        helper.make_tensor_value_info("bias", TensorProto.FLOAT, [graph.n_layer, graph.n_head, 1, "n_seen"]),
        helper.make_tensor_value_info("start_rows", TensorProto.FLOAT, [2, n]),
    ]
    metadata = {"space": space, **({"trained_on": trained_on} if trained_on else {})}
    return graph.unchecked("listener_begin", [latents], outputs, **metadata)


def step(held: Arrays, never: list[int]) -> onnx.ModelProto:
    """One or more `rows` (m, n_state) at `position`.. -> what follows the last of them.

    `past` (n_layer, 2, n_head, n, 64) are keys and values of the rows before, `mask` (m, n + m) what each may look at.
    Outputs: `pieces` (N_MIXED,), the likeliest subwords, END among them; `shares` (N_MIXED,), their probabilities;
    `row` (1, n_state), their mean row without END; `past` with this step's. `never` are suppressed subwords.
    """
    graph = DecoderGraph(held)
    x = graph.op("Add", "rows", graph.op("Gather", graph.weight("positions"), "positions_at", axis=0))
    pasts = []
    for i in range(graph.n_layer):
        x, past = _layer(graph, x, i)
        pasts.append(graph.op("Unsqueeze", past, _first(graph)))
    graph.op("Concat", *pasts, axis=0, name="past_out")
    last = graph.op("Gather", graph.normed(x, "norm"), graph.const("last", np.array([-1])), axis=0)
    unsaid = np.array([[i for i in never if i < N_PIECES]])
    at, low = graph.const("never", unsaid), graph.const("never_scores", np.full(unsaid.shape, NEVER))
    _outcome(graph, graph.op("ScatterElements", graph.product(last, "pieces"), at, low, axis=1))
    n = graph.n_state
    past_shape = [graph.n_layer, 2, graph.n_head, "n_past", 64]
    inputs = [
        helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["m", n]),
        helper.make_tensor_value_info("positions_at", TensorProto.INT64, ["m"]),
        helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["m", "n_all"]),
        helper.make_tensor_value_info("past", TensorProto.FLOAT, past_shape),
        helper.make_tensor_value_info("cross", TensorProto.FLOAT, [*past_shape[:3], "n_seen", 64]),
        helper.make_tensor_value_info("bias", TensorProto.FLOAT, [graph.n_layer, graph.n_head, 1, "n_seen"]),
    ]
    outputs = [
        helper.make_tensor_value_info("pieces", TensorProto.INT64, [N_MIXED]),
        helper.make_tensor_value_info("shares", TensorProto.FLOAT, [N_MIXED]),
        helper.make_tensor_value_info("row", TensorProto.FLOAT, [1, n]),
        helper.make_tensor_value_info("past_out", TensorProto.FLOAT, [*past_shape[:3], "n_all", 64]),
    ]
    return graph.unchecked("listener_step", inputs, outputs, end=str(END))


def _layer(graph: DecoderGraph, x: str, i: int) -> tuple[str, str]:
    """One layer; returns its output and keys and values of all rows so far (2, n_head, n + m, 64)."""
    normed = graph.normed(x, f"layer{i}.self")
    before, seen = (_split(graph, name, i) for name in ("past", "cross"))
    keys, values = (
        graph.op("Concat", before[j], graph.heads(graph.product(normed, f"layer{i}.self.{role}")), axis=1)
        for j, role in enumerate("kv")
    )
    mixed = graph.attend(graph.product(normed, f"layer{i}.self.q"), keys, values, "mask")
    x = graph.op("Add", x, graph.product(mixed, f"layer{i}.self.out"))
    query = graph.product(graph.normed(x, f"layer{i}.cross"), f"layer{i}.cross.q")
    bias = graph.op("Gather", "bias", graph.const(f"which{i}", np.array(i)), axis=0)
    x = graph.op("Add", x, graph.product(graph.attend(query, *seen, bias), f"layer{i}.cross.out"))
    up = graph.op("Gelu", graph.product(graph.normed(x, f"layer{i}.ffn"), f"layer{i}.ffn.up"))
    x = graph.op("Add", x, graph.product(up, f"layer{i}.ffn.down"))
    return x, graph.op("Concat", *(_lifted(graph, one) for one in (keys, values)), axis=0)


def _split(graph: DecoderGraph, name: str, i: int) -> tuple[str, str]:
    """Keys and values of layer i in an input (n_layer, 2, ...)."""
    layer = graph.op("Gather", name, graph.const(f"which{i}", np.array(i)), axis=0)
    keys, values = (graph.op("Gather", layer, graph.const(f"side{j}", np.array(j)), axis=0) for j in (0, 1))
    return keys, values


def _outcome(graph: DecoderGraph, scores: str) -> None:
    """From scores (1, N_PIECES): the outputs `pieces`, `shares` and `row`."""
    best, ids = f"best_{len(graph.nodes)}", f"ids_{len(graph.nodes)}"
    k = graph.const("n_mixed", np.array([N_MIXED]))
    graph.nodes.append(helper.make_node("TopK", [scores, k], [best, ids], axis=-1))
    whole = graph.op("ReduceLogSumExp", scores, graph.const("axis1", np.array([1])), keepdims=1)
    shares = graph.op("Exp", graph.op("Sub", best, whole))
    flat = graph.const("flat", np.array([-1]))
    pieces = graph.op("Reshape", ids, flat, name="pieces")
    graph.op("Reshape", shares, flat, name="shares")
    going_on = graph.op(
        "Where", graph.op("Equal", ids, graph.const("end", np.array(END))), graph.const("none", np.zeros(1)), shares
    )
    weights = graph.op(
        "Div", going_on, graph.op("ReduceSum", going_on, graph.const("axis1", np.array([1])), keepdims=1)
    )
    columns = graph.op("Cast", graph.op("Gather", "pieces.int8", pieces, axis=1), to=TensorProto.FLOAT)
    rows = graph.op("Mul", columns, graph.op("Gather", "pieces.scale", pieces, axis=0))
    graph.op("MatMul", weights, graph.op("Transpose", rows, perm=[1, 0]), name="row")


def _first(graph: DecoderGraph) -> str:
    return graph.const("first", np.array([0]))


def _lifted(graph: DecoderGraph, x: str) -> str:
    return graph.op("Unsqueeze", x, _first(graph))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="CTranslate2 model.bin of a Whisper model")
    parser.add_argument("config", type=Path, help="its config.json, which names the suppressed subwords")
    parser.add_argument("tail", type=Path, help="the learned rows, of models.recipes.soft_decoder_tail")
    parser.add_argument("space", help="of the latents, as the encoder names it")
    parser.add_argument("out", type=Path, help="folder")
    parser.add_argument("--trained-on", default="", metavar="SPACE", help="of the latents that tail was trained on")
    args = parser.parse_args(argv)
    files.try_folder(args.out)
    held = arrays(read_tensors(args.source))
    with np.load(args.tail) as file:
        tail = {name: file[name].astype(np.float32) for name in ("k", "v", "b")}
    never = json.loads(args.config.read_text())["suppress_ids"]
    with files.whole(args.out / WEIGHTS) as part:
        write(held, part)
    first = begin(held, tail, args.space, 2 * held["start"].shape[1], trained_on=args.trained_on)
    for name, model in (("begin", first), ("step", step(held, never))):
        path = args.out / f"listener-{name}.onnx"
        with files.whole(path) as part:
            onnx.save(model, part)
        onnx.checker.check_model(path, full_check=True)
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
