"""A spot exchange: markets, price-time matching, orders; what happens, and nothing of how it is asked for.

Theory of operation. Time is what the given clock says. Things that are to happen later (a request that is still on its
way, a cancel that takes a while) wait in a queue and are made up for, each with its own time, before anything else is
looked at: nothing here sleeps, so the exchange runs the same in a world's virtual time as behind a socket.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from heapq import heappop, heappush
from typing import Final, Literal

from tickwork.errors import InvalidInput
from tickwork.sim.exchange.bank import Bank, FeesIn
from tickwork.sim.exchange.book import Book, Level
from tickwork.sim.exchange.markets import ZERO, Account, Market, Side, exact_sum, on_step, opposite
from tickwork.sim.exchange.orders import Order, OrderStatus, Rejection, Ticket, Trade
from tickwork.values import EXACT, plain, price, quantity, ratio, rounded_down

Duplicates = Literal["same", "reject", "reject_open", "accept"]
"""What becomes of a client id that was used before: the order it made comes back; it is refused; it is refused while
that order is open; it makes a second order."""
DUPLICATES: Final[tuple[Duplicates, ...]] = ("same", "reject", "reject_open", "accept")

Fill = tuple[Decimal, Decimal, Order | None, Level | None]
"""Price, quantity, and who gives it: an account's order or a level of the market maker."""


class Exchange(Bank):
    """A spot exchange.

    Args:
        clock: the time, in ns since 1970 UTC.
        fees_in: in which asset fees are paid.
        fee_step: fees are cut to multiples of this power of ten.
        duplicates: what becomes of a client id that was used before; may be changed at any time.
        post_only: whether an order that may only make and would take is accepted and ended at once, or refused.
    """

    def __init__(
        self,
        clock: Callable[[], int],
        *,
        fees_in: FeesIn = "quote",
        fee_step: Decimal = Decimal("1e-18"),
        duplicates: Duplicates = "accept",
        post_only: Literal["end", "reject"] = "end",
    ) -> None:
        super().__init__(fees_in, fee_step)
        self._clock = clock
        self.post_only = post_only
        self._at: int | None = None
        self.duplicates: Duplicates = duplicates
        self.skew = 0
        """ns that the server's clock is ahead of the true time."""
        self.markets: dict[str, Market] = {}
        """By the venue's id, e.g. ``BTCUSDT``."""
        self.books: dict[str, Book] = {}
        self.orders: list[Order] = []
        """All that were accepted, by number."""
        self.repeats: list[Order] = []
        """For each submission that was answered with an order that was there before, that order."""
        self._orders_of: defaultdict[tuple[str, str], list[Order]] = defaultdict(list)
        self._trades_of: defaultdict[tuple[str, str], list[Trade]] = defaultdict(list)
        self._open: defaultdict[str, dict[int, Order]] = defaultdict(dict)
        self._by_client_id: defaultdict[tuple[str, str], list[Order]] = defaultdict(list)
        self._trades = 0
        self._later: list[tuple[int, int, Callable[[], object]]] = []
        self._queued = 0

    # ----------------------------------------------------------------------------------------------------------- time

    def now(self) -> int:
        """The true time, in ns."""
        return self._clock() if self._at is None else self._at

    def server_time(self) -> int:
        """The time as this server has it, in ns."""
        return self.now() + self.skew

    def at(self, due: int, action: Callable[[], object]) -> None:
        """Let something happen at a later time (ns). It is done when the exchange is next looked at after it."""
        self._queued += 1
        heappush(self._later, (due, self._queued, action))

    def settle(self) -> None:
        """Make up for everything that was to happen until now, each at its own time."""
        if not self._later or self._at is not None:
            return
        now = self._clock()
        try:
            while self._later and self._later[0][0] <= now:
                self._at, _, action = heappop(self._later)
                action()
        finally:
            self._at = None

    # ------------------------------------------------------------------------------------------------- markets, money

    def add_market(self, market: Market) -> Book:
        """List a market.

        Raises:
            InvalidInput: there is one of this name.
        """
        if market.id in self.markets:
            raise InvalidInput("market", market.symbol, "a market that is not listed yet")
        self.markets[market.id] = market
        book = self.books[market.id] = Book(market)
        book.candles.add(self.now(), market.price)
        return book

    def book(self, symbol: str) -> Book:
        """The book of a market, by the venue's id (``BTCUSDT``) or as ccxt writes it (``BTC/USDT``).

        Raises:
            InvalidInput: there is none.
        """
        book = self.books.get(symbol.replace("/", ""))
        if book is None:
            raise InvalidInput("symbol", symbol, f"one of {', '.join(m.symbol for m in self.markets.values())}")
        return book

    # ------------------------------------------------------------------------------------------------------ the market

    def move(self, symbol: str, to: Decimal | str | int) -> list[Trade]:
        """Set a market's price: the market maker quotes around it and trades with every order that it crosses, as far
        as what it quotes reaches. Returns what the accounts traded.

        Raises:
            InvalidInput: no such market, or no price above zero on its tick.
        """
        self.settle()
        book = self.book(symbol)
        at = price(to, "price")
        if not on_step(at, book.market.price_tick):
            raise InvalidInput("price", at, f"a multiple of {book.market.price_tick}")
        book.price = at
        book.updates += 1
        book.candles.add(self.now(), at)
        book.quote()
        trades = self._cross(book, "BUY") + self._cross(book, "SELL")
        if book.market.refills and trades:
            book.quote()
        return trades

    def _cross(self, book: Book, side: Side) -> list[Trade]:
        """The market maker trades with the resting orders of ``side`` that its prices cross."""
        trades = []
        for level in book.made[opposite(side)]:
            for order in list(book.resting[side]):
                crosses = order.price >= level[0] if side == "BUY" else order.price <= level[0]
                traded = min(level[1], order.remaining)
                if not crosses or traded <= 0:
                    break
                level[1] = EXACT.subtract(level[1], traded)
                trades.append(self._execute(order, order.price, traded, maker=True))
        return trades

    def fill(self, order: Order, amount: Decimal | None = None, at: Decimal | None = None) -> Trade:
        """The market maker trades with an open order, whatever its price: ``amount`` base units (all that remains).

        Raises:
            InvalidInput: the order is not open; the amount is not above zero, on the step and at most the rest; the
                price is worse than the order's limit.
        """
        self.settle()
        if not order.is_open:
            raise InvalidInput("order", order.number, f"an open order; it is {order.status}")
        traded = order.remaining if amount is None else quantity(amount, "quantity")
        if not 0 < traded <= order.remaining or not on_step(traded, order.market.quantity_step):
            raise InvalidInput("quantity", traded, f"more than 0 and at most {order.remaining}, on the market's step")
        for_price = order.price if at is None else price(at, "price")
        if for_price > order.price if order.side == "BUY" else for_price < order.price:
            raise InvalidInput("price", for_price, f"no worse than the order's {order.price}")
        return self._execute(order, for_price, traded, maker=True)

    # --------------------------------------------------------------------------------------------------------- orders

    def check(self, account: Account, ticket: Ticket) -> list[Fill]:
        """What ``submit`` would do at once; the exchange is not changed.

        Raises:
            Rejection: as ``submit``, duplicates aside.
        """
        self._check_market(ticket)
        self._check_amounts(ticket)
        fills = self._plan(ticket, None)
        self._check_fills(ticket, fills)
        self._cost(account, ticket, fills)
        return fills

    def submit(self, account: Account, ticket: Ticket, share: Decimal | None = None) -> Order:
        """Take an order, match it, and let rest what may.

        Args:
            share: of the order's size, how much may trade with the market maker at once (a fraction).

        Raises:
            Rejection: the exchange takes no such order; nothing is changed.
        """
        self.settle()
        if ticket.client_id is not None:
            earlier = self._duplicate(account, ticket)
            if earlier is not None:
                self.repeats.append(earlier)
                return earlier
        self._check_market(ticket)
        self._check_amounts(ticket)
        fills = self._plan(ticket, share)
        self._check_fills(ticket, fills)
        cost = self._cost(account, ticket, fills)
        order = Order(len(self.orders) + 1, account, ticket, self.server_time())
        self._accept(order)
        self.lock(order, cost)
        if ticket.type == "LIMIT_MAKER" and fills:
            self._end(order, "EXPIRED")
            return order
        if ticket.type == "FOK" and self._short(ticket, fills):
            self._end(order, "EXPIRED")
            return order
        self._take(order, fills)
        if order.is_open:
            if order.type in ("LIMIT", "LIMIT_MAKER"):
                self.books[order.market.id].rest(order)
                self.release(order)
            else:
                self._end(order, "EXPIRED")
        return order

    def cancel(self, order: Order) -> None:
        """End an open order.

        Raises:
            Rejection: it is not open.
        """
        self.settle()
        if not order.is_open:
            raise Rejection("not_open")
        self.books[order.market.id].remove(order)
        self._end(order, "CANCELED")

    def _duplicate(self, account: Account, ticket: Ticket) -> Order | None:
        earlier = self._by_client_id.get((account.name, ticket.client_id or ""))
        if not earlier or self.duplicates == "accept":
            return None
        if self.duplicates == "same":
            return earlier[-1]
        if self.duplicates == "reject" or any(order.is_open for order in earlier):
            raise Rejection("duplicate")
        return None

    def _check_market(self, ticket: Ticket) -> None:
        market = ticket.market
        if market.status != "online":
            raise Rejection("suspended")
        if self.now() < market.opens_at:
            raise Rejection("not_open_yet")
        if not market.api_tradable:
            raise Rejection("not_api_tradable")
        if ticket.side not in market.sides:
            raise Rejection("side_not_allowed")
        if ticket.type not in market.order_types:
            raise Rejection("type_not_allowed")
        if ticket.type == "MARKET" and not market.api_market_orders:
            raise Rejection("market_orders_disabled")

    def _check_amounts(self, ticket: Ticket) -> None:
        market, amount, limit = ticket.market, ticket.quantity, ticket.price
        notional = ticket.spend
        if amount is not None:
            if amount <= 0 or not on_step(amount, market.quantity_step):
                raise Rejection("bad_quantity", plain(market.quantity_step))
            if amount < market.min_quantity:
                raise Rejection("below_minimum", plain(market.min_quantity))
            if amount > market.max_quantity:
                raise Rejection("above_maximum", plain(market.max_quantity))
            notional = EXACT.multiply(amount, limit or self.books[market.id].price)
        if notional is None or notional <= 0:
            raise Rejection("bad_quantity")
        if ticket.type != "MARKET":
            if limit is None or limit <= 0 or not on_step(limit, market.price_tick):
                raise Rejection("bad_price", plain(market.price_tick))
            self._check_band(market, limit)
        least = market.min_notional_market if ticket.type == "MARKET" else market.min_notional
        if notional < least:
            raise Rejection("notional_below_minimum", plain(least))
        if notional > market.max_notional:
            raise Rejection("notional_above_maximum", plain(market.max_notional))

    def _check_band(self, market: Market, limit: Decimal) -> None:
        if market.price_band is None:
            return
        now = self.books[market.id].price
        if EXACT.abs(EXACT.subtract(limit, now)) > EXACT.multiply(now, market.price_band):
            raise Rejection("price_out_of_band")

    def _plan(self, ticket: Ticket, share: Decimal | None) -> list[Fill]:
        """What an order would trade with; with the market maker at most a ``share`` of its size."""
        market = ticket.market
        want, spend = ticket.quantity, ticket.spend
        limit = ticket.price if ticket.type != "MARKET" else None
        buys = ticket.side == "BUY"
        made = None if share is None else EXACT.multiply(want if want is not None else spend or ZERO, share)
        fills: list[Fill] = []
        for at, offered, order, level in self.books[market.id].offers(ticket.side):
            if limit is not None and (at > limit if buys else at < limit):
                break
            most = rounded_down(want if want is not None else ratio(spend or ZERO, at), market.quantity_step)
            if most <= 0:
                break
            if made is not None and order is None:
                most = min(most, rounded_down(made if spend is None else ratio(made, at), market.quantity_step))
            traded = min(most, offered)
            if traded > 0:
                fills.append((at, traded, order, level))
                notional = EXACT.multiply(traded, at)
                want = None if want is None else EXACT.subtract(want, traded)
                spend = None if spend is None else EXACT.subtract(spend, notional)
                if made is not None and order is None:
                    made = EXACT.subtract(made, traded if spend is None else notional)
        return fills

    def _check_fills(self, ticket: Ticket, fills: list[Fill]) -> None:
        book, other = self.books[ticket.market.id], opposite(ticket.side)
        if ticket.type == "MARKET" and book.best(other) is None:
            raise Rejection("no_liquidity")
        if ticket.type == "LIMIT_MAKER" and fills and self.post_only == "reject":
            raise Rejection("would_take")

    @staticmethod
    def _short(ticket: Ticket, fills: list[Fill]) -> bool:
        return exact_sum(fill[1] for fill in fills) < (ticket.quantity or ZERO)

    def _cost(self, account: Account, ticket: Ticket, fills: list[Fill]) -> Decimal:
        """What has to be locked, in quote currency of a buy and in base units of a sell.

        Raises:
            Rejection: the account has not as much.
        """
        if ticket.side == "SELL":
            assert ticket.quantity is not None
            if account.of(ticket.market.base).free < ticket.quantity:
                raise Rejection("insufficient_base")
            return ticket.quantity
        if ticket.type == "MARKET":
            notional = exact_sum(EXACT.multiply(fill[0], fill[1]) for fill in fills)
        else:
            assert ticket.price is not None and ticket.quantity is not None
            notional = EXACT.multiply(ticket.price, ticket.quantity)
        cost = self.with_fee(ticket.market, notional)
        if account.of(ticket.market.quote).free < max(cost, ticket.spend or ZERO):
            raise Rejection("insufficient_quote")
        return cost

    def _accept(self, order: Order) -> None:
        self.orders.append(order)
        self._orders_of[order.account.name, order.market.id].append(order)
        self._open[order.account.name][order.number] = order
        if order.client_id is not None:
            self._by_client_id[order.account.name, order.client_id].append(order)

    def _end(self, order: Order, status: OrderStatus) -> None:
        if order.spend is not None and self._is_spent(order):
            status = "FILLED"
        order.note(status, self.server_time())
        self._open[order.account.name].pop(order.number, None)
        self.release(order)

    def _is_spent(self, order: Order) -> bool:
        """Whether what is left of an amount of money buys no further step."""
        best = self.books[order.market.id].best("SELL")
        left = EXACT.subtract(order.spend or ZERO, order.quoted)
        return best is not None and left < EXACT.multiply(best[0], order.market.quantity_step)

    def _take(self, order: Order, fills: list[Fill]) -> None:
        book = self.books[order.market.id]
        for at, traded, other, level in fills:
            number = self._number()
            if other is not None:
                self._execute(other, at, traded, maker=True, number=number, against=order)
            elif level is not None and not order.market.refills:
                level[1] = EXACT.subtract(level[1], traded)
            if order.spend is not None:
                order.quantity = EXACT.add(order.quantity, traded)
            self._execute(order, at, traded, maker=False, number=number, against=other)
        if fills:
            book.updates += 1
            if not order.market.refills:
                made = book.made[opposite(order.side)]
                made[:] = [level for level in made if level[1] > 0]

    def _number(self) -> int:
        self._trades += 1
        return self._trades

    def _execute(
        self,
        order: Order,
        at: Decimal,
        traded: Decimal,
        *,
        maker: bool,
        number: int | None = None,
        against: Order | None = None,
    ) -> Trade:
        """Book one side of a trade; against the market maker where the other side is no account's order."""
        notional, fee, fee_asset = self.pay(order, at, traded, maker=maker, against=against)
        now = self.server_time()
        trade = Trade(
            self._number() if number is None else number, order, at, traded, notional, fee, fee_asset, maker, now
        )
        self._note(trade, public=not maker or against is None)
        return trade

    def _note(self, trade: Trade, *, public: bool) -> None:
        order, market = trade.order, trade.order.market
        order.trades.append(trade)
        self._trades_of[order.account.name, market.id].append(trade)
        order.executed = EXACT.add(order.executed, trade.quantity)
        order.quoted = EXACT.add(order.quoted, trade.quote)
        book = self.books[market.id]
        if public:
            book.recent.append(trade)
            book.candles.add(self.now(), trade.price, trade.quantity, trade.quote)
        done = order.remaining == 0 and (order.spend is None or trade.maker)
        order.note("FILLED" if done else "PARTIALLY_FILLED", trade.at)
        if done:
            self._open[order.account.name].pop(order.number, None)
            if trade.maker:
                book.remove(order)
        self.release(order)

    # -------------------------------------------------------------------------------------------------------- queries

    def find(
        self, account: Account, market: Market, *, number: int | None = None, client_id: str | None = None
    ) -> Order:
        """An order by its number, or by its client id: the last one that has it.

        Raises:
            Rejection: this account has none in this market.
        """
        order: Order | None = None
        if number is not None:
            order = self.orders[number - 1] if 0 < number <= len(self.orders) else None
        elif client_id is not None:
            found = self._by_client_id.get((account.name, client_id))
            order = found[-1] if found else None
        if order is None or order.account is not account or order.market is not market:
            raise Rejection("not_found")
        return order

    def open_orders(self, account: Account, market: Market | None = None) -> list[Order]:
        """The account's open orders, the oldest first."""
        orders = self._open[account.name].values()
        return [order for order in orders if market is None or order.market is market]

    def history(self, account: Account, market: Market) -> list[Order]:
        """All the account's orders in a market, the oldest first."""
        return self._orders_of[account.name, market.id]

    def trades(self, account: Account, market: Market) -> list[Trade]:
        """All the account's trades in a market, the oldest first."""
        return self._trades_of[account.name, market.id]

    def submissions(self, account: Account) -> dict[str, list[Order]]:
        """Every accepted order of an account that has a client id, by that id."""
        return {client_id: orders for (name, client_id), orders in self._by_client_id.items() if name == account.name}
