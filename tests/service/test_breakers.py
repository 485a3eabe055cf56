"""``tickwork breakers``: what is on a tape, and what its owner is asked to do."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from tests.demo.support import COMMAND, ENVIRONMENT
from tests.engine.dependency import Dependency, asking, results
from tests.engine.support import live, records
from tickwork.engines.embedded import Engine
from tickwork.engines.embedded.queries import Queries
from tickwork.errors import TapeCorrupt
from tickwork.service.breakers import breaker_lines


def verb(tape: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "breakers", *arguments, "--tape", str(tape)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT, timeout=60)


def test_list_trip_and_reset(tmp_path: Path) -> None:
    world, tape = Dependency(), tmp_path / "tape.db"
    flow = asking(world)

    async def play() -> None:
        async def tickwork(*arguments: str) -> subprocess.CompletedProcess[str]:
            return await asyncio.to_thread(verb, tape, *arguments)

        async with Engine(f"sqlite:///{tape}", workflows=[flow]) as engine:
            world.down = True
            await results(engine, flow, "a", "b")
            (line,) = json.loads((await tickwork("list", "--json")).stdout)
            assert (line["name"], line["state"], line["failures"], line["threshold"]) == ("api", "closed", 2, 3)
            tripped = await tickwork("trip", "api", "--reason", "maintenance", "--for", "2 hours", "--json")
            assert json.loads(tripped.stdout)["state"] == "open"
            table = (await tickwork("list")).stdout
            assert "api      open" in table
            assert "tripped by hand: maintenance" in table
            assert (await tickwork("reset", "api", "--by", "ann")).stdout == "api is closed\n"
            wrong = await tickwork("trip", "other")
            assert wrong.returncode == 2
            assert "one that a step or an effect has used: api" in wrong.stderr
            assert records(engine, "breaker")[-1].record.key == "ann"

    asyncio.run(play())
    nobody = verb(tape, "reset", "api")
    assert nobody.returncode == 1
    assert "no process has this tape open" in nobody.stderr
    (line,) = breaker_lines(Queries.open(str(tape)))
    assert (line.state, line.why) == ("closed", "reset by hand")


@live
async def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    tape = tmp_path / "tape.db"
    flow = asking(Dependency())
    async with Engine(f"sqlite:///{tape}", workflows=[flow]) as engine:
        await results(engine, flow, "a")
    async with Engine(f"sqlite:///{tape}", workflows=[flow]) as engine:
        engine._log.batch.put("breakers", ("api",), (b'{"settings": {"threshold": 0}, "state": {}}',))
        await engine.durable()
    with pytest.raises(TapeCorrupt, match="breaker 'api'"):
        breaker_lines(Queries.open(str(tape)))
    with pytest.raises(TapeCorrupt, match="breaker 'api'"):
        async with Engine(f"sqlite:///{tape}", workflows=[flow]):
            raise AssertionError("it opens")
