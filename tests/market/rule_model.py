"""Rules on positions written as their description reads: every rule looks at everything."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tickwork.market.position_rules import Position, PositionRule
from tickwork.market.rule_index import RuleIndex

Told = tuple[str, str, str, int]
"""``fired`` or ``rearmed``, the rule, the symbol, and when."""


def tell(index: RuleIndex, what: Any, at: int = 0) -> list[Told]:
    """A rule to set, an id to cancel, a position, or a symbol's price; what it told."""
    if isinstance(what, PositionRule):
        index.set(what)
    elif isinstance(what, str):
        index.cancel(what)
    fired = []
    if isinstance(what, Position):
        fired = index.on_position(what)
    elif isinstance(what, tuple):
        fired = index.on_price(what[0], Decimal(what[1]), at)
    told: list[Told] = [("rearmed", one.id, one.symbol, one.at_ns) for one in index.rearmed]
    told += [("fired", one.rule.id, one.position.symbol, one.at_ns) for one in fired]
    index.rearmed.clear()
    return told


@dataclass
class Model:
    """Every rule looks at everything."""

    throttle: int
    rules: dict[str, tuple[PositionRule, dict[str, int]]] = field(default_factory=dict)
    """With the time of the newest price by symbol when it was set."""
    beyond: set[tuple[str, str]] = field(default_factory=set)
    positions: dict[tuple[str, str], tuple[Position, int]] = field(default_factory=dict)
    """With the time at which it was opened."""
    newest: dict[str, int] = field(default_factory=dict)
    last: dict[tuple[str, str, str], int] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)

    def set(self, one: PositionRule) -> None:
        self.cancel(one.id)
        self.rules[one.id] = (one, dict(self.newest))

    def cancel(self, id: str) -> None:
        self.rules.pop(id, None)
        self.beyond = {pair for pair in self.beyond if pair[0] != id}

    def position(self, one: Position) -> None:
        key = (one.owner, one.symbol)
        before, opened = self.positions.get(key, (None, 0))
        if before is not None and one.at_ns < before.at_ns:
            return
        was_open = before is not None and before.quantity != 0
        self.positions[key] = (one, opened if was_open else one.at_ns)
        self._look(one, [(rule, self._value(rule, one)) for rule, _ in self._of(one)], one.at_ns)

    def _of(self, one: Position) -> list[tuple[PositionRule, dict[str, int]]]:
        mine = [pair for pair in self.rules.values() if pair[0].owner == one.owner and pair[0].about(one.symbol)]
        return sorted(mine, key=lambda pair: pair[0].id)

    def _value(self, one: PositionRule, position: Position) -> Decimal | None:
        value = {"delta_breach": position.delta, "dte_warning": position.dte}.get(one.kind)
        return None if value is None else Decimal(value)

    def price(self, symbol: str, price: Decimal, at: int) -> None:
        if at < self.newest.get(symbol, at):
            return
        self.newest[symbol] = at
        looked: list[tuple[Position, list[tuple[PositionRule, Decimal | None]]]] = []
        for (_, name), (position, opened) in self.positions.items():
            if name == symbol and position.quantity:
                judged: list[tuple[PositionRule, Decimal | None]] = [
                    (one, price)
                    for one, seen in self._of(position)
                    if one.looks_at_prices and at > max(opened, seen.get(symbol, -1))
                ]
                looked.append((position, judged))
        everything = sorted(
            ((one, position, value) for position, j in looked for one, value in j), key=lambda x: x[0].id
        )
        before = len(self.told)
        for one, position, value in everything:
            self._look(position, [(one, value)], at)
        self.told[before:] = sorted(self.told[before:], key=lambda told: (told[0] == "fired", told[1]))

    def _look(self, position: Position, judged: list[tuple[PositionRule, Decimal | None]], at: int) -> None:
        rearmed: list[Told] = []
        fired: list[Told] = []
        for one, value in judged:
            pair = (one.id, position.symbol)
            throttled = (one.owner, one.kind, position.symbol)
            if pair in self.beyond:
                if not position.quantity or (value is not None and one.is_over(value)):
                    self.beyond.remove(pair)
                    rearmed.append(("rearmed", *pair, at))
            elif not position.quantity or value is None or not one.holds(value):
                continue
            elif at >= self.last.get(throttled, -(10**30)) + self.throttle:
                self.last[throttled] = at
                fired.append(("fired", *pair, at))
                if one.recurring:
                    self.beyond.add(pair)
                else:
                    self.cancel(one.id)
        self.told += [*rearmed, *fired]
