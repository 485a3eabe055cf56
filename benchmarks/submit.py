"""A quote to its order on the wire, and to its acknowledgement, beside a bare ccxt script at the same server.

The simulated MEXC runs in a process of its own. Both sides use ccxt's client over the loopback, without its rate
limiter, in turns of twenty-five orders. The script does what scripts do: it sends a market order and believes the
answer. Ours goes from the posted quote through a run, the gate and the intent on disk. "On the wire" is when ccxt hands
the request to its HTTP client.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import uvloop

from benchmarks.figures import Figure
from benchmarks.peers.disk import Fsyncs
from benchmarks.setting import ROOT, Setting, folder, percentile
from tickwork import Engine, Event, Run, workflow
from tickwork.engines.system_clock import SystemClock
from tickwork.market.bars import Quote
from tickwork.sim.exchange.clients import ccxt_urls
from tickwork.trading.desk import Desk
from tickwork.trading.gate import RiskGate, RiskLimits
from tickwork.trading.halt import Halt
from tickwork.trading.ledger import Ledger
from tickwork.trading.orders import ApprovedOrder, OrderIntent
from tickwork.trading.reservations import Reservations
from tickwork.venues.ccxt.venue import CcxtVenue

SPOT = "BTC/USDT"
PRICE = Decimal(60_000)
QUANTITY = Decimal("0.001")
TURN = 25
WARM = 2
"""Turns that are not counted."""
CLOCK = SystemClock()


class Told(Event, name="bench/told"):
    """A price that is to be acted on."""

    n: int


@dataclass(slots=True)
class Side:
    """Seconds from the quote, of one way of sending."""

    began: float = 0.0
    wire: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)

    def watch(self, client: Any) -> None:
        """Note when a request is handed over."""
        client.enableRateLimit = False
        inner = client.fetch

        async def fetch(url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
            if method == "POST":
                self.wire.append(time.perf_counter() - self.began)
            return await inner(url, method, headers, body)

        client.fetch = fetch

    def done(self) -> None:
        """The order is acknowledged."""
        self.answered.append(time.perf_counter() - self.began)

    def forget(self) -> None:
        """What was a warm-up."""
        self.wire.clear()
        self.answered.clear()


_desk: list[Desk] = []
_ours = Side()


def _wanted(run: Run, n: int) -> OrderIntent:
    return OrderIntent(
        account="main",
        owner=run.owner,
        workflow="bench-order",
        symbol=SPOT,
        side="buy",
        quantity=QUANTITY,
        reference_price=PRICE,
        reference_time=CLOCK.now(),
        reference_source="bench",
        reason=str(n),
    )


@workflow("bench-order", on=Told)
async def order(run: Run, told: Told) -> str:
    """Buys."""
    placement = await _desk[0].place(run, _wanted(run, told.n))
    placement.require()
    _ours.done()
    return placement.outcome


def measure(setting: Setting) -> None:
    """All of it; then the adapter alone, without engine and disk."""
    turns = setting.pick(40, 6)
    ours, script, adapter, fsync = uvloop.run(_measured(turns))
    if not len(ours.wire) == len(ours.answered) == len(script.wire) == len(adapter.wire) == turns * TURN:
        raise RuntimeError("not every order was sent and answered once")
    for name, mine, theirs in (
        ("order-quote-to-wire", ours.wire, script.wire),
        ("order-quote-to-ack", ours.answered, script.answered),
        ("submit-to-wire", adapter.wire, script.wire),
        ("submit-to-ack", adapter.answered, script.answered),
    ):
        for share in (0.5, 0.99):
            value, peer = (percentile(taken, share) * 1e3 for taken in (mine, theirs))
            notes = {"orders": len(mine), "fsyncP50Ms": round(fsync, 3)}
            label = f"{name}-p{round(share * 100)}"
            setting.add(Figure(label, value, "ms", f"bare ccxt p{round(share * 100)}", peer, notes=notes))


async def _measured(turns: int) -> tuple[Side, Side, Side, float]:
    script, adapter = Side(), Side()
    async with _server() as server, _client(server, script) as client, _venues(server, adapter) as (mine, alone):
        with folder() as path:
            disk = Fsyncs(path)
            rules = await mine.rules([SPOT])
            quote = Quote(symbol=SPOT, venue="mexc", time_ns=CLOCK.now(), bid=PRICE, ask=PRICE)
            vast = Decimal("1e12")
            limits = RiskLimits(max_order_notional=vast, max_position_notional=vast, max_quote_age="1 day")
            gate = RiskGate(limits, rules)
            approved = _approval(gate, quote)
            async with Engine(f"sqlite:///{path}/tape.db", workflows=[order]) as engine:
                for turn in range(turns + WARM):
                    if turn == WARM:
                        for side in (script, adapter, _ours):
                            side.forget()
                    disk.sample()
                    _desk[:] = [_fresh_desk(mine, gate, quote)]
                    for n in range(TURN):
                        await _scripted(client, script, f"s{turn:015}{n:016}")
                        _ours.began = time.perf_counter()
                        engine.post(Told(n=turn * TURN + n))
                        await engine.idle()
                        adapter.began = time.perf_counter()
                        await alone.submit(approved, f"{turn:016x}{n:016x}")
                        adapter.done()
            disk.close()
    return _ours, script, adapter, disk.p50 * 1e3


def _fresh_desk(venue: CcxtVenue, gate: RiskGate, quote: Quote) -> Desk:
    """An account in the morning: nobody follows these orders, and they would pile up in it."""
    ledger = Ledger({"USDT": Decimal("1e12")})
    return Desk("main", venue=venue, gate=gate, ledger=ledger, quotes=lambda _: quote, clock=CLOCK.now, halt=Halt())


def _approval(gate: RiskGate, quote: Quote) -> ApprovedOrder:
    wanted = OrderIntent(
        account="main",
        owner="bench",
        workflow="bench",
        symbol=SPOT,
        side="buy",
        quantity=QUANTITY,
        reference_price=PRICE,
        reference_time=quote.time_ns,
    )
    decision = gate.check(
        wanted, ledger=Ledger(), reservations=Reservations(), quote=quote, now=quote.time_ns, halt=Halt()
    )
    if decision.approval is None:
        raise RuntimeError(f"the gate refused: {decision.refusal}")
    return gate.seal(decision.approval)


async def _scripted(client: Any, side: Side, client_id: str) -> None:
    side.began = time.perf_counter()
    await client.create_order(SPOT, "market", "buy", float(QUANTITY), None, {"clientOrderId": client_id})
    side.done()


@contextlib.asynccontextmanager
async def _server() -> AsyncIterator[dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tickwork.sim.exchange", "--venue", "mexc", "--balance", "USDT=1000000000000"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield json.loads(await process.stdout.readline())
    finally:
        process.terminate()
        await process.wait()


@contextlib.asynccontextmanager
async def _client(server: dict[str, Any], side: Side) -> AsyncIterator[Any]:
    import ccxt.async_support  # noqa: PLC0415 - seconds, and only here

    options = {"fetchMarkets": {"types": {"spot": True, "swap": {"linear": False, "inverse": False}}}}
    client = ccxt.async_support.mexc({"apiKey": server["key"], "secret": server["secret"], "options": options})
    client.urls["api"] = ccxt_urls("mexc", server["url"])
    client.timeout_on_exit = 0
    side.watch(client)
    await client.load_markets()
    try:
        yield client
    finally:
        await client.close()


@contextlib.asynccontextmanager
async def _venues(server: dict[str, Any], adapter: Side) -> AsyncIterator[tuple[CcxtVenue, CcxtVenue]]:
    made = [
        CcxtVenue(
            "mexc",
            "main",
            [SPOT],
            key=server["key"],
            secret=server["secret"],
            url=server["url"],
            clock=CLOCK.now,
            prepare=side.watch,
        )
        for side in (_ours, adapter)
    ]
    for venue in made:
        await venue.rules([SPOT])
    try:
        yield made[0], made[1]
    finally:
        for venue in made:
            await venue.close()
