"""The server: uvicorn in the loop that the engine runs in, with limits on connections, heads and slow senders."""

from __future__ import annotations

import asyncio
import errno
import socket
from pathlib import Path
from typing import Final, Self

import uvicorn

from tickwork.errors import InvalidInput, TickworkError
from tickwork.faces.http.app import App
from tickwork.faces.http.protocol import limited
from tickwork.faces.http.security import Limits

FRAME_MAX: Final = 65_536
"""Bytes of one WebSocket message from a client."""
GRACE_S: Final = 10


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
            http=limited(self._limits),
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

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._server.server_state.connections)

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
