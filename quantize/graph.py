"""Builds ONNX graphs node by node, for models whose weights we hold as arrays."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from glasses.model_store.flat_weights import Arrays, offsets
from quantize import exact_int8

OPSET = 20
EPSILON = 1e-5  # of every layer norm
_TYPES = {np.dtype(np.int8): TensorProto.INT8, np.dtype(np.float32): TensorProto.FLOAT}


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
        model = self.unchecked(name, inputs, outputs, **metadata)
        onnx.checker.check_model(model, full_check=True)
        return model

    def unchecked(
        self, name: str, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto], **metadata: str
    ) -> onnx.ModelProto:
        """As `model`, for one that can be checked only where its file of weights lies beside it."""
        body = helper.make_graph(self.nodes, name, inputs, outputs, list(self.tensors.values()))
        model = helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
        helper.set_model_props(model, metadata)
        return model


class FlatGraph(Graph):
    """A graph whose large constants lie in a flat file `weights` beside it (glasses.model_store.flat_weights)."""

    def __init__(self, held: Arrays, weights: str) -> None:
        super().__init__()
        self.held, self._offsets, self._weights = held, offsets(held), weights

    def weight(self, name: str) -> str:
        """An array of the file, by its name there."""
        array = self.held[name]
        tensor = TensorProto(name=name, data_type=_TYPES[array.dtype], dims=array.shape)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", self._weights), ("offset", self._offsets[name]), ("length", array.nbytes)):
            tensor.external_data.add(key=key, value=str(value))
        self.tensors[name] = tensor
        return name

    def product(self, x: str, name: str) -> str:
        """x @ w of int8 weights with a scale a column, and float32 x, rounded to 8 bits by its own range."""
        whole, scale, zero = (f"{name}_{part}_{len(self.nodes)}" for part in ("x", "scale", "zero"))
        self.nodes.append(helper.make_node("DynamicQuantizeLinear", [x], [whole, scale, zero]))
        out = self.op("MatMulInteger", whole, self.weight(f"{name}.int8"), zero)
        by = self.op("Mul", scale, self.weight(f"{name}.scale"))
        out = self.op("Mul", self.op("Cast", out, to=TensorProto.FLOAT), by)
        return self.op("Add", out, self.weight(f"{name}.bias")) if f"{name}.bias" in self.held else out

    def normed(self, x: str, name: str, epsilon: float = EPSILON) -> str:
        """Layer norm with the gains of `name`."""
        inputs = self.weight(f"{name}.gamma"), self.weight(f"{name}.beta")
        return self.op("LayerNormalization", x, *inputs, epsilon=epsilon)


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
