"""Where the tools of a command come from beside those built in: packages and files of the wearer, MCP servers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from glasses.assistant.config import AssistantConfig
from glasses.folders import config_folder, own_state_folder
from glasses.system.supervised import SupervisedThread
from glasses.tools.documents.index import DocumentIndex
from glasses.tools.documents.tool import INDEX_NAME, open_encoder, search_tool
from glasses.tools.mcp.consent import NAME, Consents
from glasses.tools.plugins import add_each, load_plugins
from glasses.tools.registry import ToolRegistry

if TYPE_CHECKING:
    from glasses.tools.mcp.servers import McpServers

READ_AFTER_S = 10.0  # documents wait until what is worn is ready
NO_SDK = "MCP servers need, from the checkout: pip install -e '.[mcp]'"


@contextmanager
def tools_from_elsewhere(
    registry: ToolRegistry,
    config: AssistantConfig,
    *,
    note: Callable[[str], None],
    show: Callable[[str], None] = lambda text: None,
    is_worn: bool = False,
) -> Iterator[McpServers | None]:
    """Puts them into the registry while this lasts; servers connect beside, and come and go.

    What cannot be used is told to `note`, one sentence each, and stops nothing. `show` gets what a tool has to say that
    is too long to be said. With `is_worn` documents are read beforehand, beside. Yields the servers, where there are
    any.
    """
    plugins = load_plugins(config_folder() / "glasses")
    added, refused = add_each(registry, plugins.tools)
    for problem in (*plugins.problems, *refused):
        note(str(problem))
    index = None
    if config.documents.folders:
        index = DocumentIndex(own_state_folder() / INDEX_NAME, config.documents.folders, open_encoder)
        search = search_tool(index)
        registry.add(search)
        added.append(search)
    with ExitStack() as stack:
        if index and is_worn:
            stack.enter_context(_reading(index))
        stack.callback(lambda: registry.remove(*added))
        servers = None
        if config.mcp.servers and find_spec("mcp") is None:
            note(NO_SDK)
        elif config.mcp.servers:
            from glasses.tools.mcp.servers import McpServers  # noqa: PLC0415 (the extra may be missing)

            servers = McpServers(config.mcp.servers, registry, Consents(consents_path()), note=note, show=show)
            stack.callback(servers.close)
            servers.start()
        yield servers


@contextmanager
def _reading(index: DocumentIndex) -> Iterator[None]:
    """Brings the index up to date beside, so that the first question need not wait for it."""
    ended = threading.Event()

    def read() -> None:
        if not ended.wait(READ_AFTER_S):
            index.update()
            index.encode(stop=ended.is_set)

    thread = SupervisedThread(read, "documents").start()
    try:
        yield
    finally:
        ended.set()
        thread.close()


def consents_path() -> Path:
    """Where it is kept which servers the wearer has agreed to."""
    return own_state_folder() / NAME
