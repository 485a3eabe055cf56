"""A venue that answers as Hyperliquid's documents say, with one account that trades at a price one sets.

https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint (with its perpetuals page),
exchange-endpoint and error-responses. Signatures are checked by the SDK's own functions: whoever signed is recovered
from the action, nonce, vault and expiry. What it says to an action that came too late, or with a nonce used before, is
not in those pages; the words here are made up.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from aiohttp import web
from eth_account import Account
from hyperliquid.utils.signing import recover_agent_or_user_from_l1_action

from tests.venues.loopback import Line

AGENT_KEY = "0x" + "4c" * 32
AGENT = Account.from_key(AGENT_KEY).address.lower()
MASTER = "0x" + "ab" * 20
BEGIN_MS = 1_790_000_000_000
ZERO = Decimal(0)
FEE = Decimal("0.00045")

COINS = [
    {"name": "BTC", "szDecimals": 5, "maxLeverage": 40},
    {"name": "kPEPE", "szDecimals": 0, "maxLeverage": 10},
    {"name": "ETH", "szDecimals": 4, "maxLeverage": 25, "onlyIsolated": True},
    {"name": "GONE", "szDecimals": 1, "maxLeverage": 3, "isDelisted": True},
]


def text(number: Decimal) -> str:
    return format(number, "f")


class Err(Exception):
    """A refusal of a whole action."""


class Hyperliquid:
    """The account, its orders and its market."""

    def __init__(self) -> None:
        self.line = Line()
        self.now_ms = BEGIN_MS
        self.mids = {"BTC": Decimal(50_000), "kPEPE": Decimal("0.012345"), "ETH": Decimal("2345.6"), "GONE": Decimal(1)}
        self.cash = Decimal(100_000)
        self.positions: dict[str, Decimal] = {}
        self.leverage: dict[str, dict[str, Any]] = {}
        self.orders: list[dict[str, Any]] = []
        self.trades: list[dict[str, Any]] = []
        self.nonces: set[int] = set()
        self.behind_ms = 0
        """By so much its state and books are behind."""
        self.unseen = 0
        """So many questions for a status are answered with "unknown" that should not be."""
        self.fills_hidden = 0
        self.cloids_in_fills = True
        self.partial: Decimal | None = None
        """At most so much of an order trades at once."""
        self.shown: int | None = None
        """So many of the orders are shown."""
        self.roles: dict[str, Any] = {
            AGENT: {"role": "agent", "data": {"user": MASTER}},
            MASTER: {"role": "user"},
        }
        self.subaccounts: set[str] = set()

    # -- the wire -------------------------------------------------------------------------------------------------

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self.line.handle(request, self._answer)  # type: ignore[arg-type]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            asked = json.loads(await request.text())
            if request.path == "/info":
                return web.json_response(self._info(asked))
            action = asked["action"]
            signature, nonce = asked["signature"], asked["nonce"]
        except (ValueError, KeyError):
            return web.Response(status=422, text="Failed to deserialize the JSON body into the target type")
        try:
            self._admit(action, signature, nonce, asked["vaultAddress"], asked["expiresAfter"])
            return web.json_response({"status": "ok", "response": self._act(action)})
        except Err as error:
            return web.json_response({"status": "err", "response": str(error)})

    def _admit(self, action: Any, signature: Any, nonce: int, vault: str | None, expires_after: int | None) -> None:
        signer = recover_agent_or_user_from_l1_action(action, signature, vault, nonce, expires_after, False).lower()
        if signer != AGENT:
            raise Err(f"User or API Wallet {signer} does not exist.")
        if vault is not None and vault not in self.subaccounts:
            raise Err(f"Vault not registered: {vault}")
        if nonce in self.nonces:
            raise Err(f"Invalid nonce: duplicate nonce {nonce}")
        if abs(nonce - self.now_ms) > 86_400_000:
            raise Err(f"Invalid nonce: {nonce} is too far from {self.now_ms}")
        if expires_after is not None and self.now_ms > expires_after:
            raise Err("Action has expired")
        self.nonces.add(nonce)

    def _info(self, asked: dict[str, Any]) -> Any:
        kind = asked["type"]
        if "user" in asked and kind != "userRole" and asked["user"] not in (MASTER, *self.subaccounts):
            return {"status": "unknownOid"} if kind == "orderStatus" else []
        answers: dict[str, Callable[[], Any]] = {
            "meta": lambda: {"universe": COINS, "marginTables": []},
            "metaAndAssetCtxs": lambda: [{"universe": COINS}, [self._context(str(coin["name"])) for coin in COINS]],
            "l2Book": lambda: self._book(asked["coin"]),
            "activeAssetData": lambda: self._active(asked["coin"]),
            "clearinghouseState": self._state,
            "orderStatus": lambda: self._status(asked["oid"]),
            "frontendOpenOrders": lambda: [row["order"] for row in self._seen() if row["status"] == "open"],
            "historicalOrders": lambda: self._seen()[-2000:],
            "userFillsByTime": lambda: self._fills(asked["startTime"]),
            "userRole": lambda: self.roles.get(asked["user"], {"role": "missing"}),
            "spotMeta": lambda: {"universe": [], "tokens": []},
        }
        return answers[kind]()

    # -- asking ---------------------------------------------------------------------------------------------------

    def _context(self, coin: str) -> dict[str, Any]:
        return {"markPx": text(self.mids[coin]), "midPx": text(self.mids[coin]), "funding": "0.0000125"}

    def _book(self, coin: str) -> dict[str, Any]:
        off = self.mids[coin] / 10_000
        sides = [[{"px": text(price), "sz": "7.5", "n": 3}] for price in (self.mids[coin] - off, self.mids[coin] + off)]
        return {"coin": coin, "time": self.now_ms - self.behind_ms, "levels": sides}

    def _active(self, coin: str) -> dict[str, Any]:
        usual = {"type": "cross", "value": 20}
        return {"user": MASTER, "coin": coin, "leverage": self.leverage.get(coin, usual), "markPx": "1"}

    def _value(self) -> Decimal:
        return self.cash + sum((size * self.mids[coin] for coin, size in self.positions.items()), ZERO)

    def _state(self) -> dict[str, Any]:
        notional = sum((abs(size) * self.mids[coin] for coin, size in self.positions.items()), ZERO)
        summary = {
            "accountValue": text(self._value()),
            "totalNtlPos": text(notional),
            "totalRawUsd": text(self.cash),
            "totalMarginUsed": text(notional / 20),
        }
        return {
            "marginSummary": summary,
            "crossMarginSummary": summary,
            "crossMaintenanceMarginUsed": "0.0",
            "withdrawable": text(self._value()),
            "assetPositions": [
                {"type": "oneWay", "position": {"coin": coin, "szi": text(size), "entryPx": text(self.mids[coin])}}
                for coin, size in self.positions.items()
            ],
            "time": self.now_ms - self.behind_ms,
        }

    def _seen(self) -> list[dict[str, Any]]:
        return self.orders[: self.shown]

    def _status(self, oid: int | str) -> dict[str, Any]:
        field = "cloid" if isinstance(oid, str) else "oid"
        found = next((row for row in reversed(self._seen()) if row["order"][field] == oid), None)
        if found is None:
            return {"status": "unknownOid"}
        if self.unseen:
            self.unseen -= 1
            return {"status": "unknownOid"}
        return {"status": "order", "order": found}

    def _fills(self, begin: int) -> list[dict[str, Any]]:
        rows = self.trades[: len(self.trades) - self.fills_hidden]
        rows = [row for row in rows if row["time"] >= begin][:500]
        return rows if self.cloids_in_fills else [{k: v for k, v in row.items() if k != "cloid"} for row in rows]

    # -- trading --------------------------------------------------------------------------------------------------

    def _act(self, action: dict[str, Any]) -> Any:
        self.now_ms += 3
        if action["type"] == "order":
            return {"type": "order", "data": {"statuses": [self._order(order) for order in action["orders"]]}}
        if action["type"] == "cancelByCloid":
            return {"type": "cancel", "data": {"statuses": [self._cancel(one["cloid"]) for one in action["cancels"]]}}
        assert action["type"] == "updateLeverage"
        coin = COINS[action["asset"]]
        if not 1 <= action["leverage"] <= int(str(coin["maxLeverage"])):
            raise Err("Invalid leverage value")
        kind = "cross" if action["isCross"] else "isolated"
        self.leverage[str(coin["name"])] = {"type": kind, "value": action["leverage"]}
        return {"type": "default"}

    def _order(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["a"] >= len(COINS):
            return {"error": "Invalid asset"}
        coin, size, limit = str(COINS[asked["a"]]["name"]), Decimal(asked["s"]), Decimal(asked["p"])
        refusal = self._refusal(asked, coin, size, limit)
        if refusal:
            return {"error": f"{refusal} asset={asked['a']}"}
        ioc = asked["t"]["limit"]["tif"] == "Ioc"
        meets = self.mids[coin] <= limit if asked["b"] else self.mids[coin] >= limit
        if ioc and not meets:
            return {"error": f"Order could not immediately match against any resting orders. asset={asked['a']}"}
        order = {
            "coin": coin,
            "side": "B" if asked["b"] else "A",
            "limitPx": text(limit),
            "sz": text(size),
            "oid": 77_738_308 + len(self.orders),
            "timestamp": self.now_ms,
            "triggerCondition": "N/A",
            "isTrigger": False,
            "triggerPx": "0.0",
            "children": [],
            "isPositionTpsl": False,
            "reduceOnly": asked["r"],
            "orderType": "Limit",
            "origSz": text(size),
            "tif": asked["t"]["limit"]["tif"],
            "cloid": asked.get("c"),
        }
        row = {"order": order, "status": "open", "statusTimestamp": self.now_ms}
        self.orders.append(row)
        if not meets:
            return {"resting": {"oid": order["oid"]}}
        self._fill(row)
        left = Decimal(str(order["sz"]))
        if left and ioc:
            row["status"] = "canceled"
        return {"filled": {"totalSz": text(size - left), "avgPx": text(self.mids[coin]), "oid": order["oid"]}}

    def _refusal(self, asked: dict[str, Any], coin: str, size: Decimal, limit: Decimal) -> str:
        decimals = int(str(COINS[asked["a"]]["szDecimals"]))
        if size != round(size, decimals):
            return "Order has invalid size."
        whole, figures = limit == int(limit), len(limit.normalize().as_tuple().digits)
        if not whole and (figures > 5 or limit != round(limit, 6 - decimals)):
            return "Price must be divisible by tick size."
        held, signed = self.positions.get(coin, ZERO), size if asked["b"] else -size
        if asked["r"]:
            return "" if held * signed < 0 else "Reduce only order would increase position."
        if size * limit < 10:
            return "Order must have minimum value of $10."
        leverage = Decimal(self.leverage.get(coin, {"value": 20})["value"])
        if size * limit / leverage > self._value():
            return "Insufficient margin to place order."
        return ""

    def _meets(self, buys: bool, limit: Decimal, coin: str) -> bool:
        return self.mids[coin] < limit if buys else self.mids[coin] > limit

    def _fill(self, row: dict[str, Any], most: Decimal | None = None) -> None:
        order = row["order"]
        coin, left, buys = order["coin"], Decimal(order["sz"]), order["side"] == "B"
        held, price = self.positions.pop(coin, ZERO), self.mids[order["coin"]]
        size = left if not order["reduceOnly"] else min(left, abs(held))
        size = min([size, *(one for one in (self.partial, most) if one is not None)])
        signed = size if buys else -size
        if held + signed:
            self.positions[coin] = held + signed
        fee = size * price * FEE
        self.cash -= signed * price + fee
        order["sz"] = text(left - size)
        if size == left:
            row["status"], row["statusTimestamp"] = "filled", self.now_ms
        elif order["reduceOnly"]:
            row["status"], row["statusTimestamp"] = "reduceOnlyCanceled", self.now_ms
        self.trades.append(
            {
                "closedPnl": "0.0",
                "coin": coin,
                "crossed": True,
                "dir": "Open Long",
                "hash": "0x" + "0" * 64,
                "oid": order["oid"],
                "px": text(price),
                "side": order["side"],
                "startPosition": text(held),
                "sz": text(size),
                "time": self.now_ms,
                "fee": text(fee),
                "feeToken": "USDC",
                "tid": 118_906_512_037_719,  # a digest of two orders; here always the same, as it may be
                "cloid": order["cloid"],
            }
        )
        self.now_ms += 1

    def _cancel(self, cloid: str) -> Any:
        for row in self.orders:
            if row["order"]["cloid"] == cloid and row["status"] == "open":
                row["status"], row["statusTimestamp"] = "canceled", self.now_ms
                return "success"
        return {"error": "Order was never placed, already canceled, or filled."}

    def trade_at(self, coin: str, price: Decimal) -> None:
        """The market trades there; what it trades through is filled."""
        self.mids[coin] = price
        self.now_ms += 1_000
        for row in self.orders:
            order = row["order"]
            open_here = row["status"] == "open" and order["coin"] == coin
            if open_here and self._meets(order["side"] == "B", Decimal(order["limitPx"]), coin):
                self._fill(row)

    def trade_part(self, coin: str, price: Decimal, size: Decimal) -> None:
        """The market trades so much there, with orders that rest there or better."""
        self.mids[coin] = price
        for row in self.orders:
            order = row["order"]
            limit = Decimal(order["limitPx"])
            better = limit >= price if order["side"] == "B" else limit <= price
            if size and better and row["status"] == "open" and order["coin"] == coin:
                before = Decimal(order["sz"])
                self._fill(row, size)
                size -= before - Decimal(order["sz"])
