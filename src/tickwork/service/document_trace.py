"""What happened in runs of documents, read from any tape that holds the documents as well."""

from __future__ import annotations

import msgspec

from tickwork.engines.embedded.queries import Queries
from tickwork.errors import InvalidInput, ServiceError
from tickwork.graph.library import library
from tickwork.graph.running.trace import NodeState, RunEvent
from tickwork.graph.sources import Sources
from tickwork.graph.versioning.versions import DocumentPublished, DocumentState, named
from tickwork.service.documents.compiled import Compiled
from tickwork.service.documents.history import History
from tickwork.service.documents.shelf import TapeShelf


class Traced(msgspec.Struct, frozen=True, rename="camel"):
    """A run of a document."""

    run: str
    document: str
    version: int
    status: str
    trigger: str
    nodes: list[NodeState]
    events: list[RunEvent]


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
    return Traced(run, whose.name, row.version, execution.word, found.trigger, list(found.nodes.values()), found.events)
