"""HTTP to a broker: one exchange of words, bounded in time and size, and what it means when it goes wrong.

Theory of operation. The one thing an order's fate hangs on is *when* a request failed:

* before a connection stood, nothing left this process: ``NotSent``, for sure;
* after that nobody knows: a time-out, a connection that broke and an answer that could not be read may all hide an
  order that was accepted. Such a failure is ``Unanswered``, which is neither ``Fatal`` nor ``NotSent``: unknown.

Nothing is ever sent a second time here, redirects are not followed, and the secrets given are cut out of all that is
said. Answers are read exactly: numbers with a point become ``Decimal``.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from tickwork.errors import InvalidInput, NotSent, Retryable
from tickwork.market.outside import instant_ns, read_json
from tickwork.values import NS_PER_SECOND, DurationLike, duration, money, price, quantity
from tickwork.venues.feeds.secrets import redacted

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T", str, int, bool, list, dict)  # type: ignore[type-arg]

LARGEST_ANSWER: Final = 32 << 20
"""The longest answer that is read, in bytes, unpacked; a broker's list of everything it trades has some ten million."""

_QUOTED: Final = 200
"""How much of an answer is repeated in an error, in characters."""


@cache
def _trusted() -> ssl.SSLContext:
    """Whom to believe; reading that from disk takes longer than an order."""
    import httpx2  # noqa: PLC0415

    return httpx2.create_ssl_context()


class Unanswered(Retryable):
    """The request left, and no answer came that says what became of it.

    Args:
        venue: its name.
        what: what was asked, and how that ended.
    """

    def __init__(self, venue: str, what: str) -> None:
        super().__init__(venue, what)

    def __str__(self) -> str:
        return f"{self.args[0]}: {self.args[1]}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    what: str
    """Method and path of what was asked."""
    status: int
    body: bytes
    headers: Mapping[str, str]


class Wire:
    """Requests to one host.

    Args:
        venue: its name, for errors.
        host: scheme and name, e.g. ``https://paper-api.alpaca.markets``.
        headers: sent with every request.
        secrets: cut out of everything that is said.
        timeout: of a whole exchange, from connecting to the last byte.

    Raises:
        InvalidInput: a host that is no http(s) address, or has a user, path or query.
    """

    def __init__(
        self,
        venue: str,
        host: str,
        *,
        headers: Mapping[str, str] | None = None,
        secrets: Collection[str] = (),
        timeout: DurationLike = "10s",
    ) -> None:
        parts = urlsplit(host)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise InvalidInput(f"{venue}.host", f"{parts.scheme}://{parts.hostname or ''}", "an http or https address")
        if parts.path.rstrip("/") or parts.query:
            raise InvalidInput(f"{venue}.host", f"a path or query after {parts.hostname}", "the address alone")
        self.venue = venue
        self._host = host.rstrip("/")
        self._headers = {"User-Agent": "tickwork", "Accept": "application/json", **(headers or {})}
        self._secrets = frozenset(secrets)
        self._timeout_s = duration(timeout, f"{venue}.timeout") / NS_PER_SECOND
        self._client: httpx2.AsyncClient | None = None

    async def call(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, json: object = None
    ) -> Answer:
        """Ask once.

        Raises:
            NotSent: no connection stood; nothing left this process.
            Unanswered: it left, and no whole answer came back in time.
        """
        import httpx2  # noqa: PLC0415 - only who asks pays for loading it

        client, what = self._opened(), f"{method} {path}"
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                client.stream(method, self._host + path, params=params, json=json, headers=self._headers) as response,
            ):
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > LARGEST_ANSWER:
                        raise Unanswered(self.venue, f"{what} answered more than {LARGEST_ANSWER} bytes")
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            raise NotSent(f"{self.venue}: {what} was not sent: {self._words(error)}") from None
        except TimeoutError:
            raise Unanswered(self.venue, f"{what} was not answered within {self._timeout_s:g} s") from None
        except httpx2.HTTPError as error:
            raise Unanswered(self.venue, f"{what} broke off: {self._words(error)}") from None
        return Answer(what, response.status_code, bytes(body), response.headers)

    def _opened(self) -> httpx2.AsyncClient:
        import httpx2  # noqa: PLC0415

        if self._client is None:
            logging.getLogger("httpx2").setLevel(logging.WARNING)  # its lines carry whole addresses
            self._client = httpx2.AsyncClient(timeout=self._timeout_s, follow_redirects=False, verify=_trusted())
        return self._client

    def _words(self, error: Exception) -> str:
        return f"{type(error).__name__} {redacted(str(error), self._secrets)}".rstrip()

    def clean(self, text: str) -> str:
        """A text without secrets, in one line and cut: for errors."""
        # hidden before it is cut, or half a secret would pass
        return " ".join(redacted(text, self._secrets).split())[:_QUOTED]

    def told(self, answer: Answer) -> str:
        """What an answer says, for an error: its status and beginning, without secrets."""
        return f"{answer.status} {self.clean(answer.body[: 64 << 10].decode('utf-8', 'replace'))}".rstrip()

    def json(self, answer: Answer, what: str = "") -> Any:
        """The document in an answer. ``what``: what was asked, where method and path do not say.

        Raises:
            InvalidInput: none: a page of HTML, a truncated document, NaN.
        """
        try:
            return read_json(answer.body)
        except InvalidInput:
            path = f"{self.venue}: {what or answer.what}"
            raise InvalidInput(path, self.told(answer), "JSON with finite numbers") from None

    async def close(self) -> None:
        """Let the connections go."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


class Row:
    """One object of an answer, read field by field; every complaint names the field by its path.

    Raises:
        InvalidInput: from every method: the field is missing, of another type, not finite, or not of its kind.
    """

    __slots__ = ("_path", "_row")

    def __init__(self, row: object, path: str) -> None:
        if not isinstance(row, dict):
            raise InvalidInput(path, repr(row)[:80], "an object")
        self._row = row
        self._path = path

    def at(self, name: str) -> str:
        """The path of a field."""
        return f"{self._path}.{name}"

    def has(self, name: str) -> bool:
        """Is there something, and not ``null`` or an empty text?"""
        return self._row.get(name) not in (None, "")

    def _of(self, name: str, kind: type[T], such: str) -> T:
        value = self._row.get(name)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise InvalidInput(self.at(name), "nothing" if value is None else repr(value)[:80], such)
        return value

    def text(self, name: str) -> str:
        """A text that is not empty."""
        value = self._of(name, str, "a text")
        if not value:
            raise InvalidInput(self.at(name), "an empty text", "a text")
        return value

    def whole(self, name: str) -> int:
        """A whole number of zero or more."""
        value = self._of(name, int, "a whole number")
        if value < 0:
            raise InvalidInput(self.at(name), value, "a whole number of zero or more")
        return value

    def flag(self, name: str) -> bool:
        """True or false."""
        return self._of(name, bool, "true or false")

    def rows(self, name: str) -> list[Row]:
        """A list of objects."""
        return listed(self._of(name, list, "a list"), self.at(name))

    def values(self, name: str) -> list[Any]:
        """A list of anything."""
        return self._of(name, list, "a list")

    def row(self, name: str) -> Row:
        """An object."""
        return Row(self._row.get(name), self.at(name))

    def one_of(self, name: str, words: Collection[str]) -> str:
        """One of a known vocabulary."""
        value = self.text(name)
        if value not in words:
            raise InvalidInput(self.at(name), value[:80], f"one of {', '.join(sorted(words))}")
        return value

    def amount(self, name: str) -> Decimal:
        """Money or a position, of either sign; a text or an exact number."""
        return money(self._row.get(name), self.at(name))

    def price(self, name: str) -> Decimal:
        """A price above zero."""
        return price(self._row.get(name), self.at(name))

    def quantity(self, name: str) -> Decimal:
        """A quantity of zero or more."""
        return quantity(self._row.get(name), self.at(name))

    def instant(self, name: str) -> int:
        """A time in ISO 8601, in ns since 1970 UTC."""
        return instant_ns(self._row.get(name), self.at(name))

    def millis(self, name: str) -> int:
        """A time in ms since 1970, in ns."""
        return self.whole(name) * 1_000_000


def listed(value: object, path: str) -> list[Row]:
    """A list of objects.

    Raises:
        InvalidInput: it is not one; ``null`` and an object with an error in it are no empty list.
    """
    if not isinstance(value, list):
        raise InvalidInput(path, repr(value)[:80], "a list")
    return [Row(row, f"{path}[{index}]") for index, row in enumerate(value)]
