"""How executions come of each other: calls within calls, and events that start what emits the next one."""

from __future__ import annotations

from typing import Final

import msgspec

from tickwork.engines.embedded.engine import Engine
from tickwork.errors import InvalidInput
from tickwork.graph.nodes.views import Emitted
from tickwork.graph.versioning.versions import named

CALLS_MAX: Final = 20
"""Calls within each other."""

CLIMBED_MAX: Final = 100
"""Calls over which the event that began it all is looked for: other nodes that call may nest deeper."""


class _Deep(msgspec.Struct, frozen=True):
    """What of an ``Emitted`` counts here."""

    depth: int = 1


class EngineCalls:
    """``graph.sources.Calls`` of an engine that comes to be later than the workflows that ask.

    Until it is there, at the very beginning of its opening, nothing is refused.
    """

    source_name = "calls"
    configure = "a store of documents"

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._capacity = 0

    def open(self, engine: Engine, capacity: int) -> None:
        """From now on it is known.

        Args:
            capacity: unfinished executions that a workflow may have.
        """
        self._engine = engine
        self._capacity = capacity

    def check(self, workflow: str, run: str) -> None:
        """
        Raises:
            InvalidInput: there are too many unfinished executions of a document, or calls within each other.
        """
        whose = named(workflow)
        if self._engine is None or whose is None:
            return
        origin = self._engine.lineage.origin(run, CALLS_MAX)
        if origin is not None and origin.calls >= CALLS_MAX:
            found = f"a call of {whose.name!r} by an execution that {CALLS_MAX} others led to, each calling the next"
            raise InvalidInput("workflow_id", found, f"at most {CALLS_MAX} calls within each other")
        if self._engine.lineage.unfinished(workflow, self._capacity) >= self._capacity:
            found = f"{whose.name!r}, which has {self._capacity:,} unfinished executions"
            raise InvalidInput("workflow_id", found, "a workflow with fewer of them: nothing was started")

    def depth(self, run: str) -> int:
        """See ``graph.sources.Calls``."""
        origin = None if self._engine is None else self._engine.lineage.origin(run, CLIMBED_MAX)
        if origin is None or origin.event.partition("@")[0] != Emitted.event_name:
            return 0
        return msgspec.json.decode(origin.input, type=_Deep).depth
