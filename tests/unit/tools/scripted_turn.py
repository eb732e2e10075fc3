"""What the chooser and the reader of a model would tell of a turn, as a test says it."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from glasses.tools.said import SaidWord
from glasses.tools.tool import Tool


class ScriptedTurn:
    """Every turn asks for the tool `name`, "" for none, with `arguments`. `asked`: whether something waited, each
    time.
    """

    def __init__(self) -> None:
        self.name: str | None = ""
        self.arguments: dict[str, Any] = {}
        self.asked: list[bool] = []

    def choose(self, rows: Any, names: Sequence[str], *, waiting: bool = False) -> Any:
        self.asked.append(waiting)
        return SimpleNamespace(name=self.name) if self.name else None

    def untrained(self, tools: Sequence[Tool]) -> list[Tool]:
        return []

    def train(self, tool: Tool) -> None: ...

    def read(self, tool: Tool, rows: Any) -> dict[str, Any]:
        return self.arguments

    def words(self, rows: Any) -> list[SaidWord]:
        return []
