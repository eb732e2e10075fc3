"""Builds EfficientNet-Lite0's spatial features as ONNX from its PyTorch weights and quantizes them to int8.

The encoder leaves out the 1000-class head; `head()` returns it for training and measuring connectors.

Architecture: Tan & Le, "EfficientNet" (2019), the Lite variant of tensorflow/tpu (no squeeze-excite, ReLU6 for
swish, stem and head not scaled). The weights were converted from TensorFlow, so "SAME" padding pads more on the
bottom and right where the stride is 2, and batch norm's epsilon is 1e-3.

    python -m quantize.image_encoder --weights W.pth --photos DIR/photos \\
        --out models/artifacts/efficientnet-lite0-int8.onnx

prints how float32 and int8 compare on the held-out photographs.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from glasses.encoders.image import INPUT_PX, preprocess
from glasses.model_store.onnx import open_session
from quantize import exact_int8, files

Array = NDArray[np.float32]
BATCH_NORM_EPSILON = 1e-3
# (repeats, kernel, stride of the first block) of the seven stages; widths and expansion are read from the weights.
STAGES = ((1, 3, 1), (2, 3, 2), (2, 5, 2), (3, 3, 2), (3, 5, 1), (4, 5, 2), (1, 3, 1))
N_CHANNELS = 1280
GRID = 7
# The first convolutions stay float32: quantizing them takes the cosine from 0.992 to 0.987 for a sixth of the time.
FLOAT_CONVOLUTIONS = 3


class _Graph:
    """Collects nodes and weights of a chain of convolutions; `x` is the current output, `size` its side."""

    def __init__(self, weights: dict[str, Array]) -> None:
        self.weights, self.nodes, self.initializers = weights, [], []
        self.x, self.size = "pixels", INPUT_PX
        self.constant("zero", np.float32(0))
        self.constant("six", np.float32(6))

    def constant(self, name: str, value: NDArray[np.generic] | np.generic) -> str:
        self.initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, op: str, inputs: list[str], **attributes: Any) -> str:
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def convolution(self, conv: str, norm: str, stride: int = 1, *, relu6: bool) -> None:
        """Convolution with its batch norm folded in, "SAME" padding, then ReLU6 if asked."""
        kernel = self.weights[f"{conv}.weight"]
        scale = self.weights[f"{norm}.weight"] / np.sqrt(self.weights[f"{norm}.running_var"] + BATCH_NORM_EPSILON)
        bias = self.weights[f"{norm}.bias"] - self.weights[f"{norm}.running_mean"] * scale
        side = kernel.shape[-1]
        out = -(-self.size // stride)
        padding = max((out - 1) * stride + side - self.size, 0)
        before, after = padding // 2, padding - padding // 2
        self.x = self.add(
            "Conv",
            [
                self.x,
                self.constant(f"{conv}.w", kernel * scale[:, None, None, None]),
                self.constant(f"{conv}.b", bias.astype(np.float32)),
            ],
            pads=[before, before, after, after],
            strides=[stride, stride],
            kernel_shape=[side, side],
            group=kernel.shape[0] if kernel.shape[1] == 1 and "depthwise" in conv else 1,
        )
        self.size = out
        if relu6:
            self.x = self.add("Clip", [self.x, "zero", "six"])

    def block(self, index: int, stride: int) -> None:
        """One inverted residual block (MBConv without squeeze-excite)."""
        prefix, before = f"_blocks.{index}", self.x
        expands = f"{prefix}._expand_conv.weight" in self.weights
        if expands:
            self.convolution(f"{prefix}._expand_conv", f"{prefix}._bn0", relu6=True)
        self.convolution(f"{prefix}._depthwise_conv", f"{prefix}._bn1", stride, relu6=True)
        self.convolution(f"{prefix}._project_conv", f"{prefix}._bn2", relu6=False)
        width_out = self.weights[f"{prefix}._project_conv.weight"].shape[0]
        width_in = self.weights[f"{prefix}._{'expand' if expands else 'depthwise'}_conv.weight"].shape[int(expands)]
        if stride == 1 and expands and width_in == width_out:
            self.x = self.add("Add", [self.x, before])


def load_weights(path: Path) -> dict[str, Array]:
    """Returns the state dict as float32 arrays; tensors only, nothing in the file is executed."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {name: tensor.float().numpy() for name, tensor in state.items()}


def head(path: Path) -> tuple[Array, Array]:
    """Returns the ImageNet classifier: weights (1000, 1280) and bias (1000,), for mean-pooled features."""
    weights = load_weights(path)
    return weights["_fc.weight"], weights["_fc.bias"]


def build(weights: dict[str, Array]) -> onnx.ModelProto:
    """Returns the float32 graph: `pixels` (1, 3, 224, 224) -> `latents` (49, 1280), row-major over the 7x7 grid."""
    graph = _Graph(weights)
    graph.convolution("_conv_stem", "_bn0", 2, relu6=True)
    index = 0
    for repeats, _, stride in STAGES:
        for repeat in range(repeats):
            graph.block(index, stride if repeat == 0 else 1)
            index += 1
    graph.convolution("_conv_head", "_bn1", relu6=True)
    flat = graph.add("Reshape", [graph.x, graph.constant("shape", np.array([N_CHANNELS, GRID * GRID], np.int64))])
    graph.nodes.append(helper.make_node("Transpose", [flat], ["latents"], name="latents", perm=[1, 0]))
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "efficientnet-lite0",
            [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, INPUT_PX, INPUT_PX])],
            [helper.make_tensor_value_info("latents", TensorProto.FLOAT, [GRID * GRID, N_CHANNELS])],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
        producer_name="glasses quantize/image_encoder.py",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def read_photos(paths: Sequence[Path]) -> Iterator[NDArray[np.uint8]]:
    """Yields each readable picture as uint8 RGB (H, W, 3)."""
    for path in paths:
        bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if bgr is not None:
            yield cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB).astype(np.uint8)


class _Calibration(CalibrationDataReader):
    """Feeds calibration photographs to onnxruntime."""

    def __init__(self, photos: Sequence[Path]) -> None:
        self.pixels = (preprocess(rgb) for rgb in read_photos(photos))

    def get_next(self) -> dict[str, Array] | None:  # type: ignore[override]
        pixels = next(self.pixels, None)
        return None if pixels is None else {"pixels": pixels}


def quantize(model: onnx.ModelProto, photos: Sequence[Path], out: Path) -> None:
    """Writes the int8 QDQ model: weights per channel, activations uint8, ranges from `photos`."""
    with tempfile.TemporaryDirectory() as folder:
        raw, prepared = Path(folder, "raw.onnx"), Path(folder, "prepared.onnx")
        onnx.save(model, raw)
        quant_pre_process(raw, prepared, skip_symbolic_shape=True)
        convolutions = [node.name for node in onnx.load(prepared).graph.node if node.op_type == "Conv"]
        quantize_static(
            prepared,
            out,
            _Calibration(photos),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=convolutions[:FLOAT_CONVOLUTIONS],
        )
        made = onnx.load(out)
        exact_int8.rewrite(made, exact_int8.floats_of(onnx.load(prepared)))
        onnx.save(made, out)


def compare(float_path: Path, int8_path: Path, photos: Sequence[Path]) -> dict[str, float]:
    """Returns the cosine of int8 to float latents (whole grid, and mean-pooled) and the median times of the models."""
    sessions = [open_session(path, n_threads=1) for path in (float_path, int8_path)]
    pairs, seconds = [], []
    for rgb in read_photos(photos):
        pixels, outputs, times = preprocess(rgb), [], []
        for session in sessions:
            start = time.perf_counter()
            outputs.append(np.asarray(session.run(["latents"], {"pixels": pixels})[0]))
            times.append(time.perf_counter() - start)
        pairs.append(outputs)
        seconds.append(times)
    grids = [_cosine(a.ravel(), b.ravel()) for a, b in pairs]
    float_ms, int8_ms = 1e3 * np.median(seconds, axis=0)
    return {
        "photos": len(pairs),
        "cosine_grid_mean": float(np.mean(grids)),
        "cosine_grid_min": float(np.min(grids)),
        "cosine_pooled_mean": float(np.mean([_cosine(a.mean(0), b.mean(0)) for a, b in pairs])),
        "float_ms": float(float_ms),
        "int8_ms": float(int8_ms),
        "speedup": float(float_ms / int8_ms),
    }


def _cosine(a: Array, b: Array) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-12))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="efficientnet-lite0-57934424.pth")
    parser.add_argument("--photos", type=Path, help="photographs to calibrate on; without it OUT is only compared")
    parser.add_argument("--heldout", type=Path, default=Path("models/eval/pictures"), help="folder to compare on")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--float-out", type=Path, help="also keep the float32 model here")
    args = parser.parse_args()
    model = build(load_weights(args.weights))
    with tempfile.TemporaryDirectory() as folder:
        float_path = args.float_out or Path(folder, "float.onnx")
        onnx.save(model, float_path)
        if args.photos:
            with files.whole(args.out) as part:
                quantize(model, sorted(args.photos.rglob("*.jpg")), part)
        print(json.dumps(compare(float_path, args.out, sorted(args.heldout.glob("*.jpg"))), indent=1))


if __name__ == "__main__":
    main()
