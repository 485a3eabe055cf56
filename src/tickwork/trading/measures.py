"""What each limit measures: one function a rule, of what the gate is shown and of the order it is asked about.

``RULES`` is the list of everything that is counted, in the order in which refusals are given. A measure answers with a
figure, with words why there is none (then the limit refuses), or with ``None``: this order adds nothing to it. What is
counted of positions and orders is in ``exposure``; quotients are rounded up.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final, NamedTuple

from tickwork.trading.exposure import NEVER, ONE, Case, Measured, share
from tickwork.trading.limits import ScopeKind
from tickwork.values import EXACT


class Bound(NamedTuple):
    """One limit, where it stands, and from when on it warns."""

    rule: str
    kind: ScopeKind
    name: str
    """Of the workflow or symbol."""
    limit: Decimal
    warn: Decimal
    workflow: str
    """Whose orders and positions count: a workflow's own, or ``""`` for all."""

    @property
    def scope(self) -> str:
        """For people."""
        return self.kind if self.kind == "account" else f"{self.kind} {self.name}"


# ---------------------------------------------------------------------------------------------------- the measures


def _order_notional(case: Case, _: Bound) -> Measured:
    if not case.quantity:
        return None
    notional, rate = EXACT.multiply(case.quantity, case.price), case.rate(case.symbol)
    return rate if isinstance(rate, str) else notional if rate is ONE else EXACT.multiply(notional, rate)


def _own_leverage(case: Case, _: Bound) -> Measured:
    return case.leverage if case.leverage > 1 else None


def _orders_per_minute(case: Case, bound: Bound) -> Measured:
    if case.counted:
        return None
    if case.activity is None:
        return "none: orders were not counted"
    made = case.activity.orders(case.now, "" if bound.kind == "account" else bound.scope)
    return Decimal(made + (case.quantity > 0))


def _open_orders(case: Case, bound: Bound) -> Measured:
    if bound.kind == "account":
        count = len(case.reservations)
    elif bound.kind == "symbol":
        count = case.reservations.pending(bound.name).orders
    else:
        count = case.standing(bound.name).orders
    return Decimal(count + (case.quantity > 0))


def _positions(case: Case, bound: Bound) -> Measured:
    rows = case.standing(bound.workflow).rows
    if not case.quantity:
        return Decimal(len(rows))
    return None if case.symbol in rows else Decimal(len(rows) + 1)


def _position_notional(case: Case, bound: Bound) -> Measured:
    return case.after(bound.workflow)


def _concentration(case: Case, bound: Bound) -> Measured:
    return _of_equity(case, case.after(bound.workflow))


def _exposure(case: Case, bound: Bound) -> Measured:
    return case.exposed(bound.workflow)


def _leverage(case: Case, bound: Bound) -> Measured:
    return _of_equity(case, case.exposed(bound.workflow))


def _of_equity(case: Case, value: Measured) -> Measured:
    if value is None or isinstance(value, str):
        return value
    equity = case.equity()
    return equity if isinstance(equity, str) else share(value, equity)


def _daily_loss(case: Case, bound: Bound) -> Measured:
    return case.loss(bound.workflow)


def _daily_loss_fraction(case: Case, bound: Bound) -> Measured:
    loss = case.loss(bound.workflow)
    if isinstance(loss, str) or case.activity is None:
        return loss
    begin = case.activity.day_begin(case.now)
    if begin is None or begin <= 0:
        return "none: the day began with no equity" if begin is None else f"none: the day began with {begin}"
    return share(loss, begin)


def _drawdown(case: Case, _: Bound) -> Measured:
    if case.activity is None:
        return NEVER
    found = case.activity.drawdown(case.now, case.terms.equity_age)
    if isinstance(found, str):
        return found
    fallen, peak = found
    return share(fallen, peak) if peak > 0 else f"none: the peak is {peak}"


Measure = Callable[[Case, Bound], Measured]


class Rule(NamedTuple):
    """One rule."""

    name: str
    limit: str
    """The field of ``Limits``."""
    measure: Measure
    reached: bool = False
    """It refuses when the limit is reached, not only beyond it."""
    lasts: bool = True
    """It can be measured without an order."""
    of_symbol: bool = False
    """It is measured for each symbol."""


RULES: Final = (
    Rule("max_order_notional", "max_order_notional", _order_notional, lasts=False),
    Rule("order_leverage", "max_leverage", _own_leverage, lasts=False),
    Rule("max_orders_per_minute", "max_orders_per_minute", _orders_per_minute),
    Rule("max_open_orders", "max_open_orders", _open_orders),
    Rule("max_positions", "max_positions", _positions),
    Rule("max_position_notional", "max_position_notional", _position_notional, of_symbol=True),
    Rule("max_concentration", "max_concentration", _concentration, of_symbol=True),
    Rule("max_exposure", "max_exposure", _exposure),
    Rule("max_leverage", "max_leverage", _leverage),
    Rule("max_daily_loss", "max_daily_loss", _daily_loss, reached=True),
    Rule("max_daily_loss_fraction", "max_daily_loss_fraction", _daily_loss_fraction, reached=True),
    Rule("max_drawdown", "max_drawdown", _drawdown, reached=True),
)
"""All that is counted, in the order in which refusals are given."""
