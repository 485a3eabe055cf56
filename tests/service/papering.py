"""Paper sessions with workflows written by hand: what tests share, and what a process of its own plays."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from tickwork.app import open_paper
from tickwork.core.event import Event
from tickwork.core.run import Run
from tickwork.core.schedule import Schedule, ScheduleFired
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded.queries import Queries
from tickwork.graph.sources import Sources
from tickwork.market.news import NewsItem
from tickwork.market.triggers import NewsSentiment, PriceChange, PriceChanged, PriceCross, VolumeSpike
from tickwork.service.paper import ByHand, PaperOptions
from tickwork.service.trading import OrderFilled
from tickwork.sim.market import Simulated, simulated
from tickwork.trading.orders import OrderIntent
from tickwork.values import ratio, rounded_down, timestamp_ns

START = datetime(2024, 3, 1, tzinfo=UTC)
BTC, ETH = "BTC/USDT", "ETH/USDT"


@cache
def market(bars: int = 600, seed: int = 5) -> Simulated:
    """Two venues, two pairs, minutes."""
    return simulated(seed, ["alpha", "beta"], [BTC, ETH], START, bars, "1m", dislocations=0.02)


class Books(msgspec.Struct, frozen=True):
    """The best prices at two venues."""

    cheap: str
    ask: Decimal
    dear: str
    bid: Decimal
    gap: Decimal
    time: int


class Later(Event, name="test/later"):
    """Comes later."""

    symbol: str


def intent(run: Run, name: str, symbol: str, side: Literal["buy", "sell"], price: Decimal, **more: Any) -> OrderIntent:
    """An order of about 500 at the market, or at a limit."""
    fields = {"quantity": rounded_down(ratio(Decimal(500), price), Decimal("0.0001")), **more}
    return OrderIntent(
        account="paper",
        owner=run.owner,
        workflow=name,
        symbol=symbol,
        side=side,
        reference_price=price,
        reference_time=timestamp_ns(run.now()),
        **fields,
    )


def arbitrage(sources: Sources, symbol: str = BTC) -> Workflow:
    """Buys where it is cheap and sells where it is dear, at once."""
    providers, trader = sources.get("providers"), sources.get("trader")

    async def books() -> Books:
        found = [await providers.get(name).orderbook(symbol, 1) for name in providers.names]
        cheap, dear = min(found, key=lambda book: book.asks[0].price), max(found, key=lambda book: book.bids[0].price)
        ask, bid = cheap.asks[0].price, dear.bids[0].price
        return Books(cheap.venue, ask, dear.venue, bid, ratio(bid - ask, ask), cheap.time)

    moves = [PriceChange(symbol, "0.003", venue=venue) for venue in providers.names]

    @workflow("arbitrage", on=moves)
    async def body(run: Run, moved: PriceChanged) -> dict[str, str]:
        seen: Books = await run.step("books", books)
        if seen.gap < Decimal("0.004"):
            return {"action": "hold"}
        bought, sold = await run.all(
            trader.place(run, intent(run, "arbitrage", symbol, "buy", seen.ask), seen.cheap),
            trader.place(run, intent(run, "arbitrage", symbol, "sell", seen.bid), seen.dear),
        )
        return {"action": "traded", "buy": bought.outcome, "sell": sold.outcome}

    return body


def dip(sources: Sources) -> Workflow:
    """Rests a limit order below the market, waits, and takes it back if it has not been filled; then sells on."""
    providers, trader = sources.get("providers"), sources.get("trader")

    async def bid() -> Decimal:
        price: Decimal = (await providers.of_symbol(ETH).orderbook(ETH, 1)).bids[0].price
        return price

    async def still(key: str) -> bool:
        return any(order.client_order_id == key for order in await trader.open_orders())

    @workflow("dip", on=[VolumeSpike(ETH, 2, window=20), PriceCross(ETH, "3000")])
    async def body(run: Run, event: Event) -> str:
        price: Decimal = await run.step("bid", bid)
        limit = rounded_down(price * Decimal("0.9990"), Decimal("0.01"))
        placed = await trader.place(run, intent(run, "dip", ETH, "buy", price, type="limit", limit_price=limit))
        if placed.ack is None:
            return str(placed.outcome)
        await run.sleep("7m30s")
        if await run.step("still", still, placed.ack.client_order_id):
            await trader.cancel(run, placed.ack.client_order_id)
        await run.emit(Later(symbol=ETH), delay="75s")
        held: Decimal = await trader.held(run, "dip", ETH)
        return f"held {held}"

    return body


def seller(sources: Sources) -> Workflow:
    """Sells what the dip buyer bought, when the delayed event says so."""
    providers, trader = sources.get("providers"), sources.get("trader")

    async def bid() -> Decimal:
        price: Decimal = (await providers.of_symbol(ETH).orderbook(ETH, 1)).bids[0].price
        return price

    @workflow("seller", on=Later, key=lambda later: later.symbol)
    async def body(run: Run, later: Later) -> str:
        held: Decimal = await trader.held(run, "dip", ETH)
        price: Decimal = await run.step("bid", bid)
        if held <= 0:
            return "nothing"
        wanted = intent(run, "dip", ETH, "sell", price, quantity=held, reduce_only=True)
        return str((await trader.place(run, wanted)).outcome)

    return body


def clockwork(sources: Sources) -> Workflow:
    """Every seven minutes and between two bars: what is it all worth?"""
    trader = sources.get("trader")

    def equity() -> Decimal:
        total: Decimal = trader.equity()
        return total

    @workflow("clockwork", on=[Schedule("*/7 * * * *"), Schedule("30 */5 * * * *", name="between")])
    async def body(run: Run, fired: ScheduleFired) -> Decimal:
        found: Decimal = await run.step("equity", equity)
        return found

    return body


def reporter(sources: Sources) -> Workflow:
    """Hears of fills."""

    @workflow("reporter", on=OrderFilled)
    async def body(run: Run, filled: OrderFilled) -> str:
        return f"{filled.venue} {filled.side} {filled.quantity}"

    return body


def reader(sources: Sources) -> Workflow:
    """Reads good news."""
    news = sources.get("news")

    async def recent(since: int) -> list[str]:
        return [item.id for item in await news.recent([BTC], since, 10)]

    @workflow("reader", on=NewsSentiment(["bitcoin"], "0.5"))
    async def body(run: Run, item: NewsItem) -> list[str]:
        found: list[str] = await run.step("recent", recent, 0)
        return found

    return body


def by_hand(sources: Sources) -> Workflow:
    """Buys once."""
    providers, trader = sources.get("providers"), sources.get("trader")

    async def ask(symbol: str) -> Decimal:
        price: Decimal = (await providers.get("").orderbook(symbol, 1)).asks[0].price
        return price

    @workflow("by hand")
    async def body(run: Run, input: dict[str, str]) -> str:
        symbol = input["symbol"]
        price: Decimal = await run.step("ask", ask, symbol)
        placed = await trader.place(run, intent(run, "by hand", symbol, "buy", price))
        filled = await run.wait_for(OrderFilled, where={"symbol": symbol, "workflow": "by hand"}, timeout="10m")
        return f"{placed.outcome} {filled is not None}"

    return body


def everything(sources: Sources) -> list[Workflow]:
    """All of them."""
    makers = [arbitrage, dip, seller, clockwork, reporter, by_hand]
    if sources.get("news") is not None:
        makers.append(reader)
    return [make(sources) for make in makers]


def write_news(path: Path) -> Path:
    """Seven items: one before the session, one in two between bars."""
    items = [
        NewsItem(
            id=str(number),
            source="wire",
            title="Bitcoin rises" if number % 3 else "Rain",
            known_at=START + timedelta(minutes=80 * number - 40, seconds=30 * (number % 2)),
            symbols=("BTC/USDT",),
            sentiment=0.8,
        )
        for number in range(7)
    ]
    path.write_bytes(b"\n".join(item.to_wire() for item in items) + b"\n")
    return path


def options(home: Path, bars: int = 600, **more: Any) -> PaperOptions:
    """A session of everything."""
    made = market(bars)
    given: dict[str, Any] = {"data": made.recordings, "terms": made.terms, "stock": Decimal("0.5"), **more}
    return PaperOptions(home=home, **given)


def whole(home: Path, bars: int = 600) -> PaperOptions:
    """With news and a run by hand."""
    home.mkdir(parents=True, exist_ok=True)
    news = home / "news.jsonl"
    if not news.exists():
        write_news(news)
    return options(home, bars, news=news, by_hand=ByHand(workflow="by hand", input={"symbol": BTC}))


def told(summary: Any) -> dict[str, Any]:
    """A summary as JSON, without the path of its tape."""
    found: dict[str, Any] = json.loads(msgspec.json.encode(summary))
    found.pop("tape")
    return found


async def play(given: PaperOptions, make: Any = everything) -> dict[str, Any]:
    """A session to its end."""
    session = open_paper(given, make)
    try:
        return told(await session.run())
    finally:
        await session.close()


class Played:
    """A session that was played to its end, and what is on its tape."""

    def __init__(self, given: PaperOptions, make: Any = everything) -> None:
        self.home = given.home
        self.summary = asyncio.run(play(given, make))
        self.queries = Queries.open(str(given.home / "paper.db"))

    def events(self, *classes: type[Event]) -> list[tuple[int, Any]]:
        """With the time of each record."""
        by_name = {cls.event_name: cls for cls in classes}
        return [
            (one.record.at, by_name[one.record.name].from_wire(bytes(one.record.value)))
            for one in self.queries.events(*by_name)
        ]

    def results(self, name: str) -> list[Any]:
        return [self.queries.show(one.id).result for one in self.queries.runs(workflow=name, limit=10_000)][::-1]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(play(whole(Path(sys.argv[1]), int(sys.argv[2]))))))  # noqa: T201
