"""The KV cache after a system prompt: computed once on this machine, then read from a file."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from glasses.backbone import saved_context
from glasses.backbone.llama import LlamaBackbone
from glasses.backbone.state_file import SavedState
from glasses.errors import ModelError, Reason
from glasses.model_store import store

log = logging.getLogger(__name__)


def system_states(backbone: LlamaBackbone, systems: Mapping[str, str]) -> dict[str, SavedState]:
    """The KV cache after each of these system prompts, by the same names; it holds the first one's afterwards.

    Raises ModelError as the backbone does.
    """
    states = dict[str, SavedState]()
    for name, system in systems.items():
        backbone.rollback(0)
        feed_system(backbone, system, store.cache_dir() / "states")
        states[name] = backbone.snapshot()
    backbone.restore(next(iter(states.values())))
    return states


def feed_system(backbone: LlamaBackbone, system: str, folder: Path) -> None:
    """Restores the state after the system prompt, or computes and keeps it; the file is a cache and may be lost."""
    prefix = backbone.prompt_format.prefix(system)
    tag = hashlib.sha256(prefix.encode()).hexdigest()[:16]
    path = folder / f"{backbone.sha256[:16]}-{tag}.state"
    try:
        saved_context.load(backbone, path, tag=tag)
    except ModelError as error:
        if error.reason is not Reason.NOT_FOUND:
            log.warning("making the saved state of the system prompt anew: %s", error)
        backbone.feed([backbone.tokenize(prefix)])
        with suppress(OSError):  # `save` says it better
            folder.mkdir(parents=True, exist_ok=True)
        try:
            saved_context.save(backbone, path, tag=tag)
        except ModelError as unsaved:  # a read-only or full disk costs start-up time, nothing else
            log.warning("the state of the system prompt is not kept: %s", unsaved)
