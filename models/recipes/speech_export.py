"""Writes a trained speech connector as int8 ONNX for glasses/connectors/words.py.

`latents` (T, 768), T >= 4 -> `states` (P, n_embd), `blank` (P,), `residual` (P, n_embd), P = T // 4, and the constant
rows `begin` and `end`. The metadata names the latent space and the backbone tokens whose rows the states are read
against.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from glasses.onnx_session import space_of
from models.recipes import speech_ctc, training
from models.recipes.speech_connector import D_LATENT, LETTERS, N_AROUND, PER_STATE, STACK, SpeechConnector
from quantize.graph import Graph, save_int8

Weights = dict[str, NDArray[Any]]


def _linear(graph: Graph, x: str, weights: Weights, name: str, output: str = "") -> str:
    return graph.linear(x, name, weights[f"{name}.weight"], weights[f"{name}.bias"], output=output)


def _norm(graph: Graph, x: str, weights: Weights, name: str) -> str:
    return graph.norm(x, name, weights[f"{name}.weight"], weights[f"{name}.bias"])


def _attention(graph: Graph, x: str, weights: Weights, block: str, n_head: int) -> str:
    width = weights[f"{block}.mix.bias"].size
    d_head = width // n_head
    shape, heads = graph.const("heads", np.array([-1, n_head, d_head])), {}
    for i, (role, order) in enumerate((("q", [1, 0, 2]), ("k", [1, 2, 0]), ("v", [1, 0, 2]))):
        rows, scale = slice(i * width, (i + 1) * width), d_head**-0.5 if role == "q" else 1.0
        weight, bias = (weights[f"{block}.qkv.{kind}"][rows] * scale for kind in ("weight", "bias"))
        projected = graph.op("Reshape", graph.linear(x, f"{block}.{role}", weight, bias), shape)
        heads[role] = graph.op("Transpose", projected, perm=order)
    mixed = graph.op("MatMul", graph.op("Softmax", graph.op("MatMul", heads["q"], heads["k"]), axis=-1), heads["v"])
    joined = graph.op(
        "Reshape", graph.op("Transpose", mixed, perm=[1, 0, 2]), graph.const("joined", np.array([-1, width]))
    )
    return _linear(graph, joined, weights, f"{block}.mix")


def _convolution(graph: Graph, x: str, weights: Weights, block: str) -> str:
    kernel = weights[f"{block}.conv.weight"]
    axis = graph.const("axis", np.array([0]))
    channels_first = graph.op("Unsqueeze", graph.op("Transpose", x, perm=[1, 0]), axis)
    names = (
        graph.const(f"{block}.conv.weight", kernel),
        graph.const(f"{block}.conv.bias", weights[f"{block}.conv.bias"]),
    )
    out = graph.op("Conv", channels_first, *names, group=len(kernel), pads=[kernel.shape[2] // 2] * 2)
    return graph.op("Transpose", graph.op("Squeeze", out, axis), perm=[1, 0])


def _stacked(graph: Graph) -> str:
    """Drops up to three last latents and lays four side by side."""
    stack, one = graph.const("stack", np.array([STACK])), graph.const("axis", np.array([0]))
    length = graph.op("Shape", "latents", start=0, end=1)
    whole = graph.op("Mul", graph.op("Div", length, stack), stack)
    kept = graph.op("Slice", "latents", one, whole, one)
    return graph.op("Reshape", kept, graph.const("stacked", np.array([-1, STACK * D_LATENT])))


def _told(graph: Graph, x: str, weights: Weights) -> str:
    """What the letters heard halfway up tell the blocks above."""
    n_letters = 1 + len(LETTERS)
    letters = _linear(graph, _norm(graph, x, weights, "norm_letters"), weights, "letters")
    each = graph.op("Reshape", letters, graph.const("each", np.array([-1, n_letters])))
    joined = graph.const("letters_joined", np.array([-1, PER_STATE * n_letters]))
    return _linear(graph, graph.op("Reshape", graph.op("Softmax", each, axis=-1), joined), weights, "told")


def build(model: SpeechConnector, *, space: str, token_ids: list[int], closing: list[int]) -> Any:
    """Returns the float32 ONNX model."""
    weights: Weights = {name: value.detach().float().numpy() for name, value in model.state_dict().items()}
    graph = Graph()
    x = _linear(graph, _norm(graph, _stacked(graph), weights, "norm_in"), weights, "enter")
    for i, block in enumerate(model.blocks):
        name = f"blocks.{i}"
        x = graph.op("Add", x, _convolution(graph, _norm(graph, x, weights, f"{name}.norm_conv"), weights, name))
        attended = _attention(graph, _norm(graph, x, weights, f"{name}.norm_attn"), weights, name, block.n_head)
        x = graph.op("Add", x, attended)
        up = graph.op("Gelu", _linear(graph, _norm(graph, x, weights, f"{name}.norm_ffn"), weights, f"{name}.up"))
        x = graph.op("Add", x, _linear(graph, up, weights, f"{name}.down"))
        if i + 1 == model.n_lower:
            x = graph.op("Add", x, _told(graph, x, weights))
    x = _norm(graph, x, weights, "norm_out")
    _linear(graph, x, weights, "leave", "states")
    _linear(graph, x, weights, "residual", "residual")
    graph.op("Squeeze", _linear(graph, x, weights, "blank"), graph.const("last", np.array([1])), name="blank")
    for name in ("begin", "end"):
        graph.op("Identity", graph.const(f"{name}_rows", weights[name]), name=name)
    n_embd = weights["begin"].shape[1]
    shapes = {"states": ["P", n_embd], "blank": ["P"], "residual": ["P", n_embd], "begin": [N_AROUND, n_embd]}
    shapes["end"] = [N_AROUND, n_embd]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    latents = helper.make_tensor_value_info("latents", TensorProto.FLOAT, ["T", D_LATENT])
    return graph.model(
        "word_connector", [latents], outputs, space=space, token_ids=json.dumps(token_ids), closing=json.dumps(closing)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a trained speech connector as int8 ONNX.")
    parser.add_argument("gguf", type=Path)
    parser.add_argument("encoder", type=Path, help="the deployed encoder, which names the space")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("pieces", type=Path, help="pieces.json of the run")
    parser.add_argument("out", type=Path)
    parser.add_argument("--average", type=Path, nargs="+", default=[], help="checkpoints to be averaged with that one")
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--depth", type=int, default=5)
    args = parser.parse_args()
    model, pieces, _ = speech_ctc.start(args)
    model.load_state_dict(training.mean_weights([args.checkpoint, *args.average]))
    closing = [i for i, piece in enumerate(pieces.strings) if piece in (".", "?")]
    space = space_of("whisper-tiny-en", args.encoder)
    save_int8(build(model.eval(), space=space, token_ids=pieces.ids, closing=closing), args.out)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
