"""Laws of attribution: the holders' books are the account's, taken apart; episodes; splitting without a rest."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trading.support import SPOT, START, SWAP, D, fill
from tickwork.errors import InvalidInput, TickworkError
from tickwork.trading.attribution import (
    THE_ACCOUNT,
    Attribution,
    AttributionState,
    Episode,
    Holder,
    apportion,
    pro_rata,
)
from tickwork.trading.ledger import Ledger
from tickwork.trading.orders import Fill
from tickwork.values import EXACT

CAPITAL = {"USDT": D(10_000)}
STEP = D("0.0001")
ANN, BOB = Holder("ann", "rules"), Holder("bob", "")
HOLDERS = [ANN, Holder("ann", "model"), BOB]

Row = tuple[Fill, Holder | None]
"""A fill and its holder; ``None`` for one that closes for the whole account."""

rows = st.lists(
    st.tuples(
        st.sampled_from(["buy", "sell"]),
        st.integers(1, 50_000).map(lambda units: units * STEP),
        st.decimals(min_value=D("0.00000001"), max_value=100_000, places=8),
        st.decimals(min_value=D("-0.01"), max_value=5, places=8),
        st.sampled_from([SPOT, SWAP, "ETH/BTC"]),
        st.sampled_from(["USDT", "BTC", "BNB"]),
        st.sampled_from([*HOLDERS, None]),
    ),
    max_size=25,
).map(
    lambda drawn: [
        (_fill(number, side, quantity, price, fee, symbol=symbol, fee_currency=currency), holder)
        for number, (side, quantity, price, fee, symbol, currency, holder) in enumerate(drawn, start=1)
    ]
)


def _fill(number: int, side: str, quantity: object, price: object, fee: object = 0, **changes: object) -> Fill:
    made = fill(number, side, quantity, price, fee, **changes)  # type: ignore[arg-type]
    return replace(made, fill_id=str(number))


def _folded(drawn: list[Row], **options: object) -> tuple[Attribution, Ledger]:
    books, ledger = Attribution(CAPITAL, **options), Ledger(CAPITAL)  # type: ignore[arg-type]
    for one, holder in drawn:
        if holder is None:
            books.apply_pro_rata(one, step=STEP)
        else:
            books.apply(one, *holder)
        ledger.apply(one)
    return books, ledger


# --------------------------------------------------------------------------------------------------- adding up


@given(rows, st.decimals(min_value=1, max_value=100_000, places=4))
def test_law_the_holders_are_the_account(drawn: list[Row], mark: Decimal) -> None:
    """Quantity, cash, fees, and profit at any mark: to the last digit, whoever the fills are cut over."""
    books, ledger = _folded(drawn)
    books.check()
    each = [books.books(*holder) for holder in books.holders()]
    assert books.account.state() == ledger.state()
    for symbol in (SPOT, SWAP, "ETH/BTC"):
        held = [book.lines[symbol].quantity for book in each if symbol in book.lines]
        assert sum(held, D(0)) == ledger.quantity(symbol)
    marks = {SPOT: mark, SWAP: EXACT.add(mark, D(1)), "ETH/BTC": mark}
    for currency in ("USDT", "BTC", "BNB"):
        paid_in = ledger.capital(currency)
        assert EXACT.add(_total(book.cash(currency) for book in each), paid_in) == ledger.cash(currency)
        assert _total(book.fees(currency) for book in each) == ledger.fees(currency)
        made = EXACT.add(ledger.realised(currency), ledger.unrealised(marks, currency))
        assert _total(book.profit(marks, currency) for book in each) == EXACT.subtract(made, ledger.fees(currency))


def _total(amounts: object) -> Decimal:
    found = D(0)
    for amount in amounts:  # type: ignore[attr-defined]
        found = EXACT.add(found, amount)
    return found


def test_realised_alone_does_not_add_up() -> None:
    """Bought at 100 and at 200; the first sells at 160. It made 60; the account, whose average is 150, made 10."""
    books, ledger = _folded([
        (_fill(1, "buy", 1, 100), ANN),
        (_fill(2, "buy", 1, 200), BOB),
        (_fill(3, "sell", 1, 160), ANN),
    ])  # fmt: skip
    assert (books.books().realised("USDT"), ledger.realised("USDT")) == (D(60), D(10))
    for mark in (D(1), D(160), D(1_000)):
        assert books.books().profit({SPOT: mark}, "USDT") == ledger.equity({SPOT: mark}, "USDT") - 10_000


@given(rows)
def test_law_a_single_holder_has_the_ledgers_own_figures(drawn: list[Row]) -> None:
    books, ledger = _folded([(one, ANN) for one, _ in drawn])
    whole = books.books("ann")
    for currency in ("USDT", "BTC"):
        assert whole.realised(currency) == ledger.realised(currency)
    for symbol, line in whole.lines.items():
        assert (line.quantity, line.cost) == (ledger.quantity(symbol), ledger.cost(symbol))


@given(rows)
def test_law_again_changes_nothing(drawn: list[Row]) -> None:
    books, _ = _folded(drawn)
    before = books.state()
    for one, _holder in drawn:
        assert books.apply(one, "someone else") == ()
        assert books.apply_pro_rata(one) == ()
    assert books.state() == before


@given(rows, rows)
def test_law_a_state_read_back_goes_on_as_if_nothing_had_been(first: list[Row], then: list[Row]) -> None:
    then = [(replace(one, fill_id=f"later-{one.fill_id}"), holder) for one, holder in then]
    books, _ = _folded(first)
    read = Attribution.of(msgspec.json.decode(msgspec.json.encode(books.state()), type=AttributionState))
    assert read.state() == books.state()
    for one, holder in then:
        for each in (books, read):
            each.apply(one, *(holder or BOB))
    assert read.state() == books.state()


def test_a_state_is_a_copy() -> None:
    books, _ = _folded([(_fill(1, "buy", 1, 100), ANN)])
    state = books.state()
    restored = Attribution.of(state)
    state.holdings[0].line.fees["USDT"] = D(5)
    books.check()
    restored.check()


def test_a_state_that_does_not_add_up_is_refused() -> None:
    books, _ = _folded([(_fill(1, "buy", 1, 100, 1), ANN)])
    lost = books.state()
    lost.holdings.clear()
    with pytest.raises(TickworkError, match="the holders' quantity"):
        Attribution.of(lost)
    wrong = books.state()
    wrong.holdings[0].line.fees["USDT"] += D("0.01")
    with pytest.raises(TickworkError, match="ann's books do not balance"):
        Attribution.of(wrong)
    moved = books.state()
    moved.holdings[0].line.fees["USDT"] += D("0.01")
    moved.holdings[0].line.cash["USDT"] -= D("0.01")
    with pytest.raises(TickworkError, match="the holders' cash"):
        Attribution.of(moved)


def test_a_fill_that_cannot_be_changes_nothing() -> None:
    books = Attribution(CAPITAL)
    for wrong in (_fill(1, "buy", 0, 100), _fill(1, "buy", 1, "NaN")):
        with pytest.raises(InvalidInput):
            books.apply(wrong, "ann")
        with pytest.raises(InvalidInput):
            books.apply_pro_rata(wrong)
    assert books.holders() == []
    assert books.apply(_fill(1, "buy", 1, 100), "ann")


def test_books_of_a_workflow_and_of_an_agent() -> None:
    books, _ = _folded([
        (_fill(1, "buy", 1, 100, "0.1"), Holder("sniper", "rules")),
        (_fill(2, "buy", 2, 100, "0.2"), Holder("sniper", "model")),
        (_fill(3, "buy", 4, 100, "0.4"), Holder("ladder", "model")),
    ])  # fmt: skip
    assert books.books("sniper").lines[SPOT].quantity == 3
    assert books.books(agent="model").lines[SPOT].quantity == 6
    assert books.books("sniper", "model").fees("USDT") == D("0.2")
    assert books.books().cash("USDT") == D("-700.7")
    assert books.books("nobody").lines == {}
    with pytest.raises(InvalidInput, match=r"marks\[BTC/USDT\]"):
        books.books().unrealised({}, "USDT")


def test_holders_against_each_other_need_no_mark() -> None:
    """Long one at 100 and short one at 110: ten are made, whatever the price."""
    books, _ = _folded([(_fill(1, "buy", 1, 100), ANN), (_fill(2, "sell", 1, 110), BOB)])
    assert books.books().profit({}, "USDT") == 10


def test_many_digits_are_not_rounded() -> None:
    """The notional has more than the 28 digits that Python's own arithmetic keeps."""
    amount, price = D("123456789012.123456789012345678"), D("0.000000001234567891")
    books, _ = _folded([(_fill(1, "sell", amount, price), ANN), (_fill(2, "buy", amount, 2 * price), ANN)])
    whole = books.books()
    assert whole.cash("USDT") == whole.realised("USDT") == EXACT.multiply(amount, price).copy_negate()


# ------------------------------------------------------------------------------------------------- splitting

units = st.integers(0, 10_000).map(lambda number: number * STEP)


@given(st.integers(-1_000_000, 1_000_000), st.lists(units, min_size=1, max_size=8).filter(any))
def test_law_apportioned_parts_are_the_whole(steps: int, weights: list[Decimal]) -> None:
    whole = steps * STEP
    parts = apportion(whole, weights, STEP)
    assert sum(parts) == whole
    for part, weight in zip(parts, weights, strict=True):
        assert part % STEP == 0
        assert abs(part * sum(weights) - whole * weight) < STEP * sum(weights)  # within a step of its exact share
        assert weight or not part
        if abs(whole) <= sum(weights):
            assert abs(part) <= weight


def test_what_is_left_goes_to_whom_the_cut_cost_most() -> None:
    assert apportion(D(10), [D(1), D(1), D(1)], D(1)) == [D(4), D(3), D(3)]
    assert apportion(D(7), [D(5), D(3), D(1)], D(1)) == [D(4), D(2), D(1)]  # shares of 3.89, 2.33 and 0.78


@pytest.mark.parametrize(("whole", "weights"), [("0.5", ["1"]), ("1", []), ("1", ["0", "0"]), ("1", ["2", "-1"])])
def test_what_cannot_be_cut_is_refused(whole: str, weights: list[str]) -> None:
    with pytest.raises(InvalidInput):
        apportion(D(whole), [D(weight) for weight in weights], D(1))


signed = st.integers(-10_000, 10_000).map(lambda number: number * STEP)


@given(st.lists(signed, min_size=1, max_size=8).filter(lambda held: sum(held) != 0), st.data())
def test_law_pro_rata_brings_everyone_closer_to_flat(held: list[Decimal], data: st.DataObject) -> None:
    holdings = {Holder(f"w{number}"): quantity for number, quantity in enumerate(held)}
    net = sum(held, D(0))
    size = data.draw(st.integers(1, int(abs(net) / STEP))) * STEP
    whole = -size if net > 0 else size
    parts = pro_rata(whole, holdings, STEP)
    assert sum(parts.values()) == whole
    for holder, quantity in holdings.items():
        part = parts.get(holder, D(0))
        left = quantity + part
        assert part % STEP == 0
        assert part * quantity <= 0  # towards flat
        assert left * quantity >= 0  # not past it
        if whole == -net:
            assert left == 0


@pytest.mark.parametrize("whole", ["1", "-6", "0", "-0.5"])
def test_pro_rata_takes_only_what_reduces_on_the_step(whole: str) -> None:
    with pytest.raises(InvalidInput):
        pro_rata(D(whole), {ANN: D(3), BOB: D(2)}, D(1))


def test_pro_rata_takes_only_holdings_on_the_step() -> None:
    with pytest.raises(InvalidInput, match=r"holdings\[ann\]"):
        pro_rata(D(-1), {ANN: D("1.5")}, D(1))


def test_a_flatten_is_cut_over_who_holds() -> None:
    books, _ = _folded([
        (_fill(1, "buy", 2, 100), ANN),
        (_fill(2, "buy", 1, 100), BOB),
        (_fill(3, "sell", 3, 110, "0.33"), None),
    ])  # fmt: skip
    assert books.held(SPOT) == {}
    assert books.books("ann").profit({}, "USDT") == D("19.78")
    assert books.books("bob").profit({}, "USDT") == D("9.89")


def test_a_flatten_of_the_net_makes_long_and_short_flat() -> None:
    """Three long against one short: the account sells two, and the third crosses between them at the fill's price."""
    books, ledger = _folded([
        (_fill(1, "buy", 3, 100, symbol=SWAP), ANN),
        (_fill(2, "sell", 1, 120, symbol=SWAP), BOB),
        (_fill(3, "sell", 2, 110, symbol=SWAP), None),
    ])  # fmt: skip
    assert ledger.quantity(SWAP) == 0
    assert books.held(SWAP) == {}
    assert (books.books("ann").realised("USDT"), books.books("bob").realised("USDT")) == (D(30), D(10))


def test_half_a_flatten_leaves_half_of_everyone() -> None:
    books, _ = _folded(
        [(_fill(1, "buy", 2, 100), ANN), (_fill(2, "buy", 1, 100), BOB), (_fill(3, "sell", "1.5", 1), None)]
    )
    assert books.held(SPOT) == {ANN: D(1), BOB: D("0.5")}


def test_an_exit_may_close_for_the_agents_of_one_workflow() -> None:
    books, _ = _folded([
        (_fill(1, "buy", 1, 100), HOLDERS[0]),
        (_fill(2, "buy", 1, 100), HOLDERS[1]),
        (_fill(3, "buy", 1, 100), BOB),
    ])  # fmt: skip
    books.apply_pro_rata(_fill(4, "sell", 2, 100), workflow="ann")
    assert books.held(SPOT) == {BOB: D(1)}


def test_what_no_one_holds_is_the_accounts_own() -> None:
    books, ledger = _folded([(_fill(1, "buy", 1, 100), ANN), (_fill(2, "sell", 3, 110), None)])
    assert books.held(SPOT) == {THE_ACCOUNT: D(-2)}
    assert ledger.quantity(SPOT) == -2
    books.check()


# -------------------------------------------------------------------------------------------------- episodes


def _episodes(fills: list[Fill], **options: object) -> list[Episode]:
    """The closed ones."""
    books = Attribution(CAPITAL, **options)  # type: ignore[arg-type]
    return [one for each in fills for one in books.apply(each, *ANN) if one.closed_at is not None]


def test_a_long_from_flat_to_flat() -> None:
    """Profit of a long: (exit - entry) * quantity."""
    (one,) = _episodes([
        _fill(1, "buy", 1, 100, "0.1"),
        _fill(2, "buy", 1, 110, "0.11"),
        _fill(3, "sell", "0.5", 120, "0.06"),
        _fill(4, "sell", "1.5", 120, "0.18"),
    ])  # fmt: skip
    assert (one.side, one.entry_price, one.exit_price, one.entered, one.exited) == ("long", D(105), D(120), D(2), D(2))
    assert (one.realised, one.profit, one.fees) == ((D(120) - D(105)) * 2, D("29.55"), {"USDT": D("0.45")})
    assert (one.opened_at, one.closed_at) == (START + 1, START + 4)
    assert one.position_id == "main test BTC/USDT 1"
    assert (one.workflow, one.agent) == ANN
    assert one.gain == pytest.approx(29.55 / 210)


def test_a_short_from_flat_to_flat() -> None:
    """Profit of a short: (entry - exit) * quantity."""
    (one,) = _episodes([_fill(1, "sell", 2, 100, symbol=SWAP), _fill(2, "buy", 2, 90, symbol=SWAP)])
    assert (one.side, one.realised, one.entry_price, one.exit_price) == ("short", D(20), D(100), D(90))


def test_a_turn_closes_one_and_opens_the_next() -> None:
    books = Attribution(CAPITAL)
    books.apply(_fill(1, "buy", 1, 100), *ANN)
    closed, opened = books.apply(_fill(2, "sell", 3, 110, "0.3"), *ANN)
    assert (closed.position_id, closed.realised, closed.closed_at) == ("main test BTC/USDT 1", D(10), START + 2)
    assert (opened.position_id, opened.side, opened.entered) == ("main test BTC/USDT 2", "short", D(2))
    assert (closed.fees, opened.fees) == ({"USDT": D("0.1")}, {"USDT": D("0.2")})
    assert books.episodes() == [opened]
    trades = books.books("ann").trades["USDT"]
    assert (trades.count, trades.profit, trades.win_rate) == (1, D("9.9"), 1.0)


@given(rows)
def test_law_episodes_are_the_books_taken_apart(drawn: list[Row]) -> None:
    """Closed and open, the episodes of a holder have all its realised profit and fees; ids are used once.

    Fees in coins apart: those are in the cost of an episode and beside that of the ledger.
    """
    books = Attribution(CAPITAL)
    closed: list[Episode] = []
    for one, holder in drawn:
        paid = replace(one, fee_currency="BNB")
        touched = books.apply(paid, *holder) if holder else books.apply_pro_rata(paid)
        closed += [each for each in touched if each.closed_at is not None]
    every = closed + books.episodes()
    assert len({each.position_id for each in every}) == len(every)
    for holder in books.holders():
        mine, book = [each for each in every if (each.workflow, each.agent) == holder], books.books(*holder)
        for currency, pairs in (("USDT", (SPOT, SWAP)), ("BTC", ("ETH/BTC",))):
            assert _total(each.realised for each in mine if each.symbol in pairs) == book.realised(currency)
        assert _total(each.fees.get("BNB", D(0)) for each in mine) == book.fees("BNB")
    for episode in closed:
        sign = 1 if episode.side == "long" else -1
        assert episode.realised == EXACT.multiply(
            D(sign), EXACT.subtract(episode.exit_notional, episode.entry_notional)
        )
        assert episode.entered == episode.exited
        assert episode.closed_at is not None
        assert episode.opened_at <= episode.closed_at


def test_a_fee_in_the_coins_bought_is_in_the_cost_of_what_can_be_sold() -> None:
    """A thousandth of the coin is fee: 0.999 can be sold, and then the position is closed and the cash says so too."""
    fills = [_fill(1, "buy", 1, 100, "0.001", fee_currency="BTC"), _fill(2, "sell", "0.999", 110, "0.10989")]
    (one,) = _episodes(fills)
    assert one.profit == D("9.78011")
    assert one.fees == {"BTC": D("0.001"), "USDT": D("0.10989")}
    books, ledger = _folded([(each, ANN) for each in fills])
    assert ledger.cash("USDT") == D("10009.78011")
    assert ledger.holding("BTC") == 0
    assert books.held(SPOT) == {}
    books.check()


def test_a_fee_in_coins_that_are_not_there_is_a_cost_at_the_fills_price() -> None:
    (short,) = _episodes([
        _fill(1, "sell", 1, 100, "0.001", symbol=SWAP, fee_currency="BTC"),
        _fill(2, "buy", 1, 90, symbol=SWAP),
    ])  # fmt: skip
    assert (short.costs, short.profit) == (D("0.1"), D("9.9"))
    (sold,) = _episodes([_fill(1, "buy", 1, 100), _fill(2, "sell", 1, 100, "0.001", fee_currency="BTC")])
    assert sold.profit == D("-0.1")


def test_a_fee_in_a_third_currency_needs_its_rate() -> None:
    (one,) = _episodes([_fill(1, "buy", 1, 100, "0.01", fee_currency="BNB"), _fill(2, "sell", 1, 110)])
    assert one.profit == 10
    assert one.net({"BNB/USDT": D(600)}) == 4
    with pytest.raises(InvalidInput, match=r"rates\[BNB/USDT\]"):
        one.net({})


def test_what_is_too_small_to_sell_counts_as_flat() -> None:
    fills = [_fill(1, "buy", 1, 100, "0.00105", fee_currency="BTC"), _fill(2, "sell", "0.9989", 110)]
    assert _episodes(fills) == []
    (one,) = _episodes(fills, dust={SPOT: STEP})
    assert one.closed_at is not None
    # the rest waits, with its cost, and is sold with the next position
    books = Attribution(CAPITAL, dust={SPOT: STEP})
    for each in fills:
        books.apply(each, *ANN)
    assert books.held(SPOT) == {}
    books.apply(_fill(3, "buy", 1, 100, "0.00095", fee_currency="BTC"), *ANN)
    assert books.held(SPOT) == {ANN: D("0.9991")}
    (closed,) = books.apply(_fill(4, "sell", "0.9991", 110), *ANN)
    assert closed.position_id == "main test BTC/USDT 3"
    both = books.books("ann").trades["USDT"]
    assert (both.count, both.profit) == (2, books.account.cash("USDT") - 10_000)
    books.check()


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_law_fees_in_coins_are_counted_once(sizes: list[int], chance: random.Random) -> None:
    """Buy with fees in coins, sell all that can be sold: the episodes' profit is what cash has more."""
    books, number, profit = Attribution(CAPITAL), 0, D(0)
    for size in sizes:
        number += 1
        books.apply(
            _fill(number, "buy", size * STEP, chance.randint(1, 500), size * STEP / 1_000, fee_currency="BTC"), *ANN
        )
        if chance.random() < 0.6 or number == 2 * len(sizes):
            number += 1
            left = books.held(SPOT)[ANN]
            for one in books.apply(_fill(number, "sell", left, chance.randint(1, 500)), *ANN):
                profit = EXACT.add(profit, one.profit)
    if left := books.held(SPOT).get(ANN, D(0)):
        for one in books.apply(_fill(number + 1, "sell", left, 7), *ANN):
            profit = EXACT.add(profit, one.profit)
    assert profit == EXACT.subtract(books.account.cash("USDT"), D(10_000))
