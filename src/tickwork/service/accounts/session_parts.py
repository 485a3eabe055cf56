"""What a trading session consists of, as ``tickwork status`` shows it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from tickwork.service.feed_status import FeedStatus
from tickwork.service.reconcile_events import ReconciliationDone
from tickwork.service.running.parts import Look, Part
from tickwork.service.running.roles import EXITS, HALTS, NOTIFYING, RECONCILIATION, WORKFLOWS
from tickwork.service.running.status import ProcessStatus
from tickwork.values import timestamp_ns

if TYPE_CHECKING:
    from tickwork.service.accounts.account import OpenAccount
    from tickwork.service.accounts.session import LiveSession


def parts_of(session: LiveSession) -> list[Part]:
    """The parts of an open session: what protects, what brings in prices, what decides."""
    looks: dict[str, Callable[[], Look]] = {"tape": partial(_tape, session)}
    looks |= {f"account {name}": partial(_account, opened.account) for name, opened in session.opened.items()}
    looks |= {HALTS: partial(_halts, session), EXITS: partial(_exits, session)}
    looks |= {RECONCILIATION: partial(_reconciliation, session)}
    looks |= {f"feed {feed.name}": partial(_feed, session, feed.name) for feed in session.watch.status()}
    looks |= {WORKFLOWS: partial(_workflows, session)}
    return [Part(name=name, look=look) for name, look in looks.items()]


def described(session: LiveSession, status: ProcessStatus) -> ProcessStatus:
    """A status with what the session knows."""
    told = session.engine.status()
    queued = told["runs"].get("queued", 0)
    parts = [msgspec.structs.replace(one, backlog=queued) if one.name == WORKFLOWS else one for one in status.parts]
    return msgspec.structs.replace(
        status,
        parts=parts,
        only=list(session.roles.only),
        without=list(session.roles.without),
        seq=told["seq"],
        runs=told["runs"],
        halts=session.guards.halting.standing(),
        feeds=session.watch.status(),
        notes=list(session.notes),
    )


def _tape(session: LiveSession) -> Look:
    fault = session.engine.fault
    last = session.engine.queries.reader.end()[1] or None
    return Look(
        state="running" if fault is None else "failed", last_ns=last, detail="" if fault is None else str(fault)
    )


def _account(account: OpenAccount) -> Look:
    doubtful = len(account.desk.reservations.doubtful())
    working = len(account.desk.reservations)
    detail = f"{working} orders followed" + (f", {doubtful} in doubt" if doubtful else "")
    if account.unheard_since is not None:
        detail += f"; {account.venue.name} does not answer"
    state = "running" if account.unheard_since is None else "waiting"
    return Look(state=state, last_ns=account.looked_ns, backlog=working, detail=detail)  # type: ignore[arg-type]


def _halts(session: LiveSession) -> Look:
    standing = session.guards.halting.standing()
    return Look(last_ns=session.guards.judged_ns, detail=f"{len(standing)} stand" if standing else "")


def _exits(session: LiveSession) -> Look:
    plans = session.trading.exits.plans()
    flights = sum(len(plan.flights) for plan in plans)
    detail = f"{len(plans)} plans"
    if not session.roles.runs(EXITS):
        return Look(state="off", backlog=flights, detail=f"{detail}, and nobody watches them")
    blind = session.trading.exits.unjudged
    if blind:
        detail += f"; no price decides anything in {', '.join(symbol for _, symbol in blind)}"
    return Look(state="degraded" if blind else "running", last_ns=session.judged_ns, backlog=flights, detail=detail)


def _reconciliation(session: LiveSession) -> Look:
    state = "running" if session.roles.runs(RECONCILIATION) else "off"
    reader = session.engine.queries.reader
    rows = reader.rows("SELECT max(seq) FROM events WHERE name=?", (ReconciliationDone.event_name,))
    entry = reader.record(rows[0][0]) if rows and rows[0][0] is not None else None
    return Look(state=state, last_ns=None if entry is None else entry.record.at)  # type: ignore[arg-type]


def _feed(session: LiveSession, name: str) -> Look:
    found: FeedStatus | None = next((one for one in session.watch.status() if one.name == name), None)
    if found is None:
        return Look(state="off")
    last = None if found.last_item_at is None else timestamp_ns(found.last_item_at)
    if found.state == "waiting":
        return Look(state="waiting", last_ns=last, detail=found.last_error)
    if found.stale:
        return Look(state="degraded", last_ns=last, detail=f"silent; {found.last_error}".rstrip("; "))
    return Look(last_ns=last, detail=f"{found.items} items")


def _workflows(session: LiveSession) -> Look:
    reader = session.engine.queries.reader
    last = reader.one("SELECT started_at FROM runs ORDER BY seq DESC LIMIT 1")
    names = {workflow.name for workflow in session.engine.registry.starting if workflow.triggers}
    return Look(last_ns=last, detail=f"{len(names - session.protecting - NOTIFYING)} take new work")
