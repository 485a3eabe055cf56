"""Breaches: limits whose end is not that one order is refused but that trading stops.

Theory of operation. A pure reading of the activity, to be asked whenever it changed and from time to time. What is done
about a breach is its reader's: it raises the halt to the breach's level and puts it on the tape. The gate refuses by
the same limits on its own, so that nothing depends on who is quicker.

A loss that cannot be measured, because equity is missing or old, is an alert and not silence: a check that a missing
figure turns off is no check.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from tickwork.trading.activity import Activity
from tickwork.trading.exposure import Case, Terms
from tickwork.trading.ledger import Ledger
from tickwork.trading.limits import RiskRules
from tickwork.trading.measures import RULES, Bound, Rule
from tickwork.trading.reservations import Reservations
from tickwork.trading.rulebook import bound_of, scopes_of
from tickwork.values import duration, duration_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A limit that is reached (``halt``), or nearly, or cannot be measured (``alert``)."""

    rule: str
    scope: str
    """``account``, or ``workflow NAME``: then it is that workflow's trading that should stop."""
    limit: str
    actual: str
    level: Literal["alert", "halt"]

    def __str__(self) -> str:
        return f"{self.rule} of {self.scope}: limit {self.limit}, actual {self.actual}"


def breaches(rules: RiskRules, activity: Activity, now: int) -> list[Breach]:
    """What is breached at ``now`` (ns), in the order of the rules: losses of the day, drawdown, failed submissions."""
    age = duration(rules.account.max_equity_age)
    case = Case(
        terms=Terms(currency=activity.currency, shorts=False, quote_age=0, equity_age=age),
        ledger=Ledger(),
        reservations=Reservations(),
        activity=activity,
        marks=lambda symbol: None,
        now=now,
    )
    found = [
        _breach(rule, bound, case)
        for rule in RULES
        if rule.reached
        for scope in scopes_of(rules)
        if (bound := bound_of(rule.name, rule.limit, *scope)) is not None
    ]
    return [one for one in (*found, _errors(rules, activity, now)) if one is not None]


def _breach(rule: Rule, bound: Bound, case: Case) -> Breach | None:
    actual = rule.measure(case, bound)
    if actual is None:
        return None
    if isinstance(actual, str):
        return Breach(rule=rule.name, scope=bound.scope, limit=str(bound.limit), actual=actual, level="alert")
    return _level(rule.name, bound, actual, f"{actual:.6f}" if rule.limit != "max_daily_loss" else str(actual))


def _errors(rules: RiskRules, activity: Activity, now: int) -> Breach | None:
    bound = bound_of("max_failures", "max_failures", "account", "", rules.account)
    if bound is None:
        return None
    window = duration(rules.account.failure_window)
    count = activity.failures(now, window)
    return _level("max_failures", bound, Decimal(count), f"{count} in {duration_text(window)}")


def _level(rule: str, bound: Bound, actual: Decimal, told: str) -> Breach | None:
    if actual < bound.warn:
        return None
    level: Literal["alert", "halt"] = "halt" if actual >= bound.limit else "alert"
    return Breach(rule=rule, scope=bound.scope, limit=str(bound.limit), actual=told, level=level)
