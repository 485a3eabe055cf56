"""What nobody feeds, and which feeds are silent: the tape says it, once, and the doctor reads it there."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from tests.service.watching import MINUTE_NS, SECOND_NS, START_NS, Desk, Fed, listening, live, quote
from tickwork.engines.embedded import Engine
from tickwork.market.alerts import PriceAlert
from tickwork.market.position_rules import PositionRule
from tickwork.market.staleness import FeedDropped, FeedResumed, FeedSilent, silences
from tickwork.market.standing import Unfed, UnfedTrigger
from tickwork.market.triggers import PriceChange, VolumeSpike
from tickwork.service.alerts import Alerts
from tickwork.service.doctor import examine

SPIKE = VolumeSpike("BTC/USDT", 2)
CHANGE = PriceChange("ETH/USDT", "0.1")


def alert(symbol: str) -> PriceAlert:
    return PriceAlert(f"on {symbol}", "ann", symbol, "above", Decimal(5))


def told(engine: Engine, what: str) -> list[tuple[str, str]]:
    """Severity and detail of what the doctor says of one thing."""
    found = examine(engine.queries, None, engine.clock.now())
    return [(finding.severity, finding.detail) for finding in found if finding.what == what]


@live
async def test_what_waits_in_vain_is_told_when_it_changes(tmp_path: Path) -> None:
    feed = Fed("quotes", [quote(START_NS, 1)])
    desk = Desk(tmp_path, [feed], [listening(SPIKE, CHANGE)])
    await desk.open()
    (first,) = desk.events(Unfed)
    needs = next(one.needs for one in desk.watch.unfed() if one.trigger == str(CHANGE))
    assert first.triggers == tuple(
        sorted(
            [UnfedTrigger(str(SPIKE), "bars of BTC/USDT"), UnfedTrigger(str(CHANGE), needs)],
            key=lambda one: one.trigger,
        )
    )
    assert first.alerts == ()
    await desk.watch.checkpoint()
    await desk.stop(kill=True)
    await desk.open()
    assert desk.events(Unfed) == [first]
    details = told(desk.engine, "unfed")
    assert ("warning", f"{SPIKE} waits for bars of BTC/USDT") in details
    assert len(details) == 2
    await desk.stop(kill=True)
    desk.workflows = []
    await desk.open()
    assert [(event.triggers, event.alerts) for event in desk.events(Unfed)[1:]] == [((), ())]
    assert told(desk.engine, "unfed") == [("ok", "nothing waits for what no feed brings")]
    await desk.stop()


@live
async def test_symbols_of_alerts_too(tmp_path: Path) -> None:
    desk = Desk(tmp_path, [Fed("quotes", [quote(START_NS, 1)])], checkpoint_every="1 minute")
    watch = await desk.open()
    assert desk.events(Unfed) == []
    await desk.settle()
    watch._alerts = alerts = Alerts(desk.engine)
    await alerts.set_all([alert("BTC/USDT"), alert("DOGE/USDT")])
    await alerts.set_rule(PositionRule("stop", "ann", "price_below", Decimal(5), "SOL/USDT"))
    desk.engine.clock.jump(START_NS + 2 * MINUTE_NS)
    for _ in range(2):
        await desk.wake()
        await desk.settle()
    await desk.engine.durable()
    assert [event.alerts for event in desk.events(Unfed)] == [("DOGE/USDT", "SOL/USDT")]
    assert told(desk.engine, "unfed") == [("warning", "alerts or rules wait for prices of DOGE/USDT, SOL/USDT")]
    await alerts.cancel("on DOGE/USDT")
    await alerts.cancel_rule("stop")
    await watch.checkpoint()
    assert [event.alerts for event in desk.events(Unfed)][1:] == [()]
    await desk.stop()


@live
async def test_silent_feeds_until_they_speak_or_are_given_up(tmp_path: Path) -> None:
    quotes = Fed("quotes", [quote(START_NS, 1)], symbols=["BTC/USDT", "ETH/USDT", "SOL/USDT"])
    wire = Fed("wire", [], symbols=[], kinds=["news"])
    desk = Desk(tmp_path, [quotes, wire])
    await desk.open()
    await desk.settle()
    desk.engine.clock.jump(START_NS + 2 * MINUTE_NS)
    await desk.wake()
    await desk.settle()
    noticed = "noticed on 2020-01-01 00:02:00"
    assert told(desk.engine, "feeds") == [
        ("warning", f"'quotes' is silent about BTC/USDT, ETH/USDT, SOL/USDT, {noticed}"),
        ("warning", f"'wire' is silent, {noticed}"),
    ]
    quotes.hand(quote(START_NS + 2 * MINUTE_NS, 2))
    await desk.settle()
    desk.engine.clock.jump(desk.engine.clock.now() + SECOND_NS)
    await desk.wake()
    await desk.settle()
    assert [event.symbols for event in desk.events(FeedResumed)] == [("BTC/USDT",)]
    assert told(desk.engine, "feeds")[0] == ("warning", f"'quotes' is silent about ETH/USDT, SOL/USDT, {noticed}")
    await desk.stop(kill=True)
    # what is not watched any more can never speak again
    quotes.symbols, desk.feeds = ("BTC/USDT", "SOL/USDT"), [quotes]
    await desk.open()
    dropped = [(event.source, event.symbols) for event in desk.events(FeedDropped)]
    assert dropped == [("quotes", ("ETH/USDT",)), ("wire", ("",))]
    assert dict(desk.engine.items(silences)) == {"quotes": ["SOL/USDT"]}
    assert told(desk.engine, "feeds") == [("warning", f"'quotes' is silent about SOL/USDT, {noticed}")]
    assert len(desk.events(FeedSilent)) == 2
    await desk.stop(kill=True)
    # a process without a watch does not know, and what was known once says nothing of now
    async with Engine(desk.memory or "") as engine:
        assert told(engine, "feeds") == [("ok", "none is silent")]
        assert told(engine, "unfed") == [("ok", "nothing waits for what no feed brings")]
