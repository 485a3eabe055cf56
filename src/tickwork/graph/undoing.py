"""Compensation: when a run fails, the undos of what was done, in reverse order.

Each undo is tried again by the saga's ``UNDO_RETRY``; one that cannot be done becomes a dead letter and an alert, and
the others still run. What was undone is forgotten together with everything that came after it: a new attempt does that
anew, under new keys.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from tickwork.core.asks import Mishap, Step
from tickwork.core.saga import UNDO_RETRY
from tickwork.errors import Cancelled
from tickwork.graph.calling import Given, call
from tickwork.graph.edges import bits
from tickwork.graph.plan import Planned
from tickwork.graph.states import Change
from tickwork.values import duration_text

if TYPE_CHECKING:
    from tickwork.core.run import Run
    from tickwork.graph.runner import Execution


async def compensate(execution: Execution) -> None:
    """Undo what was done, the latest first.

    Raises:
        Cancelled: somebody asked for that meanwhile; what had begun to be undone has been undone to its end.
    """
    interrupted: BaseException | None = None
    for index in reversed(execution.done):
        planned = execution.plan.nodes[index]
        failure: Exception | None = None
        left = planned.undo is not None
        while left:
            try:
                if failure is None:
                    await _undo(execution, planned)
                else:
                    await Mishap(f"undo {planned.id}", failure)
                left = False
            except Cancelled as told:
                interrupted = told
            except Exception as error:  # noqa: BLE001 - one undo that fails must not keep the others from running
                if error is execution.run.interruption:  # the attempt has run out of time
                    interrupted = error
                else:
                    left, failure = failure is None, error
    if interrupted is not None:
        raise interrupted


async def _undo(execution: Execution, planned: Planned) -> None:
    undo, run = planned.undo, execution.run
    assert undo is not None
    arms: list[str] = []

    async def arm() -> None:
        # in a branch of its own, which is forgotten with what it undid: the next attempt may have to undo it again
        arms.append(run.branch)
        given = Given(undo, execution, execution.scope(undo) if undo.names else {})
        await _retried(run, lambda: call(run, undo, given, execution.context(undo), f"undo {planned.id}"))

    await run.all(arm())
    gone = [planned.index, *bits(execution.plan.later[planned.index])]
    arms += [execution.arms[index] for index in gone if index in execution.arms]
    forgotten = "\n".join(f"{path}*" for path in arms)
    await Step(name=f"undo {planned.id} done", fn=undone, args=(planned.id,), undoes=forgotten)
    execution.told(Change(planned.index, execution.status[planned.index], undone=True))


async def _retried(run: Run, make: Callable[[], Awaitable[Any]]) -> None:
    failures = 0
    while True:
        try:
            await make()
            return
        except Exception as error:
            failures += 1
            if not UNDO_RETRY.allows(error, failures):
                raise
        await run.sleep(duration_text(UNDO_RETRY.wait(failures, 0)))


def undone(node: str) -> str:
    """What a run remembers of a node that was undone."""
    return node
