"""Events a second accepted over HTTP, each answered when it is on disk, beside a bare FastAPI that inserts into SQLite.

Both servers are processes of their own, on the same disk, under the same uvicorn, uvloop and parser, and are asked by
the same client in turns. The bare one checks the body with a pydantic model, inserts it and commits, with
``synchronous=FULL`` as we do: one transaction a request, on the loop, which is its fastest way.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import uvloop

from benchmarks.figures import Figure, times_peer
from benchmarks.peers.environment import PYTHON, install
from benchmarks.setting import ROOT, Setting, folder, median, percentile

PEER = {"fastapi": "0.165.0", "uvicorn": "0.54.0", "uvloop": "0.22.1", "httptools": "0.9.0"}
ROUNDS = 5
_BODY = b'{"name":"bench/tick","payload":{"symbol":"BTC/USDT","price":"61234.5","quantity":"0.25","n":%d}}'


def measure(setting: Setting) -> None:
    """One connection and a hundred, in turns with the bare server; and a hundred with a key each."""
    if setting.peers:
        for package, version in PEER.items():
            install(package, version)
    with folder() as path, _server("ours", path) as ours, _server("bare", path, wanted=setting.peers) as bare:
        for connections, count, goal in ((1, setting.pick(2_000, 200), 0.5), (100, setting.pick(20_000, 2_000), 1.0)):
            rates: dict[str, list[float]] = {"ours": [], "bare": [], "keys": []}
            slow: list[float] = []
            for _ in range(setting.pick(ROUNDS, 2)):
                rate, waits = uvloop.run(_round(ours, connections, count))
                rates["ours"].append(rate)
                slow.append(percentile(waits, 0.99))
                if bare:
                    rates["bare"].append(uvloop.run(_round(bare, connections, count))[0])
                rates["keys"].append(uvloop.run(_round(ours, connections, count, keys=True))[0])
            notes = {"events": count, "p99_ms": round(1e3 * median(slow), 2), "peer": PEER["fastapi"]}
            peer = median(rates["bare"]) if bare else None
            name = f"http-events-{connections}"
            setting.add(Figure(name, median(rates["ours"]), "events/s", _WHO, peer, times_peer(goal), notes))
            setting.add(Figure(f"{name}-with-keys", median(rates["keys"]), "events/s", _WHO, peer, None, notes))


_WHO = "FastAPI + SQLite insert, without keys"


@contextlib.contextmanager
def _server(whose: str, path: Path, *, wanted: bool = True) -> Iterator[int]:
    """A server in a process of its own; gives its port, 0 where it is not wanted."""
    if not wanted:
        yield 0
        return
    command = (
        [sys.executable, "-m", "benchmarks.http_server", str(path)]
        if whose == "ours"
        else [str(PYTHON), str(Path(__file__).parent / "peers" / "fastapi_peer.py"), str(path)]
    )
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(30)


async def _round(port: int, connections: int, count: int, *, keys: bool = False) -> tuple[float, list[float]]:
    """Events a second, and how long each took."""
    waits: list[float] = []
    numbers = iter(range(count))
    loop = asyncio.get_running_loop()
    lanes = [
        await loop.create_connection(lambda: _Lane(numbers, waits, keys), "127.0.0.1", port) for _ in range(connections)
    ]
    began = time.perf_counter()
    for transport, lane in lanes:
        lane.begin(transport)
    await asyncio.gather(*(lane.done for _, lane in lanes))
    took = time.perf_counter() - began
    for transport, _ in lanes:
        transport.close()
    return count / took, waits


class _Lane(asyncio.Protocol):
    """One connection: asks, waits for the whole answer, asks again."""

    def __init__(self, numbers: Iterator[int], waits: list[float], keys: bool) -> None:
        self._numbers = numbers
        self._waits = waits
        self._keys = keys
        self._answer = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def begin(self, transport: asyncio.Transport) -> None:
        """Send the first."""
        self._transport = transport
        self.ask()

    def ask(self) -> None:
        """Send the next."""
        n = next(self._numbers, None)
        if n is None:
            if not self.done.done():
                self.done.set_result(None)
            return
        body = _BODY % n
        key = b"Idempotency-Key: %d-%d\r\n" % (time.time_ns(), n) if self._keys else b""
        self._began = time.perf_counter()
        self._transport.write(
            b"POST /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n%s"
            b"Content-Length: %d\r\n\r\n%s" % (key, len(body), body)
        )

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            return
        if not head.startswith(b"HTTP/1.1 201"):
            self.done.set_exception(RuntimeError(self._answer.decode()))
            return
        self._answer = b""
        self._waits.append(time.perf_counter() - self._began)
        self.ask()
