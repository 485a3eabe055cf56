"""Plays documents that ship with tickwork in paper sessions, over simulated markets and over recordings."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from tickwork.app import open_paper
from tickwork.core.event import Event
from tickwork.core.workflow import Workflow
from tickwork.graph import templates
from tickwork.graph.compiling import compile_document
from tickwork.graph.document import Document
from tickwork.graph.library import library
from tickwork.graph.nodes.views import VIEWS
from tickwork.graph.sources import Sources
from tickwork.market.news import NewsItem
from tickwork.market.recording import Recording
from tickwork.notify.events import Notify
from tickwork.service.orders import OrderLine, orders
from tickwork.service.paper import PaperOptions
from tickwork.service.paper_summary import PaperSummary
from tickwork.service.runs import RunLine, run_lines
from tickwork.service.trading import OrderAccepted, OrderFilled
from tickwork.sim.market import simulated

START = datetime(2024, 3, 1, tzinfo=UTC)

_ALL = 1_000_000
_MEMORY = Path("/dev/shm")
_WHERE = _MEMORY if _MEMORY.is_dir() else None
"""A session waits for its disk at every order, and how fast that is shows nothing here."""


@dataclass(frozen=True)
class Played:
    """What a session has left behind."""

    summary: PaperSummary
    orders: list[OrderLine]
    """Oldest first; refused ones too."""
    runs: list[RunLine]
    """Oldest first."""
    events: list[Event]
    """Orders, fills, notifications and whatever else was asked for, in order."""

    @property
    def dead(self) -> list[str]:
        """What runs died of."""
        return [f"{run.workflow}: {run.error}" for run in self.runs if run.status in ("dead", "failed")]

    @property
    def errors(self) -> list[str]:
        """What nodes failed with in runs that went on."""
        return [f"{one['node']}: {one['error']}" for run in self.runs for one in (run.result or {}).get("errors", [])]

    @property
    def said(self) -> list[Notify]:
        """Messages to people."""
        return [event for event in self.events if isinstance(event, Notify)]

    @property
    def fills(self) -> list[OrderFilled]:
        """Executions."""
        return [event for event in self.events if isinstance(event, OrderFilled)]

    def by(self, node: str) -> list[OrderLine]:
        """The orders that a node placed, where it gives them no other reason."""
        return [order for order in self.orders if order.reason == node]

    def reached(self, node: str) -> list[RunLine]:
        """The runs in which a node was done."""
        return [run for run in self.runs if (run.result or {}).get("nodes", {}).get(node) == "completed"]


def play(
    documents: Sequence[Document],
    more: Callable[[Sources], list[Workflow]] = lambda sources: [],
    events: Sequence[type[Event]] = (),
    **options: Any,
) -> Played:
    """A session of documents to its end. ``events``: classes of events to be told of besides the usual ones."""
    return asyncio.run(_play(documents, more, (OrderAccepted, OrderFilled, Notify, *events), options))


async def _play(
    documents: Sequence[Document],
    more: Callable[[Sources], list[Workflow]],
    events: Sequence[type[Event]],
    options: dict[str, Any],
) -> Played:
    def made(sources: Sources) -> list[Workflow]:
        compiled = [compile_document(one, library=library(), sources=sources) for one in documents]
        return [*compiled, *more(sources)]

    with tempfile.TemporaryDirectory(dir=_WHERE) as home:
        session = open_paper(PaperOptions(home=Path(home) / "paper", **options), made, views=VIEWS)
        try:
            summary = await session.run()
            queries = session.engine.queries
            classes = {one.event_name: one for one in events}
            told = [
                classes[entry.record.name].from_wire(bytes(entry.record.value)) for entry in queries.events(*classes)
            ]
            return Played(summary, orders(queries, limit=_ALL)[::-1], run_lines(queries, limit=_ALL)[::-1], told)
        finally:
            await session.close()


def on_simulated(name: str, seed: int, *, bars: int = 0, document: Document | None = None, **more: Any) -> Played:
    """A template on the market that its metadata names."""
    market = templates.about(name).simulated
    assert market is not None
    figures = {
        word: value
        for word in ("volatility", "dislocations", "dislocation")
        if (value := getattr(market, word)) is not None
    }
    found = simulated(
        seed, market.venues, market.symbols, START, bars or market.bars, market.interval, prices=market.prices,
        **figures,
    )  # fmt: skip
    return play(
        [document or templates.read(name)], data=found.recordings, terms=found.terms, stock=market.stock, **more
    )


def cut(name: str, first: int, last: int) -> Recording:
    """A part of a recording."""
    return Recording.from_bars(list(Recording.open(name).bars(first, last)), name=f"{name}-{first}-{last}")


def on_recordings(name: str, first: int, last: int, **more: Any) -> Played:
    """A template on a part of the recordings that its metadata names."""
    data = [cut(recording, first, last) for recording in templates.about(name).recordings]
    return play([templates.read(name)], data=data, **more)


def news_file(path: Path, items: Sequence[NewsItem]) -> Path:
    """News as a recording of them."""
    path.write_bytes(b"".join(item.to_wire() + b"\n" for item in items))
    return path


def equity(played: Played) -> Decimal:
    """What the account was worth at the end."""
    return Decimal(played.summary.equity)
