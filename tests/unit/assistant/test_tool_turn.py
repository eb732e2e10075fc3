"""Turns that ask for a tool; the responder's backbone, voice and speaker only keep what they are given."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from glasses.assistant import tool_turn
from glasses.assistant.tool_turn import CalledTools
from glasses.events import Draft, Outcome, TurnEvent, TurnSignal
from glasses.tools.caller import FAILED, ToolCaller
from glasses.tools.said import SaidWord
from glasses.tools.store import ToolStore
from glasses.tools.tool import Tool, ToolContext, tool
from glasses.types import Float32Array
from tests.unit.assistant.test_responder import TOKENS, WAIT_S, Running, Voice, completed, draft, signal


class Asked:
    """A chooser and a reader that take a turn's first input for "tool value"."""

    def __init__(self) -> None:
        self.request, self.learned = "", list[str]()

    def choose(self, rows: Float32Array, names: Sequence[str], *, waiting: bool = False) -> Any:
        return SimpleNamespace(name=self.request.partition(" ")[0])

    def untrained(self, tools: Sequence[Tool]) -> list[Tool]:
        return [tool for tool in tools if tool.name not in self.learned]

    def train(self, tool: Tool) -> None:
        self.learned.append(tool.name)

    def read(self, tool: Tool, rows: Any) -> dict[str, Any]:
        return {}

    def words(self, rows: Any) -> list[SaidWord]:
        return []


class Tools:
    """The three kinds of tools: one that acts, one that only reads, one that takes its time."""

    def __init__(self) -> None:
        self.acted, self.go, self.later = list[str](), threading.Event(), list[str]()

        @tool
        def act(context: ToolContext) -> str:
            """Acts."""
            self.acted.append(threading.current_thread().name)
            return "It is done."

        @tool(reads_only=True)
        def look(context: ToolContext) -> str:
            """Looks."""
            self.acted.append("look")
            return "Nothing changed."

        @tool
        def slow(context: ToolContext) -> str:
            """Takes its time."""
            self.go.wait(WAIT_S)
            return "It took long."

        @tool
        def silent(context: ToolContext) -> str:
            """Says nothing."""
            return ""

        @tool
        def broken(context: ToolContext) -> str:
            """Breaks."""
            raise KeyError

        @tool
        def measure(context: ToolContext, length: str) -> str:
            """Measures a length."""
            return length

        tools = {one.name: one for one in (act, look, slow, silent, broken, measure)}
        self.asked = Asked()
        context = ToolContext(lambda: datetime(2026, 3, 4, 10, 30), ToolStore(":memory:"))
        self.caller = ToolCaller(lambda: tools, self.asked, self.asked, context)
        self.called = CalledTools(self.caller, self.later.append)

    def running(self, words: str, **how: Any) -> Running:
        self.asked.request = words
        return Running(tools=self.called, **how)


@pytest.fixture
def tools() -> Tools:
    return Tools()


def said(running: Running) -> str:
    return " ".join(clause.text for clause in running.speaker.clauses)


def test_turn_that_asks_for_no_tool_is_answered_by_the_backbone(tools: Tools) -> None:
    with tools.running("why is the sky blue") as running:
        one = draft()
        running.put(one, completed(one))
        running.wait_for(lambda: running.replies)
    assert said(running) == "".join(TOKENS)
    assert running.replies[0].tool == ""


def test_tool_that_acts_is_called_once_and_only_when_the_turn_is_completed(tools: Tools) -> None:
    with tools.running("act") as running:
        one = draft()
        running.put(one)
        running.wait_for(lambda: running.backbone.n_fed)
        time.sleep(0.05)
        assert tools.acted == []
        running.put(completed(one))
        running.wait_for(lambda: running.replies)
    assert tools.acted == ["tool act"], "on a thread of its own"
    assert said(running) == "It is done."
    assert (running.replies[0].tool, running.replies[0].outcome) == ("act", Outcome.COMPLETED)


@pytest.mark.parametrize("event", [TurnEvent.NOT_ADDRESSED, TurnEvent.TIMED_OUT])
def test_tool_of_a_turn_that_was_not_for_us_is_never_called(tools: Tools, event: TurnEvent) -> None:
    with tools.running("act") as running:
        running.put(draft())
        running.wait_for(lambda: running.backbone.n_fed)
        time.sleep(0.02)
        running.put(signal(event))
        tools.asked.request = "why"
        two = draft("b", turn_id=2)
        running.put(two, completed(two))
        running.wait_for(lambda: running.replies)
    assert tools.acted == []


def test_tool_that_only_reads_is_called_while_the_turn_may_go_on(tools: Tools) -> None:
    with tools.running("look") as running:
        one = draft()
        running.put(one)
        running.wait_for(lambda: tools.acted)
        assert running.speaker.clauses == []
        running.put(completed(one))
        running.wait_for(lambda: running.replies)
    assert said(running) == "Nothing changed."


def test_slow_tool_is_told_to_be_under_way_and_its_sentence_comes_later(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool_turn, "SLOW_S", 0.02)
    with tools.running("slow") as running:
        one = draft()
        running.put(one, completed(one))
        running.wait_for(lambda: running.replies)
        assert said(running) == tool_turn.UNDER_WAY
        tools.asked.request = "look"
        two = draft("b", turn_id=2)
        running.put(two, completed(two))  # the wearer goes on talking
        running.wait_for(lambda: len(running.replies) == 2)
        assert tools.later == []
        tools.go.set()
        running.wait_for(lambda: tools.later)
    assert tools.later == ["It took long."]


def test_tool_under_way_that_is_interrupted_is_said_later(tools: Tools) -> None:
    with tools.running("slow") as running:
        one = draft()
        running.put(one, completed(one))
        running.wait_for(lambda: any(thread.name == "tool slow" for thread in threading.enumerate()))
        running.put(signal(TurnEvent.INTERRUPTED))
        running.wait_for(lambda: running.replies)
        tools.go.set()
        running.wait_for(lambda: tools.later)
    assert running.replies[0].outcome is Outcome.INTERRUPTED


def test_more_tools_than_may_run_are_refused(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_turn, "SLOW_S", 0.0)
    with tools.running("slow") as running:
        for i in range(1, 6):
            one = draft(str(i), turn_id=i)
            running.put(one, completed(one))
            running.wait_for(lambda n=i: len(running.replies) == n)
        tools.go.set()
        running.wait_for(lambda: len(tools.later) == 4)
    assert running.replies[-1].text == tool_turn.TOO_MANY


def test_tool_that_says_nothing_leaves_the_backbone_unasked(tools: Tools) -> None:
    with tools.running("silent") as running:
        one = draft()
        running.put(one, completed(one))
        running.wait_for(lambda: running.replies)
    assert (running.replies[0].text, running.replies[0].outcome) == ("", Outcome.COMPLETED)


def test_tool_that_breaks_is_said_not_to_have_worked(tools: Tools) -> None:
    with tools.running("broken") as running:
        one = draft()
        running.put(one, completed(one))
        running.wait_for(lambda: running.replies)
    assert said(running) == FAILED


@pytest.mark.parametrize("words", ["act", "slow"])
def test_tool_of_a_turn_that_goes_on_is_undone_and_called_anew(
    tools: Tools, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wearer spoke on before the reply was heard, so the tool was called for half a request."""
    undone, speak = list[str](), Voice.speak

    def speak_later(self: Voice, clauses: Iterator[str]) -> Iterator[Float32Array]:
        tools.go.wait(WAIT_S)
        return speak(self, clauses)

    monkeypatch.setattr(Voice, "speak", speak_later)
    tools.caller.undo = lambda: undone.append(words)  # type: ignore[method-assign]
    with tools.running(words) as running:
        one = draft()
        running.put(one, completed(one))
        if words == "act":
            running.wait_for(lambda: tools.acted)
        else:
            running.wait_for(lambda: any(thread.name == "tool slow" for thread in threading.enumerate()))
        running.put(TurnSignal(TurnEvent.INTERRUPTED, time.monotonic_ns(), 1, continues_turn=True))
        tools.go.set()
        running.wait_for(lambda: running.replies)
        tools.asked.request = "act"
        two = draft("a and more")
        running.put(two, completed(two))
        running.wait_for(lambda: len(running.replies) == 2)
        running.wait_for(lambda: undone)
    assert (running.replies[0].outcome, running.replies[1].text) == (Outcome.CONTINUED, "It is done.")
    assert tools.later == []


def test_tools_that_came_are_learned_while_nobody_is_answered(tools: Tools) -> None:
    with tools.running("look") as running:
        running.wait_for(lambda: "look" in tools.asked.learned)
        one = draft()
        running.put(one, completed(one))
        running.wait_for(lambda: running.replies)
    assert said(running) == "Nothing changed."


def test_answer_to_a_tools_question_asks_nothing_of_the_memory(tools: Tools) -> None:
    def canned_reply(draft: Draft) -> str:
        return "Touch me." if draft.memory_intent == "wipe" else ""

    with tools.running("measure", canned_reply=canned_reply) as running:
        for number, intent in ((1, "wipe"), (2, ""), (3, "wipe")):
            one = replace(draft(turn_id=number), memory_intent=intent)
            running.put(one, completed(one))
            running.wait_for(lambda number=number: len(running.replies) == number)
    assert [reply.text for reply in running.replies] == ["Touch me.", *["With what length?"] * 2]


def test_turn_after_one_without_a_tool_does_not_lean_on_the_tool_before(tools: Tools) -> None:
    with tools.running("look") as running:
        for number, words in ((1, "look"), (2, "why")):
            tools.asked.request = words
            one = draft(turn_id=number)
            running.put(one, completed(one))
            running.wait_for(lambda number=number: len(running.replies) == number)
            assert bool(tools.caller._recent())
        tools.asked.request = "why"
        one = draft(turn_id=3)
        running.put(one, completed(one))
        running.wait_for(lambda: len(running.replies) == 3)
    assert not tools.caller._recent()
