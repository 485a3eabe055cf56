"""Answers that are not what they should be."""

from __future__ import annotations

from typing import Any

import msgspec

from tickwork.sim.exchange.faults import Shape
from tickwork.sim.exchange.http import JSON, Reply, html_reply, json_reply


def nonsense(reply: Reply, shape: Shape) -> Reply:
    """The reply, gone wrong."""
    if shape == "html":
        return html_reply("Just a moment...", 200)
    if shape == "truncated":
        return Reply(reply.status, reply.body[: len(reply.body) // 2], JSON)
    if shape == "null":
        return Reply(reply.status, b"null", JSON)
    value = msgspec.json.decode(reply.body)
    if shape == "empty":
        return json_reply([] if isinstance(value, list) else {}, reply.status)
    return json_reply(_turned(value, shape), reply.status)


def _turned(value: Any, shape: Shape) -> Any:
    if isinstance(value, dict):
        return {name: _turned(part, shape) for name, part in value.items()}
    if isinstance(value, list):
        return [_turned(part, shape) for part in value]
    if shape == "types":
        return {"value": value} if isinstance(value, str) else [value]
    if shape == "strings":
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
