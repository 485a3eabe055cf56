"""Verbs about accounts that trade: what a person says of an order in doubt."""

from __future__ import annotations

from typing import Annotated

import typer

from tickwork.faces.options import HOME, Home, Json, Tape, ask


def disown(
    order: Annotated[str, typer.Argument(help="Client id of an order in doubt: see `orders --status unknown`.")],
    reason: Annotated[str, typer.Option(help="Who looked, where, and what they saw.")],
    by: Annotated[str, typer.Option(help="Your name.", envvar="USER", show_envvar=False)] = "",
    json: Json = False,
    tape: Tape = None,
    home: Home = HOME,
) -> int:
    """Say that an order in doubt does not exist at its venue, and answer for it.

    Its room in the limits is free then, and it is not looked for any more. Look at the venue first: if it exists after
    all, nothing follows it, until `reconcile` finds it.
    """
    from tickwork.faces import tables

    told = ask(tape, home, "disown", order=order, reason=reason, by=by)
    return tables.say(told, f"order {order} of {told['account']} is disowned", as_json=json)
