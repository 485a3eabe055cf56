"""What is on the tape: records. And how they are written down.

A record has no identity of its own: its position on the tape, ``seq``, is kept beside it. Records of one turn of a
run are written as one *chunk*, a JSON array, so that a turn is on the tape as a whole or not at all. Fields that hold
their default are not written.

Kinds, with what ``value`` holds:

    answers to a run           step, effect (result) · sleep · wait (the event, or null) · emit (the event) · send
                               (the message; ``ref``: the one with this id that was there already) · start,
                               call (child's id, child's result) · approval · claim, read · race (winner's index)
                               · patched · undone
    a run's own course         started (input) · delivered (messages it works on) · admitted (flow control had let it
                               wait) · begun (while it was valid) · intent (arguments; ``key``) · tried (a failed
                               attempt at a step) · cancel · expired · failed (an attempt; another follows) · copied
                               (fork) · done (result) · dead (the last attempt failed) · cancelled · again (next run's
                               id) · paused · resumed · redriven · stale (too old to begin)
    outside of runs            opened (``key``: the nonce) · event · claim · asked (an approval's question)
                               · declined (a start that flow control did not let happen; ``ref``: the event)
                               · breaker (from, to and why; ``key``: by whom; ``due``: when it may be tried again)
                               · dead_letter (an event that cannot be read) · discarded, redriven (letters)
    of schedules (``name``)    skipped (due times that start no run, and why; ``due``: the first of them) · schedule
                               (``key``: declared, changed, stranded, queued, run-now, skip-next, paused or resumed).
                               What starts a run is an event, ``ScheduleFired``
    of queues (``name``)       message (sent from outside) · leased, extended, acked (messages; ``key``: the consumer,
                               ``due``: until when) · returned (a delivery failed) · redriven, discarded (``ref``: the
                               message). A run that ends well needs no record here: its ``done`` completes its messages
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec import Raw

NOTHING = Raw(b"")
"""No value; the default of a record's fields, compared by identity when a record is written."""

NULL = Raw(b"null")


class Record(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One entry of the tape."""

    kind: str
    at: int
    """When, in ns since 1970 UTC. Never goes back along the tape."""
    name: str = ""
    """Of the step, event, workflow ..."""
    branch: str = ""
    """Which arm of which ``all`` or ``race`` asked: ``"all0.1/"`` is the second arm of the first ``all``."""
    no: int = -1
    """Which ask of its branch this answers, from 0; -1 when it answers none."""
    occ: int = 0
    """How often this branch had asked for the same kind and name before."""
    fn: str = ""
    """``module.qualname`` of the function."""
    args: int = 0
    """Fingerprint of the arguments; 0 when they do not serialise."""
    value: Raw = NOTHING
    error: Raw = NOTHING
    """The exception, as ``core.codec.encode_error`` writes it."""
    key: str = ""
    """An effect's stable key; a nonce; an idempotency key."""
    late: bool = False
    """Answered after the ask had been left waiting, not at once. Replay delivers it at the same point again."""
    took: int = 0
    """How long the function ran, in ns; measured only for what does not run inline."""
    ref: int = 0
    """The ``seq`` this speaks of: the event that was matched, the event that started a run."""
    attempt: int = 0
    undoes: str = ""
    """The identity of the step that this undid."""
    version: int = 1
    due: int = 0
    """When a delayed event is due, in ns."""


class Entry(NamedTuple):
    """A record with its position."""

    seq: int
    record: Record


class Tape(Protocol):
    """The tape port: what reads a tape, whatever it is kept in. Only what is on disk is read.

    Contract: positions have no gaps and only grow; ``at`` never goes back along them; what was read once reads the same
    for ever. A record that is not what was written raises ``TapeCorrupt``, and is never left out silently.
    """

    def tape(self, after: int = 0, until: int | None = None) -> Iterator[tuple[int | None, Entry]]:
        """All records after a position, in order, each with the position of its run (``None``: of no run)."""
        ...

    def history(self, tail: int) -> list[Entry]:
        """A run's records in order, given the first position of its last chunk."""
        ...

    def record(self, seq: int) -> Entry | None:
        """The record at a position."""
        ...

    def events(self, name: str, after: int, until: int) -> list[Entry]:
        """The next events of a name between two positions (``until`` included), in order; empty when there are none."""
        ...

    def end(self) -> tuple[int, int]:
        """The next free position, and the time of the last record (ns)."""
        ...


class Started(msgspec.Struct, frozen=True, omit_defaults=True):
    """The value of a ``started`` record: who the run is."""

    id: str
    input: Raw
    owner: str = ""
    parent: int = 0
    parent_ask: str = ""
    key: str = ""
    since: int = 0
    event: str = ""
    """Tag of the event that is the input (``core.workflow.event_tag``), when an event started the run."""


_encode_chunk = msgspec.json.Encoder().encode
_decode_chunk = msgspec.json.Decoder(list[Record]).decode


def encode_chunk(records: list[Record]) -> bytes:
    """Records as one JSON array."""
    return _encode_chunk(records)


def decode_chunk(chunk: bytes) -> list[Record]:
    """The records of a chunk, in order.

    Raises:
        msgspec.DecodeError, msgspec.ValidationError: the bytes are not a chunk.
    """
    return _decode_chunk(chunk)


def readable(entry: Entry) -> dict[str, Any]:
    """A record as a JSON object for people and faces, with its ``seq`` and plain values."""
    record: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(entry.record))
    return {"seq": entry.seq, **record}
