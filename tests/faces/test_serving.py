"""What lets the outside in, put together: also where something that it would serve is not installed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tickwork import Engine, Run, workflow
from tickwork.errors import InvalidInput
from tickwork.faces.http.around import Around
from tickwork.faces.http.security import Security
from tickwork.faces.mcp import extra
from tickwork.faces.serving import Door, Serving
from tickwork.service.running.parts import Parts
from tickwork.values import from_ns

LOCAL = Security(local=frozenset({"read", "operate", "trade"}))
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
ACCEPT = {"Accept": "application/json, text/event-stream"}


@workflow("rests")
async def rests(run: Run, given: object) -> None:
    """Sleeps for longer than any test."""
    await run.sleep("1 hour")


async def _served(tape: Path, door: Door, ask: str) -> list[httpx2.Response]:
    """What is answered to a GET of a path, and to a call of MCP there."""
    async with Engine(f"sqlite:///{tape}") as engine:
        serving = Serving(engine, door, Around(mode="paper", version="1"))
        parts = Parts(engine.clock.now)
        parts.add(serving.parts())
        await parts.start()
        try:
            assert parts.addresses == ([serving.server.address] if serving.server else [])
            if not parts.addresses:
                return []
            async with httpx2.AsyncClient(base_url=parts.addresses[0], headers=ACCEPT) as client:
                return [await client.get(ask), await client.post("/mcp", json=CALL)]
        finally:
            assert await parts.stop() == []


def test_all_of_it(tmp_path: Path) -> None:
    found = asyncio.run(_served(tmp_path / "t.db", Door(security=LOCAL, port=0), "/api/v1/runs"))
    assert [one.status_code for one in found] == [200, 200]
    assert any(tool["name"] == "runs_list" for tool in found[1].json()["result"]["tools"])


def test_without_the_library_for_mcp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extra, "there", lambda: False)
    found = asyncio.run(_served(tmp_path / "t.db", Door(security=LOCAL, port=0), "/api/v1/runs"))
    assert [one.status_code for one in found] == [200, 404]
    assert "pip install 'tickwork[mcp]'" in found[1].json()["detail"]


def test_where_nothing_is_to_be_served(tmp_path: Path) -> None:
    assert asyncio.run(_served(tmp_path / "t.db", Door(security=LOCAL, enabled=False), "/")) == []


def test_an_address_that_others_reach_needs_a_token(tmp_path: Path) -> None:
    door = Door(security=Security(host="0.0.0.0", local=frozenset()), host="0.0.0.0", port=0)
    with pytest.raises(InvalidInput, match="token"):
        asyncio.run(_served(tmp_path / "t.db", door, "/"))


async def _revoked(tape: Path) -> None:
    async with Engine(f"sqlite:///{tape}", workflows=[rests]) as engine:
        await engine.start(rests, None, id="rests")
        serving = Serving(engine, Door(security=LOCAL, port=0), Around(mode="paper", version="1"))
        parts = Parts(engine.clock.now)
        parts.add(serving.parts())
        await parts.start()
        url, now, tokens = parts.addresses[0].replace("http", "ws"), from_ns(engine.clock.now()), serving.service.tokens
        try:
            for path in ("/ws?v=1", "/ws/events?run=rests"):
                secret = tokens.create("one", ["read"], now).secret
                given = {"Authorization": f"Bearer {secret}"}
                async with connect(url + path, additional_headers=given) as theirs, connect(url + path) as ours:
                    await theirs.recv()
                    tokens.revoke("one")
                    tokens.create("one", ["read"], now)  # of the same name and rights, and yet another
                    with pytest.raises(ConnectionClosed) as closed:
                        async with asyncio.timeout(20):
                            while True:
                                await theirs.recv()
                    assert closed.value.rcvd is not None
                    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "unauthenticated")
                    assert await ours.recv(), "whoever needs no token stays"
                tokens.revoke("one")
        finally:
            await parts.stop()


def test_a_socket_ends_with_its_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tickwork.faces.http.socket.STANDS_S", 0.01)
    asyncio.run(_revoked(tmp_path / "t.db"))
