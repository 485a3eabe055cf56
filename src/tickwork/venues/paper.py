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
from copy import copy
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from threading import Lock
from typing import Any, Final, Self, TypeVar

from tickwork.errors import InvalidInput, Rejected, TapeError
from tickwork.market.bars import Bar
from tickwork.outcome import Found, NotFound
from tickwork.trading.matching import ONE, Costs, TradingRules, affordable, execution, match_price
from tickwork.trading.order_life import WORKING
from tickwork.trading.orders import ZERO, Ack, ApprovedOrder, Fill, Order, require_approved
from tickwork.trading.venue import Balance, Capabilities, VenueReport
from tickwork.values import EXACT, base_of, money, plain, quote_of
from tickwork.venues.paper_book import MEMORY, BookState, BookTotals, Change, Held, PaperBook

T = TypeVar("T")

_NOTHING: Final = Held("", ZERO)
_TWO: Final = Decimal(2)


def _no_clock() -> int:
    return 0


def _is_contract(symbol: str) -> bool:
    return ":" in symbol


def _asset(symbol: str) -> str:
    """Under what name the book keeps a holding in ``symbol``."""
    return symbol if _is_contract(symbol) else base_of(symbol)


class PaperVenue:
    """A ``VenuePort`` that trades on bars.

    Args:
        path: of the book; ``":memory:"`` for none.
        account: whose book it is.
        rules: the symbols it lists.
        cash: paid in when the book is opened for the first time; ignored afterwards.
        costs: fee and slippage.
        name: the venue's name in orders, fills and errors.
        clock: ns since 1970 UTC. Without one every order may trade on the next bar, whenever that began: right where
            orders are only sent at the end of a bar, and all bars are of one length.
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
        name: str = "paper",
        clock: Callable[[], int] | None = None,
        inline: bool = False,
    ) -> None:
        self._name = name
        self._clock = clock or _no_clock
        self._account = account
        self._costs = costs or Costs()
        self._rules = {rule.symbol: rule for rule in rules}
        for symbol in self._rules:
            if _is_contract(symbol) and quote_of(symbol) == base_of(symbol):
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
        return Capabilities(deduplicates=True, request_validity=timedelta(0), visibility_bound=timedelta(0))

    async def submit(self, order: ApprovedOrder, key: str) -> Ack:
        """Accept ``order`` under client id ``key``; the same again gives the same order.

        Raises:
            Rejected: unknown symbol or account, off the tick or step, below the least notional, insufficient funds,
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
        return [fill for fill in await self.numbered(0) if fill.symbol == symbol and fill.time >= begin]

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
            state = self._state
            if offset <= state.cursors.get(bar.symbol, -1):
                return []
            orders = state.open.get(bar.symbol)
            draft = _Draft(self, bar, offset) if orders else None
            if draft is not None and orders is not None:
                for order in orders.values():
                    draft.trade(order)
                if draft.change.orders:
                    draft.change.at = bar.end_ns
                    draft.change.cursor = (bar.symbol, offset, bar.close)
                    self._book.commit(draft.change)
                    self._state = state = draft.state
            state.cursors[bar.symbol] = offset
            state.last_prices[bar.symbol] = bar.close
            return draft.change.fills if draft is not None else []

    def cursor(self, symbol: str) -> int:
        """Offset of the last bar seen in ``symbol``; -1 before the first."""
        return self._state.cursors.get(symbol, -1)

    def ended_at(self, key: str) -> int | None:
        """When an order ended, ns: the end of the bar that did it, or the clock's time of its being cancelled.

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
        )
        if known is not None:
            if _terms(known) != _terms(order):
                raise Rejected(self._name, f"client id {key} was used for another order")
            return known.ack()
        held = replace(self._admit(order, approved.approval.valuation_price), not_before=self._clock())
        symbol, state = order.symbol, self._state
        change = Change(orders=[(order, held)])
        if symbol in state.cursors:
            change.cursor = (symbol, state.cursors[symbol], state.last_prices[symbol])
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
        closing = closable(self._state, order)
        if order.reduce_only:
            if not closing:
                raise Rejected(self._name, f"nothing to reduce in {order.symbol}")
            return _NOTHING
        if EXACT.remainder(order.quantity, rules.quantity_step):
            raise Rejected(self._name, f"quantity {order.quantity} is off the step {rules.quantity_step}")
        at = order.limit_price
        if at is None:
            seen = self._state.last_prices.get(order.symbol, estimate)
            at = EXACT.multiply(seen, EXACT.add(ONE, self._costs.slippage))
        notional = EXACT.multiply(at, order.quantity)
        if notional < rules.min_notional:
            raise Rejected(self._name, f"notional {plain(notional)} is below the least, {rules.min_notional}")
        if order.side == "sell" and not _is_contract(order.symbol):
            need = Held(_asset(order.symbol), order.quantity)
        else:
            opened = EXACT.multiply(at, max(EXACT.subtract(order.quantity, closing), ZERO))
            need = Held(quote_of(order.symbol), EXACT.add(opened, self._costs.fee(notional, rules)))
        free = free_of(self._state, need.asset)
        if need.amount > free:
            raise Rejected(
                self._name, f"insufficient funds: needs {plain(need.amount)} {need.asset}, free are {plain(free)}"
            )
        return need


def _terms(order: Order) -> tuple[object, ...]:
    return (order.symbol, order.side, order.type, order.quantity, order.limit_price, order.reduce_only, order.account)


def closable(state: BookState, order: Order) -> Decimal:
    """How much of the position ``order`` can close, in base units."""
    position = state.balances.get(_asset(order.symbol), ZERO)
    return max(position if order.side == "sell" else EXACT.minus(position), ZERO)


def free_of(state: BookState, asset: str, without: str = "") -> Decimal:
    """What of ``asset`` is not locked by orders other than ``without``, nor by short contracts settled in it."""
    free = state.balances.get(asset, ZERO)
    for key, held in state.held.items():
        if held.asset == asset and key != without:
            free = EXACT.subtract(free, held.amount)
    for symbol, quantity in state.balances.items():
        if quantity < 0 and _is_contract(symbol) and quote_of(symbol) == asset:
            notional = EXACT.multiply(EXACT.minus(quantity), state.last_prices[symbol])
            free = EXACT.subtract(free, EXACT.multiply(_TWO, notional))
    return free


class _Draft:
    """What a bar does to the book, worked out on a copy that becomes the state once it is on disk."""

    def __init__(self, venue: PaperVenue, bar: Bar, offset: int) -> None:
        self._rules = venue._rules[bar.symbol]
        self._costs = venue._costs
        self._bar = bar
        self._offset = offset
        self.change = Change()
        self.state = copy(venue._state)
        self.state.balances = dict(venue._state.balances)
        self.state.held = dict(venue._state.held)
        self.state.open = {**venue._state.open, bar.symbol: dict(venue._state.open[bar.symbol])}
        # for this bar's collateral only; the cursor dictionaries are shared and change after the commit
        self.state.last_prices = {**venue._state.last_prices, bar.symbol: bar.open}

    def trade(self, order: Order) -> None:
        """Fill or end ``order``, if this bar does."""
        if self._bar.start_ns < self.state.held[order.client_order_id].not_before:
            return
        at = match_price(order, self._bar, self._rules, self._costs)
        if at is None:
            return
        quantity = min(order.remaining, self._capacity(order, at))
        after = order
        if quantity > 0:
            fill = self._fill(order, at, quantity)
            self.change.fills.append(fill)
            self._book(fill)
            after = order.with_fill(fill)
        if after.status in WORKING:
            reason = "nothing left to reduce" if order.reduce_only else "insufficient funds"
            after = after.ended("cancel", reason)
        self.change.orders.append((after, self.state.held.pop(order.client_order_id)))
        del self.state.open[order.symbol][order.client_order_id]

    def _capacity(self, order: Order, at: Decimal) -> Decimal:
        closing = closable(self.state, order)
        if order.reduce_only or (order.side == "sell" and not _is_contract(order.symbol)):
            return closing
        free = free_of(self.state, quote_of(order.symbol), without=order.client_order_id)
        return EXACT.add(closing, affordable(free, at, self._rules, self._costs))

    def _fill(self, order: Order, at: Decimal, quantity: Decimal) -> Fill:
        done = execution(at, quantity, self._rules, self._costs)
        number = self.state.next_fill
        self.state.next_fill += 1
        return Fill(
            venue=order.venue,
            fill_id=str(number),
            client_order_id=order.client_order_id,
            venue_order_id=order.venue_order_id,
            account=order.account,
            symbol=order.symbol,
            side=order.side,
            price=done.price,
            quantity=done.quantity,
            fee=done.fee,
            fee_currency=done.fee_currency,
            time=self._bar.start_ns,
            offset=self._offset,
        )

    def _book(self, fill: Fill) -> None:
        paid = fill.notional if fill.side == "buy" else EXACT.minus(fill.notional)
        self._move(_asset(fill.symbol), fill.signed_quantity)
        self._move(quote_of(fill.symbol), EXACT.minus(paid))
        self._move(fill.fee_currency, EXACT.minus(fill.fee))

    def _move(self, asset: str, amount: Decimal) -> None:
        total = EXACT.add(self.state.balances.get(asset, ZERO), amount)
        self.state.balances[asset] = self.change.balances[asset] = total
