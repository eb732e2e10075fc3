"""Turns an int8 connector back into a float32 model with the same, rounded weights. It reads two forms of int8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from glasses.errors import ModelError, Reason
from quantize import onnx_file


def to_float(model: onnx.ModelProto, out: Path) -> Path:
    """Writes `model` with float32 weights to `out` and returns it: packed weights unpacked, dynamic int8 undone.

    Raises ModelError(BAD_INPUT) where it is quantized in another way.
    """
    weights = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    nodes, floats = _unpacked(list(model.graph.node), weights)
    nodes = _without_dynamic(nodes, weights, floats)
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [one for one in model.graph.initializer if one.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in floats.items())
    if onnx_file.is_quantized(model):
        raise ModelError(Reason.BAD_INPUT, "this connector is quantized in a way that cannot be undone: retrain it")
    onnx.checker.check_model(model)
    onnx.save(model, out)
    return out


def _unpacked(
    nodes: list[onnx.NodeProto], weights: dict[str, NDArray]
) -> tuple[list[onnx.NodeProto], dict[str, NDArray[np.float32]]]:
    """Nodes without those that only unpack a stored weight, and what these give."""
    floats: dict[str, NDArray[np.float32]] = {}
    rest = []
    for node in nodes:
        if node.op_type == "DequantizeLinear" and all(name in weights for name in node.input):
            axis = next((one.i for one in node.attribute if one.name == "axis"), 1)
            floats[node.output[0]] = _times(weights, list(node.input), axis)
        else:
            rest.append(node)
    return rest, floats


def _times(weights: dict[str, NDArray], names: list[str], axis: int) -> NDArray[np.float32]:
    packed, scale = weights[names[0]].astype(np.float32), weights[names[1]]
    zero = weights[names[2]].astype(np.float32) if len(names) > 2 else np.zeros_like(scale, np.float32)
    if scale.ndim:
        shape = [-1 if i == axis % packed.ndim else 1 for i in range(packed.ndim)]
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return ((packed - zero) * scale).astype(np.float32)


def _without_dynamic(
    nodes: list[onnx.NodeProto], weights: dict[str, NDArray], floats: dict[str, NDArray[np.float32]]
) -> list[onnx.NodeProto]:
    """DynamicQuantizeLinear -> MatMulInteger -> Cast -> Mul(., Mul(scales)) becomes MatMul again."""
    made_by = {output: node for node in nodes for output in node.output}
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in nodes:
        for name in node.input:
            users.setdefault(name, []).append(node)
    gone: set[str] = set()
    products: dict[str, onnx.NodeProto] = {}
    for node in (one for one in nodes if one.op_type == "MatMulInteger"):
        quantizer, weight = made_by[node.input[0]], node.input[1]
        cast = users[node.output[0]][0]
        last = users[cast.output[0]][0]
        scales = made_by[next(name for name in last.input if name != cast.output[0])]
        scale = next(name for name in scales.input if name != quantizer.output[1])
        names = [weight, scale, *node.input[3:4]]
        floats[f"{weight}.float"] = _times(weights, names, weights[weight].ndim - 1)
        products[last.name] = helper.make_node(
            "MatMul", [quantizer.input[0], f"{weight}.float"], [last.output[0]], node.name
        )
        gone |= {quantizer.name, node.name, cast.name, scales.name}
    return [products.get(node.name, node) for node in nodes if node.name not in gone]
