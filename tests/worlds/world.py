"""A world: one seed, one exchange, one tape, and a process that lives and dies on them."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tests.worlds.flows import HERE, ClearOut, ScriptWanted
from tests.worlds.inside import Process
from tests.worlds.judge import Judge
from tests.worlds.outside import Outside
from tests.worlds.plan import SECOND, START, Act, Crash, Plan, plan_of
from tests.worlds.timeloop import Stuck, TimeLoop
from tickwork.core.clock import VirtualClock
from tickwork.engines.embedded.assembly import Memory
from tickwork.sim.exchange import truth
from tickwork.trading.halt import HaltLevel

SETTLED_IN = 150
"""Virtual seconds after the faults in which everything must have come to rest."""


@dataclass(slots=True)
class Story:
    """What came of a world."""

    seed: str
    failures: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    """The interleaved story, where it was wanted."""
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    digest: str = ""
    """Of the tape and of the exchange's book."""


class World:
    """Runs a plan."""

    def __init__(self, plan: Plan, *, trace: bool = False) -> None:
        self.plan = plan
        self.clock = VirtualClock(START)
        self.story = Story(plan.seed)
        self.trace = trace
        self.outside = Outside(plan, self.clock.now)
        self.memory = Memory()
        self.judge = Judge(self)
        self.outside.listener = self.judge
        self.loop = TimeLoop(self.clock)
        self.process: Process | None = None
        self._crashes = list(plan.crashes)
        self._requests = 0
        self._died = asyncio.Event()
        self._down = 0
        self._faulty = True

    def say(self, who: str, what: str) -> None:
        """A line of the story."""
        if self.trace:
            self.story.told.append(f"{(self.clock.now() - START) / SECOND:9.3f} {who:<9}{what}")

    def fail(self, law: str, what: str) -> None:
        """A law does not hold."""
        self.say("BROKEN", f"{law}: {what}")
        self.story.failures.append(f"{law}: {what}")

    # -- running --------------------------------------------------------------------------------------------------

    def run(self) -> Story:
        """Run it to its end."""
        self.loop.timed = self
        self.loop.before_turn = self._turn
        handler = _Telling(self) if self.trace else None
        if handler is not None:
            logging.getLogger("tickwork").addHandler(handler)
        try:
            self.loop.run(self._main())
        except Stuck as stuck:
            self.fail("it settles", str(stuck))
        finally:
            HERE.process = None
            if handler is not None:
                logging.getLogger("tickwork").removeHandler(handler)
            if self.process is not None and self.process.engine._opened:
                self.process.engine.kill()
        self.story.faults.update(self.outside.faults.counts)
        self.story.digest = self.digest()
        return self.story

    def next_due(self) -> int | None:
        """Of the engine that lives."""
        return None if self.process is None or self.process.dead else self.process.engine.next_due()

    def fire(self) -> None:
        """Of the engine that lives."""
        assert self.process is not None
        self.process.engine.fire()

    async def _main(self) -> None:
        for crash in self._crashes:
            if crash.how == "time":
                self.loop.call_at(crash.n / SECOND, lambda: None)
        acting = asyncio.create_task(self._act())
        end = START + self.plan.ends
        while True:
            born = await self._live(until=end)
            if born is not None:
                break
            self._died.clear()
            await asyncio.sleep(self._down / SECOND)
        await self._settle(born)
        await acting
        if not self.story.failures:
            await self._settle(born)
        await self.judge.at_end(born)
        await born.close()
        if not self.story.failures:
            self.judge.reopened(born)
            await self.judge.opened_again(born)

    async def _live(self, until: int) -> Process | None:
        """One life; ``None``: it died before its time."""
        self.say("process", f"starts, the halt is {self.judge.halt_on_tape()}")
        self.process = process = Process(
            self.outside, self.memory, self.clock,
            cut=self._cut, begun=self.judge.begun, looked=self.judge.looked,
        )  # fmt: skip
        starting = asyncio.create_task(process.start(self.judge.restored))
        died = asyncio.create_task(self._died.wait())
        try:
            await asyncio.wait((starting, died), return_when=asyncio.FIRST_COMPLETED)
            if not self._died.is_set():
                await starting
                self.say("process", "is up")
                left = max(until - self.clock.now(), 0) / SECOND
                await asyncio.wait((died,), timeout=left)
            if not self._died.is_set():
                self._crashes.clear()
                return process
            starting.cancel()
            with suppress(asyncio.CancelledError):
                await starting
            return None
        finally:
            died.cancel()

    # -- dying ----------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        now = self.clock.now() - START
        for crash in self._crashes:
            if (crash.how == "turn" and self.loop.turns >= crash.n) or (crash.how == "time" and now >= crash.n):
                self._crash(crash)
                return

    def _cut(self, when: str) -> bool:
        """Does the process die at this request?"""
        self._requests += when == "before"
        for crash in self._crashes:
            if crash.how == when and self._requests >= crash.n:
                return self._crash(crash)
        return False

    def _crash(self, crash: Crash) -> bool:
        process = self.process
        if process is None or process.dead or self._died.is_set() or not process.up:
            return False
        self._crashes.remove(crash)
        self._down = crash.down
        self.story.counts["crashes"] += 1
        self.say("process", f"DIES ({crash.how} {crash.n})")
        process.die()
        self._died.set()
        return True

    # -- what others do -------------------------------------------------------------------------------------------

    async def _act(self) -> None:
        for act in self.plan.acts:
            left = START + act.at - self.clock.now()
            if left > 0:
                await asyncio.sleep(left / SECOND)
            await self._do(act)

    async def _do(self, act: Act) -> None:
        exchange = self.outside.exchange
        match act.doing:
            case "move":
                symbol, price = act.given
                self.say("market", f"{symbol} at {price}")
                exchange.move(symbol, price)
                if self.process is not None and self.process.up:
                    self.process.quoted(symbol)
            case "market":
                symbol, name, value = act.given
                self.say("market", f"{symbol}: {name} {value}")
                setattr(exchange.book(symbol).market, name, value)
            case "skew":
                self.say("market", f"its clock is {act.given / SECOND} s ahead")
                exchange.skew = act.given
            case "feed":
                self.say("feed", act.given)
                self.outside.feed = act.given
            case _:
                process = self.process
                while process is None or not process.up:
                    await asyncio.sleep(0.2)  # whoever wants something tries again
                    process = self.process
                await self._ask(process, act)

    async def _ask(self, process: Process, act: Act) -> None:
        """Something that a person or a program asks of the process; it may die over it."""
        if act.doing in ("script", "probe"):
            assert isinstance(act.given, ScriptWanted)
            self.say("person", f"wants {act.given.workflow} {act.given.n}: {act.given.acts}")
            process.post(act.given)
            return
        asked = self.raise_halt(process, *act.given) if act.doing == "halt" else self.clear_halt(process)
        asking, gone = asyncio.create_task(asked), asyncio.create_task(process.gone.wait())
        await asyncio.wait((asking, gone), return_when=asyncio.FIRST_COMPLETED)
        asking.cancel()
        gone.cancel()

    async def raise_halt(self, process: Process, level: HaltLevel, account: str) -> None:
        """A person stops trading."""
        self.say("person", f"raises {level} of {account or 'all'}")
        self.story.counts["halts"] += 1
        await process.halting.raise_to(level, "a person", by="ann", account=account)
        self.judge.halted(level)

    async def clear_halt(self, process: Process) -> None:
        """A person lets it go on."""
        self.judge.cleared()
        self.say("person", "clears the halt")
        for account in ("", "main"):
            await process.halting.clear("it is well", by="ann", account=account)
        self.say("person", "knows that the halt is cleared")

    # -- the end --------------------------------------------------------------------------------------------------

    async def _settle(self, process: Process) -> None:
        """No fault any more, what rests is cancelled: everything must come to an end."""
        if self._faulty:
            self._faulty = False
            self.say("world", "no faults any more")
            self.outside.faults.clear()
            self.outside.feed = "well"
            for market in self.outside.exchange.markets.values():
                market.status = "online"
        for state in process.exits.plans():
            await process.exits.close(state.plan.id, "the world ends")
        for waited in range(SETTLED_IN):
            if await self._quiet(process):
                return
            if waited % 5 == 0:
                self._clear_out(process)
            if waited % 20 == 10:
                await self._person_looks(process)
            await asyncio.sleep(1)
        self.fail("it settles", self._unsettled(process))

    def _clear_out(self, process: Process) -> None:
        asked = [[key, held.symbol] for key, held in sorted(process.desk.reservations.working().items())]
        if asked and not self._unfinished(process):
            process.post(ClearOut(keys=asked))

    async def _quiet(self, process: Process) -> bool:
        await process.engine.durable()
        if len(process.desk.reservations) or self._unfinished(process):
            return False
        return all(one.told for one in process.desk._follower._after.values())

    def _unfinished(self, process: Process) -> list[Any]:
        return process.engine._reader.rows("SELECT seq FROM runs WHERE status<?", (_DONE,))

    def _unsettled(self, process: Process) -> str:
        held = process.desk.reservations
        return (
            f"runs {self._unfinished(process)}, unknown {held.unknown()}, working {sorted(held.working())}, "
            f"decided {len(held)}, after {sorted(process.desk._follower._after)}"
        )

    async def _person_looks(self, process: Process) -> None:
        """What stays in doubt, a person decides: by what the exchange really has."""
        self.judge.stuck(process)
        there = self.outside.exchange.submissions(self.outside.exchange.account("main"))
        for key in process.desk.reservations.doubtful():
            if self.plan.bound_s is None or self.judge.given_up(key):
                if key in there:
                    with suppress(Exception):
                        await process.desk.resolve(key)
                else:
                    self.say("person", f"disowns {key}")
                    self.story.counts["disowned"] += 1
                    await process.disown(key)
                    self.judge.disowned(key)

    def digest(self) -> str:
        """Of the tape, byte for byte, and of all that the exchange knows."""
        rows = list(self.memory.connection.execute("SELECT seq, run, prev, crc, data FROM tape ORDER BY seq"))
        found = hashlib.blake2b(repr(rows).encode(), digest_size=16)
        found.update(msgspec.json.encode(truth(self.outside.exchange)))
        return found.hexdigest()


class _Telling(logging.Handler):
    """What the product logs is part of the story."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.INFO)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        self._world.say("log", record.getMessage())


def run(seed: int | str, *, trace: bool = False) -> Story:
    """The world of a seed."""
    return World(plan_of(seed), trace=trace).run()


_DONE = 10
