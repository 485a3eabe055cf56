"""Calls of tools: arguments in, structured content out, and problems with the code that every face tells."""

from __future__ import annotations

import logging
from typing import Any, Final, Protocol

import mcp_types as types
import msgspec

from tickwork.errors import InvalidInput
from tickwork.faces.mcp.schemas import KEY, RESULT
from tickwork.service.api.caller import Caller
from tickwork.service.api.here import Answer, told
from tickwork.service.api.operation import Operation
from tickwork.service.api.problems import Problem, problem

_log = logging.getLogger("tickwork.mcp")

ANSWER_MAX: Final = 256 << 10
"""Bytes of one answer to a query: more than a model reads, and little enough for every client."""

_KEYS: Final = (KEY, "idempotencyKey")


class Answers(Protocol):
    """What answers: the service of this process, or that of another."""

    async def call(self, name: str, given: object, caller: Caller, key: str = "") -> Answer:
        """Do what is asked for."""
        ...


async def answer(service: Answers, operation: Operation, given: dict[str, Any], caller: Caller) -> types.CallToolResult:
    """What a call of a tool comes to. Problems are results too, so that a model can read them."""
    try:
        arguments, key = _keyed(operation, given)
        if operation.kind == "query":
            return await _bounded(service, operation, arguments, caller)
        done = await service.call(operation.name, arguments, caller, key)
        return _result(done.value, repeated=done.repeated)
    except Exception as error:  # noqa: BLE001 - told, or masked and logged
        return failed(error, operation.name)


def failed(error: Exception, what: str) -> types.CallToolResult:
    """An error as a result; one that nobody raised on purpose is masked, and logged."""
    found = problem_told(error, what)
    text = f"{found.detail} ({found.code})"
    content = types.TextContent(type="text", text=text)
    return types.CallToolResult(content=[content], structured_content=found.told(), is_error=True)


def problem_told(error: Exception, what: str) -> Problem:
    """What is told of an error."""
    found = told(error)
    if found is None:
        _log.error("%s failed", what, exc_info=error)
        found = problem("internal", f"{what} failed by a mistake in tickwork; its log says where")
    return found


def _keyed(operation: Operation, given: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The operation's own arguments, and the key.

    Raises:
        InvalidInput: the key is no text.
    """
    if operation.kind == "query":
        return given, ""
    key = next((given[name] for name in _KEYS if name in given), "")
    if not isinstance(key, str):
        raise InvalidInput(KEY, key, "a text")
    return {name: value for name, value in given.items() if name not in _KEYS}, key


async def _bounded(
    service: Answers, operation: Operation, given: dict[str, Any], caller: Caller
) -> types.CallToolResult:
    """Ask; and ask for fewer while the answer is too large."""
    note = ""
    while True:
        value = (await service.call(operation.name, given, caller)).value
        text = msgspec.json.encode(value)
        if len(text) <= ANSWER_MAX:
            return _result(value, text, note)
        count = len(value["items"]) if isinstance(value, dict) and isinstance(value.get("items"), list) else 0
        if count < 2 or "limit" not in operation.args.model_fields:
            detail = f"the answer has {len(text):,} bytes, and {ANSWER_MAX:,} are given at most: ask for less of it"
            return _refused(problem("too-large", detail, size=len(text), limit=ANSWER_MAX))
        fewer = max(1, min(count // 2, count * ANSWER_MAX // len(text)))
        given = {**given, "limit": fewer}
        note = f"Only the first {fewer}, because more would be too large; give `next` as `cursor` for what follows."


def with_note(result: types.CallToolResult, note: str) -> types.CallToolResult:
    """A result and a word on it."""
    return result.model_copy(update={"content": [*result.content, types.TextContent(type="text", text=note)]})


def _refused(found: Problem) -> types.CallToolResult:
    content = types.TextContent(type="text", text=f"{found.detail} ({found.code})")
    return types.CallToolResult(content=[content], structured_content=found.told(), is_error=True)


def _result(value: Any, text: bytes = b"", note: str = "", *, repeated: bool = False) -> types.CallToolResult:
    """A value as structured content, and as text for clients that know only that."""
    if repeated:
        note = "Done before under this key; this is the answer of then."
    content: list[types.ContentBlock] = [types.TextContent(type="text", text=note)] if note else []
    content.insert(0, types.TextContent(type="text", text=(text or msgspec.json.encode(value)).decode()))
    structured = value if isinstance(value, dict) else {RESULT: value}
    return types.CallToolResult(content=content, structured_content=structured)
