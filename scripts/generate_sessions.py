"""Generate the tables of market sessions in src/tickwork/data from exchange_calendars.

    .venv/bin/python scripts/generate_sessions.py [--check]

A table holds what is not regular: the weekdays without a session, and the sessions that open or close at another time.
``--check`` writes nothing and fails if a table would differ. What exchange_calendars knows of the years to come are
the exchange's published holidays and the rules behind them; a closing that is announced later (a day of mourning) comes
with the next table.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parent.parent / "src" / "tickwork" / "data"
FIRST, LAST = date(2000, 1, 1), date(2028, 12, 31)
REGULAR = ("09:30", "16:00")
ZONE = "America/New_York"


def sessions(calendar: str) -> dict[date, tuple[str, str]]:
    """Every session of a calendar: when it opens and closes by the exchange's clock."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pandas, about itself
        import exchange_calendars  # noqa: PLC0415 - takes a second

        table = exchange_calendars.get_calendar(calendar, start=FIRST.isoformat(), end=LAST.isoformat()).schedule
        opens, closes = (table[edge].dt.tz_convert(ZONE).dt.strftime("%H:%M") for edge in ("open", "close"))
        days = [day.date() for day in table.index]
    return dict(zip(days, zip(opens, closes, strict=True), strict=True))


def weekdays() -> Iterable[date]:
    """Mondays to Fridays."""
    days = (FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1))
    return (day for day in days if day.weekday() < 5)


def table_of(calendar: str, markets: list[str]) -> dict[str, Any]:
    """What the file says."""
    found = sessions(calendar)
    if any(day.weekday() > 4 for day in found):
        raise SystemExit(f"{calendar} has sessions at weekends: the table cannot say that")
    return {
        "calendar": calendar,
        "markets": markets,
        "zone": ZONE,
        "open": REGULAR[0],
        "close": REGULAR[1],
        "first": FIRST.isoformat(),
        "last": LAST.isoformat(),
        "source": f"exchange_calendars {version('exchange_calendars')} (Apache License 2.0)",
        "holidays": [day.isoformat() for day in weekdays() if day not in found],
        "opens": {day.isoformat(): edges[0] for day, edges in found.items() if edges[0] != REGULAR[0]},
        "closes": {day.isoformat(): edges[1] for day, edges in found.items() if edges[1] != REGULAR[1]},
    }


def text_of(table: Mapping[str, Any]) -> str:
    """JSON of which a person can read the differences: a line for a year."""
    lines = [f"  {json.dumps(key)}: {_value(value)}" for key, value in table.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _value(value: Any) -> str:
    if not isinstance(value, list | dict) or not value or len(value) < 10:
        return json.dumps(value)
    years: dict[str, list[str]] = {}
    for day in value:
        item = json.dumps(day) + (f": {json.dumps(value[day])}" if isinstance(value, dict) else "")
        years.setdefault(day[:4], []).append(item)
    begin, end = ("{", "}") if isinstance(value, dict) else ("[", "]")
    return begin + "\n    " + ",\n    ".join(", ".join(items) for items in years.values()) + "\n  " + end


def main() -> int:
    """Write or compare; 1 if a table differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    options = parser.parse_args()
    path = DATA / "sessions-xnys.json"
    table = table_of("XNYS", ["NYSE", "NASDAQ"])
    text = text_of(table)
    # another version of the library may have made the same table
    same = path.exists() and {**json.loads(path.read_text()), "source": ""} == {**table, "source": ""}
    counts = ", ".join(f"{len(table[key])} {key}" for key in ("holidays", "opens", "closes"))
    print(
        f"{path.name}: {counts}, {len(text):,} bytes{'' if same else ' (differs)' if options.check else ' (written)'}"
    )
    if not same and not options.check:
        path.write_text(text)
    return 1 if options.check and not same else 0


if __name__ == "__main__":
    sys.exit(main())
