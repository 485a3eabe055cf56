"""Plans are never for more than is held, and a fill of their own makes them smaller once."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.trading.exits.model import plan
from tickwork.trading.exits import Claim, ExitBook, PlanState, too_much

D = Decimal
sizes = st.lists(st.integers(1, 9), min_size=1, max_size=5)


@given(sizes, st.integers(-5, 50))
def test_the_first_is_kept_longest(quantities: list[int], held: int) -> None:
    states = [PlanState.begin(plan(f"p{n}", quantity=str(q), opened_ns=n)) for n, q in enumerate(quantities)]
    less = too_much(states, D(held))
    left = [state.remaining - less.get(state.plan.id, D(0)) for state in states]
    assert sum(left) == min(sum(quantities), max(held, 0))
    assert all(quantity > 0 for quantity in less.values())
    cut = [n for n, state in enumerate(states) if left[n] < state.remaining]
    assert cut == list(range(len(states) - len(cut), len(states)))
    assert all(left[n] == 0 for n in cut[1:])
    after = [state.shrunk(less[state.plan.id]) if state.plan.id in less else state for state in states]
    assert too_much(after, D(held)) == {}


@given(sizes, sizes, st.integers(-30, 30))
def test_a_side_knows_only_its_own(longs: list[int], shorts: list[int], held: int) -> None:
    states = [PlanState.begin(plan(f"l{n}", quantity=str(q), opened_ns=n)) for n, q in enumerate(longs)]
    states += [PlanState.begin(plan(f"s{n}", quantity=str(q), side="short")) for n, q in enumerate(shorts)]
    less = too_much(states, D(held))
    left = {side: D(0) for side in ("long", "short")}
    for state in states:
        left[state.plan.side] += state.remaining - less.get(state.plan.id, D(0))
    assert left == {"long": min(sum(longs), max(held, 0)), "short": min(sum(shorts), max(-held, 0))}


@given(sizes, st.integers(0, 4), st.integers(1, 10))
def test_a_late_fill_counts_once_and_of_its_own_plan(quantities: list[int], which: int, tenths: int) -> None:
    """It is booked, what is held falls, the plans give way; then it is told."""
    book = ExitBook("1h")
    for n, quantity in enumerate(quantities):
        book.open(plan(f"p{n}", quantity=str(quantity), opened_ns=n))
    (due,) = [
        one
        for one in book.on_quote("paper", "BTC/USDT", D(90), D(90), 9, 9).due
        if one.plan.id == f"p{which % len(quantities)}"
    ]
    claim = book.claim(due)
    book.released(claim)
    filled = claim.quantity * tenths / 10
    wanted = {f"p{n}": D(quantity) for n, quantity in enumerate(quantities)}
    wanted[claim.plan_id] -= filled
    for id, less in too_much(list(book.states()), sum(wanted.values(), D(0))).items():
        book.shrink(id, less)
    book.filled(claim, filled)
    assert {one.plan.id: one.remaining for one in book.states()} == {id: q for id, q in wanted.items() if q}


class Position(RuleBasedStateMachine):
    """A position and its plans: sold by exits, whose fills are booked first and told later, and by others."""

    @initialize(quantities=st.lists(st.integers(1, 9), min_size=1, max_size=3), alone=st.booleans())
    def begin(self, quantities: list[int], alone: bool) -> None:
        self.book, self.held, self.n = ExitBook("1h"), D(0), 0
        self.claims: list[Claim] = []
        self.ended: list[tuple[Claim, Decimal]] = []
        """Claims that were given back, and what their orders may yet execute."""
        self.untold: list[tuple[Claim, Decimal]] = []
        self.foreign, self.alone = False, alone
        self.own = dict[str, Decimal]()
        """What is left of what was bought with each plan, by own fills alone."""
        for quantity in quantities:
            self.book.open(plan(f"p{self.n}", quantity=str(quantity), opened_ns=self.n))
            self.own[f"p{self.n}"] = D(quantity)
            self.held += quantity
            self.n += 1

    def fit(self) -> None:
        # it is not known whose a late fill is, where it may be of several
        self.foreign = self.foreign or sum(one.late > 0 for one in self.book.states()) > 1
        for id, less in too_much(list(self.book.states()), self.held).items():
            self.book.shrink(id, less)

    def filled(self, claim: Claim, quantity: Decimal) -> None:
        self.held -= quantity
        self.own[claim.plan_id] -= quantity
        # a late fill beside a claim of all that was left has sold what was another's
        self.foreign = self.foreign or self.own[claim.plan_id] < 0
        self.untold.append((claim, quantity))
        self.fit()

    def open_of(self, claim: Claim) -> Decimal:
        state = self.book.get(claim.plan_id)
        flight = None if state is None else state.flight(claim)
        return D(0) if flight is None else flight.open - sum(q for c, q in self.untold if c == claim)

    @rule(price=st.sampled_from(["90", "100"]))
    def stop(self, price: str) -> None:
        self.n += 1
        for due in self.book.on_quote("paper", "BTC/USDT", D(price), D(price), self.n, self.n).due:
            claim = self.book.claim(due)
            if claim.quantity:
                self.claims.append(claim)

    @precondition(lambda self: self.claims)
    @rule(which=st.integers(0, 9), tenths=st.integers(1, 10))
    def own_fill(self, which: int, tenths: int) -> None:
        claim = self.claims[which % len(self.claims)]
        quantity = min(self.open_of(claim) * tenths / 10, self.held)
        if quantity > 0:
            self.filled(claim, quantity)

    @precondition(lambda self: self.ended)
    @rule(which=st.integers(0, 9), tenths=st.integers(1, 10))
    def late_fill(self, which: int, tenths: int) -> None:
        claim, most = self.ended.pop(which % len(self.ended))
        quantity = min(most * tenths / 10, self.held)
        if quantity > 0:
            self.filled(claim, quantity)

    @precondition(lambda self: self.untold)
    @rule()
    def told(self) -> None:
        claim, quantity = self.untold.pop(0)
        self.book.filled(claim, quantity)
        self.fit()

    @precondition(lambda self: self.claims)
    @rule(which=st.integers(0, 9))
    def release(self, which: int) -> None:
        claim = self.claims.pop(which % len(self.claims))
        for one, quantity in [pair for pair in self.untold if pair[0] == claim]:
            self.untold.remove((one, quantity))
            self.book.filled(one, quantity)
        if self.open_of(claim) > 0:
            self.ended.append((claim, self.open_of(claim)))
        self.book.released(claim)
        self.fit()

    @precondition(lambda self: self.held > 0 and not self.alone)
    @rule(tenths=st.integers(1, 10))
    def sold_by_others(self, tenths: int) -> None:
        self.foreign = True
        self.held -= self.held * tenths / 10
        self.fit()

    @precondition(lambda self: not self.alone)
    @rule(quantity=st.integers(1, 9))
    def bought_without_a_plan(self, quantity: int) -> None:
        self.held += quantity
        self.fit()

    @invariant()
    def never_for_more_than_is_held(self) -> None:
        states = list(self.book.states()) if hasattr(self, "book") else []
        if states:
            assert sum(state.free for state in states) <= self.held
        if states and not self.untold and not self.claims:
            assert sum(state.remaining for state in states) <= self.held

    @invariant()
    def own_fills_count_once(self) -> None:
        if hasattr(self, "book") and not self.foreign and not self.untold:
            left = {state.plan.id: state.remaining for state in self.book.states()}
            assert left == {id: quantity for id, quantity in self.own.items() if quantity}


Position.TestCase.settings = settings(max_examples=150, stateful_step_count=30)
TestPosition = Position.TestCase
