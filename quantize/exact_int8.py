"""Rewrites the int8 weights of a quantized ONNX model so that its products are exact on every processor.

ONNX Runtime's quantizers scale each column by its largest weight; see glasses/model_store/int8_weights.py for why that
saturates on x86 without VNNI. They name what they make of a tensor `w`: `w_quantized`, `w_scale`, `w_zero_point`, and
of a bias `b`: `b_quantized`, `b_quantized_scale`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from glasses.model_store.int8_weights import is_exact, quantize_columns

Tensors = dict[str, onnx.TensorProto]
_INTEGER_PRODUCTS = ("MatMulInteger", "ConvInteger")
LARGEST_BIAS = np.float32(1 << 30)  # leaves room in int32 for the sum of products
TINY = np.float32(1e-12)
_PRODUCTS = ("Conv", "MatMul", "Gemm")  # computed in integers where both inputs come from DequantizeLinear


@dataclass(frozen=True, slots=True)
class Product:
    """A node whose int8 weight is multiplied as (K, N); `bias` names its int32 bias, `activation` its scale."""

    node: onnx.NodeProto
    weight: str
    bias: str = ""
    activation: str = ""

    def columns(self, weight: NDArray[Any]) -> NDArray[Any]:
        """The weight as (K, N), K in the order in which the kernels multiply."""
        if self.node.op_type in ("Conv", "ConvInteger"):
            return np.moveaxis(weight, (0, 1), (-1, -2)).reshape(-1, len(weight))  # places, then channels
        return weight.T if _attribute(self.node, "transB") else weight

    def restored(self, columns: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        """The inverse of `columns`."""
        if self.node.op_type in ("Conv", "ConvInteger"):
            return np.moveaxis(columns.reshape(*shape[2:], shape[1], shape[0]), (-1, -2), (0, 1))
        return columns.T if _attribute(self.node, "transB") else columns


def rewrite(model: onnx.ModelProto, floats: dict[str, NDArray[Any]]) -> None:
    """Quantizes the int8 weights of `model` again, in place, from the float tensors that they were made of."""
    tensors = {one.name: one for one in model.graph.initializer}
    for product in _products(model, tensors):
        _rewrite_one(product, tensors, floats)


def _rewrite_one(product: Product, tensors: Tensors, floats: dict[str, NDArray[Any]]) -> None:
    weight = floats[product.weight.removesuffix("_quantized")]
    held_scale = tensors[product.weight.removesuffix("_quantized") + "_scale"]
    shape = numpy_helper.to_array(held_scale).shape
    least = np.full(product.columns(weight).shape[1], TINY, np.float32)
    by = np.float32(1)
    if product.bias:  # an int32 of the scales of weight and activation: it must fit where the weights are next to zero
        by = numpy_helper.to_array(tensors[product.activation]).astype(np.float32)
        least = np.maximum(least, np.abs(floats[product.bias.removesuffix("_quantized")]) / (by * LARGEST_BIAS))
    columns, scale = quantize_columns(product.columns(weight), least)
    if not shape:  # one scale for the whole tensor
        columns, scale = quantize_columns(product.columns(weight), np.full_like(scale, scale.max()))
        scale = scale[:1]
    _set(tensors[product.weight], product.restored(columns, weight.shape))
    _set(held_scale, scale.reshape(shape))
    if product.bias:
        bias_scale = (by * scale).astype(np.float32)
        bias = np.rint(floats[product.bias.removesuffix("_quantized")] / bias_scale)
        held_bias_scale = tensors[f"{product.bias}_scale"]
        _set(tensors[product.bias], bias.astype(np.int32))
        _set(held_bias_scale, bias_scale.reshape(numpy_helper.to_array(held_bias_scale).shape))


def inexact(model: onnx.ModelProto) -> list[str]:
    """Names of the int8 weights whose products can saturate on x86 without VNNI."""
    tensors = {one.name: one for one in model.graph.initializer}
    return [
        product.weight
        for product in _products(model, tensors)
        if not is_exact(product.columns(numpy_helper.to_array(tensors[product.weight])))
    ]


def statement(model: onnx.ModelProto) -> str:
    """On which kernels figures of this model hold, as one sentence."""
    if found := inexact(model):
        return (
            f"{len(found)} int8 weights can saturate in 16 bits on x86 without VNNI: figures measured elsewhere do not "
            "hold there (quantize kernels measures them)."
        )
    return "Its int8 products, if it has any, are exact on every kernel: the figures hold on every processor."


def floats_of(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """The float tensors of a model by name, as `rewrite` wants them."""
    return {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}


def _products(model: onnx.ModelProto, tensors: Tensors) -> Iterator[Product]:
    """Every product with a stored int8 weight, but depthwise convolutions: their kernels multiply in 16 bits."""
    made_by = {output: node for node in model.graph.node for output in node.output}

    def unpacked(name: str) -> onnx.NodeProto | None:
        node = made_by.get(name)
        return node if node is not None and node.op_type == "DequantizeLinear" else None

    for node in model.graph.node:
        if node.op_type in _INTEGER_PRODUCTS:
            weight, bias, activation = node.input[1], "", ""
        elif node.op_type in _PRODUCTS and (left := unpacked(node.input[0])) and (right := unpacked(node.input[1])):
            weight, activation = right.input[0], left.input[1]
            bias_from = unpacked(node.input[2]) if len(node.input) > 2 else None
            bias = bias_from.input[0] if bias_from else ""
        else:
            continue
        held = tensors.get(weight)
        if held is None or held.data_type != onnx.TensorProto.INT8 or len(held.dims) < 2:
            continue
        if _attribute(node, "group") in (0, 1) and (len(held.dims) == 2 or node.op_type.startswith("Conv")):
            yield Product(node, weight, bias, activation)


def _attribute(node: onnx.NodeProto, name: str) -> int:
    return next((one.i for one in node.attribute if one.name == name), 0)


def _set(tensor: onnx.TensorProto, value: NDArray[Any]) -> None:
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value), tensor.name))
