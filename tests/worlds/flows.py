"""What trades in a world: one workflow that does what its event says, so that a seed can say anything.

``HERE`` is the process that runs: workflows are declared once, a world dies and is born again under them.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Protocol

from tickwork import Event, Retry, Run, workflow
from tickwork.errors import Fatal, NotSent, TickworkError, TimedOut
from tickwork.service.exits import Exits
from tickwork.service.trading import OrderFilled, place
from tickwork.trading.desk import Desk, Placement
from tickwork.trading.exits import ExitRules, Target
from tickwork.trading.orders import OrderIntent
from tickwork.values import NS_PER_SECOND, timestamp_ns

ACCOUNT = "main"
OWNER = ""
SHARES = (Decimal("0.34"), Decimal("0.33"), Decimal("0.33"))
"""Of the original quantity, that a ladder sells."""


class Place(Protocol):
    """The process that runs, as a workflow sees it."""

    desk: Desk
    exits: Exits

    def price(self, symbol: str) -> Decimal | None:
        """What it is worth, by the feed."""
        ...


class _Here:
    """Holds the process."""

    def __init__(self) -> None:
        self.process: Place | None = None

    def now(self) -> Place:
        assert self.process is not None, "no process runs"
        return self.process


HERE = _Here()


class ScriptWanted(Event, name="worlds/script.wanted", version=1):
    """Somebody is to trade."""

    n: int
    workflow: str
    acts: list[dict[str, str]]
    """Each says ``do`` and what that needs: see ``script``."""


async def price_now(symbol: str) -> str:
    """The price, or nothing."""
    found = HERE.now().price(symbol)
    return "" if found is None else str(found)


async def position_now(symbol: str) -> str:
    """What the account holds."""
    return str(HERE.now().desk.ledger.quantity(symbol))


@workflow("script", on=ScriptWanted, retry=Retry(limit=0))
async def script(run: Run, wanted: ScriptWanted) -> list[str]:
    """Do what the acts say, one after the other; says what became of each."""
    told: list[str] = []
    placed: list[tuple[str, str]] = []
    for number, act in enumerate(wanted.acts):
        match act["do"]:
            case "sleep":
                await run.sleep(act["for"])
                told.append("slept")
            case "cancel":
                told.append(await _cancel(run, placed, int(act["which"])))
            case "wait":
                where = {"workflow": wanted.workflow}
                event = await run.wait_for(OrderFilled, where=where, timeout=act["for"])
                told.append("waited in vain" if event is None else f"saw fill {event.fill_id}")
            case "reduce":
                told.append(await _reduce(run, wanted, act, number, placed))
            case "protect":
                told.append(await _protect(run, wanted, act, number, placed))
            case "both":
                first, second = {**act, "do": "order"}, {**act, "do": "order", "symbol": act["other"]}
                ended = await run.all(
                    _order(run, wanted, first, number, placed), _order(run, wanted, second, number, placed)
                )
                told += ended
            case _:
                told.append(await _order(run, wanted, act, number, placed))
    return told


async def _order(
    run: Run, wanted: ScriptWanted, act: dict[str, str], number: int, placed: list[tuple[str, str]]
) -> str:
    price = await run.step("price", price_now, act["symbol"])
    if not price:
        return "no price"
    return await _placed(run, _intent(run, wanted, act, number, Decimal(price)), placed)


async def _reduce(
    run: Run, wanted: ScriptWanted, act: dict[str, str], number: int, placed: list[tuple[str, str]]
) -> str:
    held = Decimal(await run.step("position", position_now, act["symbol"]))
    price = await run.step("price", price_now, act["symbol"])
    quantity = round(held * Decimal(act["share"]), 8)
    if quantity <= 0:
        return "nothing held"
    given: dict[str, Any] = {"quantity": quantity, "reduce_only": True, "side": "sell"}
    return await _placed(run, _intent(run, wanted, act, number, Decimal(price or 0), **given), placed)


async def _protect(
    run: Run, wanted: ScriptWanted, act: dict[str, str], number: int, placed: list[tuple[str, str]]
) -> str:
    """Buy, and let stops and a ladder stand for what was really bought."""
    said = await _order(run, wanted, act, number, placed)
    if said != "accepted":
        return said
    mine, bought, paid = {"client_order_id": placed[-1][0]}, Decimal(0), Decimal(0)
    while (fill := await run.wait_for(OrderFilled, where=mine, timeout="6 seconds")) is not None:
        taken = fill.fee if fill.fee_currency == act["symbol"].split("/")[0] else Decimal(0)
        bought, paid = bought + fill.quantity - taken, paid + fill.quantity * fill.price
    if not bought:
        return "nothing bought"
    profits = [Decimal(profit) for profit in act["ladder"].split()]
    rules = ExitRules(
        take_profit=tuple(Target(profit, share) for profit, share in zip(profits, SHARES, strict=True)),
        stop_loss=Decimal(act["stop"]),
        max_hold=act["hold"],
    )
    await HERE.now().exits.protect(
        run, rules, account=ACCOUNT, venue="feed", workflow=wanted.workflow, symbol=act["symbol"],
        quantity=bought, entry_price=round(paid / bought, 8),
    )  # fmt: skip
    return "protected"


def _intent(
    run: Run, wanted: ScriptWanted, act: dict[str, str], number: int, price: Decimal, **given: Any
) -> OrderIntent:
    limit = None if act["type"] == "market" else price * (1 + Decimal(act["offset"]))
    side = given.pop("side", act.get("side", "buy"))
    if "reduce_only" not in given:
        given["quantity"] = round(Decimal(act["notional"]) / price, 8)
    if limit is not None and limit <= 0:
        limit = Decimal("0.0001")
    return OrderIntent(
        account=ACCOUNT,
        owner=OWNER,
        workflow=wanted.workflow,
        symbol=act["symbol"],
        side=side,
        type="market" if limit is None else "limit",
        limit_price=limit,
        time_in_force="gtc" if limit is None else act["force"],  # type: ignore[arg-type] # one of the three
        retry_until=timestamp_ns(run.now()) + int(act["patience"]) * NS_PER_SECOND if "patience" in act else None,
        reason=f"{wanted.n}.{number}",
        reference_price=price or None,
        reference_time=timestamp_ns(run.now()),
        reference_source="world",
        **given,
    )


async def _placed(run: Run, intent: OrderIntent, placed: list[tuple[str, str]]) -> str:
    try:
        placement = await place(run, HERE.now().desk, intent)
    except (NotSent, TimedOut) as error:
        return type(error).__name__
    if placement.ack is not None:
        placed.append((placement.ack.client_order_id, intent.symbol))
    return _told(placement)


def _told(placement: Placement) -> str:
    if placement.refusal is not None:
        return f"refused: {placement.refusal.rule}"
    return placement.outcome


async def _cancel(run: Run, placed: list[tuple[str, str]], which: int) -> str:
    if not placed:
        return "nothing to cancel"
    key, symbol = placed[which % len(placed)]
    try:
        order = await HERE.now().desk.cancel(run, key, symbol)
    except (Fatal, TimedOut, NotSent) as error:
        return type(error).__name__
    except TickworkError as error:
        return f"not cancelled: {type(error).__name__}"
    return order.status


class ClearOut(Event, name="worlds/clear.out", version=1):
    """A person wants what rests cancelled."""

    keys: list[list[str]]
    """Client id and symbol."""


@workflow("clear-out", on=ClearOut, retry=Retry(limit=0))
async def clear_out(run: Run, wanted: ClearOut) -> list[str]:
    """Cancel each."""
    return [await _cancel(run, [(key, symbol)], 0) for key, symbol in wanted.keys]


WORKFLOWS = [script, clear_out]
