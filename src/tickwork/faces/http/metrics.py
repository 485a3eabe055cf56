"""Prometheus figures: what the server counts itself, and a reading of the tape whose cost does not grow with it.

A scrape reads counts that the tape keeps in small tables. The one that grows with history, runs by status, is read at
most once in ``RUNS_EVERY_NS``, and more rarely where it takes long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tickwork.engines.embedded.engine import Engine
from tickwork.engines.embedded.queries import Queries
from tickwork.engines.embedded.queue_tables import QueueStatus
from tickwork.errors import InvalidInput
from tickwork.service.api.here import Service
from tickwork.service.feed_status import FeedStatus
from tickwork.service.halting import STOPPING, HaltLine, halt_lines
from tickwork.values import from_ns

RUNS_EVERY_NS: Final = 10_000_000_000
SHARE: Final = 0.02
"""Of the time, that counting runs may take at most."""
LABELS_MAX: Final = 200
"""Queues, feeds and accounts that are shown; the rest are left out."""
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

Family = GaugeMetricFamily
AccountFigures = tuple[str, int, int]
"""Name, open orders, orders in doubt."""


class Metrics:
    """Counts requests, and reads the rest when it is asked."""

    def __init__(
        self,
        service: Service,
        *,
        feeds: Callable[[], Iterable[FeedStatus]] = tuple,
        accounts: Callable[[], Iterable[AccountFigures]] = tuple,
        sockets: Callable[[], int] = int,
    ) -> None:
        self._service = service
        self._feeds = feeds
        self._accounts = accounts
        self._sockets = sockets
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "tickwork_http_requests", "HTTP requests", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "tickwork_http_request_seconds", "Time to answer", ("route",), registry=self._registry, buckets=_BUCKETS
        )
        self._refusals = Counter(
            "tickwork_http_refusals", "Requests the guard refused", ("code",), registry=self._registry
        )
        self._counting: dict[tuple[str, str, int], tuple[Any, Any]] = {}
        self._runs: dict[str, int] = {}
        self._runs_until = 0

    def asked(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        key = (method if method in _METHODS else "other", route, status)
        found = self._counting.get(key)
        if found is None:
            found = self._requests.labels(key[0], route, str(status)), self._seconds.labels(route)
            self._counting[key] = found
        found[0].inc()
        found[1].observe(seconds)

    def refused(self, code: str) -> None:
        """Count a refusal."""
        self._refusals.labels(code).inc()

    async def text(self) -> bytes:
        """All of it, in Prometheus's text form.

        Raises:
            TapeError: the tape cannot be read.
        """
        engine = self._service.engine
        well = engine.fault is None
        families = [
            _gauge("tickwork_up", "Does the engine take work? 0: its disk has failed", well),
            _gauge("tickwork_tape_seq", "The last position on disk", engine.durable_seq),
            _gauge("tickwork_runs_in_memory", "Runs in memory", engine.in_memory),
            _gauge("tickwork_websocket_clients", "WebSocket clients", self._sockets()),
            *_of_feeds(self._feeds(), from_ns(engine.clock.now())),
            *_of_accounts(self._accounts()),
        ]
        if well:
            families += _of_queues(await engine.queues.statuses())
            families.append(_of_halts(_standing(engine)))
            families += await self._service.read(lambda queries: list(self._of_tape(queries)))
        registry = CollectorRegistry()
        registry.register(_Once(families))
        return bytes(generate_latest(self._registry)) + bytes(generate_latest(registry))

    def _of_tape(self, queries: Queries) -> Iterator[Family]:
        runs = Family("tickwork_runs", "Runs by status", labels=["status"])
        for status, count in self._counts(queries).items():
            runs.add_metric([status], count)
        yield runs
        letters = queries.reader.rows("SELECT kind, count(*) FROM letters WHERE status = 0 GROUP BY kind")
        open_letters = Family("tickwork_dead_letters", "Open dead letters by kind", labels=["kind"])
        for kind, count in letters:
            open_letters.add_metric([kind], count)
        yield open_letters
        yield _gauge("tickwork_approvals", "Questions that wait for a person", len(queries.approvals()))

    def _counts(self, queries: Queries) -> dict[str, int]:
        """Runs by status, read now and then."""
        began = self._service.engine.clock.now()
        if began >= self._runs_until:
            self._runs = queries.counts()
            took = self._service.engine.clock.now() - began
            self._runs_until = began + max(RUNS_EVERY_NS, int(took / SHARE))
        return self._runs


class _Once(Collector):
    """A collector of families that are there already."""

    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        """They."""
        return self._families


def _gauge(name: str, what: str, value: float) -> Family:
    return Family(name, what, value=float(value))


def _of_queues(statuses: Iterable[QueueStatus]) -> Iterator[Family]:
    messages = Family("tickwork_queue_messages", "Messages by queue and status", labels=["queue", "status"])
    oldest = Family("tickwork_queue_oldest_seconds", "Age of the oldest that is not done", labels=["queue"])
    for status in list(statuses)[:LABELS_MAX]:
        for name in ("available", "delayed", "in_flight", "dead"):
            messages.add_metric([status.name, name], getattr(status, name))
        oldest.add_metric([status.name], status.oldest_age.total_seconds() if status.oldest_age else 0.0)
    yield messages
    yield oldest


def _standing(engine: Engine) -> list[HaltLine]:
    """The halts that stand; an engine that does not trade knows none."""
    try:
        return list(engine.items(halt_lines).values())
    except InvalidInput:
        return []


def _of_halts(lines: Iterable[HaltLine]) -> Family:
    halts = Family("tickwork_halted", 'Does a halt stand? account "": all of them', labels=["account", "level"])
    for line in list(lines)[:LABELS_MAX]:
        halts.add_metric([line.account, line.level], line.level in STOPPING)
    return halts


def _of_accounts(accounts: Iterable[AccountFigures]) -> Iterator[Family]:
    orders = Family("tickwork_open_orders", "Orders at the venue that have not ended", labels=["account"])
    doubtful = Family(
        "tickwork_orders_in_doubt", "Orders of which nobody knows whether they were taken", labels=["account"]
    )
    for name, is_open, in_doubt in list(accounts)[:LABELS_MAX]:
        orders.add_metric([name], is_open)
        doubtful.add_metric([name], in_doubt)
    yield orders
    yield doubtful


def _of_feeds(feeds: Iterable[FeedStatus], now: datetime) -> Iterator[Family]:
    age = Family("tickwork_feed_age_seconds", "Since the last item came", labels=["feed"])
    stale = Family("tickwork_feed_stale", "Has anything it should bring not come for too long?", labels=["feed"])
    for feed in list(feeds)[:LABELS_MAX]:
        if feed.last_item_at is not None:
            age.add_metric([feed.name], max(0.0, (now - feed.last_item_at).total_seconds()))
        stale.add_metric([feed.name], feed.stale)
    yield age
    yield stale
