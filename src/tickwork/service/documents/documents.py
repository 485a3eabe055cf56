"""Workflows as the step lists' programs use them: created, executed, watched, changed. One surface for every face.

Everything belongs to an owner: another owner's workflow is one that is not there. Answers are JSON values with the
fields that those programs read, and some more; times are texts in UTC with microseconds, durations are seconds. What
cannot be done raises ``ServiceError`` with one of ``coded.CODES``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

from tickwork.errors import InvalidInput, ServiceError
from tickwork.graph.document import Document
from tickwork.graph.versioning.versions import State
from tickwork.service.documents.agents import AgentAssigned, assign, assignments
from tickwork.service.documents.changing import Changing
from tickwork.service.documents.checked import checked
from tickwork.service.documents.coded import coded
from tickwork.service.documents.executing import Asked, task_types, wants_test
from tickwork.service.documents.history import Execution, word_of
from tickwork.service.documents.ids import check_execution_id
from tickwork.service.documents.reports import iso, word
from tickwork.service.documents.surface import Json
from tickwork.service.documents.watching import Watching, not_found
from tickwork.values import DurationLike, duration, from_ns

WAIT: Final = "5 minutes"
"""How long ``execute`` waits for the end of an execution, if nothing else is said."""


class Documents(Changing, Watching):
    """The whole surface."""

    # -- executing ------------------------------------------------------------------------------------------------

    @checked
    async def execute(
        self,
        workflow_id: str,
        input_data: Mapping[str, Any] | None = None,
        async_: bool = False,
        *,
        test_mode: bool | None = None,
        version: int | None = None,
        execution_id: str | None = None,
        timeout: DurationLike = WAIT,
        owner: str = "",
    ) -> Json:
        """Start an execution, and wait for its end unless ``async_``. Paused workflows can be executed by hand.

        With ``input_data.test_mode`` or ``test_mode`` it trades on the paper account, whatever the mode is; what it
        sends and publishes besides is real.

        Args:
            version: in test mode any; by default the newest, a draft too.
            execution_id: starting again with the same id and input is the same execution. An owner's ids are its own.
            timeout: how long to wait.

        Raises:
            ServiceError: ``WORKFLOW_NOT_FOUND``; ``INVALID_INPUT_DATA``; ``QUEUE_FULL``; ``INSUFFICIENT_CREDITS``;
                ``EXECUTION_TIMEOUT``: it goes on.
            Refused: the workflow's rate limit.
        """
        head = self._publishing.find(owner, workflow_id)
        test = wants_test(input_data, test_mode)
        with coded():
            duration(timeout, "timeout")
            if execution_id:
                check_execution_id(execution_id)
            handle, execution = await self._executing.start(
                head, Asked(test, version), input_data, execution_id or self._new_id(),
                lambda run: self._charge(owner, "execute", run),
            )  # fmt: skip
            if not async_:
                await self._executing.ended(handle, execution, timeout)
        report = self._executing.report(self._history.find(owner, execution.id))
        status = report["status"]
        # one that has only just begun is running for whoever asked for it
        shown_status = "running" if status in ("starting", "waiting") and async_ else status
        return {**report, "status": shown_status, "success": status not in ("failed", "cancelled")}

    # -- pausing --------------------------------------------------------------------------------------------------

    @checked
    async def pause(
        self, workflow_id: str | None = None, execution_id: str | None = None, *, reason: str = "", author: str = "",
        owner: str = "",
    ) -> Json:  # fmt: skip
        """Let an execution rest, or a workflow: then its triggers start nothing, its executions go on.

        Raises:
            ServiceError: ``WORKFLOW_NOT_FOUND``; ``EXECUTION_NOT_FOUND``; ``INVALID_INPUT_DATA``.
        """
        if execution_id is not None:
            return await self._execution(owner, execution_id, self._engine.pause, workflow_id)
        return await self._state(owner, workflow_id, "paused", author, reason)

    @checked
    async def resume(
        self, workflow_id: str | None = None, execution_id: str | None = None, *, author: str = "", owner: str = ""
    ) -> Json:
        """Let what was paused go on. What its schedules missed meanwhile is theirs to say (``missed``).

        Raises:
            ServiceError: as ``pause``.
        """
        if execution_id is not None:
            return await self._execution(owner, execution_id, self._engine.resume, workflow_id)
        return await self._state(owner, workflow_id, "active", author, "")

    @checked
    async def cancel(self, execution_id: str, reason: str = "", *, owner: str = "") -> Json:
        """Cancel an execution; what it did and can take back is taken back.

        Raises:
            ServiceError: ``EXECUTION_NOT_FOUND``; ``INVALID_INPUT_DATA``: it is over.
        """
        return await self._execution(owner, execution_id, lambda id: self._engine.cancel(id, reason))

    @checked
    async def retire(self, workflow_id: str, *, reason: str = "", author: str = "", owner: str = "") -> Json:
        """Take a workflow out of use until it is published again; its executions go on, its versions are kept.

        Raises:
            ServiceError: ``WORKFLOW_NOT_FOUND``.
        """
        return await self._state(owner, workflow_id, "retired", author, reason)

    async def _execution(
        self, owner: str, execution_id: str, act: Callable[[str], Awaitable[None]], workflow_id: str | None = None
    ) -> Json:
        await self._engine.durable()
        execution = self._history.find(owner, execution_id)
        if workflow_id is not None and self._publishing.find(owner, workflow_id).id != execution.whose.id:
            raise not_found(execution_id)
        with coded():
            await act(execution.run)
        report = self._executing.report(self._history.find(owner, execution_id))
        return {"success": True, **report}

    async def _state(self, owner: str, workflow_id: str | None, state: State, author: str, reason: str) -> Json:
        head = self._publishing.find(owner, workflow_id or "")
        with coded():
            if head.state == "retired" and state != "retired":
                raise InvalidInput("workflow_id", f"{head.name}, which is retired", "one that is not: publish it again")
            head = await self._publishing.change(head, state, author or owner, reason)
        return {
            "success": True, "workflow_id": head.id, "name": head.name, "status": word(head), "reason": head.reason,
            "triggers": await self._triggers(head),
        }  # fmt: skip

    # -- agents ---------------------------------------------------------------------------------------------------

    @checked
    async def agent_assign(
        self, task_id: str, agent_type: str | None = None, use_vector_similarity: bool = True, *, owner: str = ""
    ) -> Json:
        """Assign the agent that suits a task best: a workflow, an execution, or a step (``<id>/<step>``).

        Raises:
            ServiceError: ``AGENT_UNAVAILABLE``; ``WORKFLOW_NOT_FOUND``; ``INVALID_INPUT_DATA``: no such step.
        """
        await self._engine.durable()
        of, _, step = task_id.partition("/")
        document, execution = self._task(owner, of)
        with coded():
            types = task_types(document, step, self._compiled.library)
            node = next((one.id for one in document.nodes if step in (one.id, one.name)), "")
        ranked = assign(self._agents, agent_type, types, use_vector_similarity, self._experience)
        best, at = ranked[0], from_ns(self._engine.clock.now())
        await self._engine.emit(
            AgentAssigned(
                agent=best["id"], task=task_id, execution="" if execution is None else execution.run, step=node,
                owner=owner, match_score=best["match_score"], at=at,
            )
        )  # fmt: skip
        agent = {key: value for key, value in best.items() if key != "match_score"}
        return {
            "task_id": task_id, "assigned_agent": agent, "match_score": best["match_score"],
            "alternatives": ranked[1:], "assigned_at": iso(at),
        }  # fmt: skip

    @checked
    async def agents(self, agent_type: str | None = None) -> Json:
        """Who may be assigned to tasks, by id, with the share of their executions that succeeded; of a type, or all."""
        await self._engine.durable()
        rows = [
            {**msgspec.to_builtins(agent), "experience_score": self._experience(agent.id)}
            for _, agent in sorted(self._agents.items())
            if agent_type in (None, agent.type)
        ]
        return {"agents": rows, "total_count": len(rows)}

    def _task(self, owner: str, id: str) -> tuple[Document, Execution | None]:
        try:
            execution = self._history.find(owner, id)
        except ServiceError:
            return self._publishing.version(self._publishing.find(owner, id)).read(), None
        head = self._publishing.find(owner, execution.whose.id)
        return self._publishing.version(head, execution.row.version).read(), execution

    def _experience(self, agent: str) -> float | None:
        """The share of the executions it was assigned to that succeeded, among those that are over."""
        known = self._engine.read(assignments, agent)
        rows = [self._engine.queries.reader.run_named(id) for id in (known.executions if known is not None else [])]
        ends = [word_of(row) for row in rows if row is not None]
        over = [end for end in ends if end in ("completed", "failed")]
        return over.count("completed") / len(over) if over else None
