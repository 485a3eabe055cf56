"""How accounts, workflows and agents have done, as a tape tells of it: equity, profit, drawdown, ratios, trades.

The curve of an account is what it was worth when that was marked on the tape, with what was taken over as a flow, so
that taking over is no performance. Whose the profit is, the books of attribution tell, at the last known prices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final

import msgspec

from tickwork.core.event import Event
from tickwork.engines.embedded.queries import Queries
from tickwork.errors import InvalidInput, NotFound
from tickwork.service.accounts.events import EquityMarked
from tickwork.service.owners import Accounts
from tickwork.service.positions import Marks, last_marks
from tickwork.service.reconcile_events import AccountAdjusted
from tickwork.service.trading import AccountOpened, OrderAccepted, OrderFilled
from tickwork.trading.adoptions import Adoptions
from tickwork.trading.attribution import Attribution, Books, Holder
from tickwork.trading.ledger import Ledger
from tickwork.trading.orders import ZERO, Fill
from tickwork.trading.performance import DAILY_CRYPTO, EquityCurve, EquityPoint, Trades, drawdown
from tickwork.values import EXACT, from_ns, plain, timestamp_ns


class Point(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What an account was worth at an instant, as text."""

    at: datetime
    equity: str
    flow: str = "0"
    """Paid in or taken over since the point before, of those that are shown."""


class Figures(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Figures of a curve by days (UTC), time-weighted; fractions and ratios. ``None``: it does not exist."""

    days: int
    total_return: float
    apr: float | None
    cagr: float | None
    volatility: float | None
    sharpe: float | None
    sortino: float | None
    max_drawdown: float
    """Of all marks, not only of those at the ends of days; a fraction of the peak."""
    calmar: float | None


class TradesShown(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Positions that were closed, from flat to flat. Money is text."""

    count: int
    won: int
    lost: int
    win_rate: float | None
    profit: str
    profit_factor: float | None
    best: str | None
    worst: str | None
    open: int
    """Positions that are open."""


class Share(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What one workflow, or an agent within it, has made of an account. Money is text."""

    workflow: str
    """``""``: what no workflow asked for."""
    agent: str
    """``""``: the workflow itself."""
    realised: str
    unrealised: str | None
    """At the last known prices; ``None``: one is missing."""
    fees: str
    profit: str | None
    """Realised and unrealised less fees."""
    trades: TradesShown


class AccountFigures(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """How one account has done. Money is text, in ``currency``; figures count only fills in it."""

    account: str
    venue: str
    currency: str
    capital: str
    """Paid in at the start."""
    equity: str | None
    """The last that was marked; ``None``: none was."""
    marked_at: datetime | None
    profit: str | None
    """What the fills came to, at the last known prices, less fees; ``None``: a price is missing."""
    realised: str
    fees: str
    figures: Figures | None
    """``None``: nothing was marked."""
    curve: list[Point]
    points: int
    """How many there are in all: of a long curve some are left out, never the ends nor the deepest fall."""
    trades: TradesShown
    shares: list[Share]


LEAST: Final = 4
"""Points of a curve: its ends, a peak and a trough."""

_TOLD: Final[dict[str, type[Event]]] = {
    cls.event_name: cls for cls in (AccountOpened, OrderAccepted, OrderFilled, AccountAdjusted, EquityMarked)
}
_PLAIN: Final = (b'"agent":""', b'"reduceOnly":false')


@dataclass(slots=True)
class _Told:
    """What a tape tells of one account."""

    account: str
    venue: str
    currency: str
    ledger: Ledger
    capital: Decimal
    adoptions: Adoptions
    books: Attribution = field(default_factory=Attribution)
    curve: EquityCurve = field(default_factory=EquityCurve)
    agents: dict[str, str] = field(default_factory=dict)
    """By client id."""
    reducing: set[str] = field(default_factory=set)
    """Client ids of orders that only reduce."""
    prices: dict[str, Decimal] = field(default_factory=dict)
    """Those that the last mark was made with."""
    flow: Decimal = ZERO
    """Since the last mark."""

    @classmethod
    def of(cls, opened: AccountOpened) -> _Told:
        ledger = Ledger({opened.currency: opened.amount})
        adoptions = Adoptions(opened.account, opened.venue, ledger)
        return cls(opened.account, opened.venue, opened.currency, ledger, opened.amount, adoptions)

    def take(self, event: Event) -> None:
        match event:
            case OrderAccepted():
                if event.agent:
                    self.agents[event.client_order_id] = event.agent
                if event.reduce_only:
                    self.reducing.add(event.client_order_id)
            case OrderFilled():
                fill = event.fill()
                self.ledger.apply(fill)
                self._attribute(fill, Holder(event.workflow, self.agents.get(event.client_order_id, "")))
            case AccountAdjusted():
                before = {name: self.ledger.capital(name) for name in self.ledger.currencies()}
                self.adoptions.apply(event.adoption())
                for name in self.ledger.currencies():
                    paid_in = EXACT.subtract(self.ledger.capital(name), before.get(name, ZERO))
                    self.flow = EXACT.add(self.flow, self._worth(name, paid_in))
            case EquityMarked():
                self.prices |= event.prices
                at = timestamp_ns(event.at)
                if not self.curve.points or at >= self.curve.points[-1].time:
                    self.curve.add(at, event.equity, self.flow)
                    self.flow = ZERO
            case _:
                pass

    def _attribute(self, fill: Fill, holder: Holder) -> None:
        """What can only close closes what its workflow holds, whoever decided it: a stop, a flatten or a person at the
        telephone ends the trade of the analyst that began it. Its own comes first."""
        closes = fill.client_order_id in self.reducing or (fill.side == "sell" and ":" not in fill.symbol)
        own = self.books.held(fill.symbol).get(holder, ZERO)
        if closes and ((own > 0) != (fill.side == "sell") or own.copy_abs() < fill.quantity):
            self.books.apply_pro_rata(fill, workflow=holder.workflow)
        else:
            self.books.apply(fill, holder.workflow, holder.agent)

    def _worth(self, currency: str, amount: Decimal) -> Decimal:
        """In the account's currency, at the last marks; zero where none is known: then it is told as a gain."""
        if currency == self.currency or not amount:
            return amount
        rate = self.prices.get(f"{currency}/{self.currency}")
        return ZERO if rate is None else EXACT.multiply(amount, rate)


def figures(
    queries: Queries,
    *,
    accounts: Accounts = None,
    workflow: str | None = None,
    agent: str | None = None,
    points: int = 200,
) -> list[AccountFigures]:
    """How the accounts of a tape have done, or one of them; ``workflow`` and ``agent``: only their shares.

    Args:
        points: of each curve at most so many are given.

    Raises:
        NotFound: no such account on this tape, or none at all.
    """
    told: dict[str, _Told] = {}
    for entry in queries.events(*_TOLD):
        value = bytes(entry.record.value)
        if entry.record.name == OrderAccepted.event_name and all(part in value for part in _PLAIN):
            continue  # most are decided by their workflow, and say nothing else that counts here
        event = _TOLD[entry.record.name].read(entry.record.version, value)
        name: str = getattr(event, "account", "")
        if accounts is not None and name not in accounts:
            continue
        if isinstance(event, AccountOpened) and name not in told:
            told[name] = _Told.of(event)
        elif name in told:
            told[name].take(event)
    if not told:
        raise NotFound(
            "account", ", ".join(sorted(accounts or ())) or "none", "an account that has traded on this tape"
        )
    marks = last_marks(queries)
    return [_shown(one, marks, workflow, agent, points) for one in told.values()]


def _shown(one: _Told, marks: Marks, workflow: str | None, agent: str | None, points: int) -> AccountFigures:
    books, prices = one.books.books(), marks.of(one.venue)
    curve = one.curve.points
    chosen = thinned(curve, points)
    holders = [
        holder
        for holder in one.books.holders()
        if workflow in (None, holder.workflow) and agent in (None, holder.agent)
    ]
    return AccountFigures(
        account=one.account,
        venue=one.venue,
        currency=one.currency,
        capital=plain(one.capital),
        equity=plain(curve[-1].equity) if curve else None,
        marked_at=from_ns(curve[-1].time) if curve else None,
        profit=_profit(books, prices, one.currency),
        realised=plain(books.realised(one.currency)),
        fees=plain(books.fees(one.currency)),
        figures=_figures(one.curve),
        curve=_points(curve, chosen),
        points=len(curve),
        trades=_trades(books, one, None),
        shares=[_share(one, holder, prices) for holder in holders],
    )


def _share(one: _Told, holder: Holder, prices: Mapping[str, Decimal]) -> Share:
    books = one.books.books(holder.workflow, holder.agent)
    try:
        unrealised: str | None = plain(books.unrealised(prices, one.currency))
    except InvalidInput:  # a price is missing: then nobody knows
        unrealised = None
    return Share(
        workflow=holder.workflow,
        agent=holder.agent,
        realised=plain(books.realised(one.currency)),
        unrealised=unrealised,
        fees=plain(books.fees(one.currency)),
        profit=_profit(books, prices, one.currency),
        trades=_trades(books, one, holder),
    )


def _profit(books: Books, prices: Mapping[str, Decimal], currency: str) -> str | None:
    try:
        return plain(books.profit(prices, currency))
    except InvalidInput:  # a price is missing: then nobody knows
        return None


def _trades(books: Books, one: _Told, holder: Holder | None) -> TradesShown:
    found = books.trades.get(one.currency, Trades())
    still = [episode for episode in one.books.episodes() if holder in (None, Holder(episode.workflow, episode.agent))]
    return TradesShown(
        count=found.count,
        won=found.won,
        lost=found.lost,
        win_rate=found.win_rate,
        profit=plain(found.profit),
        profit_factor=found.profit_factor,
        best=None if found.best is None else plain(found.best),
        worst=None if found.worst is None else plain(found.worst),
        open=len(still),
    )


def _figures(curve: EquityCurve) -> Figures | None:
    if not curve.points:
        return None
    try:
        found = curve.performance(periods_per_year=DAILY_CRYPTO)
    except InvalidInput:  # equity that grew out of nothing has no return
        return None
    return Figures(
        days=found.periods,
        total_return=found.total_return,
        apr=found.apr,
        cagr=found.cagr,
        volatility=found.volatility,
        sharpe=found.sharpe,
        sortino=found.sortino,
        max_drawdown=drawdown(_without_flows(curve.points)).depth,
        calmar=found.calmar,
    )


def _without_flows(points: Sequence[EquityPoint]) -> list[float]:
    """The curve less what was paid in on the way, so that paying out is no fall."""
    paid_in, found = ZERO, []
    for number, point in enumerate(points):
        paid_in = EXACT.add(paid_in, point.flow if number else ZERO)
        found.append(float(EXACT.subtract(point.equity, paid_in)))
    return found


def thinned(points: Sequence[EquityPoint], most: int) -> list[int]:
    """The indexes of at most so many points (2 or more), evenly over the curve, with its ends among them, and from
    ``LEAST`` on its deepest fall."""
    if len(points) <= most:
        return list(range(len(points)))
    kept = {0, len(points) - 1}
    if most >= LEAST:
        deepest = drawdown(_without_flows(points))
        kept |= {deepest.peak, deepest.trough}
    room = most - len(kept)
    kept |= {round(number * (len(points) - 1) / (room + 1)) for number in range(1, room + 1)}
    return sorted(kept)


def _points(points: Sequence[EquityPoint], chosen: Sequence[int]) -> list[Point]:
    found, last = [], 0
    for index in chosen:
        flow = ZERO
        for one in points[last + 1 : index + 1]:
            flow = EXACT.add(flow, one.flow)
        found.append(Point(at=from_ns(points[index].time), equity=plain(points[index].equity), flow=plain(flow)))
        last = index
    return found
