"""HTTP for feeds: one GET that is bounded in time and size, asks only for what is new, and turns answers into errors.

Secrets come from the environment. Configuration writes ``${NAME}`` where the value of the variable ``NAME`` belongs, in
a header or a query parameter, never in the URL itself, where it is refused. No error or log line repeats them, not even
where an answer does: errors name the host and the path alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from tickwork.errors import InvalidInput
from tickwork.market.live import FeedFailed, FeedLimited, FeedRefused
from tickwork.values import NS_PER_SECOND, DurationLike, duration, timestamp_ns
from tickwork.venues.feeds.reconnecting import Setting
from tickwork.venues.feeds.secrets import filled, redacted

if TYPE_CHECKING:
    import httpx2

LARGEST_ANSWER: Final = 16 << 20
"""The longest answer that is read, in bytes, unpacked."""
USER_AGENT: Final = "tickwork"

_LIMITED_S: Final = 60.0
"""How long to wait when a source says "too many requests" and not for how long."""
_REDIRECTS: Final = 5
_BEGINNING: Final = 200
"""How much of a refusal is quoted, in characters."""
_READ: Final = 65_536
"""How much of it is looked at for that, in bytes."""


class Answer(msgspec.Struct, frozen=True):
    """A good answer."""

    body: bytes
    content_type: str
    version: Mapping[str, str]
    """The headers by which to ask whether it has changed since."""


class Web:
    """GETs of one feed.

    Args:
        source: the feed's name, for errors.
        setting: the clock, and the environment in which ``${NAME}`` is looked up.
        headers: may hold ``${NAME}``.
        params: of the query; may hold ``${NAME}``. Where there is a secret, redirects are not followed: it would go to
            whoever the answer names.
        timeout: of a whole exchange, from connecting to the last byte.

    Raises:
        InvalidInput: not an http(s) URL, one with a password or a variable in it, or a variable that is not set, is
            empty, or holds more than a secret (see ``secrets.filled``).
    """

    def __init__(
        self,
        source: str,
        url: str,
        setting: Setting,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        timeout: DurationLike = "10s",
    ) -> None:
        parts = _parts(url, f"{source}.url")
        if parts.username is not None or parts.password is not None:
            raise InvalidInput(f"{source}.url", "a URL with a user in it", "one without; secrets go into headers")
        self._source = source
        self._url = url
        self._place = f"{parts.hostname}{parts.path}"
        self._setting = setting
        self.secrets: frozenset[str] = frozenset()
        """The values that were filled in."""
        given = dict(headers or {})
        self._headers = {
            "User-Agent": USER_AGENT,
            **{name: self._filled(value, f"headers.{name}") for name, value in given.items()},
        }
        self._params = {name: self._filled(value, f"params.{name}") for name, value in (params or {}).items()}
        self._secret = any("$" in value for value in (*given.values(), *(params or {}).values()))
        self._timeout_s = duration(timeout, f"{source}.timeout") / NS_PER_SECOND
        self._client: httpx2.AsyncClient | None = None
        self._seen: dict[str, str] = {}
        """What to send so that an unchanged answer is not sent again."""

    def _filled(self, value: str, field: str) -> str:
        text, secrets = filled(value, self._setting.environ, f"{self._source}.{field}")
        self.secrets |= secrets
        return text

    async def get(self, params: Mapping[str, str] | None = None, *, conditional: bool = False) -> Answer | None:
        """The answer to one GET; ``None``: unchanged since the last one (only when ``conditional``).

        Raises:
            FeedFailed: no answer in time, or one that is no success.
            FeedLimited: asked to come back later (429, or 503 with a time).
            FeedRefused: 400; 401 or 403 to somebody with a key (without one it is no more than a bad mood).
        """
        import httpx2  # noqa: PLC0415 - only who asks pays for loading it

        if self._client is None:
            # its log lines carry whole URLs, and so the keys that some services want in the query
            logging.getLogger("httpx2").setLevel(logging.WARNING)
            self._client = httpx2.AsyncClient(
                timeout=self._timeout_s, follow_redirects=not self._secret, max_redirects=_REDIRECTS
            )
        try:
            request = self._client.build_request(
                "GET",
                httpx2.URL(self._url).copy_merge_params({**self._params, **(params or {})}),
                headers={**self._headers, **(self._seen if conditional else {})},
            )
        except (httpx2.InvalidURL, ValueError, TypeError) as error:
            # its words may hold what was asked with
            raise FeedFailed(self._source, f"{self._place} cannot be asked: {type(error).__name__}") from None
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._client.send(request, stream=True)
                try:
                    body = await self._body(response)
                finally:
                    await response.aclose()
        except TimeoutError:
            raise FeedFailed(self._source, f"{self._place} did not answer within {self._timeout_s:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            what = f"{self._place}: {type(error).__name__} {redacted(str(error), self.secrets)}".rstrip()
            raise FeedFailed(self._source, what) from None
        if response.status_code == 304 and conditional and self._seen:
            return None
        self._judge(response.status_code, response.headers, body)
        asking = (("If-None-Match", "etag"), ("If-Modified-Since", "last-modified"))
        version = {ask: response.headers[told] for ask, told in asking if response.headers.get(told)}
        return Answer(body, response.headers.get("content-type", ""), version)

    def used(self, answer: Answer) -> None:
        """This answer was read to its end, so the same one need not come again. One that was no use should."""
        self._seen = dict(answer.version)

    async def _body(self, response: httpx2.Response) -> bytes:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > LARGEST_ANSWER:
                raise FeedFailed(self._source, f"{self._place} answered more than {LARGEST_ANSWER} bytes")
        return bytes(body)

    def forget(self) -> None:
        """The next answer is wanted whole, changed or not."""
        self._seen = {}

    def _judge(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        if status == 200:
            return
        what = f"{self._place} answered {status}"
        if status == 429 or (status == 503 and "retry-after" in headers):
            raise FeedLimited(self._source, self._asked_s(headers), what)
        if status == 400 or (status in (401, 403) and self._secret):
            # hidden before it is cut, or half a secret would pass
            said = redacted(" ".join(body[:_READ].decode("utf-8", "replace").split()), self.secrets)[:_BEGINNING]
            raise FeedRefused(self._source, what, said or "look at the key, and at what is asked")
        if status in (301, 302, 303, 307, 308):
            raise FeedFailed(self._source, f"{what}: it has moved, and secrets are not sent elsewhere")
        raise FeedFailed(self._source, what)

    def _asked_s(self, headers: Mapping[str, str]) -> float:
        """How long the answer asks to wait: ``Retry-After`` in seconds or as a date, or ``x-rate-limit-reset``."""
        now_ns = self._setting.now()
        after, reset = headers.get("retry-after", ""), headers.get("x-rate-limit-reset", "")
        if after.isascii() and after.isdigit():
            return float(after[:9])
        if reset.isascii() and reset.isdigit() and len(reset) < 12:
            return max(1.0, int(reset) - now_ns / NS_PER_SECOND)
        try:
            when = parsedate_to_datetime(after)
        except ValueError:
            return _LIMITED_S
        when_ns = timestamp_ns(when if when.tzinfo else when.replace(tzinfo=UTC))
        return max(1.0, (when_ns - now_ns) / NS_PER_SECOND)

    async def close(self) -> None:
        """Let the connection go; what was seen is kept."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


def _parts(url: str, field: str) -> SplitResult:
    """The parts of an URL that can be asked. What is said of a wrong one leaves out where secrets may be."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for one that is no number
    except ValueError:
        raise InvalidInput(field, "a host or port that is none", "an http or https URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput(field, f"{parts.scheme}://{parts.hostname or ''}{parts.path}", "an http or https URL")
    if "${" in url:
        raise InvalidInput(field, "a URL with ${...} in it", "one without; secrets go into headers= or params=")
    return parts
