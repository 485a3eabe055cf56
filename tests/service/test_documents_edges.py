"""The edges of the surface: arguments of any type, ids of several owners, and what is kept of old versions."""

from __future__ import annotations

import asyncio
import inspect
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.support import live
from tests.service.desk_of_documents import FAILING, STEPS, WAITING, Desk, Nudge
from tickwork.core.codec import decode_error, encode_error
from tickwork.errors import InvalidInput, ServiceError
from tickwork.graph.declare import DECLARED, node
from tickwork.graph.library import library
from tickwork.graph.nodes import flow  # noqa: F401 - declares the nodes
from tickwork.graph.running.trace import NodeState
from tickwork.graph.versioning.versions import document_id, document_versions, documents, workflow_name
from tickwork.service.documents import Documents
from tickwork.service.documents.ids import execution_id, run_id
from tickwork.service.documents.metrics import named_steps
from tickwork.service.documents.surface import VERBS

SIGNAL: list[dict[str, Any]] = [{"name": "s", "type": "docs_signal", "params": {"sentiment": "{{input.sentiment}}"}}]
"""It is given what it works on."""
WAITS: dict[str, Any] = {"name": "waits", "steps": WAITING}

# -- arguments ----------------------------------------------------------------------------------------------------


class Unspeakable:
    """Cannot be told."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)
LONE = "\ud800"
GIVEN: dict[str, Any] = {
    "workflow_id": "waits", "execution_id": "e1", "updates": {"priority": 3}, "task_id": "waits", "version": 1,
    "owner": "o", "async_": True,
}  # fmt: skip
"""What calls are made with, where they take it."""

ODD: list[Any] = [
    None, 1, -1, 0, 1.5, float("nan"), float("inf"), True, Decimal("1.5"), 10**40, -(2**63), "", " ", "x" * 5_000, LONE,
    f"a{LONE}b", "a\x00b", "\u202e", "waits", "e1", "e/1", b"bytes", bytearray(b"b"), [], ["a"], [LONE], [[b""]],
    CIRCLE, (), {}, {"a": 1}, {1: 2}, {LONE: 1}, {"a": LONE}, {"a": 10**40}, {"a": float("nan")}, {"a": Unspeakable()},
    {"steps": [{"name": "x", "type": "docs_wait", "params": {"a": Decimal("NaN")}}]}, set(), object(), Unspeakable(),
    datetime.fromisoformat("2026-01-01"), datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC),
    timedelta.max, timedelta(-1), timedelta(0), "0 s", "9" * 18 + " weeks", "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59", lambda: 1, int, NotImplemented,
]  # fmt: skip


def arguments(verb: str) -> list[str]:
    return [name for name in inspect.signature(getattr(Documents, verb)).parameters if name != "self"]


def plainly_wrong(verb: str, name: str, value: Any) -> bool:
    """Is a value of none of the types that the annotation names? By its words, apart from how they are checked."""
    words = str(get_type_hints(getattr(Documents, verb))[name]).replace("typing.", "")
    if type(value) in (str, bool, int, dict, list, datetime, timedelta, type(None)):
        word = type(value).__name__
        found = {
            "dict": "Mapping" in words, "NoneType": "None" in words, "datetime": "datetime.datetime" in words,
            "timedelta": "timedelta" in words, "str": "str" in words.replace("Mapping[str", ""),
            "bool": "bool" in words, "int": "int" in words, "list": "list" in words,
        }  # fmt: skip
        return not found[word]
    return True


async def state(desk: Desk) -> tuple[dict[str, Any], dict[str, Any]]:
    """Every document and every version."""
    await desk.engine.durable()
    return dict(desk.engine.items(documents)), dict(desk.engine.items(document_versions))


async def tried(surface: Documents, desk: Desk, verb: str, odd: dict[str, Any]) -> ServiceError | None:
    """A call that may fail in one way only, and then changes nothing."""
    call = getattr(surface, verb)
    known = {name: value for name, value in GIVEN.items() if name in arguments(verb)}
    if verb == "create":
        known |= {"document": WAITS}
    before = await state(desk)
    try:
        await call(**known | odd)
    except ServiceError as error:
        assert await state(desk) == before
        rebuilt = decode_error(encode_error(error)[0])
        assert (type(rebuilt), str(rebuilt)) == (ServiceError, str(error)), "other processes hear it too"
        return error
    return None


async def opened(surface: Documents) -> None:
    await surface.create(document=WAITS, owner="o")
    await surface.execute("waits", async_=True, execution_id="e1", owner="o")


CALLS = st.sampled_from(VERBS).flatmap(
    lambda verb: st.tuples(
        st.just(verb),
        st.dictionaries(st.sampled_from(arguments(verb)), st.sampled_from(ODD) | st.text() | st.integers(), min_size=1),
    )
)


@settings(max_examples=120, deadline=None)
@given(st.lists(CALLS, min_size=1, max_size=12))
def test_whatever_is_given_only_service_errors_come_back(calls: list[tuple[str, dict[str, Any]]]) -> None:
    async def run() -> None:
        desk = Desk()
        async with desk.open() as surface:
            await opened(surface)
            for verb, odd in calls:
                await tried(surface, desk, verb, odd)
            assert (await surface.create("afterwards", WAITING, owner="sound"))["success"] is True

    asyncio.run(run())


@pytest.mark.parametrize("verb", VERBS)
def test_a_value_of_another_type_is_told_with_its_argument(verb: str) -> None:
    async def run() -> None:
        desk = Desk()
        async with desk.open() as surface:
            await opened(surface)
            for name in arguments(verb):
                for value in ODD:
                    error = await tried(surface, desk, verb, {name: value})
                    if plainly_wrong(verb, name, value):
                        assert error is not None, (name, type(value))
                        assert error.code == "INVALID_INPUT_DATA", (name, type(value), str(error))
                        assert [one["path"] for one in error.details["problems"]] == [name], str(error)

    asyncio.run(run())


@live
async def test_wrong_values_inside_are_told_with_their_place() -> None:
    desk = Desk()
    async with desk.open() as surface:
        await opened(surface)
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"a": [{"b": LONE}]}, "input_data.a[0].b"),
            ({"a": {1: 2}}, "input_data.a"),
            ({"a": {LONE: 2}}, "input_data.a"),
            ({"a": b""}, "input_data.a"),
            ({"a": CIRCLE}, "input_data"),
        ]
        for value, path in wrong:
            with pytest.raises(ServiceError) as caught:
                await surface.execute("waits", value, owner="o")
            assert [one["path"] for one in caught.value.details["problems"]] == [path]
        assert (await surface.list(owner="o"))["workflows"][0]["executions_count"] == 1


# -- ids of executions --------------------------------------------------------------------------------------------

IDS = st.text(st.characters(codec="ascii", exclude_characters=" /?#%", categories=["L", "N", "P", "S"]), min_size=1)


@given(st.text(max_size=60), IDS, st.text(max_size=60), IDS)
def test_no_two_owners_share_the_id_of_a_run(one: str, id: str, other: str, another: str) -> None:
    if (one, id) != (other, another):
        assert run_id(one, id) != run_id(other, another)
    assert execution_id(one, run_id(one, id)) == id


class Purse:
    """Counts what is charged."""

    def __init__(self) -> None:
        self.charged: list[tuple[str, str]] = []

    async def charge(self, owner: str, operation: str, reference: str) -> Decimal | None:
        if operation == "execute":
            self.charged.append((owner, reference))
        return None

    def used(self, reference: str) -> Decimal:
        return Decimal(sum(reference == one for _, one in self.charged))


@live
async def test_an_execution_id_is_its_owners() -> None:
    purse = Purse()
    desk = Desk(credits=purse)
    async with desk.open() as surface:
        for owner in ("", "alice", "eve", "Eve & sons/%"):
            await surface.create("secret", SIGNAL, owner=owner)
            told = await surface.execute("secret", {"sentiment": 0.9, "by": owner}, execution_id="x1", owner=owner)
            assert (told["execution_id"], told["status"]) == ("x1", "completed")
        for owner in ("", "alice", "eve", "Eve & sons/%"):
            found = await surface.status(execution_id="x1", include_metrics=True, owner=owner)
            assert found["workflow_id"] == document_id(owner, "secret")
            assert found["metrics"]["credits_used"] == "1"
            events = (await surface.events("x1", owner=owner))["events"]
            assert {one["execution_id"] for one in events} == {"x1"}
            assert (await surface.audit_trail("secret", owner=owner))["execution_id"] == "x1"
        assert len(purse.charged) == len(set(purse.charged)) == 4
    async with desk.open() as surface:
        again = await surface.execute("secret", {"sentiment": 0.9, "by": "eve"}, execution_id="x1", owner="eve")
        assert again["steps"][0]["status"] == "completed"
        assert len(purse.charged) == 4, "one that is known costs nothing"


@live
async def test_an_id_that_is_taken_is_told_without_whose_it_is_and_costs_nothing() -> None:
    purse = Purse()
    desk = Desk(credits=purse)
    async with desk.open() as surface:
        for name in ("one", "two"):
            await surface.create(name, SIGNAL, owner="alice")
            await surface.create(name, SIGNAL)
        given = {"sentiment": 0.9}
        await surface.execute("one", given, execution_id="x1", owner="alice")
        charged = list(purse.charged)
        for name, input, id in (
            ("two", given, "x1"), ("one", {"sentiment": 0.1}, "x1"), ("one", given, "r7"), ("one", given, "x" * 129),
            ("one", given, "a b"), ("one", {"by": "x" * 2_000_000}, "x2"),
        ):  # fmt: skip
            with pytest.raises(ServiceError) as caught:
                await surface.execute(name, input, execution_id=id, owner="alice")
            assert caught.value.code == "INVALID_INPUT_DATA"
            assert "alice" not in str(caught.value)
        assert purse.charged == charged
        # an id without an owner is never taken for an owner's
        told = await surface.execute("one", given, execution_id="alice:x1")
        assert (told["execution_id"], told["workflow_id"]) == ("alice:x1", document_id("", "one"))
        assert (await surface.status(execution_id="alice:x1"))["workflow_id"] == document_id("", "one")
        with pytest.raises(ServiceError, match="EXECUTION_NOT_FOUND"):
            await surface.status(execution_id="alice:x1", owner="eve")


@live
async def test_executions_of_triggers_keep_their_ids_for_an_owner() -> None:
    desk = Desk()
    async with desk.open() as surface:
        await surface.create("waits", WAITING, owner="bob")
        told = await surface.execute("waits", async_=True, execution_id="a:b", owner="bob")
        assert told["execution_id"] == "a:b"
        assert (await surface.cancel("a:b", owner="bob"))["status"] == "cancelled"
        workflow = next(one for one in desk.engine.workflows if one.name == workflow_name("bob", "waits"))
        handle = await desk.engine.start(workflow, owner="bob")
        assert (await surface.status(execution_id=handle.id, owner="bob"))["execution_id"] == handle.id


# -- what is kept of old versions ---------------------------------------------------------------------------------


def kept(desk: Desk, name: str, test: bool = False) -> list[int]:
    """Versions that the engine knows."""
    wanted = workflow_name("", name, test)
    return sorted(one.version for one in desk.engine.workflows if one.name == wanted)


@live
async def test_versions_that_nothing_needs_are_let_go_and_compiled_again() -> None:
    desk = Desk()
    async with desk.open() as surface:
        await surface.create("desk", STEPS)
        for number in range(40):
            await surface.execute("desk", execution_id=f"x{number}")
            await surface.update("desk", {"steps[1].params.threshold": number / 100})
        assert kept(desk, "desk") == [41]
        assert [one.version for one in surface._compiled.all()] == [41]
        found = await surface.status(execution_id="x7")
        assert (found["version"], found["status"], found["problem"]) == (8, "completed", None)
        assert [one["status"] for one in found["steps"]] == ["completed"] * 3
        assert kept(desk, "desk") == [41], "to read it is not to run it"
        back = await surface.rollback("desk", 5)
        assert (await surface.execute("desk"))["version"] == back["version"] == 42
        told = await surface.status(execution_id="x7")
    async with desk.open() as surface:
        assert await surface.status(execution_id="x7") == told


@live
async def test_versions_with_runs_that_may_go_on_are_kept() -> None:
    desk = Desk()
    async with desk.open() as surface:
        await surface.create("waits", WAITING)
        await surface.execute("waits", async_=True, execution_id="old")
        await surface.create("fails", [*SIGNAL, *WAITING])
        FAILING.add("s")
        await surface.execute("fails", {"sentiment": 1.0}, execution_id="dead")
        FAILING.clear()
        for number in range(1, 5):
            for name in ("waits", "fails"):
                await surface.update(name, {"priority": number})
        assert (kept(desk, "waits"), kept(desk, "fails")) == ([1, 5], [1, 5])
        await desk.engine.redrive("dead")
        for _ in range(2):
            await desk.engine.emit(Nudge())
            await desk.engine.settled()
        for id in ("old", "dead"):
            found = await surface.status(execution_id=id)
            assert (found["status"], found["version"]) == ("completed", 1)
        await surface.update("waits", {"priority": 9})
        await surface.update("fails", {"priority": 9})
        assert (kept(desk, "waits"), kept(desk, "fails")) == ([6], [6])


@live
async def test_a_version_that_is_about_to_start_is_kept() -> None:
    """Between what is chosen and what is started, a new version may come."""
    desk = Desk()

    class Slow(Purse):
        async def charge(self, owner: str, operation: str, reference: str) -> Decimal | None:
            if operation == "execute":
                await surface.update("waits", {"priority": 1})
            return None

    desk.options["credits"] = Slow()
    async with desk.open() as surface:
        await surface.create("waits", WAITING)
        told = await surface.execute("waits", async_=True)
        assert (told["version"], told["problem"], kept(desk, "waits")) == (1, None, [1, 2])


@live
async def test_old_versions_in_test_mode_are_let_go_too() -> None:
    desk = Desk()
    async with desk.open() as surface:
        await surface.create("desk", STEPS)
        for number in range(1, 6):
            await surface.update("desk", {"description": f"draft {number}"}, draft=True)
        for version in range(1, 7):
            found = await surface.execute("desk", test_mode=True, version=version)
            assert (found["version"], found["status"]) == (version, "completed")
        await surface.publish("desk")
        assert kept(desk, "desk", test=True) == [6]
        assert (await surface.execute("desk", test_mode=True, version=2))["status"] == "completed"


@live
async def test_in_test_mode_a_new_version_of_what_is_called_is_known() -> None:
    desk = Desk()
    async with desk.open() as surface:
        await surface.create("child", SIGNAL)
        call = {"name": "call", "type": "docs_call", "params": {"workflow_id": "child"}}
        await surface.create("parent", [call])
        for number in range(3):
            # the child fails, as nobody gives it what it works on: what counts is that it was started
            await surface.execute("parent", test_mode=True)
            assert kept(desk, "child", test=True)[-1] == number + 1
            await surface.update("child", {"priority": number})


# -- what belongs to one owner ------------------------------------------------------------------------------------


@live
async def test_answers_do_not_look_at_what_others_have(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    async with desk.open() as surface:
        daily = [{"type": "schedule", "cron": "0 9 * * *"}]
        for owner in ("", "ann", "bob"):
            await surface.create(document=WAITS | {"triggers": daily}, owner=owner)

        def refused(*_: object) -> Any:
            raise AssertionError("looked at everybody's documents")

        monkeypatch.setattr(type(surface._shelf), "heads", refused)
        monkeypatch.setattr(type(desk.engine), "workflows", property(refused))
        monkeypatch.setattr(type(surface._compiled), "all", refused)
        for owner in ("", "ann", "bob"):
            for call in (
                surface.execute("waits", async_=True, owner=owner),
                surface.execute("waits", async_=True, test_mode=True, owner=owner),
                surface.pause("waits", owner=owner),
                surface.resume("waits", owner=owner),
                surface.update("waits", {"priority": 2}, owner=owner),
                surface.status("waits", owner=owner),
            ):
                await call
            (trigger,) = (await surface.status(owner=owner))["triggers"]
            assert trigger["next_firing"] is not None
            assert [one["name"] for one in (await surface.list(owner=owner))["workflows"]] == ["waits"]
        assert (await surface.list(owner="eve"))["total_count"] == 0


# -- names --------------------------------------------------------------------------------------------------------


def test_steps_of_one_name_are_told_apart_by_id() -> None:
    nodes = {id: NodeState(id, name, "t", "c") for id, name in (("a", "x"), ("b", "y"), ("c", "x"))}
    assert list(named_steps(nodes)) == ["a", "y", "c"]


@live
async def test_only_a_param_that_is_declared_for_it_names_a_called_workflow() -> None:
    ours = {one.name: one.calls for one in library() if one.calls and one.category != "tests"}
    assert ours == {"subprocess": "workflow_id"}
    assert DECLARED["docs_call"].calls == "workflow_id"
    with pytest.raises(InvalidInput, match="calls"):

        @node("docs_wrong_call", category="tests", output="n", calls="workflow_id")
        def wrong() -> int:
            """Has no such param."""
            return 1
