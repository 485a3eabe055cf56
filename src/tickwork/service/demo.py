"""The demo: recorded prices, triggers, workflows, a desk and a paper venue, in lock-step.

Theory of operation. All bars that end at one instant are taken together, because that is when they become known:

    the venue trades on them -> its fills go on the tape -> the market's state -> triggers -> events, one at a time,
    each with its runs done and on disk before the next -> the equity is marked

so an order is decided on a bar that has ended and can fill on the next one at the earliest. The engine's clock is the
market's: it stands at the instant, and nothing depends on the time on the wall.

**Continuing.** Every event carries the bar it came of, so the tape itself says how far it came. A restart reads the
recordings from the start and does everything again except what leaves a trace: state of market and triggers is rebuilt,
the ledger takes the fills that are on the tape, the venue ignores bars it has traded on. At the last instant of which
the tape knows anything, and not before, the engine is opened: runs that were under way find the market and the venue
as they left them. What of that instant is missing on the tape is then put there, and so on. The summary of a demo
killed any number of times is therefore that of one which was not.

Bars without an event touch neither disk nor engine.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Final

from tickwork.core.clock import VirtualClock
from tickwork.engines.embedded.engine import Engine
from tickwork.errors import TickworkError
from tickwork.market.recording import Tick
from tickwork.market.triggers import PriceChange, VolumeSpike
from tickwork.outcome import Found
from tickwork.service.demo_tape import Beginning, DemoFiles, DemoFinished, Moved, Summary, identity
from tickwork.service.market import Market, Streams
from tickwork.service.playback import BREATH, Curve, Pace, Progress
from tickwork.service.runs import RunLine, run_lines
from tickwork.service.trading import AccountOpened, OrderAccepted, OrderEnded, OrderFilled, holdings
from tickwork.trading.desk import Desk
from tickwork.trading.order_life import FINAL
from tickwork.trading.orders import Fill
from tickwork.trading.performance import DAILY_CRYPTO, DAILY_EQUITIES
from tickwork.values import EXACT, from_ns, plain
from tickwork.venues.paper import PaperVenue

CAPITAL: Final = Decimal(100_000)
ACCOUNT: Final = "demo"
HOME: Final = Path(".tickwork")
DEFAULT_DATA: Final = ("coinbase-btc-usd-1h", "bitstamp-btc-usd-1d", "aapl-1m")

Trigger = PriceChange | VolumeSpike


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What a person may choose."""

    home: Path
    data: tuple[str, ...] = ()
    """Names of recordings or paths of CSV files; empty for ``DEFAULT_DATA``."""
    seed: int = 1
    """Of the engine's nonce, and so of every id and client order id. The prices are recorded: no seed changes them."""
    speed: float | None = None
    """Seconds of the recording that pass in one second; ``None`` for as fast as it goes."""


def triggers_of(streams: Streams) -> dict[str, list[Trigger]]:
    """The triggers on each recording, by its name.

    Volume is watched where it can be traded. Prices are watched of symbols that two venues quote: a jump of 3 % within
    a bar where it is traded; 1 % from bar to bar on the slower venue, whose prices are fresh at no other time.
    """
    found: dict[str, list[Trigger]] = {recording.name: [] for recording in streams.recordings}
    for symbol, recording in streams.traded.items():
        watched = streams.watched.get(symbol)
        if watched is not None:
            found[recording.name].append(PriceChange(symbol, "0.03", venue=recording.header.venue))
            found[watched.name].append(PriceChange(symbol, "0.01", venue=watched.header.venue))
        found[recording.name].append(VolumeSpike(symbol, 3, window=20, venue=recording.header.venue))
    return found


@dataclass(frozen=True, slots=True)
class Counts:
    """What is on the tape."""

    runs: int
    orders: int


class DemoSession:
    """One demo from where its tape stands to the end of its data. Everything it works with is handed in, unopened."""

    def __init__(
        self,
        *,
        streams: Streams,
        market: Market,
        venue: PaperVenue,
        desk: Desk,
        engine: Engine,
        clock: VirtualClock,
        beginning: Beginning,
        speed: float | None,
        release: Callable[[], None],
    ) -> None:
        self.streams = streams
        self.market = market
        self.desk = desk
        self.engine = engine
        self.progress = Progress(total=streams.bars)
        self._venue = venue
        self._clock = clock
        self._past = beginning.past
        self.progress.rebuilding = beginning.past.until > 0
        self._started = beginning.started
        self._speed = speed
        self._release = release
        self.notice = beginning.notice
        self._triggers = triggers_of(streams)
        self._curve = Curve(CAPITAL)
        self._fills: list[Fill] = []
        """Fills of the venue that are not on the tape yet, ascending."""
        self._open: dict[str, dict[str, str]] = {}
        """Orders at the venue that have not ended: symbol -> client id -> workflow."""
        self._opened = False

    async def run(self) -> Summary:
        """Go on to the end of the data.

        Raises:
            TickworkError: the tape is not of this data, the venue's book is not of this tape, a run died, or the ledger
                is not what the book says.
        """
        await self._check_book()
        pace = None
        for count, (at, ticks) in enumerate(self._instants()):
            if not self._opened and at > self._past.until:
                await self._resume()
            if self._opened and self._speed is not None:
                pace = pace or Pace(self._speed)
                await pace.reach(at)
            if count % BREATH == 0:
                await asyncio.sleep(0)
            self.progress.time = at
            await self._instant(at, ticks)
            self.progress.bars += len(ticks)
        if not self._opened:
            await self._resume()
        return await self._finish()

    async def _check_book(self) -> None:
        """Before anything is traded: the venue's book holds every order and fill that the tape tells of."""
        lacking = self._past.lacking(await self._venue.numbered(0), self._venue.totals().client_order_ids)
        if lacking:
            raise TickworkError(f"the venue's book lacks {lacking}, which is on the tape: {self._remedy}")

    @property
    def _remedy(self) -> str:
        return DemoFiles(Path(self.engine.path).parent).remedy

    async def close(self) -> None:
        """Write what is not on disk and let go of tape and book."""
        await self.engine.close()
        await self._venue.close()
        self._release()

    def _instants(self) -> Iterator[tuple[int, list[Tick]]]:
        for at, ticks in groupby(self.streams.ticks(), key=lambda tick: tick.bar.end_ns):
            yield at, list(ticks)

    # -- one instant ----------------------------------------------------------------------------------------------

    async def _instant(self, at: int, ticks: Sequence[Tick]) -> None:
        self._clock.jump(at)
        self._trade(ticks)
        if self._opened:
            await self._book(at, ticks)
        else:
            self._book_past(ticks)
        events = [event for tick in ticks for event in self._take(tick)]
        self.progress.events += len(events)
        if not self._opened and at == self._past.until:
            await self._resume()
            await self._book(at, ticks)
        for event in events:
            await self._publish(event)
        self._mark(at)

    def _trade(self, ticks: Sequence[Tick]) -> None:
        for tick in ticks:
            if tick.recording in self.streams.traded_names:
                self._fills += self._venue.on_bar(tick.bar, tick.offset)

    def _take(self, tick: Tick) -> list[Moved]:
        self.market.take(tick)
        found = (trigger.on_tick(tick) for trigger in self._triggers[tick.recording])
        return [event for event in found if event is not None]

    async def _publish(self, event: Moved) -> None:
        """Put a trigger's event on the tape, unless it is there, and let the runs it starts end."""
        if identity(event) in self._past.moved:
            return
        if not self._opened:
            raise TickworkError(
                f"the tape lacks {event.event_name} of {event.recording} at {event.offset}, and goes on: another "
                "version of tickwork wrote it. To begin anew, delete it or give another --home"
            )
        self.engine.post(event)
        await self.engine.settled()
        self._look_for_orders()

    def _mark(self, at: int) -> None:
        ledger, curve = self.desk.ledger, self._curve
        curve.mark(at, ledger.equity(self.market.marks, self.streams.currency))

    # -- fills ----------------------------------------------------------------------------------------------------

    def _book_past(self, ticks: Sequence[Tick]) -> None:
        """Book the fills that are on the tape."""
        for tick in ticks:
            for fill in self._past.fills.get((tick.recording, tick.offset), ()):
                self._apply(fill)

    async def _book(self, at: int, ticks: Sequence[Tick]) -> None:
        """Put what the venue did at this instant on the tape, then book it."""
        places = {(tick.bar.symbol, tick.offset): tick for tick in ticks if tick.recording in self.streams.traded_names}
        while self._fills:
            fill = self._fills[0]
            tick = places.get((fill.symbol, fill.offset or 0))
            if tick is None:
                if fill.time + self.streams.traded[fill.symbol].header.interval_ns <= at:
                    raise TickworkError(
                        f"fill {fill.fill_id} of the venue's book is not of this tape's recordings: {self._remedy}"
                    )
                break  # the venue had traded on later bars when the demo was interrupted
            del self._fills[0]
            workflow = self._open.get(fill.symbol, {}).get(fill.client_order_id)
            if workflow is None:
                sent = f"the venue filled order {fill.client_order_id}, which no run on the tape has sent"
                raise TickworkError(f"{sent}: {self._remedy}")
            self.engine.post(OrderFilled.of(fill, workflow, tick.recording, tick.bar.end))
            self._apply(fill)
        for tick in places.values():
            if self._open.get(tick.bar.symbol):
                await self._look_for_endings(at, tick)

    def _apply(self, fill: Fill) -> None:
        self.desk.apply(fill)
        self.progress.fills += 1

    async def _look_for_endings(self, at: int, tick: Tick) -> None:
        """Orders that had a bar to trade on: tell of those that the venue ended before they were filled whole."""
        self._look_for_orders()
        for key, workflow in list(self._open.get(tick.bar.symbol, {}).items()):
            if at == self._past.until and key not in self._sent_before(at):
                continue  # its bar is still to come, though the venue may have traded on it already
            found = await self._venue.find(key)
            if isinstance(found, Found) and found.value.status in FINAL:
                self.desk.follow(found.value)
                self.engine.post(OrderEnded.of(found.value, workflow, tick.bar.end))
        self._look_for_orders()

    def _sent_before(self, at: int) -> set[str]:
        """Client ids of the orders that were accepted before an instant, by the tape."""
        entries = self.engine.queries.events(OrderAccepted.event_name)
        earlier = [entry.record.value for entry in entries if entry.record.at < at]
        return {OrderAccepted.from_wire(bytes(value)).client_order_id for value in earlier}

    def _look_for_orders(self) -> None:
        """Which orders are open, by the tape."""
        self._open = {}
        for key, holding in self.engine.items(holdings).items():
            workflow, _, symbol = key.partition(" ")
            for client_id in holding.open:
                self._open.setdefault(symbol, {})[client_id] = workflow

    # -- opening and ending ---------------------------------------------------------------------------------------

    async def _resume(self) -> None:
        """Open the engine, now that market and venue stand where the tape does; unfinished runs end first."""
        past = self._past
        fresh = past.started is None
        self._fills = await self._venue.numbered(past.last_fill)
        if not fresh:
            await self._follow(await self._open_at_the_venue())
        await self.engine.open()
        self._opened = True
        self.progress.rebuilding = False
        if fresh:
            venue, currency = self._venue.name, self.streams.currency
            self.engine.post(AccountOpened(account=ACCOUNT, venue=venue, currency=currency, amount=CAPITAL))
            # last, because a tape without it is begun anew
            await self.engine.emit(self._started)
        await self.engine.settled()
        self._look_for_orders()

    async def _follow(self, keys: list[str]) -> None:
        for key in keys:
            found = await self._venue.find(key)
            if isinstance(found, Found):
                self.desk.follow(found.value)

    async def _open_at_the_venue(self) -> list[str]:
        """Client ids of orders that held room when the demo was interrupted: open ones, and those filled since."""
        waiting = {order.client_order_id for order in await self._venue.open_orders()}
        return sorted(waiting | {fill.client_order_id for fill in self._fills})

    async def _finish(self) -> Summary:
        summary = await self.summary()
        differences = self._venue.totals().differences(self.desk.ledger)
        if differences:
            told = "; ".join(differences)
            raise TickworkError(f"the ledger is not what the venue's book says ({told}): {self._remedy}")
        self.desk.ledger.check()
        dead = self.engine.queries.counts().get("dead", 0)
        if dead:
            raise TickworkError(f"{dead} runs died: see `tickwork runs --status dead`")
        marks, end = dict(sorted(self.market.marks.items())), from_ns(self.progress.time)
        await self.engine.emit(DemoFinished(bars=summary.bars, equity=self._curve.equity, marks=marks, at=end))
        return summary

    async def summary(self) -> Summary:
        """The figures so far, from the tape.

        The Sharpe ratio is that of daily returns (days with a bar), at a risk-free rate of zero, times the root of 365
        where a coin is traded, of 252 where only shares are.
        """
        await self.engine.durable()
        queries = self.engine.queries
        runs = Counter(queries.counts())
        sharpe = self._curve.sharpe(self.days_per_year)
        return Summary(
            bars=self.progress.bars,
            events=self.progress.events,
            runs=sum(runs.values()),
            orders=len(queries.events(OrderAccepted.event_name)),
            fills=len(queries.events(OrderFilled.event_name)),
            fees=plain(self.desk.ledger.fees(self.streams.currency)),
            equity=plain(self._curve.equity),
            pnl=plain(EXACT.subtract(self._curve.equity, CAPITAL)),
            max_drawdown=round(self._curve.drawdown(), 6),
            sharpe=None if sharpe is None else round(sharpe, 6),
            tape=str(self.engine.path),
        )

    # -- for whoever watches --------------------------------------------------------------------------------------

    @property
    def playing(self) -> bool:
        """The engine is open: what there was to rebuild is rebuilt."""
        return self._opened

    def counts(self) -> Counts:
        """Runs and orders on the tape."""
        if not self._opened:
            return Counts(0, 0)
        queries = self.engine.queries
        (orders,) = queries.reader.rows("SELECT count(*) FROM events WHERE name=?", (OrderAccepted.event_name,))
        return Counts(sum(queries.counts().values()), orders[0])

    def last_runs(self, limit: int = 6) -> list[RunLine]:
        """How the last runs ended, newest first."""
        return run_lines(self.engine.queries, limit=limit) if self._opened else []

    def last_order_run(self) -> str:
        """The run that sent the last order; empty when none did."""
        events = self.engine.queries.events(OrderAccepted.event_name)
        return OrderAccepted.from_wire(bytes(events[-1].record.value)).run if events else ""

    @property
    def days_per_year(self) -> int:
        """By which the Sharpe ratio is annualised."""
        return DAILY_CRYPTO if any("/" in symbol for symbol in self.streams.traded) else DAILY_EQUITIES

    @property
    def capital(self) -> Decimal:
        """What was paid in."""
        return CAPITAL

    @property
    def equity(self) -> Decimal:
        """At the latest instant."""
        return self._curve.equity

    @property
    def time(self) -> str:
        """The latest instant, for people."""
        return f"{from_ns(self.progress.time):%Y-%m-%d %H:%M}"
