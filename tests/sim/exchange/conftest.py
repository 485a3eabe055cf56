"""What the tests of the simulated exchange share: one that is ready to trade, and a way to ask it without a client."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from tickwork.sim.exchange import (
    BinanceApi,
    Dropped,
    Faults,
    Market,
    MexcApi,
    Outcome,
    Reply,
    Request,
    VenueApi,
    signature_of,
)

START = 1_790_000_000_000_000_000


class Clock:
    """A clock that is set by hand; ns."""

    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> int:
        return self.at

    def pass_seconds(self, seconds: float) -> None:
        self.at += int(seconds * 1e9)


class Desk:
    """Asks a venue as a client would, and reads the answers."""

    def __init__(self, kind: type[VenueApi], **settings: Any) -> None:
        self.clock = Clock()
        self.exchange = kind.exchange_of(self.clock, **settings)
        self.exchange.add_market(Market(base="BTC", quote="USDT", price=Decimal(60_000)))
        self.exchange.add_market(Market(base="ETH", quote="USDT", price=Decimal(3_000)))
        self.account = self.exchange.add_account("main", "key", "secret", {"USDT": 100_000, "BTC": 5})
        self.faults = Faults(1)
        self.api = kind(self.exchange, self.faults)

    @property
    def market(self) -> Market:
        return self.exchange.markets["BTCUSDT"]

    def outcome(
        self, method: str, path: str, signed: bool = True, secret: str = "secret", key: str = "key", **fields: Any
    ) -> Outcome:
        if signed:
            fields = {"timestamp": self.clock() // 1_000_000, **fields}
        query = urlencode(fields)
        if signed:
            query += "&signature=" + signature_of(query, secret)
        headers = {self.api.key_header: key} if signed else {}
        return self.api.handle(Request(method, path, query, headers))

    def ask(self, method: str, path: str, signed: bool = True, **fields: Any) -> Any:
        reply = self.outcome(method, path, signed, **fields)
        assert isinstance(reply, Reply), reply
        return msgspec.json.decode(reply.body)

    def buy(self, client_id: str | None = None, **fields: Any) -> Any:
        """A limit buy that rests, unless told otherwise."""
        given = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "0.1", "price": "50000"}
        if isinstance(self.api, BinanceApi):
            given["timeInForce"] = "GTC"
        named = {"newClientOrderId": client_id} if client_id else {}
        return self.ask("POST", "/api/v3/order", **{**given, **named, **fields})

    def order(self, client_id: str, **fields: Any) -> Any:
        return self.ask("GET", "/api/v3/order", symbol="BTCUSDT", origClientOrderId=client_id, **fields)

    def cancel(self, client_id: str) -> Any:
        return self.ask("DELETE", "/api/v3/order", symbol="BTCUSDT", origClientOrderId=client_id)

    def list(self, path: str, **fields: Any) -> Any:
        return self.ask("GET", f"/api/v3/{path}", symbol="BTCUSDT", **fields)

    def control(self, method: str, name: str, body: Any = None, **query: Any) -> Any:
        text = "" if body is None else msgspec.json.encode(body).decode()
        reply = self.api.handle(Request(method, f"/_control/{name}", urlencode(query), {}, text))
        assert isinstance(reply, Reply)
        return msgspec.json.decode(reply.body)

    def is_dropped(self, outcome: Outcome) -> bool:
        return isinstance(outcome, Dropped)


@pytest.fixture
def mexc() -> Desk:
    return Desk(MexcApi)


@pytest.fixture
def binance() -> Desk:
    return Desk(BinanceApi)


@pytest.fixture(params=["mexc", "binance"])
def desk(request: pytest.FixtureRequest) -> Desk:
    kinds: Mapping[str, type[VenueApi]] = {"mexc": MexcApi, "binance": BinanceApi}
    return Desk(kinds[request.param])
