"""Texts of tools, apps and servers, which may be anybody's, without what would steer a terminal."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def printable(text: str) -> str:
    """The text without control and invisible characters; lines and tabs stay."""
    return _CONTROL.sub("", text)
