"""Calls: who may make them, what a key promises, what is on the tape of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from tickwork import Engine, Event, Run, workflow
from tickwork.errors import Conflict, Forbidden, InvalidInput, NotFound, NotRunning, Refused, ServiceError, Unknown
from tickwork.service.api.caller import SCOPES, Caller, local
from tickwork.service.api.commanded import HIDDEN, CommandAnswered, CommandAsked, asked
from tickwork.service.api.here import Failed, Service, authorise, told
from tickwork.service.api.operation import CATALOGUE, Args, Call, Done, Nothing, Operation, command, query
from tickwork.service.api.problems import TITLES, KeyReused, problem_of
from tickwork.service.api.there import Remote
from tickwork.service.operations import all as every

HERE = local("http")


@workflow("sleeper")
async def sleeper(run: Run, hours: dict[str, Any]) -> int:
    await run.sleep("1 hour")
    return 1


class Given(Args):
    what: str = Field("", max_length=100)
    account: str = ""
    api_key: str = ""


@dataclass
class Made:
    """What the operations of these tests do."""

    calls: list[str] = field(default_factory=list)
    gate: asyncio.Event | None = None
    raises: list[Exception] = field(default_factory=list)


@pytest.fixture
def made() -> Iterator[Made]:
    """Operations that only tests have."""
    found, before = Made(), dict(CATALOGUE)

    async def do(call: Call, args: Given) -> Done:
        """Do something."""
        found.calls.append(args.what)
        if found.gate is not None:
            await found.gate.wait()
        if found.raises:
            raise found.raises.pop()
        return Done(id=args.what, done=f"{len(found.calls)}")

    async def show(call: Call, args: Given) -> Done:
        """Give a secret."""
        return Done(id="s", done="the secret")

    def look(call: Call, args: Nothing) -> int:
        """Count runs."""
        return len(call.queries.runs())

    command("test.do", "POST /test", scope="trade", account="account")(do)
    command("test.look", "POST /test/look", again="look")(do)
    command("test.secret", "POST /test/secret", secret=True)(show)
    query("test.count", "GET /test")(look)
    yield found
    CATALOGUE.clear()
    CATALOGUE.update(before)


@asynccontextmanager
async def serving(path: Path | None) -> Any:
    url = "memory:" if path is None else f"sqlite:///{path}"
    async with Engine(url, workflows=[sleeper]) as engine:
        service = Service(engine)
        service.open()
        try:
            yield service
        finally:
            service.close()


def events(service: Service, kind: type[Event]) -> list[Any]:
    found = service.engine.queries.events(kind.event_name)
    return [kind.from_wire(bytes(entry.record.value)) for entry in found]


# ------------------------------------------------------------------------------------------------------------- rights


@given(st.sampled_from(sorted(every.CATALOGUE)), st.sets(st.sampled_from(SCOPES)))
def test_nobody_may_do_what_he_has_no_right_to(name: str, scopes: set[str]) -> None:
    operation = CATALOGUE[name]
    allowed = operation.scope in scopes or "admin" in scopes or (operation.scope == "read" and scopes)
    caller = Caller(name="t", face="http", scopes=frozenset(scopes))
    _judge(lambda: authorise(operation, caller), allowed=bool(allowed))


@given(st.sampled_from(sorted(every.CATALOGUE)))
def test_a_caller_bound_to_an_owner_has_only_what_heeds_owners(name: str) -> None:
    operation = CATALOGUE[name]
    caller = Caller(name="t", face="http", scopes=frozenset(SCOPES), owner="ann")
    _judge(lambda: authorise(operation, caller), allowed=operation.owned)


@pytest.mark.parametrize(("account", "allowed"), [("main", True), ("other", False), ("", False)])
def test_a_trading_token_trades_only_the_accounts_it_names(made: Made, account: str, allowed: bool) -> None:
    caller = Caller(name="t", face="mcp", scopes=frozenset({"trade"}), accounts=frozenset({"main"}))
    operation = CATALOGUE["test.do"]
    _judge(lambda: authorise(operation, caller, Given(account=account)), allowed=allowed)


@given(st.sampled_from(sorted(every.CATALOGUE)))
def test_who_may_not_trade_every_account_does_not_say_what_runs(name: str) -> None:
    caller = Caller(name="t", face="mcp", scopes=frozenset({"trade", "operate"}), accounts=frozenset({"main"}))
    operation = CATALOGUE[name]
    _judge(lambda: authorise(operation, caller), allowed=operation.scope != "admin" and not operation.defines)
    assert not operation.defines or operation.scope == "trade"


def _judge(ask: Callable[[], None], *, allowed: bool) -> None:
    if allowed:
        ask()
        return
    with pytest.raises(Forbidden):
        ask()


async def _refused(path: Path, made: Made) -> None:
    async with serving(path) as service:
        with pytest.raises(Forbidden, match="trade"):
            await service.call("test.do", {"what": "x"}, local("http", ["operate"]))
        assert made.calls == []
        assert events(service, CommandAsked) == []


def test_what_is_refused_is_not_done(tmp_path: Path, made: Made) -> None:
    asyncio.run(_refused(tmp_path / "t.db", made))


# --------------------------------------------------------------------------------------------------------------- keys


@pytest.mark.parametrize("where", ["file", "memory"])
def test_a_key_is_done_once_and_answered_as_then(tmp_path: Path, made: Made, where: str) -> None:
    async def law() -> None:
        async with serving(tmp_path / "t.db" if where == "file" else None) as service:
            first = await service.call("test.do", {"what": "a"}, HERE, "k")
            again = await service.call("test.do", {"what": "a"}, HERE, "k")
            assert (first.repeated, again.repeated) == (False, True)
            assert first.value == again.value == {"id": "a", "done": "1"}
            with pytest.raises(KeyReused):
                await service.call("test.do", {"what": "b"}, HERE, "k")
            with pytest.raises(KeyReused):
                await service.call("test.look", {"what": "a"}, HERE, "k")
            other = Caller(name="other", face="http", scopes=frozenset(SCOPES))
            assert (await service.call("test.do", {"what": "a"}, other, "k")).repeated is False
            assert made.calls == ["a", "a"]

    asyncio.run(law())


def test_many_at_once_with_one_key_are_one(tmp_path: Path, made: Made) -> None:
    async def law() -> None:
        made.gate = asyncio.Event()
        async with serving(tmp_path / "t.db") as service:
            many = [asyncio.create_task(service.call("test.do", {"what": "a"}, HERE, "k")) for _ in range(20)]
            await asyncio.sleep(0)
            made.gate.set()
            answers = await asyncio.gather(*many)
        assert made.calls == ["a"]
        assert sum(not answer.repeated for answer in answers) == 1
        assert len({str(answer.value) for answer in answers}) == 1

    asyncio.run(law())


def test_a_key_outlives_the_process(tmp_path: Path, made: Made) -> None:
    async def law() -> None:
        async with serving(tmp_path / "t.db") as service:
            await service.call("test.do", {"what": "a"}, HERE, "k")
            service.engine.kill()
        async with serving(tmp_path / "t.db") as service:
            assert (await service.call("test.do", {"what": "a"}, HERE, "k")).repeated
        assert made.calls == ["a"]

    asyncio.run(law())


@pytest.mark.parametrize("name", ["test.do", "test.look"])
def test_an_answer_that_was_lost_with_the_process(tmp_path: Path, made: Made, name: str) -> None:
    """What may be done twice is done again; of what may not, whoever asks hears that nobody knows."""

    async def law() -> None:
        made.gate = asyncio.Event()
        async with serving(tmp_path / "t.db") as service:
            asking = asyncio.create_task(service.call(name, {"what": "a"}, HERE, "k"))
            await asyncio.sleep(0)
            await service.engine.durable()
            assert made.calls == ["a"]
            service.engine.kill()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        made.gate = None
        async with serving(tmp_path / "t.db") as service:
            if name == "test.do":
                assert not (await service.call(name, {"what": "a"}, HERE, "k")).repeated
                assert made.calls == ["a", "a"]
            else:
                for _ in range(2):
                    with pytest.raises(Unknown, match="look"):
                        await service.call(name, {"what": "a"}, HERE, "k")
                assert made.calls == ["a"]

    asyncio.run(law())


def test_a_failure_that_stays_is_told_again_and_one_that_passes_is_not(tmp_path: Path, made: Made) -> None:
    async def law() -> None:
        async with serving(tmp_path / "t.db") as service:
            made.raises = [Refused("max_position", "1", "2")]
            with pytest.raises(Refused):
                await service.call("test.do", {"what": "a"}, HERE, "k")
            with pytest.raises(Failed) as failed:
                await service.call("test.do", {"what": "a"}, HERE, "k")
            problem = told(failed.value)
            assert problem is not None
            assert (problem.code, problem.status) == ("refused", 409)
            assert "max_position" in problem.detail
            made.raises = [Conflict("run", "r1", "another state")]
            with pytest.raises(Conflict):
                await service.call("test.do", {"what": "b"}, HERE, "k2")
            assert (await service.call("test.do", {"what": "b"}, HERE, "k2")).value["id"] == "b"

    asyncio.run(law())


def test_a_secret_answer_is_not_on_the_tape(tmp_path: Path, made: Made) -> None:
    async def law() -> None:
        async with serving(tmp_path / "t.db") as service:
            answer = await service.call("test.secret", {"apiKey": "hunter2"}, HERE, "k")
            assert answer.value["done"] == "the secret"
            with pytest.raises(Unknown):
                await service.call("test.secret", {"apiKey": "hunter2"}, HERE, "k")
        whole = (tmp_path / "t.db").read_bytes() + b"".join(one.read_bytes() for one in tmp_path.glob("t.db-wal"))  # noqa: ASYNC240
        assert b"the secret" not in whole
        assert b"hunter2" not in whole
        assert HIDDEN.encode() in whole

    asyncio.run(law())


@pytest.mark.parametrize("key", ["x" * 256, "a\nb", "\x00"])
def test_a_key_that_is_none(tmp_path: Path, made: Made, key: str) -> None:
    async def law() -> None:
        async with serving(tmp_path / "t.db") as service:
            with pytest.raises(InvalidInput, match="Idempotency-Key"):
                await service.call("test.do", {}, HERE, key)

    asyncio.run(law())


# ----------------------------------------------------------------------------------------------------------- the tape


def test_what_was_asked_and_what_came_of_it_is_on_the_tape(tmp_path: Path, made: Made) -> None:
    async def law() -> None:
        async with serving(tmp_path / "t.db") as service:
            await service.call("test.do", {"what": "a"}, HERE)
            made.raises = [ValueError("a mistake of ours")]
            with pytest.raises(ValueError, match="mistake"):
                await service.call("test.do", {"what": "b"}, HERE)
            await service.call("test.count", {}, HERE)
            commands, answers = events(service, CommandAsked), events(service, CommandAnswered)
            assert [one.operation for one in commands] == ["test.do", "test.do"]
            assert [one.by for one in commands] == ["local", "local"]
            assert [one.outcome for one in answers] == ["done", "internal"]

    asyncio.run(law())


secretive = st.sampled_from(["apiKey", "api_key", "secret", "clientSecret", "password", "token", "privateKey"])


@given(secretive, st.text(min_size=8).map(lambda text: f"<{text}>"), st.sampled_from(["flat", "deep", "list"]))
def test_what_its_name_says_to_be_secret_is_not_told(name: str, value: str, where: str) -> None:
    given_so: dict[str, dict[str, Any]] = {
        "flat": {name: value},
        "deep": {"a": {"b": {name: value}}},
        "list": {"a": [{name: value}]},
    }
    arguments = given_so[where]
    operation = CATALOGUE["runs.cancel"]
    record = asked(operation, arguments, "local", "http", "")
    assert HIDDEN in record.arguments
    assert "<" not in record.arguments


# ------------------------------------------------------------------------------------------------- another process's


def test_another_process_gets_the_same_answers_and_the_same_errors(tmp_path: Path, made: Made) -> None:
    async def law() -> None:
        tape = str(tmp_path / "t.db")
        async with serving(tmp_path / "t.db") as service:
            remote = Remote(tape)
            handle = await service.engine.start(sleeper, {})
            for name, arguments in (
                ("runs.list", {}),
                ("runs.cancel", {"run": "nobody"}),
                ("runs.cancel", {"rn": 1}),
                ("test.count", {}),
                ("no.such", {}),
            ):
                assert await _outcome(service, name, arguments) == await _outcome(remote, name, arguments)
            assert (await remote.call("runs.cancel", {"run": handle.id}, local("cli"), "k")).value[
                "done"
            ] == "cancelled"
            assert (await service.call("runs.cancel", {"run": handle.id}, local("http"), "k")).repeated
            with pytest.raises(Forbidden):
                await remote.call("test.do", {}, local("cli", ["read"]))
            remote.close()
        remote = Remote(tape)
        assert len((await remote.call("runs.list", {}, HERE)).value["items"]) == 1
        with pytest.raises(NotRunning):
            await remote.call("runs.cancel", {"run": handle.id}, HERE)
        remote.close()

    asyncio.run(law())


async def _outcome(service: Service | Remote, name: str, arguments: dict[str, Any]) -> object:
    try:
        return (await service.call(name, arguments, HERE)).value
    except Exception as error:  # noqa: BLE001 - any: they are compared
        return error.args


def test_an_engine_without_a_service_is_asked_verb_by_verb(tmp_path: Path) -> None:
    async def law() -> None:
        async with Engine(f"sqlite:///{tmp_path / 't.db'}", workflows=[sleeper]) as engine:
            handle, remote = await engine.start(sleeper, {}), Remote(str(tmp_path / "t.db"))
            assert (await remote.call("runs.cancel", {"run": handle.id}, HERE)).value["done"] == "cancelled"
            with pytest.raises(NotFound, match="run"):
                await remote.call("runs.cancel", {"run": "nobody"}, HERE)
            remote.close()

    asyncio.run(law())


# ----------------------------------------------------------------------------------------------------------- problems


def test_every_problem_has_a_known_code() -> None:
    import tickwork.errors as tree

    raised = [
        cls
        for cls in vars(tree).values()
        if isinstance(cls, type) and issubclass(cls, tree.TickworkError) and cls is not tree.ServiceError
    ]
    for cls in raised:
        error = cls.__new__(cls)
        Exception.__init__(error, "a", "b", "c")
        try:
            problem = problem_of(error)
        except (ValueError, TypeError, IndexError):  # whose words need other fields
            continue
        assert problem is not None
        assert problem.code in TITLES
        assert TITLES[problem.code][0] == problem.status
    assert problem_of(ValueError("x")) is None


def test_a_title_is_of_the_code_and_not_of_the_case() -> None:
    for code, title in {"WORKFLOW_NOT_FOUND": "There is no such workflow", "ODD": "It failed"}.items():
        problem = problem_of(ServiceError(code, "no workflow has the id 'x'"))
        assert problem is not None
        assert (problem.code, problem.title, problem.detail) == (code, title, "no workflow has the id 'x'")


def test_the_catalogue_is_well_made() -> None:
    operations: list[Operation] = list(every.CATALOGUE.values())
    routes = [(one.method, one.path) for one in operations]
    assert len(set(routes)) == len(routes)
    tools = [one.tool for one in operations]
    assert len(set(tools)) == len(tools)
    for one in operations:
        assert one.summary
        assert (one.method == "GET") == (one.kind == "query"), one.name
