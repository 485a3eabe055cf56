"""Laws of the ledger: it balances to the last digit, counts each fill once, and does not care for their order."""

from __future__ import annotations

import random
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trading.support import SPOT, SWAP, D, fill
from tickwork.errors import InvalidInput, TickworkError
from tickwork.trading.ledger import Ledger, LedgerState, fold
from tickwork.trading.orders import Fill
from tickwork.values import EXACT

CAPITAL = {"USDT": D(10_000)}

fills_of_one_book = st.lists(
    st.tuples(
        st.sampled_from(["buy", "sell"]),
        st.decimals(min_value=D("0.0001"), max_value=50, places=8),
        st.decimals(min_value=D("0.00000001"), max_value=100_000, places=8),
        st.decimals(min_value=D("-0.01"), max_value=5, places=8),
        st.sampled_from([SPOT, SWAP, "ETH/USDT", "ETH/BTC"]),
        st.sampled_from(["USDT", "BTC", "BNB"]),
    ),
    max_size=25,
).map(
    lambda rows: [
        fill(number, side, quantity, price, fee, symbol=symbol, fee_currency=currency)
        for number, (side, quantity, price, fee, symbol, currency) in enumerate(rows, start=1)
    ]
)


@given(fills_of_one_book)
def test_law_it_balances_after_every_fill(fills: list[Fill]) -> None:
    ledger = Ledger(CAPITAL)
    for one in fills:
        ledger.apply(one)
        ledger.check()


@given(fills_of_one_book)
def test_law_cash_and_quantity_are_the_sums_of_the_fills(fills: list[Fill]) -> None:
    ledger = fold(fills, CAPITAL)
    cash = D(10_000)
    for one in fills:
        if one.symbol != "ETH/BTC":
            cash = EXACT.subtract(cash, EXACT.multiply(one.signed_quantity, one.price))
        if one.fee_currency == "USDT":
            cash = EXACT.subtract(cash, one.fee)
    assert ledger.cash("USDT") == cash
    assert ledger.quantity(SPOT) == sum(one.signed_quantity for one in fills if one.symbol == SPOT)


@given(fills_of_one_book, st.randoms(use_true_random=False))
def test_law_fold_ignores_order_and_repetition(fills: list[Fill], chance: random.Random) -> None:
    shuffled = fills + [chance.choice(fills) for _ in fills]
    chance.shuffle(shuffled)
    assert fold(shuffled, CAPITAL).state() == fold(fills, CAPITAL).state()


@given(fills_of_one_book)
def test_law_applying_again_changes_nothing(fills: list[Fill]) -> None:
    ledger = fold(fills, CAPITAL)
    before = ledger.state()
    assert not any(ledger.apply(one) for one in fills)
    assert ledger.state() == before


@given(fills_of_one_book)
def test_law_state_survives_json(fills: list[Fill]) -> None:
    ledger = fold(fills, CAPITAL)
    read = Ledger.of(msgspec.json.decode(msgspec.json.encode(ledger.state()), type=LedgerState))
    assert read.state() == ledger.state()


@given(fills_of_one_book, st.decimals(min_value=1, max_value=100_000, places=4))
def test_law_closing_everything_realises_everything(fills: list[Fill], price: Decimal) -> None:
    """However it was rounded on the way: flat, the profit is what cash shows more than was paid in, less fees."""
    fills = [one for one in fills if one.symbol in (SPOT, SWAP)]
    ledger = fold(fills, CAPITAL)
    for number, (name, position) in enumerate(ledger.positions().items()):
        side = "sell" if position.quantity > 0 else "buy"
        ledger.apply(fill(1_000 + number, side, abs(position.quantity), price, symbol=name))  # type: ignore[arg-type]
    assert ledger.positions() == {}
    assert ledger.equity({}, "USDT") == ledger.cash("USDT")
    profit = EXACT.subtract(ledger.cash("USDT"), ledger.capital("USDT"))
    assert ledger.realised("USDT") == EXACT.add(profit, ledger.fees("USDT"))


@given(fills_of_one_book, st.decimals(min_value=1, max_value=100_000, places=4))
def test_law_equity_is_capital_and_profits_less_fees(fills: list[Fill], mark: Decimal) -> None:
    ledger = fold(fills, CAPITAL)
    marks = dict.fromkeys((SPOT, SWAP, "ETH/USDT"), mark)
    made = EXACT.add(ledger.realised("USDT"), ledger.unrealised(marks, "USDT"))
    expected = EXACT.add(EXACT.subtract(D(10_000), ledger.fees("USDT")), made)
    assert ledger.equity(marks, "USDT") == expected


def test_average_cost_of_a_long() -> None:
    ledger = Ledger(CAPITAL)
    ledger.apply(fill(1, "buy", 1, 100, "0.1"))
    ledger.apply(fill(2, "buy", 1, 110, "0.11"))
    ledger.apply(fill(3, "sell", 1, 120, "0.12"))
    assert ledger.realised("USDT") == 15
    assert ledger.positions()[SPOT].average_price == 105
    assert ledger.unrealised({SPOT: D(107)}, "USDT") == 2
    assert ledger.equity({SPOT: D(107)}, "USDT") == D("10016.67")
    assert ledger.cash("USDT") == D("9909.67")


def test_average_cost_of_a_short_and_a_turn() -> None:
    ledger = Ledger(CAPITAL)
    ledger.apply(fill(1, "sell", 2, 100))
    assert (ledger.quantity(SPOT), ledger.cost(SPOT)) == (D(-2), D(-200))
    assert ledger.unrealised({SPOT: D(90)}, "USDT") == 20
    ledger.apply(fill(2, "buy", 1, 90))
    assert ledger.realised("USDT") == 10
    ledger.apply(fill(3, "buy", 3, 80))  # closes one, opens two
    assert ledger.realised("USDT") == 30
    assert (ledger.quantity(SPOT), ledger.cost(SPOT)) == (D(2), D(160))
    ledger.check()


def test_a_third_is_not_lost() -> None:
    ledger = Ledger(CAPITAL)
    ledger.apply(fill(1, "buy", 3, "33.34"))
    for number in (2, 3, 4):
        ledger.apply(fill(number, "sell", 1, "33.34"))
        ledger.check()
    assert (ledger.realised("USDT"), ledger.cost(SPOT), ledger.cash("USDT")) == (D(0), D(0), D(10_000))


def test_a_fee_in_the_asset_bought_lowers_what_the_venue_holds() -> None:
    ledger = Ledger(CAPITAL)
    ledger.apply(fill(1, "buy", 1, 100, "0.001", fee_currency="BTC"))
    assert ledger.quantity(SPOT) == 1
    assert ledger.holding("BTC") == D("0.999")


@pytest.mark.parametrize("mark", [None, D("NaN"), D(0), D(-1)])
def test_equity_needs_a_mark_for_every_position(mark: Decimal | None) -> None:
    ledger = fold([fill(1, "buy", 1, 100)], CAPITAL)
    with pytest.raises(InvalidInput, match="marks"):
        ledger.equity({} if mark is None else {SPOT: mark}, "USDT")


def test_a_fill_that_cannot_be_changes_nothing() -> None:
    ledger = Ledger(CAPITAL)
    for wrong in (fill(1, "buy", 0, 100), fill(1, "buy", 1, "NaN"), fill(1, "buy", 1, 100, "Infinity")):
        with pytest.raises(InvalidInput):
            ledger.apply(wrong)
    assert ledger.apply(fill(1, "buy", 1, 100))


def test_a_state_that_does_not_balance_is_refused() -> None:
    state = fold([fill(1, "buy", 1, 100)], CAPITAL).state()
    state.cash["USDT"] += D("0.00000001")
    with pytest.raises(TickworkError, match="does not balance"):
        Ledger.of(state)


def test_seen_numbers_are_kept_as_ranges() -> None:
    numbers = list(range(1, 200))
    random.Random(7).shuffle(numbers)
    ledger = Ledger(CAPITAL)
    for number in numbers:
        assert ledger.apply(fill(number, "buy", 1, 1))
    assert ledger.state().seen == {"test BTC/USDT": [[1, 199]]}


@given(st.lists(st.integers(0, 40)))
def test_law_a_number_is_new_once(numbers: list[int]) -> None:
    ledger, seen = Ledger(), set[int]()
    for number in numbers:
        assert ledger.apply(fill(number, "buy", 1, 1)) == (number not in seen)
        seen.add(number)
    ranges = ledger.state().seen.get("test BTC/USDT", [])
    assert {number for first, last in ranges for number in range(first, last + 1)} == seen


def test_numbers_that_are_names_are_known_too() -> None:
    ledger = Ledger()
    names = ["20220202135509981::2d7be4ff", "007", "7", "0", "00"]
    for name in names:
        assert ledger.apply(fill(1, "buy", 1, 1, fill_id=name))
        assert ledger.knows(fill(1, "buy", 1, 1, fill_id=name))
        assert not ledger.knows(fill(1, "buy", 1, 1, fill_id=name, symbol=SWAP))
    again = Ledger.of(ledger.state())
    assert again.state() == ledger.state()
    assert not any(again.apply(fill(1, "buy", 1, 1, fill_id=name)) for name in names)


def test_no_digit_is_lost_however_many_there_are() -> None:
    """Unary minus and ``abs`` of a ``Decimal`` round to the context's 28 digits; the books must not."""
    quantity, price = D("123456789012.123456789012345678"), D("0.000000001234567891")
    ledger = Ledger()
    for number, side in enumerate(("buy", "sell"), 1):
        ledger.apply(fill(number, side, quantity, price))  # type: ignore[arg-type]
    assert ledger.quantity(SPOT) == 0
    assert ledger.cash("USDT") == 0
    ledger.check()
