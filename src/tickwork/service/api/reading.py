"""Reading a tape beside the loop: a few threads with a connection each, so that no question keeps an order waiting."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import local
from typing import Final, Protocol, TypeVar

import apsw

from tickwork.engines.embedded.queries import Queries
from tickwork.engines.embedded.reader import Reader
from tickwork.engines.embedded.schema import connect

T = TypeVar("T")

THREADS: Final = 2
"""Enough that one long question does not keep short ones waiting; each has the cache of a connection."""


class Readers(Protocol):
    """Answers questions about a tape."""

    async def read(self, ask: Callable[[Queries], T]) -> T:
        """What a function of the tape gives; it sees the tape at one moment."""
        ...

    def close(self) -> None:
        """Let the tape go."""
        ...


class FileReaders:
    """Reads a tape's file.

    Args:
        path: of the tape.
        threads: how many questions are answered at once.
    """

    def __init__(self, path: str, threads: int = THREADS) -> None:
        self._path = path
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="tickwork-reader")
        self._mine = local()
        self._open: list[apsw.Connection] = []

    async def read(self, ask: Callable[[Queries], T]) -> T:
        """What a function of the tape gives; it sees the tape at one moment.

        Raises:
            TapeError: the file cannot be read. And what the function raises.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._answer, ask)

    def _answer(self, ask: Callable[[Queries], T]) -> T:
        connection: apsw.Connection | None = getattr(self._mine, "connection", None)
        if connection is None:
            connection = self._mine.connection = connect(self._path, read_only=True)
            self._open.append(connection)
        connection.execute("BEGIN")
        try:
            return ask(Queries(Reader(connection)))
        finally:
            # SQLite itself may have ended a transaction in which the file could not be read
            if connection.in_transaction:
                connection.execute("COMMIT")

    def close(self) -> None:
        """Wait for what is being answered, and let the file go."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for connection in self._open:
            with contextlib.suppress(apsw.Error):
                connection.close()
        self._open.clear()


class OwnReaders:
    """Reads a tape that is only in memory, through the engine's own connection."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def read(self, ask: Callable[[Queries], T]) -> T:
        """What a function of the tape gives."""
        return ask(self._queries)

    def close(self) -> None:
        """Nothing is to be let go."""
