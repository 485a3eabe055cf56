"""What a tape says of its queues, for people and faces: how they stand, their messages, their dead letters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from tickwork.core.codec import ANY
from tickwork.core.message import Failure, Item, Stage
from tickwork.core.queue import Sent, decode_sent
from tickwork.core.tally import DAY, MINUTE, SECOND, Day
from tickwork.core.tape import Entry
from tickwork.engines.embedded.lines import COLUMNS, item_of, words
from tickwork.engines.embedded.reader import Reader
from tickwork.errors import InvalidInput, NotFound, TapeCorrupt
from tickwork.values import from_ns


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """How a queue stands. ``total = available + in_flight`` always holds."""

    name: str
    available: int
    """In line: to be handed out, or behind another of their group."""
    blocked: int
    """Of these, behind one of their group that is in flight or rests between two deliveries."""
    delayed: int
    """Not yet to be handed out: sent with a delay, redriven at a rate, or at rest. Not part of ``total``."""
    in_flight: int
    capacity: int | None
    """Messages that it holds at most: available, delayed and in flight; ``None`` if nobody declares the queue."""
    oldest_age: timedelta | None
    """Since the oldest that is available or in flight joined the line."""
    completed_today: int
    """Today is the UTC day."""
    failed_today: int
    """Failed deliveries."""
    dead_today: int
    dead: int
    """Dead letters that lie open."""
    average_processing_time: timedelta | None
    """From delivery to completion, of those completed today."""
    rate_per_minute: int
    """Completed in the last 60 seconds."""

    @property
    def total(self) -> int:
        """Messages that are or can be worked on."""
        return self.available + self.in_flight


@dataclass(frozen=True, slots=True)
class Attempt:
    """A failed delivery of a message, or why it gave up."""

    at: datetime
    why: str
    """``rejected``, ``lapsed`` (its lease), ``failed`` or ``cancelled`` (its run), ``expired``, ``unreadable``."""
    code: str
    error: str
    """The error's class and words."""
    run: str
    """The run that had it, or nothing."""
    consumer: str


@dataclass(frozen=True, slots=True)
class MessageInfo:
    """A message, wherever it stands."""

    seq: int
    queue: str
    status: str
    """``available``, ``delayed``, ``in_flight``, ``completed``, ``dead`` or ``discarded``."""
    id: str
    group: str
    priority: int
    body: Any
    """As JSON."""
    event: str
    """Name of the event that the body is, or nothing."""
    attempts: int
    """Deliveries that count: since it was sent, or last redriven."""
    sent_at: datetime
    due: datetime | None
    """When it can be taken, if it is delayed."""
    lease_until: datetime | None
    consumer: str
    run: str
    """The run that works on it, or did last."""
    ended_at: datetime | None
    failures: list[Attempt]
    """Oldest first."""


@dataclass(frozen=True, slots=True)
class MessageLetter:
    """A message that gave up."""

    seq: int
    queue: str
    id: str
    group: str
    body: Any
    event: str
    code: str
    error: str
    attempts: int
    first_seen: datetime
    at: datetime
    """When it gave up."""
    run: str
    """The run to open, or nothing."""
    tried: int
    """How often a rule has redriven it."""
    failures: list[Attempt]


class QueueTables:
    """Reads the rows of queues; what it says is on disk."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._chunk: list[Entry] = []
        """The last that was read: messages that were sent together are mostly asked for together."""

    def names(self) -> list[str]:
        """All queues that were ever declared on this tape."""
        return [name for (name,) in self._reader.rows("SELECT name FROM queues ORDER BY name")]

    def settings(self, name: str) -> dict[str, Any]:
        """A queue as last declared.

        Raises:
            InvalidInput: there is none of this name.
        """
        settings = self._reader.one("SELECT settings FROM queues WHERE name=?", (name,))
        if settings is None:
            raise NotFound("queue", name, f"a queue of this tape: {', '.join(self.names()) or 'it has none'}")
        found: dict[str, Any] = msgspec.json.decode(settings)
        return found

    # -- status ---------------------------------------------------------------------------------------------------

    def status(self, name: str, now: int) -> QueueStatus:
        """How a queue stands at a time (ns).

        Raises:
            InvalidInput: there is none of this name.
        """
        settings = self.settings(name)
        rows = self._reader.rows(_CENSUS, (now, now, now, name))
        available, delayed, in_flight, oldest = rows[0]
        blocked = self._reader.one(_BLOCKED, (now, name, now, now)) if settings["ordering"] == "FIFO" else 0
        day = self._day(name, now)
        since = (now // SECOND - MINUTE + 1) * SECOND
        return QueueStatus(
            name=name,
            available=available,
            blocked=blocked,
            delayed=delayed,
            in_flight=in_flight,
            capacity=settings["capacity"],
            oldest_age=age(oldest, now),
            completed_today=day.completed,
            failed_today=day.failed,
            dead_today=day.dead,
            dead=self._count(name, Stage.DEAD),
            average_processing_time=average(day),
            rate_per_minute=self._count(name, Stage.COMPLETED, since),
        )

    def _day(self, name: str, now: int) -> Day:
        sql = "SELECT day, sent, completed, failed, dead, busy FROM queue_days WHERE queue=? AND day=?"
        rows = self._reader.rows(sql, (name, now // DAY))
        return Day(*rows[0]) if rows else Day(now // DAY)

    def _count(self, name: str, stage: Stage, since: int = 0) -> int:
        sql = "SELECT count(*) FROM messages WHERE queue=? AND stage=? AND stage>=10 AND ended_at>=?"
        found: int = self._reader.one(sql, (name, int(stage), since))
        return found

    # -- messages -------------------------------------------------------------------------------------------------

    def messages(self, name: str, status: str | None, limit: int, now: int) -> list[MessageInfo]:
        """Messages of a queue, newest first; of those that are open the next to come first.

        Args:
            status: one of ``STATUSES``; ``failed`` are open ones with a failed delivery behind them.

        Raises:
            InvalidInput: no such queue or status, or a limit below 1.
        """
        self.settings(name)
        if limit < 1:
            raise InvalidInput("limit", limit, "a whole number from 1")
        if status is not None and status not in STATUSES:
            raise InvalidInput("status", status, "one of " + ", ".join(STATUSES))
        condition, values = ("1", ()) if status is None else STATUSES[status](now)
        order = "seq DESC" if status is None else "ended_at DESC, seq DESC" if status in _ENDED else _LINE
        rows = self._rows(f"queue=? AND {condition} ORDER BY {order} LIMIT ?", (name, *values, limit))
        return [self.info(name, item_of(row), now) for row in rows]

    def page(
        self, name: str, status: str | None, after: Sequence[int] | None, limit: int, now: int
    ) -> tuple[list[MessageInfo], Sequence[int] | None]:
        """Messages in the order of ``messages``, and what the next page is asked for with; ``None``: there is none.

        Raises:
            InvalidInput: as ``messages``; or ``after`` is not of a page of this order.
        """
        self.settings(name)
        if status is not None and status not in STATUSES:
            raise InvalidInput("status", status, "one of " + ", ".join(STATUSES))
        condition, values = ("1", ()) if status is None else STATUSES[status](now)
        columns, down = _order(status)
        bound: tuple[int, ...] = ()
        if after is not None:
            if len(after) != len(columns):
                raise InvalidInput("cursor", ".".join(map(str, after)), "`next` of the page before")
            marks = ",".join("?" * len(columns))
            condition += f" AND ({','.join(columns)}) {'<' if down else '>'} ({marks})"
            bound = tuple(after)
        order = ", ".join(f"{column} DESC" if down else column for column in columns)
        rows = self._rows(f"queue=? AND {condition} ORDER BY {order} LIMIT ?", (name, *values, *bound, limit + 1))
        items = [item_of(row) for row in rows[:limit]]
        found = [self.info(name, item, now) for item in items]
        more = len(rows) > limit
        return found, [_rank(items[-1], column) for column in columns] if more else None

    def message(self, seq: int, now: int) -> MessageInfo:
        """One message.

        Raises:
            InvalidInput: there is none at this position.
        """
        rows = self._rows("seq=?", (seq,))
        if not rows:
            raise NotFound("message", seq, "the position of a message, as `tickwork queues show` lists them")
        return self.info(rows[0][1], item_of(rows[0]), now)

    def info(self, queue: str, item: Item, now: int) -> MessageInfo:
        """A message for people."""
        sent = self._sent(item)
        waits = item.stage.open and item.stage is not Stage.IN_FLIGHT
        delayed = waits and item.visible_at > now
        status = "delayed" if delayed else "available" if waits else item.stage.name.lower()
        return MessageInfo(
            seq=item.seq,
            queue=queue,
            status=status,
            id=item.id,
            group=item.group,
            priority=item.priority,
            body=ANY.decode(sent.body, "message"),
            event=sent.event,
            attempts=item.attempts,
            sent_at=from_ns(item.at),
            due=from_ns(item.visible_at) if delayed else None,
            lease_until=from_ns(item.lease_until) if item.stage is Stage.IN_FLIGHT and item.lease_until else None,
            consumer=item.consumer,
            run=self._run(item.run),
            ended_at=from_ns(item.ended_at) if item.ended_at else None,
            failures=self._attempts(item.failures),
        )

    def letters(self, name: str | None, limit: int, code: str | None = None) -> list[MessageLetter]:
        """Messages that gave up and lie open, newest first; with this error's code, if one is given.

        Raises:
            InvalidInput: no such queue, or a limit below 1.
        """
        if limit < 1:
            raise InvalidInput("limit", limit, "a whole number from 1")
        names = self.names()
        if name is not None:
            self.settings(name)
            names = [name]
        where = f"queue IN ({','.join('?' * len(names))}) AND stage={int(Stage.DEAD)} AND stage>=10"
        if code is not None:
            where += _CODE
        values = [*names, *([] if code is None else [code]), limit]
        rows = self._rows(where + " ORDER BY ended_at DESC, seq DESC LIMIT ?", values)
        return [self._letter(row[1], item_of(row)) for row in rows]

    def dead_page(
        self, name: str | None, code: str | None, before: tuple[int, int] | None, limit: int
    ) -> list[tuple[int, int, MessageLetter]]:
        """Messages that gave up and lie open, each with when (ns) and its position, newest first.

        Args:
            before: only those that come after one of this time and position.
        """
        names = self.names() if name is None else [name]
        where = f"queue IN ({','.join('?' * len(names))}) AND stage={int(Stage.DEAD)} AND stage>=10"
        values: list[Any] = [*names]
        for clause, value in ((_CODE, code and [code]), (" AND (ended_at, seq) < (?, ?)", before)):
            if value:
                where += clause
                values += value
        rows = self._rows(where + " ORDER BY ended_at DESC, seq DESC LIMIT ?", (*values, limit))
        items = [(row[1], item_of(row)) for row in rows]
        return [(item.ended_at, item.seq, self._letter(queue, item)) for queue, item in items]

    def dead_count(self, names: Sequence[str], code: str | None = None) -> int:
        """How many messages of these queues gave up and lie open."""
        where = f"queue IN ({','.join('?' * len(names))}) AND stage={int(Stage.DEAD)} AND stage>=10"
        values = [*names, *([code] if code else [])]
        found: int = self._reader.one(f"SELECT count(*) FROM messages WHERE {where}{_CODE if code else ''}", values)
        return found

    def dead_one(self, seq: int) -> MessageLetter | None:
        """A message that gave up and lies open, by its position."""
        rows = self._rows(f"seq=? AND stage={int(Stage.DEAD)}", (seq,))
        return self._letter(rows[0][1], item_of(rows[0])) if rows else None

    def dead(self, names: Sequence[str], code: str | None = None) -> list[int]:
        """Positions of messages of these queues that gave up, those that died first first."""
        where = f"queue IN ({','.join('?' * len(names))}) AND stage={int(Stage.DEAD)} AND stage>=10"
        values = [*names]
        if code is not None:
            where += _CODE
            values.append(code)
        rows = self._reader.rows(f"SELECT seq FROM messages WHERE {where} ORDER BY ended_at, seq", values)
        return [seq for (seq,) in rows]

    def _letter(self, queue: str, item: Item) -> MessageLetter:
        sent, last = self._sent(item), item.failures[-1]
        return MessageLetter(
            seq=item.seq,
            queue=queue,
            id=item.id,
            group=item.group,
            body=ANY.decode(sent.body, "message"),
            event=sent.event,
            code=last.code,
            error=words(last),
            attempts=item.attempts,
            first_seen=from_ns(item.at),
            at=from_ns(item.ended_at),
            run=self._run(last.run),
            tried=item.redrives,
            failures=self._attempts(item.failures),
        )

    def _attempts(self, failures: Iterable[Failure]) -> list[Attempt]:
        return [Attempt(from_ns(f.at), f.why, f.code, words(f), self._run(f.run), f.consumer) for f in failures]

    def _run(self, seq: int) -> str:
        if not seq:
            return ""
        row = self._reader.run(seq)
        return (row and row.id) or f"r{seq}"

    def _sent(self, item: Item) -> Sent:
        seq, chunk = item.body, self._chunk
        if not chunk or not chunk[0].seq <= seq <= chunk[-1].seq:
            chunk = self._chunk = self._reader.chunk(seq)
        index = seq - chunk[0].seq if chunk else 0
        if index >= len(chunk) or not bytes(chunk[index].record.value):
            raise TapeCorrupt(f"message {item.seq} is missing from the tape: restore it from a backup")
        return decode_sent(chunk[index].record.value)

    def _rows(self, where: str, values: Sequence[Any]) -> list[Any]:
        return self._reader.rows(f"SELECT {COLUMNS} FROM messages WHERE {where}", values)


_CODE = " AND json_extract(failures, '$[#-1].code')=?"
_LINE = "joins_at, place, seq"
_ENDED = frozenset({"completed", "dead", "discarded"})


def _order(status: str | None) -> tuple[tuple[str, ...], bool]:
    """The columns by which messages are listed, and whether from the highest down."""
    if status is None:
        return ("seq",), True
    return (("ended_at", "seq"), True) if status in _ENDED else (("joins_at", "place", "seq"), False)


def _rank(item: Item, column: str) -> int:
    found: int = getattr(item, column)
    return found


def _ended(stage: Stage) -> Any:
    return lambda now: (f"stage={int(stage)} AND stage>=10", ())


_IN_FLIGHT = int(Stage.IN_FLIGHT)
_CENSUS = f"""
SELECT coalesce(sum(stage<>{_IN_FLIGHT} AND visible_at<=?), 0), coalesce(sum(stage<>{_IN_FLIGHT} AND visible_at>?), 0),
    coalesce(sum(stage={_IN_FLIGHT}), 0), min(CASE WHEN joins_at<=? THEN joins_at END)
FROM messages WHERE queue=? AND stage<10"""
"""Available, delayed, in flight, and when the oldest joined the line."""

_BLOCKED = f"""
SELECT coalesce(sum(ready), 0) FROM (
    SELECT sum(ready) AS ready, max(busy) AS busy, max(head) AS head FROM (
        SELECT grp, stage<>{_IN_FLIGHT} AND visible_at<=? AS ready, stage={_IN_FLIGHT} AS busy,
            first_value(visible_at) OVER (PARTITION BY grp ORDER BY joins_at, place, seq) AS head
        FROM messages WHERE queue=? AND stage<10 AND joins_at<=?)
    GROUP BY grp)
WHERE busy OR head>?"""
"""How many are behind one of their group that is in flight or rests."""

STATUSES: dict[str, Any] = {
    "available": lambda now: (f"stage<10 AND stage<>{_IN_FLIGHT} AND visible_at<=?", (now,)),
    "delayed": lambda now: (f"stage<10 AND stage<>{_IN_FLIGHT} AND visible_at>?", (now,)),
    "in_flight": lambda now: (f"stage<10 AND stage={_IN_FLIGHT}", ()),
    "failed": lambda now: ("stage<10 AND failures<>''", ()),
    "completed": _ended(Stage.COMPLETED),
    "dead": _ended(Stage.DEAD),
    "discarded": _ended(Stage.DISCARDED),
}
"""What ``messages`` can be asked for: the condition on the rows, and its values at a time."""


def average(day: Day) -> timedelta | None:
    """How long a message took that day, from delivery to completion."""
    return timedelta(microseconds=day.busy / day.completed / 1_000) if day.completed else None


def age(since: int | None, now: int) -> timedelta | None:
    """How long ago (ns) that was."""
    return None if since is None else timedelta(microseconds=max(now - since, 0) / 1_000)
