"""The real ccxt client trades on the exchange, over loopback and inside a world: every method that is used, and what
each fault and each refusal becomes in its hands.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import Any

import pytest

from tickwork.sim.exchange import (
    BinanceApi,
    Exchange,
    Fault,
    Faults,
    Market,
    MexcApi,
    VenueApi,
    Wire,
    ccxt_settings,
    ccxt_urls,
    in_virtual_time,
    serving,
    truth,
)

ccxt = pytest.importorskip("ccxt.async_support")

VENUES: dict[str, type[VenueApi]] = {"mexc": MexcApi, "binance": BinanceApi}
SYMBOL = "BTC/USDT"


class Trader:
    """An exchange, and a ccxt client that trades on it."""

    def __init__(self, venue: str, way: str) -> None:
        self.venue = venue
        self.way = way
        self.stack = AsyncExitStack()
        self.runner = asyncio.Runner()
        self.virtual = 1_790_000_000_000_000_000
        kind = VENUES[venue]
        self.exchange = kind.exchange_of(time.time_ns if way == "loopback" else lambda: self.virtual)
        self.exchange.add_market(Market(base="BTC", quote="USDT", price=Decimal(60_000)))
        self.exchange.add_market(Market(base="ETH", quote="USDT", price=Decimal(3_000)))
        self.exchange.add_account("main", "key", "secret", {"USDT": 10**9, "BTC": 10**4})
        self.faults = Faults(1)
        self.api = kind(self.exchange, self.faults)
        self.client = self.run(self.open("key", "secret"))
        self.run(self.client.load_markets())

    async def sleep(self, ns: int) -> None:
        self.virtual += ns

    async def open(self, key: str, secret: str) -> Any:
        settings: dict[str, Any] = {"apiKey": key, "secret": secret, "enableRateLimit": False}
        if self.venue == "binance":
            settings["options"] = {"fetchMarkets": {"types": ["spot"]}}
        if self.way == "world":
            client = getattr(ccxt, self.venue)({**settings, **ccxt_settings(Wire(self.api, self.sleep))})
            in_virtual_time(client, lambda: self.virtual)
        else:
            server = await self.stack.enter_async_context(serving(self.api))
            client = getattr(ccxt, self.venue)(settings)
            client.urls["api"] = ccxt_urls(self.venue, server.url)
        client.timeout_on_exit = 0
        self.stack.push_async_callback(client.close)
        return client

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(coroutine)

    def close(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()

    def settle(self) -> None:
        """Forget what the test before did."""
        self.faults.clear()
        self.exchange.skew = 0
        self.client.timeout = 10_000
        self.client.options["hasAlreadyAuthenticatedSuccessfully"] = False
        for order in list(self.exchange.open_orders(self.exchange.account("main"))):
            self.exchange.cancel(order)
        self.exchange.move(SYMBOL, 60_000)

    def market(self) -> Market:
        return self.exchange.markets["BTCUSDT"]

    def create(self, kind: str, side: str, amount: Any, price: Any = None, name: str | None = None, **more: Any) -> Any:
        params = {**({"clientOrderId": name} if name else {}), **more}
        return self.run(self.client.create_order(SYMBOL, kind, side, amount, price, params))

    def order(self, name: str) -> Any:
        return self.run(self.client.fetch_order(None, SYMBOL, {"clientOrderId": name}))


@pytest.fixture(scope="module", params=["mexc-loopback", "binance-loopback", "mexc-world", "binance-world"])
def opened(request: pytest.FixtureRequest) -> Iterator[Trader]:
    trader = Trader(*request.param.split("-"))
    yield trader
    trader.close()


@pytest.fixture
def trader(opened: Trader) -> Trader:
    opened.settle()
    return opened


def test_markets_and_their_precision(trader: Trader) -> None:
    market = trader.client.market(SYMBOL)
    assert (market["id"], market["spot"], market["active"]) == ("BTCUSDT", True, True)
    assert market["precision"]["price"] == 0.01
    assert market["precision"]["amount"] == 0.000001
    assert market["limits"]["amount"]["min"] == 0.000001
    assert market["limits"]["cost"]["min"] == 1
    assert trader.client.amount_to_precision(SYMBOL, "0.0123456789") == "0.012345"
    assert trader.client.price_to_precision(SYMBOL, "70000.129") == "70000.13"


def test_market_data(trader: Trader) -> None:
    client, now = trader.client, trader.exchange.now() // 1_000_000
    trader.create("market", "buy", 0.5)
    assert abs(trader.run(client.fetch_time()) - now) < 60_000
    ticker = trader.run(client.fetch_ticker(SYMBOL))
    assert (ticker["last"], ticker["bid"], ticker["ask"]) == (60_000, 59_999.99, 60_000.01)
    assert set(trader.run(client.fetch_tickers())) == {"BTC/USDT", "ETH/USDT"}
    assert set(trader.run(client.fetch_tickers([SYMBOL, "ETH/USDT"]))) == {"BTC/USDT", "ETH/USDT"}
    book = trader.run(client.fetch_order_book(SYMBOL, 5))
    assert (book["bids"][0], book["asks"][0], len(book["asks"])) == ([59_999.99, 10], [60_000.01, 10], 5)
    bars = trader.run(client.fetch_ohlcv(SYMBOL, "1m", None, 10))
    assert bars[-1][5] >= 0.5
    assert bars[-1][4] in (60_000, 60_000.01)
    assert trader.run(client.fetch_ohlcv(SYMBOL, "1h", now - 7_200_000, 10))
    trades = trader.run(client.fetch_trades(SYMBOL))
    assert (trades[-1]["price"], trades[-1]["amount"], trades[-1]["side"]) == (60_000.01, 0.5, "buy")


def test_a_limit_order_from_beginning_to_end(trader: Trader) -> None:
    made = trader.create("limit", "buy", 0.5, 50_000, "life-1")
    if trader.venue == "mexc":
        assert (made["status"], made["filled"], made["clientOrderId"]) == (None, None, None)
    else:
        assert (made["status"], made["filled"], made["clientOrderId"]) == ("open", 0, "life-1")
    seen = trader.order("life-1")
    assert (seen["id"], seen["clientOrderId"], seen["status"], seen["amount"]) == (made["id"], "life-1", "open", 0.5)
    assert [order["id"] for order in trader.run(trader.client.fetch_open_orders(SYMBOL))] == [made["id"]]
    trader.exchange.fill(trader.exchange.orders[-1], Decimal("0.2"))
    part = trader.run(trader.client.fetch_order(made["id"], SYMBOL))
    assert (part["status"], part["filled"], part["remaining"], part["average"]) == ("open", 0.2, 0.3, 50_000)
    trader.exchange.move(SYMBOL, 49_000)
    assert trader.order("life-1")["status"] == "closed"
    trades = [trade for trade in trader.run(trader.client.fetch_my_trades(SYMBOL)) if trade["order"] == made["id"]]
    assert sorted(trade["amount"] for trade in trades) == [0.2, 0.3]
    assert {trade["takerOrMaker"] for trade in trades} == {"maker"}
    assert len({trade["id"] for trade in trades}) == 2
    assert made["id"] in [order["id"] for order in trader.run(trader.client.fetch_orders(SYMBOL))]


def test_cancelling_by_client_id_and_by_id(trader: Trader) -> None:
    trader.create("limit", "buy", 0.5, 50_000, "cancel-1")
    trader.run(trader.client.cancel_order(None, SYMBOL, {"clientOrderId": "cancel-1"}))
    assert trader.order("cancel-1")["status"] == "canceled"
    made = trader.create("limit", "buy", 0.5, 50_000, "cancel-2")
    trader.exchange.fill(trader.exchange.orders[-1], Decimal("0.1"))
    trader.run(trader.client.cancel_order(made["id"], SYMBOL))
    ended = trader.order("cancel-2")
    assert (ended["status"], ended["filled"]) == ("canceled", 0.1)
    assert ended["info"]["status"] == ("PARTIALLY_CANCELED" if trader.venue == "mexc" else "CANCELED")


@pytest.mark.parametrize(
    ("kind", "side", "price", "params", "status", "filled"),
    [
        ("market", "buy", None, {}, "closed", 0.1),
        ("market", "sell", None, {}, "closed", 0.1),
        ("limit", "buy", 60_000.05, {"timeInForce": "IOC"}, "closed", 0.1),
        ("limit", "buy", 50_000, {"timeInForce": "IOC"}, "over", 0),
        ("limit", "sell", 59_000, {"timeInForce": "FOK"}, "closed", 0.1),
        ("limit", "sell", 61_000, {"timeInForce": "FOK"}, "over", 0),
        ("limit", "buy", 50_000, {"postOnly": True}, "open", 0),
    ],
)
def test_every_type_of_order(
    trader: Trader, kind: str, side: str, price: Any, params: Any, status: str, filled: float
) -> None:
    name = f"type-{len(trader.exchange.orders)}"
    trader.create(kind, side, 0.1, price, name, **params)
    order = trader.order(name)
    over = "canceled" if trader.venue == "mexc" else "expired"
    assert (order["status"], order["filled"]) == (over if status == "over" else status, filled)


def test_spending_an_amount_of_money(trader: Trader) -> None:
    trader.create("market", "buy", 0, None, "spend-1", cost=300)
    order = trader.order("spend-1")
    assert (order["status"], order["filled"]) == ("closed", 0.004999)
    assert order["cost"] == pytest.approx(0.004999 * 60_000.01)


def test_the_balance_is_what_the_exchange_has(trader: Trader) -> None:
    trader.create("limit", "buy", 0.5, 50_000)
    balance = trader.run(trader.client.fetch_balance())
    true = truth(trader.exchange)["accounts"]["main"]["balances"]
    for asset in ("BTC", "USDT"):
        assert balance[asset]["free"] == pytest.approx(float(true[asset]["free"]))
        assert balance[asset]["used"] == pytest.approx(float(true[asset]["locked"]))


def test_fees_are_told_to_the_last_digit(trader: Trader) -> None:
    trader.create("market", "buy", 0.123457, None, "fee-1")
    number = trader.order("fee-1")["id"]
    told = [trade for trade in trader.run(trader.client.fetch_my_trades(SYMBOL)) if trade["order"] == number]
    (true,) = trader.exchange.orders[-1].trades
    assert Decimal(told[0]["info"]["commission"]) == true.fee
    assert told[0]["fee"]["currency"] == true.fee_asset == ("USDT" if trader.venue == "mexc" else "BTC")


Does = Callable[[Trader], Any]
RICH = Decimal(10**12)


def _query(trader: Trader) -> Any:
    return trader.order("never-sent")


def _cancel(trader: Trader) -> Any:
    return trader.run(trader.client.cancel_order(None, SYMBOL, {"clientOrderId": "never-sent"}))


def _buy(amount: Any, price: Any = 50_000, kind: str = "limit", side: str = "buy", **changes: Any) -> Does:
    def do(trader: Trader) -> Any:
        market = trader.market()
        before = {name: getattr(market, name) for name in changes}
        for name, value in changes.items():
            setattr(market, name, value)
        try:
            return trader.create(kind, side, amount, price)
        finally:
            for name, value in before.items():
                setattr(market, name, value)

    return do


@pytest.mark.parametrize(
    ("does", "mexc", "binance"),
    [
        (_query, ("ExchangeError", "-2013"), ("OrderNotFound", "-2013")),
        (_cancel, ("BadRequest", "-2011"), ("OrderNotFound", "-2011")),
        (_buy(0.00001), ("InvalidOrder", "30002"), ("BadRequest", "NOTIONAL")),
        (_buy(8_999, 500), ("InvalidOrder", "30003"), ("ExchangeError", "NOTIONAL")),
        (_buy(8_999, 400_000, max_notional=RICH), ("InsufficientFunds", "30004"), ("InsufficientFunds", "balance")),
        (
            _buy(20_000, 1, side="sell", max_quantity=RICH),
            ("InsufficientFunds", "30005"),
            ("InsufficientFunds", "balance"),
        ),
        (_buy(0.1, opens_at=10**19), ("BadSymbol", "10007"), ("ExchangeError", "Market is closed")),
        (_buy(0.1, api_tradable=False), ("BadSymbol", "10007"), ("InvalidOrder", "not permitted")),
        (_buy(0.1, status="paused"), ("ExchangeError", "30000"), ("ExchangeError", "Market is closed")),
        (_buy(0.1, sides=("SELL",)), ("InvalidOrder", "30001"), ("ExchangeError", "-2010")),
        (_buy(0.1, None, "market", api_market_orders=False), ("BadRequest", "30019"), ("ExchangeError", "-2010")),
        (_buy(0.1, price_band=Decimal("0.01")), ("InvalidOrder", "30087"), ("ExchangeError", "PERCENT_PRICE")),
    ],
    ids=lambda value: None if callable(value) else "",
)
def test_what_a_refusal_becomes(trader: Trader, does: Does, mexc: Any, binance: Any) -> None:
    expected = mexc if trader.venue == "mexc" else binance
    name, words = expected
    before = len(trader.exchange.orders)
    with pytest.raises(getattr(ccxt, name), match=words) as caught:
        does(trader)
    assert not isinstance(caught.value, ccxt.NetworkError), "a refusal is certain"
    assert len(trader.exchange.orders) == before


def test_wrong_keys(trader: Trader) -> None:
    for key, secret, mexc, binance in (
        ("key", "wrong", "AuthenticationError", "AuthenticationError"),
        ("nobody", "secret", "BadRequest", "AuthenticationError"),
    ):
        client = trader.run(trader.open(key, secret))
        client.set_markets(list(trader.client.markets.values()), trader.client.currencies)
        with pytest.raises(getattr(ccxt, mexc if trader.venue == "mexc" else binance)):
            trader.run(client.fetch_balance())


def test_a_clock_that_is_off(trader: Trader) -> None:
    trader.exchange.skew = 2 * 10**10
    with pytest.raises(ccxt.InvalidNonce):
        trader.run(trader.client.fetch_balance())
    trader.run(trader.client.load_time_difference())
    assert abs(trader.client.options["timeDifference"] + 20_000) < 2_000
    assert trader.run(trader.client.fetch_balance())["USDT"]["total"] > 0
    trader.client.options["timeDifference"] = 0


@pytest.mark.parametrize(
    ("fault", "mexc", "binance", "orders"),
    [
        (Fault(kind="drop_before"), "ExchangeNotAvailable", "ExchangeNotAvailable", 0),
        (Fault(kind="drop_after"), "ExchangeNotAvailable", "ExchangeNotAvailable", 1),
        (Fault(kind="stall", seconds=0.5), "RequestTimeout", "RequestTimeout", 1),
        (Fault(kind="error_before", status=503), "ExchangeNotAvailable", "ExchangeNotAvailable", 0),
        (Fault(kind="error_after", status=503), "ExchangeNotAvailable", "ExchangeNotAvailable", 1),
        (Fault(kind="error_after", status=504), "RequestTimeout", "RequestTimeout", 1),
        (Fault(kind="rate_limit"), "RateLimitExceeded", "DDoSProtection", 0),
        (Fault(kind="ban"), "RateLimitExceeded", "DDoSProtection", 0),
        (Fault(kind="maintenance"), "ExchangeNotAvailable", "ExchangeNotAvailable", 0),
        (Fault(kind="forbidden"), "ExchangeNotAvailable", "ExchangeNotAvailable", 0),
    ],
    ids=lambda value: f"{value.kind}-{value.status}" if isinstance(value, Fault) else None,
)
def test_what_a_fault_becomes(trader: Trader, fault: Fault, mexc: str, binance: str, orders: int) -> None:
    trader.client.timeout = 200
    trader.faults.add(fault)
    before = len(trader.exchange.orders)
    name = f"fault-{before}-{fault.kind}-{fault.status}"
    expected = getattr(ccxt, mexc if trader.venue == "mexc" else binance)
    with pytest.raises(expected) as caught:
        trader.create("limit", "buy", 0.1, 50_000, name)
    assert isinstance(caught.value, ccxt.NetworkError), "nobody knows what became of it"
    assert len(trader.exchange.orders) == before + orders
    trader.faults.clear()
    if orders:
        assert trader.order(name)["status"] == "open"


@pytest.mark.parametrize("shape", ["html", "truncated", "null", "empty", "types", "strings", "numbers"])
def test_nonsense_for_an_answer(trader: Trader, shape: Any) -> None:
    """Whatever ccxt makes of it, the order was sent once and can be found afterwards."""
    trader.faults.add(Fault(kind="nonsense", shape=shape, on="order.create"))
    before = len(trader.exchange.orders)
    name = f"nonsense-{before}-{shape}"
    made: Any = None
    try:
        made = trader.create("limit", "buy", 0.1, 50_000, name)
    except Exception as error:  # noqa: BLE001 # that it may be anything is the point; what matters is asserted below
        assert shape in ("html", "truncated", "null", "types")
        assert str(error)
    trader.faults.clear()
    assert len(trader.exchange.orders) == before + 1
    if shape == "strings":
        assert made["id"] == trader.order(name)["id"]
    assert trader.order(name)["status"] == "open"


def test_an_order_that_is_not_seen_for_a_while(trader: Trader) -> None:
    seconds = 0.3
    trader.faults.add(Fault(kind="lag", seconds=seconds))
    trader.create("limit", "buy", 0.1, 50_000, "lag-1")
    with pytest.raises(ccxt.ExchangeError, match="-2013"):
        trader.order("lag-1")
    assert trader.run(trader.client.fetch_open_orders(SYMBOL)) == []
    if trader.way == "loopback":
        time.sleep(seconds)
    else:
        trader.virtual += int(seconds * 1e9)
    assert trader.order("lag-1")["status"] == "open"


def test_the_exchange_is_apart_from_its_clients(trader: Trader) -> None:
    assert isinstance(trader.exchange, Exchange)
    for figures in truth(trader.exchange)["totals"].values():
        assert Decimal(figures["total"]) == Decimal(figures["deposited"])


def test_a_request_that_arrives_after_its_sender_gave_up(trader: Trader) -> None:
    trader.client.timeout = 100
    trader.faults.add(Fault(kind="late", seconds=0.4, on="order.create"))
    before = len(trader.exchange.orders)
    with pytest.raises(ccxt.RequestTimeout):
        trader.create("limit", "buy", 0.1, 50_000, "late-1")
    assert len(trader.exchange.orders) == before
    trader.client.timeout = 10_000
    if trader.way == "loopback":
        time.sleep(0.4)
    else:
        trader.virtual += 400_000_000
    assert trader.order("late-1")["status"] == "open"
