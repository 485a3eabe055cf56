"""kill -9 while it stops, with orders on their way to the venue: nothing is lost and nothing is sent twice."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from tests.faces.upping import Place, place, until
from tickwork.engines.embedded.status import Status
from tickwork.sim.exchange import Fault

LIVES = 6
ORDERS = 4
"""In each life."""


def runs(here: Place) -> Counter[int]:
    """Runs of ``trade`` by status."""
    with sqlite3.connect(f"file:{here.home}/live.db?mode=ro", uri=True) as tape:
        return Counter(status for (status,) in tape.execute("SELECT status FROM runs WHERE workflow='trade'"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_while_it_stops(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    with place(tmp_path, live=True) as here:
        # every order is answered late, half of them reach the venue late as well
        here.faults.add(Fault(kind="stall", on="order.create", seconds=0.3))
        here.faults.add(Fault(kind="late", on="order.create", seconds=0.2, probability=0.5))
        for life in range(LIVES):
            with here.foreground("--stop-within", "5s") as process:
                for number in range(ORDERS):
                    emitted = here.run("emit", "test/go", json.dumps({"n": life * ORDERS + number}))
                    assert emitted.returncode == 0, emitted.stderr
                process.send_signal(signal.SIGTERM)
                time.sleep(chance.uniform(0, 0.5))  # the kill is to come at any point of the stop
                process.kill()
                process.wait()
        here.faults.clear()
        with here.foreground() as process:
            until(lambda: runs(here)[Status.DONE] == LIVES * ORDERS)
            until(lambda: all(one["status"] == "FILLED" for one in here.truth()["orders"]))
            until(lambda: here.status()["processes"][0]["parts"][1]["backlog"] == 0)
            process.send_signal(signal.SIGTERM)
            process.communicate()
            assert process.returncode == 0
        truth = here.truth()
        positions = json.loads(here.run("positions", "--json").stdout)
    assert len(truth["orders"]) == LIVES * ORDERS, "each order is at the venue"
    assert len({one["clientId"] for one in truth["orders"]}) == LIVES * ORDERS, "once"
    held = sum((Decimal(one["executed"]) for one in truth["orders"]), Decimal(0))
    assert held == LIVES * ORDERS * Decimal("0.001")
    (position,) = positions["positions"]
    assert Decimal(position["quantity"]) == held, "and the books say so"
