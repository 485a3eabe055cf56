"""The composition root: configuration -> engine, venue, desk, market, playbooks, faces. The only place that wires."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from decimal import Decimal
    from pathlib import Path

    from tickwork.core.event import Event
    from tickwork.core.queue import Queue
    from tickwork.core.view import View
    from tickwork.core.workflow import Workflow
    from tickwork.engines.embedded import Engine
    from tickwork.faces.doors import Defaults
    from tickwork.graph.sources import Sources
    from tickwork.market.bars import Quote
    from tickwork.market.live import LiveFeed
    from tickwork.notify.notifier import Notifier
    from tickwork.service.accounts.config import AccountConfig
    from tickwork.service.accounts.session import LiveFiles, LiveSession
    from tickwork.service.accounts.trading import Trading
    from tickwork.service.bare_flatten import BareAccount
    from tickwork.service.demo import DemoOptions, DemoSession
    from tickwork.service.demo_tape import DemoFiles
    from tickwork.service.documents.opening import Recovered
    from tickwork.service.finding import Finding
    from tickwork.service.notifications import Notifications
    from tickwork.service.paper import PaperOptions, PaperSession
    from tickwork.service.paper_account import PaperDesk
    from tickwork.service.paper_tape import Beginning, PaperFiles, PaperStarted
    from tickwork.service.running.parts import Part
    from tickwork.service.running.roles import Roles
    from tickwork.settings import NotifySettings, Settings
    from tickwork.trading.desk import Desk
    from tickwork.trading.matching import TradingRules
    from tickwork.trading.venue import VenuePort


def main() -> None:
    """The command ``tickwork``."""
    try:
        from tickwork.faces.cli import run
        from tickwork.faces.doors import Doors

        doors = Doors(
            open_demo=open_demo,
            open_paper=open_paper,
            open_live=open_live,
            serve=serve,
            open_notifications=open_notifications,
            examine_accounts=examine_accounts,
            open_bare=open_bare,
            defaults=defaults,
        )
        code = run(doors)
    except KeyboardInterrupt:  # while the command line itself is being loaded
        code = 130
    sys.exit(code)


def defaults() -> Defaults:
    """What the configuration says of every verb; quick where there is none.

    Raises:
        InvalidInput: it is wrong.
    """
    import os
    from pathlib import Path

    from tickwork.faces.doors import Defaults

    path = os.environ.get("TICKWORK_CONFIG")
    if not path and not Path("tickwork.toml").is_file() and "TICKWORK_LOG_LEVEL" not in os.environ:
        return Defaults()
    from tickwork.settings import load

    settings = load(Path(path) if path else None, judge_urls=False)
    return Defaults(settings.home, settings.log_level)


def open_demo(options: DemoOptions) -> DemoSession:
    """A demo session with everything it works with; nothing runs yet. Whoever asks for it closes it.

    Raises:
        InvalidInput: data that cannot be read, or a speed that is none.
        TapeLocked: another process plays this demo.
        TapeError: the home folder or what is in it cannot be used.
    """
    from tickwork.core.clock import VirtualClock
    from tickwork.engines.embedded import Engine
    from tickwork.market.recording import Recording
    from tickwork.playbooks.convergence import convergence
    from tickwork.playbooks.volume_signal import volume_signal
    from tickwork.service import demo, demo_tape
    from tickwork.service.account import Account
    from tickwork.service.market import Market, Streams
    from tickwork.service.playback import check_speed
    from tickwork.service.trading import holdings
    from tickwork.trading.matching import Costs
    from tickwork.venues.paper import PaperVenue
    from tickwork.venues.recorded import rules_of

    # everything that is given is checked before anything of an old demo is cleared away
    check_speed(options.speed)
    streams = Streams(Recording.open(name) for name in options.data or demo.DEFAULT_DATA)
    data = demo_tape.data_files(streams.recordings)
    started = demo_tape.DemoStarted(demo=demo_tape.VERSION, seed=options.seed, data=data)
    clock = VirtualClock(streams.first_ns)
    market = Market(streams, clock.now)
    costs, rules = Costs(), {symbol: rules_of(recording) for symbol, recording in streams.traded.items()}
    cash = {streams.currency: demo.CAPITAL}

    def open_venue(path: Path | str) -> PaperVenue:
        return PaperVenue(path, account=demo.ACCOUNT, rules=rules.values(), cash=cash, costs=costs)

    open_venue(":memory:").shut()
    files = demo_tape.DemoFiles(options.home)
    with _files_of(files, f"the venue's book {files.book}"):
        release = _lock(files)
        beginning = demo_tape.begin(files, started)
        venue = open_venue(files.book)
    desk = _demo_desk(venue, rules, cash, market.quote, clock.now)
    account = Account(desk, market, rules=rules, costs=costs, currency=streams.currency)
    engine = Engine(
        f"sqlite:///{files.tape}",
        workflows=[convergence(market, account), volume_signal(market, account)],
        views=[holdings],
        clock=clock,
        seed=options.seed,
    )
    return demo.DemoSession(
        streams=streams,
        market=market,
        venue=venue,
        desk=desk,
        engine=engine,
        clock=clock,
        beginning=beginning,
        speed=options.speed,
        release=release,
    )


def open_paper(
    options: PaperOptions, make_workflows: Callable[[Sources], Sequence[Workflow]], *, views: Sequence[View] = ()
) -> PaperSession:
    """A paper session over recordings; nothing runs yet. Whoever asks for it closes it.

    ``make_workflows`` gets what workflows may work with: ``providers``, ``trader``, ``news`` (where there is a file of
    them) and ``breakers``. What more they need it may ``put`` there itself. ``views``: what the workflows read besides
    ``holdings`` and ``results``.

    Raises:
        InvalidInput: data, news or settings that cannot be used, workflows that nothing in the data starts or whose
            nodes name what is not there, or an interrupted session of something else.
        TapeLocked: another process plays a session there.
        TapeError: the home folder or what is in it cannot be used.
    """
    from tickwork.core.clock import VirtualClock
    from tickwork.engines.embedded import Engine
    from tickwork.graph.sources import Sources
    from tickwork.service import paper, paper_coverage, paper_setup, paper_tape
    from tickwork.service.paper_account import PaperTrader
    from tickwork.service.paper_orders import working
    from tickwork.service.paper_timeline import Feeding
    from tickwork.service.playback import check_speed
    from tickwork.service.results import results
    from tickwork.service.trading import holdings
    from tickwork.trading.halt import Halt
    from tickwork.values import quote_of
    from tickwork.venues.recorded import Recorded, RecordedProvider, RecordedProviders
    from tickwork.venues.recorded_news import RecordedNews, read_news

    # everything that is given is checked before anything of an old session is touched
    check_speed(options.speed)
    recordings = paper_setup.opened(options.data)
    first_ns, last_ns = paper_setup.span(recordings, options.until)
    clock, halt = VirtualClock(first_ns), Halt()
    recorded = Recorded(recordings, clock.now, options.terms)
    currency = quote_of(recordings[0].header.symbol)
    desks = [paper_setup.desk_of(venue, recorded, options, currency, clock.now, halt) for venue in recorded.venues]
    trader = PaperTrader(desks, recorded, currency)
    providers = RecordedProviders(recorded, [RecordedProvider(desk.name, recorded, desk, desk.rules) for desk in desks])
    news = RecordedNews([] if options.news is None else read_news(options.news), clock.now)
    breakers = paper_setup.PaperBreakers()
    sources = Sources({"providers": providers, "trader": trader, "breakers": breakers})
    if options.news is not None:
        sources.put("news", news)
    workflows = list(make_workflows(sources))
    paper.check(options, workflows, (first_ns, last_ns))
    feeding = Feeding(workflows, recordings, recorded)
    warnings = paper_coverage.check(workflows, recordings, feeding, options)
    started = paper_setup.started(options, recordings, news.items, workflows)

    files = paper_tape.PaperFiles(options.home)
    breakers.engine = engine = Engine(
        f"sqlite:///{files.tape}",
        workflows=workflows,
        views=[holdings, results, working, *views],
        queues=options.queues,
        clock=clock,
        seed=options.seed,
    )
    with _files_of(files, f"a venue's book in {files.home}"):
        beginning, release = _begin_paper(files, started, feeding.events, desks, fresh=options.fresh)
    return paper.PaperSession(
        options=options,
        recordings=recordings,
        recorded=recorded,
        trader=trader,
        news=news,
        feeding=feeding,
        engine=engine,
        clock=clock,
        beginning=beginning,
        span=(first_ns, last_ns),
        release=release,
        warnings=warnings,
    )


def _begin_paper(
    files: PaperFiles, started: PaperStarted, events: Sequence[type[Event]], desks: Sequence[PaperDesk], *, fresh: bool
) -> tuple[Beginning, Callable[[], None]]:
    """Own a session's folder, read how far its tape came, and open the books; what lets it go again comes with it."""
    from tickwork.service import paper_tape

    release = _lock(files)
    try:
        beginning = paper_tape.begin(files, started, events, fresh=fresh)
        for desk in desks:
            desk.open(files.book(desk.name))
    except BaseException:
        for desk in desks:
            desk.close()
        release()
        raise
    return beginning, release


def open_live(config: Path | None, live: bool, roles: Roles | None = None) -> LiveSession:
    """Trading in real time, as configured; nothing is asked of anybody yet. Use it as ``async with``.

    ``roles``: what takes new work; by default all.

    Raises:
        InvalidInput: the configuration is wrong, a key is missing, or ``live`` is asked for and not configured.
    """
    import asyncio
    import random
    from pathlib import Path

    from tickwork.engines.embedded import Engine
    from tickwork.engines.system_clock import SystemClock
    from tickwork.errors import InvalidInput
    from tickwork.service.accounts import session
    from tickwork.service.accounts.one_desk import claim
    from tickwork.service.environment import environment
    from tickwork.service.running.roles import ALL_ROLES
    from tickwork.settings import load
    from tickwork.trading.matching import LIVE_LIKE, Costs
    from tickwork.venues.feeds.ccxt import CcxtFeed
    from tickwork.venues.feeds.reconnecting import Setting
    from tickwork.venues.paper import PaperVenue

    settings = load(config)
    if live and settings.mode != "live":
        raise InvalidInput("mode", settings.mode, '"live" in the configuration besides --live, to trade real money')
    if not settings.accounts and config is None and not Path("tickwork.toml").is_file():
        raise InvalidInput("accounts", "no tickwork.toml in this folder", "one with [accounts.<name>], or --config")
    clock, environ = SystemClock(), environment()
    setting = Setting(now=clock.now, sleep=asyncio.sleep, random=random.random, environ=environ)
    files = session.LiveFiles(settings.home, live)
    code = _Code(settings, files)

    def make_paper(name: str, account: AccountConfig, rules: Mapping[str, TradingRules], book: Path) -> PaperVenue:
        costs = Costs(fee_rate=account.fee_rate)
        cash = {account.currency: account.capital}
        return PaperVenue(
            book,
            account=name,
            rules=rules.values(),
            cash=cash,
            costs=costs,
            name=account.venue,
            clock=clock.now,
            fills=LIVE_LIKE,
        )

    def make_feeds(accounts: Mapping[str, AccountConfig]) -> list[LiveFeed]:
        feeds: dict[str, LiveFeed] = {}
        for account in accounts.values():
            source = session.source_of(account)
            for interval in (None, *([account.bars] if account.bars else [])):
                feed = CcxtFeed(
                    source, account.symbols, setting, interval=interval, every=account.quotes_every, url=account.url
                )
                if feed.name in feeds:
                    expected = "one account's symbols for each feed; list them all in one account"
                    raise InvalidInput("accounts", f"two accounts that look at {feed.name}", expected)
                feeds[feed.name] = feed
        return list(feeds.values())

    return session.LiveSession(
        files,
        settings.accounts,
        setting=setting,
        make_venue=_venues(clock.now, keys=live, real=live),
        make_paper=make_paper,
        make_feeds=make_feeds,
        make_engine=lambda tape, workflows, views: Engine(
            f"sqlite:///{tape}", workflows=workflows, views=views, queues=code.queues, clock=clock
        ),
        make_workflows=code.workflows,
        begun=code.begun,
        lock=lambda: _lock_of(files.home, files.home / ("up-live" if live else "up-paper"), _UP_ALREADY),
        claim=lambda name, account: claim(name, account.venue, account.url, account.keys(name, environ)[0], environ),
        views=code.views,
        roles=roles or ALL_ROLES,
        documents=code.documents,
    )


def serve(session: LiveSession, config: Path | None, port: int | None) -> Iterable[Part]:
    """What lets the outside in to an open session, as configured; ``port`` instead of the configured one.

    Raises:
        InvalidInput: the configuration is wrong.
    """
    from importlib.metadata import version

    from tickwork.faces.serving import Door, serving
    from tickwork.service.environment import environment
    from tickwork.settings import load

    server = load(config, judge_urls=False).server
    door = Door(
        security=server.security(live=session.files.live),
        host=server.host,
        port=server.port if port is None else port,
        enabled=server.enabled,
    )
    return serving(session, door, version=version("tickwork"), environ=environment()).parts()


def _venues(now: Callable[[], int], *, keys: bool, real: bool) -> Callable[[str, AccountConfig], VenuePort]:
    """Makes the venues of accounts. ``keys``: those that must be there; without, they are given where they are."""

    def make(name: str, account: AccountConfig) -> VenuePort:
        import asyncio

        from tickwork.service.accounts.session import source_of
        from tickwork.service.environment import environment
        from tickwork.venues.named import venue_named

        environ = environment()
        given = tuple(environ.get(variable, "").strip() for variable in account.names_of_keys())
        key, secret = account.keys(name, environ) if keys else given if all(given) else ("", "")
        return venue_named(
            source_of(account) if account.venue == "paper" else account.venue,
            name,
            account.symbols,
            key=key,
            secret=secret,
            real=real,
            clock=now,
            sleep=asyncio.sleep,
            url=account.url,
            settings=account.settings,
        )

    return make


def open_bare(account: str, symbols: Sequence[str]) -> list[BareAccount]:
    """The configured accounts of real money, for what must work without a tape; ``account``: one of them, or ``""``.

    Raises:
        InvalidInput: the configuration is wrong, is not for live trading, or has no such account; a key is missing.
    """
    import asyncio
    import os
    import secrets
    from pathlib import Path

    from tickwork.engines.system_clock import SystemClock
    from tickwork.errors import InvalidInput
    from tickwork.service.bare_flatten import BareAccount
    from tickwork.settings import load

    named = os.environ.get("TICKWORK_CONFIG")
    settings = load(Path(named) if named else None, judge_urls=False)
    if settings.mode != "live":
        raise InvalidInput(
            "mode", settings.mode, '"live": what was traded on paper needs no flattening without its tape'
        )
    chosen = {name: one for name, one in settings.accounts.items() if account in ("", name) and one.venue != "paper"}
    if not chosen:
        raise InvalidInput(
            "account", account or "all", f"one of: {', '.join(settings.accounts) or 'none is configured'}"
        )
    now = SystemClock().now
    make_venue = _venues(now, keys=True, real=True)
    return [
        BareAccount(
            name=name,
            currency=config.currency,
            venue=make_venue(name, config),
            nonce=secrets.token_bytes(16),
            clock=now,
            sleep=asyncio.sleep,
            symbols=tuple(symbols) or config.symbols,
        )
        for name, config in chosen.items()
    ]


def examine_accounts(config: Path | None) -> list[Finding]:
    """Look at the configured accounts without trading; nothing where none is configured.

    Raises:
        InvalidInput: the configuration is wrong.
    """
    import asyncio

    from tickwork.engines.system_clock import SystemClock
    from tickwork.service.accounts.examining import examine
    from tickwork.service.environment import environment
    from tickwork.settings import load

    settings = load(config, judge_urls=False)
    live = settings.mode == "live"
    make_venue = _venues(SystemClock().now, keys=False, real=live)

    async def look() -> list[Finding]:
        found: list[Finding] = []
        for name, account in settings.accounts.items():
            found += await examine(name, account, make_venue=make_venue, env=environment(), live=live)
        return found

    return asyncio.run(look()) if settings.accounts else []


class _Code:
    """What runs in real time: files of Python and documents."""

    def __init__(self, settings: Settings, files: LiveFiles) -> None:
        from tickwork.graph.nodes.views import VIEWS as NODE_VIEWS
        from tickwork.service.document_store import TAPE, Store
        from tickwork.service.documents.surface import VIEWS
        from tickwork.service.paper_setup import PaperBreakers

        self.views: tuple[View, ...] = (*NODE_VIEWS, *VIEWS)
        store = Store(settings.home / TAPE)
        self._notify = settings.notify
        self._notifier = _notifier(settings)
        if self._notifier is not None:
            self.views += self._notifier.views
        self._documents = [store.load(source).document for source in settings.documents]
        self.documents = [document.name for document in self._documents]
        self._files = settings.workflows
        self._tape = files.tape
        self._breakers = PaperBreakers()
        self._found: Recovered | None = None
        self.queues: list[Queue] = []
        """Those that the files declare; known once the workflows are."""

    def workflows(self, trading: Trading) -> list[Workflow]:
        """The workflows of the files, and of the documents that are on the tape."""
        from tickwork.graph.library import library
        from tickwork.graph.sources import Sources
        from tickwork.service.accounts.files_of_workflows import load
        from tickwork.service.documents.opening import recovered

        found: list[Workflow] = []
        for path in self._files:
            workflows, queues = load(path, trading)
            found += workflows
            self.queues += queues
        if self._notifier is not None:
            found += self._notifier.workflows
        sources = Sources({"providers": trading.providers, "trader": trading.trader, "breakers": self._breakers})
        url = f"sqlite:///{self._tape}"
        self._found = recovered(url, library=library(), sources=sources, others=found)
        return [*found, *self._found.workflows]

    async def begun(self, engine: Engine) -> None:
        """Publish the configured documents, where they are not what is published; answer for notifications."""
        from tickwork.service.documents.documents import Documents
        from tickwork.service.notifications import verbs

        assert self._found is not None
        engine.offer(verbs(_notifications(self._notify)))
        self._breakers.engine = engine
        documents = Documents(engine, self._found)
        await documents.open()
        for document in self._documents:
            await documents.install(document)


def _notifier(settings: Settings) -> Notifier | None:
    """What tells people, where somebody is to be told."""
    from tickwork.notify.notifier import notifier
    from tickwork.venues.notifications import Sender

    if not settings.notify.channels:
        return None
    return notifier(settings.notify.rules(), Sender(settings.notify.urls()).send)


def open_notifications(config: Path | None) -> Notifications:
    """What a configuration says of notifications; secrets are looked up when something is to be sent.

    Raises:
        InvalidInput: there is no such file, or it is wrong.
    """
    from tickwork.settings import load

    return _notifications(load(config).notify)


def _notifications(notify: NotifySettings) -> Notifications:
    """What a configuration says of notifications."""
    from tickwork.service.notifications import Notifications
    from tickwork.venues.notifications import Sender

    def open_send(channels: Sequence[str]) -> Callable[..., None]:
        return Sender(notify.urls(channels)).send

    return Notifications(notify.rules(), open_send)


def _lock(files: DemoFiles | PaperFiles) -> Callable[[], None]:
    """Own the folder of a demo or a session; returns what lets it go."""
    return _lock_of(files.home, files.lock)


_UP_ALREADY: Final = "`tickwork status` shows it, `tickwork down` stops it, and another home trades apart from it"


def _lock_of(home: Path, lock: Path, remedy: str = "") -> Callable[[], None]:
    from tickwork.engines.embedded.lock import OwnerLock
    from tickwork.errors import TapeError, TapeLocked
    from tickwork.service.ownership import holder_of

    if home.exists() and not home.is_dir():
        raise TapeError(f"the home {home} is a file, not a folder: give another --home")
    try:
        return OwnerLock(str(lock)).release
    except TapeLocked as error:
        if remedy and (holder := holder_of(str(lock))):
            raise TapeLocked(f"process {holder} is up in {home} already: {remedy}") from None
        raise TapeLocked(str(error).replace(str(lock), f"the {lock.name} in {home}")) from None


@contextmanager
def _files_of(files: DemoFiles | PaperFiles, book: str) -> Iterator[None]:
    """Say which files it was that the disk would not take."""
    import apsw

    from tickwork.errors import TapeError

    try:
        yield
    except OSError as error:
        text = f"{files.home} cannot be written ({error.strerror or error}): see to the disk, or give another --home"
        raise TapeError(text) from None
    except apsw.Error as error:
        text = f"{book} cannot be used ({error}): see to the disk, {files.remedy}"
        raise TapeError(text) from None


def _demo_desk(
    venue: VenuePort,
    rules: Mapping[str, TradingRules],
    cash: Mapping[str, Decimal],
    quotes: Callable[[str], Quote | None],
    clock: Callable[[], int],
) -> Desk:
    """The demo account's desk: an order is at most a tenth of the capital, a position at most a fifth."""
    from tickwork.service import demo
    from tickwork.trading.desk import Desk
    from tickwork.trading.gate import RiskGate, RiskLimits
    from tickwork.trading.halt import Halt
    from tickwork.trading.ledger import Ledger

    limits = RiskLimits(max_order_notional=demo.CAPITAL / 10, max_position_notional=demo.CAPITAL / 5)
    gate, ledger = RiskGate(limits, rules), Ledger(cash)
    return Desk(demo.ACCOUNT, venue=venue, gate=gate, ledger=ledger, quotes=quotes, clock=clock, halt=Halt())


if __name__ == "__main__":
    main()
