"""The book of exits tells what a look at every plan would, whatever happens in between, a restart included."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.trading.exits.model import SECOND, SYMBOLS, Model, Modelled, plan, rules, told
from tests.trading.exits.recorded import Recorded
from tickwork.errors import InvalidInput
from tickwork.trading.exits import Claim, ExitBook, ExitDue


class World(RuleBasedStateMachine):
    """Random prices, claims, fills, releases, changes from outside and restarts."""

    @initialize()
    def begin(self) -> None:
        self.book, self.model, self.recorded = ExitBook("1h"), Model(), Recorded()
        self.now = 1_000 * SECOND
        self.dues: list[ExitDue] = []
        self.claims: list[Claim] = []
        self.bought: dict[str, Fraction] = {}
        self.sold: dict[str, Fraction] = {}
        self.taken: dict[str, Fraction] = {}

    @rule(
        rules=rules(),
        side=st.sampled_from(["long", "short"]),
        entry=st.integers(95, 105),
        quantity=st.integers(90, 110),
        symbol=st.sampled_from(SYMBOLS),
        ahead=st.sampled_from([0, 0, 0, 5]),
    )
    def open(self, rules: Any, side: str, entry: int, quantity: int, symbol: str, ahead: int) -> None:
        id = f"p{len(self.bought)}"
        opened = self.now + ahead * SECOND
        new = plan(id, rules, side=side, entry=str(entry), quantity=str(quantity), symbol=symbol, opened_ns=opened)
        self.recorded.put(self.book.open(new))
        self.model.plans[id] = Modelled.of(new)
        self.bought[id], self.sold[id], self.taken[id] = Fraction(quantity), Fraction(0), Fraction(0)

    @rule(
        symbol=st.sampled_from(SYMBOLS), half=st.integers(160, 240), spread=st.integers(0, 2), later=st.integers(0, 9)
    )
    def quote(self, symbol: str, half: int, spread: int, later: int) -> None:
        self.now += later * SECOND + 1
        bid, ask = Decimal(half) / 2, Decimal(half + spread) / 2
        judged = self.book.on_quote("paper", symbol, bid, ask, self.now, self.now)
        assert judged.unjudged is None
        self.recorded.moved(judged)
        assert [told(due) for due in judged.due] == self.model.on_quote("paper", symbol, bid, ask, self.now)
        self.dues = list(judged.due)

    @rule(later=st.integers(1, 30))
    def time(self, later: int) -> None:
        self.now += later * SECOND
        judged = self.book.on_time(self.now)
        assert [told(due) for due in judged.due] == self.model.on_time(self.now)
        self.dues = list(judged.due)

    @precondition(lambda self: self.dues)
    @rule(which=st.integers(0, 9))
    def claim(self, which: int) -> None:
        due = self.dues.pop(which % len(self.dues))
        claim = self.book.claim(due)
        self.recorded.put(self.recorded.state(due.plan.id).claimed(claim))
        self.model.plans[due.plan.id].claim(due)
        self.dues = [one for one in self.dues if one.plan.id != due.plan.id]
        if claim.quantity:
            self.claims.append(claim)
        with pytest.raises(InvalidInput):  # nothing is due twice
            self.book.claim(due)

    @precondition(lambda self: self.claims)
    @rule(which=st.integers(0, 9), tenths=st.integers(1, 10))
    def fill(self, which: int, tenths: int) -> None:
        self.dues = []
        claim = self.claims[which % len(self.claims)]
        flight = self.recorded.state(claim.plan_id).flight(claim)
        assert flight is not None
        quantity = max(flight.open * tenths // 10, min(flight.open, Decimal(1)))
        assert self.book.filled(claim, quantity) == ()
        after = self.recorded.state(claim.plan_id).filled(claim, quantity)
        self.recorded.put(after)
        self.model.plans[claim.plan_id].fill(claim.number, Fraction(quantity))
        self.sold[claim.plan_id] += Fraction(quantity)
        if after.flight(claim) is None:
            self.claims.remove(claim)

    @precondition(lambda self: self.claims)
    @rule(which=st.integers(0, 9), wait=st.sampled_from([0, 0, 7]))
    def release(self, which: int, wait: int) -> None:
        self.dues = []
        claim = self.claims.pop(which % len(self.claims))
        retry_ns = self.now + wait * SECOND if wait else 0
        self.book.released(claim, retry_ns)
        self.recorded.put(self.recorded.state(claim.plan_id).released(claim, retry_ns))
        self.model.plans[claim.plan_id].release(claim.number, retry_ns)

    @precondition(lambda self: any(one.free > 1 for one in self.model.plans.values()))
    @rule(which=st.integers(0, 9), tenths=st.integers(1, 9))
    def sell_by_hand(self, which: int, tenths: int) -> None:
        self.dues = []
        some = [one for one in self.model.plans.values() if one.free > 1]
        one = some[which % len(some)]
        less = one.free * tenths // 10
        one.left -= less
        now = Decimal(int(one.left))
        assert self.book.resize(one.plan.id, now) == ()
        self.recorded.put(self.recorded.state(one.plan.id).resized(now))
        self.taken[one.plan.id] += less

    @rule()
    def restart(self) -> None:
        self.dues = []
        self.book = self.recorded.book(self.now)

    @invariant()
    def never_more_than_there_is(self) -> None:
        for id in getattr(self, "bought", {}):
            state = self.recorded.state(id)
            assert self.sold[id] + self.taken[id] + Fraction(state.on_its_way) <= self.bought[id]
            live = self.book.get(id)
            assert (live is None) == state.closed
            if live is not None:
                assert live == state

    @invariant()
    def stops_are_where_they_are(self) -> None:
        for id, one in getattr(self, "model", Model()).plans.items():
            if one.left and not one.tripped and one.plan.opened_ns <= self.now:
                stop = self.book.stop_of(id)
                stops = one.stops()
                if stop is not None:
                    assert one.profit(Fraction(stop.price)) == max(stops)[0]


World.TestCase.settings = settings(max_examples=100, stateful_step_count=40)
TestWorld = World.TestCase
