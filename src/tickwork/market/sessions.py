"""Market sessions: when an exchange is open, its holidays and early closes; and times that hang on them.

    nyse = Sessions("NYSE")
    nyse.session(date(2026, 11, 27))                    # open 9:30, close 13:00: the day after Thanksgiving
    Schedule(MarketClose("NYSE", minus="30 minutes"))   # 15:30 in New York; 12:30 on that day

The regular hours are those of the table's time zone, so they follow summer time. The days that are not regular come
from a table that is shipped with tickwork (``data/sessions-xnys.json``) and covers certain years. What it does not
cover is an error, never a guess. Of a closing that the exchange announces later (a day of mourning) it knows nothing
before the next release.
"""

from __future__ import annotations

import logging
import re
from datetime import date, datetime, time, timedelta
from functools import cache
from importlib.resources import files
from typing import Final, Literal, NamedTuple

import msgspec

from tickwork.core.cron import Cron
from tickwork.core.schedule import Times
from tickwork.core.zone import zone_of
from tickwork.errors import InvalidInput
from tickwork.values import DurationLike, duration, duration_text, from_ns, timestamp_ns

_log = logging.getLogger("tickwork.market")

_TABLES: Final = {"NYSE": "sessions-xnys.json", "NASDAQ": "sessions-xnys.json"}
_ALWAYS: Final = "24/7"
MARKETS: Final = (*_TABLES, _ALWAYS)
"""Names of the markets that have sessions."""

WARN_BEFORE: Final = timedelta(days=90)
"""Before a table ends, whoever uses it is told."""

_DAY: Final = timedelta(days=1)
_DAY_NS: Final = 86_400_000_000_000


class Session(NamedTuple):
    """One session; ns since 1970 UTC. The market is open from ``open`` on and no longer at ``close``."""

    open: int
    close: int


class _Table(msgspec.Struct, frozen=True):
    """A shipped table, as ``scripts/generate_sessions.py`` writes it; times of day are ``HH:MM``."""

    calendar: str
    markets: tuple[str, ...]
    zone: str
    open: str
    close: str
    first: date
    last: date
    source: str
    holidays: frozenset[date]
    opens: dict[date, str]
    closes: dict[date, str]


@cache
def _table(name: str) -> _Table:
    return msgspec.json.decode(files("tickwork").joinpath("data", name).read_bytes(), type=_Table)


class Sessions:
    """The sessions of a market: ``NYSE``, ``NASDAQ``, or ``24/7``, which is always open and so has none.

    Raises:
        InvalidInput: another market.
    """

    def __init__(self, market: str) -> None:
        if market not in MARKETS:
            raise InvalidInput("market", market, f"one of {', '.join(MARKETS)}")
        self.market = market
        self._table = _table(_TABLES[market]) if market in _TABLES else None
        self.zone = "UTC" if self._table is None else self._table.zone
        """Name of the time zone in which its clocks hang."""
        self._zone = zone_of(self.zone)
        self._warned = False

    @property
    def last(self) -> date | None:
        """The last day that is known; ``None``: all are."""
        return None if self._table is None else self._table.last

    def session(self, day: date) -> Session | None:
        """The session of a day of the exchange's own calendar; ``None``: there is none. Of ``24/7``: the UTC day.

        Raises:
            InvalidInput: the table does not cover the day.
        """
        table = self._table
        if table is None:
            midnight = self._ns(day, "00:00")
            return Session(midnight, midnight + _DAY_NS)
        self._check_known(table, day)
        if day.weekday() > 4 or day in table.holidays:
            return None
        return Session(
            self._ns(day, table.opens.get(day, table.open)), self._ns(day, table.closes.get(day, table.close))
        )

    def is_open(self, ns: int) -> bool:
        """Is the market open at a time?

        Raises:
            InvalidInput: the table does not cover its day.
        """
        if self._table is None:
            return True
        session = self.session(self._day(ns))
        return session is not None and session.open <= ns < session.close

    def next_open(self, after_ns: int) -> int | None:
        """When it opens after a time, never that time itself; ``None``: never, because it does not close.

        Raises:
            InvalidInput: the table ends before.
        """
        return self._next("open", after_ns)

    def next_close(self, after_ns: int) -> int | None:
        """When it closes after a time, never that time itself; ``None``: never.

        Raises:
            InvalidInput: the table ends before.
        """
        return self._next("close", after_ns)

    def _next(self, edge: Literal["open", "close"], after_ns: int) -> int | None:
        if self._table is None:
            return None
        day = self._day(after_ns)
        while True:
            session = self.session(day)
            if session is not None and (found := getattr(session, edge)) > after_ns:
                return int(found)
            day += _DAY

    def _day(self, ns: int) -> date:
        return from_ns(ns).astimezone(self._zone).date()

    def _ns(self, day: date, clock: str) -> int:
        return timestamp_ns(datetime.combine(day, time.fromisoformat(clock), self._zone))

    def _check_known(self, table: _Table, day: date) -> None:
        if not table.first <= day <= table.last:
            known = f"a day from {table.first} to {table.last}, which the table covers (a newer tickwork covers more)"
            raise InvalidInput(f"sessions of {self.market}", day.isoformat(), known)
        if day > table.last - WARN_BEFORE and not self._warned:
            self._warned = True
            _log.warning("the sessions of %s are known until %s: update tickwork before", self.market, table.last)


class _Edge:
    """Times that hang on the sessions of a market; ``core.schedule.Times``."""

    _edge: Literal["open", "close"]

    def __init__(self, market: str, *, plus: DurationLike | None = None, minus: DurationLike | None = None) -> None:
        name = type(self).__name__
        if market == _ALWAYS:
            raise InvalidInput(f"{name}(market)", market, f"a market that closes: {', '.join(_TABLES)}")
        if plus is not None and minus is not None:
            raise InvalidInput(f"{name}(plus, minus)", "both", "one of them")
        self.sessions = Sessions(market)
        self.zone = self.sessions.zone
        ahead = duration("0s" if plus is None else plus, f"{name}(plus)")
        before = duration("0s" if minus is None else minus, f"{name}(minus)")
        if max(ahead, before) >= _DAY_NS:
            raise InvalidInput(f"{name}(plus, minus)", plus or minus, "less than a day")
        self._shift = ahead - before

    def next(self, after_ns: int) -> int | None:
        """The first such time after ``after_ns``.

        Raises:
            InvalidInput: the table of sessions ends before.
        """
        found = self.sessions._next(self._edge, after_ns - self._shift)
        return None if found is None else found + self._shift

    def __str__(self) -> str:
        shift = f" {'plus' if self._shift > 0 else 'minus'} {duration_text(abs(self._shift))}" if self._shift else ""
        return f"{self.sessions.market} {self._edge}{shift}"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


class MarketOpen(_Edge):
    """When a market opens, or so long before or after: ``MarketOpen("NYSE", plus="15 minutes")``.

    Raises:
        InvalidInput: a market that has no sessions, or a shift that is no duration or a day and more.
    """

    _edge = "open"


class MarketClose(_Edge):
    """When a market closes, or so long before or after: ``MarketClose("NYSE", minus="30 minutes")``.

    Raises:
        InvalidInput: as of ``MarketOpen``.
    """

    _edge = "close"


_ON_A_MARKET: Final = re.compile(r"(\S+)\s+(open|close)(?:\s+(plus|minus)\s+(.+))?", re.IGNORECASE)


def parse_times(text: str, zone: str | None = None, market: str = "NYSE") -> Times:
    """Times from a text, as documents and the command line write them.

    ``market open``, ``market close minus 30 minutes``, ``NASDAQ open plus 15 minutes``; a cron text or alias, also
    with ``schedule:`` before it (``schedule:0 2 * * *``).

    Args:
        text: see above.
        zone: of a cron text; UTC by default.
        market: what the word ``market`` means.

    Raises:
        InvalidInput: none of these; names the field of a cron text.
    """
    if not isinstance(text, str):
        raise InvalidInput("schedule", repr(text)[:80], "a text")
    words = re.sub(r"^\s*schedule:", "", text).strip()
    match = _ON_A_MARKET.fullmatch(words)
    if match is None:
        return Cron(words, zone or "UTC")
    name, edge, direction, shift = match.groups()
    known = {known.lower(): known for known in MARKETS} | {"market": market}
    kind = MarketOpen if edge.lower() == "open" else MarketClose
    shifts = {} if direction is None else {direction.lower(): shift}
    return kind(known.get(name.lower(), name), **shifts)
