"""The verbs that read a tape."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tests.demo.support import AAPL, answer, demo, tickwork
from tickwork.engines.embedded.queries import Queries
from tickwork.service.positions import Marks, positions


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished demo."""
    made = tmp_path_factory.mktemp("home")
    demo(made, *AAPL)
    return made


def test_runs(home: Path) -> None:
    found = answer(home, "runs", "--limit", "5", "--status", "done", "--workflow", "volume-signal")
    assert len(found) == 5
    assert [run["seq"] for run in found] == sorted((run["seq"] for run in found), reverse=True)
    assert {"startedAt", "result", "status", "id"} <= set(found[0])
    assert answer(home, "runs", "--status", "dead") == []


def test_show_tells_every_step(home: Path) -> None:
    order = answer(home, "orders")[0]
    detail = answer(home, "show", order["run"])
    names = [record.get("name") for record in detail["records"]]
    for step in ("technical_analysis", "signal_generation", "gate", "submit", "trading/order.accepted"):
        assert step in names
    assert detail["result"]["order"] == order["clientOrderId"]
    assert order["run"] in tickwork(home, "show", order["run"]).stdout


def test_orders_and_positions_agree(home: Path) -> None:
    orders = answer(home, "orders", "--limit", "1000")
    held = answer(home, "positions")
    net = sum(int(line["filled"]) * (1 if line["side"] == "buy" else -1) for line in orders)
    assert [int(line["quantity"]) for line in held["positions"]] == ([net] if net else [])
    assert (
        answer(home, "orders", "--status", "filled", "--limit", "2")
        == [line for line in orders if line["status"] == "filled"][:2]
    )
    assert "capital" in tickwork(home, "positions").stdout
    assert "AAPL" in tickwork(home, "orders").stdout


def test_another_tape_by_path(home: Path, tmp_path: Path) -> None:
    elsewhere = tickwork(tmp_path, "runs", "--json", "--tape", str(home / "demo.db"))
    assert elsewhere.returncode == 0
    assert elsewhere.stdout == tickwork(home, "runs", "--json").stdout


@pytest.mark.parametrize(
    ("args", "code", "named"),
    [
        (("show", "r999999"), 2, "r999999"),
        (("show",), 2, "RUN"),
        (("runs", "--status", "sleeping"), 2, "waiting"),
        (("runs", "--limit", "0"), 2, "limit"),
        (("orders", "--status", "lost"), 2, "refused"),
        (("cancel", "r1"), 1, "nobody plays"),
        (("pause", "r1"), 1, "nobody plays"),
        (("resume", "r1"), 1, "nobody plays"),
    ],
)
def test_complaints_are_one_line(home: Path, args: tuple[str, ...], code: int, named: str) -> None:
    done = tickwork(home, *args)
    assert (done.returncode, done.stdout) == (code, "")
    assert named in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("verb", ["runs", "orders", "positions"])
def test_no_tape_says_what_to_run(verb: str, tmp_path: Path) -> None:
    done = tickwork(tmp_path, verb)
    assert done.returncode == 1
    assert "tickwork demo" in done.stderr


def test_positions_come_to_the_equity_of_the_summary(tmp_path: Path) -> None:
    summary = demo(tmp_path)
    held = answer(tmp_path, "positions")
    assert held["positions"], "the demo ends with something in hand"
    assert Decimal(held["equity"]) == Decimal(summary["equity"])
    assert Decimal(held["equity"]) == Decimal(held["cash"]) + Decimal(held["value"])
    for line in held["positions"]:
        assert Decimal(line["value"]) == Decimal(line["quantity"]) * Decimal(line["price"])
    said = tickwork(tmp_path, "positions").stdout
    assert f"{Decimal(summary['equity']):,.2f}" in said


def test_a_price_that_is_not_known_is_not_guessed(home: Path) -> None:
    queries = Queries.open(str(home / "demo.db"))
    held = positions(queries, Marks())
    for line in held.positions:
        assert (line.price, line.value) == (None, None)
    assert (held.equity is None) is bool(held.positions)


def test_runs_of_a_workflow_that_is_not_there(home: Path) -> None:
    done = tickwork(home, "runs", "--workflow", "nope")
    assert done.returncode == 0
    assert "no run of a workflow 'nope'" in done.stderr
    assert "volume-signal" in done.stderr
    assert answer(home, "runs", "--workflow", "nope") == []
