"""Resources and prompts: each is made of operations that there are, and gives what they give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mcp.shared.exceptions import MCPError

from tests.faces.mcp.serving import caller, connected, served, within
from tickwork.faces.mcp.prompts import ARGUMENT_MAX, ASKED, Asked
from tickwork.faces.mcp.resources import SHOWN, Shown
from tickwork.service.api.operation import CATALOGUE
from tickwork.service.operations import all as every

TOOLS = {one.tool: one for one in every.CATALOGUE.values()}


@pytest.mark.parametrize("shown", SHOWN, ids=lambda one: one.uri)
def test_a_resource_is_a_query_that_there_is(shown: Shown) -> None:
    operation = CATALOGUE[shown.operation]
    assert operation.kind == "query"
    operation.parse({**shown.arguments, **({shown.many: "x"} if shown.many else {})})


def test_resources_give_what_their_queries_give(tmp_path: Path) -> None:
    async def law() -> None:
        async with served(tmp_path / "t.db", runs=3) as service, connected(service, caller("read")) as client:
            listed = {str(one.uri) for one in (await client.list_resources()).resources}
            assert listed == {"portfolio://positions", "runs://recent", "alerts://active"}
            templates = {one.uri_template for one in (await client.list_resource_templates()).resource_templates}
            assert templates == {"runs://{run}", "documents://{workflow_id}"}
            for uri, name, given in (
                ("runs://recent", "runs.list", {"limit": 20}),
                ("runs://r-1", "runs.show", {"run": "r-1"}),
            ):
                read = (await client.read_resource(uri)).contents[0]
                assert read.mime_type == "application/json"
                value = (await service.call(name, given, caller("read"))).value
                assert json.loads(read.text) == json.loads(json.dumps(value))

    within(law)


@pytest.mark.parametrize("uri", ["runs://nothing", "runs://", "nothing://here", "documents://no/such"])
def test_what_is_not_there_is_said_with_its_code(tmp_path: Path, uri: str) -> None:
    async def law() -> None:
        async with served(tmp_path / "t.db") as service, connected(service, caller("read")) as client:
            with pytest.raises(MCPError) as raised:
                await client.read_resource(uri)
            assert raised.value.error.data["code"] in ("not-found", "conflict", "not-running")

    within(law)


def test_a_caller_of_an_owner_sees_only_what_is_its_own(tmp_path: Path) -> None:
    async def law() -> None:
        who = caller("read", owner="somebody")
        async with served(tmp_path / "t.db") as service, connected(service, who) as client:
            listed = {str(one.uri) for one in (await client.list_resources()).resources}
            assert listed == {one.uri for one in SHOWN if not one.many and CATALOGUE[one.operation].owned}
            assert json.loads((await client.read_resource("runs://recent")).contents[0].text)["items"] == []
            with pytest.raises(MCPError, match="not-found"):
                await client.read_resource("runs://r-0")
            shown = {tool.name for tool in (await client.list_tools()).tools}
            assert shown == {one.tool for one in CATALOGUE.values() if one.owned and one.scope == "read"}
            everybodys = next(one.tool for one in CATALOGUE.values() if not one.owned and one.scope == "read")
            assert (await client.call_tool(everybodys, {})).structured_content["code"] == "forbidden"

    within(law)


@pytest.mark.parametrize("asked", ASKED, ids=lambda one: one.name)
def test_a_prompt_names_tools_that_there_are(asked: Asked) -> None:
    assert asked.tools
    for tool in asked.tools:
        assert tool in TOOLS, f"{asked.name} names {tool}, which is no tool"
    for argument in asked.arguments:
        assert f"{{{argument}}}" in asked.text


def test_prompts_hold_their_arguments(tmp_path: Path) -> None:
    async def law() -> None:
        async with served(tmp_path / "t.db") as service, connected(service, caller("read")) as client:
            names = {one.name for one in (await client.list_prompts()).prompts}
            assert names == {one.name for one in ASKED}
            got = await client.get_prompt("why-did-it-trade", {"run": "r12"})
            assert "Explain the run r12." in got.messages[0].content.text
            for wrong in (
                {},
                {"run": ""},
                {"run": "x\ny"},
                {"run": "x" * (ARGUMENT_MAX + 1)},
                {"run": "r", "more": "x"},
            ):
                with pytest.raises(MCPError, match="invalid-input"):
                    await client.get_prompt("why-did-it-trade", wrong)
            with pytest.raises(MCPError, match="not-found"):
                await client.get_prompt("nothing")

    within(law)
