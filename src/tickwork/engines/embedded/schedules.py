"""Schedules at work: what is due starts a run, once.

A start is one transaction: the ``ScheduleFired`` on the tape, the run, and the schedule's row with its next due time.
So a crash at any moment finds a due time either untouched or dealt with. The rules are in ``core.due``; here they meet
the timers, the runs they started, and people.

All schedules share one alarm: the earliest of a heap of their own.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Raw

from tickwork.core.due import Due, Gone, Plan, after, gone_until, plan
from tickwork.core.event import Alert, Event, event_tag
from tickwork.core.schedule import ScheduleFired, Times
from tickwork.core.tape import NOTHING, Record
from tickwork.core.workflow import Workflow
from tickwork.engines.embedded.control import Verb
from tickwork.engines.embedded.declared import Declared, declared_by
from tickwork.engines.embedded.listeners import newest
from tickwork.engines.embedded.live import LiveRun
from tickwork.engines.embedded.runs import Runs
from tickwork.engines.embedded.schedule_rows import ScheduleInfo, ScheduleRow, encode_row, info_of, read_rows
from tickwork.engines.embedded.status import Status
from tickwork.errors import Conflict, InvalidInput, NotFound, TapeError
from tickwork.values import from_ns

_log = logging.getLogger("tickwork.engine")

QUEUE_MAX: Final = 100
"""Due times of one schedule that wait for the run before; what comes beyond that is skipped."""

SLICE: Final = 100
"""Schedules that are dealt with before the loop gets a chance to do something else."""

NEXT_MAX: Final = 1_000

Infos = list[ScheduleInfo]


class _Told:
    """Times that end where they cannot be told: the times before are still good."""

    def __init__(self, times: Times) -> None:
        self._times = times
        self.error: Exception | None = None

    def next(self, after_ns: int) -> int | None:
        """The next time, or ``None`` also where nobody knows."""
        try:
            return after(self._times, after_ns)
        except TapeError:
            raise
        except Exception as error:  # noqa: BLE001 - a calendar has ended, or the times are the user's own code
            self.error = error
            return None

    def __str__(self) -> str:
        return str(self._times)


class Schedules:
    """The schedules of one engine, as ``engine.schedules``."""

    def __init__(self, runs: Runs, publish: Callable[[Event], int]) -> None:
        self._runs = runs
        self._publish = publish
        self._log = runs.log
        self._now = runs.clock.now
        self._declared: dict[str, Declared] = {}
        self._names: dict[str, tuple[str, ...]] = {}
        """Of each workflow its schedules."""
        for workflow in newest(runs.workflows.values()):
            self.fits(workflow)
            self._take(workflow)
        self._rows = read_rows(runs.reader)
        self._followed: dict[str, str] = {}
        """Unfinished runs, by id, and whose they are."""
        self._heap: list[tuple[int, str]] = []
        """What is due when; entries that no longer hold are skipped."""
        self._alarm: int | None = None
        """When the next alarm rings (ns)."""
        runs.on_ended.append(self.ended)

    # -- opening --------------------------------------------------------------------------------------------------

    def recover(self) -> None:
        """Compare what is declared with what is on the tape, and go on."""
        changes: list[Record] = []
        for name, declared in self._declared.items():
            self._declare(name, declared, changes)
        if changes:
            self._log.outside_all(changes)
        gone = [name for name in self._rows if name not in self._declared]
        for name in gone:
            self._strand(name)
        if gone:
            _log.warning("%d schedule(s) on the tape that no workflow declares: %s", len(gone), ", ".join(gone[:10]))
        for name, row in self._rows.items():
            if row.running:
                self._recover_runs(name, row)
            self._push(name, row)
        for name, row in self._rows.items():
            self._start_queued(name, row)
        self._set_alarm()

    # -- workflows come and go ------------------------------------------------------------------------------------

    def fits(self, workflow: Workflow) -> None:
        """
        Raises:
            InvalidInput: a schedule of another workflow has the name of one of its own, or has an input that it does
                not take.
        """
        for name in declared_by(workflow):
            other = self._declared.get(name)
            if other is not None and other.workflow.name != workflow.name:
                found = f"another name: it is a schedule of {other.workflow.name!r}"
                raise InvalidInput(f"@workflow({workflow.name!r}) on", name, found)

    def put(self, workflow: Workflow) -> None:
        """From now on this one's schedules start runs, in place of those of other versions of its name."""
        was = self._names.get(workflow.name, ())
        names = self._take(workflow)
        self._leave([name for name in was if name not in names])
        changes: list[Record] = []
        for name in names:
            self._declare(name, self._declared[name], changes)
        if changes:
            self._log.outside_all(changes)
        for name in names:
            self._push(name, self._rows[name])
            self._start_queued(name, self._rows[name])
        self._set_alarm()

    def retire(self, name: str) -> None:
        """The schedules of a workflow start no runs any more, as if nobody declared them."""
        self._leave(self._names.pop(name, ()))

    def _take(self, workflow: Workflow) -> tuple[str, ...]:
        declared = declared_by(workflow)
        self._declared |= declared
        names = self._names[workflow.name] = tuple(declared)
        return names

    def _leave(self, names: Sequence[str]) -> None:
        for name in names:
            del self._declared[name]
            self._strand(name)

    def _strand(self, name: str) -> None:
        row = self._rows[name]
        if not row.stranded:
            row.stranded = True
            self._keep(name, row)
            self._log.outside(self._record("stranded", name))

    def _declare(self, name: str, declared: Declared, changes: list[Record]) -> None:
        schedule, now = declared.schedule, self._now()
        was = self._rows.get(name)
        row = ScheduleRow(
            workflow=declared.workflow.name,
            spec=str(schedule.times),
            zone=schedule.zone,
            missed=schedule.missed,
            overlap=schedule.overlap,
            grace=schedule.grace,
            seen=now,
        )
        if was is not None:
            same_times = (was.spec, was.zone) == (row.spec, row.zone)
            for kept in ("last_due", "last_run", "running", "queued", "died", "paused", "skip_next"):
                setattr(row, kept, getattr(was, kept))
            if same_times:
                row.seen, row.next_due, row.problem = was.seen, was.next_due, was.problem
        self._rows[name] = row
        if row.next_due is None:
            self._look_ahead(name, row)
        if row != was:
            self._keep(name, row)
            told = {"workflow": row.workflow, "spec": row.spec, "zone": row.zone, "missed": row.missed,
                    "overlap": row.overlap, "grace": row.grace}  # fmt: skip
            changes.append(self._record("declared" if was is None else "changed", name, told, row.next_due or 0))

    def _recover_runs(self, name: str, row: ScheduleRow) -> None:
        for id in list(row.running):
            if self._unfinished(id):
                self._followed[id] = name
            else:
                row.running.remove(id)
                self._keep(name, row)

    def _unfinished(self, id: str) -> bool:
        seq = self._runs.find(id)
        run = None if seq is None else self._runs.hot.get(seq)
        if run is not None:
            return not run.status.finished
        row = None if seq is None else self._runs.reader.run(seq)
        return row is not None and not Status(row.status).finished

    # -- time -----------------------------------------------------------------------------------------------------

    def _push(self, name: str, row: ScheduleRow) -> None:
        if row.next_due is not None and not row.paused and not row.stranded:
            heapq.heappush(self._heap, (row.next_due, name))

    def _first(self) -> str | None:
        """The schedule that is due first."""
        while self._heap:
            due, name = self._heap[0]
            row = self._rows[name]
            if row.next_due == due and not row.paused and not row.stranded:
                return name
            heapq.heappop(self._heap)
        return None

    def _set_alarm(self, at_least: int = 0) -> None:
        name = self._first()
        if name is None:
            return
        due = max(self._heap[0][0], at_least)
        if self._alarm is None or due < self._alarm:
            self._alarm = due
            self._runs.timers.recurring(due, lambda: self._ring(due))

    def _ring(self, due: int) -> None:
        """Deal with what is due: of many at once, some."""
        if self._alarm != due:
            return  # an earlier one has been set since
        self._alarm, now = None, self._now()
        for _ in range(SLICE):
            name = self._first()
            if name is None or self._heap[0][0] > now:
                break
            heapq.heappop(self._heap)
            self._come_due(name, self._rows[name], now)
        self._set_alarm(now)

    def _come_due(self, name: str, row: ScheduleRow, now: int) -> None:
        assert row.next_due is not None
        times = _Told(self._declared[name].schedule.times)
        self._follow_plan(name, row, plan(times, row.next_due, now, row.missed, row.grace), times, "missed")

    def _follow_plan(self, name: str, row: ScheduleRow, found: Plan, times: _Told, why: str) -> None:
        for gone in found.gone:
            self._skip(name, gone, why)
            number = "more than 100" if gone.number is None else gone.number
            _log.warning("schedule %r: %s due time(s) until %s skipped: %s", name, number, from_ns(gone.last), why)
        for due in found.fire:
            self._fire(name, row, due)
        row.seen, row.next_due = self._now(), found.next_due
        if times.error is not None:
            self._cannot_tell(name, row, times.error)
        self._keep(name, row)
        self._push(name, row)

    def _look_ahead(self, name: str, row: ScheduleRow) -> None:
        """Find the first due time that has not been dealt with."""
        times = _Told(self._declared[name].schedule.times)
        row.next_due, row.problem = times.next(row.seen), ""
        if times.error is not None:
            self._cannot_tell(name, row, times.error)

    def _cannot_tell(self, name: str, row: ScheduleRow, error: Exception) -> None:
        row.problem = str(error) or type(error).__name__
        _log.error("schedule %r has no next time: %s", name, row.problem)
        self._publish(Alert(run="", what=f"schedule {name!r} has no next time", detail=row.problem))

    # -- starts ---------------------------------------------------------------------------------------------------

    def _fire(self, name: str, row: ScheduleRow, due: Due) -> None:
        """A due time: start a run, unless something stands against it."""
        if row.skip_next:
            row.skip_next = False
            self._skip(name, Gone(due.at, due.at, 1), "skip-next")
        elif not self._busy(name, row):
            self._start(name, row, due)
        elif row.overlap == "skip":
            self._skip(name, Gone(due.at, due.at, 1), "overlap")
        elif len(row.queued) >= QUEUE_MAX:
            self._skip(name, Gone(due.at, due.at, 1), "queue is full")
        else:
            row.queued.append(due)
            self._log.outside(self._record("queued", name, {"missed": due.missed} if due.missed else None, due.at))

    def _busy(self, name: str, row: ScheduleRow) -> bool:
        """Is a run under way that the next one would overlap?"""
        if row.overlap == "allow":
            return False
        if row.died and self._unfinished(row.died):  # redriven
            self._follow(name, row, row.died)
            row.died = ""
        return bool(row.running)

    def _follow(self, name: str, row: ScheduleRow, id: str) -> None:
        row.running.append(id)
        self._followed[id] = name

    def _start(self, name: str, row: ScheduleRow, due: Due) -> str | None:
        """Publish that it fired, and start the run; ``None`` when flow control has other plans."""
        workflow, schedule, input = self._declared[name]
        fired = ScheduleFired(schedule=name, due=from_ns(due.at), fired_at=from_ns(self._now()), missed=due.missed)
        seq = self._publish(fired)
        given = fired if schedule.input is None else schedule.input
        raw = Raw(fired.to_wire()) if input is None else input
        tag = event_tag(type(given)) if isinstance(given, Event) else ""
        run: LiveRun | None
        if workflow.flow is None:
            run = self._runs.start(workflow, raw, ref=seq, event=tag)
        else:
            run = self._runs.flows.arrive(workflow, given, seq, raw, tag)
        row.last_due, row.died = due.at, ""
        if run is None:
            return None
        row.last_run = run.id
        if row.overlap != "allow":
            self._follow(name, row, run.id)
        return run.id

    def ended(self, run: LiveRun) -> None:
        """A run is over: what waited for it may start."""
        name = self._followed.pop(run.id, None)
        if name is None:
            return
        row = self._rows[name]
        row.running.remove(run.id)
        if run.status is Status.CONTINUED:
            assert run.ending is not None
            self._follow(name, row, run.ending.next)
        elif run.status is Status.DEAD:
            row.died = run.id
        self._start_queued(name, row)
        self._keep(name, row)

    def _start_queued(self, name: str, row: ScheduleRow) -> None:
        while row.queued and not row.running and not row.paused and name in self._declared:
            self._start(name, row, row.queued.pop(0))
            self._keep(name, row)

    # -- the tape -------------------------------------------------------------------------------------------------

    def _keep(self, name: str, row: ScheduleRow) -> None:
        self._log.batch.put("schedules", (name,), (encode_row(row),))

    def _record(self, what: str, name: str, value: dict[str, Any] | None = None, due: int = 0, by: str = "") -> Record:
        told = {**(value or {}), **({"by": by} if by else {})}
        raw = Raw(msgspec.json.encode(told)) if told else NOTHING
        return Record("schedule", self._now(), name, key=what, due=due, value=raw)

    def _skip(self, name: str, gone: Gone, why: str) -> None:
        told = {"why": why} if gone.number == 1 else {"why": why, "until": gone.last, "number": gone.number}
        self._log.outside(Record("skipped", self._now(), name, value=Raw(msgspec.json.encode(told)), due=gone.first))

    # -- what people ask and do -----------------------------------------------------------------------------------

    async def list(self, names: Sequence[str] | None = None) -> Infos:
        """The schedules on the tape, by name: all, also those that no workflow declares any more, or some."""
        await self._log.durable()
        wanted = self._rows if names is None else self._rows.keys() & set(names)
        return [info_of(name, self._rows[name]) for name in sorted(wanted)]

    async def next(self, name: str, count: int = 5) -> Sequence[datetime]:
        """The next due times, as far as there are any; of a paused schedule those that it would have.

        Raises:
            InvalidInput: no such schedule, a count beyond 1,000, or nobody knows the next time.
        """
        row = self._row(name)
        return [from_ns(ns) for ns in next_times(self._declared[name].schedule.times, row, self._now(), count)]

    async def run_now(self, name: str, by: str = "") -> str | None:
        """Start a run at once, also of a paused schedule; its due times stay as they are. Returns the run's id.

        While its last run has not ended and ``overlap`` is ``"queue"``, it waits for that: then, and where flow control
        gathers or declines, there is no id.

        Raises:
            InvalidInput: no such schedule; or ``overlap`` is ``"skip"`` and its last run has not ended.
        """
        row, now = self._row(name), self._now()
        busy = self._busy(name, row)
        if busy and (row.overlap == "skip" or len(row.queued) >= QUEUE_MAX):
            found = f"{name}, whose run {row.running[0]} has not ended"
            raise Conflict("schedule", found, "one whose last run has ended, or that may overlap")
        self._log.outside(self._record("run-now", name, by=by))
        id = None
        if busy:
            row.queued.append(Due(now))
        else:
            id = self._start(name, row, Due(now))
        self._keep(name, row)
        await self._log.durable()
        return id

    async def skip_next(self, name: str, by: str = "") -> ScheduleInfo:
        """Start no run the next time it is due; once.

        Raises:
            InvalidInput: no such schedule, or it is never due again.
        """
        row = self._row(name)
        if row.next_due is None:
            raise Conflict("schedule", f"{name}, which is never due again", "one that has a next time")
        return await self._change(name, row, "skip-next", by, skip_next=True)

    async def pause(self, name: str, by: str = "") -> ScheduleInfo:
        """Start no runs until it is resumed. The run under way goes on; what waits for it waits for both.

        Raises:
            InvalidInput: no such schedule.
        """
        return await self._change(name, self._row(name), "paused", by, paused=True)

    async def resume(self, name: str, by: str = "") -> ScheduleInfo:
        """Go on with the next due time; what was due meanwhile is skipped, with a record of it.

        Raises:
            InvalidInput: no such schedule.
        """
        row = self._row(name)
        if row.paused and row.next_due is not None:
            times = _Told(self._declared[name].schedule.times)
            passed = gone_until(times, row.next_due, self._now())
            self._follow_plan(name, row, passed, times, "paused")
        return await self._change(name, row, "resumed", by, paused=False)

    async def _change(self, name: str, row: ScheduleRow, what: str, by: str, **fields: bool) -> ScheduleInfo:
        if any(getattr(row, field) != value for field, value in fields.items()):
            for field, value in fields.items():
                setattr(row, field, value)
            self._log.outside(self._record(what, name, by=by))
            self._start_queued(name, row)
            self._keep(name, row)
            self._push(name, row)
            self._set_alarm()
        await self._log.durable()
        return info_of(name, row)

    def _row(self, name: str) -> ScheduleRow:
        if name not in self._declared:
            known = ", ".join(sorted(self._declared)[:20]) or "there is none"
            found = f"{name}, which no workflow declares" if name in self._rows else name
            raise NotFound("schedule", found, f"the name of a schedule: {known}")
        return self._rows[name]

    def verbs(self) -> dict[str, Verb]:
        """``schedules.list`` and the like."""
        return {
            "schedules.list": self.list,
            "schedules.next": self.next,
            "schedules.run_now": self.run_now,
            "schedules.skip_next": self.skip_next,
            "schedules.pause": self.pause,
            "schedules.resume": self.resume,
        }


def next_times(times: Times, row: ScheduleRow, now: int, count: int) -> list[int]:
    """The next due times of a schedule (ns).

    Raises:
        InvalidInput: a count beyond 1,000, or nobody knows even the first.
    """
    if isinstance(count, bool) or not isinstance(count, int) or not 0 < count <= NEXT_MAX:
        raise InvalidInput("count", count, f"a whole number from 1 to {NEXT_MAX:,}")
    told = _Told(times)
    found: list[int] = []
    # what is due at this very moment may not have been dealt with
    due = row.next_due if row.next_due is not None and row.next_due >= now else told.next(now)
    while due is not None and len(found) < count:
        found.append(due)
        due = told.next(due)
    if not found and told.error is not None:
        raise told.error
    return found
