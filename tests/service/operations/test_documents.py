"""Workflows that are documents, by their operations: the tools' names and answers, versions, owners, bounded waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.engine.support import live
from tests.service.desk_of_documents import FAILING, STEPS, WAITING, Desk
from tests.service.operations.calling import HERE, Calls, failure, law, owned
from tickwork.errors import Forbidden, InvalidInput, NotFound, NotRunning, ServiceError
from tickwork.service.api.here import Service, told
from tickwork.service.api.operation import CATALOGUE
from tickwork.service.api.problems import NotServed, VersionConflict
from tickwork.service.api.there import Remote
from tickwork.service.documents import Agent
from tickwork.service.operations import documents

ANN, BOB = owned("ann"), owned("bob")
AGENT = Agent("a-1", "analyst", "Ada", ("docs_news", "docs_signal"))

TOOLS = {
    "workflow_create": "success workflow_id name description status priority using_new_system features",
    "workflow_execute": "status success started_at workflow_id execution_id workflow_name",
    "workflow_status": "workflow_id execution_id status progress current_step completed_steps pending_steps triggers "
    "metrics",
    "workflow_list": "workflows total_count has_more",
    "workflow_agent_assign": "task_id assigned_agent match_score alternatives",
    "workflow_queue_status": "queues total_messages processing_rate system_health throughput_per_minute",
    "workflow_audit_trail": "execution_id events total_events execution_summary",
    "workflow_update": "success workflow_id version changes",
}
"""Seed programs call these tools and read these fields."""


class Served:
    """Calls over a desk of documents."""

    def __init__(self, desk: Desk, service: Service) -> None:
        self.desk = desk
        self.engine = desk.engine
        self.service = service

    async def __call__(self, name: str, /, who: Any = HERE, key: str = "", **given: Any) -> Any:
        return (await self.service.call(name, given, who, key)).value

    async def tool(self, tool: str, /, **given: Any) -> Any:
        """The same by the name of the tool."""
        (name,) = [name for name, one in CATALOGUE.items() if one.tool == tool]
        return await self(name, **given)


@asynccontextmanager
async def desk() -> AsyncIterator[Served]:
    """A desk with one agent."""
    made = Desk(agents={AGENT.id: AGENT})
    async with made.open():
        service = Service(made.engine)
        service.open()
        yield Served(made, service)
        service.close()


@live
async def test_the_tools_answer_what_the_programs_read() -> None:
    async with desk() as call:
        created = await call.tool("workflow_create", name="news", steps=STEPS, description="d", priority=7)
        assert (created["status"], created["priority"], created["description"]) == ("active", 7, "d")
        id = created["workflow_id"]
        given: dict[str, dict[str, Any]] = {
            "workflow_create": {"name": "news", "steps": STEPS, "description": "d", "priority": 7},
            "workflow_execute": {"workflow_id": id, "input_data": {"test_mode": True}, "async": True},
            "workflow_status": {"workflow_id": id, "include_metrics": True},
            "workflow_list": {"limit": 10, "offset": 0},
            "workflow_agent_assign": {"task_id": f"{id}/analyze_news", "use_vector_similarity": True},
            "workflow_queue_status": {"include_messages": True},
            "workflow_audit_trail": {"workflow_id": id, "limit": 50},
            "workflow_update": {"workflow_id": id, "updates": {"steps[1].params.threshold": 0.9}},
        }
        for tool, fields in TOOLS.items():
            found = await call.tool(tool, **given[tool])
            assert {*fields.split()} <= found.keys(), (tool, {*fields.split()} - found.keys())
        assert (await call.tool("workflow_execute", **given["workflow_execute"]))["status"] == "running"
        lines = (await call("workflows.list"))["workflows"]
        wanted = {
            "id",
            "name",
            "description",
            "status",
            "executions_count",
            "last_executed",
            "success_rate",
            "average_duration",
        }
        assert all(wanted <= line.keys() for line in lines)  # fmt: skip
        assert (await call("agents.list"))["agents"][0]["id"] == "a-1"
        assert (await call("agents.list", agent_type="trader"))["total_count"] == 0


@live
async def test_a_workflow_from_draft_to_retirement() -> None:
    async with desk() as call:
        made = await call("workflows.create", name="news", steps=STEPS, draft=True)
        assert made["status"] == "created"
        assert (await call("workflows.publish", workflow_id="news"))["status"] == "published"
        first = await call("workflows.show", workflow_id="news")
        assert (first["workflow_version"], first["document"]["name"]) == (1, "news")
        changed = await call(
            "workflows.update", workflow_id="news", updates={"steps[1].params.threshold": 0.9}, version=1
        )
        assert changed["version"] == 2
        await call("workflows.rollback", workflow_id="news", version=1)
        versions = [one["version"] for one in (await call("workflows.versions", workflow_id="news"))["versions"]]
        assert versions == [3, 2, 1]
        one = await call("workflows.versions", workflow_id="news", limit=1)
        rest = await call("workflows.versions", workflow_id="news", limit=5, before=one["versions"][-1]["version"])
        assert [found["version"] for found in rest["versions"]] == [2, 1]
        assert (await call("workflows.diff", workflow_id="news", old=1, new=2))["equal"] is False
        assert "docs_news" in (await call("workflows.export", workflow_id="news", format="yaml"))["document"]
        assert (await call("workflows.pause", workflow_id="news", reason="r"))["status"] == "paused"
        assert (await call("workflows.resume", workflow_id="news"))["status"] == "active"
        assert (await call("workflows.retire", workflow_id="news"))["status"] == "cancelled"
        assert (await call("workflows.list"))["workflows"] == []
        versions_told = (await call("workflows.versions", workflow_id="news"))["versions"]
        assert {found["author"] for found in versions_told} == {"http"}, "who did it is told"


@live
async def test_a_change_to_a_version_that_is_no_longer_the_one() -> None:
    async with desk() as call:
        await call("workflows.create", name="news", steps=STEPS)
        update: dict[str, Any] = {"workflow_id": "news", "updates": {"steps[1].params.threshold": 0.9}}
        await call("workflows.update", **update, version=1)
        changes: list[tuple[str, dict[str, Any]]] = [
            ("workflows.update", {**update, "version": 1}),
            (
                "workflows.publish",
                {"workflow_id": "news", "expect_version": 1, "document": {"name": "news", "steps": STEPS}},
            ),
        ]
        for name, fields in changes:
            problem = told(await failure(call(name, **fields), VersionConflict))
            assert problem is not None
            assert (problem.code, problem.status, problem.more) == ("version-conflict", 412, {"asked": 1, "current": 2})
        assert (await call("workflows.show", workflow_id="news"))["workflow_version"] == 2
        problems = await failure(call("workflows.update", workflow_id="news", updates={"steps[9].x": 1}), ServiceError)
        assert isinstance(problems, ServiceError)
        assert problems.code == "INVALID_INPUT_DATA"


@live
async def test_an_execution_is_waited_for_only_so_long() -> None:
    async with desk() as call:
        await call("workflows.create", name="slow", steps=WAITING)
        await call("workflows.create", name="news", steps=STEPS)
        found = await call("workflows.execute", workflow_id="slow", wait_seconds=0.01)
        assert (found["status"], found["success"]) == ("running", True)
        ended = await call("workflows.execute", workflow_id="news", wait_seconds=30)
        assert (ended["status"], ended["success"]) == ("completed", True)
        FAILING.add("generate_signals")
        failed = await call("workflows.execute", workflow_id="news", wait_seconds=30)
        assert (failed["status"], failed["success"]) == ("failed", False)
        await failure(call("workflows.execute", workflow_id="news", wait_seconds=3_600), InvalidInput)
        events = (await call("workflows.events", execution_id=ended["execution_id"], limit=2))["events"]
        assert [one["sequence"] for one in events] == [1, 2]
        await call("workflows.pause", workflow_id="slow", execution_id=found["execution_id"])
        status = await call("workflows.status", execution_id=found["execution_id"])
        assert status["status"] == "paused"
        await failure(call("workflows.pause", workflow_id="news", execution_id=found["execution_id"]), ServiceError)
        await call("workflows.resume", workflow_id="slow", execution_id=found["execution_id"])
        assert (await call("workflows.cancel", execution_id=found["execution_id"]))["status"] == "cancelled"


@live
async def test_a_key_makes_one_execution_also_where_the_answer_was_lost() -> None:
    async with desk() as call:
        await call("workflows.create", name="slow", steps=WAITING)
        given: dict[str, Any] = {"workflow_id": "slow", "async": True}
        found = await call("workflows.execute", HERE, "k", **given)
        assert (await call("workflows.execute", HERE, "k", **given))["execution_id"] == found["execution_id"]
        operation = CATALOGUE["workflows.execute"]
        again = await call.service._answered(operation, operation.parse(given), HERE, "k")
        assert again["execution_id"] == found["execution_id"]
        assert (await call("workflows.list"))["workflows"][0]["executions_count"] == 1


@live
async def test_what_is_wrong_with_a_document_without_keeping_it() -> None:
    async with desk() as call:
        good: dict[str, Any] = {
            "document": {"name": "d", "nodes": [{"id": "a", "type": "number", "params": {"value": 1}}]}
        }
        bad: dict[str, Any] = {
            "document": {"name": "d", "nodes": [{"id": "a", "type": "nowhere"}, {"id": "a", "type": "nowhere"}]}
        }
        seq = call.engine.status()["seq"]
        found = await call("workflows.validate", **bad)
        assert (found["valid"], len(found["errors"]) >= 2) == (False, True)
        assert "nodes" in found["errors"][0]["path"]
        text = await call("workflows.validate", document="name: d\nnodes: []\n")
        assert text["valid"] is False
        await failure(call("workflows.validate", document="[1, 2]"), InvalidInput)
        await failure(call("workflows.validate", document="name: [", format="auto"), InvalidInput)
        await call("workflows.validate", **good)
        assert call.engine.status()["seq"] == seq, "nothing is written"


def test_to_check_a_document_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check(call: Calls) -> None:
        begun, goes_on = threading.Event(), threading.Event()

        def slow(*_: object) -> Any:
            begun.set()
            assert goes_on.wait(20)
            return {"valid": True}

        monkeypatch.setattr(documents, "checked_document", slow)
        checking = asyncio.ensure_future(call("workflows.validate", document="name: d"))
        await asyncio.to_thread(begun.wait, 20)
        assert not checking.done()
        await call("system.operations")  # the loop turns
        goes_on.set()
        assert (await checking)["valid"]

    law(check, tmp_path / "t.db")


# ----------------------------------------------------------------------------------------------------------- isolation

NEWS = {"workflow_id": "news"}
OTHERS: dict[str, dict[str, Any]] = {
    "workflows.show": NEWS,
    "workflows.status": NEWS,
    "workflows.update": {**NEWS, "updates": {"steps[1].params.threshold": 0.9}},
    "workflows.publish": NEWS,
    "workflows.rollback": {**NEWS, "version": 1},
    "workflows.retire": NEWS,
    "workflows.versions": NEWS,
    "workflows.diff": NEWS,
    "workflows.export": NEWS,
    "workflows.audit_trail": NEWS,
    "workflows.metrics": NEWS,
    "workflows.execute": NEWS,
    "workflows.pause": NEWS,
    "workflows.resume": NEWS,
    "workflows.cancel": {"execution_id": "x"},
    "workflows.events": {"execution_id": "x"},
    "workflows.agent_assign": {"task_id": "news"},
}
LISTS = {"workflows.create", "workflows.list", "workflows.queue_status", "workflows.validate"}


def test_every_operation_that_heeds_owners_is_here() -> None:
    of_documents = {name for name, one in CATALOGUE.items() if name.startswith("workflows.") and one.owned}
    assert of_documents == OTHERS.keys() | LISTS


@live
async def test_another_owners_workflow_is_one_that_is_not_there() -> None:
    async with desk() as call:
        await call("workflows.create", ANN, name="news", steps=STEPS)
        await call("workflows.execute", ANN, workflow_id="news", execution_id="x", wait_seconds=5)
        before = await call("workflows.show", ANN, workflow_id="news")
        for name, given in OTHERS.items():
            error = await failure(call(name, BOB, **given), ServiceError)
            assert isinstance(error, ServiceError)
            assert error.code.endswith("NOT_FOUND"), name
            await failure(call(name, BOB, **given, owner="ann"), Forbidden)
        assert (await call("workflows.list", BOB))["workflows"] == []
        await call("workflows.create", BOB, name="news", steps=WAITING)  # names are each owner's own
        assert await call("workflows.show", ANN, workflow_id="news") == before
        assert await call("workflows.show", HERE, workflow_id="news", owner="ann") == before
        assert (await call("workflows.list"))["workflows"] == [], "nobody's workflows are others than ann's"


@live
async def test_large_results_are_previews() -> None:
    async with desk() as call:
        symbols = [f"SYM{n:06}" for n in range(2_000)]
        steps = [{"name": "n", "type": "docs_news", "params": {"symbols": symbols}}]
        await call("workflows.create", name="big", steps=steps)
        shown = await call("workflows.show", workflow_id="big")
        assert set(shown["document"]) == {"preview", "size", "href"}
        id = shown["workflow_id"]
        assert shown["document"]["href"] == f"/api/v1/workflows/{id}/export?version=1"
        assert (
            len(
                (await call("workflows.export", workflow_id=id, version=1))["document"]["nodes"][0]["params"]["symbols"]
            )
            == 2_000
        )


@live
async def test_a_preview_of_what_a_node_gave_leads_to_its_run() -> None:
    async with desk() as call:
        steps = [{"name": "w", "type": "docs_large"}]
        for who, owner in ((HERE, ""), (ANN, "ann")):
            await call("workflows.create", who, name="large", steps=steps)
            done = await call("workflows.execute", who, workflow_id="large", wait_seconds=5)
            (step,) = done["steps"]
            assert step["result"]["size"] > 9_000
            run = unquote(step["result"]["href"].split("/")[4])
            assert (await call("runs.show", who, run=run))["owner"] == owner
            trail = await call("workflows.audit_trail", who, workflow_id="large")
            assert any("href" in str(event) for event in trail["events"])


# ------------------------------------------------------------------------------------------------- where nobody has any


def test_a_process_without_documents_says_so(tmp_path: Path) -> None:
    async def check(calls: Calls) -> None:
        for name, given in {**OTHERS, "agents.list": {}}.items():
            for call in (calls, calls.from_elsewhere):
                problem = told(await failure(call(name, **given), NotServed))
                assert problem is not None
                assert (problem.code, "workflow documents" in problem.detail) == ("not-running", True)

    law(check, tmp_path / "t.db")


def test_without_an_owner_of_the_tape(tmp_path: Path) -> None:
    async def nothing(calls: Calls) -> None:
        await calls("workflows.code")

    law(nothing, tmp_path / "t.db")

    async def check() -> None:
        remote = Remote(str(tmp_path / "t.db"))
        await failure(remote.call("workflows.list", {}, HERE), NotRunning)
        await failure(remote.call("runs.show", {"run": "x"}, HERE), NotFound)
        assert (await remote.call("runs.list", {}, HERE)).value == {"items": [], "next": None}
        assert (await remote.call("breakers.list", {}, HERE)).value["items"] == []
        remote.close()

    asyncio.run(check())


def test_workflows_in_python(tmp_path: Path) -> None:
    async def check(calls: Calls) -> None:
        for n in range(3):
            await calls("events.publish", name="ops/ping", payload={"n": n})
        await calls.engine.idle()
        found = {one["name"]: one for one in (await calls("workflows.code"))["items"]}
        assert found == {one["name"]: one for one in (await calls.from_elsewhere("workflows.code"))["items"]}
        assert (found["hears"]["triggers"], found["hears"]["recent"]) == (["ops/ping"], {"done": 3})
        assert (found["hears"]["successRate"], found["waits"]["successRate"]) == (1.0, None)
        assert found["hears"]["description"] == "Hears a ping, and tells of it."

    law(check, tmp_path / "t.db")


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_what_is_asked_for_is_told(name: str) -> None:
    assert CATALOGUE[name].examples
