"""What every venue adapter must do: numbered cases, shipped, without a test framework.

Theory of operation. A ``Stage`` is a venue with a market one can move: for the paper venue a feed of bars, for an
adapter the simulated exchange it talks to. Each case gets a fresh stage (flat, with enough money to buy ten of the
smallest orders but not a million) and raises ``AssertionError`` with what was expected and what was seen. ``CASES``
lists all of them by number; run each with its own stage:

    for number, case in CASES.items():
        await case(await fresh_stage())
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Final, Protocol

from tickwork.errors import InvalidInput, Rejected
from tickwork.market.bars import Quote
from tickwork.outcome import Found, NotFound
from tickwork.trading.gate import RiskGate, RiskLimits
from tickwork.trading.halt import Halt
from tickwork.trading.ledger import Ledger, fold
from tickwork.trading.matching import TradingRules
from tickwork.trading.orders import ApprovedOrder, Fill, Order, OrderIntent, Side
from tickwork.trading.reservations import Reservations
from tickwork.trading.venue import VenuePort
from tickwork.values import EXACT, quote_of, ratio, rounded_down, rounded_up


class Stage(Protocol):
    """A venue and its market."""

    venue: VenuePort
    account: str
    rules: TradingRules
    """Of the symbol under test; a spot pair."""
    price: Decimal
    """Where the market is."""

    async def trade_at(self, price: Decimal) -> None:
        """The market trades at ``price``; afterwards everything it trades through is filled."""
        ...

    async def reopen(self) -> None:
        """The client dies and comes back: ``venue`` is a new object on the same account."""
        ...


Case = Callable[[Stage], Awaitable[None]]

CASES: Final[dict[str, Case]] = {}

_VAST: Final = Decimal("1e15")


def _case(number: str) -> Callable[[Case], Case]:
    def add(case: Case) -> Case:
        if number in CASES:
            raise ValueError(f"two cases are numbered {number}")
        CASES[number] = case
        return case

    return add


def _expect(holds: bool, what: str) -> None:
    # not an `assert`: this suite must also judge under `python -O`
    if not holds:
        raise AssertionError(what)


def client_id(number: int) -> str:
    """A client order id: 32 hex digits."""
    return f"{number:032x}"


def approve(
    stage: Stage,
    side: Side,
    quantity: Decimal,
    *,
    limit: Decimal | None = None,
    reduce_only: bool = False,
    symbol: str | None = None,
    ledger: Ledger | None = None,
) -> ApprovedOrder:
    """An order of the stage's symbol through a gate that refuses nothing a venue should judge for itself."""
    name = symbol or stage.rules.symbol
    rules = TradingRules(symbol=name, price_tick=stage.rules.price_tick, quantity_step=stage.rules.quantity_step)
    limits = RiskLimits(max_order_notional=_VAST, max_position_notional=_VAST, price_band=Decimal(1_000))
    intent = OrderIntent(
        account=stage.account,
        owner="conformance",
        workflow="conformance",
        symbol=name,
        side=side,
        type="market" if limit is None else "limit",
        quantity=quantity,
        limit_price=limit,
        reduce_only=reduce_only,
        reference_price=stage.price,
    )
    gate = RiskGate(limits, {name: rules})
    quote = Quote(symbol=name, venue=stage.venue.name, time_ns=0, bid=stage.price, ask=stage.price)
    decision = gate.check(
        intent, ledger=ledger or Ledger(), reservations=Reservations(), quote=quote, now=0, halt=Halt()
    )
    _expect(decision.approval is not None, f"the stage cannot approve its own order: {decision.refusal}")
    assert decision.approval is not None
    return gate.seal(decision.approval)


def small(stage: Stage) -> Decimal:
    """A quantity of twice the least notional, on the step."""
    least = max(stage.rules.min_notional, EXACT.multiply(stage.price, stage.rules.quantity_step))
    return rounded_up(ratio(least * 2, stage.price), stage.rules.quantity_step)


def away(stage: Stage, side: Side) -> Decimal:
    """A limit price at which the market is not: a tenth off on the passive side."""
    factor = Decimal("0.9") if side == "buy" else Decimal("1.1")
    return rounded_down(EXACT.multiply(stage.price, factor), stage.rules.price_tick)


async def _order(stage: Stage, key: str) -> Order:
    found = await stage.venue.find(key, stage.rules.symbol)
    _expect(isinstance(found, Found), f"find({key}) is {found}, expected the order")
    assert isinstance(found, Found)
    return found.value


async def _fills(stage: Stage) -> list[Fill]:
    return await stage.venue.fills(stage.rules.symbol, 0)


async def _rejected(stage: Stage, order: ApprovedOrder, key: str) -> None:
    try:
        ack = await stage.venue.submit(order, key)
    except Rejected:
        return
    raise AssertionError(f"expected Rejected, was acknowledged: {ack}")


async def _bought(stage: Stage, key: str = client_id(1)) -> Order:
    await stage.venue.submit(approve(stage, "buy", small(stage)), key)
    await stage.trade_at(stage.price)
    return await _order(stage, key)


@_case("V01")
async def market_order_fills(stage: Stage) -> None:
    """A market order is acknowledged under its client id, and is filled whole once the market has traded."""
    quantity = small(stage)
    ack = await stage.venue.submit(approve(stage, "buy", quantity), client_id(1))
    _expect(ack.client_order_id == client_id(1), f"the acknowledgement is {ack}")
    await stage.trade_at(stage.price)
    order = await _order(stage, client_id(1))
    _expect((order.status, order.filled) == ("filled", quantity), f"expected filled {quantity}, is {order}")
    _expect(order.venue_order_id == ack.venue_order_id, "the venue's order id changed after the acknowledgement")


@_case("V02")
async def same_client_id_is_one_order(stage: Stage) -> None:
    """A venue that declares to deduplicate gives the same order for the same client id, also after a reconnect."""
    if not stage.venue.capabilities.deduplicates:
        return
    order = approve(stage, "buy", small(stage), limit=away(stage, "buy"))
    first = await stage.venue.submit(order, client_id(1))
    second = await stage.venue.submit(order, client_id(1))
    await stage.reopen()
    third = await stage.venue.submit(order, client_id(1))
    ids = {first.venue_order_id, second.venue_order_id, third.venue_order_id}
    _expect(len(ids) == 1, f"three submissions under one client id made the orders {sorted(ids)}")
    _expect(len(await stage.venue.open_orders()) == 1, "expected one open order")


@_case("V03")
async def resubmitting_a_filled_order_does_nothing(stage: Stage) -> None:
    """Deduplication holds for orders that have ended: the worst moment to buy twice is after the first was filled."""
    if not stage.venue.capabilities.deduplicates:
        return
    order = approve(stage, "buy", small(stage))
    await stage.venue.submit(order, client_id(1))
    await stage.trade_at(stage.price)
    ack = await stage.venue.submit(order, client_id(1))
    await stage.trade_at(stage.price)
    _expect(ack.status == "filled", f"expected the filled order back, is {ack}")
    _expect(len(await _fills(stage)) == 1, "expected one fill")


@_case("V04")
async def other_terms_under_a_used_client_id_make_no_order(stage: Stage) -> None:
    """A client id that was used for other terms is rejected."""
    if not stage.venue.capabilities.deduplicates:
        return
    limit = away(stage, "buy")
    await stage.venue.submit(approve(stage, "buy", small(stage), limit=limit), client_id(1))
    await _rejected(stage, approve(stage, "buy", small(stage) * 2, limit=limit), client_id(1))
    _expect(len(await stage.venue.open_orders()) == 1, "expected one open order")


@_case("V05")
async def absent_order_is_not_found(stage: Stage) -> None:
    """Looking for a client id nobody used is ``NotFound``, not an error."""
    found = await stage.venue.find(client_id(99), stage.rules.symbol)
    _expect(isinstance(found, NotFound), f"expected NotFound, is {found}")


@_case("V06")
async def found_in_every_state(stage: Stage) -> None:
    """Open, filled and cancelled orders are found by client id, also after a reconnect."""
    await _bought(stage)
    limit = away(stage, "buy")
    for number in (2, 3):
        await stage.venue.submit(approve(stage, "buy", small(stage), limit=limit), client_id(number))
    await stage.venue.cancel(client_id(3), stage.rules.symbol)
    before = [await _order(stage, client_id(number)) for number in (1, 2, 3)]
    await stage.reopen()
    after = [await _order(stage, client_id(number)) for number in (1, 2, 3)]
    _expect([order.status for order in after] == ["filled", "acknowledged", "cancelled"], f"the states are {after}")
    _expect(before == after, f"a reconnect changed {before} to {after}")


@_case("V07")
async def limit_rests_until_traded_through(stage: Stage) -> None:
    """A passive limit order rests, and fills at its price or better when the market trades through it."""
    limit = away(stage, "buy")
    await stage.venue.submit(approve(stage, "buy", small(stage), limit=limit), client_id(1))
    await stage.trade_at(stage.price)
    _expect(
        [order.client_order_id for order in await stage.venue.open_orders()] == [client_id(1)], "expected it to rest"
    )
    await stage.trade_at(rounded_down(limit * Decimal("0.99"), stage.rules.price_tick))
    fills = await _fills(stage)
    _expect(len(fills) == 1 and fills[0].price <= limit, f"expected one fill at {limit} or below, are {fills}")
    _expect(await stage.venue.open_orders() == [], "expected no open order")


@_case("V08")
async def cancel_is_harmless_to_repeat(stage: Stage) -> None:
    """Cancelling ends an order; again changes nothing; a cancelled order never fills."""
    limit = away(stage, "buy")
    await stage.venue.submit(approve(stage, "buy", small(stage), limit=limit), client_id(1))
    first = await stage.venue.cancel(client_id(1), stage.rules.symbol)
    second = await stage.venue.cancel(client_id(1), stage.rules.symbol)
    _expect(first.status == second.status == "cancelled", f"expected cancelled twice, are {first}, {second}")
    await stage.trade_at(rounded_down(limit * Decimal("0.9"), stage.rules.price_tick))
    _expect(await _fills(stage) == [], "a cancelled order was filled")


@_case("V09")
async def cancel_of_a_filled_order_says_so(stage: Stage) -> None:
    """Cancelling too late gives the filled order back."""
    await _bought(stage)
    order = await stage.venue.cancel(client_id(1), stage.rules.symbol)
    _expect(order.status == "filled", f"expected the filled order, is {order}")


@_case("V10")
async def cancel_of_nothing_is_rejected(stage: Stage) -> None:
    """Cancelling a client id nobody used is ``Rejected``."""
    try:
        order = await stage.venue.cancel(client_id(99), stage.rules.symbol)
    except Rejected:
        return
    raise AssertionError(f"expected Rejected, is {order}")


@_case("V11")
async def fills_are_numbered(stage: Stage) -> None:
    """Each fill has a number of its own, ``since`` leaves out what is older, and a reconnect changes neither."""
    for number in (1, 2, 3):
        await _bought(stage, client_id(number))
    fills = await _fills(stage)
    ids = [fill.fill_id for fill in fills]
    _expect(len(set(ids)) == 3 and all(ids), f"the fill ids are {ids}")
    _expect(fills == sorted(fills, key=lambda fill: fill.rank), f"the fills are not in order: {fills}")
    for fill in fills:
        later = [one for one in fills if one.time >= fill.time]
        told = await stage.venue.fills(fill.symbol, fill.time)
        _expect(told[-len(later) :] == later, "since= does not give what it should")
    await stage.reopen()
    _expect(await _fills(stage) == fills, "a reconnect changed the fills")


@_case("V12")
async def order_and_fills_agree(stage: Stage) -> None:
    """An order's filled quantity, notional and fee are the sums of its fills."""
    order = await _bought(stage)
    fills = [fill for fill in await _fills(stage) if fill.client_order_id == order.client_order_id]
    sums = (sum(fill.quantity for fill in fills), sum(fill.notional for fill in fills), sum(fill.fee for fill in fills))
    _expect((order.filled, order.filled_notional, order.fee) == sums, f"the order says {order}, its fills {sums}")


@_case("V13")
async def balances_follow_fills(stage: Stage) -> None:
    """Balances change by exactly what the fills say."""
    before = await stage.venue.balances()
    await _bought(stage)
    await stage.venue.submit(approve(stage, "sell", small(stage)), client_id(2))
    await stage.trade_at(stage.price)
    after, ledger = await stage.venue.balances(), fold(await _fills(stage))
    for asset, balance in after.items():
        was = before[asset].total if asset in before else Decimal(0)
        _expect(
            balance.total == EXACT.add(was, ledger.holding(asset)),
            f"{asset} went from {was} to {balance.total}, the fills make {ledger.holding(asset)}",
        )


@_case("V14")
async def open_orders_lock_money(stage: Stage) -> None:
    """A resting buy locks at least its cost, and a cancel frees it."""
    quantity, limit = small(stage), away(stage, "buy")
    currency = quote_of(stage.rules.symbol)
    await stage.venue.submit(approve(stage, "buy", quantity, limit=limit), client_id(1))
    held = (await stage.venue.balances())[currency].held
    _expect(
        held >= EXACT.multiply(quantity, limit), f"{held} {currency} are locked for an order of {quantity} at {limit}"
    )
    await stage.venue.cancel(client_id(1), stage.rules.symbol)
    held = (await stage.venue.balances())[currency].held
    _expect(held == 0, f"{held} {currency} stay locked after the cancel")


@_case("V15")
async def insufficient_funds_are_rejected(stage: Stage) -> None:
    """An order that cannot be paid is rejected, and there is no such order."""
    await _rejected(stage, approve(stage, "buy", small(stage) * 1_000_000), client_id(1))
    _expect(isinstance(await stage.venue.find(client_id(1), stage.rules.symbol), NotFound), "a rejected order is found")


@_case("V16")
async def unowned_asset_cannot_be_sold(stage: Stage) -> None:
    """On a spot pair, what one does not own cannot be sold."""
    await _rejected(stage, approve(stage, "sell", small(stage)), client_id(1))


@_case("V17")
async def unknown_symbol_is_rejected(stage: Stage) -> None:
    """A symbol the venue does not list is rejected."""
    symbol = f"NOSUCHCOIN/{quote_of(stage.rules.symbol)}"
    await _rejected(stage, approve(stage, "buy", small(stage), symbol=symbol), client_id(1))


@_case("V18")
async def below_the_least_notional_is_rejected(stage: Stage) -> None:
    """An order below the least notional is rejected."""
    if EXACT.multiply(stage.price, stage.rules.quantity_step) < stage.rules.min_notional:
        await _rejected(stage, approve(stage, "buy", stage.rules.quantity_step), client_id(1))


@_case("V19")
async def reductions_never_turn_a_position(stage: Stage) -> None:
    """Two reductions of the whole position, at the same time, sell it once."""
    bought = await _bought(stage)
    ledger = fold(await _fills(stage))
    for number in (2, 3):
        order = approve(stage, "sell", bought.filled, reduce_only=True, ledger=ledger)
        try:
            await stage.venue.submit(order, client_id(number))
        except Rejected:  # a venue may see at once that nothing is left to reduce
            _expect(number == 3, "the first reduction was rejected")
    await stage.trade_at(stage.price)
    left = fold(await _fills(stage)).quantity(stage.rules.symbol)
    _expect(left == 0, f"the position is {left} after both reductions")
    _expect(await stage.venue.open_orders() == [], "a reduction of nothing is still open")


@_case("V20")
async def only_approved_orders_are_taken(stage: Stage) -> None:
    """A venue takes what the gate made and nothing that looks like it."""
    order = approve(stage, "buy", small(stage))
    try:
        await stage.venue.submit(order.approval, client_id(1))  # type: ignore[arg-type]
    except InvalidInput:
        _expect(
            isinstance(await stage.venue.find(client_id(1), stage.rules.symbol), NotFound),
            "what was not taken is found",
        )
    else:
        raise AssertionError("an approval that was not sealed was taken as an order")
