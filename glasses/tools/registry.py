"""The tools that the running assistant has now. Apps and MCP servers bring and take theirs while it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from glasses.errors import InputError, Reason
from glasses.tools.tool import NAME, Tool

MAX_TOOLS = 256  # of all owners together: each costs rows of the choice, and apps and servers may bring any number


class ToolRegistry:
    """Tools by their names; any thread may call any method.

    `on_change` functions are called after each change, one change at a time, with all tools there are then, on the
    thread that made the change: they must be quick and must not change the registry.
    """

    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        """Raises as `add`."""
        self._lock = threading.RLock()
        self._tools: dict[str, Tool] = {}
        self._told: list[Callable[[tuple[Tool, ...]], None]] = []
        self.add(*tools)

    def add(self, *tools: Tool) -> None:
        """Adds all of `tools`, or none. Raises InputError: BAD_INPUT for a name that is none, BUSY for one that is
        taken or for more tools than MAX_TOOLS.
        """
        with self._lock:
            names = [tool.name for tool in tools]
            if wrong := next((name for name in names if not NAME.fullmatch(name)), None):
                raise InputError(Reason.BAD_INPUT, f"{wrong!r} is no name for a tool: small letters, digits and _")
            if taken := next((name for i, name in enumerate(names) if name in self._tools or name in names[:i]), None):
                raise InputError(Reason.BUSY, f"there is a tool {taken} already: choose another name")
            if len(self._tools) + len(names) > MAX_TOOLS:
                raise InputError(Reason.BUSY, f"{MAX_TOOLS} tools are the most: remove some first")
            self._tools.update(zip(names, tools, strict=True))
            self._tell(bool(tools))

    def remove(self, *tools: Tool) -> None:
        """Removes those of `tools` that are there; another tool that has got the same name since stays."""
        with self._lock:
            there = [tool.name for tool in tools if self._tools.get(tool.name) is tool]
            for name in there:
                del self._tools[name]
            self._tell(bool(there))

    def get(self, name: str) -> Tool | None:
        """The tool of this name, or None."""
        with self._lock:
            return self._tools.get(name)

    @property
    def tools(self) -> tuple[Tool, ...]:
        """All tools, in the order in which they came."""
        with self._lock:
            return tuple(self._tools.values())

    def on_change(self, told: Callable[[tuple[Tool, ...]], None]) -> Callable[[], None]:
        """From now on calls `told` after each change. Returns a function that ends this."""
        with self._lock:
            self._told.append(told)

        def end() -> None:
            with self._lock:
                if told in self._told:
                    self._told.remove(told)

        return end

    def _tell(self, changed: bool) -> None:
        if changed:
            tools = self.tools
            for told in tuple(self._told):
                told(tools)
