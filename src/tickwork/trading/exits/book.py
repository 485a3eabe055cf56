"""Every exit plan, found by what a price or a time makes due: a quote that does nothing asks none of them.

Theory of operation. A plan waits in at most six sorted places: for its nearest stop, in the group of those that trail
the same best price (``trail``), for its next leg, for the prices at which trailing or break-even begins, and for its
time. A quote is first compared with the bounds of its market; only one that is beyond them is looked at, and costs
O(log n) and what it has reached. Nothing is remembered outside, times are those the caller gives, in ns since 1970 UTC.

What is due is due for as long as it holds: it is told again with every price until it is claimed, so nothing is lost
when nobody acts on it, and after a restart the next price tells it again. ``claim`` takes it, and from then on no other
exit can have the same quantity; ``filled`` and ``released`` say what became of it.

**Which price.** A long is judged by the bid, which is what a sale gets; a short by the ask. A missing, zero, NaN,
crossed, stale or older price decides nothing, and ``Judged.unjudged`` says so.

**Time goes on.** A plan sleeps until there is a price of when it was opened, or later; and no price is taken that is
older than the newest known one of its market. So none of before a plan was opened decides for it, in whatever order
they come. After a restart the newest known one is the last that is on record as having opened, moved or claimed
something: a price of before that would meet stops which were not there yet.

**Gaps.** All levels of a ladder that a price has reached are one due, of their summed quantity. A stop whose level was
jumped over is due at the price there is.

**Both.** Where a stop and a target would be due, as within one bar, the stop is: it takes all that is free, and names
in ``cancel`` the claims on their way; what these give back is due as a stop, at the next price or time.

**After a restart** ``restore`` takes the states of the plans, changed by each claim, fill, release, resize and what
``Judged.moved`` told, and the marks of the markets. A trailing stop is then at most one ratchet behind, never ahead.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final, Literal

from msgspec.structs import replace

from tickwork.errors import InvalidInput
from tickwork.market.bars import LARGEST, Bar
from tickwork.market.levels import ALWAYS
from tickwork.trading.exits.market import Dues, Market, stop_due
from tickwork.trading.exits.plan import ExitPlan
from tickwork.trading.exits.standing import Hour, Standing
from tickwork.trading.exits.state import Claim, PlanState
from tickwork.trading.exits.told import ExitDue, Judged, Marks, Moved, StopAt, Unjudged
from tickwork.values import DurationLike, duration, duration_text

NOTHING: Final = Judged()
Holder = tuple[str, str, str]
"""Account, workflow, symbol."""
Why = Literal["missing", "not_a_price", "crossed", "stale", "future", "older"]


class ExitBook:
    """All plans, of one account or of many. Not thread-safe.

    Args:
        max_age: a price that is older than this, or from further ahead, decides nothing.

    Raises:
        InvalidInput: no duration above zero.
    """

    def __init__(self, max_age: DurationLike = "30s") -> None:
        self.max_age_ns: Final = duration(max_age, "exits.maxAge")
        if self.max_age_ns == 0:
            raise InvalidInput("exits.maxAge", max_age, "a duration above zero")
        self._plans: dict[str, Standing] = {}
        self._markets: dict[str, dict[str, Market]] = {}
        self._holders: dict[Holder, dict[str, Standing]] = {}
        self._hours: list[Hour] = []
        self._count = 0

    # -- what stands ----------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._plans)

    def __contains__(self, plan_id: str) -> bool:
        return plan_id in self._plans

    def get(self, plan_id: str) -> PlanState | None:
        """Where a plan stands; ``None``: there is none of this id, or it is closed."""
        standing = self._plans.get(plan_id)
        return None if standing is None else standing.state

    def held_by(self, account: str, workflow: str, symbol: str) -> list[PlanState]:
        """The plans of what one workflow holds of a symbol in an account."""
        return [standing.state for standing in self._holders.get((account, workflow, symbol), {}).values()]

    def holders(self) -> list[Holder]:
        """Account, workflow and symbol of all plans."""
        return list(self._holders)

    def states(self) -> Iterator[PlanState]:
        """Of all plans."""
        return (standing.state for standing in self._plans.values())

    def stop_of(self, plan_id: str) -> StopAt | None:
        """Where a plan's nearest stop stands right now, and what it is; ``None``: it has none, or was tripped.

        Raises:
            InvalidInput: no plan of this id.
        """
        standing = self._standing(plan_id)
        plan = standing.state.plan
        return self._market(plan.venue, plan.symbol).side(plan).stop_of(standing)

    def markets(self) -> dict[tuple[str, str], int]:
        """How many plans stand on each venue and symbol that has some."""
        return {
            (venue, symbol): market.count
            for venue, symbols in self._markets.items()
            for symbol, market in symbols.items()
            if market.count
        }

    # -- plans ----------------------------------------------------------------------------------------------------

    def open(self, plan: ExitPlan) -> PlanState:
        """Let a plan stand.

        Returns:
            Its first state.

        Raises:
            InvalidInput: one of this id stands.
        """
        if plan.id in self._plans:
            raise InvalidInput("plan.id", plan.id, "an id that no open plan has")
        state = PlanState.begin(plan)
        self.put(state)
        return state

    def resize(self, plan_id: str, quantity: Decimal) -> tuple[Claim, ...]:
        """The position became ``quantity`` by something else than these exits; see ``PlanState.resized``.

        Returns:
            Claims whose orders must be cancelled, because they are for more than there is now.

        Raises:
            InvalidInput: no plan of this id, or a negative quantity.
        """
        standing = self._standing(plan_id)
        return self._put(standing, standing.state.resized(quantity))

    def shrink(self, plan_id: str, quantity: Decimal) -> PlanState:
        """The holding is less than its plans are for, by so much of this one; see ``holding.too_much``.

        Raises:
            InvalidInput: no plan of this id, or more than is free of it.
        """
        standing = self._standing(plan_id)
        state = standing.state.shrunk(quantity)
        self._put(standing, state)
        return state

    def close(self, plan_id: str) -> tuple[Claim, ...]:
        """Forget a plan, whatever is left of its position.

        Returns:
            Claims whose orders are on their way.

        Raises:
            InvalidInput: no plan of this id.
        """
        standing = self._standing(plan_id)
        self._put(standing, standing.state.resized(Decimal(0)))
        return tuple(flight.claim for flight in standing.state.flights)

    # -- claims ---------------------------------------------------------------------------------------------------

    def claim(self, due: ExitDue) -> Claim:
        """Take what is due, because an exit order is about to be placed.

        Returns:
            The claim, to be recorded before the order is placed; for what is still free of what was due. For a
            quantity of zero there is nothing to place, only ``cancel`` to be done.

        Raises:
            InvalidInput: it was claimed already, or the plan is gone.
        """
        standing = self._standing(due.plan.id)
        claim = due.claim()
        if claim.quantity > standing.state.free:
            claim = replace(claim, quantity=standing.state.free)
        self._put(standing, standing.state.claimed(claim))
        return claim

    def filled(self, claim: Claim, quantity: Decimal) -> tuple[Claim, ...]:
        """So many base units more of a claim's order have executed; also when that is heard after its release.

        Returns:
            Claims whose orders must be cancelled, because they are for more than there is now. Only a fill after a
            release can lead to that.

        Raises:
            InvalidInput: no such claim was made, or a quantity that is not above zero.
        """
        standing = self._plans.get(claim.plan_id)
        return () if standing is None else self._put(standing, standing.state.filled(claim, quantity))

    def released(self, claim: Claim, retry_ns: int = 0) -> None:
        """A claim's order has ended, or was never placed: what it did not fill is free again.

        Args:
            claim: a claim; one that has ended changes nothing.
            retry_ns: not before this time (ns) is it due again; a stop that has not been claimed yet does not wait.

        Raises:
            InvalidInput: no such claim was made.
        """
        standing = self._plans.get(claim.plan_id)
        if standing is not None:
            self._put(standing, standing.state.released(claim, retry_ns))

    def put(self, state: PlanState) -> None:
        """Let a plan stand as its record says, where others wrote that; a closed one is forgotten.

        Trailing goes on from where it is; a plan that is not here yet is taken as by ``restore``, but without marks.
        """
        standing = self._plans.get(state.plan.id)
        if standing is not None:
            self._put(standing, state)
        elif not state.closed:
            standing = self._stand(state)
            market = self._market(state.plan.venue, state.plan.symbol)
            market.rest(standing, market.newest_ns)
            if not standing.asleep:
                market.side(state.plan).follow(standing, None)
            self._aim(standing)

    # -- prices and time ------------------------------------------------------------------------------------------

    def on_quote(
        self, venue: str, symbol: str, bid: Decimal | None, ask: Decimal | None, time_ns: int, now_ns: int
    ) -> Judged:
        """Take a quote.

        Args:
            venue: whose quote.
            symbol: of what.
            bid: the best bid; ``None`` where there is none.
            ask: the best ask.
            time_ns: when the venue said so.
            now_ns: the time now, by which its age is judged.
        """
        symbols = self._markets.get(venue)
        market = (None if symbols is None else symbols.get(symbol)) or self._market(venue, symbol)
        if bid is None or ask is None:
            return self._unjudged(market, "missing", f"bid {bid}, ask {ask}", time_ns)
        try:
            if not (0 < bid <= ask < LARGEST) or type(bid) is not Decimal or type(ask) is not Decimal:
                why: Why = "crossed" if 0 < ask < bid < LARGEST else "not_a_price"
                return self._unjudged(market, why, f"bid {bid}, ask {ask}", time_ns)
        except (ArithmeticError, TypeError):
            return self._unjudged(market, "not_a_price", f"bid {bid}, ask {ask}", time_ns)
        if time_ns < market.newest_ns or not -self.max_age_ns <= now_ns - time_ns <= self.max_age_ns:
            return self._badly_dated(market, time_ns, now_ns)
        market.newest_ns = time_ns
        if time_ns >= market.wake_ns:
            market.wake(time_ns)
        if market.bid_low < bid < market.bid_high and market.ask_low < ask < market.ask_high and not market.busy:
            return NOTHING
        dues: Dues = {}
        moved: list[Moved] = []
        market.judge(bid, ask, time_ns, now_ns, dues, moved)
        market.look()
        return _judged(dues, moved)

    def on_bar(self, bar: Bar, now_ns: int) -> Judged:
        """Take a bar, where there are no quotes: bid and ask are its prices.

        Nobody knows in which order a bar saw its high and its low, so the worse is taken to have come first: open, low,
        high, close for longs, open, high, low, close for shorts. A plan that was opened within the bar is judged by its
        close alone; so are all of a bar that began before the newest known price.

        Args:
            bar: a bar that has ended.
            now_ns: the time now, by which the age of its end is judged.
        """
        market = self._market(bar.venue, bar.symbol)
        at_ns, whole = bar.end_ns, bar.start_ns >= market.newest_ns
        if at_ns < market.newest_ns or not -self.max_age_ns <= now_ns - at_ns <= self.max_age_ns:
            return self._badly_dated(market, at_ns, now_ns)
        market.newest_ns = at_ns
        dues: Dues = {}
        moved: list[Moved] = []
        if whole:
            market.wake(bar.start_ns)
        for bid, ask in ((bar.open, bar.open), (bar.low, bar.high), (bar.high, bar.low)) if whole else ():
            market.judge(bid, ask, at_ns, now_ns, dues, moved)
        market.wake(at_ns)
        market.judge(bar.close, bar.close, at_ns, now_ns, dues, moved)
        market.look()
        return _judged(dues, moved)

    def on_time(self, now_ns: int) -> Judged:
        """Take the time: what is due by it, and what stops have left open and is to be tried again."""
        dues: Dues = {}
        for at_ns, n, standing in self._hours:
            if at_ns > now_ns:
                break
            dues[n] = stop_due(standing, standing.state.tripped or "time_limit", now_ns)
        return _judged(dues, []) if dues else NOTHING

    # -- restart --------------------------------------------------------------------------------------------------

    def restore(self, states: Iterable[PlanState], marks: Iterable[Marks], now_ns: int) -> None:
        """Let plans stand as they last did. For a book that is still empty.

        A bar that began before ``now_ns`` may hold prices of before some plan was opened: give its close as a quote.

        Args:
            states: of all plans; closed ones are left out.
            marks: the recorded best prices of each market and side.
            now_ns: the time now; a plan that was opened later sleeps until then.

        Raises:
            InvalidInput: the book is not empty, or two plans have the same id.
        """
        if self._plans:
            raise InvalidInput("exits", f"{len(self._plans)} plans", "an empty book to restore into")
        known = {(one.venue, one.symbol, one.side): one for one in marks}
        for (venue, symbol, side), one in known.items():
            market = self._market(venue, symbol)
            trail = market.longs.trail if side == "long" else market.shorts.trail
            trail.marks = one.number
            market.newest_ns = max(market.newest_ns, one.at_ns)
        stood = [self._stand(state) for state in states if not state.closed]
        for standing in stood:
            plan = standing.state.plan
            market = self._market(plan.venue, plan.symbol)
            opened_ns = plan.opened_ns if plan.opened_ns <= now_ns else ALWAYS
            market.newest_ns = max(market.newest_ns, opened_ns, standing.state.seen_ns)
        for standing in stood:
            plan = standing.state.plan
            market = self._market(plan.venue, plan.symbol)
            market.rest(standing, market.newest_ns)
            if not standing.asleep:
                market.side(plan).follow(standing, known.get((plan.venue, plan.symbol, plan.side)))
            market.side(plan).aim(standing, settle=False)
            hour = _hour(standing)
            if hour is not None:
                standing.hour = hour
                self._hours.append(hour)
        self._hours.sort()
        for symbols in self._markets.values():
            for market in symbols.values():
                market.longs.settled()
                market.shorts.settled()
                market.look()

    # -- housekeeping ---------------------------------------------------------------------------------------------

    def _standing(self, plan_id: str) -> Standing:
        standing = self._plans.get(plan_id)
        if standing is None:
            raise InvalidInput("plan", plan_id, "the id of a plan that is open")
        return standing

    def _market(self, venue: str, symbol: str) -> Market:
        symbols = self._markets.setdefault(venue, {})
        market = symbols.get(symbol)
        if market is None:
            market = symbols[symbol] = Market(venue, symbol)
        return market

    def _stand(self, state: PlanState) -> Standing:
        plan = state.plan
        if plan.id in self._plans:
            raise InvalidInput("plan.id", plan.id, "an id that no open plan has")
        self._count += 1
        standing = self._plans[plan.id] = Standing(state, self._count)
        self._market(plan.venue, plan.symbol).count += 1
        self._holders.setdefault(_holder(plan), {})[plan.id] = standing
        return standing

    def _put(self, standing: Standing, state: PlanState) -> tuple[Claim, ...]:
        standing.state = state
        self._aim(standing)
        if state.closed:
            plan = state.plan
            del self._plans[plan.id]
            self._market(plan.venue, plan.symbol).count -= 1
            mine = self._holders[_holder(plan)]
            del mine[plan.id]
            if not mine:
                del self._holders[_holder(plan)]
        return state.excess

    def _aim(self, standing: Standing) -> None:
        plan = standing.state.plan
        market = self._market(plan.venue, plan.symbol)
        market.side(plan).aim(standing)
        market.look()
        hour = _hour(standing)
        if hour != standing.hour:
            if standing.hour is not None:
                del self._hours[bisect_left(self._hours, standing.hour)]
            if hour is not None:
                insort(self._hours, hour)
            standing.hour = hour

    def _badly_dated(self, market: Market, time_ns: int, now_ns: int) -> Judged:
        if not market.count:
            return NOTHING
        age = now_ns - time_ns
        if abs(age) <= self.max_age_ns:
            by = duration_text(market.newest_ns - time_ns)
            return self._unjudged(market, "older", f"{by} older than the newest", time_ns)
        text = duration_text(abs(age))
        if age > 0:
            return self._unjudged(market, "stale", f"{text} old", time_ns)
        return self._unjudged(market, "future", f"{text} ahead", time_ns)

    def _unjudged(self, market: Market, why: Why, found: str, time_ns: int) -> Judged:
        return Judged(unjudged=Unjudged(market.venue, market.symbol, why, found, time_ns)) if market.count else NOTHING


def _judged(dues: Dues, moved: list[Moved]) -> Judged:
    due = sorted(dues.values(), key=lambda one: one.plan.id)
    return Judged(tuple(due), tuple(moved)) if due or moved else NOTHING


def _holder(plan: ExitPlan) -> Holder:
    return plan.account, plan.workflow, plan.symbol


def _hour(standing: Standing) -> Hour | None:
    """When time makes something due."""
    state = standing.state
    if state.closed:
        return None
    if state.tripped is not None:
        return (state.retry_ns, standing.n, standing) if state.free else None
    deadline = state.plan.deadline_ns
    return None if deadline is None else (deadline, standing.n, standing)
