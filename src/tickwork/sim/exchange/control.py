"""The control routes: how a test or a harness in another process drives the exchange and reads what is true.

All are JSON; an input that is wrong is answered with 400 and ``{"error": words}``. No key is asked for: the server
binds to this machine.

=======================  ==============================================================================================
``GET truth``            ``?account=NAME`` (all without it): balances, orders with their trades, and accepted
                         submissions by client id; ``totals``: per asset what there is and what was deposited
``GET submissions``      ``?account=NAME``: per client id the orders that were accepted for it
``GET faults``           ``{"set": {number: fault}, "counts": {kind: n}}``
``POST faults``          a fault, or a list of them: ``{"numbers": [...]}``
``DELETE faults``        ``?number=N``, or all
``POST move``            ``{"symbol": "BTC/USDT", "price": "60100"}``: ``{"trades": n}``
``POST fill``            ``{"account": NAME, "clientId" or "order": ..., "quantity": "0.5", "price": ...}``: the market
                         maker trades with an open order; all that remains without a quantity
``POST deposit``         ``{"account": NAME, "asset": "USDT", "amount": "100"}``; below zero it goes out
``POST market``          ``{"symbol": ..., any of status, opensAt (ns), apiTradable, apiMarketOrders, sides, orderTypes,
                         minNotional, refills, levelQuantity, levels}``
``POST exchange``        ``{"skewMs": n, "duplicates": "same" | "reject" | "reject_open" | "accept"}``, any of them
``GET time``             ``{"now": ns, "serverTime": ns}``
=======================  ==============================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any, Final

import msgspec

from tickwork.errors import InvalidInput
from tickwork.sim.exchange.exchange import DUPLICATES, Exchange
from tickwork.sim.exchange.faults import Fault, Faults, fault_from
from tickwork.sim.exchange.http import Reply, Request, fields, json_reply
from tickwork.sim.exchange.markets import ORDER_TYPES, Account
from tickwork.sim.exchange.orders import Order, Trade
from tickwork.values import plain

Answer = dict[str, Any]


def control(exchange: Exchange, faults: Faults, request: Request) -> Reply:
    """Answer a control request."""
    name = request.path.rpartition("/")[2]
    handler = _HANDLERS.get((request.method, name))
    if handler is None:
        known = ", ".join(f"{method} {path}" for method, path in sorted(_HANDLERS))
        return json_reply({"error": f"no such control route; there are {known}"}, 404)
    try:
        data = msgspec.json.decode(request.body) if request.body else {}
        return json_reply(handler(exchange, faults, fields(request.query), data))
    except (InvalidInput, KeyError, TypeError, ValueError, ArithmeticError) as error:
        words = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        return json_reply({"error": words}, 400)


def truth(exchange: Exchange, account: str | None = None) -> Answer:
    """All there is to know: what a client's own books are compared with.

    Raises:
        InvalidInput: no such account.
    """
    exchange.settle()
    chosen = list(exchange.accounts.values()) if account is None else [exchange.account(account)]
    assets = sorted({*exchange.deposited, *exchange.maker, *exchange.fees})
    return {
        "now": exchange.now(),
        "accounts": {one.name: _account(exchange, one) for one in chosen},
        "prices": {book.market.symbol: plain(book.price) for book in exchange.books.values()},
        "totals": {
            asset: {"total": plain(exchange.total(asset)), "deposited": plain(exchange.deposited[asset])}
            for asset in assets
        },
        "repeats": [order.number for order in exchange.repeats],
    }


def _account(exchange: Exchange, account: Account) -> Answer:
    return {
        "balances": {
            asset: {"free": plain(balance.free), "locked": plain(balance.locked)}
            for asset, balance in account.balances.items()
        },
        "orders": [_order(order) for order in exchange.orders if order.account is account],
        "submissions": _submissions(exchange, account),
    }


def _submissions(exchange: Exchange, account: Account) -> Answer:
    return {client: [order.number for order in orders] for client, orders in exchange.submissions(account).items()}


def _order(order: Order) -> Answer:
    return {
        "number": order.number,
        "clientId": order.client_id,
        "symbol": order.market.symbol,
        "side": order.side,
        "type": order.type,
        "status": order.status,
        "price": plain(order.price),
        "quantity": plain(order.quantity),
        "spend": None if order.spend is None else plain(order.spend),
        "executed": plain(order.executed),
        "quoted": plain(order.quoted),
        "created": order.created,
        "updated": order.updated,
        "trades": [_trade(trade) for trade in order.trades],
    }


def _trade(trade: Trade) -> Answer:
    return {
        "number": trade.number,
        "price": plain(trade.price),
        "quantity": plain(trade.quantity),
        "quote": plain(trade.quote),
        "fee": plain(trade.fee),
        "feeAsset": trade.fee_asset,
        "maker": trade.maker,
        "at": trade.at,
    }


def _fault(fault: Fault) -> Answer:
    data = asdict(fault)
    data["clientId"] = data.pop("client_id")
    data["fraction"] = plain(fault.fraction)
    return data


def _get_truth(exchange: Exchange, _: Faults, query: Mapping[str, str], __: Any) -> Answer:
    return truth(exchange, query.get("account"))


def _get_submissions(exchange: Exchange, _: Faults, query: Mapping[str, str], __: Any) -> Answer:
    return _submissions(exchange, exchange.account(query["account"]))


def _get_faults(_: Exchange, faults: Faults, __: Mapping[str, str], ___: Any) -> Answer:
    return {"set": {number: _fault(fault) for number, fault in faults.faults().items()}, "counts": faults.counts}


def _post_faults(_: Exchange, faults: Faults, __: Mapping[str, str], data: Any) -> Answer:
    plan = [fault_from(one) for one in (data if isinstance(data, list) else [data])]
    return {"numbers": [faults.add(fault) for fault in plan]}


def _delete_faults(_: Exchange, faults: Faults, query: Mapping[str, str], __: Any) -> Answer:
    if "number" in query:
        faults.remove(int(query["number"]) if query["number"].isdigit() else 0)
    else:
        faults.clear()
    return {"set": len(faults.faults())}


def _post_move(exchange: Exchange, _: Faults, __: Mapping[str, str], data: Any) -> Answer:
    return {"trades": len(exchange.move(data["symbol"], data["price"]))}


def _post_fill(exchange: Exchange, _: Faults, __: Mapping[str, str], data: Any) -> Answer:
    account = exchange.account(data["account"])
    if "clientId" in data:
        found = exchange.submissions(account).get(data["clientId"], [])
    else:
        found = [order for order in exchange.orders if order.number == data["order"] and order.account is account]
    if not found:
        raise InvalidInput("fill", data.get("clientId", data.get("order")), "an order of this account")
    at = None if data.get("price") is None else Decimal(data["price"])
    return _trade(exchange.fill(found[-1], data.get("quantity"), at))


def _post_deposit(exchange: Exchange, _: Faults, __: Mapping[str, str], data: Any) -> Answer:
    exchange.deposit(data["account"], data["asset"], data["amount"])
    return {"free": plain(exchange.account(data["account"]).of(data["asset"]).free)}


def _post_market(exchange: Exchange, _: Faults, __: Mapping[str, str], data: Any) -> Answer:
    market = exchange.book(data["symbol"]).market
    for name, value in data.items():
        if name == "symbol":
            continue
        if name not in _SETTINGS:
            raise InvalidInput(name, value, f"one of {', '.join(_SETTINGS)}")
        field, made = _SETTINGS[name]
        setattr(market, field, made(value))
    return {"symbol": market.symbol}


def _one_of(*choices: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in choices:
            raise InvalidInput("value", value, f"one of {', '.join(choices)}")
        return str(value)

    return check


def _some_of(*choices: str) -> Callable[[Any], tuple[str, ...]]:
    def check(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not set(value) <= set(choices):
            raise InvalidInput("value", value, f"some of {', '.join(choices)}")
        return tuple(value)

    return check


_SETTINGS: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    "status": ("status", _one_of("online", "paused", "offline")),
    "opensAt": ("opens_at", int),
    "apiTradable": ("api_tradable", bool),
    "apiMarketOrders": ("api_market_orders", bool),
    "sides": ("sides", _some_of("BUY", "SELL")),
    "orderTypes": ("order_types", _some_of(*ORDER_TYPES)),
    "minNotional": ("min_notional", Decimal),
    "refills": ("refills", bool),
    "levelQuantity": ("level_quantity", Decimal),
    "levels": ("levels", int),
}


def _post_exchange(exchange: Exchange, _: Faults, __: Mapping[str, str], data: Any) -> Answer:
    if "duplicates" in data:
        exchange.duplicates = _one_of(*DUPLICATES)(data["duplicates"])  # type: ignore[assignment] # checked: one of them
    if "skewMs" in data:
        exchange.skew = int(data["skewMs"]) * 1_000_000
    return {"duplicates": exchange.duplicates, "skewMs": exchange.skew // 1_000_000}


def _get_time(exchange: Exchange, _: Faults, __: Mapping[str, str], ___: Any) -> Answer:
    return {"now": exchange.now(), "serverTime": exchange.server_time()}


_HANDLERS: Final[Mapping[tuple[str, str], Callable[[Exchange, Faults, Mapping[str, str], Any], Answer]]] = {
    ("GET", "truth"): _get_truth,
    ("GET", "submissions"): _get_submissions,
    ("GET", "faults"): _get_faults,
    ("POST", "faults"): _post_faults,
    ("DELETE", "faults"): _delete_faults,
    ("POST", "move"): _post_move,
    ("POST", "fill"): _post_fill,
    ("POST", "deposit"): _post_deposit,
    ("POST", "market"): _post_market,
    ("POST", "exchange"): _post_exchange,
    ("GET", "time"): _get_time,
}
