"""Trading on any exchange that ccxt knows, as one authenticated account.

    CcxtVenue("mexc", "main", ["BTC/USDT"], key=..., secret=..., clock=clock)

MEXC and Binance have profiles (``profiles``): what their error codes mean, which raw fields must be there, how their
lists are paged. Every other exchange is traded by ccxt's structures and classes alone, more cautiously: orders are
looked for in lists, and "not found" is no proof of absence unless the user declares a bound.

**What is certain.** ``submit`` ends in one of three ways: acknowledged; certainly not taken (``Rejected``, ``NotYet``,
``NotSent``, ``InvalidInput``); or any other error, which is unknown. The table is in ``verdicts``. ccxt's own retries
stay off, a submission goes out at most once a call (``wire``), and again only after a certain no (``sending``).

**Spot only.** A quantity is in base units; contracts, which ccxt counts in contracts, are not traded here.

Proved over loopback with the real client against simulated exchanges that speak as MEXC and Binance do; no exchange
itself was tried, and none of the others but for how a client id is spelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from tickwork.errors import InvalidInput, Rejected, Retryable
from tickwork.outcome import Found, NotFound
from tickwork.trading.matching import TradingRules
from tickwork.trading.order_life import FINAL
from tickwork.trading.orders import Ack, ApprovedOrder, Fill, Order, require_approved
from tickwork.trading.venue import Balance, Capabilities, VenueReport
from tickwork.values import DurationLike, money, to_timedelta
from tickwork.values import symbol as checked_symbol
from tickwork.venues.ccxt.answers import Reader
from tickwork.venues.ccxt.listening import listening
from tickwork.venues.ccxt.looking import Looking, in_order
from tickwork.venues.ccxt.profiles import GENERIC, PROFILES
from tickwork.venues.ccxt.sending import Sending
from tickwork.venues.ccxt.session import Access, Session, retries_in
from tickwork.venues.ccxt.verdicts import Judge
from tickwork.venues.ccxt.wire import Call

ASSUMED: Final = "assumed"
"""Stands for what the profile assumes."""

_SECRETS: Final = ("password", "uid", "login", "privateKey", "walletAddress", "token", "twofa", "accountId")
_OURS: Final = ("apiKey", "secret", "verbose", "number")
_LONGEST_WINDOW: Final = timedelta(minutes=1)
_EARLY: Final = timedelta(seconds=1)
"""A request is taken whose time is so far ahead of the exchange's; it stays valid for so much longer."""


class CcxtVenue:
    """A ``VenuePort`` over an exchange of ccxt's.

    Args:
        exchange: ccxt's name of it, e.g. ``mexc``.
        account: whose orders and fills these are, in our words.
        symbols: spot pairs that the account trades; what is asked about where no symbol is named.
        key: the API key; with ``secret`` never logged, never in an error.
        secret: what requests are signed with.
        clock: ns since 1970 UTC.
        name: the venue's, in orders, fills and errors; default: the exchange's.
        url: of a gateway or a simulated exchange: it takes the place of scheme and host in every address of ccxt's.
        visibility_bound: after so long an accepted order can be found. An assumption that exactly-once rests on, ours
            for MEXC and Binance (30 s), nobody's for the others; ``None``: none is made, and what cannot be found
            stays unknown. For exchanges that know no ``recvWindow`` it includes how long a request may be under way.
        recv_window: how long a signed request is valid, where the exchange knows that; at most a minute.
        timeout: of a request. What it cuts off is unknown, so rather too long.
        max_slippage: of the limit orders that take the place of market orders where these are switched off, as a
            fraction of the price; see ``sending``.
        streams: listen with ccxt.pro, where it knows how. MEXC's stream needs the package ``protobuf``.
        sleep: waits so many seconds.
        config: further settings of ccxt's exchange.
        prepare: is given ccxt's object before its first use, e.g. to put another transport and another clock in place.

    Raises:
        InvalidInput: anything that could never work, and any retry of requests by ccxt itself.
    """

    def __init__(
        self,
        exchange: str,
        account: str,
        symbols: Iterable[str],
        *,
        key: str,
        secret: str,
        clock: Callable[[], int],
        name: str = "",
        url: str = "",
        visibility_bound: DurationLike | None = ASSUMED,
        recv_window: DurationLike = "5s",
        timeout: DurationLike = "10s",
        max_slippage: Decimal | str = "0.005",
        streams: bool = False,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        config: Mapping[str, Any] | None = None,
        prepare: Callable[[Any], object] | None = None,
    ) -> None:
        self._name = name or exchange
        self.account = account
        self.symbols = tuple(dict.fromkeys(checked_symbol(one, f"{self._name}.symbols") for one in symbols))
        window, given = to_timedelta(recv_window, f"{self._name}.recvWindow"), dict(config or {})
        self._check(window, given)
        slippage = money(max_slippage, f"{self._name}.maxSlippage")
        if not 0 <= slippage < 1:
            raise InvalidInput(f"{self._name}.maxSlippage", slippage, "a fraction from 0 to below 1; 1 means 100 %")
        for path, text in (("key", key), ("secret", secret)):
            if text and (not text.isascii() or not text.isprintable() or text != text.strip()):
                raise InvalidInput(
                    f"{self._name}.{path}", "white space or a letter that is not ASCII", f"the {path} alone"
                )
        profile = PROFILES.get(exchange, GENERIC)
        bound = profile.visibility_bound if visibility_bound == ASSUMED else visibility_bound
        self._capabilities = Capabilities(
            deduplicates=False,
            request_validity=window + _EARLY if profile.recv_window else timedelta(0),
            visibility_bound=None if bound is None else to_timedelta(bound, f"{self._name}.visibilityBound"),
            times_in_force=frozenset({"gtc", "ioc", "fok"}),
            streams=streams,
        )
        secrets = {key, secret, *(str(given[one]) for one in _SECRETS if given.get(one))} - {""}
        judge = Judge(self._name, profile, secrets)
        access = Access(
            name=self._name,
            exchange=exchange,
            key=key,
            secret=secret,
            url=url,
            recv_window_ms=window // timedelta(milliseconds=1),
            timeout_ms=to_timedelta(timeout, f"{self._name}.timeout") // timedelta(milliseconds=1),
            config=given,
            streams=streams,
            prepare=prepare,
            clock=clock,
            sleep=sleep,
        )
        self._profile = profile
        self._judge = judge
        self._session = Session(access, profile, judge)
        self._reader = Reader(self._name, account, profile, self._session.market_id)
        self._looking = Looking(self._session, self._reader, profile)
        self._sending = Sending(self._session, self._looking, self._reader, judge, profile, slippage)

    def _check(self, window: timedelta, config: Mapping[str, Any]) -> None:
        if not timedelta(milliseconds=1) <= window <= _LONGEST_WINDOW:
            raise InvalidInput(f"{self._name}.recvWindow", str(window), "1 ms to 60 s")
        for pair in self.symbols:
            if "/" not in pair or ":" in pair:
                raise InvalidInput(f"{self._name}.symbols", pair, "spot pairs, such as 'BTC/USDT'")
        if not self.symbols:
            raise InvalidInput(f"{self._name}.symbols", "none", "at least one symbol")
        found = retries_in(config, f"{self._name}.config")
        if found:
            raise InvalidInput(found, "retries", "0: a repeated submission can be a second order")
        for field in _OURS:
            if field in config:
                raise InvalidInput(f"{self._name}.config.{field}", "a value", "nothing: it is not to be set here")

    @property
    def name(self) -> str:
        """The venue's name."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """What the exchange promises, as far as its profile or the user says."""
        return self._capabilities

    def _named(self, symbol: str) -> tuple[str, ...]:
        return (symbol,) if symbol else self.symbols

    # -- orders ---------------------------------------------------------------------------------------------------

    async def submit(self, order: ApprovedOrder, key: str) -> Ack:
        """See ``VenuePort`` and ``sending``."""
        approved = require_approved(order)
        if approved.account != self.account:
            raise InvalidInput("order.account", approved.account, f"this venue's account {self.account!r}")
        return await self._sending.submit(approved, key)

    async def find(self, key: str, symbol: str) -> Found[Order] | NotFound:
        """See ``VenuePort`` and ``looking``."""
        for one in self._named(symbol):
            found = await self._looking.find(key, one)
            if isinstance(found, Found):
                return found
        return NotFound()

    async def cancel(self, key: str, symbol: str) -> Order:
        """See ``VenuePort``. Afterwards the order is looked at: what a cancel is answered with says little.

        Raises:
            Rejected: no order has this client id.
            Retryable: the order can still trade, or cannot be looked at; cancelling again is harmless.
        """
        if not symbol:
            symbol = await self._symbol_of(key)
        failure = await self._asked_to_cancel(key, symbol)
        found = await self._looking.find(key, symbol, urgent=True)
        if not isinstance(found, Found):
            if self._looking.knows(key):
                raise Retryable(
                    f"{self._name} has taken {key} and does not show it now: {failure or 'cancelled, it said'}"
                )
            raise Rejected(self._name, f"no order has the client id {key}")
        order = found.value
        if order.status in FINAL:
            return order
        if failure:
            raise Retryable(f"{self._name} did not cancel {key}, and it can still trade: {failure}")
        return replace(order, status="cancelling")

    async def _symbol_of(self, key: str) -> str:
        found = await self.find(key, "")
        if not isinstance(found, Found):
            raise Rejected(self._name, f"no order has the client id {key}")
        return found.value.symbol

    async def _asked_to_cancel(self, key: str, symbol: str) -> str:
        """Ask for it. Why the exchange did not say that it will; "" where it did.

        Raises:
            NotSent, InvalidInput, Retryable: it was not asked.
        """
        named: tuple[Any, ...] = (None, symbol, {"clientOrderId": self._profile.spelled(key)})
        if not self._profile.by_client_id:
            found = await self._looking.find(key, symbol)
            if not isinstance(found, Found) or found.value.status in FINAL:
                return "it has ended"
            named = (found.value.venue_order_id, symbol)
        call = Call(writes=True, urgent=True)
        try:
            await self._session.write(call, "cancel_order", *named)
        except Exception as error:  # whatever it was, the order itself tells
            if not call.sent:
                raise
            return self._judge.words(error)
        return ""

    async def open_orders(self) -> list[Order]:
        """See ``VenuePort``: of the symbols that this account trades."""
        return [order for one in self.symbols for order in await self._looking.open_orders(one)]

    async def fills(self, symbol: str, since: int) -> list[Fill]:
        """See ``VenuePort``. MEXC tells times to the second, and a month back."""
        return in_order([fill for one in self._named(symbol) for fill in await self._looking.fills(one, since)])

    # -- the account and the exchange -----------------------------------------------------------------------------

    async def balances(self) -> dict[str, Balance]:
        """See ``VenuePort``. An asset of which there is nothing is not named."""
        return self._reader.balances(await self._session.ask("fetch_balance", due="object"))

    async def rules(self, symbols: Collection[str] = ()) -> dict[str, TradingRules]:
        """See ``VenuePort``. Of all that are listed, those whose steps cannot be read are left out."""
        if not symbols:
            exchange = await self._session.opened()
            named = [one for one, market in exchange.markets.items() if market.get("spot")]
        else:
            named = list(symbols)
        found: dict[str, TradingRules] = {}
        for one in named:
            market = await self._session.market(one)
            if market is None:
                continue
            try:
                found[one] = self._session.rules(self._reader, market)
            except Retryable:
                if symbols:
                    raise
        return found

    async def examine(self) -> VenueReport:
        """Clock and permissions. A key that is not accepted raises.

        Raises:
            InvalidInput: the key or its secret is wrong.
            Retryable: the exchange cannot be reached.
        """
        exchange = await self._session.opened()
        notes: list[str] = []
        skew = None
        if exchange.has.get("fetchTime"):
            skew = timedelta(microseconds=await self._session.set_clock() // 1_000)
        else:
            notes.append(f"{self._name} does not tell its time: the clock was not compared")
        account = await self._session.ask("fetch_balance", due="object")
        trade, withdraw = await self._rights(exchange, account, notes)
        missing = [one for one in self.symbols if await self._session.market(one) is None]
        if missing:
            notes.append(f"{self._name} does not list {', '.join(missing)}")
        if self._capabilities.visibility_bound is None:
            notes.append(
                f"no visibility bound is declared for {self._name}: an order whose submission got lost, and that cannot"
                " be found, stays unknown until a person says what became of it"
            )
        return VenueReport(clock_skew=skew, may_read=True, may_trade=trade, may_withdraw=withdraw, notes=tuple(notes))

    async def _rights(
        self, exchange: Any, account: Mapping[str, Any], notes: list[str]
    ) -> tuple[bool | None, bool | None]:
        if self._profile.rights is None:
            notes.append(f"{self._name} was not asked what the key may: make sure that it cannot withdraw")
            return None, None
        told = await self._session.ask_this(self._profile.rights, exchange, account.get("info") or {})
        trade, withdraw = (one if isinstance(one, bool) else None for one in told)
        if withdraw is None:
            notes.append(f"{self._name} did not say whether the key may withdraw")
        return trade, withdraw

    def updates(self) -> AsyncIterator[Order | Fill]:
        """See ``VenuePort`` and ``listening``."""
        return listening(self._session, self._looking, self._reader, self.symbols)

    async def close(self) -> None:
        """Let go of connections."""
        await self._session.close()
