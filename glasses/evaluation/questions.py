"""Simple questions, typed, with the answers that are accepted: how much a bundle's backbone knows.

An answer is right if its first sentence holds an accepted one as whole words, in any case. Where a number is asked for,
the first number that the question does not hold must be it, in digits or in words. Greedy, so a figure is repeatable on
one machine; another processor's rounding may tip an answer or two.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from glasses.data import data_path
from glasses.evaluation import speech
from glasses.evaluation.progress import Tick
from glasses.runtime.bundle import LoadedBundle, open_bundle

QUESTIONS = data_path("models/eval/questions/questions.toml")
MAX_TOKENS = 32
_WORDS: Sequence[str] = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen
""".split()
_TENS: Sequence[str] = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_NUMBER = re.compile(
    rf"\d[\d,.]*|\b(?:(?P<tens>{'|'.join(_TENS)})(?:[- ](?P<ones>{'|'.join(_WORDS[1:10])}))?"
    rf"|(?P<word>{'|'.join(_WORDS)}))\b"
)


@dataclass(frozen=True, slots=True)
class Question:
    """One question: its kind, its words, and what is accepted as its answer."""

    kind: str
    text: str
    accept: tuple[str, ...]


def read_questions() -> list[Question]:
    """All of models/eval/questions, in the order of the file."""
    kinds = tomllib.loads(QUESTIONS.read_text(encoding="utf-8"))
    return [Question(kind, text, tuple(told)) for kind, asked in kinds.items() for text, told in asked.items()]


def is_right(question: Question, answer: str) -> bool:
    """Whether an answer counts."""
    first = re.split(r"(?<=[a-z0-9)])[.!?](?:\s|$)|\n", answer.strip(), maxsplit=1, flags=re.IGNORECASE)[0].lower()
    if question.accept[0].isdigit():
        known = numbers(question.text)
        told = next((number for number in numbers(first) if number not in known), None)
        return told is not None and told in question.accept
    return any(re.search(rf"\b{re.escape(one.lower())}\b", first) for one in question.accept)


def numbers(text: str) -> list[str]:
    """The numbers in a text, in digits; those below a hundred may be words."""
    return [_digits(match) for match in _NUMBER.finditer(text.lower())]


def _digits(match: re.Match[str]) -> str:
    if tens := match["tens"]:
        ones = match["ones"]
        return str(10 * (_TENS.index(tens) + 2) + (_WORDS.index(ones) if ones else 0))
    if word := match["word"]:
        return str(_WORDS.index(word))
    return match[0].rstrip(".,").replace(",", "")


def run(loaded: LoadedBundle, questions: Sequence[Question], tick: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """{"questions": n, "right": share, "kinds": {kind: share}, "words": of an answer, "wrong": {question: said}}."""
    told: list[tuple[Question, str]] = []
    for question in questions:
        told.append((question, speech.reply(loaded, [question.text], MAX_TOKENS)))
        tick()
    by_kind: dict[str, list[bool]] = {}
    for question, answer in told:
        by_kind.setdefault(question.kind, []).append(is_right(question, answer))
    marks = [mark for kind in by_kind.values() for mark in kind]
    return {
        "questions": len(told),
        "right": round(sum(marks) / len(marks), 3),
        "kinds": {kind: round(sum(kind_marks) / len(kind_marks), 3) for kind, kind_marks in by_kind.items()},
        "words": round(sum(len(answer.split()) for _, answer in told) / len(told), 1),
        "wrong": {question.text: answer for question, answer in told if not is_right(question, answer)},
    }


def bench(bundles: Sequence[str], tick: Tick = lambda stage, done, total: None) -> dict[str, Any]:
    """The figures of each bundle by name. Raises ModelError, InputError(NOT_FOUND)."""
    questions, figures = read_questions(), dict[str, Any]()
    for name in bundles:
        loaded, done = open_bundle(name), iter(range(1, len(questions) + 1))
        try:
            figures[name] = run(loaded, questions, lambda name=name, done=done: tick(name, next(done), len(questions)))
        finally:
            loaded.close()
    return figures


def report(figures: Mapping[str, Any]) -> str:
    """A table for people, and what was answered wrongly."""
    kinds = list(dict.fromkeys(kind for one in figures.values() for kind in one["kinds"]))
    lines = ["".join(f"{heading:>11}" for heading in ("right", *kinds, "words", "bundle"))]
    for name, one in figures.items():
        shares = [one["right"], *(one["kinds"].get(kind, 0.0) for kind in kinds)]
        lines.append("".join(f"{100 * share:>10.0f}%" for share in shares) + f"{one['words']:>11}{name:>11}")
    for name, one in figures.items():
        lines += [f"{name}: {question} {said!r}" for question, said in one["wrong"].items()]
    return "\n".join(lines)
