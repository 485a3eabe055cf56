"""A broker that answers as Alpaca's documents say, with one account that trades at a price one sets.

Payloads: https://docs.alpaca.markets/reference/postorder, getorderbyclientorderid, getallorders, deleteorderbyorderid,
getallopenpositions, getopenposition, getaccount-1, getaccountactivitiesbyactivitytype-1, getclock-1,
get-v2-assets-symbol_or_asset_id. Errors, with their codes: the same pages and
https://alpaca.markets/learn/how-to-fix-common-trading-api-errors-at-alpaca; "position intent mismatch", "cost basis
must be >= minimal amount of order" and "client_order_id must be unique" as users quote them in forum and issues.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from tests.venues.loopback import Line

KEY, SECRET = "PKTESTKEY00000000001", "s3cr3t-of-the-test/+="
BEGIN = datetime(2026, 3, 10, 15, 0, tzinfo=UTC)
ZERO = Decimal(0)
OPEN = ("new", "accepted", "partially_filled", "pending_cancel", "done_for_day", "held")


def text(number: Decimal) -> str:
    return format(number.normalize() if number else ZERO, "f")


@dataclass
class Asset:
    symbol: str
    kind: str = "us_equity"
    tradable: bool = True
    shortable: bool = True
    fractionable: bool = True
    increments: dict[str, str] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        return {
            "id": str(uuid.uuid5(uuid.NAMESPACE_DNS, self.symbol)),
            "class": self.kind,
            "exchange": "CRYPTO" if self.kind == "crypto" else "NASDAQ",
            "symbol": self.symbol,
            "name": self.symbol,
            "status": "active",
            "tradable": self.tradable,
            "marginable": self.kind != "crypto",
            "shortable": self.shortable,
            "easy_to_borrow": self.shortable,
            "fractionable": self.fractionable,
            "attributes": [],
            **self.increments,
        }


class No(Exception):
    """A refusal."""

    def __init__(self, status: int, code: int, message: str, **more: Any) -> None:
        super().__init__(status, code, message)
        self.answer = web.json_response({"code": code, "message": message, **more}, status=status)


class Alpaca:
    """The account, its orders and its market."""

    def __init__(self) -> None:
        self.line = Line()
        self.price: dict[str, Decimal] = {"AAPL": Decimal(200), "BTC/USD": Decimal(50_000)}
        crypto = {"min_order_size": "0.0001", "min_trade_increment": "0.000000001", "price_increment": "1"}
        self.assets = {
            "AAPL": Asset("AAPL"),
            "BRK.B": Asset("BRK.B", fractionable=False),
            "HALT": Asset("HALT", tradable=False),
            "BTC/USD": Asset("BTC/USD", "crypto", shortable=False, increments=crypto),
        }
        self.cash = Decimal(100_000)
        self.shorting = True
        self.blocked = False
        self.orders: list[dict[str, Any]] = []
        self.activities: list[dict[str, Any]] = []
        self.positions: dict[str, Decimal] = {}
        self.now = BEGIN
        self.fills_hidden = 0
        """So many of the latest fills are not listed yet."""
        self.partial: Decimal | None = None
        """At most so much of an order trades at once."""
        self.depth: Decimal | None = None
        """So much is there for orders that cannot wait."""
        self.shown: int | None = None
        """So many of the orders are shown."""

    # -- the wire -------------------------------------------------------------------------------------------------

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(request, web.BaseRequest)
        return await self.line.handle(request, self._answer)  # type: ignore[arg-type]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if (request.headers.get("APCA-API-KEY-ID"), request.headers.get("APCA-API-SECRET-KEY")) != (KEY, SECRET):
            return web.json_response({"message": "unauthorized."}, status=401)
        path = unquote(request.raw_path.partition("?")[0])
        try:
            if request.method == "POST":
                return web.json_response(self._submit(await request.json()))
            if request.method == "DELETE":
                self._cancel(path.removeprefix("/v2/orders/"))
                return web.Response(status=204)
            return web.json_response(self._get(path, dict(request.query)))
        except No as no:
            return no.answer

    def _get(self, path: str, query: dict[str, str]) -> Any:
        tail = path.removeprefix("/v2/")
        if tail == "orders:by_client_order_id":
            return self._one("client_order_id", query["client_order_id"])
        if tail == "orders":
            return self._list(query)
        if tail.startswith("orders/"):
            return self._one("id", tail[7:])
        if tail == "positions":
            return [self._position(symbol) for symbol in self.positions]
        if tail.startswith("positions/"):
            symbol = next((one for one in self.positions if one.replace("/", "") == tail[10:]), None)
            if symbol is None:
                raise No(404, 40410000, "position does not exist")
            return self._position(symbol)
        if tail == "account":
            return self._account()
        if tail == "account/activities/FILL":
            return self._activities(query)
        if tail == "clock":
            later = (self.now + timedelta(days=1)).isoformat()
            return {"timestamp": self.now.isoformat(), "is_open": True, "next_open": later, "next_close": later}
        if tail == "assets":
            return [asset.row() for asset in self.assets.values()]
        if tail.startswith("assets/"):
            if tail[7:] not in self.assets:
                raise No(404, 40410000, f"asset not found for {tail[7:]}")
            return self.assets[tail[7:]].row()
        raise No(404, 40410000, "endpoint not found")

    # -- asking ---------------------------------------------------------------------------------------------------

    def _one(self, field: str, value: str) -> dict[str, Any]:
        found = next((order for order in self.orders[: self.shown] if order[field] == value), None)
        if found is None:
            raise No(404, 40410000, f"order not found for {value}")
        return found

    def _list(self, query: dict[str, str]) -> list[dict[str, Any]]:
        rows = sorted(self.orders[: self.shown], key=lambda order: str(order["submitted_at"]))
        if query["status"] != "all":
            rows = [row for row in rows if (row["status"] in OPEN) == (query["status"] == "open")]
        if "symbols" in query:
            rows = [row for row in rows if row["symbol"] in query["symbols"].split(",")]
        if "after" in query:
            rows = [row for row in rows if row["submitted_at"] > query["after"]]
        if "until" in query:
            rows = [row for row in rows if row["submitted_at"] < query["until"]]
        if query.get("direction", "desc") == "desc":
            rows.reverse()
        return rows[: int(query.get("limit", "50"))]

    def _activities(self, query: dict[str, str]) -> list[dict[str, Any]]:
        rows = self.activities[: len(self.activities) - self.fills_hidden]
        if "after" in query:
            rows = [row for row in rows if row["transaction_time"] > query["after"]]
        if query.get("direction", "desc") == "desc":
            rows = rows[::-1]
        if "page_token" in query:
            index = next(number for number, row in enumerate(rows) if row["id"] == query["page_token"])
            rows = rows[index + 1 :]
        return rows[: int(query.get("page_size", "100"))]

    def _account(self) -> dict[str, Any]:
        return {
            "id": str(uuid.UUID(int=1)),
            "account_number": "PA000000001",
            "status": "ACTIVE",
            "crypto_status": "ACTIVE",
            "currency": "USD",
            "cash": text(self.cash),
            "buying_power": text(self._buying_power()),
            "pattern_day_trader": False,
            "trading_blocked": self.blocked,
            "transfers_blocked": False,
            "account_blocked": False,
            "trade_suspended_by_user": False,
            "shorting_enabled": self.shorting,
            "multiplier": "1",
            "equity": text(self.cash),
        }

    def _position(self, symbol: str) -> dict[str, Any]:
        quantity, asset = self.positions[symbol], self.assets[symbol]
        free = abs(quantity) - self._held(symbol)
        return {
            "asset_id": asset.row()["id"],
            "symbol": symbol.replace("/", ""),
            "exchange": asset.row()["exchange"],
            "asset_class": asset.kind,
            "avg_entry_price": text(self.price[symbol]),
            "qty": text(quantity),
            "qty_available": text(free if quantity > 0 else -free),
            "side": "long" if quantity > 0 else "short",
            "market_value": text(quantity * self.price[symbol]),
        }

    # -- trading --------------------------------------------------------------------------------------------------

    def _working(self, symbol: str = "") -> list[dict[str, Any]]:
        return [row for row in self.orders if row["status"] in OPEN and symbol in ("", row["symbol"])]

    def _held(self, symbol: str) -> Decimal:
        closing = "sell" if self.positions[symbol] > 0 else "buy"
        rows = [row for row in self._working(symbol) if row["side"] == closing]
        return sum((Decimal(row["qty"]) - Decimal(row["filled_qty"]) for row in rows), ZERO)

    def _buying_power(self) -> Decimal:
        spent = sum((self._cost(row) for row in self._working() if row["side"] == "buy"), ZERO)
        return self.cash - spent

    def _cost(self, row: dict[str, Any]) -> Decimal:
        price = Decimal(row["limit_price"]) if row["limit_price"] else self.price[row["symbol"]]
        return price * (Decimal(row["qty"]) - Decimal(row["filled_qty"]))

    def _submit(self, asked: dict[str, Any]) -> dict[str, Any]:
        if any(row["client_order_id"] == asked["client_order_id"] for row in self.orders):
            raise No(422, 40010001, "client_order_id must be unique")
        asset = self.assets.get(asked["symbol"])
        if asset is None:
            raise No(422, 42210000, f'asset "{asked["symbol"]}" not found')
        quantity = Decimal(asked["qty"])
        if asset.kind != "crypto" and quantity % 1 and asked["time_in_force"] != "day":
            raise No(422, 42210000, "fractional orders must be DAY orders")
        if asset.kind != "crypto" and Decimal(asked.get("limit_price", "1")) % Decimal("0.01"):
            what = "sub-penny increment does not fulfill minimum pricing criteria"
            raise No(422, 42210000, f"invalid limit_price {asked['limit_price']}. {what}")
        row = self._row(asked, asset)
        self._admit(row, asset, asked.get("position_intent"))
        self.orders.append(row)
        if row["time_in_force"] in ("ioc", "fok") and row["type"] == "limit":
            self._at_once(row)
        return row

    def _admit(self, row: dict[str, Any], asset: Asset, intent: str | None) -> None:
        symbol, side, quantity = row["symbol"], row["side"], Decimal(row["qty"])
        held = self.positions.get(symbol, ZERO)
        closing = (held > 0 and side == "sell") or (held < 0 and side == "buy")
        inferred = f"{side}_to_{'close' if closing else 'open'}"
        if intent is not None and intent != inferred:
            raise No(422, 42210000, f"position intent mismatch, inferred: {inferred}, specified: {intent}")
        if closing:
            free = abs(held) - self._held(symbol)
            if quantity > free:
                what = f"insufficient qty available for order (requested: {text(quantity)}, available: {text(free)})"
                raise No(403, 40310000, what, available=text(free), symbol=symbol)
            return
        if side == "sell" and asset.kind == "crypto":
            raise No(403, 40310000, f"insufficient balance for {symbol} (requested: {text(quantity)}, available: 0)")
        if side == "sell" and not (self.shorting and asset.shortable):
            raise No(403, 40310000, "account is not allowed to short")
        if asset.kind == "crypto" and self._cost(row) < 10:
            raise No(403, 40310000, "cost basis must be >= minimal amount of order 10")
        if self._cost(row) > self._buying_power():
            raise No(403, 40310000, "insufficient buying power", buying_power=text(self._buying_power()))

    def _row(self, asked: dict[str, Any], asset: Asset) -> dict[str, Any]:
        stamp = self._tick()
        return {
            "id": str(uuid.uuid5(uuid.NAMESPACE_DNS, str(len(self.orders)))),
            "client_order_id": asked["client_order_id"],
            "created_at": stamp,
            "updated_at": stamp,
            "submitted_at": stamp,
            "filled_at": None,
            "expired_at": None,
            "canceled_at": None,
            "failed_at": None,
            "replaced_at": None,
            "replaced_by": None,
            "replaces": None,
            "asset_id": asset.row()["id"],
            "symbol": asked["symbol"],
            "asset_class": asset.kind,
            "notional": None,
            "qty": asked["qty"],
            "filled_qty": "0",
            "filled_avg_price": None,
            "order_class": "",
            "order_type": asked["type"],
            "type": asked["type"],
            "side": asked["side"],
            "position_intent": asked.get("position_intent"),
            "time_in_force": asked["time_in_force"],
            "limit_price": asked.get("limit_price"),
            "stop_price": None,
            "status": "accepted",
            "extended_hours": False,
            "legs": None,
        }

    def _cancel(self, identity: str) -> None:
        row = self._one("id", identity)
        if row["status"] not in OPEN:
            raise No(422, 42210000, f'order is already in "{row["status"]}" state')
        row["status"], row["canceled_at"] = "canceled", self._tick()

    def _tick(self) -> str:
        self.now += timedelta(milliseconds=7, microseconds=13)
        return self.now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def _at_once(self, row: dict[str, Any]) -> None:
        left, limit, price = Decimal(row["qty"]), Decimal(row["limit_price"]), self.price[row["symbol"]]
        there = left if self.depth is None else min(left, self.depth)
        meets = price <= limit if row["side"] == "buy" else price >= limit
        if meets and there and (row["time_in_force"] == "ioc" or there == left):
            self._fill(row, there)
        if row["status"] in OPEN:
            row["status"] = "canceled"

    def _meets(self, row: dict[str, Any]) -> bool:
        price = self.price[row["symbol"]]
        if row["type"] == "market":
            return True
        limit = Decimal(row["limit_price"])
        return price < limit if row["side"] == "buy" else price > limit

    def _fill(self, row: dict[str, Any], most: Decimal | None = None) -> None:
        symbol, price = row["symbol"], self.price[row["symbol"]]
        before = Decimal(row["filled_qty"])
        left = Decimal(row["qty"]) - before
        quantity = min([left, *(one for one in (self.partial, most) if one is not None)])
        done, stamp = before + quantity, self._tick()
        average = (Decimal(row["filled_avg_price"] or 0) * before + price * quantity) / done
        row["filled_qty"], row["filled_avg_price"] = text(done), text(average.quantize(Decimal("0.0001"), ROUND_DOWN))
        row["status"] = "filled" if quantity == left else "partially_filled"
        signed = quantity if row["side"] == "buy" else -quantity
        held = self.positions.pop(symbol, ZERO) + signed
        if held:
            self.positions[symbol] = held
        self.cash -= signed * price
        digits = stamp.translate({ord(char): None for char in "-T:.Z"})[:17]
        self.activities.append(
            {
                "activity_type": "FILL",
                "cum_qty": text(done),
                "id": f"{digits}::{uuid.uuid5(uuid.NAMESPACE_DNS, str(len(self.activities)))}",
                "leaves_qty": text(left - quantity),
                "price": text(price),
                "qty": text(quantity),
                "side": row["side"],
                "symbol": symbol,
                "transaction_time": stamp,
                "order_id": row["id"],
                "type": "fill" if quantity == left else "partial_fill",
                "order_status": row["status"],
            }
        )

    def trade_at(self, symbol: str, price: Decimal) -> None:
        """The market trades there; what it trades through is filled."""
        self.price[symbol] = price
        for row in self._working(symbol):
            if self._meets(row):
                self._fill(row)

    def trade_part(self, symbol: str, price: Decimal, quantity: Decimal) -> None:
        """The market trades so much there, with orders that rest there or better."""
        self.price[symbol] = price
        for row in self._working(symbol):
            limit = Decimal(row["limit_price"] or price)
            if quantity and (limit >= price if row["side"] == "buy" else limit <= price):
                before = Decimal(row["filled_qty"])
                self._fill(row, quantity)
                quantity -= Decimal(row["filled_qty"]) - before
