"""The desk: orders a second through gate, reservation, intent on disk and outcome, on one account and over a thousand.

The venue answers at once, so what is measured is ours. Beside it stand as many bare effects on the same disk: the price
of the intents and outcomes alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import uvloop

from benchmarks.figures import Figure, at_least
from benchmarks.setting import Setting, folder, median
from tickwork import Engine, Event, Run, Workflow, workflow
from tickwork.market.bars import Quote
from tickwork.outcome import Found, NotFound
from tickwork.trading.desk import Desk
from tickwork.trading.gate import RiskGate
from tickwork.trading.halt import Halt
from tickwork.trading.ledger import Ledger
from tickwork.trading.limits import RiskLimits
from tickwork.trading.matching import TradingRules
from tickwork.trading.orders import Ack, ApprovedOrder, Order, OrderIntent
from tickwork.trading.venue import Capabilities

D = Decimal
BTC = "BTC/USDT"
RULES = {BTC: TradingRules(symbol=BTC, price_tick=D("0.01"), quantity_step=D("0.0001"))}
GATE = RiskGate(RiskLimits(max_order_notional=D(1_000), max_position_notional=D("1e12")), RULES)


class Place(Event, name="bench/place"):
    """Place an order on an account."""

    account: int
    n: int


class Instant:
    """A venue that takes every order at once."""

    name = "instant"
    capabilities = Capabilities(deduplicates=True)

    async def submit(self, order: ApprovedOrder, key: str) -> Ack:
        return Ack(venue=self.name, client_order_id=key, venue_order_id=key, status="acknowledged")

    async def find(self, key: str, symbol: str) -> Found[Order] | NotFound:
        return NotFound()


def desk(name: str) -> Desk:
    venue: Any = Instant()
    return Desk(
        name,
        venue=venue,
        gate=GATE,
        ledger=Ledger({"USDT": D("1e12")}),
        quotes=lambda symbol: Quote(symbol, "instant", time.time_ns(), D(100), D(100)),
        clock=time.time_ns,
        halt=Halt(),
    )


def placing(accounts: int) -> Workflow:
    desks = [desk(f"account-{number}") for number in range(accounts)]

    @workflow("place")
    async def place(run: Run, wanted: Place) -> str:
        at = desks[wanted.account]
        intent = OrderIntent(
            account=at.account,
            owner=run.owner,
            workflow="place",
            symbol=BTC,
            side="buy",
            type="limit",
            quantity=D("0.01"),
            limit_price=D("99.00"),
            reference_price=D(100),
        )
        return (await at.place(run, intent)).outcome

    return place


async def nothing(n: int, *, key: str) -> int:
    return n


@workflow("bare")
async def bare(run: Run, wanted: Place) -> int:
    return await run.effect("nothing", nothing, wanted.n)


async def rate(make: Callable[[int], Workflow], accounts: int, orders: int) -> float:
    """Runs a second, all started at once."""
    with folder() as path:
        placed = make(accounts)
        async with Engine(f"sqlite:///{path}/tape.db", workflows=[placed]) as engine:
            began = time.perf_counter()
            handles = [engine.start_soon(placed, Place(account=n % accounts, n=n)) for n in range(orders)]
            for handle in handles:
                result = await handle.result()
                assert placed is bare or result == "accepted"
            return orders / (time.perf_counter() - began)


def measure(setting: Setting) -> None:
    """Orders a second beside bare effects."""
    orders, rounds = setting.pick(4_000, 400), setting.pick(3, 1)
    effects = median([uvloop.run(rate(lambda _: bare, 1, orders)) for _ in range(rounds)])
    for name, accounts in (("desk-one-account", 1), ("desk-1000-accounts", 1_000)):
        placed = median([uvloop.run(rate(placing, accounts, orders)) for _ in range(rounds)])
        setting.add(Figure(name, placed, "orders/s", "bare effects/s", effects, at_least(0.2)))
