"""What the fills of each workflow have come to: profit, fees, how often it won, what is still open.

A fold of the fills on the tape, by average cost as in ``trading.ledger``. A fill closes what stands against it first;
the rest opens.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from tickwork.core.event import Event
from tickwork.core.view import view
from tickwork.errors import InvalidInput
from tickwork.graph.sources import Lot, Results
from tickwork.service.trading import OrderFilled
from tickwork.trading.ledger import BASIS_STEP
from tickwork.trading.orders import ZERO
from tickwork.values import EXACT, ratio, rounded_down


@view("results", on=OrderFilled, key=lambda event: event.workflow)
def results(state: Results | None, event: Event) -> Results:
    """What each workflow's fills have come to, by its name."""
    if not isinstance(event, OrderFilled):
        raise InvalidInput("event", event.event_name, "a fill")
    known = state or Results()
    lot, profit = _booked(known.lots.get(event.symbol, Lot(ZERO, ZERO)), event)
    lots = {symbol: one for symbol, one in known.lots.items() if symbol != event.symbol}
    if lot.quantity:
        lots[event.symbol] = lot
    realised = EXACT.add(known.realised, profit or ZERO)
    fees = EXACT.add(known.fees, event.fee)
    now = EXACT.subtract(realised, fees)
    peak = max(known.peak, now)
    return msgspec.structs.replace(
        known,
        fills=known.fills + 1,
        won=known.won + (profit is not None and profit > 0),
        lost=known.lost + (profit is not None and profit <= 0),
        realised=realised,
        fees=fees,
        peak=peak,
        fall=max(known.fall, EXACT.subtract(peak, now)),
        lots=lots,
    )


def _booked(lot: Lot, fill: OrderFilled) -> tuple[Lot, Decimal | None]:
    """The lot after a fill, and what it realised; ``None`` where it closed nothing."""
    signed = fill.quantity if fill.side == "buy" else EXACT.minus(fill.quantity)
    if not lot.quantity or (lot.quantity > 0) == (signed > 0):
        return Lot(EXACT.add(lot.quantity, signed), EXACT.add(lot.cost, EXACT.multiply(signed, fill.price))), None
    closed = min(signed.copy_abs(), lot.quantity.copy_abs())
    back = closed if lot.quantity > 0 else EXACT.minus(closed)
    cost = lot.cost if closed == lot.quantity.copy_abs() else _share(lot, back)
    profit = EXACT.subtract(EXACT.multiply(back, fill.price), cost)
    rest = EXACT.add(signed, back)
    if rest:
        return Lot(rest, EXACT.multiply(rest, fill.price)), profit
    return Lot(EXACT.subtract(lot.quantity, back), EXACT.subtract(lot.cost, cost)), profit


def _share(lot: Lot, back: Decimal) -> Decimal:
    return rounded_down(ratio(EXACT.multiply(lot.cost, back), lot.quantity), BASIS_STEP)
