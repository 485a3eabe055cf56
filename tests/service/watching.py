"""What the tests of the watch share: feeds that do what they are told, and a watch that can be killed."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, ParamSpec

from tests.engine.support import crash, records, turns
from tickwork.core.event import Event
from tickwork.core.run import Run
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded import Engine, Memory
from tickwork.market.bars import Bar, Quote
from tickwork.market.live import Health, Item, Kind, What, kind_of
from tickwork.market.triggers.base import BarTrigger
from tickwork.service.alerts import ALERT_VIEWS
from tickwork.service.watch import WATCH_VIEWS, Watch
from tickwork.venues.feeds.reconnecting import Setting

P = ParamSpec("P")
SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
START_NS = 1_577_836_800_000_000_000
"""Where a virtual clock begins."""


def bar(number: int, close: str | int, symbol: str = "BTC/USDT", venue: str = "made") -> Bar:
    """A minute's bar that did not move; number 99 is the last that is over when a virtual clock begins."""
    price = Decimal(close)
    return Bar(symbol, venue, START_NS + (number - 100) * MINUTE_NS, MINUTE_NS, price, price, price, price, Decimal(1))


def quote(at_ns: int, price: str | int, symbol: str = "BTC/USDT", venue: str = "made") -> Quote:
    """A locked quote."""
    return Quote(symbol, venue, at_ns, Decimal(price), Decimal(price))


class Fed:
    """A feed of what it is given, in order; it goes on after what is known, like one that can look back.

    It waits at the end, so that a test decides when it is over. ``hand`` gives it more.
    """

    def __init__(
        self, name: str, whats: Iterable[What], *, symbols: Sequence[str] = ("BTC/USDT",), kinds: Sequence[Kind] = ()
    ) -> None:
        self.name = name
        self.whats = list(whats)
        self.symbols = tuple(symbols)
        self.kinds: tuple[Kind, ...] = tuple(kinds) or tuple(sorted({kind_of(what) for what in self.whats}))
        self.health = Health()
        self.now: Callable[[], int] = lambda: START_NS
        self.begun = 0
        self.fails: list[BaseException] = []
        self._more = asyncio.Event()

    def hand(self, *whats: What) -> None:
        self.whats += whats
        self._more.set()

    async def items(self, known: Sequence[Item] = ()) -> AsyncGenerator[Item, None]:
        self.begun += 1
        if self.fails:
            raise self.fails.pop(0)
        done = 0
        if known:
            done = self.whats.index(known[-1].what) + 1
        while True:
            while done < len(self.whats):
                await asyncio.sleep(0)
                self.health.delivered(self.now())
                yield Item(self.name, self.now(), self.whats[done])
                done += 1
            self._more.clear()
            await self._more.wait()


class Desk:
    """An engine with a watch over feeds, in virtual time; it can be killed and opened again."""

    def __init__(self, home: Path, feeds: Sequence[Fed], workflows: Sequence[Workflow] = (), **options: Any) -> None:
        self.home = home
        self.feeds = feeds
        self.workflows = workflows
        self.options = options
        self.memory: Memory | None = None
        self.slept: list[tuple[float, asyncio.Future[None]]] = []

    async def open(self, **options: Any) -> Watch:
        views = [*WATCH_VIEWS, *ALERT_VIEWS]
        self.engine = Engine(self.memory or "memory:", workflows=self.workflows, views=views)
        await self.engine.open()
        for feed in self.feeds:
            feed.now = self.engine.clock.now
        setting = Setting(now=self.engine.clock.now, sleep=self._sleep, random=lambda: 0.0)
        self.watch = Watch(self.engine, self.feeds, home=self.home, setting=setting, **self.options, **options)
        await self.watch.open()
        self.running = asyncio.ensure_future(self.watch.run())
        return self.watch

    async def _sleep(self, seconds: float) -> None:
        """Until ``wake``: a test decides how time passes."""
        waiting = asyncio.get_running_loop().create_future()
        self.slept.append((seconds, waiting))
        await waiting

    async def wake(self) -> list[float]:
        """End every sleep, once the watch has gone to sleep before it looks again; how long they were to be."""
        await until(lambda: any(seconds == 1.0 for seconds, _ in self.slept))
        ended, self.slept = self.slept, []
        for _, waiting in ended:
            if not waiting.done():
                waiting.set_result(None)
        return [seconds for seconds, _ in ended]

    async def settle(self) -> None:
        """Let everything that was handed over come through."""
        await turns(3)
        recorders = self.watch._recorders.items()
        await until(lambda: all(recorder.end >= self._expected(name) for name, recorder in recorders))
        await self.watch._publish()
        await self.engine.durable()

    def _expected(self, name: str) -> int:
        return next(len(feed.whats) for feed in self.feeds if feed.name == name)

    async def stop(self, *, kill: bool = False) -> None:
        """Close in order, or die."""
        if kill:
            self.memory = crash(self.engine)
            self.watch.kill()
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        if not kill:
            await self.watch.close()
            self.memory = crash(self.engine)

    def events(self, *classes: type[Event]) -> list[Any]:
        """What is on the tape, of some classes, in order."""
        by_name = {event.event_name: event for event in classes}
        found = records(self.engine, "event")
        return [
            by_name[entry.record.name].from_wire(bytes(entry.record.value))
            for entry in found
            if entry.record.name in by_name
        ]


async def until(condition: Callable[[], object]) -> None:
    """Return when it is so."""
    while not condition():  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0)


def listening(*triggers: Any) -> Workflow:
    """A workflow that the triggers start."""

    @workflow("listens", on=list(triggers))
    async def listens(run: Run) -> None:
        pass

    return listens


def fired_by(trigger: BarTrigger[Any], bars: Iterable[Bar]) -> list[int]:
    """The starts of the bars at which a trigger fires, if nothing goes wrong."""
    fresh = trigger.fresh()
    return [one.start_ns for one in bars if fresh.on_bar(one) is not None]


def live(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test on a loop of its own, for twenty seconds at most."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 20))

    return run
