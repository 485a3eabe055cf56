"""Workflows that are documents: created, changed, executed and watched, as the step lists' programs do it.

Names and answers of the tools are theirs, so what is answered here keeps its snake_case names. Everything belongs to an
owner: another owner's workflow is one that is not there.
"""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

from tickwork.errors import Forbidden, NotFound, ServiceError
from tickwork.service.api.operation import Call, Page, command, query
from tickwork.service.api.problems import NotServed, VersionConflict
from tickwork.service.document_checks import Checked, checked_document
from tickwork.service.documents.coded import EXECUTION_TIMEOUT, INVALID_INPUT_DATA
from tickwork.service.documents.ids import run_id
from tickwork.service.operations.asking import by, check_id_of_run, id_of
from tickwork.service.operations.document_args import (
    AgentAssign,
    AuditTrail,
    CodeList,
    ExecutionCancel,
    ExecutionEvents,
    OneWorkflow,
    Owned,
    QueueStatus,
    WorkflowCreate,
    WorkflowDiff,
    WorkflowExecute,
    WorkflowExport,
    WorkflowPause,
    WorkflowPublish,
    WorkflowResume,
    WorkflowRetire,
    WorkflowRollback,
    WorkflowsList,
    WorkflowStatus,
    WorkflowUpdate,
    WorkflowValidate,
    WorkflowVersions,
)
from tickwork.service.previews import bounded
from tickwork.service.workflows import WorkflowLine, workflow_lines

Json = dict[str, Any]

_CHECKING: Final = ThreadPoolExecutor(1, thread_name_prefix="tickwork-check")

# -------------------------------------------------------------------------------------------------- created and changed


@command(
    "workflows.create", "POST /workflows", tool="workflow_create", scope="trade", defines=True, owned=True, status=201,
    examples=({"name": "news-trader", "steps": [{"name": "wait", "type": "wait", "params": {"duration": "1s"}}]},),
)  # fmt: skip
async def workflows_create(call: Call, args: WorkflowCreate) -> Json:
    """Create a workflow of steps, or of a document in any format. An equal one of its name is left as it is."""
    given = args.model_dump(exclude={"owner"}, exclude_none=True)
    return await ask(call, "create", args, **given, author=by(call))


@command(
    "workflows.update", "PATCH /workflows/{workflow_id}", verb="graph update", tool="workflow_update", scope="trade",
    defines=True, owned=True, if_match="version",
    examples=({"workflow_id": "news-trader", "updates": {"steps[0].params.duration": "2 seconds"}, "version": 1},),
)  # fmt: skip
async def workflows_update(call: Call, args: WorkflowUpdate) -> Json:
    """Change a workflow by paths: a new version, told with what it changed."""
    return await ask(
        call, "update", args, workflow_id=args.workflow_id, updates=args.updates, expect_version=args.version,
        draft=args.draft, note=args.note, author=by(call),
    )  # fmt: skip


@command(
    "workflows.publish", "POST /workflows/{workflow_id}/publish", verb="graph publish", tool="workflow_publish",
    scope="trade", defines=True, owned=True, if_match="expect_version", examples=({"workflow_id": "news-trader"},),
)  # fmt: skip
async def workflows_publish(call: Call, args: WorkflowPublish) -> Json:
    """Publish the newest draft, an older version once more, or a whole new document."""
    given = args.model_dump(exclude={"owner"}, exclude_none=True)
    return await ask(call, "publish", args, **given, author=by(call))


@command(
    "workflows.rollback", "POST /workflows/{workflow_id}/rollback", verb="graph rollback", tool="workflow_rollback",
    scope="trade", defines=True, owned=True,
    examples=({"workflow_id": "news-trader", "version": 1},),
)  # fmt: skip
async def workflows_rollback(call: Call, args: WorkflowRollback) -> Json:
    """Make a new version equal to an old one; executions under way keep theirs."""
    given = {"workflow_id": args.workflow_id, "version": args.version, "note": args.note}
    return await ask(call, "rollback", args, **given, author=by(call))


@command(
    "workflows.retire", "POST /workflows/{workflow_id}/retire", tool="workflow_retire", owned=True,
    examples=({"workflow_id": "news-trader"},),
)  # fmt: skip
async def workflows_retire(call: Call, args: WorkflowRetire) -> Json:
    """Take a workflow out of use until it is published again; its executions go on, its versions are kept."""
    return await ask(call, "retire", args, workflow_id=args.workflow_id, reason=args.reason, author=by(call))


@command(
    "workflows.validate", "POST /workflows/validate", verb="graph validate", tool="workflow_validate", scope="read",
    owned=True, recorded=False, examples=({"document": {"name": "empty", "nodes": []}},),
)  # fmt: skip
async def workflows_validate(call: Call, args: WorkflowValidate) -> Checked:
    """Check a document without keeping it: everything that is wrong with it, at once."""
    # to read a large text takes a second, in which the loop must go on: one at a time, beside it
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_CHECKING, checked_document, args.document, args.name, args.format)


# ------------------------------------------------------------------------------------------------------------ looked at


@query("workflows.list", "GET /workflows", tool="workflow_list", owned=True, examples=({"limit": 10},))
async def workflows_list(call: Call, args: WorkflowsList) -> Json:
    """Workflows by name, with how often and how well they were executed."""
    return await ask(call, "list", args, limit=args.limit, offset=args.offset, status=args.status)


@query(
    "workflows.show", "GET /workflows/{workflow_id}", tool="workflow_show", owned=True, etag="workflow_version",
    examples=({"workflow_id": "news-trader"},),
)  # fmt: skip
async def workflows_show(call: Call, args: OneWorkflow) -> Json:
    """A workflow: how it stands, and the document of the version in use."""
    found = await ask(call, "status", args, workflow_id=args.workflow_id)
    export = await ask(call, "export", args, workflow_id=args.workflow_id, version=found["workflow_version"])
    href = f"/api/v1/workflows/{found['workflow_id']}/export?version={export['version']}"
    document = bounded(export["document"], href)
    return _bounded(call, args, found) | {"checksum": export["checksum"], "document": document}


@query(
    "workflows.status", "GET /workflows/status", tool="workflow_status", owned=True,
    examples=({"workflow_id": "news-trader", "include_metrics": True},),
)  # fmt: skip
async def workflows_status(call: Call, args: WorkflowStatus) -> Json:
    """How a workflow or an execution stands, with its progress from 0 to 100 and its steps."""
    given = args.model_dump(exclude={"owner"}, exclude_none=True)
    return _bounded(call, args, await ask(call, "status", args, **given))


@query(
    "workflows.versions", "GET /workflows/{workflow_id}/versions", verb="graph versions", tool="workflow_versions",
    owned=True,
    examples=({"workflow_id": "news-trader"},),
)  # fmt: skip
async def workflows_versions(call: Call, args: WorkflowVersions) -> Json:
    """A workflow's versions, newest first."""
    return await ask(call, "versions", args, workflow_id=args.workflow_id, limit=args.limit, before=args.before)


@query(
    "workflows.diff", "GET /workflows/{workflow_id}/diff", verb="graph diff", tool="workflow_diff", owned=True,
    examples=({"workflow_id": "news-trader"},),
)  # fmt: skip
async def workflows_diff(call: Call, args: WorkflowDiff) -> Json:
    """What two versions differ in; by default what the newest changed."""
    return await ask(call, "diff", args, workflow_id=args.workflow_id, old=args.old, new=args.new)


@query(
    "workflows.export", "GET /workflows/{workflow_id}/export", verb="graph export", tool="workflow_export", owned=True,
    etag="version", examples=({"workflow_id": "news-trader", "format": "yaml"},),
)  # fmt: skip
async def workflows_export(call: Call, args: WorkflowExport) -> Json:
    """A version of a workflow as a document, in one of several forms."""
    given = {"workflow_id": args.workflow_id, "format": args.format, "version": args.version}
    return await ask(call, "export", args, **given)


@query(
    "workflows.audit_trail", "GET /workflows/{workflow_id}/audit-trail", verb="graph trace",
    tool="workflow_audit_trail", owned=True,
    examples=({"workflow_id": "news-trader", "limit": 50},),
)  # fmt: skip
async def workflows_audit_trail(call: Call, args: AuditTrail) -> Json:
    """What happened in a workflow's executions, and what was done to it, oldest first."""
    since = None if args.start_time is None else args.start_time.isoformat()
    given = {"workflow_id": args.workflow_id, "limit": args.limit, "start_time": since}
    return _bounded(call, args, await ask(call, "audit_trail", args, **given, execution_id=args.execution_id))


@query(
    "workflows.metrics", "GET /workflows/{workflow_id}/metrics", tool="workflow_metrics", owned=True,
    examples=({"workflow_id": "news-trader"},),
)  # fmt: skip
async def workflows_metrics(call: Call, args: OneWorkflow) -> Json:
    """Figures of a workflow's last 24 hours, also of each step."""
    return await ask(call, "metrics", args, workflow_id=args.workflow_id)


@query(
    "workflows.queue_status", "GET /workflows/queue-status", tool="workflow_queue_status", owned=True,
    examples=({"include_messages": True},),
)  # fmt: skip
async def workflows_queue_status(call: Call, args: QueueStatus) -> Json:
    """How the queues of workflows stand."""
    return await ask(call, "queue_status", args, queue_name=args.queue_name, include_messages=args.include_messages)


@query("workflows.code", "GET /workflows/code", owned=False)
async def workflows_code(call: Call, args: CodeList) -> Page[WorkflowLine]:
    """The workflows in Python that run here: versions, triggers, and what became of their last runs."""
    known = await call.ask("workflows")
    return Page(items=await call.read(lambda queries: workflow_lines(queries, known)))


# ------------------------------------------------------------------------------------------------------------- executed


@command(
    "workflows.execute", "POST /workflows/{workflow_id}/execute", verb="graph run", tool="workflow_execute", owned=True,
    examples=({"workflow_id": "news-trader", "input_data": {"test_mode": True}, "async": True},),
)  # fmt: skip
async def workflows_execute(call: Call, args: WorkflowExecute) -> Json:
    """Execute a workflow, and wait for its end for a while, or not at all (`async`).

    In test mode it trades on the paper account, whatever the mode is.
    """
    if args.execution_id is not None:
        check_id_of_run(args.execution_id, "executionId")
    id = args.execution_id or id_of(call, "execution") or str(uuid4())
    given = {
        "workflow_id": args.workflow_id, "input_data": args.input_data, "test_mode": args.test_mode,
        "version": args.version, "execution_id": id,
    }  # fmt: skip
    waits = not args.async_ and args.wait_seconds > 0
    timeout = f"{max(args.wait_seconds, 0.001):g} s"
    try:
        return _bounded(call, args, await ask(call, "execute", args, **given, async_=not waits, timeout=timeout))
    except ServiceError as error:
        if error.code != EXECUTION_TIMEOUT:
            raise
    report = await ask(call, "status", args, execution_id=id)
    # one that goes on is running for whoever asked for it, whatever it waits for
    status = "running" if report["status"] in ("starting", "waiting") else report["status"]
    return _bounded(call, args, {**report, "status": status, "success": status not in ("failed", "cancelled")})


@command(
    "workflows.pause", "POST /workflows/{workflow_id}/pause", tool="workflow_pause", owned=True,
    examples=({"workflow_id": "news-trader"},),
)  # fmt: skip
async def workflows_pause(call: Call, args: WorkflowPause) -> Json:
    """Let a workflow rest: its triggers start nothing, its executions go on; or let one execution rest."""
    given = {"workflow_id": args.workflow_id, "execution_id": args.execution_id, "reason": args.reason}
    return _bounded(call, args, await ask(call, "pause", args, **given, author=by(call)))


@command(
    "workflows.resume", "POST /workflows/{workflow_id}/resume", tool="workflow_resume", owned=True,
    examples=({"workflow_id": "news-trader"},),
)  # fmt: skip
async def workflows_resume(call: Call, args: WorkflowResume) -> Json:
    """Let a workflow, or one execution, that was paused go on."""
    given = {"workflow_id": args.workflow_id, "execution_id": args.execution_id}
    return _bounded(call, args, await ask(call, "resume", args, **given, author=by(call)))


@command(
    "workflows.cancel", "POST /executions/{execution_id}/cancel", tool="workflow_cancel", owned=True,
    examples=({"execution_id": "068487ca-a19d-43c0-bee1-df64c5fb6e9d"},),
)  # fmt: skip
async def workflows_cancel(call: Call, args: ExecutionCancel) -> Json:
    """Cancel an execution; what it did and can take back is taken back."""
    return _bounded(call, args, await ask(call, "cancel", args, execution_id=args.execution_id, reason=args.reason))


@query(
    "workflows.events", "GET /executions/{execution_id}/events", verb="graph trace", tool="workflow_events", owned=True,
    examples=({"execution_id": "068487ca-a19d-43c0-bee1-df64c5fb6e9d"},),
)  # fmt: skip
async def workflows_events(call: Call, args: ExecutionEvents) -> Json:
    """What happened in an execution, in order, after a sequence."""
    given = {"execution_id": args.execution_id, "after": args.after, "limit": args.limit}
    return _bounded(call, args, await ask(call, "events", args, **given))


@command(
    "workflows.agent_assign", "POST /workflows/agent-assign", tool="workflow_agent_assign", owned=True,
    examples=({"task_id": "news-trader/analyze_news"},),
)  # fmt: skip
async def workflows_agent_assign(call: Call, args: AgentAssign) -> Json:
    """Assign the agent that suits a task best: a workflow, an execution, or a step of one."""
    given = args.model_dump(exclude={"owner"}, exclude_none=True)
    return await ask(call, "agent_assign", args, **given)


# ------------------------------------------------------------------------------------------------------------ how asked


async def ask(call: Call, verb: str, args: Owned, **given: Any) -> Json:
    """What the surface of documents answers, for the owner that is meant.

    Raises:
        Forbidden: another's were asked for. NotServed: who owns the tape has no documents.
        VersionConflict: the version is not the one that the caller knows. ServiceError: what it answers.
    """
    owner = call.owner if args.owner is None else args.owner
    if call.caller.owner is not None and owner != call.caller.owner:
        raise Forbidden(f"workflows of {owner!r}", call.caller.name, "a caller that is bound to no owner")
    try:
        return await ask_documents(call, verb, **given, owner=owner)
    except ServiceError as error:
        if error.code == INVALID_INPUT_DATA and "version" in error.details:
            asked, current = given.get("expect_version"), error.details["version"]
            raise VersionConflict(str(given["workflow_id"]), asked, current) from None
        raise


async def ask_documents(call: Call, verb: str, **given: Any) -> Json:
    """What the surface of documents answers.

    Raises:
        NotServed: who owns the tape has no documents. ServiceError: what it answers.
    """
    try:
        found: Json = await call.ask(f"documents.{verb}", **given)
    except NotFound as error:
        if error.path != "verb":
            raise
        raise NotServed("workflow documents") from None
    return found


_LARGE: Final = frozenset({"result", "output", "outputs", "results"})
"""Fields of answers that hold what nodes gave."""

_OURS: Final = re.compile(r"r\d+")
"""Ids that the engine makes."""


def _bounded(call: Call, args: Owned, told: Json) -> Json:
    """An answer with previews of what is large in it, which lead to its execution's run."""
    owner = call.owner if args.owner is None else args.owner
    return {name: _shorter(name, value, owner, str(told.get("execution_id"))) for name, value in told.items()}


def _shorter(name: str, value: Any, owner: str, execution: str) -> Any:
    if name in _LARGE:
        run = execution if _OURS.fullmatch(execution) else run_id(owner, execution)
        return bounded(value, f"/api/v1/runs/{quote(run, safe='')}/steps")
    if name in ("steps", "events") and isinstance(value, list):
        rows = [(row.get("execution_id") or execution, row) for row in value]
        return [{key: _shorter(key, one, owner, of) for key, one in row.items()} for of, row in rows]
    return value
