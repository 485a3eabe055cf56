"""Effects: intent on disk, then the call; when nobody knows what happened, look before anything else.

asked ─ intent recorded ─ barrier (on disk) ─ call ─┬─ value ──────────────────────────── recorded, delivered
                                                    ├─ certain error (refused, rejected …) recorded, delivered
                                                    ├─ not sent: wait, call again (same key)
                                                    └─ unknown ─ look up ─┬─ found ────── recorded, delivered
  after a crash: an intent without an outcome is unknown ─────┘           ├─ not found, and still so after the
                                                                          │  grace: call again (same key)
                                                                          └─ the look-up failed: look again
"""

from __future__ import annotations

import logging
from typing import Any

from msgspec import Raw

from tickwork.core.asks import Effect
from tickwork.core.codec import ANY, fingerprint, said
from tickwork.core.drive import PENDING, Waiting
from tickwork.core.functions import function_of
from tickwork.core.retry import NEVER, Retry
from tickwork.core.tape import NOTHING, Entry, Record
from tickwork.engines.embedded.calls import Calls, Expired
from tickwork.engines.embedded.live import LiveRun, Pend
from tickwork.engines.embedded.runs import Runs
from tickwork.engines.embedded.steps import outcome, timed_out, tried
from tickwork.engines.embedded.working import Work
from tickwork.errors import Fatal, InvalidInput, NeverArrived, NotSent, Stale, TimedOut, Unknown
from tickwork.outcome import Found, NotFound
from tickwork.values import duration_text

_log = logging.getLogger("tickwork.engine")

AFTER_LOOKING = Retry(limit=3, delay="0s")
"""How often an effect that was looked for and not found is made again, when its own retry does not say."""

LOOK_AGAIN = Retry(delay="250 ms", cap="30 seconds")
"""How long to wait between look-ups that failed or found nothing yet."""


class Effects:
    """Answers ``Effect`` asks."""

    def __init__(self, runs: Runs, calls: Calls) -> None:
        self._runs = runs
        self._calls = calls
        self._now = runs.clock.now

    def answer(self, run: LiveRun, waiting: Waiting, intent: Entry | None, late: bool) -> Any:
        """Record the intent, and call once it is on disk; or, after a crash, find out what became of it."""
        ask: Effect = waiting.ask  # type: ignore[assignment]
        pend = self._runs.pend(run, waiting)
        pend.busy = True
        pend.asked_at = self._now() if intent is None else intent.record.at
        if intent is not None:
            pend.key = intent.record.key
            pend.failures = len(run.course.tried.get(pend.place, ()))
            self._unknown(pend, None)
            return PENDING
        doubt = None if run.course is None else run.course.doubtful.get(identity(waiting))
        pend.key = doubt or self._runs.names.effect_key(run, waiting)
        self._runs.log.record(run, self._intent(pend, ask))
        # an attempt before this one gave up without knowing what became of it: it may have happened
        self._runs.log.after(lambda: self._unknown(pend, None) if doubt else self._launch(pend))
        return PENDING

    def _intent(self, pend: Pend, ask: Effect) -> Record:
        waiting = pend.waiting
        try:
            arguments = Raw(ANY.encode(ask.args, "arguments"))
        except InvalidInput:
            arguments = NOTHING  # arguments that do not serialise are not shown; the effect is made all the same
        return Record(
            "intent",
            self._now(),
            ask.name,
            waiting.branch.path,
            waiting.no,
            waiting.occ,
            function_of(ask.fn).name,
            fingerprint(ask.args),
            arguments,
            key=pend.key,
        )

    # -- the call -------------------------------------------------------------------------------------------------

    def _launch(self, pend: Pend) -> None:
        """Make the effect. Its intent is on disk."""
        if not self._wanted(pend) or self._straggles(pend):
            return
        ask: Effect = pend.waiting.ask  # type: ignore[assignment]
        if pend.run.cancelled is not None and pend.failures and not pend.doubtful:
            # nobody waits for it any more, and it certainly has not happened
            self._resolve(pend, None, NotSent(f"effect {ask.name!r} was cancelled before it was sent again"), 0)
            return
        if ask.valid_for and self._now() - pend.asked_at > ask.valid_for:
            self._too_late(pend, ask)
            return
        pend.busy, pend.due, pend.lost_at = True, 0, 0
        self._call(pend, ask)

    def _call(self, pend: Pend, ask: Effect) -> None:
        self._spawn(pend, ask.fn, ask.args, {"key": pend.key}, self._called)

    def _too_late(self, pend: Pend, ask: Effect) -> None:
        """It is not made any more. Was it? Only a look-up, or an attempt that certainly failed, could tell."""
        age = duration_text(self._now() - pend.asked_at)
        error: Exception = Stale(f"effect {ask.name!r}", age, duration_text(ask.valid_for))
        if pend.doubtful:
            error = Unknown(f"effect {ask.name!r} was under way when the process died; it is {age} old, too old to be "
                            "made again, and has no look-up that could tell whether it was made")  # fmt: skip
        self._resolve(pend, None, error, 0)

    def _spawn(self, pend: Pend, fn: Any, args: tuple[Any, ...], keywords: dict[str, Any], done: Any) -> None:
        ask: Effect = pend.waiting.ask  # type: ignore[assignment]
        pend.since = self._now()
        pend.task = self._calls.spawn(
            function_of(fn),
            fn,
            args,
            keywords,
            ask.timeout,
            lambda value, error, took: done(pend, value, error, took),
            work=Work(pend.run.id, ask.name),
        )

    def _called(self, pend: Pend, value: Any, error: BaseException | None, took: int) -> None:
        if not self._wanted(pend):
            return
        if error is None:
            self._resolve(pend, value, None, took)
        elif isinstance(error, NotSent):
            self._not_sent(pend, error, took)
        elif isinstance(error, Fatal):
            self._resolve(pend, None, error, took)
        else:
            if isinstance(error, Expired) and error.straggling:
                pend.straggler = error.call
            self._unknown(pend, self._named(pend, error))

    def _straggles(self, pend: Pend) -> bool:
        """Is an earlier call still under way? Never two of it at once; once it has ended, its outcome counts."""
        call, ask = pend.straggler, pend.waiting.ask
        if call is None:
            return False
        if not call.done():
            then = self._launch if ask.lookup is None else self._look  # type: ignore[attr-defined]
            self._later(pend, self._now() + LOOK_AGAIN.wait(1, 0), then)
            return True
        pend.straggler = None
        error = call.exception()
        self._called(pend, None if error is not None else call.result(), error, 0)
        return True

    def _named(self, pend: Pend, error: BaseException) -> BaseException:
        ask: Effect = pend.waiting.ask  # type: ignore[assignment]
        return timed_out(f"effect {ask.name!r}", ask.timeout, error) if isinstance(error, Expired) else error

    def _not_sent(self, pend: Pend, error: BaseException, took: int) -> None:
        """Certainly not sent: may be called again with the same key."""
        ask: Effect = pend.waiting.ask  # type: ignore[assignment]
        retry = ask.retry or NEVER
        if pend.waiting.branch.doom is None and retry.allows(error, pend.failures + 1):
            self._note_failure(pend, error, retry, self._launch)
        else:
            if pend.doubtful:
                error = Unknown(f"effect {ask.name!r}: the last attempt was not sent ({said(error)}), but one "
                                "before may be")  # fmt: skip
            self._resolve(pend, None, error, took)

    # -- nobody knows ---------------------------------------------------------------------------------------------

    def _unknown(self, pend: Pend, error: BaseException | None) -> None:
        """It may have happened. ``error`` is ``None`` after a crash."""
        ask: Effect = pend.waiting.ask  # type: ignore[assignment]
        if ask.lookup is not None:
            if error is not None:
                self._note_failure(pend, error, None, self._look)
            else:
                self._look(pend)
            return
        retry = ask.retry or NEVER
        if error is None:
            pend.doubtful = True
            self._launch(pend)  # at least once, with the same key: nothing tells whether it happened
        elif retry.allows(error, pend.failures + 1):
            pend.doubtful = True
            self._note_failure(pend, error, retry, self._launch)
        else:
            self._resolve(pend, None, error, 0)

    def _look(self, pend: Pend) -> None:
        if not self._wanted(pend):
            return
        ask: Effect = pend.waiting.ask  # type: ignore[assignment]
        pend.busy, pend.due = True, 0
        self._spawn(pend, ask.lookup, (pend.key, *ask.args), {}, self._looked)

    def _looked(self, pend: Pend, answer: Any, error: BaseException | None, took: int) -> None:
        if not self._wanted(pend):
            return
        ask: Effect = pend.waiting.ask  # type: ignore[assignment]
        if isinstance(answer, Found):
            self._resolve(pend, answer.value, None, took)
        elif isinstance(answer, NotFound):
            self._not_found(pend, ask)
        else:
            if error is None:
                error = InvalidInput(f"lookup of effect {ask.name!r}", answer, "Found(value) or NotFound()")
            # its own count: attempts at the effect have a limit, looking has none
            pend.lost_at = 0
            pend.looks += 1
            _log.warning(
                "[%s] effect %r is unknown and its look-up failed: %s",
                pend.run.id,
                ask.name,
                self._named(pend, error),
                extra={"run": pend.run.id, "step": ask.name},
            )
            self._later(pend, self._now() + LOOK_AGAIN.wait(min(pend.looks, 8), 0), self._look)

    def _not_found(self, pend: Pend, ask: Effect) -> None:
        if self._straggles(pend):
            return
        now, pend.looks = self._now(), 0
        if not pend.lost_at:
            pend.lost_at = now
        missing = pend.lost_at + ask.grace - now
        if missing > 0:
            # it may only not be visible yet; the longer it is not, the less often it is looked for
            wait = max(LOOK_AGAIN.wait(1, 0), now - pend.lost_at)
            self._later(pend, now + min(missing, wait), self._look)
        elif pend.failures > (ask.retry or AFTER_LOOKING).limit:
            self._resolve(pend, None, _never_there(ask, pend), 0)
        else:
            self._launch(pend)

    # -- bookkeeping ----------------------------------------------------------------------------------------------

    def _note_failure(self, pend: Pend, error: BaseException, retry: Retry | None, then: Any) -> None:
        """Record the failed attempt; go on after the policy's wait, or at once to look."""
        pend.failures += 1
        now = self._now()
        due = now
        if retry is not None:
            due = max(now + retry.wait(pend.failures, 0.5), self._not_before(pend))
        self._runs.log.record(pend.run, tried(pend, error, now, due))
        self._later(pend, due, then)

    def _not_before(self, pend: Pend) -> int:
        """When trying again may first make sense (ns)."""
        return 0

    def _later(self, pend: Pend, due: int, then: Any) -> None:
        pend.busy = True  # an effect under way: the run is not parked
        pend.due = due
        pend.fire = then
        self._runs.timers.pend(pend)
        self._runs.settle(pend.run)
        self._runs.on_ready()

    def _resolve(self, pend: Pend, value: Any, error: BaseException | None, took: int) -> None:
        """The outcome is certain."""
        record, answer = outcome(pend.waiting, self._now(), value, error, key=pend.key, took=took)
        self._runs.deliver(pend.run, pend, record, answer)
        self._runs.on_ready()

    def _wanted(self, pend: Pend) -> bool:
        """Is the effect still being followed, and the disk in order?"""
        return pend.run.pends.get(pend.place) is pend and self._runs.log.fault is None


def identity(waiting: Waiting) -> tuple[str, str, str, int]:
    """By what an ask is known across attempts: branch, kind, name, occurrence."""
    ask: Any = waiting.ask
    return waiting.branch.path, ask.kind, ask.name, waiting.occ


def _never_there(ask: Effect, pend: Pend) -> Exception:
    """What several attempts come to none of which can be found.

    After a grace that is certain: nothing was done. Without one it is only a time to give up.
    """
    if ask.grace:
        return NeverArrived(ask.name, pend.key, pend.failures)
    return TimedOut(f"effect {ask.name!r}", f"{pend.failures} attempts", "none of them can be found")
