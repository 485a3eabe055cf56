"""Alpaca's adapter against everything that can come back, and everything that can fail to."""

from __future__ import annotations

import asyncio
import json
import logging
from decimal import Decimal
from typing import Any

import pytest

from tests.venues.alpaca.server import KEY, SECRET, text
from tests.venues.alpaca.staging import AlpacaStage, staged
from tests.venues.approved import KEY1, KEY2, KEY3, approved
from tests.venues.loopback import staging
from tickwork.errors import Fatal, InvalidInput, NotSent, Rejected, Retryable
from tickwork.outcome import Found, NotFound
from tickwork.trading.orders import Order
from tickwork.trading.venue import Balance
from tickwork.venues.alpaca import venue as module
from tickwork.venues.alpaca.answers import STATES
from tickwork.venues.alpaca.venue import AlpacaVenue
from tickwork.venues.wire import Unanswered

on_stage = staging(staged)
BUY = approved("AAPL", "buy", "10")
REST = approved("AAPL", "buy", "10", limit="180")


async def found(stage: AlpacaStage, key: str = KEY1) -> Order:
    answer = await stage.venue.find(key, "AAPL")
    assert isinstance(answer, Found)
    return answer.value


async def bought(stage: AlpacaStage, quantity: str = "10", key: str = KEY3) -> None:
    await stage.venue.submit(approved(stage.symbol, "buy", quantity), key)
    await stage.trade_at(stage.price)


def unknown(error: BaseException) -> bool:
    """Neither certain nor harmless: somebody must look."""
    return not isinstance(error, Fatal | NotSent)


# -- submitting: what it means when it fails --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        {"drop": True},
        {"stall": True},
        {"status": 500, "body": '{"code":50010000,"message":"internal server error occurred"}'},
        {"status": 502, "body": "<html>bad gateway</html>", "kind": "text/html"},
        {"status": 504, "body": ""},
        {"status": 408, "body": '{"message":"request timeout"}'},
        {"status": 403, "body": "<html>blocked</html>", "kind": "text/html"},
        {"status": 302, "body": ""},
        {"status": 200, "body": "<html>maintenance</html>", "kind": "text/html"},
        {"status": 200, "body": '{"id": "61e69015-8549-4bfd-b9c3-01e75843f47d", "client_or'},
        {"status": 200, "body": "null"},
        {"status": 200, "body": "{}"},
        {"status": 200, "body": "[]"},
    ],
)
@pytest.mark.parametrize("before", [True, False])
@on_stage(timeout="300ms")
async def test_an_answer_that_says_nothing_is_unknown_and_a_look_resolves_it(
    stage: AlpacaStage, fault: dict[str, Any], before: bool
) -> None:
    stage.broker.line.fail("POST", "/v2/orders", before=before, **fault)
    with pytest.raises(Exception) as failed:  # what it is not is the point
        await stage.venue.submit(REST, KEY1)
    assert unknown(failed.value), failed.value
    there = await stage.venue.find(KEY1, "AAPL")
    assert isinstance(there, NotFound) == before
    ack = await stage.venue.submit(REST, KEY1)
    assert len(stage.broker.orders) == 1
    assert (ack.venue_order_id, ack.status) == (stage.broker.orders[0]["id"], "acknowledged")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", None),
        ("id", 7),
        ("id", ""),
        ("client_order_id", "f" * 32),
        ("symbol", "MSFT"),
        ("side", "hold"),
        ("type", "iceberg"),
        ("status", "levitating"),
        ("status", 3),
        ("qty", "NaN"),
        ("qty", "ten"),
        ("filled_qty", None),
        ("filled_qty", "-1"),
        ("filled_qty", "11"),
        ("filled_qty", 1e400),
        ("limit_price", "0"),
        ("created_at", "yesterday"),
        ("time_in_force", None),
    ],
)
@on_stage()
async def test_an_accepted_order_in_words_that_cannot_be_is_unknown(
    stage: AlpacaStage, field: str, value: object
) -> None:
    await stage.venue.submit(REST, KEY2)
    row = {**stage.broker.orders[0], "client_order_id": KEY1, field: value}
    stage.broker.line.fail("POST", "/v2/orders", status=200, body=json.dumps(row))
    with pytest.raises(Unanswered) as failed:
        await stage.venue.submit(REST, KEY1)
    said = str(failed.value).partition("it answered")[0]
    assert f".{field}" in said or "about another order" in said or "finite numbers" in said
    assert isinstance((await found(stage)).quantity, Decimal)


@on_stage()
async def test_what_could_not_connect_was_not_sent(stage: AlpacaStage) -> None:
    nowhere = AlpacaVenue(KEY, SECRET, clock=stage.clock, host="http://127.0.0.1:1")
    with pytest.raises(NotSent):
        await nowhere.submit(BUY, KEY1)
    with pytest.raises(NotSent):
        await nowhere.open_orders()
    await nowhere.close()


@on_stage()
async def test_too_many_requests_is_not_sent(stage: AlpacaStage) -> None:
    stage.broker.line.fail("POST", "/v2/orders", before=True, status=429, body='{"message":"too many requests."}')
    with pytest.raises(NotSent, match="too many requests"):
        await stage.venue.submit(BUY, KEY1)
    stage.broker.line.fail("GET", "/v2/orders", before=True, status=429, body='{"message":"too many requests."}')
    with pytest.raises(Retryable, match="too many requests"):
        await stage.venue.open_orders()


@on_stage(key="PKOFSOMEBODYELSE0001")
async def test_wrong_keys_say_so_everywhere(stage: AlpacaStage) -> None:
    venue = stage.venue
    for asked in (
        venue.submit(BUY, KEY1),
        venue.find(KEY1, "AAPL"),
        venue.cancel(KEY1, "AAPL"),
        venue.open_orders(),
        venue.balances(),
    ):
        with pytest.raises(InvalidInput) as failed:
            await asked
        assert failed.value.path == "alpaca.key"
        assert "paper and live" in failed.value.expected


@on_stage()
async def test_forbidden_is_about_the_keys_too(stage: AlpacaStage) -> None:
    stage.broker.line.fail("POST", "/v2/orders", before=True, status=403, body='{"message":"forbidden."}')
    with pytest.raises(InvalidInput) as failed:
        await stage.venue.submit(BUY, KEY1)
    assert failed.value.path == "alpaca.key"


@pytest.mark.parametrize(
    ("order", "why"),
    [
        (approved("AAPL", "buy", "1000000"), "insufficient buying power"),
        (approved("AAPL", "buy", "1", account="other"), "unknown account"),
        (approved("NOSUCH", "buy", "1"), "not found"),
        (approved("AAPL", "buy", "1.5", limit="180"), "fractions"),
        (approved("BTC/USD", "sell", "1"), "insufficient balance"),
        (approved("BTC/USD", "buy", "0.0001"), "minimal amount"),
        (approved("AAPL", "sell", "1", reduce_only=True), "nothing to reduce"),
    ],
)
@on_stage()
async def test_a_no_is_a_no(stage: AlpacaStage, order: Any, why: str) -> None:
    with pytest.raises(Rejected, match=why):
        await stage.venue.submit(order, KEY1)
    assert stage.broker.orders == []
    assert isinstance(await stage.venue.find(KEY1, "AAPL"), NotFound)


@on_stage()
async def test_a_no_to_a_resend_is_not_believed_while_the_order_is_there(stage: AlpacaStage) -> None:
    first = await stage.venue.submit(REST, KEY1)
    no = '{"code":40310000,"message":"insufficient buying power"}'
    stage.broker.line.fail("POST", "/v2/orders", before=True, status=403, body=no)
    assert await stage.venue.submit(REST, KEY1) == first


@on_stage()
async def test_a_no_that_cannot_be_looked_after_is_unknown(stage: AlpacaStage) -> None:
    no = '{"code":40310000,"message":"insufficient buying power"}'
    for fault in ({"drop": True}, {"status": 200, "body": "<html>"}, {"status": 503, "body": ""}):
        stage.broker.line.fail("POST", "/v2/orders", before=True, status=403, body=no)
        stage.broker.line.fail("GET", "by_client_order_id", before=True, **fault)
        with pytest.raises(Retryable) as failed:
            await stage.venue.submit(BUY, KEY1)
        assert unknown(failed.value)


@on_stage()
async def test_a_twin_that_is_not_shown_is_unknown(stage: AlpacaStage) -> None:
    await stage.venue.submit(REST, KEY1)
    gone = '{"code":40410000,"message":"order not found"}'
    stage.broker.line.fail("GET", "by_client_order_id", before=True, status=404, body=gone)
    with pytest.raises(Unanswered, match="shows no order"):
        await stage.venue.submit(REST, KEY1)


@on_stage()
async def test_other_rejections_of_code_40010001_are_no_twins(stage: AlpacaStage) -> None:
    no = '{"code":40010001,"message":"invalid position_intent specified"}'
    stage.broker.line.fail("POST", "/v2/orders", before=True, status=422, body=no)
    with pytest.raises(Rejected, match="40010001 invalid position_intent"):
        await stage.venue.submit(BUY, KEY1)


@on_stage()
async def test_an_order_that_is_rejected_as_it_is_accepted_is_rejected(stage: AlpacaStage) -> None:
    await stage.venue.submit(REST, KEY2)
    row = {**stage.broker.orders[0], "client_order_id": KEY1, "status": "rejected"}
    stage.broker.line.fail("POST", "/v2/orders", before=True, status=200, body=json.dumps(row))
    with pytest.raises(Rejected, match="rejected by the exchange"):
        await stage.venue.submit(REST, KEY1)


@on_stage()
async def test_a_client_id_has_32_digits(stage: AlpacaStage) -> None:
    with pytest.raises(InvalidInput):
        await stage.venue.submit(BUY, "42")
    assert stage.broker.orders == []


# -- what is sent -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "sent"),
    [
        (BUY, {"type": "market", "time_in_force": "day", "qty": "10"}),
        (approved("AAPL", "buy", "0.25"), {"type": "market", "time_in_force": "day", "qty": "0.25"}),
        (REST, {"type": "limit", "time_in_force": "gtc", "limit_price": "180"}),
        (approved("AAPL", "buy", "1", limit="180", time_in_force="ioc"), {"time_in_force": "ioc"}),
        (approved("AAPL", "buy", "1", limit="180", time_in_force="fok"), {"time_in_force": "fok"}),
        (approved("BTC/USD", "buy", "0.000400001"), {"time_in_force": "gtc", "qty": "0.000400001"}),
    ],
)
@on_stage()
async def test_the_terms_that_are_sent(stage: AlpacaStage, order: Any, sent: dict[str, str]) -> None:
    await stage.venue.submit(order, KEY1)
    body = json.loads(stage.broker.line.asked[-1][2])
    assert body | sent == body
    assert body["client_order_id"] == KEY1
    assert "position_intent" not in body


@on_stage()
async def test_orders_that_cannot_wait_end_at_once(stage: AlpacaStage) -> None:
    ioc = approved("AAPL", "buy", "1", limit="180", time_in_force="ioc")
    assert (await stage.venue.submit(ioc, KEY1)).status == "cancelled"
    fok = approved("AAPL", "buy", "1", limit="210", time_in_force="fok")
    assert (await stage.venue.submit(fok, KEY2)).status == "filled"


# -- reductions never turn a position ---------------------------------------------------------------------------------


@on_stage()
async def test_a_reduction_is_cut_to_what_is_free_of_the_position(stage: AlpacaStage) -> None:
    await bought(stage, "10")
    await stage.venue.submit(approved("AAPL", "sell", "4", limit="250", reduce_only=True), KEY1)
    await stage.venue.submit(approved("AAPL", "sell", "10", reduce_only=True), KEY2)
    await stage.trade_at(stage.price)
    assert (await found(stage, KEY2)).filled == 6
    assert stage.broker.positions == {"AAPL": Decimal(4)}


@on_stage()
async def test_reductions_at_the_same_time_sell_the_position_once(stage: AlpacaStage) -> None:
    await bought(stage, "10")
    order = approved("AAPL", "sell", "10", reduce_only=True)
    outcomes = await asyncio.gather(
        *(stage.venue.submit(order, f"{number:032x}") for number in range(10, 15)), return_exceptions=True
    )
    await stage.trade_at(stage.price)
    assert sum(isinstance(outcome, Rejected) for outcome in outcomes) == 4
    assert stage.broker.positions == {}


@on_stage()
async def test_reductions_at_the_same_time_share_the_position(stage: AlpacaStage) -> None:
    """Each is cut to what the one before has left, so neither is refused for asking too much."""
    await bought(stage, "10")
    order, line = approved("AAPL", "sell", "6", reduce_only=True), stage.broker.line
    line.fail("GET", "/v2/positions", pause=True)
    first = asyncio.create_task(stage.venue.submit(order, KEY1))
    await line.stalled.wait()
    second = asyncio.create_task(stage.venue.submit(order, KEY2))
    await stage.venue.examine()  # it has had the time to get ahead
    await stage.venue.examine()
    line.held.set()
    await asyncio.gather(first, second)
    await stage.trade_at(stage.price)
    assert stage.broker.positions == {}


@on_stage()
async def test_a_position_that_vanishes_before_the_wire_is_not_turned(stage: AlpacaStage) -> None:
    """Another program sells between our look and our order: Alpaca compares the intent, and refuses."""
    await bought(stage, "10")
    stage.broker.line.fail("GET", "/v2/positions/AAPL", before=True, status=200, body=json.dumps(_position(stage)))
    stage.broker.positions.clear()
    with pytest.raises(Rejected, match="position intent mismatch, inferred: sell_to_open"):
        await stage.venue.submit(approved("AAPL", "sell", "10", reduce_only=True), KEY1)
    assert stage.broker.positions == {}


def _position(stage: AlpacaStage) -> dict[str, Any]:
    return stage.broker._position("AAPL")


@on_stage()
async def test_a_short_is_bought_back_and_no_more(stage: AlpacaStage) -> None:
    await stage.venue.submit(approved("AAPL", "sell", "10"), KEY3)
    await stage.trade_at(stage.price)
    assert (await stage.venue.balances())["AAPL"].total == -10
    with pytest.raises(Rejected, match="nothing to reduce in AAPL: the position is -10"):  # it would add
        await stage.venue.submit(approved("AAPL", "sell", "1", reduce_only=True), KEY1)
    await stage.venue.submit(approved("AAPL", "buy", "25", reduce_only=True), KEY2)
    assert '"position_intent":"buy_to_close"' in stage.broker.line.asked[-1][2].replace(" ", "")
    await stage.trade_at(stage.price)
    assert stage.broker.positions == {}


@on_stage()
async def test_a_reduction_that_was_sent_before_is_the_same_order(stage: AlpacaStage) -> None:
    await bought(stage, "10")
    order = approved("AAPL", "sell", "10", reduce_only=True)
    first = await stage.venue.submit(order, KEY1)
    await stage.trade_at(stage.price)
    again = await stage.venue.submit(order, KEY1)
    assert (again.venue_order_id, again.status) == (first.venue_order_id, "filled")


@pytest.mark.parametrize("fault", [{"drop": True}, {"status": 500, "body": ""}, {"status": 200, "body": "<html>"}])
@on_stage()
async def test_a_reduction_whose_position_cannot_be_seen_is_not_sent(stage: AlpacaStage, fault: dict[str, Any]) -> None:
    await bought(stage)
    posts = stage.broker.line.count("POST", "")
    stage.broker.line.fail("GET", "/v2/positions", **fault)
    with pytest.raises(NotSent):
        await stage.venue.submit(approved("AAPL", "sell", "10", reduce_only=True), KEY1)
    assert stage.broker.line.count("POST", "") == posts


@on_stage()
async def test_what_resting_orders_hold_cannot_be_reduced_again(stage: AlpacaStage) -> None:
    await bought(stage, "10")
    await stage.venue.submit(approved("AAPL", "sell", "10", limit="250", reduce_only=True), KEY1)
    stop = approved("AAPL", "sell", "10", reduce_only=True)
    with pytest.raises(Rejected, match="of 10, open orders leave 0"):
        await stage.venue.submit(stop, KEY2)
    await stage.venue.cancel(KEY1, "AAPL")
    await stage.venue.submit(stop, KEY2)


@on_stage()
async def test_a_limit_that_reduces_is_cut_to_whole_shares(stage: AlpacaStage) -> None:
    await bought(stage, "10.5")
    await stage.venue.submit(approved("AAPL", "sell", "10.5", limit="250", reduce_only=True), KEY1)
    assert (await found(stage)).quantity == 10
    await stage.venue.cancel(KEY1, "AAPL")
    await stage.venue.submit(approved("AAPL", "sell", "10.5", reduce_only=True), KEY2)
    await stage.trade_at(stage.price)
    assert stage.broker.positions == {}


# -- looking ----------------------------------------------------------------------------------------------------------


@on_stage()
async def test_every_status_has_a_state(stage: AlpacaStage) -> None:
    await stage.venue.submit(REST, KEY1)
    row = stage.broker.orders[0]
    for status, state in STATES.items():
        for filled in ("0", "4", "10"):
            row["status"], row["filled_qty"] = status, filled
            row["filled_avg_price"] = "179.5" if filled != "0" else None
            order = await found(stage)
            assert (order.filled, order.filled_notional) == (Decimal(filled), Decimal(filled) * Decimal("179.5"))
            if filled == "0" or state in ("partially_filled", "filled", "cancelling", "expired"):
                assert order.status == state
            elif state == "acknowledged":
                assert order.status == "partially_filled"
            else:
                assert order.status == ("partially_cancelled" if filled == "4" else "filled")


@pytest.mark.parametrize(
    ("field", "value"),
    [("status", "levitating"), ("filled_qty", "NaN"), ("side", None), ("qty", True), ("symbol", 4)],
)
@on_stage()
async def test_a_list_with_one_order_that_cannot_be_is_an_error_that_names_the_field(
    stage: AlpacaStage, field: str, value: object
) -> None:
    await stage.venue.submit(REST, KEY1)
    stage.broker.orders[0][field] = value
    stage.broker.line.fail("GET", "/v2/orders", status=200, body=json.dumps(stage.broker.orders))
    with pytest.raises(InvalidInput) as failed:
        await stage.venue.open_orders()
    assert failed.value.path.endswith(f"[0].{field}")


@pytest.mark.parametrize("what", ["open_orders", "fills", "balances", "rules", "examine"])
@on_stage()
async def test_a_failed_question_is_never_an_empty_answer(stage: AlpacaStage, what: str) -> None:
    asked = {"fills": ("", 0)}.get(what, ())
    for body in ("", "<html></html>", "{}", "null", '{"message":"x"}', "[null]", '[{"id":"1"'):
        stage.broker.line.fail("GET", "/v2/", status=200, body=body)
        with pytest.raises(InvalidInput):
            await getattr(stage.venue, what)(*asked)


@on_stage()
async def test_an_order_is_looked_for_in_the_list_before_it_is_not_found(stage: AlpacaStage) -> None:
    await stage.venue.submit(REST, KEY1)
    gone = '{"code":40410000,"message":"order not found for 1"}'
    stage.broker.line.fail("GET", "by_client_order_id", before=True, status=404, body=gone)
    assert (await found(stage)).status == "acknowledged"
    for body, kind in (("<html>not found</html>", "text/html"), ("", "text/plain"), ("{}", "application/json")):
        stage.broker.line.fail("GET", "by_client_order_id", before=True, status=404, body=body, kind=kind)
        with pytest.raises(InvalidInput):  # somebody else's "not found"
            await stage.venue.find(KEY1, "AAPL")


@on_stage()
async def test_fills_that_are_not_listed_yet_leave_the_rounded_average(stage: AlpacaStage) -> None:
    stage.broker.partial = Decimal(4)
    await bought(stage, "10", KEY1)
    await stage.trade_at(Decimal("200.07"))
    stage.broker.fills_hidden = 1
    order = await found(stage)
    assert (order.status, order.filled) == ("partially_filled", Decimal(8))
    assert order.filled_notional == 8 * Decimal(stage.broker.orders[0]["filled_avg_price"])
    stage.broker.fills_hidden = 0
    assert (await found(stage)).filled_notional == 4 * Decimal(200) + 4 * Decimal("200.07")
    assert (await stage.venue.open_orders())[0].filled == 8


def test_lists_are_read_to_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAGE_ORDERS", 3)
    monkeypatch.setattr(module, "_PAGE_FILLS", 2)
    monkeypatch.setattr(module, "_FEW", 1)

    async def play() -> None:
        async with staged() as stage:
            for number in range(7):
                await bought(stage, "1", f"{number:032x}")
                await stage.venue.submit(approved("AAPL", "buy", "1", limit="180"), f"{number + 100:032x}")
            await stage.reopen()
            assert [order.client_order_id for order in await stage.venue.open_orders()] == [
                f"{number + 100:032x}" for number in range(7)
            ]
            fills = await stage.venue.fills("AAPL", 0)
            assert [fill.client_order_id for fill in fills] == [f"{number:032x}" for number in range(7)]
            assert await stage.venue.fills("BTC/USD", 0) == []
            assert await stage.venue.fills("", fills[4].time) == fills[4:]

    asyncio.run(play())


@on_stage()
async def test_orders_of_other_programs_are_shown_and_options_are_not(stage: AlpacaStage) -> None:
    await bought(stage, "5", KEY1)
    await stage.venue.submit(REST, KEY2)
    stop = {**stage.broker.orders[1], "id": "stop", "client_order_id": "dashboard-1", "type": "trailing_stop"}
    wish = {**stage.broker.orders[1], "id": "wish", "client_order_id": "wish", "qty": None, "notional": "500"}
    option = {**stage.broker.orders[1], "id": "o", "client_order_id": "o", "symbol": "AAPL260117C00200000"}
    stage.broker.orders += [stop, wish, option, {**option, "id": "legs", "symbol": ""}]
    shown = {order.client_order_id: order for order in await stage.venue.open_orders()}
    assert set(shown) == {KEY2, "dashboard-1", "wish"}
    assert shown["dashboard-1"].type == "market"
    fill = {**stage.broker.activities[0], "id": "f", "order_id": "o", "symbol": "AAPL260117C00200000"}
    stage.broker.activities.append(fill)
    stage.broker.activities.append({**fill, "id": "g", "symbol": "AAPL", "order_id": "gone", "side": "sell_short"})
    fills = await stage.venue.fills("", 0)
    assert [(one.client_order_id, one.side) for one in fills] == [(KEY1, "buy"), ("", "sell")]


@on_stage()
async def test_balances_of_shares_and_pairs(stage: AlpacaStage) -> None:
    await bought(stage, "10")
    await stage.venue.submit(approved("BTC/USD", "buy", "0.5"), KEY2)
    stage.broker.trade_at("BTC/USD", Decimal(50_000))
    await stage.venue.submit(approved("AAPL", "sell", "4", limit="250"), KEY1)
    balances = await stage.venue.balances()
    assert balances["AAPL"] == Balance(total=Decimal(10), held=Decimal(4))
    assert balances["BTC"] == Balance(total=Decimal("0.5"), held=Decimal(0))
    assert balances["USD"].total == Decimal(100_000) - 2_000 - 25_000


@on_stage()
async def test_what_is_asked_of_orders(stage: AlpacaStage) -> None:
    rules = await stage.venue.rules()
    assert set(rules) == {"AAPL", "BRK.B", "BTC/USD"}  # one of them cannot be traded
    assert set(await stage.venue.rules(["AAPL", "HALT", "NOSUCH", "BTC/USDC:USDC"])) == {"AAPL"}
    assert [text(rules["AAPL"].quantity_step), text(rules["BTC/USD"].quantity_step)] == ["1", "0.000000001"]
    given = AlpacaVenue(KEY, SECRET, clock=stage.clock, host=stage._host, fractional=True)
    fractions = await given.rules()
    await given.close()
    assert text(fractions["AAPL"].quantity_step) == "0.000000001"
    assert text(fractions["BRK.B"].quantity_step) == "1"


@on_stage()
async def test_the_report(stage: AlpacaStage) -> None:
    report = await stage.venue.examine()
    assert (report.may_read, report.may_trade, report.may_withdraw) == (True, True, None)
    assert report.clock_skew is not None and report.clock_skew.total_seconds() == 0
    stage.broker.blocked, stage.broker.shorting = True, False
    report = await stage.venue.examine()
    assert report.may_trade is False
    assert "the account says trading_blocked" in report.notes
    assert "the account may not sell short" in report.notes


# -- cancelling -------------------------------------------------------------------------------------------------------


@on_stage()
async def test_a_cancel_that_comes_too_late_gives_the_order_as_it_is(stage: AlpacaStage) -> None:
    await stage.venue.submit(REST, KEY1)
    late = '{"code":42210000,"message":"order is not cancelable"}'
    stage.broker.line.fail("DELETE", "/v2/orders", before=True, status=422, body=late)
    assert (await stage.venue.cancel(KEY1, "AAPL")).status == "acknowledged"
    stage.broker.line.fail("DELETE", "/v2/orders", before=True, status=204, body="")
    assert (await stage.venue.cancel(KEY1, "AAPL")).status == "cancelling"
    assert [order.status for order in await stage.venue.open_orders()] == ["acknowledged"]


@pytest.mark.parametrize("fault", [{"drop": True}, {"status": 500, "body": ""}, {"status": 403, "body": "<html>"}])
@on_stage()
async def test_a_cancel_nobody_answers_is_unknown_and_may_be_repeated(
    stage: AlpacaStage, fault: dict[str, Any]
) -> None:
    await stage.venue.submit(REST, KEY1)
    stage.broker.line.fail("DELETE", "/v2/orders", **fault)
    with pytest.raises(Unanswered):
        await stage.venue.cancel(KEY1, "AAPL")
    assert (await stage.venue.cancel(KEY1, "AAPL")).status == "cancelled"


@on_stage()
async def test_a_look_that_fails_after_a_cancel_is_unknown(stage: AlpacaStage) -> None:
    await stage.venue.submit(REST, KEY1)
    await found(stage)
    stage.broker.line.fail(
        "GET", "by_client_order_id", status=200, body=json.dumps(stage.broker.orders[0])
    )  # the first look
    stage.broker.line.fail("GET", "by_client_order_id", status=200, body="<html>")
    with pytest.raises(Unanswered):
        await stage.venue.cancel(KEY1, "AAPL")


# -- secrets ----------------------------------------------------------------------------------------------------------


@on_stage()
async def test_secrets_are_in_no_error_and_no_log(stage: AlpacaStage) -> None:
    heard: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(f"{record.getMessage()} {record.args}")

    root, ear = logging.getLogger(), Ear()
    level = root.level
    root.addHandler(ear)
    root.setLevel(logging.DEBUG)
    try:
        echo = json.dumps({"code": 40310000, "message": f"no: {SECRET} {KEY}"})
        for status, body in ((403, echo), (401, echo), (429, echo), (500, echo), (200, echo), (200, f"<{SECRET}>")):
            stage.broker.line.fail("POST", "/v2/orders", before=True, status=status, body=body)
            with pytest.raises(Exception) as failed:
                await stage.venue.submit(BUY, KEY1)
            heard.append(f"{failed.value} {failed.value!r} {failed.value.args}")
    finally:
        root.removeHandler(ear)
        root.setLevel(level)
    heard.append(repr(stage.venue))
    assert len(heard) > 6
    assert not [line for line in heard if SECRET in line or KEY in line]


@pytest.mark.parametrize(
    "given", [{"key": ""}, {"secret": " x"}, {"secret": "ключ"}, {"host": "ftp://x"}, {"host": "https://x/v2"}]
)
def test_what_could_never_work_is_said_at_once(given: dict[str, str]) -> None:
    terms = {"key": KEY, "secret": SECRET, **given}
    with pytest.raises(InvalidInput) as failed:
        AlpacaVenue(terms.pop("key"), terms.pop("secret"), clock=lambda: 0, **terms)  # type: ignore[arg-type]
    assert "ключ" not in str(failed.value)
