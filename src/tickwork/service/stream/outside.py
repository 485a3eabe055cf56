"""The plain stream for programs outside: what a run, or the runs of a document, do; an event a message.

``seq`` is the position on the tape at which an event was known, ``sequence`` its number within the run. A client that
comes back gives the last ``seq`` of which it has seen everything as ``after``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic.alias_generators import to_camel

from tickwork.engines.embedded.batch import RunRow
from tickwork.engines.embedded.queries import Queries
from tickwork.engines.embedded.status import Status
from tickwork.errors import Forbidden, InvalidInput, NotFound
from tickwork.graph.versioning.versions import Head, named, workflow_name
from tickwork.service.api.caller import Caller
from tickwork.service.documents.ids import run_id
from tickwork.service.stream.entities import encode
from tickwork.service.stream.live import Live
from tickwork.service.stream.nodes import Nodes
from tickwork.service.stream.run_events import Told, events_of_run
from tickwork.service.stream.session import BROKEN, DONE, FRAME_MAX, RESTART, TOO_BIG, TRY_LATER, HangUp, Send
from tickwork.service.stream.views import View

RUNS: Final = 200
"""Runs of a document that are looked at: the newest."""

_OF_DOCUMENT: Final = (
    "SELECT seq FROM runs WHERE workflow IN (?, ?) AND substr(workflow, 1, 4) = 'doc/' ORDER BY seq DESC LIMIT ?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a client wants to hear of.

    Raises:
        InvalidInput: a run and a document, neither of them, or an unknown spelling.
    """

    run: str = ""
    document: str = ""
    """Name or id of a document; alone: all its runs, from now on or from ``after`` on."""
    execution: str = ""
    """The id of one of its executions."""
    after: int | None = None
    """Only what was known later; ``None``: of a run everything, of a document what comes."""
    case: str = "snake"
    """How names of fields are spelt: ``snake`` or ``camel``."""

    def __post_init__(self) -> None:
        if self.case not in ("snake", "camel"):
            raise InvalidInput("case", self.case, "snake or camel")
        if bool(self.run) == bool(self.document):
            raise InvalidInput("run", self.run, "either ?run=<id> or ?workflow=<document id>")
        if self.execution and not self.document:
            raise InvalidInput("execution", self.execution, "an execution of a document: ?workflow=<document id> too")


class Outside:
    """One client of the plain stream; knows events, and no socket."""

    def __init__(self, live: Live, caller: Caller, send: Send, wanted: Wanted) -> None:
        if not caller.may("read"):
            raise Forbidden("the stream of events", caller.name, "the right to read")
        self._live = live
        self._caller = caller
        self._send = send
        self._wanted = wanted
        self._news = asyncio.Event()
        self._nodes = Nodes(live.library)
        self._told: dict[int, tuple[int, int]] = {}
        """By run: ``seq`` and ``sequence`` of the last event that was sent."""
        self._tails: dict[int, tuple[int, int]] = {}
        """By run: its last chunk and status when it was last read."""
        self._view = View(f"outside:{id(self)}", ())
        self._watching = False
        self._finished = False

    async def tell(self) -> None:
        """Tell what happens, until there is nothing more to come.

        Raises:
            HangUp: it is over. InvalidInput: there is no such run or document.
        """
        live = self._live
        if live.closing:
            raise HangUp(RESTART, "restart")
        if live.full:
            raise HangUp(TRY_LATER, "there are too many clients")
        live.listen(self._news.set)
        try:
            await live.watch(self._view)
            self._watching = True
            await live.look()
            after = self._wanted.after
            if after is None:
                after = live.seq if self._wanted.document and not self._wanted.execution else 0
            while not live.closing:
                self._news.clear()
                if live.fault is not None:
                    raise HangUp(BROKEN, f"tape-error: {live.fault}")
                for told in await live.read(lambda queries: self._fresh(queries, after)):
                    await self._send(encode(_spelt(told, self._wanted.case)))
                if self._finished:
                    raise HangUp(DONE, "finished")
                await self._news.wait()
            raise HangUp(RESTART, "restart")
        finally:
            live.unlisten(self._news.set)

    def close(self) -> None:
        """Watch no more; when nobody tells any more."""
        if self._watching:
            self._watching = False
            self._live.unwatch(self._view)

    async def hear(self, frame: str | bytes) -> None:
        """One frame of the client, who has nothing to say here.

        Raises:
            HangUp: it is too large.
        """
        if len(frame) > FRAME_MAX:
            raise HangUp(TOO_BIG, f"a frame of {len(frame)}: at most {FRAME_MAX}")

    # -- reading --------------------------------------------------------------------------------------------------

    def _fresh(self, queries: Queries, after: int) -> list[dict[str, Any]]:
        """Events that were not told of yet, in order; in the reader's thread."""
        found: list[Told] = []
        for row in self._runs(queries):
            stamp = (row.tail, row.status)
            if self._tails.get(row.seq) == stamp:
                continue
            self._tails[row.seq] = stamp
            last = self._told.get(row.seq, (after, 1 << 62))
            fresh = [one for one in events_of_run(queries, self._nodes, row) if (one.seq, one.sequence) > last]
            if fresh:
                self._told[row.seq] = fresh[-1].seq, fresh[-1].sequence
            found += fresh
            self._finished = bool(self._wanted.run or self._wanted.execution) and Status(row.status).finished
        return [one.fields for one in sorted(found, key=lambda one: (one.seq, one.sequence))]

    def _runs(self, queries: Queries) -> Sequence[RunRow]:
        wanted, owner = self._wanted, self._caller.owner
        if wanted.run:
            row = queries.reader.run_named(wanted.run)
            if row is None or owner not in (None, row.owner):
                raise NotFound("run", wanted.run, "the id of a run on this tape")
            return [row]
        if wanted.execution:
            return [self._execution(queries)]
        head = self._head(queries)
        names = (workflow_name(head.owner, head.name), workflow_name(head.owner, head.name, test=True))
        rows = [queries.reader.run(seq) for (seq,) in queries.reader.rows(_OF_DOCUMENT, (*names, RUNS))]
        return [row for row in rows if row is not None]

    def _execution(self, queries: Queries) -> RunRow:
        owner, id = self._caller.owner or "", self._wanted.execution
        for run in dict.fromkeys((run_id(owner, id), id)):
            row = queries.reader.run_named(run)
            whose = None if row is None else named(row.workflow)
            if row is None or whose is None or self._caller.owner not in (None, whose.owner):
                continue
            if self._wanted.document in (whose.id, whose.name):
                return row
        raise NotFound("execution", id, f"an execution of the document {self._wanted.document}")

    def _head(self, queries: Queries) -> Head:
        owner, name = self._caller.owner, self._wanted.document
        for head in self._nodes.heads(queries):
            if owner in (None, head.owner) and (head.id == name or (head.name == name and head.owner == (owner or ""))):
                return head
        raise NotFound("workflow", name, "the id or name of a document on this tape")


def _spelt(told: dict[str, Any], case: str) -> dict[str, Any]:
    return told if case == "snake" else {to_camel(name): value for name, value in told.items()}
