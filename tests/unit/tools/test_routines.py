"""What the wearer teaches: learned, kept, done, forgotten."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glasses.errors import InputError
from glasses.tools.builtin import BUILTIN
from glasses.tools.call import ToolCall
from glasses.tools.caller import NOT_UNDERSTOOD, ToolCaller
from glasses.tools.registry import ToolRegistry
from glasses.tools.routines import Routine, routines_in, steps_of, tool_of
from glasses.tools.store import ToolStore
from glasses.tools.tool import ToolContext
from tests.unit.tools.scripted_turn import ScriptedTurn

TIMER = next(one for one in BUILTIN if one.name == "set_timer")
SPELL = next(one for one in BUILTIN if one.name == "spell")

ROWS = np.zeros((2, 8), np.float32)


def understand(words: str) -> ToolCall | None:
    """Two requests."""
    if words.startswith("set a timer for "):
        return ToolCall(TIMER, {"duration": words.removeprefix("set a timer for ")})
    return ToolCall(SPELL, {"word": words.removeprefix("spell ")}) if words.startswith("spell ") else None


class Wearer:
    def __init__(self, store: ToolStore) -> None:
        self.registry = ToolRegistry(BUILTIN)
        self.registry.add(*(tool_of(one) for one in routines_in(store)))
        self.context = ToolContext(lambda: datetime(2026, 3, 4, 22), store, tools=self.registry)
        self.turn = ScriptedTurn()
        self.caller = ToolCaller(
            lambda: {one.name: one for one in self.registry.tools},
            self.turn,
            self.turn,
            self.context,
            understand=understand,
        )

    def says(self, tool_name: str, /, **arguments: Any) -> str:
        self.turn.name, self.turn.arguments = tool_name, arguments
        call = self.caller.plan(ROWS)
        assert call
        return self.caller.carry_out(call)


def test_routine_taught_is_done_at_its_phrase_and_survives_a_restart(tmp_path: Path) -> None:
    store = ToolStore(tmp_path / "tools.db")
    wearer = Wearer(store)
    said = wearer.says("learn_routine", phrase="tea time", actions="set a timer for four minutes and spell tea")
    assert said == "When you say tea time, I will set a timer for four minutes and spell tea."
    assert "routine_tea_time" in [one.name for one in wearer.registry.tools]
    store.close()
    again = Wearer(ToolStore(tmp_path / "tools.db"))
    assert again.says("routine_tea_time") == "4 minutes, starting now. tea: T, E, A."
    assert [due.kind for due in again.context.store.open_dues()] == ["timer"]


def test_routine_is_listed_changed_and_forgotten_after_a_yes() -> None:
    wearer = Wearer(ToolStore(":memory:"))
    wearer.says("learn_routine", phrase="Tea time.", actions="spell tea")
    wearer.says("learn_routine", phrase="tea time", actions="spell cup")
    wearer.says("learn_routine", phrase="work", actions="spell work")
    assert wearer.says("list_routines", phrase="tea") == "When you say tea time, I spell cup."
    assert wearer.says("forget_routine", phrase="tea time").endswith("?")
    assert "nothing any more" in wearer.says("confirm")
    assert [one.phrase for one in routines_in(wearer.context.store)] == ["work"]
    assert [one.name for one in wearer.registry.tools if one.origin] == ["routine_work"]


def test_routine_of_what_no_tool_does_is_refused_by_name() -> None:
    wearer = Wearer(ToolStore(":memory:"))
    said = wearer.says("learn_routine", phrase="party", actions="dance and spell tea")
    assert "dance" in said
    assert routines_in(wearer.context.store) == []


def test_routine_a_step_of_which_is_not_understood_any_more_does_nothing() -> None:
    store = ToolStore(":memory:")
    store.put_routine("party", ["spell tea", "dance"])
    assert Wearer(store).says("routine_party") == NOT_UNDERSTOOD


def test_routine_that_means_itself_is_not_understood() -> None:
    store = ToolStore(":memory:")
    store.put_routine("again", ["again"])
    wearer = Wearer(store)
    wearer.caller = ToolCaller(
        lambda: {one.name: one for one in wearer.registry.tools},
        wearer.turn,
        wearer.turn,
        wearer.context,
        understand=lambda words: wearer.caller.plan(ROWS),
    )
    assert wearer.says("routine_again") == NOT_UNDERSTOOD


def test_steps_of_what_goes_on_belongs_to_the_step_before() -> None:
    words = "set a timer for one hour and thirty minutes, then spell tea and milk."
    is_request = lambda part: understand(part) is not None  # noqa: E731
    assert steps_of(words, is_request) == ["set a timer for one hour and thirty minutes", "spell tea and milk"]
    with pytest.raises(InputError):
        steps_of(", ".join(["spell tea"] * 9), is_request)


def test_store_of_the_version_before_gets_routines(tmp_path: Path) -> None:
    import sqlite3  # noqa: PLC0415

    path = tmp_path / "tools.db"
    ToolStore(path).close()
    with sqlite3.connect(path) as db:
        db.executescript("DROP TABLE routines; PRAGMA user_version=1")
    store = ToolStore(path)
    store.put_routine("tea time", ["spell tea"])
    assert store.routines() == [("tea time", ("spell tea",))]


def test_tool_of_a_routine_has_wordings_of_its_phrase() -> None:
    tool = tool_of(Routine("I'm off!", ("mute yourself",)))
    assert tool.name == "routine_i_m_off"
    assert {"I'm off.", "Okay, I'm off."} <= set(tool.examples)
