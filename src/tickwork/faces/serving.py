"""Everything that lets the outside into a process with an open engine: HTTP, WebSocket, webhooks, MCP, other processes.

Two parts of a process. ``service`` answers other processes of the same user over the control socket, and is always
there; ``http`` is the server with all that goes over it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from starlette.routing import BaseRoute, Route
from starlette.types import Lifespan

from tickwork.engines.embedded.engine import Engine
from tickwork.faces.http.app import App, Told, create_app
from tickwork.faces.http.around import Around
from tickwork.faces.http.security import Security
from tickwork.faces.http.server import Server
from tickwork.faces.http.socket import socket_routes
from tickwork.faces.http.visit import caller_of
from tickwork.faces.mcp import extra
from tickwork.service.api.here import Service
from tickwork.service.hooks import Hooks
from tickwork.service.running.parts import Look, Part
from tickwork.service.secrets import Secrets
from tickwork.service.stream.live import Live

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    from tickwork.faces.http.metrics import AccountFigures
    from tickwork.service.accounts.session import LiveSession
    from tickwork.service.api.caller import Caller

STOP_S: Final = 3.0
"""Seconds that what is being answered may still take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where and to whom it is served."""

    security: Security
    host: str = "127.0.0.1"
    port: int = 8420
    """0: any that is free."""
    enabled: bool = True
    """Without, only other processes of this user are answered."""


@dataclass(slots=True)
class Serving:
    """An open engine and what serves it.

    Args:
        engine: open.
        around: what is to be told of the process.
        halt: the halt of all accounts, for who watches; ``None``: none stands.
        environ: where the secrets of webhooks are looked up.
    """

    engine: Engine
    door: Door
    around: Around
    halt: Callable[[], dict[str, Any] | None] = lambda: None
    environ: Mapping[str, str] | None = None
    service: Service = field(init=False)
    live: Live = field(init=False)
    server: Server | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.service = Service(self.engine)
        self.live = Live(self.engine, mode=self.around.mode, version=self.around.version, halt=self.halt)

    def parts(self) -> Iterable[Part]:
        """The parts of the process, to be started in this order."""
        yield Part(name="service", look=Look, start=self._open, stop=self._close)
        if self.door.enabled:
            yield Part(name="http", look=self._look, start=self._serve, stop=self._stop, address=self._address)

    async def _open(self) -> None:
        self.service.open()

    async def _close(self) -> None:
        self.service.close()

    async def _serve(self) -> None:
        await self.live.start()
        self.server = Server(self._app(), self.door.host, self.door.port, self.door.security.limits)
        try:
            await self.server.start()
        except BaseException:
            self.server = None
            await self.live.close()
            raise

    async def _stop(self) -> None:
        await self.live.close()
        if self.server is not None:
            await self.server.stop(STOP_S)

    def _app(self) -> App:
        routes, lifespan = _mcp(self.service)
        return create_app(
            self.service,
            security=self.door.security,
            live=self.live,
            hooks=Hooks(self.engine, Secrets(self.environ)),
            around=replace(self.around, sockets=lambda: self.live.clients),
            routes=[*socket_routes(self.live, _let_in), *routes],
            lifespan=lifespan,
        )

    def _look(self) -> Look:
        clients = self.live.clients
        return Look(detail=f"{clients} watching" if clients else "")

    def _address(self) -> str:
        return self.server.address if self.server is not None else ""


def _mcp(service: Service) -> tuple[list[BaseRoute], Lifespan[Any] | None]:
    """The tools of a service, where their library is installed, and what keeps them."""
    if not extra.there():

        async def missing(*_: object) -> None:
            extra.needed("/mcp")

        told = Told("/mcp", missing, service.engine.clock.now)
        return [Route(path, told) for path in ("/mcp", "/mcp/")], None
    from tickwork.faces.mcp.mount import mcp_mount

    mcp = mcp_mount(service)

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        async with mcp.running():
            yield

    return mcp.routes(), lifespan


async def _let_in(socket: WebSocket) -> Caller | None:
    """Whom the guard let in."""
    return caller_of(socket.scope)


def serving(session: LiveSession, door: Door, *, version: str, environ: Mapping[str, str]) -> Serving:
    """What serves a session that trades in real time, once it is open."""
    mode = "live" if session.files.live else "paper"
    halts = session.guards.halts.of("")

    def halt() -> dict[str, Any] | None:
        return None if halts.level == "normal" else {"level": halts.level, "reason": halts.reason}

    def accounts() -> Iterable[AccountFigures]:
        for name, opened in session.opened.items():
            reservations = opened.account.desk.reservations
            yield name, len(reservations.working()), len(reservations.doubtful())

    around = Around(mode=mode, version=version, feeds=session.watch.status, accounts=accounts)
    return Serving(session.engine, door, around, halt, environ)
