"""``tickwork doctor``, against a process that runs workflows, and on its tape when it is gone."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.faces.support import answer, eventually, tickwork, worker
from tickwork.engines.embedded import Engine
from tickwork.faces.doctor import show
from tickwork.market.alerts import PriceAlert
from tickwork.market.position_rules import PositionRule
from tickwork.service.alerts import ALERT_VIEWS, Alerts
from tickwork.service.finding import Finding
from tickwork.service.ownership import owner_of

PROGRAM = """
    import asyncio
    from tickwork import Engine, Event, Queue, Run, workflow
    from tickwork.core.schedule import Schedule

    class Trade(Event, name="desk/trade"):
        symbol: str

    class SymbolUnknown(Exception):
        pass

    @workflow("trade", on=[Trade, Schedule("0 9 * * *", name="daily")])
    async def trade(run: Run, event) -> None:
        raise SymbolUnknown("???")

    async def main():
        async with Engine("sqlite:///tape.db", workflows=[trade], queues=[Queue("signals", capacity=2)]) as engine:
            await engine.serve()

    asyncio.run(main())
"""


@pytest.fixture
def tape(tmp_path: Path) -> Iterator[Path]:
    with worker(tmp_path, PROGRAM) as path:
        yield path


def findings(tape: Path, code: int) -> list[dict[str, Any]]:
    """What is not well, as JSON."""
    done = tickwork(tape, "doctor", "--json")
    assert (done.returncode, done.stderr) == (code, "")
    found: list[dict[str, Any]] = json.loads(done.stdout)
    assert {frozenset(one) for one in found} == {frozenset({"severity", "what", "detail", "advice"})}
    return [one for one in found if one["severity"] != "ok"]


def test_from_well_to_worse_and_back(tape: Path) -> None:
    well = tickwork(tape, "doctor")
    assert (well.returncode, well.stderr) == (0, "")
    assert "all is well" in well.stdout
    assert "has the tape open and answers" in well.stdout
    for what in ("runs", "dead letters", "queues", "schedules", "disk", "clock"):
        assert f"\nok  {what}" in well.stdout

    answer(tape, "schedules", "pause", "daily")
    noticed = tickwork(tape, "doctor")
    assert noticed.returncode == 0
    assert "`tickwork schedules resume daily`" in noticed.stdout
    assert "\nwell: owner, runs" in noticed.stdout

    answer(tape, "emit", "desk/trade", '{"symbol": "x"}')
    for number in range(2):
        answer(tape, "queues", "send", "signals", str(number))
    eventually(lambda: answer(tape, "letters"))
    full, letter, paused = findings(tape, 1)
    assert (full["severity"], full["what"]) == ("error", "queues")
    assert full["detail"] == "'signals' is full: 2 of 2 messages"
    assert (letter["severity"], letter["what"]) == ("warning", "dead letters")
    assert "1 run of 'trade' died with symbol_unknown" in letter["detail"]
    assert paused["severity"] == "notice"
    table = tickwork(tape, "doctor")
    assert table.returncode == 1
    lines = table.stdout.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == ["error", "warning", "notice", "well:"]
    assert "-> `tickwork letters --source trade --code symbol_unknown` says why" in table.stdout

    # the advice, as it stands, helps
    assert answer(tape, "discard", "--source", "trade", "--code", "symbol_unknown") == {"discarded": 1}
    leases = [message["lease"] for message in answer(tape, "queues", "lease", "signals")]
    answer(tape, "queues", "ack", *leases)
    answer(tape, "schedules", "resume", "daily")
    assert findings(tape, 0) == []


def test_a_process_that_stands_still(tape: Path) -> None:
    owner = owner_of(str(tape))
    assert owner is not None
    os.kill(int(owner.pid), signal.SIGSTOP)
    try:
        stopped = owner_of(str(tape), patience=0.2)
    finally:
        os.kill(int(owner.pid), signal.SIGCONT)
    assert stopped is not None
    assert (stopped.pid, stopped.problem) == (owner.pid, "has not answered within 0.2 seconds")


def test_when_nobody_runs_the_workflows(tmp_path: Path) -> None:
    with worker(tmp_path, PROGRAM) as tape:
        answer(tape, "queues", "send", "signals", "1")
    (nobody,) = findings(tape, 1)
    assert (nobody["severity"], nobody["what"]) == ("warning", "owner")
    assert nobody["detail"] == "no process has the tape open, but 1 message, 1 schedule wait for one"
    missing = tickwork(tmp_path / "none.db", "doctor")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "there is no tape at" in missing.stderr


def test_when_nobody_watches_the_prices_that_alerts_wait_for(tmp_path: Path) -> None:
    path = tmp_path / "alerts.db"

    async def main() -> None:
        async with Engine(f"sqlite:///{path}", views=ALERT_VIEWS) as engine:
            alerts = Alerts(engine)
            await alerts.set_all([PriceAlert(id, "me", "BTC/USDT", "above", 100) for id in "abc"])
            await alerts.set_rule(PositionRule("r", "me", "price_above", 100))
            alerts.on_price("BTC/USDT", Decimal(90), 1)
            await alerts.cancel("c")

    asyncio.run(main())
    (nobody,) = findings(path, 1)
    assert nobody["severity"] == "warning"
    assert nobody["detail"] == "no process has the tape open, but 2 price alerts, 1 position rule wait for one"


def test_a_narrow_terminal_loses_no_word() -> None:
    narrow = Console(width=40, record=True, highlight=False, file=io.StringIO())
    words = " ".join(f"word{number}" for number in range(30))
    show([Finding(severity="warning", what="flow control", detail=words, advice="[bold]look")], narrow)
    text = narrow.export_text()
    assert text.split() == ["warning", "flow", "control", *words.split(), "->", "[bold]look", "well:", "nothing"]
    assert max(map(len, text.splitlines())) <= 40
