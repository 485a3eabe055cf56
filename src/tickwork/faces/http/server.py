"""The server: uvicorn in the loop that the engine runs in, with limits on connections, heads and slow senders."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from pathlib import Path
from typing import Any, Final, Self

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tickwork.errors import InvalidInput, TickworkError
from tickwork.faces.http.app import App
from tickwork.faces.http.security import Limits

HEAD_MAX: Final = 65_536
"""Bytes of the head of a request."""
FRAME_MAX: Final = 65_536
"""Bytes of one WebSocket message from a client."""
GRACE_S: Final = 10
_LAST_S: Final = 5.0

_log = logging.getLogger("tickwork.http")


class Server:
    """Serves an application. Use it as ``async with Server(app, host, port) as server``.

    Args:
        port: 0: any that is free.
    """

    def __init__(self, app: App, host: str = "127.0.0.1", port: int = 8420, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._host = host
        self._port = port
        self._config = uvicorn.Config(
            app,
            loop="none",
            http=protocol(self._limits),
            ws="websockets-sansio",
            ws_max_size=FRAME_MAX,
            ws_per_message_deflate=False,  # its buffers are most of what an idle client would cost
            lifespan="on",
            log_config=None,
            log_level="warning",
            access_log=False,
            # nothing that a client sends says where it comes from
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=self._limits.idle_seconds,
            timeout_graceful_shutdown=GRACE_S,
        )
        self._server = uvicorn.Server(self._config)
        self._socket: socket.socket | None = None
        self.address = ""
        """Where it is reached once it is started, such as ``http://127.0.0.1:8420``."""
        self._serving: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; on return requests are answered.

        Raises:
            InvalidInput: the port is taken, or the address is none of this machine's.
            TickworkError: what is served did not start.
        """
        self._socket = bound(self._host, self._port)
        host, port = self._socket.getsockname()[:2]
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        try:
            self._config.load()
            self._server.lifespan = self._config.lifespan_class(self._config)
            await self._server.startup(sockets=[self._socket])
        except BaseException as error:
            self._socket.close()
            if isinstance(error, SystemExit):  # uvicorn's word for it; what was wrong is in the log
                raise TickworkError("what the HTTP server serves did not start: the log says why") from None
            raise
        self._serving = asyncio.create_task(self._server.main_loop(), name="tickwork-http")

    async def stop(self, grace: float = GRACE_S) -> None:
        """Take nothing more, and let what is being answered end, for so many seconds."""
        if self._serving is None:
            return
        self._config.timeout_graceful_shutdown = max(0, int(grace))
        self._server.should_exit = True
        await self._serving
        self._serving = None
        assert self._socket is not None
        await self._server.shutdown(sockets=[self._socket])


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens at an address.

    Raises:
        InvalidInput: it cannot.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # the protocol named: asyncio sends small answers at once only on sockets that say they are of TCP
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host.strip("[]"), port))
        listening.listen(2_048)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            who = holder(port)
            taken = f"{port}, which {who} listens on" if who else f"{port}, which is taken"
            raise InvalidInput("server.port", taken, "a free one: --port, or [server] port; 0 takes any") from None
        if error.errno == errno.EACCES:
            raise InvalidInput("server.port", port, "one from 1024 on: this user may not listen below") from None
        raise InvalidInput("server.host", host, f"an address of this machine ({error.strerror or error})") from None
    return listening


def holder(port: int) -> str:
    """Which process listens on a port, where the system tells: of this user's processes it does."""
    wanted = f":{port:04X}"
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        rows = (line.split() for line in lines)
        inodes |= {f"socket:[{row[9]}]" for row in rows if row[1].endswith(wanted) and row[3] == "0A"}
    for link in Path("/proc").glob("[0-9]*/fd/*") if inodes else ():
        try:
            if str(link.readlink()) in inodes:
                process = link.parent.parent
                return f"process {process.name} ({(process / 'comm').read_text().strip()})"
        except OSError:
            continue  # it is another user's, or is gone
    return ""


def protocol(limits: Limits) -> type[HttpToolsProtocol]:
    """Uvicorn's protocol, with limits on how many connect, how long a head may be, and how long a request may take."""

    class Limited(HttpToolsProtocol):
        _patience: asyncio.TimerHandle | None = None
        _head = 0
        """Bytes of it so far."""
        _coming = ""
        """The part of a request that is being received: its head, its body, or none."""
        _waited = ""
        """The part that a timer runs for."""

        def connection_made(self, transport: Any) -> None:
            if len(self.connections) >= limits.connections:
                _log.warning("refused: a connection, for there are %d", len(self.connections))
                transport.abort()
                return
            super().connection_made(transport)
            self._coming = "head"
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._coming = ""
            self._watch()
            if self.flow is not None:
                super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self.flow is None:
                return  # it was turned away
            self._head += len(data)
            super().data_received(data)
            if self._coming == "head" and self._head > HEAD_MAX:
                self._drop(f"its head has more than {HEAD_MAX} bytes")
            elif self._coming != self._waited:  # what came whole needs no timer
                self._watch()

        def on_message_begin(self) -> None:
            self._coming = "head"
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._coming = "body"
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self._coming, self._head = "", 0
            super().on_message_complete()

        def handle_websocket_upgrade(self) -> None:
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
                seconds = limits.header_seconds if self._coming == "head" else limits.body_seconds + _LAST_S
                self._patience = self.loop.call_later(seconds, self._drop, f"its {self._coming} did not come in time")

        def _drop(self, why: str) -> None:
            _log.warning("dropped: a request from %s: %s", self.client[0] if self.client else "", why)
            self.transport.abort()

    return Limited
