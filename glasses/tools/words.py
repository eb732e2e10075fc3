"""How durations, times and days are said."""

from __future__ import annotations

from datetime import date, datetime, timedelta

_STEPS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def duration(seconds: float) -> str:
    """As "1 hour and 30 minutes": its two largest units, rounded to seconds."""
    left, said = round(seconds), []
    for size, unit in _STEPS:
        count, left = divmod(left, size)
        if count:
            said.append(f"{count} {unit}{'s' if count > 1 else ''}")
    return " and ".join(said[:2]) or "0 seconds"


def clock(at: datetime) -> str:
    """As "7:05 in the morning"; noon and midnight by their names."""
    if at.minute == 0 and at.hour in (0, 12):
        return "noon" if at.hour else "midnight"
    half = "in the morning" if at.hour < 12 else "in the afternoon" if at.hour < 18 else "in the evening"
    return f"{(at.hour - 1) % 12 + 1}:{at.minute:02} {half}"


def day(at: date, today: date) -> str:
    """As "today", "tomorrow", "on Friday", or "on December 24"; with the year where it is another one."""
    ahead = (at - today).days
    near = {0: "today", 1: "tomorrow", -1: "yesterday"}.get(ahead)
    if near:
        return near
    if 1 < ahead < 7:
        return f"on {at:%A}"
    return f"on {at:%B} {at.day}" + (f", {at.year}" if at.year != today.year else "")


def moment(at: datetime, now: datetime) -> str:
    """As "tomorrow at 7:05 in the morning"; today's day is left out."""
    if at.date() == now.date():
        return f"at {clock(at)}"
    if at.date() == now.date() + timedelta(days=1) and at.hour == at.minute == 0:
        return "at midnight"
    return f"{day(at.date(), now.date())} at {clock(at)}"


def moments(at: datetime, repeat: str | None, now: datetime) -> str:
    """As `moment`, and how it repeats: "tomorrow at 7:05 in the morning, on weekdays"."""
    often = {"daily": ", every day", "weekdays": ", on weekdays", "weekly": ", every week", None: ""}[repeat]
    return moment(at, now) + often


def listed(said: list[str], word: str = "and") -> str:
    """As "a, b and c"; with a comma before the word too where one of them has one, or the word."""
    if len(said) < 2:
        return "".join(said)
    comma = "," if any("," in one or f" {word} " in one for one in said) else ""
    return ", ".join(said[:-1]) + f"{comma} {word} {said[-1]}"


def sentence(said: str) -> str:
    """With a capital letter and a full stop."""
    return f"{said[:1].upper()}{said[1:]}."


def matches(text: str, about: str) -> bool:
    """Whether every telling word of `about` is in `text`, whatever its ending."""
    return share_in(text, about) == 1


def share_in(text: str, about: str) -> float:
    """How many of the telling words of `about` are in `text`, whatever their endings, from 0 to 1."""
    stems = [_stem(word) for word in _telling(about)]
    have = {_stem(word) for word in _telling(text)}
    return sum(any(_alike(one, stem) for one in have) for stem in stems) / len(stems) if stems else 0.0


def _alike(one: str, other: str) -> bool:
    """Whether one is the beginning of the other: of three letters at least, as "row B" is not a birthday."""
    short, long = sorted((one, other), key=len)
    return one == other or (len(short) >= 3 and long.startswith(short))


_SMALL = frozenset(
    "a an the my your our of to in on at for about i me that it is was were did do does and with from timer alarm "
    "reminder note what where who which there any put left last".split()
)


def _telling(text: str) -> list[str]:
    words = "".join(c if c.isalnum() else " " for c in text.lower().replace("'s", "")).split()
    return [word for word in words if word not in _SMALL] or words


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word
