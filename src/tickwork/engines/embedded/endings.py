"""How a turn can end a run, or an attempt of it: done, failed, dead, cancelled, continued, diverged, out of time."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tickwork.core.codec import encode_error, said
from tickwork.core.replay import Course
from tickwork.core.tape import NOTHING, Record
from tickwork.engines.embedded.live import Ending, LiveRun
from tickwork.engines.embedded.status import Status
from tickwork.engines.embedded.stuck import cancel_stuck
from tickwork.errors import Cancelled, InvalidInput, Stale, TimedOut
from tickwork.values import duration_text

if TYPE_CHECKING:
    from tickwork.engines.embedded.runs import Runs

_log = logging.getLogger("tickwork.engine")


class Endings:
    """Records how runs end."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._log = runs.log
        self._now = runs.clock.now

    def body_ended(self, run: LiveRun) -> None:
        """The body returned or raised."""
        assert run.drive is not None
        assert run.drive.outcome is not None
        value, error = run.drive.outcome
        now = self._now()
        failing = run.course.failing if run.course is not None else None
        if failing is not None:
            self._dead(run, failing, now, error)
            return
        if error is None:
            try:
                raw = run.workflow.result.round_trip(value, f"result of {run.workflow.name!r}")[0]
            except InvalidInput as refused:  # the result is the body's doing, so is its failure
                error = refused
            else:
                self._log.record(run, Record("done", now, value=raw))
                self.end(run, Ending(Status.DONE, raw, NOTHING))
                return
        if isinstance(error, Cancelled) or run.cancelled is not None:
            # an effect under way may have failed for certain before the body heard of it: it is cancelled all the same
            failed = NOTHING if isinstance(error, Cancelled) else encode_error(error)[0]
            self._log.record(run, Record("cancelled", now, name=run.cancelled or said(error), error=failed))
            self.end(run, Ending(Status.CANCELLED, NOTHING, NOTHING))
            return
        self.failed(run, error)

    def failed(self, run: LiveRun, error: BaseException) -> None:
        """An attempt failed: the next one, the handler, or the end."""
        now = self._now()
        raw, normal = encode_error(error)
        course: Course | None = run.course
        failures = run.attempt if course is None else course.failures + 1
        retry = run.workflow.retry
        assert run.drive is not None
        if run.cancelled is None and retry is not None and retry.allows(normal, failures):
            due = now + retry.wait(failures, run.drive.rng().random())
            self._log.record(run, Record("failed", now, error=raw, attempt=run.attempt, due=due))
            self._runs.restart(run, due)
        elif run.workflow.on_failure is not None:
            self._log.record(run, Record("failed", now, "on_failure", error=raw, attempt=run.attempt, due=now))
            self._runs.restart(run, now)
        else:
            self._dead(run, normal, now, None)

    def _dead(self, run: LiveRun, error: BaseException, now: int, also: BaseException | None) -> None:
        raw, _ = encode_error(error)
        name = "" if also is None else f"on_failure failed too: {said(also)}"
        self._log.record(run, Record("dead", now, name, error=raw, attempt=run.attempt))
        if self._runs.delivered(run.seq):
            self.end(run, Ending(Status.FAILED, NOTHING, raw))
            return
        self.end(run, Ending(Status.DEAD, NOTHING, raw))
        self._runs.letters.died(run, error)

    def cancelled(self, run: LiveRun, reason: str) -> None:
        """Cancelled between two attempts: there is no body to tell."""
        self._log.record(run, Record("cancelled", self._now(), name=reason))
        self.end(run, Ending(Status.CANCELLED, NOTHING, NOTHING))

    def cancel_stuck(self, seq: int, reason: str) -> bool:
        """A run that cannot go on is cancelled as it stands; False: it can go on, or is over. See ``cancel_stuck``."""
        return cancel_stuck(self._runs, seq, reason)

    def stale(self, run: LiveRun, age: int) -> None:
        """It could not begin in time."""
        error = Stale(
            f"run {run.id} of {run.workflow.name!r}", duration_text(age), duration_text(run.workflow.valid_for)
        )
        _log.warning("%s", error)
        raw, _ = encode_error(error)
        self._log.record(run, Record("stale", self._now(), error=raw))
        self.end(run, Ending(Status.STALE, NOTHING, raw))

    def end(self, run: LiveRun, ending: Ending) -> None:
        """The run is over."""
        run.ending = ending
        run.status, run.wake_at = ending.status, None
        self._log.row(run)
        self._log.batch.ended.append(run)
        if run.drive is not None and run.drive.outcome is None:
            run.drive.close()
        self._runs.parkable.pop(run.seq, None)
        for told in self._runs.on_ended:
            told(run)

    def continued(self, run: LiveRun) -> None:
        """``run.again``: end this run and start the next under an id that says whose continuation it is."""
        drive = run.drive
        assert drive is not None
        input, run.again = run.again, None
        base, _, count = run.id.rpartition("+")
        base, number = (base, int(count) + 1) if base and count.isdigit() else (run.id, 1)
        while self._runs.find(f"{base}+{number}") is not None:  # somebody gave a run that name
            number += 1
        next_id = f"{base}+{number}"
        drive.close()
        self._runs.abandon_all(run)
        self._log.record(run, Record("again", self._now(), name=next_id))
        self.end(run, Ending(Status.CONTINUED, NOTHING, NOTHING, next_id))
        self._runs.start(
            run.workflow,
            input,
            given_id=next_id,
            owner=run.owner,
            parent=run.parent,
            parent_ask=run.parent_ask,
            ref=run.seq,
            since=drive.since,
            heir_of=run.seq,
        )

    def diverged(self, run: LiveRun, error: Exception) -> None:
        """Code and tape disagree: leave the tape as it is, and say why in the run's row."""
        run.problem = said(error)
        if isinstance(error, InvalidInput):
            run.problem = (
                f"this code cannot read a record of the run: {run.problem}. Let the class read the old form, or give "
                "it a new version"
            )
        _log.error("[%s] %s", run.id, run.problem)
        if run.drive is not None:
            run.drive.close()
        for pend in list(run.pends.values()):
            self._runs.stop_work(pend)
        run.pends.clear()
        run.status, run.wake_at = Status.DIVERGED, None
        run.ending = self._runs.stuck[run.seq] = Ending(Status.DIVERGED, NOTHING, encode_error(error)[0])
        self._log.row(run)
        self._log.batch.ended.append(run)
        self._runs.parkable.pop(run.seq, None)

    # -- the time-out of an attempt -------------------------------------------------------------------------------

    def watch_time(self, run: LiveRun, busy: bool) -> None:
        """Count the time in which something is under way; set an alarm for when the attempt has used its own up."""
        now = self._now()
        if busy and not run.active_since:
            run.active_since = now
            left = max(run.workflow.timeout - run.active, 0)
            attempt = run.attempt
            self._runs.timers.call(now + left, lambda: self._expire(run, now, attempt))
        elif not busy and run.active_since:
            run.active += now - run.active_since
            run.active_since = 0

    def _expire(self, run: LiveRun, since: int, attempt: int) -> None:
        still = run.active_since == since and run.attempt == attempt and run.ending is None and run.drive is not None
        if not still or run.paused or self._runs.hot.get(run.seq) is not run:
            return
        limit = duration_text(run.workflow.timeout)
        name = run.workflow.name
        record = Record("expired", self._now(), name=name, key=limit)
        self._runs.interrupt(run, record, TimedOut(f"attempt of {name}", limit))
        self._runs.on_ready()
