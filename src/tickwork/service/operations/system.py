"""The process and the service themselves: how it is, and what it can be asked."""

from __future__ import annotations

import msgspec

from tickwork.service.api.operation import CATALOGUE, Call, Nothing, Page, query


class SystemStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How the process that owns the tape is."""

    runs: dict[str, int]
    """How many there are in each status."""
    seq: int
    """The last position on disk."""
    in_memory: int
    """Runs."""
    workflows: list[tuple[str, int]]
    """Name and version of those it was given."""


class OperationLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Something that can be asked for."""

    name: str
    kind: str
    scope: str
    summary: str
    method: str
    path: str
    tool: str
    allowed: bool
    """May whoever asks do it?"""


@query("system.status", "GET /status", verb="status")
async def system_status(call: Call, args: Nothing) -> SystemStatus:
    """How the process that owns the tape is: runs by status, the end of the tape, workflows."""
    return msgspec.convert(await call.ask("status"), SystemStatus)


@query("system.operations", "GET /operations")
async def system_operations(call: Call, args: Nothing) -> Page[OperationLine]:
    """Everything that can be asked for, with the right that it needs."""
    return Page(items=[_line(call, name) for name in sorted(CATALOGUE)])


def _line(call: Call, name: str) -> OperationLine:
    one = CATALOGUE[name]
    allowed = call.caller.may(one.scope) and (call.caller.owner is None or one.owned)
    return OperationLine(
        name=name,
        kind=one.kind,
        scope=one.scope,
        summary=one.summary,
        method=one.method,
        path=f"/api/v1{one.path}",
        tool=one.tool,
        allowed=allowed,
    )
