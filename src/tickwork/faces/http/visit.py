"""One request on its way: who asks, from where, and what it is about."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

from starlette.types import Scope

from tickwork.service.api.caller import Caller

KEY: Final = "tickwork.visit"
"""Under which key of an ASGI scope it is."""
BEARER: Final = "bearer."
"""Begins a WebSocket's protocol that is a token."""
_HEADERS: Final = "tickwork.headers"


@dataclass(slots=True, kw_only=True)
class Visit:
    """What the guard found out about a request."""

    address: str
    """Of the other side."""
    caller: Caller | None = None
    """``None``: nobody is known, and what is asked for needs nobody."""
    by_token: bool = False
    """Did a token say who calls?"""
    stands: Callable[[], bool] | None = None
    """Of a WebSocket, which lasts: is its token still what it was when it was let in? ``None``: it has none."""
    route: str = "unmatched"
    """The template of the path, for metrics: of these there are few."""
    operation: str = ""
    """What is asked for, where it is an operation."""


def visit_of(scope: Scope) -> Visit:
    """The visit of a request that the guard let in."""
    found: Visit = scope[KEY]
    return found


def caller_of(scope: Scope) -> Caller:
    """Who asks; only where the guard lets nobody else in."""
    caller = visit_of(scope).caller
    assert caller is not None, "the guard lets nobody in here who is not known"
    return caller


def header(scope: Scope, name: bytes) -> str | None:
    """The value of a header; ``None``: there is none. Of several the first."""
    found = _by_name(scope).get(name)
    return None if found is None else found[0]


def headers(scope: Scope, name: bytes) -> list[str]:
    """The values of all headers of a name."""
    return _by_name(scope).get(name, [])


def subprotocol(scope: Scope) -> str | None:
    """The protocol to accept a WebSocket with: a browser that offers some takes no connection without one.

    One that is no token, where there is one, so that no secret is sent back.
    """
    offered = scope.get("subprotocols", ())
    return next((one for one in offered if not one.startswith(BEARER)), next(iter(offered), None))


def header_names(scope: Scope) -> Collection[bytes]:
    """Which headers there are."""
    return _by_name(scope).keys()


def _by_name(scope: Scope) -> dict[bytes, list[str]]:
    """All headers, sorted out once a request."""
    known: dict[bytes, list[str]] | None = scope.get(_HEADERS)
    if known is None:
        known = scope[_HEADERS] = {}
        for name, value in scope["headers"]:
            known.setdefault(name, []).append(str(value, "latin-1"))
    return known


Headers = list[tuple[bytes, bytes]]
Json = Any
