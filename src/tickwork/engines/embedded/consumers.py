"""Workflows as consumers: a message starts a run, and how the run ends is what becomes of the message.

A run is durable, so nothing expires: its messages are in flight until it is over, and are completed in the transaction
that ends it. A run that continues as another (``run.again``) hands them on. One that fails is a failed delivery; one
that was cancelled by a person, or is too old to begin, is not tried again: its messages are dead letters.
"""

from __future__ import annotations

from typing import Any, get_origin

import msgspec
from msgspec import Raw

from tickwork.core.codec import MAX_VALUE, decode_error, said
from tickwork.core.event import Event, event_tag
from tickwork.core.letters import class_name, error_code
from tickwork.core.message import Failure, Item
from tickwork.core.queue import Queue, Sent
from tickwork.core.tape import Record
from tickwork.core.workflow import Workflow
from tickwork.engines.embedded.lines import Desk, Lines
from tickwork.engines.embedded.listeners import newest
from tickwork.engines.embedded.live import LiveRun
from tickwork.engines.embedded.runs import Runs
from tickwork.engines.embedded.status import Status
from tickwork.errors import BreakerOpen, Fatal, InvalidInput, StepFailed

_encode = msgspec.json.Encoder().encode

DETAIL_MAX = 500
"""Characters of an error's words that are kept with a message; the run has them all."""


class Work:
    """A run and its messages."""

    __slots__ = ("desk", "items")

    def __init__(self, desk: Desk, items: list[Item]) -> None:
        self.desk = desk
        self.items = items


class Consumers:
    """Gives messages to workflows, and hears how their runs end."""

    def __init__(self, runs: Runs, lines: Lines) -> None:
        self._runs = runs
        self._lines = lines
        self._log = runs.log
        self._at_work: dict[int, Work] = {}
        self._queues: dict[str, tuple[str, ...]] = {}
        """Of each workflow the queues that it declares."""
        for workflow in newest(runs.workflows.values()):
            self.fits(workflow)
            self._employ(workflow)
        lines.feed = self.feed
        runs.delivered = self._at_work.__contains__
        runs.on_ended.append(self.ended)

    # -- workflows come and go ------------------------------------------------------------------------------------

    def fits(self, workflow: Workflow) -> None:
        """
        Raises:
            InvalidInput: one of its queues is another's, or is declared otherwise by others; or it cannot work on one.
        """
        own: set[str] = set()
        for queue in _queues_of(workflow):
            path = f"@workflow({workflow.name!r}) on={queue}"
            desk = self._lines.desks.get(queue.name)
            worker = workflow if queue.name in own else None if desk is None else desk.workflow
            own.add(queue.name)
            if worker is workflow or (worker is not None and worker.name != workflow.name):
                found = f"{worker.name!r} works on it already"
                raise InvalidInput(path, found, "one workflow for a queue; to reach several, emit an event")
            self._lines.check(queue, workflow.name)
            _check_work(path, queue, workflow)

    def put(self, workflow: Workflow) -> None:
        """From now on this one works on its queues, in place of other versions of its name."""
        self._employ(workflow)
        for name in self._queues[workflow.name]:
            self._lines.settle(self._lines.desks[name])

    def _employ(self, workflow: Workflow) -> None:
        was, queues = self._queues.get(workflow.name, ()), _queues_of(workflow)
        names = self._queues[workflow.name] = tuple(queue.name for queue in queues)
        for name in was:
            desk = self._lines.desks[name]
            self._dismiss(desk, workflow.name)
            if name not in names:
                del desk.by[workflow.name]
        for queue in queues:
            desk = self._lines.declare(queue, workflow.name)
            desk.workflow, desk.many = workflow, _takes_many(workflow)

    def retire(self, name: str) -> None:
        """Nobody works on its queues any more. They stay: what is sent to them waits."""
        for queue in self._queues.get(name, ()):
            desk = self._lines.desks[queue]
            self._dismiss(desk, name)
            desk.by[name] = None

    @staticmethod
    def _dismiss(desk: Desk, name: str) -> None:
        if desk.workflow is not None and desk.workflow.name == name:
            desk.workflow = None

    # -- runs begin -----------------------------------------------------------------------------------------------

    def feed(self, desk: Desk) -> None:
        """Start as many runs as the queue allows."""
        workflow = desk.workflow
        if workflow is None:
            return
        limit = desk.queue.batch_size if desk.many else 1
        while desk.working < desk.queue.consumers:
            items = desk.line.take(self._lines.now(), limit, together=desk.many)
            if not items:
                return
            self._start(desk, workflow, items)

    def _start(self, desk: Desk, workflow: Workflow, items: list[Item]) -> None:
        lines = self._lines
        sent = [lines.bodies.get(item.body) for item in items]
        read = readable(lines, desk, items, sent)
        if read is None:
            return
        try:
            input, tag = _input(workflow, read, sent, desk.many)
        except Exception:  # noqa: BLE001 - the validators of what the workflow takes are the user's
            unfit = []
            for item, body, one in zip(items, read, sent, strict=True):
                error = _unfit(workflow, body, one, desk.many)
                if error is not None:
                    unfit.append((item, error))
            if unfit:
                give_up(lines, desk, items, unfit)
                return
            # each is fine by itself: together they are too large
            desk.line.release(items[1:])
            items, sent = items[:1], sent[:1]
            input, tag = _input(workflow, read[:1], sent, desk.many)
        owners = {one.owner for one in sent}
        run = self._runs.start(
            workflow, input, owner=owners.pop() if len(owners) == 1 else "", ref=items[0].seq, event=tag
        )
        desk.line.work(items, lines.now(), run.seq)
        desk.working += 1
        self._deliver(desk, run, items)

    def _deliver(self, desk: Desk, run: LiveRun, items: list[Item]) -> None:
        """The run points to its messages, and they to it."""
        value = Raw(_encode([item.seq for item in items]))
        self._log.record(run, Record("delivered", self._lines.now(), desk.queue.name, value=value))
        self._at_work[run.seq] = Work(desk, items)
        self._lines.touch(desk, items)

    # -- runs end -------------------------------------------------------------------------------------------------

    def ended(self, run: LiveRun) -> None:
        """A run is over: so are its messages, or their delivery."""
        work = self._at_work.pop(run.seq, None)
        if work is None:
            return
        desk, items, lines = work.desk, work.items, self._lines
        assert run.ending is not None
        if run.status is Status.CONTINUED:
            heir = run.ending.next
            self._runs.outbox.append(lambda: self._hand_on(work, heir))
            return
        now = lines.now()
        desk.working -= 1
        if run.status is Status.DONE:
            desk.line.complete(items, now)
            lines.completed(desk, items)
        elif run.status is Status.CANCELLED:
            failure = Failure(now, "cancelled", "cancelled", "RunCancelled", f"run {run.id} was cancelled", run.seq)
            for item in reversed(items):  # the last first: then none of them releases another
                desk.line.kill(item, now, failure)
            lines.returned(desk, items, ref=run.seq)
        else:
            self._failed(desk, items, run, decode_error(run.ending.error))
        lines.soon(lambda: lines.settle(desk))

    def _failed(self, desk: Desk, items: list[Item], run: LiveRun, error: BaseException) -> None:
        lines, now = self._lines, self._lines.now()
        failure = failure_of(error, now, "failed", run.seq)
        if len(items) > 1:
            rest = self._rest(desk, items[0], 1, error)
            desk.line.fail_together(items, now, failure, rest)
        else:
            item = items[0]
            final = isinstance(error, Fatal) or (isinstance(error, StepFailed) and error.fatal)
            rest = self._rest(desk, item, item.attempts, error)
            desk.line.fail(item, now, failure, rest, final=final)
        lines.returned(desk, items, ref=run.seq, together=len(items) > 1)

    def _rest(self, desk: Desk, item: Item, failures: int, error: BaseException) -> int:
        rest = self._lines.rest(desk, item, failures)
        return max(rest, error.retry_at - self._lines.now()) if isinstance(error, BreakerOpen) else rest

    def _hand_on(self, work: Work, id: str) -> None:
        """The run goes on as another one, which was started in the same turn."""
        seq = self._runs.find(id)
        run = None if seq is None else self._runs.hot.get(seq)
        assert run is not None
        for item in work.items:
            item.run = run.seq
        self._deliver(work.desk, run, work.items)

    def recover(self, at_work: list[tuple[Desk, Item]]) -> None:
        """These messages were with runs when the tape was closed."""
        for desk, item in at_work:
            work = self._at_work.get(item.run)
            if work is None:
                work = self._at_work[item.run] = Work(desk, [])
                desk.working += 1
            work.items.append(item)
        for work in self._at_work.values():
            work.items.sort(key=lambda item: item.rank)


def _queues_of(workflow: Workflow) -> list[Queue]:
    return [trigger for trigger in workflow.triggers if isinstance(trigger, Queue)]


def _takes_many(workflow: Workflow) -> bool:
    annotation = workflow.input.annotation
    return annotation is list or get_origin(annotation) is list


def _check_work(path: str, queue: Queue, workflow: Workflow) -> None:
    if not workflow.takes_input:
        raise InvalidInput(path, "no input", "a parameter for the message, or for a list of messages")
    flow = workflow.flow
    for name in ("rate_limit", "debounce", "batch", "singleton", "idempotency"):
        if flow is not None and getattr(flow, name) is not None:
            raise InvalidInput(path, name, "none of those that drop or gather starts: a queue loses no message, "
                               "knows ids, and gives a list to a parameter that is one")  # fmt: skip
    annotation, message = workflow.input.annotation, queue.message
    if (
        message is not None
        and isinstance(annotation, type)
        and issubclass(annotation, Event)
        and not issubclass(message, annotation)
    ):
        raise InvalidInput(f"{path} input", annotation.__name__, f"what the queue holds: {message.__name__}")


def readable(lines: Lines, desk: Desk, items: list[Item], sent: list[Sent]) -> list[Any] | None:
    """The bodies of messages that were taken; ``None`` where some could not be read and were given up."""
    read: list[Any] = []
    unfit: list[tuple[Item, Exception]] = []
    for item, one in zip(items, sent, strict=True):
        try:
            read.append(one.read())
        except Exception as error:  # noqa: BLE001 - an upcast is the user's function
            unfit.append((item, error))
    if not unfit:
        return read
    give_up(lines, desk, items, unfit)
    return None


def give_up(lines: Lines, desk: Desk, taken: list[Item], unfit: list[tuple[Item, Exception]]) -> None:
    """Messages that this code cannot read are dead letters, kept until one can; the others wait again, not tried."""
    now = lines.now()
    desk.line.release(taken)
    for item, error in unfit:
        desk.line.kill(item, now, failure_of(error, now, "unreadable"))
        lines.returned(desk, [item])


def failure_of(error: BaseException, at: int, why: str, run: int = 0) -> Failure:
    """An error as the failure of a delivery."""
    detail = said(error)
    if len(detail) > DETAIL_MAX:
        detail = detail[: DETAIL_MAX - 1] + "…"
    name = class_name(error)
    return Failure(at, why, error_code(error), name, detail.removeprefix(f"{name}: "), run)


def _unfit(workflow: Workflow, body: Any, sent: Sent, many: bool) -> Exception | None:
    """Why the workflow does not take this message by itself, if it does not."""
    try:
        _input(workflow, [body], [sent], many)
    except Exception as error:  # noqa: BLE001 - the validators of what the workflow takes are the user's
        return error
    return None


def _input(workflow: Workflow, read: list[Any], sent: list[Sent], many: bool) -> tuple[Raw, str]:
    """What the run is started with, and the tag of the event that it is, or that all of it are.

    Raises:
        InvalidInput: the workflow does not take it.
    """
    tags = {event_tag(type(body)) if isinstance(body, Event) else "" for body in read}
    tag = tags.pop() if len(tags) == 1 else ""
    if not workflow.input.untyped:
        return workflow.encode_input(read if many else read[0]), tag
    parts = [
        body.to_wire() if isinstance(body, Event) else bytes(one.body) for body, one in zip(read, sent, strict=True)
    ]
    data = b"[" + b",".join(parts) + b"]" if many else parts[0]
    if len(data) > MAX_VALUE + len("[]"):
        raise InvalidInput(
            f"input of {workflow.name!r}", f"{len(data):,} bytes", f"at most {MAX_VALUE:,} bytes of JSON"
        )
    return Raw(data), tag
