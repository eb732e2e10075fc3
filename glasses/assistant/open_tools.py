"""Puts together what calls the tools that a turn asks for: the tools, who chooses and reads, what they may use."""

from __future__ import annotations

from collections.abc import Callable

from glasses.runtime.bundle import LoadedBundle
from glasses.runtime.prompt import suffix_of
from glasses.tools.builtin import BUILTIN
from glasses.tools.caller import ToolCall
from glasses.tools.registry import ToolRegistry
from glasses.tools.routines import routines_in, tool_of
from glasses.tools.store import ToolStore
from glasses.types import Float32Array


def registry_of(store: ToolStore) -> ToolRegistry:
    """The tools that come with the assistant, and the wearer's routines."""
    registry = ToolRegistry(BUILTIN)
    registry.add(*(tool_of(one) for one in routines_in(store)))
    return registry


class TypedWords:
    """What a turn of these typed words would ask for, from a new conversation. The KV cache is then as it was."""

    def __init__(self, loaded: LoadedBundle, plan: Callable[[Float32Array], ToolCall | None]) -> None:
        self._loaded, self._plan = loaded, plan

    def __call__(self, words: str) -> ToolCall | None:
        """Raises ModelError as the backbone does."""
        backbone = self._loaded.backbone
        saved = backbone.snapshot()
        try:
            backbone.rollback(self._loaded.n_prefix)
            ids = backbone.tokenize(words, special=False)
            backbone.feed([ids, suffix_of(backbone)])
            return self._plan(backbone.token_rows(ids))
        finally:
            backbone.restore(saved)
