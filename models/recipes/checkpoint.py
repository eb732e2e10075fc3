"""One file that a training can be resumed from: written whole or not at all. Knows no model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def save(path: Path, state: dict[str, Any]) -> None:
    """Writes `state` (tensors, numbers, texts) beside `path` and renames it."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def load(path: Path) -> dict[str, Any]:
    """What `save` wrote; nothing in the file is run."""
    return torch.load(path, weights_only=True)
