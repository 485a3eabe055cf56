"""Children, approvals, continuations, and undos that failed: the asks that concern other runs and people."""

from __future__ import annotations

import logging
from typing import Any

from msgspec import Raw

from tickwork.core.asks import Again, Approval, Call, Mishap
from tickwork.core.codec import ANY, decode_error, encode_error
from tickwork.core.drive import PENDING, Failure, Waiting
from tickwork.core.tape import NOTHING, Entry, Record
from tickwork.core.workflow import Workflow
from tickwork.engines.embedded.live import Ending, LiveRun, Pend
from tickwork.engines.embedded.making import approval_id
from tickwork.engines.embedded.reader import started
from tickwork.engines.embedded.runs import Runs
from tickwork.engines.embedded.status import Status
from tickwork.errors import InvalidInput, RunCancelled

_log = logging.getLogger("tickwork.engine")

ANSWERED = "tickwork/approval:"


class Family:
    """Answers ``Start``, ``Call``, ``Approval``, ``Again`` and ``Mishap``."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._log = runs.log
        self._now = runs.clock.now
        self._answers: dict[str, bool] = {}
        """Approvals answered whose run has not heard of it yet."""
        runs.on_ended.append(self.ended)
        runs._doomed_call = self.doomed

    # -- children -------------------------------------------------------------------------------------------------

    def start(self, run: LiveRun, waiting: Waiting, intent: Entry | None, late: bool) -> Any:
        """Answer a ``Start`` with the child's id."""
        id, child = self._child(run, waiting, awaited=False)
        self._note(run, waiting, Raw(ANY.encode(id, "id")), NOTHING, late, ref=child)
        return id

    def call(self, run: LiveRun, waiting: Waiting, intent: Entry | None, late: bool) -> Any:
        """Start the child, or find it again after a crash, and wait for its end."""
        id, child = self._child(run, waiting, awaited=True)
        pend = self._runs.pend(run, waiting)
        pend.key = child
        ending = self._ending(child)
        if ending is not None:
            pend.busy = True
            self._runs.enqueue(run, lambda: self._hear(pend, id, ending))
        return PENDING

    def _child(self, run: LiveRun, waiting: Waiting, awaited: bool) -> tuple[str, int]:
        """The child's id and position; it is started unless it exists."""
        ask: Any = waiting.ask
        workflow: Workflow = ask.workflow
        if self._runs.workflows.get((workflow.name, workflow.version)) is not workflow:
            raise InvalidInput(
                "workflow", workflow.name, "a workflow that the engine was given (Engine(workflows=[...]))"
            )
        input = workflow.encode_input(ask.input)
        if ask.id:
            check_id(ask.id)
        id = ask.id or self._child_id(run, waiting, ask)
        found = self._runs.find(id)
        if found is not None:
            same_input(self._runs, found, id, workflow, input)
            return id, found
        choosy, given = workflow.flow is not None and workflow.flow.declines, None
        if choosy:
            # an awaited child is asked for again after a crash, when the run that stood for it may be over: it is new
            given = workflow.decode_input(input)
            instead = self._runs.flows.before(workflow, given, new=awaited)
            if instead is not None:
                return self._runs.id_of(instead), instead
        parent_ask = f"{waiting.branch.path}|{waiting.no}" if awaited else ""
        child = self._runs.start(workflow, input, given_id=id, owner=run.owner, parent=run.seq, parent_ask=parent_ask)
        if choosy and not awaited:
            self._runs.flows.remember(workflow, given, child.seq)
        return id, child.seq

    @staticmethod
    def _child_id(run: LiveRun, waiting: Waiting, ask: Any) -> str:
        attempt = f"~{run.attempt}" if run.attempt > 1 else ""
        # occurrences are counted for each kind: the first child started is not the first one called
        kind = "" if ask.kind == "call" else ask.kind
        return f"{run.id}.{waiting.branch.path.replace('/', '.')}{ask.name}.{kind}{waiting.occ}{attempt}"

    def _ending(self, seq: int) -> Ending | None:
        """How a run ended, if it has."""
        run = self._runs.hot.get(seq)
        if run is not None:
            return run.ending if run.ending is not None and run.status.finished else None
        row = self._runs.reader.run(seq)
        if row is None or not Status(row.status).finished:
            return None
        return ending_of(self._runs, seq)

    def ended(self, child: LiveRun) -> None:
        """A run ended: tell the parent that waits for it, in the same transaction."""
        if not child.parent or not child.parent_ask or child.status is Status.CONTINUED:
            return
        parent = self._runs.hot.get(child.parent)
        path, _, no = child.parent_ask.rpartition("|")
        ending = child.ending
        assert ending is not None
        if parent is None:
            self._log.batch.wakes[child.parent] = 0
            self._runs.enqueue_parked(child.parent)
            return
        pend = parent.pends.get((path, int(no)))
        if pend is not None and not pend.busy:
            pend.busy = True
            parent.wake_at = 0
            self._log.row(parent)
            self._runs.enqueue(parent, lambda: self._hear(pend, child.id, ending))

    def _hear(self, pend: Pend, id: str, ending: Ending) -> None:
        """The parent hears how its child ended."""
        run, waiting = pend.run, pend.waiting
        ask: Call = waiting.ask  # type: ignore[assignment]
        if run.pends.get(pend.place) is not pend:
            return
        value, error, answer = ending.value, ending.error, None
        if ending.status is Status.DONE:
            try:
                answer = ask.workflow.decode_result(value)
            except InvalidInput as refused:  # an older version of the child gave something else
                value = NOTHING
                error, normal = encode_error(refused)
                answer = Failure(normal)
        elif ending.status is Status.CONTINUED:
            self._follow(pend, ending)
            return
        else:
            failure = RunCancelled(id) if ending.status is Status.CANCELLED else decode_error(error)
            error, normal = encode_error(failure)
            answer = Failure(normal)
        record = Record(
            "call", self._now(), ask.name, waiting.branch.path, waiting.no, waiting.occ, value=value, error=error,
            key=id, late=True, ref=pend.key,
        )  # fmt: skip
        self._runs.deliver(run, pend, record, answer)

    def _follow(self, pend: Pend, ending: Ending) -> None:
        """The child continued as another run: wait for that one."""
        following = self._runs.find(ending.next)
        pend.busy = False
        if following is None:
            return
        pend.key = following
        end = self._ending(following)
        if end is not None:
            pend.busy = True
            self._runs.enqueue(pend.run, lambda: self._hear(pend, ending.next, end))

    def doomed(self, pend: Pend) -> None:
        """The parent is being cancelled: cancel the child it waits for."""
        child = pend.key
        reason = f"its parent {pend.run.id} was cancelled"
        self._runs.outbox.append(lambda: self._runs.cancel_seq(child, reason))

    # -- people ---------------------------------------------------------------------------------------------------

    def approval(self, run: LiveRun, waiting: Waiting, intent: Entry | None, late: bool) -> Any:
        """Ask, or take the answer that is already there."""
        ask: Approval = waiting.ask  # type: ignore[assignment]
        id = approval_id(run, waiting)
        given = self._answers.pop(id, None)
        again = run.course is not None  # it may have asked before it left memory
        if given is None and again:
            # an earlier attempt may have asked the same; its answer is not for this one
            entries = self._runs.reader.events(ANSWERED + id, run.course.seq, self._log.next_seq)
            given = bytes(entries[0].record.value) == b"true" if entries else None
        if given is None and ask.due and ask.due <= self._now():
            given = False
        if given is not None:
            self._log.batch.put("approvals", (id,), None)
            self._note(run, waiting, Raw(b"true" if given else b"false"), NOTHING, late)
            return given
        pend = self._runs.pend(run, waiting)
        pend.key = id
        if not again or not self._runs.reader.rows("SELECT 1 FROM approvals WHERE id=?", (id,)):
            self._log.outside(Record("asked", self._now(), ask.name, key=id, due=ask.due))
        self._log.batch.put("approvals", (id,), (run.seq, ask.name, self._now(), ask.due))
        if ask.due:
            pend.due, pend.fire = ask.due, lambda pend: self._approved(pend, False)
        return PENDING

    def approve(self, id: str, yes: bool, by: str) -> None:
        """A person has answered."""
        seq = self._log.outside(
            Record("event", self._now(), ANSWERED + id, value=Raw(b"true" if yes else b"false"), key=by)
        )
        self._log.batch.events.append((ANSWERED + id, seq))
        self._log.batch.put("approvals", (id,), None)
        name = id.rpartition(":")[0]
        position = self._runs.find(name)
        if position is None:
            return
        run = self._runs.hot.get(position)
        if run is None:
            self._answers[id] = yes
            self._log.batch.wakes[position] = 0
            self._runs.enqueue_parked(position)
            return
        for pend in run.pends.values():
            if pend.key == id and isinstance(pend.waiting.ask, Approval) and not pend.busy:
                pend.busy = True
                run.wake_at = 0  # should the process die before the run has heard of it
                self._log.row(run)
                self._runs.enqueue(run, lambda pend=pend: self._approved(pend, yes))  # type: ignore[misc]
                return

    def _approved(self, pend: Pend, yes: bool) -> None:
        waiting = pend.waiting
        ask: Any = waiting.ask
        if pend.run.paused and pend.busy:
            pend.busy = False  # the answer is on the tape; the run finds it when it is resumed
            return
        self._log.batch.put("approvals", (pend.key,), None)
        record = Record(
            "approval", self._now(), ask.name, waiting.branch.path, waiting.no, waiting.occ,
            value=Raw(b"true" if yes else b"false"), late=True,
        )  # fmt: skip
        self._runs.deliver(pend.run, pend, record, yes)

    # -- the rest -------------------------------------------------------------------------------------------------

    def again(self, run: LiveRun, waiting: Waiting, intent: Entry | None, late: bool) -> Any:
        """The run continues as another once this turn is over."""
        ask: Again = waiting.ask  # type: ignore[assignment]
        run.again = run.workflow.encode_input(ask.input)
        return PENDING

    def mishap(self, run: LiveRun, waiting: Waiting, intent: Entry | None, late: bool) -> Any:
        """Record a dead letter: an undo that could not be done."""
        ask: Mishap = waiting.ask  # type: ignore[assignment]
        about = {"run": run.id, "step": ask.name}
        _log.error("[%s] %s failed and needs a person: %s", run.id, ask.name, ask.error, extra=about)
        error, _ = encode_error(ask.error)
        seq = self._note(run, waiting, NOTHING, error, late)
        self._runs.letters.undo_failed(seq, run, ask.name, ask.error)
        return None

    def _note(self, run: LiveRun, waiting: Waiting, value: Raw, error: Raw, late: bool, ref: int = 0) -> int:
        ask: Any = waiting.ask
        record = Record(
            ask.kind, self._now(), ask.name, waiting.branch.path, waiting.no, waiting.occ, value=value, error=error,
            late=late, ref=ref,
        )  # fmt: skip
        seq = self._log.record(run, record)
        run.drive.note(seq, record.at)  # type: ignore[union-attr]
        return seq


def ending_of(runs: Runs, seq: int) -> Ending:
    """How a finished run ended, from the tape."""
    row = runs.reader.run(seq)
    assert row is not None
    entry = runs.reader.history(row.tail, seq)[-1]
    record = entry.record
    next_id = record.name if record.kind == "again" else ""
    # an empty Raw that is not NOTHING itself would be written as an empty field, which is not JSON
    value, error = bytes(record.value), bytes(record.error)
    return Ending(Status(row.status), Raw(value) if value else NOTHING, Raw(error) if error else NOTHING, next_id)


def check_id(id: Any) -> None:
    """
    Raises:
        InvalidInput: not an id that a person may give a run.
    """
    good = isinstance(id, str) and 0 < len(id) <= 200 and id.isprintable() and not any(c in id for c in " /?#%")
    if not good or (id[0] == "r" and id[1:].isdigit()):
        expected = (
            "1 to 200 printable characters without spaces, /, ?, # and %, and not 'r' and digits (those are ours)"
        )
        raise InvalidInput("run id", id, expected)


def same_input(runs: Runs, seq: int, id: str, workflow: Workflow, input: Raw) -> None:
    """
    Raises:
        InvalidInput: the run of this id has another input, or is of another workflow.
    """
    run = runs.hot.get(seq)
    if run is not None:
        name, given = run.workflow.name, bytes(run.input)
    else:
        entry = runs.reader.record(seq)
        assert entry is not None
        name, given = entry.record.name, bytes(started(entry).input)
    if name != workflow.name:
        raise InvalidInput("run id", id, f"an id that no other run has: it belongs to a run of {name!r}")
    if given != bytes(input):
        text = given[:120].decode(errors="replace")
        raise InvalidInput(
            f"input of run {id!r}",
            bytes(input)[:120].decode(errors="replace"),
            f"the input it was started with, {text}; or another id",
        )
