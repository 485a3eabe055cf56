"""Flow: people, time, events, other workflows, breakers, and what is not there yet."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

import pytest

from tests.engine.support import live, turns
from tests.graph.support import RecordedProvider, context, done
from tests.graph.trading import World
from tickwork.core.breaker import Breaker
from tickwork.core.run import Run
from tickwork.core.workflow import workflow
from tickwork.errors import BreakerOpen, InvalidDocument, InvalidInput
from tickwork.graph.compiling import compile_document
from tickwork.graph.declare import DECLARED, Context
from tickwork.graph.library import library
from tickwork.graph.nodes.flow import (
    agent,
    circuit_breaker,
    gate,
    neural,
    sandbox,
    subprocess,
    validation,
    wait,
    wait_for_event,
)
from tickwork.graph.nodes.messages import emit_event
from tickwork.graph.reading import read_document
from tickwork.graph.sources import Sources
from tickwork.market.triggers import PriceChanged

BTC = "BTC/USD"


def flowing(node: Any, *inputs: Any, **settings: Any) -> Any:
    async def body(run: Run, context: Context) -> Any:
        return await node(run, *inputs, context=context, **settings)

    return body


# -------------------------------------------------------------------------------------------------------------- people


@live
async def test_a_person_decides_and_silence_is_a_no() -> None:
    async with World().open() as world:
        for yes in (True, False):
            world.bodies.append(flowing(gate, question="buy?"))
            number = len(world.bodies) - 1
            handle = await world.engine.start(world.body, number, owner="me")
            await turns(200)
            open_ = world.engine.queries.approvals()
            assert open_[0].question == "buy?"
            await world.engine.approve(open_[0].id, yes, "ann")
            await handle.result()
            found = world.results[number]
            assert (found.branch, found.approved) == (("approved", True) if yes else ("rejected", False))
        silent = await world.do(flowing(gate, timeout="1 minute"))
        assert silent.branch == "rejected"


# ---------------------------------------------------------------------------------------------------------------- time


@live
async def test_waiting() -> None:
    async with World().open() as world:
        before = world.clock.now()

        async def body(run: Run, context: Context) -> None:
            await wait(run, duration="5 minutes")

        await world.do(body)
        assert world.clock.now() - before == 300 * 10**9
        with pytest.raises(InvalidInput):
            await world.do(lambda run, context: wait(run, duration="soon"))


def moved(at: int) -> PriceChanged:
    """A bar of a recording that moved."""
    bar = RecordedProvider("coinbase", "coinbase-btc-usd-1h", at=at).latest(BTC)
    return PriceChanged(
        symbol=BTC, venue="coinbase", bar_time=bar.start, known_at=bar.end, price=bar.close, reference=bar.open,
        change=(bar.close / bar.open - 1).quantize(Decimal("1e-16")),
        direction="up" if bar.close > bar.open else "down",
        threshold=Decimal("0.0001"), window="1 bars", recording="coinbase-btc-usd-1h", offset=at,
    )  # fmt: skip


@live
async def test_an_event_of_the_market_is_waited_for() -> None:
    async with World().open() as world:
        await world.engine.emit(moved(99))  # before the node was reached
        world.bodies.append(flowing(wait_for_event, event="market/price.changed", where="symbol == 'BTC/USD'"))
        handle = await world.engine.start(world.body, 0, owner="me")
        event = moved(100)
        await world.engine.emit(event)
        await handle.result()
        found = world.results[0]
        assert (found.branch, found.received) == ("received", True)
        assert found.event["offset"] == 100
        assert found.event["price"] == str(event.price)
        late = await world.do(flowing(wait_for_event, event="market/price.changed", timeout="1 hour"))
        assert (late.branch, late.event) == ("timed_out", None)


@live
async def test_an_event_of_a_documents_own_name_is_waited_for() -> None:
    async with World().open() as world:

        async def body(run: Run, context: Context) -> Any:
            async def say() -> None:
                await run.sleep("1 second")
                await emit_event(run, {"depth": 1}, name="dip.other", context=context)
                await emit_event(run, {"depth": 2}, name="dip.found", context=context)
                await emit_event(run, {"depth": 3}, name="dip.found", symbol=BTC, context=context)

            heard = wait_for_event(run, event="dip.found", where="symbol == 'BTC/USD'", context=context)
            return (await run.all(heard, say()))[0]

        assert (await world.do(body)).event["data"] == {"depth": 3}
        with pytest.raises(InvalidInput, match="quotes"):
            await world.do(flowing(wait_for_event, event="a'b"))


# ----------------------------------------------------------------------------------------------------------- workflows


class Shelf:
    """Workflows that a document may call."""

    source_name = "workflows"
    configure = ""

    def __init__(self, *workflows: Any) -> None:
        self._by_name = {one.name: one for one in workflows}

    def get(self, name: str) -> Any:
        if name not in self._by_name:
            raise InvalidInput("workflow", name, f"one of {', '.join(self._by_name)}")
        return self._by_name[name]


@workflow("scanner")
async def scanner(run: Run, input: dict[str, Any]) -> dict[str, Any]:
    if input.get("symbol") == "none":
        raise InvalidInput("symbol", "none", "one")
    return {"found": [input.get("symbol")], "count": 1}


@workflow("counter")
async def counter(run: Run, input: Any = None) -> int:
    return 7


@live
async def test_another_workflows_result_are_the_outputs() -> None:
    shelf = Shelf(scanner, counter)
    async with World().open(workflows=[scanner, counter]) as world:
        found = await world.do(flowing(subprocess, workflow_id="scanner", input={"symbol": BTC}, workflows=shelf))
        assert found == {"found": [BTC], "count": 1}
        world.event = moved(100)
        given = await world.do(flowing(subprocess, workflow_id="scanner", workflows=shelf))
        assert given["found"] == [BTC]
        plain = await world.do(flowing(subprocess, workflow_id="counter", workflows=shelf))
        assert plain == {"result": 7}
        with pytest.raises(InvalidInput, match="symbol"):
            await world.do(flowing(subprocess, workflow_id="scanner", input={"symbol": "none"}, workflows=shelf))


def test_a_workflow_that_there_is_not_is_found_when_the_document_is_checked() -> None:
    check = DECLARED["subprocess"].check
    assert check is not None
    sources = Sources({"workflows": Shelf(scanner)})
    assert check({"workflow_id": "scanner"}, sources) is None
    with pytest.raises(InvalidInput, match="workflow_id: expected one of scanner; found 'scaner'"):
        check({"workflow_id": "scaner"}, sources)
    assert DECLARED["subprocess"].param("workflow") is DECLARED["subprocess"].param("workflow_id")


# ------------------------------------------------------------------------------------------------ the state of breakers


@live
async def test_the_circuit_is_that_of_the_engine() -> None:
    async with World().open() as world:
        venue = Breaker("doc", threshold=2, window="1 minute", open_for="5 minutes", successes=1)
        breakers: Any = world.engine.breakers

        def state() -> Any:
            return circuit_breaker(breakers=breakers, context=context())

        assert (state().circuit_status, state().circuit) == ("closed", "doc")

        def fail() -> None:
            raise RuntimeError("down")

        async def call(run: Run, context: Context) -> Any:
            return await run.step("call", fail, breaker=venue)

        for _ in range(2):
            with pytest.raises(Exception, match="down"):
                await world.do(call)
        assert (state().circuit_status, state().branch) == ("open", "open")
        with pytest.raises(BreakerOpen):
            await world.do(call)
        assert circuit_breaker(name="other", breakers=breakers, context=context()).circuit_status == "closed"


def test_how_a_breaker_is_spelled() -> None:
    class One:
        source_name: ClassVar[str] = "breakers"
        configure: ClassVar[str] = ""

        def mode(self, name: str) -> str:
            return {"a": "half-open"}.get(name, "broken")

    assert circuit_breaker(name="a", breakers=One(), context=context()).circuit_status == "half_open"
    with pytest.raises(InvalidInput, match="broken"):
        circuit_breaker(name="b", breakers=One(), context=context())


# ----------------------------------------------------------------------------------------------------------- validating


def test_what_must_hold() -> None:
    assert validation(test=True, context=context()) is True
    with pytest.raises(InvalidInput, match="the book is fresh"):
        validation(test=False, message="the book is fresh", context=context())


# ---------------------------------------------------------------------------------------------- analysts, models, code


@pytest.mark.parametrize(
    ("type", "params", "source"),
    [
        ("agent", {"agent": "analyst"}, "analysts"),
        ("neural", {"model": "lstm"}, "models"),
        ("sandbox", {"code": "1"}, "sandboxes"),
    ],
)
def test_what_is_not_there_is_refused_when_the_document_is_checked(type: str, params: Any, source: str) -> None:
    document = read_document({"name": "d", "nodes": [{"id": "a", "type": type, "params": params}]})
    with pytest.raises(InvalidDocument, match=f"{source} to be configured: .*does not have yet"):
        compile_document(document, library=library(), sources=Sources())


def test_what_is_there_is_asked() -> None:
    class Wise:
        async def ask(self, analyst: str, task: str, data: Any, key: str) -> dict[str, Any]:
            return {"said": [analyst, task, data, key]}

        async def predict(self, model: str, features: Any) -> dict[str, Any]:
            return {"said": [model, features]}

        async def execute(self, code: str, data: Any, timeout: int) -> dict[str, Any]:
            return {"said": [code, data, timeout]}

    close = RecordedProvider("bitstamp", "bitstamp-btc-usd-1d").latest(BTC).close
    wise: Any = Wise()
    assert done(agent(close, agent="a", task="t", analysts=wise, key="k"))["said"] == ["a", "t", str(close), "k"]
    assert done(neural({"close": close}, model="m", models=wise))["said"] == ["m", {"close": str(close)}]
    assert done(sandbox(1, code="c", sandboxes=wise, context=context()))["said"] == ["c", 1, 30 * 10**9]
