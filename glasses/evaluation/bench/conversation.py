"""What a backbone makes of the turns before: facts that were stated, and questions that have nothing to do with them.

A fact is stated, one to five unrelated turns follow, then it is asked for; older turns are kept whole, shrunk or
dropped. A question that needs no turn before is asked behind none, one and three unrelated turns. All is typed. The
replies in between are those that the backbone gives without a turn before; they are fed as text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from glasses.assistant.kv_context import KvContext
from glasses.assistant.past_turns import N_WHOLE, PastTurn, last_within, pooled, shrunk
from glasses.backbone.repetition import stop_on_repetition
from glasses.data import data_path
from glasses.errors import InputError, Reason
from glasses.evaluation.progress import Tick
from glasses.events import Draft
from glasses.runtime.bundle import LoadedBundle, open_bundle
from glasses.types import Turn

FOLDER = data_path("models/eval/conversation")
_MAX_TOKENS = 32
_BETWEEN = range(1, 6)  # unrelated turns between a fact and its question
_BEHIND = (0, 1, 3)  # unrelated turns before a question

Shrink = Callable[[Sequence[PastTurn]], Sequence[PastTurn]]


class TypedConversation:
    """Turns whose user types, one after the other, in the KV cache of a backbone."""

    def __init__(self, loaded: LoadedBundle) -> None:
        self._backbone, self.context = loaded.backbone, KvContext(loaded)

    def ask(self, text: str, *, keep: bool = True) -> str:
        """The answer to the next turn, which is kept or not. Raises ModelError as `KvContext.prefill`."""
        draft = self._draft(text)
        self.context.prefill(draft)
        tokens = list(stop_on_repetition(self._backbone.generate(0, max_tokens=_MAX_TOKENS)))
        if keep:
            self.context.keep(draft, tokens)
        return "".join(token.text for token in tokens).strip()

    def add(self, said: str, reply: str) -> None:
        """A turn that was answered so. Raises as `ask`."""
        self.context.prefill(self._draft(said))
        self.context.add_reply(reply)

    def _draft(self, text: str) -> Draft:
        rows = self._backbone.token_rows(self._backbone.tokenize(text, special=False))
        return Draft(Turn(0, 0, "typed", (text,)), rows, True, True, False, (0, 0))


def _older(turns: Sequence[PastTurn], shrink: Callable[[PastTurn], PastTurn]) -> Sequence[PastTurn]:
    return [*(shrink(turn) for turn in turns[:-N_WHOLE]), *turns[-N_WHOLE:]]


SHRINKS: dict[str, Shrink] = {
    "whole": lambda turns: turns,
    "without their replies": shrunk,
    "mean of 2 rows": partial(_older, shrink=partial(pooled, every=2)),
    "mean of 4 rows": partial(_older, shrink=partial(pooled, every=4)),
    "dropped": partial(last_within, n_turns=N_WHOLE, n_rows=2048),
}


def run(bundle: str, *, tick: Tick = lambda stage, done, total: None) -> dict[str, Any]:
    """Shares of right answers. Raises ModelError, InputError(NOT_FOUND)."""
    loaded = open_bundle(bundle)
    try:
        talk = TypedConversation(loaded)
        replies = _replies(talk, tick)
        facts = {name: _facts(talk, shrink, replies, partial(tick, name)) for name, shrink in SHRINKS.items()}
        behind = {n: _questions(talk, n, replies, partial(tick, f"behind {n}")) for n in _BEHIND}
    finally:
        loaded.close()
    return {"bundle": bundle, "facts": facts, "questions_behind": behind}


def report(figures: Mapping[str, Any]) -> str:
    """The figures as tables for people."""
    lines = [f"{'older turns are kept':>24} {'facts answered':>15} {'rows before the question':>25}"]
    for name, row in figures["facts"].items():
        lines.append(f"{name:>24} {row['right']:>8} of {row['asked']:>3} {row['rows']:>25.0f}")
    lines.append(f"\n{'unrelated turns before':>24} {'questions answered':>20}")
    for n, row in figures["questions_behind"].items():
        lines.append(f"{n:>24} {row['right']:>13} of {row['asked']:>3}")
    return "\n".join(lines)


def items_of(name: str) -> list[Any]:
    """The lines of a file of FOLDER. Raises InputError(NOT_FOUND)."""
    path = FOLDER / name
    if not path.is_file():
        raise InputError(Reason.NOT_FOUND, f"{path}: no held-out conversations here; run from a full checkout")
    lines = path.read_text().splitlines()
    return [json.loads(line) for line in lines] if path.suffix == ".jsonl" else lines


def _replies(talk: TypedConversation, tick: Tick) -> dict[str, str]:
    """What is answered to each turn alone."""
    said = [*items_of("unrelated.txt"), *(one["says"] for one in items_of("facts.jsonl"))]
    replies = dict[str, str]()
    for done, text in enumerate(said, 1):
        talk.context.forget()
        replies[text] = talk.ask(text, keep=False)
        tick("replies", done, len(said))
    return replies


def _facts(
    talk: TypedConversation, shrink: Shrink, replies: Mapping[str, str], tick: Callable[[int, int], None]
) -> dict[str, Any]:
    facts, unrelated = items_of("facts.jsonl"), items_of("unrelated.txt")
    right = rows = 0
    wrong = list[str]()
    for i, fact in enumerate(facts):
        talk.context.forget()
        between = [unrelated[(i + j) % len(unrelated)] for j in range(_BETWEEN[i % len(_BETWEEN)])]
        for said in (fact["says"], *between):
            talk.add(said, replies[said])
        talk.context.rebuild(shrink(talk.context.turns))
        rows += talk.context.base
        answer = talk.ask(fact["asks"])
        is_right = _is_right(answer, fact["right"])
        right += is_right
        wrong += [] if is_right else [f"{fact['asks']} {answer}"]
        tick(i + 1, len(facts))
    return {"right": right, "asked": len(facts), "rows": rows / len(facts), "wrong": wrong}


def _questions(
    talk: TypedConversation, n_before: int, replies: Mapping[str, str], tick: Callable[[int, int], None]
) -> dict[str, Any]:
    questions, unrelated = items_of("questions.jsonl"), items_of("unrelated.txt")
    right, wrong = 0, list[str]()
    for i, question in enumerate(questions):
        talk.context.forget()
        for said in (unrelated[(i + 5 * j) % len(unrelated)] for j in range(n_before)):
            talk.add(said, replies[said])
        answer = talk.ask(question["asks"])
        is_right = _is_right(answer, question["right"])
        right += is_right
        wrong += [] if is_right else [f"{question['asks']} {answer}"]
        tick(i + 1, len(questions))
    return {"right": right, "asked": len(questions), "wrong": wrong}


def _is_right(answer: str, words: Sequence[str]) -> bool:
    return any(word in answer.lower() for word in words)
