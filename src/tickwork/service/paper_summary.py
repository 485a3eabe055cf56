"""What a paper session came to, from its tape, its ledgers and its curve."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import msgspec

from tickwork.engines.embedded.queries import Queries
from tickwork.engines.embedded.status import Status
from tickwork.service.orders import orders
from tickwork.service.paper_account import PaperTrader
from tickwork.service.playback import Curve, Progress
from tickwork.service.trading import OrderFilled
from tickwork.trading.orders import ZERO
from tickwork.values import EXACT, plain

_ALL: Final = 2**62


class WorkflowLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of one workflow's runs and orders; refused ones are orders, too."""

    runs: dict[str, int]
    orders: dict[str, int]
    fills: int


class VenueLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An account at one venue. Money is text."""

    equity: str
    fees: str
    fills: int


class PaperSummary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a session came to. Money is text, in ``currency``; counts by status."""

    bars: int
    events: int
    """How often a trigger on bars fired, a schedule was due, or news became known."""
    runs: dict[str, int]
    orders: dict[str, int]
    """Refused and rejected ones, too."""
    fills: int
    currency: str
    fees: str
    equity: str
    """What the account is worth at the end: ``capital + stock_pnl + pnl``."""
    capital: str
    """What was paid in, coins at their first prices."""
    stock_pnl: str
    """What the account would have gained had nothing been traded: the coins that were paid in, times the change of
    their prices. Zero where only money was paid in."""
    pnl: str
    """What trading did: the equity, less what the account would be worth had nothing been traded. Fees are in it."""
    max_drawdown: float
    """Of the equity, the coins that were paid in with it: a fraction of the highest before."""
    workflows: dict[str, WorkflowLine]
    """By name; of orders the name that the order carries."""
    venues: dict[str, VenueLine]
    tape: str


def summarise(
    queries: Queries, trader: PaperTrader, curve: Curve, progress: Progress, events: int, tape: str
) -> PaperSummary:
    """The figures, as far as they are on disk."""
    untouched = trader.untouched()
    runs: dict[str, dict[str, int]] = {}
    for name, status, count in _runs(queries):
        runs.setdefault(name, {})[status] = count
    lines = orders(queries, limit=_ALL)
    ordered: dict[str, Counter[str]] = {}
    for line in lines:
        ordered.setdefault(line.workflow, Counter())[line.status] += 1
    fills = [OrderFilled.from_wire(bytes(one.record.value)) for one in queries.events(OrderFilled.event_name)]
    by_workflow, by_venue = Counter(one.workflow for one in fills), Counter(one.venue for one in fills)
    fees = ZERO
    for desk in trader.desks.values():
        fees = EXACT.add(fees, desk.ledger.fees(trader.currency))
    return PaperSummary(
        bars=progress.bars,
        events=events,
        runs=_sorted(queries.counts()),
        orders=_sorted(Counter(line.status for line in lines)),
        fills=len(fills),
        currency=trader.currency,
        fees=plain(fees),
        equity=plain(curve.equity),
        capital=plain(curve.capital),
        stock_pnl=plain(EXACT.subtract(untouched, curve.capital)),
        pnl=plain(EXACT.subtract(curve.equity, untouched)),
        max_drawdown=round(curve.drawdown(), 6),
        workflows={
            name: WorkflowLine(
                runs=_sorted(runs.get(name, {})), orders=_sorted(ordered.get(name, {})), fills=by_workflow[name]
            )
            for name in sorted({*runs, *ordered})
        },
        venues={
            name: VenueLine(
                equity=plain(desk.equity()), fees=plain(desk.ledger.fees(trader.currency)), fills=by_venue[name]
            )
            for name, desk in trader.desks.items()
        },
        tape=tape,
    )


def _runs(queries: Queries) -> list[tuple[str, str, int]]:
    rows: list[Any] = queries.reader.rows("SELECT workflow, status, count(*) FROM runs GROUP BY workflow, status")
    return [(name, Status(status).name.lower(), count) for name, status, count in rows]


def _sorted(counts: Any) -> dict[str, int]:
    return dict(sorted(counts.items()))
