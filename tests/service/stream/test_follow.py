"""The stream beside an engine: of a tape that another process writes, and with parts that rest because they scan."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.demo.support import COMMAND, ENVIRONMENT, wait_for
from tests.service.awaiting import awaited
from tests.service.stream.serving import connected, served
from tests.service.stream.streaming import EVERYBODY, Asked, Boxed, Client, engine, flat, live_of
from tickwork.engines.embedded.queries import Queries
from tickwork.engines.system_clock import SystemClock
from tickwork.service.stream import follower
from tickwork.service.stream.live import Cursor
from tickwork.service.stream.views import VIEWS, view_named


class Beside:
    """What the stream needs of an engine, of one in another process."""

    clock = SystemClock()

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.queries = Queries.open(self.path)

    async def durable(self) -> None:
        """What is read is on disk."""


@pytest.mark.slow
@awaited
async def test_clients_of_a_demo_that_plays_end_equal_to_its_tape(tmp_path: Path) -> None:
    tape = tmp_path / "demo.db"
    command = [*COMMAND, "demo", "--home", str(tmp_path), "--once", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT) as demo:  # noqa: ASYNC220 - nothing else runs
        wait_for(tape)
        while not (found := opened(tape)):
            assert demo.poll() is None
        live = live_of(found)
        await live.start()
        live._task.cancel()  # type: ignore[union-attr]  # looks are taken here
        views = [view_named(name, EVERYBODY) for name in VIEWS]
        clients = {view: Client() for view in views}
        cursors: dict[Any, Cursor] = {}
        for view in views:
            await live.watch(view)
            message = live.snap(view)
            clients[view].told(message)
            cursors[view] = message.cursor
        playing = True
        while playing:
            playing = demo.poll() is None
            await live.look()
            for view in views:
                found_next = live.next(view, cursors[view])
                if found_next is not None:
                    clients[view].told(found_next)
                    cursors[view] = found_next.cursor
    assert demo.returncode == 0
    fresh = live_of(Beside(tape))
    await fresh.start()
    for view in views:
        await fresh.watch(view)
        assert clients[view].seq == fresh.seq
        assert clients[view].state == flat(json.loads(fresh.data(view))), view.name
    kinds = {kind for client in clients.values() for kind, _ in client.state}
    assert {"run", "order", "fill", "position", "account", "event"} <= kinds
    await fresh.close()
    await live.close()


def opened(tape: Path) -> Beside | None:
    """The tape, once its engine has opened it."""
    try:
        found = Beside(tape)
    except Exception:  # noqa: BLE001 - it is just being made
        return None
    return found if found.queries.reader.one("SELECT count(*) FROM openings") else None


@awaited
async def test_parts_that_rest_are_told_when_they_have_rested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "SHARE", 2_000)
    async with engine() as world, served(world, patient=True) as (url, live), connected(f"{url}/ws") as client:
        await client.say(t="sub", id=1, view="now")
        kept = Client()
        kept.take(await client.hear_of("snap"))
        for n in range(5):
            await world.emit(Asked(n=n))
        await world.queues.send("box", Boxed(n=3))
        await client.follow(kept, lambda: _counted(kept) == 5)
        assert kept.seq == live.seq


def _counted(client: Client) -> int:
    """Questions, as the part that scans has counted them."""
    found: int = client.state["count", "approvals"]["open"]
    return found
