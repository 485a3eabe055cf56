"""Looking for orders and trades at an exchange, until they are found or nothing is left to look at.

**An order.** By client id; by the exchange's id, where it is known; then in the open orders, the history and the
trades. Only when each of these lists was told, and has it not, is it absent. MEXC has been seen to deny an order in one
of them that another shows.

**Trades.** An exchange tells a page at a time, and each in its own order. ``windows`` asks for a span of time and
halves it until an answer is not full, which is right whatever the order; ``ids`` goes on from a trade's number, which
is right where they ascend; ``forward`` goes on from the last time. Times asked for are whole seconds, because MEXC
tells a trade's time cut to the second: some trades just before ``since`` may be told too. A trade told twice is one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

from tickwork.errors import Retryable
from tickwork.outcome import Found, NotFound
from tickwork.trading.orders import Fill, Order
from tickwork.venues.ccxt.answers import NS_PER_MS, Reader, text, understood
from tickwork.venues.ccxt.profiles import Profile
from tickwork.venues.ccxt.session import Session

KEPT: Final = 10_000
"""Client ids of orders that are remembered."""
_GRAIN_MS: Final = 1_000
_DAY_MS: Final = 86_400_000
_PAGES: Final = 10_000
_DEFAULT_PAGE: Final = 100


class Looking:
    """Finds one account's orders and trades.

    Args:
        session: the client.
        reader: makes sense of what it is told.
        profile: what is known of the exchange.
    """

    def __init__(self, session: Session, reader: Reader, profile: Profile) -> None:
        self._session = session
        self._reader = reader
        self._profile = profile
        self._keys: OrderedDict[tuple[str, str], str] = OrderedDict()
        """Symbol and the exchange's id of an order, to its client id."""
        self._ids: OrderedDict[str, str] = OrderedDict()
        """Client id to the exchange's id."""

    def note(self, symbol: str, order_id: str, key: str) -> None:
        """Remember that an order exists."""
        self._keys[symbol, order_id] = key
        if key:
            self._ids[key] = order_id
        while len(self._keys) > KEPT:
            self._keys.popitem(last=False)
        while len(self._ids) > KEPT:
            self._ids.popitem(last=False)

    def _noted(self, order: Order) -> Order:
        self.note(order.symbol, order.venue_order_id, order.client_order_id)
        return order

    def knows(self, key: str) -> bool:
        """Has the exchange ever told of this order? Then it exists, whatever it says now."""
        return key in self._ids

    # -- orders ---------------------------------------------------------------------------------------------------

    async def find(self, key: str, symbol: str, *, urgent: bool = False) -> Found[Order] | NotFound:
        """The order with this client id.

        Raises:
            InvalidInput, Retryable: a list was not told, or shows trades of an order that no list has yet.
        """
        order = await self._by_id(key, symbol, urgent=urgent) or await self._in_lists(key, symbol)
        return NotFound() if order is None else Found(order)

    async def _by_id(self, key: str, symbol: str, *, urgent: bool) -> Order | None:
        if self._profile.by_client_id:
            named = {"clientOrderId": self._profile.spelled(key)}
            told = await self._session.ask_one("fetch_order", None, symbol, named, urgent=urgent)
            if told is not None:
                return self._noted(self._reader.order(told, symbol, key))
        order_id = self._ids.get(key)
        if order_id is None or not await self._has("fetchOrder"):
            return None
        told = await self._session.ask_one("fetch_order", order_id, symbol, urgent=urgent)
        return None if told is None else self._noted(self._reader.order(told, symbol, key))

    async def _in_lists(self, key: str, symbol: str) -> Order | None:
        for method in await self._lists():
            for told in await self._session.ask(method, symbol, due="list"):
                if self._is(told, key):
                    return self._noted(self._reader.order(told, symbol, key))
        for told in await self._page(symbol, None, {}):
            order_id, _ = self._reader.order_of(told)
            if await self._key_of(told, symbol) == key:
                order = await self._session.ask_one("fetch_order", order_id, symbol)
                if order is None:
                    raise Retryable(f"{self._reader.venue} shows trades of {key} and not yet the order")
                return self._noted(self._reader.order(order, symbol, key))
        return None

    async def _lists(self) -> list[str]:
        lists = ["fetch_open_orders"]
        if await self._has("fetchOrders"):
            return [*lists, "fetch_orders"]
        lists += [
            f"fetch_{name}_orders" for name in ("closed", "canceled") if await self._has(f"fetch{name.title()}Orders")
        ]
        if len(lists) == 1:
            raise Retryable(f"{self._reader.venue} tells no history of orders: that one is absent cannot be known")
        return lists

    async def _has(self, what: str) -> bool:
        return bool((await self._session.opened()).has.get(what))

    def _is(self, told: Any, key: str) -> bool:
        with understood("the list of orders"):
            client_id = told.get("clientOrderId")
            return client_id is not None and self._profile.read(text(client_id, "clientOrderId")) == key

    async def open_orders(self, symbol: str) -> list[Order]:
        """Orders in ``symbol`` that can still trade."""
        told = await self._session.ask("fetch_open_orders", symbol, due="list")
        return [self._noted(self._reader.order(one, symbol)) for one in told]

    # -- trades ---------------------------------------------------------------------------------------------------

    async def fills(self, symbol: str, since_ns: int) -> list[Fill]:
        """All trades of the account in ``symbol`` from ``since_ns`` on, in order.

        Raises:
            InvalidInput, Retryable: a page was not told, or there are more trades in one moment than a page holds.
        """
        since_ms = since_ns // NS_PER_MS // _GRAIN_MS * _GRAIN_MS
        match self._profile.paging:
            case "windows":
                told = await self._windows(symbol, since_ms)
            case "ids":
                told = await self._from_ids(symbol, since_ms)
            case _:
                told = await self._forward(symbol, since_ms)
        fills = [self._reader.fill(one, symbol, await self._key_of(one, symbol)) for one in told]
        return sorted({fill.fill_id: fill for fill in fills}.values(), key=lambda fill: fill.rank)

    async def _page(self, symbol: str, since_ms: int | None, params: dict[str, Any]) -> list[Any]:
        span: tuple[Any, ...] = (since_ms, await self._size(), params)
        if self._profile.strict:  # said in the exchange's words, because ccxt leaves out what it finds too early
            given = {"startTime": since_ms, "endTime": params.get("until"), "fromId": params.get("fromId")}
            span = (
                None,
                None,
                {name: value for name, value in given.items() if value is not None} | {"limit": span[1]},
            )
        told = await self._session.ask("fetch_my_trades", symbol, *span, due="list")
        with understood("the list of trades"):
            return list(told)

    async def _size(self) -> int:
        if self._profile.page is not None:
            return self._profile.page
        spot = ((await self._session.opened()).features or {}).get("spot") or {}
        return (spot.get("fetchMyTrades") or {}).get("limit") or _DEFAULT_PAGE

    async def _windows(self, symbol: str, since_ms: int) -> list[Any]:
        exchange = await self._session.opened()
        now_ms = int(exchange.nonce())
        if self._profile.history is not None:
            reach_ms = int(self._profile.history.total_seconds() * 1_000)
            since_ms = max(since_ms, (now_ms - reach_ms) // _GRAIN_MS * _GRAIN_MS)
        found: list[Any] = []
        # the last is asked without an end: a trade may have been made since we looked at the clock
        spans: list[tuple[int, int | None]] = [(since_ms, None)]
        for _ in range(_PAGES):
            if not spans:
                return found
            begin, end = spans.pop()
            page = await self._page(symbol, begin, {} if end is None else {"until": end})
            if len(page) < await self._size():
                found += page
                continue
            last = (max(now_ms, begin) if end is None else end) // _GRAIN_MS
            middle = (begin // _GRAIN_MS + last) // 2
            if middle == last and end is not None:
                raise Retryable(
                    f"{self._reader.venue}: more than {len(page) - 1} trades in a second cannot be told apart"
                )
            cut = (middle + 1) * _GRAIN_MS
            spans += [(cut, end), (begin, cut - 1)]
        raise Retryable(f"{self._reader.venue} tells of trades without an end")

    async def _from_ids(self, symbol: str, since_ms: int) -> list[Any]:
        size = await self._size()
        newest = await self._page(symbol, None, {})
        if len(newest) < size or _first_ms(newest) < since_ms:
            return [one for one in newest if _first_ms([one]) >= since_ms]
        page = await self._first_page(symbol, since_ms)
        found, last = list(page), -1
        while page:
            with understood("the list of trades"):
                before, last = last, max(int(one["id"]) for one in page)
            if last <= before:
                break
            page = await self._page(symbol, None, {"fromId": last + 1})
            found += page
            if len(page) < size:
                return found
        raise Retryable(f"{self._reader.venue} tells of trades without an end")

    async def _first_page(self, symbol: str, since_ms: int) -> list[Any]:
        """The oldest trades from a time on; by it Binance tells those of a day, and there are some before now."""
        if not since_ms:
            return await self._page(symbol, None, {"fromId": 0})
        for _ in range(_PAGES):
            page = await self._page(symbol, since_ms, {"until": since_ms + _DAY_MS - 1})
            if page:
                return page
            since_ms += _DAY_MS
        raise Retryable(f"{self._reader.venue} tells of new trades and shows none")

    async def _forward(self, symbol: str, since_ms: int) -> list[Any]:
        found: dict[str, Any] = {}
        for _ in range(_PAGES):
            page = await self._page(symbol, since_ms or None, {})
            with understood("the list of trades"):
                new = {text(one["id"], "trade.id"): one for one in page if one["id"] not in found}
                found |= new
                latest = max((int(one["timestamp"]) for one in page), default=since_ms)
            if len(page) < await self._size():
                return list(found.values())
            if not new or latest <= since_ms:
                break
            since_ms = latest
        raise Retryable(f"{self._reader.venue}: its list of trades does not go on; more than a page were made at once")

    async def _key_of(self, told: Any, symbol: str) -> str:
        """The client id of a trade's order: as told with the trade, as remembered, or asked for."""
        order_id, client_id = self._reader.order_of(told)
        if client_id is not None:
            return client_id
        known = self._keys.get((symbol, order_id))
        if known is None:
            asked = await self._session.ask_one("fetch_order", order_id, symbol)
            if asked is None:
                raise Retryable(f"{self._reader.venue} shows a trade of order {order_id} and not yet the order")
            known = self._noted(self._reader.order(asked, symbol)).client_order_id
        return known


def _first_ms(page: Sequence[Any]) -> int:
    with understood("the list of trades"):
        return min((int(one["timestamp"]) for one in page), default=0)


def in_order(fills: Sequence[Fill]) -> list[Fill]:
    """Of several symbols, by time."""
    return sorted(fills, key=lambda fill: fill.rank)
