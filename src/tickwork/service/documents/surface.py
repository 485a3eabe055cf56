"""What every part of the surface works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, Protocol
from uuid import uuid4

from tickwork.engines.embedded.engine import Engine
from tickwork.errors import InvalidInput, ServiceError
from tickwork.graph.versioning.versions import DOCUMENT_VIEWS
from tickwork.service.documents.agents import AGENT_VIEWS, Agent
from tickwork.service.documents.coded import INSUFFICIENT_CREDITS
from tickwork.service.documents.executing import Executing
from tickwork.service.documents.history import History
from tickwork.service.documents.opening import Recovered
from tickwork.service.documents.publishing import Publishing
from tickwork.service.documents.shelf import EngineShelf

VIEWS: Final = (*DOCUMENT_VIEWS, *AGENT_VIEWS)
"""The views that the engine must be given."""

CAPACITY: Final = 1_000

VERBS: Final = (
    "create", "update", "publish", "rollback", "versions", "diff", "export", "execute", "status", "metrics", "list",
    "audit_trail", "events", "pause", "resume", "cancel", "retire", "queue_status", "agent_assign", "agents",
)  # fmt: skip
"""What other processes may ask for over the control socket, as ``documents.<name>``."""

Json = dict[str, Any]
Rows = list[Any]


class Credits(Protocol):
    """What executions are paid with, where they cost anything."""

    async def charge(self, owner: str, operation: str, reference: str) -> Decimal | None:
        """Take the price of an operation (``create``, ``execute``) once for a reference; what is lacking, if any.

        The reference is the document's id, or that of the execution's run: no other owner has it.
        """
        ...

    def used(self, reference: str) -> Decimal:
        """What was charged for a reference."""
        ...


class Surface:
    """The workflows of an open engine that was given ``VIEWS`` and what ``recovered`` found.

    Args:
        agents: who may be assigned to tasks, by id.
        credits: ``None``: nothing costs anything.
        capacity: unfinished executions of a workflow beyond which none is started by hand, or by a call.
        new_id: makes ids of executions.

    Raises:
        InvalidInput: the engine does not have the views.
    """

    def __init__(
        self,
        engine: Engine,
        found: Recovered,
        *,
        agents: Mapping[str, Agent] | None = None,
        credits: Credits | None = None,
        capacity: int = CAPACITY,
        new_id: Callable[[], str] = lambda: str(uuid4()),
    ) -> None:
        self.problems = found.problems
        """Versions that could not be made to run when the engine was opened."""
        self._broken = {(one.id, one.version): one.why for one in reversed(found.problems)}
        self._engine = engine
        self._compiled = compiled = found.compiled
        self._shelf = compiled.shelf = EngineShelf(engine)
        compiled.calls.open(engine, capacity)
        self._publishing = Publishing(engine, self._shelf, compiled)
        self._history = History(engine.queries, compiled)
        self._executing = Executing(engine, self._publishing, compiled, self._history, capacity)
        self._agents = dict(agents or {})
        self._credits = credits
        self._new_id = new_id

    async def open(self) -> None:
        """To be called when the engine is open, before anything else. Other processes can ask then, too (``VERBS``)."""
        await self._publishing.open()
        self._engine.offer({f"documents.{name}": getattr(self, name) for name in VERBS})

    async def _charge(self, owner: str, operation: str, reference: str) -> None:
        lacking = None if self._credits is None else await self._credits.charge(owner, operation, reference)
        if lacking is not None:
            details = {"operation": operation, "lacking": str(lacking)}
            raise ServiceError(INSUFFICIENT_CREDITS, f"{lacking} more credits are needed to {operation} it", details)


def check_whole(path: str, value: Any, most: int | None, least: int = 1) -> None:
    """
    Raises:
        InvalidInput: not a whole number from ``least`` to ``most``.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        raise InvalidInput(path, value, f"a whole number from {least}" + (f" to {most}" if most is not None else ""))
