"""Asking the process that trades, and saying what is missing where another one owns the tape."""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

import msgspec

from tickwork.errors import Conflict, NotFound
from tickwork.service.api.caller import Caller
from tickwork.service.api.operation import Call

T = TypeVar("T")


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
