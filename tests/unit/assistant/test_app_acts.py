"""What apps ask for in words: only as far as the wearer lets them, and never what must be agreed to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from glasses.assistant.app_acts import ONLY_BY_VOICE, PER_MINUTE, AppActs
from glasses.errors import InputError, Reason, RemoteError
from glasses.tools.builtin.letters import spell
from glasses.tools.builtin.notes import forget
from glasses.tools.caller import ToolCaller
from glasses.tools.store import ToolStore
from glasses.tools.tool import Tool, ToolContext
from tests.unit.tools.scripted_turn import ScriptedTurn

ROWS = np.zeros((2, 8), np.float32)
LOADED: Any = SimpleNamespace(
    n_prefix=3,
    backbone=SimpleNamespace(tokenize=lambda text: [1, 2], prompt_format=SimpleNamespace(prefix=lambda system: system)),
)


class Wearer:
    """Whose turns, and those of apps, ask for `name` with `arguments`."""

    def __init__(self, **how: Any) -> None:
        self.store, self.told = ToolStore(":memory:"), list[str]()
        self.turn = ScriptedTurn()
        tools: Mapping[str, Tool] = {one.name: one for one in (spell, forget)}
        self.caller = ToolCaller(lambda: tools, self.turn, self.turn, ToolContext(datetime.now, self.store))
        self.acts = AppActs(self.caller, LOADED, note=self.told.append, **how)

    def app_asks_for(self, name: str, **arguments: Any) -> str | None:
        self.turn.name, self.turn.arguments = name, arguments
        planned = self.acts.plan(ROWS)
        return planned.start().result(10) if planned else None


def test_app_acts_what_is_asked_for_is_done_and_told_to_the_wearer() -> None:
    wearer = Wearer()
    assert wearer.app_asks_for("spell", word="tea") == spell.call(wearer.acts._caller._context, {"word": "tea"})
    assert wearer.told == ["an app asked for this: spell"]
    assert wearer.app_asks_for("") is None


def test_app_acts_what_must_be_agreed_to_is_not_done_whatever_the_app_says_next() -> None:
    wearer = Wearer()
    wearer.store.add_note("my seat is 14 C", datetime(2026, 3, 4))
    assert wearer.app_asks_for("forget", all=True) == f"Forget all notes: shall I? {ONLY_BY_VOICE}"
    assert wearer.app_asks_for("confirm") is None
    assert wearer.caller.plan(ROWS) is None, "nor does the wearer's yes to something else"
    assert wearer.store.notes()


def test_app_acts_what_is_missing_is_asked_back() -> None:
    assert Wearer().app_asks_for("spell") == spell.question("word")


@pytest.mark.parametrize("how", [{"may_act": False}, {"refused": {"spell": "not for apps"}}])
def test_app_acts_where_the_wearer_does_not_let_apps_does_nothing(how: dict[str, Any]) -> None:
    wearer = Wearer(**how)
    with pytest.raises(InputError) as refused:
        wearer.app_asks_for("spell", word="tea")
    assert refused.value.reason is Reason.REFUSED
    assert not wearer.told


def test_app_acts_of_a_program_that_runs_wild_are_refused() -> None:
    wearer = Wearer()
    for _ in range(PER_MINUTE):
        wearer.app_asks_for("spell", word="tea")
    with pytest.raises(RemoteError) as refused:
        wearer.app_asks_for("spell", word="tea")
    assert refused.value.reason is Reason.BUSY
