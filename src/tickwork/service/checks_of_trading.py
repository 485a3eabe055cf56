"""Checks of trading: halts that stand, orders whose fate nobody knows, the last reconciliation."""

from __future__ import annotations

from collections.abc import Iterator

from tickwork.service.finding import Case, Said, command, many, some
from tickwork.service.halting import STOPPING, halt_lines
from tickwork.service.orders import orders
from tickwork.service.reconcile_events import last_done


def halts(case: Case) -> Iterator[Said]:
    """Halts that stand: a person has to clear them."""
    for line in case.states(halt_lines).values():
        what = f"account {line.account}" if line.account else "every account"
        detail = f"{what} is at level {line.level} since {line.since:%Y-%m-%d %H:%M:%S}, by {line.by}: {line.reason}"
        advice = f"see to it, then {command('unhalt', '--reason', '...')}"
        yield Said("error" if line.level in STOPPING else "warning", detail, advice)


def doubts(case: Case) -> Iterator[Said]:
    """Orders nobody knows the fate of."""
    found = orders(case.queries, "unknown", limit=1_000)
    if found:
        detail = f"{many(len(found), 'order')} in doubt: {some([line.client_order_id for line in found])}"
        advice = (
            f"look at the venue; one that is not there may be disowned: {command('disown', 'ORDER', '--reason', '...')}"
        )
        yield Said("warning", detail, advice)


def books(case: Case) -> Iterator[Said]:
    """What the last reconciliation of each account left open."""
    for done in last_done(case.queries):
        name = done.account
        if done.unseen:
            yield Said(
                "warning", f"account {name}: {some(sorted(done.unseen))} could not be compared with {done.venue}"
            )
        open_yet = [line for line in done.findings if not line.settled]
        if open_yet:
            detail = f"account {name} differs from {done.venue}: {some([line.detail for line in open_yet], 3)}"
            advice = f"see {command('reconcile', '--account', name)}, which says what can be done"
            yield Said("error", detail, advice)
