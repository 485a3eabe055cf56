"""Steps and effects that a breaker guards.

A step is refused before each attempt. An effect is refused only as long as it is certain that nothing has left this
process; then the refusal is a certain outcome, like ``NotSent``, whose subclass it is. Once nobody knows whether it has
happened (it was cut off, or its process died) the breaker only delays its next call, because to refuse it would be to say
that it has not. Its look-up asks no breaker: looking is how that becomes known.
"""

from __future__ import annotations

from typing import Any

from tickwork.core.asks import Effect, GuardedEffect, GuardedStep
from tickwork.core.breaker import Breaker
from tickwork.core.drive import PENDING, Waiting
from tickwork.core.tape import Entry
from tickwork.engines.embedded.breakers import Breakers
from tickwork.engines.embedded.calls import Calls, Expired
from tickwork.engines.embedded.effects import LOOK_AGAIN, Effects
from tickwork.engines.embedded.live import LiveRun, Pend
from tickwork.engines.embedded.runs import Runs
from tickwork.engines.embedded.steps import Steps, timed_out
from tickwork.errors import BreakerOpen, NotSent


def _breaker(pend: Pend) -> Breaker:
    ask: GuardedStep | GuardedEffect = pend.waiting.ask  # type: ignore[assignment]
    breaker: Breaker = ask.breaker
    return breaker


def _named(pend: Pend, error: BaseException | None) -> BaseException | None:
    ask: Any = pend.waiting.ask
    return timed_out(str(ask), ask.timeout, error) if isinstance(error, Expired) else error


class GuardedSteps(Steps):
    """Answers ``GuardedStep`` asks: never inside the turn that asks, so that a refusal and a result come alike."""

    def __init__(self, runs: Runs, calls: Calls, breakers: Breakers) -> None:
        super().__init__(runs, calls)
        self._breakers = breakers

    def answer(self, run: LiveRun, waiting: Waiting, intent: Entry | None, late: bool) -> Any:
        """Begin the step, or go on with its attempts."""
        self._breakers.know(waiting.ask.breaker)  # type: ignore[attr-defined]
        self._begin(run, waiting)
        return PENDING

    def _call(self, pend: Pend, fn: Any) -> None:
        refusal = self._breakers.enter(pend, _breaker(pend))
        if refusal is None:
            super()._call(pend, fn)
        else:
            pend.busy = True
            self._runs.enqueue(pend.run, lambda: super(GuardedSteps, self)._done(pend, None, refusal, 0))

    def _done(self, pend: Pend, value: Any, error: BaseException | None, took: int) -> None:
        self._breakers.leave(pend, _named(pend, error))
        super()._done(pend, value, error, took)


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
        """Record the intent, and call once it is on disk and the breaker lets it through."""
        self._breakers.know(waiting.ask.breaker)  # type: ignore[attr-defined]
        return super().answer(run, waiting, intent, late)

    def _call(self, pend: Pend, ask: Effect) -> None:
        self._resting.discard(pend)
        if pend not in self._doubted and pend.failures and pend.waiting.branch.doom is not None:
            self._resolve(pend, None, NotSent("its run was cancelled before it was sent"), 0)
            return
        refusal = self._breakers.enter(pend, _breaker(pend))
        if refusal is None:
            super()._call(pend, ask)
        elif pend in self._doubted:
            due = max(refusal.retry_at, self._now() + LOOK_AGAIN.wait(1, 0))
            self._later(pend, due, self._launch if ask.lookup is None else self._look)
        else:
            self._not_sent(pend, refusal, 0)

    def _called(self, pend: Pend, value: Any, error: BaseException | None, took: int) -> None:
        self._breakers.leave(pend, _named(pend, error))
        super()._called(pend, value, error, took)

    def _not_sent(self, pend: Pend, error: BaseException, took: int) -> None:
        if isinstance(error, BreakerOpen):
            self._resting.add(pend)
        super()._not_sent(pend, error, took)

    def _unknown(self, pend: Pend, error: BaseException | None) -> None:
        self._doubted.add(pend)
        super()._unknown(pend, error)

    def _resolve(self, pend: Pend, value: Any, error: BaseException | None, took: int) -> None:
        self.dropped(pend)
        super()._resolve(pend, value, error, took)

    def dropped(self, pend: Pend) -> None:
        """Nothing more will be done for it."""
        self._doubted.discard(pend)
        self._resting.discard(pend)

    def doomed(self, pend: Pend) -> None:
        """Its run is being cancelled: what rests need not wait until its breaker would let it through."""
        if pend in self._resting:
            self._runs.enqueue(pend.run, lambda: self._launch(pend))
