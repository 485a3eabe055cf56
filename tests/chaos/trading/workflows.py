"""What trades while the process is killed: a file of workflows, as ``tickwork up`` loads it.

Each event says one piece of work. A workflow tries its order until the gate lets it through, the halt stands, or it has
tried often; whatever was said to it, it comes to its end.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from tickwork import Event, NotSent, Rejected, Retry, Run, Stale, TimedOut, When, Workflow, workflow
from tickwork.service.accounts.trading import Trading
from tickwork.trading.desk import Placement
from tickwork.trading.order_life import FINAL
from tickwork.trading.orders import Order, OrderIntent
from tickwork.values import rounded_down

ACCOUNT: Final = "main"
TRIES: Final = 60
PAUSE: Final = timedelta(milliseconds=300)
PATIENT: Final = Retry(limit=1_000, delay="200 ms", backoff="fixed")
SIZES: Final = {"BTC/USDT": Decimal("0.001"), "ETH/USDT": Decimal("0.02"), "SOL/USDT": Decimal("0.4")}
TICK: Final = Decimal("0.01")
KINDS: Final = ("burst", "rest", "near", "ioc", "dust", "out", "chain")


class Trade(Event, name="chaos/trade", version=1):
    """A piece of work."""

    n: int
    kind: str
    symbol: str
    left: int = 0
    """Of a chain: how many links are to follow."""


class Desk:
    """What the workflows have in common."""

    def __init__(self, trading: Trading) -> None:
        self._trading = trading

    async def tried(self, run: Run, trade: Trade, part: str, side: str = "buy", **terms: Any) -> list[str]:
        """Place an order; the client ids that came of it, at most one."""
        for attempt in range(TRIES):
            try:
                placed = await self._placed(run, trade, f"{trade.n}/{part}/{attempt}", side, dict(terms))
            except (NotSent, Stale, TimedOut):
                await run.sleep(PAUSE)
                continue
            if placed.ack is not None:
                return [placed.ack.client_order_id]
            if placed.outcome == "rejected" or (placed.refusal is not None and placed.refusal.rule in ENDING):
                return []
            await run.sleep(PAUSE)
        return []

    async def _placed(self, run: Run, trade: Trade, reason: str, side: str, terms: dict[str, Any]) -> Placement:
        provider = self._trading.providers.get("")
        book = await run.step("book", provider.orderbook, trade.symbol, 1, retry=PATIENT)
        near = book.asks[0].price if side == "buy" else book.bids[0].price
        at = terms.pop("at", None)
        if at is not None:
            terms |= {"type": "limit", "limit_price": rounded_down(book.bids[0].price * Decimal(at), TICK)}
        intent = OrderIntent(
            account=ACCOUNT,
            owner=run.owner,
            workflow=trade.kind,
            symbol=trade.symbol,
            side=side,  # type: ignore[arg-type]
            quantity=terms.pop("quantity", SIZES[trade.symbol]),
            reference_price=near,
            reference_time=book.time,
            reference_source=book.recording,
            reference_offset=book.offset,
            reason=reason,
            **terms,
        )
        return await self._trading.trader.place(run, intent)

    async def cancelled(self, run: Run, client_order_id: str) -> str:
        """Cancel until it has ended; how."""
        while True:
            try:
                order: Order = await self._trading.trader.cancel(run, client_order_id)
            except (NotSent, Rejected, TimedOut):  # it was acknowledged: a denial is of a venue that lags
                status = ""
            else:
                status = order.status
            if status in FINAL:
                return status
            await run.sleep(PAUSE)


ENDING: Final = frozenset({"halt", "reduce_only"})
"""Refusals after which nothing is tried again."""


def workflows(trading: Trading) -> list[Workflow]:
    """All of them, on one account."""
    desk = Desk(trading)

    @workflow("burst", on=When(Trade, "kind == 'burst'"))
    async def burst(run: Run, trade: Trade) -> list[list[str]]:
        return await run.all(*(desk.tried(run, trade, f"buy{number}") for number in range(3)))

    @workflow("rest", on=When(Trade, "kind == 'rest'"))
    async def rest(run: Run, trade: Trade) -> list[str]:
        found = await desk.tried(run, trade, "rest", at="0.9")
        await run.sleep(timedelta(milliseconds=400))
        return [await desk.cancelled(run, key) for key in found]

    @workflow("near", on=When(Trade, "kind == 'near'"))
    async def near(run: Run, trade: Trade) -> list[str]:
        found = await desk.tried(run, trade, "near", at="1")
        await run.sleep(timedelta(milliseconds=900))
        return [await desk.cancelled(run, key) for key in found]

    @workflow("ioc", on=When(Trade, "kind == 'ioc'"))
    async def ioc(run: Run, trade: Trade) -> list[str]:
        return await desk.tried(run, trade, "ioc", at="1.002", time_in_force="ioc")

    @workflow("dust", on=When(Trade, "kind == 'dust'"))
    async def dust(run: Run, trade: Trade) -> list[str]:
        return await desk.tried(run, trade, "dust", at="0.99", time_in_force="ioc")

    @workflow("out", on=When(Trade, "kind == 'out'"))
    async def out(run: Run, trade: Trade) -> list[str]:
        return await desk.tried(run, trade, "out", "sell", reduce_only=True, quantity=SIZES[trade.symbol] * 2)

    @workflow("chain", on=When(Trade, "kind == 'chain'"))
    async def chain(run: Run, trade: Trade) -> list[str]:
        found = await desk.tried(run, trade, "link")
        if trade.left:
            await run.sleep(timedelta(milliseconds=250))
            await run.emit(Trade(n=trade.n, kind="chain", symbol=trade.symbol, left=trade.left - 1))
        return found

    return [burst, rest, near, ioc, dust, out, chain]
