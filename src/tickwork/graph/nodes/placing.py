"""How nodes place orders: a price to decide by, an intent, the account's own door.

Everything goes through ``Trader.place``, so through risk gate and desk. What adds exposure needs a fresh price; what
only reduces does not: a halt, a stale quote or a silent venue must not trap a position.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

import msgspec

from tickwork.core.run import Run
from tickwork.errors import InvalidInput, Refused, Retryable, Stale
from tickwork.graph.declare import Context
from tickwork.graph.nodes.views import OrderPlaced, TakenBack, document_orders, owned, taken_back
from tickwork.graph.sources import Providers, Trader
from tickwork.trading.desk import Placement
from tickwork.trading.orders import ZERO, Order, OrderIntent, OrderType, Side
from tickwork.values import EXACT, price, ratio, rounded_down

OnRefusal = Literal["fail", "report"]

Wanted = Literal["buy", "sell", "exit", "go", "nothing"]
_WANTED: Final[dict[str, Wanted]] = {"buy": "buy", "sell": "sell", "exit": "exit", "hold": "nothing"}

_CENT: Final = Decimal("1e-8")
"""To what money and quantities that were worked out are cut."""

_ALL: Final = Decimal(1)

_CLOSING_TRIES: Final = 10
_CLOSING_PAUSE: Final = "1 second"


def _cut(quantity: Decimal) -> Decimal:
    """A quantity without the endless digits that a division leaves; what is shorter stays as it was written."""
    exponent = quantity.as_tuple().exponent
    return rounded_down(quantity, _CENT) if isinstance(exponent, int) and exponent < -8 else quantity


class Reference(msgspec.Struct, frozen=True):
    """The price a decision was made on, and where it stands recorded."""

    price: Decimal
    time: int
    source: str
    offset: int | None = None


class Placed(msgspec.Struct, frozen=True):
    """How one order ended up."""

    symbol: str
    side: str
    quantity: Decimal = ZERO
    """What the risk gate let through, in base units."""
    status: str = "none"
    """The venue's word; or ``refused`` (by the risk gate), ``rejected`` (by the venue), ``none`` (not placed);
    ``kept`` (a reduction that was not taken back)."""
    venue: str = ""
    order_id: str = ""
    """The venue's."""
    client_order_id: str = ""
    reduce_only: bool = False
    reason: str = ""


class Size(NamedTuple):
    """How much an order is for: one of the three."""

    quantity: Decimal | None = None
    """Base units."""
    notional: Decimal | None = None
    """Money, in quote currency."""
    fraction: Decimal | None = None
    """Of the account's equity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """An order to be placed."""

    symbol: str
    side: Side
    size: Size
    type: OrderType = "market"
    limit_price: Decimal | None = None
    reduce_only: bool = False
    venue: str = ""
    reason: str = ""
    on_refusal: OnRefusal = "fail"


def goes_short(symbol: str) -> bool:
    """Can a sell open a position? Contracts can be sold without being held, a spot asset cannot."""
    return ":" in symbol


def wants(signal: Any) -> Wanted:
    """What a signal asks for; a bare yes is ``go``, a no and HOLD are ``nothing``.

    Raises:
        InvalidInput: nothing that decides; a missing value decides nothing.
    """
    if isinstance(signal, bool):
        return "go" if signal else "nothing"
    found = _WANTED.get(signal.lower()) if isinstance(signal, str) else None
    if found is None:
        raise InvalidInput("signal", signal, "true, false, BUY, SELL, EXIT or HOLD")
    return found


def money_of(whole: Decimal, fraction: Decimal) -> Decimal:
    """A fraction of money, cut to eight places."""
    return rounded_down(EXACT.multiply(whole, fraction), _CENT)


async def reference_of(providers: Providers, symbol: str, side: Side, venue: str = "") -> Reference:
    """The price that an order would meet: the best ask for a buy, the best bid for a sell.

    Raises:
        InvalidInput: nobody has a price. Stale: it is too old.
    """
    provider = providers.get(venue) if venue else providers.of_symbol(symbol)
    book = await provider.orderbook(symbol, 1)
    levels = book.asks if side == "buy" else book.bids
    if not levels:
        raise InvalidInput(f"{provider.name}.orderbook({symbol})", "an empty side", "a price")
    return Reference(price(levels[0].price), book.time, book.recording or book.venue, book.offset)


@dataclass(frozen=True, slots=True)
class Dealing:
    """What a node needs to place orders."""

    run: Run
    trader: Trader
    providers: Providers
    context: Context

    # -- placing --------------------------------------------------------------------------------------------------

    async def place(self, wish: Wish) -> Placed:
        """Place an order, exactly once, and note that this document placed it.

        Raises:
            Refused: by the risk gate. Rejected: by the venue. (Neither with ``on_refusal="report"``.)
            InvalidInput, Stale: there is no price to decide by, or not one size.
        """
        placement = await self._sent(wish)
        if placement.ack is None and wish.on_refusal == "fail":
            placement.require()
        placed = _told(wish, placement)
        if placement.ack is not None:
            noted = OrderPlaced(
                owner=self.run.owner,
                document=self.context.document,
                node=self.context.node,
                run=self.run.id,
                symbol=wish.symbol,
                side=wish.side,
                client_order_id=placed.client_order_id,
                at=self.run.now(),
            )
            await self.run.emit(noted)
        return placed

    async def _sent(self, wish: Wish) -> Placement:
        reference = await self.price(wish)
        quantity, notional = await self._size(wish, reference)
        intent = OrderIntent(
            account=self.trader.account,
            owner=self.run.owner,
            workflow=self.context.document,
            symbol=wish.symbol,
            side=wish.side,
            type=wish.type,
            quantity=quantity,
            notional=notional,
            limit_price=wish.limit_price,
            reduce_only=wish.reduce_only,
            reason=wish.reason or self.context.node,
            reference_price=reference.price if reference else None,
            reference_time=reference.time if reference else 0,
            reference_source=reference.source if reference else "",
            reference_offset=reference.offset if reference else None,
        )
        return await self.trader.place(self.run, intent, wish.venue)

    async def price(self, wish: Wish) -> Reference | None:
        """The price to decide by; ``None`` only for a reduction of a known quantity."""
        providers = self.providers
        dispensable = wish.reduce_only and wish.size.quantity is not None

        async def read(symbol: str, side: Side, venue: str) -> Reference | None:
            try:
                return await reference_of(providers, symbol, side, venue)
            except (InvalidInput, Stale, Retryable):
                if dispensable:
                    return None
                raise

        return await self.run.step("price", read, wish.symbol, wish.side, wish.venue)

    async def _size(self, wish: Wish, reference: Reference | None) -> tuple[Decimal | None, Decimal | None]:
        """Quantity or notional; a reduction is always a quantity."""
        size = wish.size
        if sum(one is not None for one in size) != 1:
            given = ", ".join(f"{name} {one}" for name, one in size._asdict().items() if one is not None) or "nothing"
            raise InvalidInput(f"{self.context.node}.quantity", given, "one of quantity, notional and fraction")
        if size.quantity is not None:
            return _cut(size.quantity), None
        notional = size.notional
        if size.fraction is not None:
            notional = money_of(await self.equity(), size.fraction)
        assert notional is not None
        if not wish.reduce_only:
            return None, notional
        assert reference is not None
        return rounded_down(ratio(notional, reference.price), await self.quantity_step(wish.symbol)), None

    # -- reading --------------------------------------------------------------------------------------------------

    async def equity(self) -> Decimal:
        """What the account is worth."""
        return await self.run.step("equity", self.trader.equity)

    async def quantity_step(self, symbol: str) -> Decimal:
        """Quantities of a symbol are multiples of this. A step: what a venue asks may be another after a restart."""
        trader = self.trader

        def read(symbol: str) -> Decimal:
            return trader.rules(symbol).quantity_step

        return await self.run.step("quantity step", read, symbol)

    async def held(self, symbol: str) -> Decimal:
        """What this document has bought and not sold."""
        return await self.trader.held(self.run, self.context.document, symbol)

    async def own_open(self, symbol: str = "") -> list[Order]:
        """The orders that can still trade, of one symbol or of all, among the last two hundred of this document."""
        known = await document_orders.get(owned(self.run.owner, self.context.document))
        mine = set(known.latest) if known else set()
        found = await self.run.step("open orders", self.trader.open_orders)
        return [one for one in found if one.client_order_id in mine and symbol in ("", one.symbol)]

    # -- taking back ----------------------------------------------------------------------------------------------

    async def take_back(self, placed: Placed, fraction: Decimal = _ALL) -> Placed | None:
        """Cancel what is left of an order, and close what has filled of it, or a fraction. Harmless when repeated.

        What a reduction has sold is not bought again: less exposure is the safe side, and the report says so. Returns
        the closing order; ``None`` where there was nothing to close, or it has been closed before.

        Raises:
            Refused: the fills are known to the venue and the account still shows no position to reduce.
        """
        seen = await self.trader.cancel(self.run, placed.client_order_id)
        if not seen.filled:
            return None
        placed = msgspec.structs.replace(placed, symbol=seen.symbol, side=seen.side, reduce_only=seen.reduce_only)
        if seen.reduce_only:
            kept = f"{seen.filled} {placed.symbol} stay {'sold' if placed.side == 'sell' else 'bought'}"
            return replace_status(placed, "kept", f"{kept}: a reduction is not turned into new exposure")
        filled = seen.filled
        if fraction < _ALL:
            filled = rounded_down(EXACT.multiply(filled, fraction), await self.quantity_step(placed.symbol))
        mine = await self._mine(placed.client_order_id, filled) if filled else None
        return None if mine is None else await self._closed(placed, mine)

    async def _mine(self, client_order_id: str, filled: Decimal) -> TakenBack | None:
        """What this node has still to close of an order; ``None`` where that is done, or another's to do."""
        by = f"{self.run.id} {self.context.node}"
        known: TakenBack | None = await taken_back.get(client_order_id)
        if known is not None:
            return known if known.by == by and known.left > 0 else None
        mine = TakenBack(by, filled)
        return mine if await taken_back.claim(client_order_id, None, mine) else None

    async def _closed(self, placed: Placed, mine: TakenBack) -> Placed:
        # the venue may tell of a fill in its answer to a cancel before the account has booked it: then there is
        # nothing to reduce yet, and a moment later there is
        side: Side = "sell" if placed.side == "buy" else "buy"
        venue = placed.venue if placed.venue in self.trader.venues else ""
        reason = f"takes back order {placed.order_id}"
        filled = mine.left
        for _ in range(_CLOSING_TRIES):
            size = Size(mine.left)
            wish = Wish(symbol=placed.symbol, side=side, size=size, reduce_only=True, venue=venue, reason=reason)
            placement = await self._sent(wish)
            if placement.ack is not None:
                last = _told(wish, placement)
                left = TakenBack(mine.by, max(EXACT.subtract(mine.left, last.quantity), ZERO))
                await taken_back.claim(placed.client_order_id, mine, left)
                mine = left
                if not mine.left:
                    return msgspec.structs.replace(last, quantity=filled)
            elif placement.refusal is None or placement.refusal.rule != "reduce_only":
                placement.require()
            await self.run.sleep(_CLOSING_PAUSE)
        raise Refused("reduce_only", f"{filled} {placed.symbol} to be closed", f"{mine.left} of it cannot be")


def replace_status(placed: Placed, status: str, reason: str) -> Placed:
    """The same order with another status."""
    return msgspec.structs.replace(placed, status=status, reason=reason)


def _told(wish: Wish, placement: Placement) -> Placed:
    bare = Placed(wish.symbol, wish.side, reduce_only=wish.reduce_only, reason=wish.reason)
    ack, approval, no = placement.ack, placement.approval, placement.refusal
    if ack is not None:
        return msgspec.structs.replace(
            bare,
            quantity=approval.quantity if approval else wish.size.quantity or ZERO,
            status=ack.status,
            venue=ack.venue,
            order_id=ack.venue_order_id,
            client_order_id=ack.client_order_id,
        )
    if no is not None:
        return replace_status(bare, "refused", f"{no.rule}: limit {no.limit}, actual {no.actual}")
    return replace_status(bare, "rejected", placement.rejection)
