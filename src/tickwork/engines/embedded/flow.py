"""Flow control at work: who may begin, what is gathered, what is declined. The rules are in ``core.flow``.

What is decided is written in the transaction of what caused it: a run that may begin with the end of the one before it,
an event with its place in a batch. So a crash at any moment finds it either as it was before, or as it is after.
"""

from __future__ import annotations

import heapq
import json
import logging
from typing import Any

import msgspec
from msgspec import Raw

from tickwork.core.codec import said
from tickwork.core.event import event_tag, read_event
from tickwork.core.flow import Flow, Place, Turnstile, Window
from tickwork.core.tape import Record
from tickwork.core.workflow import Workflow
from tickwork.engines.embedded.about import about, about_input, kept
from tickwork.engines.embedded.control import Verb
from tickwork.engines.embedded.flow_rows import Gathering, Kept, read_kept
from tickwork.engines.embedded.listeners import newest
from tickwork.engines.embedded.live import LiveRun
from tickwork.engines.embedded.runs import Runs
from tickwork.engines.embedded.status import Status
from tickwork.errors import Refused, TapeCorrupt
from tickwork.values import duration_text

_log = logging.getLogger("tickwork.engine")


RATES_MAX = 10_000
"""Keys of rate limits beyond which those that are quiet are forgotten."""


class FlowStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How it stands with one workflow."""

    workflow: str
    running: int
    waiting: int
    gathering: int
    """Events that debounce or batch hold."""
    declined: int
    """Starts that did not happen, since the tape was opened."""


class Flows:
    """Flow control of one engine."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._log = runs.log
        self._now = runs.clock.now
        self._flows: dict[str, Flow] = {w.name: w.flow for w in newest(runs.workflows.values()) if w.flow is not None}
        self._workflows = {w.name: w for w in newest(runs.workflows.values())}
        self._stiles = {name: Turnstile(flow) for name, flow in self._flows.items()}
        self._unknown: dict[str, Kept] = {}
        """What the tape keeps of workflows that are not registered."""
        self._places: dict[int, Place] = {}
        """Runs that wait."""
        self._joining = 0
        """The run that is being started: it goes on by itself if it may begin."""
        self._armed: dict[str, int] = {}
        self._rates: dict[tuple[str, str], Window] = {}
        self._rates_max = RATES_MAX
        self._gathers: dict[tuple[str, str], Gathering] = {}
        self._once: dict[tuple[str, str], tuple[int, int]] = {}
        """Idempotency keys: the run they stand for, and until when."""
        self._once_until: list[tuple[int, tuple[str, str]]] = []
        self._declined: dict[str, int] = {}
        runs.flows = self
        runs.on_ended.append(self.ended)

    # -- what comes in --------------------------------------------------------------------------------------------

    def arrive(self, workflow: Workflow, event: Any, seq: int, raw: Raw, tag: str) -> LiveRun | None:
        """An event (or a schedule's plain input) that starts a run of a workflow with flow control; the run, if any."""
        flow = self._flows[workflow.name]
        key, priority = about(workflow, event)
        try:
            instead = self.instead(workflow, event, key) if flow.declines else None
        except Refused as refused:
            self._decline(workflow, key, refused.rule, seq)
            return None
        if instead is not None:
            self._decline(workflow, key, f"{instead[0]}: r{instead[1]}", seq)
        elif flow.debounce is None and flow.batch is None:
            run = self._runs.start(workflow, raw, ref=seq, event=tag, about=(key, priority))
            self.remember(workflow, event, run.seq)
            return run
        else:
            once = self.remember(workflow, event, 0)
            self._gather(workflow, flow, key, seq, raw, tag, once)
        return None

    def before(self, workflow: Workflow, given: Any, *, new: bool = False) -> int | None:
        """A run of this input is to be started by hand or by another run: the one that stands for it, if there is one.

        ``new``: it shall be a new one.

        Raises:
            Refused: the rate limit.
        """
        found = self.instead(workflow, given, about(workflow, given)[0], new=new)
        if found is not None and not found[1]:
            raise Refused(found[0], "", "an event with this key is being gathered; its run has not been started")
        return None if found is None else found[1]

    def instead(self, workflow: Workflow, given: Any, key: str, *, new: bool = False) -> tuple[str, int] | None:
        """Why there is no new run and which one there is; a place in the rate limit is taken if there is to be one.

        Raises:
            Refused: the rate limit.
        """
        flow = self._flows.get(workflow.name)
        if flow is None:
            return None
        if not new:
            known = self._known(workflow, flow, given, key)
            if known is not None:
                return known
        if flow.rate_limit is not None:
            self._rate(workflow, flow, key)
        if flow.singleton == "cancel":
            for seq in self._stiles[workflow.name].busy(key):
                self._take_place(seq)
        return None

    def _known(self, workflow: Workflow, flow: Flow, given: Any, key: str) -> tuple[str, int] | None:
        if flow.idempotency is not None:
            once = self._once_key(flow, given)
            known = None if once is None else self._once.get((workflow.name, once))
            if known is not None and known[1] > self._now():
                return "idempotency", known[0]
        if flow.singleton == "skip":
            busy = self._stiles[workflow.name].busy(key)
            if busy:
                return "singleton", busy[0]
        return None

    def _take_place(self, seq: int) -> None:
        self._runs.outbox.append(lambda: self._runs.cancel_seq(seq, "a newer run takes its place"))
        self._runs.on_ready()

    def _rate(self, workflow: Workflow, flow: Flow, key: str) -> None:
        limit, now = flow.rate_limit, self._now()
        assert limit is not None
        name = limit.scope(key)
        if len(self._rates) >= self._rates_max:
            self._forget_rates(now)
        window = self._rates.setdefault((workflow.name, name), Window(limit.limit, limit.span))
        if window.free_at(now) > now:
            raise Refused("rate_limit", f"{limit.limit} in {duration_text(limit.span)}", f"{limit.limit} have started")
        window.take(now)
        self._keep_window(workflow.name, "rate", name, window)

    def _forget_rates(self, now: int) -> None:
        """Of keys from which nothing has come for a period."""
        for name, window in list(self._rates.items()):
            if not window.times or window.times[-1] + window.span <= now:
                del self._rates[name]
                self._log.batch.put("limits", (name[0], "rate", name[1]), None)
        self._rates_max = max(RATES_MAX, 2 * len(self._rates))

    def _keep_window(self, workflow: str, kind: str, key: str, window: Window) -> None:
        self._log.batch.put("limits", (workflow, kind, key), (json.dumps(list(window.times)),))

    def _once_key(self, flow: Flow, given: Any) -> str | None:
        assert flow.idempotency is not None
        try:
            return kept(flow.idempotency.key(given))
        except Exception as error:  # noqa: BLE001 - the user's function; the event has happened all the same
            _log.error("the idempotency key of %r cannot be told: %s; it is taken as new", given, said(error))
            return None

    def remember(self, workflow: Workflow, given: Any, run: int) -> tuple[str, str] | None:
        """A start has happened: another with its idempotency key does not. Returns that key."""
        flow = self._flows.get(workflow.name)
        if flow is None or flow.idempotency is None:
            return None
        now = self._now()
        while self._once_until and self._once_until[0][0] <= now:
            _, gone = heapq.heappop(self._once_until)
            if gone in self._once and self._once[gone][1] <= now:
                del self._once[gone]
                self._log.batch.put("once", gone, None)
        once = self._once_key(flow, given)
        if once is None:
            return None
        name, until = (workflow.name, once), now + flow.idempotency.window_ns
        self._once[name] = (run, until)
        heapq.heappush(self._once_until, (until, name))
        self._log.batch.put("once", name, (run, until))
        return name

    def _decline(self, workflow: Workflow, key: str, why: str, ref: int) -> None:
        value = Raw(msgspec.json.encode({"why": why}))
        self._log.outside(Record("declined", self._now(), workflow.name, key=key, ref=ref, value=value))
        self._declined[workflow.name] = self._declined.get(workflow.name, 0) + 1

    # -- debounce and batch ---------------------------------------------------------------------------------------

    def _gather(
        self, workflow: Workflow, flow: Flow, key: str, seq: int, raw: Raw, tag: str, once: tuple[str, str] | None
    ) -> None:
        now, name = self._now(), (workflow.name, key)
        gathering = self._gathers.get(name)
        is_new = gathering is None
        if gathering is None:
            gathering = self._gathers[name] = Gathering(now, 0, [])
        gathering.tag = tag
        if once is not None:
            gathering.once.append(once)
        if flow.debounce is not None:
            gathering.seqs, gathering.payloads = [seq], {seq: raw}
            most = flow.debounce.at_most_ns
            due = now + flow.debounce.quiet_ns
            gathering.due = min(due, gathering.first + most) if most else due
        else:
            assert flow.batch is not None
            gathering.seqs.append(seq)
            gathering.payloads[seq] = raw
            gathering.due = gathering.first + flow.batch.timeout_ns
            if len(gathering.seqs) >= flow.batch.max_size:
                self._gathered(name)
                return
        self._log.batch.put("gathers", name, (gathering.first, gathering.due, json.dumps(gathering.seqs)))
        if is_new:
            self._look_at(name, gathering.due)

    def _look_at(self, name: tuple[str, str], due: int) -> None:
        self._runs.timers.call(due, lambda: self._look(name))

    def _look(self, name: tuple[str, str]) -> None:
        gathering = self._gathers.get(name)
        if gathering is None:
            return
        if gathering.due <= self._now():
            self._gathered(name)
        else:  # something came meanwhile
            self._look_at(name, gathering.due)

    def _gathered(self, name: tuple[str, str]) -> None:
        """Enough has been gathered: start the run."""
        gathering = self._gathers[name]
        payloads = self._payloads(gathering)
        del self._gathers[name]
        self._log.batch.put("gathers", name, None)
        if not payloads:
            return
        if self._flows[name[0]].batch is not None:
            input = Raw(b"[" + b",".join(bytes(payload) for payload in payloads) + b"]")
        else:
            input = payloads[-1]
        run = self._runs.start(self._workflows[name[0]], input, ref=gathering.seqs[-1], event=gathering.tag)
        for once in gathering.once:
            if once in self._once:
                self._once[once] = (run.seq, self._once[once][1])
                self._log.batch.put("once", once, self._once[once])

    def _payloads(self, gathering: Gathering) -> list[Raw]:
        """What has been gathered. What this code cannot read any more becomes a dead letter; the rest goes on."""
        found = []
        for seq in gathering.seqs:
            raw = gathering.payloads.get(seq)
            if raw is None:
                entry = self._runs.reader.record(seq)
                if entry is None:
                    raise TapeCorrupt(f"event {seq} is missing from the tape: restore it from a backup")
                try:
                    raw = self._read(gathering, entry.record)
                except Exception as error:  # noqa: BLE001 - the user's `upcast` may raise anything
                    self._runs.letters.unread(entry.record, error, ref=seq)
                    continue
            found.append(raw)
        return found

    @staticmethod
    def _read(gathering: Gathering, record: Record) -> Raw:
        event = read_event(record.name, record.version, bytes(record.value))
        if event is None:
            return Raw(bytes(record.value))
        gathering.tag = event_tag(type(event))
        return Raw(event.to_wire())

    # -- turns ----------------------------------------------------------------------------------------------------

    def join(self, run: LiveRun, priority: int, heir_of: int = 0) -> bool:
        """A run that was just recorded: may it begin at once? Else it waits, as a row."""
        stile = self._stiles.get(run.workflow.name)
        if stile is None or self._rides(run):
            return True
        if heir_of:
            stile.leave(heir_of)
            stile.hold(run.seq, run.key)
            self._log.batch.put("flow", (heir_of,), None)
            self._hold(run.workflow.name, Place(run.seq, run.key, priority, run.seq))
            return True
        return self._wait(run, stile, Place(run.seq, run.key, priority, self._log.next_seq))

    def _wait(self, run: LiveRun, stile: Turnstile, place: Place) -> bool:
        self._places[run.seq] = place
        self._log.batch.put("flow", (run.seq,), (run.workflow.name, place.key, place.priority, place.place, 0))
        stile.join(place)
        self._joining = run.seq
        self._let_go_on(run.workflow.name)
        self._joining = 0
        return stile.holds(run.seq)

    def enter(self, run: LiveRun) -> bool:
        """A run is about to be driven: does it hold its turn? One that does not, and does not wait, joins the tail."""
        stile = self._stiles.get(run.workflow.name)
        if stile is None or stile.holds(run.seq) or run.seq in self._places or self._rides(run):
            return run.seq not in self._places
        priority = about_input(run.workflow, run.input, run.event)[1]
        return self._wait(run, stile, Place(run.seq, run.key, priority, self._log.next_seq))

    def _rides(self, run: LiveRun) -> bool:
        """A child that an ancestor awaits must not wait for that ancestor's own turn to end."""
        parent = run.parent if run.parent_ask else None
        while parent:
            above = self._runs.hot.get(parent) or self._runs.reader.run(parent)
            if above is None:
                return False
            name = above.workflow.name if isinstance(above, LiveRun) else above.workflow
            if name == run.workflow.name and (not self._flows[name].keyed or above.key == run.key):
                return True
            parent = above.parent
        return False

    def ended(self, run: LiveRun) -> None:
        """A run is over: the next may begin."""
        stile = self._stiles.get(run.workflow.name)
        if run.status is Status.CONTINUED:  # the run it continues as takes its turn over
            return
        if stile is None:
            self._forget(run)
            return
        if stile.holds(run.seq) or self._places.pop(run.seq, None) is not None:
            stile.leave(run.seq)
            self._log.batch.put("flow", (run.seq,), None)
            self._let_go_on(run.workflow.name)

    def _forget(self, run: LiveRun) -> None:
        """Of a workflow that is not registered: should it come back, this run holds no turn of it any more."""
        kept = self._unknown.get(run.workflow.name)
        if kept is not None:
            kept.held = [held for held in kept.held if held[0] != run.seq]
            kept.places = [place for place in kept.places if place.seq != run.seq]
            self._log.batch.put("flow", (run.seq,), None)

    def _let_go_on(self, name: str) -> None:
        """Let those begin that may."""
        stile, throttle, now = self._stiles[name], self._flows[name].throttle, self._now()
        while (place := stile.take(now)) is not None:
            self._places.pop(place.seq, None)
            self._hold(name, place)
            if throttle is not None:
                self._keep_window(name, "throttle", throttle.scope(place.key), stile.window(place.key))
            if place.seq != self._joining:
                self._runs.admitted(place.seq, now)
        due = stile.next_at()
        if due is not None and self._armed.get(name) != due:
            self._armed[name] = due
            self._runs.timers.call(due, lambda: self._due(name, due))

    def _due(self, name: str, due: int) -> None:
        if self._armed.get(name) == due:
            del self._armed[name]
            self._let_go_on(name)
            self._runs.on_ready()

    def _hold(self, name: str, place: Place) -> None:
        self._log.batch.put("flow", (place.seq,), (name, place.key, place.priority, place.place, 1))

    # -- after a crash, and when another version takes over -------------------------------------------------------

    def recover(self) -> None:
        """Read what the tables hold, and go on."""
        reader, now = self._runs.reader, self._now()
        for name, key, run, until in reader.rows("SELECT * FROM once"):
            if until <= now:
                self._log.batch.put("once", (name, key), None)
                continue
            self._once[name, key] = (run, until)
            heapq.heappush(self._once_until, (until, (name, key)))
        self._unknown = read_kept(reader)
        known = [name for name in self._unknown if name in self._workflows]
        for name in known:
            self._adopt(name, self._unknown.pop(name))
        for name in self._stiles:
            self._let_go_on(name)

    def put(self, workflow: Workflow) -> None:
        """From now on this version's flow control rules the runs of its name, those of other versions too."""
        name = workflow.name
        known = self._workflows.get(name)
        kept = self._unknown.pop(name, Kept()) if known is None else self._withdraw(known)
        self._workflows[name] = workflow
        if workflow.flow is not None:
            self._flows[name], self._stiles[name] = workflow.flow, Turnstile(workflow.flow)
        self._adopt(name, kept)
        if name in self._stiles:
            self._let_go_on(name)

    def retire(self, name: str) -> None:
        """What was gathered starts its run now; nothing more will."""
        for of in self._gathered_of(self._workflows[name]):
            self._gathered(of)

    def _gathered_of(self, workflow: Workflow) -> list[tuple[str, str]]:
        return [of for of in self._gathers if of[0] == workflow.name] if _gathers(workflow) else []

    def _withdraw(self, workflow: Workflow) -> Kept:
        """Take away all that is kept of a workflow."""
        name, kept = workflow.name, Kept()
        self._armed.pop(name, None)
        flow, stile = self._flows.pop(name, None), self._stiles.pop(name, None)
        if flow is None or stile is None:
            return kept
        kept.held, kept.places = list(stile.holding.items()), stile.places()
        for place in kept.places:
            del self._places[place.seq]
        if flow.throttle is not None:
            kept.windows += [("throttle", key, tuple(window.times)) for key, window in stile.windows.items()]
        if flow.rate_limit is not None:
            for of in [of for of in self._rates if of[0] == name]:
                kept.windows.append(("rate", of[1], tuple(self._rates.pop(of).times)))
        kept.gathers = {of[1]: self._gathers.pop(of) for of in self._gathered_of(workflow)}
        return kept

    def _adopt(self, name: str, kept: Kept) -> None:
        """Go on with what is kept of a workflow, under the rules that it declares now."""
        stile, now = self._stiles.get(name), self._now()
        for seq, key in kept.held:
            if stile is not None:
                stile.hold(seq, key)
            else:  # it no longer says when its runs may begin
                self._log.batch.put("flow", (seq,), None)
        for place in kept.places:
            if stile is not None:
                self._places[place.seq] = place
                stile.join(place)
            else:
                self._log.batch.put("flow", (place.seq,), None)
                self._runs.admitted(place.seq, now)
        for kind, key, times in kept.windows:
            self._recover_window(name, kind, key, times)
        for key, gathering in kept.gathers.items():
            self._gathers[name, key] = gathering
            if _gathers(self._workflows[name]):
                self._look_at((name, key), max(gathering.due, now))
            else:
                self._gathered_late((name, key))

    def _gathered_late(self, name: tuple[str, str]) -> None:
        """The workflow no longer gathers: each event starts a run of its own."""
        gathering = self._gathers[name]
        payloads = self._payloads(gathering)
        del self._gathers[name]
        self._log.batch.put("gathers", name, None)
        for payload in payloads:
            self._runs.start(self._workflows[name[0]], payload, ref=gathering.seqs[-1], event=gathering.tag)

    def _recover_window(self, name: str, kind: str, key: str, times: tuple[int, ...]) -> None:
        flow = self._flows.get(name)
        limit = None if flow is None else flow.rate_limit if kind == "rate" else flow.throttle
        if limit is None or not times or times[-1] + limit.span <= self._now():
            self._log.batch.put("limits", (name, kind, key), None)
            return
        window = Window(limit.limit, limit.span, times)
        if len(window.times) < len(times):
            self._keep_window(name, kind, key, window)
        if kind == "rate":
            self._rates[name, key] = window
        else:
            self._stiles[name].windows[key] = window

    # -- questions ------------------------------------------------------------------------------------------------

    def status(self) -> list[FlowStatus]:
        """How it stands with each workflow that declares flow control."""
        return [
            FlowStatus(
                workflow=name,
                running=len(stile.holding),
                waiting=stile.waiting,
                gathering=sum(len(g.seqs) for (of, _), g in self._gathers.items() if of == name),
                declined=self._declined.get(name, 0),
            )
            for name, stile in self._stiles.items()
        ]

    def verbs(self) -> dict[str, Verb]:
        """``flow``: see ``status``."""

        async def flow() -> list[FlowStatus]:
            return self.status()

        return {"flow": flow}


def _gathers(workflow: Workflow) -> bool:
    flow = workflow.flow
    return flow is not None and (flow.debounce is not None or flow.batch is not None)
