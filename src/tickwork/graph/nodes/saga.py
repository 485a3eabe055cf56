"""Sagas: nodes that come in pairs, one to do and one to undo.

An undo gets what it undoes has given and had been given, by name. Undoing twice does no more than undoing once.
``place_order`` and ``cancel_order``, ``send_notification`` and ``send_failure_alert`` are such pairs, too.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final

import msgspec

from tickwork.core.run import Run
from tickwork.errors import InvalidInput, Retryable
from tickwork.graph.declare import Context, node, param, port
from tickwork.graph.nodes.funds import reserve, spend
from tickwork.graph.nodes.placing import Placed, money_of
from tickwork.graph.nodes.views import CHANGES, Portfolio, Reservation, owned, portfolios
from tickwork.graph.sources import Trader
from tickwork.graph.texts import DurationAboveZero
from tickwork.trading.orders import ZERO
from tickwork.values import EXACT, duration, money, symbol, timestamp_ns

_TRIES: Final = 100
_MAIN: Final = "main"
_PORTFOLIO: Final = param("which portfolio of the owner's")

# --------------------------------------------------------------------------------------------------------------- funds


class Funds(msgspec.Struct, frozen=True):
    """Money set aside."""

    reservation: Annotated[str, port("its id, which release_funds and place_order take")]
    reserved: Annotated[Decimal, port("how much")]
    currency: Annotated[str, port("of what")]


@node(
    "reserve_funds", category="saga", undo="release_funds", one_of=("amount", "fraction"),
    from_event={"amount": ("capital", "fraction")},
)  # fmt: skip
async def reserve_funds(
    run: Run,
    capital: Annotated[Decimal | None, port("how much, where the document does not say it")] = None,
    *,
    amount: Annotated[Decimal | None, param("how much", unit="the account's currency", gt=0)] = None,
    fraction: Annotated[Decimal | None, param("how much of the equity", unit="fraction", gt=0, le=1)] = None,
    valid_for: Annotated[
        DurationAboveZero, param("after this it is free again, whatever became of the run")
    ] = "1 hour",
    trader: Trader,
    context: Context,
) -> Funds:
    """Set money of the account aside, so that no other run counts on it.

    It stays aside until an order that gets the reservation is placed, until it is released, or until ``valid_for`` has
    passed. What neither the document nor an edge says, ``amount`` or ``notional`` of what starts the run does.

    Raises:
        Refused: what is free and not set aside already is too little. InvalidInput: no amount, or several.
    """
    path = f"{context.node}.amount"
    span = duration(valid_for, f"{context.node}.valid_for")
    said = [one for one in (capital, amount, fraction) if one is not None]
    if len(said) > 1:
        raise InvalidInput(path, ", ".join(map(str, said)), "one of amount, fraction and an edge")
    wanted = amount if amount is not None else capital
    if fraction is not None:
        wanted = money_of(await run.step("equity", trader.equity), fraction)
    if wanted is None:
        given = context.given("amount") or context.given("notional")
        wanted = money(given if given is None or isinstance(given, Decimal) else str(given), path)
    if not wanted.is_finite() or wanted <= 0:
        raise InvalidInput(path, str(wanted), "money above zero")
    id = f"{run.id} {context.node}"
    until = timestamp_ns(run.now()) + span
    await reserve(run, trader, id, Reservation(wanted, context.document, until))
    return Funds(id, wanted, trader.currency)


class Released(msgspec.Struct, frozen=True):
    """Money that is free again."""

    released: Annotated[Decimal, port("how much; zero where it was free already")]


@node("release_funds", category="saga")
async def release_funds(
    run: Run,  # noqa: ARG001 - it writes a view, which is a verb
    reservation: Annotated[str, port("which, as reserve_funds gave it")],
    *,
    trader: Trader,
) -> Released:
    """Let go of money that was set aside; harmless when repeated."""
    return Released(await spend(trader.account, reservation))


# ----------------------------------------------------------------------------------------------------------- portfolio


class Updated(msgspec.Struct, frozen=True):
    """What was noted in a portfolio."""

    change: Annotated[str, port("its id, which revert_portfolio takes")]
    portfolio: Annotated[str, port("which portfolio")]
    holdings: Annotated[dict[str, Decimal], port("what it holds now, in base units by symbol")]


@node("update_portfolio", category="saga", undo="revert_portfolio")
async def update_portfolio(
    run: Run,
    orders: Annotated[list[Placed] | None, port("orders, as the nodes that place them tell")] = None,
    *,
    portfolio: Annotated[str, _PORTFOLIO] = _MAIN,
    changes: Annotated[
        dict[str, Decimal] | None, param("what to add instead, by symbol; below zero to take away", unit="base units")
    ] = None,
    context: Context,
) -> Updated:
    """Note in a portfolio what was ordered: what is bought is added, what is sold taken away.

    It notes what the venue has taken, not what has been filled; what the account really holds, its positions say.

    Raises:
        InvalidInput: nothing to note.
    """
    if orders is None and not changes:
        raise InvalidInput(f"{context.node}.changes", "nothing", "orders of a node before it, or changes by symbol")
    found = _changes(orders or [], changes or {}, f"{context.node}.changes")
    key, id = owned(context.owner, portfolio), f"{run.id} {context.node}"
    for _ in range(_TRIES):
        known: Portfolio | None = await portfolios.get(key)
        held = known or Portfolio()
        if id in held.changes:
            return Updated(id, portfolio, held.holdings)
        kept = dict([*held.changes.items(), (id, found)][-CHANGES:])
        new = Portfolio(_added(held.holdings, found), kept)
        if await portfolios.claim(key, known, new):
            return Updated(id, portfolio, new.holdings)
    raise Retryable(f"portfolio {portfolio!r} is being changed by too many runs at once")


class Reverted(msgspec.Struct, frozen=True):
    """What was taken back from a portfolio."""

    reverted: Annotated[bool, port("false where it had been taken back already")]
    holdings: Annotated[dict[str, Decimal], port("what it holds now, in base units by symbol")]


@node("revert_portfolio", category="saga")
async def revert_portfolio(
    run: Run,  # noqa: ARG001 - it writes a view, which is a verb
    change: Annotated[str, port("which change, as update_portfolio gave it")],
    portfolio: Annotated[str, port("which portfolio")] = _MAIN,
    *,
    context: Context,
) -> Reverted:
    """Take back just what one update added; what others have noted since stays. Harmless when repeated.

    Of a portfolio the last thousand changes can be taken back.
    """
    key = owned(context.owner, portfolio)
    for _ in range(_TRIES):
        known: Portfolio | None = await portfolios.get(key)
        if known is None or change not in known.changes:
            return Reverted(reverted=False, holdings=known.holdings if known else {})
        back = {name: -amount for name, amount in known.changes[change].items()}
        left = {name: one for name, one in known.changes.items() if name != change}
        new = Portfolio(_added(known.holdings, back), left)
        if await portfolios.claim(key, known, new):
            return Reverted(reverted=True, holdings=new.holdings)
    raise Retryable(f"portfolio {portfolio!r} is being changed by too many runs at once")


def _changes(orders: list[Placed], said: dict[str, Decimal], path: str) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    if said:
        found = {symbol(name, path): money(amount, f"{path}.{name}") for name, amount in said.items()}
    else:
        for one in orders:
            if one.client_order_id:
                signed = one.quantity if one.side == "buy" else -one.quantity
                found[one.symbol] = EXACT.add(found.get(one.symbol, ZERO), signed)
    return found


def _added(holdings: dict[str, Decimal], changes: dict[str, Decimal]) -> dict[str, Decimal]:
    new = dict(holdings)
    for name, amount in changes.items():
        new[name] = EXACT.add(new.get(name, ZERO), amount)
    return {name: amount for name, amount in new.items() if amount}
