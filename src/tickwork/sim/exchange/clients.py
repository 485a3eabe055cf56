"""Pointing a ccxt client at the exchange. ccxt itself is not imported here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tickwork.errors import InvalidInput
from tickwork.sim.exchange.inprocess import CcxtSession, Wire


def ccxt_urls(venue: str, url: str) -> dict[str, Any]:
    """What ``client.urls["api"]`` has to be for a client of a venue to talk to the server at ``url``.

    Raises:
        InvalidInput: another venue than ``mexc`` or ``binance``.
    """
    if venue == "mexc":
        return {
            "spot": {"public": url, "private": url},
            "spot2": {"public": url, "private": url},
            "contract": {"public": f"{url}/api/v1/contract", "private": f"{url}/api/v1/private"},
            "broker": {"private": url},
        }
    if venue == "binance":
        return {
            "public": f"{url}/api/v3",
            "private": f"{url}/api/v3",
            "v1": f"{url}/api/v1",
            "sapi": f"{url}/sapi/v1",
            "sapiV2": f"{url}/sapi/v2",
            "sapiV3": f"{url}/sapi/v3",
            "sapiV4": f"{url}/sapi/v4",
        }
    raise InvalidInput("venue", venue, "'mexc' or 'binance'")


def ccxt_settings(wire: Wire) -> dict[str, Any]:
    """What a ccxt client is made with, beside its key and secret, to talk over a wire inside a world.

    Binance's wants ``options={"fetchMarkets": {"types": ["spot"]}}`` too: there are no contracts here. A client that
    is closed sleeps a quarter of a second of the machine's own time: set its ``timeout_on_exit`` to 0.
    """
    return {"session": CcxtSession(wire), "verify": False, "enableRateLimit": False}


def in_virtual_time(client: Any, clock: Callable[[], int]) -> None:
    """Let a ccxt client read a world's clock (ns): its timestamps, and with them its signatures, are of that time."""
    client.milliseconds = lambda: clock() // 1_000_000
