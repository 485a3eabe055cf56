"""Branches: the one line a body runs in, and the arms it opens with ``all`` and ``race``."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Coroutine
from types import CodeType
from typing import Any

from tickwork.core.asks import Ask

_log = logging.getLogger("tickwork.core")

STUBBORN_MAX = 100
"""How often a coroutine that refuses to close is asked again."""

_stubborn: list[object] = []
"""Coroutines that could not be closed: kept, because dropping one would run its ``finally`` once more."""


class Branch:
    """A coroutine with its own count of asks."""

    __slots__ = (
        "bare",
        "coro",
        "doom",
        "dropped",
        "ended",
        "group",
        "index",
        "inside",
        "no",
        "occ",
        "path",
        "started",
        "waits",
    )

    def __init__(self, path: str, coro: Coroutine[Any, Any, Any], inside: Group | None = None, index: int = 0) -> None:
        self.path = path
        self.coro = coro
        self.inside = inside
        """The group whose arm this is."""
        self.index = index
        self.bare = False
        """Is this arm one verb, and not a coroutine of them?"""
        self.group: Group | None = None
        """The group this branch waits for."""
        self.waits: int = -1
        """The number of the ask this branch waits for, or -1."""
        self.no = 0
        self.occ: dict[tuple[str, str], int] = {}
        self.doom: BaseException | None = None
        """What will be thrown at the next ask instead of answering it."""
        self.dropped = -1
        """The number of the ask that was dropped when the branch was interrupted."""
        self.started = False
        self.ended = False

    def occurrence(self, kind: str, name: str) -> int:
        """How often this branch asked for this before; counts this time."""
        key = (kind, name)
        occ = self.occ.get(key, 0)
        self.occ[key] = occ + 1
        return occ

    def close(self) -> None:
        """Drop the coroutine, its arms first. Whatever it does about that is discarded."""
        if self.group is not None:
            for arm in self.group.arms:
                if not arm.ended:
                    arm.close()
        close_coroutine(self.coro)


class Group:
    """The arms of one ``all`` or ``race``."""

    __slots__ = ("arms", "decided", "error", "is_race", "left", "no", "parent", "started", "values", "winner")

    def __init__(self, parent: Branch, no: int, is_race: bool, prefix: str, arms: tuple[Awaitable[Any], ...]) -> None:
        self.parent = parent
        self.no = no
        self.is_race = is_race
        self.arms = [Branch(f"{prefix}{index}/", as_coroutine(arm), self, index) for index, arm in enumerate(arms)]
        for arm, made in zip(self.arms, arms, strict=True):
            arm.bare = isinstance(made, Ask)
        self.left = len(arms)
        self.values: list[Any] = [None] * len(arms)
        self.winner = -1
        self.decided = False
        """True once the outcome is certain; the arms still running are being wound down."""
        self.error: BaseException | None = None
        self.started = False


async def _await(arm: Awaitable[Any]) -> Any:
    return await arm


def as_coroutine(arm: Awaitable[Any]) -> Coroutine[Any, Any, Any]:
    """A verb as a coroutine; a coroutine as itself."""
    return arm if isinstance(arm, Coroutine) else _await(arm)


def close_coroutine(coro: Coroutine[Any, Any, Any]) -> None:
    """Close a coroutine, however it resists; bounded, and reported."""
    for _ in range(STUBBORN_MAX):
        try:
            coro.close()
            return
        except RuntimeError as error:
            if "ignored GeneratorExit" not in str(error):
                _log.debug("discarded while parking: %r", error)
                return
        except BaseException as error:  # noqa: BLE001 - an exception of a body that is being parked means nothing
            _log.debug("discarded while parking: %r", error)
            return
    _stubborn.append(coro)
    _log.error(
        "%s cannot be parked: it catches GeneratorExit in a loop. Let GeneratorExit pass, or catch Exception instead",
        getattr(coro, "__qualname__", coro),
    )


_OURS = __file__.rpartition("/")[0]
_PYTHON = logging.__file__.rpartition("/logging/")[0]
"""The standard library: a line of asyncio tells nobody which line of theirs to change."""


def whereabouts(coro: Any) -> str:
    """``file:line (function)`` of the innermost line of user code that a coroutine is suspended at."""
    found = "an unknown line"
    while coro is not None:
        frame = getattr(coro, "cr_frame", None) or getattr(coro, "gi_frame", None) or getattr(coro, "ag_frame", None)
        code: CodeType | None = getattr(frame, "f_code", None)
        if frame is not None and code is not None and not code.co_filename.startswith((_OURS, _PYTHON)):
            found = f"{code.co_filename}:{frame.f_lineno} ({code.co_name})"
        coro = getattr(coro, "cr_await", None) or getattr(coro, "gi_yieldfrom", None) or getattr(coro, "ag_await", None)
    return found


def describe(ask: Ask) -> str:
    """``step 'analyse'``: an ask for people."""
    return f"{ask.kind} {getattr(ask, 'name', '')!r}".replace(" ''", "")
