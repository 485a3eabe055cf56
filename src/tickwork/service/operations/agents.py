"""Agents: who may be assigned to the tasks of workflows."""

from __future__ import annotations

from typing import Any

from tickwork.service.api.operation import Call, query
from tickwork.service.operations.documents import Owned, ask_documents


class AgentsList(Owned):
    """No arguments but whose."""


@query("agents.list", "GET /agents", owned=True, examples=({},))
async def agents_list(call: Call, args: AgentsList) -> dict[str, Any]:
    """Who may be assigned to tasks, by id: what each can do, and how well it went so far."""
    found: dict[str, Any] = await ask_documents(call, "agents")
    return found
