"""Agents: who may be assigned to a task, and how well each suits it.

A task is a workflow or an execution, or one step of either (``<id>/<step>``): what it asks for is the types of its
nodes. An assignment is an event on the tape; what became of the executions that an agent was assigned to is its
experience.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from tickwork.core.event import Event
from tickwork.core.view import View, view
from tickwork.errors import ServiceError
from tickwork.service.documents.coded import AGENT_UNAVAILABLE

REMEMBERED: Final = 100
"""Executions that an agent's experience is made of: the last it was assigned to."""


class Agent(msgspec.Struct, frozen=True):
    """Somebody who can be assigned."""

    id: str
    type: str
    name: str
    capabilities: tuple[str, ...]
    """Node types of the library that it can do."""
    availability: Literal["available", "busy", "offline"] = "available"


class AgentAssigned(Event, name="tickwork/agent.assigned"):
    """An agent was assigned to a task."""

    agent: str
    task: str
    execution: str = ""
    """The execution, where the task is one or a step of one."""
    step: str = ""
    owner: str = ""
    match_score: float
    at: datetime


class Assigned(msgspec.Struct, frozen=True):
    """What an agent was assigned to last."""

    executions: list[str]
    """Oldest first."""


@view("agent-assignments", on=AgentAssigned, key=lambda event: str(event.agent))
def assignments(known: Assigned | None, event: AgentAssigned) -> Assigned | None:
    """The last executions of each agent."""
    before = [] if known is None else known.executions
    if not event.execution or event.execution in before:
        return known
    return Assigned([*before, event.execution][-REMEMBERED:])


@view("task-agents", on=AgentAssigned, key=lambda event: f"{event.execution}/{event.step}")
def task_agents(known: str | None, event: AgentAssigned) -> str | None:
    """Who was assigned last to an execution, or to a step of one."""
    return event.agent if event.execution else known


AGENT_VIEWS: Final[tuple[View, ...]] = (assignments, task_agents)


def match_score(types: Iterable[str], capabilities: Iterable[str], similarity: bool) -> float:
    """How well capabilities suit a task, from 0 to 1.

    With ``similarity`` the cosine between how often each node type occurs in the task and the capabilities, each of
    which counts once: whoever can do just this scores above whoever can do this among much else. Without it, the share
    of the task's different node types that are among the capabilities.
    """
    wanted, known = Counter(types), frozenset(capabilities)
    if not wanted or not known:
        return 0.0
    if not similarity:
        return sum(type in known for type in wanted) / len(wanted)
    both = sum(count for type, count in wanted.items() if type in known)
    return both / math.sqrt(sum(count * count for count in wanted.values()) * len(known))


def assign(
    agents: Mapping[str, Agent],
    agent_type: str | None,
    types: list[str],
    similarity: bool,
    experience: Callable[[str], float | None],
) -> list[dict[str, Any]]:
    """The agents that can do at least some of it, the best first; experience decides between equals, then the id.

    Raises:
        ServiceError: ``AGENT_UNAVAILABLE``: no agent of the type is registered, is there, or can do any of it.
    """
    registered = [agent for agent in agents.values() if agent_type in (None, agent.type)]
    of = f"of type {agent_type!r} " if agent_type else ""
    if not registered:
        known = ", ".join(sorted({agent.type for agent in agents.values()})) or "none is"
        raise _unavailable(f"no agent {of}is registered (registered types: {known})", agent_type)
    free = [agent for agent in registered if agent.availability == "available"]
    if not free:
        raise _unavailable(f"every agent {of}is busy or offline", agent_type)
    rows = [_row(agent, match_score(types, agent.capabilities, similarity), experience(agent.id)) for agent in free]
    able = [row for row in rows if row["match_score"] > 0]
    if not able:
        wanted = ", ".join(sorted(set(types)))
        raise _unavailable(f"no agent {of}can do any of: {wanted}", agent_type)
    return sorted(able, key=lambda row: (-row["match_score"], -(row["experience_score"] or 0.0), row["id"]))


def _row(agent: Agent, score: float, experience: float | None) -> dict[str, Any]:
    return {
        "id": agent.id,
        "type": agent.type,
        "name": agent.name,
        "capabilities": list(agent.capabilities),
        "experience_score": experience,
        "availability": agent.availability,
        "match_score": round(score, 6),
    }


def _unavailable(message: str, agent_type: str | None) -> ServiceError:
    return ServiceError(AGENT_UNAVAILABLE, message, {"agent_type": agent_type})
