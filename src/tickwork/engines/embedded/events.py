"""Events: published, routed to workflows and to waiting runs, folded into views; waits looked up and looked back for.

A wait of a run in memory is found in ``_waiting``; one of a parked run in the table ``waits``. Both are keyed by a hash
of the event's name and the fields that ``where`` names, so an event costs one look-up for each *shape* (set of fields)
that was ever waited for, not one for each wait.
"""

from __future__ import annotations

import itertools
import logging
from collections import deque
from collections.abc import Iterator
from typing import Any

from msgspec import Raw

from tickwork.core.asks import Emit, Sleep, WaitFor
from tickwork.core.codec import fingerprint
from tickwork.core.conditions import Where, compile_condition, wait_key
from tickwork.core.drive import PENDING, Waiting
from tickwork.core.event import Alert, Event, event_tag, read_event
from tickwork.core.tape import NOTHING, NULL, Entry, Record
from tickwork.core.workflow import Workflow
from tickwork.engines.embedded.listeners import Listeners, Ranks, key_of, newest
from tickwork.engines.embedded.live import LiveRun, Pend
from tickwork.engines.embedded.making import event_record
from tickwork.engines.embedded.reader import Reader
from tickwork.engines.embedded.runs import Runs
from tickwork.engines.embedded.views import Views
from tickwork.errors import InvalidInput, NewerEvent, TapeError

_log = logging.getLogger("tickwork.engine")

RECENT_MAX = 1_000
"""Events of each name kept in memory, so that a wait that looks back a little need not read the tape."""


Happened = tuple[int, Event, Raw]
"""An event with its position and its bytes."""


def unread(name: str) -> int:
    """The hash under which events are filed that came due in a process that does not know their class."""
    return wait_key(name, ("",), ())


class Recent:
    """The latest events of one name, newest last; complete from ``floor`` (exclusive) on."""

    __slots__ = ("_keyed", "events", "floor")

    def __init__(self, floor: int) -> None:
        self.floor = floor
        self.events: deque[Happened] = deque()
        self._keyed: dict[tuple[str, ...], dict[int, deque[Happened]]] = {}
        """The same events by the shapes that waits looked back with."""

    def add(self, seq: int, event: Event, raw: Raw, durable: int) -> None:
        """Keep an event; forget the oldest, but only what the tape already shows."""
        self._append((seq, event, raw))
        while len(self.events) > RECENT_MAX and self.events[0][0] <= durable:
            self.floor = self.events[0][0]
            self._forget_oldest()

    def after(self, since: int, where: Where) -> list[Happened]:
        """The events after a position that ``where`` may match, oldest first."""
        if not self.events or self.events[-1][0] <= since:
            return []
        events = self._by(where.fields).get(where.key, ()) if where.fields else self.events
        found = list(itertools.takewhile(lambda happened: happened[0] > since, reversed(events)))
        found.reverse()
        return found

    def _append(self, happened: Happened) -> None:
        self.events.append(happened)
        for fields, keyed in self._keyed.items():
            keyed.setdefault(key_of(happened[1], fields), deque()).append(happened)

    def _forget_oldest(self) -> None:
        oldest = self.events.popleft()
        for fields, keyed in self._keyed.items():
            key = key_of(oldest[1], fields)
            keyed[key].popleft()
            if not keyed[key]:
                del keyed[key]

    def _by(self, fields: tuple[str, ...]) -> dict[int, deque[Happened]]:
        keyed = self._keyed.get(fields)
        if keyed is None:
            keyed = self._keyed[fields] = {}
            for happened in self.events:
                keyed.setdefault(key_of(happened[1], fields), deque()).append(happened)
        return keyed


class Events:
    """Publishes and routes; answers ``Sleep``, ``WaitFor`` and ``Emit``."""

    def __init__(self, runs: Runs, reader: Reader, views: Views, workflows: list[Workflow]) -> None:
        self._runs = runs
        self._log = runs.log
        self._now = runs.clock.now
        self._reader = reader
        self._views = views
        self.classes: dict[tuple[str, int], type[Event]] = {}
        self._declarers: dict[tuple[str, int], set[str]] = {}
        """Workflows that declare an event, all by the same class."""
        self._starts: dict[tuple[str, int], Listeners] = {}
        self._started: dict[str, Workflow] = {}
        """What events start, by name."""
        self._ranks = Ranks()
        for workflow in workflows:
            self._ranks.note(workflow)
        for workflow in newest(workflows):
            self.fits(workflow)
            self.put(workflow)
        self._waiting: dict[int, list[Pend]] = {}
        self._hot_shapes: dict[str, dict[tuple[str, ...], int]] = {}
        self._cold_shapes: dict[str, set[tuple[str, ...]]] = {}
        """Shapes that parked runs may wait for: those on the tape when it was opened, and those parked since."""
        self._shapes: dict[str, dict[tuple[str, ...], int]] = {}
        """All shapes ever waited for, and the position from which on events are filed under their hash of them."""
        for name, fields, since in reader.rows("SELECT event, fields, since FROM shapes"):
            shape = tuple(fields.split(",")) if fields else ()
            self._cold_shapes.setdefault(name, set()).add(shape)
            self._shapes.setdefault(name, {})[shape] = since
        self._recent: dict[str, Recent] = {}
        self._floor = runs.log.next_seq - 1
        runs._forget_wait = self.forget

    # -- who is started -------------------------------------------------------------------------------------------

    def fits(self, workflow: Workflow) -> None:
        """
        Raises:
            InvalidInput: it means another class by the name and version of an event than others do.
        """
        own: dict[tuple[str, int], type[Event]] = {}
        for event in workflow.on:
            name = (event.event_name, event.event_version)
            declarers = self._declarers.get(name, ())
            by_others = len(declarers) > (workflow.name in declarers)
            other = own.setdefault(name, self.classes[name] if by_others else event)
            if other is not event:
                path = f"event {event.event_name!r} version {event.event_version}"
                expected = f"one class; it is also declared by {other.__module__}.{other.__qualname__}"
                raise InvalidInput(path, f"{event.__module__}.{event.__qualname__}", expected)

    def note(self, workflow: Workflow) -> None:
        """A workflow was registered, of whatever version; to be told before ``put``."""
        if self._ranks.note(workflow) and (started := self._started.get(workflow.name)) is not None:
            self.put(started)  # an order that was made before is made anew

    def put(self, workflow: Workflow) -> None:
        """From now on events start this one, in place of other versions of its name."""
        self.retire(workflow.name)
        self._started[workflow.name] = workflow
        for trigger in workflow.triggers:
            event = trigger.event
            if event is None:
                continue
            name = (event.event_name, event.event_version)
            self.classes[name] = event
            self._declarers.setdefault(name, set()).add(workflow.name)
            if trigger.routed:
                self._starts.setdefault(name, Listeners(self._ranks)).add(trigger, workflow)

    def retire(self, name: str) -> None:
        """No event starts a workflow of this name any more."""
        workflow = self._started.pop(name, None)
        if workflow is None:
            return
        for trigger in workflow.triggers:
            event = trigger.event
            if event is None:
                continue
            of = (event.event_name, event.event_version)
            self._declarers[of].discard(name)
            if trigger.routed and (listeners := self._starts.get(of)) is not None:
                listeners.remove(trigger, workflow)
                if not listeners:
                    del self._starts[of]

    # -- publishing -----------------------------------------------------------------------------------------------

    def publish(self, event: Event, kind: str = "event", **fields: Any) -> int:
        """Record an event from outside of runs, and route it."""
        record = event_record(event, kind, self._now(), **fields)
        seq = self._log.outside(record)
        self._remember(seq, event, record.value)
        self.route(seq, event, record.value)
        return seq

    def post(self, event: Event, due: int, **fields: Any) -> int:
        """Publish an event from outside of runs, now or when it is due (ns)."""
        now = self._now()
        if due <= now:
            return self.publish(event, **fields)
        seq = self._log.outside(event_record(event, "event", now, due=due, **fields))
        self.classes.setdefault((event.event_name, event.event_version), type(event))
        self._log.batch.delayed[seq] = due
        self._runs.timers.delayed(seq, due)
        return seq

    def publish_delayed(self, seq: int) -> None:
        """A delayed event is due: publish it now."""
        entry = self._reader.record(seq)
        if entry is None:  # due before its own record was on disk: come back when it is
            self._log.after(lambda: self.publish_delayed(seq))
            self._log.flush()
            return
        record = entry.record
        now = self._now()
        try:
            event = self._delayed_event(record)
        except (InvalidInput, NewerEvent) as error:  # of a newer version, or its class has changed without a new one
            self._log.batch.delayed_done.append(seq)
            self._runs.letters.unread(record, error, ref=seq)
            return
        value, version = Raw(bytes(record.value)), record.version
        if event is not None and event.event_version != version:
            value, version = Raw(event.to_wire()), event.event_version
        copy = Record("event", now, record.name, value=value, ref=seq, version=version)
        published = self._log.outside(copy)
        self._log.batch.delayed_done.append(seq)
        if event is not None:
            self._remember(published, event, copy.value)
            self.route(published, event, copy.value)
        else:
            self._log.batch.events.append((record.name, published))
            self._log.batch.filed.append((unread(record.name), published))

    def _delayed_event(self, record: Record) -> Event | None:
        known = self.classes.get((record.name, record.version))
        payload = bytes(record.value)
        return read_event(record.name, record.version, payload) if known is None else known.from_wire(payload)

    def _remember(self, seq: int, event: Event, raw: Raw) -> None:
        """From now on a wait that looks back finds the event, also one later in the turn that emitted it."""
        name = event.event_name
        self._log.batch.events.append((name, seq))
        recent = self._recent.get(name)
        if recent is None:
            recent = self._recent[name] = Recent(self._floor)
        recent.add(seq, event, raw, self._log.durable_seq)

    def route(self, seq: int, event: Event, raw: Raw) -> None:
        """Hand a recorded event to views, workflows and waiting runs; what it causes is recorded when this returns."""
        name = event.event_name
        keys: dict[tuple[str, ...], int] = {}
        if name in self._shapes:
            keys = {fields: key_of(event, fields) for fields in self._shapes[name]}
            self._log.batch.filed.extend((key, seq) for fields, key in keys.items() if fields)
        self._views.fold(event, seq)
        listeners = self._starts.get((name, event.event_version))
        if listeners is not None:
            tag = event_tag(type(event))
            for workflow in listeners.of(event):
                self._start(workflow, event, seq, raw, tag)
        if name in self._hot_shapes or name in self._cold_shapes:
            self._route_waits(seq, event, raw, keys)

    def _start(self, workflow: Workflow, event: Event, seq: int, raw: Raw, tag: str) -> None:
        """Start a workflow; if that cannot be done, the others that the event starts know nothing of it."""
        try:
            if workflow.flow is None:
                self._runs.start(workflow, raw, ref=seq, event=tag)
            else:
                self._runs.flows.arrive(workflow, event, seq, raw, tag)
        except TapeError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the matter of that workflow alone
            _log.exception("workflow %r could not be started by event %d, %s", workflow.name, seq, tag)
            if event.event_name != Alert.event_name:  # else an alert that starts nothing would alert without end
                self._runs.letters.alert("", f"event {seq} ({tag}) could not start workflow {workflow.name!r}", error)

    def _route_waits(self, seq: int, event: Event, raw: Raw, keys: dict[tuple[str, ...], int]) -> None:
        name = event.event_name
        hot, cold = self._hot_shapes.get(name, {}), self._cold_shapes.get(name, ())
        for fields in {*hot, *cold}:
            key = keys[fields]
            if fields in hot:
                for pend in [pend for pend in self._waiting.get(key, ()) if self._matches(pend, seq, event)]:
                    self._matched(pend, seq, raw)
            if fields in cold:
                self._wake_parked(key, event)

    def _matches(self, pend: Pend, seq: int, event: Event) -> bool:
        ask: WaitFor = pend.waiting.ask  # type: ignore[assignment]
        # an event of this turn may have been the answer to the wait before this one
        return not pend.busy and seq > ask.since and ask.where.event is type(event) and _holds(ask.where, event)

    def _matched(self, pend: Pend, seq: int, raw: Raw) -> None:
        """A run in memory gets its event in a turn of its own, soon."""
        pend.busy = True
        self._unindex(pend)
        run = pend.run
        run.wake_at = 0
        self._log.row(run)
        self._runs.enqueue(run, lambda: self._deliver(pend, seq, raw))

    def _deliver(self, pend: Pend, seq: int, raw: Raw) -> None:
        ask: WaitFor = pend.waiting.ask  # type: ignore[assignment]
        if pend.run.pends.get(pend.place) is not pend:
            return
        if pend.run.paused:
            pend.busy = False  # it keeps waiting; it will look back for this event when it is resumed
            return
        self._done(pend)
        record = self._record(pend.waiting, raw, seq, late=True)
        self._runs.deliver(pend.run, pend, record, ask.where.event.from_wire(bytes(raw)))

    def _wake_parked(self, key: int, event: Event) -> None:
        for run, condition in self._reader.rows("SELECT run, condition FROM waits WHERE key=?", (key,)):
            if run in self._runs.hot:
                continue
            if condition:
                try:
                    if not compile_condition(condition)(event.__dict__):
                        continue
                except InvalidInput as error:
                    _log.warning("[r%d] its condition cannot judge %s: %s", run, event.event_name, error)
                    continue
            # written with the event, so that a crash before the run has looked does not lose it
            self._log.batch.wakes[run] = 0
            self._runs.enqueue_parked(run)

    # -- sleeping and waiting -------------------------------------------------------------------------------------

    def sleep(self, run: LiveRun, waiting: Waiting, intent: Entry | None, late: bool) -> Any:
        """Answer a ``Sleep`` at once if it is over, else set a timer."""
        ask: Sleep = waiting.ask  # type: ignore[assignment]
        if ask.due <= self._now():
            record = self._record(waiting, NOTHING, 0, late)
            run.drive.note(self._log.record(run, record), record.at)  # type: ignore[union-attr]
            return None
        self._set_timer(self._runs.pend(run, waiting), ask.due, self._slept)
        return PENDING

    def _slept(self, pend: Pend) -> None:
        self._runs.deliver(pend.run, pend, self._record(pend.waiting, NOTHING, 0, True), None)

    def wait(self, run: LiveRun, waiting: Waiting, intent: Entry | None, late: bool) -> Any:
        """Answer a ``WaitFor`` from the past if it holds a match, else wait."""
        ask: WaitFor = waiting.ask  # type: ignore[assignment]
        found = self._look_back(ask)
        if found is not None:
            seq, event, raw = found
            record = self._record(waiting, raw, seq, late)
            drive = run.drive
            drive.note(self._log.record(run, record), record.at)  # type: ignore[union-attr]
            drive.since = seq  # type: ignore[union-attr]
            if run.course is not None:  # it may have waited before it left memory
                self._log.batch.waits_done.add((ask.where.key, run.seq, _place(waiting)))
            return event
        if ask.due and ask.due <= self._now():
            record = self._record(waiting, NULL, 0, late)
            run.drive.note(self._log.record(run, record), record.at)  # type: ignore[union-attr]
            if run.course is not None:  # it may have waited before it left memory
                self._log.batch.waits_done.add((ask.where.key, run.seq, _place(waiting)))
            return None
        pend = self._runs.pend(run, waiting)
        self._index(pend, ask.where)
        if ask.due:
            self._set_timer(pend, ask.due, self._gave_up)
        return PENDING

    def _gave_up(self, pend: Pend) -> None:
        if pend.busy:
            return  # its event is on the way
        self._unindex(pend)
        self._done(pend)
        self._runs.deliver(pend.run, pend, self._record(pend.waiting, NULL, 0, True), None)

    def _set_timer(self, pend: Pend, due: int, fire: Any) -> None:
        pend.due = due
        pend.fire = fire

    def _record(self, waiting: Waiting, value: Raw, ref: int, late: bool) -> Record:
        ask: Any = waiting.ask
        args, version = 0, 1
        if type(ask) is WaitFor:
            args, version = fingerprint((ask.where.key, ask.where.text)), ask.where.event.event_version
        return Record(
            ask.kind, self._now(), ask.name, waiting.branch.path, waiting.no, waiting.occ, args=args, value=value,
            late=late, ref=ref, version=version,
        )  # fmt: skip

    def _look_back(self, ask: WaitFor) -> tuple[int, Event, Raw] | None:
        """The first matching event after ``since`` that has already happened."""
        name = ask.name
        recent = self._recent.get(name)
        floor = self._floor if recent is None else recent.floor
        for entry in self._older(ask, floor):
            event = self._read(ask.where, entry)
            if event is not None and _holds(ask.where, event):
                as_read = entry.record.version == event.event_version
                return entry.seq, event, Raw(bytes(entry.record.value) if as_read else event.to_wire())
        if recent is not None:
            for seq, event, raw in recent.after(ask.since, ask.where):
                if type(event) is ask.where.event and _holds(ask.where, event):
                    return seq, event, raw
        return None

    def _older(self, ask: WaitFor, floor: int) -> Iterator[Entry]:
        """Events after ``since`` up to ``floor``, from the tape: by key from where on they are filed, else all."""
        name, where, since = ask.name, ask.where, ask.since
        filed_from = self._shapes.get(name, {}).get(where.fields, floor) if where.fields else floor
        while since < floor:
            if since < filed_from:
                until = min(filed_from, floor)
                older = self._reader.events(name, since, until)
            else:
                until = floor
                older = self._reader.filed(name, (where.key, unread(name)), since, floor)
            yield from older
            since = older[-1].seq if older else until

    def _read(self, where: Where, entry: Entry) -> Event | None:
        if not where.event.reads(entry.record.version):
            return None
        return where.event.read(entry.record.version, bytes(entry.record.value))

    # -- the index of waits ---------------------------------------------------------------------------------------

    def _index(self, pend: Pend, where: Where) -> None:
        pend.key = where.key
        self._waiting.setdefault(where.key, []).append(pend)
        name = where.event.event_name
        shapes = self._hot_shapes.setdefault(name, {})
        shapes[where.fields] = shapes.get(where.fields, 0) + 1
        known = self._shapes.setdefault(name, {})
        if where.fields not in known:
            known[where.fields] = since = self._log.next_seq - 1
            self._log.batch.shapes.append((name, ",".join(where.fields), since))
        row = (where.key, pend.run.seq, _place(pend.waiting))
        self._log.batch.waits_done.discard(row)
        self._log.batch.waits[row] = (name, where.text or None)

    def _unindex(self, pend: Pend) -> None:
        ask: WaitFor = pend.waiting.ask  # type: ignore[assignment]
        waiting = self._waiting.get(pend.key)
        if waiting is None or pend not in waiting:
            return
        waiting.remove(pend)
        if not waiting:
            del self._waiting[pend.key]
        name, fields = ask.where.event.event_name, ask.where.fields
        shapes = self._hot_shapes[name]
        shapes[fields] -= 1
        if not shapes[fields]:
            del shapes[fields]
            if not shapes:
                del self._hot_shapes[name]

    def _done(self, pend: Pend) -> None:
        """The wait is over for good: take its row away."""
        row = (pend.key, pend.run.seq, _place(pend.waiting))
        self._log.batch.waits.pop(row, None)
        self._log.batch.waits_done.add(row)

    def parked(self, pend: Pend) -> None:
        """The run has left memory; its row in ``waits`` takes over."""
        ask = pend.waiting.ask
        if type(ask) is WaitFor:
            self._unindex(pend)
            self._cold_shapes.setdefault(ask.name, set()).add(ask.where.fields)

    def forget(self, run: LiveRun, pend: Pend) -> None:
        """The ask was dropped."""
        if type(pend.waiting.ask) is WaitFor:
            self._unindex(pend)
            self._done(pend)

    # -- emitting -------------------------------------------------------------------------------------------------

    def emit(self, run: LiveRun, waiting: Waiting, intent: Entry | None, late: bool) -> Any:
        """Answer an ``Emit``: the answer's record is the event's. It is routed after the turn."""
        ask: Emit = waiting.ask  # type: ignore[assignment]
        event = ask.event
        now = self._now()
        due = ask.due if ask.due > now else 0
        record = event_record(
            event, "emit", now, branch=waiting.branch.path, no=waiting.no, occ=waiting.occ, late=late, due=due
        )
        seq = self._log.record(run, record)
        run.drive.note(seq, now)  # type: ignore[union-attr]
        if due:
            self.classes.setdefault((event.event_name, event.event_version), type(event))
            self._log.batch.delayed[seq] = due
            self._runs.outbox.append(lambda: self._runs.timers.delayed(seq, due))
        else:
            self._remember(seq, event, record.value)
            self._runs.outbox.append(lambda: self.route(seq, event, record.value))
        return seq


def _place(waiting: Waiting) -> str:
    return f"{waiting.branch.path}{waiting.no}"


def _holds(where: Where, event: Event) -> bool:
    try:
        return where.matches(event)
    except InvalidInput as error:
        _log.warning("a condition cannot judge %s: %s", event.event_name, error)
        return False
