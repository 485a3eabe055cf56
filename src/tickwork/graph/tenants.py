"""Documents of owners who are not the installation itself: what they name is their own.

The owner ``""`` is the installation. A document of any other owner shares an engine with strangers: its queues,
breakers and schedules bear its owner's name, and of events it hears those of the market and what its owner's documents
emit.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from tickwork.core.event import Event
from tickwork.core.trigger import Trigger, When
from tickwork.errors import InvalidInput
from tickwork.graph.nodes.views import Emitted

BETWEEN: Final = ":"
"""Stands between an owner and a name, and in no owner's part."""

OWNER_MAX: Final = 40
"""Characters of an owner's part; breakers and queues have names of limited length."""

HEARD: Final = "an event of the market (market/...), or graph/event.emitted, of the same owner's documents"
"""What documents of owners may wait for and be started by."""

_MARKET: Final = "market/"
_OF_PEOPLE: Final = ("market/alert.", "market/rule.", "market/unfed")
"""What people have asked to be told of: named after the market, and none of its data."""

_PLAIN: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-@")


def own(owner: str, name: str) -> str:
    """Under which name the engine knows what an owner's documents call ``name``; of ``""`` it is the same."""
    return f"{prefix(owner)}{name}"


def bare(owner: str, name: str) -> str | None:
    """What an owner's documents call it that the engine knows by ``name``; ``None``: it is another's."""
    begins = prefix(owner)
    return name.removeprefix(begins) if name.startswith(begins) else None


def prefix(owner: str) -> str:
    """What the names of an owner begin with: letters, digits and ``._-@=``, then a colon; different for each owner."""
    if not owner:
        return ""
    text = "".join(one if one in _PLAIN else "".join(f"={byte:02X}" for byte in _bytes(one)) for one in owner)
    if len(text) > OWNER_MAX:
        # two signs of equality: no escaped owner has them
        text = f"{text[: OWNER_MAX - 18]}=={hashlib.blake2b(_bytes(owner), digest_size=8).hexdigest()}"
    return text + BETWEEN


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def may_hear(event: type[Event]) -> bool:
    """May documents of owners wait for events of this class, and be started by them? Of ``Emitted``: by their own."""
    name = event.event_name
    return event is Emitted or (name.startswith(_MARKET) and not name.startswith(_OF_PEOPLE))


def check_heard(path: str, event: type[Event]) -> None:
    """
    Raises:
        InvalidInput: what it tells is not for documents of owners.
    """
    if not may_hear(event):
        raise InvalidInput(path, event.event_name, HEARD)


def fields_of(type: str, fields: dict[str, Any], owner: str) -> dict[str, Any]:
    """The fields of a trigger as one of this owner's: its names are the owner's own.

    Raises:
        InvalidInput: it is not for documents of owners.
    """
    if not owner:
        return fields
    if type == "webhook":
        expected = "a trigger that needs no secret of the host: webhooks are the installation's alone"
        raise InvalidInput("type", type, expected)
    name = fields.get("name")
    if type in ("queue", "schedule") and isinstance(name, str) and name:
        return {**fields, "name": own(owner, name)}
    return fields


def heard_by(trigger: Trigger, owner: str) -> Trigger:
    """A trigger as one of this owner's: it hears nothing of others.

    Raises:
        InvalidInput: its event is not for documents of owners.
    """
    if not owner or not isinstance(trigger, When) or trigger.event is None:
        return trigger
    check_heard("event", trigger.event)
    return OwnEmitted(owner, trigger) if trigger.event is Emitted else trigger


class OwnEmitted(When):
    """What documents of one owner emit, where a condition holds as well.

    Args:
        owner: not ``""``.
        of: the trigger that would hear all of them.
    """

    def __init__(self, owner: str, of: Trigger) -> None:
        super().__init__(Emitted)
        self._where = of.where
        self._owner = owner

    def matches(self, event: Event) -> bool:
        """As of ``Trigger``; the condition is not asked about what is another's."""
        return getattr(event, "owner", "") == self._owner and super().matches(event)

    def __str__(self) -> str:
        return f"{super().__str__()} of {self._owner}"
