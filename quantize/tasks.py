"""Measures a variant end to end: `glasses evaluate` with the bundle as it is and with one of its files replaced.

A connector refuses latents of an encoder it was not trained on. Here a variant replaces its original on purpose, so it
gets the original's latent space.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from glasses.backbone.llama import LlamaBackbone
from glasses.backbone.prompt import SYSTEM
from glasses.commands import evaluate
from glasses.connectors.pooled import PooledConnector
from glasses.encoders.audio import AudioEncoder
from glasses.encoders.image import ImageEncoder
from glasses.encoders.sound import SoundEncoder
from glasses.errors import InputError, Reason
from glasses.runtime.bundle import LoadedBundle, open_bundle

SETS = {
    "audio-encoder": ("speech", "sounds"),
    "sound-encoder": ("sounds",),
    "image-encoder": ("pictures",),
    "audio-connector": ("sounds",),
    "sound-connector": ("sounds",),
    "image-connector": ("pictures",),
    "backbone": ("speech", "sounds", "pictures"),
}
_ENCODERS: dict[str, tuple[str, Any]] = {
    "audio-encoder": ("audio", AudioEncoder),
    "sound-encoder": ("sound", SoundEncoder),
    "image-encoder": ("image", ImageEncoder),
}


def run(
    role: str, path: Path | None, bundle: str, *, limit: int | None, tick: Callable[[], None] = lambda: None
) -> dict[str, dict[str, Any]]:
    """{figure: {"value": percent, "higher_is_better", "items"}} of the sets that `role` matters to.

    `path` replaces the bundle's file of that role; None is the bundle as it is.
    """
    loaded = open_bundle(bundle, n_threads=1)
    try:
        if path is not None:
            loaded = replaced(loaded, role, path)
        figures = {name: evaluate.measure(name, loaded, tick, limit=limit) for name in SETS[role]}
    finally:
        loaded.close()
    return _flat(figures)


def replaced(loaded: LoadedBundle, role: str, path: Path) -> LoadedBundle:
    """`loaded` with the file of `role` exchanged. Raises InputError(BAD_INPUT) for a role no bundle has."""
    if role == "backbone":
        return _with_backbone(loaded, path)
    if role in _ENCODERS:
        modality, opened = _ENCODERS[role]
        encoder = opened(path, n_threads=1)
        encoder.space = loaded.encoders[modality].space
        return replace(loaded, encoders={**loaded.encoders, modality: encoder})
    if role in ("image-connector", "sound-connector"):
        opened = PooledConnector(path, n_threads=1)
        return replace(loaded, connectors={**loaded.connectors, role.partition("-")[0]: opened})
    if role == "audio-connector":
        return replace(loaded, ambience=PooledConnector(path, n_threads=1))
    raise InputError(Reason.BAD_INPUT, f"{path}: no bundle has a part like this, so it has no task to lose")


def _with_backbone(loaded: LoadedBundle, path: Path) -> LoadedBundle:
    """The speech connector mixes rows of the new backbone's own table, as it would in a bundle of its own."""
    loaded.backbone.close()
    backbone = LlamaBackbone(path, n_ctx=2048, n_threads=1)
    backbone.feed([backbone.tokenize(backbone.prompt_format.prefix(SYSTEM))])
    connectors = {**loaded.connectors, "audio": loaded.speech_connector.with_token_rows(backbone)}
    return replace(loaded, backbone=backbone, connectors=connectors, n_prefix=backbone.n_past)


def _flat(figures: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    out: dict[str, dict[str, Any]] = {}
    if speech := figures.get("speech"):
        counts: dict[str, int] = {}
        for example in speech["examples"]:
            counts[example["condition"]] = counts.get(example["condition"], 0) + 1
        for condition, rate in speech["word error rate"].items():
            out[f"words wrong: {condition}"] = _figure(rate, counts[condition], higher_is_better=False)
        out["spoken answered as typed"] = _figure(speech["agreement"], counts["question"])
    for name, what, items in (("sounds", "sounds named", "clips"), ("pictures", "pictures named", "pictures")):
        if found := figures.get(name):
            out[what] = _figure(found["accuracy"], found[items])
    return out


def _figure(share: float, items: int, *, higher_is_better: bool = True) -> dict[str, Any]:
    return {"percent": 100 * share, "items": items, "higher_is_better": higher_is_better}
