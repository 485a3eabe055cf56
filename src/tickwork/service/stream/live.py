"""The live stream of one engine: snapshots, then ordered deltas, shared by all clients.

Theory of operation. While somebody watches, a follower looks at the tape every 50 ms: one read transaction in a thread,
which finds what has become of the parts that are watched. What it finds goes into a journal for each part: the entities
as they are, as JSON, and the order in which they last changed. That is all the state there is, however many clients
there are. A client is a cursor: the last position it was told of. Its next message is whatever changed after that,
each entity once, with the values of now; clients at the same cursor get the same bytes. So a slow client gets bigger
messages; one that comes back goes on from its cursor; and one that is more than ``REACH`` records behind gets the view
anew.

What is told is on disk, because it is read from there; a position and the data told with it are of one transaction.

The epoch names the tape. It derives from the nonce of the tape's first opening, so it survives restarts and changes
where a tape is made anew. A tape that was restored from a backup has the epoch of then, and its history may part from
what a client saw: the client says under which opening it saw its position, and goes on only where that opening is on
this tape and the position is of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from tickwork.engines.embedded.engine import Engine
from tickwork.engines.embedded.queries import Queries
from tickwork.errors import TapeError
from tickwork.graph.library import Library
from tickwork.service.api.caller import Caller
from tickwork.service.api.reading import FileReaders, OwnReaders, Readers
from tickwork.service.stream.entities import Key, encode
from tickwork.service.stream.events import REACH
from tickwork.service.stream.follower import Follower, Turn
from tickwork.service.stream.journal import Journal, entity, gone, state
from tickwork.service.stream.nodes import Nodes
from tickwork.service.stream.views import PartName, View, kinds_of, view_named
from tickwork.service.stream.words import LINES
from tickwork.values import from_ns

T = TypeVar("T")

TICK_S: Final = 0.05
"""Seconds between two looks; twice as long as one takes, where that is more."""

PATIENCE_S: Final = 2.0
"""Seconds until a tape that could not be read is tried again."""

CONNECTIONS: Final = 500
"""Clients at once."""

IDLE_VIEWS: Final = 64
"""Views that nobody watches any more and that are remembered, for clients that come back."""

_log = logging.getLogger("tickwork.stream")


class Cursor(NamedTuple):
    """How far a client has been told of a view."""

    seq: int
    turn: int


class Message(NamedTuple):
    """What a client is told of a view, but for the id of its subscription."""

    kind: str
    """``snap`` or ``d``."""
    body: bytes
    cursor: Cursor

    def frame(self, id: int) -> bytes:
        """As it is sent."""
        return b'{"t":"%b","id":%d,%b' % (self.kind.encode(), id, self.body)


class Live:
    """The live stream of an open engine.

    Args:
        mode: as ``hello`` says it: ``paper``, ``live`` ...
        version: of tickwork.
        ui: the id of the dashboard's build.
        halt: the halt of all that stands, for ``hello``; ``None``: there is none.
        connections: clients at once.
        patient: see ``Follower``.
        library: types of nodes, where documents use others than ``graph.library`` finds.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        mode: str,
        version: str,
        ui: str = "",
        halt: Callable[[], dict[str, Any] | None] = lambda: None,
        connections: int = CONNECTIONS,
        patient: bool = True,
        library: Library | None = None,
    ) -> None:
        self.connections = connections
        self.turn = 0
        self.seq = 0
        self.fault: TapeError | None = None
        """Why the tape cannot be read, if it cannot."""
        self.closing = False
        self._engine = engine
        self._said = {"mode": mode, "version": version, "ui": ui}
        self._halt = halt
        self.library = library
        self._patient = patient
        self._follower: Follower
        self._readers: Readers | None = None
        self._openings: list[tuple[int, str]] = []
        self._watched: Counter[View] = Counter()
        self._idle: OrderedDict[View, None] = OrderedDict()
        self._journals: dict[PartName, Journal] = {}
        self._lines: dict[View, deque[tuple[int, bytes]]] = {}
        self._cache: dict[tuple[View, str, int], Message] = {}
        self._listeners: set[Callable[[], None]] = set()
        self._looking = asyncio.Lock()
        self._some = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    # -- opening and closing --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin; the engine is open.

        Raises:
            TapeError: the tape cannot be read.
        """
        await self._engine.durable()
        memory = self._engine.path == ":memory:"
        self._readers = OwnReaders(self._engine.queries) if memory else FileReaders(self._engine.path, threads=1)
        self._openings = await self.read(_openings)
        timer = asyncio.get_running_loop().time
        self._follower = Follower(timer, patient=self._patient, nodes=Nodes(self.library))
        await self._look()
        self._task = asyncio.get_running_loop().create_task(self._follow(), name="tickwork-stream")

    async def close(self) -> None:
        """Say good-bye to all clients, and let the tape go."""
        self.closing = True
        self._wake()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        async with self._looking:
            if self._readers is not None:
                self._readers.close()
                self._readers = None

    async def read(self, ask: Callable[[Queries], T]) -> T:
        """What a function of the tape gives, beside the engine's loop.

        Raises:
            TapeError: the stream is closed, or the tape cannot be read. And what the function raises.
        """
        if self._readers is None:
            raise TapeError("the live stream is closed")
        return await self._readers.read(ask)

    @property
    def epoch(self) -> str:
        """The tape's id."""
        return _name_of(self._openings[0][1])

    @property
    def opening(self) -> str:
        """The id of this opening of the tape."""
        return _name_of(self._openings[-1][1])

    def hello(self) -> bytes:
        """What a client is told first."""
        told = {"t": "hello", "epoch": self.epoch, "opening": self.opening, "seq": self.seq,
                "server_time": from_ns(self._engine.clock.now()), "halt": self._halt(), **self._said}  # fmt: skip
        return encode(told)

    # -- looking --------------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        timer = asyncio.get_running_loop().time
        while True:
            await self._some.wait()
            began = timer()
            try:
                await self._look()
            except TapeError as fault:
                self._failed(fault)
            except Exception as error:  # noqa: BLE001 - whoever watches must hear that nothing comes any more
                _log.exception("the live stream stands still")
                self._failed(TapeError(f"the live stream cannot go on ({type(error).__name__}: {error})"))
            took = timer() - began
            await asyncio.sleep(max(TICK_S, 2 * took) if self.fault is None else PATIENCE_S)

    def _failed(self, fault: TapeError) -> None:
        if str(fault) != str(self.fault):
            _log.error("%s", fault)
        self.fault = fault
        self._wake()

    async def _look(self) -> Turn:
        async with self._looking:
            views = list(self._watched)
            kept = frozenset(self._journals)
            turn = await self.read(lambda queries: self._follower.look(queries, views, kept))
            self.fault = None
            self._take(turn)
            return turn

    def _take(self, turn: Turn) -> None:
        """Note what a look found, and tell those who wait for it."""
        moved, number = turn.seq > self.seq, self.turn + 1
        known = {part for view in (*self._watched, *self._idle) for part in view.parts}
        for part, change in turn.changes.items():
            first = part in turn.made
            if first and part in known:
                self._journals[part] = Journal(turn.seq)
            journal = self._journals.get(part)
            if journal is not None:  # else whoever wanted it has gone meanwhile
                moved = journal.take(change, number, turn.seq, first=first) or moved
                journal.forget(turn.seq - REACH)
        for view, lines in turn.lines.items():
            self._lines.setdefault(view, deque(maxlen=LINES)).extend(
                one for one in lines if not self._lines[view] or one[0] > self._lines[view][-1][0]
            )
        if moved:
            self.seq, self.turn = turn.seq, number
            self._cache.clear()
            self._wake()

    def _wake(self) -> None:
        for listener in list(self._listeners):
            listener()

    # -- watching -------------------------------------------------------------------------------------------------

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` whenever something is new, and at the end."""
        self._listeners.add(listener)

    @property
    def clients(self) -> int:
        """How many there are."""
        return len(self._listeners)

    @property
    def full(self) -> bool:
        """Are there as many clients as there may be?"""
        return self.clients >= self.connections

    async def look(self) -> None:
        """Look at the tape now.

        Raises:
            TapeError: it cannot be read.
        """
        await self._look()

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Do not call it any more."""
        self._listeners.discard(listener)

    async def watch(self, view: View) -> None:
        """Keep a view up to date from now on; on return it is.

        Raises:
            InvalidInput: what it is about is not on the tape. TapeError: the tape cannot be read.
        """
        self._watched[view] += 1
        self._idle.pop(view, None)
        self._some.set()
        if self._watched[view] > 1 and all(part in self._journals for part in view.parts):
            return
        try:
            turn = await self._look()
            for part in view.parts:
                if part in turn.problems:
                    raise turn.problems[part]
        except BaseException:
            self.unwatch(view)
            raise

    def unwatch(self, view: View) -> None:
        """One client less for a view."""
        self._watched[view] -= 1
        if self._watched[view] <= 0:
            del self._watched[view]
            if all(part in self._journals for part in view.parts):
                self._idle[view] = None
            while len(self._idle) > IDLE_VIEWS:
                self._idle.popitem(last=False)
            self._drop()
        if not self._watched:
            self._some.clear()

    def _drop(self) -> None:
        known = {*self._watched, *self._idle}
        parts = {part for view in known for part in view.parts}
        self._journals = {part: journal for part, journal in self._journals.items() if part in parts}
        self._lines = {view: lines for view, lines in self._lines.items() if view in known}

    # -- messages -------------------------------------------------------------------------------------------------

    def resume(self, view: View, since: int | None, epoch: str | None, opening: str | None = None) -> Message:
        """The first message of a subscription: what changed since a position, or all of the view."""
        if since is None or not self._goes_on(since, epoch, opening) or not self._reaches(view, since):
            return self.snap(view)
        keys = [key for part in view.parts for key in self._journals[part].from_seq(since)]
        return self._delta(view, since, keys)

    def next(self, view: View, cursor: Cursor) -> Message | None:
        """What a client is told next; ``None``: nothing is new."""
        if cursor.turn == self.turn:
            return None
        if self.seq - cursor.seq > REACH:
            return self.snap(view)
        known = self._cache.get((view, "d", cursor.turn))
        if known is None:
            keys = [key for part in view.parts for key in self._journals[part].after_turn(cursor.turn)]
            known = self._cache[view, "d", cursor.turn] = self._delta(view, cursor.seq, keys)
        return known

    def snap(self, view: View) -> Message:
        """All of a view."""
        known = self._cache.get((view, "snap", 0))
        if known is None:
            lines = b",".join(line for _, line in self._lines.get(view, ()))
            body = b'"seq":%d,"data":%b,"tail":[%b]}' % (self.seq, self.data(view), lines)
            known = self._cache[view, "snap", 0] = Message("snap", body, Cursor(self.seq, self.turn))
        return known

    def data(self, view: View) -> bytes:
        """The entities of a view, by kind and key."""
        values = (item for part in view.parts for item in self._journals[part].values.items())
        return state(kinds_of(view), values)

    def _delta(self, view: View, since: int, keys: Iterable[Key]) -> Message:
        values = {key: data for part in view.parts for key, data in self._journals[part].values.items()}
        changed = list(dict.fromkeys(keys))
        sets = b",".join(entity(key, values[key]) for key in reversed(changed) if key in values)
        gones = b",".join(gone(key) for key in reversed(changed) if key not in values)
        lines = b",".join(line for seq, line in self._lines.get(view, ()) if seq > since)
        body = b'"f":%d,"to":%d,"n":%d,"set":[%b],"del":[%b],"tail":[%b]}' % (
            since + 1, self.seq, self.seq - since, sets, gones, lines,
        )  # fmt: skip
        return Message("d", body, Cursor(self.seq, self.turn))

    def _goes_on(self, since: int, epoch: str | None, opening: str | None) -> bool:
        """Is what a client saw until then what this tape says?"""
        if epoch != self.epoch or not 0 <= since <= self.seq:
            return False
        if opening is None:
            return True
        names = [_name_of(nonce) for _, nonce in self._openings]
        if opening not in names:
            return False
        following = names.index(opening) + 1
        return following == len(names) or since < self._openings[following][0]

    def _reaches(self, view: View, since: int) -> bool:
        return self.seq - since <= REACH and all(self._journals[part].reaches(since) for part in view.parts)

    # -- for others -----------------------------------------------------------------------------------------------

    async def snapshot(self, view: str, caller: Caller) -> dict[str, Any]:
        """All of a view, as ``GET /api/v1/snapshot`` gives it; ``seq`` can be resumed from.

        Raises:
            InvalidInput: there is no such view. Forbidden: the caller may not see it. TapeError: the tape is not to be
                read.
        """
        found = view_named(view, caller)
        await self._engine.durable()
        await self.watch(found)
        try:
            await self._look()
            data = msgspec.json.decode(self.data(found))
            return {"epoch": self.epoch, "seq": self.seq, "view": found.name, "data": data}
        finally:
            self.unwatch(found)


def _openings(queries: Queries) -> list[tuple[int, str]]:
    return [(seq, nonce) for seq, nonce in queries.reader.rows("SELECT seq, nonce FROM openings ORDER BY seq")]


def _name_of(nonce: str) -> str:
    """An id for the outside; the nonce itself is what ids of orders are made with."""
    return hashlib.sha256(f"tickwork/stream/{nonce}".encode()).hexdigest()[:12]
