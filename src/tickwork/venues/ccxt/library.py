"""ccxt itself: loaded late, its classes by name, its addresses moved, its numbers as texts.

It takes two seconds and a hundred megabytes, so nothing here imports it before it is needed. Loading blocks: an event
loop has it done in a thread.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit

from tickwork.errors import InvalidInput

HEAD_START: Final = 250.0
"""In ccxt's units of cost: of MEXC's lists of markets one is 25, the other 100; an order is 1."""


def is_loaded() -> bool:
    """Has this process paid for it already?"""
    return "ccxt.pro" in sys.modules


def library(asked_by: str) -> Any:
    """The module ``ccxt``, with ``ccxt.async_support`` and ``ccxt.pro`` in it.

    Raises:
        InvalidInput: it cannot be imported. ``asked_by`` is the path that the error names.
    """
    try:
        import ccxt.pro  # noqa: PLC0415 - seconds, and a hundred megabytes
    except ImportError as error:
        found = f"ccxt cannot be imported ({error})"
        raise InvalidInput(asked_by, found, "the extra: pip install 'tickwork[ccxt]'") from None
    return ccxt


def exchange_class(asked_by: str, exchange: str, *, streams: bool) -> Callable[[Mapping[str, Any]], Any]:
    """ccxt's class of an exchange; ``streams``: the one that also listens (it is a subclass of the other).

    Raises:
        InvalidInput: no ccxt, or no such exchange.
    """
    ccxt = library(asked_by)
    module = ccxt.pro if streams else ccxt.async_support
    if exchange not in module.exchanges:
        such = "an exchange that ccxt streams from" if streams else "an exchange that ccxt knows, such as 'binance'"
        raise InvalidInput(asked_by, exchange, such)
    made: Callable[[Mapping[str, Any]], Any] = getattr(module, exchange)
    return made


def moved(addresses: Any, url: str) -> Any:
    """ccxt's addresses at another scheme and host; those of its streams keep to web sockets."""
    if isinstance(addresses, Mapping):
        return {name: moved(address, url) for name, address in addresses.items()}
    if not isinstance(addresses, str):
        return addresses
    there, parts = urlsplit(url), urlsplit(addresses)
    secure = there.scheme == "https"
    scheme = ("wss" if secure else "ws") if parts.scheme in ("ws", "wss") else there.scheme
    path = f"{there.path.rstrip('/')}{parts.path}"
    return f"{scheme}://{there.netloc}{path}" + (f"?{parts.query}" if parts.query else "")


def number_text(number: Any) -> str | Decimal | int | None:
    """A float, where a parser insists on making one, by its shortest text that reads back the same."""
    return repr(number) if isinstance(number, float) else number


def retry_after_s(headers: Mapping[str, str] | None) -> float | None:
    """What ``Retry-After`` asks for, in seconds; ``None`` where it says nothing usable."""
    text = next((value for name, value in (headers or {}).items() if name.lower() == "retry-after"), "")
    return float(text[:9]) if text.isascii() and text.isdigit() else None


def head_start(exchange: Any) -> None:
    """Let ccxt's limiter pass the first requests at once: a few seconds' worth of its units of cost.

    It begins empty, and the list of markets, which comes first, is dear: what comes next would wait for seconds. No
    exchange counts so narrowly; MEXC allows 500 in ten seconds.
    """
    bucket = getattr(exchange, "tokenBucket", None)
    if bucket and hasattr(exchange, "init_throttler"):
        exchange.tokenBucket = {**bucket, "tokens": HEAD_START}
        exchange.init_throttler()
