"""Monitors: standing rules on the positions an owner has. They look at prices, deltas and days to expiry."""

from __future__ import annotations

import secrets
from decimal import Decimal
from typing import Literal

import msgspec
from pydantic import Field

from tickwork.service.alerts import HOUSE, AlertSetting, RuleInfo
from tickwork.service.api.operation import Args, Call, Cursor, Done, Limit, Nothing, Page, command, query
from tickwork.service.operations.asking import ask_trading, id_of
from tickwork.service.operations.runs import position
from tickwork.service.triggered import TriggeredLine, triggered
from tickwork.values import Quantity

RULES_MAX = 100


class Rule(Args):
    """One rule."""

    kind: Literal["price_above", "price_below", "delta_breach", "dte_warning"] = Field(
        description="A price strictly beyond the threshold; a delta beyond it, of either sign; so many days or fewer."
    )
    threshold: Quantity = Field(description="A price, a delta without its sign, or a whole number of days.")
    symbol: str | None = Field(None, max_length=60, description="By default every position of the owner.")
    recurring: bool = Field(True, description="It is armed again when it is not true any more; else it fires once.")
    hysteresis: Quantity = Field(Decimal(0), description="How far back arms it again, a fraction of the threshold.")
    note: str = Field("", max_length=2_000, description="Told with it.")


class MonitorSet(Args):
    """The rules of a monitor."""

    rules: list[Rule] = Field(min_length=1, max_length=RULES_MAX, description="All of them, or none, are set.")
    id: str = Field(
        "", max_length=180, description="Rules of a monitor of this id are replaced, one by one; by default a new one."
    )


class OneRule(Args):
    """Which rule."""

    rule: str = Field(min_length=1, max_length=200, description="The id of a standing rule.")


class MonitorsHistory(Args):
    """Which of what was told."""

    limit: Limit = 50
    cursor: Cursor = None


class Monitors(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The rules that stand, and what they have told last."""

    active: bool
    """There is a rule."""
    rules: list[RuleInfo]
    recent: list[TriggeredLine]
    """Newest first, at most 50."""


_RULE = {"kind": "price_below", "threshold": "55000", "symbol": "BTC/USDT"}


@query("monitors.list", "GET /monitors", tool="monitor_status", owned=True)
async def monitors_list(call: Call, args: Nothing) -> Monitors:
    """Standing rules on positions, by id, and what they have told last."""
    owner = call.caller.owner
    rules = await ask_trading(call, list[RuleInfo], "rules", owner=owner)
    recent = await call.read(lambda queries: triggered(queries, "rule", 50, owner=owner))
    return Monitors(active=bool(rules), rules=rules, recent=recent)


@command(
    "monitors.set",
    "POST /monitors",
    tool="start_monitor",
    owned=True,
    status=201,
    examples=({"rules": [_RULE]},),
)
async def monitors_set(call: Call, args: MonitorSet) -> Page[AlertSetting]:
    """Let rules stand on the positions of the caller: on all, or on those in one symbol.

    Each is told of once for each symbol when it becomes true, and again after it was not.
    """
    base = args.id or id_of(call, "monitor") or f"monitor.{secrets.token_hex(8)}"
    owner = call.caller.owner or HOUSE
    rules = [
        {**rule.model_dump(mode="json"), "id": base if len(args.rules) == 1 else f"{base}.{number}", "owner": owner}
        for number, rule in enumerate(args.rules, start=1)
    ]
    return Page(items=await ask_trading(call, list[AlertSetting], "rules.set", rules=rules))


@command("monitors.cancel", "DELETE /monitors/{rule}", tool="stop_monitor", owned=True, examples=({"rule": "btc-low"},))
async def monitors_cancel(call: Call, args: OneRule) -> Done:
    """Take a rule away."""
    await ask_trading(call, type(None), "rules.cancel", id=args.rule, owner=call.caller.owner)
    return Done(id=args.rule, done="cancelled")


@query("monitors.history", "GET /monitors-history", owned=True, examples=({"limit": 5},))
def monitors_history(call: Call, args: MonitorsHistory) -> Page[TriggeredLine]:
    """What rules on positions have told, newest first."""
    found = triggered(call.queries, "rule", args.limit + 1, owner=call.caller.owner, before=position(args.cursor))
    items = found[: args.limit]
    return Page(items=items, next=str(items[-1].seq) if len(found) > args.limit else None)
