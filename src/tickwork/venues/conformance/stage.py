"""What the cases are played on: a stage, what it can do, and how a case says what it expects."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import wraps
from typing import Final, Literal, Protocol, get_args, runtime_checkable

from tickwork.errors import Rejected
from tickwork.market.bars import Quote
from tickwork.outcome import Found, NotFound
from tickwork.trading.gate import RiskGate, RiskLimits
from tickwork.trading.halt import Halt
from tickwork.trading.ledger import Ledger
from tickwork.trading.matching import TradingRules
from tickwork.trading.orders import ApprovedOrder, Fill, Order, OrderIntent, Side, TimeInForce
from tickwork.trading.reservations import Reservations
from tickwork.trading.venue import VenuePort
from tickwork.values import EXACT, base_of, ratio, rounded_down, rounded_up


class Stage(Protocol):
    """A venue and its market."""

    venue: VenuePort
    account: str
    rules: TradingRules
    """Of the symbol under test."""
    price: Decimal
    """Where the market is."""

    async def trade_at(self, price: Decimal) -> None:
        """The market trades at ``price``; afterwards everything it trades through is filled."""
        ...

    async def reopen(self) -> None:
        """The client dies and comes back: ``venue`` is a new object on the same account."""
        ...


# What a stage may be able to do besides. It can what it has the methods for.


@runtime_checkable
class TradesParts(Protocol):
    """A market that can meet a part of an order that rests."""

    async def trade_part(self, price: Decimal, quantity: Decimal) -> None:
        """The market trades ``quantity`` base units at ``price`` with orders that rest there or better, and no more."""
        ...


@runtime_checkable
class RunsThin(Protocol):
    """A market that can have little to give."""

    async def thin(self, quantity: Decimal) -> None:
        """What is sent from now on finds ``quantity`` base units in all at the market's price, and none beyond."""
        ...


@runtime_checkable
class SharesAccount(Protocol):
    """An account that another program uses too."""

    async def foreign(self, side: Side, quantity: Decimal, limit: Decimal) -> str:
        """Another program's limit order is accepted; gives the venue's id of it."""
        ...


Trouble = Literal["lost_request", "lost_answer", "nonsense", "refused", "not_yet", "turned_away", "lagging"]
"""What can stand between client and venue:

``lost_request``: nothing arrives; ``lost_answer``: it is done, and no answer comes back; ``nonsense``: it is done, and
the answer cannot be read; ``refused``: the venue takes no such orders; ``not_yet``: it takes none for now;
``turned_away``: it answers that it did not look at the request (too many of them); ``lagging``: new orders are taken,
and shown by no query.
"""

TROUBLES: Final[tuple[Trouble, ...]] = get_args(Trouble)


@runtime_checkable
class MakesTrouble(Protocol):
    """A wire that can be made to fail."""

    troubles: frozenset[Trouble]
    """Those it can make."""

    async def strike(self, trouble: Trouble) -> None:
        """Every request meets this from now on."""
        ...

    async def heal(self) -> None:
        """Requests go through again, and what was lagging is shown."""
        ...


@dataclass(frozen=True, slots=True)
class Need:
    """What a case cannot be played without."""

    words: str
    """Completes "needs ..."."""
    is_met: Callable[[Stage], bool]


def trouble(kind: Trouble) -> Need:
    """A stage that can make this trouble."""
    return Need(
        f"a stage that can make `{kind}`", lambda stage: isinstance(stage, MakesTrouble) and kind in stage.troubles
    )


DEDUPLICATION: Final = Need("a venue that deduplicates", lambda stage: stage.venue.capabilities.deduplicates)
STREAM: Final = Need("a venue that streams", lambda stage: stage.venue.capabilities.streams)
IOC: Final = Need("`ioc` declared", lambda stage: "ioc" in stage.venue.capabilities.times_in_force)
FOK: Final = Need("`fok` declared", lambda stage: "fok" in stage.venue.capabilities.times_in_force)
PARTS: Final = Need("a stage that can `trade_part`", lambda stage: isinstance(stage, TradesParts))
THIN: Final = Need("a stage that can be `thin`", lambda stage: isinstance(stage, RunsThin))
FOREIGN: Final = Need("a stage that can place `foreign` orders", lambda stage: isinstance(stage, SharesAccount))
MIN_QUANTITY: Final = Need(
    "a least quantity above the step", lambda stage: stage.rules.min_quantity > stage.rules.quantity_step
)
MAX_QUANTITY: Final = Need("a largest quantity", lambda stage: stage.rules.max_quantity is not None)
MIN_NOTIONAL: Final = Need(
    "a least notional above one step",
    lambda stage: EXACT.multiply(stage.price, stage.rules.quantity_step) < stage.rules.min_notional,
)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A case that was not played on a stage."""

    number: str
    reason: str
    """What it needs and the stage or the venue has not."""


Case = Callable[[Stage], Awaitable[Skipped | None]]
"""Raises ``AssertionError`` where the venue fails."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A case as it is registered."""

    play: Case
    needs: tuple[Need, ...]
    words: str
    """What a venue must do: its docstring."""


REGISTER: Final[dict[str, Entry]] = {}


def case(number: str, *needs: Need) -> Callable[[Callable[[Stage], Awaitable[None]]], Case]:
    """Register a case under its number; it is skipped, and says so, where a need is not met."""

    def add(play: Callable[[Stage], Awaitable[None]]) -> Case:
        if number in REGISTER:
            raise ValueError(f"two cases are numbered {number}")

        @wraps(play)
        async def played(stage: Stage) -> Skipped | None:
            lacking = [need.words for need in needs if not need.is_met(stage)]
            if lacking:
                return Skipped(number, f"needs {', '.join(lacking)}")
            await play(stage)
            return None

        REGISTER[number] = Entry(played, needs, " ".join((play.__doc__ or "").split()))
        return played

    return add


# ------------------------------------------------------------------------------------------ what cases are made of


def expect(holds: bool, what: str) -> None:
    """Fail with ``what`` unless ``holds``."""
    # not an `assert`: this suite must also judge under `python -O`
    if not holds:
        raise AssertionError(what)


def client_id(number: int) -> str:
    """A client order id: 32 hex digits."""
    return f"{number:032x}"


_VAST: Final = Decimal("1e15")


def approve(
    stage: Stage,
    side: Side,
    quantity: Decimal,
    *,
    limit: Decimal | None = None,
    reduce_only: bool = False,
    symbol: str | None = None,
    ledger: Ledger | None = None,
    force: TimeInForce = "gtc",
    finer: int = 1,
) -> ApprovedOrder:
    """An order of the stage's symbol through a gate that refuses nothing a venue should judge for itself.

    ``finer``: the gate's tick and step are the venue's divided by this.
    """
    name = symbol or stage.rules.symbol
    tick, step = ratio(stage.rules.price_tick, Decimal(finer)), ratio(stage.rules.quantity_step, Decimal(finer))
    rules = TradingRules(symbol=name, price_tick=tick, quantity_step=step)
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
        time_in_force=force,
        reference_price=stage.price,
    )
    gate = RiskGate(limits, {name: rules}, shorts=True)  # what a venue holds is its own to say
    quote = Quote(symbol=name, venue=stage.venue.name, time_ns=0, bid=stage.price, ask=stage.price)
    decision = gate.check(
        intent, ledger=ledger or Ledger(), reservations=Reservations(), quote=quote, now=0, halt=Halt()
    )
    expect(decision.approval is not None, f"the stage cannot approve its own order: {decision.refusal}")
    assert decision.approval is not None
    return gate.seal(decision.approval)


def small(stage: Stage, times: int = 1) -> Decimal:
    """A quantity of twice the least notional and not below the least quantity, on the step; so many ``times``."""
    least = max(stage.rules.min_notional, EXACT.multiply(stage.price, stage.rules.quantity_step))
    quantity = max(ratio(least * 2, stage.price), stage.rules.min_quantity)
    return EXACT.multiply(rounded_up(quantity, stage.rules.quantity_step), Decimal(times))


def away(stage: Stage, side: Side) -> Decimal:
    """A limit price at which the market is not: a tenth off on the passive side."""
    factor = Decimal("0.9") if side == "buy" else Decimal("1.1")
    return rounded_down(EXACT.multiply(stage.price, factor), stage.rules.price_tick)


def across(stage: Stage, side: Side) -> Decimal:
    """A limit price that the market is better than: a hundredth off on the other side."""
    factor = Decimal("1.01") if side == "buy" else Decimal("0.99")
    return rounded_down(EXACT.multiply(stage.price, factor), stage.rules.price_tick)


def through(stage: Stage, limit: Decimal) -> Decimal:
    """A price below ``limit``, by a hundredth."""
    return rounded_down(EXACT.multiply(limit, Decimal("0.99")), stage.rules.price_tick)


async def the_order(stage: Stage, key: str, symbol: str | None = None) -> Order:
    """The order of a client id, which must be found."""
    found = await stage.venue.find(key, stage.rules.symbol if symbol is None else symbol)
    expect(isinstance(found, Found), f"find({key}) is {found}, expected the order")
    assert isinstance(found, Found)
    return found.value


async def no_order(stage: Stage, key: str) -> None:
    """Nobody must have an order of this client id."""
    found = await stage.venue.find(key, stage.rules.symbol)
    expect(isinstance(found, NotFound), f"expected no order {key}, is {found}")


async def all_fills(stage: Stage) -> list[Fill]:
    """Every fill in the stage's symbol."""
    return await stage.venue.fills(stage.rules.symbol, 0)


async def rejected(stage: Stage, order: ApprovedOrder, key: str) -> None:
    """The venue must say no."""
    try:
        ack = await stage.venue.submit(order, key)
    except Rejected:
        return
    raise AssertionError(f"expected Rejected, was acknowledged: {ack}")


async def bought(stage: Stage, key: str = client_id(1), times: int = 1) -> Order:
    """Buy a small quantity, or so many times that, at the market."""
    await stage.venue.submit(approve(stage, "buy", small(stage, times)), key)
    await stage.trade_at(stage.price)
    return await the_order(stage, key)


async def rested(stage: Stage, number: int = 1, times: int = 1, side: Side = "buy") -> Order:
    """Have a limit order rest."""
    order = approve(stage, side, small(stage, times), limit=away(stage, side))
    await stage.venue.submit(order, client_id(number))
    return await the_order(stage, client_id(number))


async def sellable(stage: Stage, most: Decimal) -> Decimal:
    """How much is there to sell, at most ``most``: a fee may have been taken of what was bought."""
    asset = stage.rules.symbol if ":" in stage.rules.symbol else base_of(stage.rules.symbol)
    balance = (await stage.venue.balances()).get(asset)
    expect(balance is not None, f"the balances have no {asset} after it was bought")
    assert balance is not None
    free = EXACT.subtract(balance.total, balance.held)
    return min(rounded_down(free, stage.rules.quantity_step), most)


async def error_of(call: Awaitable[object], what: str) -> Exception:
    """What ``call`` raises; it must."""
    try:
        answer = await call
    except Exception as error:  # noqa: BLE001 - what it is, the case judges
        return error
    raise AssertionError(f"{what} is {answer}, expected an error")
