"""What the composition root tells the HTTP face of the process it is in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tickwork.faces.http.metrics import AccountFigures
from tickwork.service.api.caller import Caller
from tickwork.service.feed_status import FeedStatus


class Live(Protocol):
    """The live stream, as far as the routes ask it: ``service.stream``."""

    async def snapshot(self, view: str, caller: Caller) -> Mapping[str, Any]:
        """A view at one moment."""
        ...


class Hooked(Protocol):
    """What takes webhooks in: ``service.hooks.Hooks``."""

    async def receive(self, name: str, headers: Any, body: bytes) -> int:
        """Take a delivery in."""
        ...


Check = Callable[[], Awaitable[str]]
"""What is not well, in words; ``""``: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """The process the face is in."""

    mode: str = "paper"
    version: str = ""
    feeds: Callable[[], Iterable[FeedStatus]] = tuple
    accounts: Callable[[], Iterable[AccountFigures]] = tuple
    sockets: Callable[[], int] = int
    """How many WebSocket clients there are."""
    checks: tuple[tuple[str, Check], ...] = ()
    """What else has to be well before the process is ready, by name."""
