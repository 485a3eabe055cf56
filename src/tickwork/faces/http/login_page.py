"""``/login``: a token becomes a cookie, for browsers where a token is needed; ``/logout`` takes it away."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Final

from starlette.types import Receive, Scope, Send

from tickwork.faces.http.arguments import parameters
from tickwork.faces.http.guard import COOKIE
from tickwork.faces.http.pages import form_of, only, send_page
from tickwork.faces.http.replies import send_nothing
from tickwork.faces.http.visit import visit_of
from tickwork.service.api.problems import Unauthenticated
from tickwork.service.api.tokens import TokenStore
from tickwork.values import from_ns

_COOKIE: Final = f"{COOKIE}={{value}}; Path=/; HttpOnly; SameSite=Strict{{more}}"
_FORM: Final = (
    '{complaint}<form method="post" action="/login"><input type="hidden" name="next" value="{next}">'
    '<label>Token <input type="password" name="token" required maxlength="200" autocomplete="off"></label>'
    "<button>Log in</button></form><p>`tickwork tokens create NAME --scope read` makes one, where tickwork runs.</p>"
)


class LoginPage:
    """The page, its form, and the way out."""

    def __init__(self, tokens: TokenStore, now: Callable[[], int]) -> None:
        self._tokens = tokens
        self._now = now

    async def login(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Show the form, or take it."""
        visit_of(scope).route = "/login"
        only(scope, "GET", "HEAD", "POST")
        if scope["method"] != "POST":
            asked = dict(parameters(scope)).get("next", "")
            return await self._show(send, 200, asked, "")
        form = await form_of(scope, receive)
        secret, onward = form.get("token", "").strip(), form.get("next", "")
        try:
            self._tokens.caller(secret, "http", from_ns(self._now()))
        except Unauthenticated as error:
            return await self._show(send, 401, onward, str(error))
        more = "; Secure" if scope["scheme"] == "https" else ""
        cookie = _COOKIE.format(value=secret, more=more).encode()
        return await send_nothing(send, 303, [(b"location", own_path(onward).encode()), (b"set-cookie", cookie)])

    async def logout(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forget the cookie."""
        visit_of(scope).route = "/logout"
        only(scope, "POST")
        cookie = _COOKIE.format(value="", more="; Max-Age=0").encode()
        await send_nothing(send, 303, [(b"location", b"/login"), (b"set-cookie", cookie)])

    @staticmethod
    async def _show(send: Send, status: int, onward: str, complaint: str) -> None:
        told = f'<p class="state bad" role="alert">{escape(complaint)}</p>' if complaint else ""
        await send_page(send, status, "Log in", _FORM.format(complaint=told, next=escape(own_path(onward))))


def own_path(path: str) -> str:
    """A path of this server, whatever was asked for: nobody is led elsewhere."""
    plain = path.isascii() and path.isprintable() and not any(sign in path for sign in '\\"<> ')
    return path if plain and path.startswith("/") and not path.startswith("//") and len(path) < 500 else "/"
