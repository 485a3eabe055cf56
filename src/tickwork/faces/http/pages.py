"""Pages that the server writes itself: without JavaScript, and nothing is fetched from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import Final
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from tickwork.faces.http import replies
from tickwork.faces.http.arguments import body_of
from tickwork.faces.http.replies import refusal
from tickwork.faces.http.visit import Headers, header

HTML: Final = b"text/html; charset=utf-8"
FORM_MAX: Final = 16_384
FORM_PATIENCE_S: Final = 10.0

_STYLE: Final = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 44rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; padding: .3rem .6rem .3rem 0; vertical-align: top }
tr { border-bottom: 1px solid #8884 } code { font-size: .9em; overflow-wrap: anywhere }
form { border: 1px solid #8886; border-radius: 6px; padding: 1rem; margin: 1rem 0 }
label { display: block; margin: .5rem 0 } input, select, button { font: inherit; padding: .4rem .6rem; max-width: 100% }
button { cursor: pointer } .stop { background: #b00020; color: #fff; border: 0; border-radius: 4px; font-weight: 600 }
.state { padding: .8rem 1rem; border-radius: 6px; border: 2px solid; font-weight: 600 }
.bad { border-color: #b00020 } .good { border-color: #1b7f3b } .note { opacity: .8 }
"""
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
PAGE_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Of a page of ours: no script at all, no style but its own."""

APP_POLICY: Final = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'"
)
"""Of the dashboard."""


def page(title: str, body: str) -> bytes:
    """A page. ``body`` is HTML: what comes from outside was escaped."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} - tickwork</title><style>{_STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1>{body}</body></html>"
    ).encode()


async def send_page(send: Send, status: int, title: str, body: str, headers: Headers | None = None) -> None:
    """Send a page."""
    policy = (b"content-security-policy", PAGE_POLICY.encode())
    await replies.send_bytes(send, status, page(title, body), HTML, [policy, *(headers or ())])


async def form_of(scope: Scope, receive: Receive) -> dict[str, str]:
    """The fields of a form that was sent.

    Raises:
        Refusal: it is none, or says something twice.
    """
    kind = (header(scope, b"content-type") or "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise refusal("unsupported-media-type", "this page takes its own form; programs use /api/v1")
    body = await body_of(scope, receive, FORM_MAX, FORM_PATIENCE_S)
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=20, errors="strict")
    except ValueError:
        raise refusal("bad-request", "the form cannot be read") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise refusal("bad-request", "the form says something twice")
    return fields


def only(scope: Scope, *methods: str) -> None:
    """
    Raises:
        Refusal: the request has another method.
    """
    if scope["method"] not in methods:
        allow = ", ".join(methods)
        raise refusal("method-not-allowed", f"{scope['path']} takes {allow}", (b"allow", allow.encode()))


def wants_page(scope: Scope) -> bool:
    """Does a browser ask, for somebody to look at?"""
    return scope["type"] == "http" and "text/html" in (header(scope, b"accept") or "")
