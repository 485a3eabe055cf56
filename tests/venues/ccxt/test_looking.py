"""Orders are found wherever the exchange shows them, absent only if every list says so; trades are told once each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.venues.ccxt.support import SPOT, World, approved, client_id, in_loop, world
from tickwork.errors import InvalidInput, Rejected, Retryable, Unknown
from tickwork.outcome import Found, NotFound
from tickwork.sim.exchange.http import json_reply
from tickwork.sim.exchange.markets import Market
from tickwork.sim.exchange.mexc import order_id
from tickwork.sim.exchange.orders import VIEWS
from tickwork.trading.desk import CERTAIN
from tickwork.trading.ledger import fold
from tickwork.trading.orders import Order
from tickwork.venues.ccxt.venue import CcxtVenue

BOTH = pytest.mark.parametrize("kind", ["mexc", "binance"])
ID = client_id(7)
AWAY = "54000"


async def lost(venue: CcxtVenue, made: World, **terms: Any) -> None:
    """An order that is there, and that the venue has never heard of."""
    made.fault("drop_after", on="order.create", times=1)
    with pytest.raises(Unknown):
        await venue.submit(approved(**terms), ID)


async def order(venue: CcxtVenue, key: str = ID) -> Order:
    found = await venue.find(key, SPOT)
    assert isinstance(found, Found)
    return found.value


# ---------------------------------------------------------------------------------------------------------------- find


@BOTH
@pytest.mark.parametrize("shown", [["open"], ["history"]])
@in_loop
async def test_one_list_that_shows_it_is_enough(kind: str, shown: Sequence[str]) -> None:
    async with world(kind) as (made, venue):
        made.fault("lag", views=tuple(view for view in VIEWS if view not in shown), seconds=60, times=1)
        await lost(venue, made, limit=AWAY)
        assert (await order(venue)).status == "acknowledged"


@BOTH
@in_loop
async def test_trades_without_their_order_are_no_absence(kind: str) -> None:
    async with world(kind) as (made, venue):
        made.fault("lag", views=("order", "open", "history"), seconds=60, times=1)
        await lost(venue, made)
        with pytest.raises(Retryable, match="not yet the order"):
            await venue.find(ID, SPOT)
        made.now_ns += 61 * 10**9
        assert (await order(venue)).status == "filled"


@BOTH
@in_loop
async def test_absent_while_the_exchange_does_not_show_it(kind: str) -> None:
    """What the desk's grace is for."""
    async with world(kind) as (made, venue):
        made.fault("lag", seconds=20, times=1)
        await lost(venue, made, limit=AWAY)
        assert isinstance(await venue.find(ID, SPOT), NotFound)
        made.now_ns += 21 * 10**9
        assert (await order(venue)).status == "acknowledged"


@BOTH
@in_loop
async def test_what_was_acknowledged_is_no_order_that_never_was(kind: str) -> None:
    async with world(kind) as (made, venue):
        made.fault("lag", seconds=20, times=1)
        await venue.submit(approved(limit=AWAY), ID)
        assert isinstance(await venue.find(ID, SPOT), NotFound)
        with pytest.raises(Retryable, match="does not show it now"):
            await venue.cancel(ID, SPOT)
        made.now_ns += 21 * 10**9
        assert (await order(venue)).status in ("acknowledged", "cancelled")


_FAILURES: list[tuple[str, dict[str, Any]]] = [
    ("drop_before", {}),
    ("error_before", {}),
    ("rate_limit", {}),
    ("forbidden", {}),
    ("stall", {"seconds": 30}),
    ("nonsense", {"shape": "html"}),
    ("nonsense", {"shape": "truncated"}),
    ("nonsense", {"shape": "null"}),
]


@BOTH
@pytest.mark.parametrize("route", ["order.query", "orders.open", "orders.history", "orders.trades"])
@in_loop
async def test_a_list_that_fails_is_no_absence(kind: str, route: str) -> None:
    async with world(kind) as (made, venue):
        await venue.submit(approved(quantity="0.002"), client_id(1))  # so that no list is empty
        await venue.submit(approved(limit=AWAY), client_id(2))
        for fault, fields in _FAILURES:
            made.api.faults.clear()
            made.now_ns += 60 * 10**9
            made.fault(fault, on=route, **fields)
            with pytest.raises(Retryable):
                await venue.find(ID, SPOT)
        made.api.faults.clear()
        made.now_ns += 60 * 10**9
        assert isinstance(await venue.find(ID, SPOT), NotFound)


@BOTH
@pytest.mark.parametrize("path", ["openOrders", "allOrders", "myTrades"])
@in_loop
async def test_an_object_where_a_list_is_due_is_no_empty_list(kind: str, path: str) -> None:
    async with world(kind) as (made, venue):
        made.wire.on("GET", f"/api/v3/{path}", json_reply({}))
        with pytest.raises(Retryable, match="no list"):
            await venue.find(ID, SPOT)


@BOTH
@in_loop
async def test_without_a_symbol_all_are_looked_through(kind: str) -> None:
    async with world(kind) as (_, venue):
        await venue.submit(approved(limit=AWAY), ID)
        found = await venue.find(ID, "")
        assert isinstance(found, Found)
        assert isinstance(await venue.find(client_id(9), ""), NotFound)
        assert (await venue.cancel(ID, "")).status == "cancelled"
        with pytest.raises(Rejected):
            await venue.cancel(client_id(9), "")


@BOTH
@in_loop
async def test_a_strange_order_for_a_client_id_is_not_taken_for_ours(kind: str) -> None:
    async with world(kind) as (made, venue):
        await venue.submit(approved(limit=AWAY), client_id(1))
        told = {"symbol": "BTCUSDT", "orderId": "5", "clientOrderId": client_id(1), "status": "NEW", "side": "BUY"}
        told |= {"type": "LIMIT", "price": "54000", "origQty": "0.001", "executedQty": "0", "cummulativeQuoteQty": "0"}
        made.wire.on("GET", "/api/v3/order", json_reply(told))
        with pytest.raises(Retryable, match="clientId"):
            await venue.find(ID, SPOT)


@BOTH
@pytest.mark.parametrize(
    ("status", "executed", "is_now"),
    [
        ("NEW", "0", "acknowledged"),
        ("NEW", "0.0004", "partially_filled"),
        ("NEW", "0.001", "filled"),
        ("PARTIALLY_FILLED", "0.001", "filled"),
        ("FILLED", "0.001", "filled"),
        ("PENDING_CANCEL", "0.0004", "cancelling"),
        ("CANCELED", "0", "cancelled"),
        ("CANCELED", "0.0004", "partially_cancelled"),
        ("PARTIALLY_CANCELED", "0.0004", "partially_cancelled"),
        ("CANCELED", "0.001", "filled"),
        ("EXPIRED", "0.0004", "expired"),
        ("REJECTED", "0", "rejected"),
        ("FILLED", "0.0004", None),
        ("NEW", "0.0011", None),
        ("NEW", None, None),
        ("LOST", "0", None),
        (None, "0", None),
    ],
)
@in_loop
async def test_what_an_order_is(kind: str, status: Any, executed: Any, is_now: str | None) -> None:
    async with world(kind) as (made, venue):
        cost = None if executed is None else str(Decimal(executed) * 54_000)
        told = {"symbol": "BTCUSDT", "orderId": "5", "clientOrderId": ID, "status": status, "side": "BUY"}
        told |= {"type": "LIMIT", "price": "54000", "origQty": "0.001", "executedQty": executed}
        made.wire.on("GET", "/api/v3/order", json_reply(told | {"cummulativeQuoteQty": cost}))
        if is_now is None:
            with pytest.raises(Retryable):
                await venue.find(ID, SPOT)
        else:
            assert (await order(venue)).status == is_now


@BOTH
@in_loop
async def test_an_entry_that_ccxt_leaves_out_is_missed(kind: str) -> None:
    """It drops what is of another symbol; in a list of this one that is nonsense, and no shorter list."""
    made = World(kind)
    made.exchange.add_market(Market(base="ETH", quote="USDT", price=Decimal(3_000)))
    venue = made.venue()
    told = {"symbol": "ETHUSDT", "id": 5, "orderId": "1", "price": "1", "qty": "1", "quoteQty": "1", "commission": "0"}
    told |= {"commissionAsset": "USDT", "isBuyer": True, "isMaker": False, "time": made.now_ns // 10**6}
    made.wire.on("GET", "/api/v3/myTrades", json_reply([told]))
    with pytest.raises(Retryable, match="cannot be read"):
        await venue.fills(SPOT, 0)
    await venue.close()


# -------------------------------------------------------------------------------------------------------------- cancel


@BOTH
@pytest.mark.parametrize("answer", ["ok", "unknown"])
@pytest.mark.parametrize(("fraction", "status"), [("1", "filled"), ("0.5", "partially_cancelled")])
@in_loop
async def test_a_cancel_that_races_a_fill(kind: str, answer: str, fraction: str, status: str) -> None:
    async with world(kind) as (made, venue):
        await venue.submit(approved(limit=AWAY), ID)
        made.fault("cancel_race", answer=answer, fraction=Decimal(fraction))
        cancelled = await venue.cancel(ID, SPOT)
        assert cancelled.status == status
        assert cancelled.filled == Decimal("0.001") * Decimal(fraction)
        assert (await venue.cancel(ID, SPOT)).status == status


@BOTH
@in_loop
async def test_a_cancel_that_takes_a_while(kind: str) -> None:
    async with world(kind) as (made, venue):
        await venue.submit(approved(limit=AWAY), ID)
        made.fault("cancel_late", seconds=5)
        assert (await venue.cancel(ID, SPOT)).status == "cancelling"
        made.now_ns += 6 * 10**9
        assert (await order(venue)).status == "cancelled"


@BOTH
@pytest.mark.parametrize("fault", ["drop_after", "error_after", "nonsense"])
@in_loop
async def test_a_cancel_whose_answer_got_lost_is_looked_at(kind: str, fault: str) -> None:
    async with world(kind) as (made, venue):
        await venue.submit(approved(limit=AWAY), ID)
        made.fault(fault, on="order.cancel")
        assert (await venue.cancel(ID, SPOT)).status == "cancelled"


@BOTH
@pytest.mark.parametrize("fault", ["drop_before", "error_before", "not_found"])
@in_loop
async def test_a_cancel_that_did_not_happen_says_so(kind: str, fault: str) -> None:
    async with world(kind) as (made, venue):
        await venue.submit(approved(limit=AWAY), ID)
        made.fault(fault, on="order.cancel")
        with pytest.raises(Retryable, match="can still trade") as raised:
            await venue.cancel(ID, SPOT)
        assert not isinstance(raised.value, CERTAIN)
        made.api.faults.clear()
        assert (await venue.cancel(ID, SPOT)).status == "cancelled"


# --------------------------------------------------------------------------------------------------------------- fills


@BOTH
@in_loop
async def test_partial_fills_and_fees_agree_with_the_exchange(kind: str) -> None:
    async with world(kind, {"maker_fee": Decimal("0.001")}) as (made, venue):
        await venue.submit(approved(quantity="0.01", limit=AWAY), ID)
        (there,) = made.orders
        for part in ("0.003", "0.0021", "0.0009"):
            made.now_ns += 1_700_000_000
            made.exchange.fill(there, Decimal(part))
        told = await order(venue)
        assert (told.status, told.filled) == ("partially_filled", Decimal("0.006"))
        assert told.filled_notional == there.quoted
        fills = await venue.fills(SPOT, 0)
        assert [fill.quantity for fill in fills] == [Decimal("0.003"), Decimal("0.0021"), Decimal("0.0009")]
        assert {fill.client_order_id for fill in fills} == {ID}
        assert {fill.fee_currency for fill in fills} == ({"USDT"} if kind == "mexc" else {"BTC"})
        balances = await venue.balances()
        books = fold(fills)
        assert balances["BTC"].total == books.holding("BTC")
        assert balances["USDT"].total == 100_000 + books.holding("USDT")
        assert Decimal("0.004") * 54_000 <= balances["USDT"].held <= Decimal("0.005") * 54_000


@BOTH
@in_loop
async def test_a_fee_in_a_third_coin(kind: str) -> None:
    async with world(kind) as (made, venue):
        await venue.submit(approved(), ID)
        told = {"symbol": "BTCUSDT", "id": 5, "orderId": venue_id(made), "price": "60000", "qty": "0.001"}
        told |= {"quoteQty": "60", "commission": "0.00001234", "commissionAsset": "BNB", "isBuyer": True}
        told |= {"time": made.now_ns // 10**6, "isMaker": False, "isBestMatch": True}
        made.wire.on("GET", "/api/v3/myTrades", json_reply([told, told]))
        (fill,) = await venue.fills(SPOT, 0)  # told twice, it is one
        assert (fill.fee, fill.fee_currency, fill.fill_id) == (Decimal("0.00001234"), "BNB", "5")
        assert fill.client_order_id == ID


def venue_id(made: World) -> str:
    (there,) = made.orders
    return order_id(there) if made.kind == "mexc" else str(there.number)


_WRONG_TRADES: list[dict[str, Any]] = [
    {"price": "NaN"},
    {"price": "-1"},
    {"price": None},
    {"qty": "0"},
    {"qty": "1e999"},
    {"qty": {}},
    {"commission": None},
    {"commissionAsset": None},
    {"id": None},
    {"orderId": None},
    {"time": "yesterday"},
    {"time": None},
    {"isBuyer": None},
    {"isBuyer": "true"},
    {"symbol": "ETHUSDT"},
]


@BOTH
@in_loop
async def test_trades_that_cannot_be(kind: str) -> None:
    async with world(kind) as (made, venue):
        await venue.submit(approved(), ID)
        told = {"symbol": "BTCUSDT", "id": 5, "orderId": venue_id(made), "price": 60000.5, "qty": 0.001}
        told |= {"quoteQty": 60.0005, "commission": 0, "commissionAsset": "USDT", "isBuyer": True}
        told |= {"time": made.now_ns // 10**6, "isMaker": False}
        made.wire.on("GET", "/api/v3/myTrades", json_reply([told]))
        (fill,) = await venue.fills(SPOT, 0)  # numbers as numbers are read as well
        assert (fill.price, fill.quantity) == (Decimal("60000.5"), Decimal("0.001"))
        for wrong in _WRONG_TRADES:
            made.wire.on("GET", "/api/v3/myTrades", json_reply([told | wrong]))
            with pytest.raises(Retryable):
                await venue.fills(SPOT, 0)


def _small_pages(venue: CcxtVenue, page: int) -> None:
    venue._looking._profile = replace(venue._looking._profile, page=page)


async def _traded(made: World, venue: CcxtVenue, waits_ms: Sequence[int]) -> list[int]:
    """One order that is filled again and again, with these pauses; when, in ns."""
    made.exchange.deposit("main", "USDT", 10_000_000)
    await venue.submit(approved(quantity="8", limit=AWAY), ID)
    (there,) = made.orders
    times = []
    for wait in waits_ms:
        made.now_ns += wait * 1_000_000
        made.exchange.fill(there, Decimal("0.001"))
        times.append(made.now_ns)
    return times


@BOTH
@settings(max_examples=25, deadline=None)
@given(
    # at most five within a second, which is a page less one
    waits=st.lists(st.integers(210, 400) | st.integers(400, 5_000) | st.just(90_000_000), min_size=0, max_size=40),
    back=st.integers(0, 40),
)
def test_law_every_trade_is_told_once_whatever_the_page(kind: str, waits: list[int], back: int) -> None:
    @in_loop
    async def play() -> None:
        async with world(kind) as (made, venue):
            _small_pages(venue, 6)
            times = await _traded(made, venue, waits)
            since = times[-back] if 0 < back <= len(times) else 0
            fills = await venue.fills(SPOT, since)
            numbers = [fill.fill_id for fill in fills]
            assert len(set(numbers)) == len(numbers)
            month = made.now_ns - 30 * 86_400 * 10**9
            due = [at for at in times if at >= since and (kind == "binance" or at >= month)]
            assert len(fills) >= len(due)
            if kind == "binance":
                assert [fill.time // 10**6 for fill in fills][-len(due) or len(fills) :] == [at // 10**6 for at in due]
            early = [fill for fill in fills if fill.time < since - 10**9]
            assert not early

    play()


@in_loop
async def test_more_trades_in_a_second_than_can_be_told_apart_are_an_error() -> None:
    async with world("mexc") as (made, venue):
        _small_pages(venue, 6)
        await _traded(made, venue, [0] * 6)
        with pytest.raises(Retryable, match="in a second"):
            await venue.fills(SPOT, 0)


@BOTH
@in_loop
async def test_an_exchange_that_minds_no_time_and_no_number_is_an_error(kind: str) -> None:
    """It tells the same full page, whatever is asked for."""
    async with world(kind) as (made, venue):
        _small_pages(venue, 6)
        await _traded(made, venue, [2_000])
        (there,) = (
            await made.client.privateGetMyTrades({"symbol": "BTCUSDT"})
            if kind == "binance"
            else (await made.client.spotPrivateGetMyTrades({"symbol": "BTCUSDT"}))
        )
        made.wire.on("GET", "/api/v3/myTrades", json_reply([there] * 6))
        with pytest.raises(Retryable):
            await venue.fills(SPOT, 0)


@BOTH
@in_loop
async def test_a_hundred_trades_at_one_moment(kind: str) -> None:
    """What fits a page is told, though a page more of the same second would not be."""
    async with world(kind) as (made, venue):
        _small_pages(venue, 100)
        await _traded(made, venue, [2_000, *[0] * 98, 5_000])
        assert len(await venue.fills(SPOT, 0)) == 100


@BOTH
@in_loop
async def test_others_orders_and_trades_are_told_too(kind: str) -> None:
    async with world(kind) as (made, venue):
        client = made.client
        by_hand = {"clientOrderId": "by-hand"}
        await client.create_order(SPOT, "market", "buy", "0.001", None, by_hand)
        await client.create_order(SPOT, "limit", "buy", "0.001", AWAY, {"clientOrderId": "rests"})
        assert [fill.client_order_id for fill in await venue.fills(SPOT, 0)] == ["by-hand"]
        assert [(one.client_order_id, one.status) for one in await venue.open_orders()] == [("rests", "acknowledged")]


# ------------------------------------------------------------------------------------- the account, the rules, the key


@BOTH
@in_loop
async def test_balances_leave_out_what_is_nothing(kind: str) -> None:
    async with world(kind) as (made, venue):
        made.exchange.deposit("main", "ETH", 0)
        assert set(await venue.balances()) == {"USDT"}


_WRONG_ACCOUNTS: list[Any] = [
    {},
    {"balances": None},
    {"balances": {}},
    {"balances": [{"asset": "BTC"}]},
    {"balances": [{"asset": "BTC", "free": "1"}]},
    {"balances": [{"asset": "BTC", "free": "NaN", "locked": "0"}]},
    {"balances": [{"asset": "BTC", "free": "-1", "locked": "0"}]},
    {"balances": [{"asset": "BTC", "free": "one", "locked": "0"}]},
    {"balances": ["BTC"]},
    [],
]


@BOTH
@in_loop
async def test_an_account_that_cannot_be_is_no_empty_account(kind: str) -> None:
    async with world(kind) as (made, venue):
        for told in _WRONG_ACCOUNTS:
            made.wire.on("GET", "/api/v3/account", json_reply(told))
            with pytest.raises(Retryable):
                await venue.balances()


@BOTH
@in_loop
async def test_an_empty_account_that_was_told_is_empty(kind: str) -> None:
    async with world(kind) as (made, venue):
        made.wire.on("GET", "/api/v3/account", json_reply({"balances": []}))
        assert await venue.balances() == {}


@BOTH
@in_loop
async def test_rules(kind: str) -> None:
    async with world(kind, {"min_quantity": Decimal("0.00002")}) as (_, venue):
        rules = await venue.rules()
        assert set(rules) == {SPOT}
        assert rules[SPOT].max_quantity == (None if kind == "mexc" else Decimal(9_000))
        assert rules[SPOT].price_tick == Decimal("0.01")
        # MEXC names the least quantity and the number of decimals; either may be the step
        assert rules[SPOT].quantity_step == (Decimal("0.00002") if kind == "mexc" else Decimal("0.000001"))
        assert (rules[SPOT].min_notional, rules[SPOT].min_quantity) == (Decimal(5), Decimal("0.00002"))
        assert await venue.rules(["NEW/USDT"]) == {}


@BOTH
@pytest.mark.parametrize("skew_s", [0, 3, -3, 600])
@in_loop
async def test_examine(kind: str, skew_s: int) -> None:
    made = World(kind)
    made.exchange.skew = skew_s * 10**9
    venue = made.venue()
    report = await venue.examine()
    assert report.clock_skew is not None
    assert abs(report.clock_skew.total_seconds() - skew_s) < 0.01
    assert (report.may_read, report.may_trade, report.may_withdraw) == (True, True, False)
    assert report.notes == ()
    await venue.close()


@BOTH
@in_loop
async def test_examine_says_that_a_key_may_withdraw_or_not_trade(kind: str) -> None:
    for permissions in (("read", "withdraw"), ("read", "trade", "withdraw")):
        made = World(kind)
        made.exchange.accounts["main"].permissions = frozenset(permissions)
        venue = made.venue()
        report = await venue.examine()
        assert (report.may_trade, report.may_withdraw) == ("trade" in permissions, True)
        await venue.close()


@BOTH
@in_loop
async def test_examine_without_a_bound_says_what_that_means(kind: str) -> None:
    async with world(kind, visibility_bound=None) as (_, venue):
        assert "stays unknown" in " ".join((await venue.examine()).notes)
        assert not venue.capabilities.absence_is_proof


@BOTH
@in_loop
async def test_a_symbol_that_appears_is_traded(kind: str) -> None:
    async with world(kind) as (made, venue):
        assert await venue.rules(["NEW/USDT"]) == {}
        made.exchange.add_market(Market(base="NEW", quote="USDT", price=Decimal(2)))
        made.now_ns += 6 * 10**9
        assert "NEW/USDT" in await venue.rules(["NEW/USDT"])
        await venue.submit(approved(quantity="3", symbol="NEW/USDT", price=Decimal(2)), ID)


@BOTH
@in_loop
async def test_a_revoked_key_is_named(kind: str) -> None:
    async with world(kind) as (made, venue):
        made.exchange.keys.clear()
        for asked in (venue.balances(), venue.open_orders(), venue.fills(SPOT, 0), venue.examine()):
            with pytest.raises(InvalidInput, match=f"{kind}.key"):
                await asked
