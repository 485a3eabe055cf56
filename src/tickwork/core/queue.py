"""Queues: messages that wait for somebody to work on them, each until it is done or given up.

    signals = Queue("trading-signals", message=TradeSignal)

    @workflow("execute-signal", on=signals)
    async def execute(run: Run, signal: TradeSignal) -> str: ...

    await run.send(signals, signal, group=signal.symbol, id=signal.id)       # in a workflow
    await engine.queues.send(signals, signal)                                # from outside

A ``Queue`` is a declaration, and a trigger of workflows. What happens to its messages, and when, is the table in
``core.line``.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec
from msgspec import Raw

from tickwork.core.codec import ANY, MAX_VALUE
from tickwork.core.event import Event, read_event
from tickwork.core.letters import DEFAULT_POLICY, DeadLetterPolicy
from tickwork.core.retry import Retry
from tickwork.core.trigger import Trigger
from tickwork.errors import InvalidInput
from tickwork.values import DurationLike, duration, duration_text

Ordering = Literal["FIFO", "standard"]

NAME_MAX = 200
PRIORITY_MAX = 1_000_000
BATCH_MAX = 10_000
CAPACITY_MAX = 10_000_000
RETRIES_MAX = 1_000
BETWEEN = Retry(delay="1 second")
"""Delays between two deliveries where a queue does not say: 1, 2, 4 ... seconds, 5 minutes at most."""


class Queue(Trigger):
    """A queue, as declared. It is known by its name; an engine takes one declaration of a name.

    Args:
        name: 1 to 200 printable characters without spaces, ``/``, ``?``, ``#`` and ``%``.
        max_retries: how often a message is delivered *again* after a failed delivery, before it is a dead letter.
        visibility_timeout: how long a consumer outside has for what it leased, unless it says or extends otherwise.
        retention: a message not done within this time of joining the line is a dead letter (``Expired``). What is
            done stays visible for this long.
        batch_size: how many messages a lease, or a run whose input is a list, gets at most.
        ordering: ``"FIFO"``: messages of one group are handed out and finished in order. ``"standard"``: no order.
        deduplication: whether a second message with the ``id`` of an earlier one is that message, and not a new one.
        dedupe_window: how long an ``id`` is remembered; by default the retention, and never more.
        capacity: messages not done, beyond which ``send`` raises ``QueueFull``.
        consumers: runs of the queue's workflow at once.
        message: the event that every message must be; ``None``: any event, any JSON.
        retry: its delays lie between two deliveries after a failure; how often is ``max_retries``'s business.
        policy: what becomes of dead letters; by default an ``Alert`` tells of them.

    Raises:
        InvalidInput: a value that makes no sense, by name.
    """

    kind: ClassVar[str] = "queue"

    def __init__(
        self,
        name: str,
        max_retries: int = 3,
        visibility_timeout: DurationLike = "30s",
        retention: DurationLike = "24h",
        batch_size: int = 10,
        ordering: Ordering = "FIFO",
        deduplication: bool = True,
        *,
        dedupe_window: DurationLike | None = None,
        capacity: int = 100_000,
        consumers: int = 10,
        message: type[Event] | None = None,
        retry: Retry | None = None,
        policy: DeadLetterPolicy | None = None,
    ) -> None:
        self.name = queue_name("Queue(name)", name)
        path = f"queue {name!r}"
        self.max_retries = _whole(f"{path} max_retries", max_retries, 0, RETRIES_MAX)
        self.visibility = span(f"{path} visibility_timeout", visibility_timeout)
        """ns."""
        self.retention = span(f"{path} retention", retention)
        """ns."""
        self.batch_size = _whole(f"{path} batch_size", batch_size, 1, BATCH_MAX)
        if ordering not in ("FIFO", "standard"):
            raise InvalidInput(f"{path} ordering", ordering, "'FIFO' or 'standard'")
        self.fifo = ordering == "FIFO"
        if not isinstance(deduplication, bool):
            raise InvalidInput(f"{path} deduplication", deduplication, "True or False")
        window = self.retention if dedupe_window is None else span(f"{path} dedupe_window", dedupe_window)
        if window > self.retention:
            expected = f"at most the retention, {duration_text(self.retention)}: older messages are not remembered"
            raise InvalidInput(f"{path} dedupe_window", dedupe_window, expected)
        self.dedupe_window = window if deduplication else 0
        """ns; 0: ids are only labels."""
        self.capacity = _whole(f"{path} capacity", capacity, 1, CAPACITY_MAX)
        self.consumers = _whole(f"{path} consumers", consumers, 1, BATCH_MAX)
        if message is not None and not (
            isinstance(message, type) and issubclass(message, Event) and message.event_name
        ):
            raise InvalidInput(f"{path} message", message, "a class of events, or None")
        self.message = message
        if retry is not None and not isinstance(retry, Retry):
            raise InvalidInput(f"{path} retry", retry, "a Retry, such as Retry(delay='1 second')")
        self.retry = retry or BETWEEN
        if policy is not None and not isinstance(policy, DeadLetterPolicy):
            raise InvalidInput(f"{path} policy", policy, "a DeadLetterPolicy(Rule(match, action), ...)")
        self.policy = policy or DEFAULT_POLICY

    def __str__(self) -> str:
        return f"queue {self.name!r}"

    def __repr__(self) -> str:
        return f"<queue {self.name!r}>"

    def settings(self) -> dict[str, Any]:
        """What was declared, as a JSON object: kept with the tape, and compared where a name is declared twice."""
        return {
            "maxRetries": self.max_retries,
            "visibilityTimeout": duration_text(self.visibility),
            "retention": duration_text(self.retention),
            "batchSize": self.batch_size,
            "ordering": "FIFO" if self.fifo else "standard",
            "deduplication": bool(self.dedupe_window),
            "dedupeWindow": duration_text(self.dedupe_window),
            "capacity": self.capacity,
            "consumers": self.consumers,
            "message": None if self.message is None else self.message.event_name,
            "retry": repr(self.retry),
            "policy": repr(self.policy),
        }

    def fit(self, sent: Sent) -> Sent:
        """A message as this queue takes it.

        Raises:
            InvalidInput: it is not the event that every message must be.
        """
        wanted = self.message
        if wanted is None:
            return sent
        if not sent.event:
            event = wanted.from_wire(bytes(sent.body))
            body, version = Raw(event.to_wire()), wanted.event_version
            return msgspec.structs.replace(sent, body=body, event=wanted.event_name, version=version)
        if sent.event != wanted.event_name or not wanted.reads(sent.version):
            found = f"event {sent.event!r} version {sent.version}"
            raise InvalidInput(f"message of {self}", found, f"event {wanted.event_name!r}")
        return sent


class Sent(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message as it is on the tape: the value of its record."""

    body: Raw
    group: str = ""
    id: str = ""
    priority: int = 0
    event: str = ""
    """Name of the event that the body is; empty: any JSON."""
    version: int = 1
    """Of that event."""
    owner: str = ""

    def read(self) -> Any:
        """The body: an event as the class this process has for it, else plain JSON.

        Raises:
            NewerEvent: of a newer version than this process knows. InvalidInput: it cannot be read.
        """
        if not self.event:
            return ANY.decode(self.body, "message")
        event = read_event(self.event, self.version, bytes(self.body))
        if event is None:
            expected = "an event that this process has declared: import its module, then redrive"
            raise InvalidInput("message", f"event {self.event!r}", expected)
        return event


class Draft(msgspec.Struct, frozen=True):
    """A message to be sent, with what ``send`` takes beside the body: for sending many at once."""

    body: Any
    group: str = ""
    id: str | None = None
    delay: DurationLike | None = None
    priority: int = 0


def pack(body: Any, group: str = "", id: str | None = None, priority: int = 0, owner: str = "") -> Sent:
    """A message from what ``send`` was given; encoded at once, before anybody can change it.

    Raises:
        InvalidInput: a body that JSON cannot hold or that is too large, or a wrong group, id or priority.
    """
    if group:
        check_label("send(group=)", group)
    elif group != "":
        raise InvalidInput("send(group=)", group, "a text")
    if id is not None:
        check_label("send(id=)", id)
    if type(priority) is not int or not -PRIORITY_MAX <= priority <= PRIORITY_MAX:
        raise InvalidInput("send(priority=)", priority, f"a whole number up to {PRIORITY_MAX:,}; higher goes first")
    if isinstance(body, Event):
        wire = body.to_wire()
        if len(wire) > MAX_VALUE:
            raise InvalidInput("message", f"{len(wire):,} bytes", _TOO_LARGE)
        return Sent(Raw(wire), group, id or "", priority, body.event_name, body.event_version, owner)
    return Sent(ANY.round_trip(body, "message")[0], group, id or "", priority, "", 1, owner)


_TOO_LARGE = f"at most {MAX_VALUE:,} bytes of JSON; store it elsewhere and send its path or key"


def queue_name(path: str, name: Any) -> str:
    """The name of a queue.

    Raises:
        InvalidInput: it is none.
    """
    good = isinstance(name, str) and 0 < len(name) <= NAME_MAX and name.isprintable()
    if not good or any(character in name for character in " /?#%"):
        raise InvalidInput(path, name, f"1 to {NAME_MAX} printable characters without spaces, /, ?, # and %")
    return str(name)


def check_label(path: str, label: Any) -> None:
    """
    Raises:
        InvalidInput: not a group's or a message's name.
    """
    if type(label) is not str or not 0 < len(label) <= NAME_MAX or not label.isprintable():
        raise InvalidInput(path, label, f"a printable text of 1 to {NAME_MAX} characters")


def span(path: str, value: Any) -> int:
    """A length of time above zero, in ns.

    Raises:
        InvalidInput: it is not.
    """
    found = duration(value, path)
    if found == 0:
        raise InvalidInput(path, value, "a duration above zero")
    return found


def _whole(path: str, value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidInput(path, value, f"a whole number from {least} to {most:,}")
    return value


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Sent).decode


def encode_sent(sent: Sent) -> Raw:
    """A message as the value of its record."""
    return Raw(_encode(sent))


def decode_sent(value: Raw | bytes) -> Sent:
    """A message from the value of its record."""
    return _decode(value)
