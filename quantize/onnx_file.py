"""Reads and checks ONNX files before anything else is done with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from glasses.errors import ModelError, Reason
from quantize import external_data

MAX_BYTES = external_data.MAX_BYTES
MIN_OPSET = 13  # the first with a scale per channel in QuantizeLinear and DequantizeLinear
# What the onnx package raises for bytes that are no model: its own, and numpy's for tensors unlike their shape.
_DAMAGED = (DecodeError, onnx.checker.ValidationError, ValueError, TypeError, KeyError, OverflowError)
QUANTIZED_OPS = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "MatMulNBits"}
)


def load(path: Path) -> onnx.ModelProto:
    """Reads an ONNX file with the weights that lie in files beside it; the model holds everything.

    Raises ModelError: NOT_FOUND, TOO_LARGE, CORRUPT, BAD_INPUT (opset, weights outside of the model's folder).
    """
    if path.is_dir() or not path.exists():
        raise ModelError(
            Reason.NOT_FOUND, f"{path}: {'a folder, not an ONNX file' if path.is_dir() else 'no such file'}"
        )
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            raise ModelError(
                Reason.TOO_LARGE, f"{path}: over {MAX_BYTES >> 30} GiB; an encoder for a board is far smaller"
            )
        model = read(path)
        opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 0)
        if not model.graph.node or not opset:
            raise ModelError(Reason.CORRUPT, f"{path}: not an ONNX model, it has no nodes or no opset")
        check_opset(opset, path)
        external_data.embed(model, path)
        check(model)
    except OSError as error:
        raise ModelError(Reason.NOT_FOUND, f"{path}: cannot be read ({error.strerror or error})") from error
    except _DAMAGED as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise ModelError(Reason.CORRUPT, f"{path}: damaged or not ONNX ({reason}); export or pull it again") from error
    return model


def read(path: Path) -> onnx.ModelProto:
    """The message as it lies in the file, neither checked nor whole. Raises one of _DAMAGED, OSError."""
    return onnx.load(path, load_external_data=False)


def check(model: onnx.ModelProto) -> None:
    """Raises one of _DAMAGED for a model that contradicts itself, or holds less than its tensors' shapes need."""
    onnx.checker.check_model(model)
    for tensor in external_data.tensors(model):
        numpy_helper.to_array(tensor)


def check_opset(opset: int, path: Path) -> None:
    """Raises ModelError(BAD_INPUT) for an opset that cannot be quantized or that the onnx package does not know."""
    newest = onnx.defs.onnx_opset_version()
    if not MIN_OPSET <= opset <= newest:
        raise ModelError(
            Reason.BAD_INPUT,
            f"{path}: opset {opset}; quantization needs {MIN_OPSET} to {newest}: export it again, "
            "or convert it with onnx.version_converter",
        )


def check_pair(models: Sequence[onnx.ModelProto], paths: Sequence[Path]) -> None:
    """Raises ModelError(BAD_INPUT) where two models do not take and give tensors of the same names, types and shapes.

    An axis of any length is like every other.
    """
    for verb, values in {
        "takes": [_signature(model, model.graph.input) for model in models],
        "gives": [_signature(model, model.graph.output) for model in models],
    }.items():
        first, second = values
        if first.keys() != second.keys() or not all(_alike(first[name], second[name]) for name in first):
            said = [", ".join(f"{name} {sizes}" for name, (_, sizes) in one.items()) for one in values]
            raise ModelError(
                Reason.BAD_INPUT, f"{paths[0]} {verb} {said[0]}; {paths[1]} {verb} {said[1]}: no pair to compare"
            )


def _signature(model: onnx.ModelProto, values: Sequence[onnx.ValueInfoProto]) -> dict[str, tuple[int, list[int]]]:
    """Name -> (element type, shape with 0 for an axis of any length)."""
    weights = {one.name for one in model.graph.initializer}
    kinds = {one.name: one.type.tensor_type for one in values if one.name not in weights}
    return {name: (kind.elem_type, [dim.dim_value for dim in kind.shape.dim]) for name, kind in kinds.items()}


def _alike(a: tuple[int, list[int]], b: tuple[int, list[int]]) -> bool:
    same_rank = len(a[1]) == len(b[1])
    return a[0] == b[0] and same_rank and all(x == y or 0 in (x, y) for x, y in zip(a[1], b[1], strict=True))


def inputs(model: onnx.ModelProto) -> dict[str, list[int | str]]:
    """Name -> shape of every input that is not a weight; a dynamic axis is its name."""
    weights = {one.name for one in model.graph.initializer}
    return {
        one.name: [dim.dim_param or dim.dim_value for dim in one.type.tensor_type.shape.dim]
        for one in model.graph.input
        if one.name not in weights
    }


def is_quantized(model: onnx.ModelProto) -> bool:
    """Whether any node works on or unpacks integers already."""
    return any(node.op_type in QUANTIZED_OPS for node in model.graph.node)


def weight_nodes(model: onnx.ModelProto, kinds: tuple[str, ...]) -> list[str]:
    """Names of the nodes of these kinds that multiply with a stored weight, in order."""
    weights = {one.name for one in model.graph.initializer}
    return [n.name for n in model.graph.node if n.op_type in kinds and any(i in weights for i in n.input[1:2])]
