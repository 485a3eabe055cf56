"""``emit``, ``letters``, ``redrive`` and ``discard``, against a process that runs workflows."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from tests.faces.support import answer, eventually, tickwork, worker
from tests.some import some
from tickwork import app
from tickwork.errors import InvalidInput, StepFailed
from tickwork.faces import cli, tables
from tickwork.faces.letters import letters as list_letters

TICKWORK = str(Path(sys.executable).parent / "tickwork")

PROGRAM = """
    import asyncio
    from tickwork import Engine, Event, Run, workflow

    class Trade(Event, name="desk/trade", version=2):
        symbol: str
        size: int = 1

        @classmethod
        def upcast(cls, version, fields):
            return {"symbol": fields["pair"], "size": fields.get("size", 1)}

    class SymbolUnknown(Exception):
        pass

    @workflow("trade", on=Trade)
    async def trade(run: Run, trade: Trade) -> str:
        if trade.symbol == "???":
            raise SymbolUnknown(trade.symbol)
        return f"{trade.size} {trade.symbol}"

    async def main():
        async with Engine("sqlite:///tape.db", workflows=[trade]) as engine:
            await engine.serve()

    asyncio.run(main())
"""


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with worker(tmp_path_factory.mktemp("desk"), PROGRAM) as path:
        yield path


def test_an_event_is_published_and_starts_its_run(tape: Path) -> None:
    found = answer(tape, "emit", "desk/trade", '{"symbol": "BTC/USDT", "size": 3}')
    assert found["letter"] is False
    assert eventually(lambda: [r for r in answer(tape, "runs", "--status", "done") if r["result"] == "3 BTC/USDT"])
    assert "published at" in tickwork(tape, "emit", "desk/trade", "-", given='{"symbol": "ETH/USDT"}').stdout
    assert eventually(lambda: [r for r in answer(tape, "runs", "--status", "done") if r["result"] == "1 ETH/USDT"])


def test_an_old_version_is_upcast_and_a_newer_one_kept(tape: Path) -> None:
    answer(tape, "emit", "desk/trade", '{"pair": "OLD/USDT"}', "--version", "1")
    assert eventually(lambda: [r for r in answer(tape, "runs", "--status", "done") if r["result"] == "1 OLD/USDT"])
    found = answer(tape, "emit", "desk/trade", '{"ticker": "X"}', "--version", "3")
    assert found["letter"] is True
    (letter,) = answer(tape, "letters", "--code", "newer_event")
    assert (letter["kind"], letter["source"], letter["body"]) == ("event", "desk/trade", {"ticker": "X"})
    assert answer(tape, "discard", str(found["seq"])) == {"discarded": 1}


def test_letters_are_listed_redriven_and_discarded(tape: Path) -> None:
    for size in range(1, 4):
        answer(tape, "emit", "desk/trade", f'{{"symbol": "???", "size": {size}}}')
    letters = eventually(
        lambda: found if len(found := answer(tape, "letters", "--code", "symbol_unknown")) == 3 else None
    )
    newest = letters[0]
    assert (newest["kind"], newest["attempts"], newest["body"]["size"]) == ("run", 1, 3)
    assert newest["run"] in tickwork(tape, "letters").stdout
    assert len(answer(tape, "redrive", "--code", "symbol_unknown", "--rate", "50/s")["redriven"]) == 3
    again = eventually(lambda: found if len(found := answer(tape, "letters", "--source", "trade")) == 3 else None)
    assert {letter["attempts"] for letter in again} == {2}
    (mended,) = answer(tape, "redrive", newest["id"], "--payload", '{"symbol": "OK", "size": 9}')["redriven"]
    assert eventually(lambda: answer(tape, "show", mended)["result"] == "9 OK")
    assert answer(tape, "discard", "--all", "--by", "me") == {"discarded": 2}
    assert answer(tape, "letters") == []
    assert {letter["status"] for letter in answer(tape, "letters", "--all")} == {"redriven", "discarded"}
    assert tickwork(tape, "letters").stdout == "no dead letters; all is well\n"


@pytest.mark.parametrize(
    ("words", "told"),
    some(
        [
            (["emit", "desk/nothing"], "event: expected one of desk/trade"),
            (["emit", "desk/trade", "{"], "payload: expected JSON"),
            (
                ["emit", "desk/trade", '{"symbol": %s}' % ("1" * 6_000)],
                "payload: expected a number of at most 4300 digits",
            ),
            (["emit", "desk/trade", "[1]"], "payload: expected a JSON object of the event's fields"),
            (["emit", "desk/trade", '{"symbol": 1}'], "desk/trade.symbol: expected a valid string"),
            (["emit", "desk/trade", '{"symbol": "x"}', "--delay", "5"], "duration"),
            (["redrive"], "letters: expected ids, --source, --code, or --all"),
            (["redrive", "r4", "--all"], "not both"),
            (["discard", "--code", "x", "--all"], "not both"),
            (["redrive", "\N{SUPERSCRIPT TWO}"], "letter: expected an id"),
            (["redrive", "9" * 30], "letter: expected an id"),
            (["show", "r\N{SUPERSCRIPT TWO}"], "run: expected an id"),
            (["cancel", "r\N{SUPERSCRIPT TWO}"], "run: expected an id"),
            (["cancel", "r" + "9" * 5_000], "run: expected an id"),
            (["show", "\udcff"], "argument: expected text in UTF-8"),
            (["runs", "--limit", "9" * 23], "--limit"),
            (["letters", "--limit", "0"], "--limit"),
            (["emit", "desk/trade", '{"symbol": NaN}'], "payload: expected a number that is finite; found 'NaN'"),
            (["emit", "desk/trade", '{"symbol": 1e999}'], "payload: expected JSON"),
            (["emit", "desk/trade", '{"symbol": "\\ud800"}'], "payload: expected JSON"),
            (["redrive", "--all", "--rate", "1/0s"], "rate: expected a number by a time"),
            (["breakers", "trip", "x", "--for", "0s"], "--for: expected a duration above zero"),
            (["breakers", "trip", "x", "--for", "soon"], "--for: expected"),
            (["redrive", "nobody"], "letter: expected an open dead letter"),
            (["redrive", "--all", "--rate", "fast"], "rate: expected a number by a time"),
        ],
        quick=8,
    ),
)
def test_what_is_wrong_is_said_in_a_line(tape: Path, words: list[str], told: str) -> None:
    found = tickwork(tape, *words)
    assert found.returncode == 2
    assert told in found.stderr
    assert found.stderr.count("\n") == 1


def test_a_narrow_terminal_shows_the_error_rather_than_when(tape: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(tape, "emit", "desk/trade", '{"symbol": "???"}')
    (letter,) = eventually(lambda: answer(tape, "letters", "--source", "trade"))
    out = io.StringIO()
    monkeypatch.setattr(tables, "console", lambda: Console(width=80, file=out, highlight=False))
    assert list_letters(tape=tape) == 0
    heading, line = out.getvalue().splitlines()
    assert "error" in heading.split()
    assert letter["id"] in line.split()
    assert "Symbol" in line
    assert len(line) <= 80
    answer(tape, "discard", letter["id"])


def test_an_error_of_the_owner_that_lost_its_fields_keeps_its_words_and_its_code() -> None:
    lost = StepFailed("tickwork.errors:InvalidInput", "price: expected a number; found nan", True)
    assert cli._complaint(lost) == (2, "price: expected a number; found nan")
    assert cli._complaint(StepFailed("tickwork.errors:Refused", "refused", True)) == (3, "refused")
    assert cli._complaint(StepFailed("desk:Odd", "words")) == (1, "desk:Odd: words")


def test_arguments_are_named_as_the_options_they_are() -> None:
    assert cli._complaint(InvalidInput("lease(max=)", 0, "more"))[1].startswith("--max: ")
    assert cli._complaint(InvalidInput("reject(retry_in=)", "x", "a time"))[1].startswith("--retry-in: ")
    assert cli._complaint(InvalidInput("trip(open_for=)", "x", "a time"))[1].startswith("--for: ")


def test_bare_groups(tape: Path) -> None:
    for words in (("breakers",), ("breakers", "list")):
        found = tickwork(tape, *words)
        assert (found.returncode, found.stdout) == (0, "no breaker has been used on this tape\n")
    found = subprocess.run([TICKWORK, "notify"], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")
    assert "outbox" in found.stdout


@pytest.mark.parametrize("words", [["runs"], ["runs", "--json"], ["doctor"], ["breakers"], ["--help"]])
def test_a_reader_that_has_gone_is_no_failure(tape: Path, words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [TICKWORK, *words]
    environment = {**os.environ, "TICKWORK_TAPE": str(tape)}
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, env=environment, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_interruption_while_the_command_line_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupts:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "tickwork.faces.cli":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "tickwork.faces.cli")
    monkeypatch.setattr(sys, "meta_path", [Interrupts(), *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 130


def test_the_tape_of_the_environment(tape: Path, tmp_path: Path) -> None:
    (tmp_path / "tickwork.toml").write_text('home = "elsewhere"')
    command = [TICKWORK, "breakers"]
    environment = {**os.environ, "TICKWORK_TAPE": str(tape)}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "no breaker has been used on this tape\n", "")


def test_without_an_owner_it_says_so(tmp_path: Path) -> None:
    found = tickwork(tmp_path / "none.db", "emit", "desk/trade")
    assert found.returncode == 1
    assert "start the process that runs your workflows" in found.stderr
