"""kill -9 of a real server while clients write under keys: started again and asked again, each write happened once."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from tickwork import Engine
from tickwork.engines.embedded.queries import Queries
from tickwork.faces.http.server import bound

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 60.0


class Clients:
    """Clients that write, each the next only when it knows of the one before; and what they were answered."""

    def __init__(self, port: int, count: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.count = count
        self.answers: dict[str, dict[str, Any]] = {}
        """Of each key."""
        self.sent: list[tuple[str, int, int]] = []
        """Kind, client and number of everything that was answered."""
        self.asked_again = 0
        self.done = asyncio.Event()
        self.enough = sys.maxsize
        self.wrote_enough = asyncio.Event()

    async def write(self, client: int) -> None:
        """One client, until it is told to stop."""
        async with httpx2.AsyncClient(base_url=self.url, timeout=10) as http:
            n = 0
            while not self.done.is_set():
                for kind in KINDS:
                    await self._until_answered(http, kind, client, n)
                    self.sent.append((kind, client, n))
                    if len(self.sent) >= self.enough:
                        self.wrote_enough.set()
                n += 1

    async def _until_answered(self, http: httpx2.AsyncClient, kind: str, client: int, n: int) -> None:
        key, (path, body) = f"{kind}-{client}-{n}", request(kind, {"client": client, "n": n})
        while True:
            try:
                answer = await http.post(path, json=body, headers={"Idempotency-Key": key})
            except httpx2.TransportError:
                self.asked_again += 1
                await asyncio.sleep(0.02)
                continue
            if answer.status_code == 201:
                self._check(key, answer.json())
                return
            # nothing else than: it died in the middle, or does not take work yet or any more
            assert answer.status_code in (503, 504), answer.text
            self.asked_again += 1
            await asyncio.sleep(0.02)

    def _check(self, key: str, answer: dict[str, Any]) -> None:
        told = {name: value for name, value in answer.items() if name != "repeated"}
        assert self.answers.setdefault(key, told) == told

    async def ask_all_again(self) -> None:
        """Every key once more: the answers are those of then."""
        async with httpx2.AsyncClient(base_url=self.url, timeout=10) as http:
            for kind, client, n in random.Random(1).sample(self.sent, min(60, len(self.sent))):
                await self._until_answered(http, kind, client, n)


KINDS = ("event", "run", "message")


def request(kind: str, what: dict[str, int]) -> tuple[str, dict[str, Any]]:
    """Path and body of a write."""
    if kind == "event":
        return "/api/v1/events", {"name": "mortal/written", "payload": what}
    if kind == "run":
        return "/api/v1/runs", {"workflow": "asked", "input": what}
    return "/api/v1/queues/line/messages", {"body": what}


async def _spawn(folder: Path, port: int) -> asyncio.subprocess.Process:
    with (folder / "log").open("ab") as log:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.faces.http.mortal", str(folder), str(port), cwd=ROOT, stderr=log
        )


async def _answers(url: str, process: asyncio.subprocess.Process) -> None:
    async with httpx2.AsyncClient(base_url=url) as http:
        while True:
            with contextlib.suppress(httpx2.TransportError):
                if (await http.get("/readyz")).status_code == 200:
                    return
            assert process.returncode is None, "it ended by itself"
            await asyncio.sleep(0.02)


async def killed_and_asked_again(folder: Path, kills: int, seed: int) -> Clients:
    """Kill it so often while clients write; then everything is judged by what is on the tape."""
    chance = random.Random(seed)
    free = bound("127.0.0.1", 0)
    port = free.getsockname()[1]
    free.close()
    clients = Clients(port, 6)
    process = await _spawn(folder, port)
    await _answers(clients.url, process)
    writing = [asyncio.create_task(clients.write(n)) for n in range(clients.count)]
    try:
        for _ in range(kills):
            await asyncio.sleep(chance.uniform(0.05, 0.8))
            process.send_signal(signal.SIGKILL)
            await process.wait()
            process = await _spawn(folder, port)
            await _answers(clients.url, process)
        clients.enough = len(clients.sent) + 3 * clients.count
        await clients.wrote_enough.wait()
        clients.done.set()
        await asyncio.gather(*writing)
        await clients.ask_all_again()
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    finally:
        for task in writing:
            task.cancel()
        if process.returncode is None:
            process.kill()
    return clients


async def judge(folder: Path, clients: Clients) -> None:
    """Each write is on the tape once, where its answer said; each event has run once."""
    from tests.faces.http.mortal import LINE, asked, written

    async with Engine(f"sqlite:///{folder}/tape.db", workflows=[written, asked], queues=[LINE]) as engine:
        await engine.idle()
        queries: Queries = engine.queries
        events: dict[tuple[str, int, int], list[int]] = {}
        for entry in queries.events("mortal/written"):
            body = msgspec.json.decode(bytes(entry.record.value))
            events.setdefault(("event", body["client"], body["n"]), []).append(entry.seq)
        messages = Counter(
            ("message", found.body["client"], found.body["n"])
            for found in await engine.queues.messages("line", limit=100_000)
        )
        runs = queries.runs(workflow="asked", limit=1_000_000)
        inputs = Counter(("run", (found := queries.show(run.id)).input["client"], found.input["n"]) for run in runs)
        for kind, client, n in clients.sent:
            what = (kind, client, n)
            if kind == "event":
                assert events[what] == [clients.answers[f"event-{client}-{n}"]["seq"]]
            else:
                assert (messages if kind == "message" else inputs)[what] == 1, what
        assert len(queries.runs(workflow="written", limit=1_000_000)) == len(events)
        assert max(messages.values()) == max(inputs.values()) == 1
        assert len(events) <= len({(client, n) for _, client, n in clients.sent}) + clients.count


def patiently(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @wraps(test)
    def run(*args: Any, **given: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **given), PATIENCE * 3))

    return run


@patiently
async def test_killed_once_each_write_happened_once(tmp_path: Path) -> None:
    clients = await killed_and_asked_again(tmp_path, 1, seed=1)
    await judge(tmp_path, clients)
    assert clients.asked_again


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
@patiently
async def test_killed_often_each_write_happened_once(tmp_path: Path, seed: int) -> None:
    clients = await killed_and_asked_again(tmp_path, 20, seed)
    await judge(tmp_path, clients)
    assert clients.asked_again > 20
    assert len(clients.sent) > 200
