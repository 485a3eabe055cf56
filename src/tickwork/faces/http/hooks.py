"""``POST /hooks/{name}``: what another system delivers, with a signature of its own, becomes an event."""

from __future__ import annotations

import logging

from starlette.types import Receive, Scope, Send

from tickwork.core.webhook import BODY_MAX
from tickwork.errors import InvalidInput, NotFound, Refused, TickworkError
from tickwork.faces.http import replies
from tickwork.faces.http.arguments import body_of
from tickwork.faces.http.around import Hooked
from tickwork.faces.http.replies import refusal
from tickwork.faces.http.visit import visit_of

_log = logging.getLogger("tickwork.http")


class HookRoute:
    """Takes deliveries in."""

    def __init__(self, hooks: Hooked, body_max: int, patience: float) -> None:
        self._hooks = hooks
        self._body_max = min(body_max, BODY_MAX)
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one delivery: 202 with the event's position; the same again hears the same."""
        visit = visit_of(scope)
        visit.route = "/hooks/{name}"
        if scope["method"] != "POST":
            raise refusal("method-not-allowed", "a hook takes POST", (b"allow", b"POST"))
        name = scope["path_params"]["name"]
        body = await body_of(scope, receive, self._body_max, self._patience)
        headers = [(str(key, "latin-1"), str(value, "latin-1")) for key, value in scope["headers"]]
        try:
            seq = await self._hooks.receive(name, headers, body)
        except TickworkError as error:
            raise self._told(name, visit.address, error) from None
        await replies.send_json(send, 202, {"seq": seq})

    def _told(self, name: str, address: str, error: TickworkError) -> Exception:
        """What the sender hears. What is wrong on this side is for our log, and none of the sender's business."""
        extra = {"hook": name[:100], "address": address}
        if isinstance(error, Refused):
            _log.warning("refused: webhook %s from %s: %s", name[:100], address, error.args[0], extra=extra)
            rule, limit, actual, *_ = error.args
            code = "too-large" if rule == "webhook size" else "forbidden"
            return refusal(code, f"{rule}: expected {limit}, found {actual}", rule=rule)
        if isinstance(error, NotFound):
            return refusal("not-found", f"there is no webhook {name[:100]!r}", kind="webhook", id=name[:100])
        if isinstance(error, InvalidInput) and error.path.startswith("secret of"):
            _log.error("webhook %s cannot be checked: %s", name, error, extra=extra)
            return refusal("try-again", "this hook cannot be checked just now")
        return error
