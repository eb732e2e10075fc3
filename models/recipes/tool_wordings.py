"""Requests with their arguments marked, of tool_arguments.txt and tool_argument_fillers.toml."""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
_FILLER = re.compile(r"\{(\w+)\}")
_MARK = re.compile(r"\[(\w+) ([^\]]*)\]")
# Tools that may be asked to cancel all of something, or to turn something up or down.
CANCELLING = ("cancel_timer", "cancel_alarm", "cancel_reminder", "forget", "forget_routine")
CHANGING = ("set_volume", "set_speed", "set_brightness")


@dataclass(frozen=True, slots=True)
class Wording:
    """A request: its words, the tool, and where its arguments stand: (kind, first character, one behind the last).

    `asked` is "all", "up", "down" or "", which no words of their own say.
    """

    words: str
    tool: str
    spans: tuple[tuple[str, int, int], ...]
    asked: str = ""

    def word_places(self) -> list[tuple[int, int]]:
        """Where each word stands, with the signs that hang on it: first character, and one behind the last."""
        return [found.span() for found in re.finditer(r"\S+", self.words)]

    def of(self, kind: str) -> list[str]:
        """The words of a kind."""
        return [self.words[a:b] for name, a, b in self.spans if name == kind]


def wordings(*, held_out: bool, times: int, seed: int = 1) -> Iterator[Wording]:
    """Each request `times` over with other fillers: two thirds of the requests, or the third that is held out."""
    rng = random.Random(seed)
    fillers: dict[str, list[str]] = tomllib.loads((HERE / "tool_argument_fillers.toml").read_text())
    if not held_out:
        fillers = {name: [one for i, one in enumerate(all_) if i % 3 != 2] for name, all_ in fillers.items()}
    tool, number = "", 0
    for line in (HERE / "tool_arguments.txt").read_text().splitlines():
        if line.startswith("== "):
            tool, number = line[3:], 0
        elif line and not line.startswith("#"):
            number += 1
            if (number % 3 == 2) == held_out:
                for i in range(times if "{" in line else 1):
                    yield _filled(line, tool, fillers, rng, as_it_is=i == 0)


def _filled(line: str, tool: str, fillers: dict[str, list[str]], rng: random.Random, *, as_it_is: bool) -> Wording:
    asked, _, rest = line[1:].partition(" ") if line.startswith("=") else ("", "", line)
    used: set[str] = set()

    def fill(found: re.Match[str]) -> str:
        name = found[1]
        values = fillers[name.lower()]
        one = rng.choice([value for value in values if value not in used] or values)
        used.add(one)
        return one[0].upper() + one[1:] if name[0].isupper() else one

    text = _FILLER.sub(fill, rest).replace("at at ", "at ")
    if not as_it_is:
        text = text.rstrip(".?") if rng.random() < 0.4 else text
        text = text.lower() if rng.random() < 0.25 else text
        text = f"{rng.choice(_OPENERS)} {text[0].lower() + text[1:]}" if rng.random() < 0.15 else text
        text = text.rstrip(".?") + rng.choice(_CLOSERS) if rng.random() < 0.12 else text
    words, spans, at = "", list[tuple[str, int, int]](), 0
    for mark in _MARK.finditer(text):
        words += text[at : mark.start()]
        spans.append((mark[1], len(words), len(words) + len(mark[2])))
        words, at = words + mark[2], mark.end()
    return Wording(words + text[at:], tool, tuple(spans), asked)


_OPENERS = ("Okay,", "Hey,", "Please", "So,", "Um,", "Now", "Hello,", "Could you please", "And")
_CLOSERS = (", please.", " please.", ", thanks.", ", will you?", " for me.", ", okay?", " now.")
