"""The account of a paper session as documents see it, and what cannot be played."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.service.papering import BTC, ETH, START, Played, arbitrage, clockwork, intent, market, options, reporter
from tickwork.app import open_paper
from tickwork.core.run import Run
from tickwork.core.schedule import Schedule, ScheduleFired
from tickwork.core.workflow import Workflow, workflow
from tickwork.errors import InvalidInput, Rejected
from tickwork.graph.sources import News, Providers, Sources, Trader
from tickwork.market.bars import Bar
from tickwork.market.recording import Recording
from tickwork.service.paper import ByHand, PaperOptions
from tickwork.sim.market import simulated
from tickwork.trading.gate import RiskLimits
from tickwork.values import timestamp_ns


def once(body: Any) -> Any:
    """A session's only workflow: does something once, by hand."""

    def make(sources: Sources) -> list[Workflow]:
        @workflow("once")
        async def run_once(run: Run) -> Any:
            return await body(run, sources)

        return [run_once]

    return make


def result_of(body: Any, home: Path, **more: Any) -> tuple[str, Any]:
    """Status and result of a run by hand."""
    found = Played(options(home, 60, by_hand=ByHand(), **more), once(body))
    (info,) = found.queries.runs(workflow="once")
    detail = found.queries.show(info.id)
    return info.status, detail.result if detail.error is None else detail.error


def test_the_account_as_documents_see_it(tmp_path: Path) -> None:
    async def body(run: Run, sources: Sources) -> dict[str, Any]:
        trader: Trader = sources.get("trader")
        before = [str(trader.equity()), str(trader.free())]
        price = await run.step("price", ask, sources)
        await trader.place(run, intent(run, "once", BTC, "buy", price), "beta")
        resting = intent(run, "once", ETH, "buy", Decimal(2_900), type="limit", limit_price=Decimal(100))
        placed = await trader.place(run, resting)
        await run.sleep("3m")
        held = await trader.held(run, "once", BTC)
        open_ = await run.step("open", trader.open_orders)
        positions = await run.step("positions", trader.positions)
        cancelled = await trader.cancel(run, open_[0].client_order_id)
        twice = await trader.cancel(run, open_[0].client_order_id)
        return {
            "before": before,
            "outcome": placed.outcome,
            "held": str(held),
            "positions": [(one.symbol, str(one.quantity)) for one in positions],
            "open": len(open_),
            "cancelled": [cancelled.status, twice.status],
            "fees": [str(trader.fee_rate(venue)) for venue in trader.venues],
            "rules": str(trader.rules(BTC).price_tick),
            "who": [trader.account, trader.currency, *trader.venues],
        }

    async def ask(sources: Sources) -> Decimal:
        providers: Providers = sources.get("providers")
        return (await providers.get("beta").orderbook(BTC, 1)).asks[0].price

    status, found = result_of(body, tmp_path, stock=Decimal(0))
    assert status == "done", found
    assert found["before"] == ["200000", "200000"]
    assert found["outcome"] == "accepted"
    assert found["positions"] == [["BTC/USDT", found["held"]]]
    assert Decimal(found["held"]) > 0
    assert found["open"] == 1
    assert found["cancelled"] == ["cancelled", "cancelled"]
    assert found["fees"] == ["0.001", "0.001"]
    assert found["rules"] == "0.01"
    assert found["who"] == ["paper", "USDT", "alpha", "beta"]


@pytest.mark.parametrize(
    ("venue", "symbol", "says"),
    [("kraken", BTC, "one of alpha, beta"), ("", "XRP/USDT", "one that a venue lists: BTC/USDT, ETH/USDT")],
)
def test_what_cannot_be_traded_fails_the_run(venue: str, symbol: str, says: str, tmp_path: Path) -> None:
    async def body(run: Run, sources: Sources) -> str:
        trader: Trader = sources.get("trader")
        return (await trader.place(run, intent(run, "once", symbol, "buy", Decimal(1)), venue)).outcome

    status, found = result_of(body, tmp_path)
    assert status == "dead"
    assert says in found


def test_an_order_that_nobody_knows_cannot_be_cancelled(tmp_path: Path) -> None:
    async def body(run: Run, sources: Sources) -> str:
        trader: Trader = sources.get("trader")
        try:
            await trader.cancel(run, "0" * 32)
        except Rejected as rejected:
            return str(rejected)
        return "cancelled"

    assert result_of(body, tmp_path) == ("done", f"alpha, beta rejected it: no order has client id {'0' * 32}")


@pytest.mark.parametrize(
    ("more", "wish", "rule"),
    [
        ({}, {"quantity": Decimal(1)}, "max_order_notional"),
        ({"limits": RiskLimits(max_order_notional=Decimal(9), max_position_notional=Decimal(9))}, {}, "min_notional"),
        ({}, {"price": Decimal(1), "quantity": Decimal("0.01")}, "price_band"),
        ({}, {"reduce_only": True, "side": "sell"}, "reduce_only"),
    ],
)
def test_every_order_goes_through_the_gate(more: Any, wish: Any, rule: str, tmp_path: Path) -> None:
    async def body(run: Run, sources: Sources) -> str:
        trader: Trader = sources.get("trader")
        fields: dict[str, Any] = {"price": Decimal(60_000), "side": "buy", **wish}
        if rule == "min_notional":
            fields["quantity"] = Decimal("0.0001")
        side, price = fields.pop("side"), fields.pop("price")
        placed = await trader.place(run, intent(run, "once", BTC, side, price, **fields))
        assert placed.refusal is not None
        return placed.refusal.rule

    assert result_of(body, tmp_path, **more) == ("done", rule)


def test_a_price_that_is_too_old_buys_nothing(tmp_path: Path) -> None:
    prices = [Decimal(100)] * 10
    bars = [
        Bar(BTC, "alpha", timestamp_ns(START) + at * 60 * 10**9, 60 * 10**9, p, p, p, p, Decimal(1))
        for at, p in enumerate(prices)
        if at not in (4, 5, 6)
    ]

    def make(sources: Sources) -> list[Workflow]:
        trader: Trader = sources.get("trader")

        @workflow("clock", on=Schedule("* * * * *"))
        async def body(run: Run, fired: ScheduleFired) -> str:
            placed = await trader.place(run, intent(run, "clock", BTC, "buy", Decimal(100), quantity=Decimal(1)))
            return placed.outcome if placed.refusal is None else placed.refusal.rule

        return [body]

    given = PaperOptions(home=tmp_path, data=[Recording.from_bars(bars, name="gap")])
    assert Played(given, make).results("clock") == [*["accepted"] * 5, *["price"] * 2, *["accepted"] * 3]


def test_what_is_paid_in_is_worth_the_capital(tmp_path: Path) -> None:
    made = simulated(2, ["alpha"], [BTC, ETH, "BTC/USDT:USDT", "RAIN-YES/USDT"], START, 10)
    given = PaperOptions(home=tmp_path, data=made.recordings, terms=made.terms, stock=Decimal("0.3"))
    session = open_paper(given, clocks)
    desk = session.trader.desks["alpha"]
    assert set(desk.cash) == {"USDT", "BTC", "ETH"}
    assert desk.equity() == given.capital == session.equity
    assert abs(desk.cash["USDT"] - 70_000) < 1
    assert abs(desk.cash["BTC"] * desk.marks[BTC] - 15_000) < 1
    asyncio.run(session.close())


def test_sources_are_what_nodes_ask_for(tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def make(sources: Sources) -> list[Workflow]:
        seen.update({name: sources.get(name) for name in ("providers", "trader", "news", "breakers", "workflows")})
        return [clockwork(sources)]

    session = open_paper(options(tmp_path, 30), make)
    assert seen["news"] is None
    assert seen["workflows"] is None
    assert isinstance(seen["providers"].names, list)

    async def during() -> str:
        await session.run()
        mode: str = seen["breakers"].mode("nobody")
        await session.close()
        return mode

    assert asyncio.run(during()) == "closed"
    assert [source.source_name for source in (Providers, Trader, News)] == ["providers", "trader", "news"]


def clocks(sources: Sources) -> list[Workflow]:
    return [clockwork(sources)]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"data": []}, "data"),
        ({"data": ["no-such-recording"]}, "recording"),
        ({"data": [*market(30).recordings, market(30).recordings[0]]}, "data"),
        ({"data": ["coinbase-btc-usd-1h", *market(30).recordings]}, "data"),
        ({"capital": Decimal(0)}, "capital"),
        ({"capital": Decimal(-5)}, "capital"),
        ({"stock": Decimal(1)}, "stock"),
        ({"speed": 0.0}, "speed"),
        ({"until": timestamp_ns(START)}, "until"),
        ({"by_hand": ByHand(workflow="nobody")}, "workflow"),
        ({"by_hand": ByHand(at=timestamp_ns(START))}, "at"),
        ({"by_hand": ByHand(at=timestamp_ns(START + timedelta(days=9)))}, "at"),
    ],
)
def test_what_cannot_be_played_is_refused_before_anything_is_touched(
    changes: dict[str, Any], path: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput) as caught:
        open_paper(options(tmp_path, 30, **changes), clocks)
    assert caught.value.path == path
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InvalidInput, match="at least one workflow"):
        open_paper(options(tmp_path, 30), lambda sources: [])


@pytest.mark.slow
def test_recorded_prices_of_two_venues_and_two_lengths(tmp_path: Path) -> None:
    """Shipped recordings: bars of an hour are traded at one venue, bars of a day at the other."""

    def make(sources: Sources) -> list[Workflow]:
        return [arbitrage(sources, "BTC/USD"), reporter(sources)]

    data = ["coinbase-btc-usd-1h", "bitstamp-btc-usd-1d"]
    found = Played(PaperOptions(home=tmp_path, data=data, until=timestamp_ns(START)), make).summary
    assert found["bars"] > 1_000
    assert set(found["venues"]) == {"coinbase", "bitstamp"}
