"""``tickwork reconcile``: our books against the venues', now."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tickwork.faces.halting import Account, By, Wait, ending
from tickwork.faces.options import HOME, Home, Json, Tape, command

_ORDERS = ("cancel", "adopt", "leave")
_BALANCES = ("adopt", "leave")


def reconcile(
    account: Account = "",
    orders: Annotated[
        str, typer.Option(help="What to do with orders that are none of ours, this once: cancel, adopt or leave.")
    ] = "",
    balances: Annotated[
        str, typer.Option(help="What to do with balances and positions that are not in the books: adopt or leave.")
    ] = "",
    by: By = "cli",
    wait: Wait = 60.0,
    json: Json = False,
    tape: Tape = None,
    home: Home = HOME,
) -> int:
    """Compare our books with the venues': balances, positions, open orders, fills. What was there before is adopted, or
    left alone for good, only on your word.
    """
    from tickwork.faces import tables

    _check("--orders", orders, _ORDERS)
    _check("--balances", balances, _BALANCES)
    given = {"account": account, "orders": orders, "balances": balances}
    verb = {"account": account, "orphan_orders": orders, "balances": balances, "by": by}
    told = command(tape, home, "reconcile", given, who=by, **verb)
    run = told["run"] if isinstance(told, dict) else told
    found = ending(tape, home, run, wait)
    if found is None:
        tables.say({"run": run}, f"{run} goes on; `tickwork show {run}` tells how far it is", as_json=json)
        return 1
    words = "\n".join(map(_told, found)) or "no account is open"
    tables.say(found, words, as_json=json)
    return 0 if all(done["clean"] for done in found) else 1


def _check(option: str, given: str, allowed: tuple[str, ...]) -> None:
    from tickwork.errors import InvalidInput

    if given and given not in allowed:
        raise InvalidInput(option, given, f"one of {', '.join(allowed)}")


def _told(done: Any) -> str:
    head = f"{done['account']} at {done['venue']}: {'clean' if done['clean'] else 'NOT clean'}"
    if done["level"] != "normal":
        head += f", raised to {done['level']}"
    lines = [_line(one) for one in done["findings"]]
    lines += [f"  {part} could not be looked at: {why}" for part, why in done["unseen"].items()]
    lines += [f"  and {done['more']} more"] if done["more"] else []
    return "\n".join([head, *lines])


_ASKED = {
    "orphan_order": "say --orders cancel, adopt or leave",
    "shortage": "say --balances adopt to take it out of the books",
    "in_doubt": "it is looked for; `tickwork disown` if you know that it does not exist",
    "missing_order": "look at the venue",
}
"""What a person can do, by kind of finding."""


def _line(one: Any) -> str:
    worth = "unknown" if one["value"] is None else one["value"]
    said = {"ask": _ASKED.get(one["kind"], "say --balances adopt or leave"), "book": "booked", "end": "ended"}
    done = said.get(one["action"], one["action"])
    return f"  {one['severity']} {one['kind']}: {one['detail']} (worth {worth}; {one['outcome'] or done})"
