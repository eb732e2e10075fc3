"""A backbone's context between two runs: saved to a file and loaded by the same model in the same shape."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from glasses.backbone import state_file
from glasses.backbone.llama import LlamaBackbone


def save(backbone: LlamaBackbone, path: Path, *, tag: str = "") -> None:
    """Writes a snapshot; loading needs the same `tag`, the name of what was fed. Raises as `state_file.write`."""
    state_file.write(path, owner_of(backbone, tag), backbone.snapshot())


def load(backbone: LlamaBackbone, path: Path, *, tag: str = "") -> None:
    """Restores what `save` wrote. Raises as `state_file.read`, which leaves the context as it was, and `restore`."""
    backbone.restore(state_file.read(path, owner_of(backbone, tag)))


def owner_of(backbone: LlamaBackbone, tag: str) -> dict[str, str]:
    """Whose the state is: another model, shape or version of llama.cpp could not use it."""
    shape = f"n_ctx={backbone.n_ctx} n_embd={backbone.n_embd} kv=f16 llama-cpp-python={version('llama-cpp-python')}"
    return {"model": backbone.sha256, "context": shape, "tag": tag}
