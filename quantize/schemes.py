"""Makes an ONNX encoder or connector smaller in one of four ways, all of them ONNX Runtime's.

- `dynamic-int8`: weights of matrix products int8, activations quantized at run time, so no calibration.
- `static-qdq`: int8 weights and activations with ranges seen in calibration, as QuantizeLinear/DequantizeLinear pairs.
- `int8-weight-only`: matrix products as MatMulNBits (8 bits, blocks of 128); convolutions' weights unpacked when run.
- `fp16`: float16 inside, float32 at the edges. A CPU without float16 arithmetic computes in float32 all the same.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType, quantize_dynamic
from onnxruntime.quantization.calibrate import TensorsData, create_calibrator
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.quant_utils import load_model_with_shape_infer
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16

from glasses.errors import InputError, ModelError, Reason
from quantize import exact_int8, onnx_file
from quantize.feeds import Feed

Scheme = Literal["dynamic-int8", "static-qdq", "int8-weight-only", "fp16"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}
BLOCK = 128  # weights that share a scale in MatMulNBits
INT8_COMPUTE = 4  # MatMulNBits' accuracy level: multiply in int8; 0 would unpack to float32 first
Tick = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Options:
    """How to quantize. `exclude` names nodes that stay float; `only`, for measuring, the one node that does not.

    `activations` "uint8" is what x86 without VNNI multiplies fastest; ARM and VNNI do not mind. `every_product` also
    quantizes products of two activations (attention), in `dynamic-int8` alone.
    """

    scheme: Scheme
    per_channel: bool = True
    method: str = "minmax"
    activations: Literal["int8", "uint8"] = "int8"
    every_product: bool = False
    exclude: tuple[str, ...] = ()
    only: str | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A float model ready to be quantized: where it lies, and the ranges that calibration saw (static only)."""

    path: Path
    ranges: TensorsData | None


def kinds_of(scheme: Scheme, model: onnx.ModelProto) -> tuple[str, ...]:
    """The kinds of nodes a scheme quantizes in `model`."""
    if scheme == "dynamic-int8":
        return ("MatMul",)
    if scheme == "int8-weight-only":
        return ("MatMul", "Conv")
    # The residual stream of a transformer has outliers that one scale a tensor cannot hold: its sums stay float.
    is_transformer = any(node.op_type == "LayerNormalization" for node in model.graph.node)
    return ("Conv", "MatMul", "Gemm") if is_transformer else ("Conv", "MatMul", "Gemm", "Add", "Clip")


def candidates(path: Path, scheme: Scheme) -> list[str]:
    """Names of the nodes that can be left in float, in the order of the graph."""
    return onnx_file.weight_nodes(onnx_file.load(path), kinds_of(scheme, onnx_file.load(path)))


def prepare(
    source: Path, scratch: Path, options: Options, feeds: Iterable[Feed], tick: Tick = lambda: None
) -> Prepared:
    """Checks `source`, and for `static-qdq` runs quant_pre_process and the calibration, one feed in memory at a time.

    Raises ModelError (see onnx_file.load; BAD_INPUT if already quantized), InputError(BAD_INPUT) for calibration data
    that the model cannot take, or none where it is needed.
    """
    model = onnx_file.load(source)
    if onnx_file.is_quantized(model):
        raise ModelError(Reason.BAD_INPUT, f"{source}: is quantized already; start from the float32 model")
    kinds = kinds_of(options.scheme, model)
    if options.scheme != "fp16" and not onnx_file.weight_nodes(model, kinds):
        raise ModelError(Reason.BAD_INPUT, _nothing(model, source, options.scheme))
    _check_exclude(model, options)
    if options.scheme != "static-qdq":
        return Prepared(source, None)
    path = scratch / "prepared.onnx"
    with quiet():
        quant_pre_process(source, path, skip_symbolic_shape=True)
    return Prepared(path, _calibrate(path, scratch, options, feeds, tick))


def _nothing(model: onnx.ModelProto, source: Path, scheme: Scheme) -> str:
    """Why a scheme finds nothing to quantize, and which schemes would."""
    others = [one for one in SCHEMES if one != "fp16" and onnx_file.weight_nodes(model, kinds_of(one, model))]
    return f"{source}: no {' or '.join(kinds_of(scheme, model))} with a stored weight for {scheme}: try --scheme " + (
        " or ".join([*others, "fp16"])
    )


def write(prepared: Prepared, out: Path, options: Options) -> None:
    """Writes the quantized model to `out` (a scratch path, see files.whole); the same input gives the same bytes."""
    with quiet():
        model = _SCHEMES[options.scheme](prepared, out, options)
    ordered = ONNXModel(model)
    ordered.topological_sort()  # converters append their nodes at the end
    model, source = ordered.model, onnx.load(prepared.path)
    helper.set_model_props(
        model,
        {p.key: p.value for p in source.metadata_props if not p.key.startswith("onnx.")}
        | {"quantization": json.dumps(_described(options), sort_keys=True)},
    )
    onnx.save(model, out)


def _described(options: Options) -> dict[str, Any]:
    kept = {"scheme": options.scheme, "exclude": list(options.exclude)}
    if options.scheme == "static-qdq":
        kept |= {"calibration": options.method, "activations": options.activations}
    if options.scheme in ("static-qdq", "dynamic-int8"):
        kept |= {"per_channel": options.per_channel}
    if options.every_product:
        kept |= {"every_product": True}
    return kept


def _check_exclude(model: onnx.ModelProto, options: Options) -> None:
    if unknown := set(options.exclude) - {node.name for node in model.graph.node}:
        some = ", ".join(onnx_file.weight_nodes(model, kinds_of(options.scheme, model))[:8])
        raise InputError(
            Reason.BAD_INPUT, f"--exclude: no node {', '.join(sorted(unknown))}; nodes are called e.g. {some}"
        )


class _Stream(CalibrationDataReader):
    """One feed for onnxruntime's calibrators, which keep what they have read until collect_data returns."""

    def __init__(self, feed: Feed) -> None:
        self.feed: Feed | None = feed

    def get_next(self) -> Feed | None:  # type: ignore[override]
        feed, self.feed = self.feed, None
        return feed


def _calibrate(path: Path, scratch: Path, options: Options, feeds: Iterable[Feed], tick: Tick) -> TensorsData:
    kinds = kinds_of(options.scheme, onnx.load(path))
    with quiet():
        calibrator = create_calibrator(
            path,
            list(kinds),
            augmented_model_path=str(scratch / "augmented.onnx"),
            calibrate_method=METHODS[options.method],
        )
    count = 0
    for feed in feeds:
        try:
            with quiet():
                calibrator.collect_data(_Stream(feed))
        except Exception as error:  # onnxruntime's own classes, for a feed of the wrong shape or type
            raise InputError(Reason.BAD_INPUT, f"calibration data does not fit {path.name}: {error}") from error
        count += 1
        tick()
    if not count:
        raise InputError(Reason.BAD_INPUT, "static-qdq needs calibration data: --calibration DIR or bundle")
    with quiet():
        return calibrator.compute_data()


def _dynamic(prepared: Prepared, out: Path, options: Options) -> onnx.ModelProto:
    quantize_dynamic(
        prepared.path,
        out,
        weight_type=QuantType.QInt8,
        per_channel=options.per_channel,
        op_types_to_quantize=["MatMul"],
        nodes_to_quantize=[options.only] if options.only else None,
        nodes_to_exclude=list(options.exclude),
        extra_options={"MatMulConstBOnly": not options.every_product},
    )
    model = onnx.load(out)
    exact_int8.rewrite(model, exact_int8.floats_of(onnx.load(prepared.path)))
    return model


def _static(prepared: Prepared, _: Path, options: Options) -> onnx.ModelProto:
    model = load_model_with_shape_infer(prepared.path)
    quantizer = QDQQuantizer(
        model,
        options.per_channel,
        False,
        QuantType.QInt8,
        QuantType.QInt8 if options.activations == "int8" else QuantType.QUInt8,
        prepared.ranges,
        _with_clip(model, options.only) if options.only else [],
        list(options.exclude),
        list(kinds_of("static-qdq", model)),
        {"CalibTensorRangeSymmetric": False},
    )
    floats = exact_int8.floats_of(model)  # before the quantizer replaces them
    quantizer.quantize_model()
    exact_int8.rewrite(quantizer.model.model, floats)
    return quantizer.model.model


def _with_clip(model: onnx.ModelProto, name: str) -> list[str]:
    """A node and the Clip or Relu right after it, which give its output the range that it is quantized with."""
    made = {output for node in model.graph.node if node.name == name for output in node.output}
    after = [n.name for n in model.graph.node if n.op_type in ("Clip", "Relu") and n.input[0] in made]
    return [name, *after]


def _weight_only(prepared: Prepared, _: Path, options: Options) -> onnx.ModelProto:
    model = onnx.load(prepared.path)
    nodes = [options.only] if options.only else onnx_file.weight_nodes(model, ("MatMul", "Conv"))
    chosen = set(nodes) - set(options.exclude)
    quantizer = MatMulNBitsQuantizer(
        model,
        bits=8,
        block_size=BLOCK,
        is_symmetric=True,
        accuracy_level=INT8_COMPUTE,
        nodes_to_include=[node.name for node in model.graph.node if node.name in chosen and node.op_type == "MatMul"],
        nodes_to_exclude=[node.name for node in model.graph.node if node.name not in chosen],
    )
    quantizer.process()
    model = cast(ONNXModel, quantizer.model).model
    _pack_convolutions(model, chosen)
    return model


def _pack_convolutions(model: onnx.ModelProto, chosen: set[str]) -> None:
    """Stores the kernels of `chosen` convolutions as int8 with one scale an output channel, unpacked before use."""
    weights = {one.name: one for one in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type == "Conv" and node.name in chosen and node.input[1] in weights:
            name = node.input[1]
            kernel = numpy_helper.to_array(weights.pop(name))
            scale = np.abs(kernel).max(axis=tuple(range(1, kernel.ndim))).astype(np.float32) / np.float32(127)
            scale[scale == 0] = 1
            packed = np.rint(kernel / scale.reshape(-1, *[1] * (kernel.ndim - 1))).astype(np.int8)
            weights[f"{name}.int8"] = numpy_helper.from_array(packed, f"{name}.int8")
            weights[f"{name}.scale"] = numpy_helper.from_array(scale, f"{name}.scale")
            packing = [f"{name}.int8", f"{name}.scale"]
            nodes.append(helper.make_node("DequantizeLinear", packing, [name], f"{name}.unpack", axis=0))
        nodes.append(node)
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(weights.values())


def _fp16(prepared: Prepared, _: Path, options: Options) -> onnx.ModelProto:
    model = onnx.load(prepared.path)
    blocked = [n.name for n in model.graph.node if n.name in options.exclude or (options.only not in (None, n.name))]
    return convert_float_to_float16(model, keep_io_types=True, node_block_list=blocked)


_SCHEMES: dict[Scheme, Callable[[Prepared, Path, Options], onnx.ModelProto]] = {
    "dynamic-int8": _dynamic,
    "static-qdq": _static,
    "int8-weight-only": _weight_only,
    "fp16": _fp16,
}


@contextmanager
def quiet() -> Iterator[None]:
    """onnxruntime's tools warn on the root logger of advice that is followed already, and print their progress."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.root.setLevel(level)
