"""kill -9 of the process that trades while orders are placed with keys: each is at the exchange once, or not at all."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.service.awaiting import awaited
from tests.service.operations.trading import BUY, HERE, D, Place, place
from tickwork.errors import NotRunning, NotSent, Refused, Unknown
from tickwork.service.api.here import Failed
from tickwork.service.api.there import Remote

ROOT = Path(__file__).parents[3]
QUICK = """[accounts.main.settings]
recv_window = "600 ms"
visibility_bound = "400 ms"
timeout = "1 s"
[accounts.main.settings.config]
enableRateLimit = false
"""


class Child:
    """The process that trades, started again and again."""

    def __init__(self, here: Place) -> None:
        self.here = here
        self.kills = 0
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.service.operations.child",
            str(self.here.config),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            assert await self.process.stdout.readline() == b"up\n"

    async def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        await self.process.wait()
        self.kills += 1


async def placed(remote: Remote, key: str, quantity: str) -> Any:
    """Ask under a key until it is answered, as a client must; ``None``: it certainly is not there."""
    async with asyncio.timeout(120):
        while True:
            try:
                return (await remote.call("orders.place", {**BUY, "quantity": quantity}, HERE, key)).value
            except (NotRunning, Unknown):
                await asyncio.sleep(0.05)
            except (NotSent, Refused):
                return None
            except Failed as told:
                assert told.problem.code == "refused"
                return None


@pytest.mark.slow
@awaited
async def test_each_key_is_one_order_however_often_the_process_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance, keys = random.Random(7), [f"key {number}" for number in range(12)]
    async with place(tmp_path, monkeypatch, more=QUICK) as here:
        child, remote = Child(here), Remote(str(tmp_path / "home" / "live.db"), patience=15)
        await child.start()
        answers: dict[str, Any] = {}
        for number, key in enumerate(keys):
            asking = asyncio.create_task(placed(remote, key, f"0.00{number + 10}"))
            await asyncio.sleep(chance.choice((0.0, 0.005, 0.01, 0.02, 0.04, 0.08)))
            await child.kill()
            await child.start()
            answers[key] = await asking
        again = {key: await placed(remote, key, f"0.00{number + 10}") for number, key in enumerate(keys)}
        assert again == answers, "a key that was answered is answered as then"
        known = {found["clientOrderId"] for found in answers.values() if found is not None}
        there = Counter(D(one["quantity"]) for one in here.orders())
        assert child.kills == len(keys)
        assert set(there.values()) == {1}, "no order twice"
        assert known == {one["clientId"] for one in here.orders() if one["clientId"] in known}
        missing = [key for key, found in answers.items() if found is None]
        assert len(here.orders()) == len(keys) - len(missing), missing
        await child.kill()
        remote.close()
