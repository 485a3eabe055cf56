"""Nodes of runs of documents, read off the tape; for a stream that looks at the same runs again and again."""

from __future__ import annotations

from collections.abc import Iterable

from tickwork.engines.embedded.batch import RunRow
from tickwork.engines.embedded.queries import Queries
from tickwork.graph.library import Library, library
from tickwork.graph.running.trace import RunTrace
from tickwork.graph.sources import Sources
from tickwork.graph.versioning.versions import DocumentPublished, DocumentState, Head, Named, named
from tickwork.service.documents.compiled import Compiled
from tickwork.service.documents.history import Execution, History
from tickwork.service.documents.shelf import TapeShelf


class Nodes:
    """Reads what became of the nodes of runs. Documents are compiled once, until another is published.

    Args:
        known: the types of nodes; ``None``: those that come with the product and are installed beside it.
    """

    def __init__(self, known: Library | None = None) -> None:
        self._library = known
        self._compiled: Compiled | None = None
        self._at: int | None = None

    def execution(self, row: RunRow) -> Execution | None:
        """A run as an execution of its document; ``None``: it is of no document."""
        whose: Named | None = named(row.workflow)
        return None if whose is None else Execution(row, whose)

    def trace(self, queries: Queries, execution: Execution) -> RunTrace:
        """What became of its nodes so far.

        Raises:
            TapeError: the tape cannot be read.
        """
        return self._history(queries).trace(execution)

    def heads(self, queries: Queries) -> Iterable[Head]:
        """The documents of the tape.

        Raises:
            TapeError: it cannot be read.
        """
        return self._known(queries).shelf.heads()

    def _history(self, queries: Queries) -> History:
        return History(queries, self._known(queries))

    def _known(self, queries: Queries) -> Compiled:
        names = (DocumentPublished.event_name, DocumentState.event_name)
        last = max(queries.reader.one("SELECT max(seq) FROM events WHERE name=?", (name,)) or 0 for name in names)
        if self._compiled is None or self._at != last:
            self._compiled, self._at = (
                Compiled(TapeShelf(queries.events(*names)), self._library or library(), Sources()),
                last,
            )
        return self._compiled
