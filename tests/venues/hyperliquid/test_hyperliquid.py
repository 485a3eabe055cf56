"""Hyperliquid's adapter against everything that can come back, and everything that can fail to."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from hyperliquid.exchange import Exchange
from hyperliquid.utils import signing
from hyperliquid.utils.types import Cloid
from hypothesis import example, given, strategies

from tests.venues.approved import KEY1, KEY2, KEY3, approved
from tests.venues.hyperliquid.server import AGENT, AGENT_KEY, MASTER
from tests.venues.hyperliquid.staging import SYMBOL, HyperliquidStage, staged
from tests.venues.loopback import staging
from tickwork.errors import Fatal, InvalidInput, NotSent, NotYet, Rejected, Retryable
from tickwork.outcome import Found, NotFound
from tickwork.trading.orders import Order
from tickwork.trading.venue import Balance
from tickwork.values import rounded_down
from tickwork.venues.hyperliquid import info as module
from tickwork.venues.hyperliquid.markets import Market
from tickwork.venues.hyperliquid.signing import Signer
from tickwork.venues.hyperliquid.venue import MAINNET, TESTNET, HyperliquidVenue
from tickwork.venues.wire import Unanswered

on_stage = staging(staged)

BUY = approved(SYMBOL, "buy", "0.01")
REST = approved(SYMBOL, "buy", "0.01", limit="45000")
SELL = approved(SYMBOL, "sell", "0.01", reduce_only=True)


async def found(stage: HyperliquidStage, key: str = KEY1) -> Order:
    answer = await stage.venue.find(key, SYMBOL)
    assert isinstance(answer, Found)
    return answer.value


def unknown(error: BaseException) -> bool:
    """Neither certain nor harmless: somebody must look."""
    return not isinstance(error, Fatal | NotSent)


def sent(stage: HyperliquidStage, kind: str = "order") -> dict[str, Any]:
    """The last action of this kind that was sent, with its envelope."""
    bodies = [json.loads(body) for _, path, body in stage.exchange.line.asked if path == "/exchange"]
    return next(body for body in reversed(bodies) if body["action"]["type"] == kind)


# -- submitting: what it means when it fails --------------------------------------------------------------------------


OK = '{"status":"ok","response":{"type":"order","data":{"statuses":[%s]}}}'


@pytest.mark.parametrize(
    "fault",
    [
        {"drop": True},
        {"stall": True},
        {"status": 500, "body": "null"},
        {"status": 502, "body": "<html>bad gateway</html>", "kind": "text/html"},
        {"status": 403, "body": "<html>blocked</html>", "kind": "text/html"},
        {"status": 422, "body": "<html>proxy</html>", "kind": "text/html"},
        {"status": 200, "body": "<html>maintenance</html>", "kind": "text/html"},
        {"status": 200, "body": '{"status":"ok","resp'},
        {"status": 200, "body": "null"},
        {"status": 200, "body": "{}"},
        {"status": 200, "body": '{"status":"perhaps"}'},
        {"status": 200, "body": '{"status":"ok","response":{"type":"cancel","data":{"statuses":["success"]}}}'},
        {"status": 200, "body": OK % ""},
        {"status": 200, "body": OK % '"waitingForFill"'},
        {"status": 200, "body": OK % '{"resting":{"oid":"x"}}'},
        {"status": 200, "body": OK % '{"resting":{"oid":-1}}'},
        {"status": 200, "body": OK % '{"filled":{"oid":1,"totalSz":"0.02"}}'},
        {"status": 200, "body": OK % '{"filled":{"oid":1,"totalSz":"NaN"}}'},
        {"status": 200, "body": OK % '{"error":"Duplicate cloid"}'},
        {"status": 200, "body": '{"status":"err","response":"Invalid nonce: duplicate nonce 7"}'},
    ],
)
@pytest.mark.parametrize("before", [True, False])
@on_stage(timeout="300ms")
async def test_an_answer_that_says_nothing_is_unknown_and_a_look_resolves_it(
    stage: HyperliquidStage, fault: dict[str, Any], before: bool
) -> None:
    stage.exchange.line.fail("POST", '"order"', before=before, **fault)
    with pytest.raises(Exception) as failed:  # what it is not is the point
        await stage.venue.submit(REST, KEY1)
    assert unknown(failed.value), failed.value
    assert isinstance(await stage.venue.find(KEY1, SYMBOL), NotFound) == before


@pytest.mark.parametrize(
    ("answer", "error", "why"),
    [
        ('{"status":"err","response":"User or API Wallet 0x12 does not exist."}', InvalidInput, "agent"),
        ('{"status":"err","response":"Must deposit before performing actions."}', Rejected, "Must deposit"),
        ('{"status":"err","response":"Too many cumulative requests sent (10001 > 10000)"}', NotSent, "Too many"),
        ('{"status":"err","response":"Invalid nonce: too old"}', NotSent, "nonce"),
        (OK % '{"error":"Insufficient margin to place order. asset=0"}', Rejected, "Insufficient margin"),
        (OK % '{"error":"Trading is halted."}', NotYet, "halted"),
        (OK % '{"error":"Only post-only orders allowed immediately after a network upgrade."}', NotYet, "post-only"),
    ],
)
@on_stage()
async def test_a_no_is_a_no(stage: HyperliquidStage, answer: str, error: type[Exception], why: str) -> None:
    stage.exchange.line.fail("POST", '"order"', before=True, status=200, body=answer)
    with pytest.raises(error, match=why) as failed:
        await stage.venue.submit(REST, KEY1)
    assert type(failed.value) is error
    assert not unknown(failed.value)


@pytest.mark.parametrize(
    ("order", "why"),
    [
        (approved(SYMBOL, "buy", "1000000"), "Insufficient margin"),
        (approved(SYMBOL, "buy", "0.00001"), "minimum value of"),
        (approved(SYMBOL, "buy", "0.000001"), "off the step"),
        (approved(SYMBOL, "buy", "1", limit="45678.9"), "off the tick"),
        (approved("NOSUCH/USDC:USDC", "buy", "1"), "unknown symbol"),
        (approved("BTC/USDC", "buy", "1"), "unknown symbol"),
        (approved("GONE/USDC:USDC", "buy", "100"), "unknown symbol"),
        (approved(SYMBOL, "buy", "1", account="other"), "unknown account"),
        (approved(SYMBOL, "buy", "1", limit="45000", time_in_force="fok"), "fill-or-kill"),
        (approved(SYMBOL, "buy", "1", limit="45000", time_in_force="ioc"), "could not immediately match"),
        (approved(SYMBOL, "buy", "1", leverage="41"), "leverage 41"),
        (approved(SYMBOL, "buy", "1", leverage="2.5"), "whole number"),
        (approved(SYMBOL, "sell", "1", reduce_only=True), "Reduce only order would increase position"),
    ],
)
@on_stage()
async def test_what_cannot_be_is_rejected(stage: HyperliquidStage, order: Any, why: str) -> None:
    with pytest.raises(Rejected, match=why):
        await stage.venue.submit(order, KEY1)
    assert stage.exchange.orders == []


@on_stage()
async def test_too_many_requests_is_not_sent(stage: HyperliquidStage) -> None:
    stage.exchange.line.fail("POST", '"order"', before=True, status=429, body="null")
    with pytest.raises(NotSent):
        await stage.venue.submit(REST, KEY1)
    stage.exchange.line.fail("POST", "frontendOpenOrders", before=True, status=429, body="null")
    with pytest.raises(Retryable):
        await stage.venue.open_orders()


@on_stage()
async def test_what_could_not_connect_was_not_sent(stage: HyperliquidStage) -> None:
    nowhere = HyperliquidVenue(AGENT_KEY, address=MASTER, clock=stage.clock, host="http://127.0.0.1:1")
    with pytest.raises(NotSent):
        await nowhere.submit(REST, KEY1)
    await nowhere.close()


@pytest.mark.parametrize("part", ["l2Book", "activeAssetData", "updateLeverage"])
@pytest.mark.parametrize(
    "fault",
    [{"drop": True}, {"status": 500, "body": "null"}, {"status": 200, "body": "<html>"}, {"status": 200, "body": "{}"}],
)
@on_stage()
async def test_an_order_that_could_not_be_made_ready_was_not_sent(
    stage: HyperliquidStage, part: str, fault: dict[str, Any]
) -> None:
    stage.exchange.line.fail("POST", part, **fault)
    with pytest.raises(NotSent):
        await stage.venue.submit(BUY, KEY1)
    assert stage.exchange.line.count("POST", '"order"') == 0


@on_stage()
async def test_a_book_that_is_old_or_empty_decides_nothing(stage: HyperliquidStage) -> None:
    stage.exchange.behind_ms = 11_000
    with pytest.raises(NotSent, match="old by this clock"):
        await stage.venue.submit(BUY, KEY1)
    now, stage.exchange.behind_ms = stage.exchange.now_ms, 0
    one, zero = [{"px": "1", "sz": "1"}], [{"px": "0", "sz": "1"}]
    books: list[Any] = [[[], one], [zero, one], [[]], "x"]
    for book in books:
        stage.exchange.line.fail("POST", "l2Book", status=200, body=json.dumps({"time": now, "levels": book}))
        with pytest.raises(NotSent):
            await stage.venue.submit(BUY, KEY1)
    assert stage.exchange.orders == []
    await stage.venue.submit(BUY, KEY1)
    stage.exchange.behind_ms = 60_000  # a reduction is only bounded by it
    assert (await stage.venue.submit(SELL, KEY2)).status == "filled"


# -- what is sent -----------------------------------------------------------------------------------------------------


@on_stage()
async def test_the_request_is_the_one_the_sdk_would_send(
    stage: HyperliquidStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte, signature and all: the SDK's own client as oracle."""
    from eth_account import Account

    await stage.venue.submit(approved(SYMBOL, "buy", "0.0125", limit="45678", leverage="7"), KEY1)
    ours, leverage = sent(stage), sent(stage, "updateLeverage")
    await stage.venue.cancel(KEY1, SYMBOL)
    cancel = sent(stage, "cancelByCloid")
    theirs: list[dict[str, Any]] = []

    def oracle() -> None:
        client = Exchange(Account.from_key(AGENT_KEY), base_url=stage.host, account_address=MASTER)
        monkeypatch.setattr(client, "post", lambda path, payload: theirs.append(payload))
        calls: list[tuple[dict[str, Any], Callable[[], Any]]] = [
            (leverage, lambda: client.update_leverage(7, "BTC")),
            (
                ours,
                lambda: client.order(
                    "BTC", True, 0.0125, 45678, {"limit": {"tif": "Gtc"}}, cloid=Cloid.from_str(f"0x{KEY1}")
                ),
            ),
            (cancel, lambda: client.cancel_by_cloid("BTC", Cloid.from_str(f"0x{KEY1}"))),
        ]
        for request, call in calls:
            monkeypatch.setattr("hyperliquid.exchange.get_timestamp_ms", lambda nonce=request["nonce"]: nonce)
            client.set_expires_after(request["expiresAfter"])
            call()
        for session in (client.session, client.info.session):
            session.close()

    await asyncio.to_thread(oracle)
    assert [json.dumps(one) for one in theirs] == [json.dumps(one) for one in (leverage, ours, cancel)]


@on_stage()
async def test_an_order_is_good_for_its_validity_and_no_longer(stage: HyperliquidStage) -> None:
    stage.exchange.line.fail("POST", '"order"', before=True, drop=True)
    with pytest.raises(Unanswered):
        await stage.venue.submit(REST, KEY1)
    late = sent(stage)
    assert late["expiresAfter"] == late["nonce"] + 15_000
    stage.exchange.now_ms += 15_001
    async with httpx2.AsyncClient() as client:  # the lost request arrives at last
        answer = await client.post(f"{stage.host}/exchange", json=late)
    assert answer.json()["status"] == "err"
    assert stage.exchange.orders == []


@on_stage()
async def test_a_request_that_arrives_twice_is_one_order(stage: HyperliquidStage) -> None:
    await stage.venue.submit(REST, KEY1)
    async with httpx2.AsyncClient() as client:
        answer = await client.post(f"{stage.host}/exchange", json=sent(stage))
    assert "duplicate nonce" in answer.json()["response"]
    assert len(stage.exchange.orders) == 1


@on_stage()
async def test_an_order_that_comes_too_late_was_not_sent(stage: HyperliquidStage) -> None:
    await stage.venue.submit(REST, KEY1)
    stage.ahead_ms = -20_000  # our clock is behind by more than the validity
    with pytest.raises(NotSent, match="expired"):
        await stage.venue.submit(SELL, KEY2)


def test_nonces_are_never_used_twice() -> None:
    """Nor in one and the same millisecond, nor when the clock goes back."""
    times = [7_000_000, 7_000_001, 7_999_999, 5_000_000, 20_000_000]
    signer = Signer(AGENT_KEY, vault=None, mainnet=False, clock=lambda: times.pop(0), path="key")
    assert [signer.cancel(0, KEY1)["nonce"] for _ in range(5)] == [7, 8, 9, 10, 20]


@on_stage()
async def test_a_market_order_is_bounded_by_the_slippage(stage: HyperliquidStage) -> None:
    await stage.venue.submit(BUY, KEY1)
    order = sent(stage)["action"]["orders"][0]
    assert (order["p"], order["t"], order["r"]) == ("50500", {"limit": {"tif": "Ioc"}}, False)
    await stage.venue.submit(SELL, KEY2)
    order = sent(stage)["action"]["orders"][0]
    assert (order["p"], order["r"], order["b"]) == ("49500", True, False)
    pepe = approved("KPEPE/USDC:USDC", "buy", "5000")
    await stage.venue.submit(pepe, KEY3)
    assert sent(stage)["action"]["orders"][0]["p"] == "0.012468"  # 0.01246845, to five figures and six decimals


@on_stage()
async def test_leverage_is_set_only_where_it_is_another(stage: HyperliquidStage) -> None:
    await stage.venue.submit(BUY, KEY1)
    await stage.venue.submit(BUY, KEY2)
    assert stage.exchange.line.count("POST", "updateLeverage") == 1
    assert stage.exchange.leverage["BTC"] == {"type": "cross", "value": 1}
    stage.exchange.leverage["BTC"]["value"] = 5  # by somebody else
    await stage.venue.submit(SELL, KEY3)  # a reduction leaves it alone
    assert stage.exchange.leverage["BTC"]["value"] == 5
    await stage.venue.submit(approved("ETH/USDC:USDC", "sell", "1", leverage="3"), f"{9:032x}")
    assert stage.exchange.leverage["ETH"] == {"type": "isolated", "value": 3}  # it cannot be cross


@on_stage()
async def test_orders_of_other_leverage_wait_for_each_other(stage: HyperliquidStage) -> None:
    orders = [approved(SYMBOL, "buy", "0.01", limit="45000", leverage=str(number)) for number in (1, 2, 3, 4)]
    await asyncio.gather(*(stage.venue.submit(order, f"{at:032x}") for at, order in enumerate(orders)))
    actions = [json.loads(body)["action"] for _, path, body in stage.exchange.line.asked if path == "/exchange"]
    assert [action["type"] for action in actions] == ["updateLeverage", "order"] * 4


# -- prices -----------------------------------------------------------------------------------------------------------


@given(
    strategies.decimals("0.000001", "200000", places=8),
    strategies.integers(0, 6),
    strategies.sampled_from(["buy", "sell"]),
)
def test_law_limits_are_what_the_sdk_rounds_to_or_one_tick_to_the_passive_side(
    price: Decimal, decimals: int, side: Any
) -> None:
    market = Market("X/USDC:USDC", "X", 0, decimals, 10, False, True)
    limit = market.bound(price, side)
    tick = market.tick(price)
    assert not limit or market.takes(limit)
    assert limit <= price if side == "buy" else limit >= price
    assert abs(limit - price) < tick
    whole = limit == limit.to_integral_value()
    assert whole or len(limit.normalize().as_tuple().digits) <= 5
    exponent = limit.normalize().as_tuple().exponent
    assert whole or (isinstance(exponent, int) and -exponent <= 6 - decimals)
    if limit:
        theirs = round(float(f"{float(limit):.5g}"), 6 - decimals)  # the SDK's rounding leaves it as it is
        assert signing.float_to_wire(theirs) == format(limit.normalize(), "f") or whole


@given(
    strategies.decimals("0.00001", "200000", places=8),
    strategies.integers(0, 6),
    strategies.decimals("0.01", "2", places=4),
)
@example(Decimal("9.8765"), 1, Decimal("1.9"))
def test_law_the_tick_is_good_up_to_twice_the_mark(mark: Decimal, decimals: int, far: Decimal) -> None:
    market = Market("X/USDC:USDC", "X", 0, decimals, 10, False, True)
    price = rounded_down(mark * far, market.rules(mark).price_tick)
    assert not price or market.takes(price)


# -- looking ----------------------------------------------------------------------------------------------------------


STATUSES = [
    ("open", "0.01", "acknowledged"),
    ("open", "0.004", "partially_filled"),
    ("triggered", "0.01", "acknowledged"),
    ("filled", "0.0", "filled"),
    ("filled", "0.004", "partially_cancelled"),
    ("canceled", "0.01", "cancelled"),
    ("canceled", "0.004", "partially_cancelled"),
    ("scheduledCancel", "0.01", "cancelled"),
    ("marginCanceled", "0.004", "partially_cancelled"),
    ("vaultWithdrawalCanceled", "0.01", "cancelled"),
    ("reduceOnlyCanceled", "0.01", "cancelled"),
    ("delistedCanceled", "0.01", "cancelled"),
    ("liquidatedCanceled", "0.01", "cancelled"),
    ("selfTradeCanceled", "0.01", "cancelled"),
    ("rejected", "0.01", "rejected"),
    ("tickRejected", "0.01", "rejected"),
    ("perpMarginRejected", "0.01", "rejected"),
    ("iocCancelRejected", "0.01", "rejected"),
]


@on_stage()
async def test_every_status_has_a_state(stage: HyperliquidStage) -> None:
    await stage.venue.submit(REST, KEY1)
    row = stage.exchange.orders[0]
    for status, left, state in STATUSES:
        row["status"], row["order"]["sz"] = status, left
        order = await found(stage)
        assert (order.status, order.filled) == (state, Decimal("0.01") - Decimal(left)), status


@pytest.mark.parametrize(
    ("field", "value"),
    [("sz", "0.02"), ("sz", None), ("origSz", "NaN"), ("oid", "7"), ("side", "X"), ("coin", "NOSUCH"), ("tif", "Gtd")],
)
@on_stage()
async def test_an_order_that_cannot_be_is_an_error_that_names_the_field(
    stage: HyperliquidStage, field: str, value: object
) -> None:
    await stage.venue.submit(REST, KEY1)
    row = {**stage.exchange.orders[0]["order"], field: value}
    stage.exchange.line.fail("POST", "frontendOpenOrders", status=200, body=json.dumps([row]))
    with pytest.raises(InvalidInput) as failed:
        await stage.venue.open_orders()
    assert field in failed.value.path or (field, failed.value.expected) == ("coin", "the contract NOSUCH")


@pytest.mark.parametrize("what", ["open_orders", "fills", "balances", "rules", "examine", "find"])
@on_stage()
async def test_a_failed_question_is_never_an_empty_answer(stage: HyperliquidStage, what: str) -> None:
    asked = {"fills": ("", 0), "find": (KEY1, SYMBOL)}.get(what, ())
    for body in ("", "<html></html>", "{}", "null", '{"error":"x"}', "[null]", '[{"oid":1'):
        stage.exchange.line.fail("POST", "/info", status=200, body=body)
        with pytest.raises(InvalidInput):
            await getattr(stage.venue, what)(*asked)
    stage.exchange.line.fail("POST", "/info", status=422, body="Failed to deserialize the JSON body")
    with pytest.raises(InvalidInput):
        await getattr(stage.venue, what)(*asked)


@on_stage()
async def test_an_order_is_looked_for_in_the_lists_before_it_is_not_found(stage: HyperliquidStage) -> None:
    await stage.venue.submit(REST, KEY1)
    stage.exchange.unseen = 1
    assert (await found(stage)).status == "acknowledged"
    stage.exchange.unseen = 2
    with pytest.raises(Retryable, match="shows no status"):
        await stage.venue.find(KEY1, SYMBOL)


@on_stage()
async def test_a_server_that_is_behind_is_not_believed(stage: HyperliquidStage) -> None:
    assert isinstance(await stage.venue.find(KEY1, SYMBOL), NotFound)
    for behind in (10_001, -10_001):
        stage.exchange.behind_ms = behind
        with pytest.raises(Retryable, match="old by this clock"):
            await stage.venue.find(KEY1, SYMBOL)


@on_stage()
async def test_the_dear_lists_are_asked_for_every_twenty_seconds(stage: HyperliquidStage) -> None:
    for _ in range(5):
        await stage.venue.find(KEY1, SYMBOL)
        stage.exchange.now_ms += 5_000
    assert stage.exchange.line.count("POST", "historicalOrders") == 2


@on_stage()
async def test_an_asset_cut_off_is_told_by_its_fills_once_that_is_long_ago(stage: HyperliquidStage) -> None:
    """Should a cancelled order say that nothing is left of it, its fills know better."""
    stage.exchange.partial = Decimal("0.004")
    assert (await stage.venue.submit(BUY, KEY1)).status == "partially_cancelled"
    assert ((await found(stage)).status, (await found(stage)).filled) == ("partially_cancelled", Decimal("0.004"))
    stage.exchange.orders[0]["order"]["sz"] = "0.0"
    assert (await found(stage)).filled == Decimal("0.01")
    stage.exchange.now_ms += 61_000
    order = await found(stage)
    assert order.status == "partially_cancelled"
    assert (order.filled, order.filled_notional) == (Decimal("0.004"), Decimal(200))


def test_fills_are_read_to_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAGE_FILLS", 3)

    async def play() -> None:
        async with staged() as stage:
            exchange = stage.exchange
            given = exchange._fills
            monkeypatch.setattr(exchange, "_fills", lambda begin: given(begin)[:3])
            for number in range(7):
                await stage.venue.submit(BUY, f"{number:032x}")
            await stage.reopen()
            exchange.cloids_in_fills = False  # then each order is asked for
            fills = await stage.venue.fills(SYMBOL, 0)
            assert [fill.client_order_id for fill in fills] == [f"{number:032x}" for number in range(7)]
            assert len({fill.fill_id for fill in fills}) == 7
            assert await stage.venue.fills("", fills[4].time) == fills[4:]
            assert await stage.venue.fills("ETH/USDC:USDC", 0) == []
            for trade in exchange.trades:
                trade["time"] = exchange.trades[0]["time"]
            for number, trade in enumerate(exchange.trades):
                trade["tid"] = number
            with pytest.raises(InvalidInput, match="fewer of one millisecond"):
                await stage.venue.fills("", 0)

    asyncio.run(play())


@on_stage()
async def test_spot_and_other_dexes_are_not_shown(stage: HyperliquidStage) -> None:
    await stage.venue.submit(BUY, KEY1)
    await stage.venue.submit(REST, KEY2)
    for coin in ("@107", "PURR/USDC", "xyz:TSLA"):
        row = stage.exchange.orders[1]
        stage.exchange.orders.append({**row, "order": {**row["order"], "coin": coin, "cloid": None, "oid": 1}})
        stage.exchange.trades.append({**stage.exchange.trades[0], "coin": coin})
    row = stage.exchange.orders[1]
    stage.exchange.orders.append({**row, "order": {**row["order"], "cloid": None, "oid": 2}})
    assert [order.client_order_id for order in await stage.venue.open_orders()] == ["", KEY2]
    assert [fill.client_order_id for fill in await stage.venue.fills("", 0)] == [KEY1]


@on_stage()
async def test_balances_of_a_part(stage: HyperliquidStage) -> None:
    await stage.venue.submit(REST, KEY1)
    stage.exchange.trade_part("BTC", Decimal(44_000), Decimal("0.004"))
    balances = await stage.venue.balances()
    paid = Decimal(176) + Decimal(176) * Decimal("0.00045")
    assert balances == {
        "USDC": Balance(total=100_000 - paid, held=Decimal("0.006") * 45_000),
        SYMBOL: Balance(total=Decimal("0.004"), held=Decimal(0)),
    }


@on_stage()
async def test_balances_of_a_short(stage: HyperliquidStage) -> None:
    await stage.venue.submit(approved(SYMBOL, "sell", "0.5", leverage="3"), KEY1)
    balances = await stage.venue.balances()
    assert balances[SYMBOL].total == Decimal("-0.5")
    assert balances["USDC"].total == 100_000 + 25_000 - 25_000 * Decimal("0.00045")


# -- cancelling -------------------------------------------------------------------------------------------------------


@on_stage()
async def test_a_cancel_that_comes_too_late_gives_the_order_as_it_is(stage: HyperliquidStage) -> None:
    await stage.venue.submit(REST, KEY1)
    body = '{"status":"ok","response":{"type":"cancel","data":{"statuses":[%s]}}}'
    gone = body % '{"error":"Order was never placed, already canceled, or filled."}'
    stage.exchange.line.fail("POST", "cancelByCloid", before=True, status=200, body=gone)
    assert (await stage.venue.cancel(KEY1, SYMBOL)).status == "acknowledged"
    stage.exchange.line.fail("POST", "cancelByCloid", before=True, status=200, body=body % '"success"')
    assert (await stage.venue.cancel(KEY1, SYMBOL)).status == "cancelling"


@pytest.mark.parametrize(
    "fault",
    [
        {"drop": True},
        {"status": 500, "body": "null"},
        {"status": 422, "body": "Failed to deserialize"},
        {"status": 200, "body": '{"status":"err","response":"Must deposit before performing actions."}'},
        {"status": 200, "body": '{"status":"ok","response":{"type":"cancel","data":{"statuses":["perhaps"]}}}'},
    ],
)
@on_stage()
async def test_a_cancel_nobody_answers_is_unknown_and_may_be_repeated(
    stage: HyperliquidStage, fault: dict[str, Any]
) -> None:
    await stage.venue.submit(REST, KEY1)
    stage.exchange.line.fail("POST", "cancelByCloid", **fault)
    with pytest.raises(Unanswered):
        await stage.venue.cancel(KEY1, SYMBOL)
    assert (await stage.venue.cancel(KEY1, SYMBOL)).status == "cancelled"


# -- keys -------------------------------------------------------------------------------------------------------------


@on_stage()
async def test_the_report(stage: HyperliquidStage) -> None:
    report = await stage.venue.examine()
    assert (report.may_read, report.may_trade, report.may_withdraw) == (True, True, False)
    stage.ahead_ms = 2_500
    report = await stage.venue.examine()
    assert report.clock_skew is not None and report.clock_skew.total_seconds() == -2.5
    stage.exchange.roles[AGENT] = {"role": "agent", "data": {"user": "0x" + "cd" * 20}}
    assert (await stage.venue.examine()).may_trade is False
    stage.exchange.roles[AGENT] = {"role": "missing"}
    report = await stage.venue.examine()
    assert report.may_trade is False
    assert "a missing" in report.notes[-1]


@on_stage(key="0x" + "7d" * 32)
async def test_a_key_that_is_not_approved_says_so(stage: HyperliquidStage) -> None:
    with pytest.raises(InvalidInput) as failed:
        await stage.venue.submit(REST, KEY1)
    assert failed.value.path == "hyperliquid.key"
    assert "7d7d" not in f"{failed.value!r}"


SUB = "0x" + "5b" * 20


@on_stage(address=SUB, vault=True)
async def test_a_sub_account_is_traded_for(stage: HyperliquidStage) -> None:
    with pytest.raises(Rejected, match="Vault not registered"):
        await stage.venue.submit(SELL, KEY1)
    stage.exchange.subaccounts.add(SUB)
    stage.exchange.roles[SUB] = {"role": "subAccount", "data": {"master": MASTER}}
    await stage.venue.submit(REST, KEY1)
    assert sent(stage)["vaultAddress"] == SUB
    assert (await stage.venue.examine()).may_trade is True


@pytest.mark.parametrize(
    ("terms", "path"),
    [
        ({"key": "0x12"}, "hyperliquid.key"),
        ({"key": "0x" + "zz" * 32}, "hyperliquid.key"),
        ({"key": "0x" + "00" * 32}, "hyperliquid.key"),
        ({"key": "0x" + "ff" * 32}, "hyperliquid.key"),
        ({"address": "0xabc"}, "hyperliquid.address"),
        ({"slippage": Decimal(0)}, "hyperliquid.slippage"),
        ({"slippage": 0.01}, "hyperliquid.slippage"),
        ({"slippage": Decimal("NaN")}, "hyperliquid.slippage"),
        ({"host": "ws://x"}, "hyperliquid.host"),
    ],
)
def test_what_could_never_work_is_said_at_once(terms: dict[str, Any], path: str) -> None:
    given = {"key": AGENT_KEY, "address": MASTER, **terms}
    with pytest.raises(InvalidInput) as failed:
        HyperliquidVenue(given.pop("key"), clock=lambda: 0, **given)
    assert failed.value.path == path
    assert "zzzz" not in str(failed.value) and "ffff" not in str(failed.value)


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hyperliquid.utils", None)
    with pytest.raises(InvalidInput, match=r"tickwork\[hyperliquid\]"):
        HyperliquidVenue(AGENT_KEY, address=MASTER, clock=lambda: 0)


def test_the_networks_are_those_of_the_sdk() -> None:
    from hyperliquid.utils import constants

    assert (MAINNET, TESTNET) == (constants.MAINNET_API_URL, constants.TESTNET_API_URL)
