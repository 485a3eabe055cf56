"""MEXC spot v3 over the simulated exchange.

Shapes are those of https://www.mexc.com/api-docs/spot-v3/ and of the payloads captured in ccxt 4.5.90 (the comments of
``mexc.py`` and its static response tests); codes and words those of /api-docs/spot-v3/error-code and of answers that
people published. Where neither says, the comment says that it is assumed, and the assumption is the one that is hardest
on a client.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from hashlib import blake2b
from typing import Any, ClassVar, Final

import msgspec

from tickwork.sim.exchange.api import MS, ApiError, Call, Parameters, Route, amount, seconds_of, whole
from tickwork.sim.exchange.http import Reply, Request, fields, json_reply
from tickwork.sim.exchange.markets import ZERO, Account, OrderType, Permission, on_step
from tickwork.sim.exchange.mexc_market import MexcMarketData, bad, missing
from tickwork.sim.exchange.orders import Order, Reason, Rejection, State, Ticket, Trade
from tickwork.sim.exchange.rendering import (
    average,
    rounded,
    trimmed,
)
from tickwork.values import EXACT

_FIRST_ORDER: Final = 342_252_993_005_723_000_000
"""Order ids look like ``C02__342252993005723644225``."""
_TYPES: Final[Mapping[str, OrderType]] = {
    "LIMIT": "LIMIT",
    "MARKET": "MARKET",
    "LIMIT_MAKER": "LIMIT_MAKER",
    "IMMEDIATE_OR_CANCEL": "IOC",
    "FILL_OR_KILL": "FOK",
}
_SPELLED: Final = {made: name for name, made in _TYPES.items()}
_CLIENT_ID: Final = re.compile(r"[A-Za-z0-9_\-]{1,32}", re.ASCII)
"""32 characters are what public clients keep to; the documentation gives no limit. What is longer is refused here."""

# Codes of /api-docs/spot-v3/error-code; the words after 10072, 10007, 30002, 30004 and 30005 and those of code 400 are
# from answers that people published, the others from the documentation.
_WORDS: Final[Mapping[Reason, tuple[int, str]]] = {
    "bad_price": (400, "price scale is invalid"),
    "bad_quantity": (400, "quantity scale is invalid"),
    "below_minimum": (30002, "The minimum transaction volume cannot be less than:{limit}"),
    "above_maximum": (30003, "The maximum transaction volume cannot be greater than:{limit}"),
    "notional_below_minimum": (30002, "The minimum transaction volume cannot be less than:{limit}USDT"),
    "notional_above_maximum": (30003, "The maximum transaction volume cannot be greater than:{limit}USDT"),
    "price_out_of_band": (30087, "Order price exceeds allowed range"),
    "insufficient_quote": (30004, "Insufficient position"),
    "insufficient_base": (30005, "Oversold"),
    "not_open_yet": (10007, "symbol not support api"),
    "not_api_tradable": (10007, "symbol not support api"),
    "side_not_allowed": (30001, "The current transaction direction is not allowed to place an order"),
    "type_not_allowed": (30041, "current order type can not place order"),
    "market_orders_disabled": (30019, "api market order is disabled"),
    "no_liquidity": (30010, "no valid trade price"),
    # not documented: that it is refused at all is one of the behaviours that can be chosen
    "duplicate": (400, "duplicate newClientOrderId"),
    "not_found": (-2013, "Order does not exist."),
    "not_open": (-2011, "Unknown order sent."),
}


def order_id(order: Order) -> str:
    """As MEXC writes it."""
    return f"C02__{_FIRST_ORDER + order.number}"


def trade_id(trade: Trade) -> str:
    """32 hexadecimal digits, as captured in 2024 (``dd44f79dda764c2e927a190ac5e7a1e5``)."""
    return blake2b(b"mexc trade %d" % trade.number, digest_size=16).hexdigest()


class MexcApi(MexcMarketData):
    """The routes of MEXC spot v3."""

    name = "mexc"
    key_header = "x-mexc-apikey"

    # ---------------------------------------------------------------------------------------------- keys and signatures

    def parameters(self, request: Request) -> dict[str, str]:
        """Of the query and of a body of JSON or a form; of one that is in both, the query's counts ("General Info")."""
        if not request.body.startswith("{"):
            return super().parameters(request)
        try:
            body = {name: str(value) for name, value in msgspec.json.decode(request.body).items()}
        except msgspec.DecodeError:
            body = {}
        return {**body, **fields(request.query)}

    def authenticate(self, request: Request, parameters: Parameters, permission: Permission) -> Account:
        """``{"code":10072,"msg":"Api key info invalid"}`` and 700001 to 700007 of the documentation."""
        key = request.header(self.key_header)
        if not key:
            raise ApiError(400, "api key required")
        account = self.exchange.keys.get(key)
        if account is None:
            raise ApiError(10072, "Api key info invalid")
        timestamp = whole(parameters, "timestamp", missing)
        if timestamp is None:
            raise missing("timestamp")
        window = whole(parameters, "recvWindow", bad)
        if window is not None and window > 60_000:
            raise ApiError(700005, "recvWindow must less than 60000")
        if not self.signed(request, account):
            raise ApiError(700002, "Signature for this request is not valid.")
        if not self.in_time(timestamp, 5_000 if window is None else window):
            raise ApiError(700003, "Timestamp for this request is outside of the recvWindow.")
        if permission not in account.permissions:
            raise ApiError(700007, "No permission to access the endpoint.")
        return account

    def rejection(self, rejection: Rejection) -> ApiError:
        """The code and words of a reason."""
        if rejection.reason == "suspended":
            return ApiError(30000, "suspended transaction for the symbol")
        code, words = _WORDS[rejection.reason]
        return ApiError(code, words.format(limit=rejection.limit))

    def too_many(self, status: int, left: int) -> Reply:
        """429 and 418 with ``Retry-After`` ("Limits"); the body is ``{"code":429,"msg":"Too Many Requests"}``."""
        return json_reply({"code": 429, "msg": "Too Many Requests"}, status, {"Retry-After": seconds_of(left)})

    def broken(self, status: int) -> Reply:
        """A 5xx: "the execution status is UNKNOWN and could have been a success"."""
        return json_reply({"code": status, "msg": "Internal error"}, status)

    # --------------------------------------------------------------------------------------------------------- account

    def account(self, call: Call) -> Any:
        """``/api/v3/account``. Whether ``canWithdraw`` speaks of the key or of the account is not documented; here of
        the key.
        """
        allowed = call.owner.permissions
        return {
            "canTrade": "trade" in allowed,
            "canWithdraw": "withdraw" in allowed,
            "canDeposit": True,
            "updateTime": None,
            "accountType": "SPOT",
            "balances": [
                {"asset": asset, "free": trimmed(balance.free), "locked": trimmed(balance.locked)}
                for asset, balance in call.owner.balances.items()
                if balance.free or balance.locked
            ],
            "permissions": ["SPOT"],
        }

    def currencies(self, call: Call) -> Any:
        """``/api/v3/capital/config/getall``: one network each, nothing goes in or out."""
        assets = sorted({name for market in self.exchange.markets.values() for name in (market.base, market.quote)})
        return [
            {
                "coin": asset,
                "name": asset,
                "networkList": [
                    {
                        "coin": asset,
                        "depositDesc": None,
                        "depositEnable": False,
                        "minConfirm": 1,
                        "name": asset,
                        "network": "ERC20",
                        "netWork": "ETH",
                        "withdrawEnable": False,
                        "withdrawFee": "0",
                        "withdrawIntegerMultiple": None,
                        "withdrawMax": "0",
                        "withdrawMin": "0",
                        "sameAddress": False,
                        "contract": "",
                    }
                ],
            }
            for asset in assets
        ]

    # ---------------------------------------------------------------------------------------------------------- orders

    def _ticket(self, parameters: Parameters) -> Ticket:
        market = self.exchange.markets.get(parameters.get("symbol", ""))
        if market is None:
            raise ApiError(10007, "bad symbol")
        side = parameters.get("side")
        kind = _TYPES.get(parameters.get("type", ""))
        if side not in ("BUY", "SELL"):
            raise missing("side")
        if kind is None:
            raise missing("type")
        client_id = parameters.get("newClientOrderId") or None
        if client_id is not None and not _CLIENT_ID.fullmatch(client_id):
            raise bad("newClientOrderId")
        quantity = amount(parameters, "quantity", bad)
        spend = amount(parameters, "quoteOrderQty", bad) if kind == "MARKET" and quantity is None else None
        if quantity is None and (spend is None or side == "SELL"):
            raise missing("quantity")
        if spend is not None and not on_step(spend, market.price_tick):
            raise ApiError(400, "amount scale is invalid")
        price = amount(parameters, "price", bad)
        if price is None and kind != "MARKET":
            raise missing("price")
        return Ticket(
            market=market,
            side="BUY" if side == "BUY" else "SELL",
            type=kind,
            quantity=quantity,
            spend=spend,
            price=None if kind == "MARKET" else price,
            client_id=client_id,
        )

    def create_order(self, call: Call) -> Any:
        """An acknowledgement, without status and executed quantity: ``{"symbol":"FARTCOINUSDT",
        "orderId":"C02__342252993005723644225","orderListId":-1,"price":"1.1","origQty":"6.3",
        "type":"IMMEDIATE_OR_CANCEL","side":"SELL","stpMode":"","transactTime":1745852205223}``.
        """
        order = self.create(call, self._ticket(call.parameters))
        return {
            "symbol": order.market.id,
            "orderId": order_id(order),
            "orderListId": -1,
            "price": trimmed(self._price(order)),
            "origQty": trimmed(order.quantity),
            "type": _SPELLED[order.type],
            "side": order.side,
            "stpMode": "",
            "transactTime": order.created // MS,
        }

    def test_order(self, call: Call) -> Any:
        """``{}`` when the order would be taken."""
        self.exchange.check(call.owner, self._ticket(call.parameters))
        return {}

    def _named(self, call: Call) -> Order:
        """The order that a request names.

        Raises:
            Rejection: there is none.
        """
        market, given = self.market(call.parameters), call.parameters.get("orderId")
        client_id = call.parameters.get("origClientOrderId")
        if given:
            number = given.removeprefix("C02__")
            return self.exchange.find(call.owner, market, number=int(number) - _FIRST_ORDER if number.isdigit() else 0)
        if not client_id:
            raise ApiError(700004, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null")
        return self.exchange.find(call.owner, market, client_id=client_id)

    def query_order(self, call: Call) -> Any:
        """``GET /api/v3/order``."""
        order = self.query(call, self._named(call))
        return self._order(order, self.state(call, order))

    def _order(self, order: Order, state: State | None = None) -> dict[str, Any]:
        """As captured in 2024: times of queries and history are cut to the second."""
        status = order.status if state is None else state.status
        executed = order.executed if state is None else state.executed
        quoted = order.quoted if state is None else state.quoted
        price = self._price(order)
        if status in ("CANCELED", "EXPIRED"):  # it knows no EXPIRED
            status_text = "PARTIALLY_CANCELED" if executed else "CANCELED"
        else:
            status_text = status
        return {
            "symbol": order.market.id,
            "orderId": order_id(order),
            "orderListId": -1,
            "clientOrderId": order.client_id,
            "price": trimmed(price),
            "origQty": trimmed(order.quantity),
            "executedQty": trimmed(executed),
            "cummulativeQuoteQty": trimmed(quoted),
            "status": status_text,
            "timeInForce": None,
            "type": _SPELLED[order.type],
            "side": order.side,
            "stopPrice": None,
            "icebergQty": None,
            "time": _second(order.created),
            "updateTime": _second(order.updated if state is None else state.at),
            "isWorking": True,
            "origQuoteOrderQty": trimmed(
                order.spend if order.spend is not None else EXACT.multiply(price, order.quantity)
            ),
        }

    def _price(self, order: Order) -> Decimal:
        """A market order shows the price that it may reach, about 5 % from where it traded (captured in 2024)."""
        if order.type != "MARKET":
            return order.price
        if not order.executed:
            return ZERO
        paid = average(order.quoted, order.executed)
        twentieth = paid / 20 if order.side == "BUY" else -paid / 20
        return rounded(paid + twentieth, order.market.price_tick)

    def cancel_order(self, call: Call) -> Any:
        """``{"symbol":"BTCUSDT","orderId":...,"price":"30000","origQty":"0.0002","type":"LIMIT","side":"BUY"}``."""
        try:
            order = self._named(call)
        except Rejection:
            raise Rejection("not_open") from None
        self.cancel(call, order)
        return self._cancelled(order)

    def _cancelled(self, order: Order) -> dict[str, Any]:
        return {
            "symbol": order.market.id,
            "orderId": order_id(order),
            "price": trimmed(self._price(order)),
            "origQty": trimmed(order.quantity),
            "type": _SPELLED[order.type],
            "side": order.side,
        }

    def cancel_orders(self, call: Call) -> Any:
        """``DELETE /api/v3/openOrders``: each as ``cancel_order`` answers."""
        orders = self.exchange.open_orders(call.owner, self.market(call.parameters))
        for order in orders:
            self.exchange.cancel(order)
        return [self._cancelled(order) for order in orders]

    def open_orders(self, call: Call) -> Any:
        """As ``query_order``, but with times to the millisecond and no ``updateTime`` (captured in 2024)."""
        market = self.market(call.parameters) if call.parameters.get("symbol") else None
        orders = self.visible(self.exchange.open_orders(call.owner, market), "open")
        return [self._order(order) | {"time": order.created // MS, "updateTime": None} for order in orders]

    def all_orders(self, call: Call) -> Any:
        """``GET /api/v3/allOrders``: the newest first, 500 at most without ``limit`` and 1,000 with it."""
        orders = self.visible(self.exchange.history(call.owner, self.market(call.parameters)), "history")
        since, until, limit = self._window(call.parameters, 500, 1_000)
        found = [order for order in reversed(orders) if since <= order.created // MS <= until]
        return [self._order(order) for order in found[:limit]]

    def my_trades(self, call: Call) -> Any:
        """``GET /api/v3/myTrades``: the newest first, 100 at most ("limit: Default 100; max 100")."""
        trades = self.visible_trades(self.exchange.trades(call.owner, self.market(call.parameters)))
        since, until, limit = self._window(call.parameters, 100, 100)
        wanted = call.parameters.get("orderId")
        found = [
            trade
            for trade in reversed(trades)
            if since <= trade.at // MS <= until and (not wanted or order_id(trade.order) == wanted)
        ]
        return [self._trade(trade) for trade in found[:limit]]

    def _window(self, parameters: Parameters, default: int, most: int) -> tuple[int, int, int]:
        since, until = whole(parameters, "startTime", bad), whole(parameters, "endTime", bad)
        limit = min(whole(parameters, "limit", bad) or default, most)
        return since or 0, 10**18 if until is None else until, limit

    def _trade(self, trade: Trade) -> dict[str, Any]:
        """As captured in 2024. The commission is in quote currency on both sides."""
        return {
            "symbol": trade.order.market.id,
            "id": trade_id(trade),
            "orderId": order_id(trade.order),
            "orderListId": -1,
            "price": trimmed(trade.price),
            "qty": trimmed(trade.quantity),
            "quoteQty": trimmed(trade.quote),
            "commission": trimmed(trade.fee),
            "commissionAsset": trade.fee_asset,
            "time": _second(trade.at),
            "isBuyer": trade.order.side == "BUY",
            "isMaker": trade.maker,
            "isBestMatch": True,
            "isSelfTrade": False,
            "clientOrderId": trade.order.client_id,
        }

    routes: ClassVar[Mapping[tuple[str, str], Route]] = {
        ("GET", "/api/v3/ping"): Route("ping", MexcMarketData.ping),
        ("GET", "/api/v3/time"): Route("time", MexcMarketData.time),
        ("GET", "/api/v3/exchangeInfo"): Route("info", MexcMarketData.info, weight=10),
        ("GET", "/api/v3/defaultSymbols"): Route("symbols", MexcMarketData.symbols),
        ("GET", "/api/v3/selfSymbols"): Route("symbols", MexcMarketData.symbols, "read"),
        ("GET", "/api/v3/depth"): Route("depth", MexcMarketData.depth),
        ("GET", "/api/v3/trades"): Route("trades", MexcMarketData.trades, weight=5),
        ("GET", "/api/v3/aggTrades"): Route("trades", MexcMarketData.agg_trades),
        ("GET", "/api/v3/klines"): Route("klines", MexcMarketData.klines),
        ("GET", "/api/v3/ticker/24hr"): Route("ticker", MexcMarketData.ticker_day),
        ("GET", "/api/v3/ticker/price"): Route("ticker", MexcMarketData.ticker_price),
        ("GET", "/api/v3/ticker/bookTicker"): Route("ticker", MexcMarketData.ticker_book),
        ("GET", "/api/v1/contract/detail"): Route("contracts", MexcMarketData.contracts),
        ("GET", "/api/v3/account"): Route("account", account, "read", 10),
        ("GET", "/api/v3/capital/config/getall"): Route("currencies", currencies, "read", 10),
        ("POST", "/api/v3/order"): Route("order.create", create_order, "trade"),
        ("POST", "/api/v3/order/test"): Route("order.test", test_order, "trade"),
        ("GET", "/api/v3/order"): Route("order.query", query_order, "read", 2),
        ("DELETE", "/api/v3/order"): Route("order.cancel", cancel_order, "trade"),
        ("GET", "/api/v3/openOrders"): Route("orders.open", open_orders, "read", 3),
        ("DELETE", "/api/v3/openOrders"): Route("orders.cancel", cancel_orders, "trade"),
        ("GET", "/api/v3/allOrders"): Route("orders.history", all_orders, "read", 10),
        ("GET", "/api/v3/myTrades"): Route("orders.trades", my_trades, "read", 10),
    }


def _second(ns: int) -> int:
    return ns // 1_000_000_000 * 1_000
