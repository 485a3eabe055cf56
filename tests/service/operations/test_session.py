"""Exits, notifications, and a session that is still opening, by operation."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.service.awaiting import awaited
from tests.service.operations.trading import BTC, BUY, HERE, D, place, until
from tickwork.app import open_live
from tickwork.errors import InvalidInput, NotFound
from tickwork.service.api.there import Remote
from tickwork.sim.exchange import Fault

CODE = """
from decimal import Decimal
from tickwork import Event, Run, workflow
from tickwork.trading.exits import ExitRules
from tickwork.trading.orders import OrderIntent

class Go(Event, name="test/go", version=1):
    pass

def workflows(trading):
    @workflow("trade", on=Go)
    async def trade(run: Run, go: Go) -> str:
        book = await run.step("book", trading.providers.get("").orderbook, "BTC/USDT", 1)
        intent = OrderIntent(
            account="main", owner=run.owner, workflow="trade", symbol="BTC/USDT", side="buy", quantity=Decimal("0.01"),
            reference_price=book.asks[0].price, reference_time=book.time,
        )
        placed = await trading.trader.place(run, intent)
        return await trading.protect(run, intent, placed, ExitRules(stop_loss=Decimal("0.05")))
    return [trade]
"""


@awaited
async def test_a_plan_is_listed_resized_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch) as here:
        (tmp_path / "trade.py").write_text(CODE)
        here.config.write_text(f'workflows = ["{tmp_path / "trade.py"}"]\n' + here.config.read_text())
        async with here.up() as call:
            await call.session.engine.ask("emit", name="test/go", payload={})

            async def listed() -> Any:
                found = (await call.from_elsewhere("exits.list", account="main"))["items"]
                return found if found and found[0]["stop"] else None  # it sleeps until the next price

            (plan,) = await until(listed)
            assert (plan["symbol"], D(plan["left"])) == (BTC, D("0.01"))
            assert D(plan["stop"]) < 58_000
            assert (await call("exits.resize", plan=plan["plan"], quantity="0.004"))["done"] == "0.004 left"
            tape = str(call.session.files.tape)
            with pytest.raises(InvalidInput, match="reason"):
                await call("exits.cancel", plan=plan["plan"])
            with pytest.raises(NotFound, match="plan"):
                await call("exits.cancel", plan="nothing", reason="a test")
        alone = Remote(tape)
        (read,) = (await alone.call("exits.list", {}, HERE)).value["items"]
        assert (read["plan"], read["left"]) == (plan["plan"], "0.004"), "as the tape has it, when nobody trades"
        alone.close()
        async with here.up() as call:
            await call("exits.cancel", plan=plan["plan"], reason="by hand")
            assert (await call("exits.list"))["items"] == []
            here.exchange.move(BTC, D(50_000))
            await asyncio.sleep(0.5)
            assert len(here.orders()) == 1, "nobody protects it any more"


@awaited
async def test_channels_are_told_without_their_addresses_and_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        heard.append(await reader.readexactly(length))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setenv("HOOK_TOKEN", "very-secret")
    more = f'[notify.channels.hook]\nurl = "json://127.0.0.1:{port}/${{HOOK_TOKEN}}"'
    async with server, place(tmp_path, monkeypatch, mode="paper", more=more) as here, here.up(live=False) as call:
        channels = await call.from_elsewhere("notifications.channels")
        assert [one["channel"] for one in channels["items"]] == ["hook"]
        tried = await call("notifications.test", text="hello")
        assert [(one["channel"], one["sent"]) for one in tried["items"]] == [("hook", True)]
        assert "hello" in json.loads(heard[0])["message"]
        explained = await call("notifications.explain", kind="alert", severity="critical")
        assert [one["channel"] for one in explained["channels"]] == ["hook"]
        for told in (channels, tried, explained):
            assert "very-secret" not in json.dumps(told)
        await call.session.engine.ask("emit", name="tickwork/notify", payload={"kind": "a", "title": "look"})

        async def sent() -> Any:
            return (await call("notifications.outbox", status="sent"))["items"]

        (line,) = await until(sent)
        assert (line["channel"], line["title"]) == ("hook", "look")
        with pytest.raises(InvalidInput, match="phone"):
            await call("notifications.test", channel="phone")
        assert here.orders() == []


@pytest.mark.slow
@awaited
async def test_a_call_waits_for_a_session_that_is_still_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place(tmp_path, monkeypatch) as here:
        here.faults.add(Fault(kind="stall", on="account", seconds=1))
        session = open_live(here.config, live=True)
        remote = Remote(str(session.files.tape))
        opening = asyncio.create_task(session.__aenter__())

        socket = Path(str(session.files.tape) + ".sock")

        async def owned() -> bool:
            return await asyncio.to_thread(socket.exists)

        await until(owned)
        answer = await remote.call("orders.place", BUY, HERE, "early")
        assert answer.value["outcome"] == "accepted"
        await opening
        told = [
            entry.record.name
            for entry in session.engine.queries.events("trading/account.opened", "trading/order.accepted")
        ]
        assert told == ["trading/account.opened", "trading/order.accepted"], "first the account, then its orders"
        assert len(here.orders()) == 1
        remote.close()
        await session.close()
