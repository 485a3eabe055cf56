"""Workflows and executions looked at."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Final

from tickwork.engines.embedded.declared import declared_by
from tickwork.engines.embedded.schedule_rows import ScheduleInfo
from tickwork.errors import InvalidInput, ServiceError
from tickwork.graph.versioning.versions import Head, workflow_name
from tickwork.service.documents.audit import trail
from tickwork.service.documents.checked import checked
from tickwork.service.documents.coded import EXECUTION_NOT_FOUND, WORKFLOW_NOT_FOUND, coded
from tickwork.service.documents.events import payload
from tickwork.service.documents.history import Execution
from tickwork.service.documents.lines import queue_status
from tickwork.service.documents.metrics import metrics, rates
from tickwork.service.documents.reports import NO_EXECUTION, STATUSES, iso, triggers, word
from tickwork.service.documents.surface import Json, Surface, check_whole
from tickwork.values import timestamp_ns

LIST_MAX: Final = 100
AUDIT_MAX: Final = 1_000
STATS: Final = 100
"""Executions that the figures in a list are made of: the last ones."""
EVENTS_MAX: Final = 10_000
"""Events in one answer."""


class Watching(Surface):
    """What only looks."""

    @checked
    async def status(
        self,
        workflow_id: str | None = None,
        execution_id: str | None = None,
        include_metrics: bool = False,
        *,
        owner: str = "",
    ) -> Json:
        """How a workflow or an execution stands; of a workflow, its last execution; without either, the very last one.

        ``progress`` is the share of the steps that have come to an end, from 0 to 100.

        Raises:
            ServiceError: ``WORKFLOW_NOT_FOUND``; ``EXECUTION_NOT_FOUND``.
        """
        await self._engine.durable()
        execution = None if execution_id is None else self._history.find(owner, execution_id)
        if execution is not None:
            head = self._publishing.find(owner, execution.whose.id)
            if workflow_id is not None and self._publishing.find(owner, workflow_id).id != head.id:
                raise not_found(execution_id)
        else:
            head = self._publishing.find(owner, workflow_id) if workflow_id is not None else self._latest(owner)
            execution = next(self._history.both(head), None)
        report = NO_EXECUTION | {"workflow_id": head.id, "workflow_name": head.name, "status": word(head)}
        if execution is not None:
            report = self._executing.report(execution)
            if execution_id is None:
                report |= {"status": word(head), "execution_status": report["status"]}
        found = {
            **report,
            "workflow_status": word(head),
            "workflow_version": head.published or head.last,
            "workflow_problem": self._problem(head),
            "reason": head.reason,
            "triggers": await self._triggers(head),
        }
        if include_metrics:
            found["metrics"] = self._metrics(head, execution)
        return found

    def _latest(self, owner: str) -> Head:
        """The workflow that was executed last; of those that never were, the newest."""
        found: list[tuple[int, datetime, Head]] = []
        for head in self._shelf.heads_of(owner):
            last = next(self._history.both(head), None)
            found.append((0 if last is None else last.row.seq, head.created_at, head))
        if not found:
            raise ServiceError(WORKFLOW_NOT_FOUND, "there is no workflow yet", {})
        return max(found, key=lambda one: one[:2])[2]

    async def _triggers(self, head: Head) -> list[Json]:
        name = workflow_name(head.owner, head.name)
        workflow = self._compiled.find(name, head.published)
        names = [] if workflow is None else list(declared_by(workflow))
        schedules: list[ScheduleInfo] = await self._engine.schedules.list(names)
        by = {one.name: one for one in schedules if one.workflow == name}
        own = [by[one] for one in names] if all(one in by for one in names) else []
        current = self._shelf.version(head.id, head.published or head.last)
        return triggers(head, current, self._publishing.armed(head), own)

    def _problem(self, head: Head) -> str | None:
        """Why its published version could not be made to run, or take triggers, when the engine was opened."""
        return self._broken.get((head.id, head.published))

    def _metrics(self, head: Head, execution: Execution | None) -> Json:
        told_of: Json = {"workflow": metrics(self._history, head, self._engine.clock.now())}
        if execution is not None:
            used = Decimal(0) if self._credits is None else self._credits.used(execution.run)
            told_of |= {"total_execution_time": round(execution.seconds, 6), "credits_used": str(used)}
        return told_of

    @checked
    async def metrics(self, workflow_id: str, *, owner: str = "") -> Json:
        """Figures of the last 24 hours; see ``metrics.metrics``.

        Raises:
            ServiceError: ``WORKFLOW_NOT_FOUND``.
        """
        head = self._publishing.find(owner, workflow_id)
        await self._engine.durable()
        return metrics(self._history, head, self._engine.clock.now())

    @checked
    async def list(self, limit: int = 10, offset: int = 0, status: str | None = None, *, owner: str = "") -> Json:
        """An owner's workflows, by name; those that are retired only where ``status`` asks for them (``cancelled``).

        Raises:
            ServiceError: ``INVALID_INPUT_DATA``.
        """
        with coded():
            check_whole("limit", limit, LIST_MAX)
            check_whole("offset", offset, None, least=0)
            if status is not None and status not in STATUSES:
                raise InvalidInput("status", status, "one of " + ", ".join(STATUSES))
        await self._engine.durable()
        found = [one for one in self._shelf.heads_of(owner) if _listed(one, status)]
        found.sort(key=lambda head: head.name)
        page = found[offset : offset + limit]
        return {
            "workflows": [self._line(head) for head in page],
            "total_count": len(found),
            "has_more": offset + len(page) < len(found),
        }

    def _line(self, head: Head) -> Json:
        version = self._publishing.version(head)
        recent = list(islice(self._history.of(head), STATS))
        return {
            "id": head.id,
            "name": head.name,
            "description": version.document.get("description", ""),
            "status": word(head),
            "executions_count": self._history.count(head),
            "last_executed": iso(recent[0].row.started_at) if recent else None,
            **rates(recent),
            "version": head.published or head.last,
            "draft_version": head.draft,
            "priority": version.document.get("priority", 5),
            "created_at": iso(head.created_at),
            "updated_at": iso(head.changed_at),
        }

    @checked
    async def audit_trail(
        self,
        workflow_id: str,
        limit: int = 50,
        start_time: str | datetime | None = None,
        *,
        execution_id: str | None = None,
        owner: str = "",
    ) -> Json:
        """What happened, oldest first: the last events, or the first ones from a time on.

        Raises:
            ServiceError: ``WORKFLOW_NOT_FOUND``; ``EXECUTION_NOT_FOUND``; ``INVALID_INPUT_DATA``.
        """
        head = self._publishing.find(owner, workflow_id)
        await self._engine.durable()
        with coded():
            check_whole("limit", limit, AUDIT_MAX)
            since = None if start_time is None else iso(_time("start_time", start_time))
        execution = None if execution_id is None else self._history.find(owner, execution_id)
        if execution is not None and execution.whose.id != head.id:
            raise not_found(execution_id)
        versions = (self._publishing.version(head, number) for number in range(head.last, 0, -1))
        return trail(self._history, head, versions, limit=limit, start_time=since, execution=execution)

    @checked
    async def events(self, execution_id: str, after: int = 0, limit: int = EVENTS_MAX, *, owner: str = "") -> Json:
        """What happened in an execution, in order, after a ``sequence``.

        Raises:
            ServiceError: ``EXECUTION_NOT_FOUND``; ``INVALID_INPUT_DATA``.
        """
        with coded():
            check_whole("limit", limit, EVENTS_MAX)
            check_whole("after", after, None, least=0)
        await self._engine.durable()
        execution = self._history.find(owner, execution_id)
        found = self._history.trace(execution).events
        told = [payload(event, execution) for event in found if event.sequence > after][:limit]
        last = told[-1]["sequence"] if told else after
        return {
            "execution_id": execution.id, "workflow_id": execution.whose.id, "events": told, "last_sequence": last,
            "has_more": last < len(found), "finished": execution.finished,
        }  # fmt: skip

    @checked
    async def queue_status(
        self, queue_name: str | None = None, include_messages: bool = False, *, owner: str = ""
    ) -> Json:
        """How the queues of an owner's documents stand, by their names there; for ``""`` all queues of the engine.

        ``"dead-letter-queue"`` is the dead letters of all of them.

        Raises:
            ServiceError: ``INVALID_INPUT_DATA``: no such queue.
        """
        await self._engine.durable()
        with coded():
            return queue_status(self._engine.queries, self._engine.clock.now(), queue_name, include_messages, owner)


def _listed(head: Head, status: str | None) -> bool:
    return head.state != "retired" if status is None else word(head) == status


def not_found(execution_id: str | None) -> ServiceError:
    """The workflow that is meant has no such execution."""
    message = f"the workflow has no execution {execution_id!r}"
    return ServiceError(EXECUTION_NOT_FOUND, message, {"execution_id": execution_id})


def _time(path: str, value: str | datetime) -> int:
    """A time of a caller, in ns.

    Raises:
        InvalidInput: not an aware time.
    """
    if isinstance(value, datetime):
        return timestamp_ns(value, path)
    try:
        return timestamp_ns(datetime.fromisoformat(value), path)
    except (TypeError, ValueError):
        raise InvalidInput(path, value, "a time with its offset, such as 2026-01-05T09:30:00+00:00") from None
