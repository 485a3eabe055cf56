"""Steps and effects that a breaker guards.

A step is refused before each attempt. An effect is refused only as long as it is certain that nothing has left this
process, if it can be before its intent is recorded; then the refusal is a certain outcome, like every ``NotSent``. Once
nobody knows whether it has happened (it was cut off, or its process died) the breaker only delays its next call: to
refuse it would be to say that it has not. Its look-up asks no breaker: looking is how that becomes known.
"""

from __future__ import annotations

from typing import Any

from tickwork.core.asks import Effect
from tickwork.core.branch import describe
from tickwork.core.drive import PENDING, Waiting
from tickwork.core.tape import Entry
from tickwork.engines.embedded.breakers import Breakers
from tickwork.engines.embedded.calls import Calls, Expired
from tickwork.engines.embedded.effects import LOOK_AGAIN, Effects, identity
from tickwork.engines.embedded.live import LiveRun, Pend
from tickwork.engines.embedded.runs import Runs
from tickwork.engines.embedded.steps import Steps, timed_out
from tickwork.errors import BreakerOpen, NotSent


def _named(pend: Pend, error: BaseException | None) -> BaseException | None:
    ask: Any = pend.waiting.ask
    return timed_out(describe(ask), ask.timeout, error) if isinstance(error, Expired) else error


class GuardedSteps(Steps):
    """Answers ``GuardedStep`` asks: never inside the turn that asks, so that a refusal and a result come alike."""

    def __init__(self, runs: Runs, calls: Calls, breakers: Breakers) -> None:
        super().__init__(runs, calls)
        self._breakers = breakers

    def answer(self, run: LiveRun, waiting: Waiting, intent: Entry | None, late: bool) -> Any:
        """Begin the step, or go on with its attempts."""
        self._breakers.know(waiting.ask.breaker, run.workflow)  # type: ignore[attr-defined]
        self._begin(run, waiting)
        return PENDING

    def _call(self, pend: Pend, fn: Any) -> None:
        refusal = self._breakers.enter(pend)
        if refusal is None:
            super()._call(pend, fn)
        else:
            pend.busy = True
            self._runs.enqueue(pend.run, lambda: super(GuardedSteps, self)._done(pend, None, refusal, 0))

    def _done(self, pend: Pend, value: Any, error: BaseException | None, took: int) -> None:
        self._breakers.leave(pend, _named(pend, error))
        super()._done(pend, value, error, took)

    def _not_before(self, pend: Pend) -> int:
        return self._breakers.rests_until(pend)


class GuardedEffects(Effects):
    """Answers ``GuardedEffect`` asks."""

    def __init__(self, runs: Runs, calls: Calls, breakers: Breakers) -> None:
        super().__init__(runs, calls)
        self._breakers = breakers
        self._doubted: set[Pend] = set()
        """Effects that may have happened."""
        self._resting: set[Pend] = set()
        """Effects that have certainly not happened, and wait to be tried again."""
        runs._doomed_effect = self.doomed
        breakers.on_dropped = self.dropped

    def answer(self, run: LiveRun, waiting: Waiting, intent: Entry | None, late: bool) -> Any:
        """Record the intent, if the breaker would let it through; call when that is on disk, and it still would."""
        self._breakers.know(waiting.ask.breaker, run.workflow)  # type: ignore[attr-defined]
        course = run.course
        if intent is not None or (course is not None and identity(waiting) in course.doubtful):
            return super().answer(run, waiting, intent, late)
        pend = self._runs.pend(run, waiting)
        pend.busy = True
        tried = [] if course is None else course.tried.get(pend.place, [])
        if tried:  # it was refused before this process, and has no intent yet
            pend.failures, pend.asked_at = len(tried), tried[0].record.at
            self._resting.add(pend)
            self._later(pend, max(tried[-1].record.due, self._now()), self._launch)
        else:
            pend.asked_at = self._now()
            self._call(pend, waiting.ask)  # type: ignore[arg-type]
        return PENDING

    def _call(self, pend: Pend, ask: Effect) -> None:
        self._resting.discard(pend)
        intended = pend.key is not None
        refusal = self._breakers.enter(pend) if intended else self._breakers.refuses(pend)
        if refusal is None and intended:
            super()._call(pend, ask)
        elif refusal is None:
            self._intend(pend, ask)
        elif pend in self._doubted:
            due = max(refusal.retry_at, self._now() + LOOK_AGAIN.wait(1, 0))
            self._later(pend, due, self._launch if ask.lookup is None else self._look)
        else:
            self._refuse(pend, refusal)

    def _refuse(self, pend: Pend, refusal: BreakerOpen) -> None:
        """In a turn of its own: it may have been asked in this one."""
        self._runs.enqueue(pend.run, lambda: self._not_sent(pend, refusal, 0))

    def _intend(self, pend: Pend, ask: Effect) -> None:
        pend.key = self._runs.names.effect_key(pend.run, pend.waiting)
        self._runs.log.record(pend.run, self._intent(pend, ask))
        if not self._runs.turning:
            self._runs.settle(pend.run)  # its row leads to the intent
        self._runs.log.after(lambda: self._launch(pend))

    def _called(self, pend: Pend, value: Any, error: BaseException | None, took: int) -> None:
        self._breakers.leave(pend, _named(pend, error))
        super()._called(pend, value, error, took)

    def _not_sent(self, pend: Pend, error: BaseException, took: int) -> None:
        if not self._wanted(pend):
            return
        if isinstance(error, BreakerOpen):
            self._resting.add(pend)
        super()._not_sent(pend, error, took)

    def _unknown(self, pend: Pend, error: BaseException | None) -> None:
        self._doubted.add(pend)
        super()._unknown(pend, error)

    def _resolve(self, pend: Pend, value: Any, error: BaseException | None, took: int) -> None:
        self.dropped(pend)
        pend.key = pend.key or ""
        super()._resolve(pend, value, error, took)

    def _not_before(self, pend: Pend) -> int:
        return self._breakers.rests_until(pend)

    def dropped(self, pend: Pend) -> None:
        """Nothing more will be done for it."""
        self._doubted.discard(pend)
        self._resting.discard(pend)

    def doomed(self, pend: Pend) -> None:
        """Its run is being cancelled: what rests is not made any more, and need not wait to be refused again."""
        if pend in self._resting:
            self._runs.enqueue(pend.run, lambda: self._give_up(pend))

    def _give_up(self, pend: Pend) -> None:
        if pend in self._resting:
            self._resolve(pend, None, NotSent("its run was cancelled before it was sent"), 0)
