"""Asking the process that trades, and saying what is missing where another one owns the tape."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final, TypeVar

import msgspec

from tickwork.errors import Conflict, Forbidden, InvalidInput, NotFound
from tickwork.service.api.caller import Caller
from tickwork.service.api.operation import Call

T = TypeVar("T")

_OURS: Final = re.compile(r"exit\.|halt\.|r[0-9]+\.|(order|cancel|flatten|run|rerun|fork|execution)\.[0-9a-f]{32}")
"""Ids of runs that this program gives. Of some everybody can tell what they will be, such as that of a stop's run."""


async def ask_trading(call: Call, answer: type[T], verb: str, /, **arguments: Any) -> T:
    """What the process that trades answers, as a value of a type.

    Raises:
        NotRunning: no process has the tape open. Conflict: one has, and trades on no account, as a demo or a program
            of the user's. TickworkError: what it answered.
    """
    try:
        found = await call.ask(verb, **arguments)
    except NotFound as error:
        if error.path != "verb":
            raise
        expected = "one that trades on accounts: `tickwork up`, with [accounts.<name>] in tickwork.toml"
        raise Conflict("process", f"one that cannot do {verb}", expected) from None
    return msgspec.convert(found, answer)


def by(call: Call) -> str:
    """Who wants it, for the tape: the name of a token; of whoever sits at this machine, the face."""
    return who(call.caller)


def who(caller: Caller) -> str:
    """Likewise, of a caller."""
    return caller.face if caller.name == "local" else caller.name


def id_of(call: Call, kind: str) -> str | None:
    """An id of a call's key: asked for again, the same. ``None``: there is no key."""
    if not call.key:
        return None
    whose = f"{call.caller.name}\0{call.key}"
    return f"{kind}.{hashlib.sha256(whose.encode()).hexdigest()[:32]}"


def check_id_of_run(id: str, path: str) -> None:
    """
    Raises:
        InvalidInput: one that a run of this program's own may come to have, and then could not.
    """
    if _OURS.match(id):
        raise InvalidInput(path, id, "an id that does not look like one that tickwork gives itself, such as exit....")


def check_account(call: Call, operation: str, account: str) -> None:
    """
    Raises:
        Forbidden: the caller may not trade the account of what it asks to change.
    """
    allowed = call.caller.accounts
    if allowed is not None and account not in allowed:
        named = ", ".join(sorted(allowed)) or "none"
        raise Forbidden(operation, call.caller.name, f"something on an account that it may trade ({named})")
