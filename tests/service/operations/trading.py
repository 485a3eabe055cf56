"""A session over a simulated MEXC that speaks HTTP, and calls of operations on it, from here and from elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tickwork.app import open_live
from tickwork.engines.system_clock import SystemClock
from tickwork.service.accounts.session import LiveSession
from tickwork.service.api.caller import Caller, local
from tickwork.service.api.here import Service
from tickwork.service.api.there import Remote
from tickwork.service.operations.all import CATALOGUE
from tickwork.sim.exchange import Exchange, Faults, Market, MexcApi, serving, truth

D = Decimal
BTC = "BTC/USDT"
HERE = local("http")
BUY: dict[str, Any] = {"account": "main", "symbol": BTC, "side": "buy", "quantity": "0.01"}

assert "orders.place" in CATALOGUE


@dataclass
class Place:
    """A folder with a configuration, and the exchange it names."""

    folder: Path
    exchange: Exchange
    faults: Faults

    @property
    def config(self) -> Path:
        """The configuration."""
        return self.folder / "tickwork.toml"

    def orders(self, account: str = "main") -> list[Any]:
        """The exchange's own book."""
        found: list[Any] = truth(self.exchange)["accounts"][account]["orders"]
        return found

    @asynccontextmanager
    async def up(self, *, live: bool = True) -> AsyncIterator[Calls]:
        """A session, and the service over it."""
        async with open_live(self.config, live) as session:
            service = Service(session.engine)
            service.open()
            try:
                yield Calls(session, service, Remote(str(session.files.tape)))
            finally:
                service.close()


@dataclass
class Calls:
    """A session, and what calls its operations: in its own process, and over the control socket."""

    session: LiveSession
    service: Service
    remote: Remote

    async def __call__(self, name: str, *, key: str = "", caller: Caller = HERE, **given: Any) -> Any:
        return (await self.service.call(name, given, caller, key)).value

    async def from_elsewhere(self, name: str, *, key: str = "", caller: Caller = HERE, **given: Any) -> Any:
        return (await self.remote.call(name, given, caller, key)).value


@asynccontextmanager
async def place(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, mode: str = "live", more: str = "", of_account: str = ""
) -> AsyncIterator[Place]:
    """``more``: further lines of the configuration; ``of_account``: of the account ``main``."""
    exchange = MexcApi.exchange_of(SystemClock().now)
    exchange.add_market(Market(base="BTC", quote="USDT", price=D(60_000)))
    exchange.add_account("main", key="the-key", secret="the-secret", balances={"USDT": "100000"})
    exchange.add_account("second", key="key-2", secret="secret-2", balances={"USDT": "100000"})
    faults = Faults()
    async with serving(MexcApi(exchange, faults)) as server:
        (folder / "tickwork.toml").write_text(configured(folder, server.url, mode, of_account, more))
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
        monkeypatch.setenv("MEXC_API_KEY", "the-key")
        monkeypatch.setenv("MEXC_SECRET_KEY", "the-secret")
        yield Place(folder, exchange, faults)


def configured(folder: Path, url: str, mode: str, of_account: str, more: str) -> str:
    """A configuration with one account."""
    return f"""
mode = "{mode}"
home = "{folder / "home"}"
[accounts.main]
venue = "mexc"
symbols = ["{BTC}"]
capital = "10000"
url = "{url}"
poll = "100 ms"
quotes_every = "100 ms"
reconcile_every = "1 hour"
{of_account}
[accounts.main.risk.account]
max_order_notional = "2000"
max_position_notional = "5000"
{more}
"""


async def until(holds: Callable[[], Awaitable[Any]]) -> Any:
    """What a question answers, once it answers something."""
    async with asyncio.timeout(30):
        while True:
            found = await holds()
            if found:
                return found
            await asyncio.sleep(0.02)
