"""The watch: live feeds -> recordings -> standing triggers and alerts -> the engine; and who has fallen silent.

Theory of operation. An item that comes in is stamped with a time that is later than that of any item before, whatever
feed it comes from, then written to its feed's recording, then given to triggers and alerts: one callback, nothing
awaited in between. So the recordings, merged by time, are exactly what the triggers saw, in that order. What triggers
fire goes to an outbox; from there it is published, in order, once the recording that it names is on disk.

**Exactly once.** A firing is one event on the tape, and it carries its trigger, recording and offset. After a crash the
triggers go on from the last checkpoint and read the recordings again from there: what they fire at an offset at or
before the last one that the tape knows of this trigger has been published, the rest has not, and is. A checkpoint is
written only when every firing before it is on the tape's disk and every item before it on the recording's, so nothing
falls between. A trigger that is new reads the last day for the sake of its memory, and fires nothing from it.

What is dated wrongly decides nothing: a quote that was older than ``price_age`` when it came in, or a quote or bar
from further ahead than ``ahead``, is recorded and counted, and neither triggers nor alerts hear of it. Bars of an
outage come late and are read late, in their order; what an event started late may still do is the business of the
workflow's ``valid_for``. Alerts hear no price that is older than ``price_age`` now.

A full disk keeps out what comes in until there is room; a failed sync, or a tape that stops, stops the watch.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from tickwork.core.event import Alert, Event
from tickwork.core.trigger import Trigger
from tickwork.core.view import View
from tickwork.engines.embedded.engine import Engine
from tickwork.errors import InvalidInput, TapeError
from tickwork.market.bars import Bar, Quote
from tickwork.market.live import FeedRefused, Item, Kind, LiveFeed, Placed, brings
from tickwork.market.live_recording import LiveRecording, merge_items
from tickwork.market.news import NewsItem, SocialPost
from tickwork.market.staleness import FeedSilent, Staleness, silences
from tickwork.market.standing import StandingTriggers, Unfed, UnfedTrigger, fired_until, firings, unfed, what_fired
from tickwork.market.triggers.base import BarTrigger
from tickwork.service.alerts import Alerts
from tickwork.service.checkpoint import Checkpoint, load
from tickwork.service.dates import Dates, dated_ns
from tickwork.service.feed_status import FeedStatus, status_of
from tickwork.service.replacing import replace
from tickwork.values import NS_PER_SECOND, DurationLike, duration, from_ns
from tickwork.venues.feeds.reconnecting import Setting
from tickwork.venues.feeds.recorder import Recorder, RecordingFailed
from tickwork.venues.feeds.secrets import told

FIRINGS: Final = firings()
"""How far each trigger has fired; enough for all triggers that come with the product."""

WATCH_VIEWS: Final[tuple[View, ...]] = (FIRINGS, silences, unfed)
"""The views that the engine must be given."""

KNOWN: Final = 10_000
"""How many of its last items a feed is told when it begins."""

_CHECKPOINT: Final = "watch.json"
_PAUSE_S: Final = 30.0
"""How long a feed rests whose items could not be written, or which failed in a way it should not."""

_log = logging.getLogger("tickwork.watch")

Text = NewsItem | SocialPost
Listener = Callable[[Placed], None]


class Watch:
    """Watches feeds for an open engine that was given ``WATCH_VIEWS``. Use it as ``async with Watch(...) as watch``.

    Args:
        engine: whose workflows' triggers are fed, and which gets the events.
        feeds: unique by name, which is also the name of a feed's recording.
        home: the folder of the recordings and the checkpoint.
        setting: clock, sleep.
        alerts: hear prices, each symbol's from one feed: the first that gives quotes of it, else the first with bars.
        firings: the view of what was fired, as the engine has it; see ``market.standing.firings`` for triggers of
            one's own making.
        silence: how long a feed may be silent; ``silence_of`` says it for some feeds by name.
        price_age: older quotes are kept from triggers, older prices from alerts. A feed whose source is late by design
            says by how much, as its attribute ``delay_ns``; that is added.
        ahead: what is dated further ahead of the clock is kept from both.
        warm_up: how far back a new trigger reads for its memory.
        checkpoint_every, check_every: how often a checkpoint is written, and how often silence is looked for.
        judge: makes a text into one with a sentiment, before it is recorded; quick and pure.
        listeners: hear of every item, after it was recorded; quick.

    Raises:
        InvalidInput: two feeds of one name, or a trigger whose event ``firings`` does not know.
    """

    def __init__(
        self,
        engine: Engine,
        feeds: Sequence[LiveFeed],
        *,
        home: Path,
        setting: Setting,
        alerts: Alerts | None = None,
        firings: View = FIRINGS,
        silence: DurationLike = "1 minute",
        silence_of: Mapping[str, DurationLike] | None = None,
        price_age: DurationLike = "1 minute",
        ahead: DurationLike = "5s",
        warm_up: DurationLike = "1 day",
        checkpoint_every: DurationLike = "1 minute",
        check_every: DurationLike = "1s",
        judge: Callable[[Text], Text] | None = None,
        listeners: Iterable[Listener] = (),
    ) -> None:
        self._engine = engine
        self._feeds = {feed.name: feed for feed in feeds}
        if len(self._feeds) != len(feeds):
            raise InvalidInput("feeds", ", ".join(feed.name for feed in feeds), "feeds of different names")
        self._home = home
        self._setting = setting
        self._alerts = alerts
        self._firings = firings
        self._dates = Dates(feeds, duration(price_age, "priceAge"), duration(ahead, "ahead"))
        self._warm_up_ns = duration(warm_up, "warmUp")
        self._checkpoint_ns = duration(checkpoint_every, "checkpointEvery")
        self._check_s = duration(check_every, "checkEvery") / NS_PER_SECOND
        self._judge = judge
        self._listeners = list(listeners)
        self._staleness = Staleness(silence)
        self._silence_of = dict(silence_of or {})
        silence_ns = {name: duration(self._silence_of.get(name, silence), "silence") for name in self._feeds}
        self._standing = StandingTriggers(self._triggers(), feeds, silence_ns=silence_ns, complain=_complained)
        self._pricing = {**_first(feeds, "bar"), **_first(feeds, "quote")}
        self._quotes: dict[str, Quote] = {}
        self._recorders: dict[str, Recorder] = {}
        self._last_ns = 0
        self._outbox: list[tuple[Recorder, Event]] = []
        self._wake = asyncio.Event()
        self._publishing = asyncio.Lock()
        self._running: asyncio.Task[None] | None = None
        self.fault: Exception | None = None
        """What stopped the watch; ``None`` while it is well."""

    def _triggers(self) -> list[Trigger]:
        triggers = [trigger for workflow in self._engine.workflows for trigger in workflow.triggers]
        for trigger in triggers:
            if isinstance(trigger, BarTrigger) and trigger.event not in self._firings.on:
                raise InvalidInput("firings", trigger.event.event_name, f"a view made for {trigger}: firings([...])")
        return triggers

    # -- opening and closing --------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the recordings, go on from the checkpoint, publish what a crash kept from being published.

        Raises:
            RecordingFailed, InvalidInput: a recording cannot be used.
            TapeError: the engine has stopped.
        """
        fired = {name: fired_until(self._engine.items(self._firings), name) for name in self._feeds}
        checkpoint = load(self._home / _CHECKPOINT)
        try:
            for name in self._feeds:
                told = checkpoint.next.get(name, 0) if checkpoint else 0
                self._recorders[name] = self._opened(name, max(told, max(fired[name].values(), default=-1) + 1))
            self._go_on(checkpoint, fired)
        except BaseException:
            self.kill()
            raise
        self._expect()
        await self.checkpoint()
        if self._alerts is not None:
            self._alerts.fed = self.fed
        for one in self.unfed():
            _log.warning("trigger %s waits for %s, which no feed brings", one.trigger, one.needs)
        for trigger, feeds in self._standing.heard().items():
            if len(feeds) > 1:
                others = ", then ".join(feeds[1:])
                _log.info("trigger %s is read from feed %s; when that falls silent, from %s", trigger, feeds[0], others)

    def _opened(self, name: str, begin: int) -> Recorder:
        recorder = Recorder(self._home, name, begin=begin)
        self._last_ns = max(self._last_ns, recorder.last_ns)
        if recorder.cut_bytes:
            kept = "" if recorder.cut_kept else ", and not kept, for want of room"
            _log.warning("recording %s ended in half a line: %d bytes cut off%s", name, recorder.cut_bytes, kept)
        if recorder.lost:
            _log.warning("recording %s lacks %d items that were there before", name, recorder.lost)
        return recorder

    def _expect(self) -> None:
        now_ns = self._setting.now()
        for name, feed in self._feeds.items():
            for symbol in feed.symbols or ("",):
                self._staleness.expect(name, symbol, now_ns, self._silence_of.get(name))
        told = self._engine.items(silences)
        self._staleness.told(told)
        for event in self._staleness.dropped(told, now_ns):
            self._engine.post(event)

    async def __aenter__(self) -> Self:
        await self.open()
        self._running = asyncio.create_task(self.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        running, self._running = self._running, None
        assert running is not None
        running.cancel()
        (fault,) = await asyncio.gather(running, return_exceptions=True)
        if isinstance(fault, Exception):
            self.kill()
            raise fault
        await self.close()

    async def close(self) -> None:
        """Publish what is left, write a checkpoint, let the recordings go."""
        try:
            await self.checkpoint()
        finally:
            self.kill()

    def kill(self) -> None:
        """Let the recordings go and leave everything as it is, as if the process had died."""
        for recorder in self._recorders.values():
            recorder.close()

    async def wait(self) -> None:
        """Return when the watch has been closed; raises what stopped it."""
        if self.fault is not None:
            raise self.fault
        if self._running is not None:
            await asyncio.wait({self._running})  # unlike awaiting it, this outlives its being cancelled
            if self.fault is not None:
                raise self.fault

    async def serve(self) -> None:
        """Run until the process is told to stop (SIGINT, SIGTERM): the engine and the watch together.

        Raises:
            RecordingFailed, TapeError: what stopped the watch or the engine.
        """
        tasks = [asyncio.ensure_future(self.wait()), asyncio.ensure_future(self._engine.serve())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    # -- going on after a restart ---------------------------------------------------------------------------------

    def _go_on(self, checkpoint: Checkpoint | None, fired: Mapping[str, Mapping[str, int]]) -> None:
        """Bring the triggers to the end of the recordings; what they fire on the way is published if it was not."""
        new = self._standing.resume(checkpoint.states if checkpoint else {})
        readable = [found for found in (recorder.reader() for recorder in self._recorders.values()) if found]
        begin = {one.name: _place(one, checkpoint, fired[one.name]) for one in readable}
        if new:
            since_ns = self._setting.now() - self._warm_up_ns
            for placed in merge_items(readable, {one.name: one.offset_at(since_ns) for one in readable}):
                if placed.offset < begin[placed.recording] and self._dates.fit(placed):
                    self._standing.feed(placed, only=new)
        ever_fired = {trigger for places in fired.values() for trigger in places}
        unborn = new - ever_fired if checkpoint else set()
        for placed in merge_items(readable, begin):
            for event in self._standing.feed(placed) if self._dates.fit(placed) else ():
                trigger = what_fired(event)
                if placed.offset > fired[placed.recording].get(trigger, -1) and trigger not in unborn:
                    self._engine.post(event)
            self._tell(placed)
        self._standing.started()

    async def checkpoint(self) -> None:
        """Write down what the triggers remember, once all that they fired is on disk. Also tell what nobody feeds.

        Raises:
            RecordingFailed, TapeError: the disk failed. A checkpoint itself that cannot be written is only logged.
        """
        ends = {name: recorder.end for name, recorder in self._recorders.items()}
        content = msgspec.json.encode(Checkpoint(ends, self._standing.states()))
        self._tell_unfed()
        await self._publish()
        for recorder in self._recorders.values():
            await recorder.sync()
        await self._engine.durable()
        try:
            await asyncio.to_thread(replace, self._home / _CHECKPOINT, content)
        except OSError as error:
            _log.warning("no checkpoint could be written (%s): a restart will read more", error)

    # -- what comes in --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Watch until cancelled; raises what makes it stop before, having said so in the log and on the tape."""
        tasks = [asyncio.ensure_future(self._keep_publishing()), asyncio.ensure_future(self._look())]
        tasks += [asyncio.ensure_future(self._follow(feed)) for feed in self._feeds.values()]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        except Exception as error:
            self._stopped(error)
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _stopped(self, error: Exception) -> None:
        self.fault = error
        reason = told(error)
        _log.critical("the watch has stopped, and nothing that comes in is recorded or decided on: %s", reason)
        with suppress(TapeError):  # the engine may be what failed
            self._engine.post(Alert(run="", what="watch stopped", detail=reason))

    async def _follow(self, feed: LiveFeed) -> None:
        """Take what a feed gives, and begin anew with it where it should not have ended."""
        recorder = self._recorders[feed.name]
        while True:
            try:
                known = [placed.item for placed in await asyncio.to_thread(recorder.tail, KNOWN)]
                async with aclosing(feed.items(known)) as items:
                    async for item in items:
                        self._take(recorder, item)
                return await self._ended(feed)
            except FeedRefused as error:
                _log.error("%s", told(error, feed))
                return await self._ended(feed)
            except TapeError:
                raise
            except RecordingFailed as error:
                self._rest(feed, str(error))
                _log.error("%s", error)
            except Exception as error:  # noqa: BLE001 - one feed's mistake must not end the others
                self._rest(feed, told(error, feed))
                _log.error(
                    "feed %s failed in a way it should not, and begins anew: %s", feed.name, feed.health.last_error
                )
            await self._setting.sleep(_PAUSE_S)

    def _rest(self, feed: LiveFeed, error: str) -> None:
        now_ns = self._setting.now()
        feed.health.complain(error, now_ns)
        feed.health.state = "waiting"
        feed.health.retry_ns = now_ns + int(_PAUSE_S * NS_PER_SECOND)

    async def _ended(self, feed: LiveFeed) -> None:
        """Let others feed its triggers; written down at once, because the recordings do not tell of it."""
        self._standing.gone(feed.name)
        await self.checkpoint()

    def _take(self, recorder: Recorder, item: Item) -> None:
        self._last_ns = max(item.known_ns, self._last_ns + 1)
        try:
            placed = recorder.append(Item(item.source, self._last_ns, self._judged(item)))
        except InvalidInput as error:
            self._feeds[recorder.name].health.complain(error, self._last_ns)
            return
        if item.symbol:
            self._staleness.saw(recorder.name, item.symbol, placed.item.known_ns)
        if self._dates.take(placed, item.known_ns):
            for event in self._standing.feed(placed):
                self._outbox.append((recorder, event))
                self._wake.set()
        self._tell(placed, live=True)

    def _judged(self, item: Item) -> Quote | Bar | NewsItem | SocialPost:
        what = item.what
        return self._judge(what) if self._judge is not None and isinstance(what, Text) else what

    def _tell(self, placed: Placed, *, live: bool = False) -> None:
        """Tell alerts and listeners of an item."""
        self._price(placed, live=live)
        for listener in self._listeners:
            listener(placed)

    def _price(self, placed: Placed, *, live: bool) -> None:
        """Let a price be known, if it comes from where the symbol's prices come from, and is dated as it should be."""
        what, now_ns = placed.item.what, self._setting.now()
        if not isinstance(what, Quote | Bar) or self._pricing.get(what.symbol) != placed.recording:
            return
        if isinstance(what, Quote) and not self._dates.ahead(placed, now_ns):
            self._quotes[what.symbol] = what
        if self._alerts is None or not self._dates.fresh(placed, now_ns, count=live):
            return
        price = what.mid if isinstance(what, Quote) else what.close
        self._alerts.on_price(what.symbol, price, dated_ns(what), recording=placed.recording, offset=placed.offset)

    # -- what goes out --------------------------------------------------------------------------------------------

    async def _keep_publishing(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._publish()

    async def _publish(self) -> None:
        """Publish what the triggers fired, in order, once what it refers to is on disk."""
        async with self._publishing:
            while self._outbox:
                batch = list(self._outbox)
                for recorder in {id(recorder): recorder for recorder, _ in batch}.values():
                    await recorder.sync()
                for _, event in batch:
                    self._engine.post(event)
                del self._outbox[: len(batch)]

    async def _look(self) -> None:
        """Look for silence, and write checkpoints, now and then."""
        due_ns = self._setting.now() + self._checkpoint_ns
        while True:
            await self._setting.sleep(self._check_s)
            now_ns = self._setting.now()
            self.check(now_ns)
            if now_ns >= due_ns:
                await self.checkpoint()
                due_ns = now_ns + self._checkpoint_ns

    def check(self, now_ns: int) -> None:
        """Publish which feeds have fallen silent, and which speak again."""
        for name, feed in self._feeds.items():
            if not feed.symbols and feed.health.contact_ns is not None:
                self._staleness.saw(name, "", feed.health.contact_ns)
        for event in self._staleness.changes(now_ns):
            said = "is silent" if isinstance(event, FeedSilent) else "speaks again"
            about = "".join(f" {symbol}" for symbol in event.symbols if symbol)
            health = self._feeds[event.source].health
            failing = isinstance(event, FeedSilent) and health.state != "live" and health.last_error
            why = f" (last error: {health.last_error})" if failing else ""
            _log.warning("feed %s %s%s%s", event.source, said, about, why)
            self._engine.post(event)

    def _tell_unfed(self) -> None:
        """Publish what waits for what no feed brings, where that has changed."""
        alerts = () if self._alerts is None else self._alerts.unfed(self.fed)
        triggers, symbols = tuple(self.unfed()), tuple(one.symbol for one in alerts)
        told: Unfed | None = self._engine.read(unfed, "")
        if (triggers, symbols) != (((), ()) if told is None else (told.triggers, told.alerts)):
            self._engine.post(Unfed(triggers=triggers, alerts=symbols, known_at=from_ns(self._setting.now())))

    # -- questions ------------------------------------------------------------------------------------------------

    @property
    def fed(self) -> Collection[str]:
        """The symbols whose prices some feed brings."""
        return self._pricing.keys()

    def unfed(self) -> list[UnfedTrigger]:
        """Triggers that wait for what no feed brings. (``Alerts.unfed(watch.fed)`` says it of alerts.)"""
        return self._standing.unfed()

    @property
    def problems(self) -> Mapping[str, str]:
        """What keeps triggers from hearing, by their names, and what is wrong with the dates of a feed, by its name."""
        return {**self._dates.problems, **self._standing.problems}

    def quote(self, symbol: str) -> Quote | None:
        """The latest quote of a symbol; ``None``: there is none, or its feed has fallen silent about it."""
        quote, feed = self._quotes.get(symbol), self._pricing.get(symbol, "")
        return None if self._staleness.is_stale(feed, symbol, self._setting.now()) else quote

    def status(self) -> list[FeedStatus]:
        """How every feed is."""
        now_ns = self._setting.now()
        silent = self._staleness.silent(now_ns)
        return [
            status_of(
                feed,
                self._recorders[name].end,
                [one.symbol for one in silent if one.source == name],
                now_ns,
                self._dates.counts.get(name, 0),
                self._dates.problems.get(name, ""),
            )
            for name, feed in self._feeds.items()
        ]


def _complained(trigger: str, problem: str) -> None:
    _log.warning("trigger %s: %s", trigger, problem)


def _first(feeds: Iterable[LiveFeed], kind: Kind) -> dict[str, str]:
    """Of each symbol the first feed that gives this sort of thing of it."""
    found: dict[str, str] = {}
    for feed in feeds:
        for symbol in feed.symbols:
            if brings(feed, kind, symbol):
                found.setdefault(symbol, feed.name)
    return found


def _place(recording: LiveRecording, checkpoint: Checkpoint | None, fired: Mapping[str, int]) -> int:
    """Where triggers go on in a recording: where the checkpoint stands, else after what was fired, else at the end."""
    place = checkpoint.next.get(recording.name) if checkpoint else None
    if place is None:
        place = max(fired.values()) + 1 if fired else recording.end
    return max(place, recording.first)
