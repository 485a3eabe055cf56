"""What the owner of a tape does for other processes: the verbs of its control socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tickwork.core.event import newest_event, read_event
from tickwork.errors import InvalidInput, NewerEvent, NotFound

if TYPE_CHECKING:
    from tickwork.engines.embedded.engine import Engine


class Owner:
    """The verbs of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def verbs(self) -> dict[str, Any]:
        """Verb -> coroutine function of the request's fields."""
        engine = self._engine
        verbs: dict[str, Any] = {
            "status": self.status,
            "start": self.start,
            "emit": self.emit,
            "cancel": lambda run, reason="": engine.cancel(run, reason),
            "pause": lambda run: engine.pause(run),
            "resume": lambda run: engine.resume(run),
            "redrive": lambda run: engine.redrive(run),
            "approve": lambda id, yes, by="": engine.approve(id, bool(yes), by),
        }
        for part in engine._parts:
            verbs |= part.verbs()
        return verbs

    async def status(self) -> dict[str, Any]:
        """Counts of runs, the last position on disk, how many runs are in memory, and the workflows it was given."""
        await self._engine.durable()
        return {**self._engine.status(), "workflows": [[w.name, w.version] for w in self._engine.workflows]}

    async def start(
        self, workflow: str, input: Any = None, id: str | None = None, version: int | None = None, owner: str = ""
    ) -> str:
        """Start a run of a workflow by name; returns the run's id."""
        known = [w for w in self._engine.workflows if w.name == workflow and version in (None, w.version)]
        if not known:
            names = ", ".join(sorted({w.name for w in self._engine.workflows}))
            raise NotFound("workflow", workflow, f"one of {names}")
        newest = max(known, key=lambda w: w.version)
        return (await self._engine.start(newest, input, id=id, owner=owner)).id

    async def emit(
        self, name: str, payload: Any = None, delay: str | None = None, version: int | None = None
    ) -> dict[str, Any]:
        """Publish an event by name; returns its position, and whether it was kept as a dead letter instead."""
        fields = {} if payload is None else payload
        if not isinstance(fields, dict):
            raise InvalidInput("payload", payload, "a JSON object of the event's fields")
        classes = [cls for (known, _), cls in self._engine.event_classes.items() if known == name]
        # an event that no workflow starts on may still be what a run waits for or a view folds
        newest = max(classes, key=lambda cls: cls.event_version, default=None) or newest_event(name)
        if newest is None:
            names = ", ".join(sorted({known for known, _ in self._engine.event_classes}))
            raise NotFound("event", name, f"one of {names}")
        if version is None:
            return {"seq": await self._engine.emit(newest(**fields), delay=delay), "letter": False}
        data = msgspec.json.encode(fields)
        try:
            event = read_event(name, version, data) or newest.read(version, data)
        except NewerEvent as error:
            return {"seq": await self._engine.letters.keep(name, version, data, error), "letter": True}
        return {"seq": await self._engine.emit(event, delay=delay), "letter": False}
