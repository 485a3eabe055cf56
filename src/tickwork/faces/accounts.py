"""Verbs about accounts that trade: what a person says of an order in doubt."""

from __future__ import annotations

from typing import Annotated

import typer

from tickwork.faces.options import HOME, Home, Json, Tape, command


def disown(
    order: Annotated[str, typer.Argument(help="Client id of an order in doubt: see `orders --status unknown`.")],
    reason: Annotated[str, typer.Option(help="Who looked, where, and what they saw.")],
    by: Annotated[str, typer.Option(help="Your name; by default the one you are logged in with.")] = "",
    json: Json = False,
    tape: Tape = None,
    home: Home = HOME,
) -> int:
    """Say that an order in doubt does not exist at its venue, and answer for it.

    Its room in the limits is free then, and it is not looked for any more. Look at the venue first: if it exists after
    all, nothing follows it, until `reconcile` finds it.
    """
    from tickwork.faces import tables

    name = name_of(by)
    given = {"order": order, "reason": reason}
    told = command(tape, home, "orders.disown", given, who=name, verb="disown", by=name, **given)
    found = {"order": order, "account": told["account"]}
    return tables.say(found, f"order {order} of {found['account']} is disowned", as_json=json)


def name_of(by: str) -> str:
    """Who answers for it: as given, else the login name.

    Raises:
        InvalidInput: nobody knows.
    """
    import getpass

    from tickwork.errors import InvalidInput

    try:
        name = by.strip() or getpass.getuser().strip()
    except (KeyError, OSError):  # nobody is logged in
        name = ""
    if not name:
        raise InvalidInput("--by", by, "your name: it goes on the tape")
    return name
