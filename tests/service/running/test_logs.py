"""The log: lines of JSON, run and step, rotation by whoever writes, a full disk, and reading it again."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwork.errors import TickworkError
from tickwork.service.running import logs
from tickwork.service.running.log_lines import LogLine, Wanted, follow, last
from tickwork.service.running.logs import LogFile, begin, log_file


def record(message: str, *args: Any, name: str = "tickwork.test", level: int = logging.INFO, **extra: Any) -> Any:
    made = logging.LogRecord(name, level, __file__, 1, message, args, None)
    made.__dict__.update(extra)
    return made


@contextmanager
def writing(home: Path, **settings: Any) -> Iterator[LogFile]:
    handler = LogFile(home, settings.pop("redact", str), **settings)
    try:
        yield handler
    finally:
        handler.close()


def read(home: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log_file(home).read_text().splitlines()]


def test_a_line(tmp_path: Path) -> None:
    with writing(tmp_path) as handler:
        handler.handle(record("bought %s", "BTC", level=logging.WARNING, run="r7", step="place"))
    (line,) = read(tmp_path)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "tickwork.test",
        "message": "bought BTC",
        "run": "r7",
        "step": "place",
        "pid": os.getpid(),
    }
    assert log_file(tmp_path).stat().st_mode & 0o777 == 0o600
    assert log_file(tmp_path).parent.stat().st_mode & 0o777 == 0o700


def test_the_run_is_found_where_the_engine_writes_it(tmp_path: Path) -> None:
    with writing(tmp_path) as handler:
        handler.handle(record("[r12] effect %r is unknown", "place", name="tickwork.engine"))
        handler.handle(record("[watch-abc] hello", name="tickwork.run"))
        handler.handle(record("[not a run] hello", name="tickwork.engine"))
        handler.handle(record("[r1] of somebody else", name="tickwork.watch"))
    assert [line.get("run") for line in read(tmp_path)] == ["r12", "watch-abc", None, None]


def test_run_log_carries_its_run(tmp_path: Path) -> None:
    import asyncio

    from tickwork import Engine, Run, workflow

    @workflow("talks")
    async def talks(run: Run) -> None:
        run.log.info("hello %d", 1)

    async def play() -> None:
        async with Engine("memory:", workflows=[talks]) as engine:
            await (await engine.start(talks, id="mine")).result()

    end = begin(tmp_path, str)
    try:
        asyncio.run(play())
    finally:
        end()
    lines = [line for line in read(tmp_path) if line["logger"] == "tickwork.run"]
    assert [(line["message"], line["run"], line["level"]) for line in lines] == [("[mine] hello 1", "mine", "info")]


def test_what_a_step_logs_carries_run_and_step(tmp_path: Path) -> None:
    import asyncio
    import time

    from tickwork import Engine, Run, workflow

    log = logging.getLogger("tickwork.mine")

    async def as_a_task(number: int) -> None:
        await asyncio.sleep(0)
        log.info("task %d", number)
        await asyncio.create_task(further(number))

    async def further(number: int) -> None:
        log.info("further %d", number)

    def in_a_thread(number: int) -> None:
        time.sleep(0)
        log.info("thread %d", number)

    async def made(number: int, *, key: str) -> None:
        log.info("effect %d", number)

    @workflow("steps")
    async def steps(run: Run, number: int) -> None:
        await run.step("a", as_a_task, number)
        await run.step("t", in_a_thread, number, blocking=True)
        await run.effect("e", made, number)

    async def play() -> None:
        async with Engine(f"sqlite:///{tmp_path}/tape.db", workflows=[steps]) as engine:
            handles = [await engine.start(steps, number, id=f"run-{number}") for number in range(20)]
            for handle in handles:
                await handle.result()
        log.info("nobody's")

    end = begin(tmp_path, str)
    try:
        asyncio.run(play())
    finally:
        end()
    lines = [line for line in read(tmp_path) if line["logger"] == "tickwork.mine"]
    assert "run" not in lines.pop()
    found = sorted((line["message"], line["run"], line["step"]) for line in lines)
    steps_of = {"task": "a", "further": "a", "thread": "t", "effect": "e"}
    assert found == sorted(
        (f"{word} {number}", f"run-{number}", step) for word, step in steps_of.items() for number in range(20)
    )


def test_others_are_heard_from_a_warning_on(tmp_path: Path) -> None:
    end = begin(tmp_path, str, on_stderr=False)
    try:
        logging.getLogger("httpx2").info("GET https://api/?signature=1")
        logging.getLogger("asyncio").error("Task exception was never retrieved")
        logging.getLogger("tickwork.x").info("ours")
        logging.getLogger("tickwork.x").debug("too low")
    finally:
        end()
    logging.getLogger("tickwork.x").error("after its end")
    assert [line["message"] for line in read(tmp_path)] == ["Task exception was never retrieved", "ours"]


def test_a_traceback_and_arguments_that_do_not_fit(tmp_path: Path) -> None:
    with writing(tmp_path) as handler:
        try:
            raise ValueError("here\nthere")
        except ValueError:
            import sys

            failed = record("it failed")
            failed.exc_info = sys.exc_info()
            handler.handle(failed)
        handler.handle(record("%d of %d", 1))
        handler.handle(record("half \ud800 a pair"))
    first, second, third = read(tmp_path)
    assert "ValueError: here\nthere" in first["error"]
    assert "do not fit" in second["message"] and "\\ud800" in third["message"]


@given(st.lists(st.integers(1, 300), max_size=40), st.integers(0, 3))
def test_rotation_loses_nothing_that_is_kept(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], kept: int
) -> None:
    home = tmp_path_factory.mktemp("home")
    with writing(home, largest=1_000, kept=kept) as handler:
        for number, size in enumerate(sizes):
            handler.handle(record(f"{number} " + "x" * size))
    files = [log_file(home).with_name(f"{logs.FILE}.{number}") for number in range(9, 0, -1)] + [log_file(home)]
    there = [file for file in files if file.exists()]
    assert len(there) <= kept + 1
    assert all(file.stat().st_size <= 1_000 and file.stat().st_mode & 0o777 == 0o600 for file in there)
    numbers = [int(json.loads(line)["message"].split()[0]) for file in there for line in file.read_text().splitlines()]
    assert numbers == list(range(len(sizes) - len(numbers), len(sizes))), "the newest, in order, none twice"


def test_two_processes_write_and_rotate_one_log(tmp_path: Path) -> None:
    """Two handlers are what two processes have: a descriptor each, and nothing else in common."""
    with writing(tmp_path, largest=2_000, kept=100) as one, writing(tmp_path, largest=2_000, kept=100) as other:

        def write(handler: LogFile, name: str) -> None:
            for number in range(150):
                handler.handle(record(f"{name} {number}"))

        threads = [threading.Thread(target=write, args=pair) for pair in ((one, "a"), (other, "b"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    files = list(log_file(tmp_path).parent.glob("tickwork.log*"))
    found = [json.loads(line)["message"] for file in files for line in file.read_text().splitlines()]
    assert sorted(found) == sorted(f"{name} {number}" for name in "ab" for number in range(150))


def test_what_could_not_be_written_is_told_of_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with writing(tmp_path) as handler:
        real = os.write

        def full(*_: object) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        handler.handle(record("lost"))
        handler.handle(record("lost too"))
        monkeypatch.setattr(os, "write", real)
        handler.handle(record("there is room again"))
    assert [line["message"] for line in read(tmp_path)] == [
        "2 lines before this one could not be written",
        "there is room again",
    ]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    with pytest.raises(OSError, match="exists"):
        LogFile(tmp_path, str)


def test_the_log_is_no_link_to_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "elsewhere").write_text("")
    log_file(tmp_path).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        LogFile(tmp_path, str)


# ------------------------------------------------------------------------------------------------------- reading


def test_the_last_lines_over_several_files(tmp_path: Path) -> None:
    with writing(tmp_path, largest=500) as handler:
        for number in range(12):
            level = logging.WARNING if number % 3 == 0 else logging.INFO
            handler.handle(record(f"line {number}", level=level, run=f"r{number % 2}"))
    assert log_file(tmp_path).with_name("tickwork.log.2").exists()
    assert [line.message for line in last(tmp_path, 5, Wanted())] == [f"line {number}" for number in range(7, 12)]
    assert [line.message for line in last(tmp_path, 99, Wanted("warning"))] == ["line 0", "line 3", "line 6", "line 9"]
    assert [line.message for line in last(tmp_path, 2, Wanted("info", "r1"))] == ["line 9", "line 11"]
    assert last(tmp_path, 0, Wanted()) == []


@given(st.lists(st.text(max_size=200), min_size=1, max_size=30), st.integers(1, 40))
def test_lines_come_back_as_they_were_logged(
    tmp_path_factory: pytest.TempPathFactory, messages: list[str], count: int
) -> None:
    home = tmp_path_factory.mktemp("home")
    with writing(home) as handler:
        for message in messages:
            handler.handle(record("%s", message))
    expected = [message.encode("utf-8", "backslashreplace").decode() for message in messages]
    assert [line.message for line in last(home, count, Wanted())] == expected[-count:]


def test_what_is_no_line_is_passed_over(tmp_path: Path) -> None:
    with writing(tmp_path) as handler:
        handler.handle(record("good"))
    with log_file(tmp_path).open("ab") as file:
        file.write(b'{"time": "cut o\n\xff\xfe\nFatal Python error\n')
    assert [line.message for line in last(tmp_path, 10, Wanted())] == ["good"]


def test_where_nobody_has_logged(tmp_path: Path) -> None:
    with pytest.raises(TickworkError, match="there is no log"):
        last(tmp_path, 10, Wanted())


def test_following_goes_on_when_the_file_is_moved_away(tmp_path: Path) -> None:
    found: list[LogLine] = []
    with writing(tmp_path, largest=700) as handler:
        handler.handle(record("before"))
        todo = iter(range(20))

        def write_more() -> bool:
            number = next(todo, None)
            if number is not None:
                handler.handle(record(f"line {number}"))
            return number is not None

        found += follow(tmp_path, Wanted(), going_on=write_more, sleep=lambda _: None)
    assert log_file(tmp_path).with_name("tickwork.log.1").exists()
    assert [line.message for line in found] == [f"line {number}" for number in range(20)]
