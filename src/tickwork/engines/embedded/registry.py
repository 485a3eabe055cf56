"""The workflows of an open engine: added and retired while it runs.

What events, schedules, queues and flow control make of ``add`` is what they would make of it if the engine were closed
and opened again with the workflow at the end of ``workflows=``. All of that is decided between two turns, at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tickwork.core.workflow import Workflow
from tickwork.engines.embedded.crank import Crank
from tickwork.engines.embedded.events import Events
from tickwork.engines.embedded.flow import Flows
from tickwork.engines.embedded.listeners import newest
from tickwork.engines.embedded.runs import Runs
from tickwork.errors import InvalidInput


class Starter(Protocol):
    """What starts runs: events, schedules, queues."""

    def fits(self, workflow: Workflow) -> None:
        """Raises ``InvalidInput`` if it cannot start this one, beside those that it starts already."""
        ...

    def put(self, workflow: Workflow) -> None:
        """From now on it starts this one, in place of other versions of its name; it fits."""
        ...

    def retire(self, name: str) -> None:
        """It starts none of this name any more."""
        ...


class Registry:
    """Which workflows there are, and which of them take what is new."""

    def __init__(self, runs: Runs, crank: Crank, events: Events, flows: Flows, starters: list[Starter]) -> None:
        self._runs = runs
        self._crank = crank
        self._events = events
        self._flows = flows
        self._starters: list[Starter] = [events, *starters]
        self._newest = {workflow.name: workflow for workflow in newest(runs.workflows.values())}
        self._retired: set[str] = set()
        self.admits: Callable[[str], bool] = lambda name: True
        """May a workflow of this name that is added take what is new? One that may not rests, as if it had retired."""

    @property
    def starting(self) -> list[Workflow]:
        """What takes what is new: of each name that has not retired, the newest version."""
        return [workflow for name, workflow in self._newest.items() if name not in self._retired]

    def has(self, workflow: Workflow) -> bool:
        """Is it this very workflow that is registered under its name and version?"""
        return self.find(workflow.name, workflow.version) is workflow

    def find(self, name: str, version: int) -> Workflow | None:
        """The workflow of a name and a version."""
        return self._runs.workflows.get((name, version))

    def fits(self, workflow: Workflow) -> tuple[bool, bool]:
        """Could it be added? Whether it would take over from an older version, and whether it comes back.

        Raises:
            InvalidInput: as ``Engine.add``.
        """
        self._check(workflow)
        known = self._newest.get(workflow.name)
        takes_over = known is None or known.version < workflow.version
        returns = known is workflow and workflow.name in self._retired
        if takes_over or returns:
            for starter in self._starters:
                starter.fits(workflow)
        return takes_over, returns

    async def add(self, workflow: Workflow) -> None:
        """See ``Engine.add``."""
        takes_over, returns = self.fits(workflow)
        key, admitted = (workflow.name, workflow.version), self.admits(workflow.name)
        with self._crank:
            if key not in self._runs.workflows:
                self._runs.workflows[key] = workflow
                self._events.note(workflow)
            if takes_over:
                self._newest[workflow.name] = workflow
                self._flows.put(workflow)
            if not admitted:
                self._retired.add(workflow.name)
            elif takes_over or returns:
                self._retired.discard(workflow.name)
                for starter in self._starters:
                    starter.put(workflow)
        await self._wake_stranded(key)
        await self._done()

    def _check(self, workflow: Workflow) -> None:
        if not isinstance(workflow, Workflow):
            raise InvalidInput("Engine.add(workflow)", workflow, "a function decorated with @workflow")
        key = (workflow.name, workflow.version)
        if self._runs.workflows.get(key, workflow) is not workflow:
            raise InvalidInput(
                "Engine.add(workflow)",
                f"{workflow.name!r} version {workflow.version} once more",
                "names that are unique by version: give it another version",
            )

    async def retire(self, name: str) -> None:
        """See ``Engine.retire``."""
        if name not in self._newest:
            known = ", ".join(sorted(self._newest)[:20]) or "there is none"
            raise InvalidInput("Engine.retire(name)", name, f"the name of a registered workflow: {known}")
        if name not in self._retired:
            self._retired.add(name)
            with self._crank:
                for starter in self._starters:
                    starter.retire(name)
                self._flows.retire(name)
        await self._done()

    def let_go(self, workflow: Workflow) -> bool:
        """Forget an older version, as if it had never been added; False: it is the newest, or a run in memory is of it.

        Whoever asks knows that no run on disk needs it: such a run would be stranded until it is added again.
        """
        newest = self._newest.get(workflow.name)
        if newest is None or newest is workflow or not self.has(workflow):
            return False
        if any(run.workflow is workflow for run in self._runs.hot.values()):
            return False
        del self._runs.workflows[workflow.name, workflow.version]
        return True

    async def _wake_stranded(self, key: tuple[str, int]) -> None:
        """Runs that lacked this workflow go on, when it is on disk that they were stranded."""
        if key in self._runs.stranded:
            await self._runs.log.durable()
            for seq in sorted(self._runs.stranded.pop(key, ())):
                self._runs.enqueue_parked(seq)

    async def _done(self) -> None:
        self._crank.pump()
        await self._runs.log.durable()
