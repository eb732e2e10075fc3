"""The time and the date, here and elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, available_timezones

from glasses.errors import InputError, Reason
from glasses.tools import words
from glasses.tools.kinds import Day, Place
from glasses.tools.tool import ToolContext, tool
from glasses.tools.when import read_day

# Cities whose zone bears another city's name, by population; the others are found by the zone's own name.
_ZONES = {
    "san francisco": "America/Los_Angeles", "seattle": "America/Los_Angeles", "boston": "America/New_York",
    "washington": "America/New_York", "miami": "America/New_York", "houston": "America/Chicago",
    "dallas": "America/Chicago", "beijing": "Asia/Shanghai", "mumbai": "Asia/Kolkata", "delhi": "Asia/Kolkata",
    "new delhi": "Asia/Kolkata", "bangalore": "Asia/Kolkata", "rio": "America/Sao_Paulo", "osaka": "Asia/Tokyo",
    "munich": "Europe/Berlin", "hamburg": "Europe/Berlin", "cologne": "Europe/Berlin", "milan": "Europe/Rome",
    "barcelona": "Europe/Madrid", "geneva": "Europe/Zurich", "edinburgh": "Europe/London",
    "cape town": "Africa/Johannesburg",
    "abu dhabi": "Asia/Dubai", "montreal": "America/Toronto", "canberra": "Australia/Sydney", "japan": "Asia/Tokyo",
    "england": "Europe/London", "germany": "Europe/Berlin", "france": "Europe/Paris", "india": "Asia/Kolkata",
    "uk": "Europe/London", "united kingdom": "Europe/London", "ireland": "Europe/Dublin", "korea": "Asia/Seoul",
    "south korea": "Asia/Seoul", "texas": "America/Chicago", "florida": "America/New_York",
    "new york city": "America/New_York", "netherlands": "Europe/Amsterdam", "austria": "Europe/Vienna",
    "switzerland": "Europe/Zurich", "sweden": "Europe/Stockholm", "norway": "Europe/Oslo",
    "china": "Asia/Shanghai", "spain": "Europe/Madrid", "italy": "Europe/Rome", "california": "America/Los_Angeles",
}  # fmt: skip


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


def zone_of(place: str) -> ZoneInfo:
    """The time zone of a city, or of a country with one. Raises InputError(NOT_FOUND)."""
    wanted = " ".join(place.lower().replace(".", "").partition(",")[0].split())
    if wanted in _ZONES:
        return ZoneInfo(_ZONES[wanted])
    for name in sorted(available_timezones()):
        if name.split("/")[-1].replace("_", " ").lower() == wanted:
            return ZoneInfo(name)
    raise InputError(Reason.NOT_FOUND, f"I do not know the time zone of {place.strip()}.")


def _here_in(here: datetime, zone: ZoneInfo) -> datetime:
    """A local time without a zone, as it is elsewhere."""
    return here.astimezone(UTC).astimezone(zone).replace(tzinfo=None)
