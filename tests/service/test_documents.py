"""The surface of documents: every answer field by field, every code, and the same after a restart."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import apsw
import pytest

from tests.engine.support import live
from tests.service.desk_of_documents import FAILING, LIBRARY, NUDGED, STEPS, WAITING, Desk, Noted, Nudge
from tickwork.core.codec import decode_error, encode_error
from tickwork.core.queue import Queue
from tickwork.core.workflow import workflow
from tickwork.engines.embedded import Engine, Memory
from tickwork.engines.embedded.control import ask_owner
from tickwork.engines.embedded.schema import APPLICATION_ID
from tickwork.errors import InvalidInput, Refused, ServiceError, TapeCorrupt
from tickwork.graph.library import Library
from tickwork.graph.sources import Sources
from tickwork.graph.versioning.versions import document_id
from tickwork.service.documents import CODES, VIEWS, Agent, Documents, recovered
from tickwork.service.documents.surface import VERBS

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00")
NAME = "alpaca-trading-workflow"
ID = document_id("", NAME)


def failure(caught: pytest.ExceptionInfo[ServiceError]) -> tuple[str, list[str]]:
    """The code, and the paths of its problems."""
    error = caught.value
    assert error.code in CODES
    rebuilt = decode_error(encode_error(error)[0])
    assert type(rebuilt) is ServiceError
    assert (rebuilt.args, str(rebuilt)) == (error.args, str(error)), "it survives the tape and the control socket"
    return error.code, [one["path"] for one in error.details.get("problems", [])]


def _wrong(*arguments: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    return arguments


async def alpaca(documents: Documents, **more: Any) -> dict[str, Any]:
    description = "Automated trading workflow with news analysis"
    return await documents.create(NAME, STEPS, description=description, **more)


async def answers(documents: Documents) -> list[Any]:
    """Everything that can be asked without changing anything."""
    return [
        await documents.status(ID, include_metrics=True),
        await documents.list(),
        await documents.audit_trail(ID),
        await documents.versions(ID),
        await documents.diff(ID),
        await documents.queue_status(include_messages=True),
        await documents.export(ID),
        await documents.metrics(ID),
    ]


async def restarted(desk: Desk, told: list[Any]) -> None:
    """After a crash the answers are the same."""
    async with desk.open() as documents:
        assert await answers(documents) == told


# -- create -------------------------------------------------------------------------------------------------------


@live
async def test_create() -> None:
    desk = Desk()
    async with desk.open() as documents:
        made = await alpaca(documents, priority=7, metadata={"team": "desk"})
        assert made == {
            "success": True,
            "workflow_id": ID,
            "name": NAME,
            "description": "Automated trading workflow with news analysis",
            "status": "active",
            "priority": 7,
            "using_new_system": True,
            "features": ["message_queues", "audit_trail", "agent_assignment"],
            "owner": "",
            "version": 1,
            "checksum": made["checksum"],
            "created": True,
            "notes": made["notes"],
            "warnings": [],
        }
        again = await alpaca(documents, priority=7, metadata={"team": "desk"})
        assert (again["workflow_id"], again["version"], again["created"]) == (ID, 1, False)
        told = await answers(documents)
    await restarted(desk, told)


@live
async def test_create_from_any_format() -> None:
    desk = Desk()
    async with desk.open() as documents:
        text = "name: from-text\nnodes:\n  - {id: wait, type: docs_wait}\n"
        assert (await documents.create(document=text))["name"] == "from-text"
        assert (await documents.create("renamed", document=text, priority=1))["priority"] == 1
        assert (await documents.list())["total_count"] == 2


@live
async def test_create_refuses_what_cannot_run_and_keeps_nothing() -> None:
    desk = Desk()
    async with desk.open() as documents:
        with pytest.raises(ServiceError) as caught:
            await documents.create("bad", [{"name": "a", "type": "docs_signal", "params": {"treshold": 1}}])
        code, paths = failure(caught)
        assert code == "INVALID_INPUT_DATA"
        assert any("treshold" in path for path in paths)
        with pytest.raises(ServiceError) as caught:
            await documents.create("", [])
        assert failure(caught)[0] == "INVALID_INPUT_DATA"
        with pytest.raises(ServiceError) as caught:
            await documents.create("both", STEPS, document="name: x\nnodes: []")
        assert failure(caught) == ("INVALID_INPUT_DATA", ["steps"])
        await alpaca(documents)
        with pytest.raises(ServiceError) as caught:
            await documents.create(NAME, WAITING)
        assert failure(caught) == ("INVALID_INPUT_DATA", ["name"])
        assert [one["name"] for one in (await documents.list())["workflows"]] == [NAME]


@live
async def test_what_the_engine_refuses_is_not_published() -> None:
    """A queue has one worker: the second document is refused before its version is on the tape."""
    desk = Desk()
    async with desk.open() as documents:
        on = [{"type": "queue", "name": "signals"}]
        await documents.create("one", WAITING, triggers=on)
        with pytest.raises(ServiceError) as caught:
            await documents.create("two", WAITING, triggers=on)
        assert failure(caught)[0] == "INVALID_INPUT_DATA"
        assert (await documents.list())["total_count"] == 1
    async with desk.open() as documents:
        assert documents.problems == []


# -- execute and status -------------------------------------------------------------------------------------------


@live
async def test_execute_waits_for_the_end() -> None:
    desk = Desk()
    async with desk.open() as documents:
        await alpaca(documents)
        found = await documents.execute(ID, {"symbols": ["AAPL"]})
        assert TIME.fullmatch(found["started_at"])
        assert TIME.fullmatch(found["completed_at"])
        expected = {
            "status": "completed",
            "success": True,
            "workflow_id": ID,
            "execution_id": "x-1",
            "workflow_name": NAME,
            "progress": 100,
            "current_step": None,
            "current_steps": [],
            "completed_steps": ["analyze_news", "generate_signals", "execute_trades"],
            "pending_steps": [],
            "skipped_steps": [],
            "failed_steps": [],
            "steps_total": 3,
            "steps_completed": 3,
            "trigger": "manual",
            "version": 1,
            "test_mode": False,
            "attempt": 1,
            "problem": None,
            "error": None,
            "queue_position": None,
            "estimated_completion": None,
        }
        assert {name: found[name] for name in expected} == expected
        assert found.keys() - expected.keys() == {"started_at", "completed_at", "steps", "result"}
        assert found["result"]["outputs"] == {"execute_trades": {"order_id": "live-1"}}
        assert [(one["name"], one["status"], one["result"]) for one in found["steps"]] == [
            ("analyze_news", "completed", {"sentiment": 0.72}),
            ("generate_signals", "completed", {"signal": "BUY"}),
            ("execute_trades", "completed", {"order_id": "live-1"}),
        ]
        assert found["steps"][0]["duration"] == 1.0
        told = await answers(documents)
    await restarted(desk, told)


@live
async def test_execute_async_and_status() -> None:
    desk = Desk()
    async with desk.open() as documents:
        await documents.create("waits", WAITING, triggers=[{"type": "schedule", "cron": "0 9 * * 1-5"}, *NUDGED])
        started = await documents.execute("waits", {"n": 1}, async_=True)
        assert (started["status"], started["success"], started["execution_id"]) == ("running", True, "x-1")
        assert (started["steps_total"], started["steps_completed"], started["queue_position"]) == (2, 0, None)
        at_first = await documents.status(execution_id="x-1")
    async with desk.open() as documents:
        assert await documents.status(execution_id="x-1") == at_first, "also after a restart"
        await desk.engine.emit(Nudge(n=5))
        await desk.engine.idle()
        found = await documents.status("waits", "x-1", include_metrics=True)
        assert (found["status"], found["progress"]) == ("waiting", 50)
        assert found["current_step"] == {
            "name": "again",
            "status": "running",
            "started_at": found["current_step"]["started_at"],
            "agent_id": None,
            "progress": None,
        }
        assert TIME.fullmatch(found["current_step"]["started_at"])
        assert (found["completed_steps"], found["pending_steps"]) == (["wait"], [])
        assert found["workflow_status"] == "active"
        assert found["metrics"]["credits_used"] == "0"
        assert found["metrics"]["total_execution_time"] >= 0
        assert [one["status"] for one in found["triggers"]] == ["active", "active"]
        assert found["triggers"][0]["cron"] == "0 9 * * 1-5"
        assert TIME.fullmatch(found["triggers"][0]["next_firing"])
        assert found["triggers"][1]["next_firing"] is None
        whole = await documents.status("waits")
        # the nudge started one more
        assert (whole["status"], whole["execution_status"], whole["trigger"]) == ("active", "waiting", "event")


@live
async def test_status_of_what_was_never_executed() -> None:
    desk = Desk()
    async with desk.open() as documents:
        with pytest.raises(ServiceError) as caught:
            await documents.status()
        assert failure(caught)[0] == "WORKFLOW_NOT_FOUND"
        await alpaca(documents)
        found = await documents.status(ID)
        assert {name: found[name] for name in ("workflow_id", "execution_id", "status", "progress", "triggers")} == {
            "workflow_id": ID,
            "execution_id": None,
            "status": "active",
            "progress": 0,
            "triggers": [],
        }
        await documents.create("waits", WAITING)
        await documents.execute("waits", async_=True)
        assert (await documents.status())["workflow_name"] == "waits", "the last that was executed"


@live
async def test_a_failure_is_told() -> None:
    desk = Desk()
    async with desk.open() as documents:
        await alpaca(documents)
        FAILING.add("generate_signals")
        found = await documents.execute(ID)
        assert (found["status"], found["success"], found["progress"]) == ("failed", False, 66)
        assert found["error"] == {
            "code": "rejected",
            "type": "Rejected",
            "message": "nowhere rejected it: generate_signals",
        }
        assert (found["completed_steps"], found["failed_steps"]) == (["analyze_news"], ["generate_signals"])
        assert desk.live.orders == []
        told = await answers(documents)
    await restarted(desk, told)


@live
async def test_executing_again_with_the_same_id_is_the_same() -> None:
    desk = Desk()
    async with desk.open() as documents:
        await alpaca(documents)
        first = await documents.execute(ID, {"a": 1}, execution_id="mine")
        assert await documents.execute(ID, {"a": 1}, execution_id="mine") == first
        assert len(desk.live.orders) == 1
        with pytest.raises(ServiceError) as caught:
            await documents.execute(ID, {"a": 2}, execution_id="mine")
        assert failure(caught)[0] == "INVALID_INPUT_DATA"


# -- test mode ----------------------------------------------------------------------------------------------------


@live
async def test_test_mode_trades_on_paper() -> None:
    desk = Desk()
    async with desk.open() as documents:
        await alpaca(documents, triggers=NUDGED)
        for input, mode in (({"test_mode": True}, None), (None, True), ({"test_mode": True}, False)):
            found = await documents.execute(ID, input, test_mode=mode)
            assert (found["test_mode"], found["status"]) == (True, "completed")
            assert found["result"]["outputs"]["execute_trades"]["order_id"].startswith("paper-")
        assert (len(desk.live.orders), len(desk.paper.orders)) == (0, 3)
        await desk.engine.emit(Nudge())
        await desk.engine.settled()
        assert (len(desk.live.orders), len(desk.paper.orders)) == (1, 3), "triggers start nothing in test mode"
        line = (await documents.list())["workflows"][0]
        assert line["executions_count"] == 1, "tests do not count"
        assert (await documents.metrics(ID))["executions_last_24h"] == 1
        told = await answers(documents)
    await restarted(desk, told)


@live
async def test_test_mode_needs_a_paper_account() -> None:
    desk = Desk()
    desk.has_paper = False
    async with desk.open() as documents:
        await alpaca(documents)
        with pytest.raises(ServiceError) as caught:
            await documents.execute(ID, {"test_mode": True})
        assert failure(caught) == ("INVALID_INPUT_DATA", ["test_mode"])
        assert desk.live.orders == []
        for wrong in ("yes", 1):
            with pytest.raises(ServiceError) as caught:
                await documents.execute(ID, {"test_mode": wrong})
            assert failure(caught) == ("INVALID_INPUT_DATA", ["input_data.test_mode"])


@live
async def test_an_unfinished_test_goes_on_after_a_restart() -> None:
    desk = Desk()
    steps = [{"name": "wait", "type": "docs_wait"}, *STEPS]
    async with desk.open() as documents:
        await documents.create("slow", steps)
        await documents.execute("slow", test_mode=True, async_=True)
        await desk.engine.idle()
    async with desk.open() as documents:
        await desk.engine.emit(Nudge())
        await desk.engine.settled()
        assert (await documents.status(execution_id="x-1"))["status"] == "completed"
        assert (len(desk.live.orders), len(desk.paper.orders)) == (0, 1)


@live
async def test_called_workflows_are_in_test_mode_too() -> None:
    desk = Desk()
    async with desk.open() as documents:
        await alpaca(documents)
        await documents.create("master", [{"name": "run_it", "type": "docs_call", "params": {"workflow_id": NAME}}])
        assert (await documents.execute("master"))["status"] == "completed"
        assert (len(desk.live.orders), len(desk.paper.orders)) == (1, 0)
        assert (await documents.execute("master", test_mode=True))["status"] == "completed"
        assert (len(desk.live.orders), len(desk.paper.orders)) == (1, 1)


@live
async def test_no_workflow_calls_itself_in_the_end() -> None:
    def calls(name: str) -> list[dict[str, Any]]:
        return [{"name": "call", "type": "docs_call", "params": {"workflow_id": name}}]

    desk = Desk()
    async with desk.open() as documents:
        await alpaca(documents)
        await documents.create("one", calls(NAME))
        await documents.create("two", calls("one"))
        for name in ("two", "one"):
            with pytest.raises(ServiceError, match="in the end") as caught:
                await documents.update("one", {"call.params.workflow_id": name})
            assert failure(caught) == ("INVALID_INPUT_DATA", ["workflow_id"])
    async with desk.open() as documents:
        assert documents.problems == []


# -- changing -----------------------------------------------------------------------------------------------------


@live
async def test_update_makes_a_version_with_its_diff() -> None:
    desk = Desk()
    async with desk.open() as documents:
        made = await alpaca(documents)
        found = await documents.update(ID, {"steps[1].params.threshold": 0.9}, note="volatile")
        assert found == {
            "success": True,
            "workflow_id": ID,
            "name": NAME,
            "version": 2,
            "status": "published",
            "checksum": found["checksum"],
            "changed": True,
            "previous_version": 1,
            "changes": [
                {
                    "kind": "changed",
                    "path": "nodes.generate_signals.params.threshold",
                    "before": 0.7,
                    "after": 0.9,
                    "text": "~ nodes.generate_signals.params.threshold: 0.7 -> 0.9",
                }
            ],
            "warnings": [],
        }
        again = await documents.update(ID, {"steps[1].params.threshold": 0.9})
        assert (again["changed"], again["version"], again["changes"]) == (False, 2, [])
        executed = await documents.execute(ID)
        assert (executed["version"], executed["steps"][1]["result"]) == (2, {"signal": "HOLD"})
        back = await documents.rollback(ID, 1)
        assert (back["version"], back["checksum"], back["previous_version"]) == (3, made["checksum"], 2)
        assert (await documents.rollback(ID, 1))["changed"] is False
        listed = await documents.versions(ID)
        assert [(one["version"], one["status"], one["equals"], one["note"]) for one in listed["versions"]] == [
            (3, "current", 1, ""),
            (2, "published", None, "volatile"),
            (1, "published", None, ""),
        ]
        assert (listed["total_count"], listed["current_version"], listed["draft_version"]) == (3, 3, None)
        found = await documents.diff(ID, 1, 3)
        assert (found["equal"], found["changes"], found["text"]) == (True, [], "")
        found = await documents.diff(ID, 1, 2)
        assert found["text"] == "~ nodes.generate_signals.params.threshold: 0.7 -> 0.9"
        told = await answers(documents)
    await restarted(desk, told)


@live
async def test_updates_that_cannot_be_made() -> None:
    desk = Desk()
    async with desk.open() as documents:
        await alpaca(documents)
        for updates, path in (
            ({"steps[7].params.threshold": 1}, "steps[7].params.threshold"),
            ({"steps[1].params.treshold": 1}, "steps[1].params.treshold"),
            ({}, "updates"),
        ):
            with pytest.raises(ServiceError) as caught:
                await documents.update(ID, updates)
            assert failure(caught) == ("INVALID_INPUT_DATA", [path])
        with pytest.raises(ServiceError) as caught:
            await documents.update(ID, {"priority": 1}, expect_version=2)
        assert failure(caught) == ("INVALID_INPUT_DATA", ["expect_version"])
        assert (await documents.versions(ID))["total_count"] == 1


@live
async def test_only_one_of_two_who_change_the_same_version_wins() -> None:
    desk = Desk()
    async with desk.open() as documents:
        await alpaca(documents)
        both = await asyncio.gather(
            *(documents.update(ID, {"priority": n}, expect_version=1) for n in (1, 2)), return_exceptions=True
        )
        assert [isinstance(one, ServiceError) for one in both] == [False, True]
        assert (await documents.versions(ID))["total_count"] == 2


@live
async def test_runs_in_flight_keep_their_version() -> None:
    desk = Desk()
    async with desk.open() as documents:
        await documents.create("waits", [*WAITING, *STEPS])
        await documents.execute("waits", async_=True)
        await documents.update("waits", {"generate_signals.params.threshold": 0.9})
        await documents.execute("waits", async_=True)
        await desk.engine.idle()
    async with desk.open() as documents:
        for _ in range(2):
            await desk.engine.emit(Nudge())
            await desk.engine.idle()
        await desk.engine.settled()
        signals = [(await documents.status(execution_id=f"x-{n}"))["steps"][3]["result"]["signal"] for n in (1, 2)]
        assert signals == ["BUY", "HOLD"]


@live
async def test_a_newer_version_takes_over_the_triggers() -> None:
    desk = Desk()
    async with desk.open() as documents:
        await alpaca(documents, triggers=NUDGED)
        await documents.update(ID, {"steps[1].params.threshold": 0.9})
        await desk.engine.emit(Nudge())
        await desk.engine.settled()
        status = await documents.status(ID)
        assert (status["version"], status["trigger"]) == (2, "event")
        assert (await documents.metrics(ID))["executions_last_24h"] == 1


@live
async def test_drafts() -> None:
    desk = Desk()
    async with desk.open() as documents:
        made = await alpaca(documents, triggers=NUDGED, draft=True)
        assert made["status"] == "created"
        await desk.engine.emit(Nudge())
        await desk.engine.settled()
        assert desk.live.orders == [], "a draft takes no triggers"
        with pytest.raises(ServiceError) as caught:
            await documents.execute(ID)
        assert failure(caught) == ("INVALID_INPUT_DATA", ["version"])
        assert (await documents.execute(ID, test_mode=True))["version"] == 1
    async with desk.open() as documents:
        found = await documents.publish(ID)
        assert (found["version"], found["status"], found["changed"]) == (1, "published", True)
        assert (await documents.publish(ID))["changed"] is False
        await desk.engine.emit(Nudge())
        await desk.engine.settled()
        assert len(desk.live.orders) == 1
        draft = await documents.update(ID, {"priority": 1}, draft=True)
        assert (draft["version"], draft["status"]) == (2, "draft")
        assert (await documents.execute(ID))["version"] == 1
        with pytest.raises(ServiceError) as caught:
            await documents.execute(ID, version=2)
        assert failure(caught) == ("INVALID_INPUT_DATA", ["version"])
        assert (await documents.execute(ID, test_mode=True))["version"] == 2
        line = (await documents.list())["workflows"][0]
        assert (line["version"], line["draft_version"]) == (1, 2)


@live
async def test_publish_a_whole_document() -> None:
    desk = Desk()
    async with desk.open() as documents:
        await alpaca(documents)
        exported = (await documents.export(ID))["document"]
        exported["priority"] = 9
        found = await documents.publish(ID, document=exported)
        assert (found["version"], [one["text"] for one in found["changes"]]) == (2, ["+ priority = 9"])
        assert (await documents.publish(ID, document=exported))["changed"] is False


# -- pausing ------------------------------------------------------------------------------------------------------


@live
async def test_a_paused_workflow_starts_nothing_by_itself_until_it_is_resumed() -> None:
    desk = Desk()
    schedule = {"type": "schedule", "cron": "0 9 * * *"}
    async with desk.open() as documents:
        await alpaca(documents, triggers=[*NUDGED, schedule])
        paused = await documents.pause(ID, reason="earnings")
        assert paused == {
            "success": True,
            "workflow_id": ID,
            "name": NAME,
            "status": "paused",
            "reason": "earnings",
            "triggers": paused["triggers"],
        }
        assert [(one["status"], one["next_firing"]) for one in paused["triggers"]] == [("paused", None)] * 2
        await desk.engine.emit(Nudge())
        await desk.engine.settled()
        assert (await documents.execute(ID))["status"] == "completed", "by hand it can be executed"
    async with desk.open() as documents:
        assert (await documents.status(ID))["status"] == "paused"
        await desk.engine.emit(Nudge())
        await desk.engine.settled()
        await documents.update(ID, {"priority": 1})
        await desk.engine.emit(Nudge())
        await desk.engine.settled()
        assert len(desk.live.orders) == 1, "neither after a restart nor as a new version"
    async with desk.open() as documents:
        await desk.engine.emit(Nudge())
        await desk.engine.settled()
        assert len(desk.live.orders) == 1
        resumed = await documents.resume(ID)
        assert resumed["status"] == "active"
        assert TIME.fullmatch(resumed["triggers"][1]["next_firing"])
        await desk.engine.emit(Nudge())
        await desk.engine.settled()
        assert len(desk.live.orders) == 2
    async with desk.open() as documents:
        await desk.engine.emit(Nudge())
        await desk.engine.settled()
        assert len(desk.live.orders) == 3


@live
async def test_pause_resume_and_cancel_an_execution() -> None:
    desk = Desk()
    async with desk.open() as documents:
        await documents.create("waits", WAITING)
        await documents.execute("waits", async_=True)
        assert (await documents.pause(execution_id="x-1"))["status"] == "paused"
    async with desk.open() as documents:
        assert (await documents.status(execution_id="x-1"))["status"] == "paused"
        assert (await documents.resume(execution_id="x-1"))["status"] in ("running", "waiting")
        await desk.engine.idle()
        assert (await documents.status(execution_id="x-1"))["status"] == "waiting"
        found = await documents.cancel("x-1", "enough")
        assert (found["status"], found["error"]) == (
            "cancelled",
            {"code": "cancelled", "type": "Cancelled", "message": "enough"},
        )
        with pytest.raises(ServiceError) as caught:
            await documents.cancel("x-1")
        assert failure(caught)[0] == "INVALID_INPUT_DATA"


@live
async def test_a_retired_workflow_comes_back_when_it_is_published() -> None:
    desk = Desk()
    async with desk.open() as documents:
        await alpaca(documents, triggers=NUDGED)
        assert (await documents.retire(ID))["status"] == "cancelled"
    async with desk.open() as documents:
        await desk.engine.emit(Nudge())
        await desk.engine.settled()
        assert desk.live.orders == []
        assert (await documents.list())["total_count"] == 0
        assert (await documents.list(status="cancelled"))["total_count"] == 1
        for act in (documents.execute, documents.pause, documents.resume):
            with pytest.raises(ServiceError) as caught:
                await act(ID)
            assert failure(caught) == ("INVALID_INPUT_DATA", ["workflow_id"])
        await alpaca(documents, triggers=NUDGED)
        assert (await documents.status(ID))["status"] == "active"
        await desk.engine.emit(Nudge())
        await desk.engine.settled()
        assert len(desk.live.orders) == 1


# -- lists, figures, trails ---------------------------------------------------------------------------------------


@live
async def test_list() -> None:
    desk = Desk()
    async with desk.open() as documents:
        await alpaca(documents)
        await documents.create("waits", WAITING)
        await documents.create("draft", WAITING, draft=True)
        await documents.execute(ID)
        FAILING.add("generate_signals")
        await documents.execute(ID)
        found = await documents.list()
        assert (found["total_count"], found["has_more"]) == (3, False)
        line = found["workflows"][0]
        assert TIME.fullmatch(line["last_executed"])
        assert TIME.fullmatch(line["created_at"])
        assert TIME.fullmatch(line["updated_at"])
        assert {name: value for name, value in line.items() if not name.endswith(("_at", "last_executed"))} == {
            "id": ID,
            "name": NAME,
            "description": "Automated trading workflow with news analysis",
            "status": "active",
            "executions_count": 2,
            "success_rate": 0.5,
            "average_duration": 1.0,
            "version": 1,
            "draft_version": None,
            "priority": 5,
        }
        empty = found["workflows"][2]
        assert (empty["name"], empty["last_executed"], empty["success_rate"], empty["average_duration"]) == (
            "waits",
            None,
            None,
            None,
        )
        first = await documents.list(limit=2)
        assert (len(first["workflows"]), first["has_more"]) == (2, True)
        rest = await documents.list(limit=2, offset=2)
        assert ([one["name"] for one in rest["workflows"]], rest["has_more"]) == (["waits"], False)
        assert [one["name"] for one in (await documents.list(status="created"))["workflows"]] == ["draft"]
        for wrong in _wrong({"limit": 0}, {"offset": -1}, {"status": "gone"}, {"limit": True}):
            with pytest.raises(ServiceError) as caught:
                await documents.list(**wrong)
            assert failure(caught) == ("INVALID_INPUT_DATA", list(wrong))
        told = await answers(documents)
    await restarted(desk, told)


@live
async def test_metrics_fall_with_failures() -> None:
    desk = Desk()
    async with desk.open() as documents:
        await alpaca(documents)
        assert await documents.metrics(ID) == {
            "workflow_id": ID,
            "executions_last_24h": 0,
            "success_rate": None,
            "average_duration": None,
            "steps_performance": {},
            "examined": {"executions": 0, "more_executions": False, "steps_of_executions": 0},
        }
        for _ in range(3):
            await documents.execute(ID)
        assert (await documents.metrics(ID))["success_rate"] == 1.0
        FAILING.add("generate_signals")
        await documents.execute(ID)
        found = await documents.metrics(ID)
        assert (found["executions_last_24h"], found["success_rate"], found["average_duration"]) == (4, 0.75, 1.0)
        assert found["steps_performance"] == {
            "analyze_news": {"avg_time": 1.0, "success_rate": 1.0},
            "generate_signals": {"avg_time": 0.0, "success_rate": 0.75},
            "execute_trades": {"avg_time": 0.0, "success_rate": 1.0},
        }
        assert found["examined"]["steps_of_executions"] == 4
        now = datetime.fromisoformat((await documents.status(ID))["started_at"])
        await desk.engine.until(datetime.fromtimestamp(now.timestamp() + 90_000, UTC))
        assert (await documents.metrics(ID))["executions_last_24h"] == 0, "a day and an hour later"


@live
async def test_figures_say_what_they_are_made_of() -> None:
    desk = Desk()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tickwork.service.documents.metrics.EXECUTIONS_MAX", 3)
        patch.setattr("tickwork.service.documents.metrics.TRACED_MAX", 2)
        patch.setattr("tickwork.service.documents.audit.EXECUTIONS_MAX", 3)
        async with desk.open() as documents:
            await alpaca(documents)
            for _ in range(4):
                await documents.execute(ID)
            found = await documents.metrics(ID)
            assert found["executions_last_24h"] == 3
            assert found["examined"] == {"executions": 3, "more_executions": True, "steps_of_executions": 2}
            summary = (await documents.audit_trail(ID))["execution_summary"]
            assert (summary["executions"], summary["more_executions"]) == (3, True)


@live
async def test_audit_trail() -> None:
    desk = Desk()
    async with desk.open() as documents:
        await alpaca(documents, author="ann")
        await documents.execute(ID)
        found = await documents.audit_trail(ID)
        assert found.keys() == {"workflow_id", "execution_id", "events", "total_events", "execution_summary"}
        assert (found["execution_id"], found["total_events"]) == ("x-1", 9)
        assert [(one["event"], one.get("step")) for one in found["events"]] == [
            ("workflow_created", None),
            ("workflow_started", None),
            ("step_started", "analyze_news"),
            ("step_completed", "analyze_news"),
            ("step_started", "generate_signals"),
            ("step_completed", "generate_signals"),
            ("step_started", "execute_trades"),
            ("step_completed", "execute_trades"),
            ("workflow_completed", None),
        ]
        made, begun, _, done = found["events"][:4]
        assert (made["details"]["author"], begun["trigger"]) == ("ann", "manual")
        assert {
            name: done[name] for name in ("event", "type", "step", "step_name", "result", "event_id", "execution_id")
        } == {
            "event": "step_completed",
            "type": "step_completed",
            "step": "analyze_news",
            "step_name": "analyze_news",
            "result": {"sentiment": 0.72},
            "event_id": "x-1/3",
            "execution_id": "x-1",
        }
        assert done["details"]["duration"] == 1.0
        assert all(TIME.fullmatch(one["timestamp"]) for one in found["events"])
        assert len({one["event_id"] for one in found["events"]}) == 9
        summary = found["execution_summary"]
        assert {name: summary[name] for name in ("executions", "completed", "failed", "cancelled", "unfinished")} == {
            "executions": 1,
            "completed": 1,
            "failed": 0,
            "cancelled": 0,
            "unfinished": 0,
        }
        last = await documents.audit_trail(ID, limit=2)
        assert [one["event"] for one in last["events"]] == ["step_completed", "workflow_completed"]
        onward = await documents.audit_trail(ID, limit=2, start_time=done["timestamp"])
        assert [one["event_id"] for one in onward["events"]] == ["x-1/3", "x-1/4"], "from a time on it can be read on"
        FAILING.add("generate_signals")
        await documents.execute(ID)
        one = await documents.audit_trail(ID, execution_id="x-2")
        assert [event["event"] for event in one["events"]][-2:] == ["step_failed", "workflow_failed"]
        for wrong in _wrong({"limit": 0}, {"start_time": "yesterday"}, {"start_time": "2026-01-05T09:00:00"}):
            with pytest.raises(ServiceError) as caught:
                await documents.audit_trail(ID, **wrong)
            assert failure(caught) == ("INVALID_INPUT_DATA", list(wrong))
        told = await answers(documents)
    await restarted(desk, told)


@live
async def test_events_as_those_who_watch_a_graph_know_them() -> None:
    desk = Desk()
    async with desk.open() as documents:
        await alpaca(documents)
        await documents.execute(ID)
        found = await documents.events("x-1")
        assert [(one["type"], one.get("node_id")) for one in found["events"]] == [
            ("workflow_started", None),
            ("node_started", "analyze_news"),
            ("node_completed", "analyze_news"),
            ("node_started", "generate_signals"),
            ("node_completed", "generate_signals"),
            ("node_started", "execute_trades"),
            ("node_completed", "execute_trades"),
            ("workflow_completed", None),
        ]
        assert [one["sequence"] for one in found["events"]] == list(range(1, 9))
        positions = [one["seq"] for one in found["events"]]
        assert positions == sorted(positions)
        done = found["events"][2]
        assert {key: done[key] for key in ("status", "output", "execution_time_ms", "execution_id", "workflow_id")} == {
            "status": "success",
            "output": {"sentiment": 0.72},
            "execution_time_ms": 1_000.0,
            "execution_id": "x-1",
            "workflow_id": ID,
        }
        assert (found["finished"], found["has_more"], found["last_sequence"]) == (True, False, 8)
        more = await documents.events("x-1", after=3, limit=2)
        assert ([one["sequence"] for one in more["events"]], more["has_more"]) == ([4, 5], True)
        FAILING.add("generate_signals")
        await documents.execute(ID)
        failed = (await documents.events("x-2"))["events"]
        assert [one["type"] for one in failed][-2:] == ["node_error", "workflow_completed"]
        assert (failed[-2]["error"], failed[-1]["status"]) == (failed[-1]["error"], "failed")
        for wrong in _wrong({"after": -1}, {"limit": 0}):
            with pytest.raises(ServiceError) as caught:
                await documents.events("x-1", **wrong)
            assert failure(caught)[0] == "INVALID_INPUT_DATA"
        with pytest.raises(ServiceError) as caught:
            await documents.events("x-1", owner="bob")
        assert failure(caught)[0] == "EXECUTION_NOT_FOUND"


@live
async def test_the_trail_tells_what_was_done_to_the_workflow() -> None:
    desk = Desk()
    async with desk.open() as documents:
        await alpaca(documents, author="ann")
        await documents.create("waits", WAITING)
        await documents.pause("waits")
        await documents.update(ID, {"priority": 1}, draft=True)
        for hour, act in enumerate(("publish", "pause", "resume", "retire"), start=1):
            await _passes(desk, hour)
            await getattr(documents, act)(ID, author="bob")
        trail = await documents.audit_trail(ID)
        assert [(one["event"], one["details"].get("author")) for one in trail["events"]] == [
            ("workflow_created", "ann"),
            ("workflow_updated", None),
            ("workflow_published", None),
            ("workflow_paused", "bob"),
            ("workflow_resumed", "bob"),
            ("workflow_retired", "bob"),
        ]


@live
async def test_wrong_types_are_wrong_input() -> None:
    desk = Desk()
    async with desk.open() as documents:
        await alpaca(documents)
        calls: list[tuple[Callable[[], Awaitable[Any]], str]] = [
            (lambda: documents.execute(ID, timeout="soon"), "timeout"),
            (lambda: documents.execute(ID, execution_id=5), "execution_id"),  # type: ignore[arg-type]
            (lambda: documents.execute(ID, [1]), "input_data"),  # type: ignore[arg-type]
            (lambda: documents.rollback(ID, "1"), "version"),  # type: ignore[arg-type]
            (lambda: documents.create("n" * 101, document="name: x\nnodes: [{id: wait, type: docs_wait}]"), "name"),
            (lambda: documents.update(ID, ["priority"]), "updates"),  # type: ignore[arg-type]
        ]
        for call, path in calls:
            with pytest.raises(ServiceError) as caught:
                await call()
            assert failure(caught) == ("INVALID_INPUT_DATA", [path])
        assert (await documents.metrics(ID))["executions_last_24h"] == 0, "nothing was started"


@live
async def test_export() -> None:
    desk = Desk()
    async with desk.open() as documents:
        made = await alpaca(documents)
        found = await documents.export(ID)
        assert {name: found[name] for name in ("workflow_id", "name", "version", "checksum", "format")} == {
            "workflow_id": ID,
            "name": NAME,
            "version": 1,
            "checksum": made["checksum"],
            "format": "canonical",
        }
        for format in ("canonical", "json", "yaml", "react"):
            document = (await documents.export(ID, format))["document"]
            assert (await documents.publish(ID, document=document))["changed"] is False, format
        for wrong, path in (({"format": "word"}, "format"), ({"version": 9}, "version")):
            with pytest.raises(ServiceError) as caught:
                await documents.export(ID, **wrong)
            assert failure(caught) == ("INVALID_INPUT_DATA", [path])


# -- queues -------------------------------------------------------------------------------------------------------


@live
async def test_queue_status() -> None:
    signals, alerts = Queue("trading-signals", batch_size=1, max_retries=0), Queue("risk-alerts")
    found = recovered("memory:", library=LIBRARY, sources=Sources())
    async with Engine("memory:", queues=[signals, alerts], views=VIEWS, seed=1) as engine:
        documents = Documents(engine, found)
        await documents.open()
        for n in range(3):
            await engine.queues.send(signals, {"n": n}, id=f"m{n}")
        (leased,) = await engine.queues.lease("trading-signals", 1, "desk")
        told = await documents.queue_status()
        assert [one["name"] for one in told["queues"]] == ["risk-alerts", "trading-signals"]
        line = told["queues"][1]
        assert {name: line[name] for name in line if name != "oldest_message_age"} == {
            "name": "trading-signals",
            "status": "active",
            "messages_available": 2,
            "messages_in_flight": 1,
            "messages_delayed": 0,
            "messages_blocked": 2,
            "pending_messages": 2,
            "processing_messages": 1,
            "completed_today": 0,
            "failed_today": 0,
            "dead_letters": 0,
            "average_processing_time": None,
            "capacity": line["capacity"],
        }
        assert line["oldest_message_age"] >= 0
        assert {name: told[name] for name in told if name != "queues"} == {
            "total_messages": 3,
            "processing_rate": 0,
            "throughput_per_minute": 0,
            "system_health": "healthy",
        }
        await engine.queues.reject(leased.lease, "rate_limit")
        told = await documents.queue_status("trading-signals", include_messages=True)
        assert [one["name"] for one in told["queues"]] == ["trading-signals"]
        assert told["system_health"] == "degraded"
        assert [(one["id"], one["body"], one["receive_count"]) for one in told["messages"]] == [
            ("m1", {"n": 1}, 0),
            ("m2", {"n": 2}, 0),
        ]
        letters = await documents.queue_status("dead-letter-queue")
        (letter,) = letters["messages"]
        assert (letter["id"], letter["body"], letter["receive_count"]) == ("m0", {"n": 0}, 1)
        assert letter["error"] == "rate_limit"
        assert TIME.fullmatch(letter["first_seen"])
        with pytest.raises(ServiceError) as caught:
            await documents.queue_status("nowhere")
        assert failure(caught)[0] == "INVALID_INPUT_DATA"


# -- agents -------------------------------------------------------------------------------------------------------

AGENTS = {
    "a-1": Agent("a-1", "analyst", "Ann", ("docs_news", "docs_signal")),
    "a-2": Agent("a-2", "analyst", "Bob", ("docs_news", "docs_signal", "docs_trade")),
    "a-3": Agent("a-3", "analyst", "Cyd", ("docs_news", "docs_signal", "docs_trade"), "offline"),
    "t-1": Agent("t-1", "trader", "Tim", ("docs_wait",)),
}


@live
async def test_agent_assign() -> None:
    desk = Desk(agents=AGENTS)
    async with desk.open() as documents:
        await alpaca(documents)
        found = await documents.agent_assign(ID, "analyst", use_vector_similarity=False)
        assert found == {
            "task_id": ID,
            "assigned_agent": {
                "id": "a-2",
                "type": "analyst",
                "name": "Bob",
                "capabilities": ["docs_news", "docs_signal", "docs_trade"],
                "experience_score": None,
                "availability": "available",
            },
            "match_score": 1.0,
            "alternatives": [
                {
                    "id": "a-1",
                    "type": "analyst",
                    "name": "Ann",
                    "capabilities": ["docs_news", "docs_signal"],
                    "experience_score": None,
                    "availability": "available",
                    "match_score": 0.666667,
                }
            ],
            "assigned_at": found["assigned_at"],
        }
        step = await documents.agent_assign(f"{ID}/generate_signals", "analyst")
        assert (step["assigned_agent"]["id"], step["match_score"]) == ("a-1", round(1 / 2**0.5, 6))
        await documents.create("waits", WAITING)
        await documents.execute("waits", async_=True)
        await documents.agent_assign("x-1/wait")
    async with desk.open() as documents:
        assert (await documents.status(execution_id="x-1"))["current_step"]["agent_id"] == "t-1"
        for _ in range(2):
            await desk.engine.emit(Nudge())
            await desk.engine.idle()
        again = await documents.agent_assign("waits", "trader")
        assert again["assigned_agent"]["experience_score"] == 1.0, "what it was assigned to succeeded"
        await documents.execute("waits", async_=True)
        await documents.agent_assign("x-2", "trader")
        FAILING.add("wait")
        await documents.cancel("x-2")
        assert (await documents.agent_assign("waits"))["assigned_agent"]["experience_score"] == 1.0


@pytest.mark.parametrize(
    ("agents", "agent_type", "words"),
    [
        ({}, None, "no agent is registered"),
        (AGENTS, "astrologer", "no agent of type 'astrologer' is registered"),
        ({"a-3": AGENTS["a-3"]}, None, "busy or offline"),
        (AGENTS, "trader", "can do any of"),
    ],
)
def test_no_agent(agents: dict[str, Agent], agent_type: str | None, words: str) -> None:
    @live
    async def check() -> None:
        desk = Desk(agents=agents)
        async with desk.open() as documents:
            await alpaca(documents)
            with pytest.raises(ServiceError, match=words) as caught:
                await documents.agent_assign(ID, agent_type)
            assert failure(caught)[0] == "AGENT_UNAVAILABLE"

    check()


# -- the other codes ----------------------------------------------------------------------------------------------


@live
async def test_workflow_not_found() -> None:
    desk = Desk()
    async with desk.open() as documents:
        await alpaca(documents, owner="ann")
        await documents.execute(NAME, owner="ann")
        for owner, id in (("ann", "nothing"), ("", NAME), ("bob", document_id("ann", NAME)), ("bob", NAME)):
            for act in (
                documents.execute, documents.status, documents.versions, documents.diff, documents.export,
                documents.metrics, documents.audit_trail, documents.pause, documents.resume, documents.retire,
                documents.publish, documents.agent_assign,
            ):  # fmt: skip
                with pytest.raises(ServiceError) as caught:
                    await act(id, owner=owner)
                assert failure(caught)[0] == "WORKFLOW_NOT_FOUND", act
            with pytest.raises(ServiceError) as caught:
                await documents.update(id, {"priority": 1}, owner=owner)
            assert failure(caught)[0] == "WORKFLOW_NOT_FOUND"
            with pytest.raises(ServiceError) as caught:
                await documents.rollback(id, 1, owner=owner)
            assert failure(caught)[0] == "WORKFLOW_NOT_FOUND"
        assert (await documents.list(owner="bob"))["workflows"] == []


@live
async def test_owners_have_names_of_their_own() -> None:
    desk = Desk()
    async with desk.open() as documents:
        for owner in ("ann", "bob", ""):
            await alpaca(documents, owner=owner)
            await documents.execute(NAME, owner=owner)
        lines = [(await documents.list(owner=owner))["workflows"] for owner in ("ann", "bob", "")]
        assert [len(one) for one in lines] == [1, 1, 1]
        assert {one[0]["executions_count"] for one in lines} == {1}
        for act in (documents.status, documents.pause, documents.resume):
            with pytest.raises(ServiceError) as caught:
                await act(execution_id="x-1", owner="bob")
            assert failure(caught)[0] == "EXECUTION_NOT_FOUND"
        with pytest.raises(ServiceError) as caught:
            await documents.cancel("x-1", owner="bob")
        assert failure(caught)[0] == "EXECUTION_NOT_FOUND"


@live
async def test_execution_not_found() -> None:
    desk = Desk()
    async with desk.open() as documents:
        await alpaca(documents)
        await documents.create("waits", WAITING)
        await documents.execute(ID)
        for arguments in (
            {"execution_id": "x-9"},
            {"execution_id": ""},
            {"workflow_id": "waits", "execution_id": "x-1"},
        ):
            with pytest.raises(ServiceError) as caught:
                await documents.status(**arguments)  # type: ignore[arg-type]
            assert failure(caught)[0] == "EXECUTION_NOT_FOUND"
        with pytest.raises(ServiceError) as caught:
            await documents.audit_trail("waits", execution_id="x-1")
        assert failure(caught)[0] == "EXECUTION_NOT_FOUND"


@live
async def test_a_run_of_code_is_no_execution() -> None:
    @workflow("code")
    async def code(run: Any) -> None: ...

    found = recovered("memory:", library=LIBRARY, sources=Sources())
    async with Engine("memory:", workflows=[code], views=VIEWS, seed=1) as engine:
        documents = Documents(engine, found)
        handle = await engine.start(code)
        with pytest.raises(ServiceError) as caught:
            await documents.status(execution_id=handle.id)
        assert failure(caught)[0] == "EXECUTION_NOT_FOUND"


@live
async def test_execution_timeout() -> None:
    desk = Desk()
    async with desk.open() as documents:
        await documents.create("waits", WAITING)
        with pytest.raises(ServiceError) as caught:
            await documents.execute("waits", timeout="10 s")
        assert failure(caught)[0] == "EXECUTION_TIMEOUT"
        assert caught.value.details == {"execution_id": "x-1", "timeout": "10s"}
        assert (await documents.status(execution_id="x-1"))["status"] == "waiting", "it goes on"


@live
async def test_an_execution_that_died_of_its_own_limit() -> None:
    desk = Desk()
    async with desk.open() as documents:
        text = "name: slow\nnodes:\n  - {id: wait, type: docs_wait, timeout: 5s}\n"
        await documents.create(document=text)
        found = await documents.execute("slow")
        assert (found["status"], found["error"]["code"]) == ("failed", "EXECUTION_TIMEOUT")


@live
async def test_queue_full() -> None:
    desk = Desk(capacity=2)
    async with desk.open() as documents:
        await documents.create("waits", WAITING)
        await documents.execute("waits", async_=True)
        await documents.execute("waits", async_=True)
        with pytest.raises(ServiceError) as caught:
            await documents.execute("waits", async_=True)
        assert failure(caught)[0] == "QUEUE_FULL"
        assert caught.value.details["capacity"] == 2
        assert (await documents.execute("waits", async_=True, execution_id="x-1"))["execution_id"] == "x-1"
        await documents.cancel("x-1")
        both = await asyncio.gather(
            *(documents.execute("waits", async_=True) for _ in range(2)), return_exceptions=True
        )
        assert [isinstance(one, ServiceError) for one in both] == [False, True], "one place is one place"


@live
async def test_a_place_in_the_line() -> None:
    desk = Desk()
    async with desk.open() as documents:
        text = "name: one\nlimits: {concurrency: 1}\nnodes:\n  - {id: wait, type: docs_wait}\n"
        await documents.create(document=text)
        found = [await documents.execute("one", async_=True) for _ in range(3)]
        assert [(one["status"], one["queue_position"]) for one in found] == [
            ("running", None),
            ("queued", 1),
            ("queued", 2),
        ]


@live
async def test_a_rate_limit_refuses() -> None:
    desk = Desk()
    async with desk.open() as documents:
        text = "name: one\nlimits: {rateLimit: {limit: 1, period: 1 hour}}\nnodes:\n  - {id: wait, type: docs_wait}\n"
        await documents.create(document=text)
        await documents.execute("one", async_=True)
        with pytest.raises(Refused):
            await documents.execute("one", async_=True)


@live
async def test_insufficient_credits() -> None:
    class Purse:
        def __init__(self) -> None:
            self.left = Decimal(50)
            self.spent: dict[str, Decimal] = {}

        async def charge(self, owner: str, operation: str, reference: str) -> Decimal | None:
            price = {"create": Decimal(20), "execute": Decimal(30)}[operation]
            if reference not in self.spent and price > self.left:
                return price - self.left
            self.left -= Decimal(0) if reference in self.spent else price
            self.spent[reference] = price
            return None

        def used(self, reference: str) -> Decimal:
            return self.spent.get(reference, Decimal(0))

    desk = Desk(credits=Purse())
    async with desk.open() as documents:
        await alpaca(documents)
        await documents.execute(ID)
        assert (await documents.status(ID, include_metrics=True))["metrics"]["credits_used"] == "30"
        with pytest.raises(ServiceError) as caught:
            await documents.execute(ID)
        assert failure(caught)[0] == "INSUFFICIENT_CREDITS"
        assert caught.value.details == {"operation": "execute", "lacking": "30"}
        assert len(desk.live.orders) == 1


# -- restarts -----------------------------------------------------------------------------------------------------


async def _passes(desk: Desk, hour: int) -> None:
    await desk.engine.until(datetime(2020, 1, 1, hour, tzinfo=UTC))
    await desk.engine.emit(Noted())  # the time that has passed is on the tape: a clock does not go back behind it


async def _history(desk: Desk, restart: bool) -> list[Any]:
    """A day of a desk, with a look at everything after each call; and with a crash, if it is said."""
    one_day: list[Callable[[Documents], Awaitable[Any]]] = [
        lambda d: alpaca(d, triggers=NUDGED),
        lambda d: d.execute(ID, {"n": 1}),
        lambda d: d.update(ID, {"steps[1].params.threshold": 0.9}, note="volatile"),
        lambda d: desk.engine.emit(Nudge()),
        lambda d: _passes(desk, 1),
        lambda d: d.update(ID, {"priority": 1}, draft=True),
        lambda d: d.execute(ID, test_mode=True),
        lambda d: d.pause(ID, reason="earnings"),
        lambda d: desk.engine.emit(Nudge()),
        lambda d: d.publish(ID),
        lambda d: d.execute(ID, {"n": 2}, async_=True),
        lambda d: _passes(desk, 2),
        lambda d: d.resume(ID),
        lambda d: d.rollback(ID, 1),
        lambda d: d.agent_assign("x-1"),
        lambda d: d.retire(ID),
    ]
    told: list[Any] = []
    if not restart:
        async with desk.open() as documents:
            for call in one_day:
                await call(documents)
                told.append(await answers(documents))
        return told
    for call in one_day:
        async with desk.open() as documents:
            await call(documents)
        async with desk.open() as documents:
            told.append(await answers(documents))
    return told


def _placeless(value: Any) -> Any:
    """Without positions on the tape: each opening takes one."""
    if isinstance(value, dict):
        return {key: _placeless(inside) for key, inside in value.items() if key != "seq"}
    if isinstance(value, list):
        return [_placeless(inside) for inside in value]
    return re.sub(r"^r\d+", "r", value) if isinstance(value, str) else value


@live
async def test_a_restart_between_any_two_calls_changes_no_answer() -> None:
    agents = {"a-1": Agent("a-1", "analyst", "Ann", ("docs_news",))}
    through = await _history(Desk(agents=agents), restart=False)
    broken = await _history(Desk(agents=agents), restart=True)
    for number, (one, other) in enumerate(zip(through, broken, strict=True)):
        assert _placeless(other) == _placeless(one), f"after call {number}"


# -- opening ------------------------------------------------------------------------------------------------------


@live
async def test_a_type_that_is_gone_keeps_no_engine_from_opening() -> None:
    desk = Desk()
    async with desk.open() as documents:
        await documents.create("waits", WAITING, triggers=NUDGED)
        await alpaca(documents)
        await documents.execute("waits", async_=True)
        await documents.execute(ID)
    desk.library = Library([one for one in LIBRARY if one.name != "docs_wait"])
    async with desk.open() as documents:
        assert [(one.name, one.version) for one in documents.problems] == [("waits", 1)]
        assert "docs_wait" in documents.problems[0].why
        found = await documents.status(execution_id="x-1")
        assert (found["status"], found["steps_total"], found["completed_steps"]) == ("waiting", 2, [])
        assert "not registered" in found["problem"]
        whole = await documents.status("waits")
        assert "docs_wait" in whole["workflow_problem"]
        assert whole["triggers"][0]["status"] == "inactive"
        assert (await documents.execute(ID))["status"] == "completed"
        with pytest.raises(ServiceError) as caught:
            await documents.execute("waits")
        assert failure(caught)[0] == "INVALID_INPUT_DATA"
    desk.library = LIBRARY
    async with desk.open() as documents:
        assert documents.problems == []
        for _ in range(2):
            await desk.engine.emit(Nudge())
            await desk.engine.idle()
        assert (await documents.status(execution_id="x-1"))["status"] == "completed", "its run was only stranded"


@live
async def test_an_older_version_does_not_take_the_triggers_of_one_that_is_broken() -> None:
    desk = Desk()
    async with desk.open() as documents:
        await documents.create("waits", STEPS, triggers=NUDGED)
        await documents.execute("waits", async_=True)
        await documents.publish("waits", document={"name": "waits", "steps": WAITING, "triggers": NUDGED})
    desk.library = Library([one for one in LIBRARY if one.name != "docs_wait"])
    async with desk.open() as documents:
        await desk.engine.emit(Nudge())
        await desk.engine.settled()
        assert (await documents.status(execution_id="x-1"))["status"] == "completed"
        assert (await documents.metrics("waits"))["executions_last_24h"] == 1


@live
async def test_a_dead_execution_of_an_old_version_can_be_redriven() -> None:
    desk = Desk()
    async with desk.open() as documents:
        await alpaca(documents)
        FAILING.add("generate_signals")
        await documents.execute(ID)
        await documents.update(ID, {"priority": 1})
    FAILING.clear()
    async with desk.open() as documents:
        await desk.engine.redrive("x-1")
        await desk.engine.settled()
        found = await documents.status(execution_id="x-1")
        assert (found["status"], found["version"], found["attempt"]) == ("completed", 1, 2)


@live
async def test_what_code_took_meanwhile() -> None:
    """A queue that code works on now: the document keeps no engine from opening, and takes no triggers."""
    desk = Desk()
    async with desk.open() as documents:
        await documents.create("worker", WAITING, triggers=[{"type": "queue", "name": "signals"}])

    @workflow("code", on=Queue("signals"))
    async def code(run: Any, message: Any) -> None: ...

    found = recovered(desk.memory, library=LIBRARY, sources=Sources(), others=[code])
    assert "queue 'signals'" in found.problems[0].why
    async with Engine(desk.memory, workflows=[code, *found.workflows], views=VIEWS, seed=1) as engine:
        documents = Documents(engine, found)
        await documents.open()
        assert (await documents.status("worker"))["triggers"][0]["status"] == "inactive"


def test_a_tape_that_is_not_there_has_no_documents(tmp_path: Any) -> None:
    found = recovered(f"sqlite:///{tmp_path}/none.db", library=LIBRARY, sources=Sources())
    assert (found.workflows, found.problems) == ([], [])


def test_a_tape_of_an_older_schema_has_no_documents(tmp_path: Any) -> None:
    """Whoever opens it next upgrades it: until then it must not stand in the way."""
    path = tmp_path / "old.db"
    connection = apsw.Connection(str(path))
    connection.pragma("application_id", APPLICATION_ID)
    connection.pragma("user_version", 1)
    connection.close()
    assert recovered(f"sqlite:///{path}", library=LIBRARY, sources=Sources()).workflows == []
    path.write_bytes(b"no tape at all" * 100)
    with pytest.raises(TapeCorrupt):
        recovered(f"sqlite:///{path}", library=LIBRARY, sources=Sources())


@live
async def test_a_verb_is_offered_once(tmp_path: Any) -> None:
    async with Engine(f"sqlite:///{tmp_path}/desk.db") as engine:

        async def answer() -> int:
            return 42

        engine.offer({"tests.answer": answer})
        assert await asyncio.to_thread(ask_owner, f"{tmp_path}/desk.db", "tests.answer") == 42
        for verb in ("tests.answer", "status"):
            with pytest.raises(InvalidInput, match="no other verb"):
                engine.offer({verb: answer})


@live
async def test_on_a_file(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/desk.db"
    desk = Desk()
    for number in (1, 2):
        found = recovered(url, library=LIBRARY, sources=Sources({"trader": desk.live}))
        async with Engine(url, workflows=found.workflows, views=VIEWS) as engine:
            documents = Documents(engine, found)
            await documents.open()
            await documents.create("waits", WAITING, triggers=NUDGED)
            await engine.emit(Nudge())
            assert (await documents.metrics("waits"))["executions_last_24h"] == number


@live
async def test_other_processes_ask_over_the_control_socket(tmp_path: Any) -> None:
    tape = f"{tmp_path}/desk.db"
    desk = Desk()

    def ask(verb: str, **arguments: Any) -> Any:
        return ask_owner(tape, f"documents.{verb}", **arguments)

    found = recovered(f"sqlite:///{tape}", library=LIBRARY, sources=Sources({"trader": desk.live}))
    async with Engine(f"sqlite:///{tape}", workflows=found.workflows, views=VIEWS) as engine:
        documents = Documents(engine, found)
        await documents.open()
        assert all(callable(getattr(documents, verb)) for verb in VERBS)
        made = await asyncio.to_thread(ask, "create", name="waits", steps=WAITING)
        told = await asyncio.to_thread(ask, "execute", workflow_id=made["workflow_id"], async_=True)
        assert told["status"] == "running"
        status = await asyncio.to_thread(ask, "status", execution_id=told["execution_id"])
        assert status == await documents.status(execution_id=told["execution_id"])
        with pytest.raises(ServiceError) as caught:
            await asyncio.to_thread(ask, "execute", workflow_id="nothing")
        assert failure(caught)[0] == "WORKFLOW_NOT_FOUND"


@live
async def test_executions_are_found_by_an_index() -> None:
    from tickwork.service.documents.history import _OF

    async with Engine(Memory(), views=VIEWS) as engine:
        for sql in (f"SELECT seq {_OF} AND seq<? ORDER BY seq DESC LIMIT 5", f"SELECT count(*) {_OF}"):
            values = ("doc/x", 5) if "LIMIT" in sql else ("doc/x",)
            (plan,) = engine.queries.reader.rows(f"EXPLAIN QUERY PLAN {sql}", values)
            assert "runs_document" in plan[3]
            assert "TEMP B-TREE" not in plan[3]
