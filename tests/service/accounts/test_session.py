"""`tickwork up` from its configuration to fills on the tape, with the real ccxt client against a simulated MEXC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.service.awaiting import awaited
from tickwork.app import open_live
from tickwork.core.event import newest_event
from tickwork.engines.system_clock import SystemClock
from tickwork.errors import InvalidInput, Refused, TapeLocked
from tickwork.service.accounts.session import LiveSession
from tickwork.service.orders import orders
from tickwork.service.positions import last_marks, positions
from tickwork.service.running.roles import read_roles
from tickwork.sim.exchange import Exchange, Fault, Faults, Market, MexcApi, serving, truth

D = Decimal
CODE = """
from decimal import Decimal
from tickwork import Event, Run, workflow
from tickwork.trading.exits import ExitRules
from tickwork.trading.orders import OrderIntent
from tickwork.values import timestamp_ns

class Go(Event, name="test/go", version=1):
    side: str = "buy"
    quantity: str = "0.01"
    stop: str = ""

def workflows(trading):
    @workflow("trade", on=Go)
    async def trade(run: Run, go: Go) -> dict:
        book = await run.step("book", trading.providers.get("").orderbook, "BTC/USDT", 1)
        price = book.asks[0].price if go.side == "buy" else book.bids[0].price
        intent = OrderIntent(
            account="main", owner=run.owner, workflow="trade", symbol="BTC/USDT", side=go.side,
            quantity=Decimal(go.quantity), reduce_only=go.side == "sell", reference_price=price,
            reference_time=book.time, reference_source=book.recording, reference_offset=book.offset,
        )
        placed = await trading.trader.place(run, intent)
        if go.stop:
            await trading.protect(run, intent, placed, ExitRules(stop_loss=Decimal(go.stop)))
        return {"outcome": placed.outcome, "why": str(placed.refusal or placed.rejection)}
    return [trade]
"""


@dataclass
class Place:
    """A folder with a configuration, and the exchange it names."""

    folder: Path
    exchange: Exchange
    faults: Faults

    def session(self, *, live: bool = True) -> LiveSession:
        return open_live(self.folder / "tickwork.toml", live)

    def filled(self) -> Decimal:
        return sum((D(one["executed"]) for one in truth(self.exchange)["accounts"]["main"]["orders"]), D(0))


@asynccontextmanager
async def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **changes: str) -> AsyncIterator[Place]:
    exchange = MexcApi.exchange_of(SystemClock().now)
    exchange.add_market(Market(base="BTC", quote="USDT", price=D(60_000)))
    exchange.add_account("main", key="the-key", secret="the-secret", balances={"USDT": "100000"})
    faults = Faults()
    async with serving(MexcApi(exchange, faults)) as server:
        (tmp_path / "trade.py").write_text(CODE)
        said = {"mode": "live", "withdrawals": "", **changes}
        (tmp_path / "tickwork.toml").write_text(f"""
mode = "{said["mode"]}"
home = "{tmp_path / "home"}"
workflows = ["{tmp_path / "trade.py"}"]
[accounts.main]
venue = "mexc"
symbols = ["BTC/USDT"]
capital = "10000"
url = "{server.url}"
poll = "100 ms"
quotes_every = "100 ms"
withdrawals = "{said["withdrawals"]}"
[accounts.main.risk.account]
max_order_notional = "2000"
max_position_notional = "5000"
""")
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        monkeypatch.setenv("MEXC_API_KEY", "the-key")
        monkeypatch.setenv("MEXC_SECRET_KEY", "the-secret")
        yield Place(tmp_path, exchange, faults)


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - what other processes wrote can only be looked at
            await asyncio.sleep(0.02)


async def go(session: LiveSession, **fields: str) -> None:
    (cls,) = {cls for (name, _), cls in session.engine.event_classes.items() if name == "test/go"}
    await session.engine.emit(cls(**fields))


def states(session: LiveSession) -> list[str]:
    for run in session.engine.queries.runs("dead"):
        raise AssertionError(session.engine.queries.show(run.id).error)
    return [line.status for line in reversed(orders(session.engine.queries))]


@awaited
async def test_bought_sold_stopped_and_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch) as here:
        async with here.session() as session:
            await go(session)
            await until(lambda: states(session) == ["filled"])
            desk = session.trading.account("main").desk
            assert desk.ledger.quantity("BTC/USDT") == D("0.01") == here.filled()
            cash = desk.ledger.cash("USDT")
        async with here.session() as session:
            desk = session.trading.account("main").desk
            assert desk.ledger.quantity("BTC/USDT") == D("0.01")
            assert desk.ledger.cash("USDT") == cash
            assert len(desk.reservations) == 0
            await go(session, side="sell", quantity="0.004")
            await until(lambda: states(session) == ["filled", "filled"])
            assert desk.ledger.quantity("BTC/USDT") == D("0.006")
            balance = truth(here.exchange)["accounts"]["main"]["balances"]
            assert desk.ledger.cash("USDT") + 90_000 == D(balance["USDT"]["free"])


@awaited
async def test_a_stop_is_there_after_a_restart_and_sells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch) as here:
        async with here.session() as session:
            await go(session, stop="0.05")
            await until(lambda: session.trading.exits.plans())
        async with here.session() as session:
            assert [state.plan.quantity for state in session.trading.exits.plans()] == [D("0.01")]
            here.exchange.move("BTC/USDT", D(56_000))
            await until(lambda: states(session) == ["filled", "filled"])
            assert session.trading.account("main").desk.ledger.quantity("BTC/USDT") == 0
            await until(lambda: not session.trading.exits.plans())


@awaited
async def test_positions_are_worth_what_the_market_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch) as here:
        async with here.session() as session:
            await go(session)
            await until(lambda: states(session) == ["filled"])
        here.exchange.move("BTC/USDT", D(50_000))
        async with here.session() as session:

            def price() -> Decimal:
                (line,) = positions(queries := session.engine.queries, last_marks(queries)).positions
                return D(line.price or 0)

            await until(lambda: 49_000 < price() < 51_000)


@awaited
async def test_a_stop_ends_with_its_position(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch) as here, here.session() as session:
        await go(session, stop="0.05")
        await until(lambda: session.trading.exits.plans())
        await go(session, side="sell")
        await until(lambda: states(session) == ["filled", "filled"])
        await until(lambda: not session.trading.exits.plans())
        await go(session)
        await until(lambda: states(session) == ["filled"] * 3)
        here.exchange.move("BTC/USDT", D(50_000))
        await asyncio.sleep(0.5)
        assert states(session) == ["filled"] * 3, "nobody protects what was bought later"


@awaited
async def test_a_price_of_before_decides_nothing_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place(tmp_path, monkeypatch) as here:
        here.exchange.move("BTC/USDT", D(50_000))
        async with here.session() as session:
            here.exchange.move("BTC/USDT", D(60_000))
            await until(lambda: (quote := session.prices.quote("mexc", "BTC/USDT")) and quote.bid > 59_000)
            await go(session, stop="0.05")
            await until(lambda: session.trading.exits.plans())
        (tmp_path / "home" / "recordings" / "watch.json").unlink()  # the whole recording is read again
        async with here.session() as session:
            await asyncio.sleep(0.5)
            assert states(session) == ["filled"]
            assert len(session.trading.exits.plans()) == 1


@awaited
async def test_an_answer_that_is_lost_makes_one_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch) as here, here.session() as session:
        here.faults.add(Fault(kind="drop_after", on="order.create", nth=1))
        await go(session)
        await until(lambda: states(session) == ["filled"])
        assert here.filled() == D("0.01")
        told = [entry.record.name for entry in session.engine.queries.events(
            "trading/order.in_doubt", "trading/order.cleared"
        )]  # fmt: skip
        assert told == ["trading/order.in_doubt", "trading/order.cleared"]


@awaited
async def test_on_paper_nothing_reaches_the_exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch, mode="paper") as here, here.session(live=False) as session:
        await go(session)
        await until(lambda: states(session) == ["filled"])
        assert here.filled() == 0
        assert session.trading.account("main").desk.ledger.quantity("BTC/USDT") == D("0.01")


@awaited
async def test_live_needs_both_switches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch, mode="paper") as here:
        with pytest.raises(InvalidInput, match="mode"):
            here.session()


@awaited
async def test_a_key_that_may_withdraw_is_refused_unless_somebody_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place(tmp_path, monkeypatch) as here:
        here.exchange.add_account(
            "other", key="wide", secret="the-secret", permissions=("read", "trade", "withdraw"), balances={}
        )
        monkeypatch.setenv("MEXC_API_KEY", "wide")
        with pytest.raises(Refused, match="withdraw"):
            async with here.session():
                pass
        monkeypatch.delenv("MEXC_API_KEY")
        with pytest.raises(InvalidInput, match="MEXC_API_KEY"):
            async with here.session():
                pass


@awaited
async def test_two_desks_on_one_account_cannot_be_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch) as here, here.session():
        with pytest.raises(TapeLocked, match=r"is up in .* already"):
            async with here.session():
                pass
        config = (tmp_path / "tickwork.toml").read_text()
        (tmp_path / "tickwork.toml").write_text(config.replace(str(tmp_path / "home"), str(tmp_path / "elsewhere")))
        with pytest.raises(InvalidInput, match="another process of this machine trades at mexc"):
            async with here.session():
                pass


@awaited
async def test_a_process_that_only_protects_begins_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch) as here:
        async with open_live(tmp_path / "tickwork.toml", True, read_roles("exits")) as session:
            event = newest_event("test/go")
            assert event is not None
            await session.engine.emit(event())
            assert session.engine.queries.runs(workflow="trade") == []
            assert any("trade take no new work" in note for note in session.notes)
        async with here.session() as session:
            await go(session, stop="0.01")
            await until(lambda: session.trading.exits.plans())
        # what an earlier process bought is protected by one that buys nothing
        async with open_live(tmp_path / "tickwork.toml", True, read_roles("exits")) as session:
            here.exchange.move("BTC/USDT", D(59_000))
            await until(lambda: session.trading.account("main").desk.ledger.quantity("BTC/USDT") == 0)
            assert len(session.engine.queries.runs(workflow="trade")) == 1


@awaited
async def test_feeds_end_first_and_orders_are_followed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch) as here, here.session() as session:
        await go(session)
        await session.quiet()
        await until(lambda: states(session) == ["filled"])
        await session.quiet()
        assert session.fault() == ""
