"""One account, open: what its venue does to its orders goes on the tape and into its books.

Theory of operation. ``look`` asks the desk for news and publishes what is new: the event first, then the books. Neither
is awaited to disk: whatever a crash loses of it is still at the venue, and is found by the next look, because what the
tape knows is what the books are rebuilt from. What depends on the books (an order, an answer to a person) waits for the
tape, and so for all of this.

A venue that streams wakes the look at once; the look itself always asks. Nobody trusts a stream to be complete.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Final

from tickwork.core.event import Alert, Event
from tickwork.errors import InvalidInput, TapeError
from tickwork.market.bars import Quote
from tickwork.service.accounts.events import EquityMarked, OrderCleared, OrderDisowned, OrderInDoubt, OrderMissing
from tickwork.service.accounts.recovery import Past
from tickwork.service.positions import equity_of
from tickwork.service.trading import OrderEnded, OrderFilled
from tickwork.trading.desk import Cleared, Desk, DeskNews, InDoubt
from tickwork.trading.orders import ZERO, Fill, Order
from tickwork.trading.reservations import Reservation
from tickwork.trading.venue import VenuePort
from tickwork.values import NS_PER_SECOND, DurationLike, duration, from_ns, timestamp_ns

_log = logging.getLogger("tickwork.accounts")

_LONGEST_PAUSE_S: Final = 30.0
_MISSING_NS: Final = 60 * NS_PER_SECOND
"""So long an acknowledged order may be invisible before that is told."""


class OpenAccount:
    """An account whose desk has been rebuilt and whose engine is open.

    Args:
        owner: whose account it is.
        post: publishes an event, without waiting for the disk.
        currency: what it is kept in.
        quotes: the freshest quote of a symbol, or ``None``.
        clock: ns since 1970 UTC.
        every: how often the venue is asked.
        mark_every: how often its worth goes on the tape.
        holders: client id -> workflow, of orders from before this opening.
    """

    def __init__(
        self,
        *,
        owner: str,
        post: Callable[[Event], object],
        desk: Desk,
        venue: VenuePort,
        currency: str,
        quotes: Callable[[str], Quote | None],
        clock: Callable[[], int],
        every: DurationLike = "1s",
        mark_every: DurationLike = "1 minute",
        holders: Mapping[str, str] | None = None,
    ) -> None:
        self.name = desk.account
        self.owner = owner
        self.desk = desk
        self.venue = venue
        self.currency = currency
        self.on_holding: Callable[[str, str, str, Decimal], None] = lambda *_: None
        """Called with account, workflow, symbol and what is held now, after each fill that is booked."""
        self.unheard_since: int | None = None
        """Since when (ns) the venue has not answered a look; ``None``: it did."""
        self.looked_ns: int | None = None
        """When the venue last answered a look (ns)."""
        self._post = post
        self._quotes = quotes
        self._clock = clock
        self._every_s = duration(every, f"accounts.{self.name}.every") / NS_PER_SECOND
        self._mark_every = duration(mark_every, f"accounts.{self.name}.mark_every")
        self._holders = dict(holders or {})
        self._booked: list[Fill] = []
        """Of all times, in tape order."""
        self._serial = asyncio.Lock()
        self._awake = asyncio.Event()
        self._missing: dict[str, int] = {}
        self._told_missing: set[str] = set()
        self._marked_at = 0

    def restore(self, past: Past) -> None:
        """Rebuild the desk from the tape; once, before anything is placed."""
        for mark in past.marks:
            self.desk.activity.marked(mark.equity, timestamp_ns(mark.at), mark.profits)
        for at in past.failures:
            self.desk.activity.failed(at)
        self._booked = list(past.fills)
        self._holders |= {key: approval.intent.workflow for key, approval in past.approvals.items()}
        self.desk.restore(
            past.working, past.fills, past.doubtful, past.disowned, approvals=past.approvals, holders=past.holders
        )
        for key, approval in past.untold.items():
            self.desk.expect_end(key, Reservation.of(approval, "filled"))

    # -- what the desk tells --------------------------------------------------------------------------------------

    def told(self, news: DeskNews) -> None:
        """Put on the tape that an order came in doubt, or is not any more. To be the desk's ``tell``."""
        match news:
            case InDoubt():
                intent = news.approval.intent
                _log.warning("order %s of %s is in doubt: %s", news.key, self.name, news.why)
                doubt = OrderInDoubt(
                    account=self.name,
                    workflow=intent.workflow,
                    venue=self.venue.name,
                    client_order_id=news.key,
                    symbol=intent.symbol,
                    side=intent.side,
                    quantity=news.approval.quantity,
                    why=news.why[:500],
                    stuck=news.stuck,
                )
                self._post(doubt)
                if news.stuck:
                    self._alert(f"order {news.key} of {self.name} is in doubt", news.why)
            case Cleared():
                state = "" if news.order is None else news.order.status
                found = news.order is not None
                cleared = OrderCleared(account=self.name, client_order_id=news.key, found=found, state=state)
                self._post(cleared)

    # -- the venue ------------------------------------------------------------------------------------------------

    async def look(self) -> int:
        """Ask the venue once; returns how many fills and endings were new.

        Raises:
            Whatever the venue raises: nothing is known then, and nothing changed.
        """
        async with self._serial:  # two looks at once would find the same fills
            news = await self.desk.news()
            self._take(news.fills, news.ended)
            self._miss(news.missing)
            self.looked_ns = self._clock()
            return len(news.fills) + len(news.ended)

    async def book(self, fills: Sequence[Fill], ended: Sequence[Order]) -> None:
        """Book what somebody else saw at the venue, as news are; what is booked already is left out."""
        async with self._serial:
            self._take(fills, ended)

    def _take(self, fills: Sequence[Fill], ended: Sequence[Order]) -> None:
        for fill in fills:
            if not self.desk.ledger.knows(fill):
                self._book(fill)
        for order in ended:
            self._end(order)

    def held(self, workflow: str, symbol: str) -> Decimal:
        """What a workflow holds of a symbol on this account, in base units; below zero for a short."""
        book = self.desk.activity.held(workflow)
        return ZERO if book is None else book.quantity(symbol)

    def workflow_of(self, key: str) -> str | None:
        """Which workflow placed the order of a client id, however long ago; ``None``: it is none of ours."""
        return self.desk.holder_of(key) or self._holders.get(key) or None

    def fills_since(self, since: int) -> list[Fill]:
        """The fills on the tape at or after a time (ns)."""
        return [fill for fill in self._booked if fill.time >= since]

    def _book(self, fill: Fill) -> None:
        holder = self._holder(fill.client_order_id)
        held = self.desk.reservations.get(fill.client_order_id)
        self._post(OrderFilled.of(fill, holder, "", from_ns(self._clock())))
        self._booked.append(fill)
        self.desk.apply(fill, holder)
        self.on_holding(self.name, holder, fill.symbol, self.held(holder, fill.symbol))
        if held is not None:
            self.desk.expect_end(fill.client_order_id, held)

    def _end(self, order: Order) -> None:
        workflow = self._holder(order.client_order_id)
        # also of one that was filled whole: a venue may have taken less than was approved
        self._post(OrderEnded.of(order, workflow, from_ns(self._clock())))
        self.desk.follow(order)

    def _holder(self, key: str) -> str:
        found = self.desk.holder_of(key) or self._holders.get(key, "")
        self._holders[key] = found
        return found

    def _miss(self, missing: list[str]) -> None:
        now = self._clock()
        self._missing = {key: self._missing.get(key, now) for key in missing}
        for key, since in self._missing.items():
            if now - since > _MISSING_NS and key not in self._told_missing:
                self._told_missing.add(key)
                symbol = self.desk.reservations.symbol_of(key)
                self._post(OrderMissing(account=self.name, client_order_id=key, symbol=symbol))
                self._alert(f"order {key} of {self.name} is missing", f"{self.venue.name} had acknowledged it")
                _log.error("%s does not show order %s, which it had acknowledged", self.venue.name, key)

    async def disown(self, key: str, *, by: str, reason: str, durable: Callable[[], Awaitable[None]]) -> None:
        """A person says that an order in doubt does not exist: on the tape first, then its room is free.

        Raises:
            InvalidInput: no order of this client id is in doubt, or nobody says why.
        """
        if not reason.strip():
            raise InvalidInput("reason", reason, "why the order does not exist: who looked, and where")
        if key not in self.desk.reservations.doubtful():
            self.desk.disown(key)  # says which are
        self._post(OrderDisowned(account=self.name, client_order_id=key, by=by, reason=reason))
        await durable()
        self.desk.disown(key)

    def _alert(self, what: str, detail: str) -> None:
        self._post(Alert(run="", what=what, detail=detail[:500]))

    # -- what it is worth -----------------------------------------------------------------------------------------

    def equity(self) -> Decimal | None:
        """Cash and positions at the latest prices; ``None`` where a price is missing."""
        try:
            return equity_of(self.desk.ledger, self._marks(), self.currency)
        except InvalidInput:
            return None

    def _marks(self) -> dict[str, Decimal]:
        return {symbol: _middle(quote) for symbol in self._needed() if (quote := self._quotes(symbol)) is not None}

    def _needed(self) -> list[str]:
        ledger = self.desk.ledger
        rates = [f"{other}/{self.currency}" for other in ledger.currencies() if other != self.currency]
        return [*ledger.positions(), *rates]

    def mark(self) -> None:
        """Put what the account is worth on the tape, when that is due and known."""
        now = self._clock()
        if now - self._marked_at < self._mark_every:
            return
        marks = self._marks()
        try:
            equity = equity_of(self.desk.ledger, marks, self.currency)
            profits = self.desk.activity.profits(marks)
        except InvalidInput:  # a price is missing: limits that need a figure refuse, until there is one
            return
        self._marked_at = now
        self.desk.activity.marked(equity, now, profits)
        self._post(
            EquityMarked(
                account=self.name,
                currency=self.currency,
                equity=equity,
                profits=profits,
                prices=marks,
                at=from_ns(now),
            )
        )

    # -- for ever -------------------------------------------------------------------------------------------------

    async def run(self, sleep: Callable[[float], Awaitable[object]]) -> None:
        """Look again and again, until cancelled; what streams makes it look at once.

        Raises:
            TapeError: the tape cannot be written any more.
        """
        listening = asyncio.create_task(self._listen(sleep))
        failures = 0
        try:
            while True:
                failures = await self._once(failures)
                self._awake.clear()
                await self._pause(sleep, self._every_s * 2 ** min(failures, 8))
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening

    async def _once(self, failures: int) -> int:
        try:
            await self.look()
            self.mark()
        except TapeError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a venue does, its orders must go on being followed
            self.unheard_since = self.unheard_since or self._clock()
            _log.warning("%s cannot be asked about %s: %s: %s", self.venue.name, self.name, type(error).__name__, error)
            return failures + 1
        self.unheard_since = None
        return 0

    async def _pause(self, sleep: Callable[[float], Awaitable[object]], seconds: float) -> None:
        waking = asyncio.create_task(self._awake.wait())
        sleeping = asyncio.ensure_future(sleep(min(seconds, _LONGEST_PAUSE_S)))
        try:
            await asyncio.wait((waking, sleeping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waking.cancel()
            sleeping.cancel()

    def wake(self) -> None:
        """Look soon: something has happened, or is about to."""
        self._awake.set()

    async def _listen(self, sleep: Callable[[float], Awaitable[object]]) -> None:
        while self.venue.capabilities.streams:
            try:
                async for _ in self.venue.updates():
                    self.wake()
            except Exception as error:  # noqa: BLE001 - a stream is only a hint
                _log.warning("the stream of %s broke: %s", self.venue.name, error)
            await sleep(_LONGEST_PAUSE_S)


def _middle(quote: Quote) -> Decimal:
    return (quote.bid + quote.ask) / 2
