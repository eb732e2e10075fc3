"""EfficientNet-Lite0 as PyTorch computes it, batch norms unfolded: what the exported graph is held against."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as f
from numpy.typing import NDArray

from quantize.image_encoder import BATCH_NORM_EPSILON, STAGES

Array = NDArray[np.float32]


def features(weights: dict[str, Array], pixels: Array) -> Array:
    """`pixels` (1, 3, 224, 224) -> (49, 1280), from the state dict `weights`."""
    state = {name: torch.from_numpy(np.array(value)) for name, value in weights.items()}
    with torch.no_grad():
        x = _unit(state, torch.from_numpy(pixels), "_conv_stem", "_bn0", 2)
        index = 0
        for repeats, _, stride in STAGES:
            for repeat in range(repeats):
                x = _block(state, x, f"_blocks.{index}", stride if repeat == 0 else 1)
                index += 1
        x = _unit(state, x, "_conv_head", "_bn1")
        return x.flatten(2)[0].T.contiguous().numpy()


def _unit(
    state: dict[str, torch.Tensor], x: torch.Tensor, conv: str, norm: str, stride: int = 1, *, relu6: bool = True
) -> torch.Tensor:
    """TensorFlow's SAME padding, convolution, batch norm, ReLU6."""
    kernel = state[f"{conv}.weight"]
    side = kernel.shape[-1]
    total = max((-(-x.shape[-1] // stride) - 1) * stride + side - x.shape[-1], 0)
    x = f.pad(x, (total // 2, total - total // 2, total // 2, total - total // 2))
    x = f.conv2d(x, kernel, stride=stride, groups=x.shape[1] // kernel.shape[1])
    running = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
    x = f.batch_norm(x, *running, state[f"{norm}.weight"], state[f"{norm}.bias"], eps=BATCH_NORM_EPSILON)
    return f.relu6(x) if relu6 else x


def _block(state: dict[str, torch.Tensor], x: torch.Tensor, prefix: str, stride: int) -> torch.Tensor:
    before = x
    expands = f"{prefix}._expand_conv.weight" in state
    if expands:
        x = _unit(state, x, f"{prefix}._expand_conv", f"{prefix}._bn0")
    x = _unit(state, x, f"{prefix}._depthwise_conv", f"{prefix}._bn1", stride)
    x = _unit(state, x, f"{prefix}._project_conv", f"{prefix}._bn2", relu6=False)
    return x + before if stride == 1 and expands and x.shape == before.shape else x
