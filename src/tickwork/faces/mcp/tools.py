"""The tools: one for each operation that whoever asks may use."""

from __future__ import annotations

from typing import Final

import mcp_types as types

from tickwork.faces.mcp.schemas import input_schema, output_schema
from tickwork.service.api.caller import Caller
from tickwork.service.api.here import permitted
from tickwork.service.api.operation import Operation
from tickwork.service.operations.all import CATALOGUE

_HARMLESS: Final = frozenset({"POST"})
"""Methods of commands that only add; others change or take away what there is."""

_ENDS: Final = (
    "cancel",
    "halt",
    "flatten",
    "discard",
    "trip",
    "retire",
    "rollback",
    "revoke",
    "reject",
    "disown",
    "stop",
)
"""Last words of names of commands that end something, whatever their method is."""


def tools_of(caller: Caller) -> list[types.Tool]:
    """What a caller is shown: what it may use, by name."""
    return [_tool(CATALOGUE[name]) for name in sorted(CATALOGUE) if permitted(CATALOGUE[name], caller)]


def operation_of(tool: str) -> Operation | None:
    """The operation behind a tool's name."""
    return next((one for one in CATALOGUE.values() if one.tool == tool), None)


_MADE: Final[dict[str, tuple[Operation, types.Tool]]] = {}
"""Tools that were made of operations; to make all of them takes longer than to answer."""


def _tool(operation: Operation) -> types.Tool:
    known = _MADE.get(operation.name)
    if known is None or known[0] is not operation:
        known = _MADE[operation.name] = operation, _made(operation)
    return known[1]


def _made(operation: Operation) -> types.Tool:
    reads = operation.kind == "query" or operation.scope == "read"
    hints = types.ToolAnnotations(
        read_only_hint=reads,
        destructive_hint=not reads and (operation.method not in _HARMLESS or _last(operation.name) in _ENDS),
        # with its key a command is done once; without one it is as idempotent as its method
        idempotent_hint=reads or operation.method in ("PUT", "DELETE"),
        # what trades reaches venues; everything else is about this machine's own tape
        open_world_hint=operation.scope == "trade" and not reads,
    )
    return types.Tool(
        name=operation.tool,
        title=operation.summary.rstrip("."),
        description=described(operation),
        input_schema=input_schema(operation),
        output_schema=output_schema(operation),
        annotations=hints,
    )


def _last(name: str) -> str:
    return name.rpartition(".")[2].partition("_")[0]


def described(operation: Operation) -> str:
    """What a tool does, for whoever chooses one."""
    parts = [operation.summary, operation.description]
    if operation.scope != "read":
        parts.append(f"Needs the right to {operation.scope}.")
    if operation.account:
        parts.append("The account has to be named, and to be one that may be traded from here.")
    if "cursor" in operation.args.model_fields:
        parts.append("A page; give `next` as `cursor` for what follows.")
    return "\n\n".join(part for part in parts if part)


def input_schema_of(tool: str) -> dict[str, object] | None:
    """What a tool takes, for a transport that checks headers against it; ``None``: there is no such tool."""
    operation = operation_of(tool)
    return None if operation is None else _tool(operation).input_schema
