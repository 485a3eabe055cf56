"""The parts of a running process: what runs since when, what it did last, and how much waits for it.

A part that belongs to the trading session is only looked at: the session starts and ends it. Others are started here,
in order, once the session is up, and stopped in reverse before anything of the session is: they let the outside in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import msgspec

from tickwork.errors import InvalidInput
from tickwork.values import from_ns

State = Literal["running", "waiting", "degraded", "failed", "stopping", "off"]
"""``waiting``: for another side that does not answer; ``off``: it was told not to run (``--without``)."""


class PartStatus(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A part at one moment."""

    name: str
    state: State
    since: datetime | None = None
    """When it began."""
    last_activity: datetime | None = None
    backlog: int | None = None
    """How much waits for it; ``None``: nothing can."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """What a part says of itself."""

    state: State = "running"
    last_ns: int | None = None
    """When it last did something (ns)."""
    backlog: int | None = None
    detail: str = ""


async def _nothing() -> None:
    return None


async def _never() -> None:
    await asyncio.get_running_loop().create_future()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the process."""

    name: str
    look: Callable[[], Look]
    """Quick, and never raises."""
    start: Callable[[], Awaitable[None]] = _nothing
    """On return it is up. What it raises ends the process, with the reason."""
    stop: Callable[[], Awaitable[None]] = _nothing
    """Take nothing new, finish what is under way, and let go."""
    ended: Callable[[], Awaitable[None]] = _never
    """Returns, or raises, if it ends without having been stopped."""
    address: Callable[[], str] = str
    """Where it is reached; ``""``: nowhere, or not yet."""


STOP_PART_S: Final = 5.0
"""Seconds that one part may take to stop; then the others are stopped all the same."""


class Parts:
    """The parts of this process.

    Args:
        now: ns since 1970 UTC.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._parts: dict[str, Part] = {}
        self._since: dict[str, int] = {}
        self._stopping: set[str] = set()

    def add(self, parts: Iterable[Part]) -> None:
        """More parts, that are not started yet.

        Raises:
            InvalidInput: two of one name.
        """
        for part in parts:
            if part.name in self._parts:
                raise InvalidInput("part", part.name, "a name that no other part has")
            self._parts[part.name] = part

    async def start(self) -> None:
        """Start them in order. Where one does not start, those before it are stopped again.

        Raises:
            Whatever a part raises.
        """
        try:
            for part in self._parts.values():
                await part.start()
                self._since[part.name] = self._now()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> list[str]:
        """Stop them, the last first; returns what is to be told of those that did not stop as they should."""
        complaints: list[str] = []
        # those without a stop are ended by whoever runs them
        for name in [name for name in reversed(list(self._since)) if self._parts[name].stop is not _nothing]:
            self._stopping.add(name)
            try:
                async with asyncio.timeout(STOP_PART_S):
                    await self._parts[name].stop()
            except TimeoutError:
                complaints.append(f"{name} has not stopped within {STOP_PART_S:g} s")
            except Exception as error:  # noqa: BLE001 - the others must be stopped all the same
                complaints.append(f"{name} did not stop as it should: {type(error).__name__}: {error}")
            del self._since[name]
        return complaints

    async def ended(self) -> None:
        """Return when a part has ended by itself; raises why."""
        tasks = {asyncio.ensure_future(part.ended()) for part in self._parts.values()}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        for task in done:
            task.result()

    @property
    def addresses(self) -> list[str]:
        """Where the process is reached."""
        up = (self._parts[name] for name in self._since if name not in self._stopping)
        return [address for part in up if (address := part.address())]

    def status(self) -> list[PartStatus]:
        """How they are."""
        return [self._of(part) for part in self._parts.values()]

    def _of(self, part: Part) -> PartStatus:
        look, since = _looked(part), self._since.get(part.name)
        state = "stopping" if part.name in self._stopping and look.state == "running" else look.state
        return PartStatus(
            name=part.name,
            state=state,
            since=None if since is None or state == "off" else from_ns(since),
            last_activity=None if look.last_ns is None else from_ns(look.last_ns),
            backlog=look.backlog,
            detail=look.detail,
        )


def _looked(part: Part) -> Look:
    try:
        return part.look()
    except Exception as error:  # noqa: BLE001 - one part's mistake must not hide how the others are
        return Look(state="failed", detail=f"it cannot be looked at: {type(error).__name__}: {error}")
