"""Rebuilds YAMNet's convolutions as ONNX with int8 weights from a quantized export.

YAMNet (Plakal & Ellis 2019, tensorflow/models, Apache-2.0) is MobileNet v1 trained on AudioSet: 27 convolutions with
their batch norms folded in, each with a ReLU, and a mean over what is left of time and frequency. The export holds the
float weights between QuantizeLinear pairs. Its own activation ranges are not used, because they lower the cosine of the
latents to 0.98 (minimum 0.54). So weights are int8 with one scale an output channel, unpacked once when the
session opens, and the arithmetic is float32. The 521-class head is left out; `head` returns it for measuring.

    glasses models pull yamnet-onnx
    python -m quantize.sound_encoder YamNet_w8a8.onnx.zip models/artifacts/yamnet-int8.onnx
"""

from __future__ import annotations

import argparse
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from glasses.encoders.sound import MEL_BANDS, PATCH_FRAMES
from quantize import files
from quantize.graph import Graph

Array = NDArray[np.float32]
FOLDER, MEMBERS = "job_jpev7z175_optimized_onnx", ("model.onnx", "model.data")
MAX_MEMBER_BYTES = 32 << 20
N_CHANNELS = 1024


def read_export(path: Path) -> tuple[list[onnx.NodeProto], dict[str, Array]]:
    """The convolutions in order, and every weight by name, out of the export's zip. Raises ValueError (not it)."""
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
        for name in MEMBERS:
            info = archive.getinfo(f"{FOLDER}/{name}")
            if info.file_size > MAX_MEMBER_BYTES:
                raise ValueError(f"{path}: {name} unpacks to {info.file_size} bytes, over {MAX_MEMBER_BYTES}")
            Path(folder, name).write_bytes(archive.read(info))
        graph = onnx.load(Path(folder, MEMBERS[0])).graph
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    return [node for node in graph.node if node.op_type == "Conv"], weights


def head(path: Path) -> tuple[Array, Array]:
    """AudioSet's classifier: weights (521, 1024) and bias (521,), for one patch; a sigmoid makes scores."""
    _, weights = read_export(path)
    return weights["model.classifier.weight"], weights["model.classifier.bias"]


def _packed(graph: Graph, name: str, kernel: Array, scale: Array) -> str:
    """`kernel` as int8 with the export's scales (its weights lie on that grid already). A session computes Cast and
    Mul of constants once when it opens; DequantizeLinear it would compute in every run.
    """
    scale = scale.reshape(-1, 1, 1, 1)
    whole = np.clip(np.rint(kernel / scale), -127, 127).astype(np.int8)
    graph.tensors[f"{name}.int8"] = numpy_helper.from_array(whole, f"{name}.int8")
    unpacked = graph.op("Cast", f"{name}.int8", to=TensorProto.FLOAT)
    return graph.op("Mul", unpacked, graph.const(f"{name}.scale", scale))


def build(convolutions: list[onnx.NodeProto], weights: dict[str, Array], *, int8: bool = True) -> onnx.ModelProto:
    """`patches` (P, 1, 96, 64) -> `latents` (P, 1024). Raises ValueError for a chain that is not YAMNet's."""
    graph, x, width = Graph(), "patches", ()
    for i, node in enumerate(convolutions):
        name = f"conv{i}"
        kernel, bias = weights[node.input[1].removesuffix("_qdq")], weights[node.input[2]]
        scale, width = weights[node.input[1].removesuffix("_qdq") + "_scale"], bias.shape
        packed = _packed(graph, name, kernel, scale) if int8 else graph.const(name, kernel)
        attributes: dict[str, Any] = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        names = ("", "") if int8 else (f"conv_{4 * i + 2}", f"relu_{4 * i + 3}")  # as int8's Cast and Mul make them
        x = graph.op("Conv", x, packed, graph.const(f"{name}.bias", bias), name=names[0], **attributes)
        x = graph.op("Relu", x, name=names[1])
    if len(convolutions) != 27 or width != (N_CHANNELS,):
        raise ValueError(f"{len(convolutions)} convolutions that end {width} wide are not YAMNet's")
    graph.op("Flatten", graph.op("GlobalAveragePool", x), name="latents")
    patches = helper.make_tensor_value_info("patches", TensorProto.FLOAT, ["P", 1, PATCH_FRAMES, MEL_BANDS])
    latents = helper.make_tensor_value_info("latents", TensorProto.FLOAT, ["P", N_CHANNELS])
    return graph.model("yamnet", [patches], [latents])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="YamNet_w8a8.onnx.zip (glasses models pull yamnet-onnx)")
    parser.add_argument("out", type=Path, help="where the int8 ONNX goes")
    parser.add_argument("--float32", type=Path, help="also write the float32 ONNX here")
    args = parser.parse_args()
    convolutions, weights = read_export(args.source)
    for out, int8 in ((args.float32, False), (args.out, True)):
        if out:
            with files.whole(out) as part:
                onnx.save(build(convolutions, weights, int8=int8), part)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
