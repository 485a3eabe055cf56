"""Performance: what a document's own orders have come to."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final

import msgspec

from tickwork.core.run import Run
from tickwork.errors import InvalidInput
from tickwork.graph.declare import Context, node, param, port
from tickwork.graph.sources import Lot, Position, Trader
from tickwork.trading.orders import ZERO
from tickwork.values import EXACT, ratio, rounded_down

_SIX_PLACES: Final = Decimal("1e-6")


class PerformanceOutputs(msgspec.Struct, frozen=True, rename={"gained": "return"}):
    """What ``performance`` gives. Fractions are cut to six places."""

    equity: Annotated[Decimal, port("what the whole account is worth; money")]
    profit: Annotated[Decimal, port("of this document: realised and unrealised, less its fees; money")]
    realised: Annotated[Decimal, port("profit of what it has closed, before fees; money")]
    unrealised: Annotated[Decimal, port("what is open at the latest prices, less what it cost; money")]
    fees: Annotated[Decimal, port("what it has paid in fees; money")]
    gained: Annotated[Decimal, port("profit over capital, a fraction")]
    drawdown: Annotated[
        Decimal, port("largest fall of profit from its highest, over capital: a fraction; open losses of now count")
    ]
    win_rate: Annotated[
        Decimal | None, port("of the fills that closed something, the part with a profit; null where there are none")
    ]
    closed: Annotated[int, port("fills that closed something")]
    fills: Annotated[int, port("all fills")]


@node("performance", category="risk")
async def performance(
    run: Run,
    *,
    document: Annotated[str, param("whose fills count; else those of this document")] = "",
    capital: Annotated[
        Decimal | None,
        param("what return and drawdown are measured by; else the equity without the profit", unit="money", gt=0),
    ] = None,
    trader: Trader,
    context: Context,
) -> PerformanceOutputs:
    """Say how a document has done: profit, return, drawdown and win rate of its own fills.

    Raises:
        InvalidInput: something it has open has no price, because the account does not hold it any more.
    """
    name = document or context.document
    known = await trader.results(run, name)
    held = await run.step("positions", trader.positions) if known.lots else []
    equity = await run.step("equity", trader.equity)
    unrealised = sum((_unrealised(symbol, lot, held, context.node) for symbol, lot in known.lots.items()), ZERO)
    closed_profit = EXACT.subtract(known.realised, known.fees)
    profit = EXACT.add(closed_profit, unrealised)
    whole = capital if capital is not None else EXACT.subtract(equity, profit)
    if whole <= 0:
        raise InvalidInput(f"{context.node}.capital", str(whole), "capital above zero: say it in the params")
    # the fall of what is realised is known after every fill; that of what is open only now
    fall = max(known.fall, EXACT.subtract(known.peak, profit))
    closed = known.won + known.lost
    return PerformanceOutputs(
        equity=equity,
        profit=profit,
        realised=known.realised,
        unrealised=unrealised,
        fees=known.fees,
        gained=_fraction(profit, whole),
        drawdown=_fraction(fall, whole),
        win_rate=_fraction(Decimal(known.won), Decimal(closed)) if closed else None,
        closed=closed,
        fills=known.fills,
    )


def _unrealised(symbol: str, lot: Lot, held: list[Position], path: str) -> Decimal:
    price = next((one.price for one in held if one.symbol == symbol), None)
    if price is None or not price.is_finite() or price <= 0:
        raise InvalidInput(f"{path}.{symbol}.price", str(price), "a price above zero of everything that is open")
    return EXACT.subtract(EXACT.multiply(lot.quantity, price), lot.cost)


def _fraction(part: Decimal, whole: Decimal) -> Decimal:
    return rounded_down(ratio(part, whole), _SIX_PLACES)
