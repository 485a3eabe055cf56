"""The tape as a SQLite file: its tables, how it is opened, what makes it unusable.

``tape`` is the truth; every other table is derived from it and written in the same transaction:

* ``tape``     one row a chunk: the records of one turn of one run, or one record from outside. ``seq`` is the first
               record's position, ``prev`` the run's chunk before (so a run's history is a walk by primary key, and
               no index on runs is kept), ``crc`` a CRC-32 of all of these (``batch.checksum``).
* ``runs``     one row a run, keyed by the position of its ``started`` record. ``wake_at``: when the engine must look at
               it (0: as soon as it can), NULL while it only waits for others. Runs of documents are found by their
               workflow (``graph.versions.PREFIX``).
* ``waits``    what parked runs wait for, by hash of event and fields.
* ``events``   where the events of each name are, so that a wait can look back.
* ``shapes``   the sets of fields that waits named; from ``since`` on, events are in ``filed`` under their hash of them,
               so that to look back costs what matches and not what happened.
* ``flow``     runs of workflows with flow control that wait for their turn, or hold one; ``gathers``: what debounce
               and batch gather; ``limits``: when starts were let through; ``once``: idempotency keys in their window.
* ``queues``   as last declared; ``messages``: what lies in them, and what became of it until its retention is over;
               ``queue_days``: counts by UTC day.
* ``letters``  what gave up, except messages.
* ``schedules``, ``breakers``: the state of each.
* ``arrivals`` what came from outside under an id of its own, and where it is, until its window is over.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import apsw

from tickwork.errors import TapeCorrupt, TapeError, TapeTooNew

SCHEMA_VERSION = 2
APPLICATION_ID = 0x7469636B  # "tick"

_TABLES = """
CREATE TABLE tape (seq INTEGER PRIMARY KEY, run INTEGER, prev INTEGER, crc INTEGER NOT NULL, data BLOB NOT NULL);
CREATE TABLE runs (
    seq INTEGER PRIMARY KEY, id TEXT, workflow TEXT NOT NULL, version INTEGER NOT NULL, status INTEGER NOT NULL,
    wake_at INTEGER, tail INTEGER NOT NULL, parent INTEGER, owner TEXT NOT NULL, key TEXT NOT NULL,
    started_at INTEGER NOT NULL, changed_at INTEGER NOT NULL, attempt INTEGER NOT NULL, problem TEXT,
    crc INTEGER NOT NULL);
CREATE UNIQUE INDEX runs_id ON runs(id) WHERE id IS NOT NULL;
CREATE INDEX runs_due ON runs(wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX runs_stuck ON runs(status) WHERE status BETWEEN 2 AND 4 OR status = 11;
CREATE INDEX runs_parent ON runs(parent) WHERE parent IS NOT NULL;
CREATE TABLE waits (key INTEGER, run INTEGER, place TEXT, event TEXT NOT NULL, condition TEXT,
    PRIMARY KEY (key, run, place)) WITHOUT ROWID;
CREATE TABLE shapes (event TEXT, fields TEXT, since INTEGER NOT NULL, PRIMARY KEY (event, fields)) WITHOUT ROWID;
CREATE TABLE filed (key INTEGER, seq INTEGER, PRIMARY KEY (key, seq)) WITHOUT ROWID;
CREATE TABLE events (name TEXT, seq INTEGER, PRIMARY KEY (name, seq)) WITHOUT ROWID;
CREATE TABLE delayed (seq INTEGER PRIMARY KEY, due INTEGER NOT NULL);
CREATE INDEX delayed_due ON delayed(due);
CREATE TABLE views (view TEXT, key TEXT, state BLOB NOT NULL, PRIMARY KEY (view, key)) WITHOUT ROWID;
CREATE TABLE view_versions (view TEXT PRIMARY KEY, version INTEGER NOT NULL, events TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE approvals (id TEXT PRIMARY KEY, run INTEGER NOT NULL, question TEXT NOT NULL, asked_at INTEGER NOT NULL,
    due INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE dead_letters (seq INTEGER PRIMARY KEY, run INTEGER NOT NULL, what TEXT NOT NULL, at INTEGER NOT NULL);
CREATE TABLE openings (seq INTEGER PRIMARY KEY, nonce TEXT NOT NULL);
"""

_TABLES_2 = """
CREATE TABLE flow (seq INTEGER PRIMARY KEY, workflow TEXT NOT NULL, key TEXT NOT NULL, priority INTEGER NOT NULL,
    place INTEGER NOT NULL, held INTEGER NOT NULL);
CREATE TABLE gathers (workflow TEXT, key TEXT, first INTEGER NOT NULL, due INTEGER NOT NULL, seqs TEXT NOT NULL,
    PRIMARY KEY (workflow, key)) WITHOUT ROWID;
CREATE TABLE limits (workflow TEXT, kind TEXT, key TEXT, times TEXT NOT NULL, PRIMARY KEY (workflow, kind, key))
    WITHOUT ROWID;
CREATE TABLE once (workflow TEXT, key TEXT, run INTEGER NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (workflow, key))
    WITHOUT ROWID;
CREATE TABLE queues (name TEXT PRIMARY KEY, settings TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE messages (seq INTEGER PRIMARY KEY, queue TEXT NOT NULL, stage INTEGER NOT NULL, id TEXT NOT NULL,
    grp TEXT NOT NULL, joins_at INTEGER NOT NULL, place INTEGER NOT NULL, priority INTEGER NOT NULL,
    attempts INTEGER NOT NULL, visible_at INTEGER NOT NULL, lease INTEGER NOT NULL, leased_at INTEGER NOT NULL,
    lease_until INTEGER NOT NULL, consumer TEXT NOT NULL, run INTEGER NOT NULL, at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL, redrives INTEGER NOT NULL, body INTEGER NOT NULL, failures TEXT NOT NULL);
CREATE INDEX messages_open ON messages(queue, seq) WHERE stage < 10;
CREATE INDEX messages_ended ON messages(queue, stage, ended_at) WHERE stage >= 10;
CREATE INDEX messages_id ON messages(queue, id) WHERE id <> '';
CREATE TABLE queue_days (queue TEXT, day INTEGER, sent INTEGER NOT NULL, completed INTEGER NOT NULL,
    failed INTEGER NOT NULL, dead INTEGER NOT NULL, busy INTEGER NOT NULL, PRIMARY KEY (queue, day)) WITHOUT ROWID;
CREATE TABLE letters (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, source TEXT NOT NULL, run INTEGER NOT NULL,
    code TEXT NOT NULL, attempts INTEGER NOT NULL, first_seen INTEGER NOT NULL, at INTEGER NOT NULL,
    tried INTEGER NOT NULL, status INTEGER NOT NULL, due INTEGER NOT NULL);
CREATE INDEX letters_open ON letters(seq) WHERE status = 0;
INSERT INTO letters SELECT seq, 'undo', what, run, '', 1, at, at, 0, 0, 0 FROM dead_letters;
INSERT INTO letters SELECT seq, 'run', workflow, seq, '', attempt, changed_at, changed_at, 0, 0, 0 FROM runs
    WHERE status = 11;
DROP TABLE dead_letters;
CREATE TABLE schedules (name TEXT PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE breakers (name TEXT PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE arrivals (source TEXT, id TEXT, seq INTEGER NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (source, id))
    WITHOUT ROWID;
CREATE INDEX arrivals_over ON arrivals(until);
CREATE INDEX runs_document ON runs(workflow) WHERE substr(workflow, 1, 4) = 'doc/';
CREATE INDEX runs_document_open ON runs(workflow, version)
    WHERE substr(workflow, 1, 4) = 'doc/' AND (status < 10 OR status = 11);
"""

_UPGRADES = {0: _TABLES, 1: _TABLES_2}
"""What a tape of an older schema lacks, up to the next."""

KEYS = {
    "approvals": ("id",),
    "arrivals": ("source", "id"),
    "breakers": ("name",),
    "flow": ("seq",),
    "gathers": ("workflow", "key"),
    "letters": ("seq",),
    "limits": ("workflow", "kind", "key"),
    "messages": ("seq",),
    "once": ("workflow", "key"),
    "queue_days": ("queue", "day"),
    "queues": ("name",),
    "schedules": ("name",),
    "views": ("view", "key"),
}
"""Tables whose rows are replaced and deleted by key (``Batch.put``), with the columns of that key, which come first."""

CACHE_KIB = 64 * 1024
CHECKPOINT_PAGES = 8_000
"""The WAL is folded into the file after this many pages (32 MB): rarely enough not to show in the latency."""


def connect(path: str, *, vfs: str | None = None, read_only: bool = False) -> apsw.Connection:
    """Open a tape's file.

    Raises:
        TapeError: it cannot be opened. TapeCorrupt: it is not a tape. TapeTooNew: a newer tickwork wrote it.
    """
    flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    connection: apsw.Connection | None = None
    try:
        connection = apsw.Connection(path, flags=flags, vfs=vfs)
        connection.set_busy_timeout(5_000)
        found = _check(connection, path, read_only)
        _configure(connection, read_only)
        if found < SCHEMA_VERSION and not read_only:
            _create(connection, found)
    except (apsw.Error, TapeError) as error:
        if connection is not None:
            with contextlib.suppress(apsw.Error):
                connection.close()
        raise _unusable(path, error) from None
    return connection


def _unusable(path: str, error: Exception) -> TapeError:
    if isinstance(error, TapeError):
        return error
    if isinstance(error, apsw.NotADBError | apsw.CorruptError | apsw.FormatError):
        return TapeCorrupt(f"{path} is not a readable tape ({error}): restore it from a backup, or move it away")
    return TapeError(f"{path} cannot be opened as a tape: {error}")


def _configure(connection: apsw.Connection, read_only: bool) -> None:
    if not read_only:
        # `pragma journal_mode` answers a row; unread, the statement never finishes
        list(connection.execute("pragma journal_mode=wal"))
        connection.set_wal_hook(_fold)
    list(connection.execute("pragma synchronous=full"))
    list(connection.execute(f"pragma cache_size=-{CACHE_KIB}"))
    list(connection.execute("pragma temp_store=memory"))


def _fold(connection: apsw.Connection, name: str, pages: int) -> int:
    """After a commit: fold a long WAL into the file. SQLite's own checkpoint would hide a disk that fails there."""
    if pages >= CHECKPOINT_PAGES:
        with contextlib.suppress(apsw.BusyError, apsw.LockedError):  # somebody reads just now: at a later commit, then
            connection.wal_checkpoint(name)
    return apsw.SQLITE_OK


def _check(connection: apsw.Connection, path: str, read_only: bool) -> int:
    """The file's schema; 0 when it is empty, to become a tape. Looks before anything is changed: it may be somebody
    else's database."""
    found: int = connection.pragma("user_version")
    if connection.pragma("application_id") == APPLICATION_ID:
        if found > SCHEMA_VERSION:
            raise TapeTooNew(
                f"{path} was written by schema {found}; this tickwork knows schemas up to {SCHEMA_VERSION}: upgrade it"
            )
        if found < SCHEMA_VERSION and read_only:
            raise TapeError(
                f"{path} was written by an older tickwork (schema {found}): whoever owns it upgrades it by opening it"
            )
        if found > 0:
            return found
    if read_only or list(connection.execute("select 1 from sqlite_schema limit 1")):
        raise TapeCorrupt(f"{path} is a SQLite file but not a tape: give another path, or move it away")
    return 0


def _create(connection: apsw.Connection, found: int) -> None:
    """Make the tables that a tape of this schema lacks."""
    with connection:
        for version in range(found, SCHEMA_VERSION):
            for statement in _UPGRADES[version].split(";\n"):
                if statement.strip():
                    connection.execute(statement)
        connection.pragma("application_id", APPLICATION_ID)
        connection.pragma("user_version", SCHEMA_VERSION)
    # into the file itself: without its WAL it shall still be known as a tape
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)


def schema_of(path: str) -> int:
    """The schema of a tape's file; 0: it is no tape, or none yet.

    Raises:
        TapeError: it cannot be read.
    """
    try:
        with contextlib.closing(apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            found: int = connection.pragma("user_version")
            return found if connection.pragma("application_id") == APPLICATION_ID else 0
    except apsw.Error as error:
        raise _unusable(path, error) from None


def parse_url(url: str) -> str:
    """The path in ``sqlite:///path``, or ``:memory:``.

    Raises:
        TapeError: another kind of URL.
    """
    if url in ("memory:", "memory://"):
        return ":memory:"
    if url.startswith("sqlite:///") and len(url) > len("sqlite:///"):
        return str(Path(url.removeprefix("sqlite:///")))
    raise TapeError(f"the tape's URL {url!r} is not 'sqlite:///path/to/file.db' or 'memory:'")
