"""What a turn that asks for a tool comes to, with a chooser and a reader that say what the test wants."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pytest

from glasses.errors import InputError, Reason
from glasses.tools import caller as callers
from glasses.tools.builtin import BUILTIN
from glasses.tools.caller import CANCELLED, ToolCaller
from glasses.tools.store import ToolStore
from glasses.tools.tool import Tool, ToolContext, tool
from tests.unit.tools.scripted_turn import ScriptedTurn

ROWS = np.zeros((3, 8), np.float32)


class Talk:
    def __init__(self, *more: Tool) -> None:
        self.turn, self.now_s = ScriptedTurn(), 0.0
        self.store = ToolStore(":memory:")
        tools = {one.name: one for one in (*BUILTIN, *more)}
        context = ToolContext(lambda: datetime(2026, 3, 4, 10, 30), self.store)
        self.caller = ToolCaller(lambda: tools, self.turn, self.turn, context, clock_s=lambda: self.now_s)

    def says(self, name: str | None, /, **arguments: Any) -> str | None:
        self.turn.name, self.turn.arguments = name, arguments
        call = self.caller.plan(ROWS)
        return self.caller.carry_out(call) if call else None


@pytest.fixture
def talk() -> Talk:
    return Talk()


def test_plan_of_a_turn_that_asks_for_nothing_is_none(talk: Talk) -> None:
    assert talk.says(None) is None
    assert talk.says("no_such_tool") is None


def test_carry_out_says_the_tools_sentence(talk: Talk) -> None:
    assert talk.says("set_timer", duration="five minutes") == "5 minutes, starting now."
    assert [due.kind for due in talk.store.open_dues()] == ["timer"]


def test_plan_changes_nothing(talk: Talk) -> None:
    talk.turn.name, talk.turn.arguments = "set_timer", {"duration": "five minutes"}
    assert talk.caller.plan(ROWS) == talk.caller.plan(ROWS)
    assert talk.store.open_dues() == []


def test_missing_argument_is_asked_for_and_taken_from_the_next_turn(talk: Talk) -> None:
    assert talk.says("set_timer", name="tea") == "For how long?"
    assert talk.says(None, duration="four minutes") == "4 minutes, tea, starting now."
    assert talk.says(None, duration="four minutes") is None


def test_missing_argument_that_the_next_turn_does_not_tell_is_dropped(talk: Talk) -> None:
    assert talk.says("set_timer") == "For how long?"
    assert talk.says(None) is None
    assert str(talk.says("time")).startswith("It is")


def test_question_that_waited_too_long_is_forgotten(talk: Talk) -> None:
    assert talk.says("set_timer") == "For how long?"
    talk.now_s = callers.WAIT_S + 1
    assert talk.says(None, duration="four minutes") is None


def test_what_cannot_be_undone_is_done_after_a_yes_only(talk: Talk) -> None:
    talk.says("remember", text="the car is on level three")
    question = talk.says("forget", about="car")
    assert str(question).endswith("?")
    assert len(talk.store.notes()) == 1
    assert talk.says("decline") == CANCELLED
    assert talk.says("confirm") is None  # nothing waits any more
    talk.says("forget", about="car")
    assert "Forgotten" in str(talk.says("confirm"))
    assert talk.store.notes() == []


def test_yes_is_looked_for_only_while_a_question_waits(talk: Talk) -> None:
    talk.says("remember", text="milk")
    talk.says("forget", about="milk")
    talk.says("confirm")
    talk.says(None)
    assert talk.turn.asked == [False, False, True, False]


def test_another_request_drops_what_waited(talk: Talk) -> None:
    talk.says("remember", text="milk")
    talk.says("forget", about="milk")
    assert talk.says("set_timer", duration="one minute") == "1 minute, starting now."
    assert talk.says("confirm") is None
    assert len(talk.store.notes()) == 1


def test_tool_that_refuses_says_why(talk: Talk) -> None:
    assert talk.says("set_timer", duration="purple") not in ("", None, callers.FAILED)
    assert talk.says("convert", amount="many", unit="miles", to="metres") == callers.NOT_UNDERSTOOD


def test_tool_that_breaks_ends_nothing() -> None:
    @tool
    def broken(context: ToolContext) -> str:
        """Breaks."""
        raise ZeroDivisionError

    talk = Talk(broken)
    assert talk.says("broken") == callers.FAILED
    with pytest.raises(InputError) as error:
        broken.call(ToolContext(datetime.now, talk.store), {})
    assert error.value.reason is Reason.INTERNAL


def test_undo_takes_back_what_the_last_call_changed_and_nothing_else(talk: Talk) -> None:
    talk.says("remember", text="milk")
    talk.says("set_timer", duration="one minute")
    talk.says("set_timer", duration="five minutes")
    other = talk.store.add_note("by another app", datetime(2026, 3, 4))
    talk.caller.undo()
    talk.caller.undo()
    assert [due.at.minute for due in talk.store.open_dues()] == [31]
    assert [note.text for note in talk.store.notes()] == [other.text, "milk"]


def test_undo_brings_back_what_was_deleted(talk: Talk) -> None:
    talk.says("remember", text="milk")
    talk.says("forget", about="milk")
    talk.says("confirm")
    talk.caller.undo()
    assert [note.text for note in talk.store.notes()] == ["milk"]


@tool
def leaves(context: ToolContext) -> str:
    """Ends the process."""
    raise SystemExit(3)


@tool
def steers(context: ToolContext) -> str:
    """Steers a terminal."""
    return "a\x1b]0;x\x07b\nc"


@tool
def says_nothing(context: ToolContext) -> str:
    """Forgets to say something."""
    return None  # pyright: ignore[reportReturnType]


def _cannot_ask(context: ToolContext) -> str:
    raise ValueError("no words")


@tool(asks_first=True, confirm=_cannot_ask)
def asks(context: ToolContext) -> str:
    """Cannot ask."""
    return "Done."


@pytest.mark.parametrize("one", [leaves, says_nothing, asks])
def test_carry_out_of_a_tool_that_misbehaves_says_that_it_failed(talk: Talk, one: Tool) -> None:
    assert talk.caller.carry_out(callers.ToolCall(one)) == callers.FAILED


def test_carry_out_says_nothing_that_steers_a_terminal(talk: Talk) -> None:
    assert talk.caller.carry_out(callers.ToolCall(steers)) == "a]0;xb\nc"


def test_arguments_that_do_not_fit_are_not_in_the_log(talk: Talk, caplog: pytest.LogCaptureFixture) -> None:
    call = callers.ToolCall(steers, {"secret": "words"})
    assert talk.caller.carry_out(call) == callers.NOT_UNDERSTOOD
    assert not caplog.records  # at the default level
