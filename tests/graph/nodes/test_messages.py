"""Messages to people, to queues and to other workflows."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Any

import pytest

from tests.engine.support import live
from tests.graph.support import RecordedProvider
from tests.graph.trading import World
from tickwork.core.expressions import compile_template
from tickwork.core.queue import Queue
from tickwork.core.run import Run
from tickwork.errors import InvalidInput
from tickwork.graph.compiling import compile_document
from tickwork.graph.declare import DECLARED, Context
from tickwork.graph.library import library
from tickwork.graph.nodes.messages import (
    alert_user,
    emit_event,
    log,
    notify,
    queue_for_execution,
    send_failure_alert,
    send_notification,
)
from tickwork.graph.nodes.signals import SymbolSignal
from tickwork.graph.reading import read_document
from tickwork.graph.sources import Sources

BTC, ETH = "BTC/USD", "ETH/USD"


def saying(node: Any, *inputs: Any, **settings: Any) -> Any:
    async def body(run: Run, context: Context) -> Any:
        return await node(run, *inputs, context=context, **settings)

    return body


def told(world: World) -> list[Any]:
    return world.events("tickwork/notify")


@live
async def test_a_notification_says_what_the_recording_says() -> None:
    said = []
    for at in (100, 200):
        provider = RecordedProvider("bitstamp", "bitstamp-btc-usd-1d", at=at)
        async with World(provider).open() as world:
            price = provider.latest(BTC).close
            await world.do(saying(notify, True, message=f"BTC at {price}", title="Price", severity="warning"))
            (one,) = told(world)
            assert (one.title, one.severity, one.kind, one.owner) == ("Price", "warning", "document.message", "me")
            said.append(one.body)
    assert said[0] != said[1]


@live
async def test_a_no_sends_nothing_and_a_missing_signal_is_an_error() -> None:
    async with World().open() as world:
        for node in (notify, alert_user, send_notification):
            assert (await world.do(saying(node, False))).sent is False
            assert (await world.do(saying(node, "HOLD"))).sent is False
            with pytest.raises(InvalidInput, match="signal"):
                await world.do(saying(node, None))
        assert told(world) == []


@live
async def test_who_says_nothing_else_says_where_it_happened() -> None:
    async with World().open() as world:
        world.event, world.trigger = {"symbol": BTC}, "price_change"
        found = await world.do(saying(alert_user))
        (one,) = told(world)
        assert (one.title, one.severity, one.kind) == ("doc", "critical", "document.alert")
        assert one.body == found.message == f"here: run {one.dedupe.split()[0]}, started by price_change of BTC/USD"


@live
async def test_an_undone_notification_is_followed_by_one_that_says_so() -> None:
    async with World().open() as world:
        sent = await world.do(saying(send_notification, True, title="Bought", message="1 BTC"))

        def undoing(*inputs: Any) -> Any:
            async def body(run: Run, context: Context) -> Any:
                return await send_failure_alert(run, *inputs, context=world.context(run, undoing="say"))

            return body

        await world.do(undoing(sent.sent, sent.title, sent.message))
        assert (await world.do(undoing(False, "", ""))).sent is False
        first, second = told(world)
        assert (second.severity, "Bought (1 BTC)" in second.body) == ("error", True)
        assert first.dedupe != second.dedupe
        await world.do(saying(send_failure_alert, text="look"))
        assert told(world)[-1].body == "look"


@pytest.mark.parametrize("value", ["all of it", {"symbol": BTC}, [1, 2], Decimal("1.50"), True, 7, None])
def test_words_may_be_whatever_is_referenced(value: Any) -> None:
    told = {"message": DECLARED["notify"], "question": DECLARED["gate"], "reason": DECLARED["buy"]}
    for name, type in told.items():
        assert type.params[name].read(value, "x") == compile_template("{{a}} b")({"a": value})[:-2]
        assert type.params[name].schema()["type"] == "string"


def test_what_cannot_be_said_is_no_words() -> None:
    with pytest.raises(InvalidInput, match="characters"):
        DECLARED["log"].params["message"].read(["x" * 1000] * 1000, "x")


@live
async def test_what_started_the_run_can_be_written_into_the_log() -> None:
    node = {"id": "say", "type": "log", "params": {"message": "{{event}}"}}
    plain = read_document({"name": "said", "nodes": [node]})
    async with World().open() as world:
        made = compile_document(plain, library=library(), sources=Sources(world.sources))
        await world.engine.add(made)
        said = []
        for event in ({"symbol": BTC, "change": 0.5}, None):
            found = await (await world.engine.start(made, event)).result()
            said.append(found.outputs["say"]["text"])
        assert said == ['{"symbol":"BTC/USD","change":0.5}', "null"]


# -------------------------------------------------------------------------------------------------------------- queues


@live
async def test_signals_are_queued_in_order_within_a_symbol() -> None:
    queue = Queue("execution")
    async with World().open(queue) as world:
        signals = {BTC: SymbolSignal("BUY", 0.9), ETH: SymbolSignal("HOLD", 0.5)}
        found = await world.do(saying(queue_for_execution, "BUY", 0.9, BTC, signals, {"note": 1}))
        assert (found.queue, len(found.messages), found.message) == ("execution", 1, found.messages[0])
        world.event = {"symbol": ETH}
        plain = await world.do(saying(queue_for_execution, "SELL", by_symbol={BTC: {"rsi": 1}}))
        assert plain.message.endswith(f":here:{ETH}")
        assert (await world.do(saying(queue_for_execution, False))).messages == []
        got = await world.engine.queues.lease("execution", 10)
        bodies = [one.body for one in got]
        assert [(one["symbol"], one["signal"], one["type"]) for one in bodies] == [
            (BTC, "BUY", "trade_signal"), (ETH, "SELL", "trade_signal"),
        ]  # fmt: skip
        assert bodies[0]["data"] == {"note": 1}
        for number, (given, said) in enumerate((("buy", "BUY"), ("Exit", "EXIT"), (True, True))):
            await world.do(saying(queue_for_execution, given, symbol=f"X{number}/USD"))
            (one,) = await world.engine.queues.lease("execution", 10)
            assert one.body["signal"] is said if said is True else one.body["signal"] == said
        with pytest.raises(InvalidInput, match="nowhere"):
            await world.do(saying(queue_for_execution, queue="nowhere"))


# -------------------------------------------------------------------------------------------------------------- events


@live
async def test_an_event_of_ones_own_name() -> None:
    async with World().open() as world:
        price = world.sides[0].latest(BTC).close
        found = await world.do(saying(emit_event, {"price": price}, name="dip.found", symbol=BTC, fields={"of": price}))
        (one,) = world.events("graph/event.emitted")
        assert (one.name, one.symbol, one.document, one.node) == ("dip.found", BTC, "doc", "here")
        assert one.data == {"price": str(price), "of": str(price)}
        assert found.seq > 0
        await world.do(saying(emit_event, 7, name="n"))
        assert world.events("graph/event.emitted")[-1].data == {"value": 7}


@live
async def test_a_line_in_the_log() -> None:
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(f"{record.levelname} {record.getMessage()}")  # type: ignore[method-assign]
    logger = logging.getLogger("tickwork.run")
    logger.addHandler(handler)
    try:
        async with World().open() as world:
            assert await world.do(saying(log, 7, message="value", level="warning")) == "value: 7"
            await world.do(saying(log, message="quiet", level="debug"))
    finally:
        logger.removeHandler(handler)
    assert [line.partition("] ")[2] for line in lines] == ["value: 7"]
    assert lines[0].startswith("WARNING")
