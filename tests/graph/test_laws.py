"""Laws of documents, over documents that are drawn; compared with what ``model`` says they mean.

``TICKWORK_EXAMPLES=2000 pytest tests/graph/test_laws.py`` looks longer.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.graph.drawing import cases
from tests.graph.model import UNSURE, Model
from tests.graph.nodes_of_tests import NOTES
from tests.graph.running import Played, compiled, fresh, played, traced
from tests.laws.probe import Probe, check_engine, check_replay, check_tape, records_of, tape_of
from tickwork.core.clock import VirtualClock
from tickwork.engines.embedded import Memory
from tickwork.engines.embedded.reader import Reader, started
from tickwork.graph.compiling import DocumentWorkflow
from tickwork.graph.document import Document
from tickwork.graph.running.trace import trace

EXAMPLES = int(os.environ.get("TICKWORK_EXAMPLES", "120"))
Plain = dict[str, Any]

law = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@pytest.fixture(autouse=True)
def _quietly() -> Any:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class Lived(Played):
    """A run through the lives of several engines."""

    memory: Memory
    workflow: DocumentWorkflow
    attempts: list[Played]
    """How it stood after each attempt."""
    outside: Counter[str]
    """How often each node did something outside, by its id."""


def workflow_of(document: Plain) -> DocumentWorkflow:
    return compiled(Document.model_validate(document))


def live(
    document: Plain, event: Plain, fails: dict[str, int], *, deaths: list[int] | None = None, **options: Any
) -> Lived:
    """Run a document to its end."""
    fresh(fails)
    return asyncio.run(_live(workflow_of(document), event, deaths or [], **options))


async def _live(
    workflow: DocumentWorkflow,
    event: Plain,
    deaths: list[int],
    *,
    redrives: bool = False,
    finely: bool = False,
    park: bool = False,
) -> Lived:
    memory, clock = Memory(), VirtualClock()
    attempts: dict[int, Played] = {}
    mended: set[int] = set()
    engine: Probe
    for left in [*deaths, None]:
        finely = left is not None or finely
        engine = Probe(memory, [workflow], clock=clock, dies_after=left, finely=finely, park=park)
        before = len(NOTES.calls), _recorded(memory)
        if await _one_life(engine, workflow, event, attempts if redrives else None, mended):
            break
        again = {node for node, _ in NOTES.calls[before[0] :]} & before[1]
        assert redrives or not again, f"{again} called again, though recorded"
    found = await played(engine, workflow)
    lived = Lived(found.trace, found.outcome, found.error, found.calls)
    lived.memory, lived.workflow, lived.attempts = memory, workflow, [*attempts.values(), found]
    lived.outside = Counter(node for node, _ in NOTES.outside.values())
    check_engine(engine)
    await engine.close()
    return lived


def _recorded(memory: Memory) -> set[str]:
    """The steps and effects that are on disk."""
    return {
        entry.record.name
        for _, entry in (records_of(memory) if tape_of(memory) else [])
        if entry.record.kind in ("step", "effect") and not bytes(entry.record.error)
    }


async def _one_life(
    engine: Probe, workflow: DocumentWorkflow, event: Plain, attempts: dict[int, Played] | None, mended: set[int]
) -> bool:
    """Until the run has ended for good, or the engine has died. Every attempt mends the nodes that stopped it."""
    stops = {one.id for one in workflow.plan.nodes if one.node.on_error == "stop"}

    async def life() -> None:
        await engine.open()
        await engine.start(workflow, event, id="it")
        await engine.settled()
        while attempts is not None and (await engine.show("it")).info.status == "dead":
            ended = await played(engine, workflow)
            attempts[ended.trace.attempt] = ended
            stopped = [id for id, status in ended.statuses.items() if status == "failed" and id in stops]
            if [id for id in stopped if NOTES.failing.pop(id, 0)]:
                mended.add(ended.trace.attempt)
            if ended.trace.attempt not in mended:
                return  # it fails for another reason than that it is told to
            await engine.redrive("it")
            await engine.settled()

    living, dying = asyncio.ensure_future(life()), asyncio.ensure_future(engine.died.wait())
    await asyncio.wait({living, dying}, return_when=asyncio.FIRST_COMPLETED)
    if engine.died.is_set():
        living.cancel()
        if hasattr(engine, "_runs"):
            engine.kill()
        await asyncio.gather(living, return_exceptions=True)
        return False
    dying.cancel()
    await living
    return True


def must_mean(lived: Lived, model: Model) -> None:
    """The run ended as the model says."""
    expected = {id: end.status for id, end in model.ends.items()}
    if model.stops:
        assert lived.error is not None
        for id, status in lived.statuses.items():
            assert status in (expected[id], "pending", "cancelled"), (id, status, expected[id])
        assert any(lived.statuses[id] == "failed" for id in model.stops)
    else:
        assert lived.outcome is not None, lived.error
        assert lived.statuses == expected
        assert lived.outcome.nodes == expected
        assert (lived.outcome.status == "completed") == ("failed" not in expected.values())
    for id, outputs in lived.outputs.items():
        value = model.ends[id].value
        if "value" in outputs and value is not UNSURE and model.ends[id].status == "completed":
            assert outputs["value"] == value, id
    undoable = {id for id, node in model.nodes.items() if "undo" in node}
    done = [id for id in lived.completed if id in undoable]
    assert lived.undone == (done[::-1] if model.stops else [])
    # whatever was called ended; nobody was called who should not have been
    for id, state in lived.trace.nodes.items():
        if state.status in ("skipped", "pending"):
            assert id not in lived.called


@law
@given(cases(most=10))
def test_a_run_ends_as_its_document_means(case: tuple[Plain, Plain, dict[str, int]]) -> None:
    lived = live(*case)
    must_mean(lived, Model(*case))
    check_tape(lived.memory)
    check_replay(lived.memory, {"drawn": lived.workflow})


@law
@given(cases(undo=False), st.data())
def test_the_order_in_which_nodes_end_changes_nothing(
    case: tuple[Plain, Plain, dict[str, int]], data: st.DataObject
) -> None:
    document, event, fails = case
    calm = live(document, event, fails)
    waits = [node for node in document["nodes"] if node["type"] == "test_wait"]
    for node in waits:
        node["params"] = {"seconds": data.draw(st.integers(0, 9))}
    other = live(document, event, fails)
    if calm.error is None:
        assert other.statuses == calm.statuses
        assert Counter(other.called) == Counter(calm.called)
    else:
        assert other.error is not None


@law
@given(cases(always=True), st.lists(st.integers(1, 9), min_size=1, max_size=4), st.booleans())
def test_crashes_change_nothing(case: tuple[Plain, Plain, dict[str, int]], deaths: list[int], park: bool) -> None:
    calm = live(*case)
    crashed = live(*case, deaths=deaths, park=park)
    _same(crashed, calm)
    must_mean(crashed, Model(*case))


def _same(one: Lived, other: Lived) -> None:
    assert one.statuses == other.statuses
    assert one.outputs == other.outputs
    assert one.reasons == other.reasons
    assert one.outside == other.outside
    assert one.undone == other.undone
    assert repr(one.error) == repr(other.error)


@law
@given(cases())
def test_parking_at_every_wait_changes_nothing(case: tuple[Plain, Plain, dict[str, int]]) -> None:
    hot, parked = live(*case, finely=True), live(*case, park=True)
    _same(parked, hot)
    assert parked.calls == hot.calls


@law
@given(cases())
def test_a_trace_tells_at_every_moment_what_was_so(case: tuple[Plain, Plain, dict[str, int]]) -> None:
    lived = live(*case, finely=True)
    reader = Reader(lived.memory.connection)
    run = reader.one("SELECT seq FROM runs")
    tails = [row[0] for row in reader.rows("SELECT seq FROM tape WHERE run=? ORDER BY seq", (run,))]
    calls: list[Any] = list(NOTES.calls)
    before: list[tuple[str, str]] = []
    told = lived.trace
    for tail in tails:
        entries = reader.history(tail, run)
        who = started(entries[0])
        told = trace(lived.workflow, entries, case[1], id="it", owner="", seed=b"", since=who.since)
        assert [event.sequence for event in told.events] == list(range(1, len(told.events) + 1))
        now: list[tuple[str, str]] = [(event.type, event.node_id) for event in told.events]
        assert now[: len(before)] == before
        before = now
        _begun_before_ended(now)
    assert NOTES.calls == calls
    assert [(event.type, event.node_id) for event in lived.trace.events] == before
    if lived.outcome is not None:
        assert {id: state.status for id, state in told.nodes.items()} == lived.outcome.nodes
        for id, outputs in lived.outcome.outputs.items():
            assert told.nodes[id].status != "completed" or told.nodes[id].outputs == outputs
        assert [one.node for one in lived.outcome.errors] == [id for type, id in before if type == "node_error"]


def _begun_before_ended(events: list[tuple[str, str]]) -> None:
    begun: set[str] = set()
    for type, node in events:
        if type == "node_started":
            assert node not in begun
            begun.add(node)
        elif type in ("node_completed", "node_error", "node_undone"):
            assert node in begun, (type, node)


def _failing_last(document: Plain, event: Plain, fails: dict[str, int]) -> tuple[Plain, Plain, dict[str, int]]:
    """The same, but what fails the run does so when all the rest has ended."""
    nodes = [node | {"onError": "continue"} if node.get("onError") == "stop" else node for node in document["nodes"]]
    last = {"id": "last", "type": "test_wait", "params": {"seconds": 600}, "inputs": {"value": 0}}
    return document | {"nodes": [*nodes, last]}, event, fails | {"last": 99}


@law
@given(cases(always=True), st.booleans(), st.just([]) | st.lists(st.integers(1, 15), max_size=3), st.booleans())
def test_a_redriven_run_does_the_undone_anew_and_keeps_the_rest(
    case: tuple[Plain, Plain, dict[str, int]], park: bool, deaths: list[int], late: bool
) -> None:
    document, event, fails = _failing_last(*case) if late else case
    lived = live(document, event, fails, redrives=True, park=park, deaths=deaths)
    model = Model(document, event, dict(NOTES.failing))
    assert (lived.outcome is None) == bool(model.stops), lived.error
    if lived.outcome is not None:
        assert lived.statuses == {id: end.status for id, end in model.ends.items()}
    expected: Counter[str] = Counter()
    done: set[str] = set()
    attempts = lived.attempts if lived.outcome is not None else lived.attempts[:-1]
    for attempt in attempts:
        expected.update({id for id in attempt.completed if id not in done})
        done |= set(attempt.completed)
        gone = set(attempt.undone).union(*(model.after(id) for id in attempt.undone))
        done -= gone
    acts = {id for id, node in model.nodes.items() if node["type"] == "test_act"}
    assert {id: lived.outside[id] for id in acts if lived.outside[id]} == {
        id: count for id, count in expected.items() if id in acts
    }
    if not deaths:  # else a step may be called again whose result had not reached the disk
        calls = Counter(node for node, _ in lived.calls)
        told = {id for id, node in model.nodes.items() if node["type"] != "test_if" and id not in fails}
        assert {id: calls[id] for id in told} == {id: expected[id] for id in told}
    undone = Counter(id for attempt in attempts for id in attempt.undone)
    assert {id: lived.outside[f"undo {id}"] for id in undone} == dict(undone)


@law
@given(cases(always=True, most=6), st.data())
def test_an_undo_that_fails_is_a_dead_letter_and_the_others_are_undone(
    case: tuple[Plain, Plain, dict[str, int]], data: st.DataObject
) -> None:
    document, event, fails = case
    bad = data.draw(st.sets(st.sampled_from([node["id"] for node in document["nodes"]])))
    lived = live(document, event, fails | {f"undo {id}": 99 for id in bad})
    done = [id for id in lived.completed if "undo" in Model(*case).nodes[id]]
    letters = [entry.record.name for _, entry in records_of(lived.memory) if entry.record.kind == "dead_letter"]
    failed = lived.error is not None
    assert lived.undone == [id for id in reversed(done) if failed and id not in bad]
    assert letters == [f"undo {id}" for id in reversed(done) if failed and id in bad]


@st.composite
def _scales(draw: st.DrawFn) -> Plain:
    """Steps that know nothing of their run but what they are given."""
    nodes: list[Plain] = []
    for number in range(draw(st.integers(1, 8))):
        value = draw(st.sampled_from([2, *(f"{{{{{node['id']}.value}}}}" for node in nodes)]))
        by = draw(st.sampled_from([3, "{{event.x}}", "{{event.y}}"]))
        nodes.append({"id": f"n{number}", "type": "test_scale", "inputs": {"value": value}, "params": {"by": by}})
    return {"name": "scales", "nodes": nodes, "edges": []}


def _scaled(document: Plain, event: Plain) -> dict[str, tuple[int, int]]:
    """What each node is given."""
    given: dict[str, tuple[int, int]] = {}
    for node in document["nodes"]:
        value, by = node["inputs"]["value"], node["params"]["by"]
        if isinstance(value, str):
            before = given[value.strip("{}").partition(".")[0]]
            value = before[0] * before[1]
        given[node["id"]] = value, event[by.strip("{}").partition(".")[2]] if isinstance(by, str) else by
    return given


@law
@given(_scales(), st.tuples(st.integers(1, 3), st.integers(1, 3)), st.data())
def test_a_fork_does_anew_what_depends_on_a_changed_input(
    document: Plain, changed: tuple[int, int], data: st.DataObject
) -> None:
    before, after = {"x": 1, "y": 2}, dict(zip("xy", changed, strict=True))
    at = data.draw(st.sampled_from([node["id"] for node in document["nodes"]]))
    fresh()
    order, found, again = asyncio.run(_forked(workflow_of(document), before, after, at))
    old, new = _scaled(document, before), _scaled(document, after)
    kept = order[: order.index(at)]
    assert Counter(again) == Counter(new[id] for id in new if id not in kept or new[id] != old[id])
    assert found == {id: {"value": value * by} for id, (value, by) in new.items()}


async def _forked(workflow: DocumentWorkflow, before: Plain, after: Plain, at: str) -> Any:
    async with Probe(Memory(), [workflow], clock=VirtualClock()) as engine:
        await engine.start(workflow, before, id="it")
        await engine.settled()
        order = (await played(engine, workflow)).completed
        NOTES.calls.clear()
        await engine.fork("it", at, after, live=True, new_id="other")
        await engine.settled()
        states = traced(engine, workflow, "other").nodes
        return order, {id: state.outputs for id, state in states.items()}, [given for _, given in NOTES.calls]
