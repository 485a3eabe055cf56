"""Positions: closing them, and taking exposure away at once."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from msgspec.structs import replace

from tickwork.core.run import Run
from tickwork.errors import InvalidInput
from tickwork.graph.declare import Context, node, param, port
from tickwork.graph.nodes.about import given_symbols
from tickwork.graph.nodes.orders import NOTHING, Ordered, ordered
from tickwork.graph.nodes.placing import Dealing, OnRefusal, Placed, Size, Wish, money_of, wants
from tickwork.graph.sources import Position, Providers, Trader
from tickwork.trading.orders import ZERO
from tickwork.values import EXACT

_FRACTION = param("how much of each position", unit="fraction", gt=0, le=1)
_ON_REFUSAL = param("of an order that the risk gate or the venue does not take: fail, or go on and report it")
_SCOPE = param("document: what this document has bought; account: everything that is held")
_ORDERS = port("as an undo: the orders that it takes back, as the node that placed them tells")
_ONE = Decimal(1)


@node("close_position", category="orders")
async def close_position(
    run: Run,
    signal: Annotated[Any, port("false, HOLD or BUY: nothing is closed")] = True,
    orders: Annotated[list[Placed] | None, _ORDERS] = None,
    *,
    symbols: Annotated[list[str] | None, param("which; where nothing is said, what starts the run is about")] = None,
    symbol: Annotated[str, param("the same, for one")] = "",
    fraction: Annotated[Decimal, _FRACTION] = _ONE,
    scope: Annotated[Literal["document", "account"], _SCOPE] = "document",
    on_refusal: Annotated[OnRefusal, _ON_REFUSAL] = "fail",
    trader: Trader,
    providers: Providers,
    context: Context,
) -> Ordered:
    """Close positions by orders that only reduce; they pass a halt, and need no price. Each goes where it is held.

    As the undo of a node that places orders it takes back those and nothing else, once, however often it is asked: what
    is left of them is cancelled, and of what they have filled the fraction is closed. What a reduction has sold is not
    bought back. Symbols, where they are said, choose among the orders; ``scope`` and ``on_refusal`` do not count.

    Raises:
        Refused, Rejected: by the risk gate, by the venue. InvalidInput: no symbol; as an undo, no orders.
    """
    dealing = Dealing(run, trader, providers, context)
    if context.undoing:
        return await _taken_back(dealing, orders, [symbol] if symbol else symbols, fraction)
    if wants(signal) in ("nothing", "buy"):
        return Ordered(NOTHING, reason=f"the signal is {signal}")
    about = [symbol] if symbol else symbols or context.symbols(None)
    held = await _held(dealing, about, scope)
    return ordered(
        await _reduced(dealing, held, fraction, "close", on_refusal), f"nothing of {', '.join(about)} is held"
    )


@node("immediate_hedge", category="orders")
async def immediate_hedge(
    run: Run,
    signal: Annotated[Any, port("false, HOLD or BUY: nothing is done")] = True,
    orders: Annotated[list[Placed] | None, _ORDERS] = None,
    *,
    fraction: Annotated[Decimal, _FRACTION] = _ONE,
    symbols: Annotated[
        list[str] | None,
        param("which; where nothing is said, what starts the run is about, and else everything that is held"),
    ] = None,
    scope: Annotated[Literal["document", "account"], _SCOPE] = "account",
    instrument: Annotated[
        str, param("buy this, which rises when the positions fall, for as much money instead of reducing them")
    ] = "",
    on_refusal: Annotated[OnRefusal, _ON_REFUSAL] = "fail",
    trader: Trader,
    providers: Providers,
    context: Context,
) -> Ordered:
    """Take exposure away: reduce positions at the market, or buy what moves against them.

    What starts the run is about a symbol that the account cannot trade (an index): then all positions count. As the
    undo of a node that places orders it does what ``close_position`` does as one.

    Raises:
        Refused, Rejected: by the risk gate, by the venue. InvalidInput: no price for the instrument; as an undo, no
            orders, or an instrument.
    """
    dealing = Dealing(run, trader, providers, context)
    if context.undoing:
        if instrument:
            raise InvalidInput(f"{context.node}.undo.params.instrument", instrument, "none: an undo closes what filled")
        return await _taken_back(dealing, orders, symbols, fraction)
    if wants(signal) in ("nothing", "buy"):
        return Ordered(NOTHING, reason=f"the signal is {signal}")
    about = symbols if symbols is not None else await _given(dealing)
    held = await _held(dealing, about, scope)
    if not instrument or not held:
        return ordered(await _reduced(dealing, held, fraction, "hedge", on_refusal), "nothing is held")
    worth = sum((abs(EXACT.multiply(one.quantity, _price(one))) for one in held), ZERO)
    size = Size(notional=money_of(worth, fraction))
    wish = Wish(symbol=instrument, side="buy", size=size, reason=f"hedge of {worth:f}", on_refusal=on_refusal)
    return ordered([await dealing.place(wish)])


async def _taken_back(
    dealing: Dealing, orders: list[Placed] | None, symbols: list[str] | None, fraction: Decimal
) -> Ordered:
    """Cancel orders of the node that is undone, and close what they have filled; the latest first."""
    path = f"{dealing.context.node}.undo"
    if orders is None:
        expected = "the undo of a node that places orders: what others hold is not its to close"
        raise InvalidInput(f"{path}.inputs.orders", "nothing", expected)
    placed = [one for one in orders if one.client_order_id]
    known = {one.symbol: None for one in placed}
    if symbols and known and known.keys().isdisjoint(symbols):
        expected = f"a symbol of the orders that it takes back: {', '.join(known)}"
        raise InvalidInput(f"{path}.params.symbols", ", ".join(symbols), expected)
    closed = []
    for one in reversed(placed):
        if not symbols or one.symbol in symbols:
            back = await dealing.take_back(one, fraction)
            closed += [back] if back is not None else []
    return ordered(closed, "nothing had filled" if placed else "no order was placed")


async def _given(dealing: Dealing) -> list[str]:
    """Symbols of what starts the run that the account can trade; none: all."""
    trader = dealing.trader

    def tradable(symbols: list[str]) -> list[str]:
        return [symbol for symbol in symbols if _is_tradable(trader, symbol)]

    return await dealing.run.step("tradable", tradable, given_symbols(dealing.context))


def _is_tradable(trader: Trader, symbol: str) -> bool:
    try:
        trader.rules(symbol)
    except InvalidInput:
        return False
    return True


async def _held(dealing: Dealing, symbols: list[str], scope: str) -> list[Position]:
    """Positions in these symbols, or all; of the document only what it has bought itself."""
    found = [one for one in await dealing.run.step("positions", dealing.trader.positions) if one.quantity]
    if symbols:
        found = [one for one in found if one.symbol in symbols]
    if scope == "account":
        return found
    own = []
    for one in found:
        quantity = await dealing.held(one.symbol)
        if quantity and (quantity > 0) == (one.quantity > 0):
            own.append(replace(one, quantity=quantity))
    return own


async def _reduced(
    dealing: Dealing, held: list[Position], fraction: Decimal, why: str, on_refusal: OnRefusal
) -> list[Placed]:
    orders = []
    for one in held:
        quantity = EXACT.multiply(abs(one.quantity), fraction)
        wish = Wish(
            symbol=one.symbol, side="sell" if one.quantity > 0 else "buy", size=Size(quantity), reduce_only=True,
            venue=one.venue, reason=f"{why} {fraction:%} of {one.quantity}", on_refusal=on_refusal,
        )  # fmt: skip
        orders.append(await dealing.place(wish))
    return orders


def _price(one: Position) -> Decimal:
    if not one.price.is_finite() or one.price <= 0:
        raise InvalidInput(f"positions.{one.symbol}.price", str(one.price), "a price above zero")
    return one.price
