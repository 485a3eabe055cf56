"""One operation over every face: what each of them answers, as a value or as the code of a problem."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import shlex
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
from typer.main import get_command

from tests.faces.mcp.serving import Client
from tickwork.faces.cli import app
from tickwork.faces.describing import words_of
from tickwork.faces.doors import Defaults
from tickwork.faces.http.app import create_app
from tickwork.faces.http.security import Security
from tickwork.faces.mcp.server import make_server
from tickwork.service.api.caller import Caller, local
from tickwork.service.api.here import Service, told
from tickwork.service.api.operation import Operation
from tickwork.values import from_ns

Outcome = tuple[str, Any]
"""``done`` and the value, or a problem's code and the problem."""

Face = Callable[[Operation, dict[str, Any]], Awaitable[Outcome]]


class Faces:
    """All ways to ask the same service. Everybody is the person at this machine, with every right."""

    def __init__(self, service: Service, tape: Path) -> None:
        self._service, self._tape = service, tape
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> dict[str, Face]:
        secret = self._service.tokens.create(
            "every", ["admin"], from_ns(self._service.engine.clock.now()), accounts=["*"]
        ).secret
        application = create_app(self._service, security=Security())
        http = await self._stack.enter_async_context(
            httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app=application, client=("127.0.0.1", 4_000)),
                base_url="http://localhost",
                headers={"authorization": f"Bearer {secret}"},
            )
        )
        mcp = await self._stack.enter_async_context(Client(make_server(self._service, lambda _: local("mcp"))))
        await mcp.list_tools()  # so that the client holds answers against the schemas

        async def by_service(operation: Operation, given: dict[str, Any]) -> Outcome:
            return await _directly(self._service, operation, given, local("http"))

        async def by_http(operation: Operation, given: dict[str, Any]) -> Outcome:
            return await _over_http(http, operation, given)

        async def by_mcp(operation: Operation, given: dict[str, Any]) -> Outcome:
            return await _over_mcp(mcp, operation, given)

        async def by_cli(operation: Operation, given: dict[str, Any]) -> Outcome:
            return await asyncio.to_thread(_over_cli, self._tape, operation, given)

        return {"service": by_service, "http": by_http, "mcp": by_mcp, "cli": by_cli}

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()


async def _directly(service: Service, operation: Operation, given: dict[str, Any], caller: Caller) -> Outcome:
    try:
        value = (await service.call(operation.name, given, caller)).value
        return "done", json.loads(json.dumps(value))
    except Exception as error:
        found = told(error)
        if found is None:
            raise
        return found.code, found.told()


async def _over_http(http: httpx2.AsyncClient, operation: Operation, given: dict[str, Any]) -> Outcome:
    rest, path = dict(given), operation.path
    for field in operation.in_path:
        for name in _spellings(operation, field):
            if name in rest:
                path = _filled(path, operation, field, quote(str(rest.pop(name)), safe=""))
    if operation.kind == "query":
        params: Any = [(name, _text(one)) for name, value in rest.items() for one in _several(value)]
        answer = await http.request(operation.method, f"/api/v1{path}", params=params)
    else:
        answer = await http.request(operation.method, f"/api/v1{path}", json=rest)
    assert answer.headers["content-type"].partition(";")[0] in ("application/json", "application/problem+json")
    value = answer.json()
    assert answer.is_success == ("code" not in value or answer.status_code < 400)
    return ("done", value) if answer.is_success else (value["code"], value)


def _filled(path: str, operation: Operation, field: str, text: str) -> str:
    for name in _spellings(operation, field):
        path = path.replace(f"{{{name}}}", text)
    return path


def _spellings(operation: Operation, field: str) -> set[str]:
    return {field, operation.args.model_fields[field].alias or field}


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


async def _over_mcp(mcp: Any, operation: Operation, given: dict[str, Any]) -> Outcome:
    found = await mcp.call_tool(operation.tool, given)
    value = found.structured_content
    if found.is_error:
        return value["code"], value
    return "done", value["result"] if set(value) == {"result"} else value


def _over_cli(tape: Path, operation: Operation, given: dict[str, Any]) -> Outcome:
    words = shlex.split(words_of(operation, given))[1:]
    if not all(isinstance(one, str) for one in given.values()):
        words = ["call", operation.name, "--json-args", json.dumps(given)]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = _command_line().main([*words, "--json", "--tape", str(tape)], standalone_mode=False, obj=_Doors())
    value = json.loads(out.getvalue())
    return ("done", value) if code == 0 else (value["code"], value)


@cache
def _command_line() -> Any:
    return get_command(app)


class _Doors:
    """Of the verb that asks, only its defaults are looked at."""

    def defaults(self) -> Any:
        return Defaults()
