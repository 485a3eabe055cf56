"""Risk: how much, how far, how often, how close to a limit."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final, Literal

import msgspec

from tickwork.core.run import Run
from tickwork.errors import InvalidInput
from tickwork.graph.declare import Context, node, param, port
from tickwork.graph.nodes.placing import money_of, reference_of
from tickwork.graph.nodes.views import Period, document_orders, owned, placed_in
from tickwork.graph.sources import Position, Providers, Trader
from tickwork.trading.orders import ZERO
from tickwork.values import EXACT, price, ratio, rounded_down

_ONE: Final = Decimal(1)
_HUNDRED: Final = Decimal(100)
_STEP: Final = Decimal("1e-8")
_SIX_PLACES: Final = Decimal("1e-6")

PositionSide = Literal["long", "short"]

# -------------------------------------------------------------------------------------------------------------- sizing


class Sized(msgspec.Struct, frozen=True):
    """How large a position may be."""

    size: Annotated[Decimal, port("base units")]
    notional: Annotated[Decimal, port("what that costs, in quote currency")]
    risk: Annotated[Decimal, port("what may be lost with it, in quote currency")]


@node("position_size", category="risk")
async def position_size(
    capital: Annotated[Decimal | None, port("what the risk is a part of; else the account's equity")] = None,
    price: Annotated[Decimal | None, port("what a unit costs; else the latest price of the symbol")] = None,
    stop: Annotated[Decimal | None, port("the price at which the position is given up; none: it may lose all")] = None,
    *,
    risk_pct: Annotated[Decimal, param("what may be lost", unit="percent of the capital", gt=0, le=100)] = _ONE,
    symbol: Annotated[str, param("whose price counts; else what starts the run is about")] = "",
    trader: Trader | None = None,
    providers: Providers | None = None,
    context: Context,
) -> Sized:
    """Size a position by what it may lose.

    ``risk = capital * risk_pct / 100``. With a stop ``size = risk / |price - stop|``; without one the position may lose
    all of itself: ``size = risk / price``. Cut to the step of the symbol, or to eight places.

    Raises:
        InvalidInput: no capital, no price, or a stop at the price.
    """
    path = context.node
    about = symbol or next(iter(context.symbols(None) if price is None else []), "")
    entry = _price(price, f"{path}.price") if price is not None else await _latest(providers, about, path)
    whole = capital if capital is not None else _equity(trader, path)
    if not whole.is_finite() or whole <= 0:
        raise InvalidInput(f"{path}.capital", str(whole), "money above zero")
    risk = money_of(whole, EXACT.divide(risk_pct, _HUNDRED))
    distance = entry if stop is None else abs(EXACT.subtract(entry, _price(stop, f"{path}.stop")))
    if not distance:
        raise InvalidInput(f"{path}.stop", str(stop), f"another price than {entry}, at which the position is taken")
    step = trader.rules(about).quantity_step if trader is not None and about else _STEP
    size = rounded_down(ratio(risk, distance), step)
    return Sized(size, EXACT.multiply(size, entry), risk)


def _price(value: Decimal, path: str) -> Decimal:
    return price(value, path)


async def _latest(providers: Providers | None, symbol: str, path: str) -> Decimal:
    if providers is None:
        raise InvalidInput(f"{path}.price", None, "a price")
    return (await reference_of(providers, symbol, "buy")).price


def _equity(trader: Trader | None, path: str) -> Decimal:
    if trader is None:
        raise InvalidInput(f"{path}.capital", None, "money above zero")
    return trader.equity()


# --------------------------------------------------------------------------------------------------------------- exits


class Exit(msgspec.Struct, frozen=True):
    """Whether it is time to get out."""

    trigger: Annotated[bool, port("has the price reached the level?")]
    level: Annotated[Decimal | None, port("the price at which it is; nothing where nothing is held")]
    entry: Annotated[Decimal | None, port("the price that it is measured from")]


_CURRENT: Final = port("the latest price")
_ENTRY: Final = port("at what price the position was taken; else the account's average")
_SYMBOL: Final = param("whose position counts; else what starts the run is about")
_SIDE: Final = param("which way the position is; where nothing is said, the account's says it, and else long")


@node("stop_loss", category="risk")
def stop_loss(
    price: Annotated[Decimal, _CURRENT],
    entry_price: Annotated[Decimal | None, _ENTRY] = None,
    *,
    percentage: Annotated[Decimal, param("how much may be lost", unit="percent of the entry", gt=0, lt=100)] = Decimal(
        2
    ),
    side: Annotated[Literal["long", "short", ""], _SIDE] = "",
    symbol: Annotated[str, _SYMBOL] = "",
    trader: Trader | None = None,
    context: Context,
) -> Exit:
    """Whether a position has lost as much as it may.

    ``level = entry * (1 - percentage / 100)`` for a long position, reached at or below it; for a short one ``1 +``, at
    or above it. Without an entry price and without a position there is nothing to lose, and no level.

    Raises:
        InvalidInput: a price that is none.
    """
    entry, way = _entry(entry_price, side, symbol, trader, context)
    return _exit(price, entry, way, -percentage, below=way == "long", path=context.node)


@node("take_profit", category="risk")
def take_profit(
    price: Annotated[Decimal, _CURRENT],
    entry_price: Annotated[Decimal | None, _ENTRY] = None,
    *,
    percentage: Annotated[Decimal, param("how much is enough", unit="percent of the entry", gt=0)] = Decimal(5),
    side: Annotated[Literal["long", "short", ""], _SIDE] = "",
    symbol: Annotated[str, _SYMBOL] = "",
    trader: Trader | None = None,
    context: Context,
) -> Exit:
    """Whether a position has gained as much as is wanted.

    ``level = entry * (1 + percentage / 100)`` for a long position, reached at or above it; for a short one ``1 -``, at
    or below it. Without an entry price and without a position there is nothing to gain, and no level.

    Raises:
        InvalidInput: a price that is none, or a short position that would have to fall by all of its price.
    """
    entry, way = _entry(entry_price, side, symbol, trader, context)
    if way == "short" and percentage >= _HUNDRED:
        raise InvalidInput(f"{context.node}.percentage", str(percentage), "less than 100 for a short position")
    return _exit(price, entry, way, percentage, below=way == "short", path=context.node)


def _entry(
    entry: Decimal | None, side: str, symbol: str, trader: Trader | None, context: Context
) -> tuple[Decimal | None, PositionSide]:
    """What the position was taken at, and which way it is."""
    held = None
    if trader is not None and (entry is None or not side):
        about = [symbol] if symbol else context.symbols(None)
        held = next((one for one in trader.positions() if one.symbol in about and one.quantity), None)
    way: PositionSide = "short" if side == "short" or (not side and held is not None and held.quantity < 0) else "long"
    if entry is not None:
        return _price(entry, f"{context.node}.entry_price"), way
    if held is None or (held.quantity < 0) != (way == "short"):
        return None, way
    return _price(held.average_price, f"{context.node}.entry_price"), way


def _exit(now: Decimal, entry: Decimal | None, way: PositionSide, percent: Decimal, *, below: bool, path: str) -> Exit:
    at = _price(now, f"{path}.price")
    if entry is None:
        return Exit(trigger=False, level=None, entry=None)
    share = EXACT.divide(percent if way == "long" else -percent, _HUNDRED)
    level = EXACT.multiply(entry, EXACT.add(_ONE, share))
    return Exit(trigger=at <= level if below else at >= level, level=level, entry=entry)


# -------------------------------------------------------------------------------------------------------------- limits


class Trades(msgspec.Struct, frozen=True):
    """How often this document has traded."""

    allowed: Annotated[bool, port("may it place another order?")]
    count: Annotated[int, port("orders that the venue has taken since the period began")]


@node("max_trades", category="risk")
async def max_trades(
    run: Run,  # noqa: ARG001 - it reads a view, which is a verb
    *,
    limit: Annotated[int, param("orders in a period", unit="orders", ge=0)] = 10,
    period: Annotated[Period, param("hour, day, or week from Monday; in UTC")] = "day",
    context: Context,
) -> Trades:
    """Whether this document may place another order: it counts those that a venue has taken.

    Runs at the same time see the same count; a document that must never pass the limit lets its runs take turns
    (``limits.concurrency``).
    """
    known = await document_orders.get(owned(context.owner, context.document))
    count = placed_in(known, period, context.now)
    return Trades(count < limit, count)


class Exposed(msgspec.Struct, frozen=True):
    """What is at stake. Fractions of the equity, where 1 is all of it."""

    exposure: Annotated[Decimal, port("gross value over equity, a fraction")]
    gross: Annotated[Decimal, port("value of all positions, short ones counted as if they were long; money")]
    net: Annotated[Decimal, port("value of the long ones less that of the short ones; money")]
    equity: Annotated[Decimal, port("what the account is worth; money")]
    shares: Annotated[dict[str, Decimal], port("value of each position over equity; below zero for a short one")]


@node("exposure", category="risk", aliases=("portfolio_exposure",))
def exposure(
    *,
    symbols: Annotated[list[str] | None, param("only positions in these")] = None,
    trader: Trader,
    context: Context,
) -> Exposed:
    """How much of the account is in positions, at the latest prices. Fractions are cut to six places.

    Raises:
        InvalidInput: a position without a price, or an account that is worth nothing.
    """
    equity = trader.equity()
    if equity <= 0:
        raise InvalidInput(f"{context.node}.equity", str(equity), "an account that is worth something")
    held = [one for one in trader.positions() if one.quantity and (symbols is None or one.symbol in symbols)]
    gross, values = ZERO, dict[str, Decimal]()
    for one in held:
        value = _value(one, context.node)
        gross = EXACT.add(gross, abs(value))
        # a symbol may be held at several venues
        values[one.symbol] = EXACT.add(values.get(one.symbol, ZERO), value)
    net = sum(values.values(), ZERO)
    shares = {symbol: rounded_down(ratio(value, equity), _SIX_PLACES) for symbol, value in values.items()}
    return Exposed(rounded_down(ratio(gross, equity), _SIX_PLACES), gross, net, equity, shares)


def _value(one: Position, path: str) -> Decimal:
    return EXACT.multiply(one.quantity, _price(one.price, f"{path}.{one.symbol}.price"))


class Checked(msgspec.Struct, frozen=True):
    """How a figure stands to its limit."""

    exceeded: Annotated[bool, port("is it beyond the limit?")]
    warning: Annotated[bool, port("is it beyond the limit, or close to it?")]
    utilisation: Annotated[Decimal | None, port("how much of the limit is used, a fraction; nothing of a limit of 0")]


@node("check_limit", category="risk", aliases=("check_risk_limit",))
def check_limit(
    current: Annotated[Decimal, port("the figure")],
    *,
    type: Annotated[str, param("what it is; one that ends in _loss is a result, and its limit is below zero")] = "",
    limit: Annotated[Decimal, param("what it may come to")],
    warn_at: Annotated[Decimal, param("from how much of the limit on to warn", unit="fraction", gt=0, le=1)] = Decimal(
        "0.8"
    ),
    context: Context,
) -> Checked:
    """Whether a figure is beyond its limit.

    A ``..._loss`` is exceeded where it is *below* its limit (a result of -600 with a limit of -500), everything else
    where it is above. ``utilisation = current / limit``, zero where the figure is on the other side of zero.

    Raises:
        InvalidInput: a figure that is none, or a limit of the wrong sign.
    """
    if not current.is_finite():
        raise InvalidInput(f"{context.node}.current", str(current), "a number")
    is_loss = type.endswith("_loss")
    if (limit > 0) if is_loss else (limit < 0):
        wanted = "zero or below: the worst result that may be" if is_loss else "zero or above"
        raise InvalidInput(f"{context.node}.limit", str(limit), wanted)
    exceeded = current < limit if is_loss else current > limit
    used = max(rounded_down(ratio(current, limit), _SIX_PLACES), ZERO) if limit else None
    return Checked(exceeded, exceeded or (used is not None and used >= warn_at), used)
