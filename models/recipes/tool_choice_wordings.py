"""Wordings to train the choice of a tool on: those of tool_choice/ and tool_arguments.txt, varied as people vary them.

`tools.txt` has the requests of each tool, `none.txt` what asks for none, `slots.txt` what stands in their {slots}. No
wording of models/eval/requests is ever among them: what is the same but for case and signs is dropped here.
"""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models.recipes import tool_wordings

HERE = Path(__file__).parent / "tool_choice"
HELD_OUT = Path(__file__).parents[1] / "eval" / "requests"
NONE = "none"
ANSWERS = ("confirm", "decline")
_OTHER = "other"  # in tool_arguments.txt: requests of tools that are not built in
_SLOT = re.compile(r"\{(\w+)\}")
_OPENERS = ("Please", "Hey,", "Okay,", "Um,", "So,", "Uh,", "Well,", "Now", "And", "Alright,", "Hey glasses,", "Oh,")
_CLOSERS = (" please", " now", " thanks", " for me", " okay", " then", " please thank you", " again")


@dataclass(frozen=True, slots=True)
class Wording:
    """A request for `tool` (NONE: for none); `group` tells which wordings were made of one line, `source` its file."""

    words: str
    tool: str
    group: int
    source: str


def plain(words: str) -> str:
    """Words without case, signs and double spaces."""
    return " ".join(re.sub(r"[^a-z0-9' ]", " ", words.lower()).split())


def held_out() -> set[str]:
    """All wordings of models/eval/requests, plain."""
    calls = [json.loads(line)[0] for path in HELD_OUT.glob("*.jsonl") for line in path.read_text().splitlines() if line]
    others = [line for path in HELD_OUT.glob("*.txt") for line in path.read_text().splitlines()]
    return {plain(words) for words in (*calls, *others)}


def development() -> list[Wording]:
    """The wordings of dev.txt, which thresholds are set on, but for those of models/eval/requests. Never trained on."""
    found, tool, taken = list[Wording](), NONE, held_out()
    for line in (HERE / "dev.txt").read_text().splitlines():
        if line.startswith("# "):
            tool = line[2:]
        elif plain(line) not in taken:
            found.append(Wording(line, tool, -1, "dev"))
    return found


def wordings(most: int, *, seed: int = 1) -> list[Wording]:
    """At most `most` wordings of each tool and all that ask for none, in a random order, no two of a tool the same."""
    rng, taken = random.Random(seed), held_out() | {plain(one.words) for one in development()}
    found: dict[str, list[Wording]] = defaultdict(list)
    for tool, words, group, source in _lines(rng):
        if plain(words) not in taken:
            found[tool].append(Wording(words, tool, group, source))
    answers = {plain(one.words) for tool in ANSWERS for one in found[tool]}  # they count only where one is waited for
    found[NONE] = [one for one in found[NONE] if plain(one.words) not in answers]
    out: list[Wording] = []
    for tool, all_ in found.items():
        rng.shuffle(all_)
        unique = list({plain(one.words): one for one in all_}.values())
        out += unique if tool == NONE else unique[:most]
    rng.shuffle(out)
    return out


def _lines(rng: random.Random) -> Iterator[tuple[str, str, int, str]]:
    slots = dict(line.split(": ", 1) for line in (HERE / "slots.txt").read_text().splitlines())
    values = {name: text.split("|") for name, text in slots.items()}
    group = 0
    for name in ("tools", "none"):
        tool = NONE
        for line in (HERE / f"{name}.txt").read_text().splitlines():
            if line.startswith("# "):
                tool = line[2:] if name == "tools" else NONE
                continue
            group += 1
            for _ in range(1 + 2 * ("{" in line)):
                filled = _SLOT.sub(lambda slot: rng.choice(values[slot[1]]), line)
                yield tool, varied(filled[0].upper() + filled[1:] if line[0] == "{" else filled, rng), group, name
    for held in (False, True):
        for one in tool_wordings.wordings(held_out=held, times=2):
            group += 1
            if one.tool != _OTHER:
                yield one.tool, one.words, group, "arguments"


def varied(words: str, rng: random.Random) -> str:
    """The words as typed, or as a recogniser or a hurried hand writes them: without signs, with an opening word."""
    if rng.random() < 0.12 and len(words.split()) > 1:
        opener = rng.choice(_OPENERS)
        words = f"{opener} {_lowered(words)}"
    if rng.random() < 0.06 and len(words.split()) > 1:
        words = f"{words.rstrip('.?!')}{rng.choice(_CLOSERS)}{words[-1] if words[-1] in '.?!' else ''}"
    if rng.random() < 0.2:
        words = words.rstrip(".?!")
    return words.lower() if rng.random() < 0.15 else words


def _lowered(words: str) -> str:
    """Its first letter small, but for the word "I"."""
    return words if re.match(r"I\b", words) else words[0].lower() + words[1:]
