"""Bodies of messages: on the tape, and in memory only as far as there is room, or the tape does not show them yet."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from tickwork.core.queue import Sent, decode_sent
from tickwork.engines.embedded.log import Log
from tickwork.engines.embedded.reader import Reader
from tickwork.errors import TapeCorrupt

ROOM = 16 << 20
"""Bytes of bodies kept in memory."""


class Bodies:
    """Finds a message by the position of the record that holds it."""

    def __init__(self, log: Log, reader: Reader, room: int = ROOM) -> None:
        self._log = log
        self._reader = reader
        self._room = room
        self._kept: dict[int, Sent] = {}
        self._size = 0

    def keep(self, seq: int, sent: Sent) -> None:
        """One that was just recorded."""
        self._kept[seq] = sent
        self._size += len(bytes(sent.body))
        if self._size > self._room:
            self._make_room()

    def get(self, seq: int) -> Sent:
        """The message recorded at a position.

        Raises:
            TapeCorrupt: there is none.
        """
        sent = self._kept.get(seq)
        return self._read(seq) if sent is None else sent

    def drop(self, seq: int) -> None:
        """It will not be asked for soon."""
        sent = self._kept.pop(seq, None)
        if sent is not None:
            self._size -= len(bytes(sent.body))

    def _read(self, seq: int) -> Sent:
        """From the tape; those that were written with it are kept too, because they are probably the next."""
        wanted: Sent | None = None
        for at, record in self._reader.chunk(seq):
            if at < seq or not bytes(record.value) or record.kind not in ("message", "send", "redriven"):
                continue
            sent = decode_sent(bytes(record.value))
            # of its own bytes: else one small body would keep all of the chunk in memory
            sent = msgspec.structs.replace(sent, body=Raw(bytes(sent.body)))
            if at == seq:
                wanted = sent
            elif at not in self._kept:
                self.keep(at, sent)
        if wanted is None:
            raise TapeCorrupt(f"message {seq} is missing from the tape: restore it from a backup")
        return wanted

    def _make_room(self) -> None:
        """Forget the oldest, but only what the tape shows."""
        while self._size > self._room:
            oldest = next(iter(self._kept))
            if oldest > self._log.durable_seq:
                break
            self.drop(oldest)
