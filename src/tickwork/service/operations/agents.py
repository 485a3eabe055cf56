"""Agents: who may be assigned to the tasks of workflows."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tickwork.service.api.operation import Args, Call, query
from tickwork.service.operations.documents import ask_documents


class AgentsList(Args):
    """Which agents."""

    agent_type: str | None = Field(None, max_length=100, description="Only agents of this type.")


@query("agents.list", "GET /agents", owned=True, examples=({"agentType": "analyst"},))
async def agents_list(call: Call, args: AgentsList) -> dict[str, Any]:
    """Who may be assigned to tasks, by id: what each can do, and how well it went so far."""
    return await ask_documents(call, "agents", agent_type=args.agent_type)
