"""The live stream to 1, 20 and 200 clients at 1,000 events a second: how old an event is when a client has it, what
that costs the server, and what an idle client costs.

The server is a process of its own: an engine on disk that takes the events, and the stream. Beside it stands a bare
Starlette broadcast in the same run: no engine and no disk, each event written once as JSON and sent to every client.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.figures import Figure, at_most, under_peer
from benchmarks.setting import ROOT, Setting, folder, percentile, rss_mb
from tickwork import Engine, Event
from tickwork.faces.http.socket import socket_routes
from tickwork.service.api.caller import Caller, local
from tickwork.service.stream.live import Live

RATE = 1_000
"""Events a second."""

SAMPLED = 4
"""Clients that read what they are told; the others only take it."""


class Ticked(Event, name="bench/ticked"):
    """Something that happened."""

    sent_ns: int


def measure(setting: Setting) -> None:
    """Age of an event p50 and p99, CPU of the server, memory for each idle client."""
    seconds = setting.pick(10, 2)
    for clients in (1, 20) if setting.quick else (1, 20, 200):
        ours = uvloop.run(fanned("stream", clients, seconds))
        bare = uvloop.run(fanned("bare", clients, seconds)) if setting.peers else None
        _show(setting, clients, ours, bare)
    count = setting.pick(200, 50)
    idle, bare_idle = (uvloop.run(idling(kind, count)) for kind in ("stream", "bare"))
    setting.add(Figure("ws-idle-client-memory", idle, "kB", "a bare Starlette socket", bare_idle, at_most(200)))


def _show(setting: Setting, clients: int, ours: dict[str, Any], bare: dict[str, Any] | None) -> None:
    peer = "bare broadcast"
    for share, name, goal in ((0.5, "p50", at_most(60)), (0.99, "p99", at_most(250))):
        theirs = None if bare is None else percentile(bare["ages"], share)
        figure = Figure(
            f"ws-fanout-{clients}-age-{name}", percentile(ours["ages"], share), "ms", peer, theirs,
            goal if clients <= 20 else None, notes={"events": ours["events"], "frames": ours["frames"]},
        )  # fmt: skip
        setting.add(figure)
    theirs = None if bare is None else bare["cpu"]
    notes = {"cpuWithoutClients": ours["cpuWithoutClients"]}
    less = under_peer(1) if clients > 20 else None
    setting.add(Figure(f"ws-fanout-{clients}-server-cpu", ours["cpu"], "cores", peer, theirs, less, notes))


# -------------------------------------------------------------------------------------------------------- clients


async def fanned(kind: str, clients: int, seconds: float) -> dict[str, Any]:
    """Ages of events in ms as sampled clients see them, and the server's CPU as a share of one core."""
    ages: list[float] = []
    counted = {"events": 0, "frames": 0}
    with folder() as path, serving(kind, path) as (server, url):
        alone = await asyncio.to_thread(_load, server, seconds / 2) if kind == "stream" else None
        connections = [await _subscribed(url, kind, "events") for _ in range(clients)]
        readers = [
            asyncio.ensure_future(_read(connection, ages, counted) if index < SAMPLED else _drain(connection))
            for index, connection in enumerate(connections)
        ]
        told = await asyncio.to_thread(_load, server, seconds)
        await asyncio.sleep(0.5)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        for connection in connections:
            connection.transport.abort()
    return {"ages": ages, "cpu": told["cpu"], "cpuWithoutClients": alone and alone["cpu"], **counted}


async def idling(kind: str, clients: int) -> float:
    """Memory of the server for each client that watches and hears nothing, kB."""
    with folder() as path, serving(kind, path) as (server, url):
        before = (await asyncio.to_thread(_load, server, 0.2))["rss"]
        connections = [await _subscribed(url, kind, "now") for _ in range(clients)]
        await asyncio.sleep(0.5)
        after = (await asyncio.to_thread(_load, server, 0.0))["rss"]
        for connection in connections:
            connection.transport.abort()
    return float(after - before) * 1_000 / clients


async def _subscribed(url: str, kind: str, view: str) -> ClientConnection:
    connection = await connect(f"{url}/ws", max_size=None, max_queue=None, proxy=None, compression=None)
    if kind == "stream":
        await connection.recv()
        await connection.send(json.dumps({"t": "sub", "id": 1, "view": view}))
        await connection.recv()
    return connection


async def _read(connection: ClientConnection, ages: list[float], counted: dict[str, int]) -> None:
    async for frame in connection:
        told = json.loads(frame)
        now = time.time_ns()
        events = [told] if "sent" in told else [fields["event"] for _, _, fields in told.get("set", ())]
        ages.extend((now - event.get("sentNs", event.get("sent", now))) / 1e6 for event in events)
        counted["events"] += len(events)
        counted["frames"] += 1


async def _drain(connection: ClientConnection) -> None:
    async for _ in connection:
        pass


# --------------------------------------------------------------------------------------------------------- server


@contextmanager
def serving(kind: str, path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server in a process of its own: it takes ``load <seconds>`` on its standard input, and reports."""
    command = [sys.executable, "-m", "benchmarks.ws_fanout", kind, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        port = json.loads(server.stdout.readline())["port"]
        try:
            yield server, f"ws://127.0.0.1:{port}"
        finally:
            server.stdin.close()
            server.wait(20)


def _load(server: subprocess.Popen[str], seconds: float) -> dict[str, float]:
    assert server.stdin is not None
    assert server.stdout is not None
    print(seconds, file=server.stdin, flush=True)
    found: dict[str, float] = json.loads(server.stdout.readline())
    return found


async def serve(kind: str, path: str) -> None:
    """Serve until standard input ends."""
    make = streaming if kind == "stream" else broadcasting
    async with make(path) as (routes, emit):
        door = socket.socket()
        door.bind(("127.0.0.1", 0))
        door.listen(512)
        config = uvicorn.Config(
            Starlette(routes=routes), log_level="error", lifespan="off", ws_per_message_deflate=False
        )
        server = uvicorn.Server(config)
        running = asyncio.ensure_future(server.serve([door]))
        print(json.dumps({"port": door.getsockname()[1]}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            began, spent = time.perf_counter(), time.process_time()
            await _emit(emit, float(line))
            cpu = (time.process_time() - spent) / max(time.perf_counter() - began, 1e-6)
            print(json.dumps({"cpu": cpu, "rss": rss_mb()}), flush=True)
        server.should_exit = True
        server.force_exit = True
        await running


async def _emit(emit: Callable[[int], Awaitable[None]], seconds: float) -> None:
    """``RATE`` events a second, evenly."""
    began, done = time.perf_counter(), 0
    while (at := time.perf_counter() - began) < seconds:
        while done < at * RATE:
            done += 1
            await emit(time.time_ns())
        await asyncio.sleep(0.001)


@asynccontextmanager
async def streaming(path: str) -> AsyncIterator[tuple[list[WebSocketRoute], Callable[[int], Awaitable[None]]]]:
    """An engine on disk, and its stream."""

    async def anybody(_: WebSocket) -> Caller | None:
        return local("ws")

    async with Engine(f"sqlite:///{path}/tape.db") as engine:
        live = Live(engine, mode="bench", version="0")
        await live.start()

        async def emit(now: int) -> None:
            engine.post(Ticked(sent_ns=now))

        yield socket_routes(live, anybody), emit
        await live.close()


@asynccontextmanager
async def broadcasting(path: str) -> AsyncIterator[tuple[list[WebSocketRoute], Callable[[int], Awaitable[None]]]]:
    """Every event to every socket, as it comes."""
    sockets: set[WebSocket] = set()

    async def ws(socket: WebSocket) -> None:
        await socket.accept()
        sockets.add(socket)
        try:
            while True:
                await socket.receive_text()
        except WebSocketDisconnect:
            sockets.discard(socket)

    async def emit(now: int) -> None:
        text = json.dumps({"sent": now, "name": "bench/ticked"})
        for one in list(sockets):
            await one.send_text(text)

    yield [WebSocketRoute("/ws", ws)], emit


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], sys.argv[2]))
