"""``/halt``: stop trading, close everything, let it go on, with a browser of any age and no JavaScript.

What is shown is what stands, read anew each time: a form that was sent leads back to the page by a redirect, so nothing
is said to be done because a button was pressed. Each form carries a key, so that pressing twice is asking once, and a
seal that only a page of this process has, so that no other site can send it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from html import escape
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from tickwork.errors import TickworkError
from tickwork.faces.http.pages import form_of, only, send_page
from tickwork.faces.http.replies import Refusal, problem_and_headers, refusal, send_nothing
from tickwork.faces.http.routing import Routes
from tickwork.faces.http.visit import caller_of, visit_of
from tickwork.service.api.caller import Caller
from tickwork.service.api.here import Service, permitted
from tickwork.service.api.operation import Operation
from tickwork.service.halting import ALL, STOPPING, HaltLine, halt_lines
from tickwork.service.owners import chosen

_STALE: Final = (
    "NOTHING WAS DONE: the page was loaded before tickwork was started anew, or the form came from another site. "
    "This page is fresh: press again below."
)

WORDS: Final = {"flatten": "FLATTEN", "unhalt": "UNHALT"}
"""What has to be typed."""


class HaltPage:
    """The page and its forms."""

    def __init__(self, service: Service, routes: Routes) -> None:
        self._service = service
        self._operations = {
            verb: place.by_method["POST"]
            for verb in ("halt", "unhalt", "flatten")
            if (place := routes.places.get(f"/{verb}")) is not None and "POST" in place.by_method
        }
        self._secret = secrets.token_bytes(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Show the page, or do what a form asks for and lead back to it."""
        visit_of(scope).route = "/halt"
        only(scope, "GET", "HEAD", "POST")
        caller = caller_of(scope)
        if scope["method"] != "POST":
            return await self._show(send, caller, 200, "")
        try:
            await self._do(await form_of(scope, receive), caller)
        except (TickworkError, Refusal) as error:
            found, _ = problem_and_headers(error, scope, self._service.engine.clock.now())
            complaint = found.detail if found.detail == _STALE else f"{found.title}: {found.detail}"
            return await self._show(send, caller, found.status, complaint)
        return await send_nothing(send, 303, [(b"location", b"/halt")])

    async def _do(self, form: dict[str, str], caller: Caller) -> None:
        if not hmac.compare_digest(form.pop("seal", "").encode(), self._seal(caller).encode()):
            raise refusal("cross-site", _STALE)
        verb, key, word = form.pop("verb", ""), form.pop("key", ""), form.pop("word", "")
        operation = self._operations.get(verb)
        if operation is None:
            raise refusal("not-found", f"nothing here can {verb[:20]!r}", kind="verb", id=verb[:20])
        if word != WORDS.get(verb, ""):
            raise refusal("invalid-input", f"type {WORDS.get(verb)} to say that you mean it", path="word")
        known = operation.args.model_fields
        given: dict[str, Any] = {name: value.strip() for name, value in form.items() if value.strip() and name in known}
        if verb == "halt":
            given.setdefault("reason", "by hand, on the halt page")
        await self._service.call(operation.name, given, caller, f"halt-page-{key}" if key else "")

    def _seal(self, caller: Caller) -> str:
        return hmac.new(self._secret, caller.name.encode(), hashlib.sha256).hexdigest()

    # -- the page -------------------------------------------------------------------------------------------------

    async def _show(self, send: Send, caller: Caller, status: int, complaint: str) -> None:
        lines, trouble = await self._standing(caller)
        parts = [f'<p class="state bad" role="alert">{escape(complaint)}</p>'] if complaint else []
        parts += [f'<p class="state bad">{escape(trouble)}</p>'] if trouble else [_state(lines)]
        for verb, form in (("halt", _HALT), ("flatten", _FLATTEN), ("unhalt", _UNHALT)):
            operation = self._operations.get(verb)
            if operation is not None and permitted(operation, caller):
                parts.append(self._form(verb, form, operation, caller))
        if not self._operations:
            parts.append("<p>The process that serves this page does not trade: there is nothing to halt.</p>")
        parts.append(f'<p class="note">You are {escape(caller.name)}. <a href="/halt">Look again</a></p>')
        await send_page(send, status, "Halt", "".join(parts))

    async def _standing(self, caller: Caller) -> tuple[list[HaltLine], str]:
        """What stands: for whoever is bound to an owner, of that owner's accounts, and of all."""
        try:
            lines = sorted(self._service.engine.items(halt_lines).values(), key=lambda line: line.account)
            if caller.owner is None:
                return lines, ""
            mine = await self._service.read(lambda queries: chosen(queries, caller.owner)) or frozenset()
            return [line for line in lines if line.account in mine | {"", ALL}], ""
        except TickworkError as error:
            return [], f"What stands cannot be read: {error}"

    def _form(self, verb: str, inputs: str, operation: Operation, caller: Caller) -> str:
        account = _ACCOUNT if "account" in operation.args.model_fields else ""
        hidden = (
            f'<input type="hidden" name="verb" value="{verb}">'
            f'<input type="hidden" name="key" value="{secrets.token_hex(16)}">'
            f'<input type="hidden" name="seal" value="{self._seal(caller)}">'
        )
        return f'<form method="post" action="/halt">{hidden}{inputs.format(account=account)}</form>'


_ACCOUNT: Final = '<label>Account (empty: all) <input name="account" maxlength="64"></label>'
_HALT: Final = (
    "<h2>Halt</h2><p>No new exposure, and what rests at the venues is cancelled.</p>{account}"
    '<label>Why <input name="reason" maxlength="500"></label><button class="stop">Halt trading</button>'
)
_FLATTEN: Final = (
    "<h2>Flatten</h2><p>Halt, cancel all resting orders, and close every position at the market.</p>{account}"
    '<label>Why <input name="reason" maxlength="500"></label>'
    '<label>Type FLATTEN <input name="word" required autocomplete="off"></label>'
    '<button class="stop">Close every position</button>'
)
_UNHALT: Final = (
    "<h2>Let trading go on</h2><p>An account's own halt and the one of all accounts are cleared apart.</p>{account}"
    '<label>Why <input name="reason" required maxlength="500"></label>'
    '<label>Type UNHALT <input name="word" required autocomplete="off"></label><button>Clear the halt</button>'
)


def _state(lines: list[HaltLine]) -> str:
    if not lines:
        return '<p class="state good">No halt stands.</p>'
    halted = any(line.level in STOPPING for line in lines)
    rows = "".join(
        f"<tr><td>{escape(line.account if line.account not in ('', ALL) else 'every account')}</td>"
        f"<td>{escape(line.level)}</td><td>{escape(line.reason)}</td><td>{escape(line.by)}</td>"
        f"<td>{line.since:%Y-%m-%d %H:%M:%S} UTC</td></tr>"
        for line in lines
    )
    words = "Trading is halted." if halted else "An alert stands; trading goes on."
    head = "<tr><th>Account<th>Level<th>Why<th>By<th>Since</tr>"
    return f'<p class="state {"bad" if halted else "good"}">{words}</p><table>{head}{rows}</table>'
