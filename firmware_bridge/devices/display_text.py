"""Text on its way to a display: what has no shape is taken out here, and only here; it is cut between characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator

from wcwidth import iter_graphemes

STAND_IN = "?"
_LINE_ENDS = re.compile("\r\n|[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]")
_JOINERS = "\u200c\u200d"  # format characters that belong to letters and emoji
_SHAPELESS = ("Cc", "Cf", "Cs")
# What compatibility decomposition (NFKD) does not turn into plain letters and signs.
_PLAIN = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033", '"'),
        **{"\u2039": "<", "\u203a": ">", "\u2190": "<-", "\u2192": "->", "\u2022": "*", "\u20ac": "EUR"},
        **{"\u0131": "i", "\u0141": "L", "\u0142": "l", "\u0110": "D", "\u0111": "d", "\u0152": "OE", "\u0153": "oe"},
    }
)


def clean(text: str) -> str:
    """`text` with composed accents, `\\n` for every line end, a space for every other white space, and without control
    and format characters and lone surrogates."""
    lines = _LINE_ENDS.split(unicodedata.normalize("NFC", text))
    return "\n".join("".join(_shapes(line)) for line in lines)


def _shapes(line: str) -> Iterator[str]:
    for char in line:
        if char == "\t" or unicodedata.category(char) == "Zs":
            yield " "
        elif char in _JOINERS or unicodedata.category(char) not in _SHAPELESS:
            yield char


def pieces(text: str, max_bytes: int) -> list[bytes]:
    """`text` (cleaned) as UTF-8 in pieces of at most `max_bytes` (4 or more), one at least, cut between graphemes.

    A grapheme longer than a piece is cut between its characters.
    """
    out = [b""]
    for grapheme in iter_graphemes(text):
        data = grapheme.encode()
        for unit in (data,) if len(data) <= max_bytes else map(str.encode, grapheme):
            if len(out[-1]) + len(unit) > max_bytes:
                out.append(b"")
            out[-1] += unit
    return out


def in_font(text: str, has: Callable[[str], bool]) -> str:
    """`text` (cleaned) in the characters of a font, of which `has` tells: letters without the accents it lacks, plain
    quotes and dashes, and STAND_IN for what has nothing of the kind."""
    return "".join(
        grapheme if all(map(has, grapheme)) else _stand_in(grapheme, has) for grapheme in iter_graphemes(text)
    )


def _stand_in(grapheme: str, has: Callable[[str], bool]) -> str:
    plain = unicodedata.normalize("NFKD", grapheme.translate(_PLAIN)).translate(_PLAIN)
    kept = "".join(char for char in plain if has(char))
    is_mark = all(unicodedata.category(char)[0] == "M" or char in _JOINERS for char in grapheme)
    return kept or ("" if is_mark else STAND_IN)
