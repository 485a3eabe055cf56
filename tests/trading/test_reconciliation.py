"""Reconciliation: every planted difference is found, as what it is and once; what was decided about stays decided."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trading.support import SPOT, SWAP, D, fill
from tickwork.errors import InvalidInput
from tickwork.trading.adoptions import Adoption, Adoptions, Policy, Taken, Terms, adoption_of, without_trace
from tickwork.trading.ledger import Ledger
from tickwork.trading.orders import ZERO, Fill, Order
from tickwork.trading.reconciliation import (
    SEVERITIES,
    WITHOUT_TAPE,
    Books,
    Finding,
    Report,
    Tolerances,
    VenueSnapshot,
    agreed,
    breach,
    effect_of,
    expected_balances,
    reconcile,
    shortages,
)
from tickwork.trading.reservations import Reservation
from tickwork.trading.venue import Balance

CASH = {"USDT": D(100_000)}
EXACT_LOOK = Tolerances(amount=ZERO)
MARKS = {SPOT: D(100), SWAP: D(100), "BNB/USDT": D(300)}

amounts = st.integers(1, 1000).map(lambda n: Decimal(n).scaleb(-2))
prices = st.integers(5_000, 15_000).map(lambda n: Decimal(n).scaleb(-2))
made = st.lists(
    st.tuples(
        st.sampled_from(["buy", "sell"]),
        amounts,
        prices,
        st.sampled_from([SPOT, SWAP]),
        st.sampled_from(["USDT", "BTC", "BNB"]),
        st.integers(0, 100).map(lambda n: Decimal(n).scaleb(-4)),
    ),
    max_size=6,
)


def fills_of(told: list[Any]) -> list[Fill]:
    return [
        fill(number, side, quantity, price, fee, symbol=symbol, fee_currency=currency)
        for number, (side, quantity, price, symbol, currency, fee) in enumerate(told, 1)
    ]


class Account:
    """Our side and theirs, of the same fills."""

    def __init__(self, fills: list[Fill], *, margined: bool = False) -> None:
        self.margined = margined
        self.ledger = Ledger(CASH)
        self.theirs_truth = Ledger(CASH)
        self.fills = fills
        for one in fills:
            self.ledger.apply(one)
            self.theirs_truth.apply(one)
        self.tape = list(fills)
        self.more: dict[str, Decimal] = {}
        self.orders: list[Order] = []
        self.working: dict[str, Reservation] = {}
        self.doubt: dict[str, Reservation] = {}
        self.traces: dict[str, Order | None] = {}
        self.ours = {one.client_order_id for one in fills}
        self.adoptions = Adoptions("main", "test", self.ledger)

    def look(self, tolerances: Tolerances = EXACT_LOOK, marks: dict[str, Decimal] = MARKS) -> Report:
        expected = expected_balances(self.theirs_truth, margined=self.margined)
        for asset, amount in self.more.items():
            expected[asset] = expected.get(asset, ZERO) + amount
        books = Books(
            account="main",
            venue="test",
            currency="USDT",
            ledger=Ledger.of(self.ledger.state()),
            working=self.working,
            booked={},
            in_doubt=self.doubt,
            is_ours=lambda key: key in self.ours,
            fills={(one.symbol, one.fill_id): one for one in self.tape},
            left=self.adoptions.left,
            settled=self.adoptions.settled,
            margined=self.margined,
        )
        theirs = VenueSnapshot(
            balances={asset: Balance(total=total, held=ZERO) for asset, total in expected.items()},
            orders=self.orders,
            fills=self.fills,
            traces=self.traces,
        )
        return reconcile(books, theirs, tolerances, marks.get)

    def decide(self, found: Finding, action: Literal["adopt", "leave"]) -> None:
        terms = Terms(currency="USDT", mark=MARKS.get, traded=(SPOT, SWAP), margined=self.margined)
        adoption = adoption_of(found, action, terms, id=f"a {found.id}", time=1)
        assert adoption is not None
        assert self.adoptions.apply(adoption)
        assert not self.adoptions.apply(adoption)
        if adoption.order is not None:
            self.ours.add(adoption.order.client_order_id)
        self.ledger.check()

    def ends(self, action: Literal["adopt", "leave"]) -> None:
        """Nothing is left to say, but of what is not there: that stays until it is taken out of the books."""
        for found in self.look().findings:
            assert (found.kind, action) == ("shortage", "leave")
            assert Policy(balances="leave").action(found, absence_is_proof=True) == "ask"
            self.decide(found, "adopt")
        assert self.look().clean


def order(key: str, **fields: Any) -> Order:
    return Order(
        **{
            "venue": "test", "client_order_id": key, "venue_order_id": f"v{key}", "account": "main", "symbol": SPOT,
            "side": "buy", "type": "limit", "quantity": D(2), "limit_price": D(50), **fields,
        }
    )  # fmt: skip


def room(**fields: Any) -> Reservation:
    return Reservation(
        **{
            "symbol": SPOT, "side": "buy", "total": D(2), "reduce_only": False, "state": "acknowledged",
            "price": D(50), **fields,
        }
    )  # fmt: skip


def only(report: Report) -> Finding:
    (found,) = report.findings
    assert not report.unseen
    return found


# ---------------------------------------------------------------------------------------------------------------- laws


@given(made, st.booleans())
def test_equal_books_are_clean(told: list[Any], margined: bool) -> None:
    assert Account(fills_of(told), margined=margined).look().clean


@given(made.filter(bool), st.data(), st.booleans())
def test_a_fill_that_was_lost_is_one_finding_and_booking_it_ends_it(told: list[Any], data: Any, margined: bool) -> None:
    account = Account(fills_of(told), margined=margined)
    # the profit of margined contracts depends on the order of their fills
    lost = account.fills[-1] if margined else data.draw(st.sampled_from(account.fills))
    account.ledger = Ledger(CASH)
    for one in account.fills:
        if one is not lost:
            account.ledger.apply(one)
    account.tape = [one for one in account.tape if one is not lost]
    found = only(account.look())
    assert (found.kind, found.key, found.fill) == ("missing_fill", lost.fill_id, lost)
    assert found.value == lost.notional
    account.ledger.apply(lost)
    assert account.look().clean


@given(
    made,
    st.sampled_from(["USDT", "BTC", "BNB", SWAP]),
    amounts,
    st.booleans(),
    st.sampled_from(["adopt", "leave"]),
    st.booleans(),
)
def test_an_altered_balance_is_one_finding_and_a_word_ends_it(
    told: list[Any], asset: str, amount: Decimal, less: bool, action: Literal["adopt", "leave"], margined: bool
) -> None:
    account = Account(fills_of(told), margined=margined)
    account.more = {asset: -amount if less else amount}
    found = only(account.look())
    assert (found.kind, found.symbol) == ("position" if asset == SWAP else "balance", asset)
    assert found.difference == account.more[asset]
    price = D(1) if asset == "USDT" else MARKS[SWAP if asset == SWAP else f"{asset}/USDT"]
    assert found.value == amount * price
    account.decide(found, action)
    account.ends(action)
    account.more = {asset: account.more[asset] * 2}
    assert only(account.look()).difference == account.more[asset] / 2


@given(made, amounts, prices, st.sampled_from([SPOT, SWAP]), st.sampled_from(["adopt", "leave"]), st.booleans())
def test_a_fill_of_somebody_else_is_one_finding_and_a_word_ends_it(
    told: list[Any], quantity: Decimal, price: Decimal, symbol: str, action: Literal["adopt", "leave"], spot_fee: bool
) -> None:
    account = Account(fills_of(told))
    foreign = fill(
        99, "buy", quantity, price, "0.01", symbol=symbol, client_order_id="theirs",
        fee_currency="BTC" if spot_fee else "USDT",
    )  # fmt: skip
    account.fills = [*account.fills, foreign]
    account.theirs_truth.apply(foreign)
    found = only(account.look())
    assert (found.kind, found.key) == ("foreign_fill", "99")
    account.decide(found, action)
    account.ends(action)
    if action == "adopt":
        assert account.ledger.quantity(SWAP) == account.theirs_truth.quantity(SWAP)


@given(made.filter(bool), st.data(), amounts, st.sampled_from(["adopt", "leave"]))
def test_a_fee_that_differs_is_one_finding_and_a_word_ends_it(
    told: list[Any], data: Any, more: Decimal, action: Literal["adopt", "leave"]
) -> None:
    account = Account(fills_of(told))
    number = data.draw(st.integers(0, len(account.fills) - 1))
    before = account.fills[number]
    after = replace(before, fee=before.fee + more)
    account.fills = [*account.fills[:number], after, *account.fills[number + 1 :]]
    account.more = {before.fee_currency: -more}
    found = only(account.look())
    assert (found.kind, found.key, found.moves) == ("altered_fill", before.fill_id, {before.fee_currency: -more})
    account.decide(found, action)
    account.ends(action)


@given(made, st.sampled_from(["adopt", "leave"]))
def test_an_order_of_somebody_else(told: list[Any], action: Literal["adopt", "leave"]) -> None:
    account = Account(fills_of(told))
    account.ours.add("mine")
    account.orders = [order("mine"), order("theirs")]
    found = only(account.look())
    assert (found.kind, found.key, found.value) == ("orphan_order", "theirs", D(100))
    account.decide(found, action)
    assert account.look().clean


def test_an_order_that_the_venue_does_not_show() -> None:
    account = Account([])
    account.working = {"listed": room(), "ended": room(), "gone": room(), "unseen": room()}
    account.orders = [order("listed")]
    account.ours = set(account.working)
    account.traces = {"ended": order("ended").ended("cancel", ""), "gone": None}
    found = only(account.look())
    assert (found.kind, found.key, found.value) == ("missing_order", "gone", D(100))
    ended = without_trace("gone", account.working["gone"], account="main", venue="test", booked=D("0.5"))
    assert (ended.status, ended.filled) == ("expired", D("0.5"))
    assert "no trace" in ended.reason


def test_an_order_in_doubt_is_told_and_halts_nothing() -> None:
    account = Account([])
    account.doubt = {"k": room(state="unknown", total=D(1_000))}
    found = only(account.look())
    assert (found.kind, found.severity) == ("in_doubt", "moderate")
    assert breach([found], EXACT_LOOK) is None


def test_a_part_that_could_not_be_looked_at_is_no_empty_part() -> None:
    account = Account(fills_of([("buy", D(1), D(100), SPOT, "USDT", D(0))]))
    account.working = {"k": room()}
    books = Books(
        account="main", venue="test", currency="USDT", ledger=account.ledger, working=account.working, booked={},
        in_doubt={}, is_ours=lambda _: True,
    )  # fmt: skip
    blind = VenueSnapshot(balances=None, orders=None, fills=None, unseen={"balances": "down"})
    found = reconcile(books, blind, EXACT_LOOK, MARKS.get)
    assert (found.findings, found.unseen) == ((), {"balances": "down"})
    assert not found.clean
    # an answer that is empty, and was given, counts
    empty = VenueSnapshot(balances={}, orders=[], fills=[], traces={"k": None})
    kinds = sorted(one.kind for one in reconcile(books, empty, EXACT_LOOK, MARKS.get).findings)
    assert kinds == ["balance", "balance", "missing_order"]
    # balances without the fills that explain them say nothing
    half = VenueSnapshot(balances={}, orders=[], fills=None, traces={}, unseen={"fills": "down"})
    assert not reconcile(books, half, EXACT_LOOK, MARKS.get).findings


# --------------------------------------------------------------------------------------------------------- small things


@pytest.mark.parametrize(
    ("value", "severity"),
    [("0.99", "minor"), ("1", "moderate"), ("9.99", "moderate"), ("10", "major"), ("99.99", "major"),
     ("100", "critical"), ("-100", "critical"), (None, "major")],
)  # fmt: skip
def test_severities(value: str | None, severity: str) -> None:
    assert Tolerances().severity(None if value is None else D(value)) == severity


@pytest.mark.parametrize("mark", [None, D(0), D("NaN"), D(-1), D("Infinity")])
def test_what_nobody_can_value_is_at_least_major(mark: Decimal | None) -> None:
    account = Account([])
    account.more = {"BTC": D("0.000001")}
    marks = {} if mark is None else {SPOT: mark}
    found = only(account.look(marks=marks))
    assert (found.value, found.severity) == (None, "major")
    terms = Terms(currency="USDT", mark=marks.get, traded=(SPOT,))
    assert adoption_of(found, "adopt", terms, id="a", time=0) is None


def test_rounding_is_no_difference() -> None:
    account = Account([])
    account.more = {"USDT": D("0.00000001"), "BNB": D("0.001")}
    assert account.look(Tolerances(amounts={"BNB": D("0.001")})).clean
    account.more = {"USDT": D("0.00000002")}
    assert not account.look(Tolerances()).clean


def test_two_looks_must_agree_difference_and_all() -> None:
    account = Account([])
    account.more = {"USDT": D(5)}
    first = account.look()
    assert agreed(first, account.look()) == first
    account.more = {"USDT": D(6)}
    assert agreed(first, account.look()).findings == ()
    assert agreed(Report(), first).findings == ()
    assert agreed(first, Report(unseen={"orders": "down"})).unseen == {"orders": "down"}


def test_the_worst_comes_first_and_raises() -> None:
    account = Account([])
    account.more = {"USDT": D(5), "BTC": D("0.5"), "BNB": D(1)}
    found = account.look().findings
    assert [one.severity for one in found] == ["critical", "major", "moderate"]
    critical, alert = breach(found, EXACT_LOOK), breach(found[1:], EXACT_LOOK)
    assert critical is not None
    assert alert is not None
    assert (critical.level, critical.rule, alert.level) == ("halt", "reconciliation", "alert")
    assert breach(found[2:], EXACT_LOOK) is None
    assert breach([], EXACT_LOOK) is None
    assert list(SEVERITIES) == ["minor", "moderate", "major", "critical"]


@given(amounts, amounts)
def test_what_is_left_is_a_shortage_where_the_books_hold_it(ours: Decimal, left: Decimal) -> None:
    assert shortages({"BTC": ours}, {"BTC": left}) == {}
    assert shortages({"BTC": ours}, {"BTC": -left}) == {"BTC": -min(ours, left)}
    assert shortages({SWAP: -ours}, {SWAP: left}) == {SWAP: min(ours, left)}
    assert shortages({SWAP: -ours}, {SWAP: -left}) == {}
    assert shortages({}, {"BTC": -left}) == {}


def test_a_fill_that_was_sent_without_a_tape_is_ours() -> None:
    account = Account([])
    account.fills = [fill(1, "buy", "1", "100", client_order_id=WITHOUT_TAPE + 24 * "0")]
    account.theirs_truth.apply(account.fills[0])
    assert only(account.look()).kind == "missing_fill"


def test_policies() -> None:
    account = Account([])
    account.orders = [order("theirs"), order("")]
    account.more = {"USDT": D("0.5")}
    balance, *orders = sorted(account.look().findings, key=lambda one: one.kind)
    named = next(one for one in orders if one.key == "theirs")
    nameless = next(one for one in orders if one is not named)
    asks = Policy()
    assert {asks.action(one, absence_is_proof=True) for one in (balance, named, nameless)} == {"ask"}
    wants = Policy(orphan_orders="cancel", balances="leave", adopt_below=D(1))
    assert wants.action(balance, absence_is_proof=True) == "adopt"
    assert wants.action(named, absence_is_proof=True) == "cancel"
    assert wants.action(nameless, absence_is_proof=True) == "ask"  # it cannot be cancelled by its client id
    assert Policy(orphan_orders="leave").action(nameless, absence_is_proof=True) == "leave"
    gone = Account([])
    gone.working, gone.traces = {"k": room()}, {"k": None}
    missing = only(gone.look())
    assert asks.action(missing, absence_is_proof=True) == "end"
    assert asks.action(missing, absence_is_proof=False) == "ask"
    for wrong in ({"orphan_orders": "sell"}, {"balances": "cancel"}, {"adopt_below": D(-1)}):
        with pytest.raises(InvalidInput):
            Policy(**wrong)
    for bad in ({"minor_below": D(20)}, {"amount": D(-1)}, {"amounts": {"BTC": D(-1)}}):
        with pytest.raises(InvalidInput):
            Tolerances(**bad)


def test_a_position_without_a_price_is_not_taken_over() -> None:
    adoptions = Adoptions("main", "test", ledger := Ledger(CASH))
    with pytest.raises(InvalidInput, match="price"):
        adoptions.apply(Adoption(id="a", taken=(Taken(asset="BTC", amount=D(1), symbol=SPOT),)))
    assert ledger.state() == Ledger(CASH).state()
    assert adoptions.apply(Adoption(id="a", taken=(Taken(asset="BTC", amount=D(1), symbol=SPOT, price=D(100)),)))
    assert (ledger.cash("USDT"), ledger.capital("USDT")) == (CASH["USDT"], CASH["USDT"] + 100)
    assert (ledger.quantity(SPOT), ledger.cost(SPOT)) == (D(1), D(100))


def test_the_effect_of_a_fill() -> None:
    bought = fill(1, "buy", "2", "100", "0.01", fee_currency="BTC")
    assert effect_of(bought) == {"BTC": D("1.99"), "USDT": D(-200)}
    short = fill(2, "sell", "2", "100", "0.1", symbol=SWAP)
    assert effect_of(short) == {SWAP: D(-2), "USDT": D("199.9")}
    assert effect_of(short, margined=True) == {SWAP: D(-2), "USDT": D("-0.1")}
