"""What goes over the wire, without a wire: requests, replies, and the ways in which an answer fails to come.

Every venue's routes are one function from a ``Request`` to an ``Outcome``; a socket server, or a client inside a
world, acts the outcome out.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

JSON: Final = {"Content-Type": "application/json;charset=utf-8"}
HTML: Final = {"Content-Type": "text/html; charset=utf-8"}

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request."""

    method: str
    path: str
    """Without the query, e.g. ``/api/v3/order``."""
    query: str = ""
    """As it was on the wire, still percent-encoded and without the ``?``: signatures are over these very letters."""
    headers: Mapping[str, str] | None = None
    """Names in lower case."""
    body: str = ""

    def header(self, name: str) -> str | None:
        """The header of this name (given in lower case)."""
        return None if self.headers is None else self.headers.get(name)


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Dropped:
    """The connection ends without an answer."""


@dataclass(frozen=True, slots=True)
class Delayed:
    """The answer comes later than it should."""

    seconds: float
    """After this long, counted from the request."""
    answer: Callable[[], Reply | Dropped]
    """To be called no earlier than that: what the answer is."""


Outcome = Reply | Dropped | Delayed


def json_reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """A reply of JSON; ``headers`` come on top of the content type."""
    return Reply(status, _encode(value), JSON if headers is None else {**JSON, **headers})


def html_reply(title: str, status: int, headers: Mapping[str, str] | None = None) -> Reply:
    """A page for people, as front-end proxies answer with when the API behind them does not."""
    head = f"<head><title>{status} {title}</title></head>"
    page = f"<html>{head}<body><center><h1>{status} {title}</h1></center></body></html>"
    return Reply(status, page.encode(), HTML if headers is None else {**HTML, **headers})


def fields(query: str) -> dict[str, str]:
    """The parameters of a query string or of a form; of one named twice, the last."""
    if "%" not in query and "+" not in query:  # the common case, several times faster than the general one
        return dict(pair.split("=", 1) for pair in query.split("&") if "=" in pair)
    return dict(parse_qsl(query, keep_blank_values=True))


def signature_of(text: str, secret: str) -> str:
    """HMAC-SHA256 in lower-case hexadecimal: how both venues sign."""
    return hmac.digest(secret.encode(), text.encode(), sha256().name).hex()


def signed_part(query: str, body: str) -> tuple[str, str]:
    """What a request signed, and the signature it came with ("" without one).

    Both venues sign the query string with the body put behind it, as they were sent, without ``signature`` itself,
    which may stand at the end of either.
    """
    signature = ""
    parts = []
    for text in (query, body):
        kept = text
        if "signature=" in text:
            pairs = text.split("&")
            signature = next((pair[10:] for pair in pairs if pair.startswith("signature=")), signature)
            kept = "&".join(pair for pair in pairs if not pair.startswith("signature="))
        parts.append(kept)
    return "".join(parts), signature


def equal(one: str, other: str) -> bool:
    """Whether two signatures are equal, in a time that does not tell how far they agree."""
    return hmac.compare_digest(one.encode(), other.encode())
