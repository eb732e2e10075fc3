"""The registry of tools: names, limits, what is told of changes."""

from __future__ import annotations

import threading

import pytest

from glasses.errors import InputError, Reason
from glasses.tools import registry
from glasses.tools.builtin import BUILTIN
from glasses.tools.registry import ToolRegistry
from glasses.tools.tool import Tool, ToolContext, tool


@tool
def coin(context: ToolContext) -> str:
    """Flips a coin."""
    return "Heads."


@tool
def dice(context: ToolContext) -> str:
    """Throws dice."""
    return "Four."


def test_registry_of_the_builtin_tools_finds_each_by_name() -> None:
    there = ToolRegistry(BUILTIN)
    assert there.tools == BUILTIN
    assert all(there.get(one.name) is one for one in BUILTIN)
    assert there.get("coin") is None


def test_add_a_name_that_is_taken_is_refused_and_adds_nothing() -> None:
    there = ToolRegistry([coin])
    other = Tool("coin", "Another.", coin.arguments, coin.function)
    with pytest.raises(InputError, match="a tool coin already") as refused:
        there.add(dice, other)
    assert refused.value.reason is Reason.BUSY
    assert there.tools == (coin,)
    with pytest.raises(InputError, match="a tool dice already"):
        there.add(dice, dice)


def test_add_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="no name for a tool"):
        ToolRegistry([Tool("Coin!", "Flips.", coin.arguments, coin.function)])


def test_add_more_than_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "MAX_TOOLS", 1)
    with pytest.raises(InputError, match="1 tools are the most"):
        ToolRegistry([coin, dice])


def test_remove_of_a_former_owner_leaves_the_new_tool_of_that_name() -> None:
    there = ToolRegistry([coin])
    there.remove(coin, dice)
    other = Tool("coin", "Another.", coin.arguments, coin.function)
    there.add(other)
    there.remove(coin)
    assert there.tools == (other,)


def test_on_change_hears_of_each_change_until_it_ends() -> None:
    there, told = ToolRegistry([coin]), list[tuple[Tool, ...]]()
    end = there.on_change(told.append)
    there.add(dice)
    there.remove(coin)
    there.remove(coin)
    end()
    there.remove(dice)
    assert told == [(coin, dice), (dice,)]


def test_registry_changed_from_many_threads_loses_nothing() -> None:
    there = ToolRegistry()
    many = [Tool(f"coin_{i}", "Flips.", coin.arguments, coin.function) for i in range(64)]
    threads = [threading.Thread(target=there.add, args=(one,)) for one in many]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.name for one in there.tools) == sorted(one.name for one in many)
