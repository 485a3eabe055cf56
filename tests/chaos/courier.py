"""The consumer outside: works on the parcels of one queue, and notes what it was told.

It knows the engine only by what it may ask of it: over the control socket of another process (``kill``), or by the
same verbs in this one (``power``). What it was told must be on the tape, whatever happened then; what it was not told
it asks again, under the same lease or the same id.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.paced import PARCELS, group
from tickwork import InvalidInput
from tickwork.errors import LeaseExpired

Ask = Callable[..., Awaitable[Any]]
"""``await ask("queues.lease", queue=...)``; raises what the engine answers, and something else where it is dead."""

POSTS = 0.08
"""In how many rounds the courier sends a parcel itself."""


@dataclass
class Told:
    """What the engine has said, in order."""

    leases: list[tuple[str, str]] = field(default_factory=list)
    """``leased``, ``extended``, ``acked`` or ``returned``, and the lease."""
    posted: dict[str, int] = field(default_factory=dict)
    """Parcels that the courier sent itself: id -> position; 0 while nobody has told it."""

    @property
    def acked(self) -> int:
        """How many parcels it was told are done."""
        return sum(what == "acked" for what, _ in self.leases)


class Courier:
    """One consumer, who outlives the engines that it asks."""

    def __init__(self, ask: Ask, told: Told, rng: random.Random, lasting: str) -> None:
        self._ask = ask
        self._told = told
        self._rng = rng
        self._lasting = lasting
        """How long a lease lasts that shall outlive a death."""
        self._unsure: list[str] = []
        """Leases that were acknowledged, but nobody said so."""

    async def round(self) -> None:
        """Ask again what was not answered, now and then send one, work on some.

        Raises:
            whatever ``ask`` raises when the engine is dead.
        """
        await self._ask_again()
        if self._rng.random() < POSTS:
            await self._post(f"post-{len(self._told.posted)}")
        lasts = self._rng.choice(("10 ms", "40 ms", self._lasting))
        stuck: set[str] = set()
        """Groups of which one was not done: what follows it cannot be."""
        for message in await self._lease(self._rng.randint(1, 8), lasts):
            if message["group"] not in stuck and not await self._work(message["lease"], lasts):
                stuck.add(message["group"])

    async def finish(self) -> None:
        """Do all that there is, and nothing else."""
        await self._ask_again()
        while found := await self._lease(20, "1 second"):
            for message in found:
                self._unsure.append(message["lease"])
                await self._ack(message["lease"])

    async def _ask_again(self) -> None:
        while self._unsure:
            await self._ack(self._unsure[0])
        lost = next((id for id, seq in self._told.posted.items() if not seq), None)
        if lost is not None:
            await self._post(lost)

    async def _lease(self, most: int, lasts: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self._ask(
            "queues.lease", queue=PARCELS.name, max=most, visibility=lasts, consumer="courier"
        )
        self._told.leases += [("leased", message["lease"]) for message in found]
        return found

    async def _work(self, lease: str, lasts: str) -> bool:
        """Deal with one parcel; is it done?"""
        chance = self._rng.random()
        if chance < 0.08 and lasts != self._lasting:
            return False  # forgotten: its lease lapses
        if chance < 0.25:
            await self._try("returned", lease, "queues.reject", lease=lease, error="torn", retry_in="3 ms")
            return False
        if chance < 0.45 and not await self._try("extended", lease, "queues.extend", lease=lease, by=self._lasting):
            return False
        self._unsure.append(lease)
        return await self._ack(lease)

    async def _ack(self, lease: str) -> bool:
        done = await self._try("acked", lease, "queues.ack", leases=[lease])
        self._unsure.remove(lease)
        return done

    async def _try(self, what: str, about: str, verb: str, **arguments: Any) -> bool:
        """Do something with a lease; False when it is over, or when another of its group comes first."""
        try:
            await self._ask(verb, **arguments)
        except (LeaseExpired, InvalidInput):
            return False
        self._told.leases.append((what, about))
        return True

    async def _post(self, id: str) -> None:
        self._told.posted.setdefault(id, 0)
        line = group(int(id.removeprefix("post-")))
        self._told.posted[id] = await self._ask("queues.send", queue=PARCELS.name, body={"post": id}, group=line, id=id)
