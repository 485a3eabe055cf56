"""Commands on the tape: what was asked, by whom, and what came of it. The audit trail, and the memory of keys."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

import msgspec

from tickwork.core.event import Event
from tickwork.service.api.operation import Operation

SHOWN_MAX: Final = 4_096
"""Characters of arguments that are told of a command."""

ANSWER_MAX: Final = 1 << 20
"""Characters of an answer that are kept, to be given again."""

WINDOW: Final = "24 hours"
"""How long a key is remembered."""

_SECRET: Final = re.compile(r"secret|password|passwd|token|api.?key|private|credential|signature", re.IGNORECASE)
HIDDEN: Final = "***"


class CommandAsked(Event, name="tickwork/command.asked"):
    """Somebody who may do so asked for a command."""

    operation: str
    by: str
    face: str
    key: str = ""
    """What makes the same command again the same command."""
    arguments: str
    """JSON, without what its name says to be secret; cut where it is long."""
    fingerprint: str
    """Of operation and arguments."""


class CommandAnswered(Event, name="tickwork/command.answered"):
    """What came of a command."""

    asked: int
    """Position of the ``CommandAsked``."""
    outcome: str
    """``done``, or the code of a problem."""
    detail: str = ""
    """Of a problem, for people."""
    answer: str = ""
    """JSON, where there is a key and nothing secret in it."""


def asked(operation: Operation, arguments: dict[str, Any], by: str, face: str, key: str) -> CommandAsked:
    """The record of a command. ``arguments``: plain JSON values."""
    text = msgspec.json.encode(_without_secrets(arguments)).decode()
    shown = text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 1] + "…"
    print_ = fingerprint(operation.name, arguments)
    return CommandAsked(operation=operation.name, by=by, face=face, key=key, arguments=shown, fingerprint=print_)


def fingerprint(name: str, arguments: dict[str, Any]) -> str:
    """What tells two commands apart."""
    whole = msgspec.json.encode([name, arguments], order="deterministic")
    return hashlib.sha256(whole).hexdigest()[:32]


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: HIDDEN if _SECRET.search(str(key)) and found else _without_secrets(found)
            for key, found in value.items()
        }
    return [_without_secrets(one) for one in value] if isinstance(value, list) else value
