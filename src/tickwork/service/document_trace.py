"""What happened in runs of documents, read from any tape that holds the documents as well."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tickwork.core.queue import Queue
from tickwork.engines.embedded.queries import Queries
from tickwork.errors import InvalidInput, ServiceError, TapeError
from tickwork.graph.library import library
from tickwork.graph.running.trace import NodeState, RunEvent
from tickwork.graph.sources import Sources
from tickwork.graph.versioning.versions import DocumentPublished, DocumentState, named
from tickwork.service.document_run import session_of
from tickwork.service.documents.compiled import Compiled
from tickwork.service.documents.history import Execution, History
from tickwork.service.documents.shelf import TapeShelf
from tickwork.service.paper_tape import PaperFiles


class Traced(msgspec.Struct, frozen=True, rename="camel"):
    """A run of a document."""

    run: str
    document: str
    version: int
    status: str
    trigger: str
    nodes: list[NodeState]
    events: list[RunEvent]


def last_session(home: Path, document: str | None = None) -> Path:
    """The tape of the session that was played last; of a document's, where one is named.

    Raises:
        TapeError: there is none.
    """
    tapes = [PaperFiles(folder).tape for folder in (home.iterdir() if home.is_dir() else ())]
    if document is not None:
        tapes = [PaperFiles(session_of(home, document)).tape]
    found = max((tape for tape in tapes if tape.is_file()), key=_written, default=None)
    if found is None:
        whose = "" if document is None else f" of {document}"
        raise TapeError(
            f"there is no tape of a session{whose} in {home}: `tickwork graph run`, or give --tape or --home"
        )
    return found


def _written(tape: Path) -> int:
    """When a tape was written last, ns: what is newest stands beside it."""
    beside = tape.with_name(f"{tape.name}-wal")
    return max(path.stat().st_mtime_ns for path in (tape, beside) if path.is_file())


def traced(queries: Queries, run: str) -> Traced:
    """The states and events of a run.

    Raises:
        InvalidInput: no such run, or it is not one of a document.
    """
    row = queries.row(run)
    whose = named(row.workflow)
    if whose is None:
        raise InvalidInput("run", f"{run}, which is of {row.workflow!r}", "a run of a document; see `tickwork show`")
    shelf = TapeShelf(queries.events(DocumentPublished.event_name, DocumentState.event_name))
    history = History(queries, Compiled(shelf, library(), Sources()))
    try:
        execution = history.find(whose.owner, run)
    except ServiceError as error:
        raise InvalidInput("run", run, str(error)) from None
    found = history.trace(execution)
    trigger = _queue(queries, history, execution) or found.trigger
    return Traced(run, whose.name, row.version, execution.word, trigger, list(found.nodes.values()), found.events)


def _queue(queries: Queries, history: History, execution: Execution) -> str:
    """``queue``, where a message of one started a run: its input alone does not tell."""
    ref = history.entries(execution)[0].record.ref
    entry = queries.reader.record(ref) if ref else None
    return Queue.kind if entry is not None and entry.record.kind in ("message", "send") else ""
