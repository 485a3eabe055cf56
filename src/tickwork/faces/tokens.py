"""``tickwork tokens``: who may call from elsewhere, and what each of them may."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tickwork.faces.options import HOME, Home, Json, tape_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickwork.service.api.tokens import TokenStore

tokens = typer.Typer(
    help="Tokens: who may call from elsewhere. Without a verb, the list of them.",
    invoke_without_command=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(help="What the token is called.", metavar="NAME")]


@tokens.callback()
def listed(context: typer.Context, json: Json = False, home: Home = HOME) -> int:
    """Tokens: who may call from elsewhere. Without a verb, the list of them."""
    return _list(home, as_json=json) if context.invoked_subcommand is None else 0


@tokens.command("list")
def show(json: Json = False, home: Home = HOME) -> int:
    """The tokens of the home folder, without their secrets."""
    return _list(home, as_json=json)


def _list(home: Path, *, as_json: bool) -> int:
    from tickwork.faces import tables
    from tickwork.faces.grid import Grid

    found = _store(home).lines()
    if as_json:
        tables.dump(found)
        return 0
    if not found:
        tables.console().print("there is no token: `tickwork tokens create NAME --scope read` makes one")
        return 0
    made = Grid("token", "may", "accounts", "owner", "created", "ends", "last used", rest="accounts", give=("created",))
    for line in found:
        ends = "never" if line.expires is None else f"{line.expires:%Y-%m-%d}"
        used = "" if line.last_used is None else tables.clock(line.last_used)
        accounts, created = ", ".join(line.accounts), tables.clock(line.created)
        made.add(line.name, ", ".join(line.scopes), accounts, line.owner, created, ends, used)
    tables.show(made)
    return 0


@tokens.command()
def create(
    name: Name,
    scope: Annotated[
        list[str], typer.Option(help="A right: read, operate, trade or admin; may be given several times.")
    ],
    account: Annotated[
        list[str] | None,
        typer.Option(
            help="An account it may trade, * for all; needed with trade and admin; may be given several times."
        ),
    ] = None,
    owner: Annotated[str, typer.Option(help="Whose runs, documents and alerts it sees; by default all.")] = "",
    days: Annotated[int | None, typer.Option(help="After how many days it ends; by default never.", min=1)] = None,
    json: Json = False,
    home: Home = HOME,
) -> int:
    """Make a token, and print its secret: this once, for only a digest of it is kept."""
    from tickwork.faces import tables

    rights = [one.strip() for given in scope for one in given.split(",")]
    given: dict[str, Any] = {"name": name, "scopes": rights, "accounts": account or [], "owner": owner}
    given |= {} if days is None else {"days": days}
    found = _asked(home, "tokens.create", given, lambda store: _made(store, given))
    until = "" if found["expires"] is None else f", until {found['expires']}"
    words = f"{found['secret']}\nthis is the only time it is shown: {name} may {', '.join(found['scopes'])}{until}"
    return tables.say(found, words, as_json=json)


@tokens.command()
def revoke(name: Name, json: Json = False, home: Home = HOME) -> int:
    """Make a token void, at once."""
    from tickwork.faces import tables

    def direct(store: TokenStore) -> Any:
        return {"id": store.revoke(name).name, "done": "revoked"}

    found = _asked(home, "tokens.revoke", {"name": name}, direct)
    return tables.say(found, f"{name} is revoked", as_json=json)


def _store(home: Path) -> TokenStore:
    from tickwork.service.api.tokens import FILE, TokenStore

    return TokenStore(home / FILE)


def _made(store: TokenStore, given: dict[str, Any]) -> Any:
    import msgspec

    from tickwork.engines.system_clock import SystemClock
    from tickwork.service.operations.tokens import TokenCreate
    from tickwork.values import from_ns

    now, asked = SystemClock().now(), TokenCreate.model_validate(given)
    made = store.create(
        asked.name, asked.scopes, from_ns(now), accounts=asked.accounts, owner=asked.owner, expires=asked.until(now)
    )
    return msgspec.to_builtins(made)


def _asked(home: Path, operation: str, given: dict[str, Any], direct: Callable[[TokenStore], Any]) -> Any:
    """Have it done by the process that is up, which tells of it on the tape; where there is none, do it here."""
    import asyncio

    from tickwork.errors import NotFound, NotRunning
    from tickwork.service.api.caller import local
    from tickwork.service.api.here import operation_named
    from tickwork.service.api.there import Remote
    from tickwork.service.operations.all import CATALOGUE

    assert operation in CATALOGUE
    operation_named(operation).parse(given)
    tape = tape_of(None, home)
    if not tape.is_file():
        return direct(_store(home))
    remote = Remote(str(tape))
    try:
        return asyncio.run(remote.call(operation, given, local("cli"))).value
    except NotRunning:
        return direct(_store(home))
    except NotFound as error:
        if error.path != "verb":
            raise
        return direct(_store(home))  # the process that has the tape open is a program of the user's
    finally:
        remote.close()
