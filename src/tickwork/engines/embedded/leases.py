"""Leases: the right of a consumer outside to work on a message for a while.

What a consumer is told is on disk before. A lease that is over can do nothing any more: its message is somebody else's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from tickwork.core.event import Event
from tickwork.core.message import Failure, Item, Stage
from tickwork.core.queue import Queue, Sent, check_label, span
from tickwork.engines.embedded.consumers import DETAIL_MAX, readable
from tickwork.engines.embedded.lines import Desk, Lines
from tickwork.engines.embedded.runs import Runs
from tickwork.errors import InvalidInput, LeaseExpired
from tickwork.values import DurationLike, duration, from_ns

_LEASE = re.compile(r"(.+):(\d{1,18})\.(\d{1,18})\.([0-9a-f]{8})", re.ASCII)

LEASE_MAX = 10_000
"""Messages in one lease, at most."""

LEASE_BYTES = 3 << 20
"""Bytes of a lease that is answered in one line, as JSON: it ends before this, but has one message at least."""

ENVELOPE = 300
"""Bytes of a message in such an answer but for its body, its texts and its consumer, at most."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as a consumer gets it: the body, and the right to work on it for a while."""

    id: str
    seq: int
    queue: str
    group: str
    body: Any
    """An event, if it is one; else JSON."""
    attempts: int
    """Deliveries, with this one."""
    sent_at: datetime
    lease: str
    """What ``ack``, ``extend`` and ``reject`` take."""
    lease_until: datetime


class Leases:
    """Hands messages out, and takes back what became of them."""

    def __init__(self, runs: Runs, lines: Lines, pump: Callable[[], None]) -> None:
        self._runs = runs
        self._lines = lines
        self._log = runs.log
        self._pump = pump

    async def _done(self) -> None:
        """All of it is on disk, with what it caused."""
        self._pump()
        await self._log.durable()

    async def lease(
        self,
        queue: Queue | str,
        max: int | None = None,
        consumer: str = "",
        visibility: DurationLike | None = None,
    ) -> list[Message]:
        """Take messages to work on. Empty when there are none just now.

        Args:
            max: how many at most; by default the queue's batch size.
            consumer: who takes them, for people.
            visibility: how long the lease lasts; by default the queue's visibility timeout.

        Raises:
            InvalidInput: an unknown queue, or a wrong argument.
        """
        return await self._lease(queue, max, consumer, visibility)

    async def _lease(
        self,
        queue: Queue | str,
        max: int | None = None,
        consumer: str = "",
        visibility: DurationLike | None = None,
        *,
        room: int | None = None,
    ) -> list[Message]:
        """``lease``, of no more bytes than there is room for."""
        desk, lines = self._lines.desk(queue), self._lines
        limit = desk.queue.batch_size if max is None else max
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= LEASE_MAX:
            raise InvalidInput("lease(max=)", max, f"a whole number from 1 to {LEASE_MAX:,}")
        if consumer != "":
            check_label("lease(consumer=)", consumer)
        lasts = desk.queue.visibility if visibility is None else span("lease(visibility=)", visibility)
        now = lines.tick(desk)
        found: list[Message] = []
        while items := desk.line.take(now, limit):
            sent = self._fitting(desk, items, room)
            bodies = readable(lines, desk, items, sent)
            if bodies is None:
                continue
            number = lines.record(desk, "leased", items, key=consumer, due=now + lasts)
            desk.line.lease(items, now, number, now + lasts, consumer)
            lines.touch(desk, items)
            found = [self._message(desk, *one) for one in zip(items, bodies, strict=True)]
            break
        lines.settle(desk)
        await self._done()
        return found

    def _fitting(self, desk: Desk, items: list[Item], room: int | None) -> list[Sent]:
        """What was sent, as far as there is room for it; the items that do not fit wait again, not tried."""
        bodies = self._lines.bodies
        if room is None:
            return [bodies.get(item.body) for item in items]
        sent: list[Sent] = []
        for item in items:
            one = bodies.get(item.body)
            room -= len(bytes(one.body)) + len(f"{item.id}{item.group}".encode()) + ENVELOPE
            if room < 0 and sent:
                desk.line.release(items[len(sent) :])
                del items[len(sent) :]
                break
            sent.append(one)
        return sent

    def _message(self, desk: Desk, item: Item, body: Any) -> Message:
        return Message(
            item.id, item.seq, desk.queue.name, item.group, body, item.attempts, from_ns(item.at),
            self._token(desk.queue.name, item), from_ns(item.lease_until),
        )  # fmt: skip

    def _token(self, queue: str, item: Item) -> str:
        # with the nonce, because a restored tape may give the same positions to other leases
        return f"{queue}:{item.seq}.{item.lease}.{self._runs.names.nonce(item.lease)[:8]}"

    async def ack(self, *leases: str) -> None:
        """These messages are done. A lease that was acknowledged already is fine: the answer may have been lost.

        FIFO: messages of one group are acknowledged in their order.

        Raises:
            LeaseExpired: one of the leases is over; none of the messages was completed.
            InvalidInput: not a lease, or a message before another of its group that is not done.
        """
        wanted = [(lease, *self._parse(lease)) for lease in dict.fromkeys(leases)]
        for desk in {id(desk): desk for _, desk, _, _ in wanted}.values():
            self._lines.tick(desk)
        done: set[str] = set()
        if any(self._held(desk, seq, number) is None for _, desk, seq, number in wanted):
            await self._done()
            done = {lease for lease, desk, seq, number in wanted if self._was_acked(seq, number)}
        held = [
            (desk, self._hold(lease, desk, seq, number)) for lease, desk, seq, number in wanted if lease not in done
        ]
        self._complete(held)
        await self._done()

    def _complete(self, held: list[tuple[Desk, Item]]) -> None:
        lines = self._lines
        desks = {id(desk): desk for desk, _ in held}.values()
        parts = [(desk, [item for of, item in held if of is desk]) for desk in desks]
        for desk, items in parts:
            desk.line.check_order(items, "ack")
        for desk, items in parts:
            desk.line.complete(items, lines.now())
            lines.record(desk, "acked", items, key=items[0].consumer)
            lines.completed(desk, items)
            lines.settle(desk)

    async def extend(self, lease: str, by: DurationLike) -> datetime:
        """Keep a message for so long from now; it is never had shorter than before. Returns until when.

        Raises:
            LeaseExpired: the lease is over. InvalidInput: not a lease, or a wrong time.
        """
        lasts = span("extend(by)", by)
        desk, item = self._only(lease)
        until = self._lines.now() + lasts
        if until > item.lease_until:
            self._lines.record(desk, "extended", [item], ref=item.lease, due=until)
            desk.line.extend(item, until)
            self._lines.touch(desk, [item])
            self._lines.settle(desk)
        until = item.lease_until
        await self._done()
        return from_ns(until)

    async def reject(
        self, lease: str, error: str = "rejected", detail: str = "", retry_in: DurationLike | None = None
    ) -> str:
        """It could not be done: it is delivered again, or is a dead letter.

        FIFO: later messages of its group that were leased with it are given back as well; their leases are over.

        Args:
            error: a code, such as ``rate_limit``: the queue's dead letter policy is decided by it.
            detail: words for people.
            retry_in: when it may be delivered again; by default as the queue's ``retry`` says.

        Returns:
            ``"waiting"`` or ``"dead"``.

        Raises:
            LeaseExpired: the lease is over. InvalidInput: not a lease, or a wrong argument.
        """
        check_label("reject(error=)", error)
        if not isinstance(detail, str):
            raise InvalidInput("reject(detail=)", detail, "a text")
        rest = None if retry_in is None else duration(retry_in, "reject(retry_in=)")
        desk, item = self._only(lease)
        lines, now = self._lines, self._lines.now()
        failure = Failure(now, "rejected", error, "", detail[:DETAIL_MAX], consumer=item.consumer)
        wait = lines.rest(desk, item, item.attempts) if rest is None else rest
        number = item.lease
        dead, released = desk.line.fail(item, now, failure, wait)
        lines.returned(desk, [item], released, ref=number)
        lines.settle(desk)
        await self._done()
        return "dead" if dead else "waiting"

    def _only(self, lease: str) -> tuple[Desk, Item]:
        desk, seq, number = self._parse(lease)
        self._lines.tick(desk)
        return desk, self._hold(lease, desk, seq, number)

    def _parse(self, lease: Any) -> tuple[Desk, int, int]:
        """Queue, message and number of a lease."""
        match = _LEASE.fullmatch(lease) if isinstance(lease, str) else None
        if match is None:
            raise InvalidInput("lease", lease, "the `lease` of a message, as it was given")
        desk, number = self._lines.desk(match[1]), int(match[3])
        return desk, int(match[2]), number if match[4] == self._runs.names.nonce(number)[:8] else -1

    @staticmethod
    def _held(desk: Desk, seq: int, number: int) -> Item | None:
        item = desk.line.open.get(seq)
        held = item is not None and item.stage is Stage.IN_FLIGHT and item.lease == number > 0
        return item if held else None

    def _hold(self, lease: str, desk: Desk, seq: int, number: int) -> Item:
        item = self._held(desk, seq, number)
        if item is None:
            raise LeaseExpired(lease)
        return item

    def _was_acked(self, seq: int, number: int) -> bool:
        known = self._lines.load(seq)
        return known is not None and known[1].stage is Stage.COMPLETED and known[1].lease == number > 0


def plain(message: Message) -> dict[str, Any]:
    """A message with its body as JSON."""
    body = message.body
    told = {name: getattr(message, name) for name in Message.__slots__}
    return {**told, "body": msgspec.json.decode(body.to_wire()) if isinstance(body, Event) else body}
