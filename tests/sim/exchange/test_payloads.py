"""What the venues answer, without a client: signatures, codes and words, paging, limits, control routes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tests.sim.exchange.conftest import Desk
from tickwork.sim.exchange import BinanceApi, Limits, MexcApi, Reply, Request, signature_of, truth


def code_of(desk: Desk, **options: Any) -> tuple[int, int | None]:
    reply = desk.outcome("GET", "/api/v3/openOrders", **options)
    assert isinstance(reply, Reply)
    data = msgspec.json.decode(reply.body)
    return reply.status, data.get("code") if isinstance(data, dict) else None


@pytest.mark.parametrize(
    ("options", "mexc_code", "binance_code"),
    [
        ({"signed": False}, (400, 400), (401, -2014)),
        ({"key": "other"}, (400, 10072), (401, -2015)),
        ({"secret": "wrong"}, (400, 700002), (400, -1022)),
        ({"recvWindow": 60_001}, (400, 700005), (400, -1131)),
        ({"timestamp": 1}, (400, 700003), (400, -1021)),
        ({"timestamp": ""}, (400, 700004), (400, -1102)),
        ({}, (200, None), (200, None)),
    ],
)
def test_who_may_ask(options: dict[str, Any], mexc_code: Any, binance_code: Any) -> None:
    assert code_of(Desk(MexcApi), **options) == mexc_code
    assert code_of(Desk(BinanceApi), **options) == binance_code


def test_a_key_may_do_what_it_is_allowed_to(desk: Desk) -> None:
    desk.exchange.add_account("reader", "reader", "secret", {"USDT": 100_000}, permissions=["read"])
    assert code_of(desk, key="reader") == (200, None)
    order: dict[str, Any] = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1"}
    refused = desk.ask("POST", "/api/v3/order", key="reader", **order)
    assert refused["code"] == (700007 if isinstance(desk.api, MexcApi) else -2015)
    if isinstance(desk.api, BinanceApi):
        allowed = desk.ask("GET", "/sapi/v1/account/apiRestrictions", key="reader")
        assert (allowed["enableReading"], allowed["enableSpotAndMarginTrading"], allowed["enableWithdrawals"]) == (
            True,
            False,
            False,
        )


def test_the_signature_is_over_the_letters_as_they_were_sent(mexc: Desk) -> None:
    query = f"symbol=BTC%55SDT&timestamp={mexc.clock() // 1_000_000}"
    headers = {"x-mexc-apikey": "key"}
    good = mexc.api.handle(
        Request("GET", "/api/v3/openOrders", f"{query}&signature={signature_of(query, 'secret')}", headers)
    )
    other = query.replace("%55", "U")
    bad = mexc.api.handle(
        Request("GET", "/api/v3/openOrders", f"{query}&signature={signature_of(other, 'secret')}", headers)
    )
    assert isinstance(good, Reply)
    assert isinstance(bad, Reply)
    assert (good.status, bad.status) == (200, 400)


def test_a_body_is_signed_behind_the_query(desk: Desk) -> None:
    query = f"timestamp={desk.clock() // 1_000_000}"
    body = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.1"
    signed = f"{body}&signature={signature_of(query + body, 'secret')}"
    reply = desk.api.handle(Request("POST", "/api/v3/order", query, {desk.api.key_header: "key"}, signed))
    assert isinstance(reply, Reply)
    assert (reply.status, len(desk.exchange.orders)) == (200, 1)


@pytest.mark.parametrize(
    ("change", "mexc_code", "binance_code"),
    [
        ({"symbol": "NOPEUSDT"}, 10007, -1121),
        ({"side": "HOLD"}, 700004, -1117),
        ({"type": "STOP"}, 700004, -1116),
        ({"quantity": "NaN"}, 700008, -1100),
        ({"quantity": "1e999999"}, 700008, -1100),
        ({"quantity": "-0.1"}, 400, -1013),
        ({"quantity": ""}, 700004, -1102),
        ({"quantity": "0.1000001"}, 400, -1013),
        ({"price": "50000.001"}, 400, -1013),
        ({"price": ""}, 700004, -1102),
        ({"quantity": "0.00001", "price": "50000"}, 30002, -1013),
        ({"quantity": "9001"}, 30003, -1013),
        ({"quantity": "1000"}, 30003, -1013),
        ({"quantity": "3"}, 30004, -2010),
        ({"side": "SELL", "quantity": "6"}, 30005, -2010),
        ({"newClientOrderId": "x" * 40}, 700008, -1100),
        ({"newClientOrderId": "ä"}, 700008, -1100),
    ],
)
def test_orders_that_are_refused(change: dict[str, str], mexc_code: int, binance_code: int) -> None:
    for desk, code in ((Desk(MexcApi), mexc_code), (Desk(BinanceApi), binance_code)):
        answer = desk.buy(**change)
        assert answer["code"] == code, answer
        assert answer["msg"]
        assert desk.exchange.orders == []


@pytest.mark.parametrize(
    ("field", "value", "mexc_code", "binance_code"),
    [
        ("status", "paused", 30000, -1013),
        ("api_tradable", False, 10007, -2010),
        ("sides", ("SELL",), 30001, -2010),
        ("order_types", ("MARKET",), 30041, -1116),
        ("price_band", Decimal("0.1"), 30087, -1013),
    ],
)
def test_markets_that_refuse(field: str, value: Any, mexc_code: int, binance_code: int) -> None:
    for desk, code in ((Desk(MexcApi), mexc_code), (Desk(BinanceApi), binance_code)):
        setattr(desk.market, field, value)
        assert desk.buy()["code"] == code


def test_market_orders_that_the_api_does_not_take(desk: Desk) -> None:
    desk.market.api_market_orders = False
    answer = desk.ask("POST", "/api/v3/order", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.1")
    assert answer["code"] == (30019 if isinstance(desk.api, MexcApi) else -2010)
    desk.market.api_market_orders, desk.market.levels = True, 0
    desk.exchange.move("BTC/USDT", "60000")
    answer = desk.ask("POST", "/api/v3/order", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.1")
    assert answer["code"] == (30010 if isinstance(desk.api, MexcApi) else -1112)


def test_a_test_order_changes_nothing(desk: Desk) -> None:
    fields: dict[str, Any] = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1"}
    assert desk.ask("POST", "/api/v3/order/test", **fields) == {}
    assert desk.ask("POST", "/api/v3/order/test", **{**fields, "quantity": "5"})["code"] in (30004, -2010)
    assert desk.exchange.orders == []


def test_what_is_another_account_s_is_not_found(desk: Desk) -> None:
    desk.exchange.add_account("other", "other", "secret")
    desk.buy("x")
    number = desk.list("openOrders")[0]["orderId"]
    assert desk.order("x", key="other")["code"] == -2013
    assert desk.ask("GET", "/api/v3/order", symbol="BTCUSDT", orderId=number, key="other")["code"] == -2013
    assert desk.ask("GET", "/api/v3/order", symbol="ETHUSDT", orderId=number)["code"] == -2013
    assert desk.ask("GET", "/api/v3/order", symbol="BTCUSDT", orderId=number)["status"] == "NEW"
    assert desk.list("openOrders", key="other") == []


def test_an_id_that_is_missing_or_none(desk: Desk) -> None:
    assert desk.ask("GET", "/api/v3/order", symbol="BTCUSDT")["code"] in (700004, -1102)
    assert desk.ask("GET", "/api/v3/order", symbol="BTCUSDT", orderId="9" * 24)["code"] == -2013
    assert desk.ask("GET", "/api/v3/order", orderId="1")["code"] in (700004, -1102)


def test_history_and_trades_come_in_pages(desk: Desk) -> None:
    for number in range(130):
        desk.buy(f"n{number}", price="61000", quantity="0.001")
        desk.clock.pass_seconds(1)
    newest_first = isinstance(desk.api, MexcApi)
    orders = desk.list("allOrders", limit=10)
    names = [order["clientOrderId"] for order in orders]
    expected = [f"n{number}" for number in range(120, 130)]
    assert names == (expected[::-1] if newest_first else expected)
    assert len(desk.list("myTrades")) == (100 if newest_first else 130)
    since = desk.exchange.orders[50].created // 1_000_000
    page = desk.list("myTrades", startTime=since, limit=5)
    orders_of = {trade.order.client_id: trade for order in desk.exchange.orders for trade in order.trades}
    quantities = [trade["time"] for trade in page]
    firsts = [129, 128, 127, 126, 125] if newest_first else [50, 51, 52, 53, 54]
    assert quantities == [orders_of[f"n{number}"].at // 1_000_000_000 * 1_000 for number in firsts]
    between = desk.list("allOrders", startTime=since, endTime=since + 2_000)
    assert len(between) == 3


def test_mexc_cuts_times_of_history_to_the_second_and_keeps_those_of_open_orders(mexc: Desk) -> None:
    mexc.clock.pass_seconds(0.456)
    mexc.buy("x")
    assert mexc.list("openOrders")[0]["time"] % 1_000 == 456
    assert mexc.order("x")["time"] % 1_000 == 0
    assert mexc.list("openOrders")[0]["updateTime"] is None


def test_mexc_acknowledges_without_saying_what_became_of_it(mexc: Desk) -> None:
    assert set(mexc.buy("x", price="61000")) == {
        "symbol",
        "orderId",
        "orderListId",
        "price",
        "origQty",
        "type",
        "side",
        "stpMode",
        "transactTime",
    }
    assert mexc.order("x")["status"] == "FILLED"


def test_binance_says_what_became_of_it(binance: Desk) -> None:
    answer = binance.buy("x", price="61000")
    assert (answer["status"], answer["executedQty"], len(answer["fills"])) == ("FILLED", "0.10000000", 1)
    fill = answer["fills"][0]
    assert (fill["commissionAsset"], Decimal(fill["commission"])) == ("BTC", Decimal("0.00005"))
    assert "fills" not in binance.buy("y", newOrderRespType="RESULT")
    assert "status" not in binance.buy("z", newOrderRespType="ACK")
    assert binance.buy("y")["code"] == -2010
    assert binance.buy("x")["status"] == "NEW", "the one that has it is filled"


def test_limits_on_requests(desk: Desk) -> None:
    desk.api.limits = Limits(weight=30, window=10**10, ban_after=3, ban=60 * 10**9)
    weight = 3 if isinstance(desk.api, MexcApi) else 6
    statuses = [code_of(desk)[0] for _ in range(30 // weight + 4)]
    assert statuses == [200] * (30 // weight) + [429, 429, 418, 418]
    desk.clock.pass_seconds(10)
    assert code_of(desk)[0] == 418
    desk.clock.pass_seconds(50)
    assert code_of(desk)[0] == 200


def test_control_routes_say_what_is_true(desk: Desk) -> None:
    desk.buy("x")
    desk.control("POST", "fill", {"account": "main", "clientId": "x", "quantity": "0.04"})
    account = desk.control("GET", "truth", account="main")["accounts"]["main"]
    order = account["orders"][0]
    assert (order["clientId"], order["status"], order["executed"]) == ("x", "PARTIALLY_FILLED", "0.04")
    assert order["trades"][0]["price"] == "50000"
    assert account["submissions"] == desk.control("GET", "submissions", account="main") == {"x": [1]}
    assert desk.control("POST", "move", {"symbol": "BTC/USDT", "price": "49000"}) == {"trades": 1}
    assert desk.control("GET", "truth") == msgspec.json.decode(msgspec.json.encode(truth(desk.exchange)))
    assert desk.control("POST", "deposit", {"account": "main", "asset": "EUR", "amount": "7"}) == {"free": "7"}
    desk.control("POST", "market", {"symbol": "BTC/USDT", "status": "paused", "sides": ["BUY"], "opensAt": 5})
    assert (desk.market.status, desk.market.sides, desk.market.opens_at) == ("paused", ("BUY",), 5)
    assert desk.control("POST", "exchange", {"duplicates": "same", "skewMs": 1_500}) == {
        "duplicates": "same",
        "skewMs": 1_500,
    }
    times = desk.control("GET", "time")
    assert times["serverTime"] - times["now"] == 1_500_000_000
    desk.control("POST", "faults", [{"kind": "drop_before"}, {"kind": "lag"}])
    assert desk.control("DELETE", "faults", number=1) == {"set": 1}
    assert desk.control("DELETE", "faults") == {"set": 0}


@pytest.mark.parametrize(
    ("method", "name", "body"),
    [
        ("POST", "move", {"symbol": "BTC/USDT"}),
        ("POST", "move", {"symbol": "NO/USDT", "price": "1"}),
        ("POST", "faults", {"kind": "explode"}),
        ("POST", "fill", {"account": "main", "clientId": "never"}),
        ("POST", "market", {"symbol": "BTC/USDT", "colour": "red"}),
        ("POST", "market", {"symbol": "BTC/USDT", "status": "gone"}),
        ("POST", "market", {"symbol": "BTC/USDT", "opensAt": "soon"}),
        ("POST", "market", {"symbol": "BTC/USDT", "minNotional": "little"}),
        ("POST", "move", ["BTC/USDT"]),
        ("POST", "exchange", {"duplicates": "maybe"}),
        ("GET", "submissions", None),
        ("GET", "nothing", None),
    ],
)
def test_control_routes_say_what_is_wrong(desk: Desk, method: str, name: str, body: Any) -> None:
    assert desk.control(method, name, body)["error"]


def test_market_data_of_both_venues(desk: Desk) -> None:
    desk.buy("x", price="61000")
    for path in ("ping", "time", "exchangeInfo", "depth", "trades", "aggTrades", "ticker/24hr", "ticker/price"):
        answer = desk.ask("GET", f"/api/v3/{path}", signed=False, symbol="BTCUSDT")
        assert isinstance(answer, dict | list), path
        assert "code" not in answer, path
    assert len(desk.ask("GET", "/api/v3/ticker/bookTicker", signed=False)) == 2
    assert desk.ask("GET", "/api/v3/klines", signed=False, symbol="BTCUSDT", interval="7m")["code"] == -1120
    assert desk.ask("GET", "/api/v3/depth", signed=False, symbol="NOPE")["code"] == -1121
    assert desk.ask("GET", "/api/v3/depth", signed=False, symbol="BTCUSDT", limit="x")["code"] in (700008, -1100)
    depth = desk.ask("GET", "/api/v3/depth", signed=False, symbol="BTCUSDT", limit=3)
    assert [len(depth["bids"]), len(depth["asks"])] == [3, 3]
    assert Decimal(depth["bids"][0][0]) < Decimal(depth["asks"][0][0])
    nowhere = desk.api.handle(Request("GET", "/api/v3/nowhere"))
    assert isinstance(nowhere, Reply)
    assert nowhere.status == 404


def test_mexc_lists_what_the_api_may_trade(mexc: Desk) -> None:
    mexc.exchange.markets["ETHUSDT"].api_tradable = False
    assert mexc.ask("GET", "/api/v3/defaultSymbols", signed=False)["data"] == ["BTCUSDT"]
    assert mexc.ask("GET", "/api/v3/selfSymbols")["data"] == ["BTCUSDT"]
    info = mexc.ask("GET", "/api/v3/exchangeInfo", signed=False, symbol="ETHUSDT")["symbols"][0]
    assert (info["status"], info["isSpotTradingAllowed"], info["filters"]) == ("1", False, [])


def test_all_open_orders_of_a_symbol_are_cancelled_at_once(desk: Desk) -> None:
    desk.buy("x")
    desk.buy("y")
    assert len(desk.ask("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")) == 2
    assert desk.list("openOrders") == []
