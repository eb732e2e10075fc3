"""Turns that lean on the call before them: "no, seven thirty" corrects it, "and twenty miles?" asks the same again.

Such a turn is some leading words and then nothing but new words for an argument. They are read as the tool's arguments
are, so a turn counts as a follow-up only where the reader of an argument understands all of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from glasses.errors import InputError
from glasses.tools import readers
from glasses.tools.builtin import numbers
from glasses.tools.duration import DURATION, with_digits
from glasses.tools.kinds import Argument, arguments_of
from glasses.tools.said import SaidWord
from glasses.tools.tool import Tool
from glasses.tools.when import CONTEXT

Lead = Literal["correct", "again"]
MAX_WORDS = 10  # of the new words
_LONGEST = {"place": 3, "word": 1, "sound": 3, "about": 3}  # kinds of arguments, by their words
_NEWLY = r"(?:better )?make (?:it|that)|change (?:it|that) to|it should be|rather|better"
_STARTS = r"(?:oh|uh|um|well|please|okay|hang on|hold on|wait a (?:second|moment|minute))"
_CORRECTS = re.compile(
    rf"(?:{_STARTS} )*(?:(?:no|nope|sorry|wait|actually|correction)(?: (?:{_STARTS}|no|sorry|wait|actually))*"
    rf"(?: (?:i (?:meant|mean|said|wanted)|{_NEWLY}))?|i (?:meant|mean|said)|{_NEWLY})(?: to say)?(?= )"
)
_TAKES_BACK = re.compile(
    rf"(?:(?:{_STARTS}|no|nope|sorry|wait|actually) )*"
    r"(?:(?:cancel|undo|delete|remove|scratch|forget) (?:it|that|this)(?: again)?|never mind(?: that)?"
    r"|take (?:it|that) back)(?: please| again)?"
)
_AGAIN = re.compile(rf"(?:{_STARTS} )*(?:and |or )?(?:what about|how about|and|or)(?= )")
_TRAILS = frozenset("instead please rather sorry then though".split())
_PREPOSITIONS = frozenset("in of for to at on with the".split())
_PLACES = frozenset("in at on under over behind by near before beside between inside outside with next".split())
# With one of these it is a sentence of its own, not new words for an argument.
_TALK = frozenset(
    "i you he she it we they me him us them who what why how where when which is are was were am do does did can could "
    "will would have has had this that there not never let's it's that's i'm don't isn't "
    "thanks thank mind worries problem good great nice okay ok fine stop wrong right way idea yes no".split()
)
_OPERATOR = re.compile(r"(?:plus|minus|times|multiplied|divided|over|less|squared|cubed|[-+*/x\u00d7\u00f7])\b|[-+*/]")


@dataclass(frozen=True, slots=True)
class FollowUp:
    """How a turn begins that leans on the call before it, and the words after that."""

    lead: Lead
    rest: tuple[SaidWord, ...]

    @property
    def text(self) -> str:
        """The new words, without signs."""
        return " ".join(readers.bare(word.text) for word in self.rest)


def follow_up_of(said: Sequence[SaidWord]) -> FollowUp | None:
    """The turn as a follow-up, by its first words; whether it fits the call before is for `replaced` to say."""
    text = " ".join(readers.bare(word.text).lower() for word in said)
    for lead, pattern in (("correct", _CORRECTS), ("again", _AGAIN)):
        if found := pattern.match(text):
            rest = _without_denied(said[len(found[0].split()) :])
            while rest and readers.bare(rest[-1].text).lower() in _TRAILS:
                rest = rest[:-1]
            return FollowUp("correct" if lead == "correct" else "again", tuple(rest)) if rest else None
    return None


def replaced(
    tool: Tool,
    arguments: Mapping[str, Any],
    new: FollowUp,
    read: Callable[[Tool, FollowUp], Mapping[str, Any] | None],
    now: datetime,
) -> dict[str, Any] | None:
    """The arguments of the call before with those replaced that `new` has words for; None where it has none.

    `read` finds arguments in the new words as in those of any turn; None: they are a request of their own.
    """
    if not 0 < len(new.rest) <= MAX_WORDS:
        return None
    wanted = sorted(arguments_of(tool.arguments), key=lambda one: one.name not in arguments)
    for one in wanted:
        value = _read(one, new.text, arguments.get(one.name), now)
        if value is not None and value != arguments.get(one.name):
            return {**arguments, one.name: value}
    if _TALK & set(new.text.lower().split()) or (found := read(tool, new)) is None:
        return None
    changed = {name: value for name, value in found.items() if value != arguments.get(name)}
    if any(_is_readable(one) and one.name in changed for one in wanted):
        return {**arguments, **changed}
    return _with_sentence(wanted, arguments, new) or _only_text(wanted, arguments, new)


def is_fragment(tool: Tool, new: FollowUp) -> bool:
    """Whether the new words begin as no sentence does, "in Tokyo", or are the one word that the tool is about."""
    is_word = len(new.rest) == 1 and any(one.kind == "word" for one in arguments_of(tool.arguments))
    return is_word or readers.bare(new.rest[0].text).lower() in _PREPOSITIONS


def takes_back(said: Sequence[SaidWord]) -> bool:
    """Whether a turn takes back what was just done: "actually, cancel it", "never mind"."""
    return bool(_TAKES_BACK.fullmatch(" ".join(readers.bare(word.text).lower() for word in said)))


def _with_sentence(wanted: Sequence[Argument], arguments: Mapping[str, Any], new: FollowUp) -> dict[str, Any] | None:
    """A sentence from the word on that the new words begin with: "my car is on level three", "on level four"; or from
    where it says a place, if they say one.
    """
    begin = readers.bare(new.rest[0].text).lower()
    for one in wanted if new.lead == "correct" else ():
        words = str(arguments.get(one.name, "")).split() if one.kind == "text" else []
        bare = [readers.bare(word).lower() for word in words]
        same = [i for i, word in enumerate(bare) if word == begin]
        same = same or [i for i, word in enumerate(bare) if begin in _PLACES and word in _PLACES]
        if same:
            return {**arguments, one.name: " ".join([*words[: same[-1]], new.text])}
    return None


def _only_text(wanted: Sequence[Argument], arguments: Mapping[str, Any], new: FollowUp) -> dict[str, Any] | None:
    """A place, a word or a sound, where the tool has no other text; sentences (kinds text, actions) are no such."""
    texts = [one for one in wanted if one.type == "str" and not _is_readable(one)]
    words = new.text.split()
    while words and words[0].lower() in _PREPOSITIONS:
        words = words[1:]
    if len(texts) != 1 or not 0 < len(words) <= _LONGEST.get(texts[0].kind or "", 0):
        return None
    return {**arguments, texts[0].name: " ".join(words)}


def _read(argument: Argument, text: str, old: Any, now: datetime) -> Any:
    """The value of an argument whose words are all of `text`, which may leave out what was said before."""
    if not _is_readable(argument):
        return None
    for words in _wordings(argument.kind, text, old):
        with suppress(InputError):
            return readers.read(argument.kind, words, now)
    return None


def _wordings(kind: str | None, text: str, old: Any) -> list[str]:
    """`text` with what it may have left out of the words before, the likeliest first."""
    if kind == "expression":
        return _calculations(text, old)
    if not isinstance(old, str):
        return [text]
    if kind == "duration" and (unit := DURATION.search(with_digits(old))):
        return [text, f"{text} {unit[3]}s"]
    if kind in ("when", "morning") and not re.search(r"\d|\b(?:noon|midday|midnight)\b", with_digits(text)):
        clock = " ".join(CONTEXT.sub(" ", old.lower()).split())  # as `text` is "tomorrow"
        return [f"{old} {text}", f"{clock} {text}", text]
    if kind in ("when", "morning") and not CONTEXT.search(text.lower()):  # "seven thirty"
        return [f"{text} {' '.join(found[0] for found in CONTEXT.finditer(old.lower()))}", text]
    return [text]


def _calculations(text: str, old: Any) -> list[str]:
    """ "times five" goes on with the result of the calculation before."""
    with suppress(InputError):
        if isinstance(old, str) and _OPERATOR.match(text.lower()):
            return [f"{numbers.value_of(old):g} {text}"]
    return []


def _is_readable(argument: Argument) -> bool:
    return argument.kind in readers.READERS


def _without_denied(said: Sequence[SaidWord]) -> Sequence[SaidWord]:
    """Without "not five," before "ten"."""
    if not said or readers.bare(said[0].text).lower() != "not":
        return said
    for i, word in enumerate(said):
        if word.text.endswith(","):
            return said[i + 1 :]
        if readers.bare(word.text).lower() in ("but", "rather"):
            return said[i + 1 :]
    return said
