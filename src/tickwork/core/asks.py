"""The asks: what a workflow body can await. Each is one frozen object, yielded to whoever drives the coroutine.

An ask is its own awaitable: ``await run.step(...)`` yields the ``Step`` and receives its answer. It is identified when
the driver receives it, by the branch it is asked in, its kind, its name and its occurrence there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, ClassVar

import msgspec

from tickwork.core.conditions import Where
from tickwork.core.event import Event
from tickwork.core.queue import Sent
from tickwork.core.retry import Retry


class Ask(msgspec.Struct, frozen=True, eq=False, gc=True):
    """Something a body awaits."""

    kind: ClassVar[str] = ""

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self)

    def __str__(self) -> str:
        return f"result of {self.kind} {getattr(self, 'name', '')!r}"


class Step(Ask, frozen=True, eq=False):
    """Read or compute; remember the result."""

    kind: ClassVar[str] = "step"
    name: str
    fn: Callable[..., Any]
    args: tuple[Any, ...]
    retry: Retry | None = None
    timeout: int = 0
    blocking: bool | None = None
    undoes: str = ""


class Effect(Ask, frozen=True, eq=False):
    """Touch the outside world, with intent on disk first."""

    kind: ClassVar[str] = "effect"
    name: str
    fn: Callable[..., Any]
    args: tuple[Any, ...]
    lookup: Callable[..., Any] | None = None
    grace: int = 0
    retry: Retry | None = None
    timeout: int = 0
    undoes: str = ""
    valid_for: int = 0


class GuardedStep(Step, frozen=True, eq=False):
    """A step each of whose attempts a breaker (``core.breaker``) must let through; remembered as any other step."""

    breaker: Any = None


class GuardedEffect(Effect, frozen=True, eq=False):
    """An effect whose function a breaker must let through; its look-up it need not."""

    breaker: Any = None


class Composed(Ask, frozen=True, eq=False):
    """A verb made of other verbs; a driver sees only those. ``verbs(ask)`` makes the coroutine that awaits them."""

    kind: ClassVar[str] = "verb"
    name: str
    verbs: Callable[[Ask], Coroutine[Any, Any, Any]]

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield from self.verbs(self).__await__())

    def __str__(self) -> str:
        return self.name


class Sleep(Ask, frozen=True, eq=False):
    """Wait until ``due`` (ns)."""

    kind: ClassVar[str] = "sleep"
    name: str
    due: int


class WaitFor(Ask, frozen=True, eq=False):
    """Wait for the next event that matches, after ``since``; ``None`` at ``due`` (0: no time-out)."""

    kind: ClassVar[str] = "wait"
    name: str
    where: Where
    since: int
    due: int


class Emit(Ask, frozen=True, eq=False):
    """Publish an event, now or when ``due``."""

    kind: ClassVar[str] = "emit"
    name: str
    event: Event
    due: int = 0


class Send(Ask, frozen=True, eq=False):
    """Put a message into a queue, now or when ``due``."""

    kind: ClassVar[str] = "send"
    name: str
    sent: Sent
    due: int = 0


class Start(Ask, frozen=True, eq=False):
    """Start a child run and go on."""

    kind: ClassVar[str] = "start"
    name: str
    workflow: Any
    input: Any
    id: str = ""


class Call(Ask, frozen=True, eq=False):
    """Start a child run and wait for its result."""

    kind: ClassVar[str] = "call"
    name: str
    workflow: Any
    input: Any
    id: str = ""


class Approval(Ask, frozen=True, eq=False):
    """Ask a human; ``False`` at ``due``."""

    kind: ClassVar[str] = "approval"
    name: str
    due: int


class Again(Ask, frozen=True, eq=False):
    """Finish this run and continue as a fresh one."""

    kind: ClassVar[str] = "again"
    name: str
    input: Any


class Claim(Ask, frozen=True, eq=False):
    """Compare and set a view's state under a key."""

    kind: ClassVar[str] = "claim"
    name: str
    view: Any
    key: str
    expected: Any
    new: Any


class Read(Ask, frozen=True, eq=False):
    """Read a view's state under a key."""

    kind: ClassVar[str] = "read"
    name: str
    view: Any
    key: str


class Mishap(Ask, frozen=True, eq=False):
    """Record a dead letter and alert: an undo that could not be done."""

    kind: ClassVar[str] = "dead_letter"
    name: str
    error: BaseException


def discard(arms: tuple[Any, ...]) -> None:
    """Close the coroutines of arms that will not be opened, so that nobody complains that they were never awaited."""
    for arm in arms:
        if isinstance(arm, Coroutine):
            arm.close()


class All(Ask, frozen=True, eq=False):
    """Wait for every arm."""

    kind: ClassVar[str] = "all"
    arms: tuple[Awaitable[Any], ...]


class Race(Ask, frozen=True, eq=False):
    """Wait for the first arm."""

    kind: ClassVar[str] = "race"
    arms: tuple[Awaitable[Any], ...]
