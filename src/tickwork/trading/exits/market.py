"""The exits of one venue's symbol: longs by their bid, shorts by their ask, each found by what the price reaches."""

from __future__ import annotations

import heapq
from decimal import Decimal
from typing import Final

from tickwork.market.bars import LARGEST
from tickwork.market.levels import ALWAYS, NEVER
from tickwork.trading.exits.fractions import ZERO
from tickwork.trading.exits.legs import sum_of
from tickwork.trading.exits.plan import ExitPlan, PositionSide, Reason
from tickwork.trading.exits.standing import Entry, Hour, Levels, Standing
from tickwork.trading.exits.told import BestPrice, BreakEvenSet, ExitDue, Marks, Moved, StopAt, TrailingBegan
from tickwork.trading.exits.trail import Trail
from tickwork.values import EXACT

Dues = dict[int, ExitDue]
"""What is due, by the plan's number in the book."""


class MarketSide:
    """The plans of one side. Works in keys: prices, negated for shorts, so that more is better."""

    __slots__ = ("_begins", "_evens", "_side", "_stops", "_symbol", "_targets", "_venue", "trail", "tripped")

    def __init__(self, venue: str, symbol: str, side: PositionSide) -> None:
        self._venue, self._symbol, self._side = venue, symbol, side
        self._stops = Levels()
        self._targets = Levels()
        self._begins = Levels()
        self._evens = Levels()
        self.trail = Trail()
        self.tripped: dict[int, Standing] = {}
        """Plans of which something is free, and goes at whatever price."""

    @property
    def low(self) -> Decimal | None:
        """Above it no key reaches a stop."""
        fixed, trailing = self._stops.nearest, self.trail.nearest
        return fixed if trailing is None else trailing if fixed is None else max(fixed, trailing)

    @property
    def high(self) -> Decimal | None:
        """Below it no key reaches a target or moves a stop."""
        keys = [levels.nearest for levels in (self._targets, self._begins, self._evens)]
        rising = [key.copy_negate() for key in keys if key is not None]
        if self.trail.top is not None:
            rising.append(self.trail.top)
        return min(rising, default=None)

    def stop_of(self, standing: Standing) -> StopAt | None:
        """Where a plan's nearest stop stands."""
        plan, trailing = standing.state.plan, self.trail.stop_of(standing)
        if standing.stop is not None and (trailing is None or standing.stop[0] >= trailing):
            return StopAt(plan.key(standing.stop[0]), standing.why)
        return None if trailing is None else StopAt(plan.key(trailing), "trailing_stop")

    # -- where plans wait -----------------------------------------------------------------------------------------

    def aim(self, standing: Standing, *, settle: bool = True) -> None:
        """Let a plan wait where its state says, and nowhere else."""
        state = standing.state
        plan, stopping = state.plan, state.tripped is not None
        idle = state.closed or stopping or standing.asleep
        stops = [] if idle else plan.fixed_stops(break_even=state.break_even)
        stop = max(stops, key=lambda one: one[0], default=None)
        if stop is not None:
            standing.why = stop[1]
        standing.stop = _wait(self._stops, standing, standing.stop, stop[0] if stop else None, settle)
        legs = [] if idle else state.waiting_legs
        target = plan.key(plan.price_at(state.legs[legs[0]].profit)).copy_negate() if legs else None
        standing.target = _wait(self._targets, standing, standing.target, target, settle)
        even = plan.rules.break_even
        at = None if idle or even is None or state.break_even else plan.key(plan.price_at(even.after)).copy_negate()
        standing.even = _wait(self._evens, standing, standing.even, at, settle)
        trailing = plan.rules.trailing
        begin = None
        if trailing is not None and state.best is None and not idle:
            begin = LARGEST  # reached by whatever price comes first
            if trailing.activation:
                begin = plan.key(plan.price_at(trailing.activation)).copy_negate()
        standing.begin = _wait(self._begins, standing, standing.begin, begin, settle)
        if idle and standing.member is not None:
            self.trail.leave(standing)
        if stopping and state.free:
            self.tripped[standing.n] = standing
        else:
            self.tripped.pop(standing.n, None)

    def follow(self, standing: Standing, marks: Marks | None) -> None:
        """Let a plan trail whose trailing has begun, from its own best price or a better mark since."""
        state = standing.state
        plan, trailing = state.plan, state.plan.rules.trailing
        if state.best is None or trailing is None or state.closed or state.tripped is not None:
            return
        best = plan.key(state.best)
        since = None if marks is None else marks.best_after(state.marks)
        if since is not None:
            best = max(best, plan.key(since))
        self.trail.join(standing, best, trailing.distance, plan.rules.ratchet)

    def settled(self) -> None:
        """Put in order what was aimed without."""
        for levels in (self._stops, self._targets, self._begins, self._evens):
            levels.settled()

    # -- prices ---------------------------------------------------------------------------------------------------

    def judge(self, price: Decimal, at_ns: int, now_ns: int, dues: Dues, moved: list[Moved]) -> None:
        """Take a price: first stops move, then they are looked at, then targets; a stop goes before a target."""
        key = price if self._side == "long" else price.copy_negate()
        self._move(key, price, at_ns, moved)
        for standing in {one.n: one for one in (*self._stops.reached(key), *self.trail.reached(key))}.values():
            dues[standing.n] = self._stop_due(standing, price, at_ns)
        for standing in self._targets.reached(key.copy_negate()):
            due = self._target_due(standing, key, price, at_ns, now_ns)
            earlier = dues.get(standing.n)
            if due is not None and (earlier is None or earlier.reason == "take_profit"):
                dues[standing.n] = due
        for standing in self.tripped.values():
            if standing.state.retry_ns <= now_ns:
                dues[standing.n] = stop_due(standing, standing.state.tripped or "stop_loss", at_ns, price=price)

    def _move(self, key: Decimal, price: Decimal, at_ns: int, moved: list[Moved]) -> None:
        if self.trail.lift(key):
            moved.append(BestPrice(self._venue, self._symbol, self._side, self.trail.marks, price, at_ns))
        for standing in self._begins.reached(key.copy_negate()):
            plan = standing.state.plan
            best = plan.key(max(key, plan.key(plan.entry_price)))
            standing.state = standing.state.trailing_from(best, self.trail.marks, at_ns)
            moved.append(TrailingBegan(plan.id, best, self.trail.marks, at_ns))
            self.follow(standing, None)
            self.aim(standing)
        for standing in self._evens.reached(key.copy_negate()):
            standing.state = standing.state.at_break_even(at_ns)
            plan, even = standing.state.plan, standing.state.plan.rules.break_even
            stop = plan.price_at(even.offset if even is not None else ZERO)
            moved.append(BreakEvenSet(plan.id, stop, at_ns))
            self.aim(standing)

    def _stop_due(self, standing: Standing, price: Decimal, at_ns: int) -> ExitDue:
        stop = self.stop_of(standing)
        assert stop is not None
        return stop_due(standing, stop.reason, at_ns, price=price, level=stop.price)

    def _target_due(self, standing: Standing, key: Decimal, price: Decimal, at_ns: int, now_ns: int) -> ExitDue | None:
        state = standing.state
        if state.retry_ns > now_ns:
            return None
        plan = state.plan
        levels = {n: plan.price_at(state.legs[n].profit) for n in state.waiting_legs}
        legs = tuple(n for n, level in levels.items() if plan.key(level) <= key)
        quantity = min(sum_of(state.legs[n].left for n in legs), state.free)
        if EXACT.multiply(quantity, price) < plan.min_notional:
            return None  # what is left of a leg, too little to be traded: it goes with the next one
        level = levels[legs[-1]]
        return ExitDue(
            plan=plan,
            number=state.claims + 1,
            reason="take_profit",
            quantity=quantity,
            legs=legs,
            level=level,
            price=price,
            at_ns=at_ns,
        )


class Market:
    """Both sides of one venue's symbol, and the bounds between which a quote does nothing."""

    __slots__ = (
        "ask_high", "ask_low", "asleep", "bid_high", "bid_low", "busy", "count", "longs", "newest_ns", "shorts",
        "symbol", "venue", "wake_ns",
    )  # fmt: skip

    def __init__(self, venue: str, symbol: str) -> None:
        self.venue: Final = venue
        self.symbol: Final = symbol
        self.longs = MarketSide(venue, symbol, "long")
        self.shorts = MarketSide(venue, symbol, "short")
        self.newest_ns = ALWAYS
        """Time of the newest price that is known of. No plan is awake that was opened later."""
        self.count = 0
        """Plans here."""
        self.asleep: list[Hour] = []
        """A heap of those that were opened later than that, by when."""
        self.wake_ns = NEVER
        """When the first of them was."""
        self.look()

    def side(self, plan: ExitPlan) -> MarketSide:
        """The side of a plan."""
        return self.longs if plan.is_long else self.shorts

    def look(self) -> None:
        """Find the bounds anew."""
        low, high = self.longs.low, self.longs.high
        self.bid_low = ZERO if low is None else max(low, ZERO)
        self.bid_high = LARGEST if high is None else high
        low, high = self.shorts.low, self.shorts.high
        self.ask_high = LARGEST if low is None else low.copy_negate()
        self.ask_low = ZERO if high is None else max(high.copy_negate(), ZERO)
        self.busy = bool(self.longs.tripped or self.shorts.tripped)

    def rest(self, standing: Standing, newest_ns: int) -> None:
        """Let a plan that was opened later than ``newest_ns`` sleep until then: earlier prices are not for it."""
        opened_ns = standing.state.plan.opened_ns
        standing.asleep = opened_ns > newest_ns
        if standing.asleep:
            heapq.heappush(self.asleep, (opened_ns, standing.n, standing))
            self.wake_ns = self.asleep[0][0]

    def wake(self, at_ns: int) -> None:
        """Let those wait for prices that had been opened by then."""
        while self.asleep and self.asleep[0][0] <= at_ns:
            standing = heapq.heappop(self.asleep)[2]
            standing.asleep = False
            side = self.side(standing.state.plan)
            side.follow(standing, None)
            side.aim(standing)
        self.wake_ns = self.asleep[0][0] if self.asleep else NEVER
        self.look()

    def judge(self, bid: Decimal, ask: Decimal, at_ns: int, now_ns: int, dues: Dues, moved: list[Moved]) -> None:
        """Take a bid and an ask."""
        self.longs.judge(bid, at_ns, now_ns, dues, moved)
        self.shorts.judge(ask, at_ns, now_ns, dues, moved)


def stop_due(
    standing: Standing, reason: Reason, at_ns: int, *, price: Decimal | None = None, level: Decimal | None = None
) -> ExitDue:
    """All that is free of a plan, to be closed; the first time, what is on its way is to be cancelled."""
    state = standing.state
    return ExitDue(
        plan=state.plan,
        number=state.claims + 1,
        reason=reason,
        quantity=state.free,
        level=level,
        price=price,
        at_ns=at_ns,
        cancel=() if state.tripped is not None else tuple(flight.claim.id for flight in state.flights),
    )


def _wait(levels: Levels, standing: Standing, entry: Entry | None, key: Decimal | None, settle: bool) -> Entry | None:
    if entry is not None:
        if entry[0] == key:
            return entry
        levels.drop(entry)
    if key is None:
        return None
    new = (key, standing.n, standing)
    levels.add(new, settle=settle)
    return new
