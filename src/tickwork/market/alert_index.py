"""All standing price alerts, found by symbol and level: a price that reaches none of them asks none of them.

Pure: times are those of the prices, in ns since 1970 UTC, and nothing is remembered outside. An alert is in one of
three states, and in each it waits for one thing:

    armed ──(price at the threshold)──▶ fired ──(price beyond the band)──▶ armed
                  │                       ▲
                  └──(has a cooldown)──▶ cooling: looks at nothing until that is over; then, if the price that stands
                                          is beyond the band, it is armed, else it waits for that like a fired one

Every firing and every arming is told (``Fired``, ``Rearmed``), and what is loaded again goes on from the last one that
was kept. The price that stands when a cooldown is over must be known then, whatever was loaded again meanwhile: while
alerts cool down, a price that comes to another side of one's band is told too (``Noted``), once for all of a symbol.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

import msgspec

from tickwork.market.alerts import AlertState, PriceAlert, left_at
from tickwork.market.levels import ALWAYS, Levels, Waiting, sound_price
from tickwork.values import duration_text

_ARMED: Final = 0
_FIRED: Final = 1
_COOLING: Final = 2


class Fired(msgspec.Struct, frozen=True, gc=False):
    """An alert's price has come."""

    alert: PriceAlert
    price: Decimal
    at_ns: int
    """When the price was that."""


class Rearmed(msgspec.Struct, frozen=True, gc=False):
    """A recurring alert is armed again."""

    id: str
    owner: str
    symbol: str
    at_ns: int
    """Time of the price that showed it."""


class Noted(msgspec.Struct, frozen=True, gc=False):
    """The price of a symbol has come to another side of the band of an alert that cools down."""

    symbol: str
    price: Decimal
    at_ns: int
    """When the price was that."""


class _Terms(msgspec.Struct, frozen=True, gc=False):
    """What few alerts have; those that have the same share it."""

    recurring: bool
    cooldown_ns: int
    hysteresis: Decimal
    note: str


class _Standing(Waiting, gc=False):
    """An alert as it stands here. Its definition is put together when it is asked for."""

    owner: str
    symbol: str
    above: bool
    state: int
    until_ns: int
    """Armed: prices up to this time, inclusively, are not for it. Cooling: when that is over."""
    terms: _Terms
    threshold: Decimal | None
    """``None`` where it is the level it waits for: so mostly."""

    def alert(self) -> PriceAlert:
        terms = self.terms
        return PriceAlert(
            self.id,
            self.owner,
            self.symbol,
            "above" if self.above else "below",
            self.at,
            terms.recurring,
            duration_text(terms.cooldown_ns),
            terms.hysteresis,
            terms.note,
        )

    @property
    def at(self) -> Decimal:
        """The threshold."""
        return self.level if self.threshold is None else self.threshold


class AlertIndex:
    """Standing alerts. Not thread-safe."""

    def __init__(self) -> None:
        self.stale = 0
        """Prices that were ignored because a newer one had been seen."""
        self.rearmed: list[Rearmed] = []
        """What was armed again since this was last emptied: by each price, sorted by id, before it fired anything."""
        self.noted: list[Noted] = []
        """What prices are to be kept since this was last emptied. The price of a recurring alert's firing is, too."""
        self._books: dict[str, Levels[_Standing]] = {}
        self._standing: dict[str, _Standing] = {}
        self._owned: dict[str, set[str]] = {}
        self._terms: dict[_Terms, _Terms] = {}

    # -- what stands ----------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._standing)

    def __contains__(self, id: str) -> bool:
        return id in self._standing

    def get(self, id: str) -> PriceAlert | None:
        """The alert of this id, if it stands."""
        one = self._standing.get(id)
        return None if one is None else one.alert()

    def ids(self, owner: str | None) -> list[str]:
        """Ids of an owner's alerts, or of everybody's, sorted."""
        if owner is not None:
            return sorted(self._owned.get(owner, ()))
        return sorted(id for ids in self._owned.values() for id in ids)

    def symbols(self) -> dict[str, int]:
        """How many alerts stand on each symbol that has some."""
        return {symbol: book.count for symbol, book in self._books.items() if book.count}

    def newest_ns(self, symbol: str) -> int | None:
        """Time of the newest price of a symbol; ``None``: none was seen."""
        book = self._books.get(symbol)
        return None if book is None or book.newest_ns == ALWAYS else book.newest_ns

    def set(self, alert: PriceAlert) -> None:
        """Let it stand, armed; one of the same id is replaced."""
        self.cancel(alert.id)
        terms = self._shared(alert.recurring, alert.cooldown_ns, alert.hysteresis, alert.note)
        book = self._book(alert.symbol)
        one = self._made(alert.id, alert.owner, book, alert.above, terms)
        one.until_ns = book.newest_ns
        self._arm(one, book, alert.threshold)

    def cancel(self, id: str) -> bool:
        """Take it away; False if none of this id stands."""
        one = self._standing.get(id)
        if one is None:
            return False
        book = self._books[one.symbol]
        if one.state == _COOLING:
            book.unmark(self._left(one))
        else:
            book.drop(one)
        self._forget(one, book)
        return True

    def load(
        self, items: Iterable[tuple[str, AlertState]], noted: Mapping[str, tuple[Decimal, int]] | None = None
    ) -> None:
        """Let many stand as they last did. For an index that is still empty.

        Prices may then be fed again from any point before. Each alert looks at those later than the one by which it
        was last set, fired or armed.

        Args:
            items: ids and states.
            noted: the last price of each symbol that was kept, and when it was that.
        """
        for symbol, (price, at_ns) in (noted or {}).items():
            book = self._book(symbol)
            book.price = book.noted = price
            book.newest_ns = at_ns
        for id, state in items:
            book = self._book(state.symbol)
            terms = self._shared(state.recurring, state.cooldown_ns, state.hysteresis, state.note)
            above = state.condition == "above"
            one = self._made(id, state.owner, book, above, terms)
            since_ns = ALWAYS if state.since_ns is None else state.since_ns
            book.newest_ns = max(book.newest_ns, since_ns)
            if state.armed:
                one.threshold = state.threshold if terms.hysteresis else None
                one.until_ns = since_ns
                book.fill(one, state.threshold, above=above, touch=True)
            else:
                one.threshold = state.threshold
                book.marks.append(self._left(one))
                self._rest(one, book, since_ns + max(terms.cooldown_ns, 1))
        for book in self._books.values():
            book.settle()
            for one in (*book.rising, *book.falling):
                # older prices are not looked at in any case; a number that is shared weighs nothing
                one.until_ns = book.newest_ns if one.until_ns == book.newest_ns else ALWAYS

    # -- prices ---------------------------------------------------------------------------------------------------

    def on_price(self, symbol: str, price: Decimal, at_ns: int) -> list[Fired]:
        """Take the next price of a symbol; what it fires, sorted by id. What it arms again is put into ``rearmed``.

        A price older than the newest of its symbol says nothing and is counted in ``stale``; one of the same time
        counts like any other.

        Raises:
            InvalidInput: a price that is not a finite Decimal above zero: it decides nothing.
        """
        book = self._books.get(symbol)
        if book is None or not isinstance(price, Decimal):
            sound_price(price, symbol)
            book = self._book(symbol)  # of every symbol the newest price is known: an alert may be set on it later
        if at_ns < book.newest_ns:
            self.stale += 1
            return []
        try:
            if book.low < price < book.high and at_ns < book.wake_ns:
                book.price = price
                book.newest_ns = at_ns
                return []
        except ArithmeticError:
            pass  # a NaN, which is complained of here:
        return self._move(book, sound_price(price, symbol), at_ns)

    def _move(self, book: Levels[_Standing], price: Decimal, at_ns: int) -> list[Fired]:
        told = len(self.rearmed)
        if at_ns >= book.wake_ns:
            self._wake(book, at_ns)
        fired: list[Fired] = []
        note = False
        for one in book.reached(price):
            if one.state == _FIRED:
                self._rearm(one, book, at_ns)
            elif one.until_ns >= at_ns:
                self._arm(one, book, one.at)
            else:
                fired.append(Fired(one.alert(), price, at_ns))
                note = note or one.terms.recurring
                self._fire(one, book, at_ns)
        if note:
            book.note(price)
        elif book.passes(price):
            book.note(price)
            self.noted.append(Noted(book.symbol, price, at_ns))
        book.price = price
        book.newest_ns = at_ns
        self.rearmed[told:] = sorted(self.rearmed[told:], key=lambda one: one.id)
        fired.sort(key=lambda one: one.alert.id)
        return fired

    def _wake(self, book: Levels[_Standing], at_ns: int) -> None:
        """Those that have cooled down look at the price that stood while they did."""
        for until_ns, id in book.woken(at_ns):
            one = self._standing.get(id)
            if one is None or one.state != _COOLING or one.until_ns != until_ns:
                continue  # it was taken away meanwhile
            left, stood = self._left(one), book.price
            book.unmark(left)
            if stood is not None and (stood < left if one.above else stood > left):
                self._rearm(one, book, at_ns)
            else:
                self._let_go(one, book)

    # -- transitions ----------------------------------------------------------------------------------------------

    def _arm(self, one: _Standing, book: Levels[_Standing], threshold: Decimal) -> None:
        one.state = _ARMED
        one.threshold = threshold if one.terms.hysteresis else None
        book.wait(one, threshold, above=one.above, touch=True)

    def _rearm(self, one: _Standing, book: Levels[_Standing], at_ns: int) -> None:
        one.until_ns = ALWAYS
        self._arm(one, book, one.at)
        self.rearmed.append(Rearmed(one.id, one.owner, one.symbol, at_ns))

    def _fire(self, one: _Standing, book: Levels[_Standing], at_ns: int) -> None:
        if not one.terms.recurring:
            self._forget(one, book)
            return
        one.threshold = one.at
        if one.terms.cooldown_ns:
            book.mark(self._left(one))
            self._rest(one, book, at_ns + one.terms.cooldown_ns)
        else:
            self._let_go(one, book)

    def _rest(self, one: _Standing, book: Levels[_Standing], until_ns: int) -> None:
        one.state = _COOLING
        one.until_ns = until_ns
        book.rest(one.id, until_ns)

    def _let_go(self, one: _Standing, book: Levels[_Standing]) -> None:
        """Let it wait for the price to leave."""
        one.state = _FIRED
        one.until_ns = ALWAYS
        book.wait(one, self._left(one), above=not one.above, touch=False)

    # -- housekeeping ---------------------------------------------------------------------------------------------

    def _left(self, one: _Standing) -> Decimal:
        return left_at(one.at, one.terms.hysteresis, above=one.above)

    def _book(self, symbol: str) -> Levels[_Standing]:
        book = self._books.get(symbol)
        if book is None:
            name = sys.intern(symbol)
            book = self._books[name] = Levels(name)
        return book

    def _shared(self, recurring: bool, cooldown_ns: int, hysteresis: Decimal, note: str) -> _Terms:
        terms = _Terms(recurring, cooldown_ns, hysteresis, note)
        # notes are each their own; everything else comes in a few forms
        return terms if note else self._terms.setdefault(terms, terms)

    def _made(self, id: str, owner: str, book: Levels[_Standing], above: bool, terms: _Terms) -> _Standing:
        owner = sys.intern(owner)
        one = _Standing(Decimal(0), True, id, owner, book.symbol, above, _ARMED, ALWAYS, terms, None)
        self._standing[id] = one
        self._owned.setdefault(owner, set()).add(id)
        book.count += 1
        return one

    def _forget(self, one: _Standing, book: Levels[_Standing]) -> None:
        del self._standing[one.id]
        book.count -= 1
        owned = self._owned[one.owner]
        owned.remove(one.id)
        if not owned:
            del self._owned[one.owner]
