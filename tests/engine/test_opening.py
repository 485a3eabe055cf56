"""Files: who may open them, what they must be, how an owner is asked."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests.engine.support import Ping, live, records
from tickwork.core.event import Event
from tickwork.core.run import Run
from tickwork.core.workflow import workflow
from tickwork.engines.embedded import Engine, Memory, Queries, lock, schema
from tickwork.engines.embedded.control import ask_owner, socket_path
from tickwork.errors import InvalidInput, NotFound, TapeCorrupt, TapeError, TapeLocked, TapeTooNew


@workflow("waits", on=Ping)
async def waits(run: Run, ping: Ping) -> str:
    if await run.approval("go on?"):
        return "yes"
    return "no"


@live
async def test_one_owner(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/t.db"
    async with Engine(url):
        with pytest.raises(TapeLocked, match="owned by another process"):
            await Engine(url).open()
        code = f"""
import asyncio
from tickwork.engines.embedded import Engine
from tickwork.errors import TapeLocked
async def main():
    try:
        async with Engine({url!r}): print("opened")
    except TapeLocked: print("locked")
asyncio.run(main())
"""
        done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout.strip() == "locked", done.stderr
    async with Engine(url):
        pass


@live
async def test_a_killed_owner_leaves_no_lock(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/t.db"
    first = Engine(url, workflows=[waits])
    await first.open()
    first.kill()
    async with Engine(url, workflows=[waits]):
        pass


@live
async def test_others_may_read(tmp_path: Path) -> None:
    async with Engine(f"sqlite:///{tmp_path}/t.db", workflows=[waits]) as engine:
        await engine.emit(Ping())
        queries = Queries.open(str(tmp_path / "t.db"))
        assert [info.workflow for info in queries.runs()] == ["waits"]
        assert queries.counts() == {"waiting": 1}
    with pytest.raises(TapeError):
        Queries.open(str(tmp_path / "nothing.db"))


@live
async def test_a_newer_schema(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/t.db"
    async with Engine(url):
        pass
    connection = apsw.Connection(str(tmp_path / "t.db"))
    connection.pragma("user_version", 99)
    connection.close()
    with pytest.raises(TapeTooNew):
        await Engine(url).open()
    with pytest.raises(TapeTooNew):
        Queries.open(str(tmp_path / "t.db"))
    connection = apsw.Connection(str(tmp_path / "t.db"))
    connection.pragma("user_version", schema.SCHEMA_VERSION)
    connection.close()
    async with Engine(url):  # the lock was let go
        pass


@live
async def test_an_older_schema_is_upgraded_by_its_owner(tmp_path: Path) -> None:
    path = str(tmp_path / "t.db")
    connection = apsw.Connection(path)
    for statement in schema._TABLES.split(";\n"):
        connection.execute(statement)
    connection.execute("INSERT INTO dead_letters VALUES (7, 3, 'undo b', 5)")
    connection.pragma("application_id", schema.APPLICATION_ID)
    connection.pragma("user_version", 1)
    connection.close()
    with pytest.raises(TapeError, match="whoever owns it upgrades it"):
        Queries.open(path)
    async with Engine(f"sqlite:///{path}") as engine:
        await engine.emit(Ping())
        assert [entry.record.kind for entry in records(engine)] == ["opened", "event"]
        assert engine._reader.rows("SELECT seq, kind, source, run, at, status FROM letters") == [
            (7, "undo", "undo b", 3, 5, 0)
        ]
    assert Queries.open(path).counts() == {}


@live
async def test_a_closed_engine_answers_nothing(tmp_path: Path) -> None:
    engine = Engine(f"sqlite:///{tmp_path}/t.db")
    async with engine:
        pass
    for asked in (engine.durable(), engine.schedules.list(), engine.letters.discard(every=True), engine.runs()):
        with pytest.raises(TapeError, match="not open"):
            await asked


@live
async def test_what_is_not_a_tape(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database" * 100)
    with pytest.raises(TapeCorrupt):
        await Engine(f"sqlite:///{tmp_path}/text.db").open()
    connection = apsw.Connection(str(tmp_path / "other.db"))
    connection.execute("create table mine (x)")
    connection.close()
    with pytest.raises(TapeCorrupt):
        await Engine(f"sqlite:///{tmp_path}/other.db").open()
    for url in ("postgres://x", "sqlite:///", "sqlite://x", ""):
        with pytest.raises(TapeError):
            Engine(url)


@live
async def test_a_damaged_record_is_found(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/t.db"
    async with Engine(url, workflows=[waits]) as engine:
        await engine.emit(Ping())
        (info,) = await engine.runs()
    connection = apsw.Connection(str(tmp_path / "t.db"))
    connection.execute("update tape set data=replace(data, 'waits', 'wails') where run is not null")
    connection.close()
    engine = Engine(url, workflows=[waits])
    with pytest.raises(TapeCorrupt):
        await engine.open()
        await engine.show(info.id)
    await engine.close()


@pytest.mark.parametrize("kind", ["nfs", "cifs", "9p"])
def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(lock, "file_system", lambda folder: kind)

    @live
    async def main() -> None:
        with pytest.raises(TapeLocked, match="local disk"):
            await Engine(f"sqlite:///{tmp_path}/t.db").open()

    main()


def test_the_file_system_of_a_folder() -> None:
    assert lock.file_system(Path("/proc")) in ("proc", "")


@live
async def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TapeError):
        await Engine(f"sqlite:///{tmp_path}/file/t.db").open()


@live
async def test_opening_twice(tmp_path: Path) -> None:
    async with Engine("memory:") as engine:
        with pytest.raises(InvalidInput):
            await engine.open()
    await engine.close()
    async with engine:
        pass


# -------------------------------------------------------------------------------------------------------------- control


@live
async def test_the_owner_does_what_others_ask(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    tape = str(deep / "t.db")

    async def ask(verb: str, **arguments: Any) -> Any:
        return await asyncio.to_thread(ask_owner, tape, verb, timeout=5, **arguments)

    with pytest.raises(ConnectionError):
        await ask("status")
    async with Engine(f"sqlite:///{tape}", workflows=[waits]) as engine:
        assert socket_path(tape).stat().st_mode & 0o777 == 0o600
        assert (await ask("emit", name="engine/ping", payload={"name": "x", "n": 1}))["seq"] > 0
        assert await ask("start", workflow="waits", input={"n": 2}, id="mine") == "mine"
        status = await ask("status")
        assert status["runs"] == {"waiting": 2}
        with pytest.raises(NotFound) as nothing:
            await ask("halt", reason="by hand")
        assert (nothing.value.path, nothing.value.found) == ("verb", "halt"), "not the whole request"
        await ask("pause", run="mine")
        assert await engine.handle("mine").status() == "paused"
        await ask("resume", run="mine")
        (question,) = [q for q in await engine.approvals() if q.run == "mine"]
        await ask("approve", id=question.id, yes=True)
        assert await engine.handle("mine").result(timeout="5 s") == "yes"
        (other,) = [info.id for info in await engine.runs() if info.id != "mine"]
        await ask("cancel", run=other, reason="enough")
        for verb, arguments in (
            ("nonsense", {}),
            ("cancel", {"run": "nobody"}),
            ("start", {"workflow": "nothing"}),
            ("start", {"workflow": "waits", "input": {"wrong": 1}}),
            ("emit", {"name": "nothing"}),
            ("emit", {"name": "engine/ping", "payload": {"wrong": 1}}),
            ("redrive", {"run": "mine"}),
        ):
            with pytest.raises(InvalidInput):
                await ask(verb, **arguments)
        with pytest.raises(TypeError):
            await ask("cancel", nonsense=1)
    with pytest.raises(ConnectionError):
        await ask("status")


@live
async def test_the_socket_survives_nonsense(tmp_path: Path) -> None:
    tape = str(tmp_path / "t.db")

    def say(line: bytes) -> Any:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(socket_path(tape)))
            connection.sendall(line)
            return json.loads(connection.makefile("rb").readline())

    async with Engine(f"sqlite:///{tape}"):
        for line in (b"\n", b"nonsense\n", b"[]\n", b"{}\n", b'{"verb": 5}\n', b"\xff\xfe\n", b'{"verb": "status"}\n'):
            answer = await asyncio.to_thread(say, line)
            assert ("ok" in answer) == (b"status" in line)


@live
async def test_a_socket_left_by_a_dead_owner_is_taken_over(tmp_path: Path) -> None:
    tape = str(tmp_path / "t.db")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(socket_path(tape)))
    async with Engine(f"sqlite:///{tape}"):
        status = await asyncio.to_thread(ask_owner, tape, "status", timeout=5)
        assert status["runs"] == {}


# ------------------------------------------------------------------------------------------------- what was reported


class Go(Event, name="opening/go"):
    at: str = "once"


def plus(number: int) -> int:
    return number + 1


def stop_of(version: str) -> Any:
    """A workflow as it was, and as somebody changed it while a run of it waited."""

    @workflow("stop")
    async def stop(run: Run) -> str:
        await run.step("first", plus, 1)
        await run.wait_for(Go)
        return "sold"

    @workflow("stop")
    async def renamed(run: Run) -> str:
        await run.step("another", plus, 1)
        await run.wait_for(Go)
        return "sold"

    return renamed if version == "renamed step" else stop


@live
async def test_check_tells_which_runs_the_code_cannot_go_on_with() -> None:
    tape = Memory()
    async with Engine(tape, workflows=[stop_of("old")]) as engine:
        await engine.start(engine.workflows[0], id="btc")
        await engine.idle()
        assert await engine.check() == {}
    async with Engine(tape, workflows=[stop_of("renamed step")]) as engine:
        found = await engine.check()
        assert list(found) == ["btc"]
        assert "'another'" in found["btc"]
        assert "'first'" in found["btc"]
        assert (await engine.show("btc")).info.status == "waiting"  # nothing was changed
        await engine.emit(Go())
        await engine.idle()
        detail = await engine.show("btc")
        assert detail.info.status == "diverged"
        assert "'another'" in (detail.error or "")


@live
async def test_runs_without_their_workflow_are_named_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    tape = Memory()
    async with Engine(tape, workflows=[stop_of("old")]) as engine:
        await engine.start(engine.workflows[0], id="btc")
    async with Engine(tape) as engine:
        assert "1 unfinished run(s)" in caplog.text
        assert "'stop' version 1 is not registered" in caplog.text
        with pytest.raises(InvalidInput, match="not registered"):
            await engine.handle("btc").result()
        assert "not registered" in (await engine.check())["btc"]


@live
async def test_a_tape_that_lost_its_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    old = stop_of("old")
    async with Engine(f"sqlite:///{path}", workflows=[old]) as engine:
        await engine.start(old, id="one")
    shutil.copy(path, tmp_path / "backup.db")
    async with Engine(f"sqlite:///{path}", workflows=[old]) as engine:
        for index in range(20):
            await engine.start(old, id=f"more{index}")
    shutil.copy(tmp_path / "backup.db", path)
    with pytest.raises(TapeCorrupt, match=r"it had reached \d+.*\.lock"):
        await Engine(f"sqlite:///{path}", workflows=[old]).open()
    Path(f"{path}.lock").unlink()  # noqa: ASYNC240
    async with Engine(f"sqlite:///{path}", workflows=[old]) as engine:
        assert [info.id for info in await engine.runs()] == ["one"]


@live
async def test_somebody_elses_database_is_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(TapeCorrupt, match="not a tape"):
        await Engine(f"sqlite:///{path}").open()
    assert path.read_bytes() == before


@live
async def test_two_classes_of_one_event_are_refused() -> None:
    def declare(number: int) -> Any:
        class Twice(Event, name="opening/twice"):
            number: int = 0

        @workflow(f"w{number}", on=Twice)
        async def one(run: Run, event: Twice) -> None: ...

        return one

    with pytest.raises(InvalidInput, match="opening/twice"):
        await Engine("memory:", workflows=[declare(1), declare(2)]).open()


class Other(Event, name="opening/other"):
    pass


def test_an_input_that_is_not_what_starts_it_is_refused() -> None:
    with pytest.raises(InvalidInput, match="what starts it"):

        @workflow("odd", on=Go)
        async def odd(run: Run, event: Other) -> None: ...


@live
async def test_an_input_may_have_a_default() -> None:
    @workflow("defaulted")
    async def defaulted(run: Run, number: int = 7) -> int:
        return number

    async with Engine("memory:", workflows=[defaulted]) as engine:
        assert await (await engine.start(defaulted)).result() == 7
        with pytest.raises(InvalidInput, match="not its name"):
            await engine.start("defaulted")  # type: ignore[arg-type]
