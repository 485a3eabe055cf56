"""Documents on a paper desk: what is run, on which prices, with what beside it.

The session itself is ``service.paper``; here a document becomes the workflows, the market and the settings of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec

from tickwork.core.queue import Queue
from tickwork.core.view import View
from tickwork.core.workflow import Workflow
from tickwork.errors import InvalidInput
from tickwork.graph import templates
from tickwork.graph.document import Document
from tickwork.graph.importers import AUTO, Imported
from tickwork.graph.library import library
from tickwork.graph.nodes.views import VIEWS as NODE_VIEWS
from tickwork.graph.sources import Sources
from tickwork.graph.templates import Market
from tickwork.graph.versioning.versions import DOCUMENT_VIEWS, DocumentPublished, Line, Terms, publish, workflow_name
from tickwork.market.recording import recordings
from tickwork.service.document_files import load
from tickwork.service.document_store import Store
from tickwork.service.documents.compiled import Compiled
from tickwork.service.documents.shelf import TapeShelf
from tickwork.service.paper import ByHand, PaperOptions
from tickwork.sim.market import Simulated, simulated
from tickwork.values import timestamp_ns

VIEWS: Final[tuple[View, ...]] = (*NODE_VIEWS, *DOCUMENT_VIEWS)
START: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""When simulated markets begin."""
PUBLISHED: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""When the tape of a session says that its documents were published: the same in each, so that tapes are the same."""

_SENDS: Final = {"queue_for_execution": "execution"}
"""Node types that put messages into a queue, with the one that they use where the document names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What a person asks for."""

    source: str
    """A file, ``-`` or a template."""
    beside: tuple[str, ...] = ()
    """More documents of the kind: what it calls, or what works beside it."""
    format: str = AUTO
    data: tuple[str, ...] = ()
    simulated: int | None = None
    """Seed of a simulated market."""
    news: Path | None = None
    input: Any = None
    by_hand: bool = False
    """Start it once, whatever its triggers do."""
    at: datetime | None = None
    until: datetime | None = None
    capital: Decimal = Decimal(100_000)
    home: Path = Path(".tickwork/graph")
    seed: int = 1
    speed: float | None = None
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """A paper session of documents, to be opened."""

    options: PaperOptions
    make: Callable[[Sources], Sequence[Workflow]]
    views: tuple[View, ...]
    documents: tuple[Document, ...]
    notes: tuple[str, ...]
    """What the importers noted, and what was chosen where nobody said."""


def prepare(request: RunRequest, store: Store) -> Prepared:
    """Everything a session needs, checked as far as it can be without opening one.

    ``store``: where published documents are, for names that are neither files nor templates.

    Raises:
        InvalidInput: a document, its market or a setting that cannot be used.
    """
    notes: list[str] = []
    documents = list(_documents(request, store, notes))
    market, data = _market(request, documents[0], notes)
    events = [_published(document) for document in documents]
    options = PaperOptions(
        home=request.home,
        data=data if market is None else market.recordings,
        terms={} if market is None else market.terms,
        news=request.news,
        seed=request.seed,
        capital=request.capital,
        stock=_settings(documents[0]).stock if market is not None else Decimal(0),
        by_hand=_by_hand(request, documents[0]),
        until=None if request.until is None else timestamp_ns(request.until, "--until"),
        documents=[event.checksum for event in events],
        opening=events,
        queues=list(_queues(documents)),
        speed=request.speed,
        fresh=request.fresh,
    )
    return Prepared(options, lambda sources: _workflows(events, sources), VIEWS, tuple(documents), tuple(notes))


def _load(source: str, store: Store, format: str = AUTO) -> Imported:
    """A document from a file, a template or the published ones."""
    if not Path(source).exists() and source not in templates.names() and store.has(source):
        return Imported(store.document(source), "published", [])
    return load(source, format)


def _documents(request: RunRequest, store: Store, notes: list[str]) -> Iterator[Document]:
    """The document, then those beside it: asked for, or named by its metadata."""
    main = _load(request.source, store, request.format)
    notes += main.notes
    yield main.document
    named = [name for name in main.document.metadata.get("companions", []) if name in templates.names()]
    taken = {main.document.name}
    for source in (*request.beside, *named):
        more = _load(source, store)
        if more.document.name in taken:
            if source in named:
                continue
            raise InvalidInput("--with", more.document.name, "documents of different names")
        taken.add(more.document.name)
        notes += more.notes
        yield more.document


def _published(document: Document) -> DocumentPublished:
    event = publish("", document, Line(), Terms(at=PUBLISHED))
    assert event is not None
    return event


def _workflows(events: list[DocumentPublished], sources: Sources) -> list[Workflow]:
    """
    Raises:
        InvalidDocument: a document cannot run on this desk; every problem of it.
    """
    compiled = Compiled(TapeShelf.of(events), library(), sources)
    return [compiled.get(head, head.published) for head in compiled.shelf.heads()]


def _queues(documents: list[Document]) -> Iterator[Queue]:
    """The queues that nodes send to and no document takes from: declared, so that the messages wait there."""
    taken = {
        str(spec.fields.get("name")) for document in documents for spec in document.triggers if spec.type == "queue"
    }
    for document in documents:
        for node in document.nodes:
            type = library().find(node.type)
            name = None if type is None else _SENDS.get(type.name)
            name = None if name is None else str(node.params.get("queue", name))
            if name is not None and name not in taken and "{{" not in name:
                taken.add(name)
                yield Queue(name)


def _settings(document: Document) -> Market:
    """The simulated market that a document's metadata describes; else one of the venues and symbols that it names.

    Raises:
        InvalidInput: there is nothing to go by, or the description means nothing.
    """
    given = document.metadata.get("simulated") or _named(document)
    if not given:
        expected = "metadata.simulated: {venues: [...], symbols: [...]}, or recorded prices (--data)"
        raise InvalidInput(f"{document.name}.metadata", "no simulated market", expected)
    try:
        return msgspec.convert(given, Market, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{document.name}.metadata.simulated", str(error), "venues, symbols and the like") from None


def _named(document: Document) -> dict[str, list[str]]:
    """The venues and symbols in a document's params and triggers."""
    venues: dict[str, None] = {}
    symbols: dict[str, None] = {}
    for fields in (*(node.params for node in document.nodes), *(spec.fields for spec in document.triggers)):
        for name, value in fields.items():
            for word in value if isinstance(value, list) else [value]:
                if not isinstance(word, str) or not word or "{{" in word:
                    continue
                if name in ("provider", "venue"):
                    venues[word] = None
                elif name in ("symbol", "symbols", "pair"):
                    symbols[_spelled(word)] = None
    return {"venues": list(venues) or ["paper"], "symbols": list(symbols)} if symbols else {}


_QUOTES: Final = ("USDT", "USDC", "USD", "EUR", "BTC")


def _spelled(symbol: str) -> str:
    """``BTCUSDT`` as ``BTC/USDT``: venues join what we keep apart."""
    quote = next((one for one in _QUOTES if symbol.endswith(one) and len(symbol) > len(one)), "")
    return symbol if "/" in symbol or not quote else f"{symbol.removesuffix(quote)}/{quote}"


def _market(request: RunRequest, document: Document, notes: list[str]) -> tuple[Simulated | None, tuple[str, ...]]:
    """What is traded on: what was asked for, else what the document says it can be tried on."""
    if request.data and request.simulated is not None:
        raise InvalidInput("--simulated", request.simulated, "either recorded prices (--data) or simulated ones")
    if request.data:
        return None, request.data
    known = tuple(name for name in document.metadata.get("recordings", []) if isinstance(name, str))
    if request.simulated is None and known:
        notes.append(f"recorded prices: {', '.join(known)}")
        return None, known
    if request.simulated is None and document.metadata.get("simulated") is None:
        # prices that nobody quoted are only taken where somebody asks for them
        expected = f"recorded prices (--data: {', '.join(recordings())}, or a CSV file)"
        raise InvalidInput("--data", "nothing", expected)
    seed = 1 if request.simulated is None else request.simulated
    notes.append(f"prices are simulated, with the seed {seed}: no venue ever quoted them")
    return _simulated(_settings(document), seed), ()


def _simulated(market: Market, seed: int) -> Simulated:
    chosen = {
        name: value
        for name in ("volatility", "dislocations", "dislocation")
        if (value := getattr(market, name)) is not None
    }
    return simulated(
        seed, market.venues, market.symbols, START, market.bars, market.interval, prices=market.prices, **chosen
    )


def _by_hand(request: RunRequest, document: Document) -> ByHand | None:
    """A run that is started once: where it was asked for, or where nothing else would start one."""
    starts = any(spec.type != "manual" for spec in document.triggers)
    if starts and not request.by_hand and request.input is None:
        return None
    at = None if request.at is None else timestamp_ns(request.at, "--at")
    return ByHand(workflow=workflow_name("", document.name), input=request.input, at=at)
