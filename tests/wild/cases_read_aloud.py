"""Kind 20: what is read aloud keeps its meaning."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from glasses.decoders.clauses import clauses
from glasses.decoders.read_aloud import speakable, speakable_clauses
from tests.wild.case import Case

LISTED = {
    "7 * 8 = 56": "7 times 8 = 56",
    "C# and F#": "C sharp and F sharp",
    "See [the map](https://example.com/map) first.": "See the map first.",
    "It is <b>very</b> hot.<br/>": "It is very hot.",
    "Call 4915112345678 now": "Call 4 9 1, 5 1 1, 2 3 4, 5 6 7, 8 now",
}
# By what a mark means where it stands.
NEIGHBOURS = {
    "**Bold**, *it*, ~~gone~~, `code`, _so_": "Bold, it, gone, code, so",
    "***Both***": "Both",
    "A: William Shakespeare.": "William Shakespeare.",
    "**Answer:** It is red.": "It is red.",
    "A: red, B: blue": "A: red, B: blue",
    "Blood type A: rare.": "Blood type A: rare.",
    "## Two things": "Two things",
    "* an item": "an item",
    "> a quotation": "a quotation",
    "| left | right |": "left, right",
    r"\*as it stands\*": "*as it stands*",
    "f(x)*g(x)": "f(x) times g(x)",
    "2 ** 3 or 2^3": "2 to the power of 3 or 2 to the power of 3",
    "the file user_name": "the file user underscore name",
    "about ~5 km": "about 5 km",
    "~5 km": "about 5 km",
    "#3 of 10": "number 3 of 10",
    "F#m, then B♭.": "F sharp minor, then B flat.",
    "A* search": "A* search",
    "Paris is the capital.[1]": "Paris is the capital.",
    "R&amp;D": "R&D",
    "3 < 5 and 5 > 3": "3 is less than 5 and 5 is greater than 3",
    "It is -5 °C, or 23°F.": "It is minus 5 degrees Celsius, or 23 degrees Fahrenheit.",
    "5 - 3 = 2": "5 minus 3 = 2",
    "10-20 people, 9:00-10:30": "10 to 20 people, 9:00 to 10:30",
    "a well-known 5-year-old": "a well-known 5-year-old",
    "$5.50, €20, £0.01 and $1.5 million": "5 dollars and 50 cents, 20 euros, 1 penny and 1.5 million dollars",
    "-$3 and 20 €": "minus 3 dollars and 20 euros",
    "1/2 of it, 3/4, 1½ cups": "one half of it, 3 quarters, 1 and a half cups",
    "24/7": "24 7",
    "5/12/2024": "5/12/2024",
    "2024-05-03": "May 3, 2024",
    "555-0123 or +49 151 123456": "5 5 5, 0 1 2 3 or plus 4 9, 1 5 1, 1 2 3 4 5 6",
    "agent 007": "agent 0 0 7",
    "149600000 km, 1,000,000, 3.14": "149600000 km, 1,000,000, 3.14",
    "5 m² at 100 km/h": "5 square metres at 100 kilometres per hour",
    "https://www.example.com/a?x=1.": "example dot com slash a.",
    "me@example.org": "me at example dot org",
    "Good 👍🏽 👩‍👩‍👧 in 🇫🇷": "Good in",
    "Dr. Who and/or she": "Dr Who and or she",
    "😀 **": "",
    "$1.5M, $5k, £3bn": "1.5 million dollars, 5 thousand dollars, 3 billion pounds",
    "5,50 € or €1,05": "5 euros and 50 cents or 1 euro and 5 cents",
    "See <https://example.com/map> or <me@example.org>.": "See example dot com slash map or me at example dot org.",
    "5km/h, 9.81 m/s²": "5 kilometres per hour, 9.81 metres per second squared",
    "1.2 kg/m³": "1.2 kilograms per cubic metre",
    "10-5=5": "10 minus 5=5",
    "1.5e-4": "1.5 times 10 to the power of minus 4",
    "a\u2011b, 5\u201110, \u20115 °C": "a-b, 5 to 10, minus 5 degrees Celsius",
    "2⋅3 is 6": "2 times 3 is 6",
    "\U0001d41b\U0001d428\U0001d425\U0001d41d \uff26\uff55\uff4c\uff4c \u2163 \u2460": "bold Full IV 1",
    r"So $x^2 + y = 2$, \(\frac{1}{2} \times 4\).": "So x to the power of 2 + y = 2, 1 over 2 \u00d7 4.",
    r"$$2^{10} \approx \text{a thousand}$$": "2 to the power of 10 ≈ a thousand",
    "It costs $5 = €4, or $6.": "It costs 5 dollars = 4 euros, or 6 dollars.",
}
# What a clause's end cuts in two, with words enough to make the splitter do so.
SPLIT = {
    "I have read *The Lord of the Rings* twice.": "I have read The Lord of the Rings twice.",
    "It is **really, really good**, they say.": "It is really, really good, they say.",
    "This is in [a text, a long one](http://a.bc) here.": "This is in a text, a long one here.",
}


def _aloud(text: str, folder: Path) -> str:
    return speakable(text)


def _as_spoken(text: str, folder: Path) -> str:
    """Clause by clause, as a reply comes."""
    return " ".join(said for _, said in speakable_clauses(clauses(re.findall(r"\S+\s*", text))))


CASES = [
    *(
        Case(20, f"aloud: {text}", rf"^{re.escape(right)}$", partial(come, text), is_listed=table is LISTED)
        for table, come in ((LISTED, _aloud), (NEIGHBOURS, _aloud), (SPLIT, _as_spoken))
        for text, right in table.items()
    ),
]
