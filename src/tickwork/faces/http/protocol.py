"""One connection: uvicorn's protocol with limits, so that nobody holds the server by being slow or endless.

What comes after a body, as a trailer, is no header: it would be one that the guard has not seen. It is not kept.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tickwork.faces.http.security import Limits

HEAD_MAX: Final = 65_536
"""Bytes of the head of a request; and of what is no body after it, such as trailers."""
_LAST_S: Final = 5.0

_log = logging.getLogger("tickwork.http")


class Limited(HttpToolsProtocol):
    """Uvicorn's protocol, with limits on how many connect, how long a head may be, and how long a request may take."""

    limits: Limits
    _patience: asyncio.TimerHandle | None = None
    _head = 0
    """Bytes of it so far."""
    _coming = ""
    """The part of a request that is being received: its head, its body, or none."""
    _empty = 0
    """Bytes that came since there was some body among them."""
    _unread: asyncio.TimerHandle | None = None
    """Runs while the other side does not read its answer."""
    _waited = ""
    """The part that a timer runs for."""

    def connection_made(self, transport: Any) -> None:
        """Somebody connects."""
        if len(self.connections) >= self.limits.connections:
            _log.warning("refused: a connection, for there are %d", len(self.connections))
            transport.abort()
            return
        super().connection_made(transport)
        self._coming = "head"
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._coming = ""
        self._watch()
        self._read_on()
        if self.flow is not None:
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some of a request has come."""
        if self.flow is None:
            return  # it was turned away
        self._head += len(data)
        self._empty += len(data)
        super().data_received(data)
        if self._coming == "head" and self._head > HEAD_MAX:
            self._drop(f"its head has more than {HEAD_MAX} bytes")
        elif self._coming == "body" and self._empty > HEAD_MAX:
            self._drop(f"more than {HEAD_MAX} bytes after its head are no body")
        elif self._coming != self._waited:  # what came whole needs no timer
            self._watch()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._coming = "head"
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header has come; or a trailer, which nobody wants."""
        if self._coming != "body":
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Its head has come."""
        self._coming, self._empty = "body", 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Some of its body has come."""
        self._empty = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All of it has come."""
        self._coming, self._head = "", 0
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """It is a WebSocket from here on."""
        self._coming = ""
        self._watch()
        self._read_on()
        super().handle_websocket_upgrade()

    def pause_writing(self) -> None:
        """There is more to be sent than the other side reads."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self.limits.answer_seconds, self._drop, "its answer is not read")

    def resume_writing(self) -> None:
        """It reads on."""
        self._read_on()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing is asked any more: the connection ends, also where its last answer is never read."""
        super().timeout_keep_alive_handler()
        if self._unread is None:
            self._unread = self.loop.call_later(_LAST_S, self.transport.abort)

    def _read_on(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _watch(self) -> None:
        """Let the part that is coming come in time."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        self._waited = self._coming
        if self._coming:
            # a slow body is answered first, by whoever reads it
            seconds = self.limits.header_seconds if self._coming == "head" else self.limits.body_seconds + _LAST_S
            self._patience = self.loop.call_later(seconds, self._drop, f"its {self._coming} did not come in time")

    def _drop(self, why: str) -> None:
        _log.warning("dropped: a request from %s: %s", self.client[0] if self.client else "", why)
        self.transport.abort()


def limited(limits: Limits) -> type[Limited]:
    """The protocol with these limits."""
    return type("Limited", (Limited,), {"limits": limits})
