"""Small pieces of payloads that both venues share."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final

from tickwork.sim.exchange.book import Book, Level
from tickwork.sim.exchange.candles import MINUTE
from tickwork.sim.exchange.markets import ZERO
from tickwork.values import plain, ratio

MS: Final = 1_000_000
INTERVALS: Final[Mapping[str, int]] = {
    "1m": MINUTE,
    "3m": 3 * MINUTE,
    "5m": 5 * MINUTE,
    "15m": 15 * MINUTE,
    "30m": 30 * MINUTE,
    "1h": 60 * MINUTE,
    "2h": 120 * MINUTE,
    "4h": 240 * MINUTE,
    "6h": 360 * MINUTE,
    "8h": 480 * MINUTE,
    "12h": 720 * MINUTE,
    "1d": 1_440 * MINUTE,
}
_HALF_EVEN: Final = Context(prec=200, rounding=ROUND_HALF_EVEN)


def trimmed(value: Decimal) -> str:
    """A number without zeros at its end: ``"0.1"``, ``"50"``."""
    text = plain(value)
    return text.rstrip("0").rstrip(".") if "." in text else text


def rounded(value: Decimal, step: Decimal) -> Decimal:
    """To the nearest multiple of a power of ten, half to even."""
    return value.quantize(step, context=_HALF_EVEN)


def average(quote: Decimal, base: Decimal) -> Decimal:
    """What a unit cost; 0 of none."""
    return ratio(quote, base) if base else ZERO


def day_figures(book: Book, now: int, percent: int) -> dict[str, Any]:
    """The numbers of the last 24 hours that both venues' tickers have; the change as a share of ``percent``."""
    day = book.candles.day(now)
    assert day is not None, "a market has a price from the start"
    change = book.price - day.open
    return {
        "priceChange": trimmed(change),
        "priceChangePercent": plain(rounded(ratio(change * percent, day.open), Decimal("0.0001"))),
        "lastPrice": trimmed(book.price),
        "openPrice": trimmed(day.open),
        "highPrice": trimmed(max(day.high, book.price)),
        "lowPrice": trimmed(min(day.low, book.price)),
        "volume": trimmed(day.volume),
        "quoteVolume": trimmed(day.turnover),
    }


def level_texts(levels: list[Level]) -> list[list[str]]:
    """Price and quantity pairs of a book."""
    return [[trimmed(at), trimmed(quantity)] for at, quantity in levels]


def best_texts(book: Book) -> dict[str, str]:
    """The best bid and ask; texts of zero for an empty side."""
    bid, ask = book.best("BUY") or [ZERO, ZERO], book.best("SELL") or [ZERO, ZERO]
    return {
        "bidPrice": trimmed(bid[0]),
        "bidQty": trimmed(bid[1]),
        "askPrice": trimmed(ask[0]),
        "askQty": trimmed(ask[1]),
    }
