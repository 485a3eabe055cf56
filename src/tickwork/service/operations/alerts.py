"""Standing price alerts: set, listed, taken away, and what they have told. Each belongs to somebody."""

from __future__ import annotations

import secrets
from decimal import Decimal
from typing import Literal

from pydantic import Field

from tickwork.service.alerts import HOUSE, AlertInfo, AlertSetting
from tickwork.service.api.operation import Args, Call, Cursor, Done, Limit, Page, command, query
from tickwork.service.operations.asking import ask_trading, id_of
from tickwork.service.operations.orders import SymbolName
from tickwork.service.operations.runs import position
from tickwork.service.triggered import TriggeredLine, triggered
from tickwork.values import Price, Quantity


class AlertsList(Args):
    """Which alerts."""

    symbol: str = Field("", max_length=60, description="Only on this symbol.")
    limit: Limit = 100
    cursor: str | None = Field(None, max_length=200, description="`next` of the page before.")


class AlertSet(Args):
    """What is to be told of."""

    symbol: SymbolName
    condition: Literal["above", "below"] = Field(description="`above`: at the threshold or higher; `below`: or lower.")
    threshold: Price = Field(description="The price, quote currency.")
    id: str = Field("", max_length=200, description="One of the same id is replaced; by default a new one.")
    recurring: bool = Field(False, description="It is armed again when the price has gone back; else it fires once.")
    cooldown: str = Field("0s", max_length=40, description="How long a recurring one rests after it has fired.")
    hysteresis: Quantity = Field(
        Decimal(0), description="How far the price must go back to arm it again, a fraction of the threshold."
    )
    note: str = Field("", max_length=2_000, description="Told with it.")


class OneAlert(Args):
    """Which alert."""

    alert: str = Field(min_length=1, max_length=200, description="The id of a standing alert.")


class AlertsHistory(Args):
    """Which of what was told."""

    symbol: str = Field("", max_length=60, description="Only of this symbol.")
    limit: Limit = 50
    cursor: Cursor = None


@query("alerts.list", "GET /alerts", owned=True, examples=({"symbol": "BTC/USDT"},))
async def alerts_list(call: Call, args: AlertsList) -> Page[AlertInfo]:
    """Standing price alerts, by id: those of the caller, or everybody's for one that is bound to nobody."""
    found = await ask_trading(
        call,
        list[AlertInfo],
        "alerts",
        owner=call.caller.owner,
        symbol=args.symbol,
        after=args.cursor or "",
        limit=args.limit + 1,
    )
    items = found[: args.limit]
    return Page(items=items, next=items[-1].id if len(found) > args.limit else None)


@command(
    "alerts.set",
    "POST /alerts",
    tool="set_price_alert",
    owned=True,
    status=201,
    examples=({"symbol": "BTC/USDT", "condition": "above", "threshold": "70000"},),
)
async def alerts_set(call: Call, args: AlertSet) -> AlertSetting:
    """Let a price alert stand: its owner is told when the price comes to the threshold.

    It is judged by prices later than the newest one known now. Where no feed brings the symbol, the answer says so
    (`fed`): then it waits in vain.
    """
    fields = args.model_dump(mode="json") | {"id": args.id or id_of(call, "alert") or f"alert.{secrets.token_hex(8)}"}
    return await ask_trading(call, AlertSetting, "alerts.set", owner=call.caller.owner or HOUSE, **fields)


@command("alerts.cancel", "DELETE /alerts/{alert}", owned=True, examples=({"alert": "btc-70k"},))
async def alerts_cancel(call: Call, args: OneAlert) -> Done:
    """Take an alert away."""
    await ask_trading(call, type(None), "alerts.cancel", id=args.alert, owner=call.caller.owner)
    return Done(id=args.alert, done="cancelled")


@query("alerts.history", "GET /alerts-history", owned=True, examples=({"symbol": "BTC/USDT", "limit": 5},))
def alerts_history(call: Call, args: AlertsHistory) -> Page[TriggeredLine]:
    """What price alerts have told, newest first, each with the price and where that stands recorded."""
    found = triggered(
        call.queries,
        "alert",
        args.limit + 1,
        owner=call.caller.owner,
        symbol=args.symbol,
        before=position(args.cursor),
    )
    items = found[: args.limit]
    return Page(items=items, next=str(items[-1].seq) if len(found) > args.limit else None)
