"""Alerts and monitors as operations: fired by a session's own prices and positions, each somebody's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.service.awaiting import awaited
from tests.service.operations.trading import BTC, BUY, Calls, D, place, until
from tickwork.errors import Forbidden, InvalidInput, NotFound
from tickwork.notify.events import Notify
from tickwork.service.api.caller import Caller


def owned(owner: str | None, *scopes: str) -> Caller:
    return Caller(name=owner or "all", face="mcp", scopes=frozenset(scopes or ("operate", "trade")), owner=owner)


ANN, BOB = owned("ann"), owned("bob")


async def told(call: Calls, name: str, count: int = 1) -> Any:
    async def found() -> Any:
        items = (await call(name))["items"]
        return items if len(items) >= count else None

    return await until(found)


@awaited
async def test_a_price_alert_fires_once_at_the_sessions_own_price(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place(tmp_path, monkeypatch) as here:
        async with here.up() as call:
            asked = {"symbol": BTC, "condition": "above", "threshold": "61000", "note": "sell"}
            one = await call("alerts.set", **asked, key="k", caller=ANN)
            same = await call.from_elsewhere("alerts.set", **asked, key="k", caller=ANN)
            other = await call("alerts.set", **asked, caller=ANN)
            assert one["fed"]
            assert one["id"] == same["id"] != other["id"]
            assert len((await call("alerts.list"))["items"]) == 2
            await call("alerts.cancel", alert=other["id"], caller=ANN)
            here.exchange.move(BTC, D(61_500))
            (fired,) = await told(call, "alerts.history")
            assert (fired["id"], fired["owner"], fired["note"]) == (one["id"], "ann", "sell")
            assert D(fired["value"]) >= D(61_000)
            assert fired["recording"]
            assert (await call("alerts.list"))["items"] == [], "once, and it is gone"
            (notified,) = await until(lambda: notifications(call))
            assert (notified.kind, notified.owner, notified.body) == ("price.alert", "ann", "sell")
            assert notified.title == f"BTC/USDT is at {fired['value']}, above 61000"
        async with here.up() as call:
            assert len(await told(call, "alerts.history")) == 1, "what was told is not told again after a restart"


@awaited
async def test_what_stands_is_there_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch) as here:
        async with here.up() as call:
            await call("alerts.set", id="low", symbol=BTC, condition="below", threshold="59000", recurring=True)
            await call("monitors.set", id="m", rules=[{"kind": "price_below", "threshold": "59000"}])
        async with here.up() as call:
            assert [one["id"] for one in (await call("alerts.list"))["items"]] == ["low"]
            assert [one["id"] for one in (await call("monitors.list"))["rules"]] == ["m"]
            here.exchange.move(BTC, D(58_000))
            (fired,) = await told(call, "alerts.history")
            assert (fired["id"], fired["recurring"]) == ("low", True)
            (standing,) = (await call("alerts.list"))["items"]
            assert standing["armed"] is False


@awaited
async def test_everybody_has_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch) as here, here.up() as call:
        await call("alerts.set", id="anns", symbol=BTC, condition="above", threshold="61000", caller=ANN)
        await call("monitors.set", id="anns", rules=[{"kind": "price_above", "threshold": "1"}], caller=ANN)
        for ask in (call, call.from_elsewhere):
            assert (await ask("alerts.list", caller=BOB))["items"] == []
            assert (await ask("monitors.list", caller=BOB))["rules"] == []
            with pytest.raises(NotFound, match="bob"):
                await ask("alerts.cancel", alert="anns", caller=BOB)
            with pytest.raises(NotFound, match="bob"):
                await ask("monitors.cancel", rule="anns", caller=BOB)
            with pytest.raises(InvalidInput, match="no other owner"):
                await ask("alerts.set", id="anns", symbol=BTC, condition="above", threshold="1", caller=BOB)
            with pytest.raises(Forbidden):
                await ask("alerts.set", symbol=BTC, condition="above", threshold="1", caller=owned("bob", "read"))
        here.exchange.move(BTC, D(62_000))
        await told(call, "alerts.history")
        assert (await call("alerts.history", caller=BOB))["items"] == []
        assert len((await call("alerts.history", caller=ANN))["items"]) == 1
        assert len((await call("monitors.list", caller=owned(None)))["rules"]) == 1


@awaited
async def test_pages_of_alerts_have_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch) as here, here.up() as call:
        for number in range(7):
            symbol = BTC if number % 2 else "ETH/USDT"
            answer = await call("alerts.set", id=f"a{number}", symbol=symbol, condition="above", threshold="90000")
            assert answer["fed"] is (symbol == BTC), "one that waits in vain is told so"
        found, cursor = [], None
        while True:
            page = await call("alerts.list", limit=3, **({"cursor": cursor} if cursor else {}))
            found += [one["id"] for one in page["items"]]
            if (cursor := page["next"]) is None:
                break
        assert found == [f"a{number}" for number in range(7)]
        assert [one["id"] for one in (await call("alerts.list", symbol=BTC))["items"]] == ["a1", "a3", "a5"]
        assert here.orders() == []


@awaited
async def test_a_monitor_looks_at_what_its_owner_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch, of_account='owner = "ann"') as here, here.up() as call:
        rules = [{"kind": "price_above", "threshold": "61000"}, {"kind": "price_above", "threshold": "61000"}]
        (first, _) = (await call("monitors.set", rules=rules, caller=ANN))["items"]
        await call("monitors.set", rules=rules[:1], caller=BOB)
        here.exchange.move(BTC, D(62_000))
        await call("alerts.set", symbol=BTC, condition="above", threshold="61900")
        await told(call, "alerts.history")
        assert (await call("monitors.history"))["items"] == [], "nobody holds anything"
        here.exchange.move(BTC, D(60_000))
        await call("alerts.set", symbol=BTC, condition="below", threshold="60500")
        await told(call, "alerts.history", 2)
        await call("orders.place", **BUY, caller=owned("ann"))
        await until(lambda: held(call))
        here.exchange.move(BTC, D(62_000))
        fired = await told(call, "monitors.history", 2)
        assert {one["owner"] for one in fired} == {"ann"}

        async def heard() -> Any:
            return {one.title for one in await notifications(call) if one.kind == "position.alert"}

        assert await until(heard) == {fired[0]["message"]}
        assert first["id"] in {one["id"] for one in fired}
        assert (await call("monitors.list", caller=ANN))["recent"] == fired
        assert (await call("monitors.list", caller=BOB))["recent"] == []
        await call("monitors.cancel", rule=first["id"], caller=ANN)
        assert len((await call("monitors.list", caller=ANN))["rules"]) == 1


async def notifications(call: Calls) -> list[Notify]:
    entries = call.session.engine.queries.events(Notify.event_name)
    return [Notify.from_wire(bytes(entry.record.value)) for entry in entries]


async def held(call: Calls) -> Any:
    return (await call("positions.list"))["positions"]


@awaited
async def test_rules_and_alerts_that_cannot_be_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch) as here, here.up() as call:
        wrong: list[tuple[str, dict[str, Any]]] = [
            ("threshold", {"threshold": "0"}),
            ("threshold", {"threshold": 61000.5}),
            ("condition", {"condition": "crosses"}),
            ("cooldown", {"cooldown": "soon"}),
            ("hysteresis", {"hysteresis": "2"}),
            ("symbol", {"symbol": "no symbol"}),
        ]
        for path, change in wrong:
            with pytest.raises(InvalidInput) as caught:
                await call("alerts.set", **{"symbol": BTC, "condition": "above", "threshold": "61000", **change})
            assert caught.value.path == path
        right = {"kind": "price_above", "threshold": "1"}
        for rule in ({"kind": "dte_warning", "threshold": "1.5"}, {"kind": "gamma", "threshold": "1"}):
            with pytest.raises(InvalidInput):
                await call("monitors.set", rules=[right, rule])
        assert (await call("monitors.list"))["rules"] == [], "one that is wrong keeps out all"
        assert (await call("alerts.list"))["items"] == []
        assert here.orders() == []
