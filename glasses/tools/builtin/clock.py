"""The time and the date, here and elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from glasses.tools import words
from glasses.tools.kinds import Day, Place
from glasses.tools.tool import ToolContext, tool
from glasses.tools.when import read_day
from glasses.tools.zones import zone_of


@tool(examples=("What time is it?", "What's the time in Rome?"), reads_only=True)
def time(context: ToolContext, place: Place = "") -> str:
    """Tells the time, here or in another place."""
    if place.strip().lower() in ("", "here"):
        return f"It is {words.clock(context.now())}."
    here = context.now()
    there = here.astimezone(zone_of(place)) if here.tzinfo else _here_in(here, zone_of(place))
    name = place.strip() if place.strip().isupper() else place.strip().title()
    return f"In {name} it is {words.clock(there)}" + (
        "." if there.date() == here.date() else f" {words.day(there.date(), here.date())}."
    )


@tool(examples=("What day is it?", "What's the date next Monday?"), reads_only=True)
def date(context: ToolContext, day: Day = "") -> str:
    """Tells the date and the day of the week, of today or another day."""
    now = context.now()
    at = read_day(day, now) if day.strip() else now
    said = f"{at:%A}, {at:%B} {at.day}, {at.year}"
    return f"Today is {said}." if at.date() == now.date() else f"That {'was' if at < now else 'is'} {said}."


def _here_in(here: datetime, zone: ZoneInfo) -> datetime:
    """A local time without a zone, as it is elsewhere."""
    return here.astimezone(UTC).astimezone(zone).replace(tzinfo=None)
