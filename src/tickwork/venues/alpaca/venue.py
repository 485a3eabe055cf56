"""Alpaca as a venue: US shares and crypto pairs, one account, over its Trading API v2.

    AlpacaVenue(key, secret, clock=clock, host=PAPER)

Symbols are Alpaca's, which are ours: ``AAPL``, ``BRK.B``, ``BTC/USD``. Options are neither traded nor shown.

**Exactly once.** Alpaca keeps client order ids unique within an account: the same id again is refused with 422, code
40010001, "client_order_id must be unique", also after the first order has ended
(https://github.com/alpacahq/alpaca-py/issues/260). That this holds for good is assumed; no page limits it. So a resend
is answered by the order that is there. Every other no is believed only once no order has the id: which of its checks
Alpaca makes first is written nowhere, and a resend of an accepted order may well lack the buying power it used up.

**Reductions** do not exist at Alpaca; a sell beyond the position would sell short. So a reduction is cut to what the
position has free of open orders, one reduction in a symbol at a time, and says ``position_intent`` (``sell_to_close``,
``buy_to_close``), which Alpaca compares with the position it finds: "position intent mismatch, inferred: sell_to_open,
specified: sell_to_close". Crypto has no shorts there, and no such field. What a resting order would sell is not free: a
stop beside a resting take-profit gets through only once that is cancelled.

**Time.** Orders are for regular hours. A market order for shares is a ``day`` order (given outside the session it
waits for the next opening); limit orders are ``gtc``, ``ioc`` or ``fok``. Alpaca takes fractions of a share only on
``day`` orders: a limit order for a fraction is rejected here, one that reduces is cut to whole shares. Its clock is
not asked before an order: whether to trade off the session is the gate's to judge.

**Fees.** No commission. What regulators charge is booked at the end of the day, and crypto's fee is taken in the
asset; neither is in a fill, so reconciliation shows them as differences of the balance.

Tried against a server on the loopback that answers as Alpaca's documents say; never against Alpaca.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

from tickwork.errors import InvalidInput, NotSent, Rejected, Retryable
from tickwork.outcome import Found, NotFound
from tickwork.trading.matching import TradingRules
from tickwork.trading.order_life import FINAL, WORKING
from tickwork.trading.orders import ZERO, Ack, ApprovedOrder, Fill, Order, require_approved
from tickwork.trading.venue import Balance, Capabilities, VenueReport
from tickwork.values import EXACT, DurationLike, from_ns, plain, rounded_down
from tickwork.venues.alpaca.answers import (
    Listed,
    Named,
    Position,
    is_crypto,
    is_option_fill,
    read_fill,
    read_name,
    read_order,
    read_position,
    read_rules,
)
from tickwork.venues.wire import Answer, Row, Unanswered, Wire, listed

PAPER: Final = "https://paper-api.alpaca.markets"
LIVE: Final = "https://api.alpaca.markets"

_UNDER_WAY: Final = timedelta(seconds=15)
"""So long a request may be under way."""
_NS_PER_MS: Final = 1_000_000
_WHOLE: Final = Decimal(1)
_PAGE_ORDERS: Final = 500
_PAGE_FILLS: Final = 100
_FEW: Final = 10
_REMEMBERED: Final = 20_000
"""So many orders are kept, to say whose fills are."""
_TWIN: Final = re.compile(r"client[\s_-]?order[\s_-]?id must be unique", re.IGNORECASE)
_KEY: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)


class AlpacaVenue:
    """A ``VenuePort`` onto one Alpaca account.

    Args:
        key: ``APCA-API-KEY-ID``.
        secret: ``APCA-API-SECRET-KEY``; neither appears in any error.
        clock: ns since 1970 UTC; only to say how far Alpaca's is off.
        account: its name here, in orders and fills.
        host: ``PAPER`` or ``LIVE``; the keys of one are none at the other.
        name: the venue's name in orders, fills and errors.
        fractional: may orders be for fractions of a share?
        timeout: of one exchange with Alpaca.

    Raises:
        InvalidInput: a key that is empty or cannot be in a header, a host that is none.
    """

    def __init__(
        self,
        key: str,
        secret: str,
        *,
        clock: Callable[[], int],
        account: str = "main",
        host: str = PAPER,
        name: str = "alpaca",
        fractional: bool = False,
        timeout: DurationLike = "10s",
    ) -> None:
        for field, value in (("key", key), ("secret", secret)):
            if not value or not value.isascii() or not value.isprintable() or value != value.strip():
                found = "an empty text" if not value else "white space or a letter that is not ASCII"
                raise InvalidInput(f"{name}.{field}", found, "the key as Alpaca shows it")
        headers = {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret}
        self._wire = Wire(name, host, headers=headers, secrets=(key, secret), timeout=timeout)
        self._name = name
        self._account = account
        self._clock = clock
        self._fractional = fractional
        self._named: dict[str, Named] = {}
        """Orders seen, by Alpaca's id."""
        self._reducing: dict[str, asyncio.Lock] = {}

    # -- the port -------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The venue's name."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """It deduplicates client ids (see the module's text).

        Its requests have no end to their validity; that none arrives later than a while is assumed. Until then the no
        to a resend would say nothing.
        """
        return Capabilities(
            deduplicates=True,
            request_validity=_UNDER_WAY,
            visibility_bound=None,
            times_in_force=frozenset({"gtc", "ioc", "fok"}),
            shorts=True,
        )

    async def rules(self, symbols: Collection[str] = ()) -> dict[str, TradingRules]:
        """What it asks of orders; of all it lists when none is named (a list of some megabytes)."""
        if symbols:
            answers = [await self._wire.call("GET", f"/v2/assets/{quote(name, safe='')}") for name in symbols]
            rows = [self._row(answer) for answer in answers if not self._is_absent(answer)]
        else:
            rows = self._rows(await self._wire.call("GET", "/v2/assets", params={"status": "active"}))
        found = [read_rules(row, self._fractional) for row in rows if row.text("class") != "us_option"]
        return {rule.symbol: rule for rule in found if rule is not None}

    async def submit(self, order: ApprovedOrder, key: str) -> Ack:
        """Send an order; see ``VenuePort.submit``, and the module's text on reductions.

        Raises:
            Rejected, NotSent, InvalidInput: certain that there is no such order.
            Unanswered: unknown.
        """
        require_approved(order)
        if not _KEY.fullmatch(key):
            raise InvalidInput("key", key, "a client id of 32 hex digits")
        if order.account != self._account:
            raise Rejected(self._name, f"unknown account {order.account}")
        if not order.reduce_only:
            return await self._send(order, key, order.quantity)
        async with self._reducing.setdefault(order.symbol, asyncio.Lock()):
            return await self._reduce(order, key)

    async def find(self, key: str, symbol: str = "") -> Found[Order] | NotFound:
        """The order of a client id: asked for by it, then looked for among the latest 500."""
        found = await self._by_client_id(key)
        if found is None:
            params = {"status": "all", "limit": str(_PAGE_ORDERS), "direction": "desc"}
            latest = await self._orders(params | ({"symbols": symbol} if symbol else {}))
            found = next((one for one in latest if one.order.client_order_id == key), None)
        return NotFound() if found is None else Found((await self._summed([found]))[0])

    async def cancel(self, key: str, symbol: str = "") -> Order:
        """Cancel; an order that has ended is returned as it is.

        Raises:
            Rejected: no order has this client id.
            Unanswered: nobody knows whether it was cancelled; cancelling again is harmless.
        """
        found = await self.find(key, symbol)
        if isinstance(found, NotFound):
            raise Rejected(self._name, f"no order has client id {key}")
        if found.value.status in FINAL:
            return found.value
        answer = await self._wire.call("DELETE", f"/v2/orders/{quote(found.value.venue_order_id, safe='')}")
        accepted = answer.status in (200, 204)
        if not accepted and answer.status not in (404, 422):  # these say that it is not open any more
            self._may_not(answer)
            if answer.status == 429:
                raise NotSent(f"{self._name}: {self._wire.told(answer)}")
            raise self._lost(answer, "nobody knows whether it was cancelled")
        try:
            after = await self.find(key, symbol)
        except (InvalidInput, NotSent) as error:  # of a look after the fact: they are certain of nothing
            raise self._lost(answer, f"what became of the order could not be looked up: {error}") from None
        if isinstance(after, NotFound):
            raise self._lost(answer, "the order has vanished from its lists")
        order = after.value
        return replace(order, status="cancelling") if accepted and order.status in WORKING else order

    async def open_orders(self) -> list[Order]:
        """Orders that can still trade, oldest first, other programs' too."""
        params = {"status": "open", "limit": str(_PAGE_ORDERS), "direction": "asc"}
        found: dict[str, Listed] = {}
        while True:
            page = self._rows(await self._wire.call("GET", "/v2/orders", params=params))
            before = len(found)
            found |= {one.id: one for one in self._read_orders(page)}
            if len(page) < _PAGE_ORDERS:
                return [order for order in await self._summed(found.values()) if order.status not in FINAL]
            if len(found) == before:
                raise InvalidInput(f"{self._name}: GET /v2/orders", "the same page twice", "the next page")
            params["after"] = page[-1].text("submitted_at")

    async def fills(self, symbol: str, since: int) -> list[Fill]:
        """Fills in ``symbol`` (in all when it is ``""``) at ``since`` or later, in order of time."""
        bare = symbol.replace("/", "")
        rows = [row for row in await self._activities(since) if bare in ("", row.text("symbol").replace("/", ""))]
        await self._name_orders({row.text("order_id") for row in rows})
        fills = [fill for fill in self._read_fills(rows) if fill.time >= since and symbol in ("", fill.symbol)]
        return sorted(fills, key=lambda fill: fill.rank)

    async def balances(self) -> dict[str, Balance]:
        """Cash and holdings by asset, shares by ticker, below zero for a short.

        Held are the cash that open limit buys may spend (Alpaca does not say what it holds for market orders) and what
        of a holding open orders would trade. Cash includes the proceeds of shorts.
        """
        account = self._row(await self._wire.call("GET", "/v2/account"))
        positions = await self._positions()
        spending = [order for order in await self.open_orders() if order.side == "buy" and order.limit_price]
        held = sum((EXACT.multiply(order.remaining, order.limit_price or ZERO) for order in spending), ZERO)
        found = {account.text("currency"): Balance(total=account.amount("cash"), held=held)}
        for position in positions:
            if position.asset in found:
                raise InvalidInput(f"{self._name}: GET /v2/positions", position.asset, "each asset once")
            locked = abs(EXACT.subtract(position.quantity, position.free))
            found[position.asset] = Balance(total=position.quantity, held=locked)
        return found

    async def examine(self) -> VenueReport:
        """Keys, clock and permissions, looked at without trading."""
        asked = self._clock()
        clock = self._row(await self._wire.call("GET", "/v2/clock"))
        skew_ns = clock.instant("timestamp") - (asked + self._clock()) // 2
        account = self._row(await self._wire.call("GET", "/v2/account"))
        notes = [
            "the market is open" if clock.flag("is_open") else f"the market is closed until {clock.text('next_open')}"
        ]
        status = account.text("status")
        blocks = [
            name for name in ("trading_blocked", "account_blocked", "trade_suspended_by_user") if account.flag(name)
        ]
        notes += [f"the account is {status}"] if status != "ACTIVE" else []
        notes += [f"the account says {name}" for name in blocks]
        notes += [] if account.flag("shorting_enabled") else ["the account may not sell short"]
        notes += ["the account is marked as a pattern day trader"] if account.flag("pattern_day_trader") else []
        notes.append("Alpaca does not say whether a key may move money out")
        return VenueReport(
            clock_skew=timedelta(microseconds=skew_ns // 1_000),
            may_read=True,
            may_trade=status == "ACTIVE" and not blocks,
            notes=tuple(notes),
        )

    async def updates(self) -> AsyncIterator[Order | Fill]:
        """Nothing streams here; ask."""
        return
        yield  # pragma: no cover - what makes this a generator

    async def close(self) -> None:
        """Let the connections go."""
        await self._wire.close()

    # -- submitting -----------------------------------------------------------------------------------------------

    async def _reduce(self, order: ApprovedOrder, key: str) -> Ack:
        """A reduction, cut to the position. What fails before the wire is ``NotSent``."""
        try:
            position = await self._position(order.symbol)
        except InvalidInput as error:
            if error.path == f"{self._name}.key":
                raise
            raise NotSent(str(error)) from None
        except Retryable as error:
            raise NotSent(str(error)) from None
        if position is None or (position.quantity > 0) != (order.side == "sell"):
            held = f"the position is {ZERO if position is None else position.quantity}"
            return await self._no(order, key, f"a {order.side} has nothing to reduce in {order.symbol}: {held}")
        quantity = min(order.quantity, abs(position.free))
        if order.type == "limit" and not is_crypto(order.symbol):
            quantity = rounded_down(quantity, _WHOLE)
        if quantity <= 0:
            free = f"of {position.quantity}, open orders leave {position.free}"
            return await self._no(order, key, f"nothing is left to reduce in {order.symbol}: {free}")
        return await self._send(order, key, quantity)

    async def _position(self, symbol: str) -> Position | None:
        answer = await self._wire.call("GET", f"/v2/positions/{quote(symbol.replace('/', ''), safe='')}")
        return None if self._is_absent(answer) else read_position(self._row(answer))

    def _body(self, order: ApprovedOrder, key: str, quantity: Decimal) -> dict[str, Any]:
        """As https://docs.alpaca.markets/reference/postorder.

        Raises:
            Rejected: a fraction of a share on an order that is not for the day.
        """
        crypto = is_crypto(order.symbol)
        terms = {
            "symbol": order.symbol,
            "qty": plain(quantity),
            "side": order.side,
            "type": order.type,
            "time_in_force": order.time_in_force if order.type == "limit" or crypto else "day",
            "client_order_id": key,
        }
        if not crypto and order.type == "limit" and EXACT.remainder(quantity, _WHOLE):
            raise Rejected(self._name, f"a limit order for {plain(quantity)} shares: fractions need a market order")
        if order.limit_price is not None:
            terms["limit_price"] = plain(order.limit_price)
        if order.reduce_only and not crypto:
            terms["position_intent"] = f"{order.side}_to_close"
        return terms

    async def _send(self, order: ApprovedOrder, key: str, quantity: Decimal) -> Ack:
        answer = await self._wire.call("POST", "/v2/orders", json=self._body(order, key, quantity))
        if answer.status in (200, 201):
            return self._accepted(order, key, answer)
        if answer.status == 429:
            raise NotSent(f"{self._name}: {self._wire.told(answer)}")
        self._may_not(answer)
        refusal = self._refusal(answer)
        if refusal is None:
            raise self._lost(answer, "nobody knows whether it was accepted")
        return await self._no(order, key, refusal)

    async def _no(self, order: ApprovedOrder, key: str, why: str) -> Ack:
        """A no, to be believed once no order has the client id: a resend may be refused for what the first one took."""
        try:
            known = await self._by_client_id(key)
        except (InvalidInput, Retryable) as error:  # of a look after the fact: they are certain of nothing
            raise Unanswered(
                self._name, f"{why}; whether there is such an order cannot be looked up: {error}"
            ) from None
        if known is not None:
            return self._same(known, order)
        if _TWIN.search(why):
            raise Unanswered(self._name, f"{why}; but it shows no order of this client id")
        raise Rejected(self._name, why)

    def _accepted(self, order: ApprovedOrder, key: str, answer: Answer) -> Ack:
        try:
            known = self._read_orders([Row(self._wire.json(answer), f"{self._name}: {answer.what}")])
        except InvalidInput as error:
            raise self._lost(answer, f"accepted, in words that cannot be read: {error}") from None
        if not known or (known[0].order.client_order_id, known[0].order.symbol) != (key, order.symbol):
            raise self._lost(answer, "it answers about another order")
        if known[0].order.status == "rejected":
            raise Rejected(self._name, known[0].order.reason)
        return known[0].order.ack()

    def _same(self, known: Listed, order: ApprovedOrder) -> Ack:
        """The acknowledgement of an order that is there already.

        Raises:
            Rejected: its client id was used for other terms, or it was rejected.
        """
        there = known.order
        agrees = (there.symbol, there.side, there.type, there.limit_price) == (
            order.symbol,
            order.side,
            order.type,
            order.limit_price,
        )
        cut = order.reduce_only and there.quantity <= order.quantity
        if not agrees or not (cut or there.quantity == order.quantity):
            raise Rejected(self._name, f"client id {there.client_order_id} was used for another order")
        if there.status == "rejected":
            raise Rejected(self._name, there.reason)
        return there.ack()

    def _refusal(self, answer: Answer) -> str | None:
        """Why Alpaca itself said no; ``None`` where the answer is somebody else's, e.g. a proxy's."""
        if answer.status not in (400, 403, 404, 422):
            return None
        try:
            row = self._error(answer)
            code = f"{row.whole('code')} " if row.has("code") else ""
            return f"{answer.status} {code}{self._wire.clean(row.text('message'))}"
        except InvalidInput:
            return None

    # -- asking ---------------------------------------------------------------------------------------------------

    async def _by_client_id(self, key: str) -> Listed | None:
        answer = await self._wire.call("GET", "/v2/orders:by_client_order_id", params={"client_order_id": key})
        if self._is_absent(answer):
            return None
        found = self._read_orders([self._row(answer)])
        if not found or found[0].order.client_order_id != key:
            raise InvalidInput(f"{self._name}: {answer.what}", self._wire.told(answer), f"the order of {key}")
        return found[0]

    async def _orders(self, params: dict[str, str]) -> list[Listed]:
        return self._read_orders(self._rows(await self._wire.call("GET", "/v2/orders", params=params)))

    def _read_orders(self, rows: Iterable[Row]) -> list[Listed]:
        found: list[Listed] = []
        for row in rows:
            self._remember(row)
            read = read_order(row, self._name, self._account)
            found += [] if read is None else [read]
        return found

    def _read_fills(self, rows: Iterable[Row]) -> list[Fill]:
        return [read_fill(row, self._named, self._name, self._account) for row in rows]

    def _remember(self, row: Row) -> None:
        """Fills name their order by Alpaca's id only."""
        self._named[row.text("id")] = read_name(row)
        while len(self._named) > _REMEMBERED:
            del self._named[next(iter(self._named))]

    async def _summed(self, orders: Collection[Listed]) -> list[Order]:
        """The orders with the sums of their fills."""
        traded = [one.order.time for one in orders if one.order.filled]
        fills = self._read_fills(await self._activities(min(traded) - 1_000 * _NS_PER_MS)) if traded else []
        return [one.with_fills(fills) for one in orders]

    async def _activities(self, since: int) -> list[Row]:
        """Rows of fills from about ``since``; as https://docs.alpaca.markets/reference/getaccountactivitiesbyactivitytype-1."""
        params = {"direction": "asc", "page_size": str(_PAGE_FILLS)}
        if since > 0:  # a little earlier: whether the bound is included is not said
            params["after"] = from_ns(max(since - _NS_PER_MS, 0)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        found: dict[str, Row] = {}
        while True:
            page = self._rows(await self._wire.call("GET", "/v2/account/activities/FILL", params=params))
            before = len(found)
            found |= {row.text("id"): row for row in page}
            if len(page) < _PAGE_FILLS:
                return [row for row in found.values() if not is_option_fill(row)]
            if len(found) == before:
                raise InvalidInput(f"{self._name}: activities", "the same page twice", "the next page")
            params["page_token"] = page[-1].text("id")

    async def _name_orders(self, ids: set[str]) -> None:
        """Learn the client ids of orders: many by pages of the list of all, newest first, a few one by one."""
        params = {"status": "all", "limit": str(_PAGE_ORDERS), "direction": "desc"}
        while len(ids - self._named.keys()) > _FEW:
            page = self._rows(await self._wire.call("GET", "/v2/orders", params=params))
            for row in page:
                self._remember(row)
            if len(page) < _PAGE_ORDERS or params.get("until") == page[-1].text("submitted_at"):
                break
            params["until"] = page[-1].text("submitted_at")
        for one in sorted(ids - self._named.keys()):
            answer = await self._wire.call("GET", f"/v2/orders/{quote(one, safe='')}")
            if not self._is_absent(answer):
                self._remember(self._row(answer))

    async def _positions(self) -> list[Position]:
        rows: Sequence[Row] = self._rows(await self._wire.call("GET", "/v2/positions"))
        return [position for position in map(read_position, rows) if position is not None]

    # -- answers --------------------------------------------------------------------------------------------------

    def _row(self, answer: Answer) -> Row:
        self._expect_good(answer)
        return Row(self._wire.json(answer), f"{self._name}: {answer.what}")

    def _rows(self, answer: Answer) -> list[Row]:
        self._expect_good(answer)
        return listed(self._wire.json(answer), f"{self._name}: {answer.what}")

    def _error(self, answer: Answer) -> Row:
        return Row(self._wire.json(answer), f"{self._name}: {answer.what}")

    def _is_absent(self, answer: Answer) -> bool:
        """Is it Alpaca's own "not found"? A proxy's page with the same number is none."""
        return answer.status == 404 and self._refusal(answer) is not None

    def _expect_good(self, answer: Answer) -> None:
        """Raises: InvalidInput: the keys, or an answer that cannot be. Retryable: too many questions, a fault there."""
        if answer.status == 200:
            return
        self._may_not(answer)
        told = f"{answer.what} answered {self._wire.told(answer)}"
        if answer.status == 429 or answer.status >= 500:
            raise Retryable(f"{self._name}: {told}")
        raise InvalidInput(f"{self._name}: {answer.what}", self._wire.told(answer), "an answer of 200")

    def _may_not(self, answer: Answer) -> None:
        """Raises: InvalidInput: Alpaca does not know these keys."""
        if answer.status == 401 or (answer.status == 403 and b'"forbidden' in answer.body):
            expected = "keys that this host accepts (those of paper and live accounts differ)"
            raise InvalidInput(f"{self._name}.key", self._wire.told(answer), expected)

    def _lost(self, answer: Answer, why: str) -> Unanswered:
        return Unanswered(self._name, f"{answer.what}: {why}; it answered {self._wire.told(answer)}")
