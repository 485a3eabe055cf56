"""Tools are made of the table: what each takes and answers, who sees which, and what it comes to."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # of the SDK's client
from mcp.shared.exceptions import MCPError
from pydantic import Field

from tests.faces.mcp.serving import caller, connected, served, within
from tests.service.operations.trading import BUY, place
from tickwork.errors import Refused
from tickwork.faces.mcp import answers
from tickwork.faces.mcp.schemas import KEY, input_schema, output_schema
from tickwork.faces.mcp.tools import tools_of
from tickwork.service.api.caller import SCOPES, local
from tickwork.service.api.operation import CATALOGUE, Args, Call, Cursor, Done, Limit, Nothing, Page, command, query
from tickwork.service.operations import all as every

NAMES = sorted(every.CATALOGUE)


class Given(Args):
    what_for: str = Field("", max_length=100, description="What.")
    account: str = Field("", max_length=100, description="Where.")
    async_: bool = Field(False, alias="async", description="Not waiting.")


class Many(Args):
    limit: Limit = 20
    cursor: Cursor = None


@dataclass
class Made:
    """What the operations of these tests do."""

    calls: list[Given] = field(default_factory=list)
    gate: asyncio.Event | None = None
    raises: list[Exception] = field(default_factory=list)


@pytest.fixture
def made() -> Iterator[Made]:
    """Operations that only tests have."""
    found, before = Made(), dict(CATALOGUE)

    async def do(call: Call, args: Given) -> Done:
        """Do something."""
        found.calls.append(args)
        if found.gate is not None:
            await found.gate.wait()
        if found.raises:
            raise found.raises.pop()
        return Done(id=args.what_for, done=f"{len(found.calls)}")

    def many(call: Call, args: Many) -> Page[str]:
        """Long texts."""
        first = int(args.cursor or "0")
        return Page(items=["x" * 1_000] * args.limit, next=str(first + args.limit))

    def number(call: Call, args: Nothing) -> int:
        """A number."""
        return 7

    def huge(call: Call, args: Nothing) -> str:
        """Too much."""
        return "x" * (answers.ANSWER_MAX + 1)

    command("test.do", "POST /test", scope="trade", account="account")(do)
    command("test.run", "POST /test/run")(do)
    query("test.many", "GET /test/many")(many)
    query("test.number", "GET /test/number")(number)
    query("test.huge", "GET /test/huge")(huge)
    yield found
    CATALOGUE.clear()
    CATALOGUE.update(before)


# ------------------------------------------------------------------------------------------------------------- schemas


@pytest.mark.parametrize("name", NAMES)
def test_each_tool_has_schemas_that_are_schemas(name: str) -> None:
    operation = CATALOGUE[name]
    taken = input_schema(operation)
    Draft202012Validator.check_schema(taken)
    assert taken["type"] == "object"
    assert (KEY in taken["properties"]) == (operation.kind == "command")
    for example in operation.examples:
        snake = {_spelled(operation.args, key): value for key, value in example.items()}
        Draft202012Validator(taken).validate(snake)
        operation.parse(snake)
    given = output_schema(operation)
    if given is not None:
        Draft202012Validator.check_schema(given)
        assert given["type"] == "object"


def _spelled(args: type[Args], name: str) -> str:
    for known, info in args.model_fields.items():
        if name in (known, info.alias):
            return info.alias or known if known.endswith("_") else known
    return name


def test_arguments_are_in_snake_case_and_understood_in_both(made: Made, tmp_path: Path) -> None:
    taken = input_schema(CATALOGUE["test.do"])
    assert set(taken["properties"]) == {"what_for", "account", "async", KEY}

    async def law() -> None:
        async with served(tmp_path / "t.db") as service, connected(service, caller()) as client:
            for word in ("what_for", "whatFor"):
                found = await client.call_tool("test_do", {word: "x", "async": True})
                assert not found.is_error
            assert [call.what_for for call in made.calls] == ["x", "x"]
            assert all(call.async_ for call in made.calls)

    within(law)


# ---------------------------------------------------------------------------------------------------------------- who


def test_a_tool_is_shown_to_whom_it_answers(made: Made, tmp_path: Path) -> None:
    """For every set of rights: what is listed is not forbidden, and what is not listed is."""

    async def law() -> None:
        async with served(tmp_path / "t.db") as service:
            for rights in _sets():
                who = caller(*rights)
                async with connected(service, who) as client:
                    shown = {tool.name for tool in (await client.list_tools()).tools}
                    assert shown == {tool.name for tool in tools_of(who)}
                    for name in ("test.do", "test.run", "test.number", "runs.cancel"):
                        tool = CATALOGUE[name].tool
                        found = await client.call_tool(tool, {"run": "nothing"} if name == "runs.cancel" else {})
                        forbidden = found.is_error and found.structured_content["code"] == "forbidden"
                        assert forbidden == (tool not in shown), (rights, tool, found)

    within(law)


def _sets() -> list[tuple[str, ...]]:
    return [rights for size in range(1, 3) for rights in itertools.combinations(SCOPES, size)]


def test_whoever_trades_names_an_account_that_it_may(made: Made, tmp_path: Path) -> None:
    async def law() -> None:
        who = caller("trade", accounts=frozenset({"mine"}))
        async with served(tmp_path / "t.db") as service, connected(service, who) as client:
            for account, allowed in (("mine", True), ("theirs", False), ("", False)):
                found = await client.call_tool("test_do", {"account": account})
                assert found.is_error != allowed
            assert [call.account for call in made.calls] == ["mine"]

    within(law)


def test_hints_say_what_a_tool_does() -> None:
    by_name: dict[str, Any] = {tool.name: tool.annotations for tool in tools_of(caller())}
    assert by_name["runs_list"].read_only_hint
    assert not by_name["runs_cancel"].read_only_hint
    assert by_name["runs_cancel"].destructive_hint
    for name in NAMES:
        hints = by_name[CATALOGUE[name].tool]
        assert hints.read_only_hint == (CATALOGUE[name].kind == "query" or CATALOGUE[name].scope == "read")


# ------------------------------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_answer_is_structured_and_text(made: Made, tmp_path: Path, mode: str) -> None:
    async def law() -> None:
        async with served(tmp_path / "t.db", runs=3) as service, connected(service, caller(), mode) as client:
            await client.list_tools()  # from here on the client holds answers against the schemas
            found = await client.call_tool("runs_list", {"limit": 2})
            direct = await service.call("runs.list", {"limit": 2}, caller())
            assert found.structured_content == direct.value
            assert found.content[0].text.startswith('{"items":')
            number = await client.call_tool("test_number", {})
            assert number.structured_content == {"result": 7}

    within(law)


def test_a_key_is_done_once(made: Made, tmp_path: Path) -> None:
    async def law() -> None:
        async with served(tmp_path / "t.db") as service, connected(service, caller()) as client:
            first = await client.call_tool("test_run", {"what_for": "a", KEY: "k"})
            again = await client.call_tool("test_run", {"what_for": "a", "idempotencyKey": "k"})
            other = await client.call_tool("test_run", {"what_for": "b", KEY: "k"})
            wrong = await client.call_tool("test_run", {KEY: 7})
            assert first.structured_content == again.structured_content
            assert "Done before" in again.content[-1].text
            assert other.structured_content["code"] == "key-reused"
            assert wrong.structured_content["code"] == "invalid-input"
            assert len(made.calls) == 1

    within(law)


def test_a_refusal_gives_the_gates_reason(made: Made, tmp_path: Path) -> None:
    async def law() -> None:
        async with served(tmp_path / "t.db") as service, connected(service, caller()) as client:
            made.raises.append(Refused("max_order_value", "1000", "1500"))
            found = await client.call_tool("test_do", {})
            assert found.is_error
            told = found.structured_content
            assert [told[key] for key in ("code", "rule", "limit", "actual")] == [
                "refused", "max_order_value", "1000", "1500",
            ]  # fmt: skip
            assert "max_order_value" in found.content[0].text

    within(law)


def test_a_mistake_of_ours_is_masked_and_logged(made: Made, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def law() -> None:
        async with served(tmp_path / "t.db") as service, connected(service, caller()) as client:
            made.raises.append(ZeroDivisionError("the secret of the house"))
            found = await client.call_tool("test_run", {})
            assert found.structured_content["code"] == "internal"
            assert "secret" not in str(found)

    with caplog.at_level(logging.ERROR, "tickwork.mcp"):
        within(law)
    assert "the secret of the house" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "code"),
    [({"run": 7}, "invalid-input"), ({}, "invalid-input"), ({"run": "r", "more": 1}, "invalid-input"),
     ({"run": "r-none"}, "not-found")],
)  # fmt: skip
def test_bad_arguments_are_told(tmp_path: Path, arguments: dict[str, Any], code: str) -> None:
    async def law() -> None:
        async with served(tmp_path / "t.db") as service, connected(service, caller()) as client:
            found = await client.call_tool("runs_cancel", arguments)
            assert found.is_error
            assert found.structured_content["code"] == code

    within(law)


def test_there_is_no_such_tool(tmp_path: Path) -> None:
    async def law() -> None:
        async with served(tmp_path / "t.db") as service, connected(service, caller()) as client:
            with pytest.raises(MCPError, match="no tool"):
                await client.call_tool("nothing", {})

    within(law)


def test_a_page_that_is_too_large_is_made_shorter_and_says_so(made: Made, tmp_path: Path) -> None:
    async def law() -> None:
        async with served(tmp_path / "t.db") as service, connected(service, caller()) as client:
            found = await client.call_tool("test_many", {"limit": 1_000})
            items = found.structured_content["items"]
            assert 100 < len(items) < 1_000
            assert found.structured_content["next"] == str(len(items))
            assert f"first {len(items)}" in found.content[-1].text
            assert len(found.content[0].text) <= answers.ANSWER_MAX
            huge = await client.call_tool("test_huge", {})
            assert huge.structured_content["code"] == "too-large"

    within(law)


def test_whoever_wants_it_hears_of_progress(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tickwork.faces.mcp.progress.BEAT_S", 0.001)

    async def law() -> None:
        made.gate = asyncio.Event()
        heard: list[float] = []

        async def hear(progress: float, total: float | None, message: str | None) -> None:
            heard.append(progress)
            if len(heard) == 3 and made.gate is not None:
                made.gate.set()  # the call is answered only after progress was told of it

        async with served(tmp_path / "t.db") as service, connected(service, caller(), "legacy") as client:
            found = await client.call_tool("test_run", {}, progress_callback=hear)
            assert not found.is_error
        assert heard[0] == 0.0
        assert len(heard) >= 3
        assert heard == sorted(set(heard)), "progress only grows"

    within(law)


def test_a_flatten_is_followed_to_its_end_for_whoever_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a simulated exchange: the answer is the command's own, and with it comes that nothing is left."""
    monkeypatch.setattr("tickwork.faces.mcp.progress.BEAT_S", 0.05)

    async def law() -> None:
        heard: list[str] = []

        async def hear(progress: float, total: float | None, message: str | None) -> None:
            heard.append(message or "")

        async with place(tmp_path, monkeypatch) as here, here.up() as up:
            bought = await up("orders.place", **BUY)
            assert bought["outcome"] == "accepted"
            async with connected(up.service, local("mcp"), "legacy") as client:
                found = await client.call_tool("flatten", {"account": "main"}, progress_callback=hear)
            assert [one["account"] for one in found.structured_content["items"]] == ["main"]
            assert found.content[-1].text == "Done: no position is left."
            assert heard[0] == "flatten: begun"
            shown = await up("flattens.show", run=found.structured_content["items"][0]["run"])
            assert (shown["done"], shown["complete"]) == (True, True)

    within(law)
