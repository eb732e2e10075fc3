"""Puts together what calls the tools that a turn asks for: the tools, who chooses and reads, what they may use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from glasses.assistant.cast import Cast
from glasses.runtime.bundle import LoadedBundle
from glasses.runtime.heads import open_argument_reader, open_tool_chooser
from glasses.runtime.prompt import suffix_of
from glasses.system.supervised import SupervisedThread
from glasses.tools.builtin import BUILTIN
from glasses.tools.call import ToolCall
from glasses.tools.caller import ToolCaller
from glasses.tools.registry import ToolRegistry
from glasses.tools.routines import routines_in, tool_of
from glasses.tools.store import ToolStore
from glasses.tools.tool import Tool, ToolContext
from glasses.types import Float32Array


def registry_of(store: ToolStore) -> ToolRegistry:
    """The tools that come with the assistant, and the wearer's routines."""
    registry = ToolRegistry(BUILTIN)
    registry.add(*(tool_of(one) for one in routines_in(store)))
    return registry


def open_caller(
    loaded: LoadedBundle,
    registry: ToolRegistry,
    context: ToolContext,
    *,
    cast: Cast | None = None,
    kept: Path | None = None,
) -> ToolCaller | None:
    """What calls the tools of `registry` that whoever of `cast` answers may call; None: the bundle has nothing that
    chooses.

    `kept` is the file for what is learned of tools that did not come with the assistant. Raises ModelError as
    `open_tool_chooser` and `open_argument_reader` do.
    """
    chooser = open_tool_chooser(loaded, kept)
    if chooser is None:
        return None

    def tools() -> dict[str, Tool]:
        return {one.name: one for one in registry.tools if cast is None or cast.current.allows(one)}

    reader = open_argument_reader(loaded)
    SupervisedThread(
        reader.prepare, "argument reader"
    ).start()  # else the first call of a tool takes half a second more
    typed = TypedWords(loaded, lambda: cast.n_prefix(loaded) if cast else loaded.n_prefix)
    caller = ToolCaller(tools, chooser, reader, context, understand=lambda words: typed.with_rows(words, caller.plan))
    return caller


class TypedWords:
    """Lets something look at typed words as if they were a turn, in a new conversation, which begins after the first
    `n_prefix` rows of the KV cache: its system prompt.
    """

    def __init__(self, loaded: LoadedBundle, n_prefix: Callable[[], int]) -> None:
        self._loaded, self._n_prefix = loaded, n_prefix

    def with_rows(self, words: str, look: Callable[[Float32Array], ToolCall | None]) -> ToolCall | None:
        """What `look` makes of the words' rows while they are in the KV cache with the suffix behind them. The cache
        is then as it was. Raises ModelError as the backbone does.
        """
        backbone = self._loaded.backbone
        saved = backbone.snapshot()
        try:
            backbone.rollback(self._n_prefix())
            ids = backbone.tokenize(words, special=False)
            backbone.feed([ids, suffix_of(backbone)])
            return look(backbone.token_rows(ids))
        finally:
            backbone.restore(saved)
