"""A sentence that asks for several things: "set a timer for five minutes and remind me to call Anna at six"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from glasses.tools import readers
from glasses.tools.call import ToolCall, missing
from glasses.tools.duration import with_digits
from glasses.tools.kinds import arguments_of
from glasses.tools.said import SaidWord
from glasses.tools.tool import Tool

MAX_JOINTS = 4  # places in one sentence where another request may begin
_LEAST_WORDS = 2  # of a request before or after a joint, as in "louder please", "mute yourself"
_JOINING = frozenset("and then also plus".split())
# No request begins with one of these, but an argument goes on with it: "an hour and a half", "and thirty seconds".
_GOES_ON = frozenset("a an the half quarter in at on for to of my your his her".split())
# Arguments that are whole sentences of the wearer: what follows them may well be a part of them.
_SENTENCES = frozenset(("text", "actions"))


@dataclass(frozen=True, slots=True)
class Joint:
    """The first request may end before word `end`, and the next one begin at word `begin`."""

    end: int
    begin: int


def joints_of(said: Sequence[SaidWord]) -> list[Joint]:
    """Where another request may begin: after "and", "then", "and also", or a sentence."""
    words = [readers.bare(word.text).lower() for word in said]
    found = list[Joint]()
    i = 1
    while i < len(words):
        begin = i
        while begin < len(words) and words[begin] in _JOINING:
            begin += 1
        if begin > i or re.search(r"[a-z]{2}[.;!?]$", said[i - 1].text):
            found.append(Joint(i, begin))
        i = max(i, begin) + 1
    fits = [
        one for one in found
        if min(one.end, len(words) - one.begin) >= _LEAST_WORDS and not _goes_on(words[one.begin :])
    ]  # fmt: skip
    return fits[:MAX_JOINTS]


def _goes_on(words: Sequence[str]) -> bool:
    is_another = words[0] == "one" and words[1] in ("for", "at")  # "an alarm for eight and one for nine"
    return not is_another and (words[0] in _GOES_ON or with_digits(words[0])[:1].isdigit())


def takes_sentence(tool: Tool) -> bool:
    """Whether an argument of the tool is a sentence, which may hold an "and" of its own."""
    return any(one.kind in _SENTENCES for one in arguments_of(tool.arguments))


def may_be_apart(first: Tool, second: Tool, words: Sequence[str]) -> bool:
    """Whether the tools of the two sides of a joint may be two requests; `words` are the second's.

    "Remind me to lock the door and call Anna at six" is one: no example of a tool begins with "call".
    """
    if first is second and any(one.kind == "expression" for one in arguments_of(first.arguments)):
        return False  # in a calculation it is a sign
    begins = {example.split()[0].lower() for example in second.examples if example.split()}
    return not takes_sentence(first) or (second.name != "unable" and words[0].lower() in begins)


def are_apart(first: ToolCall, second: ToolCall) -> bool:
    """Whether two calls that were read from the two sides of a joint are two requests: each is whole, and another."""
    same = (first.tool, dict(first.arguments)) == (second.tool, dict(second.arguments))
    return not (same or missing(first) or missing(second))


def may_be_left_out(first: ToolCall, words: Sequence[str]) -> bool:
    """Whether `words`, the second side of a joint, may have nothing to do with the call before it."""
    whole = bool(first.arguments) and not missing(first) and not takes_sentence(first.tool)
    return whole and len(words) > _LEAST_WORDS
