"""``tickwork queues``, against a process that runs workflows, and on its tape when it is gone."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from tests.faces.support import answer, eventually, tickwork, worker
from tickwork.faces import tables
from tickwork.faces.grid import Grid
from tickwork.faces.queues import _show as show_messages

PROGRAM = """
    import asyncio
    from tickwork import Engine, Run, workflow
    from tickwork.core.queue import Queue

    signals = Queue("signals", max_retries=0, batch_size=2, capacity=4)
    worked = Queue("worked", max_retries=0)

    @workflow("work", on=worked)
    async def work(run: Run, message: dict) -> str:
        if message.get("bad"):
            raise ValueError("no such symbol")
        return "done"

    async def main():
        async with Engine("sqlite:///tape.db", workflows=[work], queues=[signals]) as engine:
            await engine.serve()

    asyncio.run(main())
"""


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("desk")
    with worker(folder, PROGRAM) as path:
        yield path


def queue(tape: Path, name: str) -> dict[str, object]:
    return next(line for line in answer(tape, "queues") if line["name"] == name)


def test_a_consumer_of_texts(tape: Path) -> None:
    sent = answer(tape, "queues", "send", "signals", '{"symbol": "BTC/USDT"}', "--group", "btc", "--id", "a")
    assert sent["queue"] == "signals"
    assert answer(tape, "queues", "send", "signals", "-", "--id", "a", given="{}") == sent
    second = answer(tape, "queues", "send", "signals", "2", "--priority", "5")
    answer(tape, "queues", "send", "signals", '"late"', "--delay", "1h")
    found = answer(tape, "queues", "lease", "signals", "--visibility", "5m", "--consumer", "me")
    assert [message["body"] for message in found] == [2, {"symbol": "BTC/USDT"}]
    assert {"leaseUntil", "sentAt", "lease", "attempts"} <= set(found[0])
    two, one = found
    line = queue(tape, "signals")
    assert (line["inFlight"], line["available"], line["delayed"], line["total"]) == (2, 0, 1, 2)
    assert answer(tape, "queues", "extend", one["lease"], "10m")["leaseUntil"] > one["leaseUntil"]
    assert answer(tape, "queues", "ack", two["lease"]) == {"acknowledged": [two["lease"]]}
    rejected = answer(tape, "queues", "reject", one["lease"], "--error", "rate_limit", "--detail", "slow down",
                      "--retry-in", "1m")  # fmt: skip
    assert rejected["status"] == "dead"
    (dead,) = answer(tape, "queues", "show", "signals", "--status", "dead")
    assert (dead["seq"], dead["failures"][0]["code"]) == (sent["message"], "rate_limit")
    assert dead["failures"][0]["error"] == "rate_limit: slow down"
    (done,) = answer(tape, "queues", "show", "signals", "--status", "completed")
    assert (done["seq"], done["consumer"]) == (second["message"], "me")
    assert len(answer(tape, "queues", "show", "signals", "--limit", "2")) == 2


def test_tables(tape: Path) -> None:
    answer(tape, "queues", "send", "signals", '{"n": 1}')
    listed = tickwork(tape, "queues", "list").stdout
    assert "in flight" in listed
    assert "worked" in listed
    assert '{"n": 1}' in tickwork(tape, "queues", "show", "signals").stdout
    leased = tickwork(tape, "queues", "lease", "signals", "--max", "1").stdout
    lease = next(word for word in leased.split() if word.startswith("signals:"))
    assert "until 2" in tickwork(tape, "queues", "extend", lease, "60s").stdout
    assert tickwork(tape, "queues", "ack", lease).stdout == "1 done\n"
    assert tickwork(tape, "queues", "lease", "signals").stdout == "no message to be had just now\n"
    assert "no message like that" in tickwork(tape, "queues", "show", "signals", "--status", "failed").stdout


def test_a_message_that_a_workflow_gave_up_leads_to_its_run(tape: Path) -> None:
    answer(tape, "queues", "send", "worked", "{}")
    answer(tape, "queues", "send", "worked", '{"bad": true}')
    (dead,) = eventually(lambda: answer(tape, "queues", "show", "worked", "--status", "dead"))
    assert dead["failures"][0]["error"] == "ValueError: no such symbol"
    detail = answer(tape, "show", dead["run"])
    assert (detail["status"], detail["error"]) == ("failed", "ValueError: no such symbol")
    assert (queue(tape, "worked")["completedToday"], queue(tape, "worked")["dead"]) == (1, 1)


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (("send", "nope", "1"), 2, "signals"),
        (("send", "signals", "{"), 2, "JSON"),
        (("send", "signals", "1", "--priority", "9" * 30), 2, "--priority"),
        (("show", "signals", "--limit", "9" * 23), 2, "--limit"),
        (("lease", "signals", "--max", "9" * 9), 2, "--max"),
        (("send", "signals"), 2, "JSON"),
        (("show", "signals", "--status", "lost"), 2, "in_flight"),
        (("lease", "signals", "--max", "0"), 2, "max"),
        (("ack", "rubbish"), 2, "lease"),
        (("ack", "signals:1.2.00000000"), 1, "is over"),
    ],
)
def test_complaints_are_one_line(tape: Path, words: tuple[str, ...], code: int, named: str) -> None:
    found = tickwork(tape, "queues", *words)
    assert (found.returncode, found.stdout) == (code, "")
    assert named in found.stderr
    assert found.stderr.count("\n") == 1


def test_a_message_that_is_nested_too_deeply(tape: Path) -> None:
    found = tickwork(tape, "queues", "send", "signals", "-", given="[" * 100_000 + "]" * 100_000)
    assert (found.returncode, found.stderr.count("\n")) == (2, 1)
    assert "message: expected JSON that is not nested as deeply" in found.stderr


def test_a_narrow_terminal_shortens_an_error_before_it_drops_a_column(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(tables, "console", lambda: Console(width=110, file=out, highlight=False))
    time = datetime(2026, 1, 1, tzinfo=UTC)
    failure = SimpleNamespace(error="rate_limit: " + "slow down " * 20)
    line = SimpleNamespace(
        seq=7, status="dead", group="btc", attempts=2, sent_at=time, due=None, lease_until=None, run="r12",
        failures=[failure], body={"n": 1},
    )  # fmt: skip
    show_messages([line])  # type: ignore[list-item]
    heading, row = out.getvalue().splitlines()
    assert "sent" in heading
    assert "rate_limit: slow down s…" in row
    assert '{"n": 1}' in row


def test_cells_hold_no_control_characters() -> None:
    made = Grid("name", "words", rest="words")
    made.add("a", "one\ntwo \x1b[31mred\u2028 caf\u00e9\u00a0\u20bf")
    assert len(made.lines(100)) == 2
    assert made.lines(100)[1].plain == "a     one\\ntwo \\x1b[31mred\\u2028 caf\u00e9\u00a0\u20bf"


def test_a_full_queue_says_so(tape: Path) -> None:
    while (sent := tickwork(tape, "queues", "send", "signals", "0")).returncode == 0:
        pass
    assert sent.returncode == 1
    assert "queue 'signals' is full: 4 messages" in sent.stderr


def test_a_tape_that_nobody_runs_can_be_read_and_not_changed(tmp_path: Path) -> None:
    with worker(tmp_path, PROGRAM) as tape:
        answer(tape, "queues", "send", "signals", "1")
    assert queue(tape, "signals")["available"] == 1
    assert answer(tape, "queues", "show", "signals")[0]["body"] == 1
    found = tickwork(tape, "queues", "send", "signals", "1")
    assert found.returncode == 1
    assert "start the process" in found.stderr
