"""What is sent back: JSON, problems, pages."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

import msgspec
from starlette.types import Scope, Send

from tickwork.errors import BreakerOpen
from tickwork.faces.http.visit import Headers, Json
from tickwork.service.api.here import Failed, told
from tickwork.service.api.problems import Problem, problem

PROBLEM: Final = b"application/problem+json"
JSON: Final = b"application/json"

_log = logging.getLogger("tickwork.http")
_NO_STORE: Final = (b"cache-control", b"no-store")
_RETRY: Final = {429: b"1", 503: b"5"}
"""Seconds, by status, where nothing better is known."""


class Refusal(Exception):
    """A request is answered with a problem and not looked at further."""

    def __init__(self, found: Problem, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        super().__init__(found.detail)
        self.problem = found
        self.headers = list(headers)


def refusal(code: str, detail: str, *headers: tuple[bytes, bytes], **more: Json) -> Refusal:
    """A refusal of a known code."""
    return Refusal(problem(code, detail, **more), headers)


async def send_json(send: Send, status: int, value: Json, headers: Headers | None = None) -> None:
    """Send JSON values."""
    await send_bytes(send, status, msgspec.json.encode(value), JSON, headers)


async def send_bytes(
    send: Send, status: int, body: bytes, kind: bytes, headers: Headers | None = None, *, fresh: bool = True
) -> None:
    """Send a body. ``fresh``: nobody may keep it."""
    found: Headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    if fresh:
        found.append(_NO_STORE)
    if headers:
        found += headers
    await send({"type": "http.response.start", "status": status, "headers": found})
    await send({"type": "http.response.body", "body": body})


async def send_nothing(send: Send, status: int, headers: Headers | None = None) -> None:
    """Send a status and headers alone."""
    given = list(headers or ())
    if not any(name == b"cache-control" for name, _ in given):
        given.append(_NO_STORE)
    await send({"type": "http.response.start", "status": status, "headers": given})
    await send({"type": "http.response.body", "body": b""})


async def send_problem(send: Send, found: Problem, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Send a problem."""
    given = list(headers)
    if found.status == 401:
        given.append((b"www-authenticate", b"Bearer"))
    if found.status in _RETRY and not any(name == b"retry-after" for name, _ in given):
        given.append((b"retry-after", _RETRY[found.status]))
    await send_bytes(send, found.status, msgspec.json.encode(found.told(), enc_hook=str), PROBLEM, given)


def problem_and_headers(error: Exception, scope: Scope, now: int) -> tuple[Problem, Headers]:
    """What becomes of an error. One that nobody raised on purpose is logged, and its words are kept from the answer.

    Args:
        now: ns since 1970 UTC, by the engine's clock.
    """
    if isinstance(error, Refusal):
        return error.problem, error.headers
    found = told(error)
    if found is None:
        _log.error("%s %s failed", scope["method"], scope["path"], exc_info=error)
        return problem("internal", "this is logged where tickwork runs; the same may be asked again"), []
    headers: Headers = [(b"idempotency-replayed", b"true")] if isinstance(error, Failed) else []
    if isinstance(error, BreakerOpen):
        seconds = max(1, -(-(error.retry_at - now) // 1_000_000_000))
        headers.append((b"retry-after", b"%d" % seconds))
    return found, headers
