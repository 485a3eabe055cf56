"""Every operation, over every face: it is there, is described, and means the same."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest
import typer
from pydantic import TypeAdapter, ValidationError

from tests.faces.every_face import Faces, Outcome
from tickwork import Engine, Event, Fatal, Queue, Run, values, workflow
from tickwork.errors import StepFailed
from tickwork.faces.cli import app
from tickwork.faces.mcp.tools import operation_of
from tickwork.service.api.here import Service
from tickwork.service.api.operation import CATALOGUE, Operation
from tickwork.service.operations import all as every

NAMES = sorted(every.CATALOGUE)

BOUNDED: Final = frozenset({"maxLength", "enum", "const", "format", "pattern", "examples"})
"""What bounds a text. Amounts, symbols and durations have examples, and are bounded by their type."""


# ---------------------------------------------------------------------------------------------------------- the table


@pytest.mark.parametrize("name", NAMES)
def test_an_operation_is_described(name: str) -> None:
    operation = CATALOGUE[name]
    assert re.fullmatch(r"[a-z_]+(\.[a-z_]+)?", name)
    assert operation.summary.endswith(".")
    assert operation.method in ({"GET"} if operation.kind == "query" else {"POST", "PUT", "PATCH", "DELETE"})
    assert operation.path.startswith("/")
    assert set(re.findall(r"\{(\w+)\}", operation.path)) <= _wires(operation)
    if operation.args.model_json_schema().get("required"):
        assert operation.examples, "what has to be given is shown by an example"
    for example in operation.examples:
        operation.parse(example)
    if operation.account:
        assert operation.account in operation.args.model_fields


def _wires(operation: Operation) -> set[str]:
    fields = operation.args.model_fields
    return {known for name, info in fields.items() for known in (name, info.alias or name)}


@pytest.mark.parametrize("name", NAMES)
def test_the_fields_of_an_operation_are_described_and_bounded(name: str) -> None:
    """Nobody sends what fills a disk or a memory: each text, list and number says how much of it is taken."""
    schema = CATALOGUE[name].args.model_json_schema(by_alias=False)
    unbounded = [
        f"{field}: {complaint}"
        for field, found in schema.get("properties", {}).items()
        for complaint in _complaints(field, found, schema.get("$defs", {}))
    ]
    assert not unbounded, unbounded


def _complaints(field: str, found: dict[str, Any], parts: dict[str, Any]) -> list[str]:
    told = [] if found.get("description") or "$ref" in found or "allOf" in found else ["no description"]
    if any(one.get("type") == "object" for one in found.get("anyOf", [])):
        return told  # whatever JSON somebody's workflow takes: its bound is that of a request
    for one in [found, *found.get("anyOf", [])]:
        kind = one.get("type")
        if kind == "string" and not BOUNDED & one.keys():
            told.append("a text of any length")
        if kind == "array" and "maxItems" not in one:
            told.append("a list of any length")
        if kind in ("integer", "number") and "anyOf" not in found:
            low, high = {"minimum", "exclusiveMinimum"} & one.keys(), {"maximum", "exclusiveMaximum"} & one.keys()
            told += [] if low and high else [f"a number without a {'highest' if low else 'lowest'}"]
    return told


@pytest.mark.parametrize("kind", [values.Money, values.Price, values.Quantity, values.Symbol, values.Duration])
def test_a_type_with_examples_takes_no_long_text(kind: Any) -> None:
    for text in ("1" * 10_000, "A" * 5_000 + "/USDT"):
        with pytest.raises(ValidationError):
            TypeAdapter(kind).validate_python(text)


def test_names_tools_and_routes_are_of_one_operation_each() -> None:
    for what in (
        [one.tool for one in CATALOGUE.values()],
        [(one.method, re.sub(r"\{\w+\}", "{}", one.path)) for one in CATALOGUE.values()],
    ):
        twice = [found for found, count in Counter(what).items() if count > 1]
        assert not twice
    for one in CATALOGUE.values():
        assert re.fullmatch(r"[a-z][a-z0-9_]{0,63}", one.tool)
        assert operation_of(one.tool) is one


# ---------------------------------------------------------------------------------------------------- the command line

OF_VERB: Final = {
    "runs": "runs.list",
    "show": "runs.show",
    "run": "runs.start",
    "fork": "runs.fork",
    "orders": "orders.list",
    "positions": "positions.list",
    "cancel": "runs.cancel",
    "pause": "runs.pause",
    "resume": "runs.resume",
    "disown": "orders.disown",
    "emit": "events.publish",
    "letters": "letters.list",
    "redrive": "letters.redrive",
    "discard": "letters.discard",
    "halt": "halt",
    "unhalt": "unhalt",
    "flatten": "flatten",
    "reconcile": "reconcile",
    "notify test": "notifications.test",
    "notify outbox": "notifications.outbox",
    "notify routes": "notifications.explain",
    "breakers list": "breakers.list",
    "breakers reset": "breakers.reset",
    "breakers trip": "breakers.trip",
    "exits list": "exits.list",
    "exits close": "exits.cancel",
    "exits resize": "exits.resize",
    "schedules list": "schedules.list",
    "schedules next": "schedules.next",
    "schedules run-now": "schedules.run_now",
    "schedules skip-next": "schedules.skip_next",
    "schedules pause": "schedules.pause",
    "schedules resume": "schedules.resume",
    "queues list": "queues.list",
    "queues show": "queues.show",
    "queues send": "queues.send",
    "queues lease": "queues.lease",
    "queues ack": "queues.ack",
    "queues extend": "queues.extend",
    "queues reject": "queues.reject",
    "tokens list": "tokens.list",
    "tokens create": "tokens.create",
    "tokens revoke": "tokens.revoke",
    "graph validate": "workflows.validate",
    "graph export": "workflows.export",
    "graph run": "workflows.execute",
    "graph trace": "workflows.audit_trail",
    "graph publish": "workflows.publish",
    "graph update": "workflows.update",
    "graph versions": "workflows.versions",
    "graph diff": "workflows.diff",
    "graph rollback": "workflows.rollback",
    "status": "system.status",
}
"""Verb of the command line -> the operation that programs ask for instead."""

NO_OPERATION: Final = {
    "demo": "plays in this process",
    "up": "is the process that answers operations",
    "down": "ends that process",
    "logs": "reads a file of this machine, which may tell more than a caller is to see",
    "doctor": "examines a tape, also one that no process can open",
    "mcp": "is a face",
    "call": "is every operation",
    "graph import": "turns one file of this machine into another",
    "graph new": "writes a file of this machine",
    "graph nodes": "prints what this tickwork knows, whatever the tape",
    "graph schema": "prints what this tickwork knows, whatever the tape",
}
"""Verbs of the command line that are no operation, and why."""


def _verbs() -> dict[str, Any]:
    """Every verb, with its words: ``schedules pause``."""
    found: dict[str, Any] = {}

    def walk(group: Any, words: tuple[str, ...]) -> None:
        for name, one in getattr(group, "commands", {}).items():
            found[" ".join((*words, name))] = one
            walk(one, (*words, name))

    walk(typer.main.get_command(app), ())
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_verb_that_an_operation_names_is_one(name: str) -> None:
    verb = CATALOGUE[name].verb
    assert not verb or verb in _verbs(), f"there is no `tickwork {verb}`"


def test_each_verb_has_an_operation() -> None:
    """What a person can ask for at a terminal, a program can ask for over any face; or it is said why not."""
    verbs = {name for name, one in _verbs().items() if not getattr(one, "commands", {})}
    assert verbs == OF_VERB.keys() | NO_OPERATION.keys()
    assert OF_VERB.keys().isdisjoint(NO_OPERATION)
    for verb, name in OF_VERB.items():
        operation = CATALOGUE[name]
        assert operation.verb in (verb, verb.partition(" ")[0]), (verb, name, operation.verb)


# ---------------------------------------------------------------------------------------------------- the same meaning


class Pressed(Event, name="test/pressed", version=1):
    """Somebody did something."""

    what: str = "x"


@workflow("waits")
async def waits(run: Run, given: dict[str, Any]) -> int:
    await run.sleep("1 hour")
    return 1


@workflow("fails")
async def fails(run: Run, given: dict[str, Any]) -> int:
    raise Fatal("as it should")


@workflow("hears", on=Pressed)
async def hears(run: Run, pressed: Pressed) -> str:
    return await run.step("say", str.upper, pressed.what)


@asynccontextmanager
async def quiet(path: Path) -> AsyncIterator[Service]:
    """A tape on which something happened, and nothing does any more."""
    queue = Queue("inbox")
    async with Engine(f"sqlite:///{path}", workflows=[waits, fails, hears], queues=[queue]) as engine:
        await engine.start(waits, {}, id="one")
        with suppress(Fatal, StepFailed):
            await (await engine.start(fails, {}, id="two")).result(timeout="30 s")
        await engine.emit(Pressed(what="a"))
        await engine.ask("queues.send", queue="inbox", body={"n": 1})
        await engine.durable()
        service = Service(engine)
        service.open()
        yield service
        service.close()


IDS: Final[dict[str, dict[str, Any]]] = {
    "runs.show": {"run": "one"},
    "runs.steps": {"run": "one"},
    "runs.records": {"run": "two"},
    "runs.io": {"run": "one", "step": "run"},
}
"""Arguments that find something on that tape, besides the examples."""

PASSING: Final = frozenset({"asOf", "ageSeconds", "oldestAgeSeconds", "oldest_message_age", "inMemory"})
"""Fields that tell of the moment at which one asks."""


def test_a_query_answers_the_same_over_every_face(tmp_path: Path) -> None:
    async def law() -> None:
        tape = tmp_path / "t.db"
        async with quiet(tape) as service, Faces(service, tape) as faces:
            different = []
            for name in NAMES:
                operation = CATALOGUE[name]
                if operation.kind != "query":
                    continue
                for given in (
                    *operation.examples,
                    *([IDS[name]] if name in IDS else []),
                    *([{}] if not operation.examples else []),
                ):
                    found = {face: _still(await ask(operation, given)) for face, ask in faces.items()}
                    if any(one != found["service"] for one in found.values()):
                        different.append((name, given, found))
            assert not different, repr(different)[:5_000]

    asyncio.run(law())


def _asked(operation: Operation) -> list[dict[str, Any]]:
    there = [IDS[operation.name]] if operation.name in IDS else []
    return [*operation.examples, *there] or [{}]


def _still(outcome: Outcome) -> Outcome:
    code, value = outcome
    return code, _without(value, PASSING)


def _without(value: Any, names: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {key: _without(one, names) for key, one in value.items() if key not in names}
    return [_without(one, names) for one in value] if isinstance(value, list) else value


def test_wrong_arguments_are_the_same_problem_over_every_face(tmp_path: Path) -> None:
    async def law() -> None:
        tape = tmp_path / "t.db"
        async with quiet(tape) as service, Faces(service, tape) as faces:
            different = []
            for name in NAMES:
                operation = CATALOGUE[name]
                for given in _wrong(operation):
                    found = {face: (await ask(operation, given))[0] for face, ask in faces.items()}
                    if set(found.values()) != {"invalid-input"}:
                        different.append((name, given, found))
            assert not different, repr(different)[:5_000]

    asyncio.run(law())


def _wrong(operation: Operation) -> Iterator[dict[str, Any]]:
    """Arguments that are not of the operation: an unknown field, and each bounded text and number too large."""
    right = operation.examples[0] if operation.examples else {}
    yield {**right, "nothingLikeThis": 1}
    for field, found in operation.args.model_json_schema(by_alias=False).get("properties", {}).items():
        wire = operation.args.model_fields[field].alias or field
        rest = {name: value for name, value in right.items() if name not in (field, wire)}
        for one in [found, *found.get("anyOf", [])]:
            if one.get("type") == "integer" and "maximum" in one:
                yield {**rest, wire: one["maximum"] + 1}
            if one.get("type") == "string" and one.get("maxLength", 10_000) < 5_000:
                yield {**rest, wire: "x" * (one["maxLength"] + 1)}
