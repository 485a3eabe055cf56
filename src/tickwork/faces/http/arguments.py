"""The arguments of an operation, from path, query string and body."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import msgspec
from starlette.types import Receive, Scope

from tickwork.faces.http.replies import refusal
from tickwork.faces.http.visit import header, headers
from tickwork.service.api.operation import Args, Operation

QUERY_MAX: Final = 100
"""Parameters of one query string."""


async def arguments(
    operation: Operation, fields: dict[str, str], scope: Scope, receive: Receive, limit: int, patience: float
) -> dict[str, Any]:
    """What was given.

    Args:
        fields: those in the path.
        limit: bytes of a body.
        patience: seconds until it has come.

    Raises:
        Refusal: it cannot be read, or something is said twice.
    """
    if operation.kind == "query":
        given: dict[str, Any] = query_of(operation, scope)
    else:
        if scope["query_string"]:
            raise refusal("bad-request", f"{operation.method} takes its arguments from path and body, none after a ?")
        body = await body_of(scope, receive, limit, patience)
        given = json_of(scope, body) if body else {}
    for name, value in fields.items():
        if spellings(operation.args)[name] & given.keys():
            raise refusal("bad-request", f"{name} is in the path, and must not be said again")
        given[name] = value
    return given


@cache
def spellings(args: type[Args]) -> dict[str, frozenset[str]]:
    """Each spelling of a field -> all of that field's."""
    found = {}
    for name, known in args.model_fields.items():
        both = frozenset((name, known.alias or name))
        for spelling in both:
            found[spelling] = both
    return found


@cache
def _lists(args: type[Args]) -> frozenset[str]:
    """The fields, in each spelling, that may be given several times."""
    properties = args.model_json_schema(by_alias=False).get("properties", {})
    several = {
        name
        for name, schema in properties.items()
        if any(one.get("type") == "array" for one in (schema, *schema.get("anyOf", ())))
    }
    return frozenset(spelling for name in several for spelling in spellings(args)[name])


def query_of(operation: Operation, scope: Scope) -> dict[str, Any]:
    """The parameters of a query string.

    Raises:
        Refusal: one is unknown or said twice, there are too many, or they are not UTF-8.
    """
    found: dict[str, Any] = {}
    several, known = _lists(operation.args), spellings(operation.args)
    for name, value in parameters(scope):
        if name not in known or name in operation.in_path:
            takes = ", ".join(
                f.alias or n for n, f in operation.args.model_fields.items() if n not in operation.in_path
            )
            raise refusal(
                "invalid-input", f"{name[:80]}: expected one of {takes or 'none'}", path=name[:80],
                found="an unknown parameter", expected=f"one of {takes}" if takes else "no parameters",
            )  # fmt: skip
        if name in several:
            found.setdefault(name, []).append(value)
        elif any(spelling in found for spelling in known[name]):
            raise refusal("bad-request", f"{name} is given twice")
        else:
            found[name] = value
    return found


def parameters(scope: Scope) -> list[tuple[str, str]]:
    """The parameters of a query string, as they stand there.

    Raises:
        Refusal: there are too many, or they are not UTF-8.
    """
    text: bytes = scope["query_string"]
    pairs = text.split(b"&") if text else []
    if len(pairs) > QUERY_MAX:
        raise refusal("bad-request", f"{len(pairs)} parameters: at most {QUERY_MAX}")
    return [_decoded(pair) for pair in pairs]


def _decoded(pair: bytes) -> tuple[str, str]:
    name, _, value = pair.replace(b"+", b" ").partition(b"=")
    try:
        return unquote_to_bytes(name).decode(), unquote_to_bytes(value).decode()
    except UnicodeDecodeError:
        raise refusal("bad-request", "the query string is not UTF-8, percent-encoded") from None


def json_of(scope: Scope, body: bytes) -> dict[str, Any]:
    """The JSON object that a body is.

    Raises:
        Refusal: it is none, or says to be something else.
    """
    kinds = headers(scope, b"content-type")
    kind, _, parameters = (kinds[0] if len(kinds) == 1 else "").partition(";")
    if kind.strip().lower() != "application/json":
        raise refusal(
            "unsupported-media-type", "the body has to be application/json", (b"accept-post", b"application/json")
        )
    if parameters.strip().lower().replace('"', "") not in ("", "charset=utf-8"):
        raise refusal("unsupported-media-type", "JSON is UTF-8")
    if header(scope, b"content-encoding") not in (None, "identity"):
        raise refusal("unsupported-media-type", "the body must not be compressed")
    try:
        found = msgspec.json.decode(body)
    except msgspec.MsgspecError as error:
        raise refusal("bad-request", f"the body is not JSON: {error}") from None
    except RecursionError:
        raise refusal("bad-request", "the body is nested too deeply") from None
    if not isinstance(found, dict):
        raise refusal("bad-request", "the body has to be a JSON object of the operation's fields")
    return found


async def body_of(scope: Scope, receive: Receive, limit: int, patience: float) -> bytes:
    """A body, whole.

    Raises:
        Refusal: it is too large, does not come in time, or the other side went away.
    """
    length = header(scope, b"content-length")
    if length is not None and length.isdecimal() and int(length[:18]) > limit:
        raise refusal("too-large", f"the body has {length[:18]} bytes: at most {limit:,}", limit=limit)
    if length is None and header(scope, b"transfer-encoding") is None:
        return b""
    try:
        async with asyncio.timeout(patience):
            return await _whole(receive, limit)
    except TimeoutError:
        raise refusal(
            "request-timeout", f"the body did not come within {patience:g} s", (b"connection", b"close")
        ) from None


async def _whole(receive: Receive, limit: int) -> bytes:
    found = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise refusal("bad-request", "the other side went away in the middle of the body")
        chunk: bytes = message.get("body", b"")
        found = found + chunk if found else chunk
        if len(found) > limit:
            raise refusal("too-large", f"the body has more than {limit:,} bytes", limit=limit)
        if not message.get("more_body", False):
            return found
