"""A paper session: recorded or simulated prices of several venues, workflows, a desk at each venue, in virtual time.

Theory of operation. The engine's clock is the market's, and the world is a function of it: of every recording the bars
that have ended are known, and no others. Between two instants at which something becomes known, timers, schedules and
delayed events fire at their own times. An instant ``t`` has four parts, each done and on disk before the next:

    1. just before t   all that is due until then fires; then the venues trade on the bars that end at t, and what they
                       filled or ended is published and booked (one microsecond before t: it happened within the bar)
    2. t               the bars are known; what is due at t fires, and finds fills booked and prices new
    3. t               what triggers make of the bars, then news: one event at a time, its runs done before the next
    4. t               the run that was asked for by hand, if this is its time; the equity is marked

So an order is decided on bars that have ended, and trades on bars that begin later.

**Continuing.** Every event carries the bar it came of, and the time of the tape's last record says how far it came. A
restart reads the recordings from the start, without the engine: triggers read, the ledgers take the fills that are on
the tape, the venues ignore bars they have traded on. At the time of the last record, and not before, the engine is
opened: runs that were under way find the world as they left it. What of that instant is missing on the tape is then
published, and so on. So the summary of a session killed any number of times is that of one which was not, unless runs
that go on side by side at one instant decide by who comes first: that order is the engine's own.

Bars at which nothing is due and nothing fires touch neither disk nor engine. After the last instant nothing more
becomes known and the session ends; what waits for a later time then waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from tickwork.core.clock import VirtualClock
from tickwork.core.event import Event
from tickwork.core.queue import Queue
from tickwork.core.schedule import ScheduleFired
from tickwork.core.workflow import Workflow
from tickwork.engines.embedded.engine import Engine
from tickwork.errors import InvalidInput, TapeError, TickworkError
from tickwork.market.recording import Recording, Tick
from tickwork.outcome import Found
from tickwork.service.paper_account import ACCOUNT, PaperDesk, PaperTrader
from tickwork.service.paper_orders import Working, working
from tickwork.service.paper_summary import PaperSummary, summarise
from tickwork.service.paper_tape import Beginning, PaperFiles, PaperFinished, published
from tickwork.service.paper_timeline import Feeding, Instant, instants
from tickwork.service.playback import BREATH, Curve, Pace, Progress
from tickwork.service.trading import AccountOpened, OrderEnded, OrderFilled
from tickwork.trading.gate import RiskLimits
from tickwork.trading.matching import Costs
from tickwork.trading.order_life import FINAL
from tickwork.trading.orders import Fill
from tickwork.values import from_ns
from tickwork.venues.recorded import Key, Recorded, Terms
from tickwork.venues.recorded_news import RecordedNews

LEAD_NS: Final = 1_000
"""How long before an instant its fills are published: the engine's times are whole microseconds."""

BY_HAND: Final = "by-hand"
"""Id of the run that is started by hand."""

Place = tuple[str, str, int]
"""Venue, symbol and offset of a bar that something traded on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ByHand:
    """A run to be started by hand, once.

    By default it starts at the first instant at or after three quarters of the session's time, so that bars are left
    for its orders to fill on.
    """

    workflow: str = ""
    """Its name; empty: the first of the session's workflows."""
    input: Any = None
    at: int | None = None
    """ns since 1970 UTC: the first instant at or after that; ``None``: three quarters through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperOptions:
    """What a session is played with."""

    home: Path
    data: Sequence[str | Recording]
    """Recordings, their names, or paths of their files. The first one's venue is what ``""`` means."""
    terms: Mapping[Key, Terms] = field(default_factory=dict)
    """Of simulated markets: what is known of them besides their bars."""
    news: Path | None = None
    """A file of recorded news."""
    seed: int = 1
    """Of the engine's nonce, and so of every id and client order id."""
    capital: Decimal = Decimal(100_000)
    """What is paid in at each venue."""
    stock: Decimal = Decimal(0)
    """The part of it that is held as coins from the beginning, in equal shares of the venue's spot pairs that do not
    expire and at their first prices, so that a venue can sell before it has bought; a fraction below 1."""
    costs: Costs = field(default_factory=Costs)
    """Where the terms of a market name a half-spread, the widest of the venue takes the place of the slippage."""
    limits: RiskLimits | None = None
    """At each venue. By default an order is at most a tenth of the capital, a position at most a fifth, and a quote
    stands for as long as a close does."""
    by_hand: ByHand | None = None
    until: int | None = None
    """The last instant, ns since 1970 UTC; ``None``: the end of the data."""
    documents: Sequence[str] = ()
    """What identifies the documents that the workflows are made of: a tape goes on only with the same."""
    opening: Sequence[Event] = ()
    """What is published before anything else when a session begins."""
    queues: Sequence[Queue] = ()
    """Queues that workflows send to, besides those that they name in ``on=``."""
    speed: float | None = None
    """Seconds of the recordings that pass in one second; ``None`` for as fast as it goes."""
    fresh: bool = False
    """Begin anew, whatever is there."""


class PaperSession:
    """One session from where its tape stands to its end. ``app.open_paper`` makes it; whoever asks for it closes it."""

    def __init__(
        self,
        *,
        options: PaperOptions,
        recordings: Sequence[Recording],
        recorded: Recorded,
        trader: PaperTrader,
        news: RecordedNews,
        feeding: Feeding,
        engine: Engine,
        clock: VirtualClock,
        beginning: Beginning,
        span: tuple[int, int],
        release: Callable[[], None],
        warnings: Sequence[str] = (),
    ) -> None:
        self.engine = engine
        self.trader = trader
        self.feeding = feeding
        self.notice = beginning.notice
        self.warnings = tuple(warnings)
        """What will not happen, and why: a line each."""
        self.first_ns, self.last_ns = span
        self.progress = Progress(total=sum(map(len, recordings)), rebuilding=beginning.past.until > 0)
        self._options = options
        self._recordings = recordings
        self._recorded = recorded
        self._news = news
        self._clock = clock
        self._past = beginning.past
        self._started = beginning.started
        self._release = release
        self._curve = Curve(trader.equity())
        self._fills: dict[Place, list[Fill]] = {}
        """Fills of the venues that are not on the tape yet."""
        self._workflow_of: dict[str, str] = {key: one.workflow for key, one in beginning.past.accepted.items()}
        """Of every order ever seen, by client id."""
        self._working: dict[str, Working] = {}
        """Orders that have not ended, by client id."""
        self._began = False
        """The engine is being opened, or open."""
        self._opened = False
        self._due: int | None = None
        """When the engine's next timer is due."""
        self._by_hand_at = self._start_of(options.by_hand)
        self._fault: TapeError | None = None
        """A venue's book has failed."""
        for desk in trader.desks.values():
            desk.venue.when_broken(self._break_off)

    def _start_of(self, by_hand: ByHand | None) -> int | None:
        if by_hand is None:
            return None
        if by_hand.at is not None:
            return by_hand.at
        return self.first_ns + (self.last_ns - self.first_ns) * 3 // 4

    async def run(self) -> PaperSummary:
        """Go on to the end.

        Raises:
            TickworkError: a book is not of this tape, the tape lacks what its data gives rise to, or a ledger is not
                what its book says.
            TapeError: the disk failed. What is on it is sound, and the session can be continued.
        """
        try:
            return await self._play()
        except TapeError as error:
            raise self._fault or error from None

    def _break_off(self, fault: TapeError) -> None:
        """Stop as a process that dies, before the run that met the failure of a book takes it for its own."""
        self._fault = self._fault or fault
        if self._began:
            self.engine.kill()

    async def _play(self) -> PaperSummary:
        await self._check_books()
        pace = None
        for count, instant in enumerate(self._instants()):
            if self._opened and self._options.speed is not None:
                pace = pace or Pace(self._options.speed)
                await pace.reach(instant.at)
            if count % BREATH == 0:
                await asyncio.sleep(0)
            await self._instant(instant)
            self.progress.bars += len(instant.ticks)
        return await self._finish()

    async def close(self) -> None:
        """Write what is not on disk and let go of tape and books."""
        await self.engine.close()
        self._let_go()

    def kill(self) -> None:
        """Let go of everything as if the process had died. For tests."""
        if self._began:
            self.engine.kill()
        self._let_go()

    def _let_go(self) -> None:
        for desk in self.trader.desks.values():
            desk.close()
        self._release()

    def _instants(self) -> Iterator[Instant]:
        return instants(self._recordings, self._news.items, self.first_ns, self.last_ns)

    # -- one instant ----------------------------------------------------------------------------------------------

    async def _instant(self, instant: Instant) -> None:
        at, ticks = instant.at, instant.ticks
        self.progress.time = at
        if at > self._past.until:
            if not self._opened:
                await self._resume()
            await self._pass(at - LEAD_NS)
            for venue, fills in self._trade(ticks):
                self._hold(venue, fills)
            await self._book(at, ticks)
            self._know(instant)
            await self._pass(at)
            events = self._feed(instant)
        else:
            self._trade(ticks)
            self._book_past(ticks)
            self._know(instant)
            events = self._feed(instant)
            if at == self._past.until:
                await self._resume()
        for event in events:
            await self._publish(event)
        await self._by_hand(at)
        self._curve.mark(at, self.trader.equity())

    async def _pass(self, to: int) -> None:
        """Let the engine's time pass until ``to`` (ns)."""
        whole = to // LEAD_NS * LEAD_NS
        while self._due is not None and self._due <= whole:
            await self.engine.until(from_ns(whole))
            self._look()
        self._clock.jump(to)

    async def _settle(self) -> None:
        """Return when all that can be done at this time is done and on disk."""
        await self.engine.idle()
        self._look()
        await self._pass(self._clock.now())

    def _look(self) -> None:
        """See what the engine has come to: its next timer, and which orders there are."""
        self._due = self.engine.next_due()
        self._working = dict(self.engine.items(working))
        self._workflow_of.update({key: one.workflow for key, one in self._working.items()})

    def _know(self, instant: Instant) -> None:
        self._clock.jump(instant.at)
        for tick in instant.ticks:
            self.trader.take(tick)

    def _feed(self, instant: Instant) -> list[Event]:
        events = [event for tick in instant.ticks for event in self.feeding.feed(tick)]
        self.progress.events += len(events) + len(instant.news)
        return [*events, *instant.news]

    async def _publish(self, event: Event) -> None:
        """Put an event on the tape, unless it is there, and let the runs it starts go as far as they can."""
        if published(event) in self._past.published:
            return
        if not self._opened:
            told = f"the tape lacks {event.event_name} of {published(event)[1]} at {published(event)[2]}, and goes on"
            raise TickworkError(f"{told}: {self._remedy}")
        self.engine.post(event)
        await self._settle()

    async def _by_hand(self, at: int) -> None:
        """Start the run that was asked for, when its time has come; again after a restart, where it finds itself."""
        by_hand = self._options.by_hand
        if by_hand is None or self._by_hand_at is None or not self._opened or at < self._by_hand_at:
            return
        self._by_hand_at = None
        workflows = self.engine.workflows
        workflow = next((one for one in workflows if one.name == by_hand.workflow), workflows[0])
        self.engine.start_soon(workflow, by_hand.input, id=BY_HAND)
        await self._settle()

    # -- fills ----------------------------------------------------------------------------------------------------

    def _trade(self, ticks: Sequence[Tick]) -> list[tuple[str, list[Fill]]]:
        """Let the venues trade; what they filled, which is nothing where they have traded on these bars before."""
        found = []
        for tick in ticks:
            if (desk := self._desk_of(tick)) is not None:
                found.append((desk.name, desk.venue.on_bar(tick.bar, tick.offset)))
        return found

    def _desk_of(self, tick: Tick) -> PaperDesk | None:
        """The desk whose orders trade on a recording; ``None``: it only tells of bars of another length."""
        if self._recorded.of(tick.bar.venue, tick.bar.symbol).name != tick.recording:
            return None
        return self.trader.desks[tick.bar.venue]

    def _hold(self, venue: str, fills: Sequence[Fill]) -> None:
        for fill in fills:
            self._fills.setdefault((venue, fill.symbol, fill.offset or 0), []).append(fill)

    def _book_past(self, ticks: Sequence[Tick]) -> None:
        """Book the fills that are on the tape."""
        for tick in ticks:
            for fill in self._past.fills.pop((tick.recording, tick.offset), ()):
                self._apply(fill)

    def _apply(self, fill: Fill) -> None:
        self.trader.desks[fill.venue].desk.apply(fill)
        self.progress.fills += 1

    async def _book(self, at: int, ticks: Sequence[Tick]) -> None:
        """Put what the venues did within the bars that end at an instant on the tape, and book it."""
        for tick in ticks:
            for fill in self._fills.pop((tick.bar.venue, tick.bar.symbol, tick.offset), ()):
                workflow = self._workflow_of.get(fill.client_order_id)
                if workflow is None:
                    sent = f"{fill.venue} filled order {fill.client_order_id}, which no run on the tape has sent"
                    raise TickworkError(f"{sent}: {self._remedy}")
                self.engine.post(OrderFilled.of(fill, workflow, tick.recording, tick.bar.end))
                self._apply(fill)
                await self._settle()
        for venue, symbol, offset in self._fills:
            if self._recorded.of(venue, symbol)[offset].end_ns <= at:
                raise TickworkError(f"a fill of {symbol} in the book of {venue} is not of this tape: {self._remedy}")
        for key, order in sorted(self._working.items()):
            await self._see_end(at, key, order)

    async def _see_end(self, at: int, key: str, order: Working) -> None:
        """Tell of an order that its venue ended before it was filled whole."""
        desk = self.trader.desks[order.venue]
        ended = desk.venue.ended_at(key)
        if ended is None or ended > at:
            return  # it can trade, or the venue had traded on later bars when the session was interrupted
        found = await desk.venue.find(key)
        if isinstance(found, Found) and found.value.status in FINAL and key in self._working:
            desk.desk.follow(found.value)
            self.engine.post(OrderEnded.of(found.value, order.workflow, from_ns(ended)))
            await self._settle()

    # -- opening and ending ---------------------------------------------------------------------------------------

    @property
    def _remedy(self) -> str:
        return PaperFiles(Path(self.engine.path).parent).remedy

    async def _check_books(self) -> None:
        """Before anything is traded: the books hold every order and fill that the tape tells of."""
        for name, desk in self.trader.desks.items():
            lacking = self._past.lacking(name, await desk.venue.numbered(0), desk.venue.totals().client_order_ids)
            if lacking:
                raise TickworkError(f"the book of {name} lacks {lacking}, which is on the tape: {self._remedy}")

    async def _resume(self) -> None:
        """Open the engine, now that the world stands where the tape does, and let unfinished runs go on."""
        past, fresh = self._past, self._past.started is None
        for fills in past.fills.values():
            # of bars that end at the next instant: booking them was interrupted
            for fill in fills:
                self._apply(fill)
        past.fills.clear()
        for order in past.working():
            self.trader.desks[order.venue].desk.follow(order)
        for name, desk in self.trader.desks.items():
            self._hold(name, await desk.venue.numbered(past.last_fill.get(name, 0)))
            for order in await desk.venue.open_orders():
                if order.client_order_id not in past.accepted:
                    desk.desk.follow(order)
        self._began = True
        await self.engine.open()
        self._opened = True
        self.progress.rebuilding = False
        if fresh:
            for name, desk in self.trader.desks.items():
                for asset, amount in desk.cash.items():
                    self.engine.post(AccountOpened(account=ACCOUNT, venue=name, currency=asset, amount=amount))
            for event in self._options.opening:
                self.engine.post(event)
            # last, because a tape without it is begun anew
            await self.engine.emit(self._started)
        await self._settle()

    async def _finish(self) -> PaperSummary:
        if not self._opened:
            await self._resume()
        await self._pass(self.last_ns)
        summary = await self.summary()
        for name, desk in self.trader.desks.items():
            differences = desk.venue.totals().differences(desk.ledger)
            if differences:
                told = "; ".join(differences)
                raise TickworkError(f"the ledger of {name} is not what its book says ({told}): {self._remedy}")
            desk.ledger.check()
        marks = {name: dict(sorted(desk.marks.items())) for name, desk in self.trader.desks.items()}
        end = from_ns(self.last_ns)
        await self.engine.emit(PaperFinished(bars=summary.bars, equity=self._curve.equity, at=end, marks=marks))
        return summary

    async def summary(self) -> PaperSummary:
        """The figures so far."""
        await self.engine.durable()
        return summarise(self.engine.queries, self.trader, self._curve, self.progress, self.events(), self.engine.path)

    # -- for whoever watches --------------------------------------------------------------------------------------

    @property
    def playing(self) -> bool:
        """The engine is open: what there was to rebuild is rebuilt."""
        return self._opened

    @property
    def equity(self) -> Decimal:
        """At the latest instant."""
        return self._curve.equity

    def events(self) -> int:
        """How often a trigger on bars fired, a schedule was due, or news became known."""
        if not self._opened:
            return self.progress.events
        count = "SELECT count(*) FROM events WHERE name=?"
        ((scheduled,),) = self.engine.queries.reader.rows(count, (ScheduleFired.event_name,))
        return self.progress.events + int(scheduled)


def check(options: PaperOptions, workflows: Sequence[Workflow], span: tuple[int, int]) -> None:
    """What would go wrong later, said before anything is touched.

    Raises:
        InvalidInput: no workflow, one that is not there, or a time outside of the data.
    """
    if not workflows:
        raise InvalidInput("workflows", "none", "at least one workflow")
    first, last = span
    if last <= first:
        raise InvalidInput("until", from_ns(last).isoformat(), f"a time after the data begins, {from_ns(first)}")
    by_hand = options.by_hand
    if by_hand is None:
        return
    names = [workflow.name for workflow in workflows]
    if by_hand.workflow and by_hand.workflow not in names:
        raise InvalidInput("workflow", by_hand.workflow, f"one of {', '.join(names)}")
    if by_hand.at is not None and not first < by_hand.at <= last:
        within = f"a time within the data: after {from_ns(first).isoformat()}, by {from_ns(last).isoformat()}"
        raise InvalidInput("at", from_ns(by_hand.at).isoformat(), within)
