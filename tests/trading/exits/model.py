"""Exits written as their description reads: every plan looks at every price. Slow, and easy to check."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Any

from hypothesis import strategies as st

from tickwork.trading.exits import BreakEven, ExitDue, ExitPlan, ExitRules, Target, Trailing

SECOND = 10**9
SYMBOLS = ("BTC/USDT", "ETH/USDT")

Told = tuple[str, str, Fraction, tuple[int, ...], frozenset[str]]
"""Plan, reason, quantity, legs, claims to cancel."""


def told(due: ExitDue) -> Told:
    return (due.plan.id, due.reason, Fraction(due.quantity), due.legs, frozenset(due.cancel))


@dataclass
class Part:
    """A leg."""

    profit: Fraction
    quantity: Fraction
    filled: Fraction = Fraction(0)


@dataclass
class Way:
    """A claim on its way."""

    stop: bool
    quantity: Fraction
    legs: tuple[int, ...]
    filled: Fraction = Fraction(0)


@dataclass
class Modelled:
    """One plan."""

    plan: ExitPlan
    left: Fraction
    parts: list[Part]
    ways: dict[int, Way] = field(default_factory=dict)
    claims: int = 0
    tripped: str = ""
    retry_ns: int = 0
    best: Fraction | None = None
    even: bool = False

    @classmethod
    def of(cls, plan: ExitPlan) -> Modelled:
        whole, step = Fraction(plan.quantity), Fraction(plan.quantity_step)
        targets = plan.rules.take_profit
        parts = [Part(Fraction(one.profit), floor(Fraction(one.share) * whole / step) * step) for one in targets]
        if targets and sum(Fraction(one.share) for one in targets) == 1:
            parts[-1].quantity = whole - sum(part.quantity for part in parts[:-1])
        return cls(plan, whole, parts)

    @property
    def free(self) -> Fraction:
        return self.left - sum(way.quantity - way.filled for way in self.ways.values())

    def profit(self, price: Fraction) -> Fraction:
        entry = Fraction(self.plan.entry_price)
        return (price - entry) / entry * (1 if self.plan.is_long else -1)

    def look(self, price: Fraction) -> None:
        """What the price moves."""
        trailing, even = self.plan.rules.trailing, self.plan.rules.break_even
        if self.tripped:
            return
        if trailing is not None:
            if self.best is None and trailing.activation == 0:
                self.best = Fraction(self.plan.entry_price)
            if self.best is not None:
                self.best = max(self.best, price) if self.plan.is_long else min(self.best, price)
            elif self.profit(price) >= Fraction(trailing.activation):
                self.best = price
        if even is not None and self.profit(price) >= Fraction(even.after):
            self.even = True

    def stops(self) -> list[tuple[Fraction, str]]:
        """As profits, with reasons."""
        rules, found = self.plan.rules, []
        if rules.hard_stop is not None:
            found.append((-Fraction(rules.hard_stop), "hard_stop"))
        if rules.stop_loss is not None:
            found.append((-Fraction(rules.stop_loss), "stop_loss"))
        if rules.stop_price is not None:
            found.append((self.profit(Fraction(rules.stop_price)), "stop_loss"))
        if self.even and rules.break_even is not None:
            found.append((Fraction(rules.break_even.offset), "break_even"))
        if self.best is not None and rules.trailing is not None:
            distance = Fraction(rules.trailing.distance)
            at = self.best * (1 - distance if self.plan.is_long else 1 + distance)
            found.append((self.profit(at), "trailing_stop"))
        return found

    def judged(self, price: Fraction, now_ns: int) -> Told | None:
        if self.tripped:
            return self._rest(self.tripped) if self.free and self.retry_ns <= now_ns else None
        reached = [stop for stop in self.stops() if self.profit(price) <= stop[0]]
        if reached:
            return self._rest(max(reached, key=lambda one: one[0])[1])
        busy = {leg for way in self.ways.values() for leg in way.legs}
        legs = tuple(
            n
            for n, part in enumerate(self.parts)
            if n not in busy and part.filled < part.quantity and self.profit(price) >= part.profit
        )
        if not legs or not self.free or self.retry_ns > now_ns:
            return None
        quantity = sum((self.parts[n].quantity - self.parts[n].filled for n in legs), Fraction(0))
        return (self.plan.id, "take_profit", min(quantity, self.free), legs, frozenset())

    def timed(self, now_ns: int) -> Told | None:
        if self.tripped:
            return self._rest(self.tripped) if self.free and self.retry_ns <= now_ns else None
        deadline = self.plan.deadline_ns
        return self._rest("time_limit") if deadline is not None and deadline <= now_ns else None

    def _rest(self, reason: str) -> Told:
        cancel = frozenset() if self.tripped else frozenset(f"{self.plan.id}:{n}" for n in self.ways)
        return (self.plan.id, reason, self.free, (), cancel)

    def claim(self, due: ExitDue) -> None:
        self.claims += 1
        assert due.number == self.claims
        stop = due.reason != "take_profit"
        if stop and not self.tripped:
            self.tripped, self.retry_ns = due.reason, 0
        if due.quantity:
            self.ways[self.claims] = Way(stop, Fraction(due.quantity), due.legs)

    def fill(self, number: int, quantity: Fraction) -> None:
        way = self.ways[number]
        way.filled += quantity
        self.left -= quantity
        for leg in way.legs:
            part = self.parts[leg]
            some = min(part.quantity - part.filled, quantity)
            part.filled += some
            quantity -= some
        if way.filled == way.quantity:
            del self.ways[number]

    def release(self, number: int, retry_ns: int) -> None:
        way = self.ways.pop(number)
        if way.stop or not self.tripped:
            self.retry_ns = max(self.retry_ns, retry_ns)


@dataclass
class Model:
    """All plans."""

    plans: dict[str, Modelled] = field(default_factory=dict)

    def on_quote(self, venue: str, symbol: str, bid: Decimal, ask: Decimal, at_ns: int) -> list[Told]:
        found = []
        for one in self.plans.values():
            if (one.plan.venue, one.plan.symbol) == (venue, symbol) and at_ns >= one.plan.opened_ns and one.left:
                price = Fraction(bid if one.plan.is_long else ask)
                one.look(price)
                found.append(one.judged(price, at_ns))
        return sorted(due for due in found if due is not None)

    def on_time(self, now_ns: int) -> list[Told]:
        found = [one.timed(now_ns) for one in self.plans.values() if one.left]
        return sorted(due for due in found if due is not None)


def fractions(*texts: str) -> st.SearchStrategy[Decimal]:
    return st.sampled_from([Decimal(text) for text in texts])


@st.composite
def rules(draw: st.DrawFn, *, ratchet: str = "0.000001") -> ExitRules:
    """Of all kinds, within reach of prices from 80 to 120; the ratchet so fine that every move is recorded."""
    some: dict[str, Any] = {}
    if draw(st.booleans()):
        some["stop_loss"] = draw(fractions("0.05", "0.1", "0.15"))
    if draw(st.booleans()):
        some["hard_stop"] = draw(fractions("0.08", "0.18"))
    if draw(st.booleans()):
        profits = sorted(draw(st.sets(st.integers(1, 18), min_size=1, max_size=4)))
        share = draw(fractions("0.15", "0.2", "0.25")) if len(profits) > 1 else Decimal(1)
        shares = [share] * len(profits)
        if draw(st.booleans()):
            shares[-1] = 1 - share * (len(profits) - 1)
        some["take_profit"] = tuple(
            Target(Decimal(profit) / 100, share) for profit, share in zip(profits, shares, strict=True)
        )
    if draw(st.booleans()):
        some["trailing"] = Trailing(draw(fractions("0.03", "0.06")), draw(fractions("0", "0.03", "0.08")))
    if draw(st.booleans()):
        some["break_even"] = BreakEven(draw(fractions("0.04", "0.1")), draw(fractions("0", "0.01")))
    if draw(st.booleans()) or not some:
        some["max_hold"] = draw(st.sampled_from(["20s", "60s"]))
    return ExitRules(**some, ratchet=Decimal(ratchet))


def plan(
    id: str = "p",
    rules: ExitRules | None = None,
    *,
    side: Any = "long",
    quantity: str = "100",
    entry: str = "100",
    opened_ns: int = 0,
    symbol: str = "BTC/USDT",
    step: str = "1",
    min_notional: str = "0",
) -> ExitPlan:
    return ExitPlan(
        id=id,
        account="main",
        workflow="flow",
        owner="me",
        venue="paper",
        symbol=symbol,
        side=side,
        quantity=Decimal(quantity),
        entry_price=Decimal(entry),
        opened_ns=opened_ns,
        rules=rules or ExitRules(stop_loss=Decimal("0.1")),
        quantity_step=Decimal(step),
        min_notional=Decimal(min_notional),
    )
