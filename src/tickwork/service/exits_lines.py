"""Exit plans, as a list for people and programs."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from tickwork.engines.embedded.queries import Queries
from tickwork.service.exits_events import exit_marks, exit_plans
from tickwork.trading.exits import ExitBook, Marks, PlanState, StopAt
from tickwork.values import EXACT, from_ns, plain

_EVENTS: Final = {cls.event_name: cls for view in (exit_plans, exit_marks) for cls in view.on}


class ExitLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A plan as it stands. Quantities are base units, prices quote currency."""

    plan: str
    account: str
    workflow: str
    symbol: str
    side: str
    left: Decimal
    original: Decimal
    on_its_way: Decimal
    """Of what is left: what exit orders are being placed for."""
    stop: Decimal | None
    """Where the nearest stop stands; ``None``: there is none, or it has been reached."""
    stop_reason: str
    target: Decimal | None
    """Price of the next level of the ladder."""
    trailing: str
    """``""``: it does not trail; ``waits``: its profit has not been reached; ``trails``."""
    state: str
    """``waits``, or the stop that has been reached: what is left is being sold."""
    opened_at: datetime


def exit_line(state: PlanState, stop: StopAt | None) -> ExitLine:
    """A plan, and where its nearest stop stands."""
    plan, legs = state.plan, state.waiting_legs
    trailing = "" if plan.rules.trailing is None else "waits" if state.best is None else "trails"
    return ExitLine(
        plan=plan.id,
        account=plan.account,
        workflow=plan.workflow,
        symbol=plan.symbol,
        side=plan.side,
        left=_short(state.remaining),
        original=_short(state.original),
        on_its_way=_short(state.on_its_way),
        stop=None if stop is None else _short(stop.price),
        stop_reason="" if stop is None else stop.reason,
        target=_short(plan.price_at(state.legs[legs[0]].profit)) if legs else None,
        trailing=trailing,
        state=state.tripped or "waits",
        opened_at=from_ns(plan.opened_ns),
    )


def _short(value: Decimal) -> Decimal:
    """The same without zeros at its end, which multiplying leaves there."""
    return Decimal(plain(value.normalize(EXACT)))


def book_lines(book: ExitBook, account: str = "") -> list[ExitLine]:
    """The plans of a book, or those of an account, by when they were opened."""
    states = [state for state in book.states() if account in ("", state.plan.account)]
    states.sort(key=lambda state: (state.plan.opened_ns, state.plan.id))
    return [exit_line(state, book.stop_of(state.plan.id)) for state in states]


def exit_lines(queries: Queries, account: str = "") -> list[ExitLine]:
    """The plans on a tape, as of its last record; for when nobody has it open."""
    plans, marks = dict[str, PlanState](), dict[str, Marks]()
    for entry in queries.events(*_EVENTS):
        event = _EVENTS[entry.record.name].read(entry.record.version, bytes(entry.record.value))
        if type(event) in exit_plans.on:
            _fold(exit_plans, plans, event)
        else:
            _fold(exit_marks, marks, event)
    opened = max((state.plan.opened_ns for state in plans.values()), default=0)
    book = ExitBook()
    book.restore(plans.values(), marks.values(), opened)
    return book_lines(book, account)


def _fold(view: Any, states: dict[str, Any], event: Any) -> None:
    key = view.key(event)
    state = view.fold(states.get(key), event)
    if state is None:
        states.pop(key, None)
    else:
        states[key] = state
