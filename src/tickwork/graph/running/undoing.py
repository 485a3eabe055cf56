"""Compensation: when a run fails, the undos of what was done, in reverse order.

Each undo is tried again by the saga's ``UNDO_RETRY``, an effect with the same key; one that cannot be done becomes a
dead letter and an alert, and the others still run. What was undone is forgotten together with everything that came
after it: a new attempt does that anew, under new keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickwork.core.asks import Mishap, Step
from tickwork.errors import Cancelled, InvalidInput
from tickwork.graph.running.calling import Given
from tickwork.graph.running.states import Change
from tickwork.graph.wiring.edges import bits
from tickwork.graph.wiring.planned import Planned

if TYPE_CHECKING:
    from tickwork.graph.running.runner import Execution


async def compensate(execution: Execution) -> None:
    """Undo what was done, the latest first.

    Raises:
        Cancelled: somebody asked for that meanwhile; what had begun to be undone has been undone to its end.
    """
    interrupted: BaseException | None = None
    for index in reversed(execution.done):
        planned = execution.plan.nodes[index]
        if planned.undo is not None:
            interrupted = await _Undoing(execution, planned, planned.undo).to_its_end() or interrupted
    if interrupted is not None:
        raise interrupted


class _Undoing:
    """One node being undone."""

    def __init__(self, execution: Execution, planned: Planned, undo: Planned) -> None:
        self._execution = execution
        self._planned = planned
        self._undo = undo
        self._arms: list[str] = []
        self._done = False
        self._failure: Exception | None = None

    async def to_its_end(self) -> BaseException | None:
        """Undo it, or note that it cannot be undone. Returns what interrupted that."""
        interrupted: BaseException | None = None
        while True:
            try:
                if self._failure is not None:
                    await Mishap(f"undo {self._planned.id}", self._failure)
                else:
                    await self._undone()
                return interrupted
            except Cancelled as told:
                interrupted = told
            except Exception as error:  # noqa: BLE001 - one undo that fails must not keep the others from running
                if error is self._execution.run.interruption:  # the attempt has run out of time
                    interrupted = error
                elif self._failure is not None:
                    return interrupted
                else:
                    self._failure = error
                    self._tell_failed(error)

    def _tell_failed(self, error: Exception) -> None:
        execution, index = self._execution, self._planned.index
        execution.told(Change(index, execution.status[index], undo_error=error))

    async def _undone(self) -> None:
        execution, planned = self._execution, self._planned
        if not self._done:  # else it was interrupted while its last effect was followed to its outcome
            await execution.run.all(self._arm())
        gone = [planned.index, *bits(execution.plan.later[planned.index] & ~execution.forgotten)]
        arms = self._arms + [execution.arms[index] for index in gone if index in execution.arms]
        forgotten = "\n".join(f"{path}*" for path in arms)
        await Step(name=f"undo {planned.id} done", fn=undone, args=(planned.id,), undoes=forgotten)
        execution.forgotten |= execution.plan.later[planned.index] | 1 << planned.index
        execution.told(Change(planned.index, execution.status[planned.index], undone=True))

    async def _arm(self) -> None:
        # in a branch of its own, which is forgotten with what it undid: the next attempt may have to undo it again
        execution, planned, undo = self._execution, self._planned, self._undo
        self._arms.append(execution.run.branch)
        frame = execution.view(planned, own=True)
        scope = execution.scope(undo, frame) if undo.names else {}
        try:
            given = Given(undo, frame, scope)
        except InvalidInput as error:
            raise execution.explained(undo, scope, error) from None
        await execution.call(execution.run, undo, given, execution.context(undo, planned.id), f"undo {planned.id}")
        self._done = True


def undone(node: str) -> str:
    """What a run remembers of a node that was undone."""
    return node
