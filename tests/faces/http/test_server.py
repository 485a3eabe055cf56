"""The server in the engine's loop; health and figures; tokens on the command line."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from tests.engine.support import live
from tests.faces.http.serving import LIMITS, LOCAL, problem, served
from tickwork import Engine, Queue
from tickwork.errors import InvalidInput, TickworkError
from tickwork.faces.http.app import create_app
from tickwork.faces.http.around import Around
from tickwork.faces.http.security import Limits, Security
from tickwork.faces.http.server import Server, bound
from tickwork.service.api.here import Service
from tickwork.service.feed_status import FeedStatus


@asynccontextmanager
async def app_of(folder: Path, **given: Any) -> AsyncIterator[Any]:
    async with Engine(f"sqlite:///{folder}/tape.db", queues=[Queue("line")]) as engine:
        service = Service(engine)
        service.open()
        yield create_app(service, security=Security(local=LOCAL, limits=LIMITS), **given)
        service.close()


# -------------------------------------------------------------------------------------------------------- the server


@live
async def test_a_port_that_is_taken_says_by_whom_and_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        async with app_of(tmp_path) as app:
            with pytest.raises(InvalidInput, match=rf"server\.port: .*--port.*{port}.*process {os.getpid()}"):
                await Server(app, port=port).start()
            async with Server(app, port=0) as server:
                assert server.address.startswith("http://127.0.0.1:")
                assert not server.address.endswith(str(port))


def test_addresses_that_are_none() -> None:
    for host in ("203.0.113.7", "not an address", "localhost.invalid"):
        with pytest.raises(InvalidInput, match=r"server\.host"):
            bound(host, 0)


@live
async def test_it_takes_no_signal_handlers_and_can_be_started_again(tmp_path: Path) -> None:
    import signal

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    async with app_of(tmp_path) as app:
        server = Server(app, port=0)
        for _ in range(2):
            async with (server := Server(app, port=0)), httpx2.AsyncClient(base_url=server.address) as client:
                assert (await client.get("/healthz")).json() == {"ok": True}
                assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
        with pytest.raises(httpx2.ConnectError):
            async with httpx2.AsyncClient(base_url=server.address) as client:
                await client.get("/healthz")


@live
async def test_what_is_being_answered_is_answered_before_it_stops(tmp_path: Path) -> None:
    begun, may = asyncio.Event(), asyncio.Event()

    async def check() -> str:
        begun.set()
        await may.wait()
        return ""

    async with app_of(tmp_path, around=Around(checks=(("slow", check),))) as app:
        server = Server(app, port=0)
        await server.start()
        async with httpx2.AsyncClient(base_url=server.address) as client:
            asking = asyncio.create_task(client.get("/readyz"))
            await begun.wait()
            stopping = asyncio.create_task(server.stop())
            may.set()
            assert (await asking).json() == {"ready": True, "problems": []}
        await stopping
        await server.stop()


@live
async def test_what_takes_too_long_is_ended(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def check() -> str:
        begun.set()
        await asyncio.Event().wait()
        return ""

    async with app_of(tmp_path, around=Around(checks=(("stuck", check),))) as app:
        server = Server(app, port=0)
        await server.start()
        async with httpx2.AsyncClient(base_url=server.address) as client:
            asking = asyncio.create_task(client.get("/readyz"))
            await begun.wait()
            await server.stop(grace=0)
            problem(await asking, 503, "try-again")


@live
async def test_what_does_not_start_is_an_error_and_not_the_end_of_the_process(tmp_path: Path) -> None:
    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        raise ZeroDivisionError
        yield

    async with app_of(tmp_path, lifespan=lifespan) as app:
        with pytest.raises(TickworkError, match="did not start"):
            await Server(app, port=0).start()


# ------------------------------------------------------------------------------------------------- health and figures


def feed(**changed: Any) -> FeedStatus:
    given: dict[str, Any] = {
        "name": "mexc", "kinds": ["quote"], "symbols": ["BTC/USDT"], "state": "live", "items": 1, "recorded": 1,
        "last_item_at": datetime(2026, 1, 1, tzinfo=UTC), "contact_at": None, "silence": None, "stale": False,
        "silent": [], "reconnects": 0, "errors": 0, "last_error": "", "retry_at": None,
    }  # fmt: skip
    return FeedStatus(**{**given, **changed})


@live
async def test_readiness_says_what_is_not_well(tmp_path: Path) -> None:
    feeds: list[FeedStatus] = [feed()]
    said = ""

    async def check() -> str:
        return said

    around = Around(feeds=lambda: feeds, checks=(("venue", check),))
    async with served(tmp_path, around=around) as world:
        assert (await world.client.get("/readyz")).json() == {"ready": True, "problems": []}
        feeds[0] = feed(stale=True, silent=["BTC/USDT"])
        said = "the venue does not answer"
        answer = await world.client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["problems"] == [
            {"what": "feed mexc", "detail": "nothing has come for too long: BTC/USDT"},
            {"what": "venue", "detail": "the venue does not answer"},
        ]
        assert (await world.client.get("/healthz")).status_code == 200


async def _pass(socket: WebSocket) -> None:
    await socket.close()


@live
async def test_figures(tmp_path: Path) -> None:
    around = Around(feeds=lambda: [feed(stale=True)], accounts=lambda: [("main", 3, 1)], sockets=lambda: 2, version="9")
    async with served(tmp_path, around=around, routes=[WebSocketRoute("/ws", _pass)]) as world:
        for n in range(5):
            await world.client.post("/api/v1/runs", json={"workflow": "waits", "input": {}, "id": f"a{n}"})
            await world.client.get(f"/api/v1/runs/a{n}")
            await world.client.get(f"/nowhere/{n}")
        for method in ("BREW", "PROPFIND", "PURGE", "LOCK"):
            await world.client.request(method, "/api/v1/runs")
        answer = await world.client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        families = {family.name: family for family in text_string_to_metric_families(answer.text)}
        samples = {(s.name, *sorted(s.labels.items())): s.value for f in families.values() for s in f.samples}

        def value(name: str, **labels: str) -> float | None:
            return samples.get((name, *sorted(labels.items())))

        assert value("tickwork_up") == 1
        assert value("tickwork_runs", status="waiting") == 5
        assert value("tickwork_open_orders", account="main") == 3
        assert value("tickwork_orders_in_doubt", account="main") == 1
        assert value("tickwork_websocket_clients") == 2
        assert value("tickwork_feed_stale", feed="mexc") == 1
        requests = "tickwork_http_requests_total"
        assert value(requests, method="POST", route="/api/v1/runs", status="201") == 5
        assert value(requests, method="GET", route="/api/v1/runs/{run}", status="200") == 5
        assert value(requests, method="GET", route="unmatched", status="404") == 5
        # what others send makes no new series
        routes = {labels["route"] for s in families["tickwork_http_requests"].samples for labels in [s.labels]}
        methods = {s.labels["method"] for s in families["tickwork_http_requests"].samples if "method" in s.labels}
        assert routes <= {"/api/v1/runs", "/api/v1/runs/{run}", "unmatched", "/metrics"}
        assert methods <= {"GET", "POST", "other"}


@live
async def test_a_scrape_counts_runs_now_and_then(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        looks = 0

        async def look() -> str:
            return (await world.client.get("/metrics")).text

        first = await look()
        assert 'tickwork_runs{status="waiting"}' not in first
        await world.client.post("/api/v1/runs", json={"workflow": "waits", "input": {}, "id": "a"})
        for _ in range(5):
            looks += 'tickwork_runs{status="waiting"}' in await look()
        assert looks == 0, "a scrape every moment counts all runs each time"


# -------------------------------------------------------------------------------------------------------------- tokens


def tickwork(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "tickwork"), *words]
    environ = {**{k: v for k, v in os.environ.items() if not k.startswith("TICKWORK_")}, "NO_COLOR": "1"}
    return subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=60, check=False)


def test_tokens_on_the_command_line_without_a_process(tmp_path: Path) -> None:
    made = tickwork("tokens", "create", "desk", "--scope", "read,operate", "--days", "3", "--json", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    told = json.loads(made.stdout)
    assert told["scopes"] == ["operate", "read"]
    assert told["secret"].startswith("tickwork_")
    again = tickwork("tokens", "create", "desk", "--scope", "read", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (2, "")
    assert "desk" in again.stderr
    listed = tickwork("tokens", "--json", cwd=tmp_path)
    assert [line["name"] for line in json.loads(listed.stdout)] == ["desk"]
    assert told["secret"] not in listed.stdout
    assert (tmp_path / ".tickwork" / "tokens.json").stat().st_mode & 0o777 == 0o600
    assert tickwork("tokens", "revoke", "desk", cwd=tmp_path).returncode == 0
    assert "there is no token" in tickwork("tokens", cwd=tmp_path).stdout


@live
async def test_tokens_on_the_command_line_beside_a_process_are_on_its_tape(tmp_path: Path) -> None:
    home = tmp_path / ".tickwork"
    home.mkdir()
    async with Engine(f"sqlite:///{home}/paper.db") as engine:
        service = Service(engine)
        service.open()
        app = create_app(service, security=Security(local=LOCAL, limits=Limits()))
        async with Server(app, port=0) as server, httpx2.AsyncClient(base_url=server.address) as client:
            made = await asyncio.to_thread(
                tickwork, "tokens", "create", "desk", "--scope", "read", "--json", cwd=tmp_path
            )
            assert made.returncode == 0, made.stderr
            secret = json.loads(made.stdout)["secret"]
            header = {"Authorization": f"Bearer {secret}"}
            assert (await client.get("/api/v1/runs", headers=header)).status_code == 200
            asked = [bytes(entry.record.value) for entry in engine.queries.events("tickwork/command.asked")]
            assert [b"tokens.create" in value and secret.encode() not in value for value in asked] == [True]
            gone = await asyncio.to_thread(tickwork, "tokens", "revoke", "desk", cwd=tmp_path)
            assert gone.returncode == 0, gone.stderr
            assert (await client.get("/api/v1/runs", headers=header)).status_code == 401
        service.close()
