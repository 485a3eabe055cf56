"""Halt, unhalt, flatten and reconcile as operations, judged by the exchange's own book."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.service.awaiting import awaited
from tests.service.operations.trading import BTC, BUY, HERE, Calls, D, place, until
from tickwork.errors import Forbidden, InvalidInput, NotFound, Refused
from tickwork.service.api.caller import Caller
from tickwork.service.api.there import Remote
from tickwork.sim.exchange import Fault

LOW: dict[str, Any] = {**BUY, "type": "limit", "limitPrice": "58000"}


async def swept(call: Calls, halt: int) -> Any:
    async def done() -> Any:
        found = await call("halts.acknowledgements", halt=halt)
        return found if found["done"] else None

    return await until(done)


@awaited
async def test_a_halt_cancels_what_rests_and_says_so_of_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch) as here, here.up() as call:
        keys = [(await call("orders.place", **LOW))["clientOrderId"] for _ in range(3)]
        taken = await call.from_elsewhere("halt", reason="a test", account="main")
        assert (taken["level"], taken["changed"], sorted(taken["resting"])) == ("halt", True, sorted(keys))
        assert taken["look"] == f"/api/v1/halts/{taken['halt']}"
        found = await swept(call, taken["halt"])
        assert {one["clientOrderId"]: one["outcome"] for one in found["orders"]} == dict.fromkeys(keys, "cancelled")
        assert [(one["complete"], one["cancelled"]) for one in found["accounts"]] == [(True, 3)]
        assert {one["status"] for one in here.orders()} == {"CANCELED"}
        with pytest.raises(Refused, match="halt"):
            await call("orders.place", **BUY)
        again = await call("halt", reason="once more", account="main")
        assert (again["changed"], again["halt"], again["reason"]) == (False, taken["halt"], "a test")


@pytest.mark.slow
@awaited
async def test_an_order_that_cannot_be_cancelled_is_told_as_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place(tmp_path, monkeypatch) as here, here.up() as call:
        await call("orders.place", **LOW)
        number = here.faults.add(Fault(kind="drop_before", on="order.cancel"))
        taken = await call("halt", reason="a test")
        found = await call("halts.acknowledgements", halt=taken["halt"])
        assert not found["done"]
        here.faults.remove(number)
        assert (await swept(call, taken["halt"]))["accounts"][0]["complete"]
        assert here.orders()[0]["status"] == "CANCELED"


@awaited
async def test_trading_goes_on_only_with_a_reason_and_the_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopper = Caller(name="stopper", face="mcp", scopes=frozenset({"operate"}))
    async with place(tmp_path, monkeypatch) as here, here.up() as call:
        await call("halt", reason="all of it", caller=stopper)
        await call("halt", reason="this one", account="main", level="shutdown", caller=stopper)
        with pytest.raises(Forbidden):
            await call("unhalt", reason="I say so", caller=stopper)
        with pytest.raises(InvalidInput, match="reason"):
            await call("unhalt", reason="")
        with pytest.raises(NotFound, match="account"):
            await call("halt", reason="a test", account="other")
        first = await call("unhalt", reason="looked into it")
        assert [(one["account"], one["level"]) for one in first["still"]] == [("main", "shutdown")]
        with pytest.raises(Refused, match="shutdown"):
            await call("orders.place", **BUY)
        assert (await call("unhalt", reason="looked into it", account="main"))["level"] == "normal"
        assert (await call("orders.place", **BUY))["outcome"] == "accepted"
        shown = await call("halts.show")
        assert shown["standing"] == []
        told = [(one["what"], one["account"], one["by"]) for one in shown["history"]]
        assert told == [
            ("cleared", "main", "http"),
            ("cleared", "", "http"),
            ("raised", "main", "stopper"),
            ("raised", "", "stopper"),
        ]
        page = await call("halts.show", limit=3)
        rest = await call("halts.show", limit=3, cursor=page["next"])
        assert page["history"] + rest["history"] == shown["history"]
        assert len(here.orders()) == 1


@pytest.mark.slow
@awaited
async def test_a_halt_that_nobody_was_there_for_holds_and_sweeps_when_somebody_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place(tmp_path, monkeypatch) as here:
        async with here.up() as call:
            await call("orders.place", **LOW)
            tape = str(call.session.files.tape)
        alone = Remote(tape)
        taken = (await alone.call("halt", {"reason": "nobody is there"}, HERE)).value
        assert (taken["level"], taken["halt"]) == ("halt", None)
        with pytest.raises(InvalidInput):
            await alone.call("halt", {"reason": "a test", "account": "other"}, HERE)
        alone.close()
        async with here.up() as call:
            (raised,) = (await call("halts.show"))["history"]
            found = await swept(call, raised["seq"])
            assert [one["outcome"] for one in found["orders"]] == ["cancelled"]
            assert here.orders()[0]["status"] == "CANCELED"
            with pytest.raises(Refused, match="halt"):
                await call("orders.place", **BUY)
            with pytest.raises(NotFound, match="halt"):
                await call("halts.acknowledgements", halt=raised["seq"] + 1)


@awaited
async def test_an_account_is_flattened_once_for_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch) as here, here.up() as call:
        await call("orders.place", **BUY)
        resting = await call("orders.place", **LOW)

        async def held() -> Any:
            return (await call("positions.list"))["positions"]

        await until(held)
        (started,) = (await call("flatten", reason="a test", key="flat"))["items"]
        (again,) = (await call.from_elsewhere("flatten", reason="a test", key="flat"))["items"]
        assert started == again

        async def done() -> Any:
            found = await call("flattens.show", run=started["run"])
            return found if found["done"] else None

        found = await until(done)
        assert (found["complete"], found["status"], found["problems"]) == (True, "done", [])
        assert [(one["clientOrderId"], one["outcome"]) for one in found["orders"]] == [
            (resting["clientOrderId"], "cancelled")
        ]
        (line,) = found["lines"]
        assert (line["symbol"], D(line["before"]), D(line["left"])) == (BTC, D("0.01"), D(0))
        assert (await call("positions.list"))["positions"] == []
        sells = [one for one in here.orders() if one["side"] == "SELL"]
        assert [D(one["executed"]) for one in sells] == [D("0.01")]
        assert (await call("halts.show"))["standing"][0]["account"] == "main"
        with pytest.raises(NotFound, match="flatten"):
            await call("flattens.show", run=resting["run"])


@pytest.mark.slow
@awaited
async def test_books_are_compared_and_what_differs_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = '[accounts.main.settings]\nvisibility_bound = "400 ms"\ntimeout = "1 s"'
    async with place(tmp_path, monkeypatch, more=quick) as here, here.up() as call:

        async def done(count: int) -> Any:
            found = (await call("reconciliations.list", account="main"))["items"]
            return found if len(found) >= count else None

        await until(lambda: done(1))
        here.exchange.deposit("main", "USDT", 500)
        run = (await call("reconcile", account="main"))["run"]
        found = await until(lambda: done(2))
        assert (found[0]["run"], found[0]["clean"], found[1]["clean"]) == (run, False, True)
        (finding,) = found[0]["findings"]
        assert (finding["kind"], D(finding["difference"])) == ("balance", D(500))
        page = await call("reconciliations.list", limit=1)
        assert (await call("reconciliations.list", limit=1, cursor=page["next"]))["items"] == [found[1]]
        await call("reconcile", account="main", balances="adopt")
        assert (await until(lambda: done(3)))[0]["clean"]
        booked = (await call("ledger.list"))["items"]
        assert [one["what"] for one in booked][-1] == "adjusted"
        with pytest.raises(NotFound):
            await call("reconcile", account="other")


@awaited
async def test_an_owner_halts_and_closes_its_own_account_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = (
        Caller(name=name, face="http", scopes=frozenset({"trade", "operate"}), owner=name) for name in ("ann", "bob")
    )
    async with place(tmp_path, monkeypatch, of_account='owner = "ann"') as here, here.up() as call:
        await call("orders.place", **LOW)
        for name, more in (("halt", {}), ("flatten", {}), ("unhalt", {"reason": "x"}), ("halts.show", {})):
            with pytest.raises(NotFound, match="main"):
                await call(name, caller=bob, account="main", **more)
            with pytest.raises(InvalidInput, match="one of yours: main"):
                await call(name, caller=ann, **more)
        assert {one["status"] for one in here.orders()} == {"NEW"}
        taken = await call("halt", caller=ann, account="main", reason="mine")
        assert (await swept(call, taken["halt"]))["orders"][0]["outcome"] == "cancelled"
        assert (await call("halts.show", caller=ann, account="main"))["standing"][0]["reason"] == "mine"
        assert (await call("halts.acknowledgements", caller=ann, halt=taken["halt"]))["account"] == "main"
        assert (await call("unhalt", caller=ann, account="main", reason="looked"))["level"] == "normal"
        (closed,) = (await call("flatten", caller=ann, account="main"))["items"]
        assert (await call("flattens.show", caller=ann, run=closed["run"]))["account"] == "main"
        for name, which in (
            ("halts.acknowledgements", {"halt": taken["halt"]}),
            ("flattens.show", {"run": closed["run"]}),
        ):
            with pytest.raises(NotFound):
                await call(name, caller=bob, **which)
