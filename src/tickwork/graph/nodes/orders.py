"""Orders: placing, cancelling, and trading on a signal.

What is sold without being held can only be a contract: a sell of a spot asset or a share is an order that only
reduces, unless ``place_order`` is told ``reduce_only: false``; the risk gate judges it as a short then. Every order
carries the document's name, so that what one document has bought another does not sell.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import msgspec

from tickwork.core.run import Run
from tickwork.errors import InvalidInput, Rejected
from tickwork.graph.declare import Context, node, param, port
from tickwork.graph.nodes.about import one_symbol
from tickwork.graph.nodes.arbitrage import trade_legs
from tickwork.graph.nodes.funds import spend
from tickwork.graph.nodes.placing import Dealing, OnRefusal, Placed, Size, Wanted, Wish, goes_short, wants
from tickwork.graph.nodes.signals import SymbolSignal
from tickwork.graph.nodes.words import Words
from tickwork.graph.sources import Providers, Sources, Trader
from tickwork.trading.orders import ZERO, Order, OrderType, Side
from tickwork.values import EXACT, money, ratio, rounded_down

_SYMBOL = param("what to trade; where nothing is said, what starts the run is about it")
_TYPE = param("market: now, at the price there is; limit: at limit_price or better, or wait for it")
_QUANTITY = param("how much", unit="base units", gt=0)
_NOTIONAL = param("how much, in money", unit="quote currency", gt=0)
_FRACTION = param("how much, as a part of the account's equity", unit="fraction", gt=0, le=1)
_LIMIT = param("the worst price of a limit order", unit="quote currency per base unit", gt=0)
_VENUE = param("where; where nothing is said, where the symbol is traded", aliases=("provider",))
_ON_REFUSAL = param("of an order that the risk gate or the venue does not take: fail, or go on and report it")
_REASON = param("why, for the order's record")
_AMOUNT = port("how much, in base units")
_RESERVED = port("how much that is: the size of a buy that has none, its fee included")
_PRICE = port("the limit price, of a limit order that has none")

_SIZES: Final = ("quantity", "notional", "fraction")

NOTHING: Final = "none"


class Ordered(msgspec.Struct, frozen=True):
    """What became of the order, or of the orders."""

    status: Annotated[str, port("acknowledged, filled ...; refused by the risk gate; rejected by the venue; none")]
    order_id: Annotated[str, port("the venue's id of the first order that was placed; empty where none was")] = ""
    client_order_id: Annotated[str, port("our id of it")] = ""
    symbol: Annotated[str, port("what it trades")] = ""
    side: Annotated[str, port("buy or sell")] = ""
    quantity: Annotated[Decimal, port("base units that the risk gate let through")] = ZERO
    venue: Annotated[str, port("where it was placed")] = ""
    reason: Annotated[str, port("why it was placed, or why not")] = ""
    order: Annotated[Placed | None, port("all that is known of it")] = None
    orders: Annotated[list[Placed], port("every order that was placed, or tried")] = []


def ordered(orders: list[Placed], reason: str = "") -> Ordered:
    """The outputs of a node that placed these. ``reason``: why it placed none."""
    first = next((one for one in orders if one.client_order_id), orders[0] if orders else None)
    if first is None:
        return Ordered(NOTHING, reason=reason)
    return Ordered(
        first.status, first.order_id, first.client_order_id, first.symbol, first.side, first.quantity, first.venue,
        first.reason, first, orders,
    )  # fmt: skip


def _tradable(params: Mapping[str, Any], sources: Sources) -> str | None:
    """Can the account trade what the document names, where it says?"""
    symbol, trader = params.get("symbol"), sources.get(Trader.source_name)
    if isinstance(symbol, str) and symbol and "{{" not in symbol and trader is not None:
        try:
            trader.rules(symbol)
        except InvalidInput as error:
            return str(error)
    venue = params.get("venue")
    if isinstance(venue, str) and venue and trader is not None and venue not in trader.venues:
        return f"the account trades at {', '.join(trader.venues)}, not at {venue}"
    return None


# ------------------------------------------------------------------------------------------------------------- placing


@node(
    "place_order", category="orders", aliases=("execute_order",), undo="cancel_order", check=_tradable, one_of=_SIZES,
    from_event={
        "symbol": ("opportunity",), "side": ("signal", "opportunity"),
        "quantity": ("notional", "fraction", "amount", "reserved", "opportunity"),
    },
)  # fmt: skip
async def place_order(
    run: Run,
    signal: Annotated[Any, port("false, HOLD or EXIT: nothing is placed; BUY or SELL: the side")] = True,
    opportunity: Annotated[Any, port("two legs, as detect_arbitrage finds them")] = None,
    amount: Annotated[Decimal | None, _AMOUNT] = None,
    price: Annotated[Decimal | None, _PRICE] = None,
    reservation: Annotated[str, port("money set aside that this order spends")] = "",
    reserved: Annotated[Decimal | None, _RESERVED] = None,
    *,
    symbol: Annotated[str, _SYMBOL] = "",
    side: Annotated[Literal["buy", "sell", ""], param("buy or sell; where nothing is said, the signal says it")] = "",
    type: Annotated[OrderType, _TYPE] = "market",
    quantity: Annotated[Decimal | None, _QUANTITY] = None,
    notional: Annotated[Decimal | None, _NOTIONAL] = None,
    fraction: Annotated[Decimal | None, _FRACTION] = None,
    limit_price: Annotated[Decimal | None, _LIMIT] = None,
    time_in_force: Annotated[Literal["GTC"], param("good till cancelled; the desk has no other")] = "GTC",  # noqa: ARG001 - it has one value
    venue: Annotated[str, _VENUE] = "",
    reduce_only: Annotated[bool | None, param("never open or turn a position; by default true of spot sells")] = None,
    on_refusal: Annotated[OnRefusal, _ON_REFUSAL] = "fail",
    reason: Annotated[Words, _REASON] = "",
    trader: Trader,
    providers: Providers,
    context: Context,
) -> Ordered:
    """Place an order, or both legs of an arbitrage.

    Symbol, side and size that neither the document nor the signal says come from what starts the run (``symbol``,
    ``side``, ``quantity`` or ``amount``, ``notional``). An opportunity is traded leg by leg where the account can trade
    at both venues: if the second leg fails, the first is taken back and the node fails.

    Raises:
        Refused, Rejected: by the risk gate, by the venue. InvalidInput: something is not said, or twice.
    """
    dealing, wanted = Dealing(run, trader, providers, context), wants(signal)
    if wanted in ("nothing", "exit") or (side and wanted not in ("go", side)):
        return Ordered(NOTHING, reason=f"the signal is {signal}")
    if opportunity is not None:
        size = Size(amount if amount is not None else quantity, notional, fraction)
        return ordered(await trade_legs(dealing, opportunity, size, type, on_refusal, reduce_only))
    about = one_symbol(symbol, context)
    way = _side(side, wanted, context)
    reduces = way == "sell" and not goes_short(about) if reduce_only is None else reduce_only
    if reserved is not None and way == "buy" and not any((amount, quantity, notional, fraction)):
        size = await _spending(dealing, reserved, venue)
    else:
        size = _size(context, amount, quantity, notional, fraction)
    wish = Wish(
        symbol=about, side=way, size=size, type=type, limit_price=_limit(type, limit_price, price, context),
        reduce_only=reduces, venue=venue, reason=reason, on_refusal=on_refusal,
    )  # fmt: skip
    return ordered([await _placed_from(reservation, dealing, wish)])


@node(
    "buy", category="orders", undo="cancel_order", check=_tradable, one_of=_SIZES,
    from_event={"symbol": (), "quantity": ("notional", "fraction", "amount")},
)  # fmt: skip
async def buy(
    run: Run,
    signal: Annotated[Any, port("true or BUY: buy; anything else: do nothing")] = True,
    amount: Annotated[Decimal | None, _AMOUNT] = None,
    price: Annotated[Decimal | None, _PRICE] = None,
    *,
    symbol: Annotated[str, _SYMBOL] = "",
    type: Annotated[OrderType, _TYPE] = "market",
    quantity: Annotated[Decimal | None, _QUANTITY] = None,
    notional: Annotated[Decimal | None, _NOTIONAL] = None,
    fraction: Annotated[Decimal | None, _FRACTION] = None,
    limit_price: Annotated[Decimal | None, _LIMIT] = None,
    venue: Annotated[str, _VENUE] = "",
    on_refusal: Annotated[OnRefusal, _ON_REFUSAL] = "fail",
    reason: Annotated[Words, _REASON] = "",
    trader: Trader,
    providers: Providers,
    context: Context,
) -> Ordered:
    """Buy when the signal says so.

    Raises:
        Refused, Rejected: by the risk gate, by the venue. InvalidInput: something is not said, or twice.
    """
    if wants(signal) not in ("go", "buy"):
        return Ordered(NOTHING, reason=f"the signal is {signal}")
    about = one_symbol(symbol, context)
    size = _size(context, amount, quantity, notional, fraction)
    wish = Wish(
        symbol=about, side="buy", size=size, type=type, limit_price=_limit(type, limit_price, price, context),
        venue=venue, reason=reason, on_refusal=on_refusal,
    )  # fmt: skip
    return ordered([await Dealing(run, trader, providers, context).place(wish)])


@node(
    "sell", category="orders", undo="cancel_order", check=_tradable, one_of=_SIZES, from_event={"symbol": ()}
)  # fmt: skip
async def sell(
    run: Run,
    signal: Annotated[Any, port("true, SELL or EXIT: sell; anything else: do nothing")] = True,
    amount: Annotated[Decimal | None, _AMOUNT] = None,
    price: Annotated[Decimal | None, _PRICE] = None,
    *,
    symbol: Annotated[str, _SYMBOL] = "",
    type: Annotated[OrderType, _TYPE] = "market",
    quantity: Annotated[Decimal | None, _QUANTITY] = None,
    notional: Annotated[Decimal | None, _NOTIONAL] = None,
    fraction: Annotated[Decimal | None, _FRACTION] = None,
    limit_price: Annotated[Decimal | None, _LIMIT] = None,
    venue: Annotated[str, _VENUE] = "",
    on_refusal: Annotated[OnRefusal, _ON_REFUSAL] = "fail",
    reason: Annotated[Words, _REASON] = "",
    trader: Trader,
    providers: Providers,
    context: Context,
) -> Ordered:
    """Sell when the signal says so; without a size, all that this document has bought.

    Raises:
        Refused, Rejected: by the risk gate, by the venue. InvalidInput: something is said twice.
    """
    if wants(signal) not in ("go", "sell", "exit"):
        return Ordered(NOTHING, reason=f"the signal is {signal}")
    dealing = Dealing(run, trader, providers, context)
    about = one_symbol(symbol, context)
    size = _size(context, amount, quantity, notional, fraction)
    everything = size == Size()
    if everything:
        held = await dealing.held(about)
        if held <= 0:
            return Ordered(NOTHING, symbol=about, reason=f"nothing of {about} is held")
        size = Size(held)
    wish = Wish(
        symbol=about, side="sell", size=size, type=type, limit_price=_limit(type, limit_price, price, context),
        reduce_only=everything or not goes_short(about), venue=venue, reason=reason, on_refusal=on_refusal,
    )  # fmt: skip
    return ordered([await dealing.place(wish)])


def _side(side: str, wanted: Wanted, context: Context) -> Side:
    said = side or (context.given("side") if wanted == "go" else wanted)
    if isinstance(said, str) and said.lower() in ("buy", "sell"):
        return "buy" if said.lower() == "buy" else "sell"
    raise InvalidInput(f"{context.node}.side", said, "buy or sell")


def _size(
    context: Context,
    amount: Decimal | None,
    quantity: Decimal | None,
    notional: Decimal | None,
    fraction: Decimal | None,
) -> Size:
    """The one size that was said: by an edge, by the document, or by what starts the run."""
    said = {"amount": amount, "quantity": quantity, "notional": notional, "fraction": fraction}
    found = {name: size for name, size in said.items() if size is not None}
    if not found:
        found = {name: _decimal(context, name) for name in ("quantity", "amount", "notional") if context.given(name)}
    if len(found) > 1:
        told = ", ".join(f"{name} {size}" for name, size in found.items())
        raise InvalidInput(f"{context.node}.quantity", told, "one size")
    return Size(found.get("quantity", found.get("amount")), found.get("notional"), found.get("fraction"))


def _decimal(context: Context, name: str) -> Decimal:
    given = context.given(name)
    # a number of JSON may be a float: its text is what was written
    return money(given if isinstance(given, Decimal) else str(given), f"event.{name}")


async def _spending(dealing: Dealing, amount: Decimal, venue: str) -> Size:
    """What can be bought for money out of which the fee is paid too."""
    trader = dealing.trader
    fee_rate: Decimal = await dealing.run.step("fee rate", trader.fee_rate, venue or trader.venues[0])
    return Size(notional=rounded_down(ratio(amount, EXACT.add(Decimal(1), fee_rate)), Decimal("1e-8")))


async def _placed_from(reservation: str, dealing: Dealing, wish: Wish) -> Placed:
    """Place an order; the money that was set aside for it, if any, is spent once it is placed."""
    placed = await dealing.place(wish)
    if placed.client_order_id and reservation:
        await spend(dealing.trader.account, reservation)
    return placed


def _limit(type: OrderType, said: Decimal | None, price: Decimal | None, context: Context) -> Decimal | None:
    if type == "market":
        if said is not None:
            raise InvalidInput(f"{context.node}.limit_price", said, "none on a market order, or type: limit")
        return None
    found = said if said is not None else price
    if found is None:
        raise InvalidInput(f"{context.node}.limit_price", None, "a price on a limit order")
    return found


# ---------------------------------------------------------------------------------------------------------- cancelling


class Cancelled(msgspec.Struct, frozen=True):
    """What was cancelled."""

    done: Annotated[bool, port("true once nothing of it can trade any more")]
    cancelled: Annotated[list[str], port("our ids of the orders")]
    closed: Annotated[list[Placed], port("orders that closed what had been filled, where that was asked for")]


@node("cancel_order", category="orders", aliases=("cancel",))
async def cancel_order(
    run: Run,
    signal: Annotated[Any, port("false: nothing is cancelled")] = True,
    client_order_id: Annotated[str, port("our id of the order")] = "",
    order_id: Annotated[str, port("the venue's id of the order")] = "",
    orders: Annotated[list[Placed] | None, port("orders, as the nodes that place them tell")] = None,
    *,
    symbol: Annotated[str, param("only orders in it; of those that are named by nothing else")] = "",
    filled: Annotated[
        Literal["keep", "close", ""],
        param("of what has been filled: keep it, or close it by an order that only reduces; as an undo: close"),
    ] = "",
    trader: Trader,
    providers: Providers,
    context: Context,
) -> Cancelled:
    """Cancel orders: those that it is told, else, of the document's last two hundred, all that are open.

    As the undo of a node that places orders it closes what they have filled, too; once, however often it is asked. What
    a reduction has sold is not bought back. An order that has ended is left as it is.

    Raises:
        Rejected: the venue knows no such order.
    """
    if not context.undoing and wants(signal) == "nothing":
        return Cancelled(done=False, cancelled=[], closed=[])
    dealing = Dealing(run, trader, providers, context)
    told = [one for one in orders or [] if one.client_order_id]
    if client_order_id and client_order_id not in {one.client_order_id for one in told}:
        told = [Placed("", "", client_order_id=client_order_id)]
    elif order_id and order_id not in {one.order_id for one in told}:
        told = await _named(dealing, order_id)
    elif orders is None and not client_order_id and not context.undoing:
        told = [_placed(one) for one in await dealing.own_open(symbol)]
    closes = filled == "close" or (filled == "" and bool(context.undoing))
    closed: list[Placed] = []
    for one in reversed(told):
        if closes:
            back = await dealing.take_back(one)
            closed += [back] if back is not None else []
        else:
            await trader.cancel(run, one.client_order_id)
    return Cancelled(done=True, cancelled=[one.client_order_id for one in told], closed=closed)


async def _named(dealing: Dealing, order_id: str) -> list[Placed]:
    found = await dealing.run.step("open orders", dealing.trader.open_orders)
    named = [one for one in found if one.venue_order_id == order_id]
    if not named:
        raise Rejected(dealing.trader.account, f"no open order {order_id}")
    return [_placed(one) for one in named]


def _placed(order: Order) -> Placed:
    return Placed(
        order.symbol, order.side, order.quantity, order.status, order.venue, order.venue_order_id,
        order.client_order_id, order.reduce_only,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------ trading on a signal


@node(
    "trade_execution", category="orders", aliases=("trade", "execute_action", "execute_trades"), undo="cancel_order",
    from_event={"signal": ("by_symbol",), "symbol": ("by_symbol",)},
)  # fmt: skip
async def trade_execution(
    run: Run,
    signal: Annotated[Any, port("BUY, SELL, EXIT or HOLD")] = None,
    confidence: Annotated[float | None, port("how sure the signal is, for the order's record")] = None,
    symbol: Annotated[str, port("what the signal is about")] = "",
    by_symbol: Annotated[dict[str, SymbolSignal] | None, port("signal and confidence of several symbols")] = None,
    *,
    risk_limit: Annotated[
        Decimal, param("the part of the equity that one position may lose", unit="fraction", gt=0, le=1)
    ] = Decimal("0.02"),
    venue: Annotated[str, _VENUE] = "",
    on_refusal: Annotated[OnRefusal, _ON_REFUSAL] = "fail",
    trader: Trader,
    providers: Providers,
    context: Context,
) -> Ordered:
    """Trade on signals: BUY buys what this document does not hold yet, SELL and EXIT sell what it holds.

    The limit is counted the strict way: a position without a stop can lose all of itself, so a position is
    ``risk_limit`` of the equity. While an order of this document is on its way in a symbol, no other is placed in it.
    Without a signal from a node, ``signal`` or ``side`` of what starts the run says what to do.

    Raises:
        Refused, Rejected: by the risk gate, by the venue. InvalidInput: there is no signal, or no symbol.
    """
    dealing = Dealing(run, trader, providers, context)
    signals = {name: (one.signal, one.confidence) for name, one in (by_symbol or {}).items()}
    if not signals:
        said = signal if signal is not None else context.given("signal") or context.given("side")
        names = [symbol] if symbol else context.symbols(None)
        signals = dict.fromkeys(names, (said, confidence if confidence is not None else 1.0))
    orders = []
    for name, (said, sure) in signals.items():
        wanted = wants(said)
        if wanted == "go":
            raise InvalidInput(f"{context.node}.signal", said, "BUY, SELL, EXIT or HOLD: a yes does not say which way")
        reason = f"{said}, confidence {sure:.2f}"
        orders.append(await _traded(dealing, name, wanted, reason, risk_limit, venue, on_refusal))
    return ordered(orders)


async def _traded(
    dealing: Dealing, symbol: str, wanted: Wanted, reason: str, share: Decimal, venue: str, on_refusal: OnRefusal
) -> Placed:
    nothing = Placed(symbol, "", reason=reason)
    if wanted == "nothing":
        return nothing
    if await dealing.own_open(symbol):
        return msgspec.structs.replace(nothing, reason=f"{reason}, but an order is on its way")
    held = await dealing.held(symbol)
    size = Size(fraction=share)
    if wanted in ("sell", "exit"):
        if held <= 0:
            return msgspec.structs.replace(nothing, reason=f"{reason}, but nothing is held")
        size = Size(held)
    elif held > 0:
        return msgspec.structs.replace(nothing, reason=f"{reason}, but it is held already")
    side: Side = "buy" if wanted == "buy" else "sell"
    wish = Wish(
        symbol=symbol, side=side, size=size, reduce_only=side == "sell", venue=venue, reason=reason,
        on_refusal=on_refusal,
    )  # fmt: skip
    return await dealing.place(wish)
