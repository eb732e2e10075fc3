"""A point in time in a speaker's words: "tomorrow at half past six", "in twenty minutes", "every Monday at ten".

Clock times and days are read here, as dateparser 1.5 takes "tomorrow at nine" for the hour it is now and "Monday at
ten" for a day next October, both without a word (parsedatetime 2.6 fails at "half past", too); it reads dates alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from glasses.errors import InputError, Reason
from glasses.tools.duration import DURATION, seconds_in, with_digits

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY = "(" + "|".join(WEEKDAYS) + ")"
_HALF = {"morning": "am", "am": "am", "afternoon": "pm", "evening": "pm", "tonight": "pm", "night": "pm", "pm": "pm"}
_HOUR = {"morning": 9, "am": 9, "afternoon": 15, "pm": 15}  # that is meant where no hour is said; else the evening's
_EVENING = 20
_DATE = re.compile(  # what is left to dateparser, which finds a date in nearly every number
    r"\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)|\d(?:st|nd|rd|th)\b|\d/\d|\d (?:months?|years?)\b"
)
_REPEATS = (
    (rf"\bevery {_DAY}s?\b", "weekly"),
    (rf"\b(?:on )?{_DAY}s\b", "weekly"),
    (r"\bevery week ?day\b|\b(?:on )?weekdays\b", "weekdays"),
    (r"\bevery (?:single )?(?:day|morning|evening|night|afternoon)\b|\bdaily\b|\beach day\b", "daily"),
    (r"\bevery week\b|\bweekly\b", "weekly"),
)
_CLOCKS = (  # the first that matches, of the words with digits
    (r"\b(?:half past) (\d{1,2})\b", lambda m: (int(m[1]), 30)),
    (r"\b(?:a )?quarter (?:past|after) (\d{1,2})\b", lambda m: (int(m[1]), 15)),
    (r"\b(?:a )?quarter (?:to|before) (\d{1,2})\b", lambda m: _before(int(m[1]), 15)),
    (r"\b(\d{1,2}) (?:minutes? )?(?:past|after) (\d{1,2})\b", lambda m: (int(m[2]), int(m[1]))),
    (r"\b(\d{1,2}) (?:minutes? )?(?:to|before) (\d{1,2})\b", lambda m: _before(int(m[2]), int(m[1]))),
    (r"\b(\d{1,2})[:. ](\d{2})\b", lambda m: (int(m[1]), int(m[2]))),
    (r"\b(\d{1,2}) o ?'? ?clock\b", lambda m: (int(m[1]), 0)),
    (r"\b(?:at |by |until |around )(\d{1,2})\b(?!\.)", lambda m: (int(m[1]), 0)),
    (r"\b(\d{1,2}) (?=am\b|pm\b|tonight\b|tomorrow\b|in the (?:morning|afternoon|evening))", lambda m: (int(m[1]), 0)),
)
_FILLER = re.compile(r"\b(?:at|on|in|the|by|for|this|of|a|please|and|to|around|from|until)\b|[^\w\s]")


# Words that say of which day or half of it a clock time is, or how it repeats.
CONTEXT = re.compile(
    rf"\b(?:(?:every|next|this|coming|on) {_DAY}s?|{_DAY}s?|(?:on )?weekdays|daily|weekly"
    r"|every (?:week ?)?(?:day|morning|evening|night|afternoon|week)|(?:the day after )?tomorrow|today|tonight"
    r"|(?:in the |at )?(?:morning|afternoon|evening|night)|[ap]\.?m\b\.?"
    r"|(?:in|after) [\w ]+(?:minutes?|hours?|days?|weeks?)|from now|on the \w+(?: of \w+)?)(?!\w)"
)


_AGO = {"yesterday": 1, "day before yesterday": 2}


@dataclass(frozen=True, slots=True)
class When:
    """A local time without a zone, and how it repeats: "daily", "weekdays", "weekly" or None.

    `has_clock` is False where only a day was named; the time of `at` is then midnight.
    """

    at: datetime
    repeat: str | None = None
    has_clock: bool = True


def read_when(words: str, now: datetime, *, prefers_morning: bool = False) -> When:
    """The next time after `now` (local, without a zone) that `words` name.

    An hour without morning or evening is the next such hour on a twelve-hour clock, of another day one from seven in
    the morning on, with `prefers_morning` the next of a morning. Raises InputError(BAD_INPUT) for words that name no
    time or one that has passed, or hold something that is not understood.
    """
    text = " ".join(re.sub(r"(?<![a-z])([ap])\.?\s?m\b\.?", r" \1m", words.lower()).split())
    text = re.sub(r"\ba (month|year)\b", r"1 \1", text)
    text = with_digits(re.sub(r"\b\d{4}-\d\d-\d\d(?!\d)t?", _long_date, text))
    text, repeat, weekday = _take_repeat(text)
    text, later_s = _take_relative(text)
    if later_s is not None and later_s % 86_400:
        if re.sub(_FILLER, "", text).strip() in ("", "now"):
            return When((now + timedelta(seconds=later_s)).replace(microsecond=0), repeat)
        raise _not_understood(words, text)
    text, clock = _take_clock(text)
    text, half, hour = _take_half(text)
    base = now.date() + timedelta(days=int((later_s or 0) // 86_400))
    day, rest = (base, text) if later_s is not None else _take_day(text, now, weekday)
    if rest := re.sub(_FILLER, " ", rest).strip():
        raise _not_understood(words, rest)
    if clock is None and day is None and half is None and repeat is None:
        raise InputError(Reason.BAD_INPUT, f"no time in {words!r}: say it as in 'tomorrow at nine'")
    full = _clock_of_half(clock, half) if clock else (hour, 0) if half else None
    if full is None:
        return When(datetime.combine(day or now.date(), time()), repeat, has_clock=False)
    may_be_either = half is None and 1 <= full[0] < 12 and not prefers_morning
    if may_be_either and day not in (None, now.date()) and full[0] < 7:
        full = (full[0] + 12, full[1])
    at = _first_after(now, day, full, timedelta(hours=12) if may_be_either else timedelta(days=1))
    if at <= now and re.search(_DAY, words.lower()):
        at += timedelta(days=7)
    if at <= now:
        raise InputError(Reason.BAD_INPUT, f"{words!r} has passed: say a later time")
    return When(next_after(at, repeat, now) if repeat == "weekdays" else at, repeat)


def read_day(words: str, now: datetime) -> datetime:
    """A time of the day that the words name, which may have passed. Raises InputError(BAD_INPUT)."""
    ago = _AGO.get(" ".join(words.lower().strip(" .?").removeprefix("the ").split()))
    return now - timedelta(days=ago) if ago else read_when(words, now).at


def next_after(at: datetime, repeat: str, now: datetime) -> datetime:
    """The first repetition of `at` that is later than `now`."""
    step = timedelta(days=7 if repeat == "weekly" else 1)
    while at <= now or (repeat == "weekdays" and at.weekday() >= 5):
        at += step
    return at


def _not_understood(words: str, rest: str) -> InputError:
    return InputError(Reason.BAD_INPUT, f"{rest.strip()!r} in {words!r} is not understood as a time")


def _long_date(found: re.Match[str]) -> str:
    """2026-12-24 in words, whose digits are no clock; as it stands where there is no such day."""
    try:
        return f"{date.fromisoformat(found[0].rstrip('t')):%d %B %Y} ".lower()
    except ValueError:
        return found[0]


def _before(hour: int, minutes: int) -> tuple[int, int]:
    return ((hour - 1) % 24 or (12 if hour == 1 else 0), 60 - minutes)


def _take_repeat(text: str) -> tuple[str, str | None, str | None]:
    for pattern, repeat in _REPEATS:
        if found := re.search(pattern, text):
            words = found[0]
            half = next((word for word in ("morning", "afternoon", "evening", "night") if word in words), "")
            weekday = next((day for day in WEEKDAYS if day in words), None)
            return text.replace(words, half), repeat, weekday
    return text, None, None


def _take_relative(text: str) -> tuple[str, float | None]:
    found = re.search(rf"\b(?:in|after) ({DURATION.pattern})|({DURATION.pattern}) from now\b", text)
    if not found:
        return text, None
    return text.replace(found[0], " "), seconds_in(found[0])


def _take_half(text: str) -> tuple[str, str | None, int]:
    """Which half of the day is meant, and its usual hour; "tonight" stays, as it is a day as well."""
    for word, half in _HALF.items():
        if found := re.search(rf"\b(?:in the |at )?{word}\b", text):
            kept = "today" if word == "tonight" else ""
            return text.replace(found[0], f" {kept}"), half, _HOUR.get(word, _EVENING)
    return text, None, 0


def _take_clock(text: str) -> tuple[str, tuple[int, int] | None]:
    for word, clock in (("noon", (12, 0)), ("midday", (12, 0)), ("midnight", (24, 0))):
        if re.search(rf"\b{word}\b", text):
            return text.replace(word, " "), clock
    for pattern, read in _CLOCKS:
        if found := re.search(pattern, text):
            return text.replace(found[0], " ", 1), read(found)
    if found := re.fullmatch(r"\s*(\d{1,2})\s*", text):
        return "", (int(found[1]), 0)
    return text, None


def _take_day(text: str, now: datetime, weekday: str | None) -> tuple[date | None, str]:
    """The day that is named, and the words that are left."""
    today = now.date()
    for pattern, days in ((r"\bthe day after tomorrow\b", 2), (r"\btomorrow\b", 1), (r"\btoday\b", 0)):
        if re.search(pattern, text):
            return today + timedelta(days=days), re.sub(pattern, "", text)
    found = None if weekday else re.search(rf"\b(next |this |coming )?{_DAY}\b", text)
    if found or weekday:
        ahead = (WEEKDAYS.index(found[2] if found else str(weekday)) - today.weekday()) % 7
        return today + timedelta(days=ahead or (7 if found and found[1] == "next " else 0)), re.sub(
            found[0] if found else "^$", "", text
        )
    return _date_in(text, now)


def _date_in(text: str, now: datetime) -> tuple[date | None, str]:
    wanted = re.sub(_FILLER, " ", re.sub(r"(\d+)(st|nd|rd|th) of", r"\1 ", text)).strip()
    if not (re.search(r"\d", wanted) and _DATE.search(wanted)):
        return None, text
    if ordinal := re.fullmatch(r"(\d{1,2})(?:st|nd|rd|th)", wanted):
        days = (now.date() + timedelta(days=ahead) for ahead in range(62))
        return next((day for day in days if day.day == int(ordinal[1])), None), ""
    import dateparser  # noqa: PLC0415  # takes a fifth of a second, which most times of day do not need

    settings = {"RELATIVE_BASE": now, "PREFER_DATES_FROM": "future"}
    read = dateparser.parse(" ".join(wanted.split()), languages=["en"], settings=settings)  # type: ignore[arg-type]
    return (read.date(), "") if read else (None, text)


def _clock_of_half(clock: tuple[int, int], half: str | None) -> tuple[int, int]:
    """The clock time on a 24-hour clock, as far as the half of the day is known."""
    hour, minute = clock
    if hour > 24 or minute > 59 or (hour == 24 and minute):
        raise InputError(Reason.BAD_INPUT, f"there is no {hour}:{minute:02} on a clock")
    if half == "pm" and hour < 12:
        hour += 12
    elif half == "am" and hour == 12:
        hour = 0
    return hour, minute


def _first_after(now: datetime, day: date | None, clock: tuple[int, int], step: timedelta) -> datetime:
    """That clock time of the day, which may have passed; of no day the first later than now in steps."""
    at = datetime.combine(day or now.date(), time()) + timedelta(hours=clock[0], minutes=clock[1])
    if day is None:
        while at <= now:
            at += step
    elif at <= now < at + step and step < timedelta(days=1):
        at += step
    return at
