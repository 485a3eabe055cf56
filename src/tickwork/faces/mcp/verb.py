"""``tickwork mcp``: tools for a model, over stdin and stdout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tickwork.faces.options import HOME, Home, Tape, tape_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickwork.service.api.caller import Caller


def mcp(
    token: Annotated[
        str | None,
        typer.Option(
            help="A token of `tickwork tokens`; its rights count.", envvar="TICKWORK_TOKEN", show_envvar=False
        ),
    ] = None,
    allow: Annotated[
        str, typer.Option(help="Without a token: rights besides read, e.g. operate or operate,trade.")
    ] = "",
    account: Annotated[
        list[str] | None,
        typer.Option(help="With --allow trade: an account that may be traded; may be given several times. * is all."),
    ] = None,
    tape: Tape = None,
    home: Home = HOME,
) -> int:
    """Serve the Model Context Protocol over stdin and stdout. Reads only, unless a token or --allow says otherwise.

    A client starts it: give it this command. It reads the tape by itself; for everything else the process that has the
    tape open (`tickwork up`) has to run. Ends when stdin does.
    """
    from tickwork.faces.mcp.extra import needed

    needed("tickwork mcp")
    from tickwork.faces.mcp.stdio import serve
    from tickwork.faces.mcp.tapes import Tapes

    def meant() -> Path:
        return tape_of(tape, home)

    who = _of_token(token, allow, account or [], meant) if token else _local(allow, account or [])
    who()  # a token that is none is said at once
    serve(Tapes(meant), who)


def _of_token(token: str, allow: str, accounts: list[str], meant: Callable[[], Path]) -> Callable[[], Caller]:
    from tickwork.engines.system_clock import SystemClock
    from tickwork.errors import InvalidInput
    from tickwork.service.api.tokens import TokenStore
    from tickwork.values import from_ns

    if allow or accounts:
        raise InvalidInput("--allow", allow or ", ".join(accounts), "nothing beside a token: its rights are its own")
    stores: dict[Path, TokenStore] = {}

    def who() -> Caller:
        """Whose token it is now: it may have been revoked since."""
        path = meant()
        store = stores.setdefault(path.parent, TokenStore.beside(str(path)))
        return store.caller(token, "mcp", from_ns(SystemClock().now()))

    return who


def _local(allow: str, accounts: list[str]) -> Callable[[], Caller]:
    from tickwork.errors import InvalidInput
    from tickwork.service.api.caller import Caller, checked_scopes

    scopes = checked_scopes({"read", *(word.strip() for word in allow.split(",") if word.strip())}, "--allow")
    trades = bool(scopes & {"trade", "admin"})
    if trades and not accounts:
        raise InvalidInput("--account", "none", "the accounts that may be traded, or * for all of them")
    if accounts and not trades:
        raise InvalidInput("--account", ", ".join(accounts), "nothing, without --allow trade")
    named = None if not trades or "*" in accounts else frozenset(accounts)
    caller = Caller(name="local", face="mcp", scopes=scopes, accounts=named)
    return lambda: caller
