"""All rules on positions, with the positions they look at.

Pure, like the index of alerts, and with the same way of finding what a price reaches: a price rule waits at its level
once for each open position that it concerns. Rules on deltas and expiries are judged when their position is told of.

**Positions are live.** They are told with ``on_position`` whenever they change, and count as they were told last. What
is remembered of a rule is only for which symbols it has fired and is not armed again; closing a position ends that.

**Throttle.** At most one firing of a kind for a symbol of an owner within ``throttle``: what becomes true in that time
is held back, and fires when the time is over if it is still true then. So a person hears of it late, not never.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from tickwork.errors import InvalidInput
from tickwork.market.alerts import left_at
from tickwork.market.levels import ALWAYS, Levels, Waiting, sound_price
from tickwork.market.position_rules import Mark, Position, PositionRule, RuleState
from tickwork.values import DurationLike, duration


class RuleFired(msgspec.Struct, frozen=True):
    """A rule has become true of a position."""

    rule: PositionRule
    position: Position
    value: Decimal
    """The price, the delta or the days."""
    at_ns: int
    """When it was that."""


class RuleReset(msgspec.Struct, frozen=True):
    """A rule is armed again for a symbol."""

    id: str
    owner: str
    symbol: str
    at_ns: int


class _Pair(Waiting, gc=False):
    """A price rule on an open position; ``id`` is the rule's."""

    until_ns: int
    """Prices up to this time, inclusively, are not for it. While it is held back: when that is over."""
    held: bool = False


class RuleIndex:
    """Rules and positions. Not thread-safe."""

    def __init__(self, throttle: DurationLike = "0s") -> None:
        self.stale = 0
        """Prices and positions that were ignored because a newer one had been seen."""
        self.rearmed: list[RuleReset] = []
        """What was armed again since this was last emptied; in order, and before what the same call fired."""
        self._throttle_ns = duration(throttle, "throttle")
        self._rules: dict[str, PositionRule] = {}
        self._owned: dict[str, dict[str, PositionRule]] = {}
        self._positions: dict[str, dict[str, Position]] = {}
        """By owner and symbol; closed ones too, so that what is told late does not open them again."""
        self._opened: dict[tuple[str, str], int] = {}
        """By owner and symbol: since when a position is known to be open."""
        self._beyond: dict[str, set[str]] = {}
        """By rule: the symbols it has fired for and is not armed again."""
        self._since: dict[str, dict[str, int]] = {}
        """By rule and symbol: time of the newest price when the rule was set or, once loaded, last fired or armed."""
        self._last: dict[tuple[str, str, str], int] = {}
        """By owner, kind and symbol: when one last fired."""
        self._pairs: dict[tuple[str, str], _Pair] = {}
        """By rule and symbol."""
        self._books: dict[str, Levels[_Pair]] = {}

    # -- rules ----------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._rules)

    def get(self, id: str) -> PositionRule | None:
        """The rule of this id, if it stands."""
        return self._rules.get(id)

    def of(self, owner: str | None) -> list[PositionRule]:
        """An owner's rules, or everybody's, sorted by id."""
        mine = self._rules if owner is None else self._owned.get(owner, {})
        return [rule for _, rule in sorted(mine.items())]

    def set(self, rule: PositionRule) -> None:
        """Let it stand, armed; one of the same id is replaced. It is judged from the next price or position on."""
        self.cancel(rule.id)
        self._add(rule)
        self._since[rule.id] = self.seen(rule)
        for position in self.positions(rule.owner):
            if rule.about(position.symbol) and rule.looks_at_prices:
                self._pair(rule, position)

    def seen(self, rule: PositionRule) -> dict[str, int]:
        """Time of the newest price of each symbol the rule would look at now."""
        symbols = [position.symbol for position in self.positions(rule.owner) if rule.about(position.symbol)]
        books = {symbol: self._books[symbol] for symbol in symbols if symbol in self._books}
        return {symbol: book.newest_ns for symbol, book in books.items() if book.newest_ns != ALWAYS}

    def cancel(self, id: str) -> bool:
        """Take it away; False if none of this id stands."""
        rule = self._rules.pop(id, None)
        if rule is None:
            return False
        del self._owned[rule.owner][id], self._beyond[id], self._since[id]
        for symbol in self._positions.get(rule.owner, ()):
            self._leave(id, symbol)
        return True

    def load(self, items: Iterable[tuple[str, RuleState]]) -> None:
        """Let many stand as they last did. For an index that is still empty; positions are to be told again."""
        for id, state in items:
            rule = state.rule(id)
            self._add(rule)
            for symbol, mark in state.marks.items():
                self._recall(rule, symbol, mark)

    def _add(self, rule: PositionRule) -> None:
        self._rules[rule.id] = rule
        self._owned.setdefault(rule.owner, {})[rule.id] = rule
        self._beyond[rule.id] = set()
        self._since[rule.id] = {}

    def _recall(self, rule: PositionRule, symbol: str, mark: Mark) -> None:
        self._since[rule.id][symbol] = mark.since_ns
        if mark.beyond:
            self._beyond[rule.id].add(symbol)
        if mark.fired_ns is not None:
            key = (rule.owner, rule.kind, symbol)
            self._last[key] = max(self._last.get(key, ALWAYS), mark.fired_ns)

    # -- positions ------------------------------------------------------------------------------------------------

    def positions(self, owner: str) -> list[Position]:
        """An owner's open positions."""
        return [position for position in self._positions.get(owner, {}).values() if position.quantity]

    def on_position(self, position: Position) -> list[RuleFired]:
        """Take how a position is now; what that fires, sorted by id. What it arms again is put into ``rearmed``.

        One older than the last that was told says nothing and is counted in ``stale``.
        """
        known = self._positions.setdefault(position.owner, {})
        before = known.get(position.symbol)
        if before is not None and position.at_ns < before.at_ns:
            self.stale += 1
            return []
        known[position.symbol] = position
        if before is None or not before.quantity:
            self._opened[position.owner, position.symbol] = position.at_ns
        fired = []
        for rule in self.of(position.owner):
            if not rule.about(position.symbol):
                continue
            if position.quantity:
                fired += self._attend(rule, position)
            else:
                self._leave(rule.id, position.symbol)
                self._rearm(rule, position.symbol, position.at_ns)
        return fired

    def on_positions(self, owner: str, positions: Iterable[Position], at_ns: int) -> list[RuleFired]:
        """Take all positions of an owner at once: whatever is not among them is closed.

        Raises:
            InvalidInput: a position is another owner's.
        """
        told = {position.symbol: position for position in positions}
        others = sorted({position.owner for position in told.values()} - {owner})
        if others:
            raise InvalidInput("positions", f"one of {others[0]}", f"positions of {owner}")
        gone = {position.symbol for position in self.positions(owner)}
        gone.update(symbol for rule in self.of(owner) for symbol in self._beyond[rule.id])
        closed = [Position(owner, symbol, 0, at_ns=at_ns) for symbol in sorted(gone - told.keys())]
        return [fired for position in (*told.values(), *closed) for fired in self.on_position(position)]

    def _attend(self, rule: PositionRule, position: Position) -> list[RuleFired]:
        """Let a rule look at an open position."""
        if rule.looks_at_prices:
            self._pair(rule, position)
            return []
        value = position.delta if rule.kind == "delta_breach" else position.dte
        if value is None:
            return []
        value = Decimal(value)
        if position.symbol in self._beyond[rule.id]:
            if rule.is_over(value):
                self._rearm(rule, position.symbol, position.at_ns)
            return []
        if not rule.holds(value) or self._throttled_until(rule, position.symbol) > position.at_ns:
            return []
        return [self._fire(rule, position, value, position.at_ns)]

    # -- prices ---------------------------------------------------------------------------------------------------

    def symbols(self) -> dict[str, int]:
        """How many price rules look at each symbol, or would if there were a position in it."""
        found: dict[str, int] = {}
        for rule in self._rules.values():
            if rule.looks_at_prices:
                held = {position.symbol for position in self.positions(rule.owner)}
                for symbol in held if rule.symbol is None else {rule.symbol}:
                    found[symbol] = found.get(symbol, 0) + 1
        return found

    def on_price(self, symbol: str, price: Decimal, at_ns: int) -> list[RuleFired]:
        """Take the next price of a symbol; as ``AlertIndex.on_price``.

        Raises:
            InvalidInput: a price that is not a finite Decimal above zero: it decides nothing.
        """
        book = self._books.get(symbol)
        if book is None or not isinstance(price, Decimal):
            sound_price(price, symbol)
            book = self._book(symbol)  # of every symbol the newest price is known: a rule may be set on it later
        if at_ns < book.newest_ns:
            self.stale += 1
            return []
        try:
            if book.low < price < book.high and at_ns < book.wake_ns:
                book.newest_ns = at_ns
                return []
        except ArithmeticError:
            pass  # a NaN, which is complained of here:
        return self._move(book, sound_price(price, symbol), at_ns)

    def _move(self, book: Levels[_Pair], price: Decimal, at_ns: int) -> list[RuleFired]:
        for _, id in book.woken(at_ns):
            pair = self._pairs.get((id, book.symbol))
            if pair is not None and pair.held:
                pair.held, pair.until_ns = False, ALWAYS
                self._wait(pair, book)
        fired = []
        for pair in sorted(book.reached(price), key=lambda pair: pair.id):
            rule = self._rules[pair.id]
            if pair.until_ns >= at_ns:
                self._wait(pair, book)
            elif book.symbol in self._beyond[rule.id]:
                self._rearm(rule, book.symbol, at_ns)
                self._wait(pair, book)
            elif (over_ns := self._throttled_until(rule, book.symbol)) > at_ns:
                pair.held, pair.until_ns = True, over_ns
                book.rest(pair.id, over_ns)
            else:
                pair.until_ns = ALWAYS
                position = self._positions[rule.owner][book.symbol]
                del self._pairs[pair.id, book.symbol]
                fired.append(self._fire(rule, position, price, at_ns))
                if rule.recurring:
                    self._pairs[pair.id, book.symbol] = pair
                    self._wait(pair, book)
        book.newest_ns = at_ns
        return fired

    def _pair(self, rule: PositionRule, position: Position) -> None:
        key = (rule.id, position.symbol)
        if key not in self._pairs:
            opened_ns = self._opened[rule.owner, position.symbol]
            until_ns = max(opened_ns, self._since[rule.id].get(position.symbol, ALWAYS))
            self._pairs[key] = pair = _Pair(Decimal(0), False, rule.id, until_ns)
            self._wait(pair, self._book(position.symbol))

    def _wait(self, pair: _Pair, book: Levels[_Pair]) -> None:
        """Let it wait for what comes next: to become true, or not to be true any more."""
        rule = self._rules[pair.id]
        above = rule.kind == "price_above"
        if book.symbol in self._beyond[rule.id]:
            book.wait(pair, left_at(rule.threshold, rule.hysteresis, above=above), above=not above, touch=True)
        else:
            book.wait(pair, rule.threshold, above=above, touch=False)

    def _leave(self, id: str, symbol: str) -> None:
        pair = self._pairs.pop((id, symbol), None)
        if pair is not None and not pair.held:
            self._books[symbol].drop(pair)

    # -- transitions ----------------------------------------------------------------------------------------------

    def _fire(self, rule: PositionRule, position: Position, value: Decimal, at_ns: int) -> RuleFired:
        self._last[rule.owner, rule.kind, position.symbol] = at_ns
        if rule.recurring:
            self._beyond[rule.id].add(position.symbol)
        else:
            self.cancel(rule.id)
        return RuleFired(rule, position, value, at_ns)

    def _rearm(self, rule: PositionRule, symbol: str, at_ns: int) -> None:
        if symbol in self._beyond[rule.id]:
            self._beyond[rule.id].remove(symbol)
            self.rearmed.append(RuleReset(rule.id, rule.owner, symbol, at_ns))

    def _throttled_until(self, rule: PositionRule, symbol: str) -> int:
        last_ns = self._last.get((rule.owner, rule.kind, symbol))
        return ALWAYS if last_ns is None else last_ns + self._throttle_ns

    def _book(self, symbol: str) -> Levels[_Pair]:
        return self._books.setdefault(symbol, Levels(symbol))
