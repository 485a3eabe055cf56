"""``/api/v1``: an operation for each method and path, answered by the service."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final, Protocol
from urllib.parse import quote, urlencode

import msgspec
from starlette.types import Receive, Scope, Send

from tickwork.faces.http import replies
from tickwork.faces.http.arguments import arguments, query_of, spellings
from tickwork.faces.http.replies import refusal
from tickwork.faces.http.routing import BASE, Place, Routes
from tickwork.faces.http.visit import Headers, Visit, header, headers, visit_of
from tickwork.service.api.caller import Caller
from tickwork.service.api.here import Answer
from tickwork.service.api.operation import Operation

_VERSION: Final = re.compile(r'"([^"]+?)(?:~[0-9a-f]+)?"')
"""An entity tag of ours: the version, and what tells apart how it was shown."""


_KEY: Final = re.compile(r"[!-~]{1,255}")


class Answers(Protocol):
    """What answers calls: ``service.api.here.Service``."""

    async def call(self, name: str, given: object, caller: Caller, key: str = "") -> Answer:
        """Do what is asked for."""
        ...


class Api:
    """Answers every request below ``/api/v1`` that is an operation."""

    def __init__(self, service: Answers, routes: Routes, *, body_max: int, patience: float, now: Any) -> None:
        self._service = service
        self._routes = routes
        self._body_max = body_max
        self._patience = patience
        self._now = now
        self._made = {name: _maker(routes, place) for name, place in routes.places.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Whatever goes wrong is told as a problem."""
        try:
            await self._answer(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - it is told, and logged where nobody raised it on purpose
            found, given = replies.problem_and_headers(error, scope, self._now())
            await replies.send_problem(send, found, given)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = visit_of(scope)
        place, fields = self._routes.find(_raw(scope)[len(BASE) :])
        visit.route = BASE + place.path
        method = scope["method"]
        operation = place.by_method.get("GET" if method == "HEAD" else method)
        if operation is None:
            allow = (b"allow", ", ".join(place.allowed).encode())
            if method == "OPTIONS":
                return await replies.send_nothing(send, 204, [allow])
            raise refusal("method-not-allowed", f"{visit.route} takes {', '.join(place.allowed)}", allow)
        visit.operation = operation.name
        assert visit.caller is not None
        given = await arguments(operation, fields, scope, receive, self._body_max, self._patience)
        if operation.kind == "command":
            _match(operation, scope, given)
            answer = await self._service.call(operation.name, given, visit.caller, _key(scope))
            return await self._done(send, place, operation, answer, given)
        answer = await self._service.call(operation.name, given, visit.caller)
        return await _shown(scope, send, operation, answer.value, visit)

    async def _done(
        self, send: Send, place: Place, operation: Operation, answer: Answer, given: dict[str, Any]
    ) -> None:
        value = answer.value
        # what is a record itself remembers its keys itself, and says so
        again = answer.repeated or (
            not operation.recorded and isinstance(value, dict) and value.get("repeated") is True
        )
        found: Headers = [(b"idempotency-replayed", b"true")] if again else []
        made = self._made[place.path] if operation.status == 201 else None
        location = made(answer.value, given) if made is not None else ""
        if location:
            found.append((b"location", location.encode()))
        await replies.send_json(send, operation.status, answer.value, found)


def _raw(scope: Scope) -> bytes:
    raw: bytes | None = scope.get("raw_path")
    return quote(scope["path"]).encode() if raw is None else raw.partition(b"?")[0]


def _key(scope: Scope) -> str:
    found = headers(scope, b"idempotency-key")
    if not found:
        return ""
    if len(found) > 1 or not _KEY.fullmatch(found[0]):
        raise refusal("bad-request", "Idempotency-Key: once, 1 to 255 characters of ASCII that can be seen")
    return found[0]


# ---------------------------------------------------------------------------------------------------------- queries


async def _shown(scope: Scope, send: Send, operation: Operation, value: Any, visit: Visit) -> None:
    body = msgspec.json.encode(value)
    found: Headers = []
    if operation.etag:
        tag = _tag(operation, value, body)
        found += [(b"etag", tag.encode()), (b"cache-control", b"no-cache")]
        if _same(header(scope, b"if-none-match"), tag):
            return await replies.send_nothing(send, 304, found)
    following = value.get("next") if isinstance(value, dict) else None
    if isinstance(following, str | int) and following != "":
        link = _link(operation, scope, str(following), visit)
        if link:
            found.append((b"link", f'<{link}>; rel="next"'.encode()))
    return await replies.send_bytes(send, operation.status, body, replies.JSON, found, fresh=not operation.etag)


def _link(operation: Operation, scope: Scope, following: str, visit: Visit) -> str:
    """Where the next page is."""
    known = operation.args.model_fields
    name = next((name for name in ("cursor", "after") if name in known), None)
    if name is None:
        return ""
    given = {key: value for key, value in query_of(operation, scope).items() if key != name}
    assert visit.route
    return f"{_raw(scope).decode('ascii')}?{urlencode({**given, name: following}, doseq=True)}"


def _tag(operation: Operation, value: Any, body: bytes) -> str:
    """An entity tag: the document's version, and a digest, for what is shown may change while the version stays."""
    found = value
    for part in operation.etag.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    digest = hashlib.blake2b(body, digest_size=6).hexdigest()
    return f'"{found}~{digest}"'


def _same(given: str | None, tag: str) -> bool:
    if given is None:
        return False
    return given.strip() == "*" or tag in [one.strip().removeprefix("W/") for one in given.split(",")]


# ---------------------------------------------------------------------------------------------------------- changes


def _match(operation: Operation, scope: Scope, given: dict[str, Any]) -> None:
    """``If-Match`` says which version of a document the caller knows."""
    tag = header(scope, b"if-match")
    if tag is None:
        return
    if not operation.if_match:
        raise refusal("bad-request", f"{operation.name} changes no document that has versions: leave If-Match out")
    if spellings(operation.args)[operation.if_match] & given.keys():
        raise refusal("bad-request", f"{operation.if_match} and If-Match say the same: one of them")
    if tag.strip() == "*":
        return
    found = _VERSION.fullmatch(tag.strip())
    if found is None:
        raise refusal("bad-request", 'If-Match: the ETag that came with the document, or its version, such as "3"')
    version = found[1]
    given[operation.if_match] = (
        int(version) if version.isascii() and version.isdecimal() and len(version) < 19 else version
    )


def _maker(routes: Routes, place: Place) -> Any:
    """Where what was made at a place is found; ``None``: nowhere of its own."""
    for other in routes.places.values():
        name = other.names[-1]
        if name is None or "GET" not in other.by_method or other.parts[:-1] != place.parts:
            continue
        camel = re.sub(r"_(\w)", lambda match: match[1].upper(), name)

        def location(
            value: Any, given: dict[str, Any], name: str = name, camel: str = camel, other: Place = other
        ) -> str:
            if not isinstance(value, dict):
                return ""
            id = next((value[key] for key in (name, camel, "id") if isinstance(value.get(key), str | int)), None)
            if id is None:
                return ""
            parts = [
                given.get(known, part) if known is not None else part
                for part, known in zip(other.parts[:-1], other.names[:-1], strict=True)
            ]
            return BASE + "".join(f"/{quote(str(part), safe='')}" for part in [*parts, id])

        return location
    return None
