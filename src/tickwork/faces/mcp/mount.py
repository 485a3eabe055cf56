"""MCP over streamable HTTP: an ASGI application to mount at ``/mcp``.

There are no sessions: each request stands for itself, and is answered in JSON. Only a call whose client wants to hear
of its progress is answered as a stream of events.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, Final

import msgspec
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.requests import Request
from starlette.routing import BaseRoute, Route
from starlette.types import Message, Receive, Scope, Send

from tickwork.faces.http.visit import caller_of, visit_of
from tickwork.faces.mcp.answers import Answers
from tickwork.faces.mcp.server import Context, make_server
from tickwork.service.api.caller import Caller
from tickwork.service.api.problems import problem

BODY_MAX: Final = 1 << 20
"""Bytes of one request."""

_CALLER: Final = "tickwork.mcp.caller"


class Mount:
    """The application. ``async with mount.running():`` is to last as long as requests come.

    Args:
        service: what answers.
        authorise: whoever makes a request. An error that it raises is the application's around it to answer.
    """

    def __init__(self, service: Answers, authorise: Callable[[Scope], Caller], *, body_max: int = BODY_MAX) -> None:
        self._authorise = authorise
        self._body_max = body_max
        self._server = make_server(service, _caller)
        self._plain = self._manager(json_response=True)
        self._telling = self._manager(json_response=False)

    def _manager(self, *, json_response: bool) -> StreamableHTTPSessionManager:
        # Host and Origin are judged by the application around this one, for all of its paths alike
        return StreamableHTTPSessionManager(
            self._server, json_response=json_response, stateless=True, max_request_body_size=self._body_max
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While requests come. Once only."""
        async with self._plain.run(), self._telling.run():
            yield

    def routes(self, path: str = "/mcp") -> list[BaseRoute]:
        """Where it is: with and without a slash at the end, because clients do both."""
        return [Route(path, endpoint=self), Route(f"{path}/", endpoint=self)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        caller = self._authorise(scope)
        if scope["method"] != "POST":  # there is no session to listen to, or to end
            await _answer(send, 405, b"", [(b"allow", b"POST")])
            return
        body = await _whole(receive, self._body_max)
        if body is None:
            found = problem("too-large", f"a request has at most {self._body_max:,} bytes")
            told = msgspec.json.encode(found.told())
            await _answer(send, found.status, told, [(b"content-type", b"application/problem+json")])
            return
        manager = self._telling if _wants_progress(scope, body) else self._plain
        await manager.handle_request({**scope, _CALLER: caller}, _again(body, receive), send)


def mcp_mount(service: Answers, authorise: Callable[[Scope], Caller] | None = None) -> Mount:
    """The application to mount at ``/mcp``; by default behind the guard of ``faces.http``."""
    return Mount(service, authorise or guarded_caller)


def guarded_caller(scope: Scope) -> Caller:
    """Whom the guard let in. Without a token it may only read, whoever it is: a model is no person at this machine."""
    caller = caller_of(scope)
    scopes = caller.scopes if visit_of(scope).by_token else caller.scopes & {"read"}
    return replace(caller, face="mcp", scopes=scopes)


def _caller(context: Context) -> Caller:
    request = context.request
    assert isinstance(request, Request)
    caller: Caller = request.scope[_CALLER]
    return caller


def _wants_progress(scope: Scope, body: bytes) -> bool:
    """Does the client want to hear of progress, and can it?"""
    if b'"progressToken"' not in body:
        return False
    accepts = b",".join(value for name, value in scope["headers"] if name == b"accept")
    return b"text/event-stream" in accepts


async def _whole(receive: Receive, most: int) -> bytes | None:
    """The body; ``None``: it is too large."""
    parts: list[bytes] = []
    size = 0
    while True:
        message: Message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts)
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """Give the body once more, then whatever comes."""
    told = False

    async def again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _answer(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    found: list[Any] = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": found})
    await send({"type": "http.response.body", "body": body})
