"""``/api/v1/openapi.json`` and ``/api/v1/docs``: what can be asked, for programs and for people."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cached_property
from html import escape
from itertools import groupby
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from tickwork.faces.http import replies
from tickwork.faces.http.openapi import openapi
from tickwork.faces.http.pages import only, send_page
from tickwork.faces.http.visit import header
from tickwork.service.api.operation import Operation


class Documentation:
    """Both, made when they are first asked for."""

    def __init__(self, operations: Iterable[Operation], version: str, *, snapshot: bool) -> None:
        self._operations = list(operations)
        self._version = version
        self._snapshot = snapshot

    @cached_property
    def document(self) -> dict[str, Any]:
        """OpenAPI."""
        return openapi(self._operations, self._version, snapshot=self._snapshot)

    @cached_property
    def _bytes(self) -> tuple[bytes, bytes]:
        body = msgspec.json.encode(self.document)
        return body, b'"%s"' % hashlib.blake2b(body, digest_size=8).hexdigest().encode()

    @cached_property
    def _html(self) -> str:
        by_path = sorted(self.document["paths"].items())
        rows = [
            (described["tags"][0], method, path, described)
            for path, all_ in by_path
            for method, described in all_.items()
        ]
        parts = ['<p>For programs: <a href="/api/v1/openapi.json">OpenAPI 3.1</a>.</p>']
        for tag, group in groupby(sorted(rows, key=lambda row: row[0]), key=lambda row: row[0]):
            parts.append(f'<h2 id="{escape(tag)}">{escape(tag)}</h2>')
            parts += [_described(method, path, described) for _, method, path, described in group]
        return "".join(parts)

    async def openapi(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The document for programs."""
        only(scope, "GET", "HEAD")
        body, tag = self._bytes
        headers = [(b"etag", tag), (b"cache-control", b"no-cache")]
        if header(scope, b"if-none-match") == tag.decode():
            return await replies.send_nothing(send, 304, headers)
        return await replies.send_bytes(send, 200, body, replies.JSON, headers, fresh=False)

    async def page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The page for people."""
        only(scope, "GET", "HEAD")
        await send_page(send, 200, "API", self._html)


def _described(method: str, path: str, described: dict[str, Any]) -> str:
    parameters = [
        (one["name"], one["in"], one["required"], one.get("description", "")) for one in described["parameters"]
    ]
    content = described.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema = content.get("schema", {})
    for name, field in schema.get("properties", {}).items():
        parameters.append((name, "body", name in schema.get("required", ()), field.get("description", "")))
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code><td>{where}{', required' if required else ''}<td>{escape(what)}</tr>"
        for name, where, required, what in parameters
    )
    examples = "".join(
        f"<p>Example: <code>{escape(msgspec.json.encode(one['value']).decode())}</code></p>"
        for one in content.get("examples", {}).values()
    )
    return (
        f"<h3><code>{method.upper()} {escape(path)}</code></h3><p>{escape(described['summary'])} "
        f"<span class=note>({escape(described.get('x-scope', 'read'))})</span></p><table>{rows}</table>{examples}"
    )
