"""Runs a plan: a workflow's body. What a node does is a step, an effect or verbs of the run, so all of it is durable.

Every node has an arm of its own in one ``run.all``, and a latch that opens when it is decided whether it runs. Its
records are therefore found under the node's number whatever the order in which nodes end, in a replay, a new attempt
and a fork alike. A document whose nodes stand in one line needs no arms, and runs in the run's own branch.

Nothing in here is recorded but what nodes ask: skipped nodes, joins and branches follow from recorded results.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from pydantic import BaseModel

from tickwork.core.event import Event
from tickwork.core.language.lookup import shown
from tickwork.core.latch import Latch
from tickwork.core.run import Run
from tickwork.errors import InvalidInput
from tickwork.graph.declare import BRANCH, Context
from tickwork.graph.running.calling import Given, call
from tickwork.graph.running.marks import joined, replaced, replaced_before
from tickwork.graph.running.states import Change, NodeError, Outcome, Status
from tickwork.graph.running.undoing import compensate
from tickwork.graph.running.view import View
from tickwork.graph.wiring.edges import bits
from tickwork.graph.wiring.names import INPUT
from tickwork.graph.wiring.planned import ABSENT, Frame, Plan, Planned

Observe = Callable[[Change], None]
Caller = Callable[[Run, Planned, Given, Context | None, str], Awaitable[Any]]
"""What does a node: ``graph.running.calling.call``, or what reads off a tape what it came to."""

OUTPUT_MAX = 64 << 10
"""Bytes of JSON of a node's outputs that the result of a run holds; what is larger is in the node's own record."""

_FATES: Final[dict[Status, str]] = {"failed": "failed", "skipped": "was skipped"}


class Execution:
    """One run of a plan. Also the ``Frame`` that values are read from."""

    def __init__(
        self, plan: Plan, run: Run, event: Any, trigger: str, observe: Observe | None = None, caller: Caller = call
    ) -> None:
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
        self.forgotten = 0
        """A bit for each node that a new attempt will do anew."""
        self.arms: dict[int, str] = {}
        """The branch of each node's records."""
        self._observe = observe
        self.call = caller
        self.dead = 0
        self._waits = [len(planned.incoming) for planned in plan.nodes]
        self._orders = [sum(link.after for link in planned.incoming) for planned in plan.nodes]
        """Edges to each node that only order, and whose source is not over yet."""
        self._carries = [any(not link.after for link in planned.incoming) for planned in plan.nodes]
        self._alive = [0] * count
        """A bit for each node before, whose edge is alive and carries something."""
        self._over = [0] * count
        """A bit for each node before that is over."""
        self._seen = [0] * count
        """A bit for each node that was over before this one began, as far as its edges tell."""
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

    def context(self, planned: Planned, undoing: str = "") -> Context:
        """What a node may know."""
        run, kind = self.run, self.trigger["type"]
        name, tenant, watched = self.plan.document.name, self.plan.owner, self.plan.watched
        # what starts a run by itself does not say whose it is; the document does
        owner = tenant or run.owner
        return Context(name, planned.id, run.id, owner, self.event, kind, run.now_ns, undoing, watched, tenant)

    def view(self, planned: Planned, *, own: bool = False) -> Frame:
        """What a node reads from; ``own``: from itself as well."""
        if not self.plan.choosing and not self.plan.nodes[planned.main].any:
            return self
        main = planned.main
        seen = self._seen[main] | own << planned.index if self.plan.choosing else -1
        carrying = sum({1 << link.source for link in self.plan.nodes[main].incoming if not link.after})
        return View(self, seen, carrying & ~self._alive[main])

    def scope(self, planned: Planned, frame: Frame) -> dict[str, Any]:
        """The names that a node's expressions read."""
        values = ((name, feed(frame)) for name, feed in planned.names.items())
        found = {name: value for name, value in values if value is not ABSENT}
        if planned.sees_input and planned.before:
            found[INPUT] = {**found[INPUT], **_own(planned, frame)}
        return found

    def explained(self, planned: Planned, scope: dict[str, Any], error: InvalidInput) -> InvalidInput:
        """Of a name that has no value in this run: what became of the nodes that would have given it."""
        missing = next((name for name in planned.names if name not in scope and shown((name,)) == error.found), None)
        if missing is None:
            return error
        nodes, main = self.plan.nodes, planned.main if planned.main >= 0 else planned.index
        givers = [one for one in nodes if one.id == missing] or [
            one for one in nodes if missing in one.type.outputs and self.plan.later[one.index] >> main & 1
        ]
        told = ", ".join(f"{one.id} {_FATES.get(self.status[one.index], 'was not done yet')}" for one in givers)
        return InvalidInput(error.path, missing, f"a name that has a value: {told}") if told else error

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
            self._look(planned, self._alive[index])
            self._skip(planned, self._why[index])
            return
        if self.plan.choosing and planned.stands_for < 0:
            self._look(planned, await self._chosen(planned) if planned.choosing else self._alive[index])
        try:
            done = await self._do(planned)
        except Exception as error:
            if error is self.run.interruption:  # the attempt has run out of time, which is no fault of the node
                raise
            if self.status[index] != "running":
                self.told(Change(index, "running"))
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
        index, frame = planned.index, self.view(planned)
        before = replaced_before(self.run, planned.id) if planned.fallback >= 0 else None
        if before is not None:
            raise before
        scope = self.scope(planned, frame) if planned.names else {}
        try:
            if planned.when is not None and not planned.when(scope):
                self._skip(planned, "its condition does not hold", settle=False)
                return False
            given = Given(planned, frame, scope)
        except InvalidInput as error:
            raise self.explained(planned, scope, error) from None
        if planned.undo is not None:
            self.inputs[index] = given.named
        self.told(Change(index, "running", inputs=given.named))
        context = self.context(planned) if planned.type.context else None
        value = await self.call(self.run, planned, given, context, planned.id)
        self._was_done(planned, planned.type.fields(value))
        return True

    def _was_done(self, planned: Planned, outputs: dict[str, Any]) -> None:
        self.outputs[planned.index] = outputs
        self.done.append(planned.index)
        self.status[planned.index] = "completed"
        if self._observe is not None:
            self._observe(Change(planned.index, "completed", outputs=outputs))

    async def _fall_back(self, planned: Planned, error: Exception) -> bool:
        """Let another node run instead; its outputs stand for this one's."""
        self._note(planned, error)
        self._tried[planned.index].open()
        await self._settled[planned.fallback]
        found = self.outputs[planned.fallback]
        self.outputs[planned.index] = found
        if found is not None:
            await replaced(self.run, planned.id, error)
        return found is not None

    def _note(self, planned: Planned, error: Exception) -> None:
        self.errors.append(NodeError(planned.id, f"{type(error).__name__}: {error}"))

    # -- edges ----------------------------------------------------------------------------------------------------

    def _skip(self, planned: Planned, why: str, *, settle: bool = True) -> None:
        self.told(Change(planned.index, "skipped", reason=why))
        if planned.index in self._tried:
            self._tried[planned.index].open()
        if settle:
            self._settle(planned, done=False)

    def _settle(self, planned: Planned, done: bool) -> None:
        """It is known what became of a node: so it is of the edges from it."""
        outputs, bit = self.outputs[planned.index], 1 << planned.index
        branch = outputs.get(BRANCH) if done and outputs is not None else None
        for link in planned.outgoing:
            target = link.target
            self._waits[target] -= 1
            self._over[target] |= bit
            if link.after:
                self._orders[target] -= 1
            elif done and (not link.branch or link.branch == branch):
                self._alive[target] |= bit
            elif not self._why[target]:
                self._why[target] = f"{planned.id} {_told(self.status[planned.index], link.branch, done)}"
            self._decide(self.plan.nodes[target])

    def _decide(self, planned: Planned) -> None:
        """Open a node's latch once its edges say whether it runs."""
        index = planned.index
        ordered = self._waits[index] == 0
        if planned.any:
            # the first edge that is alive is enough, once those that only order have been heard
            decided = ordered or (self._alive[index] > 0 and not self._orders[index])
            self._dead[index] = ordered and self._carries[index] and not self._alive[index]
        else:
            self._dead[index] = self._dead[index] or bool(self._why[index])
            decided = ordered or self._dead[index]
        if decided and self._ready:
            self._ready[index].open()

    # -- what a node sees -----------------------------------------------------------------------------------------

    async def _chosen(self, planned: Planned) -> int:
        """Which of the edges that are alive a join goes on with; a bit for each node they come from."""
        index, nodes = planned.index, self.plan.nodes
        alive = bits(self._alive[index])
        names = set(await joined(self.run, planned.id, [nodes[source].id for source in alive]))
        wanted = sum(1 << source for source in planned.before if nodes[source].id in names)
        while wanted & ~self._over[index]:  # those it went on with in an earlier attempt
            self._ready[index] = self.run.latch()
            await self._ready[index]
        return wanted & self._alive[index] or self._alive[index]

    def _look(self, planned: Planned, chosen: int) -> None:
        """What was over before the node is what was over before those that its edges come from, and these."""
        if self.plan.choosing:
            for link in planned.incoming:
                if link.after or chosen >> link.source & 1:
                    self._seen[planned.index] |= self._seen[link.source] | 1 << link.source

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


def _own(planned: Planned, frame: Frame) -> dict[str, Any]:
    """What a node's own inputs will be, as far as that can be said."""
    found = {}
    for port, feed, _ in planned.fed:
        try:
            # what a port gathers is a list; by that name `input` has what one node before gave
            value = ABSENT if feed is None or port.many else feed(frame)
        except InvalidInput:
            continue  # told of when the node is given its inputs, if its condition lets it come to that
        if value is not ABSENT:
            found[port.name] = value
    return found


def _told(status: Status, branch: str, done: bool) -> str:
    if done:
        return f"did not take the branch {branch!r}"
    return _FATES.get(status, "did not run")


def told(outputs: dict[str, Any]) -> dict[str, Any]:
    """Outputs as plain JSON values; what is too large only by its size."""
    plain: dict[str, Any] = msgspec.to_builtins(outputs, enc_hook=_plain)
    size = len(msgspec.json.encode(plain))
    return plain if size <= OUTPUT_MAX else {"omitted": f"{size:,} bytes"}


def _plain(value: Any) -> Any:
    if isinstance(value, Event | BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    raise TypeError(type(value).__name__)
