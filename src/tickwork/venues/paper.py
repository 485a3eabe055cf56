"""The paper venue: an exchange of one account that trades on recorded or live bars, with a book of its own.

Theory of operation. It is the outside world: it knows nothing of runs, tapes or gates, and what it has once said it
remembers through any crash (``paper_book``). It keeps what is open in memory and writes every change as one
transaction *before* it shows in memory or to a caller.

* **Accepting** is idempotent by client id, for good: the same id with the same terms gives the same order back.
* **Bars.** ``on_bar`` trades what rests in the bar's symbol, by ``trading.matching``, in order of acceptance. An order
  never sees the bar it was accepted after: its acceptance commits the cursor. With a clock it does not see the bar
  either in the middle of which it was accepted, since that bar's open is older than the order. Bars at or before the
  cursor are ignored. A bar that trades nothing moves the cursor only in memory: no SQL, microseconds. After a crash
  such bars may come again, and trade nothing again, because whatever could have traded on them would have committed.
* **Quotes.** ``on_quote`` does the same on live prices, with a cursor of its own, the time of the last quote. An order
  never trades on a quote older than its acceptance and the delay of the ``FillModel``. A quote that is stale, or whose
  figures cannot be, is as if it had not come: not even an order that has one chance only loses it by that.
* **How orders fill** is the ``FillModel``: whole by default, in parts by share of volume or depth where it says so. The
  rest of a limit order rests, that of a market order goes on; what is immediate expires with what it did not get.
* **Money.** Spot: a buy locks cost, slippage and fee; a sell locks the asset. Contracts (a symbol with a settlement
  currency) may be sold short and are fully collateralised: opening locks the notional, and a short counts twice
  against cash, once for the proceeds that are not ours to spend and once as collateral. Contracts are booked at full
  notional, so that the book's cash and the ledger's are the same number. No funding, no liquidation, no interest.
* **At the fill** an order trades what the account can carry: a reduction at most the position, a spot sell at most the
  asset, an opening at most what the cash pays for; the rest is cancelled, with the reason.

Reductions lock nothing and need no free balance, so a stop gets through beside a resting take-profit.

A book on disk is used from one worker thread, since its commits wait for the disk and an event loop must not; a book
in memory is used directly, which keeps a simulation deterministic, and so is one that is said to be ``inline``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from threading import Lock
from typing import Any, Final, Self, TypeVar

from tickwork.errors import InvalidInput, Rejected, TapeError
from tickwork.market.bars import Bar, Quote
from tickwork.outcome import Found, NotFound
from tickwork.trading.matching import PLAIN, Costs, Depth, FillModel, TradingRules, bar_offers, quote_offers
from tickwork.trading.order_life import WORKING
from tickwork.trading.orders import ZERO, Ack, ApprovedOrder, Fill, Order, require_approved
from tickwork.trading.venue import Balance, Capabilities, VenueReport
from tickwork.values import EXACT, DurationLike, base_of, duration, money, plain, quote_of
from tickwork.venues.paper_book import MEMORY, BookTotals, Change, Cursor, Held, PaperBook
from tickwork.venues.paper_trading import NOTHING, Draft, Seen, Terms, closable, free_of, is_contract

T = TypeVar("T")

_HALF: Final = Decimal("0.5")


def _no_clock() -> int:
    return 0


class PaperVenue:
    """A ``VenuePort`` that trades on bars and quotes.

    Args:
        path: of the book; ``":memory:"`` for none.
        account: whose book it is.
        rules: the symbols it lists.
        cash: paid in when the book is opened for the first time; ignored afterwards.
        costs: fee and slippage.
        fills: impact, delay and what orders get of the volume; ``matching.LIVE_LIKE`` where prices are live.
        name: the venue's name in orders, fills and errors.
        clock: ns since 1970 UTC. Without one every order may trade on the next bar, whenever that began: right where
            orders are only sent at the end of a bar, and all bars are of one length.
        max_quote_age: a quote further from the clock than this trades nothing; without a clock none is.
        inline: use the book on disk directly, where an order of things that repeats is worth a loop that waits.

    Raises:
        Fatal: another process has the book open.
        InvalidInput: the file is another account's book; an inverse contract; cash that is not money.
        TapeError: from any of its methods: the disk failed.
    """

    def __init__(
        self,
        path: str | Path = MEMORY,
        *,
        account: str = "main",
        rules: Iterable[TradingRules],
        cash: Mapping[str, Decimal],
        costs: Costs | None = None,
        fills: FillModel = PLAIN,
        name: str = "paper",
        clock: Callable[[], int] | None = None,
        max_quote_age: DurationLike = "10s",
        inline: bool = False,
    ) -> None:
        self._name = name
        self._clock = clock or _no_clock
        self._max_quote_age = duration(max_quote_age, "maxQuoteAge")
        self._account = account
        self._rules = {rule.symbol: rule for rule in rules}
        self._terms = Terms(self._rules, costs or Costs(), fills)
        for symbol in self._rules:
            if is_contract(symbol) and quote_of(symbol) == base_of(symbol):
                raise InvalidInput(
                    "rules.symbol", symbol, "a contract settled in its quote currency, not an inverse one"
                )
        deposits = {asset: money(amount, f"cash.{asset}") for asset, amount in cash.items()}
        self._book = PaperBook(path, venue=name, account=account, deposits=deposits)
        self._state = self._book.load()
        self._serial = Lock()
        direct = inline or str(path) == MEMORY
        self._worker = None if direct else ThreadPoolExecutor(1, thread_name_prefix=f"{name}-book")

    def when_broken(self, call: Callable[[TapeError], None]) -> None:
        """Have ``call`` called when the disk fails, before the error is raised to whoever asked.

        A run that asked would take the error for its own, and fail.
        """
        self._book.on_fault = call

    async def close(self) -> None:
        """Let go of the book. Nothing is lost by not calling it."""
        self.shut()

    def shut(self) -> None:
        """``close``, for where nothing awaits."""
        if self._worker is not None:
            self._worker.shutdown()
        with self._serial:
            self._book.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.shut()

    # -- the port -------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The venue's name."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """It deduplicates client ids for good and shows an order at once."""
        return Capabilities(
            deduplicates=True,
            request_validity=timedelta(0),
            visibility_bound=timedelta(0),
            times_in_force=frozenset({"gtc", "ioc", "fok"}),
            shorts=any(is_contract(symbol) for symbol in self._rules),
        )

    async def submit(self, order: ApprovedOrder, key: str) -> Ack:
        """Accept ``order`` under client id ``key``; the same again gives the same order.

        Raises:
            Rejected: unknown symbol or account, off the tick or step, too small or too large, insufficient funds,
                nothing to reduce, or the client id has been used for another order.
        """
        return await self._do(self._accept, require_approved(order), key)

    async def rules(self, symbols: Collection[str] = ()) -> dict[str, TradingRules]:
        """What it asks of orders in the symbols it lists."""
        return {name: rule for name, rule in self._rules.items() if not symbols or name in symbols}

    async def find(self, key: str, symbol: str = "") -> Found[Order] | NotFound:
        """The order of a client id, in whatever state."""
        return await self._do(self._find, key)

    async def cancel(self, key: str, symbol: str = "") -> Order:
        """Cancel; an order that has ended is returned as it is.

        Raises:
            Rejected: no order has this client id.
        """
        return await self._do(self._cancel, key)

    async def fills(self, symbol: str, since: int) -> list[Fill]:
        """Fills in ``symbol`` at ``since`` (ns) or later, in order; without a clock all of them."""
        begin = 0 if self._clock is _no_clock else since  # the time of a fill is its bar's, and a bar may be a day
        found = [fill for fill in await self.numbered(0) if symbol in ("", fill.symbol) and fill.time >= begin]
        return sorted(found, key=lambda fill: fill.rank)

    async def numbered(self, above: int) -> list[Fill]:
        """Fills of all symbols numbered above ``above``, ascending: the book counts them from 1 without gaps."""
        return await self._do(self._book.fills, above)

    async def examine(self) -> VenueReport:
        """Nothing can be wrong with its keys: it has none."""
        return VenueReport(clock_skew=timedelta(0), may_read=True, may_trade=True, may_withdraw=False)

    async def updates(self) -> AsyncIterator[Order | Fill]:
        """It streams nothing: what becomes of an order is known once a bar has been given to it."""
        return
        yield  # pragma: no cover - what makes this a generator

    async def open_orders(self) -> list[Order]:
        """Orders that can still trade, in order of acceptance."""
        return await self._do(self._open_orders)

    async def balances(self) -> dict[str, Balance]:
        """What the account holds, by asset; contracts by symbol, below zero for a short."""
        return await self._do(self._balances)

    async def _do(self, fn: Callable[..., T], *args: Any) -> T:
        if self._worker is None:
            return self._locked(fn, *args)
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._locked, fn, *args)

    def _locked(self, fn: Callable[..., T], *args: Any) -> T:
        with self._serial:
            return fn(*args)

    # -- the market -----------------------------------------------------------------------------------------------

    def on_bar(self, bar: Bar, offset: int) -> list[Fill]:
        """Trade what rests in the bar's symbol; returns the new fills, which are on disk.

        ``offset``: the bar's position in its recording, ascending within a symbol. Waits for the disk when, and only
        when, an order changes.
        """
        with self._serial:
            symbol, terms = bar.symbol, self._terms
            if offset <= self._state.cursors.get(symbol, -1):
                return []
            cursor = Cursor(symbol, offset, bar.close, self._state.quoted.get(symbol, 0))
            if not self._state.open.get(symbol):
                self._saw(cursor)
                return []
            seen = Seen(
                symbol=symbol,
                price=bar.open,
                time=bar.start_ns,
                offset=offset,
                is_due=lambda order: bar.start_ns >= order.time,
                offers=lambda order: bar_offers(order, bar, self._rules[symbol], terms.costs, terms.fills),
                sides=False,
            )
            return self._meet(seen, bar.end_ns, cursor)

    def on_quote(self, quote: Quote, depth: Depth | None = None) -> list[Fill]:
        """Trade what rests in the quote's symbol; returns the new fills, which are on disk.

        ``depth``: the order book at that moment; with it orders get at most what is visible. Quotes come in order of
        time; one as old as the last, a stale one, and one that is crossed or not a number trade nothing. Waits for the
        disk when, and only when, an order changes.
        """
        with self._serial:
            symbol, terms = quote.symbol, self._terms
            if quote.time_ns <= self._state.quoted.get(symbol, 0) or not self._is_usable(quote):
                return []
            middle = EXACT.multiply(EXACT.add(quote.bid, quote.ask), _HALF)
            cursor = Cursor(symbol, self._state.cursors.get(symbol, -1), middle, quote.time_ns)
            if not self._state.open.get(symbol):
                self._saw(cursor)
                return []
            seen = Seen(
                symbol=symbol,
                price=middle,
                time=quote.time_ns,
                offset=None,
                is_due=lambda order: quote.time_ns >= order.time + terms.fills.delay_ns(order.client_order_id),
                offers=lambda order: quote_offers(order, quote, self._rules[symbol], terms.costs, terms.fills, depth),
                sides=True,
            )
            return self._meet(seen, quote.time_ns, cursor)

    def _is_usable(self, quote: Quote) -> bool:
        try:
            sound = 0 < quote.bid <= quote.ask and quote.ask.is_finite()
        except ArithmeticError:  # a NaN compares with nothing
            return False
        return sound and (self._clock is _no_clock or not quote.is_stale(self._clock(), self._max_quote_age))

    def _meet(self, seen: Seen, at: int, cursor: Cursor) -> list[Fill]:
        """Trade what rests; ``at``: when orders have ended that end by it."""
        draft = Draft(self._state, self._terms, seen)
        for order in self._state.open[seen.symbol].values():
            draft.trade(order)
        if draft.change.orders:
            draft.change.at = at
            draft.change.cursor = cursor
            self._book.commit(draft.change)
            self._state = draft.state
        self._saw(cursor)
        return draft.change.fills

    def _saw(self, cursor: Cursor) -> None:
        state = self._state
        state.cursors[cursor.symbol] = cursor.offset
        state.quoted[cursor.symbol] = cursor.quoted_at
        state.last_prices[cursor.symbol] = cursor.last_price

    def cursor(self, symbol: str) -> int:
        """Offset of the last bar seen in ``symbol``; -1 before the first."""
        return self._state.cursors.get(symbol, -1)

    def ended_at(self, key: str) -> int | None:
        """When an order ended, ns: by the quote or the end of the bar that did it, or the clock as it was cancelled.

        ``None`` while it can still trade, and for an order that nobody knows.
        """
        with self._serial:
            if any(key in orders for orders in self._state.open.values()):
                return None
            return self._book.ended_at(key)

    def free(self, asset: str) -> Decimal:
        """What of an asset no order has locked."""
        with self._serial:
            return free_of(self._state, asset)

    def totals(self) -> BookTotals:
        """What the book on disk adds up to, to compare with a ledger."""
        with self._serial:
            return self._book.totals()

    # -- under the lock -------------------------------------------------------------------------------------------

    def _find(self, key: str) -> Found[Order] | NotFound:
        order = self._book.order(key)
        return NotFound() if order is None else Found(order)

    def _open_orders(self) -> list[Order]:
        orders = [order for by_key in self._state.open.values() for order in by_key.values()]
        return sorted(orders, key=lambda order: int(order.venue_order_id))

    def _balances(self) -> dict[str, Balance]:
        held: dict[str, Decimal] = {}
        for lock in self._state.held.values():
            held[lock.asset] = EXACT.add(held.get(lock.asset, ZERO), lock.amount)
        return {
            asset: Balance(total=total, held=held.get(asset, ZERO))
            for asset, total in sorted(self._state.balances.items())
        }

    def _accept(self, approved: ApprovedOrder, key: str) -> Ack:
        known = self._book.order(key)
        order = Order(
            venue=self._name,
            client_order_id=key,
            venue_order_id=str(self._state.next_order),
            account=approved.account,
            symbol=approved.symbol,
            side=approved.side,
            type=approved.type,
            quantity=approved.quantity,
            limit_price=approved.limit_price,
            reduce_only=approved.reduce_only,
            time_in_force=approved.time_in_force,
            time=self._clock(),
        )
        if known is not None:
            if _wished(known) != _wished(order):
                raise Rejected(self._name, f"client id {key} was used for another order")
            return known.ack()
        held = self._admit(order, approved.approval.valuation_price)
        symbol, state = order.symbol, self._state
        change = Change(orders=[(order, held)])
        if symbol in state.last_prices:
            change.cursor = Cursor(
                symbol, state.cursors[symbol], state.last_prices[symbol], state.quoted.get(symbol, 0)
            )
        self._book.commit(change)
        state.open.setdefault(symbol, {})[key] = order
        state.held[key] = held
        state.next_order += 1
        return order.ack()

    def _cancel(self, key: str) -> Order:
        order = self._book.order(key)
        if order is None:
            raise Rejected(self._name, f"no order has client id {key}")
        if order.status not in WORKING:
            return order
        cancelled = order.ended("cancel", "cancelled by the account")
        self._book.commit(Change(orders=[(cancelled, self._state.held[key])], at=self._clock()))
        del self._state.open[order.symbol][key]
        del self._state.held[key]
        return cancelled

    # -- what the account can carry -------------------------------------------------------------------------------

    def _admit(self, order: Order, estimate: Decimal) -> Held:
        """Check a new order and say what it locks. ``estimate``: a market order's price when no bar has been seen.

        Raises:
            Rejected: see ``submit``.
        """
        rules = self._rules.get(order.symbol)
        if rules is None:
            raise Rejected(self._name, f"unknown symbol {order.symbol}")
        if order.account != self._account:
            raise Rejected(self._name, f"unknown account {order.account}")
        if order.limit_price is not None and EXACT.remainder(order.limit_price, rules.price_tick):
            raise Rejected(self._name, f"price {order.limit_price} is off the tick {rules.price_tick}")
        if rules.max_quantity is not None and order.quantity > rules.max_quantity:
            raise Rejected(self._name, f"quantity {order.quantity} is above the most, {rules.max_quantity}")
        if order.reduce_only:
            if not closable(self._state, order):
                raise Rejected(self._name, f"nothing to reduce in {order.symbol}")
            return NOTHING
        if EXACT.remainder(order.quantity, rules.quantity_step):
            raise Rejected(self._name, f"quantity {order.quantity} is off the step {rules.quantity_step}")
        if order.quantity < rules.min_quantity:
            raise Rejected(self._name, f"quantity {order.quantity} is below the least, {rules.min_quantity}")
        at = self._terms.worst(order, self._state.last_prices.get(order.symbol, estimate))
        notional = EXACT.multiply(at, order.quantity)
        if notional < rules.min_notional:
            raise Rejected(self._name, f"notional {plain(notional)} is below the least, {rules.min_notional}")
        need = self._terms.need(self._state, order, at)
        free = free_of(self._state, need.asset)
        if need.amount > free:
            raise Rejected(
                self._name, f"insufficient funds: needs {plain(need.amount)} {need.asset}, free are {plain(free)}"
            )
        return need


def _wished(order: Order) -> tuple[object, ...]:
    terms = (order.symbol, order.side, order.type, order.quantity, order.limit_price, order.time_in_force)
    return (*terms, order.reduce_only, order.account)
