"""Binance spot REST over the simulated exchange.

Shapes, codes and words are those of https://developers.binance.com/docs/binance-spot-api-docs (general API information,
errors, filters, trading and account endpoints) and, for ``/sapi``, of the wallet endpoints there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from tickwork.sim.exchange.api import MS, ApiError, Call, Parameters, Route, amount, seconds_of, whole
from tickwork.sim.exchange.binance_market import STEP, BinanceMarketData, bad, eight, missing
from tickwork.sim.exchange.http import Reply, Request, html_reply, json_reply
from tickwork.sim.exchange.markets import ZERO, Account, OrderType, Permission, decimals
from tickwork.sim.exchange.orders import Order, Reason, Rejection, State, Ticket, Trade

_CLIENT_ID: Final = re.compile(r"[a-zA-Z0-9\-_]{1,36}", re.ASCII)
_INSUFFICIENT: Final = (-2010, "Account has insufficient balance for requested action.")

# "Filter failures" are -1013; the messages of -2010 are listed under "Messages for -1010 ERROR_MSG_RECEIVED, -2010
# NEW_ORDER_REJECTED, and -2011 CANCEL_REJECTED".
_WORDS: Final[Mapping[Reason, tuple[int, str]]] = {
    "bad_price": (-1013, "Filter failure: PRICE_FILTER"),
    "bad_quantity": (-1013, "Filter failure: LOT_SIZE"),
    "below_minimum": (-1013, "Filter failure: LOT_SIZE"),
    "above_maximum": (-1013, "Filter failure: LOT_SIZE"),
    "notional_below_minimum": (-1013, "Filter failure: NOTIONAL"),
    "notional_above_maximum": (-1013, "Filter failure: NOTIONAL"),
    "price_out_of_band": (-1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
    "insufficient_quote": _INSUFFICIENT,
    "insufficient_base": _INSUFFICIENT,
    "not_open_yet": (-1013, "Market is closed."),
    "suspended": (-1013, "Market is closed."),
    "not_api_tradable": (-2010, "This symbol is not permitted for this account."),
    "side_not_allowed": (-2010, "This action is disabled on this account."),
    "type_not_allowed": (-1116, "Invalid orderType."),
    "market_orders_disabled": (-2010, "Market orders are not supported for this symbol."),
    "no_liquidity": (-1112, "No orders on book for symbol."),
    "would_take": (-2010, "Order would immediately match and take."),
    "duplicate": (-2010, "Duplicate order sent."),
    "not_found": (-2013, "Order does not exist."),
    "not_open": (-2011, "Unknown order sent."),
}


class BinanceApi(BinanceMarketData):
    """The routes of Binance spot."""

    name = "binance"
    key_header = "x-mbx-apikey"
    settings: ClassVar[Mapping[str, Any]] = {
        "fees_in": "received",
        "fee_step": STEP,
        # "Orders with the same newClientOrderID can be accepted only when the previous one is filled, otherwise the
        # order will be rejected"
        "duplicates": "reject_open",
        "post_only": "reject",
    }

    # ---------------------------------------------------------------------------------------------- keys and signatures

    def authenticate(self, request: Request, parameters: Parameters, permission: Permission) -> Account:
        """-2014, -2015 (401), -1102, -1131, -1021 and -1022."""
        key = request.header(self.key_header)
        if not key:
            raise ApiError(-2014, "API-key format invalid.", 401)
        account = self.exchange.keys.get(key)
        if account is None or permission not in account.permissions:
            raise ApiError(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        timestamp = whole(parameters, "timestamp", bad)
        if timestamp is None:
            raise missing("timestamp")
        window = whole(parameters, "recvWindow", bad)
        if window is not None and window > 60_000:
            raise ApiError(-1131, "recvWindow must be less than 60000")
        if not self.in_time(timestamp, 5_000 if window is None else window):
            ahead = timestamp >= self.exchange.server_time() // MS
            words = "was 1000ms ahead of the server's time." if ahead else "is outside of the recvWindow."
            raise ApiError(-1021, f"Timestamp for this request {words}")
        if not self.signed(request, account):
            raise ApiError(-1022, "Signature for this request is not valid.")
        return account

    def rejection(self, rejection: Rejection) -> ApiError:
        """The code and words of a reason."""
        return ApiError(*_WORDS[rejection.reason])

    def too_many(self, status: int, left: int) -> Reply:
        """429, and 418 for who goes on; "a Retry-After header is sent" with both, in seconds."""
        if status == 418:
            until = (self.exchange.server_time() + left) // MS
            words = f"Way too much request weight used; IP banned until {until}."
        else:
            words = "Too much request weight used; current limit is 6000 request weight per 1 MINUTE."
        return json_reply({"code": -1003, "msg": words}, status, {"Retry-After": seconds_of(left)})

    def broken(self, status: int) -> Reply:
        """5xx: "the execution status is UNKNOWN and could have been a success"; -1007 of a time-out behind the API."""
        if status == 504:
            words = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
            return json_reply({"code": -1007, "msg": words}, status)
        return html_reply({500: "Internal Server Error", 502: "Bad Gateway"}.get(status, "Service Unavailable"), status)

    # --------------------------------------------------------------------------------------------------------- account

    def account(self, call: Call) -> Any:
        """``/api/v3/account``; ``canWithdraw`` is the account's, the key's is in ``apiRestrictions``."""
        return {
            "makerCommission": 10,
            "takerCommission": 10,
            "buyerCommission": 0,
            "sellerCommission": 0,
            "canTrade": True,
            "canWithdraw": True,
            "canDeposit": True,
            "brokered": False,
            "requireSelfTradePrevention": False,
            "preventSor": False,
            "updateTime": self.exchange.server_time() // MS,
            "accountType": "SPOT",
            "balances": [
                {"asset": asset, "free": eight(balance.free), "locked": eight(balance.locked)}
                for asset, balance in call.owner.balances.items()
            ],
            "permissions": ["SPOT"],
            "uid": 354_937_868,
        }

    def restrictions(self, call: Call) -> Any:
        """``/sapi/v1/account/apiRestrictions``: what the key may do."""
        allowed = call.owner.permissions
        return {
            "ipRestrict": False,
            "createTime": 1_698_645_219_000,
            "enableReading": "read" in allowed,
            "enableWithdrawals": "withdraw" in allowed,
            "enableInternalTransfer": False,
            "enableMargin": False,
            "enableFutures": False,
            "permitsUniversalTransfer": False,
            "enableVanillaOptions": False,
            "enableFixApiTrade": False,
            "enableFixReadOnly": False,
            "enableSpotAndMarginTrading": "trade" in allowed,
            "enablePortfolioMarginTrading": False,
        }

    def currencies(self, call: Call) -> Any:
        """``/sapi/v1/capital/config/getall``: nothing goes in or out."""
        assets = sorted({name for market in self.exchange.markets.values() for name in (market.base, market.quote)})
        return [
            {
                "coin": asset,
                "depositAllEnable": False,
                "withdrawAllEnable": False,
                "name": asset,
                "free": eight(call.owner.of(asset).free),
                "locked": eight(call.owner.of(asset).locked),
                "freeze": "0",
                "withdrawing": "0",
                "ipoing": "0",
                "ipoable": "0",
                "storage": "0",
                "isLegalMoney": False,
                "trading": True,
                "networkList": [],
            }
            for asset in assets
        ]

    def margin_pairs(self, call: Call) -> Any:
        """``/sapi/v1/margin/allPairs`` and ``/isolated/allPairs``: ccxt asks for them with every list of markets, and
        there is no margin trading here.
        """
        return []

    # ---------------------------------------------------------------------------------------------------------- orders

    def _ticket(self, parameters: Parameters) -> Ticket:
        market, side = self.market(parameters), parameters.get("side")
        if side not in ("BUY", "SELL"):
            raise ApiError(-1117, "Invalid side.")
        client_id = parameters.get("newClientOrderId") or None
        if client_id is not None and not _CLIENT_ID.fullmatch(client_id):
            raise bad("newClientOrderId")
        kind = self._type(parameters)
        quantity = amount(parameters, "quantity", bad)
        spend = amount(parameters, "quoteOrderQty", bad) if kind == "MARKET" and quantity is None else None
        if quantity is None and (spend is None or side == "SELL"):
            raise missing("quantity")
        price = amount(parameters, "price", bad)
        if price is None and kind != "MARKET":
            raise missing("price")
        for value in (quantity, spend, price):
            if value is not None and decimals(value) > 8:
                raise ApiError(-1111, "Precision is over the maximum defined for this asset.")
        return Ticket(
            market=market,
            side="BUY" if side == "BUY" else "SELL",
            type=kind,
            quantity=quantity,
            spend=spend,
            price=None if kind == "MARKET" else price,
            client_id=client_id or f"x{len(self.exchange.orders) + 1:021d}",
        )

    @staticmethod
    def _type(parameters: Parameters) -> OrderType:
        """LIMIT needs ``timeInForce`` GTC, IOC or FOK; MARKET and LIMIT_MAKER take none."""
        kind, force = parameters.get("type"), parameters.get("timeInForce")
        if kind == "LIMIT":
            if not force:
                raise missing("timeInForce")
            found: OrderType | None = {"GTC": "LIMIT", "IOC": "IOC", "FOK": "FOK"}.get(force)  # type: ignore[assignment] # of a literal
            if found is None:
                raise ApiError(-1115, "Invalid timeInForce.")
            return found
        if kind not in ("MARKET", "LIMIT_MAKER"):
            raise ApiError(-1116, "Invalid orderType.")
        if force:
            raise ApiError(-1106, "Parameter 'timeInForce' sent when not required.")
        return "MARKET" if kind == "MARKET" else "LIMIT_MAKER"

    def create_order(self, call: Call) -> Any:
        """``newOrderRespType`` ACK, RESULT or FULL; "MARKET and LIMIT order types default to FULL, all other orders
        default to ACK".
        """
        order = self.create(call, self._ticket(call.parameters))
        answer = call.parameters.get("newOrderRespType") or ("ACK" if order.type == "LIMIT_MAKER" else "FULL")
        ack = {
            "symbol": order.market.id,
            "orderId": order.number,
            "orderListId": -1,
            "clientOrderId": order.client_id,
            "transactTime": order.created // MS,
        }
        if answer == "ACK":
            return ack
        result = {**ack, **_body(order), "workingTime": order.created // MS, "selfTradePreventionMode": "NONE"}
        if answer == "RESULT":
            return result
        fills = [
            {
                "price": eight(trade.price),
                "qty": eight(trade.quantity),
                "commission": eight(trade.fee),
                "commissionAsset": trade.fee_asset,
                "tradeId": trade.number,
            }
            for trade in order.trades
        ]
        return {**result, "fills": fills}

    def test_order(self, call: Call) -> Any:
        """``{}`` when the order would be taken."""
        self.exchange.check(call.owner, self._ticket(call.parameters))
        return {}

    def _named(self, call: Call) -> Order:
        """The order that a request names.

        Raises:
            Rejection: there is none.
        """
        market = self.market(call.parameters)
        number = whole(call.parameters, "orderId", bad)
        client_id = call.parameters.get("origClientOrderId")
        if number is None and not client_id:
            words = "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
            raise ApiError(-1102, words)
        return self.exchange.find(call.owner, market, number=number, client_id=client_id)

    def query_order(self, call: Call) -> Any:
        """``GET /api/v3/order``."""
        order = self.query(call, self._named(call))
        return _queried(order, self.state(call, order))

    def cancel_order(self, call: Call) -> Any:
        """``clientOrderId`` is of the cancel itself, ``origClientOrderId`` of the order."""
        try:
            order = self._named(call)
        except Rejection:
            raise Rejection("not_open") from None
        self.cancel(call, order)
        return self._cancelled(order, call.parameters.get("newClientOrderId"))

    def _cancelled(self, order: Order, client_id: str | None = None) -> dict[str, Any]:
        return {
            "symbol": order.market.id,
            "origClientOrderId": order.client_id,
            "orderId": order.number,
            "orderListId": -1,
            "clientOrderId": client_id or f"c{order.number:021d}",
            "transactTime": self.exchange.server_time() // MS,
            **_body(order),
            "status": "CANCELED",
            "selfTradePreventionMode": "NONE",
        }

    def cancel_orders(self, call: Call) -> Any:
        """``DELETE /api/v3/openOrders``; -2011 when there are none."""
        orders = self.exchange.open_orders(call.owner, self.market(call.parameters))
        if not orders:
            raise Rejection("not_open")
        for order in orders:
            self.exchange.cancel(order)
        return [self._cancelled(order) for order in orders]

    def open_orders(self, call: Call) -> Any:
        """As ``query_order``, of one symbol or of all."""
        market = self.market(call.parameters) if call.parameters.get("symbol") else None
        orders = self.visible(self.exchange.open_orders(call.owner, market), "open")
        return [_queried(order) for order in orders]

    def all_orders(self, call: Call) -> Any:
        """``GET /api/v3/allOrders``: the oldest first. With ``orderId`` or ``startTime`` the first from there, else the
        last; 500 without ``limit``, 1,000 at most.
        """
        orders = self.visible(self.exchange.history(call.owner, self.market(call.parameters)), "history")
        first = whole(call.parameters, "orderId", bad)
        found = _window(call.parameters, orders, lambda order: order.created, lambda order: order.number, first)
        return [_queried(order) for order in found]

    def my_trades(self, call: Call) -> Any:
        """``GET /api/v3/myTrades``: the oldest first. With ``fromId`` or ``startTime`` the first from there."""
        trades = self.visible_trades(self.exchange.trades(call.owner, self.market(call.parameters)))
        wanted = whole(call.parameters, "orderId", bad)
        chosen = [trade for trade in trades if wanted is None or trade.order.number == wanted]
        first = whole(call.parameters, "fromId", bad)
        found = _window(call.parameters, chosen, lambda trade: trade.at, lambda trade: trade.number, first)
        return [_trade(trade) for trade in found]

    routes: ClassVar[Mapping[tuple[str, str], Route]] = {
        ("GET", "/api/v3/ping"): Route("ping", BinanceMarketData.ping),
        ("GET", "/api/v3/time"): Route("time", BinanceMarketData.time),
        ("GET", "/api/v3/exchangeInfo"): Route("info", BinanceMarketData.info, weight=20),
        ("GET", "/api/v3/depth"): Route("depth", BinanceMarketData.depth, weight=5),
        ("GET", "/api/v3/trades"): Route("trades", BinanceMarketData.trades, weight=25),
        ("GET", "/api/v3/aggTrades"): Route("trades", BinanceMarketData.agg_trades, weight=4),
        ("GET", "/api/v3/klines"): Route("klines", BinanceMarketData.klines, weight=2),
        ("GET", "/api/v3/ticker/24hr"): Route("ticker", BinanceMarketData.ticker_day, weight=2),
        ("GET", "/api/v3/ticker/price"): Route("ticker", BinanceMarketData.ticker_price, weight=2),
        ("GET", "/api/v3/ticker/bookTicker"): Route("ticker", BinanceMarketData.ticker_book, weight=2),
        ("GET", "/api/v3/account"): Route("account", account, "read", 20),
        ("GET", "/sapi/v1/account/apiRestrictions"): Route("restrictions", restrictions, "read"),
        ("GET", "/sapi/v1/capital/config/getall"): Route("currencies", currencies, "read", 10),
        ("GET", "/sapi/v1/margin/allPairs"): Route("contracts", margin_pairs, "read"),
        ("GET", "/sapi/v1/margin/isolated/allPairs"): Route("contracts", margin_pairs, "read", 10),
        ("POST", "/api/v3/order"): Route("order.create", create_order, "trade"),
        ("POST", "/api/v3/order/test"): Route("order.test", test_order, "trade"),
        ("GET", "/api/v3/order"): Route("order.query", query_order, "read", 4),
        ("DELETE", "/api/v3/order"): Route("order.cancel", cancel_order, "trade"),
        ("GET", "/api/v3/openOrders"): Route("orders.open", open_orders, "read", 6),
        ("DELETE", "/api/v3/openOrders"): Route("orders.cancel", cancel_orders, "trade"),
        ("GET", "/api/v3/allOrders"): Route("orders.history", all_orders, "read", 20),
        ("GET", "/api/v3/myTrades"): Route("orders.trades", my_trades, "read", 20),
    }


def _body(order: Order, state: State | None = None) -> dict[str, Any]:
    return {
        "price": eight(order.price),
        "origQty": eight(order.quantity),
        "executedQty": eight(order.executed if state is None else state.executed),
        "origQuoteOrderQty": eight(order.spend or ZERO),
        "cummulativeQuoteQty": eight(order.quoted if state is None else state.quoted),
        "status": order.status if state is None else state.status,
        "timeInForce": order.type if order.type in ("IOC", "FOK") else "GTC",
        "type": "LIMIT" if order.type in ("IOC", "FOK") else order.type,
        "side": order.side,
    }


def _queried(order: Order, state: State | None = None) -> dict[str, Any]:
    return {
        "symbol": order.market.id,
        "orderId": order.number,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        **_body(order, state),
        "stopPrice": "0.00000000",
        "icebergQty": "0.00000000",
        "time": order.created // MS,
        "updateTime": (order.updated if state is None else state.at) // MS,
        "isWorking": True,
        "workingTime": order.created // MS,
        "selfTradePreventionMode": "NONE",
    }


def _trade(trade: Trade) -> dict[str, Any]:
    return {
        "symbol": trade.order.market.id,
        "id": trade.number,
        "orderId": trade.order.number,
        "orderListId": -1,
        "price": eight(trade.price),
        "qty": eight(trade.quantity),
        "quoteQty": eight(trade.quote),
        "commission": eight(trade.fee),
        "commissionAsset": trade.fee_asset,
        "time": trade.at // MS,
        "isBuyer": trade.order.side == "BUY",
        "isMaker": trade.maker,
        "isBestMatch": True,
    }


def _window(
    parameters: Parameters,
    items: list[Any],
    time_of: Callable[[Any], int],
    number_of: Callable[[Any], int],
    first: int | None,
) -> list[Any]:
    since, until = whole(parameters, "startTime", bad), whole(parameters, "endTime", bad)
    limit = min(whole(parameters, "limit", bad) or 500, 1_000)
    found = [
        item
        for item in items
        if (since is None or time_of(item) // MS >= since)
        and (until is None or time_of(item) // MS <= until)
        and (first is None or number_of(item) >= first)
    ]
    return found[-limit:] if since is None and first is None else found[:limit]
