"""MCP over streamable HTTP: a real server on loopback, the official client, and requests that are none."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.types import Scope

from tests.faces.mcp.serving import Client, caller, served, within
from tickwork.faces.http.app import create_app
from tickwork.faces.http.security import Security
from tickwork.faces.mcp.mount import BODY_MAX, mcp_mount
from tickwork.service.api.caller import Caller
from tickwork.values import from_ns

ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
CLIENT = {"name": "test", "version": "1"}


def who(scope: Scope) -> Caller:
    """Whoever says ``operator`` may operate, everybody else looks."""
    named = dict(scope["headers"]).get(b"authorization", b"")
    return caller("read", "operate") if named == b"Bearer operator" else caller("read")


class Server(uvicorn.Server):
    """Says when it has begun, and leaves signals to the tests."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.begun = asyncio.Event()

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        self.begun.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def listening(service: Any) -> AsyncIterator[str]:
    """The application on a port of loopback; gives its address."""
    mount = mcp_mount(service, who)
    app = Starlette(routes=mount.routes(), lifespan=lambda _: mount.running())
    server = Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    serving = asyncio.create_task(server.serve())
    try:
        await server.begun.wait()
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/mcp"
    finally:
        server.should_exit = True
        await serving


def _request(method: str, params: dict[str, Any], id: int = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": params}


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_a_client_lists_and_calls(tmp_path: Path, mode: str, slash: str) -> None:
    async def law() -> None:
        async with (
            served(tmp_path / "t.db", runs=2) as service,
            listening(service) as url,
            Client(url + slash, mode=mode) as client,
        ):
            tools = (await client.list_tools()).tools
            assert all(tool.annotations.read_only_hint for tool in tools)
            found = await client.call_tool("runs_list", {"limit": 1})
            assert [run["id"] for run in found.structured_content["items"]] == ["r-1"]
            refused = await client.call_tool("runs_cancel", {"run": "r-1"})
            assert refused.structured_content["code"] == "forbidden"
            recent = await client.read_resource("runs://recent")
            assert "r-0" in recent.contents[0].text

    within(law)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_progress_comes_as_a_stream(tmp_path: Path, mode: str) -> None:
    async def law() -> None:
        heard: list[float] = []

        async def hear(progress: float, total: float | None, message: str | None) -> None:
            heard.append(progress)

        async with (
            served(tmp_path / "t.db") as service,
            listening(service) as url,
            Client(url, mode=mode) as client,
        ):
            found = await client.call_tool("runs_list", {}, progress_callback=hear)
            assert not found.is_error
        assert heard[:1] == [0.0]

    within(law)


def test_rights_are_those_of_the_request(tmp_path: Path) -> None:
    async def law() -> None:
        async with served(tmp_path / "t.db") as service, listening(service) as url, httpx2.AsyncClient() as http:
            asked = _request("tools/call", {"name": "runs_cancel", "arguments": {"run": "r-0", "idempotency_key": "k"}})
            told = (await http.post(url, json=asked, headers=ACCEPT)).json()["result"]
            assert told["structuredContent"]["code"] == "forbidden"
            for _ in range(2):
                rights = {**ACCEPT, "authorization": "Bearer operator"}
                told = (await http.post(url, json=asked, headers=rights)).json()["result"]
                assert told["structuredContent"] == {"id": "r-0", "done": "cancelled"}

    within(law)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b'"x"', b"\xff", b"[" * 100_000, b'{"jsonrpc":"2.0","id":1}'])
def test_a_body_that_is_no_message_is_a_wrong_request(tmp_path: Path, body: bytes) -> None:
    async def law() -> None:
        async with served(tmp_path / "t.db") as service, listening(service) as url, httpx2.AsyncClient() as http:
            for more in ({}, {"mcp-protocol-version": "2026-07-28"}, {"mcp-protocol-version": "nonsense"}):
                told = await http.post(url, content=body, headers={**ACCEPT, **more})
                assert told.status_code == 400, told.text
                assert told.json()["error"]["code"] in (-32700, -32600, -32602, -32022)
            assert (await http.post(url, json=_request("tools/list", {}), headers=ACCEPT)).status_code == 200

    within(law)


def test_a_body_has_a_limit_and_other_methods_are_not_allowed(tmp_path: Path) -> None:
    async def law() -> None:
        async with served(tmp_path / "t.db") as service, listening(service) as url, httpx2.AsyncClient() as http:
            large = await http.post(url, content=b" " * (BODY_MAX + 1), headers=ACCEPT)
            assert (large.status_code, large.json()["code"]) == (413, "too-large")
            for method in ("GET", "DELETE", "PUT"):
                told = await http.request(method, url, headers=ACCEPT)
                assert (told.status_code, told.headers["allow"]) == (405, "POST")

    within(law)


def test_an_answer_in_json_needs_no_stream(tmp_path: Path) -> None:
    async def law() -> None:
        async with served(tmp_path / "t.db") as service, listening(service) as url, httpx2.AsyncClient() as http:
            asked = _request("tools/call", {"name": "runs_list", "arguments": {}, "_meta": {"progressToken": 1}})
            told = await http.post(url, json=asked, headers={**ACCEPT, "accept": "application/json"})
            assert told.headers["content-type"] == "application/json"
            assert told.json()["result"]["structuredContent"]["items"]

    within(law)


def test_a_client_that_goes_in_the_middle_disturbs_nobody(tmp_path: Path) -> None:
    """Twenty clients send a command and go at once; each command is done once, and the server goes on."""

    async def law() -> None:
        count = 20
        async with served(tmp_path / "t.db", runs=count) as service, listening(service) as url:
            host, port = url.removeprefix("http://").removesuffix("/mcp").split(":")
            for number in range(count):
                arguments = {"run": f"r-{number}", "idempotency_key": f"k-{number}"}
                body = json.dumps(_request("tools/call", {"name": "runs_cancel", "arguments": arguments})).encode()
                _, writer = await asyncio.open_connection(host, int(port))
                head = [f"{name}: {value}" for name, value in ACCEPT.items()]
                head += ["authorization: Bearer operator", f"content-length: {len(body)}", f"host: {host}:{port}"]
                writer.write("\r\n".join(["POST /mcp/ HTTP/1.1", *head, "", ""]).encode() + body)
                await writer.drain()
                writer.close()
            async with httpx2.AsyncClient() as http:
                rights = {**ACCEPT, "authorization": "Bearer operator"}
                for number in range(count):
                    arguments = {"run": f"r-{number}", "idempotency_key": f"k-{number}"}
                    asked = _request("tools/call", {"name": "runs_cancel", "arguments": arguments})
                    told = (await http.post(url, json=asked, headers=rights)).json()["result"]
                    assert told["structuredContent"] == {"id": f"r-{number}", "done": "cancelled"}

    within(law)


def test_behind_the_guard_only_a_token_does_more_than_look(tmp_path: Path) -> None:
    """Whoever sits at this machine may trade with a browser and a terminal; a model needs a token that says so."""

    async def law() -> None:
        async with served(tmp_path / "t.db") as service:
            now = from_ns(service.engine.clock.now())
            token = service.tokens.create("robot", ["operate"], now).secret
            mount = mcp_mount(service)
            local = Security(local=frozenset({"read", "operate", "trade"}))
            app = create_app(service, security=local, routes=mount.routes(), lifespan=lambda _: mount.running())
            transport = httpx2.ASGITransport(app=app, client=("127.0.0.1", 4_000))
            asked = _request("tools/call", {"name": "runs_cancel", "arguments": {"run": "r-0"}})
            async with mount.running(), httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
                for path in ("/mcp", "/mcp/"):
                    told = (await http.post(path, json=asked, headers=ACCEPT)).json()["result"]
                    assert told["structuredContent"]["code"] == "forbidden"
                for header, value, status in (
                    ("authorization", "Bearer tickwork_nobody", 401),
                    ("host", "evil.example", 421),
                    ("origin", "https://evil.example", 403),
                ):
                    refused = await http.post("/mcp", json=asked, headers={**ACCEPT, header: value})
                    assert refused.status_code == status
                    assert refused.headers["content-type"] == "application/problem+json"
                rights = {**ACCEPT, "authorization": f"Bearer {token}"}
                told = (await http.post("/mcp", json=asked, headers=rights)).json()["result"]
                assert told["structuredContent"] == {"id": "r-0", "done": "cancelled"}

    within(law)
