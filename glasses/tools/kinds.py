"""Kinds of arguments: what the wearer's words for them look like, and who reads them.

    @tool(examples=("Feed the fish in five minutes.",))
    def feed_fish(context: ToolContext, delay: Duration) -> str: ...

A kind costs a tool nothing: its words are found where they stand in the wearer's sentence, and only what the reader of
the kind understands counts. To the function the argument is the text, or the number, that its type says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

KindName = Literal[
    "duration", "when", "morning", "day", "place", "name", "text", "about", "word", "letter", "expression",
    "amount", "unit", "to", "level", "times", "sound", "phrase", "actions", "zone",
]  # fmt: skip


def _kind(kind: KindName, description: str) -> Any:
    return msgspec.Meta(description=description, extra={"kind": kind})


Duration = Annotated[str, _kind("duration", "how long, in words: five minutes")]
When = Annotated[str, _kind("when", "a time in words: half past six tomorrow, every Monday at ten")]
# The same, where "at seven" is rather in the morning; a day, which may have passed.
MorningWhen = Annotated[str, _kind("morning", "a time in words: half past six tomorrow, every Monday at ten")]
Day = Annotated[str, _kind("day", "a day in words: next Friday, the third of May")]
Place = Annotated[str, _kind("place", "a city or country")]
Zone = Annotated[str, _kind("zone", "an IANA time zone: Europe/Madrid; said as its city")]
Label = Annotated[str, _kind("name", "what it is for, in a word or two: eggs")]
Clause = Annotated[str, _kind("text", "what is to be kept or done, in the wearer's words")]
Topic = Annotated[str, _kind("about", "what it is about, in a few words")]
Word = Annotated[str, _kind("word", "one word")]
Letter = Annotated[str, _kind("letter", "one letter")]
Expression = Annotated[str, _kind("expression", "a calculation in words or signs")]
Amount = Annotated[float, _kind("amount", "a number")]
FromUnit = Annotated[str, _kind("unit", "the unit or currency of the amount")]
ToUnit = Annotated[str, _kind("to", "the unit or currency that is wanted")]
Level = Annotated[int, _kind("level", "percent")]
Times = Annotated[int, _kind("times", "how often")]
Sound = Annotated[str, _kind("sound", "whose or what's sound: a cat, rain")]
Phrase = Annotated[str, _kind("phrase", "what the wearer will say")]
Actions = Annotated[list[str], _kind("actions", "what is to be done then, each in the wearer's words")]

# Kinds of arguments that say none, by their names; those of MCP servers and other people's tools.
_BY_NAME: tuple[tuple[str, KindName], ...] = (
    (r"duration|how_long|timeout|delay", "duration"),
    (r"when|time|start|end|due|deadline|at", "when"),
    (r"day|date", "day"),
    (r"place|city|location|town|country|address|where|destination|origin", "place"),
    (r"name|label|title|recipient|to|contact|person|who|item|product|device|room|song|artist", "name"),
    (r"text|message|note|body|content|description|comment|task|reminder", "text"),
    (r"about|topic|query|question|q|search|keywords?|subject", "about"),
    (r"word|term", "word"),
    (r"letter|character", "letter"),
    (r"expression|formula|calculation", "expression"),
    (r"sound|animal", "sound"),
)


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a tool as it is to be found: its type is "str", "int", "float", "bool", "choice" or "other"."""

    name: str
    kind: str | None
    type: str
    required: bool
    choices: tuple[Any, ...] = ()


def arguments_of(struct: type[msgspec.Struct]) -> list[Argument]:
    """The arguments of a tool, in order, by the names that calls have."""
    info = msgspec.inspect.type_info(struct)
    assert isinstance(info, msgspec.inspect.StructType)
    return [_argument(field) for field in info.fields]


def _argument(field: msgspec.inspect.Field) -> Argument:
    of, kind = field.type, None
    while isinstance(of, msgspec.inspect.Metadata | msgspec.inspect.UnionType):
        if isinstance(of, msgspec.inspect.Metadata):
            kind, of = (of.extra or {}).get("kind", kind), of.type
            continue
        rest = [one for one in of.types if not isinstance(one, msgspec.inspect.NoneType)]
        if len(rest) != 1:
            break
        of = rest[0]
    name, required = field.encode_name, field.required
    if isinstance(of, msgspec.inspect.LiteralType):
        return Argument(name, kind, "choice", required, tuple(of.values))
    kinds = {"StrType": "str", "IntType": "int", "FloatType": "float", "BoolType": "bool"}
    type_ = kinds.get(type(of).__name__, "other")
    return Argument(name, kind or _kind_by_name(field.name, type_), type_, required)


def _kind_by_name(name: str, type_: str) -> str | None:
    if type_ in ("int", "float"):
        return "times" if re.fullmatch(r"times|count|repeat(s|itions)?", name) else "amount"
    if type_ != "str":
        return None
    names = (name.lower(), name.lower().rsplit("_", 1)[-1])
    return next((kind for pattern, kind in _BY_NAME if any(re.fullmatch(pattern, one) for one in names)), None)
