"""``GET /api/v1/snapshot?view=``: a view of the live stream at one moment."""

from __future__ import annotations

from typing import Any, Final

from starlette.types import Receive, Scope, Send

from tickwork.faces.http import replies
from tickwork.faces.http.arguments import parameters
from tickwork.faces.http.around import Live
from tickwork.faces.http.pages import only
from tickwork.faces.http.replies import refusal
from tickwork.faces.http.visit import caller_of

VIEW_MAX: Final = 300


class Snapshot:
    """Answers for the stream."""

    def __init__(self, live: Live) -> None:
        self._live = live

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """``{epoch, seq, view, data}``; deltas of ``/ws`` go on from its ``seq``."""
        only(scope, "GET", "HEAD")
        given = parameters(scope)
        if len(given) != 1 or given[0][0] != "view" or not 0 < len(given[0][1]) <= VIEW_MAX:
            raise refusal("bad-request", "one parameter, view, such as now, queues, trading or run:<id>")
        found = await self._live.snapshot(given[0][1], caller_of(scope))
        await replies.send_json(send, 200, found)


DESCRIBED: Final[dict[str, Any]] = {
    "get": {
        "operationId": "snapshot",
        "tags": ["stream"],
        "summary": "A view of the live stream at one moment; deltas of the WebSocket go on from its seq.",
        "parameters": [
            {
                "name": "view",
                "in": "query",
                "required": True,
                "schema": {"type": "string", "minLength": 1, "maxLength": VIEW_MAX},
                "description": "now, runs, queues, trading, events or run:<id>.",
                "example": "now",
            }
        ],
        "responses": {
            "200": {
                "description": "The view.",
                "content": {
                    "application/json": {
                        "schema": {
                            "type": "object",
                            "required": ["epoch", "seq", "view", "data"],
                            "properties": {
                                "epoch": {"type": "string"},
                                "seq": {"type": "integer"},
                                "view": {"type": "string"},
                                "data": {},
                            },
                        }
                    }
                },
            }
        },
    }
}
"""For OpenAPI."""
