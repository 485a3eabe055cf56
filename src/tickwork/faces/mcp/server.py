"""The MCP server: whoever asks is named by a function of the request, and everything else is the service's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError

from tickwork.errors import TickworkError
from tickwork.faces.mcp import prompts, resources, tools
from tickwork.faces.mcp.answers import Answers, answer, failed, problem_told, with_note
from tickwork.faces.mcp.progress import Telling, followed, told_of
from tickwork.service.api.caller import Caller
from tickwork.service.api.operation import Operation

Context = ServerRequestContext[Any, Any]
Who = Callable[[Context], Caller]

INSTRUCTIONS = (
    "Durable automated trading. Everything that happened is on one tape; runs are executions of workflows, and orders "
    "go through a risk gate that may refuse them: then its rule, limit and actual value are in the answer, and asking "
    "again changes nothing. Give every command an idempotency_key of your own, and the same one when you ask again."
)


def make_server(service: Answers, who: Who) -> Server[Any]:
    """A server of everything that whoever asks may do.

    Args:
        service: what answers.
        who: whoever makes a request, with the rights that count for it.
    """
    asked = _Asked(service, who)
    made: Server[Any] = Server(
        "tickwork",
        version=version("tickwork"),
        title="tickwork",
        instructions=INSTRUCTIONS,
        get_tool_input_schema=tools.input_schema_of,
        on_list_tools=asked.list_tools,
        on_call_tool=asked.call_tool,
        on_list_resources=asked.list_resources,
        on_list_resource_templates=asked.list_templates,
        on_read_resource=asked.read_resource,
        on_list_prompts=asked.list_prompts,
        on_get_prompt=asked.get_prompt,
    )
    return made


class _Asked:
    """What a client can ask for."""

    def __init__(self, service: Answers, who: Who) -> None:
        self._service = service
        self._who = who

    async def list_tools(self, context: Context, _: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        with _told("tools/list"):
            return types.ListToolsResult(tools=tools.tools_of(self._who(context)))

    async def call_tool(self, context: Context, asked: types.CallToolRequestParams) -> types.CallToolResult:
        operation = tools.operation_of(asked.name)
        if operation is None:
            raise MCPError(types.INVALID_PARAMS, f"there is no tool {asked.name[:80]!r}")
        try:
            caller = self._who(context)
        except TickworkError as error:
            return failed(error, operation.name)
        async with told_of(context, operation.tool) as telling:
            result = await answer(self._service, operation, dict(asked.arguments or {}), caller)
            return result if telling is None else await self._ended(operation, result, caller, telling)

    async def _ended(
        self, operation: Operation, result: types.CallToolResult, caller: Caller, telling: Telling
    ) -> types.CallToolResult:
        """A result, with how what it started stands."""
        try:
            note = await followed(self._service, operation, result, caller, telling)
        except TickworkError as error:
            note = f"It was started; how it stands cannot be told: {error}"
        return with_note(result, note) if note else result

    async def list_resources(
        self, context: Context, _: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        with _told("resources/list"):
            return types.ListResourcesResult(resources=resources.fixed(self._who(context)))

    async def list_templates(
        self, context: Context, _: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        with _told("resources/templates/list"):
            return types.ListResourceTemplatesResult(resource_templates=resources.templates(self._who(context)))

    async def read_resource(self, context: Context, asked: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        with _told(asked.uri):
            return await resources.read(self._service, asked.uri, self._who(context))

    async def list_prompts(self, _: Context, __: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
        return types.ListPromptsResult(prompts=prompts.prompts())

    async def get_prompt(self, _: Context, asked: types.GetPromptRequestParams) -> types.GetPromptResult:
        with _told(asked.name):
            return prompts.prompt(asked.name, asked.arguments or {})


@contextmanager
def _told(what: str) -> Iterator[None]:
    """
    Raises:
        MCPError: what went wrong, with the problem as its data.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001 - told, or masked and logged
        found = problem_told(error, what)
        code = types.INTERNAL_ERROR if found.status >= 500 else types.INVALID_PARAMS
        raise MCPError(code, f"{found.detail} ({found.code})", found.told()) from None
