"""Trailing stops of one market and side, grouped by the best price they follow.

Theory of operation. Keys are prices, negated for shorts, so that more is better. Plans that trail have each seen a best
key since they began. When the price goes on to a new best, all whose best it passes share it from then on, for good: so
they are merged into one *peak*, and the next new best moves them all in one step. Peaks stand in a stack, the lowest
best last. Only the last one can move; the others are settled until the price comes back to them.

The stop of a plan is ``best - |best| * distance``: within a peak the smallest distance is reached first, so its members
are a heap by distance. The settled peaks are a heap by their nearest stop. A price therefore costs two comparisons, and
each plan is moved between heaps O(log n) times in all, because the smaller heap goes into the larger.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from decimal import Decimal

from tickwork.trading.exits.standing import Member, Standing
from tickwork.values import EXACT


class Peak:
    """Plans that follow the same best key."""

    __slots__ = ("best", "into", "members", "ratchet", "recorded", "token")

    def __init__(self, best: Decimal, ratchet: Decimal) -> None:
        self.best = best
        self.recorded = best
        """No member's best is on record as less good than this."""
        self.ratchet = ratchet
        """The smallest of its members'."""
        self.members: list[Member] = []
        """A heap; some of them may have left."""
        self.token = 0
        """Of its place in the heap of the settled; 0: it has none."""
        self.into: Peak | None = None
        """What it has become part of."""

    def stop(self, distance: Decimal) -> Decimal:
        """The stop at a distance, as a key."""
        return EXACT.subtract(self.best, EXACT.multiply(self.best.copy_abs(), distance))

    def nearest(self) -> Decimal | None:
        """The stop that is reached first; ``None``: everybody has left."""
        members = self.members
        while members and members[0][2].member is not members[0]:
            heapq.heappop(members)
        return self.stop(members[0][0]) if members else None

    def reached(self, key: Decimal) -> list[Standing]:
        """Members whose stop is at ``key`` or above."""
        found: list[Standing] = []
        places = [0]
        while places:
            place = places.pop()
            if place >= len(self.members) or self.stop(self.members[place][0]) < key:
                continue  # in a heap whatever is below is no nearer
            member = self.members[place]
            if member[2].member is member:
                found.append(member[2])
            places += (2 * place + 1, 2 * place + 2)
        return found

    def take(self, other: Peak) -> None:
        """Make the other's members its own."""
        for member in other.members:
            if member[2].member is member:
                heapq.heappush(self.members, member)
        other.members = []
        other.into = self
        self.recorded = min(self.recorded, other.recorded)
        self.ratchet = min(self.ratchet, other.ratchet)


class Trail:
    """The trailing stops of a market's longs, or of its shorts."""

    __slots__ = ("_peaks", "_settled", "_tokens", "count", "marks")

    def __init__(self) -> None:
        self._peaks: list[Peak] = []
        self._settled: list[tuple[Decimal, int, Peak]] = []
        """Of all peaks but the last: negated nearest stop, token, peak. One whose token is another's is void."""
        self._tokens = 0
        self.count = 0
        """Plans that trail here."""
        self.marks = 0
        """Best prices that were told to be recorded."""

    @property
    def top(self) -> Decimal | None:
        """A better key than this moves stops; ``None``: there are none."""
        return self._peaks[-1].best if self._peaks else None

    @property
    def nearest(self) -> Decimal | None:
        """No stop is above this key. It may be a little high, while those nearest to it have left."""
        settled = self._settled
        while settled and settled[0][2].token != settled[0][1]:
            heapq.heappop(settled)
        last = self._peaks[-1].nearest() if self._peaks else None
        if not settled:
            return last
        top = settled[0][0].copy_negate()
        return top if last is None or top > last else last

    def stop_of(self, standing: Standing) -> Decimal | None:
        """Where a plan's trailing stop is, as a key; ``None``: it does not trail."""
        return None if standing.member is None else _whole(standing).stop(standing.member[0])

    def join(self, standing: Standing, best: Decimal, distance: Decimal, ratchet: Decimal) -> None:
        """Let a plan trail, with the best key it has seen, as it is on record."""
        peaks = self._peaks
        place = bisect_left(peaks, best.copy_negate(), key=lambda peak: peak.best.copy_negate())
        if place == len(peaks) or peaks[place].best != best:
            peaks.insert(place, Peak(best, ratchet))
            if place and place == len(peaks) - 1:
                self._settle(peaks[place - 1])
        peak = peaks[place]
        peak.ratchet = min(peak.ratchet, ratchet)
        standing.member, standing.peak = (distance, standing.n, standing), peak
        heapq.heappush(peak.members, standing.member)
        self.count += 1
        if place < len(peaks) - 1:
            self._settle(peak)

    def leave(self, standing: Standing) -> None:
        """Let it trail no more."""
        standing.member = standing.peak = None
        self.count -= 1
        if not self.count:
            self._peaks.clear()
            self._settled.clear()

    def lift(self, key: Decimal) -> bool:
        """Take a price; True if the best is to be recorded with it, as number ``marks``."""
        peaks = self._peaks
        if not peaks or key <= peaks[-1].best:
            return False
        last = peaks.pop()
        while peaks and peaks[-1].best <= key:
            other = peaks.pop()
            small, last = (other, last) if len(other.members) < len(last.members) else (last, other)
            last.take(small)
        last.token = 0
        last.best = key
        peaks.append(last)
        if EXACT.subtract(key, last.recorded) < EXACT.multiply(last.recorded.copy_abs(), last.ratchet):
            return False
        last.recorded = key
        self.marks += 1
        return True

    def reached(self, key: Decimal) -> list[Standing]:
        """Whose stop is at ``key`` or above; they go on trailing."""
        found = self._peaks[-1].reached(key) if self._peaks else []
        near: list[Peak] = []
        while self._settled and self._settled[0][0].copy_negate() >= key:
            _, token, peak = heapq.heappop(self._settled)
            if peak.token == token:
                near.append(peak)
        for peak in near:
            found += peak.reached(key)
            self._settle(peak)
        return found

    def _settle(self, peak: Peak) -> None:
        nearest = peak.nearest()
        if nearest is None:
            peak.token = 0
            return
        self._tokens += 1
        peak.token = self._tokens
        heapq.heappush(self._settled, (nearest.copy_negate(), peak.token, peak))


def _whole(standing: Standing) -> Peak:
    """The peak that a plan's has become part of."""
    peak = standing.peak
    assert isinstance(peak, Peak)
    while peak.into is not None:
        peak = peak.into
    standing.peak = peak
    return peak
