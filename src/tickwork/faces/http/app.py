"""The HTTP application: guard, operations, pages, health, hooks, and what else is mounted beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from tickwork.faces.http import replies
from tickwork.faces.http.api import Api
from tickwork.faces.http.around import Around, Hooked, Live
from tickwork.faces.http.documentation import Documentation
from tickwork.faces.http.guard import Guard
from tickwork.faces.http.halt_page import HaltPage
from tickwork.faces.http.health import Health
from tickwork.faces.http.home_page import HomePage
from tickwork.faces.http.hooks import HookRoute
from tickwork.faces.http.login_page import LoginPage
from tickwork.faces.http.metrics import Metrics
from tickwork.faces.http.pages import send_page, wants_page
from tickwork.faces.http.routing import BASE, Routes
from tickwork.faces.http.security import Security
from tickwork.faces.http.snapshot import Snapshot
from tickwork.faces.http.visit import visit_of
from tickwork.service.api.here import Service
from tickwork.service.api.operation import Operation
from tickwork.service.operations.all import CATALOGUE

Now = Callable[[], int]
"""ns since 1970 UTC."""

_API: Final = BASE + "/"


class App(Starlette):
    """A Starlette application behind the guard; operations are answered before its router is asked.

    Args:
        api: answers operations.
        fixed: what else is below ``/api/v1``, by path.
    """

    def __init__(
        self,
        api: ASGIApp,
        fixed: Mapping[str, ASGIApp],
        guarded: Callable[[ASGIApp], Guard],
        routes: Sequence[BaseRoute],
        lifespan: Lifespan[Any] | None,
    ) -> None:
        super().__init__(routes=routes, lifespan=lifespan)
        self._plain = {route.path for route in routes if isinstance(route, Route | WebSocketRoute)}
        self._api = api
        self._fixed = fixed
        self._guard = guarded(self._inside)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; nothing goes round the guard."""
        await self._guard(scope, receive, send)

    async def _inside(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(_API):
            return await self._fixed.get(scope["path"], self._api)(scope, receive, send)
        if scope["type"] != "lifespan" and scope["path"] in self._plain:
            visit_of(scope).route = scope["path"]
        return await super().__call__(scope, receive, send)


class Told:
    """An endpoint whose errors are told as problems, or as a page to whoever looks with a browser."""

    def __init__(self, path: str, endpoint: ASGIApp, now: Now) -> None:
        self._path = path
        self._endpoint = endpoint
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        visit_of(scope).route = self._path
        try:
            await self._endpoint(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - it is told, and logged where nobody raised it on purpose
            found, headers = replies.problem_and_headers(error, scope, self._now())
            if not wants_page(scope):
                return await replies.send_problem(send, found, headers)
            back = '<p><a href="/">What there is</a></p>'
            await send_page(send, found.status, found.title, f"<p>{escape(found.detail)}</p>{back}", headers)


def create_app(
    service: Service,
    *,
    security: Security,
    live: Live | None = None,
    hooks: Hooked | None = None,
    around: Around | None = None,
    routes: Iterable[BaseRoute] = (),
    lifespan: Lifespan[Any] | None = None,
    operations: Iterable[Operation] | None = None,
) -> App:
    """The application of a service.

    Args:
        security: who is let in.
        live: the live stream, for snapshots.
        hooks: what takes webhooks in.
        around: what is to be told of the process.
        routes: what is mounted besides: WebSocket, MCP. The guard has let in whoever comes there, and
            ``visit.caller_of(scope)`` says who it is.
        lifespan: what is to be opened and closed with the server.
        operations: by default all there are.

    Raises:
        InvalidInput: others than this machine could reach it, and there is no token.
    """
    security.check_tokens(service.tokens.any())
    around, now, limits = around or Around(), service.engine.clock.now, security.limits
    table = list(CATALOGUE.values() if operations is None else operations)
    places = Routes(table)
    metrics = Metrics(service, feeds=around.feeds, accounts=around.accounts, sockets=around.sockets)
    health, login = Health(service, metrics, around), LoginPage(service.tokens, now)
    documentation = Documentation(table, around.version, snapshot=live is not None)
    pages: dict[str, ASGIApp] = {
        "/healthz": health.alive,
        "/readyz": health.ready,
        "/metrics": health.figures,
        "/halt": HaltPage(service, places),
        "/login": login.login,
        "/logout": login.logout,
    }
    if hooks is not None:
        pages["/hooks/{name}"] = HookRoute(hooks, limits.body_bytes, limits.body_seconds)
    fixed: dict[str, ASGIApp] = {f"{BASE}/openapi.json": documentation.openapi, f"{BASE}/docs": documentation.page}
    if live is not None:
        fixed[f"{BASE}/snapshot"] = Snapshot(live)
    home = HomePage(service, around)
    return App(
        Api(service, places, body_max=limits.body_bytes, patience=limits.body_seconds, now=now),
        {path: Told(path, endpoint, now) for path, endpoint in fixed.items()},
        lambda inside: Guard(inside, service.tokens, security, metrics, now=now),
        [
            *(Route(path, Told(path, endpoint, now)) for path, endpoint in pages.items()),
            *routes,
            Route("/{path:path}", Told("unmatched", home, now)),
        ],
        lifespan,
    )
