"""Named last moments of a process that trades, besides those of the engine (``tests.chaos.points``)."""

from __future__ import annotations

import functools
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any, Final

from tests.chaos import points as engine

OF_THE_ENGINE: Final = (
    "lock.taken",
    "recover.done",
    "intent.durable",
    "outcome.before",
    "outcome.recorded",
    "look.before",
    "look.after",
    "commit.rows",
    "commit.done",
)
PLACES: Final = (
    ("trading.desk:Desk.restore", "", "desk.restored"),
    ("trading.reservations:Reservations.decide", "", "gate.decided"),
    ("trading.desk:Desk._last_look", "", "wire.before"),
    ("venues.ccxt.sending:Sending._sent", "", "wire.after"),
    ("trading.desk:Desk._sighted", "order.sighted", ""),
    ("venues.ccxt.venue:CcxtVenue._asked_to_cancel", "cancel.before", "cancel.after"),
    ("trading.desk:Desk.news", "", "news.heard"),
    ("service.accounts.account:OpenAccount._book", "fill.before", "fill.booked"),
    ("service.accounts.account:OpenAccount._end", "end.before", "end.booked"),
    ("service.halting:Halting.raise_soon", "halt.before", "halt.raised"),
    ("service.sweeping:Sweeper.sweep", "sweep.begun", "sweep.done"),
)
"""Functions, awaited or not, with the point before and the point after each. None of them is given to the engine as a
step's: that knows functions by their code, and all these would be one."""

POINTS: Final = (*OF_THE_ENGINE, *(point for _, *around in PLACES for point in around if point))
OF_HALTS: Final = frozenset({"halt.before", "halt.raised", "sweep.begun", "sweep.done"})
"""Only reached in a life in which the halt is pulled."""
ONCE: Final = frozenset({"lock.taken", "recover.done", "desk.restored", *OF_HALTS})
"""Reached once in a life; the others often."""


def arm(spec: str) -> None:
    """Arm one point, ``name:count``; an empty text arms none."""
    engine.arm(spec, (*engine.POINTS, *POINTS))


def install() -> None:
    """Wrap production code so that the armed point is reached."""
    engine.install()
    for path, before, after in PLACES:
        module, _, function = path.partition(":")
        owner, _, name = function.rpartition(".")
        _around(pkgutil.resolve_name(f"tickwork.{module}:{owner}"), name, before, after)


def _around(owner: Any, name: str, before: str, after: str) -> None:
    inner: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(inner)
    async def awaited(*args: Any, **keywords: Any) -> Any:
        engine.reach(before)
        found = await inner(*args, **keywords)
        engine.reach(after)
        return found

    @functools.wraps(inner)
    def called(*args: Any, **keywords: Any) -> Any:
        engine.reach(before)
        found = inner(*args, **keywords)
        engine.reach(after)
        return found

    setattr(owner, name, awaited if inspect.iscoroutinefunction(inner) else called)
