"""Steps: call the function, record the result, retry what may be retried."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from typing import Any

from msgspec import Raw

from tickwork.core.asks import Step
from tickwork.core.codec import encode_error, fingerprint
from tickwork.core.drive import PENDING, Failure, Waiting
from tickwork.core.functions import function_of
from tickwork.core.retry import NEVER
from tickwork.core.run import seeded
from tickwork.core.tape import NOTHING, Entry, Record
from tickwork.engines.embedded.calls import QUICK, Calls, Expired
from tickwork.engines.embedded.live import LiveRun, Pend
from tickwork.engines.embedded.runs import Runs
from tickwork.engines.embedded.working import Work
from tickwork.errors import InvalidInput, TickworkError, TimedOut

NS = 1_000_000_000


_PLAIN = frozenset({type(None), bool, int, float, str, bytes, Decimal, dict, list, tuple})
"""Types of results that are nothing to await; most are one of these, and asking them costs more than looking here."""


class Steps:
    """Answers ``Step`` asks."""

    def __init__(self, runs: Runs, calls: Calls) -> None:
        self._runs = runs
        self._calls = calls
        self._clock_now = runs.clock.now
        self._judge = not runs.clock.virtual

    def answer(self, run: LiveRun, waiting: Waiting, intent: Entry | None, late: bool) -> Any:
        """Run the step on the loop and answer at once, or begin it elsewhere."""
        ask: Step = waiting.ask  # type: ignore[assignment]
        function = function_of(ask.fn)
        # what has earned the loop is known to be sync: the common case, without a call
        earned = function.quick >= function.trials and not ask.blocking and not ask.timeout
        if not (earned or self._calls.inline(function, ask.blocking, ask.timeout)) or (
            run.course is not None and (waiting.branch.path, waiting.no) in run.course.tried
        ):
            self._begin(run, waiting)
            return PENDING
        started = time.perf_counter_ns() if self._judge else 0
        try:
            value = ask.fn(*ask.args)
            if type(value) not in _PLAIN and hasattr(value, "__await__"):
                return self._await(run, waiting, value)
            raw, value = function.codec.round_trip(value, ask)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever the step raises is its outcome
            return self._failed_inline(run, waiting, error, late)
        if self._judge:
            took = time.perf_counter_ns() - started
            if took < QUICK and not function.strikes:
                function.quick += 1
            else:
                self._calls.timed(function, took, on_loop=True)
        at = self._clock_now()
        branch = waiting.branch.path
        args = fingerprint(ask.args)
        if late or ask.undoes:
            record = Record(
                "step", at, ask.name, branch, waiting.no, waiting.occ, function.name, args, raw, late=late,
                undoes=ask.undoes,
            )  # fmt: skip
        else:
            record = Record("step", at, ask.name, branch, waiting.no, waiting.occ, function.name, args, raw)
        drive = run.drive
        drive.seq = self._runs.log.record(run, record)  # type: ignore[union-attr]
        drive.now = at  # type: ignore[union-attr]
        return value

    def _await(self, run: LiveRun, waiting: Waiting, awaitable: Any) -> Any:
        """A sync function that returned an awaitable: a lambda around a coroutine, usually."""
        pend = self._runs.pend(run, waiting)
        self._call(pend, lambda: awaitable)
        return PENDING

    def _failed_inline(self, run: LiveRun, waiting: Waiting, error: BaseException, late: bool) -> Any:
        ask: Step = waiting.ask  # type: ignore[assignment]
        if (ask.retry or NEVER).allows(error, 1):
            pend = self._runs.pend(run, waiting)
            self._try_again(pend, error)
            return PENDING
        record, answer = outcome(waiting, self._clock_now(), error=error, late=late)
        run.drive.note(self._runs.log.record(run, record), record.at)  # type: ignore[union-attr]
        return answer

    # -- elsewhere than on the loop -------------------------------------------------------------------------------

    def _begin(self, run: LiveRun, waiting: Waiting) -> None:
        pend = self._runs.pend(run, waiting)
        if run.course is not None:
            tried = run.course.tried.get(pend.place, ())
            pend.failures = len(tried)
            if tried and tried[-1].record.due > self._clock_now():
                self._wait(pend, tried[-1].record.due)
                return
        self._call(pend, waiting.ask.fn)  # type: ignore[attr-defined]

    def _call(self, pend: Pend, fn: Any) -> None:
        ask: Step = pend.waiting.ask  # type: ignore[assignment]
        pend.busy = True
        pend.since = self._clock_now()
        args = () if fn is not ask.fn else ask.args
        pend.task = self._calls.spawn(
            function_of(ask.fn),
            fn,
            args,
            {},
            ask.timeout,
            lambda value, error, took: self._done(pend, value, error, took),
            on_loop=ask.blocking is False,
            work=Work(pend.run.id, ask.name),
        )

    def _done(self, pend: Pend, value: Any, error: BaseException | None, took: int) -> None:
        """A task or a thread has ended."""
        run, ask = pend.run, pend.waiting.ask
        if run.pends.get(pend.place) is not pend:
            return
        pend.busy, pend.task = False, None
        assert isinstance(ask, Step)
        retry = ask.retry or NEVER
        if isinstance(error, Expired):
            error = timed_out(f"step {ask.name!r}", ask.timeout, error)
            if error.args[2]:
                retry = NEVER  # never two of it at once
        if error is not None and retry.allows(error, pend.failures + 1):
            self._try_again(pend, error)
            self._runs.settle(run)
        else:
            record, answer = outcome(pend.waiting, self._clock_now(), value, error, took=took)
            self._runs.deliver(run, pend, record, answer)
        self._runs.on_ready()

    def _try_again(self, pend: Pend, error: BaseException) -> None:
        """Record the failed attempt and wait for the next."""
        ask: Step = pend.waiting.ask  # type: ignore[assignment]
        pend.failures += 1
        # not from the run's own randomness: a replay, which sees no failed attempts, would draw other numbers
        chance = seeded(f"{pend.run.id}/{pend.place}/{ask.name}/{pend.failures}".encode()).random()
        now = self._clock_now()
        due = max(now + (ask.retry or NEVER).wait(pend.failures, chance), self._not_before(pend))
        self._runs.log.record(pend.run, tried(pend, error, now, due))
        self._wait(pend, due)

    def _not_before(self, pend: Pend) -> int:
        """When trying again may first make sense (ns)."""
        return 0

    def _wait(self, pend: Pend, due: int) -> None:
        pend.due = due
        pend.busy = False
        pend.fire = self._again

    def _again(self, pend: Pend) -> None:
        self._call(pend, pend.waiting.ask.fn)  # type: ignore[attr-defined]
        self._runs.settle(pend.run)


def outcome(
    waiting: Waiting,
    at: int,
    value: Any = None,
    error: BaseException | None = None,
    *,
    key: str = "",
    late: bool = True,
    took: int = 0,
) -> tuple[Record, Any]:
    """The record of how a step or an effect ended, and what the body receives."""
    ask: Any = waiting.ask
    function = function_of(ask.fn)
    raw, failed = NOTHING, NOTHING
    if error is None:
        try:
            raw, value = function.codec.round_trip(value, ask)
        except InvalidInput as refused:
            error = refused  # an effect has happened all the same and is not made again; only its result is lost
    if error is not None:
        failed, normal = encode_error(error)
        value = Failure(normal)
    record = Record(
        ask.kind, at, ask.name, waiting.branch.path, waiting.no, waiting.occ, function.name, fingerprint(ask.args), raw,
        failed, key, late, took, 0, 0, ask.undoes,
    )  # fmt: skip
    return record, value


def tried(pend: Pend, error: BaseException, now: int, due: int) -> Record:
    """The record of an attempt that failed and will be followed by another."""
    waiting, ask = pend.waiting, pend.waiting.ask
    return Record(
        "tried",
        now,
        ask.name,  # type: ignore[attr-defined]
        waiting.branch.path,
        waiting.no,
        waiting.occ,
        error=Raw(bytes(encode_error(error)[0])),
        attempt=pend.failures,
        due=due,
    )


def timed_out(what: str, limit: int, expired: Expired) -> TickworkError:
    """The error of a function that took too long."""
    advice = (
        "its function is still running in its thread and cannot be stopped, so it is not tried again; give the call "
        "inside it a time-out of its own, or make it async"
        if expired.straggling
        else ""
    )
    return TimedOut(what, f"{limit / NS:g}s", advice)
