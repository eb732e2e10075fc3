"""Resemblyzer's published speaker encoder as one ONNX file: whose voice it is, from 40 mel bands.

    pip download --no-deps resemblyzer==0.1.4
    python -m models.recipes.speaker_encoder Resemblyzer-0.1.4-py3-none-any.whl --out models/artifacts/speaker-ge2e.onnx

Only the weights are taken out of the package (Apache-2.0); nothing of it is installed or run. Nothing is trained here.
The network is Wan et al., Generalized End-to-End Loss for Speaker Verification (2018): three LSTM layers of 256 and
one linear layer, trained on LibriSpeech-other, VoxCeleb 1 and 2. Input `mel` (B, T, 40), output `voice` (B, 256), unit
vectors without negative numbers. Weights are stored in float16 and become float32 as the file is opened; int8 (dynamic,
per tensor) was tried and does not tell voices apart any more: an equal error rate of 33% where float32 has 3%.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

WEIGHTS = "resemblyzer/pretrained.pt"
LAYERS, WIDTH, BANDS = 3, 256, 40
_OPSET = 17


def weights_of(wheel: Path) -> dict[str, np.ndarray]:
    """The tensors of the published checkpoint by name."""
    with zipfile.ZipFile(wheel) as package:
        checkpoint = torch.load(io.BytesIO(package.read(WEIGHTS)), map_location="cpu", weights_only=True)
    return {name: tensor.numpy() for name, tensor in checkpoint["model_state"].items()}


def graph_of(weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    """The network in float32."""
    nodes, tensors, hidden = [helper.make_node("Transpose", ["mel"], ["x0"], perm=[1, 0, 2])], [], "x0"
    for i in range(LAYERS):
        parts = {
            f"w{i}": _gates(weights[f"lstm.weight_ih_l{i}"])[None],
            f"r{i}": _gates(weights[f"lstm.weight_hh_l{i}"])[None],
            f"b{i}": np.concatenate([_gates(weights[f"lstm.bias_{end}_l{i}"]) for end in ("ih", "hh")])[None],
        }
        for name, array in parts.items():
            tensors.append(numpy_helper.from_array(array.astype(np.float16), f"{name}_half"))
            nodes.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
        is_last = i == LAYERS - 1
        outputs = ["", "last"] if is_last else [f"y{i}"]
        nodes.append(helper.make_node("LSTM", [hidden, *parts], outputs, hidden_size=WIDTH))
        if not is_last:  # (T, 1 direction, B, WIDTH) -> (T, B, WIDTH)
            nodes.append(helper.make_node("Squeeze", [f"y{i}", "one"], [f"x{i + 1}"]))
            hidden = f"x{i + 1}"
    tensors += [
        numpy_helper.from_array(np.array([1], np.int64), "one"),
        numpy_helper.from_array(np.array([0], np.int64), "zero"),
        numpy_helper.from_array(np.ascontiguousarray(weights["linear.weight"].T), "linear_w"),
        numpy_helper.from_array(weights["linear.bias"], "linear_b"),
    ]
    nodes += [
        helper.make_node("Squeeze", ["last", "zero"], ["state"]),
        helper.make_node("MatMul", ["state", "linear_w"], ["product"]),
        helper.make_node("Add", ["product", "linear_b"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["positive"]),
        helper.make_node("LpNormalization", ["positive"], ["voice"], axis=1, p=2),
    ]
    graph = helper.make_graph(
        nodes,
        "speaker_encoder",
        [helper.make_tensor_value_info("mel", TensorProto.FLOAT, ["batch", "frames", BANDS])],
        [helper.make_tensor_value_info("voice", TensorProto.FLOAT, ["batch", WIDTH])],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=9)


def _gates(array: np.ndarray) -> np.ndarray:
    """PyTorch's order of the gates (input, forget, cell, output) as ONNX has it (input, output, forget, cell)."""
    i, f, c, o = np.split(array, 4)
    return np.ascontiguousarray(np.concatenate([i, o, f, c]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    model = graph_of(weights_of(args.wheel))
    onnx.checker.check_model(model)
    onnx.save(model, args.out)
    print(f"{args.out}: {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
