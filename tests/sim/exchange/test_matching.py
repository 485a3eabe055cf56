"""Matching: price-time priority, precision, fees, and money that is conserved whatever happens."""

from __future__ import annotations

import contextlib
import itertools
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tickwork.errors import InvalidInput
from tickwork.sim.exchange import Account, Exchange, Market, Order, Rejection, Ticket
from tickwork.values import EXACT

D = Decimal


def exchange_with(**terms: Any) -> tuple[Exchange, Market, Account]:
    clock = iter(range(10**18, 2 * 10**18))
    exchange = Exchange(lambda: next(clock), **{name: terms.pop(name) for name in ("fees_in",) if name in terms})
    given_terms = {"price": D(100), "price_tick": D("0.5"), "quantity_step": D("0.01"), "min_quantity": D("0.01")}
    market = exchange.add_market(Market(base="A", quote="U", **{**given_terms, **terms})).market
    return exchange, market, exchange.add_account("one", "k1", "s", {"U": 10_000, "A": 100})


def submit(
    exchange: Exchange, account: Account, market: Market, side: Any, quantity: Any, price: Any = None, **more: Any
) -> Order:
    kind = more.pop("type", "MARKET" if price is None else "LIMIT")
    return exchange.submit(
        account,
        Ticket(
            market=market,
            side=side,
            type=kind,
            quantity=None if quantity is None else D(quantity),
            price=None if price is None else D(price),
            spend=more.pop("spend", None),
            client_id=more.pop("client_id", None),
        ),
        **more,
    )


class Laws(RuleBasedStateMachine):
    """Whatever two accounts and the price do: money is conserved, no balance is below zero, what is locked is what the
    open orders lock, an order's trades are what it executed, and the book is not crossed.
    """

    @initialize(
        fees_in=st.sampled_from(["quote", "received"]),
        refills=st.booleans(),
        taker=st.sampled_from(["0", "0.0005", "0.001", "0.0333"]),
        levels=st.integers(0, 4),
    )
    def begin(self, fees_in: Any, refills: bool, taker: str, levels: int) -> None:
        self.exchange, self.market, one = exchange_with(
            fees_in=fees_in,
            refills=refills,
            taker_fee=D(taker),
            maker_fee=D("0.0002"),
            levels=levels,
            level_quantity=D("1.5"),
            min_notional=D(1),
        )
        two = self.exchange.add_account("two", "k2", "s", {"U": 5_000, "A": 20})
        self.accounts = [one, two]

    @rule(
        who=st.integers(0, 1),
        side=st.sampled_from(["BUY", "SELL"]),
        kind=st.sampled_from(["LIMIT", "LIMIT", "IOC", "FOK", "LIMIT_MAKER", "MARKET"]),
        hundredths=st.integers(1, 900),
        halves=st.integers(190, 210),
        share=st.sampled_from([None, D("0.5"), D("0.1"), D(0)]),
    )
    def trade(self, who: int, side: Any, kind: str, hundredths: int, halves: int, share: Decimal | None) -> None:
        price = None if kind == "MARKET" else D(halves) / 2
        with contextlib.suppress(Rejection):
            submit(
                self.exchange,
                self.accounts[who],
                self.market,
                side,
                D(hundredths) / 100,
                price,
                type=kind,
                share=share,
            )

    @rule(who=st.integers(0, 1), tenths=st.integers(1, 9_000))
    def spend(self, who: int, tenths: int) -> None:
        try:
            order = submit(self.exchange, self.accounts[who], self.market, "BUY", None, spend=D(tenths) / 10)
        except Rejection:
            return
        assert order.quoted <= D(tenths) / 10

    @rule(halves=st.integers(180, 220))
    def move(self, halves: int) -> None:
        self.exchange.move("A/U", D(halves) / 2)

    @rule(which=st.integers(0, 50))
    def cancel(self, which: int) -> None:
        opened = [order for order in self.exchange.orders if order.is_open]
        if opened:
            self.exchange.cancel(opened[which % len(opened)])

    @rule(which=st.integers(0, 50), hundredths=st.integers(1, 100))
    def fill(self, which: int, hundredths: int) -> None:
        opened = [order for order in self.exchange.orders if order.is_open]
        if opened:
            order = opened[which % len(opened)]
            self.exchange.fill(order, min(order.remaining, D(hundredths) / 100))

    @invariant()
    def money_is_conserved(self) -> None:
        for asset in ("A", "U"):
            assert self.exchange.total(asset) == self.exchange.deposited[asset]

    @invariant()
    def balances_are_what_orders_say(self) -> None:
        for account in self.accounts:
            opened = self.exchange.open_orders(account)
            for asset, side in (("A", "SELL"), ("U", "BUY")):
                balance = account.of(asset)
                assert balance.free >= 0
                assert balance.locked == sum((order.locked for order in opened if order.side == side), D(0))

    @invariant()
    def orders_are_what_trades_say(self) -> None:
        for order in self.exchange.orders:
            assert order.executed == sum((trade.quantity for trade in order.trades), D(0)) <= order.quantity
            assert order.quoted == sum((trade.price * trade.quantity for trade in order.trades), D(0))
            assert order.is_open or order.locked == 0
            assert (order.status == "FILLED") <= (order.executed == order.quantity)
            if order.type != "MARKET":
                for trade in order.trades:
                    assert trade.price <= order.price if order.side == "BUY" else trade.price >= order.price
            assert order.type != "FOK" or order.executed in (0, order.quantity)
            assert order.type != "LIMIT_MAKER" or all(trade.maker for trade in order.trades)

    @invariant()
    def the_book_is_not_crossed(self) -> None:
        book = self.exchange.book("A/U")
        bid, ask = book.best("BUY"), book.best("SELL")
        assert bid is None or ask is None or bid[0] < ask[0]


Laws.TestCase.settings = settings(
    max_examples=200, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestMoneyAndBooks = Laws.TestCase


def test_the_best_price_first_then_the_earliest() -> None:
    exchange, market, one = exchange_with(levels=0)
    two = exchange.add_account("two", "k2", "s", {"A": 100})
    late_dear = submit(exchange, two, market, "SELL", "1", "101")
    first = submit(exchange, two, market, "SELL", "1", "100.5")
    second = submit(exchange, two, market, "SELL", "1", "100.5")
    order = submit(exchange, one, market, "BUY", "1.5", "200")
    assert [(trade.price, trade.quantity) for trade in order.trades] == [(D("100.5"), D(1)), (D("100.5"), D("0.5"))]
    assert (first.status, second.status, late_dear.status) == ("FILLED", "PARTIALLY_FILLED", "NEW")
    assert [trade.number for trade in order.trades] == [first.trades[0].number, second.trades[0].number]


def test_an_account_trades_before_the_market_maker_at_one_price() -> None:
    exchange, market, one = exchange_with()
    two = exchange.add_account("two", "k2", "s", {"A": 100})
    resting = submit(exchange, two, market, "SELL", "1", "100.5")
    submit(exchange, one, market, "BUY", "1", "100.5")
    assert resting.status == "FILLED"


def test_moving_the_price_fills_what_is_crossed_at_its_own_price_as_far_as_the_depth_goes() -> None:
    exchange, market, one = exchange_with(level_quantity=D(2), levels=2)
    near, far = submit(exchange, one, market, "BUY", "3", "98"), submit(exchange, one, market, "BUY", "3", "97.5")
    assert exchange.move("A/U", "98.5") == []
    trades = exchange.move("A/U", "97")
    assert [(trade.order, trade.price, trade.quantity, trade.maker) for trade in trades] == [
        (near, D(98), D(2), True),
        (near, D(98), D(1), True),
    ]
    assert (near.status, far.status) == ("FILLED", "NEW")
    exchange.move("A/U", "97")
    assert (far.status, far.executed) == ("PARTIALLY_FILLED", D(2))
    assert exchange.book("A/U").best("SELL") == [D(98), D(2)], "the maker quotes outside of what rests"


@pytest.mark.parametrize(
    ("kind", "status", "executed"),
    [("LIMIT", "PARTIALLY_FILLED", 3), ("IOC", "EXPIRED", 3), ("FOK", "EXPIRED", 0), ("MARKET", "EXPIRED", 4)],
)
def test_an_order_larger_than_the_book(kind: Any, status: str, executed: int) -> None:
    exchange, market, one = exchange_with(level_quantity=D(1), levels=4)
    order = submit(exchange, one, market, "BUY", "5", None if kind == "MARKET" else "101.5", type=kind)
    assert (order.status, order.executed, order.is_open) == (status, D(executed), kind == "LIMIT")


def test_depth_that_does_not_refill_stays_consumed_until_the_price_moves() -> None:
    exchange, market, one = exchange_with(level_quantity=D(1), levels=2, refills=False)
    assert submit(exchange, one, market, "BUY", "1.5").executed == D("1.5")
    assert submit(exchange, one, market, "BUY", "1.5").executed == D("0.5")
    with pytest.raises(Rejection, match="no_liquidity"):
        submit(exchange, one, market, "BUY", "1.5")
    exchange.move("A/U", "100")
    assert submit(exchange, one, market, "BUY", "1.5").executed == D("1.5")


def test_an_order_that_may_only_make() -> None:
    exchange, market, one = exchange_with()
    order = submit(exchange, one, market, "BUY", "1", "101", type="LIMIT_MAKER")
    assert (order.status, order.executed) == ("EXPIRED", D(0))
    exchange.post_only = "reject"
    with pytest.raises(Rejection, match="would_take"):
        submit(exchange, one, market, "BUY", "1", "101", type="LIMIT_MAKER")
    assert submit(exchange, one, market, "BUY", "1", "100", type="LIMIT_MAKER").status == "NEW"


@given(st.decimals("0.01", "20", places=2), st.decimals("0", "0.05", places=4))
def test_spending_an_amount_of_money_buys_whole_steps_and_no_more(amount: Decimal, rate: Decimal) -> None:
    exchange, market, one = exchange_with(taker_fee=rate, min_notional_market=D("0.01"), quantity_step=D("0.001"))
    order = submit(exchange, one, market, "BUY", None, spend=amount)
    assert order.status == ("FILLED" if amount < D("0.1005") or order.executed else "EXPIRED")
    assert order.quantity == order.executed
    assert amount - order.quoted < D("100.5") * D("0.001")
    assert one.of("U").total == 10_000 - order.quoted - sum((trade.fee for trade in order.trades), D(0))


def test_fees_are_paid_in_quote_currency_or_in_what_is_received() -> None:
    for fees_in, asset, has in (("quote", "U", ("9899.3995", "101")), ("received", "A", ("9899.5", "100.999"))):
        exchange, market, one = exchange_with(fees_in=fees_in, taker_fee=D("0.001"))
        order = submit(exchange, one, market, "BUY", "1")
        assert order.trades[0].fee_asset == asset
        assert (one.of("U").total, one.of("A").total) == tuple(map(D, has))
        assert exchange.fees[asset] == order.trades[0].fee


@pytest.mark.parametrize(
    ("ticket", "reason"),
    [
        ({"quantity": "0.015", "price": "90"}, "bad_quantity"),
        ({"quantity": "0", "price": "90"}, "bad_quantity"),
        ({"quantity": "-1", "price": "90"}, "bad_quantity"),
        ({"quantity": "1", "price": "90.1"}, "bad_price"),
        ({"quantity": "1", "price": "0"}, "bad_price"),
        ({"quantity": "0.01", "price": "90"}, "notional_below_minimum"),
        ({"quantity": "10000", "price": "90"}, "above_maximum"),
        ({"quantity": "8000", "price": "900"}, "notional_above_maximum"),
        ({"quantity": "1", "price": "1000"}, "price_out_of_band"),
        ({"quantity": "112", "price": "90"}, "insufficient_quote"),
        ({"quantity": "101", "price": "110", "side": "SELL"}, "insufficient_base"),
    ],
)
def test_what_is_refused_changes_nothing(ticket: dict[str, str], reason: str) -> None:
    exchange, market, one = exchange_with(price_band=D("0.5") if reason == "price_out_of_band" else None)
    side = ticket.pop("side", "BUY")
    with pytest.raises(Rejection) as caught:
        submit(exchange, one, market, side, ticket["quantity"], ticket["price"])
    assert caught.value.reason == reason
    assert exchange.orders == []
    assert (one.of("U").free, one.of("A").free) == (D(10_000), D(100))


def test_a_resting_buy_locks_its_fee_and_gives_back_what_it_did_not_need() -> None:
    exchange, market, one = exchange_with(taker_fee=D("0.01"), maker_fee=D("0.005"))
    order = submit(exchange, one, market, "BUY", "2", "90")
    assert one.of("U").locked == D("181.8")
    exchange.fill(order, D(1))
    assert one.of("U").locked == D("90.9")
    exchange.cancel(order)
    assert (order.status, one.of("U").locked, one.of("U").free) == ("CANCELED", D(0), D("9909.55"))
    with pytest.raises(Rejection, match="not_open"):
        exchange.cancel(order)


@pytest.mark.parametrize(
    ("duplicates", "open_one", "done_one"),
    [("accept", 2, 3), ("same", 1, 1), ("reject", None, None), ("reject_open", None, 2)],
)
def test_a_client_id_used_again(duplicates: Any, open_one: int | None, done_one: int | None) -> None:
    exchange, market, one = exchange_with()
    exchange.duplicates = duplicates
    first = submit(exchange, one, market, "BUY", "1", "90", client_id="x")

    def again() -> int | None:
        try:
            return submit(exchange, one, market, "BUY", "1", "90", client_id="x").number
        except Rejection as rejection:
            assert rejection.reason == "duplicate"
            return None

    assert again() == open_one
    exchange.cancel(first)
    for order in exchange.open_orders(one):
        if duplicates == "reject_open":
            exchange.cancel(order)
    assert again() == done_one
    assert len(exchange.submissions(one)["x"]) == len(exchange.orders)


def test_what_is_to_happen_later_happens_at_its_own_time() -> None:
    now = [100]
    exchange = Exchange(lambda: now[0])
    seen: list[int] = []
    exchange.at(130, lambda: seen.append(exchange.now()))
    exchange.at(110, lambda: seen.append(exchange.now()))
    exchange.settle()
    assert seen == []
    now[0] = 200
    exchange.settle()
    assert (seen, exchange.now()) == ([110, 130], 200)


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ({"price": D(0)}, "market.A/U.price"),
        ({"quantity_step": D("-1")}, "market.A/U.quantity_step"),
        ({"taker_fee": D(1)}, "market.A/U.taker_fee"),
        ({"min_notional": 1.5}, "market.A/U.min_notional"),
        ({"levels": -1}, "market.A/U"),
    ],
)
def test_a_market_that_cannot_be(wrong: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        exchange_with(**wrong)
    assert caught.value.path == path


def test_accounts_that_cannot_be() -> None:
    exchange, _, one = exchange_with()
    for call in (
        lambda: exchange.add_account("one", "k9", "s"),
        lambda: exchange.add_account("other", "k1", "s"),
        lambda: exchange.add_account("other", "k9", "s", permissions=["admin"]),  # type: ignore[list-item] # the test
        lambda: exchange.deposit("one", "U", "-10001"),
        lambda: exchange.deposit("nobody", "U", 1),
        lambda: exchange.move("B/U", 1),
        lambda: exchange.move("A/U", "100.1"),
        lambda: exchange.fill(submit(exchange, one, exchange.markets["AU"], "BUY", "1"), D(1)),
    ):
        with pytest.raises(InvalidInput):
            call()


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 50)), min_size=1, max_size=40))
def test_bars_hold_every_trade_once_and_have_no_gap(trades: list[tuple[int, int]]) -> None:
    now = [10**18 - 10**18 % (300 * 10**9)]
    begin = now[0]
    exchange = Exchange(lambda: now[0])
    market = exchange.add_market(Market(base="A", quote="U", price=D(100))).market
    one = exchange.add_account("one", "k1", "s", {"U": 10**9})
    for wait, quantity in trades:
        now[0] += wait * 10**9
        submit(exchange, one, market, "BUY", str(quantity))
    for minutes in (1, 5):
        interval = minutes * 60 * 10**9
        bars = exchange.book("A/U").candles.bars(interval, begin, now[0], 10_000)
        assert [bar.start for bar in bars] == list(range(begin, now[0] + 1, interval))
        assert sum((bar.volume for bar in bars), D(0)) == sum(quantity for _, quantity in trades)
        assert sum(bar.trades for bar in bars) == sum(len(order.trades) for order in exchange.orders)
        assert all(bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in bars)
        assert all(earlier.close == later.open or later.volume for earlier, later in itertools.pairwise(bars))
        assert exchange.book("A/U").candles.bars(interval, None, now[0], 3) == bars[-3:]


def test_the_last_day_in_one_bar() -> None:
    now = [10**18]
    exchange = Exchange(lambda: now[0])
    exchange.add_market(Market(base="A", quote="U", price=D(100)))
    candles = exchange.book("A/U").candles
    for hours, price in ((1, 90), (2, 120), (30, 110)):
        now[0] = 10**18 + hours * 3_600 * 10**9
        exchange.move("A/U", price)
    day = candles.day(now[0])
    assert day is not None
    assert (day.open, day.high, day.low, day.close) == (D(120), D(120), D(110), D(110))
    day = candles.day(now[0] + 30 * 3_600 * 10**9)
    assert day is not None
    assert (day.open, day.high, day.low, day.close) == (D(110), D(110), D(110), D(110))


def test_the_market_maker_fills_no_order_worse_than_its_limit() -> None:
    exchange, market, one = exchange_with()
    order = submit(exchange, one, market, "BUY", "1", "90")
    for amount, price in ((D(1), D(91)), (D(2), D(90)), (D("0.001"), D(90)), (D(0), D(90))):
        with pytest.raises(InvalidInput):
            exchange.fill(order, amount, price)
    assert exchange.fill(order, D("0.5"), D(89)).price == 89
    assert exchange.fill(order).quantity == D("0.5")


def test_exactness_survives_numbers_of_many_digits() -> None:
    exchange, market, one = exchange_with(
        price=D("123456789.123456789"),
        price_tick=D("0.000000001"),
        quantity_step=D("0.000000001"),
        taker_fee=D("0.000123456789"),
        max_notional=D(10) ** 20,
    )
    exchange.deposit("one", "U", D(10) ** 20)
    order = submit(exchange, one, market, "BUY", "1.123456789")
    trade = order.trades[0]
    assert trade.quote == EXACT.multiply(trade.price, trade.quantity)
    assert 0 <= EXACT.subtract(EXACT.multiply(trade.quote, D("0.000123456789")), trade.fee) < D("1e-18")
    assert exchange.total("U") == exchange.deposited["U"]
