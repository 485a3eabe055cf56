"""The arguments of the operations on workflows that are documents."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, Field

from tickwork.graph.importers import AUTO, FORMATS
from tickwork.service.api.operation import Args, Limit

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
