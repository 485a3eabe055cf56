"""The queues of an engine: sending from outside, consumers outside (``leases``), and what became of it all.

What a caller is told is on disk before. What happens to a message, and when, is the table in ``core.line``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from tickwork.core.asks import Send
from tickwork.core.drive import Waiting
from tickwork.core.event import Event
from tickwork.core.message import Item, Stage
from tickwork.core.queue import Draft, Queue, Sent, encode_sent, pack
from tickwork.core.tape import Entry, Record
from tickwork.engines.embedded.consumers import Consumers
from tickwork.engines.embedded.control import Verb
from tickwork.engines.embedded.leases import LEASE_BYTES, Leases, plain
from tickwork.engines.embedded.letters import spacing
from tickwork.engines.embedded.lines import Desk, Lines
from tickwork.engines.embedded.live import LiveRun
from tickwork.engines.embedded.queue_tables import MessageInfo, MessageLetter, QueueStatus, QueueTables, age, average
from tickwork.engines.embedded.runs import Runs
from tickwork.errors import InvalidInput, NotFound, QueueFull
from tickwork.values import DurationLike, duration


class Queues(Leases):
    """The queues of one engine."""

    def __init__(
        self,
        runs: Runs,
        post: Callable[[Event, int], int],
        pump: Callable[[], None],
        queues: Sequence[Queue],
    ) -> None:
        for index, queue in enumerate(queues):
            if not isinstance(queue, Queue):
                raise InvalidInput(f"Engine(queues=)[{index}]", queue, "a Queue")
        super().__init__(runs, Lines(runs, post, queues), pump)
        self.consumers = Consumers(runs, self._lines)
        self._tables = QueueTables(runs.reader)

    def recover(self) -> None:
        """Read the lines back, and go on."""
        self.consumers.recover(self._lines.recover())
        for desk in self._lines.desks.values():
            self._lines.settle(desk)

    @property
    def names(self) -> list[str]:
        """The queues that are declared."""
        return [name for name, desk in self._lines.desks.items() if desk.declared]

    # -- sending --------------------------------------------------------------------------------------------------

    async def send(
        self,
        queue: Queue | str,
        body: Any,
        group: str = "",
        id: str | None = None,
        delay: DurationLike | None = None,
        priority: int = 0,
        owner: str = "",
    ) -> int:
        """Put a message into a queue; on return it is on disk. Returns its position.

        Args: see ``Run.send``.

        Raises:
            QueueFull: there is no room. InvalidInput: an unknown queue, or a body it does not take.
        """
        seq = self.post(queue, body, group, id, delay, priority, owner)
        await self._done()
        return seq

    def post(
        self,
        queue: Queue | str,
        body: Any,
        group: str = "",
        id: str | None = None,
        delay: DurationLike | None = None,
        priority: int = 0,
        owner: str = "",
    ) -> int:
        """Like ``send``, without waiting for the disk: the message may be lost with the process."""
        (seq,) = self._post(self._lines.desk(queue), [Draft(body, group, id, delay, priority)], owner)
        self._pump()
        return seq

    async def send_all(self, queue: Queue | str, messages: Iterable[Any], owner: str = "") -> list[int]:
        """Send many, as one: bodies, or ``Draft``s. Either all of them are taken, or none. Returns their positions.

        Raises:
            QueueFull: there is no room for all of them. InvalidInput: as ``send``.
        """
        drafts = [message if isinstance(message, Draft) else Draft(message) for message in messages]
        seqs = self._post(self._lines.desk(queue), drafts, owner)
        await self._done()
        return seqs

    def _post(self, desk: Desk, drafts: Sequence[Draft], owner: str) -> list[int]:
        lines = self._lines
        now = lines.tick(desk)
        packed = [desk.queue.fit(pack(draft.body, draft.group, draft.id, draft.priority, owner)) for draft in drafts]
        dues = [0 if draft.delay is None else now + duration(draft.delay, "send(delay=)") for draft in drafts]
        seqs: list[int] = []
        new: list[tuple[Sent, int]] = []
        records: list[Record] = []
        known = lines.known(desk, {sent.id for sent in packed if sent.id})
        for sent, due in zip(packed, dues, strict=True):
            seq = known.get(sent.id) if sent.id else None
            seqs.append(seq or self._log.next_seq + len(new))
            if seq is None:
                new.append((sent, due))
                records.append(Record("message", now, desk.queue.name, value=encode_sent(sent), due=due))
                if sent.id and desk.queue.dedupe_window:
                    known[sent.id] = seqs[-1]
        lines.make_sure_of_room(desk, len(new))
        if new:
            first = self._log.outside_all(records)
            for index, (sent, due) in enumerate(new):
                lines.sent(desk, first + index, sent, now, due)
            lines.settle(desk)
        return seqs

    def answer(self, run: LiveRun, waiting: Waiting, intent: Entry | None, late: bool) -> Any:
        """Answer a ``Send``: the answer's record is the message."""
        ask: Send = waiting.ask  # type: ignore[assignment]
        lines = self._lines
        desk = lines.desk(ask.name)
        sent = desk.queue.fit(msgspec.structs.replace(ask.sent, owner=run.owner))
        now = lines.tick(desk)
        known = lines.known(desk, (sent.id,)).get(sent.id) if sent.id else None
        due = ask.due if ask.due > now else 0
        fields: dict[str, Any] = {"ref": known} if known else {"value": encode_sent(sent), "due": due}
        failure = None
        if not known:
            try:
                lines.make_sure_of_room(desk)
            except QueueFull as error:
                raw, failure = self._runs.failure(error)
                fields = {"error": raw}
        record = Record("send", now, ask.name, waiting.branch.path, waiting.no, waiting.occ, late=late, **fields)
        seq = self._log.record(run, record)
        run.drive.note(seq, now)  # type: ignore[union-attr]
        if failure is not None:
            return failure
        if known:
            return known
        lines.sent(desk, seq, sent, now, due)
        self._runs.outbox.append(lambda: lines.settle(desk))
        return seq

    # -- dead letters ---------------------------------------------------------------------------------------------

    async def letters(self, queue: Queue | str | None = None, limit: int = 100) -> list[MessageLetter]:
        """Messages that gave up and lie open, newest first.

        Raises:
            InvalidInput: an unknown queue, or a limit below 1.
        """
        await self._done()
        return self._tables.letters(queue.name if isinstance(queue, Queue) else queue, limit)

    def which_are_dead(self, seqs: Sequence[int]) -> set[int]:
        """Those of these positions that have a message that is a dead letter now."""
        known = self._lines.load_all(seqs)
        return {seq for seq, (_, item) in known.items() if item.stage is Stage.DEAD}

    def dead(self, queue: str | None, code: str | None) -> list[int]:
        """The dead letters, of a queue or with an error's code, those that died first first; of declared queues."""
        names = [name for name in self.names if queue in (None, name)]
        seqs = self._tables.dead(names, code)
        known = self.which_are_dead(seqs)
        return [seq for seq in seqs if seq in known]

    async def redrive(
        self,
        seqs: Sequence[int] | Queue | str,
        *,
        body: Any = None,
        rate: str | None = None,
        by: str = "",
    ) -> list[int]:
        """Dead letters become messages again, at the tail of their groups, with all their deliveries before them.

        Args:
            seqs: positions of messages, or a queue: all its dead letters, those that died first first.
            body: instead of the body it had; for one message.
            rate: such as ``"10/s"``: they join the line one after the other, even if the engine is restarted meanwhile.

        Returns:
            their positions.

        Raises:
            QueueFull: a queue has no room for them.
            InvalidInput: not a dead letter, or a body for several. Nothing was redriven then.
        """
        gap = spacing(rate)
        await self._done()
        done = self.redrive_now(seqs, body=body, gap=gap, by=by)
        await self._done()
        return done

    def redrive_now(self, seqs: Sequence[int] | Queue | str, *, body: Any, gap: int, by: str) -> list[int]:
        """Like ``redrive``, without waiting for the disk; ``gap``: ns between two."""
        chosen = self._chosen(seqs)
        if body is not None and len(chosen) != 1:
            raise InvalidInput("body", f"{len(chosen)} messages", "one message whose body is to be replaced")
        sent = None
        if body is not None:
            desk, item = chosen[0]
            old = self._lines.bodies.get(item.body)
            sent = desk.queue.fit(pack(body, item.group, item.id or None, item.priority, old.owner))
        desks = {id(desk): desk for desk, _ in chosen}.values()
        for desk in desks:
            self._lines.tick(desk)
            self._lines.make_sure_of_room(desk, sum(of is desk for of, _ in chosen))
        now = self._lines.now()
        for index, (desk, item) in enumerate(chosen):
            self._lines.revive(desk, item, now + index * gap, by=by, sent=sent)
        for desk in desks:
            self._lines.settle(desk)
        return [item.seq for _, item in chosen]

    async def discard(self, seqs: Sequence[int] | Queue | str, *, by: str = "") -> list[int]:
        """Dead letters are put away, with a record of it; they stay visible until the retention is over.

        Raises:
            InvalidInput: not a dead letter.
        """
        await self._done()
        done = self.discard_now(seqs, by=by)
        await self._done()
        return done

    def discard_now(self, seqs: Sequence[int] | Queue | str, *, by: str) -> list[int]:
        """Like ``discard``, without waiting for the disk."""
        chosen = self._chosen(seqs)
        for desk, item in chosen:
            self._lines.discard(desk, item, by)
        for desk in {id(desk): desk for desk, _ in chosen}.values():
            self._lines.settle(desk)
        return [item.seq for _, item in chosen]

    def _chosen(self, seqs: Sequence[int] | Queue | str) -> list[tuple[Desk, Item]]:
        """Dead letters as they stand now. They must be acted on before anything is awaited."""
        lines = self._lines
        if isinstance(seqs, Queue | str):
            seqs = self.dead(lines.desk(seqs).queue.name, None)
        wanted = list(dict.fromkeys(seqs))
        all_known = lines.load_all(wanted)
        found = []
        for seq in wanted:
            known = all_known.get(seq)
            if known is None or known[1].stage is not Stage.DEAD:
                what = seq if known is None else f"{seq}, which is {known[1].stage.name.lower()}"
                raise NotFound("message", what, "the position of a message that is a dead letter")
            found.append((lines.desk(known[0]), known[1]))
        return found

    # -- questions ------------------------------------------------------------------------------------------------

    async def status(self, queue: Queue | str) -> QueueStatus:
        """How a queue stands.

        Raises:
            InvalidInput: an unknown queue.
        """
        desk = self._lines.desk(queue)
        self._lines.settle(desk)
        await self._done()
        return self._status(desk)

    async def statuses(self) -> list[QueueStatus]:
        """How all queues stand, also those of the tape that nobody declares any more."""
        for desk in self._lines.desks.values():
            self._lines.settle(desk)
        await self._done()
        return [self._status(desk) for desk in self._lines.desks.values()]

    def _status(self, desk: Desk) -> QueueStatus:
        now = self._lines.now()
        census, day = desk.line.census(now), desk.line.tally.today(now)
        return QueueStatus(
            name=desk.queue.name,
            available=census.available,
            blocked=census.blocked,
            delayed=census.delayed,
            in_flight=census.in_flight,
            capacity=desk.queue.capacity if desk.declared else None,
            oldest_age=age(desk.line.oldest(), now),
            completed_today=day.completed,
            failed_today=day.failed,
            dead_today=day.dead,
            dead=desk.dead,
            average_processing_time=average(day),
            rate_per_minute=desk.line.tally.rate(now),
        )

    async def messages(self, queue: Queue | str, status: str | None = None, limit: int = 100) -> list[MessageInfo]:
        """Messages of a queue; see ``QueueTables.messages``."""
        desk = self._lines.desk(queue)
        self._lines.settle(desk)
        await self._done()
        return self._tables.messages(desk.queue.name, status, limit, self._lines.now())

    async def message(self, seq: int) -> MessageInfo:
        """One message, with its failed deliveries.

        Raises:
            InvalidInput: there is none at this position.
        """
        await self._done()
        return self._tables.message(seq, self._lines.now())

    # -- for other processes --------------------------------------------------------------------------------------

    def verbs(self) -> dict[str, Verb]:
        """The verbs ``queues.*`` of the control socket; a body is JSON there."""

        async def lease(queue: str, **arguments: Any) -> list[dict[str, Any]]:
            return [plain(message) for message in await self._lease(queue, **arguments, room=LEASE_BYTES)]

        async def ack(leases: list[str]) -> None:
            await self.ack(*leases)

        verbs: dict[str, Verb] = {
            "send": self.send,
            "extend": self.extend,
            "reject": self.reject,
            "status": self.status,
            "statuses": self.statuses,
            "messages": self.messages,
            "message": self.message,
            "letters": self.letters,
            "redrive": self.redrive,
            "discard": self.discard,
            "lease": lease,
            "ack": ack,
        }
        return {f"queues.{name}": verb for name, verb in verbs.items()}
