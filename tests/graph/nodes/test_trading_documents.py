"""Documents that trade: their nodes run by the runner, on a real desk, over recordings."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.engine.support import live, turns
from tests.graph.nodes.test_news import Recorded
from tests.graph.nodes.test_trading_library import DOCUMENTS, chain, step
from tests.graph.support import RecordedProvider
from tests.graph.trading import World
from tickwork.core.queue import Queue
from tickwork.errors import InvalidInput
from tickwork.graph.compiling import compile_document
from tickwork.graph.library import library
from tickwork.graph.nodes.views import owned, portfolios, reserved_funds
from tickwork.graph.reading import read_document
from tickwork.graph.sources import Sources
from tickwork.market.news import NewsItem
from tickwork.market.recording import Recording
from tickwork.values import from_ns

BTC = "BTC/USD"


def news(world: World, mood: float) -> Recorded:
    known = from_ns(world.clock.now() - 10**9)
    return Recorded(NewsItem(id="1", source="test", title="BTC", known_at=known, symbols=(BTC,), sentiment=mood))


async def ran(world: World, plain: dict[str, Any], input: Any, mood: float = 0.5) -> Any:
    """The outcome of a document in a world."""
    sources = Sources({**world.sources, "news": news(world, mood), "breakers": world.engine.breakers})
    made = compile_document(read_document(plain), library=library(), sources=sources)
    await world.engine.add(made)
    handle = await world.engine.start(made, input, owner="me")
    return await handle.result()


@live
async def test_news_and_indicators_become_an_order() -> None:
    said = {}
    for mood, at in ((0.9, 214), (-0.9, 214), (0.9, 250)):
        provider = RecordedProvider("bitstamp", "bitstamp-btc-usd-1d", at=at)
        async with World(provider).open() as world:
            found = await ran(world, DOCUMENTS["news trader"], {"symbols": [BTC]}, mood)
            assert set(found.nodes.values()) == {"completed"}
            placed = world.events("trading/order.accepted")
            said[mood, at] = [(one.side, one.workflow) for one in placed]
    assert len({tuple(one) for one in said.values()}) > 1
    assert all(one in ([], [("buy", "d")]) for one in said.values())


@live
async def test_what_is_urgent_is_hedged_and_told_and_what_is_normal_is_queued() -> None:
    async with World().open(Queue("execution")) as world:
        plain = DOCUMENTS["event-driven trader"]
        urgent = await ran(world, plain, {"symbol": BTC, "change": "0.09", "threshold": "0.02"})
        assert urgent.nodes == {
            "classify": "completed",
            "hedge": "completed",
            "alert": "completed",
            "analyze": "skipped",
            "queue": "skipped",
        }
        assert [one.severity for one in world.events("tickwork/notify")] == ["critical"]
        normal = await ran(world, {**plain, "name": "e"}, {"symbol": BTC, "change": "0.02", "threshold": "0.02"})
        assert (normal.nodes["hedge"], normal.nodes["queue"]) == ("skipped", "completed")
        assert len(await world.engine.queues.lease("execution", 10)) == 1


@live
async def test_a_trade_goes_on_while_the_circuit_is_closed() -> None:
    async with World().open() as world:
        found = await ran(world, DOCUMENTS["protected trader"], {"symbol": BTC, "signal": "BUY"})
        assert found.outputs["trade"]["status"] == "acknowledged"


@live
async def test_a_saga_that_fails_leaves_nothing_behind() -> None:
    saga = DOCUMENTS["saga"]
    start = {"symbol": BTC, "side": "buy", "amount": "1000"}
    async with World().open() as world:
        done = await ran(world, saga, start)
        assert set(done.nodes.values()) == {"completed"}
        assert len(await world.trader.open_orders()) == 1
        fails = step("must", "validation", params={"test": "1 == 2"})
        broken = chain(*saga["nodes"], fails)
        with pytest.raises(InvalidInput, match="must"):
            await ran(world, {**broken, "name": "broken"}, start)
        assert len(await world.trader.open_orders()) == 1
        (order,) = await world.trader.open_orders()
        held = await world.do(lambda run, context: portfolios.get(owned("me", "main")))
        assert held.holdings == {BTC: order.quantity}
        assert order.quantity * world.sides[0].latest(BTC).close < Decimal(1000)
        funds = await world.do(lambda run, context: reserved_funds.get("main"))
        assert funds.by_id == {}
        told = [one.kind for one in world.events("tickwork/notify")]
        assert told == ["document.message", "document.message", "document.failed"]


@live
async def test_a_stop_sells_what_the_document_holds() -> None:
    daily = Recording.open("bitstamp-btc-usd-1d")
    # bought at the open of the second bar, the first close is above the stop and the next one below
    at = next(
        at for at in range(100, len(daily) - 3)
        if daily[at + 1].close > daily[at + 1].open * Decimal("0.97") > daily[at + 2].close * Decimal("1.03")
    )  # fmt: skip
    looks = "event.what == 'look'"
    document = chain(
        step("price", "venue_price", params={"symbol": BTC}),
        step("stop", "stop_loss", params={"percentage": 5, "symbol": BTC}),
        step("out", "sell", when=looks, inputs={"signal": "{{stop.trigger}}"}, params={"symbol": BTC}),
    )
    document["nodes"].append(
        step("enter", "buy", when="event.what == 'buy'", params={"symbol": BTC, "notional": "1000"})
    )
    async with World(RecordedProvider("bitstamp", "bitstamp-btc-usd-1d", at=at)).open() as world:
        made = compile_document(read_document(document), library=library(), sources=Sources(world.sources))
        await world.engine.add(made)

        async def run(what: str) -> Any:
            return await (await world.engine.start(made, {"what": what}, owner="me")).result()

        await run("buy")
        await world.trade()
        assert (await run("look")).outputs["out"]["status"] == "none"
        await world.trade()
        sold = (await run("look")).outputs["out"]
        assert (sold["status"], sold["side"]) == ("acknowledged", "sell")
        await world.trade()
        assert not world.trader.positions()


@live
@pytest.mark.parametrize("params", [{"symbol": BTC}, {}])
async def test_an_undo_that_closes_leaves_what_an_earlier_run_has_bought(params: dict[str, Any]) -> None:
    enter = {"symbol": BTC, "notional": "1000"}
    document = chain(
        step(
            "enter", "place_order", params={**enter, "side": "buy"}, undo={"type": "close_position", "params": params}
        ),
        step("must", "validation", params={"test": "event.well"}),
    )
    async with World().open() as world:
        made = compile_document(read_document(document), library=library(), sources=Sources(world.sources))
        await world.engine.add(made)
        await (await world.engine.start(made, {"well": True}, owner="me")).result()
        await world.trade()
        (held,) = world.trader.positions()
        with pytest.raises(InvalidInput, match="must"):
            await (await world.engine.start(made, {"well": False}, owner="me")).result()
        assert await world.trader.open_orders() == []
        await world.trade()
        (left,) = world.trader.positions()
        assert left.quantity == held.quantity


@live
@pytest.mark.parametrize("undo", ["cancel_order", "close_position", "immediate_hedge"])
async def test_an_order_that_filled_before_the_run_failed_is_closed_again(undo: str) -> None:
    document = chain(
        step("enter", "buy", params={"symbol": BTC, "notional": "1000"}, undo=undo),
        step("ask", "gate", params={"question": "on?"}),
        step("must", "validation", params={"test": "approved"}),
    )
    async with World().open() as world:
        made = compile_document(read_document(document), library=library(), sources=Sources(world.sources))
        await world.engine.add(made)
        handle = await world.engine.start(made, None, owner="me")
        await turns(200)
        await world.trade()
        assert world.trader.positions()
        (question,) = world.engine.queries.approvals()
        await world.engine.approve(question.id, yes=False, by="ann")
        with pytest.raises(InvalidInput, match="must"):
            await handle.result()
        await world.trade()
        assert not world.trader.positions()
