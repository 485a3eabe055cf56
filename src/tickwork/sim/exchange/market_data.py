"""Market data as Binance spot shapes it, and MEXC after it: what both answer alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tickwork.sim.exchange.api import MS, ApiError, Call, Parameters, VenueApi
from tickwork.sim.exchange.book import Book
from tickwork.sim.exchange.markets import Market


class MarketData(VenueApi):
    """Public routes that need no word of the venue's own but that for a parameter that is missing."""

    @staticmethod
    def missing(name: str) -> ApiError:
        """The venue's code and words for a parameter that was not sent."""
        raise NotImplementedError

    def market(self, parameters: Parameters) -> Market:
        """The market that a request names.

        Raises:
            ApiError: it names none, or one that is not there.
        """
        if not parameters.get("symbol"):
            raise self.missing("symbol")
        market = self.exchange.markets.get(parameters["symbol"])
        if market is None:
            raise ApiError(-1121, "Invalid symbol.")
        return market

    def ping(self, call: Call) -> Any:
        """``{}``."""
        return {}

    def time(self, call: Call) -> Any:
        """``{"serverTime": 1499827319559}``."""
        return {"serverTime": self.exchange.server_time() // MS}

    def per_market(self, call: Call, one: Callable[[Book], dict[str, Any]]) -> Any:
        """An answer for the market that is named, a list of all where none is."""
        if call.parameters.get("symbol"):
            return one(self.book(self.market(call.parameters)))
        return [one(book) for book in self.exchange.books.values()]
