"""The control socket: large answers, answers that fail, owners that go away."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import live, turns
from tickwork.core.codec import MAX_VALUE
from tickwork.core.queue import Draft, Queue
from tickwork.engines.embedded import Engine
from tickwork.engines.embedded.control import LINE_MAX, Control, ask_owner, socket_path
from tickwork.errors import InvalidInput, StepFailed, TapeError, TickworkError, Unknown
from tickwork.faces.options import ask

HOME = Path("unused")


@live
async def test_a_lease_of_large_messages_is_cut_where_its_answer_is_full(tmp_path: Path) -> None:
    tape = str(tmp_path / "t.db")
    queue = Queue("q")
    async with Engine(f"sqlite:///{tape}", queues=[queue]) as engine:
        large = "ü" * ((MAX_VALUE - 2) // 2)
        await engine.queues.send_all(queue, [Draft(large, group=str(n)) for n in range(4)] + [Draft("s", group="s")])

        async def lease() -> list[Any]:
            found: list[Any] = await asyncio.to_thread(ask_owner, tape, "queues.lease", queue="q", max=10)
            return [message["body"] for message in found]

        assert await lease() == [large] * 2
        status = await engine.queues.status(queue)
        assert (status.in_flight, status.available) == (2, 3)
        assert await lease() == [large, large, "s"]


@live
async def test_a_message_of_the_largest_size_gets_through_however_json_swells(tmp_path: Path) -> None:
    tape = str(tmp_path / "t.db")
    queue = Queue("q")
    async with Engine(f"sqlite:///{tape}", queues=[queue]) as engine:
        body = [1e15] * ((MAX_VALUE - 2) // len(b"1000000000000000.0,"))
        await engine.queues.send(queue, body)
        (message,) = await asyncio.to_thread(ask_owner, tape, "queues.lease", queue="q")
        assert message["body"] == body


def _serve(tmp_path: Path, verbs: dict[str, Any], check: Callable[[str], None]) -> None:
    @live
    async def run() -> None:
        tape = str(tmp_path / "t.db")
        control = Control(tape, verbs)
        await control.start()
        try:
            await asyncio.to_thread(check, tape)
        finally:
            await control.stop()
            await turns()  # what it served is closed

    run()


@pytest.mark.parametrize("error", [KeyError("coin"), OverflowError("int too large"), ConnectionRefusedError("venue")])
def test_whatever_a_verb_raises_is_an_answer(
    tmp_path: Path, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails() -> None:
        raise error

    def check(tape: str) -> None:
        with pytest.raises(StepFailed) as told:
            ask_owner(tape, "fails")
        assert told.value.args[:2] == (type(error).__name__, str(error))

    _serve(tmp_path, {"fails": fails}, check)
    assert "a request of another process failed" in caplog.text


def test_what_is_too_long_is_refused_with_words_and_the_connection_lives(tmp_path: Path) -> None:
    async def long() -> str:
        return "x" * LINE_MAX

    async def short() -> str:
        return "ok"

    def check(tape: str) -> None:
        with pytest.raises(InvalidInput, match="request"):
            ask_owner(tape, "short", body="x" * LINE_MAX)
        with pytest.raises(InvalidInput, match="answer"):
            ask_owner(tape, "long")
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(socket_path(tape)))
            connection.sendall(b" " * (LINE_MAX * 2) + b"\n" + b'{"verb": "short"}\n')
            with connection.makefile("rb") as answers:
                assert b"InvalidInput" in answers.readline()
                assert json.loads(answers.readline()) == {"ok": "ok"}

    _serve(tmp_path, {"long": long, "short": short}, check)


def test_numbers_beyond_what_is_read_are_an_answer_too(tmp_path: Path) -> None:
    async def huge() -> int:
        return 10**5_000

    def check(tape: str) -> None:
        with pytest.raises(ValueError, match="digits"):
            ask_owner(tape, "huge")
        with pytest.raises(TickworkError, match="cannot do this"):
            ask(Path(tape), HOME, "huge")
        with pytest.raises(TickworkError, match="nonsense"):
            ask(Path(tape), HOME, "huge", nonsense=1)

    _serve(tmp_path, {"huge": huge}, check)


def test_an_owner_that_goes_away_may_have_done_it(tmp_path: Path) -> None:
    tape = tmp_path / "t.db"
    tape.touch()
    with pytest.raises(TapeError, match="no process has this tape open"):
        ask(tape, HOME, "status")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(socket_path(str(tape))))
        listening.listen()

        def go_away() -> None:
            connection, _ = listening.accept()
            connection.recv(1)  # and the rest unread: the other side sees a reset
            connection.close()

        thread = threading.Thread(target=go_away)
        thread.start()
        with pytest.raises(Unknown, match="went away before it answered; what was asked may be done"):
            ask(tape, HOME, "status")
        thread.join()
        with pytest.raises(TimeoutError, match="may still do what was asked"):
            ask_owner(str(tape), "status", timeout=0.05)
    with pytest.raises(TapeError, match="no process has this tape open"):
        ask(tape, HOME, "status")
