"""What the owner of a tape does for other processes: the verbs of its control socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw

from tickwork.core.event import Event, newest_event, read_event
from tickwork.core.tape import Record
from tickwork.core.workflow import Workflow
from tickwork.engines.embedded.anew import forked, rerun
from tickwork.engines.embedded.arrivals import Arrival
from tickwork.errors import Conflict, InvalidInput, NewerEvent, NotFound

if TYPE_CHECKING:
    from tickwork.engines.embedded.engine import Engine


class KnownWorkflow(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow that an engine was given."""

    name: str
    versions: list[int]
    triggers: list[str]
    """What starts the newest version, in words."""
    description: str
    """Of its function."""


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
            "rerun": self.rerun,
            "fork": self.fork,
            "workflows": self.workflows,
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

    async def rerun(self, run: str, input: Any = None, id: str | None = None) -> str:
        """Start a run anew, with its input or another; returns the new run's id."""
        return (await rerun(self._engine, run, input, id)).id

    async def fork(self, run: str, from_step: str, input: Any = None, id: str | None = None, live: bool = False) -> str:
        """Fork a run here, to act for real, which has to be said; returns the new run's id.

        Asked for again with the same ``id`` it is the fork of then.
        """
        if id is not None and live and await forked(self._engine, run, id):
            return id
        return (await self._engine.fork(run, from_step, input, live=live, new_id=id)).id

    async def workflows(self) -> list[KnownWorkflow]:
        """What the engine was given, the newest version of each name with the numbers of all."""
        versions: dict[str, list[Workflow]] = {}
        for one in self._engine.workflows:
            versions.setdefault(one.name, []).append(one)
        return [_known(name, versions[name]) for name in sorted(versions)]

    async def emit(
        self,
        name: str,
        payload: Any = None,
        delay: str | None = None,
        version: int | None = None,
        id: str | None = None,
        source: str = "outside",
    ) -> dict[str, Any]:
        """Publish an event by name; returns its position, and whether it was kept as a dead letter instead.

        Args:
            id: sent again from the same source within a day, the event is the one of then, and ``repeated`` is true.

        Raises:
            Conflict: another event was published under this id.
        """
        newest = self._newest(name)
        fields = {} if payload is None else payload
        if not isinstance(fields, dict):
            raise InvalidInput("payload", payload, "a JSON object of the event's fields")
        if version is None:
            return await self._publish(newest(**fields), delay, id, source)
        data = msgspec.json.encode(fields)
        try:
            event = read_event(name, version, data) or newest.read(version, data)
        except NewerEvent as error:
            return await self._keep(Record("event", 0, name, value=Raw(data), version=version), error, id, source)
        return await self._publish(event, delay, id, source)

    async def _keep(self, event: Record, error: NewerEvent, id: str | None, source: str) -> dict[str, Any]:
        """An event of a version that is not known here becomes a dead letter: once, where it has an id."""
        letters = self._engine.letters
        if id is None:
            return {"seq": await letters.keep(event.name, event.version, bytes(event.value), error), "letter": True}
        arrival = self._engine.arrivals.once(lambda: letters.unread(event, error), source=source, id=id)
        await self._engine.durable()
        self._check_same(arrival, id, event.name, event.version, bytes(event.value))
        return {"seq": arrival.seq, "letter": True, "repeated": arrival.repeated}

    def _newest(self, name: str) -> type[Event]:
        classes = [cls for (known, _), cls in self._engine.event_classes.items() if known == name]
        # an event that no workflow starts on may still be what a run waits for or a view folds
        newest = max(classes, key=lambda cls: cls.event_version, default=None) or newest_event(name)
        if newest is None:
            names = ", ".join(sorted({known for known, _ in self._engine.event_classes}))
            raise NotFound("event", name, f"one of {names}")
        return newest

    async def _publish(self, event: Event, delay: str | None, id: str | None, source: str) -> dict[str, Any]:
        if id is None:
            return {"seq": await self._engine.emit(event, delay=delay), "letter": False}
        arrival = await self._engine.arrivals.publish(event, source=source, id=id, delay=delay)
        self._check_same(arrival, id, event.event_name, event.event_version, event.to_wire())
        return {"seq": arrival.seq, "letter": False, "repeated": arrival.repeated}

    def _check_same(self, arrival: Arrival, id: str, name: str, version: int, data: bytes) -> None:
        """
        Raises:
            Conflict: what had arrived under the id is another event.
        """
        if arrival.repeated:
            entry = self._engine.queries.reader.record(arrival.seq)
            assert entry is not None
            was = entry.record
            if (was.name, was.version, bytes(was.value)) != (name, version, data):
                raise Conflict("event id", id, f"one that no other event has: {was.name!r} was published under it")


def _known(name: str, versions: list[Workflow]) -> KnownWorkflow:
    newest = max(versions, key=lambda one: one.version)
    return KnownWorkflow(
        name=name,
        versions=sorted(one.version for one in versions),
        triggers=[str(trigger) for trigger in newest.triggers],
        description=" ".join((newest.fn.__doc__ or "").split()),
    )
