"""Builds ONNX graphs node by node, for models whose weights we hold as arrays."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from quantize import exact_int8

OPSET = 20
EPSILON = 1e-5  # of every layer norm


class Graph:
    """Collects nodes and initializers; every method returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: dict[str, onnx.TensorProto] = {}

    def const(self, name: str, value: NDArray[Any]) -> str:
        """A float32 or int64 initializer; the same name may be given twice for the same value."""
        dtype = np.float32 if value.dtype.kind == "f" else np.int64
        self.tensors[name] = numpy_helper.from_array(np.array(value, dtype, order="C"), name)
        return name

    def op(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """One node of operator `kind`."""
        output = name or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def linear(self, x: str, name: str, weight: NDArray[Any], bias: NDArray[Any], *, output: str = "") -> str:
        """x @ weight.T + bias, with weight (out, in) as torch and CTranslate2 keep it."""
        product = self.op("MatMul", x, self.const(f"{name}.weight", weight.T))
        return self.op("Add", product, self.const(f"{name}.bias", bias), name=output)

    def norm(self, x: str, name: str, gamma: NDArray[Any], beta: NDArray[Any]) -> str:
        """Layer norm over the last axis."""
        inputs = self.const(f"{name}.gamma", gamma), self.const(f"{name}.beta", beta)
        return self.op("LayerNormalization", x, *inputs, epsilon=EPSILON)

    def model(
        self, name: str, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto], **metadata: str
    ) -> onnx.ModelProto:
        """The checked model; `metadata` is what a reader finds in custom_metadata_map."""
        body = helper.make_graph(self.nodes, name, inputs, outputs, list(self.tensors.values()))
        model = helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        return model


def save_int8(model: onnx.ModelProto, out: Path) -> None:
    """Writes `model` with the weights of its matrix products as int8, one scale a column; activations at run time.

    The products are exact on every processor (see exact_int8).
    """
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "float32.onnx"
        onnx.save(model, plain)
        quantize_dynamic(plain, out, weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=["MatMul"])
    made = onnx.load(out)
    exact_int8.rewrite(made, exact_int8.floats_of(model))
    onnx.save(made, out)
