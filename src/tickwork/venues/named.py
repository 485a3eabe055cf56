"""Venues by name: what a configuration calls ``mexc``, ``alpaca`` or ``hyperliquid`` becomes an adapter."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from tickwork.errors import InvalidInput
from tickwork.trading.venue import VenuePort

OWN: Final = ("alpaca", "hyperliquid")
"""Those with adapters of their own; every other name is an exchange of ccxt's."""

_OF_HYPERLIQUID: Final = ("vault", "isolated", "slippage", "validity", "visibility", "timeout")
_OF_ALPACA: Final = ("fractional", "timeout")
_BOUNDS: Final = ("visibility", "visibility_bound")
NONE: Final = "none"
"""Of a bound: none is declared, and what cannot be found stays unknown. TOML has no other word for it."""
_OF_CCXT: Final = ("visibility_bound", "recv_window", "timeout", "max_slippage", "streams", "config")


def venue_named(
    venue: str,
    account: str,
    symbols: Sequence[str],
    *,
    key: str,
    secret: str,
    real: bool,
    clock: Callable[[], int],
    sleep: Callable[[float], Awaitable[object]],
    url: str = "",
    settings: Mapping[str, Any] | None = None,
) -> VenuePort:
    """The adapter of a venue; nothing is asked of it yet.

    Args:
        venue: its name.
        account: in our words.
        key: or, for Hyperliquid, the address of the account.
        secret: or, for Hyperliquid, the private key of its agent.
        real: the venue where money is real, not its test one, for those that have two.
        url: of a gateway or a simulated venue, instead of its own.
        settings: of the adapter, see its constructor.

    Raises:
        InvalidInput: a setting that it does not have or that cannot be.
    """
    given: dict[str, Any] = {
        name: None if name in _BOUNDS and value == NONE else value for name, value in (settings or {}).items()
    }
    if venue == "alpaca":
        from tickwork.venues.alpaca.venue import LIVE, PAPER, AlpacaVenue  # noqa: PLC0415 - heavy, and one of many

        _check(account, given, _OF_ALPACA)
        return AlpacaVenue(key, secret, clock=clock, account=account, host=url or (LIVE if real else PAPER), **given)
    if venue == "hyperliquid":
        from tickwork.venues.hyperliquid.venue import HyperliquidVenue  # noqa: PLC0415

        _check(account, given, _OF_HYPERLIQUID)
        return HyperliquidVenue(secret, address=key, clock=clock, account=account, mainnet=real, host=url, **given)
    from tickwork.venues.ccxt.venue import CcxtVenue  # noqa: PLC0415

    _check(account, given, _OF_CCXT)
    return CcxtVenue(venue, account, symbols, key=key, secret=secret, clock=clock, sleep=sleep, url=url, **given)


def _check(account: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise InvalidInput(f"accounts.{account}.settings.{name}", given[name], f"one of {', '.join(known)}")
