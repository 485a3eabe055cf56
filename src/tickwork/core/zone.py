"""Time zones by their IANA names, such as ``America/New_York``."""

from __future__ import annotations

from difflib import get_close_matches
from zoneinfo import ZoneInfo, available_timezones

from tickwork.errors import InvalidInput


def zone_of(name: object, path: str = "zone") -> ZoneInfo:
    """The time zone of a name; with it its changes to and from summer time.

    Raises:
        InvalidInput: no zone has this name; says the nearest that does.
    """
    if isinstance(name, str) and name:
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError):  # unknown; a path out of the database; a folder of it
            pass
    found = name if isinstance(name, str) else repr(name)[:80]
    raise InvalidInput(path, found, f"the IANA name of a time zone, such as {_nearest(found)!r}")


def _nearest(name: str) -> str:
    """The name that was probably meant: by the whole name, or by its city."""
    known = {zone.lower(): zone for zone in sorted(available_timezones())}
    cities = {zone.rpartition("/")[2]: name for zone, name in known.items() if "/" in zone}
    wanted = name.strip().lower().replace(" ", "_")
    city = wanted.rpartition("/")[2]
    for names, text in ((known, wanted), (cities, city)):
        close = get_close_matches(text, names, n=1, cutoff=0.75)
        if close:
            return names[close[0]]
    return "America/New_York"
