"""Cases of submitting: one order for one client id, with the terms it was approved with, or none."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from tickwork.errors import InvalidInput, Rejected
from tickwork.outcome import NotFound
from tickwork.trading.ledger import fold
from tickwork.trading.orders import ApprovedOrder
from tickwork.values import EXACT, quote_of
from tickwork.venues.conformance.stage import (
    DEDUPLICATION,
    MAX_QUANTITY,
    MIN_NOTIONAL,
    MIN_QUANTITY,
    Stage,
    all_fills,
    approve,
    away,
    bought,
    case,
    client_id,
    expect,
    no_order,
    rejected,
    sellable,
    small,
    the_order,
)


@case("V01")
async def market_order_fills(stage: Stage) -> None:
    """A market order is acknowledged under its client id, and is filled whole once the market has traded."""
    quantity = small(stage)
    ack = await stage.venue.submit(approve(stage, "buy", quantity), client_id(1))
    expect(ack.client_order_id == client_id(1), f"the acknowledgement is {ack}")
    await stage.trade_at(stage.price)
    order = await the_order(stage, client_id(1))
    expect((order.status, order.filled) == ("filled", quantity), f"expected filled {quantity}, is {order}")
    expect(order.venue_order_id == ack.venue_order_id, "the venue's order id changed after the acknowledgement")


@case("V02", DEDUPLICATION)
async def same_client_id_is_one_order(stage: Stage) -> None:
    """A venue that declares to deduplicate gives the same order for the same client id, also after a reconnect."""
    order = approve(stage, "buy", small(stage), limit=away(stage, "buy"))
    first = await stage.venue.submit(order, client_id(1))
    second = await stage.venue.submit(order, client_id(1))
    await stage.reopen()
    third = await stage.venue.submit(order, client_id(1))
    ids = {first.venue_order_id, second.venue_order_id, third.venue_order_id}
    expect(len(ids) == 1, f"three submissions under one client id made the orders {sorted(ids)}")
    expect(len(await stage.venue.open_orders()) == 1, "expected one open order")


@case("V03", DEDUPLICATION)
async def resubmitting_a_filled_order_does_nothing(stage: Stage) -> None:
    """Deduplication holds for orders that have ended: the worst moment to buy twice is after the first was filled."""
    order = approve(stage, "buy", small(stage))
    await stage.venue.submit(order, client_id(1))
    await stage.trade_at(stage.price)
    ack = await stage.venue.submit(order, client_id(1))
    await stage.trade_at(stage.price)
    expect(ack.status == "filled", f"expected the filled order back, is {ack}")
    expect(len(await all_fills(stage)) == 1, "expected one fill")


@case("V04", DEDUPLICATION)
async def other_terms_under_a_used_client_id_make_no_order(stage: Stage) -> None:
    """A client id that was used for other terms is rejected."""
    limit = away(stage, "buy")
    await stage.venue.submit(approve(stage, "buy", small(stage), limit=limit), client_id(1))
    await rejected(stage, approve(stage, "buy", small(stage) * 2, limit=limit), client_id(1))
    expect(len(await stage.venue.open_orders()) == 1, "expected one open order")


@case("V05")
async def absent_order_is_not_found(stage: Stage) -> None:
    """Looking for a client id nobody used is ``NotFound``, not an error."""
    found = await stage.venue.find(client_id(99), stage.rules.symbol)
    expect(isinstance(found, NotFound), f"expected NotFound, is {found}")


@case("V06")
async def found_in_every_state(stage: Stage) -> None:
    """Open, filled and cancelled orders are found by client id, also after a reconnect."""
    await bought(stage)
    limit = away(stage, "buy")
    for number in (2, 3):
        await stage.venue.submit(approve(stage, "buy", small(stage), limit=limit), client_id(number))
    await stage.venue.cancel(client_id(3), stage.rules.symbol)
    before = [await the_order(stage, client_id(number)) for number in (1, 2, 3)]
    await stage.reopen()
    after = [await the_order(stage, client_id(number)) for number in (1, 2, 3)]
    expect([order.status for order in after] == ["filled", "acknowledged", "cancelled"], f"the states are {after}")
    expect(before == after, f"a reconnect changed {before} to {after}")


@case("V15")
async def insufficient_funds_are_rejected(stage: Stage) -> None:
    """An order that cannot be paid is rejected, and there is no such order."""
    await rejected(stage, approve(stage, "buy", small(stage) * 1_000_000), client_id(1))
    await no_order(stage, client_id(1))


@case("V16")
async def unowned_asset_cannot_be_sold(stage: Stage) -> None:
    """On a spot pair, what one does not own cannot be sold."""
    await rejected(stage, approve(stage, "sell", small(stage)), client_id(1))


@case("V17")
async def unknown_symbol_is_rejected(stage: Stage) -> None:
    """A symbol the venue does not list is rejected."""
    symbol = f"NOSUCHCOIN/{quote_of(stage.rules.symbol)}"
    await rejected(stage, approve(stage, "buy", small(stage), symbol=symbol), client_id(1))


@case("V18", MIN_NOTIONAL)
async def below_the_least_notional_is_rejected(stage: Stage) -> None:
    """An order below the least notional is rejected."""
    await rejected(stage, approve(stage, "buy", stage.rules.quantity_step), client_id(1))


@case("V19")
async def reductions_never_turn_a_position(stage: Stage) -> None:
    """Two reductions of the whole position, at the same time, sell it once."""
    symbol = stage.rules.symbol
    whole = await sellable(stage, (await bought(stage)).filled)
    ledger = fold(await all_fills(stage))
    for number in (2, 3):
        order = approve(stage, "sell", whole, reduce_only=True, ledger=ledger)
        try:
            await stage.venue.submit(order, client_id(number))
        except Rejected:  # a venue may see at once that nothing is left to reduce
            expect(number == 3, "the first reduction was rejected")
    await stage.trade_at(stage.price)
    sold = EXACT.subtract(ledger.quantity(symbol), fold(await all_fills(stage)).quantity(symbol))
    expect(sold == whole, f"two reductions of {whole} sold {sold}")
    expect(await stage.venue.open_orders() == [], "a reduction of nothing is still open")


@case("V20")
async def only_approved_orders_are_taken(stage: Stage) -> None:
    """A venue takes what the gate made and nothing that looks like it."""
    order = approve(stage, "buy", small(stage))
    try:
        await stage.venue.submit(order.approval, client_id(1))  # type: ignore[arg-type]
    except InvalidInput:
        await no_order(stage, client_id(1))
    else:
        raise AssertionError("an approval that was not sealed was taken as an order")


@case("V22")
async def terms_are_as_sent(stage: Stage) -> None:
    """The venue has each order on the terms that were approved: account, symbol, side, quantity; and its limit.

    A market order may be shown as what the venue made of it.
    """
    limit = away(stage, "buy")
    for number, price in ((1, None), (2, limit)):
        sent = approve(stage, "buy", small(stage), limit=price)
        await stage.venue.submit(sent, client_id(number))
        await stage.trade_at(stage.price)
        order = await the_order(stage, client_id(number))
        expect((order.venue, order.client_order_id) == (stage.venue.name, client_id(number)), f"whose is {order}?")
        terms = (sent.account, sent.symbol, sent.side, sent.quantity)
        told = (order.account, order.symbol, order.side, order.quantity)
        expect(terms == told, f"{terms} was sent, the venue has {told}")
        same = price is None or (order.type, order.limit_price) == ("limit", price)
        expect(same, f"a limit order at {price} was sent, the venue has {order}")


@case("V23")
async def terms_are_never_mended(stage: Stage) -> None:
    """A price off the tick or a quantity off the step makes no order, or one on just these terms; never on others."""
    half = Decimal("0.5")
    limit = away(stage, "buy")
    uneven = EXACT.add(small(stage), EXACT.multiply(stage.rules.quantity_step, half))
    between = EXACT.add(limit, EXACT.multiply(stage.rules.price_tick, half))
    await _as_it_is(stage, approve(stage, "buy", uneven, limit=limit, finer=10), client_id(1))
    await _as_it_is(stage, approve(stage, "buy", small(stage), limit=between, finer=10), client_id(2))


async def _as_it_is(stage: Stage, order: ApprovedOrder, key: str) -> None:
    terms = (order.quantity, order.limit_price)
    try:
        await stage.venue.submit(order, key)
    except (Rejected, InvalidInput):
        await no_order(stage, key)
        return
    made = await the_order(stage, key)
    expect((made.quantity, made.limit_price) == terms, f"{terms} was sent, the venue has {made}")


@case("V24", MIN_QUANTITY)
async def below_the_least_quantity_is_rejected(stage: Stage) -> None:
    """An order below the least quantity is rejected."""
    await rejected(stage, approve(stage, "buy", stage.rules.quantity_step), client_id(1))
    await no_order(stage, client_id(1))


@case("V25", MAX_QUANTITY)
async def above_the_largest_quantity_is_rejected(stage: Stage) -> None:
    """An order above the largest quantity is rejected."""
    most = stage.rules.max_quantity or small(stage)
    await rejected(stage, approve(stage, "buy", EXACT.add(most, stage.rules.quantity_step)), client_id(1))
    await no_order(stage, client_id(1))


@case("V26", DEDUPLICATION)
async def the_same_order_twice_at_once_is_one(stage: Stage) -> None:
    """Two submissions under one client id at the same time make one order."""
    order = approve(stage, "buy", small(stage), limit=away(stage, "buy"))
    answers = await asyncio.gather(*(stage.venue.submit(order, client_id(1)) for _ in range(2)), return_exceptions=True)
    acks = {answer.venue_order_id for answer in answers if not isinstance(answer, BaseException)}
    expect(len(acks) == 1, f"the answers are {answers}")
    expect(len(await stage.venue.open_orders()) == 1, "expected one open order")


@case("V27")
async def orders_at_once_are_kept_apart(stage: Stage) -> None:
    """Orders that are submitted at the same time are each there, under their own client ids."""
    limit = away(stage, "buy")
    numbers = range(1, 5)
    acks = await asyncio.gather(
        *(stage.venue.submit(approve(stage, "buy", small(stage), limit=limit), client_id(one)) for one in numbers)
    )
    expect([ack.client_order_id for ack in acks] == [client_id(one) for one in numbers], f"mixed up: {acks}")
    expect(len({ack.venue_order_id for ack in acks}) == len(numbers), f"the venue's ids are not their own: {acks}")
    working = {order.client_order_id: order.venue_order_id for order in await stage.venue.open_orders()}
    expect(working == {ack.client_order_id: ack.venue_order_id for ack in acks}, f"open are {working}")
