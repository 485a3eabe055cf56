"""``emit``, ``letters``, ``redrive`` and ``discard``, against a process that runs workflows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faces.support import answer, eventually, tickwork, worker

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
    [
        (["emit", "desk/nothing"], "event: expected one of desk/trade"),
        (["emit", "desk/trade", "{"], "payload: expected JSON"),
        (["emit", "desk/trade", '{"symbol": %s}' % ("1" * 6_000)], "payload: expected a number of at most 4300 digits"),
        (["emit", "desk/trade", "[1]"], "payload: expected a JSON object of the event's fields"),
        (["emit", "desk/trade", '{"symbol": 1}'], "desk/trade.symbol: expected a valid string"),
        (["emit", "desk/trade", '{"symbol": "x"}', "--delay", "5"], "duration"),
        (["redrive"], "letters: expected ids, a source, a code, or every=True"),
        (["redrive", "nobody"], "letter: expected an open dead letter"),
        (["redrive", "--all", "--rate", "fast"], "rate: expected a number by a time"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(tape: Path, words: list[str], told: str) -> None:
    found = tickwork(tape, *words)
    assert found.returncode == 2
    assert told in found.stderr
    assert found.stderr.count("\n") == 1


def test_without_an_owner_it_says_so(tmp_path: Path) -> None:
    found = tickwork(tmp_path / "none.db", "emit", "desk/trade")
    assert found.returncode == 1
    assert "start the process that runs your workflows" in found.stderr
