"""The exchange inside a world: requests in, answers out, without sockets and in the world's own time.

``Wire`` plays a request against a venue's routes and sleeps by the sleep that it is given. ``CcxtSession`` is what a
real ccxt client takes in place of its aiohttp session: all of ccxt's own ``fetch`` runs, its parsing and its mapping of
errors, and only the socket below it is replaced.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from tickwork.sim.exchange.api import VenueApi
from tickwork.sim.exchange.http import Delayed, Dropped, Reply, Request
from tickwork.values import NS_PER_SECOND

Sleep = Callable[[int], Awaitable[object]]
"""Waits so many ns."""


class ConnectionDropped(ConnectionError):
    """The other side ended the connection without an answer."""


class Wire:
    """What lies between a client and the venue.

    Args:
        api: the venue's routes.
        sleep: waits for so many ns, in the time of the exchange's clock.
        latency: ns that every answer takes; the request arrives after half of it.
    """

    def __init__(self, api: VenueApi, sleep: Sleep, latency: int = 0) -> None:
        self._api = api
        self._sleep = sleep
        self.latency = latency
        self.requests = 0
        """How many were made."""

    async def request(self, request: Request, timeout: int | None = None) -> Reply:
        """Make a request.

        Args:
            timeout: ns after which the client gives up.

        Raises:
            ConnectionDropped: the connection ended without an answer.
            TimeoutError: none came in time; the request may have been processed, or may be later.
        """
        self.requests += 1
        there = self.latency // 2
        if there:
            await self._sleep(there)
        outcome: Reply | Dropped | Delayed = self._api.handle(request)
        back = self.latency - there
        if isinstance(outcome, Delayed):
            wait = int(outcome.seconds * NS_PER_SECOND)
            if timeout is not None and self.latency + wait >= timeout:
                await self._sleep(timeout - there)
                raise TimeoutError(f"{request.method} {request.path}: no answer within {timeout / 1e9:g} s")
            await self._sleep(wait)
            outcome = outcome.answer()
        if back:
            await self._sleep(back)
        if isinstance(outcome, Dropped):
            raise ConnectionDropped(f"{request.method} {request.path}: the server disconnected")
        return outcome


class CcxtSession:
    """The aiohttp session of a ccxt client, over a ``Wire``.

    ``ccxt.async_support.mexc({"session": CcxtSession(wire), "verify": False, "enableRateLimit": False, ...})``: ccxt's
    rate limiter reads the machine's own clock, so a world leaves it off, and gives the client its time by
    ``client.milliseconds = lambda: clock() // 1_000_000``. The URLs stay the venue's own.
    """

    headers: Mapping[str, str] = {}

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def _exchange(self, method: str, url: Any, **options: Any) -> _Exchange:
        return _Exchange(self._wire, method, str(url), options)

    def get(self, url: Any, **options: Any) -> _Exchange:
        """As aiohttp's."""
        return self._exchange("GET", url, **options)

    def post(self, url: Any, **options: Any) -> _Exchange:
        """As aiohttp's."""
        return self._exchange("POST", url, **options)

    def put(self, url: Any, **options: Any) -> _Exchange:
        """As aiohttp's."""
        return self._exchange("PUT", url, **options)

    def delete(self, url: Any, **options: Any) -> _Exchange:
        """As aiohttp's."""
        return self._exchange("DELETE", url, **options)

    async def close(self) -> None:
        """There is nothing to close."""


class _Exchange:
    """One request and its answer, as the context that aiohttp's methods return."""

    def __init__(self, wire: Wire, method: str, url: str, options: Mapping[str, Any]) -> None:
        self._wire = wire
        self._method = method
        self._url = url
        self._options = options

    async def __aenter__(self) -> _Response:
        import aiohttp  # noqa: PLC0415 # only who has ccxt has it

        parts = urlsplit(self._url)
        body = self._options.get("data")
        timeout = self._options.get("timeout")
        total = None if timeout is None or timeout.total is None else int(timeout.total * NS_PER_SECOND)
        headers = {name.lower(): value for name, value in (self._options.get("headers") or {}).items()}
        request = Request(self._method, parts.path, parts.query, headers, (body or b"").decode())
        try:
            return _Response(await self._wire.request(request, total))
        except ConnectionDropped as error:
            raise aiohttp.ServerDisconnectedError(str(error)) from error
        except TimeoutError as error:
            raise TimeoutError(str(error)) from error

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class _Response:
    """An answer as aiohttp has it, as far as ccxt reads it."""

    def __init__(self, reply: Reply) -> None:
        self.status = reply.status
        self.reason = _REASONS.get(reply.status, "Unknown")
        self.headers = dict(reply.headers)
        self.content = reply.body

    async def text(self, errors: str = "replace") -> str:
        """The body."""
        return self.content.decode(errors=errors)


_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    418: "I'm a teapot",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
