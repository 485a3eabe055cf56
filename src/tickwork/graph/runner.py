"""Runs a plan: a workflow's body. What a node does is a step, an effect or verbs of the run, so all of it is durable.

Every node has an arm of its own in one ``run.all``, and a latch that opens when it is decided whether it runs. Its
records are therefore found under the node's number whatever the order in which nodes end, in a replay, a new attempt
and a fork alike. A document whose nodes stand in one line needs no arms, and runs in the run's own branch.

Nothing in here is recorded but what nodes ask: skipped nodes, joins and branches follow from recorded results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from pydantic import BaseModel

from tickwork.core.event import Event
from tickwork.core.latch import Latch
from tickwork.core.run import Run
from tickwork.errors import Cancelled
from tickwork.graph.calling import Given, call
from tickwork.graph.declare import BRANCH, Context
from tickwork.graph.plan import ABSENT, Plan, Planned
from tickwork.graph.states import Change, NodeError, Outcome, Status
from tickwork.graph.undoing import compensate
from tickwork.values import timestamp_ns

Observe = Callable[[Change], None]

OUTPUT_MAX = 64 << 10
"""Bytes of JSON of a node's outputs that the result of a run holds; what is larger is in the node's own record."""


class Execution:
    """One run of a plan. Also the ``Frame`` that values are read from."""

    def __init__(self, plan: Plan, run: Run, event: Any, trigger: str, observe: Observe | None = None) -> None:
        count = len(plan.nodes)
        self.plan = plan
        self.run = run
        self.event = event
        self.trigger = {"type": trigger}
        self.outputs: list[dict[str, Any] | None] = [None] * count
        self.inputs: dict[int, dict[str, Any]] = {}
        self.status: list[Status] = ["pending"] * count
        self.errors: list[NodeError] = []
        self.done: list[int] = []
        """Nodes that were done, in the order in which they were."""
        self.arms: dict[int, str] = {}
        """The branch of each node's records."""
        self._observe = observe
        self._waits = [len(planned.incoming) for planned in plan.nodes]
        self._alive = [0] * count
        """Edges to each node that are alive and carry something."""
        self._dead = [False] * count
        self._why = [""] * count
        self._ready: list[Latch] = []
        self._tried: dict[int, Latch] = {}
        """Of nodes with a fallback: opened when it is known whether they failed."""
        self._settled: dict[int, Latch] = {}
        """Of those fallbacks: opened when it is known what became of them."""

    async def result(self) -> Outcome:
        """Run it.

        Raises:
            Whatever a node raises whose ``onError`` is ``stop``; what was done and has an undo has been undone.
        """
        try:
            if self.plan.chain:
                for index in self.plan.order:
                    await self._take_part(self.plan.nodes[index])
            else:
                await self._arms()
        except GeneratorExit:
            raise  # only put aside: it goes on later
        except BaseException:
            self._cancelled()
            if self.plan.undoable:
                await compensate(self)
            raise
        return self._outcome()

    def told(self, change: Change) -> None:
        """A node's status has changed."""
        self.status[change.node] = change.status
        if self._observe is not None:
            self._observe(change)

    def context(self, planned: Planned) -> Context:
        """What a node may know."""
        run, document = self.run, self.plan.document
        return Context(
            document.name, planned.id, run.id, run.owner, self.event, self.trigger["type"], timestamp_ns(run.now())
        )

    def scope(self, planned: Planned) -> dict[str, Any]:
        """The names that a node's expressions read."""
        values = ((name, feed(self)) for name, feed in planned.names.items())
        return {name: value for name, value in values if value is not ABSENT}

    # -- arms -----------------------------------------------------------------------------------------------------

    async def _arms(self) -> None:
        latch = self.run.latch
        self._ready = [latch() for _ in self.plan.nodes]
        self._tried = {planned.index: latch() for planned in self.plan.nodes if planned.fallback >= 0}
        self._settled = {planned.fallback: latch() for planned in self.plan.nodes if planned.fallback >= 0}
        await self.run.all(*(self._arm(planned) for planned in self.plan.nodes))

    async def _arm(self, planned: Planned) -> None:
        index = planned.index
        self.arms[index] = self.run.branch
        if planned.stands_for >= 0:
            await self._tried[planned.stands_for]
            if self.status[planned.stands_for] != "failed":
                self._skip(planned, f"{self.plan.nodes[planned.stands_for].id} did not fail")
            else:
                await self._take_part(planned)
            self._settled[index].open()
            return
        if planned.incoming:
            await self._ready[index]
        await self._take_part(planned)

    async def _take_part(self, planned: Planned) -> None:
        """A node whose turn has come: it runs, or is skipped, and those after it hear of it."""
        index = planned.index
        if self._dead[index]:
            self._skip(planned, self._why[index])
            if index in self._tried:
                self._tried[index].open()
            return
        try:
            done = await self._do(planned)
        except Cancelled:
            raise
        except Exception as error:
            self.told(Change(index, "failed", error=error))
            if planned.fallback >= 0:
                done = await self._fall_back(planned, error)
            elif planned.node.on_error == "continue":
                self._note(planned, error)
                done = False
            else:
                raise
        if index in self._tried:
            self._tried[index].open()
        self._settle(planned, done)

    async def _do(self, planned: Planned) -> bool:
        """Run a node; False where its condition does not hold."""
        index = planned.index
        scope = self.scope(planned) if planned.names else {}
        if planned.when is not None and not planned.when(scope):
            self._skip(planned, "its condition does not hold", settle=False)
            return False
        given = Given(planned, self, scope)
        if planned.undo is not None:
            self.inputs[index] = given.named
        self.told(Change(index, "running", inputs=given.named))
        value = await call(self.run, planned, given, self.context(planned), planned.id)
        self._was_done(planned, planned.type.fields(value))
        return True

    def _was_done(self, planned: Planned, outputs: dict[str, Any]) -> None:
        self.outputs[planned.index] = outputs
        self.done.append(planned.index)
        self.told(Change(planned.index, "completed", outputs=outputs))

    async def _fall_back(self, planned: Planned, error: Exception) -> bool:
        """Let another node run instead; its outputs stand for this one's."""
        self._note(planned, error)
        self._tried[planned.index].open()
        await self._settled[planned.fallback]
        found = self.outputs[planned.fallback]
        self.outputs[planned.index] = found
        return found is not None

    def _note(self, planned: Planned, error: Exception) -> None:
        self.errors.append(NodeError(planned.id, f"{type(error).__name__}: {error}"))

    # -- edges ----------------------------------------------------------------------------------------------------

    def _skip(self, planned: Planned, why: str, *, settle: bool = True) -> None:
        self.told(Change(planned.index, "skipped", reason=why))
        if settle:
            self._settle(planned, done=False)

    def _settle(self, planned: Planned, done: bool) -> None:
        """It is known what became of a node: so it is of the edges from it."""
        outputs = self.outputs[planned.index]
        branch = outputs.get(BRANCH) if done and outputs is not None else None
        for link in planned.outgoing:
            target = link.target
            self._waits[target] -= 1
            if link.after:
                pass
            elif done and (not link.branch or link.branch == branch):
                self._alive[target] += 1
            elif not self._why[target]:
                self._why[target] = f"{planned.id} {_told(self.status[planned.index], link.branch, done)}"
            self._decide(self.plan.nodes[target])

    def _decide(self, planned: Planned) -> None:
        """Open a node's latch once its edges say whether it runs."""
        index = planned.index
        carrying = sum(not link.after for link in planned.incoming)
        ordered = self._waits[index] == 0
        if planned.any:
            # the first edge that is alive is enough, once those that only order have been heard
            decided = ordered or (self._alive[index] > 0 and not any(link.after for link in planned.incoming))
            self._dead[index] = ordered and carrying > 0 and self._alive[index] == 0
        else:
            self._dead[index] = self._dead[index] or bool(self._why[index])
            decided = ordered or self._dead[index]
        if decided and self._ready:
            self._ready[index].open()

    # -- the end --------------------------------------------------------------------------------------------------

    def _cancelled(self) -> None:
        for index, status in enumerate(self.status):
            if status == "running":
                self.told(Change(index, "cancelled"))

    def _outcome(self) -> Outcome:
        nodes = self.plan.nodes
        last = {planned.index for planned in nodes if not planned.outgoing and planned.stands_for < 0}
        outputs = {nodes[index].id: told(found) for index in sorted(last) if (found := self.outputs[index]) is not None}
        statuses = {planned.id: self.status[planned.index] for planned in nodes}
        return Outcome("completed_with_errors" if self.errors else "completed", statuses, outputs, self.errors)


def _told(status: Status, branch: str, done: bool) -> str:
    if done:
        return f"did not take the branch {branch!r}"
    return {"failed": "failed", "skipped": "was skipped"}.get(status, "did not run")


def told(outputs: dict[str, Any]) -> dict[str, Any]:
    """Outputs as plain JSON values; what is too large only by its size."""
    plain: dict[str, Any] = msgspec.to_builtins(outputs, enc_hook=_plain)
    size = len(msgspec.json.encode(plain))
    return plain if size <= OUTPUT_MAX else {"omitted": f"{size:,} bytes"}


def _plain(value: Any) -> Any:
    if isinstance(value, Event | BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    raise TypeError(type(value).__name__)
