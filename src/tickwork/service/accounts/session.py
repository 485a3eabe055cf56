"""Trading in real time: accounts, feeds, workflows and the engine, from opening to closing.

Theory of operation. Opening goes in an order in which nothing can slip in between:

    the folder's lock -> each venue is looked at -> the tape is read -> desks are rebuilt: open intents hold their worst
    case and forbid new exposure -> the engine opens, and its runs look for what they had sent -> accounts are followed
    -> feeds begin

so the first event that could start a run meets desks that know everything the tape knows. On paper the same happens
with a venue of our own, with a book of its own, at the prices and by the rules of the real one.

Paper and live have each a tape of their own: what was held on paper was never held.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol, Self, TypeVar

from tickwork.core.event import Event
from tickwork.core.view import View
from tickwork.core.workflow import Workflow
from tickwork.engines.embedded.engine import Engine
from tickwork.engines.embedded.queries import Queries
from tickwork.errors import InvalidInput, NotFound, Retryable, TapeError
from tickwork.graph.versioning.versions import named
from tickwork.market.bars import Quote
from tickwork.market.live import LiveFeed, Placed
from tickwork.service.accounts.account import OpenAccount
from tickwork.service.accounts.asked import Asked
from tickwork.service.accounts.config import AccountConfig
from tickwork.service.accounts.events import AccountOwned
from tickwork.service.accounts.guarding import VIEWS as GUARD_VIEWS
from tickwork.service.accounts.guarding import Guards, every_of
from tickwork.service.accounts.opening import (
    MakeVenue,
    Opened,
    before_us,
    judge,
    listed,
    notes_on_capital,
    open_account,
)
from tickwork.service.accounts.prices import LivePrices
from tickwork.service.accounts.providers import LiveProvider, LiveProviders
from tickwork.service.accounts.session_parts import described, parts_of
from tickwork.service.accounts.trader import LiveTrader
from tickwork.service.accounts.trading import Trading
from tickwork.service.alerts import ALERT_VIEWS
from tickwork.service.exits import ExitDoor, Exits
from tickwork.service.exits_events import EXIT_VIEWS
from tickwork.service.results import results
from tickwork.service.running.home import make_home
from tickwork.service.running.parts import Part
from tickwork.service.running.roles import ALL_ROLES, EXITS, RECONCILIATION, Roles
from tickwork.service.running.status import ProcessStatus
from tickwork.service.session_tape import reading
from tickwork.service.trading import executed, holdings
from tickwork.service.watch import WATCH_VIEWS, Watch
from tickwork.trading.matching import TradingRules
from tickwork.trading.venue import VenuePort
from tickwork.venues.feeds.reconnecting import Setting
from tickwork.venues.paper import PaperVenue

_log = logging.getLogger("tickwork.accounts")

T = TypeVar("T")

PATIENCE_S: Final = 15.0
"""Seconds that are waited for first prices."""
_LOOK_S: Final = 0.05

VIEWS: Final[tuple[View, ...]] = (holdings, results, executed, *WATCH_VIEWS, *EXIT_VIEWS, *GUARD_VIEWS, *ALERT_VIEWS)
"""The views that a live engine always has."""


class MakePaper(Protocol):
    """Makes the venue that an account trades at on paper."""

    def __call__(
        self, name: str, config: AccountConfig, rules: Mapping[str, TradingRules], book: Path, /
    ) -> PaperVenue:
        """
        Raises:
            Fatal, InvalidInput: see ``PaperVenue``.
        """
        ...


class MakeEngine(Protocol):
    """Makes the engine of a tape."""

    def __call__(self, tape: Path, workflows: Sequence[Workflow], views: Sequence[View], /) -> Engine:
        """See ``Engine``."""
        ...


@dataclass(frozen=True, slots=True)
class LiveFiles:
    """Where a session keeps its things."""

    home: Path
    live: bool

    @property
    def tape(self) -> Path:
        """The tape: one for paper, another for live."""
        return self.home / ("live.db" if self.live else "paper.db")

    def book(self, account: str) -> Path:
        """The paper venue's book of an account."""
        return self.home / f"paper-{account}.db"

    @property
    def recordings(self) -> Path:
        """Where feeds are recorded."""
        return self.home / "recordings"


class LiveSession:
    """Accounts that trade in real time. Use it as ``async with``.

    Args:
        files: where things are kept.
        accounts: as configured; at least one.
        setting: clock, sleep, chance, environment.
        make_venue: a real venue; on paper it is only asked for its rules, and needs no keys.
        make_paper: the venue on paper.
        make_feeds: the feeds that bring the prices of all accounts, and whatever else is configured.
        make_engine: the engine.
        make_workflows: what runs.
        begun: called once the engine is open, before prices come in.
        lock: owns the folder; returns what lets it go.
        claim: claims an account at its venue, for live trading; returns what lets it go.
        views: what the workflows read besides ``VIEWS``.
        roles: which of all this takes new work.
        documents: names of documents that ``begun`` publishes.
    """

    def __init__(
        self,
        files: LiveFiles,
        accounts: Mapping[str, AccountConfig],
        *,
        setting: Setting,
        make_venue: MakeVenue,
        make_paper: MakePaper,
        make_feeds: Callable[[Mapping[str, AccountConfig]], Sequence[LiveFeed]],
        make_engine: MakeEngine,
        make_workflows: Callable[[Trading], Sequence[Workflow]],
        begun: Callable[[Engine], Awaitable[None]],
        lock: Callable[[], Callable[[], None]],
        claim: Callable[[str, AccountConfig], Callable[[], None]],
        views: Iterable[View] = (),
        roles: Roles = ALL_ROLES,
        documents: Sequence[str] = (),
    ) -> None:
        if not accounts:
            raise InvalidInput("accounts", "none", "at least one account: [accounts.<name>] in tickwork.toml")
        self.files = files
        self.notes: list[str] = []
        """Sentences for a person, once it is open."""
        self._configs = dict(accounts)
        self._setting = setting
        self._make_venue = make_venue
        self._make_paper = make_paper
        self._make_feeds = make_feeds
        self._make_engine = make_engine
        self._make_workflows = make_workflows
        self._begun = begun
        self._lock = lock
        self._claim = claim
        self._views = tuple(views)
        self.roles = roles
        self.on_owned: Callable[[], None] = lambda: None
        """Called once the folder is this process's, before anything is asked of anybody."""
        self.judged_ns: int | None = None
        """When exits last judged a price (ns)."""
        self._documents = tuple(documents)
        self._stack = AsyncExitStack()
        self._feeding = AsyncExitStack()
        """What brings in new things; closed first."""
        self._papers: dict[tuple[str, str], list[PaperVenue]] = {}
        """On paper: the venues that trade on a price, by whose it is."""
        self._tasks: list[asyncio.Task[None]] = []

    # -- opening and closing --------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop following and listening, write what is not on disk, let everything go."""
        await self._stack.aclose()

    async def _open(self) -> None:
        make_home(self.files.home)
        self._stack.callback(self._lock())
        self.on_owned()
        self._feeds = self._make_feeds(self._configs)
        self.prices = LivePrices(self._setting.now)
        venues = {name: await self._venue(name, config) for name, config in self._configs.items()}
        self.guards = Guards(self._setting.now, self._setting.sleep)
        with reading(self.files.tape) as queries:
            self.guards.recall(queries)
            self.opened = {name: self._account(name, *venues[name], queries) for name in self._configs}
        self.trading = self._trading()
        self.asked = Asked(self.opened, self.trading, self.files.recordings, self._setting.now)
        every = every_of({name: config.reconcile_every for name, config in self._configs.items()})
        guarding = list(self.guards.workflows(every if self.roles.runs(RECONCILIATION) else None))
        own = [*self.trading.exits.workflows, *guarding, *self.asked.workflows()]
        workflows = [*own, *self._chosen(self._make_workflows(self.trading))]
        self.notes += self._limits_of_nobody(workflows)
        self.engine = self._make_engine(self.files.tape, workflows, (*VIEWS, *self._views))
        await self.engine.open()
        self._stack.push_async_callback(self.engine.close)
        self.protecting = frozenset(workflow.name for workflow in own)
        """The workflows that come with a session, whatever else runs."""
        self.engine.registry.admits = lambda name: name in self.protecting or self.roles.admits(name)
        self.engine.offer({"disown": self.disown})
        self.asked.offer(self.engine)
        await self.guards.open(self.engine)
        for name, opened in self.opened.items():
            await self._first_time(name, opened)
        await self.engine.durable()
        await self._open_exits(self.trading.exits)
        self.asked.begin()
        await self._begun(self.engine)
        for name, opened in self.opened.items():
            await self._first_look(name, opened.account)
        self.watch, self._began_ns = self._watch(), self._setting.now()
        self.asked.watch = self.watch
        self._stack.push_async_callback(self._stop)
        self._stack.push_async_callback(self.quiet)
        await self._feeding.enter_async_context(self.watch)
        await self._priced()
        for opened in self.opened.values():
            opened.account.mark()
        if self.roles.runs(RECONCILIATION):
            await self.guards.begin()
        self._tasks.append(asyncio.create_task(self.guards.run()))
        self._tasks.append(asyncio.create_task(self.asked.run(self._setting.sleep)))
        if self.roles.runs(EXITS):
            self._tasks.append(asyncio.create_task(self.trading.exits.run(self._setting.sleep)))
        self._tasks += [asyncio.create_task(opened.account.run(self._setting.sleep)) for opened in self.opened.values()]

    def _chosen(self, workflows: Sequence[Workflow]) -> Sequence[Workflow]:
        """The workflows, of which those that are to take no new work have no triggers."""
        names = [workflow.name for workflow in workflows]
        self.roles.check([*names, *self._documents])
        self.notes += self.roles.notes(names)
        for workflow in workflows:
            if not self.roles.admits(workflow.name):
                workflow.triggers = ()
        return workflows

    async def quiet(self) -> None:
        """Let nothing new come in: the feeds end, with their triggers. Orders go on being followed.

        Raises:
            TapeError, RecordingFailed: what stopped the watch.
        """
        await self._feeding.aclose()

    async def _priced(self) -> None:
        """Wait for the first prices, for a while: what starts before them would find none."""
        wanted = {(source_of(config), symbol) for config in self._configs.values() for symbol in config.symbols}
        for _ in range(int(PATIENCE_S / _LOOK_S)):
            wanted = {market for market in wanted if self.prices.quote(*market) is None}
            if not wanted:
                return
            await self._setting.sleep(_LOOK_S)
        lacking = ", ".join(f"{symbol} at {source}" for source, symbol in sorted(wanted))
        self.notes.append(f"no price yet of {lacking}; orders are refused until there is one")

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()

    # -- accounts -------------------------------------------------------------------------------------------------

    async def _venue(self, name: str, config: AccountConfig) -> tuple[VenuePort, dict[str, TradingRules]]:
        if self.files.live and config.venue != "paper":
            self._stack.callback(self._claim(name, config))
        real = self._make_venue(name, config)
        self._stack.push_async_callback(real.close)
        rules = await self._answered(name, lambda: listed(name, config, real))
        if self.files.live and config.venue != "paper":
            self.notes += judge(name, config, await self._answered(name, real.examine))
            return real, rules
        paper = self._make_paper(name, config, rules, self.files.book(name))
        self._stack.push_async_callback(paper.close)
        for symbol in config.symbols:
            self._papers.setdefault((source_of(config), symbol), []).append(paper)
        return paper, rules

    async def _answered(self, name: str, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask a venue until it answers: there may be stops that need this process up.

        Raises:
            InvalidInput, Refused: what no asking again will change.
        """
        pause = 1.0
        while True:
            try:
                return await ask()
            except Retryable as error:
                _log.warning("account %s: %s; it is asked again in %g s", name, error, pause)
            await self._setting.sleep(pause)
            pause = min(2 * pause, 15.0)

    def _account(self, name: str, venue: VenuePort, rules: dict[str, TradingRules], queries: Queries | None) -> Opened:
        config = self._configs[name]
        source = source_of(config)
        opened = open_account(
            name,
            config,
            venue=venue,
            rules=rules,
            queries=queries,
            quotes=lambda symbol: self.prices.quote(source, symbol),
            clock=self._setting.now,
            halt=self.guards.halts.of(name),
            post=self.post,
        )
        self.guards.add(name, opened, lambda symbol: self.prices.quote(source, symbol))
        self.notes += notes_on_capital(name, config, opened.past)
        if opened.past.doubtful:
            self.notes.append(f"account {name}: {len(opened.past.doubtful)} orders are in doubt, and are looked for")
        return opened

    async def _open_exits(self, exits: Exits) -> None:
        """Take up the exits that are under way; plans of positions that are gone end."""
        await exits.open(self.engine)
        self.engine.offer(exits.verbs())
        for opened in self.opened.values():
            opened.account.on_holding = exits.holding_changed
        for account, workflow, symbol in exits.holders():
            if account in self.opened:
                held = self.opened[account].account.held(workflow, symbol)
                exits.holding_changed(account, workflow, symbol, held)

    def _limits_of_nobody(self, workflows: Iterable[Workflow]) -> list[str]:
        """Limits that nothing here could ever reach: mostly a name that is misspelt."""
        names = {workflow.name for workflow in workflows} | {
            whose.name for workflow in workflows if (whose := named(workflow.name)) is not None
        }
        told: list[str] = []
        for account, config in self._configs.items():
            risk = config.rules(account)
            told += [
                f"account {account} has limits for {kind} {name!r}, which is not here"
                for kind, given, known in (
                    ("workflow", risk.workflows, names),
                    ("symbol", risk.symbols, config.symbols),
                )
                for name in given
                if name not in known
            ]
        return told

    async def _first_time(self, name: str, opened: Opened) -> None:
        """An account that is new to the tape: what is there besides its capital is not ours."""
        if opened.news is None:
            self._owned(name, opened)
            return
        if self.files.live and opened.config.venue != "paper":
            venue, now = opened.account.venue, self._setting.now()
            before = await self._answered(name, lambda: before_us(name, opened.config, venue, now))
            if before is not None:
                self.engine.post(before)
                opened.adoptions.apply(before.adoption())
        self.engine.post(opened.news)
        self._owned(name, opened)

    def _owned(self, name: str, opened: Opened) -> None:
        """Whose an account is, as configured, where the tape says otherwise."""
        if opened.past.owner != opened.config.owner:
            self.engine.post(AccountOwned(account=name, owner=opened.config.owner))

    async def _first_look(self, name: str, account: OpenAccount) -> None:
        try:
            await account.look()
        except TapeError:
            raise
        except Exception as error:  # noqa: BLE001 - a venue that is down must not keep the others from trading
            self.notes.append(f"account {name}: {account.venue.name} does not answer ({error}); it is asked again")

    def _trading(self) -> Trading:
        accounts = {name: opened.account for name, opened in self.opened.items()}
        by_venue: dict[str, OpenAccount] = {}
        for account in accounts.values():
            by_venue.setdefault(account.venue.name, account)
        rules = {opened.account.venue.name: opened.rules for opened in self.opened.values()}
        sources = {opened.account.venue.name: source_of(opened.config) for opened in self.opened.values()}

        def quote(venue: str, symbol: str) -> Quote | None:
            return self.prices.quote(sources[venue], symbol)

        fees = {opened.account.venue.name: opened.config.fee_rate for opened in self.opened.values()}
        providers = [
            LiveProvider(account, self.prices, sources[venue], rules=rules[venue], fee_rate=fees[venue])
            for venue, account in by_venue.items()
        ]
        trader = LiveTrader(accounts, rules=rules, fees=fees, quotes=quote)
        return Trading(
            accounts=accounts,
            trader=trader,
            providers=LiveProviders(providers, rules),
            prices=self.prices,
            exits=self._exits(),
            sources={name: source_of(config) for name, config in self._configs.items()},
        )

    def _exits(self) -> Exits:
        doors = {
            name: ExitDoor(
                desk=opened.account.desk,
                capabilities=opened.account.venue.capabilities,
                rules=opened.rules,
                quotes=partial(self.prices.quote, source_of(opened.config)),
                wake=opened.account.wake,
            )
            for name, opened in self.opened.items()
        }
        return Exits(doors)

    # -- prices ---------------------------------------------------------------------------------------------------

    def _watch(self) -> Watch:
        return Watch(
            self.engine,
            self._feeds,
            home=self.files.recordings,
            setting=self._setting,
            alerts=self.asked.alerts,
            listeners=[self.take],
        )

    def take(self, placed: Placed) -> None:
        """An item of a feed: a price for whoever looks, and on paper a market to trade on.

        What a recording tells of before this opening is history: nobody gets out, or trades, at its prices.
        """
        self.prices.take(placed)
        what = placed.item.what
        if isinstance(what, Quote) and placed.item.known_ns >= self._began_ns:
            if self.roles.runs(EXITS):
                self.trading.exits.on_quote(what)
                self.judged_ns = placed.item.known_ns
            for venue in self._papers.get((what.venue, what.symbol), ()):
                if venue.on_quote(what):
                    self._wake(venue)

    def _wake(self, venue: PaperVenue) -> None:
        for opened in self.opened.values():
            if opened.account.venue is venue:
                opened.account.wake()

    # -- running --------------------------------------------------------------------------------------------------

    async def disown(self, order: str, reason: str, by: str = "") -> dict[str, str]:
        """A verb for other processes: an order in doubt does not exist, as a person says.

        Raises:
            InvalidInput: no order of this client id is in doubt in any account, or nobody says why.
        """
        accounts = [opened.account for opened in self.opened.values()]
        doubtful = {key: one for one in accounts for key in one.desk.reservations.doubtful()}
        if order not in doubtful:
            known = ", ".join(doubtful) or "there is none"
            raise NotFound("order", order, f"the client id of an order in doubt: {known}")
        await doubtful[order].disown(order, by=by, reason=reason, durable=self.engine.durable)
        return {"order": order, "account": doubtful[order].name}

    def post(self, event: Event) -> int:
        """Publish an event; for accounts, which are made before the engine."""
        return self.engine.post(event)

    async def failed(self) -> None:
        """Return, or raise why, when the session cannot go on.

        Raises:
            TickworkError: what stopped it.
        """
        ends = [asyncio.ensure_future(self.watch.wait()), asyncio.ensure_future(self.engine.failed())]
        try:
            done, _ = await asyncio.wait([*ends, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
        if self.engine.fault is not None:
            raise self.engine.fault
        for task in done:
            if not task.cancelled():
                task.result()

    @property
    def names_of_secrets(self) -> set[str]:
        """The environment variables that hold the keys of its accounts."""
        return {name for config in self._configs.values() for name in config.names_of_keys()}

    def now(self) -> int:
        """ns since 1970 UTC."""
        return self._setting.now()

    def fault(self) -> str:
        """What is wrong with it; empty: nothing."""
        fault = self.engine.fault or self.watch.fault
        return "" if fault is None else f"{type(fault).__name__}: {fault}"

    def parts(self) -> list[Part]:
        """What it consists of, for ``tickwork status``."""
        return parts_of(self)

    def describe(self, status: ProcessStatus) -> ProcessStatus:
        """A status with what the session knows."""
        return described(self, status)


def source_of(config: AccountConfig) -> str:
    """Whose prices an account looks at."""
    return config.feed or config.venue
