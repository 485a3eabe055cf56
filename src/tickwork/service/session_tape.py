"""What the tapes of all sessions over recordings share: what names their data, and how they are read and removed."""

from __future__ import annotations

import contextlib
from collections.abc import Container, Iterable, Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tickwork.engines.embedded.queries import Queries
from tickwork.engines.embedded.reader import Reader
from tickwork.engines.embedded.schema import connect
from tickwork.trading.orders import Fill


class DataFile(BaseModel):
    """One recording, as far as it must be the same for a tape to be continued."""

    model_config = ConfigDict(frozen=True)

    name: str
    bars: int
    digest: str


@contextlib.contextmanager
def reading(tape: Path) -> Iterator[Queries | None]:
    """Questions to the tape at a path; ``None`` when there is no tape yet.

    Raises:
        TapeError: the file cannot be read as a tape.
    """
    if not tape.is_file() or not tape.stat().st_size:
        yield None
        return
    # opened for writing, so that a file whose maker was killed before it was a tape reads as an empty one
    with contextlib.closing(connect(str(tape))) as connection:
        yield Queries(Reader(connection))


def remove(database: Path) -> None:
    """Take a tape or a book away, and what its makers keep beside it; harmless where there is none."""
    for suffix in ("", "-wal", "-shm", ".sock", ".lock"):
        with contextlib.suppress(FileNotFoundError):
            database.with_name(database.name + suffix).unlink()


def lacking(ours: Iterable[Fill], orders: Iterable[str], theirs: Iterable[Fill], known: Container[str]) -> str:
    """What a book does not hold, in words; empty when it holds everything.

    Args:
        ours, orders: the fills and the client ids of orders that a tape tells of.
        theirs, known: those that the book holds.
    """
    held = {fill.fill_id: fill for fill in theirs}
    for fill in sorted(ours, key=lambda fill: fill.rank):
        if held.get(fill.fill_id) != fill:
            return f"fill {fill.fill_id} of order {fill.client_order_id}"
    order = min((key for key in orders if key not in known), default="")
    return f"order {order}" if order else ""
