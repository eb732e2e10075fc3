"""Brings a model from elsewhere into the form that quantization starts from: float32, weights stored in the graph.

Exporters write one network in many ways: weights in files of their own, in half precision, as nodes (Constant), or
stored in one form and turned into another by nodes (Cast, Transpose). onnxruntime's quantizers know only weights that
are stored as float32.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization.onnx_model import ONNXModel

from glasses.errors import ModelError, Reason
from quantize import external_data, onnx_file

OTHER_FLOATS = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16", TensorProto.DOUBLE: "float64"}
_TYPE_ATTRIBUTES = ("to", "dtype", "output_datatype")  # of Cast; RandomNormal, EyeLike ...; the window functions
_WEIGHED = ("Conv", "MatMul", "Gemm")
# What turns a stored weight into another form; none of them makes it larger than eight times (Cast).
_TURNING = frozenset({"Constant", "Cast", "Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten"})


def convert(model: onnx.ModelProto) -> list[str]:
    """Changes `model`, which is whole (see onnx_file.load), in place. Returns what was changed, in words.

    Raises ModelError(CORRUPT) where a weight cannot be computed.
    """
    done = []
    if names := _other_floats(model):
        _to_float32(model)
        done.append(f"{' and '.join(names)} weights, inputs and outputs were made float32")
    if turned := _store_turned(model):
        done.append(f"what nodes made of {turned} stored weight{'s' if turned > 1 else ''} was stored in their place")
    return done


def plain(model: onnx.ModelProto, source: Path, scratch: Path, *, split_gemm: bool = False) -> tuple[Path, list[str]]:
    """`source`, if it is what quantization starts from already, else its converted copy in `scratch`; what was changed.

    With `split_gemm` a Gemm becomes MatMul and Add: dynamic-int8 and int8-weight-only know MatMul alone.
    """
    if onnx_file.is_quantized(model):
        return source, []
    changed = convert(model)
    if split_gemm and any(_splits(node) for node in model.graph.node):
        ONNXModel(model).replace_gemm_with_matmul()
        changed.append("each Gemm became a MatMul and an Add")
    if not changed and not external_data.files_of(onnx_file.read(source), source):
        return source, []
    out = scratch / "plain.onnx"
    onnx.save(model, out)
    return out, changed


def _splits(node: onnx.NodeProto) -> bool:
    plain = {"alpha": 1.0, "beta": 1.0, "transA": 0}
    given = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    return node.op_type == "Gemm" and all(given.get(name, value) == value for name, value in plain.items())


def _other_floats(model: onnx.ModelProto) -> list[str]:
    """The names of float types other than float32 that weights, inputs or outputs have."""
    found = {tensor.data_type for graph in external_data.graphs(model) for tensor in graph.initializer}
    found |= {one.type.tensor_type.elem_type for one in (*model.graph.input, *model.graph.output)}
    return [name for kind, name in OTHER_FLOATS.items() if kind in found]


def _to_float32(model: onnx.ModelProto) -> None:
    for tensor in external_data.tensors(model):
        if tensor.data_type in OTHER_FLOATS:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    for node in external_data.nodes(model):
        for attribute in node.attribute:
            if attribute.name in _TYPE_ATTRIBUTES and attribute.i in OTHER_FLOATS:
                attribute.i = TensorProto.FLOAT
    for graph in external_data.graphs(model):
        for value in (*graph.input, *graph.output, *graph.value_info):
            if value.type.tensor_type.elem_type in OTHER_FLOATS:
                value.type.tensor_type.elem_type = TensorProto.FLOAT


def _store_turned(model: onnx.ModelProto) -> int:
    """Stores the weights that a chain of turning nodes makes of stored tensors. Returns how many."""
    graph = model.graph
    made_by = {output: node for node in graph.node for output in node.output}
    stored = {one.name: one for one in graph.initializer}
    fixed = stored.keys() - {one.name for one in graph.input}
    wanted: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        name = node.input[1] if node.op_type in _WEIGHED and len(node.input) > 1 else ""
        if name and name not in stored and (chain := _chain(name, made_by, fixed)):
            wanted[name] = chain
    if not wanted:
        return 0
    values = _values(model, wanted, stored)
    for name, value in values.items():
        producer = made_by[name]
        graph.node.remove(producer)
        graph.initializer.append(numpy_helper.from_array(value, name))
    _drop_unused(model)
    return len(values)


def _chain(name: str, made_by: dict[str, onnx.NodeProto], fixed: set[str]) -> list[onnx.NodeProto]:
    """The nodes that make `name` of stored tensors alone, in order; none where anything else takes part."""
    chain: list[onnx.NodeProto] = []
    waiting, seen = [name], set()
    while waiting:
        one = waiting.pop()
        if one in fixed or one in seen or not one:
            continue
        seen.add(one)
        node = made_by.get(one)
        if node is None or node.op_type not in _TURNING or node.domain not in ("", "ai.onnx"):
            return []
        chain.append(node)
        waiting += node.input
    return chain


def _values(
    model: onnx.ModelProto, wanted: dict[str, list[onnx.NodeProto]], stored: dict[str, TensorProto]
) -> dict[str, NDArray]:
    """What the chains come to, computed by onnxruntime."""
    names = {output for chain in wanted.values() for node in chain for output in node.output}
    order = [node for node in model.graph.node if any(output in names for output in node.output)]
    needed = {name for node in order for name in node.input}
    body = helper.make_graph(
        order, "weights", [], [onnx.ValueInfoProto(name=name) for name in wanted],
        [stored[name] for name in stored if name in needed],
    )  # fmt: skip
    part = helper.make_model(body, opset_imports=model.opset_import, ir_version=model.ir_version)
    try:
        session = onnxruntime.InferenceSession(part.SerializeToString(), providers=["CPUExecutionProvider"])
        return dict(zip(wanted, map(np.asarray, session.run(list(wanted), {})), strict=True))
    except Exception as error:  # onnxruntime's own classes, which it does not export
        raise ModelError(Reason.CORRUPT, f"the weights of this model cannot be computed: {error}") from error


def _drop_unused(model: onnx.ModelProto) -> None:
    """Takes away constants that nothing reads any more."""
    graph = model.graph
    while True:
        used = {name for node in external_data.nodes(model) for name in node.input}
        used |= {one.name for inner in external_data.graphs(model) for one in inner.output}
        idle = [n for n in graph.node if n.op_type in _TURNING and not any(output in used for output in n.output)]
        for node in idle:
            graph.node.remove(node)
        if not idle:
            break
    for tensor in [one for one in graph.initializer if one.name not in used]:
        graph.initializer.remove(tensor)
