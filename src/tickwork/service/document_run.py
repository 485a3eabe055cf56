"""Documents on a paper desk: what is run, on which prices, with what beside it.

The session itself is ``service.paper``; here a document becomes the workflows, the market and the settings of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from tickwork.core.queue import Queue
from tickwork.core.view import View
from tickwork.core.workflow import Workflow
from tickwork.errors import InvalidInput
from tickwork.graph import templates
from tickwork.graph.document import Document
from tickwork.graph.importers import AUTO
from tickwork.graph.library import library
from tickwork.graph.nodes.views import VIEWS as NODE_VIEWS
from tickwork.graph.problems import nearest
from tickwork.graph.sources import News, Sources
from tickwork.graph.templates import Market
from tickwork.graph.versioning.versions import DOCUMENT_VIEWS, DocumentPublished, Line, Terms, publish, workflow_name
from tickwork.market.recording import recordings
from tickwork.service.document_files import called_by
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

_NEWS_TRIGGERS: Final = ("news_sentiment", "breaking_news")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What a person asks for."""

    source: str
    """A file, ``-``, a published document or a template."""
    version: int | None = None
    """Of a published document; ``None``: what is published."""
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
    """In it each document has a folder of its own for its last session."""
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
    if request.input is not None and not isinstance(request.input, dict):
        expected = 'a JSON object, which is `event` in the document, e.g. {"symbol": "BTC/USDT"}'
        raise InvalidInput("--input", request.input, expected)
    notes: list[str] = []
    documents = list(_documents(request, store, notes))
    by_hand = _by_hand(request, documents[0], notes)
    if request.news is None:
        notes += [_no_news(document) for document in documents if _reads_news(document)]
    market, data = _market(request, documents[0], notes)
    events = [_published(document) for document in documents]
    options = PaperOptions(
        home=session_of(request.home, documents[0].name),
        data=data if market is None else market.recordings,
        terms={} if market is None else market.terms,
        news=request.news,
        seed=request.seed,
        capital=request.capital,
        stock=_settings(documents[0]).stock if market is not None else Decimal(0),
        by_hand=by_hand,
        until=None if request.until is None else timestamp_ns(request.until, "--until"),
        documents=[event.checksum for event in events],
        opening=events,
        queues=list(_queues(documents)),
        speed=request.speed,
        fresh=request.fresh,
    )
    return Prepared(options, lambda sources: _workflows(events, sources), VIEWS, tuple(documents), tuple(notes))


_LONGEST: Final = 60
"""Characters of a document's folder: room for the names of files below it."""


def session_of(home: Path, document: str) -> Path:
    """The folder of a document's last session: a name that is safe anywhere, and another for every document."""
    safe = quote(document, safe=" ").replace(" ", "-")
    if safe != document or len(safe) > _LONGEST or safe.startswith("."):
        safe = f"{safe.lstrip('.')[:_LONGEST]}-{blake2b(document.encode(), digest_size=4).hexdigest()}"
    return home / safe


def _documents(request: RunRequest, store: Store, notes: list[str]) -> Iterator[Document]:
    """The document, those beside it (asked for, or named by its metadata), and published ones that these call."""
    found: dict[str, Document] = {}
    for document in _given(request, store, notes):
        found[document.name] = document
        yield document
    left = list(found.values())
    while left:
        for name in called_by(left.pop()):
            called = None if name in found else store.published(name)
            if called is not None and called.name not in found:
                notes.append(f"published documents that are called: {called.name}")
                found[called.name] = called
                left.append(called)
                yield called


def _given(request: RunRequest, store: Store, notes: list[str]) -> Iterator[Document]:
    main = store.load(request.source, request.format, request.version)
    notes += main.notes
    yield main.document
    named = [name for name in main.document.metadata.get("companions", []) if name in templates.names()]
    taken = {main.document.name}
    for source in (*request.beside, *named):
        more = store.load(source)
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
    path = f"{document.name}.metadata.simulated"
    if not isinstance(given, dict):
        raise InvalidInput(path, given, "an object: {venues: [...], symbols: [...]}")
    for name in ("venues", "symbols"):
        if not given.get(name):
            raise InvalidInput(f"{path}.{name}", "nothing", f"a list of {name}")
    for name in given:
        if name not in Market.__struct_fields__:
            raise InvalidInput(
                f"{path}.{name}", given[name], f"no such field: {nearest(name, Market.__struct_fields__)}"
            )
    try:
        return msgspec.convert(given, Market, strict=False)
    except msgspec.ValidationError as error:
        words, _, where = str(error).partition(" - at `$")
        field = where.strip("`")
        expected = words.removeprefix("Expected ").partition(", got")[0].replace("`", "")
        raise InvalidInput(f"{path}{field}", given.get(field.strip("."), given), expected) from None


def _reads_news(document: Document) -> bool:
    """Is there a node or a trigger that works on news?"""
    if any(spec.type in _NEWS_TRIGGERS for spec in document.triggers):
        return True
    types = (library().find(node.type) for node in document.nodes)
    return any(need.source == News.source_name for type in types if type is not None for need in type.needs)


def _no_news(document: Document) -> str:
    return f"{document.name} works on news, and there are none: give recorded ones with --news"


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


def _by_hand(request: RunRequest, document: Document, notes: list[str]) -> ByHand | None:
    """A run that is started once: where it was asked for, or where nothing else would start one."""
    starts = any(spec.type != "manual" for spec in document.triggers)
    if starts:
        if not request.by_hand and request.input is None:
            return None
        notes.append(f"{document.name} is started once by hand, beside what its triggers start")
    at = None if request.at is None else timestamp_ns(request.at, "--at")
    return ByHand(workflow=workflow_name("", document.name), input=request.input, at=at)
