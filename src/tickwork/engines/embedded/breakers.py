"""Breakers of one engine: shared by all its runs, kept on its tape.

Every change of a breaker's mode is a record (``breaker``), and published as an event. Its counts are in its row, which
is written with the record of the step or effect that changed them. After a restart an open breaker is still open; its
probes are not under way any more, because their process is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw

from tickwork.core.asks import GuardedEffect, GuardedStep
from tickwork.core.breaker import Breaker, BreakerClosed, BreakerOpened, BreakerState, Permit
from tickwork.core.event import Event
from tickwork.core.tape import Record
from tickwork.core.workflow import Workflow
from tickwork.engines.embedded.control import Verb
from tickwork.engines.embedded.live import Pend
from tickwork.engines.embedded.reader import Reader
from tickwork.engines.embedded.runs import Runs
from tickwork.errors import BreakerOpen, InvalidInput, NotFound
from tickwork.values import DurationLike, duration, from_ns


@dataclass(frozen=True, slots=True)
class BreakerInfo:
    """How a breaker stands."""

    name: str
    state: str
    """``closed``, ``open`` or ``half-open``."""
    failures: int
    """Calls that failed within the window, while it is closed."""
    threshold: int
    """So many open it."""
    opened_at: datetime | None
    retry_at: datetime | None
    """Open: when a call may be tried again."""
    probes: int
    """Half-open: calls under way."""
    changed_at: datetime | None
    why: str
    """What the last change was for."""


class Row(msgspec.Struct, frozen=True):
    """What a row of ``breakers`` holds: the declaration and what has become of it."""

    settings: dict[str, Any]
    state: BreakerState


class Circuit:
    """A breaker with its state."""

    __slots__ = ("breaker", "declared", "state")

    def __init__(self, breaker: Breaker, state: BreakerState) -> None:
        self.breaker = breaker
        self.state = state
        self.declared: dict[str, tuple[int, Breaker]] = {}
        """What this process has seen declared, by the name of the workflow: its newest version that did, and how.
        Empty: the declaration is one that an earlier process left on the tape."""


class Breakers:
    """All breakers of one engine."""

    def __init__(self, runs: Runs, publish: Callable[[Event], int], pump: Callable[[], None]) -> None:
        self._runs = runs
        self._publish = publish
        self._pump = pump
        self._log = runs.log
        self._now = runs.clock.now
        self._circuits = {circuit.breaker.name: circuit for circuit in circuits(runs.reader)}
        self._given = frozenset(runs.workflows)
        """Workflows given at opening, by name and version: what they say was written by one hand."""
        self._permits: dict[Pend, tuple[Circuit, Permit]] = {}
        """Calls under way that were let through."""
        self.on_dropped: Callable[[Pend], None] = lambda pend: None

    # -- calls ----------------------------------------------------------------------------------------------------

    def know(self, breaker: Breaker, workflow: Workflow) -> None:
        """A step or an effect of this workflow names this breaker.

        A newer version of the workflow, or a workflow that was added since, may declare it otherwise: then its settings
        count for all runs, and the state stays as it is. What an older version still declares changes nothing.

        Raises:
            InvalidInput: the same version of the workflow, or another one given at opening, declares it otherwise.
        """
        circuit = self._circuits.get(breaker.name)
        if circuit is None:
            circuit = self._circuits[breaker.name] = Circuit(breaker, BreakerState())
            self._keep(circuit)
        name, version = workflow.name, workflow.version
        known, declared = circuit.declared.get(name, (0, breaker))
        if known > version:
            return
        if known == version:
            self._same(breaker, declared)
            return
        if (name, version) in self._given:
            for other, (of, theirs) in circuit.declared.items():
                if other != name and (other, of) in self._given:
                    self._same(breaker, theirs)
        circuit.declared[name] = version, breaker
        if circuit.breaker != breaker:
            circuit.breaker = breaker
            self._keep(circuit)

    @staticmethod
    def _same(breaker: Breaker, declared: Breaker) -> None:
        if breaker is not declared and breaker != declared:
            raise InvalidInput(f"breaker {breaker.name!r}", repr(breaker), f"one of a name: {declared!r}")

    def _of(self, pend: Pend) -> Circuit:
        ask: GuardedStep | GuardedEffect = pend.waiting.ask  # type: ignore[assignment]
        return self._circuits[ask.breaker.name]

    def refuses(self, pend: Pend) -> BreakerOpen | None:
        """Would the call of this ask be refused now? To be let through it must still ``enter``."""
        circuit = self._of(pend)
        answer = circuit.breaker.admit(circuit.state, self._now())[1]
        return answer if isinstance(answer, BreakerOpen) else None

    def rests_until(self, pend: Pend) -> int:
        """Until when the breaker of this ask lets nothing through, in ns; 0 when it is not open."""
        return self._of(pend).state.retry_at

    def enter(self, pend: Pend) -> BreakerOpen | None:
        """May the call of this ask be made? ``None``: yes; then say how it ended, by ``leave``."""
        circuit, now = self._of(pend), self._now()
        state, permit = circuit.breaker.admit(circuit.state, now)
        self._change(circuit, state, now)
        if isinstance(permit, BreakerOpen):
            return permit
        self._permits[pend] = circuit, permit
        return None

    def leave(self, pend: Pend, error: BaseException | None) -> None:
        """The call has ended."""
        entered = self._permits.pop(pend, None)
        if entered is not None:
            (circuit, permit), now = entered, self._now()
            self._change(circuit, circuit.breaker.ended(circuit.state, permit, now, error), now)

    def dropped(self, pend: Pend) -> None:
        """Nobody waits any more for what the ask began."""
        self.on_dropped(pend)
        entered = self._permits.pop(pend, None)
        if entered is not None:
            (circuit, permit), now = entered, self._now()
            self._change(circuit, circuit.breaker.dropped(circuit.state, permit, now), now)

    def _change(self, circuit: Circuit, state: BreakerState, now: int, by: str = "") -> None:
        """Take over a state; a change of mode is told to the tape and to whoever listens."""
        before = circuit.state
        if state is before:
            return
        circuit.state = state
        self._keep(circuit)
        if state.epoch != before.epoch:
            name = circuit.breaker.name
            change = {"from": before.mode, "to": state.mode, "why": state.why}
            value = Raw(msgspec.json.encode(change))
            self._log.outside(Record("breaker", now, name, value=value, key=by, due=state.retry_at))
            if state.mode == "open":
                again = before.mode == "half-open"
                opened = BreakerOpened(breaker=name, why=state.why, retry_at=from_ns(state.retry_at), again=again)
                self._announce(opened)
            elif state.mode == "closed" != before.mode:
                self._announce(BreakerClosed(breaker=name, why=state.why))

    def _keep(self, circuit: Circuit) -> None:
        row = Row(circuit.breaker.settings, circuit.state)
        self._log.batch.put("breakers", (circuit.breaker.name,), (msgspec.json.encode(row),))

    def _announce(self, event: Event) -> None:
        if self._runs.turning:
            self._runs.outbox.append(lambda: self._publish(event))
        else:
            self._publish(event)

    # -- people ---------------------------------------------------------------------------------------------------

    def mode(self, name: str) -> str:
        """How a call would find a breaker now: ``closed`` where it would be let through, if only as a probe.

        Else ``open``, or ``half-open`` while probes are under way. One that no call has asked yet is closed.
        """
        circuit = self._circuits.get(name)
        if circuit is None:
            return "closed"
        _, answer = circuit.breaker.admit(circuit.state, self._now())
        return circuit.state.mode if isinstance(answer, BreakerOpen) else "closed"

    async def list(self) -> Sequence[BreakerInfo]:
        """All breakers that this process or one before it has used, by name."""
        await self._log.durable()
        return infos(self._circuits.values(), self._now())

    async def reset(self, name: str, reason: str = "", by: str = "") -> BreakerInfo:
        """Close a breaker and forget its failures; on return that is on disk.

        Raises:
            InvalidInput: no breaker has this name.
        """
        return await self._by_hand(
            name, by, lambda breaker, state, now: breaker.reset(state, now, _said("reset", reason))
        )

    async def trip(
        self, name: str, reason: str = "", open_for: DurationLike | None = None, by: str = ""
    ) -> BreakerInfo:
        """Open a breaker, for ``open_for`` if that is given; on return that is on disk. Calls under way go on.

        Raises:
            InvalidInput: no breaker has this name, or not a duration.
        """
        rest = None if open_for is None else duration(open_for, "trip(open_for=)")
        return await self._by_hand(
            name, by, lambda breaker, state, now: breaker.opened(state, now, _said("tripped", reason), rest)
        )

    async def _by_hand(
        self, name: str, by: str, act: Callable[[Breaker, BreakerState, int], BreakerState]
    ) -> BreakerInfo:
        circuit, now = self._circuits.get(name), self._now()
        if circuit is None:
            known = ", ".join(sorted(self._circuits)) or "none has been used yet"
            raise NotFound("breaker", name, f"one that a step or an effect has used: {known}")
        self._change(circuit, act(circuit.breaker, circuit.state, now), now, by)
        self._pump()
        await self._log.durable()
        return infos([circuit], self._now())[0]

    # -- as a part of the engine ----------------------------------------------------------------------------------

    def recover(self) -> None:
        """Of the calls that were under way none will come back."""
        for circuit in self._circuits.values():
            self._change(circuit, circuit.breaker.restarted(circuit.state), self._now())

    def verbs(self) -> dict[str, Verb]:
        """``breakers``, ``breakers.reset`` and ``breakers.trip``."""
        return {"breakers": self.list, "breakers.reset": self.reset, "breakers.trip": self.trip}


def circuits(reader: Reader) -> Iterable[Circuit]:
    """The breakers that are on a tape."""
    for name, state in reader.rows("SELECT name, state FROM breakers ORDER BY name"):
        try:
            row = msgspec.json.decode(state, type=Row)
            yield Circuit(Breaker(name, **row.settings), row.state)
        except (msgspec.MsgspecError, InvalidInput, TypeError) as error:
            raise reader._damaged(f"the row of breaker {name!r} is not what was written ({error})") from None


def infos(found: Iterable[Circuit], now: int) -> list[BreakerInfo]:
    """How breakers stand at a time (ns), by name."""
    return [_info(circuit, now) for circuit in sorted(found, key=lambda circuit: circuit.breaker.name)]


def _info(circuit: Circuit, now: int) -> BreakerInfo:
    breaker, state = circuit.breaker, circuit.state
    return BreakerInfo(
        breaker.name,
        state.mode,
        len(breaker.recent(state, now)),
        breaker.threshold,
        from_ns(state.opened_at) if state.opened_at else None,
        from_ns(state.retry_at) if state.retry_at else None,
        len(state.probes),
        from_ns(state.since) if state.since else None,
        state.why,
    )


def _said(done: str, reason: str) -> str:
    return f"{done} by hand: {reason}" if reason else f"{done} by hand"
