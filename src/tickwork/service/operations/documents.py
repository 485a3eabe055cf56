"""Workflows that are documents: created, changed, executed and watched, as the step lists' programs do it.

Names and answers of the tools are theirs, so what is answered here keeps its snake_case names. Everything belongs to an
owner: another owner's workflow is one that is not there.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote
from uuid import uuid4

from pydantic import AwareDatetime, Field

from tickwork.errors import Forbidden, NotFound, ServiceError
from tickwork.graph.importers import AUTO, FORMATS
from tickwork.service.api.operation import Args, Call, Limit, Page, command, query
from tickwork.service.api.problems import NotServed, VersionConflict
from tickwork.service.document_checks import Checked, checked_document
from tickwork.service.documents.coded import EXECUTION_TIMEOUT, INVALID_INPUT_DATA
from tickwork.service.documents.ids import run_id
from tickwork.service.operations.asking import by, id_of
from tickwork.service.previews import bounded
from tickwork.service.workflows import WorkflowLine, workflow_lines

Json = dict[str, Any]

DOCUMENTS_MAX: Final = 100
WAIT_MAX: Final = 50
"""Seconds that an answer may take: less than whoever asks over the control socket waits."""

Format = Annotated[
    str, Field(max_length=40, description=f"What the document is written in: {AUTO}, {', '.join(FORMATS)}.")
]
Note = Annotated[str, Field(max_length=1_000, description="Why; recorded.")]
Text = Annotated[str, Field(max_length=1_000_000)]
Version = Annotated[int, Field(ge=1, lt=1 << 31)]
Known = Annotated[
    int | None,
    Field(ge=0, lt=1 << 31, description="The version that you know: if it was changed meanwhile, nothing is done."),
]


class Owned(Args):
    """Whose workflows."""

    owner: str | None = Field(
        None, max_length=200, description="Whose workflows; by default your own, and where you have none, nobody's."
    )


class OneWorkflow(Owned):
    """Which workflow."""

    workflow_id: str = Field(min_length=1, max_length=500, description="The id of a workflow, or its name.")


class OneExecution(Owned):
    """Which execution."""

    execution_id: str = Field(min_length=1, max_length=200, description="The id of an execution.")


class WorkflowCreate(Owned):
    """A workflow: its steps, or a document in any format."""

    name: str = Field("", max_length=300, description="The workflow's name; a document may hold it.")
    steps: list[Any] | None = Field(None, max_length=1_000, description="Its steps: names, or objects with a type.")
    description: str | None = Field(None, max_length=10_000, description="What it does, for people.")
    triggers: list[Any] | None = Field(None, max_length=1_000, description="What starts it.")
    priority: int | None = Field(None, ge=0, le=10, description="0 to 10; by default 5.")
    metadata: dict[str, Any] | None = Field(None, description="Whatever you want to keep with it.")
    document: dict[str, Any] | Text | None = Field(
        None, description="Instead of steps: a whole document, as an object or as a text of JSON or YAML."
    )
    format: Format = AUTO
    draft: bool = Field(False, description="It takes no triggers, and runs in test mode only, until it is published.")
    note: Note = ""


class WorkflowsList(Owned):
    """Which workflows."""

    limit: int = Field(10, ge=1, le=DOCUMENTS_MAX, description="How many at most.")
    offset: int = Field(0, ge=0, lt=1 << 31, description="How many to leave out first.")
    status: Literal["created", "active", "paused", "cancelled"] | None = Field(
        None, description="Only these; by default all but those that are retired (`cancelled`)."
    )


class WorkflowStatus(Owned):
    """Which workflow or execution; without either, what was executed last."""

    workflow_id: str | None = Field(None, max_length=500, description="The id of a workflow, or its name.")
    execution_id: str | None = Field(None, max_length=200, description="The id of an execution.")
    include_metrics: bool = Field(False, description="With figures of the last 24 hours.")


class WorkflowUpdate(OneWorkflow):
    """What to change."""

    updates: dict[str, Any] = Field(
        min_length=1, description="Paths and their new values, such as steps[2].params.threshold."
    )
    version: Known = None
    draft: bool = Field(False, description="Make a draft of it, which is published later.")
    note: Note = ""


class WorkflowPublish(OneWorkflow):
    """What to publish: the newest draft, a version, or a document."""

    version: Version | None = Field(None, description="Which version; by default the newest draft.")
    document: dict[str, Any] | Text | None = Field(None, description="A whole new document instead.")
    format: Format = AUTO
    draft: bool = Field(False, description="Keep the document as a draft.")
    expect_version: Known = None
    note: Note = ""


class WorkflowVersions(OneWorkflow):
    """Which versions."""

    limit: int = Field(50, ge=1, le=100, description="How many at most.")
    before: Version | None = Field(None, description="Only versions older than this.")


class WorkflowDiff(OneWorkflow):
    """Which versions to compare."""

    old: Version | None = Field(None, description="By default the one that the new one was made from.")
    new: Version | None = Field(None, description="By default the newest.")


class WorkflowRollback(OneWorkflow):
    """Which version to go back to."""

    version: Version = Field(description="The version that is to be in use again.")
    note: Note = ""


class WorkflowExport(OneWorkflow):
    """Which version, in which form."""

    format: Literal["canonical", "react", "json", "yaml", "python"] = Field(
        "canonical", description="The form to have it in."
    )
    version: Version | None = Field(None, description="By default the one in use.")


class WorkflowExecute(OneWorkflow):
    """What to execute, with which input."""

    input_data: dict[str, Any] | None = Field(None, description="What it is given; test_mode may be in it.")
    async_: bool = Field(False, alias="async", description="Answer at once, and do not wait for its end.")
    test_mode: bool | None = Field(None, description="Trade on the paper account, whatever else is configured.")
    version: Version | None = Field(None, description="In test mode any version; by default the newest.")
    execution_id: str | None = Field(
        None,
        min_length=1,
        max_length=128,
        description="An id for it: executed again with it, it is the same execution.",
    )
    wait_seconds: float = Field(
        30, ge=0, le=WAIT_MAX, description="How long to wait for its end; what then goes on is `running`."
    )


class WorkflowPause(OneWorkflow):
    """What to let rest, and why."""

    execution_id: str | None = Field(None, max_length=200, description="Only this execution of it.")
    reason: str = Field("", max_length=1_000, description="Why; recorded.")


class WorkflowResume(OneWorkflow):
    """What is to go on."""

    execution_id: str | None = Field(None, max_length=200, description="Only this execution of it.")


class WorkflowRetire(OneWorkflow):
    """What to take out of use, and why."""

    reason: str = Field("", max_length=1_000, description="Why; recorded.")


class ExecutionCancel(OneExecution):
    """Which execution to cancel, and why."""

    reason: str = Field("", max_length=1_000, description="Why; recorded.")


class AuditTrail(OneWorkflow):
    """Which part of the trail."""

    limit: Limit = 50
    start_time: AwareDatetime | None = Field(None, description="The first events from then on, not the last ones.")
    execution_id: str | None = Field(None, max_length=200, description="Only of this execution.")


class ExecutionEvents(OneExecution):
    """Which events of which execution."""

    after: int = Field(0, ge=0, lt=1 << 31, description="Only events after this sequence.")
    limit: Limit = 100


class QueueStatus(Owned):
    """Which queue."""

    queue_name: str | None = Field(
        None, max_length=300, description="By default all; dead-letter-queue: the dead letters of all."
    )
    include_messages: bool = Field(False, description="With up to 100 messages, and dead letters, of each.")


class AgentAssign(Owned):
    """Which task wants somebody."""

    task_id: str = Field(
        min_length=1, max_length=700, description="A workflow, an execution, or a step of one: <id>/<step>."
    )
    agent_type: str | None = Field(None, max_length=100, description="Only agents of this type.")
    use_vector_similarity: bool = Field(True, description="Prefer who can do just this over who can do much else.")


class WorkflowValidate(Args):
    """A document that is not to be stored."""

    document: dict[str, Any] | Text = Field(description="An object, or a text of JSON or YAML, in any format.")
    name: str = Field("document", min_length=1, max_length=300, description="Its name, where it has none.")
    format: Format = AUTO


class CodeList(Args):
    """No arguments."""


# -------------------------------------------------------------------------------------------------- created and changed


@command(
    "workflows.create", "POST /workflows", tool="workflow_create", scope="trade", defines=True, owned=True, status=201,
    examples=({"name": "news-trader", "steps": [{"name": "wait", "type": "wait", "params": {"duration": "30s"}}]},),
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
    return checked_document(args.document, args.name, args.format)


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
    "workflows.audit_trail", "GET /workflows/{workflow_id}/audit-trail", tool="workflow_audit_trail", owned=True,
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
