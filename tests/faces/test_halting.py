"""``tickwork halt``, ``unhalt``, ``flatten`` and ``reconcile``, against a process that trades, and without one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.faces.support import answer, eventually, tickwork, worker
from tests.service.test_bare_flatten import Place
from tickwork.core.event import Event
from tickwork.core.run import Run
from tickwork.core.schedule import Schedule
from tickwork.core.workflow import workflow
from tickwork.engines.embedded import Engine
from tickwork.engines.embedded.queries import Queries
from tickwork.errors import InvalidInput
from tickwork.faces import halting
from tickwork.faces.accounts import name_of
from tickwork.service.halting import halts_on
from tickwork.service.sweeping import HaltSwept
from tickwork.service.trading import AccountOpened

PROGRAM = f"""
    import asyncio, sys
    sys.path.insert(0, {str(Path(__file__).parents[2])!r})
    from tests.service.guarding import D, World, order
    from tickwork.engines.system_clock import SystemClock

    async def main():
        world = World(clock=SystemClock())
        world.url = "sqlite:///tape.db"
        await world.open()
        await world.hold("2")
        await world.trade(order("buy", "1", limit_price="90"))
        world.wire.more_balance = {{"USDT": D(50)}}

        def meanwhile(method):
            if method == "open_orders" and world.wire.calls.count("submit") > 2:
                world.bar(100)

        world.wire.meanwhile = meanwhile
        for verbs in (world.halting.verbs(), world.flattening.verbs(), world.reconciling.verbs()):
            world.engine.offer(verbs)
        await world.engine.serve()
        await world.close()

    asyncio.run(main())
"""


@pytest.fixture
def tape(tmp_path: Path) -> Iterator[Path]:
    with worker(tmp_path, PROGRAM) as path:
        eventually(lambda: path.exists() and len(Queries.open(str(path)).events("trading/order.accepted")) == 2)
        yield path


def events(tape: Path, cls: type[Event]) -> list[Any]:
    return [cls.from_wire(bytes(one.record.value)) for one in Queries.open(str(tape)).events(cls.event_name)]


@pytest.mark.slow
def test_a_process_that_trades(tape: Path) -> None:
    found = json.loads(tickwork(tape, "reconcile", "--json").stdout)
    assert [(one["account"], one["clean"], one["level"]) for one in found] == [("main", False, "alert")]
    told = tickwork(tape, "reconcile")
    assert told.returncode == 1
    assert "NOT clean" in told.stdout
    assert "major balance" in told.stdout
    assert tickwork(tape, "reconcile", "--balances", "leave").returncode == 0
    assert answer(tape, "reconcile")[0]["clean"]

    assert answer(tape, "halt", "--account", "main", "--reason", "news", "--by", "ada") == {
        "account": "main", "level": "halt", "reason": "news", "changed": True, "still": [],
    }  # fmt: skip
    assert "it stood so already" in tickwork(tape, "halt", "--account", "main").stdout
    (swept,) = eventually(lambda: events(tape, HaltSwept))
    assert (swept.complete, swept.cancelled) == (True, 1)

    (done,) = answer(tape, "flatten", "--by", "ada", "--id", "f")
    assert (done["complete"], done["lines"][0]["left"]) == (True, "0")
    again = tickwork(tape, "flatten", "--by", "ada", "--id", "f")
    assert again.returncode == 0
    assert "main: flat" in again.stdout
    assert "main is halted; `tickwork unhalt --account main" in again.stdout
    assert "halted" not in tickwork(tape, "flatten", "--keep-trading").stdout
    for typo in (("--symbol", "BTC/USTD"), ("--account", "mian")):
        wrong = tickwork(tape, "flatten", *typo)
        assert wrong.returncode == 2
        assert ("BTC/USDT" if "BTC/USTD" in typo else "main") in wrong.stderr
    for option, allowed in (("--orders", "cancel, adopt, leave"), ("--balances", "adopt, leave")):
        wrong = tickwork(tape, "reconcile", option, "cancle")
        assert wrong.returncode == 2
        assert option in wrong.stderr
        assert allowed in wrong.stderr

    refused = tickwork(tape, "flatten", "--without-tape")
    assert refused.returncode == 1
    assert "has" in refused.stderr
    assert "--force" in refused.stderr

    assert "Missing option '--reason'" in tickwork(tape, "unhalt").stderr
    assert tickwork(tape, "unhalt", "--account", "main", "--reason", "  ").returncode == 2
    assert answer(tape, "unhalt", "--account", "main", "--reason", "over")["level"] == "normal"
    assert tickwork(tape, "halt", "--level", "panic").returncode == 2
    assert "main" in tickwork(tape, "halt", "--account", "mian").stderr


@pytest.mark.slow
def test_without_a_process(tmp_path: Path) -> None:
    tape = tmp_path / "tape.db"
    none = tickwork(tape, "halt")
    assert none.returncode == 1
    assert "there is no tape" in none.stderr

    async def made() -> None:
        async with Engine(f"sqlite:///{tape}", workflows=[waits]) as engine:
            await engine.emit(AccountOpened(account="main", venue="paper", currency="USDT", amount=Decimal(1)))
            await engine.start(waits, None)

    @workflow("waits", on=Schedule("@hourly", name="hourly"))
    async def waits(run: Run, _: object) -> None:
        await run.sleep("1 hour")

    asyncio.run(made())
    typo = tickwork(tape, "halt", "--account", "mian")
    assert (typo.returncode, "main" in typo.stderr) == (2, True)
    quiet = tickwork(tape, "halt", "--account", "main", "--level", "alert", "--reason", "news")
    assert quiet.stderr == "", "that nobody brings the workflows is no news here"
    assert answer(tape, "halt", "--account", "main", "--reason", "news")["changed"]
    assert answer(tape, "halt", "--level", "alert", "--reason", "look")["changed"]
    standing = halts_on(Queries.open(str(tape)))
    assert {key: (line.level, line.by) for key, line in standing.items()} == {
        "main": ("halt", "cli"), "*": ("alert", "cli"),
    }  # fmt: skip
    told = tickwork(tape, "unhalt", "--reason", "over")
    assert told.returncode == 1
    assert "all accounts: normal" in told.stdout
    assert "account main is still at level halt: news; `tickwork unhalt --account main" in told.stdout
    told = tickwork(tape, "unhalt", "--reason", "over")
    assert (told.returncode, "main is still at level halt" in told.stdout) == (1, True)
    assert answer(tape, "halt", "--level", "alert", "--reason", "look")["changed"]
    told = tickwork(tape, "unhalt", "--account", "main", "--reason", "over")
    assert "main: alert (look)" in told.stdout
    assert told.returncode == 0
    assert set(halts_on(Queries.open(str(tape)))) == {"*"}
    assert tickwork(tape, "flatten").returncode == 1
    assert tickwork(tape, "reconcile").returncode == 1


def test_a_demos_tape_is_not_touched(tmp_path: Path) -> None:
    from tickwork.service.demo_tape import DemoStarted

    tape = tmp_path / "tape.db"

    async def made() -> None:
        async with Engine(f"sqlite:///{tape}") as engine:
            await engine.emit(DemoStarted(demo=1, seed=1, data=()))

    asyncio.run(made())
    assert tickwork(tape, "halt").returncode == 2


def test_without_a_tape(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The door is the composition's; what is behind it trades at the venue alone."""
    place = Place()
    closed: list[bool] = []

    async def close() -> None:
        closed.append(True)

    place.wire.close = close  # type: ignore[method-assign]

    class Doors:
        open_bare = staticmethod(lambda account, symbols: [place.account(symbols=symbols or ("BTC/USDT",))])

    def bare(**more: Any) -> int:
        given: dict[str, Any] = {"force": False, "yes": True, "as_json": False, **more}
        return halting._bare(Doors(), "main", (), tmp_path / "none.db", **given)  # type: ignore[arg-type]

    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert bare(yes=False) == 2
    told = capsys.readouterr().out
    assert "sell 2.0000 of BTC/USDT" in told
    assert "--yes" in told
    assert place.wire.calls.count("submit") == 0
    assert bare() == 0
    assert "main: flat" in capsys.readouterr().out
    assert closed == [True, True]

    class Shut:
        open_bare = None

    with pytest.raises(InvalidInput):
        halting._bare(Shut(), "", (), tmp_path / "none.db", force=False, yes=True, as_json=True)  # type: ignore[arg-type]


def test_whoever_disowns_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert name_of(" ada ") == "ada"
    monkeypatch.setattr("getpass.getuser", lambda: "bob")
    assert name_of("  ") == "bob"

    def nobody() -> str:
        raise KeyError("uid")

    monkeypatch.setattr("getpass.getuser", nobody)
    with pytest.raises(InvalidInput, match="--by"):
        name_of("")
