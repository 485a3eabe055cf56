"""Views: state that outlives a run. A keyed fold of the tape's events, kept up to date in the same transaction.

    @view("targets", on=TargetSet, key=lambda event: event.symbol)
    def targets(state: Target | None, event: TargetSet) -> Target | None: ...

In a body: ``await targets.get("BTC/USDT")`` and ``await targets.claim("BTC/USDT", expected, new)``; outside, ask the
engine. A fold that returns ``None`` removes the key.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from tickwork.core.asks import Claim, Read
from tickwork.core.codec import Codec, annotations_of, codec_for
from tickwork.core.event import Event
from tickwork.errors import InvalidInput

Fold = Callable[[Any, Any], Any]


class View:
    """A view as declared."""

    def __init__(self, fold: Fold, name: str, on: tuple[type[Event], ...], key: Callable[[Any], str], version: int):
        self.fold = fold
        self.name = name
        self.on = on
        self.key = key
        self.version = version
        self.codec: Codec = codec_for(annotations_of(fold).get("return", Any))
        self.__doc__ = fold.__doc__

    def get(self, key: str) -> Awaitable[Any]:
        """The state under ``key``, or ``None``; to be awaited in a body, where it is recorded."""
        return Read(self.name, self, _key(self, key))

    def claim(self, key: str, expected: Any, new: Any) -> Awaitable[bool]:
        """Set the state under ``key`` to ``new`` if it is ``expected`` (``None``: absent); True if it was."""
        return Claim(self.name, self, _key(self, key), expected, new)

    def __repr__(self) -> str:
        return f"<view {self.name!r}>"


def _key(view: View, key: Any) -> str:
    if not isinstance(key, str):
        raise InvalidInput(f"key of view {view.name!r}", key, "a text")
    return key


def view(
    name: str, *, on: type[Event] | Sequence[type[Event]], key: Callable[[Any], str], version: int = 1
) -> Callable[[Fold], View]:
    """Declare a view. Raise ``version`` when the fold changes: the view is then folded anew from the tape.

    Raises:
        InvalidInput: an argument is wrong.
    """
    events = (on,) if isinstance(on, type) else tuple(on)
    for event in events:
        if not (isinstance(event, type) and issubclass(event, Event) and event.event_name):
            raise InvalidInput(f"@view({name!r}) on", event, "a class of events, or several")
    if not callable(key):
        raise InvalidInput(f"@view({name!r}) key", key, "a function of the event")
    return lambda fold: View(fold, name, events, key, version)
