"""What of a result of an MCP server is said, and what is shown: text as it is, the rest by name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mcp.types import AudioContent, CallToolResult, EmbeddedResource, ImageContent, ResourceLink, TextContent

from glasses.tools.printable import printable

MAX_TEXT = 64 * 1024  # characters of a result that are looked at
MAX_SAID = 280  # characters: some 20 s of speech
MAX_SHOWN = 4000
MAX_VALUES = 8  # of a result that is data, not sentences


@dataclass(frozen=True, slots=True)
class Said:
    """`said` to the wearer; `shown` on the HUD where there is more than that, else empty."""

    said: str
    shown: str = ""


def said_of(result: CallToolResult) -> Said:
    """The result in words."""
    texts: list[str] = []
    others: list[str] = []
    left = MAX_TEXT
    for one in result.content:
        if isinstance(one, TextContent):
            texts.append(one.text[:left])
            left -= len(texts[-1])
        else:
            others.append(_name_of(one))
    text = printable("\n".join(texts)).strip()
    text = _in_words(text) or text
    if not text and result.structured_content is not None and not others:
        text = _in_words(json.dumps(result.structured_content)[:MAX_TEXT]) or ""
    if others:
        text = f"{text}\n" if text else ""
        text += f"It sent {_listed(others)}, which I cannot pass on."
    return shortened(text or "Done.")


def shortened(text: str) -> Said:
    """The first sentences that can be said; where more is left, all of it to be read."""
    flat = " ".join(text.split())
    if len(flat) <= MAX_SAID:
        return Said(flat)
    said = ""
    for sentence in re.split(r"(?<=[.!?])\s+|\n+", text):
        joined = f"{said} {' '.join(sentence.split())}".strip()
        if len(joined) > MAX_SAID:
            break
        said = joined
    said = said or flat[:MAX_SAID].rsplit(" ", 1)[0] + " ..."
    return Said(said, text[:MAX_SHOWN])


def _name_of(one: Any) -> str:
    if isinstance(one, ImageContent):
        return "a picture"
    if isinstance(one, AudioContent):
        return "a sound"
    if isinstance(one, ResourceLink):
        return f"a link to {_short(one.name)}"
    if isinstance(one, EmbeddedResource):
        return f"a file, {_short(str(one.resource.uri).rsplit('/', 1)[-1])}"
    return "something that I do not know"


def _short(name: str) -> str:
    return printable(" ".join(name.split()))[:60]


def _listed(names: list[str]) -> str:
    named = list(dict.fromkeys(names))[:4]
    return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)


def _in_words(text: str) -> str:
    """Data that came as JSON, as words; empty where it is none. Many servers answer programs, not people."""
    if not text.startswith(("{", "[")):
        return ""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    values = list(_values(data))
    shown = [f"{name} {value}".strip() for name, value in values[:MAX_VALUES]]
    more = f", and {len(values) - MAX_VALUES} more values" if len(values) > MAX_VALUES else ""
    words = ", ".join(shown) + more
    return f"{words[0].upper()}{words[1:]}." if words else ""


def _values(data: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    if isinstance(data, dict) and depth < 4:
        for key, value in data.items():
            yield from _values(value, str(key).replace("_", " ").replace("-", " "), depth + 1)
    elif isinstance(data, list) and depth < 4:
        for value in data:
            yield from _values(value, name, depth + 1)
    elif isinstance(data, bool):
        yield name, "yes" if data else "no"
    elif data is not None and not isinstance(data, dict | list):
        yield name, _moment(str(data)) or str(data)


def _moment(text: str) -> str:
    """A date and time of ISO 8601 as it is said."""
    if not re.match(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", text):
        return ""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return ""
    return f"{moment:%H:%M} on {moment:%A}, {moment:%B} {moment.day}"
