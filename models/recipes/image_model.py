"""The image connector in torch, and its ONNX form.

    latents (49, 1280) -> rows (n_rows, 576):  opening, kind, joint, name x3, joint, four quarters of the view, closing

The middle is a layer of `n_classes` softmax units, which start as the ImageNet head and the further classes of
image_classes.py. Their activations mix learned rows in the backbone's embedding space: a *soft token* for the kind
of thing and three for its name, so that doubt between two things reaches the backbone as something between their
rows, not as a choice. The quarters say what is where by the same units, and carry a linear residual of the features
beside it: colour, texture, and whatever else no unit stands for. Opening, joints and closing are learned rows that
tell the backbone what it is looking at; they start as the token rows of a sentence.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

GRID, N_CHANNELS, N_EMBD = 7, 1280, 576
N_REGIONS = 5  # the whole view, then its quarters, row-major, each 4x4 of the 7x7 grid
N_NAME_ROWS = 3
RESIDUAL_RANK = 64
SHARPNESS = 2.0  # rows mixed of many names are nobody's name: lean to the likeliest


def pooling() -> NDArray[np.float32]:
    """Weights (5, 49) of the mean over each region."""
    weights = np.zeros((N_REGIONS, GRID, GRID), np.float32)
    weights[0] = 1
    for region, (top, left) in enumerate(((0, 0), (0, 3), (3, 0), (3, 3)), start=1):
        weights[region, top : top + 4, left : left + 4] = 1
    weights = weights.reshape(N_REGIONS, -1)
    return weights / weights.sum(1, keepdims=True)


class ImageConnector(nn.Module):
    """See the module. `kind_of` (n_classes,) is the row of the kind table that each class uses;
    `frame` the number of learned rows in the opening, the two joints and the closing."""

    def __init__(
        self, head: NDArray[np.float32], bias: NDArray[np.float32], kind_of: list[int], frame: list[int]
    ) -> None:
        super().__init__()
        n_classes, n_kinds = len(head), max(kind_of) + 1
        self.head = nn.Parameter(torch.from_numpy(head.copy()))
        self.bias = nn.Parameter(torch.from_numpy(bias.copy()))
        self.sharpness = nn.Parameter(torch.full((2,), SHARPNESS))  # of the whole view's softmax, and of the quarters'
        self.register_buffer("to_kind", torch.zeros(n_classes, n_kinds))
        self.to_kind[torch.arange(n_classes), torch.tensor(kind_of)] = 1
        self.kinds = nn.Parameter(torch.zeros(n_kinds, N_EMBD))
        self.names = nn.Parameter(torch.zeros(n_classes, N_NAME_ROWS * N_EMBD))
        self.frame = nn.ParameterList([torch.zeros(n, N_EMBD) for n in frame])
        self.n_rows = sum(frame) + 1 + N_NAME_ROWS + 4
        self.places = nn.Parameter(torch.zeros(4, N_EMBD))
        self.squeeze = nn.Parameter(torch.randn(N_CHANNELS, RESIDUAL_RANK) * N_CHANNELS**-0.5)
        self.expand = nn.Parameter(torch.zeros(RESIDUAL_RANK, N_EMBD))

    def activations(self, regions: Tensor) -> Tensor:
        """Softmax units (..., 5, n_classes) of the pooled features (..., 5, 1280)."""
        logits = regions @ self.head.T + self.bias
        return torch.softmax(logits * self.sharpness[[0, 1, 1, 1, 1], None], -1)

    def rows(self, regions: Tensor, units: Tensor) -> Tensor:
        """Rows (batch, n_rows, 576) from pooled features (batch, 5, 1280) and units (batch, 5, n_classes)."""
        n = len(units)
        kind = (units @ self.to_kind) @ self.kinds
        name = (units[:, 0] @ self.names).reshape(n, N_NAME_ROWS, N_EMBD)
        quarters = kind[:, 1:] + self.places + torch.tanh(regions[:, 1:] @ self.squeeze) @ self.expand
        opening, joint, second_joint, closing = (part.expand(n, *part.shape) for part in self.frame)
        return torch.cat([opening, kind[:, :1], joint, name, second_joint, quarters, closing], 1)

    def forward(self, regions: Tensor) -> Tensor:
        """Rows (batch, n_rows, 576) from pooled features (batch, 5, 1280)."""
        return self.rows(regions, self.activations(regions))


class Graph:
    """Collects the ONNX nodes; large tables are kept as int8 with one scale a row."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[TensorProto] = []

    def constant(self, value: NDArray[np.generic]) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def table(self, value: Tensor) -> str:
        """An int8 table, dequantised in the graph."""
        weights = value.detach().numpy().astype(np.float32)
        scale = np.maximum(np.abs(weights).max(1), 1e-8) / 127
        int8 = np.round(weights / scale[:, None]).astype(np.int8)
        inputs = [self.constant(int8), self.constant(scale.astype(np.float32))]
        return self.add("DequantizeLinear", inputs, axis=0)

    def add(self, op: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        name = output or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name


def export(model: ImageConnector, path: Path, *, space: str, backbone: str) -> None:
    """Writes `latents` (49, 1280) -> `rows` (n_rows, 576); `space` and `backbone` (sha256) go into the metadata."""
    graph = Graph()
    f32 = {name: value.detach().numpy().astype(np.float32) for name, value in model.state_dict().items()}
    regions = graph.add("MatMul", [graph.constant(pooling()), "latents"])
    head = graph.add("Transpose", [graph.table(model.head)], perm=[1, 0])
    logits = graph.add("Add", [graph.add("MatMul", [regions, head]), graph.constant(f32["bias"])])
    sharpness = graph.constant(f32["sharpness"][[0, 1, 1, 1, 1]][:, None])
    units = graph.add("Softmax", [graph.add("Mul", [logits, sharpness])], axis=-1)
    to_kind = graph.add("Cast", [graph.constant(f32["to_kind"].astype(np.int8))], to=TensorProto.FLOAT)
    kind = graph.add("MatMul", [graph.add("MatMul", [units, to_kind]), graph.table(model.kinds)])

    def cut(x: str, start: int, end: int) -> str:
        return graph.add("Slice", [x, *(graph.constant(np.array([i], np.int64)) for i in (start, end, 0))])

    flat = graph.add("MatMul", [cut(units, 0, 1), graph.table(model.names)])
    name = graph.add("Reshape", [flat, graph.constant(np.array([N_NAME_ROWS, N_EMBD], np.int64))])
    squeezed = graph.add("Tanh", [graph.add("MatMul", [cut(regions, 1, 5), graph.table(model.squeeze)])])
    residual = graph.add("MatMul", [squeezed, graph.table(model.expand)])
    quarters = graph.add("Add", [cut(kind, 1, 5), graph.add("Add", [residual, graph.constant(f32["places"])])])
    opening, joint, second_joint, closing = (graph.constant(part.detach().numpy()) for part in model.frame)
    graph.add("Concat", [opening, cut(kind, 0, 1), joint, name, second_joint, quarters, closing], "rows", axis=0)
    onnx_model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "image-connector",
            [helper.make_tensor_value_info("latents", TensorProto.FLOAT, [GRID * GRID, N_CHANNELS])],
            [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [model.n_rows, N_EMBD])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
        producer_name="glasses models/recipes/image_connector.py",
    )
    helper.set_model_props(onnx_model, {"space": space, "backbone_sha256": backbone})
    onnx.checker.check_model(onnx_model, full_check=True)
    onnx.save(onnx_model, path)
