"""Orders: which there are, one with its life, and placing and cancelling them by hand, through gate and desk."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, TypeVar

from pydantic import Field

from tickwork.engines.embedded.queries import Queries
from tickwork.errors import NotFound
from tickwork.service.accounts.ordering import ORDER, CancelAnswer, OrderAnswer
from tickwork.service.api.caller import Caller
from tickwork.service.api.operation import Args, Call, Cursor, Done, Limit, Page, command, query
from tickwork.service.fills import FillLine, fills
from tickwork.service.operations.asking import ask_trading, by, check_account, id_of
from tickwork.service.operations.runs import position
from tickwork.service.order_shown import OrderShown, order_shown
from tickwork.service.orders import OrderLine, orders
from tickwork.service.owners import chosen
from tickwork.trading.order_life import FINAL
from tickwork.values import Money, Price, Quantity

Line = TypeVar("Line", OrderLine, FillLine)

SymbolName = Annotated[str, Field(min_length=3, max_length=60, description="Such as BTC/USDT, or BTC/USDT:USDT.")]
Account = Annotated[str, Field(min_length=1, max_length=100, description="The name of an account.")]
OnlyAccount = Annotated[str, Field(max_length=100, description="Only of this account.")]


class OfOrders(Args):
    """Which orders or fills."""

    account: OnlyAccount = ""
    symbol: str = Field("", max_length=60, description="Only in this symbol.")
    workflow: str = Field("", max_length=200, description="Only of this workflow.")
    limit: Limit = 50
    cursor: Cursor = None


class OrdersList(OfOrders):
    """Which orders."""

    status: str | None = Field(
        None, max_length=30, description="Only those that are e.g. acknowledged, filled, refused, rejected, unknown."
    )


class FillsList(OfOrders):
    """Which fills."""

    order: str = Field("", max_length=100, description="Only of the order of this client id.")


class OneOrder(Args):
    """Which order."""

    order: str = Field(min_length=1, max_length=100, description="The client id of an order.")


class OrderPlace(Args):
    """What order. Exactly one of quantity and notional is given."""

    account: Account
    symbol: SymbolName
    side: Literal["buy", "sell"] = Field(description="Of the market.")
    type: Literal["market", "limit"] = Field("market", description="A limit order needs limitPrice.")
    quantity: Quantity | None = Field(None, description="Base units.")
    notional: Money | None = Field(None, description="In quote currency: how much to spend, or to get.")
    limit_price: Price | None = Field(None, description="Of a limit order, in quote currency.")
    time_in_force: Literal["gtc", "ioc", "fok"] = Field("gtc", description="Of a limit order.")
    reduce_only: bool = Field(False, description="It may only make a position smaller.")
    leverage: Quantity = Field(Decimal(1), description="Of an order in a contract.")
    workflow: str = Field(
        ORDER,
        min_length=1,
        max_length=200,
        description="In whose name: whose limits hold, who holds what is bought. To sell what a workflow has, name it.",
    )
    reason: str = Field("", max_length=500, description="Why; recorded.")


class OrderDisown(OneOrder):
    """Which order, and how it is known that it does not exist."""

    reason: str = Field(min_length=1, max_length=1_000, description="Who looked, and where; recorded.")


_PLACE = {"account": "main", "symbol": "BTC/USDT", "side": "buy", "notional": "50", "reason": "by hand"}


class Disowned(Done, frozen=True, kw_only=True, rename="camel"):
    """An order that a person has said does not exist."""

    account: str


@query("orders.list", "GET /orders", verb="orders", owned=True, examples=({"status": "filled", "limit": 5},))
def orders_list(call: Call, args: OrdersList) -> Page[OrderLine]:
    """Orders and refused intents, newest first."""
    found = orders(
        call.queries,
        args.status,
        args.limit + 1,
        accounts=chosen(call.queries, call.caller.owner, args.account),
        symbol=args.symbol,
        workflow=args.workflow,
        before=position(args.cursor),
    )
    return paged(found, args.limit)


@query("orders.show", "GET /orders/{order}", owned=True, examples=({"order": "0123456789abcdef0123456789abcdef"},))
def orders_show(call: Call, args: OneOrder) -> OrderShown:
    """An order: what became of it and when, and its fills."""
    return _mine(call.queries, call.caller, args.order)


@query("orders.doubtful", "GET /orders-in-doubt", owned=True)
def orders_doubtful(call: Call, args: OfOrders) -> Page[OrderLine]:
    """Orders of which nobody knows whether they exist. Each blocks new exposure in its symbol until that is known.

    They are looked for until they are found or certain not to be. Whoever knows more than the venue tells can
    disown one.
    """
    found = orders(
        call.queries,
        "unknown",
        args.limit + 1,
        accounts=chosen(call.queries, call.caller.owner, args.account),
        symbol=args.symbol,
        workflow=args.workflow,
        before=position(args.cursor),
    )
    return paged(found, args.limit)


@query("fills.list", "GET /fills", owned=True, examples=({"symbol": "BTC/USDT", "limit": 5},))
def fills_list(call: Call, args: FillsList) -> Page[FillLine]:
    """Executions, newest first."""
    found = fills(
        call.queries,
        args.limit + 1,
        accounts=chosen(call.queries, call.caller.owner, args.account),
        symbol=args.symbol,
        workflow=args.workflow,
        order=args.order,
        before=position(args.cursor),
    )
    return paged(found, args.limit)


@command(
    "orders.place",
    "POST /orders",
    tool="place_order",
    scope="trade",
    account="account",
    owned=True,
    status=202,
    examples=(_PLACE,),
)
async def orders_place(call: Call, args: OrderPlace) -> OrderAnswer:
    """Place an order: through the risk gate, once for each idempotency key, whatever becomes of the process.

    The answer waits some seconds for what becomes of it. `accepted`: the venue has the order. `unknown`: nobody knows
    yet; its run finds out, and never sends it a second time. A refusal by the gate is a problem of code `refused`, with
    the rule, its limit and the actual figure; the venue's no is one of code `rejected`.
    """
    return await ask_trading(
        call,
        OrderAnswer,
        "order.place",
        id=id_of(call, "order"),
        owner=call.caller.owner,
        by=by(call),
        **args.model_dump(mode="json"),
    )


@command(
    "orders.cancel",
    "POST /orders/{order}/cancel",
    owned=True,
    status=202,
    examples=({"order": "0123456789abcdef0123456789abcdef"},),
)
async def orders_cancel(call: Call, args: OneOrder) -> CancelAnswer:
    """Cancel an order. Always allowed, and harmless when it has ended."""
    shown: OrderShown = await call.read(lambda queries: _mine(queries, call.caller, args.order))
    order = shown.order
    if order.status in FINAL:
        return CancelAnswer(run="", client_order_id=args.order, status=order.status, filled=order.filled)
    return await ask_trading(
        call,
        CancelAnswer,
        "order.cancel",
        account=order.account,
        order=args.order,
        symbol=order.symbol,
        by=by(call),
        id=id_of(call, "cancel"),
    )


@command(
    "orders.disown",
    "POST /orders/{order}/disown",
    scope="trade",
    verb="disown",
    examples=({"order": "0123456789abcdef0123456789abcdef", "reason": "support says that it never arrived"},),
)
async def orders_disown(call: Call, args: OrderDisown) -> Disowned:
    """Say that an order in doubt does not exist, and answer for it: it is not looked for any more."""
    if call.caller.accounts is not None:
        shown: OrderShown = await call.read(lambda queries: order_shown(queries, args.order))
        check_account(call, "orders.disown", shown.order.account)
    found = await ask_trading(call, dict, "disown", order=args.order, reason=args.reason, by=by(call))
    return Disowned(id=args.order, done="disowned", account=found["account"])


def _mine(queries: Queries, caller: Caller, order: str) -> OrderShown:
    """
    Raises:
        NotFound: there is no such order, or it is on another owner's account: then it is one that is not there.
    """
    shown = order_shown(queries, order)
    mine = chosen(queries, caller.owner)
    if mine is not None and shown.order.account not in mine:
        raise NotFound("order", order, "the client id of an order on an account of yours")
    return shown


def paged(found: list[Line], limit: int) -> Page[Line]:
    """A page of lines of which one more than the limit were looked for."""
    items = found[:limit]
    return Page(items=items, next=str(items[-1].seq) if len(found) > limit else None)
