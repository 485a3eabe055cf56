"""A submission ends in one of three ways, whatever goes wrong, and never makes a second order by itself."""

from __future__ import annotations

import asyncio
import logging
from decimal import Decimal
from typing import Any

import pytest

from tests.venues.ccxt.support import (
    KEY,
    PRICE,
    SECRET,
    SPOT,
    World,
    approved,
    client_id,
    in_loop,
    made_api,
    world,
)
from tickwork.engines.system_clock import SystemClock
from tickwork.errors import InvalidInput, NotSent, NotYet, Rejected, Retryable, Unknown
from tickwork.outcome import Found, NotFound
from tickwork.sim.exchange.http import json_reply
from tickwork.sim.exchange.server import serving
from tickwork.trading.desk import CERTAIN
from tickwork.trading.orders import Ack
from tickwork.venues.ccxt.library import moved
from tickwork.venues.ccxt.profiles import BINANCE, MEXC, Meaning, Profile
from tickwork.venues.ccxt.venue import CcxtVenue

BOTH = pytest.mark.parametrize("kind", ["mexc", "binance"])
ID = client_id(7)
AWAY = "54000"
"""A limit that rests."""


async def outcome(venue: CcxtVenue, **terms: Any) -> Ack | Exception:
    try:
        return await venue.submit(approved(**terms), ID)
    except Exception as error:  # noqa: BLE001 - it is what the test is about
        return error


def is_unknown(result: object) -> bool:
    """As the desk takes it."""
    return isinstance(result, Exception) and not isinstance(result, CERTAIN)


# ------------------------------------------------------------------------------------------------------------- faults


@BOTH
@pytest.mark.parametrize(
    ("fault", "fields", "orders"),
    [
        ("drop_before", {}, 0),
        ("drop_after", {}, 1),
        ("stall", {"seconds": 30}, 1),
        ("late", {"seconds": 30}, 0),
        ("error_before", {"status": 500}, 0),
        ("error_before", {"status": 503}, 0),
        ("error_after", {"status": 500}, 1),
        ("error_after", {"status": 502}, 1),
        ("error_after", {"status": 504}, 1),
        ("maintenance", {}, 0),
        ("nonsense", {"shape": "html"}, 1),
        ("nonsense", {"shape": "truncated"}, 1),
        ("nonsense", {"shape": "empty"}, 1),
        ("nonsense", {"shape": "null"}, 1),
        ("nonsense", {"shape": "types"}, 1),
    ],
)
@in_loop
async def test_without_a_certain_answer_it_is_unknown(
    kind: str, fault: str, fields: dict[str, Any], orders: int
) -> None:
    async with world(kind) as (made, venue):
        made.fault(fault, on="order.create", **fields)
        result = await outcome(venue, limit=AWAY)
        assert is_unknown(result), result
        assert made.wire.count("POST") == 1
        made.now_ns += 60 * 10**9
        assert len(made.orders) == orders
        made.api.faults.clear()
        found = await venue.find(ID, SPOT)
        assert isinstance(found, Found if orders else NotFound)


@BOTH
@pytest.mark.parametrize(("fault", "said"), [("rate_limit", "after 5 s"), ("ban", "after 5 s"), ("forbidden", "403")])
@in_loop
async def test_turned_away_at_the_door_is_not_sent(kind: str, fault: str, said: str) -> None:
    async with world(kind) as (made, venue):
        made.fault(fault, on="order.create", times=1)
        result = await outcome(venue, limit=AWAY)
        assert isinstance(result, NotSent)
        assert said in str(result)
        assert made.orders == []


@BOTH
@in_loop
async def test_a_ban_is_sat_out(kind: str) -> None:
    async with world(kind) as (made, venue):
        made.fault("ban", on="order.create", times=1, seconds=30)
        await outcome(venue, limit=AWAY)
        asked = len(made.wire.asked)
        assert isinstance(await outcome(venue, limit=AWAY), NotSent)
        with pytest.raises(NotSent, match="left alone"):
            await venue.balances()
        with pytest.raises(NotSent):
            await venue.cancel(ID, SPOT)
        assert len(made.wire.asked) == asked
        made.now_ns += 31 * 10**9
        assert isinstance(await outcome(venue, limit=AWAY), Ack)


@BOTH
@pytest.mark.parametrize("shape", ["strings", "numbers"])
@in_loop
async def test_numbers_as_texts_and_texts_as_numbers_decide_nothing_wrong(kind: str, shape: str) -> None:
    async with world(kind) as (made, venue):
        made.fault("nonsense", on="order.create", shape=shape)
        result = await outcome(venue, limit=AWAY)
        assert isinstance(result, Ack) or is_unknown(result), result
        assert len(made.orders) == 1


@BOTH
@in_loop
async def test_an_answer_that_comes_late_but_comes_is_an_answer(kind: str) -> None:
    async with world(kind) as (made, venue):
        made.fault("late", on="order.create", seconds=3)
        assert isinstance(await outcome(venue, limit=AWAY), Ack)
        assert len(made.orders) == 1


@BOTH
@in_loop
async def test_an_exchange_that_cannot_be_opened_was_sent_nothing(kind: str) -> None:
    made = World(kind)
    made.fault("drop_before", on="info")
    venue = made.venue()
    assert isinstance(await outcome(venue), NotSent)
    made.api.faults.clear()
    assert isinstance(await outcome(venue), Ack)
    await venue.close()


@BOTH
@in_loop
async def test_a_cancelled_task_is_left_to_propagate(kind: str) -> None:
    async with world(kind) as (made, venue):
        started, forever = asyncio.Event(), asyncio.Event()

        async def hang(_: int) -> None:
            started.set()
            await forever.wait()

        made.wire._sleep = hang
        made.wire.latency = 2
        task = asyncio.ensure_future(venue.submit(approved(limit=AWAY), ID))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


# ------------------------------------------------------------------------------------------------- codes and statuses

_ENDS: dict[Meaning, tuple[type[Exception], ...]] = {
    "rejected": (Rejected,),
    "not_yet": (NotYet,),
    "throttled": (NotSent,),
    "clock": (NotSent,),
    "no_market": (Rejected,),
    "credentials": (Rejected,),
    "duplicate": (Unknown,),
    "absent": (Unknown,),
    "unknown": (Unknown,),
}


@pytest.mark.parametrize(("kind", "profile"), [("mexc", MEXC), ("binance", BINANCE)])
@in_loop
async def test_every_code_has_its_branch(kind: str, profile: Profile) -> None:
    async with world(kind) as (made, venue):
        for code, meaning in profile.codes.items():
            made.wire.asked.clear()
            made.wire.on("POST", "/api/v3/order", json_reply({"code": int(code), "msg": "so it says"}, 400))
            result = await outcome(venue, limit=AWAY)
            assert type(result) in _ENDS[meaning], (code, result)
            assert code in str(result) or meaning == "duplicate"
            assert made.wire.count("POST") == (2 if meaning == "clock" else 1), code


_ANSWERS: list[tuple[int, dict[str, Any], type]] = [
    (400, {"code": 987654, "msg": "new words"}, Rejected),
    (200, {"code": 987654, "msg": "new words"}, Unknown),
    (503, {"code": 30004, "msg": "Insufficient position"}, Unknown),
    (500, {"code": -2010, "msg": "rejected"}, Unknown),
    (404, {}, Unknown),
    (400, {}, Unknown),
    (200, {"msg": "under maintenance"}, Unknown),
    (200, {"orderId": ""}, Unknown),
    (200, {"symbol": "BTCUSDT"}, Unknown),
    (200, {"symbol": "ETHUSDT", "orderId": "1"}, Unknown),
    (200, {"symbol": "BTCUSDT", "orderId": "1", "clientOrderId": "other"}, Unknown),
    (200, {"symbol": "BTCUSDT", "orderId": ["1"]}, Unknown),
    (
        200,
        {"symbol": "BTCUSDT", "orderId": "1", "clientOrderId": ID, "status": "WHAT", "executedQty": "0"},
        Unknown,
    ),
    (
        200,
        {"symbol": "BTCUSDT", "orderId": "1", "clientOrderId": ID, "status": "FILLED", "executedQty": "NaN"},
        Unknown,
    ),
    (200, {"symbol": "BTCUSDT", "orderId": "1"}, Ack),
]


@BOTH
@in_loop
async def test_status_and_body(kind: str) -> None:
    async with world(kind) as (made, venue):
        for status, body, end in _ANSWERS:
            made.wire.on("POST", "/api/v3/order", json_reply(body, status))
            result = await outcome(venue, limit=AWAY)
            assert isinstance(result, end) or (end is Unknown and is_unknown(result)), (status, body, result)


@pytest.mark.parametrize(
    ("kind", "market", "terms", "end"),
    [
        ("mexc", {"opens_at": 2**62}, {}, NotYet),
        ("binance", {"opens_at": 2**62}, {}, NotYet),
        ("mexc", {"status": "paused"}, {}, NotYet),
        ("binance", {"status": "paused"}, {}, NotYet),
        ("mexc", {"api_tradable": False}, {}, NotYet),
        ("binance", {"api_tradable": False}, {}, Rejected),
        ("mexc", {"levels": 0}, {}, NotYet),
        ("binance", {"levels": 0}, {}, NotYet),
        ("mexc", {"sides": ("SELL",)}, {}, Rejected),
        ("binance", {"sides": ("SELL",)}, {}, Rejected),
        ("mexc", {}, {"quantity": "5"}, Rejected),
        ("binance", {}, {"quantity": "5"}, Rejected),
        ("mexc", {}, {"side": "sell"}, Rejected),
        ("binance", {}, {"side": "sell"}, Rejected),
        ("mexc", {}, {"quantity": "0.000001"}, Rejected),
        ("binance", {}, {"quantity": "0.00001"}, Rejected),
        ("mexc", {"price_band": Decimal("0.05")}, {"limit": "600"}, Rejected),
        ("binance", {"price_band": Decimal("0.05")}, {"limit": "600"}, Rejected),
    ],
)
@in_loop
async def test_what_the_exchange_refuses(kind: str, market: dict[str, Any], terms: dict[str, Any], end: type) -> None:
    async with world(kind, market) as (made, venue):
        result = await outcome(venue, **terms)
        assert type(result) is end, result
        assert made.orders == []


@BOTH
@in_loop
async def test_a_symbol_that_is_not_listed(kind: str) -> None:
    async with world(kind) as (made, venue):
        assert type(await outcome(venue, symbol="NEW/USDT")) is Rejected
        waiting = await outcome(venue, symbol="NEW/USDT", retry_until=2**62)
        assert type(waiting) is NotYet
        assert made.wire.count("POST") == 0


@BOTH
@in_loop
async def test_what_was_approved_is_sent_as_it_is_or_not_at_all(kind: str) -> None:
    async with world(kind) as (made, venue):
        for terms in ({"quantity": "0.0000015"}, {"limit": "54000.001"}):
            with pytest.raises(InvalidInput, match="a multiple of"):
                await venue.submit(approved(**terms), ID)  # type: ignore[arg-type]
        assert made.wire.count("POST") == 0


# ----------------------------------------------------------------------------------------------------- what is written


@BOTH
@in_loop
async def test_a_market_buy_is_by_quantity(kind: str) -> None:
    async with world(kind) as (made, venue):
        assert isinstance(await outcome(venue, quantity="0.00123"), Ack)
        (order,) = made.orders
        assert (order.type, order.quantity, order.spend, order.client_id) == ("MARKET", Decimal("0.00123"), None, ID)


@BOTH
@pytest.mark.parametrize(("force", "type", "status"), [("ioc", "IOC", "cancelled"), ("fok", "FOK", "cancelled")])
@in_loop
async def test_immediate_orders(kind: str, force: Any, type: str, status: str) -> None:
    async with world(kind) as (made, venue):
        await outcome(venue, limit=AWAY, force=force)
        if kind == "binance" or made.orders:
            assert [order.type for order in made.orders] == [type]
            found = await venue.find(ID, SPOT)
            assert isinstance(found, Found)
            assert found.value.status in (status, "expired")
            assert (found.value.time_in_force, found.value.type) == (force, "limit")


# ---------------------------------------------------------------------------------------------------------- our clock


@BOTH
@in_loop
async def test_a_clock_that_is_wrong_is_set_and_the_order_sent_once_more(kind: str) -> None:
    async with world(kind) as (made, venue):
        made.exchange.skew = 40 * 10**9
        assert isinstance(await outcome(venue, limit=AWAY), Ack)
        assert (made.wire.count("POST"), len(made.orders)) == (2, 1)
        made.exchange.skew = -40 * 10**9
        await venue.balances()


@BOTH
@in_loop
async def test_a_clock_that_cannot_be_set_is_certain(kind: str) -> None:
    async with world(kind) as (made, venue):
        made.exchange.skew = 40 * 10**9
        made.fault("drop_before", on="time")
        assert type(await outcome(venue, limit=AWAY)) is NotSent
        assert (made.wire.count("POST"), len(made.orders)) == (1, 0)


# ------------------------------------------------------------------------------------------------------ market orders


@BOTH
@pytest.mark.parametrize(("side", "bound"), [("buy", "60300.00"), ("sell", "59700.00")])
@in_loop
async def test_a_market_order_becomes_a_limit_that_is_immediate(kind: str, side: Any, bound: str) -> None:
    async with world(kind) as (made, venue):
        made.exchange.deposit("main", "BTC", 1)
        made.exchange.markets["BTCUSDT"].api_market_orders = False
        assert isinstance(await outcome(venue, side=side), Ack)
        (order,) = made.orders
        assert (order.type, order.price, order.status) == ("IOC", Decimal(bound), "FILLED")
        assert (order.client_id, order.quantity) == (ID, Decimal("0.001"))


@BOTH
@in_loop
async def test_the_bound_is_on_the_tick_and_never_passed(kind: str) -> None:
    async with world(kind, max_slippage="0.0000123") as (made, venue):
        made.exchange.markets["BTCUSDT"].api_market_orders = False
        await outcome(venue)
        (order,) = made.orders
        assert order.price == Decimal("60000.73")  # 60000.738 cut to the tick


@BOTH
@in_loop
async def test_the_replacement_that_gets_lost_is_unknown(kind: str) -> None:
    async with world(kind) as (made, venue):
        made.exchange.markets["BTCUSDT"].api_market_orders = False
        made.fault("drop_after", on="order.create", nth=2)
        assert is_unknown(await outcome(venue))
        assert len(made.orders) == 1
        assert isinstance(await venue.find(ID, SPOT), Found)


# ---------------------------------------------------------------------------------------------------------- duplicates


@BOTH
@pytest.mark.parametrize("behaviour", ["same", "reject", "reject_open"])
@in_loop
async def test_a_client_id_used_before_is_our_order(kind: str, behaviour: Any) -> None:
    async with world(kind) as (made, venue):
        made.exchange.duplicates = behaviour
        first = await outcome(venue, limit=AWAY)
        second = await outcome(venue, limit=AWAY)
        assert isinstance(first, Ack)
        assert isinstance(second, Ack)
        assert first.venue_order_id == second.venue_order_id
        assert len(made.orders) == 1


@BOTH
@in_loop
async def test_a_client_id_of_another_order_is_no_acknowledgement(kind: str) -> None:
    async with world(kind) as (made, venue):
        made.exchange.duplicates = "reject"
        await outcome(venue, limit=AWAY)
        assert type(await outcome(venue, limit=AWAY, quantity="0.002")) is Rejected
        assert len(made.orders) == 1


@BOTH
@pytest.mark.parametrize("fault", ["not_found", "drop_before"])
@in_loop
async def test_a_duplicate_that_cannot_be_looked_at_is_unknown(kind: str, fault: str) -> None:
    async with world(kind) as (made, venue):
        made.exchange.duplicates = "reject"
        await outcome(venue, limit=AWAY)
        made.fault(fault, on="order.query")
        if fault == "not_found":
            made.fault("drop_before", on="orders.*")
        assert is_unknown(await outcome(venue, limit=AWAY))


# ------------------------------------------------------------------------------------------------------------- retries


@pytest.mark.parametrize(
    "config",
    [
        {"options": {"maxRetriesOnFailure": 2}},
        {"options": {"order": {"maxRetriesOnFailure": 1}}},
        {"options": {"defaultMaxRetriesOnFailure": 1}},
        {"maxRetriesOnFailure": 3},
    ],
)
def test_a_planted_retry_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="0: a repeated submission can be a second order"):
        World("mexc").venue(config=config)


@in_loop
async def test_a_retry_planted_by_the_hook_is_refused() -> None:
    made = World("mexc")

    def prepare(client: Any) -> None:
        made._prepare(client)
        client.options["maxRetriesOnFailure"] = 2

    venue = made.venue(prepare=prepare)
    assert type(await outcome(venue)) is InvalidInput
    assert made.wire.asked == []


@BOTH
@in_loop
async def test_a_retry_planted_later_is_held_back_at_the_wire(kind: str) -> None:
    async with world(kind) as (made, venue):
        made.client.options["maxRetriesOnFailure"] = 2
        made.fault("drop_after", on="order.create")
        assert is_unknown(await outcome(venue, limit=AWAY))
        assert (made.wire.count("POST"), len(made.orders)) == (1, 1)


# ------------------------------------------------------------------------------------------- real sockets, and secrets


@BOTH
@in_loop
async def test_no_connection_means_nothing_was_sent_and_a_broken_one_does_not(kind: str) -> None:
    api = made_api(kind, SystemClock().now)
    clients: list[Any] = []
    async with serving(api) as server:
        venue = CcxtVenue(
            kind,
            "main",
            [SPOT],
            key=KEY,
            secret=SECRET,
            clock=SystemClock().now,
            url=server.url,
            timeout="2s",
            prepare=clients.append,
        )
        await venue.rules([SPOT])
        async with dropping() as url:
            clients[0].urls["api"] = moved(clients[0].urls["api"], url)
            broken = await outcome(venue)
            assert is_unknown(broken), broken
        assert type(await outcome(venue)) is NotSent  # nobody listens there any more
        clients[0].urls["api"] = moved(clients[0].urls["api"], "http://no-such-host.invalid")
        assert type(await outcome(venue)) is NotSent
        await venue.close()
    assert api.exchange.orders == []


class dropping:
    """A server that reads a request and hangs up."""

    async def __aenter__(self) -> str:
        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.close()

        self._server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()


@BOTH
@in_loop
async def test_secrets_are_in_no_error_and_no_log(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    async with world(kind) as (made, venue):
        for fault in ("drop_after", "error_after", "nonsense", "rate_limit", "not_found", "stall", "forbidden"):
            made.api.faults.clear()
            made.now_ns += 60 * 10**9
            made.fault(fault, on="*", seconds=30)
            for asked in (outcome(venue), venue.balances(), venue.find(ID, SPOT), venue.cancel(ID, SPOT)):
                try:
                    said.append(repr(await asked))
                except Exception as error:  # noqa: BLE001 - all of them
                    said += [repr(error), str(error), repr(error.__cause__)]
        made.wire.on("POST", "/api/v3/order", json_reply({"code": 1, "msg": f"key {KEY} secret {SECRET}"}, 400))
        made.api.faults.clear()
        made.now_ns += 60 * 10**9
        said.append(str(await outcome(venue)))
        said.append(repr(venue.__dict__))
    text = "\n".join([*said, caplog.text])
    assert KEY not in text
    assert SECRET not in text
    assert "signature=" not in text


@BOTH
@in_loop
async def test_wrong_keys(kind: str) -> None:
    made = World(kind)
    for wrong in ({"key": "nobody"}, {"secret": "wrong"}):
        venue = made.venue(**wrong)
        with pytest.raises(InvalidInput, match=f"{kind}.key"):
            await venue.examine()
        with pytest.raises(InvalidInput):
            await venue.balances()
        assert type(await outcome(venue)) is Rejected
        await venue.close()
    with pytest.raises(InvalidInput, match=f"{kind}.key"):
        await made.venue(key="", secret="").examine()
    assert type(await outcome(made.venue(key="", secret=""))) is InvalidInput


def test_what_could_never_work() -> None:
    made = World("mexc")
    for given, path in (
        ({"recv_window": "2 minutes"}, "recvWindow"),
        ({"max_slippage": "1"}, "maxSlippage"),
        ({"key": "line\n"}, "key"),
        ({"config": {"verbose": True}}, "verbose"),
        ({"config": {"apiKey": "x"}}, "apiKey"),
    ):
        with pytest.raises(InvalidInput, match=path):
            made.venue(**given)
    for symbols in ([], ["BTC/USDT:USDT"], ["AAPL"]):
        with pytest.raises(InvalidInput, match="symbols"):
            CcxtVenue("mexc", "main", symbols, key=KEY, secret=SECRET, clock=made.clock)


@in_loop
async def test_an_exchange_that_does_not_exist() -> None:
    venue = CcxtVenue("nosuch", "main", [SPOT], key=KEY, secret=SECRET, clock=lambda: 0)
    with pytest.raises(InvalidInput, match="an exchange that ccxt knows"):
        await venue.rules()


@BOTH
@in_loop
async def test_another_account_and_what_no_gate_made(kind: str) -> None:
    async with world(kind) as (made, _):
        other = CcxtVenue(kind, "other", [SPOT], key=KEY, secret=SECRET, clock=made.clock)
        with pytest.raises(InvalidInput, match="account"):
            await other.submit(approved(), ID)


def test_the_grace_covers_what_a_request_may_live() -> None:
    capabilities = World("mexc").venue(recv_window="5s").capabilities
    assert capabilities.absence_is_proof
    assert capabilities.grace.total_seconds() == 5 + 1 + 30
    generic = CcxtVenue("kraken", "main", ["BTC/USD"], key=KEY, secret=SECRET, clock=lambda: 0).capabilities
    assert not generic.absence_is_proof


def test_price_is_where_the_tests_think() -> None:
    assert World("mexc").exchange.books["BTCUSDT"].price == PRICE
    assert issubclass(NotYet, Retryable)
