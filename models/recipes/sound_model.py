"""The ambience connector in torch, and its ONNX form. Knows neither recordings nor the backbone's weights.

    latents (T, 768) -> rows (10, 576):  three of a begin, four of the name, air, air, end

The clip is pooled over time (mean, deviation, maximum of every channel). A linear layer turns that into softmax units,
one for each sound it can name and for each kind of voice (man or woman, calm, whispered, shouted). The units mix rows
in the backbone's embedding space: four *soft tokens*, so that doubt between two sounds reaches the backbone as
something
between their names, not as a choice. The *air* rows carry a residual of the pooled latents: whose voice, which room,
and
whatever no unit stands for.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import Tensor, nn

from models.recipes.image_model import Graph

D_LATENT, N_EMBD = 768, 576
D_POOLED, RANK = 3 * D_LATENT, 96
N_BEGIN, N_NAME, N_AIR = 3, 4, 2
N_ROWS = N_BEGIN + N_NAME + N_AIR + 1


class AmbienceConnector(nn.Module):
    """See the module. `start` gives every parameter its first value (sound_connector.first_values)."""

    def __init__(self, start: dict[str, NDArray[np.float32]]) -> None:
        super().__init__()
        first = {name: torch.from_numpy(np.array(value, np.float32)) for name, value in start.items()}
        for name in ("shift", "scale", "weights", "bias", "sharpness"):
            self.register_buffer(name, first[name])
        self.names = nn.Parameter(first["names"])  # (n_units, N_NAME * N_EMBD)
        self.frame = nn.Parameter(first["frame"])  # begin, air and end (6, N_EMBD)
        self.squeeze = nn.Parameter(first["squeeze"])  # (D_POOLED, RANK)
        self.expand = nn.Parameter(first["expand"])  # (RANK, N_AIR * N_EMBD)

    def units(self, pooled: Tensor) -> Tensor:
        """Units (batch, n_units) that sum to 1."""
        scores = (pooled - self.shift) * self.scale @ self.weights + self.bias
        return torch.softmax(scores * self.sharpness, -1)

    def rows(self, pooled: Tensor, units: Tensor) -> Tensor:
        """Rows (batch, 10, 576) from pooled clips (batch, 2304) and units."""
        n = len(units)
        names = (units @ self.names).reshape(n, N_NAME, N_EMBD)
        air = torch.tanh((pooled - self.shift) * self.scale @ self.squeeze) @ self.expand
        frame = self.frame.expand(n, -1, -1)
        air = air.reshape(n, N_AIR, N_EMBD) + frame[:, N_BEGIN : N_BEGIN + N_AIR]
        return torch.cat([frame[:, :N_BEGIN], names, air, frame[:, -1:]], 1)

    def forward(self, pooled: Tensor) -> Tensor:
        """Rows (batch, 10, 576) from pooled clips (batch, 2304)."""
        return self.rows(pooled, self.units(pooled))


def export(model: AmbienceConnector, path: Path, *, space: str, backbone: str) -> None:
    """Writes `latents` (T, 768) -> `rows` (10, 576); `space` and `backbone` (sha256) go into the metadata."""
    graph = Graph()
    f32 = {name: value.detach().numpy().astype(np.float32) for name, value in model.state_dict().items()}

    def rows(x: str, n: int) -> str:
        return graph.add("Reshape", [x, graph.constant(np.array([n, N_EMBD], np.int64))])

    mean = graph.add("ReduceMean", ["latents"], axes=[0], keepdims=1)
    off = graph.add("Sub", ["latents", mean])
    std = graph.add("Sqrt", [graph.add("ReduceMean", [graph.add("Mul", [off, off])], axes=[0], keepdims=1)])
    peak = graph.add("ReduceMax", ["latents"], axes=[0], keepdims=1)
    pooled = graph.add("Concat", [mean, std, peak], axis=1)
    x = graph.add("Mul", [graph.add("Sub", [pooled, graph.constant(f32["shift"])]), graph.constant(f32["scale"])])
    weights = graph.add("Transpose", [graph.table(model.get_buffer("weights").T)], perm=[1, 0])
    scores = graph.add("Add", [graph.add("MatMul", [x, weights]), graph.constant(f32["bias"])])
    units = graph.add("Softmax", [graph.add("Mul", [scores, graph.constant(f32["sharpness"])])], axis=-1)
    names = rows(graph.add("MatMul", [units, graph.table(model.names)]), N_NAME)
    squeeze = graph.add("Transpose", [graph.table(model.squeeze.T)], perm=[1, 0])
    squeezed = graph.add("Tanh", [graph.add("MatMul", [x, squeeze])])
    air = rows(graph.add("MatMul", [squeezed, graph.table(model.expand)]), N_AIR)
    air = graph.add("Add", [air, graph.constant(f32["frame"][N_BEGIN : N_BEGIN + N_AIR])])
    begin, end = graph.constant(f32["frame"][:N_BEGIN]), graph.constant(f32["frame"][-1:])
    graph.add("Concat", [begin, names, air, end], "rows", axis=0)
    onnx_model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "ambience-connector",
            [helper.make_tensor_value_info("latents", TensorProto.FLOAT, ["T", D_LATENT])],
            [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [N_ROWS, N_EMBD])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
        producer_name="glasses models/recipes/sound_connector.py",
    )
    beside_words = json.dumps([N_BEGIN + N_NAME, N_BEGIN + N_NAME + N_AIR])
    helper.set_model_props(onnx_model, {"space": space, "backbone_sha256": backbone, "beside_words": beside_words})
    onnx.checker.check_model(onnx_model, full_check=True)
    onnx.save(onnx_model, path)
