"""The rules in the shape in which they are applied: for each workflow and symbol, all limits that concern it, in order.

Theory of operation. Worked out once for each pair and kept; nothing here looks at an order. A workflow or symbol
without limits of its own shares the account's plan of the rest, so that there are only as many plans as there are
limits, however many names come by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tickwork.errors import InvalidInput
from tickwork.trading.exposure import Case
from tickwork.trading.hours import OpenHours, hours_of
from tickwork.trading.limits import Limits, RiskRules, ScopeKind
from tickwork.trading.measures import RULES, Bound, Measure, Rule
from tickwork.values import EXACT, duration

_MINUTE: Final = 60_000_000_000


class Session:
    """When a limit lets anything be traded. The answer is kept for its minute: hours begin and end on whole ones."""

    def __init__(self, text: str, hours: OpenHours) -> None:
        self.text = text
        self._hours = hours
        self._known = (-1, "")

    def closed(self, now: int) -> str:
        """Why nothing may be traded; ``""``: it may."""
        minute = now // _MINUTE
        if self._known[0] != minute:
            try:
                why = "" if self._hours.is_open(now) else "closed"
            except InvalidInput as error:  # a day that the table of sessions does not cover
                why = f"none: {error}"
            self._known = (minute, why)
        return self._known[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What concerns the orders of one workflow in one symbol."""

    counted: tuple[tuple[Measure, Decimal, Rule, Bound], ...]
    """What is measured, from which figure on there is anything to say, and of what."""
    bands: tuple[Bound, ...]
    min_notional: tuple[Bound, ...]
    symbols: tuple[tuple[str, frozenset[str] | None, frozenset[str]], ...]
    """Scope, allowed, forbidden."""
    sessions: tuple[tuple[str, Session], ...]
    quote_age: int
    """The shortest, in ns, and whose it is."""
    quote_age_scope: str
    approval_ttl: int
    """The shortest, in ns."""


class Rulebook:
    """All plans of an account.

    Raises:
        InvalidInput: a session of a market that is not known.
    """

    def __init__(self, rules: RiskRules, markets: Callable[[str], OpenHours] | None = None) -> None:
        self._rules = rules
        self.equity_age = duration(rules.account.max_equity_age)
        self._sessions = {
            (kind, name): Session(limits.session, hours_of(limits.session, markets, f"{_scope(kind, name)}.session"))
            for kind, name, limits in scopes_of(rules)
            if limits.session is not None
        }
        self._plans: dict[tuple[str, str], Plan] = {}

    def plan(self, workflow: str, symbol: str) -> Plan:
        """What concerns orders of ``workflow`` in ``symbol``."""
        found = self._plans.get((workflow, symbol))
        if found is None:
            key = (
                workflow if workflow in self._rules.workflows else "",
                symbol if symbol in self._rules.symbols else "",
            )
            found = self._plans.get(key)
            if found is None:
                found = self._plans[key] = self._made(*key)
        return found

    def _made(self, workflow: str, symbol: str) -> Plan:
        scopes = list(scopes_of(self._rules, workflow, symbol))
        ages = [(duration(one.max_quote_age), _scope(kind, name)) for kind, name, one in scopes if one.max_quote_age]
        quote_age, whose = min(ages, key=lambda one: one[0])
        return Plan(
            counted=tuple(
                (rule.measure, bound.warn, rule, bound)
                for rule in RULES
                for scope in scopes
                if (bound := bound_of(rule.name, rule.limit, *scope)) is not None
            ),
            bands=_bounds("price_band", scopes),
            min_notional=tuple(bound for bound in _bounds("min_notional", scopes) if bound.limit),
            symbols=tuple(
                (_scope(kind, name), allowed, frozenset(one.forbidden_symbols))
                for kind, name, one in scopes
                if (allowed := None if one.allowed_symbols is None else frozenset(one.allowed_symbols)) is not None
                or one.forbidden_symbols
            ),
            sessions=tuple(
                (_scope(kind, name), self._sessions[kind, name]) for kind, name, one in scopes if one.session
            ),
            quote_age=quote_age,
            quote_age_scope=whose,
            approval_ttl=min(duration(one.approval_ttl) for _, _, one in scopes if one.approval_ttl is not None),
        )

    def standing(self, case: Case) -> Iterator[tuple[Rule, Bound]]:
        """Every limit that can be measured without an order; sets ``case.symbol`` where it is one of a symbol."""
        for rule in RULES:
            if not rule.lasts:
                continue
            for scope in scopes_of(self._rules):
                bound = bound_of(rule.name, rule.limit, *scope)
                if bound is None:
                    continue
                of_account = rule.of_symbol and bound.kind != "symbol"
                for symbol in sorted(case.standing(bound.workflow).rows) if of_account else [bound.name]:
                    case.symbol = symbol
                    yield rule, bound


def _scope(kind: ScopeKind, name: str) -> str:
    return f"{kind} {name}" if name else kind


def _bounds(field: str, scopes: list[tuple[ScopeKind, str, Limits]]) -> tuple[Bound, ...]:
    return tuple(bound for scope in scopes if (bound := bound_of(field, field, *scope)) is not None)


def scopes_of(
    rules: RiskRules, workflow: str | None = None, symbol: str | None = None
) -> Iterator[tuple[ScopeKind, str, Limits]]:
    """The account, then a workflow or all, then a symbol or all: kind, name, limits."""
    yield "account", "", rules.account
    for name, limits in rules.workflows.items():
        if workflow in (None, name):
            yield "workflow", name, limits
    for name, limits in rules.symbols.items():
        if symbol in (None, name):
            yield "symbol", name, limits


def bound_of(rule: str, field: str, kind: ScopeKind, name: str, limits: Limits) -> Bound | None:
    """The bound that a limit sets; ``None`` where it is not set. ``field``: of ``Limits``."""
    value = getattr(limits, field)
    if value is None:
        return None
    limit = Decimal(value)
    whose = name if kind == "workflow" else ""
    return Bound(rule, kind, name, limit, EXACT.multiply(limit, limits.warn_at), whose)
