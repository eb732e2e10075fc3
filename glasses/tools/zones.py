"""Names that must be one of a known list, IANA's time zones among them, from what people say for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from zoneinfo import ZoneInfo, available_timezones

from glasses.errors import InputError, Reason

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


def zone_of(place: str) -> ZoneInfo:
    """The time zone of a city, or of a country with one. Raises InputError(NOT_FOUND)."""
    wanted = " ".join(place.lower().replace(".", "").partition(",")[0].split())
    if wanted in _ZONES:
        return ZoneInfo(_ZONES[wanted])
    if name := named(wanted, sorted(available_timezones())):
        return ZoneInfo(name)
    raise InputError(Reason.NOT_FOUND, f"I do not know the time zone of {place.strip()}.")


def named(said: str, names: Sequence[str]) -> str | None:
    """The first of `names` that is said: "Europe/Madrid" by its last part, "Madrid". None where none is."""
    wanted = said.lower()
    return next((name for name in names if last_part(name) == wanted), None)


def last_part(name: str) -> str:
    """Of a path-like name, as it is said: "new york" of America/New_York, "living room" of home.living_room."""
    return " ".join(re.split(r"[/.:]", name)[-1].replace("_", " ").replace("-", " ").lower().split())
