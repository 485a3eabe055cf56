"""``tickwork graph`` as a person and a program use it."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from tickwork.app import defaults, examine_accounts, open_demo, open_live, open_notifications, open_paper
from tickwork.errors import TickworkError
from tickwork.faces.cli import app
from tickwork.faces.doors import Doors
from tickwork.faces.grid import Grid
from tickwork.market.recording import Recording

COMMAND = str(Path(sys.executable).with_name("tickwork"))
DIPS = """
name: dips
triggers:
  - {type: price_change, symbol: BTC/USD, threshold: "0.05", direction: down}
nodes:
  - {id: technicals, type: technical_analysis, params: {indicators: [RSI]}}
  - {id: low, type: if, params: {test: technicals.rsi < 45}}
  - {id: order, type: place_order, params: {side: buy, fraction: 0.05, on_refusal: report}}
  - {id: tell, type: notify, params: {message: "Bought {{order.quantity}} of {{event.symbol}}"}}
edges:
  - {from: technicals, to: low}
  - {from: low, output: true, to: order}
  - {from: order, to: tell}
"""


def graph(folder: Path, *words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "dumb"}
    environment.pop("TICKWORK_HOME", None)
    return subprocess.run(
        [COMMAND, "graph", *words],
        cwd=folder, input=given, capture_output=True, text=True, timeout=120, check=False, env=environment,
    )  # fmt: skip


def answer(folder: Path, *words: str, given: str | None = None) -> Any:
    found = graph(folder, *words, "--json", given=given)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dips.yaml").write_text(DIPS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TICKWORK_HOME", raising=False)
    return tmp_path


def within(*words: str) -> str:
    """What a verb prints, in this process: starting one takes longer than most verbs do.

    Raises:
        TickworkError: what it ends with.
    """
    doors = Doors(
        open_demo=open_demo,
        open_paper=open_paper,
        open_live=open_live,
        examine_accounts=examine_accounts,
        open_notifications=open_notifications,
        defaults=defaults,
    )
    with redirect_stdout(StringIO()) as out:
        app(["graph", *words], obj=doors, standalone_mode=False)
    return out.getvalue()


def answer_within(*words: str) -> Any:
    return json.loads(within(*words, "--json"))


RUN = ("run", "dips.yaml", "--data", "bitstamp-btc-usd-1d", "--until", "2018-06-01T00:00Z")


def test_a_document_trades_and_its_runs_can_be_looked_at(folder: Path) -> None:
    found = answer(folder, *RUN)["summary"]
    assert found["runs"].keys() == {"done"}
    assert found["orders"]["filled"] == found["fills"] > 3
    assert found["equity"] != "100000"
    again = answer(folder, *RUN)["summary"]
    assert again == found, "the same prices, the same figures"
    listed = subprocess.run(
        [COMMAND, "runs", "--tape", found["tape"], "--json", "--limit", "1000"],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    bought = next(one for one in json.loads(listed.stdout) if one["result"]["nodes"]["order"] == "completed")
    traced = answer(folder, "trace", bought["id"])
    assert [one["type"] for one in traced["events"]][:2] == ["workflow_started", "node_started"]
    assert {one["id"]: one["status"] for one in traced["nodes"]} == bought["result"]["nodes"]
    assert "Bought" in graph(folder, "trace", bought["id"]).stdout


@pytest.mark.slow
def test_killed_it_goes_on_to_the_same_end(folder: Path) -> None:
    whole = answer(folder, *RUN, "--home", "whole")["summary"]
    for _ in range(3):
        with subprocess.Popen(
            [COMMAND, "graph", *RUN, "--home", "killed", "--speed", "30000000", "--json"],
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            try:
                process.wait(1.2)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
    summary = answer(folder, *RUN, "--home", "killed")["summary"]
    assert {**summary, "tape": ""} == {**whole, "tape": ""}


def test_started_by_hand(folder: Path) -> None:
    text = "name: once\nnodes:\n  - {id: price, type: venue_price, params: {symbol: '{{event.symbol}}'}}\n"
    (folder / "once.yaml").write_text(text)
    found = answer(
        folder, "run", "once.yaml", "--data", "bitstamp-btc-usd-1d", "--input", '{"symbol": "BTC/USD"}',
        "--at", "2018-06-01T00:00Z",
    )  # fmt: skip
    bars = Recording.open("bitstamp-btc-usd-1d").bars()
    known = next(bar.close for bar in bars if bar.end == datetime(2018, 6, 1, tzinfo=UTC))
    assert Decimal(found["run"]["result"]["outputs"]["price"]["price"]) == known, "the last one that was known then"
    failed = graph(folder, "run", "once.yaml", "--data", "bitstamp-btc-usd-1d", "--input", '{"symbol": "ETH/USD"}')
    assert failed.returncode == 1
    assert "ETH/USD" in failed.stdout


def test_nodes_that_failed_in_a_run_by_hand_are_told_with_the_reason(folder: Path) -> None:
    text = """
name: two parts
nodes:
  - {id: price, type: venue_price, params: {symbol: "{{event.symbol}}"}, onError: continue}
  - {id: told, type: log, params: {message: "{{price.price}}"}}
edges: [{from: price, to: told}]
"""
    (folder / "parts.yaml").write_text(text)
    found = graph(folder, "run", "parts.yaml", "--data", "bitstamp-btc-usd-1d", "--input", "{}")
    assert found.returncode == 1
    assert "run by-hand: done, with errors" in found.stdout
    assert re.search(r"price: failed: .*symbol", found.stdout)
    assert "InvalidInput(" not in found.stdout + found.stderr
    assert "two parts version 1" in graph(folder, "trace", "by-hand", "--of", "two parts").stdout
    listed = graph(folder, "run", "parts.yaml", "--data", "bitstamp-btc-usd-1d", "--input", "[]")
    assert (listed.returncode, "a JSON object" in listed.stderr) == (2, True)


def test_a_disk_without_room_leaves_no_half_of_a_file(folder: Path) -> None:
    found = subprocess.run(
        [COMMAND, "graph", "new", "momentum_trading", "--out", "mine.yaml"],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )  # fmt: skip
    assert found.returncode == 2
    assert "mine.yaml" in found.stderr
    assert not (folder / "mine.yaml").exists()


def test_what_is_wrong_is_told_at_once_and_nothing_is_stored(folder: Path) -> None:
    wrong = DIPS.replace("technicals.rsi < 45", "technicals.rsy <").replace("type: notify", "type: notfy")
    (folder / "wrong.yaml").write_text(wrong.replace("to: tell", "to: tel"))
    for words in (["validate", "wrong.yaml"], ["publish", "wrong.yaml"], ["run", "wrong.yaml", "--data", "aapl-1d"]):
        found = graph(folder, *words)
        told = found.stdout + found.stderr
        assert found.returncode == 2, words
        assert "did you mean 'notify'" in told
        assert "did you mean 'tell'" in told
        assert "technicals.rsy <" in told
        assert "^" in told, "the place in the text"
        assert "Traceback" not in told
    checked = json.loads(graph(folder, "validate", "wrong.yaml", "--json").stdout)
    assert (checked["valid"], len(checked["errors"])) == (False, 3)
    assert not list(folder.glob(".tickwork/**/*.db"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["validate", "nothing.yaml"], "a file, or a template"),
        (["validate", "."], "Is a directory"),
        (["validate", "name: " + "x" * 300], "File name too long"),
        (["run", "dips.yaml"], "--data"),
        (["run", "dips.yaml", "--data", "aapl-1d", "--simulated", "1"], "either recorded prices"),
        (["run", "dips.yaml", "--data", "coinbase-btc-usd"], "one of coinbase-btc-usd-1d, coinbase-btc-usd-1h"),
        (["run", "dips.yaml", "--data", "aapl-1d", "--home", ""], "the one you are in is ."),
        (["run", "dips.yaml", "--data", "aapl-1d", "--at", "noon"], "a time with its offset"),
        (["run", "dips.yaml", "--data", "aapl-1d", "--capital", "many"], "--capital"),
        (["export", "dips.yaml", "--to", "word"], "python"),
        (["import", "dips.yaml", "--format", "visio"], "canonical"),
        (["import", "dips.yaml", "--out", "dips.yaml"], "not there yet"),
        (["new", "momentum_tradin"], "momentum_trading"),
        (["nodes", "place_ordr"], "place_order"),
        (["versions", "dips"], "a published document"),
        (["trace", "r1"], "no tape"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_mistakes(words: list[str], told: str) -> None:
    with pytest.raises(TickworkError, match=re.escape(told)):
        within(*words)


def test_versions_from_the_command_line(folder: Path) -> None:
    assert answer_within("publish", "dips.yaml", "--note", "first")["version"] == 1
    assert not answer_within("publish", "dips.yaml")["changed"]
    changed = answer_within(
        "update", "dips", "nodes.order.params.fraction=0.01", "nodes[1].params.test=technicals.rsi < 30"
    )
    assert (changed["version"], changed["changed"], len(changed["changes"])) == (2, True, 2)
    wrong = graph(folder, "update", "dips", "nodes.ordr.params.fraction=0.01", "priority=11")
    assert wrong.returncode == 2
    assert "order" in wrong.stderr
    assert "fraction" in within("diff", "dips")
    assert answer_within("rollback", "dips", "1")["version"] == 3
    assert not answer_within("diff", "dips", "--old", "1", "--new", "3")["changes"]
    assert [one["version"] for one in answer_within("versions", "dips")] == [3, 2, 1]
    assert answer_within("versions")[0]["versions"] == 3
    # a published document runs by its name, whatever the file has become
    (folder / "dips.yaml").unlink()
    assert answer_within("validate", "dips", "--version", "2")["notes"] == ["dips: version 2, published"]
    assert "0.01" in within("export", "dips", "--version", "2")
    answer_within("update", "dips", "priority=7", "--draft")
    assert answer_within("publish", "dips")["status"] == "published"
    until = ("--data", "bitstamp-btc-usd-1d", "--until", "2015-01-01T00:00Z")
    found = answer(folder, "run", "dips", "--version", "2", *until)
    assert found["summary"]["runs"]


def test_other_forms(folder: Path) -> None:
    steps = {
        "name": "signals",
        "steps": [
            {"name": "market_analysis", "type": "technical_analysis", "params": {"indicators": ["RSI", "MACD"]}},
            {"name": "generate_signals", "type": "signal_generation", "params": {"threshold": 0.7}},
            {"name": "execute_trades", "type": "trade_execution", "params": {"risk_limit": 0.02}},
        ],
        "triggers": [{"type": "schedule", "cron": "0 9 * * 1-5"}],
    }
    made = graph(folder, "import", "-", "--out", "signals.yaml", given=json.dumps(steps))
    assert made.returncode == 0, made.stderr
    assert answer_within("validate", "signals.yaml")["valid"]
    assert within("export", "signals.yaml", "--to", "python").startswith('"""')
    within("export", "signals.yaml", "--to", "react", "--out", "react.json")
    assert not answer_within("diff", "signals.yaml", "react.json")["changes"]
    schema = json.loads(within("schema"))
    assert "technical_analysis" in json.dumps(schema)
    assert "risk_limit" in within("nodes", "trade_execution")
    assert {"momentum_trading", "ten_symbols"} <= {one["name"] for one in answer_within("new")}
    assert answer_within("nodes", "rsi_signal")[0]["type"] == "rsi_signal"


def test_words_that_do_not_fit_go_on_below() -> None:
    made = Grid("template", "what it does", rest="what it does", wrap=True)
    made.add("dips", "Buys a fall of two percent while the index says that it is overdone")
    made.add("rises", "Sells")
    lines = [line.plain for line in made.lines(40)]
    assert all(len(line) <= 40 for line in lines)
    assert (
        " ".join(" ".join(lines[1:-1]).split())
        == "dips Buys a fall of two percent while the index says that it is overdone"
    )
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == ["template", "dips", "rises"]
