"""Hyperliquid's ``/info``: markets, an account's orders, fills and state. Asks, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from decimal import Decimal
from typing import Any, Final

from tickwork.errors import InvalidInput, NotSent, Retryable
from tickwork.trading.matching import TradingRules
from tickwork.trading.orders import Fill, Order
from tickwork.values import EXACT
from tickwork.venues.hyperliquid.answers import Listed, client_id, read_fill, read_order
from tickwork.venues.hyperliquid.markets import Market, is_perpetual, read_markets
from tickwork.venues.hyperliquid.signing import cloid
from tickwork.venues.wire import Row, Wire, listed

STALE_NS: Final = 10_000_000_000
"""A book, or a state without an order in it, that is older says nothing."""

_NS_PER_MS: Final = 1_000_000
_LISTS_EVERY_NS: Final = 20_000_000_000
_SETTLED_NS: Final = 60_000_000_000
_PAGE_FILLS: Final = 500
_REMEMBERED: Final = 20_000
_HALF: Final = Decimal("0.5")


class Info:
    """What there is to ask of one account.

    Args:
        wire: to Hyperliquid.
        address: of the account, lower case.
        account: its name here, in orders and fills.
        clock: ns since 1970 UTC.

    Every method may raise ``InvalidInput`` (an answer that cannot be, naming the field), ``NotSent``, ``Unanswered`` or
    another ``Retryable`` (too many questions, a fault there).
    """

    def __init__(self, wire: Wire, address: str, account: str, clock: Callable[[], int]) -> None:
        self._wire = wire
        self._name = wire.venue
        self._address = address
        self._account = account
        self._clock = clock
        self._markets: dict[str, Market] = {}
        self._coins: dict[str, Market] = {}
        self._client_ids: dict[int, str] = {}
        """Of orders seen, by Hyperliquid's number."""
        self._lists: tuple[int, dict[str, int]] = (-_LISTS_EVERY_NS, {})
        """When the two lists of orders were last asked for, and the numbers of the orders in them by client id."""

    async def ask(self, kind: str, **about: Any) -> Any:
        """The answer to one question."""
        answer = await self._wire.call("POST", "/info", json={"type": kind, **about})
        told = self._wire.told(answer)
        if answer.status == 429 or answer.status >= 500:
            raise Retryable(f"{self._name}: {kind} was answered {told}")
        if answer.status != 200:
            raise InvalidInput(self._at(kind), told, "an answer of 200")
        return self._wire.json(answer, kind)

    def _at(self, kind: str) -> str:
        return f"{self._name}: {kind}"

    async def _mine(self, kind: str, **about: Any) -> Any:
        return await self.ask(kind, user=self._address, **about)

    # -- markets --------------------------------------------------------------------------------------------------

    async def rules(self, symbols: Collection[str]) -> dict[str, TradingRules]:
        """What is asked of orders, with the tick that holds at the contracts' marks now."""
        kind = "metaAndAssetCtxs"
        answer = await self.ask(kind)
        if not isinstance(answer, list) or len(answer) != 2:
            raise InvalidInput(self._at(kind), repr(answer)[:80], "a list of two")
        markets = self._learn(Row(answer[0], f"{self._at(kind)}[0]"))
        contexts = listed(answer[1], f"{self._at(kind)}[1]")
        if len(contexts) != len(markets):
            raise InvalidInput(f"{self._at(kind)}[1]", len(contexts), f"{len(markets)} rows, one for each contract")
        wanted = [
            (market, context)
            for market, context in zip(markets, contexts, strict=True)
            if market.listed and (not symbols or market.symbol in symbols)
        ]
        return {market.symbol: market.rules(context.price("markPx")) for market, context in wanted}

    def _learn(self, meta: Row) -> list[Market]:
        markets = read_markets(meta)
        self._markets = {market.symbol: market for market in markets}
        self._coins = {market.coin: market for market in markets}
        return markets

    async def market(self, symbol: str) -> Market | None:
        """The contract of a symbol; ``None``: there is none."""
        if symbol not in self._markets:
            self._learn(Row(await self.ask("meta"), self._at("meta")))
        return self._markets.get(symbol)

    async def _of_coin(self, coin: str) -> Market:
        if coin not in self._coins:
            self._learn(Row(await self.ask("meta"), self._at("meta")))
        if coin not in self._coins:
            raise InvalidInput(f"{self._at('meta')}.universe", "nothing", f"the contract {coin}")
        return self._coins[coin]

    async def middle(self, market: Market, *, fresh: bool) -> Decimal:
        """The middle of the book.

        Raises:
            Retryable: a side is empty, or the book is old where it must be fresh.
        """
        book = Row(await self.ask("l2Book", coin=market.coin), self._at("l2Book"))
        age = self._clock() - book.millis("time")
        if fresh and abs(age) > STALE_NS:
            raise Retryable(f"{self._name}: the book of {market.symbol} is {age / 1e9:.1f} s old by this clock")
        sides = book.values("levels")
        if len(sides) != 2:
            raise InvalidInput(book.at("levels"), len(sides), "two sides")
        bids, asks = (listed(side, book.at("levels")) for side in sides)
        if not bids or not asks:
            raise Retryable(f"{self._name}: the book of {market.symbol} has an empty side")
        return EXACT.multiply(EXACT.add(bids[0].price("px"), asks[0].price("px")), _HALF)

    async def leverage(self, market: Market) -> tuple[int, bool]:
        """What is set for the account in a contract: leverage, and whether margin is cross."""
        row = Row(await self._mine("activeAssetData", coin=market.coin), self._at("activeAssetData")).row("leverage")
        return row.whole("value"), row.one_of("type", ("cross", "isolated")) == "cross"

    # -- the account ----------------------------------------------------------------------------------------------

    async def state(self) -> Row:
        """``clearinghouseState``: margin and positions."""
        return Row(await self._mine("clearinghouseState", dex=""), self._at("clearinghouseState"))

    async def positions(self, state: Row) -> dict[str, Decimal]:
        """Contracts held, by symbol; below zero for a short."""
        found: dict[str, Decimal] = {}
        for row in state.rows("assetPositions"):
            position = row.row("position")
            coin, size = position.text("coin"), position.amount("szi")
            if size and is_perpetual(coin):
                found[(await self._of_coin(coin)).symbol] = size
        return found

    async def role(self, address: str) -> tuple[str, str]:
        """What an address is, and whose: an agent's or a sub-account's master, else ``""``."""
        row = Row(await self.ask("userRole", user=address), self._at("userRole"))
        word = row.text("role")
        field = {"agent": "user", "subAccount": "master"}.get(word)
        return word, "" if field is None else row.row("data").text(field).lower()

    # -- orders ---------------------------------------------------------------------------------------------------

    async def order(self, key: str) -> Order | None:
        """The order of a client id, by its status, then in the lists of orders; ``None``: not found, as of now.

        Raises:
            Retryable: not found, by a server that is behind.
        """
        found = await self._status(cloid(key))
        if found is None:
            oid = (await self._numbers()).get(key)
            if oid is not None:
                found = await self._status(oid)
                if found is None:
                    raise Retryable(f"{self._name} lists order {key} and shows no status of it")
        if found is not None:
            return (await self._summed([found]))[0]
        age = self._clock() - (await self.state()).millis("time")
        if abs(age) > STALE_NS:
            raise Retryable(f"{self._name} shows no order {key}, but its state is {age / 1e9:.1f} s old by this clock")
        return None

    async def open_orders(self) -> list[Order]:
        """Orders that can still trade, oldest first."""
        kind = "frontendOpenOrders"
        rows = listed(await self._mine(kind, dex=""), self._at(kind))
        found = [await self._read(row, None) for row in rows if is_perpetual(row.text("coin"))]
        return sorted(await self._summed(found), key=lambda order: (order.time, int(order.venue_order_id)))

    async def _status(self, order: str | int) -> Listed | None:
        row = Row(await self._mine("orderStatus", oid=order), self._at("orderStatus"))
        if row.one_of("status", ("order", "unknownOid")) == "unknownOid":
            return None
        outer = row.row("order")
        return await self._read(outer.row("order"), outer)

    async def _numbers(self) -> dict[str, int]:
        """Numbers of open and of latest orders, by client id; asked for at most every twenty seconds."""
        now = self._clock()
        asked, numbers = self._lists
        if now - asked >= _LISTS_EVERY_NS:
            rows = listed(await self._mine("frontendOpenOrders", dex=""), self._at("frontendOpenOrders"))
            latest = listed(await self._mine("historicalOrders"), self._at("historicalOrders"))
            rows += [row.row("order") for row in latest]
            numbers = {client_id(row.text("cloid")): row.whole("oid") for row in rows if row.has("cloid")}
            self._lists = (now, numbers)
        return numbers

    async def _read(self, row: Row, status: Row | None) -> Listed:
        market = await self._of_coin(row.text("coin"))
        read = read_order(row, status, market, self._name, self._account)
        self._remember(read.oid, read.order.client_order_id)
        return read

    def _remember(self, oid: int, key: str) -> None:
        self._client_ids[oid] = key
        while len(self._client_ids) > _REMEMBERED:
            del self._client_ids[next(iter(self._client_ids))]

    async def _summed(self, orders: Collection[Listed]) -> list[Order]:
        """The orders with the sums of their fills."""
        traded = [one.order.time for one in orders if one.order.filled or one.order.status == "cancelled"]
        fills = await self._read_fills(await self._traded(min(traded))) if traded else []
        settled = self._clock() - _SETTLED_NS
        return [one.with_fills(fills, one.since < settled) for one in orders]

    # -- fills ----------------------------------------------------------------------------------------------------

    async def fills(self, since: int) -> list[Fill]:
        """Fills at ``since`` or later with their client ids, in order of time."""
        rows = await self._traded(since)
        for row in rows:
            oid = row.whole("oid")
            if not row.has("cloid") and oid not in self._client_ids:
                await self._status(oid)  # remembers; an order that is not found is nobody's
        fills = await self._read_fills(rows)
        return sorted((fill for fill in fills if fill.time >= since), key=lambda fill: fill.rank)

    async def _read_fills(self, rows: Iterable[Row]) -> list[Fill]:
        return [
            read_fill(row, await self._of_coin(row.text("coin")), self._client_ids, self._name, self._account)
            for row in rows
        ]

    async def _traded(self, since: int) -> list[Row]:
        """Rows of fills in contracts, page by page: the last time of a page begins the next."""
        kind, begin = "userFillsByTime", max(since, 0) // _NS_PER_MS
        found: dict[tuple[int, str, int], Row] = {}
        while True:
            page = listed(await self._mine(kind, startTime=begin, aggregateByTime=False), self._at(kind))
            found |= {(row.whole("time"), row.text("coin"), row.whole("tid")): row for row in page}
            if len(page) < _PAGE_FILLS:
                break
            last = max(row.whole("time") for row in page)
            if last == begin:
                raise InvalidInput(self._at(kind), f"{len(page)} fills at {last}", "fewer of one millisecond")
            begin = last
        return [row for (_, coin, _), row in found.items() if is_perpetual(coin)]


def not_sent(error: Exception) -> NotSent:
    """What failed while an order was being made ready: it was not sent."""
    return error if isinstance(error, NotSent) else NotSent(str(error))
