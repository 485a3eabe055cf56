"""Orders by hand, over a real session and the real exchange client, judged by the exchange's own book."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.service.awaiting import awaited
from tests.service.operations.trading import BUY, HERE, Calls, D, place, until
from tickwork import Engine
from tickwork.errors import Conflict, Forbidden, InvalidInput, NotFound, NotRunning, Refused, Rejected
from tickwork.service.api.caller import Caller
from tickwork.service.api.here import Failed, Service
from tickwork.service.api.problems import KeyReused, problem_of
from tickwork.service.api.there import Remote
from tickwork.sim.exchange import Fault

NOBODY = "f" * 32


def caller(*scopes: str, accounts: set[str] | None = None, owner: str | None = None) -> Caller:
    held = None if accounts is None else frozenset(accounts)
    return Caller(name="bot", face="http", scopes=frozenset(scopes), accounts=held, owner=owner)


async def filled(call: Calls, order: str) -> Any:
    async def done() -> Any:
        shown = await call("orders.show", order=order)
        return shown if shown["order"]["status"] == "filled" else None

    return await until(done)


@awaited
async def test_an_order_is_placed_filled_and_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch) as here, here.up() as call:
        answer = await call("orders.place", **BUY, reason="a test")
        assert (answer["outcome"], D(answer["quantity"])) == ("accepted", D("0.01"))
        (order,) = here.orders()
        assert order["clientId"] == answer["clientOrderId"]
        assert D(order["executed"]) == D("0.01")
        shown = await filled(call, answer["clientOrderId"])
        assert [line["what"] for line in shown["life"]] == ["accepted", "filled", "ended"]
        assert (shown["agent"], shown["order"]["reason"]) == ("http", "a test")
        (fill,) = (await call("fills.list"))["items"]
        assert fill == shown["fills"][0]
        assert D(fill["quantity"]) == D("0.01")
        assert D(fill["price"]) == D(order["trades"][0]["price"])
        (position,) = (await call("positions.list"))["positions"]
        assert {name: D(held) for name, held in position["workflows"].items()} == {"tickwork/order": D("0.01")}


@awaited
async def test_the_same_key_is_the_same_order_from_wherever_it_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place(tmp_path, monkeypatch) as here, here.up() as call:
        many = await asyncio.gather(*(call("orders.place", **BUY, key="one") for _ in range(5)))
        many += [await call.from_elsewhere("orders.place", **BUY, key="one") for _ in range(2)]
        assert len({one["clientOrderId"] for one in many}) == 1
        assert len(here.orders()) == 1
        with pytest.raises(KeyReused):
            await call("orders.place", **{**BUY, "quantity": "0.02"}, key="one")
        await call.from_elsewhere("orders.place", **BUY, key="two")
        assert len(here.orders()) == 2


@awaited
async def test_the_gate_says_no_with_rule_limit_and_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch) as here, here.up() as call:
        for ask in (call, call.from_elsewhere):
            with pytest.raises(Refused) as caught:
                await ask("orders.place", **{**BUY, "quantity": "1"})
            found = problem_of(caught.value)
            assert found is not None
            assert (found.code, found.more["rule"], found.more["limit"]) == ("refused", "max_order_notional", "2000")
            assert D(found.more["actual"]) > 2000 and found.more["scope"] == "account", "a figure is a figure"
        with pytest.raises(Refused, match="symbol"):
            await call("orders.place", **{**BUY, "symbol": "ETH/USDT"})
        with pytest.raises(Refused):
            await call("orders.place", **{**BUY, "quantity": "1"}, key="large")
        with pytest.raises(Failed, match="max_order_notional"):
            await call("orders.place", **{**BUY, "quantity": "1"}, key="large")
        assert here.orders() == []
        told = (await call("orders.list", status="refused"))["items"]
        assert len(told) == 4, "a refusal under a key is told again, not made again"


@awaited
async def test_the_venue_says_no(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch) as here, here.up() as call:
        here.exchange.account("main").balances["USDT"].free = D(1)
        with pytest.raises(Rejected, match="main"):
            await call("orders.place", **BUY)
        assert [one["status"] for one in (await call("orders.list"))["items"]] == ["rejected"]


@awaited
async def test_an_answer_that_is_lost_makes_one_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch) as here, here.up() as call:
        here.faults.add(Fault(kind="drop_after", on="order.create", nth=1))
        answer = await call("orders.place", **BUY, key="lost")
        assert answer["outcome"] == "accepted"
        (order,) = here.orders()
        assert order["clientId"] == answer["clientOrderId"]
        shown = await filled(call, answer["clientOrderId"])
        assert {"in doubt", "cleared"} <= {line["what"] for line in shown["life"]}


@awaited
async def test_an_order_nobody_knows_the_fate_of_is_unknown_until_it_is_disowned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickwork.service.accounts.ordering.PATIENCE", "1 second")
    async with place(tmp_path, monkeypatch) as here, here.up() as call:
        here.faults.add(Fault(kind="drop_before", on="order.create,order.query,orders.*"))
        answer = await call("orders.place", **BUY)
        assert answer["outcome"] == "unknown"
        (doubtful,) = (await call("orders.doubtful"))["items"]
        key = doubtful["clientOrderId"]
        (account,) = (await call("accounts.list"))["items"]
        assert account["inDoubt"] == [key]
        with pytest.raises(NotFound, match="in doubt"):
            await call("orders.disown", order=NOBODY, reason="a test")
        assert (await call("orders.disown", order=key, reason="it was looked for there"))["done"] == "disowned"
        assert (await call("orders.doubtful"))["items"] == []
        assert (await call("orders.show", order=key))["life"][-1]["what"] in ("disowned", "cleared")
        assert here.orders() == []


@awaited
async def test_a_resting_order_is_cancelled_and_again_that_is_harmless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place(tmp_path, monkeypatch) as here, here.up() as call:
        answer = await call("orders.place", **BUY, type="limit", limitPrice="58000")
        key = answer["clientOrderId"]
        assert [one["status"] for one in here.orders()] == ["NEW"]
        (balance,) = (await call("balances.list", account="main"))["items"]
        assert D(balance["free"]) == D(balance["cash"]) - D(balance["reserved"])
        assert D(balance["reserved"]) >= D("580"), "at the ask, where that is the worse price"
        cancelled = await call("orders.cancel", order=key)
        assert cancelled["status"] == "cancelled"
        assert [one["status"] for one in here.orders()] == ["CANCELED"]

        async def ended() -> Any:
            return (await call("orders.show", order=key))["order"]["status"] == "cancelled"

        await until(ended)
        again = await call.from_elsewhere("orders.cancel", order=key)
        assert (again["status"], again["run"]) == ("cancelled", "")
        with pytest.raises(NotFound, match="client id"):
            await call("orders.cancel", order=NOBODY)


@awaited
async def test_pages_of_orders_and_fills_have_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch, mode="paper") as here, here.up(live=False) as call:
        keys = [(await call("orders.place", **{**BUY, "quantity": "0.001"}))["clientOrderId"] for _ in range(7)]
        for key in keys:
            await filled(call, key)
        for name in ("orders.list", "fills.list"):
            found, cursor = [], None
            while True:
                page = await call(name, limit=3, **({"cursor": cursor} if cursor else {}))
                found += [one["clientOrderId"] for one in page["items"]]
                cursor = page["next"]
                if cursor is None:
                    break
            assert found == keys[::-1]
        assert (await call("orders.list", symbol="ETH/USDT"))["items"] == []
        assert len((await call("fills.list", order=keys[2]))["items"]) == 1
        assert here.orders() == [], "on paper nothing reaches the exchange"


@awaited
async def test_who_may_place_an_order_and_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch, of_account='owner = "ann"') as here, here.up() as call:
        for who in (caller("read", "operate"), caller("trade", accounts={"other"}), caller("trade", accounts=set())):
            with pytest.raises(Forbidden):
                await call("orders.place", **BUY, caller=who)
        with pytest.raises(NotFound, match="of yours"):
            await call("orders.place", **BUY, caller=caller("trade", owner="bob"))
        with pytest.raises(NotFound):
            await call("orders.place", **{**BUY, "account": "other"})
        assert here.orders() == []
        mine = caller("trade", accounts={"main"}, owner="ann")
        answer = await call("orders.place", **BUY, caller=mine)
        assert call.session.engine.queries.row(answer["run"]).owner == "ann"
        assert [one["account"] for one in (await call("accounts.list", caller=mine))["items"]] == ["main"]
        assert (await call("accounts.list", caller=caller("read", owner="bob")))["items"] == []
        assert (await call("risk.limits", caller=caller("read", owner="bob")))["items"] == []
        assert len((await call("orders.list", caller=mine))["items"]) == 1
        with pytest.raises(NotFound):
            await call("orders.cancel", order=answer["clientOrderId"], caller=caller("operate", owner="bob"))


@awaited
async def test_bad_input_is_told_by_its_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch, mode="paper") as here, here.up(live=False) as call:
        wrong: list[tuple[str, dict[str, Any]]] = [
            ("quantity", {"notional": "100"}),
            ("limitPrice", {"type": "limit"}),
            ("limitPrice", {"limitPrice": "50000"}),
            ("quantity", {"quantity": "-1"}),
            ("quantity", {"quantity": 0.1}),
            ("side", {"side": "long"}),
            ("timeInForce", {"timeInForce": "ioc"}),
            ("leverage", {"leverage": "3"}),
            ("surprise", {"surprise": 1}),
        ]
        for path, change in wrong:
            with pytest.raises(InvalidInput) as caught:
                await call("orders.place", **{**BUY, **change})
            assert caught.value.path == path, change
        assert (await call("orders.list"))["items"] == []
        assert call.session.engine.queries.runs(workflow="tickwork/order") == []


@awaited
async def test_a_position_is_sold_in_the_name_of_who_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch) as here, here.up() as call:
        bought = await call("orders.place", **BUY, workflow="trade")
        await filled(call, bought["clientOrderId"])
        sold = await call("orders.place", **{**BUY, "side": "sell"}, workflow="trade", reduceOnly=True)
        await filled(call, sold["clientOrderId"])
        assert (await call("positions.list"))["positions"] == []
        shares = (await call("performance.show"))["items"][0]["shares"]
        assert [(one["workflow"], one["agent"]) for one in shares] == [("trade", "http")]
        assert shares[0]["trades"]["count"] == 1
        assert len(here.orders()) == 2


@awaited
async def test_an_engine_that_does_not_trade_says_what_is_missing(tmp_path: Path) -> None:
    tape = str(tmp_path / "tape.db")
    async with Engine(f"sqlite:///{tape}") as engine:
        service, remote = Service(engine), Remote(tape)
        asked = [("orders.place", BUY), ("halt", {}), ("flatten", {}), ("accounts.list", {}), ("feeds.list", {})]
        for name, given in asked:
            for ask in (service, remote):
                with pytest.raises(Conflict, match="tickwork up") as caught:
                    await ask.call(name, given, HERE)
                found = problem_of(caught.value)
                assert found is not None
                assert found.code == "conflict"
        service.close()
    with pytest.raises(NotRunning):
        await remote.call("orders.place", BUY, HERE)
    remote.close()
