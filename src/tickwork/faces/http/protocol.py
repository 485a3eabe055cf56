"""One connection: uvicorn's protocol with limits, so that nobody holds the server by being slow or endless."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tickwork.faces.http.security import Limits

HEAD_MAX: Final = 65_536
"""Bytes of the head of a request."""
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
        if self.flow is not None:
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some of a request has come."""
        if self.flow is None:
            return  # it was turned away
        self._head += len(data)
        super().data_received(data)
        if self._coming == "head" and self._head > HEAD_MAX:
            self._drop(f"its head has more than {HEAD_MAX} bytes")
        elif self._coming != self._waited:  # what came whole needs no timer
            self._watch()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._coming = "head"
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head has come."""
        self._coming = "body"
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of it has come."""
        self._coming, self._head = "", 0
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """It is a WebSocket from here on."""
        self._coming = ""
        self._watch()
        super().handle_websocket_upgrade()

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
