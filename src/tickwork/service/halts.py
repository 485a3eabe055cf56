"""Halts and flattens as a tape tells of them: what stands, what was, and what became of each order that was swept."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

import msgspec

from tickwork.engines.embedded.queries import Queries
from tickwork.errors import NotFound
from tickwork.service.flattening import FLATTEN, FlattenAsked, FlattenDone, FlattenLine
from tickwork.service.halting import STOPPING, HaltCleared, HaltLine, HaltRaised, halts_on, later_run
from tickwork.service.sweeping import HaltAcknowledged, HaltSwept
from tickwork.values import from_ns, plain

HALT: Final = "halt"
"""Name of the workflow that a halt starts."""


class HaltChange(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A halt was raised, or cleared."""

    seq: int
    """Of a raised one also its id: what became of the orders is asked by it."""
    at: datetime
    what: Literal["raised", "cleared"]
    account: str
    """``""``: every account."""
    level: str
    """To which it was raised, or which was cleared."""
    reason: str
    by: str


class HaltsShown(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Halts that stand, and what was raised and cleared, newest first."""

    standing: list[HaltLine]
    history: list[HaltChange]
    next: str | None
    """The cursor of the history before that; ``None``: there is none."""


class Acknowledged(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What became of one resting order that was to be cancelled."""

    at: datetime
    account: str
    client_order_id: str
    venue_order_id: str
    symbol: str
    outcome: str
    """``cancelled``; ``ended``: by itself; ``unknown``: nobody knows whether it exists; ``failed``: so far."""
    filled: str
    reason: str


class SweptAccount(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """How the sweep of an account stands."""

    account: str
    complete: bool
    """Nothing is left that could trade but what was to be left."""
    cancelled: int
    ended: int
    failed: list[str]
    in_doubt: list[str]
    left: list[str]
    """Reductions, and orders of others."""
    looks: int
    reason: str


class Sweep(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What a halt has come to at the venues."""

    halt: int
    account: str
    level: str
    run: str
    """The run that cancels; ``""``: the level cancels nothing, or it has not begun yet."""
    status: str
    """Of that run."""
    done: bool
    """It has come to its end, complete or not."""
    accounts: list[SweptAccount]
    orders: list[Acknowledged]


class FlattenPart(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What came of one symbol. Quantities are base units, as text."""

    symbol: str
    before: str
    left: str
    orders: list[str]
    why: str
    """Why something is left."""


class FlattenShown(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """How a flatten stands."""

    run: str
    status: str
    account: str
    reason: str
    by: str
    done: bool
    complete: bool | None
    """No position is left; ``None``: it is not done."""
    lines: list[FlattenPart]
    problems: list[str]
    """Orders that rest all the same, and why."""
    accounts: list[SweptAccount]
    orders: list[Acknowledged]


_CHANGES: Final[dict[str, type[HaltRaised | HaltCleared]]] = {
    HaltRaised.event_name: HaltRaised,
    HaltCleared.event_name: HaltCleared,
}


def halts_shown(queries: Queries, limit: int = 20, *, account: str = "", before: int | None = None) -> HaltsShown:
    """What stands, and what was raised and cleared before a position. ``account``: only its own and that of all."""
    standing = [line for line in halts_on(queries).values() if account in ("", line.account) or not line.account]
    history: list[HaltChange] = []
    for entry in queries.latest(*_CHANGES, before=before):
        event = _CHANGES[entry.record.name].read(entry.record.version, bytes(entry.record.value))
        if account in ("", event.account) or not event.account:
            history.append(_change(entry.seq, event))
            if len(history) > limit:
                break
    more = len(history) > limit
    return HaltsShown(
        standing=sorted(standing, key=lambda line: line.account),
        history=history[:limit],
        next=str(history[limit - 1].seq) if more else None,
    )


def _change(seq: int, event: HaltRaised | HaltCleared) -> HaltChange:
    return HaltChange(
        seq=seq,
        at=event.at,
        what="raised" if isinstance(event, HaltRaised) else "cleared",
        account=event.account,
        level=event.level,
        reason=event.reason,
        by=event.by,
    )


def raised_last(queries: Queries, account: str) -> int | None:
    """Position of the last halt of an account (``""``: of all) that was raised; ``None``: there was none."""
    for entry in queries.latest(HaltRaised.event_name):
        event = HaltRaised.read(entry.record.version, bytes(entry.record.value))
        if event.account == account:
            return entry.seq
    return None


# ------------------------------------------------------------------------------------------------------------- sweeps


def sweep(queries: Queries, halt: int) -> Sweep:
    """What the halt that was raised at a position has come to.

    Raises:
        NotFound: no halt was raised there.
    """
    entry = queries.reader.record(halt)
    if entry is None or entry.record.name != HaltRaised.event_name:
        raise NotFound("halt", halt, "the seq of a halt that was raised, as `halts.show` gives it")
    raised = HaltRaised.read(entry.record.version, bytes(entry.record.value))
    run = _run_of(queries, halt, raised) if raised.level in STOPPING else ""
    status = queries.show(run).info.status if run else ""
    accounts, orders = _swept(queries, run) if run else ([], [])
    done = status not in ("", "running", "waiting", "queued", "paused") or raised.level not in STOPPING
    return Sweep(
        halt=halt,
        account=raised.account,
        level=raised.level,
        run=run,
        status=status,
        done=done,
        accounts=accounts,
        orders=orders,
    )


def _run_of(queries: Queries, halt: int, raised: HaltRaised) -> str:
    """The run that a halt started; ``""``: there is none yet."""
    # one that was raised while nobody had the tape open is swept by a run of this id
    if queries.reader.run_named(named := later_run(raised.account, raised.at)) is not None:
        return named
    before: int | None = None
    while True:
        page = queries.runs(workflow=HALT, before=before, limit=50)
        for info in page:
            if info.seq < halt:
                return ""
            begun = queries.reader.record(info.seq)
            if begun is not None and begun.record.ref == halt:
                return info.id
        if len(page) < 50:
            return ""
        before = page[-1].seq


def _swept(queries: Queries, run: str) -> tuple[list[SweptAccount], list[Acknowledged]]:
    """What a run has told of its sweeps: the last of each account, and of each order."""
    begun = queries.row(run).seq
    accounts: dict[str, SweptAccount] = {}
    orders: dict[tuple[str, str], Acknowledged] = {}
    for entry in queries.events(HaltAcknowledged.event_name, HaltSwept.event_name, after=begun):
        value = bytes(entry.record.value)
        if entry.record.name == HaltSwept.event_name:
            swept = HaltSwept.read(entry.record.version, value)
            if swept.run == run:
                accounts[swept.account] = _account(swept)
        else:
            told = HaltAcknowledged.read(entry.record.version, value)
            if told.run == run:
                orders[told.account, told.client_order_id or told.venue_order_id] = _order(entry.record.at, told)
    return [accounts[name] for name in sorted(accounts)], list(orders.values())


def _account(swept: HaltSwept) -> SweptAccount:
    return SweptAccount(
        account=swept.account,
        complete=swept.complete,
        cancelled=swept.cancelled,
        ended=swept.ended,
        failed=list(swept.failed),
        in_doubt=list(swept.in_doubt),
        left=list(swept.left),
        looks=swept.looks,
        reason=swept.reason,
    )


def _order(at: int, told: HaltAcknowledged) -> Acknowledged:
    return Acknowledged(
        at=from_ns(at),
        account=told.account,
        client_order_id=told.client_order_id,
        venue_order_id=told.venue_order_id,
        symbol=told.symbol,
        outcome=told.outcome,
        filled=plain(told.filled),
        reason=told.reason,
    )


# ----------------------------------------------------------------------------------------------------------- flattens


def flatten_shown(queries: Queries, run: str) -> FlattenShown:
    """How a flatten stands, by its run.

    Raises:
        NotFound: there is no such run, or it is no flatten.
    """
    detail = queries.show(run)
    if detail.info.workflow != FLATTEN:
        raise NotFound("flatten", run, f"the run of a flatten; this is one of {detail.info.workflow}")
    asked = FlattenAsked.read(1, msgspec.json.encode(detail.input))
    done = _flattened(queries, detail.info.seq, run)
    accounts, orders = _swept(queries, run)
    return FlattenShown(
        run=run,
        status=detail.info.status,
        account=asked.account,
        reason=asked.reason,
        by=asked.by,
        done=done is not None,
        complete=None if done is None else done.complete,
        lines=[] if done is None else [_part(line) for line in done.lines],
        problems=([] if done is None else list(done.orders)) + ([detail.error] if detail.error else []),
        accounts=accounts,
        orders=orders,
    )


def _part(line: FlattenLine) -> FlattenPart:
    return FlattenPart(
        symbol=line.symbol, before=plain(line.before), left=plain(line.left), orders=list(line.orders), why=line.why
    )


def _flattened(queries: Queries, begun: int, run: str) -> FlattenDone | None:
    for entry in queries.events(FlattenDone.event_name, after=begun):
        done = FlattenDone.read(entry.record.version, bytes(entry.record.value))
        if done.run == run:
            return done
    return None
