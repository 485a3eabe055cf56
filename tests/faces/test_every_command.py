"""Every command, over every face, in a world of its own: the same commands in the same order come to the same.

The world is `tickwork up` on a simulated MEXC that speaks HTTP; orders are real there, and so are refusals.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.faces.every_face import Faces, Outcome
from tests.service.operations.trading import BTC, place
from tickwork.service.api.operation import CATALOGUE
from tickwork.service.operations import all as every

FACES: Final = ("service", "http", "mcp", "cli")

World = dict[str, Any]
"""What the commands before have answered, by name; of several the last."""

Given = dict[str, Any] | Callable[[World], dict[str, Any]]

STEPS: Final = [{"name": "wait", "type": "wait", "params": {"duration": "1 hour"}}]
BUY: Final = {"account": "main", "symbol": BTC, "side": "buy", "quantity": "0.01"}

SCRIPT: Final[list[tuple[str, Given, str]]] = [
    ("orders.place", {**BUY, "quantity": "1"}, "refused"),  # the gate refuses that
    ("orders.place", {**BUY, "account": "nobody"}, ""),
    ("orders.place", BUY, "done"),
    ("orders.cancel", lambda world: {"order": world["orders.place"]["clientOrderId"]}, ""),
    ("orders.place", {**BUY, "type": "limit", "limitPrice": "50000"}, ""),
    ("orders.cancel", lambda world: {"order": world["orders.place"]["clientOrderId"]}, ""),
    (
        "orders.disown",
        lambda world: {"order": world["orders.place"]["clientOrderId"], "reason": "it was seen to be filled"},
        "",
    ),
    ("alerts.set", {"id": "high", "symbol": BTC, "condition": "above", "threshold": "700000"}, ""),
    ("alerts.set", {"id": "high", "symbol": BTC, "condition": "above", "threshold": "800000"}, ""),
    ("alerts.cancel", {"alert": "high"}, ""),
    ("alerts.cancel", {"alert": "high"}, ""),
    ("monitors.set", {"id": "low", "rules": [{"kind": "price_below", "threshold": "1", "symbol": BTC}]}, ""),
    ("halt", {"account": "main", "reason": "a test"}, "done"),
    ("orders.place", BUY, "refused"),
    ("unhalt", {"account": "main", "reason": "the test is over"}, "done"),
    ("reconcile", {"account": "main"}, ""),
    ("flatten", {"account": "main", "reason": "a test"}, "done"),
    ("unhalt", {"account": "main", "reason": "the test is over"}, ""),
    ("workflows.create", {"name": "news", "steps": STEPS}, "done"),
    ("workflows.create", {"name": "news", "steps": STEPS}, ""),
    ("workflows.execute", {"workflow_id": "news", "async": True}, "done"),
    ("runs.pause", lambda world: {"run": world["workflows.execute"]["execution_id"]}, "done"),
    ("runs.resume", lambda world: {"run": world["workflows.execute"]["execution_id"]}, "done"),
    ("runs.rerun", lambda world: {"run": world["workflows.execute"]["execution_id"]}, "done"),
    ("workflows.pause", {"workflow_id": "news"}, "done"),
    ("workflows.resume", {"workflow_id": "news"}, "done"),
    ("workflows.cancel", lambda world: {"execution_id": world["workflows.execute"]["execution_id"]}, "done"),
    (
        "workflows.update",
        {"workflow_id": "news", "updates": {"steps[0].params.duration": "2 hours"}, "version": 9},
        "version-conflict",
    ),
    ("workflows.retire", {"workflow_id": "news"}, ""),
    ("runs.start", {"workflow": "nothing"}, ""),
    ("runs.cancel", {"run": "nothing"}, ""),
    ("runs.cancel", lambda world: {"run": world["runs.rerun"]["run"]}, "done"),
    ("runs.start", lambda world: {"workflow": "tickwork/order", "input": {"intent": 7}}, ""),
    ("schedules.pause", {"schedule": "reconcile"}, "done"),
    ("schedules.resume", {"schedule": "reconcile"}, "done"),
    ("schedules.skip_next", {"schedule": "reconcile"}, "done"),
    ("schedules.run_now", {"schedule": "reconcile"}, "done"),
    ("events.publish", {"name": "tickwork/alert", "payload": {"run": "", "what": "hello", "detail": ""}}, "done"),
    ("events.publish", {"name": "tickwork/alert", "payload": {"level": "no such field"}}, "invalid-input"),
    ("tokens.create", {"name": "grafana", "scopes": ["read"], "days": 90}, ""),
    ("tokens.create", {"name": "grafana", "scopes": ["read"], "days": 90}, "conflict"),
    ("tokens.revoke", {"name": "grafana"}, "done"),
]
"""Command, arguments, and what it has to come to; empty: only the same everywhere."""


def script() -> list[tuple[str, Given, str]]:
    """The script, and each command that is not in it as its first example says."""
    known = {name for name, _, _ in SCRIPT}
    rest = [one for name, one in sorted(every.CATALOGUE.items()) if one.kind == "command" and name not in known]
    return [*SCRIPT, *((one.name, _nowhere(one.examples[0]) if one.examples else {}, "") for one in rest)]


def _nowhere(example: dict[str, Any]) -> dict[str, Any]:
    """An example of something that is not there in any world: a run's id is a position, and some run may have it."""
    return {name: "nothing" if value == "r12" else value for name, value in example.items()}


async def played(face: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Outcome]:
    """What the script comes to over one face."""
    async with (
        place(folder, monkeypatch) as here,
        here.up() as up,
        Faces(up.service, up.session.files.tape) as faces,
    ):
        world: World = {}
        found = []
        for name, given, _ in script():
            arguments = given(world) if callable(given) else given
            outcome = await faces[face](CATALOGUE[name], arguments)
            if outcome[0] == "done":
                world[name] = outcome[1]
            found.append(outcome)
        return found


def test_a_command_comes_to_the_same_over_every_face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for face in FACES:
        (tmp_path / face).mkdir()

    async def law() -> None:
        outcomes = {face: await played(face, tmp_path / face, monkeypatch) for face in FACES}
        for at, (name, given, wanted) in enumerate(script()):
            found = {face: outcomes[face][at] for face in FACES}
            assert len({code for code, _ in found.values()}) == 1, (name, given, found)
            assert found["service"][0] == (wanted or found["service"][0]), (name, given, found)
            for face in FACES:
                assert alike(found["service"][1], found[face][1]), (name, face, found["service"], found[face])

    asyncio.run(law())


def test_the_script_is_of_commands_that_there_are() -> None:
    assert {name for name, _, _ in script()} == {name for name, one in CATALOGUE.items() if one.kind == "command"}


def alike(one: Any, other: Any) -> bool:
    """Are these of one shape? Ids, times and prices are each world's own; what is not there may be there later."""
    if one is None or other is None:
        return True
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return all(alike(one[0], found) for found in other) if one else True
    return type(one) is type(other)
