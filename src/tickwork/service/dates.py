"""Whether quotes and bars are dated so that they may decide anything: not too old, and not ahead of the clock.

One that is not is counted, and the first of each feed is logged: a source with a wrong clock would otherwise make
triggers and alerts deaf without a word.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from tickwork.market.bars import Bar, Quote
from tickwork.market.live import LiveFeed, Placed
from tickwork.values import NS_PER_SECOND, duration_text

_log = logging.getLogger("tickwork.watch")


def dated_ns(what: Quote | Bar) -> int:
    """When what a quote or bar says was so, ns since 1970 UTC: of a bar its end."""
    return what.time_ns if isinstance(what, Quote) else what.end_ns


class Dates:
    """The guard of triggers and alerts.

    Args:
        feeds: those that are watched; one may have ``delay_ns``: by how much its source is late by design.
        age_ns: how old a price may be, beyond that delay.
        ahead_ns: by how much it may be ahead of the clock.
    """

    def __init__(self, feeds: Iterable[LiveFeed], age_ns: int, ahead_ns: int) -> None:
        self._age_ns = age_ns
        self._ahead_ns = ahead_ns
        self._delay_ns = {feed.name: int(getattr(feed, "delay_ns", 0)) for feed in feeds}
        self.counts: dict[str, int] = {}
        """How many quotes and bars of each feed, since the process began, decided nothing for their date."""
        self.problems: dict[str, str] = {}
        """What was wrong with the first of them, by feed."""
        self._logged: set[tuple[str, str]] = set()

    def ahead(self, placed: Placed, now_ns: int) -> bool:
        """Is it dated further ahead than it may be?"""
        what = placed.item.what
        return isinstance(what, Quote | Bar) and dated_ns(what) - now_ns > self._ahead_ns

    def fit(self, placed: Placed, arrived_ns: int | None = None) -> bool:
        """May triggers read it? As of its arrival; default: as recorded, so that reading again says the same.

        Bars may be old: those of an outage come late.
        """
        what = placed.item.what
        if not isinstance(what, Quote | Bar):
            return True
        arrived_ns = placed.item.known_ns if arrived_ns is None else arrived_ns
        return not self.ahead(placed, arrived_ns) and (isinstance(what, Bar) or not self._old(placed, arrived_ns))

    def take(self, placed: Placed, arrived_ns: int) -> bool:
        """As ``fit``, and counts what is not."""
        fits = self.fit(placed, arrived_ns)
        if not fits:
            self._count(placed, arrived_ns, "triggers and alerts do not hear them")
        return fits

    def fresh(self, placed: Placed, now_ns: int, *, count: bool) -> bool:
        """May alerts hear its price at this time?"""
        fresh = not self.ahead(placed, now_ns) and not self._old(placed, now_ns)
        if not fresh and count and self.fit(placed, now_ns):
            self._count(placed, now_ns, "alerts do not hear them")
        return fresh

    def _old(self, placed: Placed, now_ns: int) -> bool:
        what = placed.item.what
        limit_ns = self._age_ns + self._delay_ns.get(placed.recording, 0)
        return isinstance(what, Quote | Bar) and now_ns - dated_ns(what) > limit_ns

    def _count(self, placed: Placed, now_ns: int, so: str) -> None:
        what, feed = placed.item.what, placed.recording
        assert isinstance(what, Quote | Bar)
        self.counts[feed] = self.counts.get(feed, 0) + 1
        off_s = (now_ns - dated_ns(what)) / NS_PER_SECOND
        if off_s > 0:
            limit = duration_text(self._age_ns + self._delay_ns.get(feed, 0))
            why = f"come {off_s:.1f} s late: older than price_age={limit}"
        else:
            why = f"are dated {-off_s:.1f} s ahead: more than ahead={duration_text(self._ahead_ns)}"
        problem = f"prices of {what.symbol} {why}, {so}"
        self.problems[feed] = problem
        if (feed, so + str(off_s > 0)) not in self._logged:
            self._logged.add((feed, so + str(off_s > 0)))
            _log.warning("feed %s: %s", feed, problem)
