"""News of orders and trades by ccxt.pro, taken as hints.

What a stream tells is only that something happened to an order or that something traded; what, is then asked for as
ever. So a message that is lost, doubled, late or in another shape cannot make a wrong order or fill, and both ways give
the same numbers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from tickwork.errors import Retryable, TickworkError
from tickwork.outcome import Found
from tickwork.trading.orders import Fill, Order
from tickwork.venues.ccxt.answers import NS_PER_MS, Reader, fill_id, text, time_ns, understood
from tickwork.venues.ccxt.looking import Looking
from tickwork.venues.ccxt.session import Session

Hint = tuple[str, str, Any]
"""``order`` or ``trade``, the symbol, and what was told; ``failed`` with an exception."""


async def listening(
    session: Session, looking: Looking, reader: Reader, symbols: Sequence[str]
) -> AsyncIterator[Order | Fill]:
    """Orders and fills in ``symbols``, as they change; ends at once where nothing streams.

    Raises:
        Retryable: the stream broke; whoever listens polls, and listens anew.
    """
    if not session.access.streams:
        return
    exchange = await session.opened()
    kinds = [(kind, method) for kind, method, has in _WATCHES if exchange.has.get(has)]
    if not kinds:
        return
    hints: asyncio.Queue[Hint] = asyncio.Queue()
    listeners = [
        asyncio.ensure_future(_listen(getattr(exchange, method), kind, symbol, hints))
        for kind, method in kinds
        for symbol in symbols
    ]
    try:
        while True:
            kind, symbol, told = await hints.get()
            if kind == "failed":
                raise Retryable(f"the stream of {reader.venue} broke: {type(told).__name__}")
            for news in await _looked(looking, reader, kind, symbol, told):
                yield news
    finally:
        for listener in listeners:
            listener.cancel()
        await asyncio.gather(*listeners, return_exceptions=True)


_WATCHES = (("order", "watch_orders", "watchOrders"), ("trade", "watch_my_trades", "watchMyTrades"))


async def _listen(watch: Any, kind: str, symbol: str, hints: asyncio.Queue[Hint]) -> None:
    try:
        while True:
            for told in list(await watch(symbol)):
                hints.put_nowait((kind, symbol, told))
    except Exception as error:  # noqa: BLE001 - whoever takes the hints raises it
        hints.put_nowait(("failed", symbol, error))


async def _looked(looking: Looking, reader: Reader, kind: str, symbol: str, told: Any) -> Sequence[Order | Fill]:
    """What has become of it. Nothing, where that cannot be told yet: polling will."""
    try:
        if kind == "trade":
            with understood("the news of a trade"):
                at = time_ns(told["timestamp"], "trade.time") // NS_PER_MS * NS_PER_MS
                number = text(told["id"], "trade.id")
            ids = [fill_id(number, "buy"), fill_id(number, "sell")]
            return [fill for fill in await looking.fills(symbol, at) if fill.fill_id in ids]
        with understood("the news of an order"):
            key = reader.profile.read(text(told["clientOrderId"], "clientOrderId"))
        found = await looking.find(key, symbol)
        return [found.value] if isinstance(found, Found) else []
    except TickworkError:
        return []
