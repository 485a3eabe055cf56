"""One authenticated client of ccxt's: made late, set right, wrapped, and asked.

Everything that leaves for the exchange goes through ``ask`` (reads) or ``write`` (submissions and cancels), so that
what became of it on the wire is known (``wire``), its errors are ours (``verdicts``) and a ban is sat out: after 418 or
429 with ``Retry-After`` nothing is asked before its time, because asking makes a ban longer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tickwork.errors import InvalidInput, NotSent, Retryable, TickworkError
from tickwork.trading.matching import TradingRules
from tickwork.values import NS_PER_SECOND, duration_text
from tickwork.venues.ccxt.answers import NS_PER_MS, Reader, mapping, time_ns, understood
from tickwork.venues.ccxt.library import exchange_class, head_start, is_loaded, library, moved, retry_after_s
from tickwork.venues.ccxt.profiles import Profile
from tickwork.venues.ccxt.verdicts import Judge
from tickwork.venues.ccxt.wire import Call, Due, Lane, Nonsense, calling, silence, watch

Sleep = Callable[[float], Awaitable[object]]
"""Waits so many seconds."""

RETRIES: Final = "maxRetriesOnFailure"
RELOAD_NS: Final = 5 * NS_PER_SECOND
"""The list of markets is not asked for more often, however many unknown symbols are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach an account at an exchange."""

    name: str
    exchange: str
    key: str = field(repr=False)
    secret: str = field(repr=False)
    url: str
    recv_window_ms: int
    timeout_ms: int
    config: Mapping[str, Any] = field(repr=False)
    streams: bool
    prepare: Callable[[Any], object] | None
    clock: Callable[[], int]
    sleep: Sleep


def retries_in(config: Any, path: str) -> str:
    """The path at which a configuration asks ccxt to repeat failed requests by itself; "" where it does not."""
    if isinstance(config, Mapping):
        for name, value in config.items():
            if str(name).lower() in (RETRIES.lower(), f"default{RETRIES}".lower()) and value:
                return f"{path}.{name}"
            found = retries_in(value, f"{path}.{name}")
            if found:
                return found
    return ""


class Session:
    """A client of ccxt's, and how it is asked.

    Args:
        access: to what.
        profile: what is known of the exchange.
        judge: reads its errors.
    """

    def __init__(self, access: Access, profile: Profile, judge: Judge) -> None:
        self.access = access
        self._profile = profile
        self._judge = judge
        self._exchange: Any = None
        self._opening = asyncio.Lock()
        self._loaded_ns = 0
        self._rests_until = 0
        self._rules: dict[str, TradingRules] = {}
        """Of the markets as they were last told."""

    # -- opening --------------------------------------------------------------------------------------------------

    async def opened(self) -> Any:
        """The client, its markets loaded and its time set by the exchange's.

        Raises:
            InvalidInput: no such exchange, or a key it turns away.
            Retryable: it cannot be reached, or says nothing of use.
        """
        if self._exchange is not None:
            return self._exchange
        async with self._opening:
            if self._exchange is not None:
                return self._exchange
            if not is_loaded():
                # the loop has better things to do than to load it
                await asyncio.to_thread(library, f"{self.access.name}.exchange")
            made = self._made()
            try:
                if made.has.get("fetchTime"):
                    await self.set_clock(made)
                await self._load(made)
            except BaseException:
                await made.close()
                raise
            self._exchange = made
        return self._exchange

    def _made(self) -> Any:
        access = self.access
        cls = exchange_class(f"{access.name}.exchange", access.exchange, streams=access.streams)
        config = dict(access.config)
        options = {**self._profile.options, **config.pop("options", {})}
        if self._profile.recv_window:
            options["recvWindow"] = access.recv_window_ms
        credentials = {"apiKey": access.key, "secret": access.secret}
        made = cls({"enableRateLimit": True, "timeout": access.timeout_ms, **config, **credentials, "options": options})
        silence(made)
        made.number = str  # numbers as the exchange wrote them
        made.has.update(self._profile.has)
        head_start(made)
        made.enableLastHttpResponse = made.enableLastJsonResponse = False
        if access.url:
            made.urls["api"] = moved(made.urls["api"], access.url)
            if access.url.startswith("http://"):
                made.timeout_on_exit = 0  # there for TLS to say goodbye
        if access.prepare is not None:
            access.prepare(made)
        found = retries_in(made.options, f"{access.name}.config.options")
        if found:
            raise InvalidInput(found, "retries", "0: a repeated submission can be a second order")
        try:
            if access.key or access.secret or access.config:  # without any only what is public is asked
                made.check_required_credentials()
        except library(access.name).AuthenticationError as error:
            raise self._judge.without_key(self._judge.words(error)) from None
        pace = self._profile.order_pace_s
        watch(made, Lane(made.rateLimit / 1_000 if pace is None else pace, self._seconds, access.sleep))
        return made

    def _seconds(self) -> float:
        return self.access.clock() / NS_PER_SECOND

    async def _load(self, made: Any, *, reload: bool = False) -> None:
        self._loaded_ns = self.access.clock()
        markets = await self._asked(made.load_markets, (reload,), Call())
        if not markets:
            raise Retryable(f"{self.access.name} told of no markets")
        self._rules.clear()

    async def close(self) -> None:
        """Let go of connections."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            await exchange.close()

    # -- asking ---------------------------------------------------------------------------------------------------

    def check_rest(self) -> None:
        """Are we banned?

        Raises:
            NotSent: nothing is asked yet.
        """
        left = self._rests_until - self.access.clock()
        if left > 0:
            raise NotSent(f"{self.access.name} wants to be left alone for another {duration_text(left)}: nothing sent")

    async def ask(self, method: str, *args: Any, due: Due | None = None, urgent: bool = False) -> Any:
        """What a reading method of ccxt's answers. ``due``: what the exchange's answer has to be, under a profile.

        Raises:
            InvalidInput: the key is not accepted.
            Retryable: anything else that went wrong.
        """
        exchange = await self.opened()
        call = Call(due=due if self._profile.strict else None, urgent=urgent)
        told = await self._asked(getattr(exchange, method), args, call)
        if call.due == "list" and isinstance(call.answer, list) and len(told) != len(call.answer):
            # ccxt leaves out what it cannot place
            raise Nonsense(f"of {len(call.answer)} entries {len(call.answer) - len(told)} cannot be read")
        return told

    async def ask_this(self, question: Callable[..., Any], *args: Any) -> Any:
        """What some reading function that uses ccxt gives.

        Raises:
            InvalidInput: the key is not accepted.
            Retryable: anything else that went wrong.
        """
        await self.opened()
        return await self._asked(question, args, Call())

    async def ask_one(self, method: str, *args: Any, urgent: bool = False) -> Any | None:
        """As ``ask``, of one order; ``None`` where the exchange says that it does not exist."""
        exchange = await self.opened()
        call = Call(due="object" if self._profile.strict else None, urgent=urgent)
        try:
            return await self._asked(getattr(exchange, method), args, call, raw=True)
        except TickworkError:
            raise
        except Exception as error:  # noqa: BLE001 - told apart here
            if self._judge.is_absent(error, call):
                return None
            raise self._judge.reading(error, call) from None

    async def _asked(self, asked: Callable[..., Any], args: tuple[Any, ...], call: Call, *, raw: bool = False) -> Any:
        self.check_rest()
        again = self._profile.recv_window and self._exchange is not None
        while True:
            try:
                with calling(call):
                    return await asked(*args)
            except Exception as error:
                self._note_rest(call)
                if again and call.sent and self._judge.meaning(error, call) == "clock":
                    again = False
                    await self.set_clock()
                    continue
                if raw:
                    raise
                raise self._judge.reading(error, call) from None

    async def write(self, call: Call, method: str, *args: Any) -> Any:
        """Let something out that may change something. Its errors come as they are: the caller judges them."""
        self.check_rest()
        exchange = await self.opened()
        try:
            with calling(call):
                return await getattr(exchange, method)(*args)
        except Exception:
            self._note_rest(call)
            raise

    def _note_rest(self, call: Call) -> None:
        after_s = retry_after_s(call.headers)
        if call.status in (418, 429) and after_s is not None:
            self._rests_until = max(self._rests_until, self.access.clock() + int(after_s * NS_PER_SECOND))

    # -- the clock ------------------------------------------------------------------------------------------------

    async def set_clock(self, exchange: Any = None) -> int:
        """Sign by the exchange's clock from now on; its clock less ours, in ns.

        Raises:
            Retryable: it does not tell the time.
        """
        made = exchange or await self.opened()
        skew_ns = await self._skew_ns(made)
        made.options["timeDifference"] = -skew_ns // NS_PER_MS
        return skew_ns

    async def _skew_ns(self, made: Any) -> int:
        before = self.access.clock()
        call = Call(urgent=True)
        self.check_rest()
        try:
            with calling(call):
                told = await made.fetch_time()
        except Exception as error:  # noqa: BLE001 - raised as ours
            self._note_rest(call)
            raise self._judge.reading(error, call) from None
        after = self.access.clock()
        with understood("the time"):
            server = time_ns(told, "serverTime")
        # as of the middle of the request, and of the millisecond that is told
        return server + NS_PER_MS // 2 - (before + after) // 2

    # -- markets --------------------------------------------------------------------------------------------------

    async def market(self, symbol: str) -> Mapping[str, Any] | None:
        """ccxt's market; ``None`` where the exchange lists no such spot pair. A symbol that is new is looked for.

        Raises:
            Retryable: the exchange cannot be asked.
        """
        exchange = await self.opened()
        if symbol not in exchange.markets and self.access.clock() - self._loaded_ns >= RELOAD_NS:
            await self._load(exchange, reload=True)
        market = exchange.markets.get(symbol)
        return mapping(market, symbol) if market is not None and market.get("spot") else None

    def market_id(self, symbol: str) -> str | None:
        """The exchange's own name for a symbol; ``None`` where it lists no such."""
        market = None if self._exchange is None else self._exchange.markets.get(symbol)
        return None if market is None else str(market["id"])

    def rules(self, reader: Reader, market: Mapping[str, Any]) -> TradingRules:
        """What the exchange asks of orders in a market that was told.

        Raises:
            Nonsense: steps that cannot be.
        """
        symbol = str(market["symbol"])
        known = self._rules.get(symbol)
        if known is None:
            tick_size = library(self.access.name).TICK_SIZE
            known = self._rules[symbol] = reader.rules(market, self._exchange.precisionMode == tick_size)
        return known
