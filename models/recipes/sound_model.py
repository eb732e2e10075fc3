"""The two sound connectors in torch, and their ONNX form.

    latents (T, 768 or 1024) -> rows (10, 576):  three of a begin, four of the name, air, air, end

The sound connector reads YAMNet's latents, and Whisper's beside them where it is given them, and names the sound
where nobody speaks. The ambience connector is of the same make and reads Whisper's alone; of its rows only the air goes
to the backbone: whose voice, and how.

The clip is pooled over time (sound_units.STATISTICS). A linear layer turns that into softmax units, one for each sound
it can name and for each kind of voice (man or woman, calm, whispered, shouted). The units mix rows in the backbone's
embedding space: four *soft tokens*, so that doubt between two sounds reaches the backbone as something between their
names, not as a choice. The *air* rows carry a residual of the pooled latents: whose voice, which room, and whatever no
unit stands for.
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
from models.recipes.sound_units import D_SOUND, STATISTICS, Modality

N_EMBD = 576
D_LATENT: dict[Modality, int] = {"audio": 768, "sound": D_SOUND}
RANK: dict[Modality, int] = {"audio": 96, "sound": 32}  # of what the air rows carry
N_BEGIN, N_NAME, N_AIR = 3, 4, 2
N_ROWS = N_BEGIN + N_NAME + N_AIR + 1


class SoundConnector(nn.Module):
    """See the module. `start` gives every parameter its first value (sound_connector.first_values)."""

    def __init__(self, start: dict[str, NDArray[np.float32]]) -> None:
        super().__init__()
        first = {name: torch.from_numpy(np.array(value, np.float32)) for name, value in start.items()}
        for name in ("shift", "scale", "weights", "bias", "sharpness"):
            self.register_buffer(name, first[name])
        self.names = nn.Parameter(first["names"])  # (n_units, N_NAME * N_EMBD)
        self.frame = nn.Parameter(first["frame"])  # begin, air and end (6, N_EMBD)
        self.squeeze = nn.Parameter(first["squeeze"])  # (pooled of the own encoder, RANK)
        self.expand = nn.Parameter(first["expand"])  # (RANK, N_AIR * N_EMBD)

    def units(self, pooled: Tensor) -> Tensor:
        """Units (batch, n_units) that sum to 1."""
        scores = (pooled - self.shift) * self.scale @ self.weights + self.bias
        return torch.softmax(scores * self.sharpness, -1)

    def rows(self, pooled: Tensor, units: Tensor) -> Tensor:
        """Rows (batch, 10, 576) from pooled clips (batch, d) and units."""
        n = len(units)
        names = (units @ self.names).reshape(n, N_NAME, N_EMBD)
        own = ((pooled - self.shift) * self.scale)[:, : len(self.squeeze)]  # what is beside has air rows of its own
        air = torch.tanh(own @ self.squeeze) @ self.expand
        frame = self.frame.expand(n, -1, -1)
        air = air.reshape(n, N_AIR, N_EMBD) + frame[:, N_BEGIN : N_BEGIN + N_AIR]
        return torch.cat([frame[:, :N_BEGIN], names, air, frame[:, -1:]], 1)

    def forward(self, pooled: Tensor) -> Tensor:
        """Rows (batch, 10, 576) from pooled clips (batch, d)."""
        return self.rows(pooled, self.units(pooled))


def _pooled(graph: Graph, latents: str, modality: Modality) -> str:
    """Nodes for sound_units.pool."""
    mean = graph.add("ReduceMean", [latents], axes=[0], keepdims=1)
    if STATISTICS[modality] == ("mean",):
        return mean
    off = graph.add("Sub", [latents, mean])
    std = graph.add("Sqrt", [graph.add("ReduceMean", [graph.add("Mul", [off, off])], axes=[0], keepdims=1)])
    return graph.add("Concat", [mean, std, graph.add("ReduceMax", [latents], axes=[0], keepdims=1)], axis=1)


def _units(graph: Graph, f32: dict[str, NDArray[np.float32]], modality: Modality) -> tuple[str, str]:
    """Nodes for the standardised pooled latents of the own encoder, and for the units."""

    def standard(latents: str, whose: Modality, at: slice) -> str:
        off = graph.add("Sub", [_pooled(graph, latents, whose), graph.constant(f32["shift"][at])])
        return graph.add("Mul", [off, graph.constant(f32["scale"][at])])

    def scored(x: str, at: slice) -> str:
        table = graph.add("Transpose", [graph.table(torch.from_numpy(f32["weights"][at].T.copy()))], perm=[1, 0])
        return graph.add("MatMul", [x, table])

    own, rest = slice(None, len(f32["squeeze"])), slice(len(f32["squeeze"]), None)
    x = standard("latents", modality, own)
    scores = graph.add("Add", [scored(x, own), graph.constant(f32["bias"])])
    if modality == "sound":
        beside = graph.add("Mul", [standard("beside", "audio", rest), "has_beside"])
        scores = graph.add("Add", [scores, scored(beside, rest)])
    return x, graph.add("Softmax", [graph.add("Mul", [scores, graph.constant(f32["sharpness"])])], axis=-1)


def export(model: SoundConnector, path: Path, modality: Modality, about: dict[str, str]) -> None:
    """Writes `latents` (T, D) -> `rows` (10, 576), of the sound connector with `beside` (S, 768) and `has_beside` (1,),
    0 or 1, as further inputs; `about` (spaces, the backbone's sha256) goes into the metadata.
    """
    graph = Graph()
    f32 = {name: value.detach().numpy().astype(np.float32) for name, value in model.state_dict().items()}

    def rows(x: str, n: int) -> str:
        return graph.add("Reshape", [x, graph.constant(np.array([n, N_EMBD], np.int64))])

    x, units = _units(graph, f32, modality)
    names = rows(graph.add("MatMul", [units, graph.table(model.names)]), N_NAME)
    squeeze = graph.add("Transpose", [graph.table(model.squeeze.T)], perm=[1, 0])
    squeezed = graph.add("Tanh", [graph.add("MatMul", [x, squeeze])])
    air = rows(graph.add("MatMul", [squeezed, graph.table(model.expand)]), N_AIR)
    air = graph.add("Add", [air, graph.constant(f32["frame"][N_BEGIN : N_BEGIN + N_AIR])])
    begin, end = graph.constant(f32["frame"][:N_BEGIN]), graph.constant(f32["frame"][-1:])
    graph.add("Concat", [begin, names, air, end], "rows", axis=0)
    inputs = {"latents": ["T", D_LATENT[modality]]}
    if modality == "sound":
        inputs |= {"beside": ["S", D_LATENT["audio"]], "has_beside": [1]}
    onnx_model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            f"{modality}-connector",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
            [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [N_ROWS, N_EMBD])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
        producer_name="glasses models/recipes/sound_connector.py",
    )
    properties = dict(about)
    if modality == "audio":
        properties["beside_words"] = json.dumps([N_BEGIN + N_NAME, N_BEGIN + N_NAME + N_AIR])
    helper.set_model_props(onnx_model, properties)
    onnx.checker.check_model(onnx_model, full_check=True)
    onnx.save(onnx_model, path)
