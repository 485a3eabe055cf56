"""The level of a volatility index as a quote: VIX and its kin from Cboe, DVOL from Deribit, any other over JSON.

An index has a level and no spread, so its quote is a locked one (bid = ask = level), in the index's own unit: 20 is
twenty percent a year. ``Volatility(index="VIX", above=30)`` reads it.

* ``cboe_index``: Cboe's public delayed quotes, ``https://cdn.cboe.com/api/global/delayed_quotes/quotes/_VIX.json``.
  They are about 15 minutes late, so a limit of staleness must be longer, and they rest when the market does. The level
  is ``data.current_price``; its time is ``data.last_trade_time``, New York's wall clock (the ``timestamp`` beside it
  says when the file was made, in UTC). Cboe makes these files for its own pages and promises nothing: ask seldom.
* ``deribit_index``: Deribit's DVOL, ``public/get_volatility_index_data`` (https://docs.deribit.com), the close of the
  newest one-minute candle. It is named ``BTCDVOL``, ``ETHDVOL``.
* Anything else: ``HttpJsonFeed`` with a shape of its own.

Both shapes are from the services' documentation and published examples, proved against loopback servers that answer
so; neither was tried against the service itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from tickwork.errors import InvalidInput
from tickwork.market.bars import Quote
from tickwork.market.live import Kind, What
from tickwork.market.outside import at, instant_ns, read_json
from tickwork.values import DurationLike, price
from tickwork.venues.feeds.http import Web
from tickwork.venues.feeds.http_json import HttpJsonFeed, QuoteShape
from tickwork.venues.feeds.reconnecting import Backoff, Polling, Setting

CBOE_URL: Final = "https://cdn.cboe.com/api/global/delayed_quotes/quotes"
DERIBIT_URL: Final = "https://www.deribit.com/api/v2"

_CBOE_NAME: Final = re.compile(r"[A-Z][A-Z0-9]{0,9}", re.ASCII)
_MINUTE_MS: Final = 60_000


CBOE_DELAY: Final = "25 minutes"
"""How old Cboe's public quotes are: 15 minutes by its word, five between two questions, and some to spare."""


def cboe_index(
    setting: Setting,
    index: str = "VIX",
    *,
    name: str = "",
    url: str = CBOE_URL,
    every: DurationLike = "5 minutes",
    backoff: Backoff | None = None,
) -> HttpJsonFeed:
    """A feed of one of Cboe's indices: ``VIX``, ``VIX9D``, ``VIX3M``, ``VXN``, ``RVX``.

    Raises:
        InvalidInput: not the name of an index.
    """
    if not _CBOE_NAME.fullmatch(index):
        raise InvalidInput("index", index, "the name of one of Cboe's indices, such as VIX")
    return HttpJsonFeed(
        name or f"cboe-{index.lower()}",
        f"{url}/_{index}.json",
        {index: index},
        setting,
        shape=QuoteShape(price="data.current_price", time="data.last_trade_time", zone=ZoneInfo("America/New_York")),
        venue="cboe",
        every=every,
        delay=CBOE_DELAY,
        backoff=backoff,
    )


def deribit_index(
    setting: Setting,
    currency: str = "BTC",
    *,
    name: str = "",
    url: str = DERIBIT_URL,
    every: DurationLike = "1 minute",
    backoff: Backoff | None = None,
) -> DeribitIndexFeed:
    """A feed of Deribit's volatility index of a currency, as the symbol ``BTCDVOL``."""
    return DeribitIndexFeed(
        name or f"deribit-{currency.lower()}dvol", currency, setting, url=url, every=every, backoff=backoff
    )


class DeribitIndexFeed(Polling):
    """Asks for the last minutes' candles of an index and gives the newest close.

    Raises:
        InvalidInput: a currency that is none.
    """

    kinds: tuple[Kind, ...] = ("quote",)

    def __init__(
        self,
        name: str,
        currency: str,
        setting: Setting,
        *,
        url: str = DERIBIT_URL,
        every: DurationLike = "1 minute",
        backoff: Backoff | None = None,
    ) -> None:
        if not _CBOE_NAME.fullmatch(currency):
            raise InvalidInput(f"{name}.currency", currency, "a currency with an index, such as BTC or ETH")
        super().__init__(name, [f"{currency}DVOL"], setting, every=every, backoff=backoff)
        self._currency = currency
        self._web = Web(name, f"{url}/public/get_volatility_index_data", setting)
        self.secrets = self._web.secrets
        self._said: tuple[int, Decimal] | None = None

    async def _poll(self) -> Sequence[What]:
        now_ms = self.setting.now() // 1_000_000
        question = {
            "currency": self._currency,
            "start_timestamp": str(now_ms - 10 * _MINUTE_MS),
            "end_timestamp": str(now_ms),
            "resolution": "60",
        }
        answer = await self._web.get(question)
        assert answer is not None
        document = read_json(answer.body, f"{self.name}.answer")
        candles = at(document, "result.data")
        if not isinstance(candles, list) or not candles:
            raise InvalidInput(f"{self.name}.result.data", repr(candles)[:80], "at least one candle")
        # the newest candle's minute may not be over: its close is the level at this moment
        start_ns = instant_ns(at(document, "result.data.-1.0"), f"{self.name}.result.data.-1.0")
        level = price(at(document, "result.data.-1.4"), f"{self.name}.result.data.-1.4")
        if self._said == (start_ns, level):
            return []
        self._said = (start_ns, level)
        time_ns = min(self.setting.now(), start_ns + _MINUTE_MS * 1_000_000)
        return [Quote(self.symbols[0], "deribit", time_ns, level, level)]

    async def _close(self) -> None:
        await self._web.close()
