"""Builds made wrong on purpose. A harness that lets one of them pass proves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tickwork.engines.embedded import batch, schema, writer
from tickwork.engines.embedded.effects import Effects
from tickwork.engines.embedded.log import Log


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

    def soon(call: Callable[[], None]) -> None:
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


ACKNOWLEDGED = ("acknowledged events are on the tape",)
UNSYNCED = (*ACKNOWLEDGED, "what a power cut left can be opened")
KEYS = ("each key once outside, with its intent",)
ROWS = ("every run ended well",)

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
            ("commit.begun", "commit.rows", "wal.write"),
        ),
        Mutation(
            "two-transactions",
            "records and rows commit apart",
            _two_transactions,
            ("kill", "power"),
            ROWS,
            ("wal.sync.before", "wal.sync.after", "wal.write"),
        ),
    )
}


def apply(name: str) -> None:
    """Make this process a wrong build; an empty name leaves it right."""
    if name:
        MUTATIONS[name].apply()
