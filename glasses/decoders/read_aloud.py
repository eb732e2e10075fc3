"""Text as it is read aloud: Markdown, tags and pictures gone, and in words what a voice would drop or misread.

A mark is dropped only where it is Markdown: paired, or opening at a word's edge what another clause closes. Elsewhere
it means something, and is said: "7 * 8" is 7 times 8, "C#" C sharp. English, as the voices are. espeak-ng reads
numbers, times, percent signs and the like by itself; the rules here are for what it reads wrongly or not at all.
"""

from __future__ import annotations

import calendar
import html
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator

Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]

_FIRST_PICTOGRAPH = "\u2600"  # symbols from here on are pictures; those before, as the degree sign, are read out
_JOINERS = frozenset("\u200b\u200d\u20e3\ufe0e\ufe0f\ufeff")  # what emoji are put together with, and nothing to say
_LONGEST_ADDRESS = 40  # characters of an address that are read; of a longer one the host alone
LONG_DIGITS = 10  # a run of so many is a code or a telephone number, no amount: read digit by digit, by threes

_CURRENCIES = {
    "$": ("dollar", "cent"),
    "€": ("euro", "cent"),
    "£": ("pound", "penny"),
    "¥": ("yen", ""),
    "₹": ("rupee", "paisa"),
}
_PLURALS = {"penny": "pence", "yen": "yen", "paisa": "paise"}
_ORDINALS = ["", "", "half", "third", "quarter", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"]
_POWERS = {"²": "squared", "³": "cubed"}
_UNITS = {
    "km/h": "kilometres per hour",
    "m/s": "metres per second",
    "km²": "square kilometres",
    "m²": "square metres",
    "m³": "cubic metres",
    "cm²": "square centimetres",
    "cm³": "cubic centimetres",
    "kg/m³": "kilograms per cubic metre",
    "m/s²": "metres per second squared",
}
_AMOUNT = r"\d+(?:,\d{3})*(?:\.\d+|,\d\d(?![\d,]))?"
_SCALES = {"k": "thousand", "m": "million", "b": "billion", "t": "trillion"}
_SIGNS = "".join(_CURRENCIES)


def _digits(match: re.Match[str]) -> str:
    """Digit by digit, a pause after each group: those that are written, or three digits each."""
    text = match[0]
    groups = [group for group in re.split(r"\D+", text) if group]
    if len(groups) == 1:
        groups = re.findall(r"\d{1,3}", groups[0])
    return ("plus " if text.startswith("+") else "") + ", ".join(" ".join(group) for group in groups)


def _date(match: re.Match[str]) -> str:
    year, month, day = map(int, match.groups())
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return _digits(match)
    return f"{calendar.month_name[month]} {day}, {year}"


def _plural(count: str, unit: str) -> str:
    return f"{count} {unit if count == '1' else _PLURALS.get(unit, f'{unit}s')}"


def _money(match: re.Match[str]) -> str:
    unit, small = _CURRENCIES[match["sign"] or match["after"]]
    amount, scale = match["amount"] or match["before"], match["scale"] or ""
    if scale and not scale.startswith(" "):
        scale = f" {_SCALES[scale[0].lower()]}"
    amount = re.sub(r",(?=\d\d$)", ".", amount)
    whole, _, cents = amount.partition(".")
    minus = "minus " if match["minus"] else ""
    if scale or (cents and (len(cents) != 2 or not small)):
        return f"{minus}{amount}{scale} {_PLURALS.get(unit, f'{unit}s')}"
    if not cents or not int(cents):
        return minus + _plural(whole, unit)
    coins = _plural(str(int(cents)), small)
    return minus + (coins if whole == "0" else f"{_plural(whole, unit)} and {coins}")


def _fraction(match: re.Match[str]) -> str:
    above, below = int(match["above"]), int(match["below"])
    if match[0] == "24/7":
        return "24 7"
    whole = f"{match['whole']} and " if match["whole"] else ""
    if not 2 <= below < len(_ORDINALS) or not 0 < above < below:
        return f"{whole}{above} over {below}"
    name = _ORDINALS[below]
    if above == 1:
        return f"{whole}{'a' if whole else 'one'} {name}"
    return f"{whole}{above} {'halves' if name == 'half' else f'{name}s'}"


def _address(match: re.Match[str]) -> str:
    """A web or mail address in words, without its scheme and what follows a question mark; the stop after it stays."""
    text = re.sub(r"^(?:https?://|mailto:)?(?:www\.)?", "", match[0], flags=re.IGNORECASE)
    text, end = re.match(r"(.*?)([.,;:!?)]*)$", text, re.DOTALL).groups()  # type: ignore[union-attr]  # matches any text
    text = re.split(r"[?#]", text)[0].rstrip("/")
    if len(text) > _LONGEST_ADDRESS:
        text = text.split("/")[0]
    for mark, word in ((".", "dot"), ("@", "at"), ("/", "slash"), ("-", "dash"), ("_", "underscore")):
        text = text.replace(mark, f" {word} ")
    return text + end


def _superscript(match: re.Match[str]) -> str:
    power = unicodedata.normalize("NFKC", match[0]).replace("\u2212", "minus ")
    return f" {_POWERS.get(match[0], f'to the power of {power}')}"


def _rules(*rules: tuple[str, str | Callable[[re.Match[str]], str]]) -> tuple[Rule, ...]:
    return tuple((re.compile(pattern), instead) for pattern, instead in rules)


# A word's edges, for marks: after white space or what opens, and before no part of a word.
_BEFORE, _AFTER = r"(?<![^\s(\[{\"'\u201c\u2018\u2013\u2014-])", r"(?![\w*_~`#])"
_MARKUP = _rules(
    (r"<!--.*?-->", " "),
    (r"<((?:https?://|mailto:)[^<>\s]+|[\w.+-]+@[\w.-]+)>", r"\1"),
    (r"</?[A-Za-z][^<>]*>", " "),
    (r"^\s*(?:```|~~~)[\w+-]*\s*$|```", " "),
    (r"^\s*(?:[-*_=]\s*){3,}$", ""),  # a rule across the page
    (r"^\s*#{1,6}\s+|\s+#{2,}\s*$", ""),  # a heading
    (r"^\s*(?:>\s*)+", ""),
    (r"^\s*[-*+•]\s+(?=\D)(?:\[[ xX]\]\s+)?", ""),  # an item of a list; before a number it may be a sign
    (r"\[\^\w+\]|(?<=[^\s\]])\[\d{1,3}\]", ""),  # notes
    (r"!?\[([^\[\]]*)\]\((?:[^()\s]|\([^()\s]*\))*(?:\s+\"[^\"]*\")?\)", r"\1"),
    (r"\[([^\[\]]+)\]\[[^\[\]]*\]", r"\1"),
    (r"\]\(\S+?\)(?=[\s.,;:!?]|$)", ""),  # the end of a link whose text began in another clause
    (r"(?:^|(?<=\s))!?\[(?=[^\[\]]+$)", ""),
    (r"(?m)^\s*\|[\s:|-]+\|\s*$", ""),
    (r"^\s*\|\s*|\s*\|\s*$", ""),
    (r"\s*\|\s*(?=\S)", ", "),
    (r"`([^`]*)`", r"\1"),
)
_IN_FORMULAS = {"times": "\u00d7", "cdot": "\u00d7", "div": "÷", "pm": "±", "approx": "≈", "neq": "≠", "le": "≤",
                "leq": "≤", "ge": "≥", "geq": "≥", "to": "→", "infty": "∞", "circ": "°"}  # fmt: skip
_FORMULAS = _rules(  # LaTeX, as far as answers have it
    (r"\$\$?([^$\n]*[\\^_={}][^$\n]*|[A-Za-z])\$\$?(?!\d)", r"\1"),
    (r"\\[()\[\]]", " "),
    (r"\\(?:text|mathrm|mathbf|boxed)\{([^{}]*)\}", r"\1"),
    (r"\\[dt]?frac\{([^{}]*)\}\{([^{}]*)\}", r" \1 over \2 "),
    (r"\\sqrt\{([^{}]*)\}", r" √\1 "),
    (r"(?<=[\w)])\^\{([^{}]*)\}", r"^\1"),
    (rf"\\({'|'.join(_IN_FORMULAS)})(?![A-Za-z])", lambda found: f" {_IN_FORMULAS[found[1]]} "),
    (r"\\(?=(?:alpha|beta|gamma|delta|theta|lambda|mu|pi|sigma|omega|Delta|Omega)\b)", ""),
)
_MARKS = ("***", "**", "__", "~~", "*", "_")  # the longest first
_PAIRED, _OPENING, _CLOSING = (
    {mark: re.compile(pattern.replace("MARK", re.escape(mark))) for mark in _MARKS}
    for pattern in (
        rf"{_BEFORE}MARK(?=\S)((?:(?!MARK).)*?\S)MARK{_AFTER}",
        rf"{_BEFORE}MARK(?=[^\W\d_])",
        rf"(?<=[^\s*_~])MARK{_AFTER}",
    )
)
_ESCAPED = re.compile(r"\\([\\`*_{}\[\]()#+.!~|$-])")
_ESCAPES_AT = 0xE000  # private use: an escaped mark is no mark, until all others are gone
_MEANING = _rules(
    (r"`", ""),
    (r"(?i)\b(?:https?://|www\.)\S+", _address),
    (r"(?i)\b(?:mailto:)?[\w.+-]+@[\w-]+(?:\.[\w-]+)+", _address),
    (r"\b(Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr)\.(?=\s)", r"\1"),  # espeak would end the sentence there
    (r"\b([A-G])[#♯](?=m\b)", r"\1 sharp minor"),
    (r"(?<=sharp minor)m\b", ""),
    (r"\b([A-Ga-g])[#♯](?!\w)", r"\1 sharp"),
    (r"\b([A-Ga-g])♭", r"\1 flat"),
    (r"#(?=\d)", "number "),
    (r"(?<!\w)#(?=\w)", "hashtag "),
    (r"(?<![\w-])(\d{4})-(\d\d)-(\d\d)(?![\w-])", _date),
    (r"(?<![\w.,])\+\d{1,3}(?:[\s().-]{1,2}\d{2,})+(?!\w)|(?<![\w.,-])\(?\d{3}\)?[\s.-]\d{3}-\d{4}(?!\w)", _digits),
    (r"(?<![\w.,-])\d{1,5}(?:-\d{1,7}){2,}(?![\w-])", _digits),
    (r"(?<![\d.,\s])(\s?)(\d{1,3}(?: \d{3})+)(?![\d-]| \d)", lambda found: found[1] + found[2].replace(" ", "")),
    (r"(?<![\w.,:/-])0\d+(?:[\s-]\d{2,})*(?![\w.,:-]\d)\b|(?<![\w.,-])\d{3}-\d{4}(?![\w-])", _digits),
    (rf"(?<![\w.{_SIGNS}])\+?\d{{{LONG_DIGITS},}}(?!\w)", _digits),
    (r"\b\d{4}(?:[\s-]\d{4}){2,}(?!\w)", _digits),
    (r"(?<=\d)[-\u2013](?=\d+(?:\.\d+)?\s?=)", " minus "),
    (rf"(?<=[\d%€])[-\u2013](?=[{_SIGNS}]?\d)", " to "),
    (r"(?<=\d)[eE]([+-]?\d{1,3})(?!\w)", lambda found: f" times 10^{int(found[1])}"),
    (r"(?<=\d)\s?‰", " per thousand"),
    (r"(?<=\d)\s?Ω", " ohms"),
    (r"(?<=[\w)])\s?[⋅·]\s?(?=[\w(])", " times "),
    (
        rf"(?P<minus>(?<!\w)[-\u2212])?(?:(?:\b(?:US|A|C))?(?P<sign>[{_SIGNS}])\s?(?P<amount>{_AMOUNT})"
        rf"|(?P<before>{_AMOUNT})\s?(?P<after>[{_SIGNS}]))"
        r"(?P<scale>\s(?:thousand|million|billion|trillion)\b|(?:[kKmMbBT]|mn|bn|tn)\b)?",
        _money,
    ),
    (r"(?<=\d)\s*°\s?C\b", " degrees Celsius"),
    (r"(?<=\d)\s*°\s?F\b", " degrees Fahrenheit"),
    (r"(?<=\d)°", " degrees"),
    *((rf"(?<![A-Za-z/])\s?(?<![A-Za-z_/]){re.escape(unit)}(?!\w)", f" {words}") for unit, words in _UNITS.items()),
    (r"(?<=[\w)])(?:[²³](?![⁰-⁹])|[⁰¹²³⁴-⁹⁻]+)", _superscript),
    (r"(?<=[\w)])\s?\^\s?(?=[\w(-])", " to the power of "),
    (r"(?<![\w./-])(?:(?P<whole>\d+)[\s-])?(?P<above>\d{1,2})/(?P<below>\d{1,2})(?![\w/]|\.\d)", _fraction),
    (r"\bw/o\b", "without"),
    (r"\band/or\b", "and or"),
    (r"(?<![\w/.~-])([a-z]+)/([a-z]+)(?![\w/.])", r"\1 or \2"),
    (r"(?<=[\w)])\s?\*\*\s?(?=[\w(-])", " to the power of "),
    (r"(?<=[\w)])(?:\s[*\u00d7✕]\s|[*\u00d7✕])(?=[\w(+-])", " times "),
    (r"(?<=\d)\s[xX]\s(?=\d)", " times "),
    (r"(?<=\d)[xX](?=\d)", " by "),
    (r"(?<=:\d\d)\s?[-\u2013]\s?(?=\d{1,2}:\d\d)", " to "),
    (r"(?<=[\d)%])\s[-\u2212]\s(?=[\d(])", " minus "),
    (r"(?:(?<![\w)-])-|\u2212\s?)(?=\$?[\d.])", " minus "),
    (r"(?<!\w)(?:about\s)?~\s?(?=[$€£]?\d)", "about "),
    (r"(?<=\w)_+(?=\w)", " underscore "),
    (r"\s?(?:<=|≤)\s?", " is at most "),
    (r"\s?(?:>=|≥)\s?", " is at least "),
    (r"\s?(?:!=|≠)\s?", " is not equal to "),
    (r"\s(?:->|=>|→|⇒)\s", " to "),
    (r"(?<=[\w)])\s?<\s?(?=[\w(-])", " is less than "),
    (r"(?<=[\w)])\s?>\s?(?=[\w(-])", " is greater than "),
)
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_HYPHENS = str.maketrans("\u2010\u2011", "--")
# Full-width, mathematical, Roman and circled forms, which espeak spells out by their numbers.
_LETTER_FORMS = re.compile(r"[\uff01-\uff5e\U0001d400-\U0001d7ff\u2160-\u217f\u2460-\u2473]")
# Small models were trained on questions and answers that were marked as such. "A: red, B: blue" is a list.
_ANSWER = re.compile(r"^\s*(?:\*\*)?(?:A|Answer|Assistant)(?:\*\*)?:(?:\*\*)?\s+(?=\S)(?!.*\bB:)", re.DOTALL)
_VULGAR = re.compile(r"(?P<whole>\d+)?\s?(?P<one>[¼½¾⅐-⅞])")


def _vulgar(match: re.Match[str]) -> str:
    written = unicodedata.normalize("NFKC", match["one"]).replace("\u2044", "/")
    return f"{match['whole']} {written}" if match["whole"] else written


def _apply(rules: tuple[Rule, ...], text: str) -> str:
    for pattern, instead in rules:
        text = pattern.sub(instead, text)
    return text


def _is_said(char: str) -> bool:
    is_picture = char >= _FIRST_PICTOGRAPH and unicodedata.category(char) in ("So", "Sk", "Cs", "Co")
    return not (is_picture or char in _JOINERS or "\U000e0000" <= char <= "\U000e007f")


def _without_emphasis(text: str, open_marks: set[str]) -> str:
    """Drops paired marks, and halves of pairs whose other half is in another clause; `open_marks` is kept up."""
    for _ in range(2):  # one kind within another
        for pattern in _PAIRED.values():
            text = pattern.sub(r"\1", text)
    for mark in _MARKS:
        if mark in open_marks or len(mark) > 1:
            text, n_closed = _CLOSING[mark].subn("", text, count=1)
            open_marks -= {mark} if n_closed else set()
        text, n_opened = _OPENING[mark].subn("", text, count=1)
        open_marks |= {mark} if n_opened else set()
    return text


def _speakable(text: str, open_marks: set[str]) -> str:
    text = _LETTER_FORMS.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text.replace("\0", " ")).strip()
    text = _apply(_FORMULAS, text.translate(_HYPHENS))
    text = _ESCAPED.sub(lambda found: chr(_ESCAPES_AT + ord(found[1])), text)
    text = html.unescape(_without_emphasis(_apply(_MARKUP, text), open_marks))
    text = re.sub(r"[\ue000-\ue07f]", lambda found: chr(ord(found[0]) - _ESCAPES_AT), text)
    text = _apply(_MEANING, _VULGAR.sub(_vulgar, text.translate(_SUBSCRIPTS)))
    text = " ".join("".join(filter(_is_said, text)).split())
    text = re.sub(r"\s+(?=[.,;:!?](?:\s|$))", "", text)
    return text if any(char.isalnum() for char in text) else ""


def speakable(text: str) -> str:
    """A text as it is read aloud, for espeak-ng; empty if no letter or digit is left."""
    return _speakable(_ANSWER.sub("", text), set())


def speakable_clauses(clauses: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each clause of one text, as it comes, with how it is read aloud; a mark may open in one and close in another."""
    open_marks, is_first = set[str](), True
    for clause in clauses:
        yield clause, _speakable(_ANSWER.sub("", clause) if is_first else clause, open_marks)
        is_first = False
