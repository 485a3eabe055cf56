"""Every fault: what the client sees, and what is true at the exchange."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sim.exchange.conftest import Desk
from tickwork.errors import InvalidInput
from tickwork.sim.exchange import (
    ConnectionDropped,
    Delayed,
    Dropped,
    Fault,
    Faults,
    MexcApi,
    Reply,
    Request,
    Wire,
    fault_from,
    storm,
    truth,
)
from tickwork.sim.exchange.faults import ROUTES, STAGES, Kind, Shape
from tickwork.sim.exchange.orders import VIEWS

ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "0.1", "price": "50000"}


def create(desk: Desk, client_id: str = "x", **fields: Any) -> Any:
    force = {} if isinstance(desk.api, MexcApi) else {"timeInForce": "GTC"}
    return desk.outcome("POST", "/api/v3/order", **{**ORDER, **force, "newClientOrderId": client_id, **fields})


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault(kind="drop_before", times=1), None),
        (Fault(kind="error_before", status=503, times=1), 503),
        (Fault(kind="error_before", times=1), 500),
        (Fault(kind="forbidden", times=1), 403),
        (Fault(kind="rate_limit", seconds=7, times=1), 429),
        (Fault(kind="ban", seconds=7, times=1), 418),
        (Fault(kind="maintenance", seconds=7, times=1), 503),
    ],
)
def test_what_fails_before_it_is_looked_at_changes_nothing(desk: Desk, fault: Fault, status: int | None) -> None:
    desk.faults.add(fault)
    outcome = create(desk)
    assert isinstance(outcome, Dropped) if status is None else outcome.status == status
    assert desk.exchange.orders == []
    assert desk.faults.counts == {fault.kind: 1}
    if status in (429, 418):
        assert outcome.headers["Retry-After"] == "7"
    lasting = fault.kind in ("ban", "maintenance")
    assert isinstance(create(desk, "y"), Reply)
    assert len(desk.exchange.orders) == (0 if lasting else 1)
    desk.clock.pass_seconds(8)
    create(desk, "z")
    assert [order.client_id for order in desk.exchange.orders] == (["z"] if lasting else ["y", "z"])


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="drop_after"),
        Fault(kind="error_after"),
        Fault(kind="error_after", status=504),
        Fault(kind="stall", seconds=20),
        *(Fault(kind="nonsense", shape=shape) for shape in get_args(Shape)),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status or fault.shape}",
)
def test_what_fails_after_it_was_done_is_done(desk: Desk, fault: Fault) -> None:
    desk.faults.add(fault)
    outcome = create(desk)
    assert len(desk.exchange.submissions(desk.account)["x"]) == 1
    assert desk.faults.counts == {fault.kind: 1}
    match fault.kind:
        case "drop_after":
            assert isinstance(outcome, Dropped)
        case "error_after":
            assert outcome.status == (fault.status or 502)
        case "stall":
            assert isinstance(outcome, Delayed)
            assert outcome.seconds == 20
            late = outcome.answer()
            assert isinstance(late, Reply)
            assert msgspec.json.decode(late.body)["symbol"] == "BTCUSDT"
        case _:
            assert b'"symbol":"BTCUSDT"' not in outcome.body or fault.shape in ("strings", "numbers", "truncated")


def test_shapes_of_nonsense(mexc: Desk) -> None:
    mexc.buy("x")
    answers: dict[str, bytes] = {}
    for shape in get_args(Shape):
        number = mexc.faults.add(Fault(kind="nonsense", shape=shape))
        outcome = mexc.outcome("GET", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="x")
        assert isinstance(outcome, Reply)
        answers[shape] = outcome.body
        mexc.faults.remove(number)
    good = mexc.order("x")
    assert answers["html"].startswith(b"<html>")
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(answers["truncated"])
    assert msgspec.json.decode(answers["strings"])["time"] == str(good["time"])
    assert msgspec.json.decode(answers["numbers"])["origQty"] == 0.1
    assert msgspec.json.decode(answers["types"])["status"] == {"value": "NEW"}
    assert (answers["empty"], answers["null"]) == (b"{}", b"null")
    mexc.faults.add(Fault(kind="nonsense", shape="empty"))
    assert mexc.list("openOrders") == []


def test_a_late_request_arrives_when_its_sender_has_given_up(desk: Desk) -> None:
    desk.faults.add(Fault(kind="late", seconds=4, times=1))
    outcome = create(desk)
    assert isinstance(outcome, Delayed)
    assert desk.order("x")["code"] == -2013
    desk.clock.pass_seconds(4.5)
    assert desk.order("x")["status"] == "NEW"
    order = desk.exchange.orders[0]
    assert desk.clock() - order.created == 500_000_000, "it is booked at the time it arrived"
    answer = outcome.answer()
    assert isinstance(answer, Reply)
    assert answer.status == 200
    assert len(desk.exchange.orders) == 1


def test_a_request_that_is_later_than_its_window_is_refused_when_it_arrives(desk: Desk) -> None:
    desk.faults.add(Fault(kind="late", seconds=6, times=1))
    outcome = create(desk, recvWindow=5_000)
    desk.clock.pass_seconds(6)
    assert isinstance(outcome, Delayed)
    answer = outcome.answer()
    assert isinstance(answer, Reply)
    assert msgspec.json.decode(answer.body)["code"] == (700003 if isinstance(desk.api, MexcApi) else -1021)
    assert desk.exchange.orders == []


@pytest.mark.parametrize("view", ["order", "open", "history", "trades"])
def test_each_view_may_lag_on_its_own(desk: Desk, view: Any) -> None:
    desk.faults.add(Fault(kind="lag", seconds=3, views=(view,), times=1))
    desk.buy("x", price="50000")
    desk.exchange.fill(desk.exchange.orders[0], Decimal("0.05"))

    def seen() -> set[str]:
        views = {"open": "openOrders", "history": "allOrders", "trades": "myTrades"}
        found = {name for name, path in views.items() if desk.list(path)}
        return found | ({"order"} if "status" in desk.order("x") else set())

    everything = {"order", "open", "history", "trades"}
    assert seen() == everything - {view}
    desk.clock.pass_seconds(3)
    assert seen() == everything
    desk.buy("y")
    assert "status" in desk.order("y"), "only once"


def test_an_order_that_lags_cannot_be_cancelled_yet(desk: Desk) -> None:
    desk.faults.add(Fault(kind="lag", seconds=3))
    desk.buy("x")
    assert desk.cancel("x")["code"] == -2011
    assert desk.exchange.orders[0].is_open
    desk.clock.pass_seconds(3)
    assert "code" not in desk.cancel("x")


def test_a_query_that_finds_nothing_although_it_is_there(desk: Desk) -> None:
    desk.faults.add(Fault(kind="not_found", on="order.*", nth=2))
    desk.buy("x")
    assert desk.order("x")["code"] == -2013
    assert desk.order("x")["status"] == "NEW"
    desk.faults.add(Fault(kind="not_found", on="order.cancel"))
    assert desk.cancel("x")["code"] == -2011
    assert desk.faults.counts == {"not_found": 2}


def test_partial_fills(desk: Desk) -> None:
    desk.faults.add(Fault(kind="partial", fraction=Decimal("0.25"), times=2))
    desk.buy("limit", price="61000")
    assert (desk.order("limit")["status"], Decimal(desk.order("limit")["executedQty"])) == (
        "PARTIALLY_FILLED",
        Decimal("0.025"),
    )
    desk.exchange.move("BTC/USDT", "60000")
    assert desk.order("limit")["status"] == "FILLED"
    market: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "MARKET",
        "quantity": "0.4",
        "newClientOrderId": "m",
    }
    desk.ask("POST", "/api/v3/order", **market)
    expected = "PARTIALLY_CANCELED" if isinstance(desk.api, MexcApi) else "EXPIRED"
    assert (desk.order("m")["status"], Decimal(desk.order("m")["executedQty"])) == (expected, Decimal("0.1"))
    assert desk.faults.counts == {"partial": 2}


@pytest.mark.parametrize(
    ("fraction", "answer", "status", "executed"),
    [
        ("1", "ok", "FILLED", "0.1"),
        ("1", "unknown", "FILLED", "0.1"),
        ("0.5", "ok", "CANCELED", "0.05"),
        ("0", "unknown", "CANCELED", "0"),
    ],
)
def test_a_cancel_that_races_with_a_fill(desk: Desk, fraction: str, answer: Any, status: str, executed: str) -> None:
    desk.faults.add(Fault(kind="cancel_race", fraction=Decimal(fraction), answer=answer))
    desk.buy("x")
    said = desk.cancel("x")
    assert said.get("code") == (None if answer == "ok" else -2011)
    order = desk.exchange.orders[0]
    assert (order.status, order.executed) == (status, Decimal(executed))
    assert desk.faults.counts == {"cancel_race": 1}


def test_a_cancel_that_is_acknowledged_and_done_later(desk: Desk) -> None:
    desk.faults.add(Fault(kind="cancel_late", seconds=2, client_id="x*"))
    for name in ("x1", "x2", "y"):
        desk.buy(name)
        assert "code" not in desk.cancel(name)
    assert [desk.order(name)["status"] for name in ("x1", "x2", "y")] == ["NEW", "NEW", "CANCELED"]
    desk.exchange.fill(desk.exchange.orders[1])
    desk.clock.pass_seconds(2)
    assert [desk.order(name)["status"] for name in ("x1", "x2", "y")] == ["CANCELED", "FILLED", "CANCELED"]


def test_a_query_may_answer_with_the_state_of_a_while_ago(desk: Desk) -> None:
    desk.buy("x")
    desk.clock.pass_seconds(10)
    desk.exchange.fill(desk.exchange.orders[0])
    number = desk.faults.add(Fault(kind="stale", seconds=5))
    assert desk.order("x")["status"] == "NEW"
    assert Decimal(desk.order("x")["executedQty"]) == 0
    desk.clock.pass_seconds(5)
    assert desk.order("x")["status"] == "FILLED"
    desk.faults.remove(number)


def test_the_clock_of_the_server_may_be_off(desk: Desk) -> None:
    for skew, fits in ((6_000, False), (-900, True), (-1_000, False), (5_000, True)):
        desk.exchange.skew = skew * 1_000_000
        assert (
            ("code" not in desk.list("openOrders")) if fits else (desk.list("openOrders")["code"] in (700003, -1021))
        ), skew
        assert desk.ask("GET", "/api/v3/time", signed=False)["serverTime"] == desk.clock() // 1_000_000 + skew


def test_a_clock_that_was_off_leaves_nothing_behind(desk: Desk) -> None:
    desk.exchange.skew = 60_000_000_000
    now = (desk.clock() + desk.exchange.skew) // 1_000_000
    desk.buy("x", price="61000", timestamp=now)
    desk.exchange.skew = 0
    assert desk.order("x")["status"] == "FILLED"


def test_a_symbol_that_is_not_open_yet(desk: Desk) -> None:
    desk.market.opens_at = desk.clock() + 5_000_000_000
    code = 10007 if isinstance(desk.api, MexcApi) else -1013
    assert desk.buy("x")["code"] == code
    desk.clock.pass_seconds(5)
    assert "code" not in desk.buy("x")


def test_when_a_fault_is_due() -> None:
    faults = Faults(0)
    faults.add(Fault(kind="drop_before", on="order.create", nth=3))
    faults.add(Fault(kind="forbidden", on="order.query", times=2))
    faults.add(Fault(kind="maintenance", on="time", since=100, until=200))
    faults.add(Fault(kind="error_before", on="depth", symbol="BTC/USDT"))
    faults.add(Fault(kind="ban", on="account", client_id="a*"))

    def fires(route: str, now: int = 0, client_id: str | None = None, symbol: str | None = None) -> bool:
        return faults.fire(route, now, client_id, symbol).before is not None

    assert [fires("order.create") for _ in range(5)] == [False, False, True, False, False]
    assert [fires("order.query") for _ in range(4)] == [True, True, False, False]
    assert [fires("time", now) for now in (99, 100, 199, 200)] == [False, True, True, False]
    assert [fires("depth", symbol=symbol) for symbol in ("BTCUSDT", "ETHUSDT", None)] == [True, False, False]
    assert [fires("account", client_id=name) for name in ("abc", "b", None)] == [True, False, False]
    assert not fires("ping")


def test_the_same_seed_brings_the_same_faults_and_another_others() -> None:
    def run(seed: int) -> list[bool]:
        faults = Faults(seed, [Fault(kind="drop_before", probability=0.3)])
        return [faults.fire("ping", 0, None, None).before is not None for _ in range(200)]

    assert run(1) == run(1) != run(2)
    assert 30 < sum(run(1)) < 90


@given(st.data())
def test_a_fault_survives_its_json(data: st.DataObject) -> None:
    kind: Kind = data.draw(st.sampled_from(list(STAGES)))
    fault = Fault(
        kind=kind,
        on=data.draw(st.sampled_from(["", "*", "order.*", *ROUTES, "order.create, time"])),
        nth=data.draw(st.none() | st.integers(1, 9)),
        times=data.draw(st.none() | st.integers(1, 9)),
        probability=data.draw(st.floats(0, 1)),
        client_id=data.draw(st.none() | st.text(max_size=5)),
        seconds=data.draw(st.floats(0, 100)),
        fraction=data.draw(st.decimals(0, 1, places=3)),
        shape=data.draw(st.sampled_from(get_args(Shape))),
        views=tuple(data.draw(st.sets(st.sampled_from(VIEWS)))),
    )
    desk = Desk(MexcApi)
    text = msgspec.json.encode(_json(fault))
    number = desk.control("POST", "faults", msgspec.json.decode(text))["numbers"][0]
    assert desk.faults.faults()[number] == fault
    assert fault_from(desk.control("GET", "faults")["set"][str(number)]) == fault


def _json(fault: Fault) -> dict[str, Any]:
    names = ("kind", "on", "nth", "times", "probability", "seconds", "shape", "views")
    return {
        **{name: getattr(fault, name) for name in names},
        "clientId": fault.client_id,
        "fraction": str(fault.fraction),
    }


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ({}, "fault.kind"),
        ({"kind": "explode"}, "fault.kind"),
        ({"kind": "lag", "on": "order.burn"}, "fault.on"),
        ({"kind": "lag", "views": ["mind"]}, "fault.views"),
        ({"kind": "stall", "seconds": -1}, "fault.seconds"),
        ({"kind": "stall", "probability": 1.1}, "fault.probability"),
        ({"kind": "partial", "fraction": "2"}, "fault.fraction"),
        ({"kind": "nonsense", "shape": "poem"}, "fault.shape"),
        ({"kind": "cancel_race", "answer": "maybe"}, "fault.answer"),
        ({"kind": "stall", "client_id": "x"}, "fault.client_id"),
        ({"kind": "stall", "seconds": "soon"}, "fault"),
    ],
)
def test_a_fault_that_cannot_be(wrong: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        fault_from(wrong)
    assert caught.value.path == path


class Sleeper:
    """Passes the time of a clock at once, and remembers how much."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.slept: list[int] = []

    async def __call__(self, ns: int) -> None:
        self.slept.append(ns)
        self.desk.clock.at += ns


def test_the_wire_acts_outcomes_out_in_virtual_time(mexc: Desk) -> None:
    sleep = Sleeper(mexc)
    wire = Wire(mexc.api, sleep, latency=10)
    ping = Request("GET", "/api/v3/ping")

    async def run() -> None:
        assert (await wire.request(ping)).status == 200
        assert sleep.slept == [5, 5]
        mexc.faults.add(Fault(kind="drop_before", times=1))
        with pytest.raises(ConnectionDropped):
            await wire.request(ping)
        mexc.faults.add(Fault(kind="stall", seconds=3, times=2))
        begun = mexc.clock()
        assert (await wire.request(ping, timeout=10**10)).status == 200
        assert mexc.clock() - begun == 3 * 10**9 + 10
        begun = mexc.clock()
        with pytest.raises(TimeoutError):
            await wire.request(ping, timeout=10**9)
        assert mexc.clock() - begun == 10**9

    asyncio.run(run())
    assert wire.requests == 4


def test_a_storm_hits_everything_and_breaks_nothing(desk: Desk) -> None:
    for fault in storm(0.08, seconds=2):
        desk.faults.add(fault)
    for number in range(1_200):
        name = f"n{number}"
        create(desk, name, price="61000" if number % 3 == 0 else "50000", side="SELL" if number % 2 else "BUY")
        desk.outcome("GET", "/api/v3/order", symbol="BTCUSDT", origClientOrderId=name)
        desk.outcome("DELETE", "/api/v3/order", symbol="BTCUSDT", origClientOrderId=name)
        desk.outcome("GET", "/api/v3/openOrders", symbol="BTCUSDT")
        desk.clock.pass_seconds(1)
    desk.clock.pass_seconds(60)
    state = truth(desk.exchange)
    assert set(desk.faults.counts) == {fault.kind for fault in storm()}
    for figures in state["totals"].values():
        assert Decimal(figures["total"]) == Decimal(figures["deposited"])
    assert len(state["accounts"]["main"]["orders"]) > 100
