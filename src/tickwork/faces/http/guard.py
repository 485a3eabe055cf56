"""The guard: everything that comes in passes it, in this order, and what does not pass is refused and logged.

    asked under a name of ours (else 421: a page that points its own name here, DNS rebinding)
    -> not from another site (else 403; on every method that changes something, and on WebSocket)
    -> not too much from one address (429) -> known: a token, or this machine itself (else 401)
    -> not too much by one caller (429) -> not too much at once (429)

Whoever sits at this machine is ``local`` and needs no token, as long as nobody else can look like it: the server
listens on this machine alone, was asked under its own name, no proxy has passed the request on, and no page of another
site asks, allowed or not. A wrong token is refused even there. Halting draws from buckets of its own, and is never
turned away for being one too many at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tickwork.errors import InvalidInput
from tickwork.faces.http import replies
from tickwork.faces.http.buckets import Buckets
from tickwork.faces.http.metrics import Metrics
from tickwork.faces.http.pages import wants_page
from tickwork.faces.http.replies import Refusal, refusal
from tickwork.faces.http.security import LOCAL_NAMES, Security, is_address, is_loopback, name_of, same_site
from tickwork.faces.http.visit import BEARER, KEY, Headers, Visit, header, header_names, headers
from tickwork.service.api.caller import Caller, Face
from tickwork.service.api.problems import Problem, Unauthenticated, problem
from tickwork.service.api.tokens import TokenStore
from tickwork.values import from_ns

COOKIE: Final = "tickwork_token"
STOPPING: Final = frozenset({"/halt", "/api/v1/halt", "/api/v1/flatten"})
"""What stops trading always finds room."""

_OPEN: Final = frozenset({"/healthz", "/readyz", "/login", "/logout"})
"""What needs nobody to be known; so do hooks, which are signed."""
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OTHERS: Final = frozenset({"cross-site", "same-site"})
"""How a browser says that a page of another site asks."""
_PROXY: Final = frozenset(
    {b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip", b"via"}
)
_HALTS_PER_SECOND: Final = 20.0
_HALTS_AT_ONCE: Final = 100.0
_TOLD_PER_SECOND: Final = 5.0
"""Refusals that are logged; the rest are counted."""
_ALWAYS: Final[Headers] = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_PREFLIGHT: Final[Headers] = [
    (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"),
    (b"access-control-allow-headers", b"authorization, content-type, idempotency-key, if-match, if-none-match"),
    (b"access-control-max-age", b"600"),
]
_EXPOSED: Final = (b"access-control-expose-headers", b"etag, link, location, retry-after, idempotency-replayed")

_log = logging.getLogger("tickwork.http")


class Guard:
    """Lets requests in to an application, with a ``Visit`` that says whose they are.

    Args:
        now: ns since 1970 UTC: when tokens end.
        clock: seconds that only grow, for rates; by default the loop's.
    """

    def __init__(
        self,
        app: ASGIApp,
        tokens: TokenStore,
        security: Security,
        metrics: Metrics,
        *,
        now: Callable[[], int],
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._security = security
        self._metrics = metrics
        self._now = now
        self._time = clock
        limits = security.limits
        self._callers = Buckets(limits.per_caller, limits.per_caller * limits.burst_seconds)
        self._addresses = Buckets(limits.per_address, limits.per_address * limits.burst_seconds)
        self._halts = Buckets(_HALTS_PER_SECOND, _HALTS_AT_ONCE)
        self._told = Buckets(_TOLD_PER_SECOND, 4 * _TOLD_PER_SECOND)
        self._untold = 0
        self._under_way = 0

    def _clock(self) -> float:
        if self._time is None:
            self._time = asyncio.get_running_loop().time
        return self._time()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or one WebSocket."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        client = scope.get("client")
        scope[KEY] = visit = Visit(address=client[0] if client else "")
        sending = _Sending(send, self._crossing(scope))
        began = self._clock()
        try:
            if sending.crossing and _is_preflight(scope):
                sending.crossing += _PREFLIGHT
                return await replies.send_nothing(sending, 204)
            try:
                await self._let_in(scope, visit)
            except Refusal as no:
                self._tell(scope, visit, no.problem)
                return await _refuse(scope, receive, sending, no)
            except Exception as error:  # noqa: BLE001 - told and logged as everywhere; nobody is let in by a mistake
                found, _ = replies.problem_and_headers(error, scope, self._now())
                return await _refuse(scope, receive, sending, Refusal(found))
            return await self._pass(scope, receive, sending, visit)
        finally:
            if scope["type"] == "http":
                self._metrics.asked(scope["method"], visit.route, sending.status, self._clock() - began)

    async def _pass(self, scope: Scope, receive: Receive, sending: _Sending, visit: Visit) -> None:
        # a socket lasts, and so does the stream of MCP: they have limits of their own
        lasts = scope["type"] == "websocket" or (scope["method"] == "GET" and scope["path"].startswith("/mcp"))
        self._under_way += not lasts
        try:
            await self._app(scope, receive, sending)
        except asyncio.CancelledError:
            await _cut_short(scope, sending)
        finally:
            self._under_way -= not lasts

    # -- one after the other --------------------------------------------------------------------------------------

    async def _let_in(self, scope: Scope, visit: Visit) -> None:
        """
        Raises:
            Refusal: it is not.
        """
        path = scope["path"]
        name = self._check_host(scope)
        self._check_site(scope)
        stopping = path in STOPPING
        now = self._clock()
        seconds = self._addresses.take(visit.address, now)
        if not stopping:
            _wait(seconds, "from one address")
        visit.caller = await self._known(scope, visit, name)
        if visit.caller is None and not (path in _OPEN or path.startswith("/hooks/")):
            raise refusal(
                "unauthenticated", "a token is needed: Authorization: Bearer ..., made by `tickwork tokens create`"
            )
        if visit.caller is not None:
            _wait((self._halts if stopping else self._callers).take(visit.caller.name, now), "by one caller")
        if self._under_way >= self._security.limits.at_once and not stopping and scope["type"] == "http":
            raise refusal("too-many-requests", f"{self._under_way} requests are being answered: ask again in a moment")

    def _check_host(self, scope: Scope) -> str:
        """The name under which it was asked."""
        found = headers(scope, b"host")
        name = name_of(found[0]) if len(found) == 1 else ""
        security = self._security
        ours = name in LOCAL_NAMES or name in security.allowed_hosts or name == security.host.lower()
        if not name or not (ours or (is_address(name) and not security.loopback)):
            shown = ", ".join(found)[:100] or "none"
            raise refusal("wrong-host", f"Host: {shown} is none of server.allowed_hosts, nor a name of this machine")
        return name

    def _check_site(self, scope: Scope) -> None:
        if scope["type"] == "http" and scope["method"] in _SAFE:
            return
        origins, site = headers(scope, b"origin"), header(scope, b"sec-fetch-site")
        host = header(scope, b"host") or ""
        allowed = self._security.allowed_origins
        if any(not same_site(origin, host, allowed) for origin in origins) or (not origins and site in _OTHERS):
            shown = ", ".join(origins)[:100] or site
            raise refusal("cross-site", f"asked by a page of another site ({shown}): see server.allowed_origins")

    async def _known(self, scope: Scope, visit: Visit, name: str) -> Caller | None:
        face: Face = "ws" if scope["type"] == "websocket" else "http"
        here = self._is_local(scope, visit, name)
        secret, by_cookie = _secret(scope)
        # a browser goes on sending a cookie that has ended: that must not lock out who needs none
        lenient = by_cookie and (here or scope["path"] in _OPEN)
        caller = await self._by_token(secret, face, lenient=lenient) if secret else None
        if caller is not None:
            visit.by_token = True
            if face == "ws":
                visit.stands = lambda: self._stands(secret, caller)
            return caller
        return Caller(name="local", face=face, scopes=self._security.local) if here else None

    async def _by_token(self, secret: str, face: Face, *, lenient: bool) -> Caller | None:
        now = from_ns(self._now())
        try:
            caller = self._tokens.caller(secret, face, now)
        except Unauthenticated as error:
            if lenient:
                return None
            raise refusal("unauthenticated", str(error)) from None
        except (InvalidInput, OSError) as error:
            _log.error("tokens cannot be read: %s", error)
            raise refusal("try-again", "tokens cannot be read just now: the log says why") from None
        if self._tokens.used(caller.name, now):
            await self._note_use(caller.name, now)
        return caller

    def _stands(self, secret: str, caller: Caller) -> bool:
        """Is a token still what it was? One that cannot be looked up is void."""
        try:
            return self._tokens.caller(secret, caller.face, from_ns(self._now())) == caller
        except (Unauthenticated, InvalidInput, OSError):
            return False

    async def _note_use(self, name: str, now: datetime) -> None:
        try:
            await asyncio.to_thread(self._tokens.note_use, name, now)
        except OSError as error:  # a full disk keeps nobody out
            _log.warning("the use of token %s cannot be noted: %s", name, error)

    def _is_local(self, scope: Scope, visit: Visit, name: str) -> bool:
        """Is it surely somebody at this machine?"""
        security = self._security
        return (
            bool(security.local)
            and security.loopback
            and is_loopback(visit.address)
            # some proxies say nothing of whom they ask for, but speak as nobody else does any more
            and scope.get("http_version") != "1.0"
            and (name in LOCAL_NAMES or name == security.host)
            and _PROXY.isdisjoint(header_names(scope))
            and all(same_site(origin, header(scope, b"host") or "", ()) for origin in headers(scope, b"origin"))
            # such as an image's address: it cannot be read there, and yet it would be work done for that page
            and (header(scope, b"sec-fetch-site") not in _OTHERS or header(scope, b"sec-fetch-mode") == "navigate")
        )

    # -- the rest -------------------------------------------------------------------------------------------------

    def _crossing(self, scope: Scope) -> Headers:
        """What lets a page of an allowed site read the answer."""
        origin = header(scope, b"origin") if self._security.allowed_origins else None
        if origin is None or origin not in self._security.allowed_origins:
            return []
        return [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"origin"), _EXPOSED]

    def _tell(self, scope: Scope, visit: Visit, found: Problem) -> None:
        """Log a refusal; nothing of what was sent but its path, for a secret may be anywhere in it."""
        self._metrics.refused(found.code)
        if self._told.take("", self._clock()):
            self._untold += 1
            return
        more = f" (and {self._untold} more since the last)" if self._untold else ""
        self._untold = 0
        caller = visit.caller.name if visit.caller is not None else ""
        _log.warning(
            "refused: %s %s from %s: %s%s", scope.get("method", "WebSocket"), scope["path"][:200], visit.address,
            found.code, more, extra={"code": found.code, "address": visit.address, "caller": caller},
        )  # fmt: skip


class _Sending:
    """Sends, adds what every answer has, and remembers the status."""

    __slots__ = ("_send", "crossing", "status")

    def __init__(self, send: Send, crossing: Headers) -> None:
        self._send = send
        self.crossing = crossing
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *_ALWAYS, *self.crossing]
        await self._send(message)


def _is_preflight(scope: Scope) -> bool:
    return (
        scope["type"] == "http"
        and scope["method"] == "OPTIONS"
        and header(scope, b"access-control-request-method") is not None
    )


def _wait(seconds: float, whose: str) -> None:
    if seconds > 0:
        whole = max(1, int(-(-seconds // 1)))
        raise refusal(
            "too-many-requests", f"more requests {whose} than server.limits allows: ask again in {whole} s",
            (b"retry-after", b"%d" % whole),
        )  # fmt: skip


def _secret(scope: Scope) -> tuple[str, bool]:
    """The secret that was sent, and whether it was in a cookie.

    Raises:
        Refusal: something was sent by which nobody can be known.
    """
    sent = headers(scope, b"authorization")
    if sent:
        scheme, _, secret = sent[0].partition(" ")
        if len(sent) > 1 or scheme.lower() != "bearer" or not secret.strip():
            raise refusal("unauthenticated", "Authorization has to be there once, as: Bearer <token>")
        return secret.strip(), False
    if scope["type"] == "websocket":
        for asked in scope.get("subprotocols", ()):
            if asked.startswith(BEARER):
                return asked.removeprefix(BEARER), False
    for line in headers(scope, b"cookie"):
        if COOKIE in line:
            try:
                found = SimpleCookie(line).get(COOKIE)
            except CookieError:
                continue
            if found is not None and found.value:
                return found.value, True
    return "", False


async def _cut_short(scope: Scope, sending: _Sending) -> None:
    """The process ends, and does not wait for the answer any longer; whoever asked is told, where that is possible."""
    _log.warning("cut short: %s %s, for the process ends", scope.get("method", "WebSocket"), scope["path"][:200])
    if scope["type"] != "http" or sending.status:
        return
    if scope["method"] in _SAFE:
        found = problem("try-again", "the process ends: ask again once it is up")
    else:
        found = problem(
            "unknown", "the process ends before it is known what came of it: look, or ask under the same key"
        )
    await replies.send_problem(sending, found, [(b"connection", b"close")])


async def _refuse(scope: Scope, receive: Receive, send: Send, no: Refusal) -> None:
    """Say no, over HTTP also to a WebSocket that was not opened yet."""
    if scope["type"] == "http":
        if no.problem.status == 401 and scope["method"] == "GET" and wants_page(scope):
            where = f"/login?next={quote(scope['path'])}".encode()
            return await replies.send_nothing(send, 303, [(b"location", where)])
        return await replies.send_problem(send, no.problem, no.headers)
    await receive()  # that it wants to connect
    if "websocket.http.response" not in scope.get("extensions", {}):
        return await send({"type": "websocket.close", "code": 1008, "reason": no.problem.code})

    async def as_websocket(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    return await replies.send_problem(as_websocket, no.problem, no.headers)
