"""Builds made wrong on purpose. A harness that lets one of them pass proves nothing."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tickwork.core.breaker import BreakerState
from tickwork.core.message import Stage
from tickwork.engines.embedded import batch, schema, writer
from tickwork.engines.embedded.breakers import Breakers
from tickwork.engines.embedded.effects import Effects
from tickwork.engines.embedded.flow import Flows
from tickwork.engines.embedded.leases import Leases
from tickwork.engines.embedded.lines import Lines
from tickwork.engines.embedded.log import Log
from tickwork.engines.embedded.schedules import Schedules


@dataclass(frozen=True)
class Mutation:
    """One wrong build."""

    name: str
    says: str
    apply: Callable[[], None]
    forms: tuple[str, ...]
    """Which harness must catch it; killing a process cannot see what only a lost disk cache shows."""
    shows: tuple[str, ...]
    """The checks of which one must fail: a build that merely does not run has not been caught."""
    points: tuple[str, ...] = ()
    """Where to kill a process to see it soon."""
    shapes: tuple[str, ...] = ()
    """What to feed it to see it soon; empty: everything."""

    def shown(self, failures: list[str]) -> bool:
        """Has it been caught?"""
        return any(f"{check}:" in failure for check in self.shows for failure in failures)


def _pragma(level: str) -> Callable[[], None]:
    def apply() -> None:
        configure = schema._configure

        def wrong(connection: Any, read_only: bool) -> None:
            configure(connection, read_only)
            list(connection.execute(f"pragma synchronous={level}"))

        schema._configure = wrong

    return apply


def _effect_before_barrier() -> None:
    """The call is made as soon as it is asked for; its intent is still in memory."""
    answer = Effects.answer

    def soon(call: Callable[[], object]) -> None:
        asyncio.get_running_loop().call_soon(call)

    def wrong(self: Effects, run: Any, waiting: Any, intent: Any, late: bool) -> Any:
        log = self._runs.log
        after = log.after
        log.after = soon  # type: ignore[method-assign]
        try:
            return answer(self, run, waiting, intent, late)
        finally:
            log.after = after  # type: ignore[method-assign]

    Effects.answer = wrong  # type: ignore[method-assign]


def _no_lookup() -> None:
    """What is unknown is sent again."""

    def wrong(self: Effects, pend: Any, error: BaseException | None) -> None:
        pend.failures += 1
        self._later(pend, self._now(), self._launch)

    Effects._unknown = wrong  # type: ignore[method-assign]


def _lookup_once() -> None:
    """The first time it is unknown it is looked up; after a retry it is sent again blindly."""
    unknown = Effects._unknown

    def wrong(self: Effects, pend: Any, error: BaseException | None) -> None:
        if pend.failures:
            pend.failures += 1
            self._later(pend, self._now(), self._launch)
        else:
            unknown(self, pend, error)

    Effects._unknown = wrong  # type: ignore[method-assign]


def _no_lookup_after_crash() -> None:
    """An intent without an outcome is simply sent again."""
    unknown = Effects._unknown

    def wrong(self: Effects, pend: Any, error: BaseException | None) -> None:
        if error is None:
            self._launch(pend)
        else:
            unknown(self, pend, error)

    Effects._unknown = wrong  # type: ignore[method-assign]


def _answer_before_disk() -> None:
    """``emit`` and ``start`` do not wait for the disk."""

    def wrong(self: Log) -> asyncio.Future[None]:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter.set_result(None)
        return waiter

    Log.durable = wrong  # type: ignore[method-assign]


def _two_transactions() -> None:
    """The records and the rows derived from them do not commit together."""

    right = batch.write

    def wrong(connection: Any, batch: Any) -> None:
        rows, batch.rows = batch.rows, {}
        right(connection, batch)
        batch.rows = rows
        with connection:
            write_runs(connection, rows.values())

    write_runs = batch._write_runs
    vars(writer)["write"] = wrong


# -- what stands in line --------------------------------------------------------------------------------------------


def _ack_before_disk() -> None:
    """The courier is told that its parcel is done before the tape has it."""
    right = Leases.ack

    async def wrong(self: Leases, *leases: str) -> None:
        async def soon() -> None:
            self._pump()

        self._done = soon  # type: ignore[method-assign]
        try:
            await right(self, *leases)  # it waits for nothing else, so nobody sees this but itself
        finally:
            del self._done

    Leases.ack = wrong  # type: ignore[method-assign]


def _lease_without_row() -> None:
    """A lease is on the tape, but the message's row still says that it waits."""
    right = Lines.touch

    def wrong(self: Lines, desk: Any, items: Any) -> None:
        right(self, desk, [item for item in items if item.stage is not Stage.IN_FLIGHT or not item.lease])

    Lines.touch = wrong  # type: ignore[method-assign]


def _ids_forgotten() -> None:
    """Ids of messages are remembered by the process that took them, and by no other."""
    known, recover = Lines.known, Lines.recover

    def wrong(self: Lines, desk: Any, ids: Any) -> dict[str, int]:
        return {id: seq for id, seq in known(self, desk, ids).items() if seq >= vars(self)["since"]}

    def recovered(self: Lines) -> Any:
        vars(self)["since"] = self._log.next_seq
        return recover(self)

    Lines.known = wrong  # type: ignore[method-assign]
    Lines.recover = recovered  # type: ignore[method-assign]


def _schedule_row_late() -> None:
    """A firing is on the tape at once, the row that says so when the next one comes."""
    right = Schedules._keep

    def wrong(self: Schedules, name: str, row: Any) -> None:
        late = vars(self).setdefault("late", {})
        before, late[name] = late.get(name), copy.deepcopy(row)
        if before is not None:
            right(self, name, before)

    Schedules._keep = wrong  # type: ignore[method-assign]


def _forgetting(table: str, forgotten: Callable[[Any], bool]) -> Callable[[], None]:
    """Flow control does not find some of its rows after a restart."""

    def apply() -> None:
        right = Flows.recover

        def wrong(self: Flows) -> None:
            reader = self._runs.reader
            rows = reader.rows

            def fewer(sql: str, *values: Any) -> list[Any]:
                found = rows(sql, *values)
                return [row for row in found if not forgotten(row)] if f"FROM {table}" in sql else found

            reader.rows = fewer  # type: ignore[method-assign,assignment]
            try:
                right(self)
            finally:
                del reader.rows

        Flows.recover = wrong  # type: ignore[method-assign]

    return apply


def _breaker_forgotten() -> None:
    """A breaker is closed when the tape is opened, whatever it was."""
    right = Breakers.recover

    def wrong(self: Breakers) -> None:
        for circuit in self._circuits.values():
            circuit.state = BreakerState()
        right(self)

    Breakers.recover = wrong  # type: ignore[method-assign]


ACKNOWLEDGED = ("acknowledged events are on the tape",)
UNSYNCED = (*ACKNOWLEDGED, "what a power cut left can be opened")
KEYS = ("each key once outside, with its intent",)
ROWS = ("every run ended well",)
TOLD = ("what the courier was told is on the tape",)
HELD = 5
"""Column of ``flow`` that says whether a run holds its turn."""

MUTATIONS = {
    found.name: found
    for found in (
        Mutation("synchronous-off", "no fsync at all", _pragma("off"), ("power",), UNSYNCED),
        Mutation("synchronous-normal", "no fsync at a commit", _pragma("normal"), ("power",), UNSYNCED),
        Mutation(
            "effect-before-barrier",
            "an effect is made before its intent is on disk",
            _effect_before_barrier,
            ("kill", "power"),
            KEYS,
            ("effect.written", "commit.begun", "wal.write"),
        ),
        Mutation(
            "no-lookup", "what is unknown is sent again", _no_lookup, ("kill", "power"), KEYS, ("effect.written",)
        ),
        Mutation(
            "lookup-once",
            "after a retry it is sent again blindly",
            _lookup_once,
            ("kill", "power"),
            KEYS,
            ("effect.written",),
        ),
        Mutation(
            "no-lookup-after-crash",
            "an open intent is sent again at the start",
            _no_lookup_after_crash,
            ("kill", "power"),
            KEYS,
            ("effect.written", "outcome.before", "outcome.recorded"),
        ),
        Mutation(
            "answer-before-disk",
            "an event is acknowledged before it is on disk",
            _answer_before_disk,
            ("kill", "power"),
            ACKNOWLEDGED,
            ("commit.begun", "commit.rows"),
            ("sleepy",),
        ),
        Mutation(
            "two-transactions",
            "records and rows commit apart",
            _two_transactions,
            ("kill", "power"),
            ROWS,
            ("wal.sync.before", "wal.sync.after"),
            ("plain", "sleepy"),
        ),
        Mutation(
            "ack-before-disk",
            "a parcel is done before that is on disk",
            _ack_before_disk,
            ("kill", "power"),
            TOLD,
            ("queue.acked", "commit.begun", "commit.rows"),
            ("parcel",),
        ),
        Mutation(
            "lease-without-row",
            "a lease is forgotten at the start",
            _lease_without_row,
            ("kill", "power"),
            ("rows of messages as their records say",),
            ("commit.done", "queue.extended"),
            ("parcel",),
        ),
        Mutation(
            "ids-forgotten",
            "a second message of one id is taken after a restart",
            _ids_forgotten,
            ("kill", "power"),
            ("each message completed once",),
            ("effect.written", "queue.sent", "queue.delivered"),
            ("sender",),
        ),
        Mutation(
            "schedule-row-late",
            "a firing and the schedule's row commit apart",
            _schedule_row_late,
            ("kill",),
            ("each second fired once",),
            ("schedule.kept", "commit.done"),
            ("plain",),
        ),
        Mutation(
            "waiting-forgotten",
            "who waits for a turn is forgotten at the start",
            _forgetting("flow", lambda row: not row[HELD]),
            ("power",),
            ROWS,
            ("effect.written", "flow.queued"),
            ("turn",),
        ),
        Mutation(
            "turns-forgotten",
            "who holds a turn is forgotten at the start",
            _forgetting("flow", lambda row: bool(row[HELD])),
            ("kill", "power"),
            ("turns of a key in order",),
            ("effect.written", "flow.admitted"),
            ("turn",),
        ),
        Mutation(
            "gathering-forgotten",
            "what is gathered is forgotten at the start",
            _forgetting("gathers", lambda row: True),
            ("kill", "power"),
            ("each piece in one batch",),
            ("flow.gathering", "commit.done"),
            ("gathered",),
        ),
        Mutation(
            "breaker-forgotten",
            "a breaker is closed at the start",
            _breaker_forgotten,
            ("power",),
            ("the breaker as its records say",),
            ("breaker.changed", "effect.written"),
            ("guarded",),
        ),
    )
}


def apply(name: str) -> None:
    """Make this process a wrong build; an empty name leaves it right."""
    if name:
        MUTATIONS[name].apply()
