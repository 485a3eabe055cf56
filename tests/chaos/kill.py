"""Form one: the real process on real files is killed, again and again, and must come back as if nothing had happened.

One *lane* is one folder with one engine process at a time (and, every second lane, a venue process beside it). A cycle
starts the engine, feeds it events over its control socket, lets a courier work on one of its queues, and ends with
SIGKILL: at a named point inside, or at a random moment, or while it is starting. After the last one the lane settles,
and the files are judged.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.checks import UNFINISHED, Fed, Verdict, judge
from tests.chaos.courier import Courier
from tests.chaos.market import SOCKET
from tests.chaos.mutations import MUTATIONS
from tests.chaos.outside import lines
from tests.chaos.paced import CLOCK, WIRE
from tests.chaos.points import FREQUENT, POINTS
from tests.chaos.workload import COMMANDED, LABELS
from tickwork import InvalidInput, TickworkError
from tickwork.engines.embedded.control import ask_owner

ROOT = Path(__file__).resolve().parents[2]
SHAPES = tuple(LABELS)
STARTED_IN = 20.0
"""Seconds after which a process that does not answer is stuck."""
SETTLED_IN = 60.0
WRONG_SETTLED_IN = 3.0
"""The same for a wrong build, which may never settle."""
UNREACHED = 1.2
"""Seconds after which a named point is given up and the process is killed where it is."""
EVENTS_A_CYCLE = 24
COMMAND_EVERY = 7
EARLY = 25
"""Up to which count a point of a wrong build is armed: while there is something to acknowledge."""
VENUE_DIES = 0.2
"""After how many of the cycles the venue's process is killed too."""
KINDS = tuple(COMMANDED)
LASTING = "1500 ms"
"""A lease that outlives a restart."""
UNDONE = ("available", "delayed", "in_flight", "dead")
"""Of the counts of a queue."""
FULL = 4 * len(POINTS)
"""So many kills must reach every named point."""


@dataclass
class Plan:
    """What to do."""

    kills: int = 200
    seed: int = 1
    seconds: float = 0.0
    """Stop killing after this long; 0: never."""
    lanes: int = 2
    mutation: str = ""
    points: tuple[str, ...] = ()
    """Kill only at these; empty: everywhere."""
    shapes: tuple[str, ...] = SHAPES
    """Feed only events of these."""


@dataclass
class Outcome:
    """What came of it."""

    verdict: Verdict
    kills: int = 0
    venue_kills: int = 0
    at_points: Counter[str] = field(default_factory=Counter)
    offered: int = 0
    acknowledged: int = 0
    effects: int = 0
    orders: int = 0
    messages: int = 0
    """Acknowledged by the courier."""
    looks: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, other: Outcome) -> None:
        """Take another lane's figures in."""
        self.verdict.passed += other.verdict.passed
        self.verdict.failures += other.verdict.failures
        self.kills += other.kills
        self.venue_kills += other.venue_kills
        self.at_points += other.at_points
        self.offered += other.offered
        self.acknowledged += other.acknowledged
        self.effects += other.effects
        self.orders += other.orders
        self.messages += other.messages
        self.looks += other.looks

    def summary(self) -> str:
        """One line."""
        named = sum(self.at_points.values())
        return (
            f"kill: {self.kills} kills ({named} at {len(self.at_points)} of {len(POINTS)} named points), "
            f"{self.venue_kills} of the venue, {self.acknowledged} events acknowledged of {self.offered} offered, "
            f"{self.effects} effects, {self.orders} orders, look-ups {self.looks['found']} found and "
            f"{self.looks['not found']} did not, {self.messages} messages acknowledged, {self.seconds:.0f} s"
        )


class Stuck(Exception):
    """The process did not do what it must always do; carries its last words."""


class Lane:
    """One folder and the processes in it."""

    def __init__(self, plan: Plan, number: int, folder: Path) -> None:
        self._plan = plan
        self._rng = random.Random(f"{plan.seed}/{number}")
        self._folder = folder
        self._tape = str(folder / "tape.db")
        self._apart = number % 2 == 1
        self._fed = Fed()
        self._serial = threading.Lock()
        self._next = number * 1_000_000
        self._answers: list[int] = []
        self._commands: list[str] = []
        """Runs that wait for a command."""
        rng = random.Random(f"{plan.seed}/{number}/courier")
        self._courier = Courier(self._ask, self._fed.courier, rng, lasting=LASTING)
        self._deck: list[str] = []
        """Points not yet drawn: each comes up before any comes up again."""
        self._missed: set[str] = set()
        """Points that a process has not come to: they are tried once more."""
        self.outcome = Outcome(Verdict())

    def run(self, kills: int, deadline: float) -> Outcome:
        """All cycles, the settling, and the judgement."""
        venue = self._spawn("--serve-venue") if self._apart else None
        try:
            if venue is not None:
                self._until(lambda: (self._folder / SOCKET).exists(), venue, STARTED_IN)
            while self.outcome.kills < kills and (not deadline or time.monotonic() < deadline):
                self._cycle()
                if venue is not None and self._rng.random() < VENUE_DIES:
                    venue.kill()
                    venue.wait()
                    self.outcome.venue_kills += 1
                    venue = self._spawn("--serve-venue")
            self._settle()
            self.outcome.verdict.passed += 1
        except Stuck as stuck:
            self.outcome.verdict.failures.append(f"the process is stuck or broken: {stuck}")
        finally:
            if venue is not None:
                venue.terminate()
                venue.wait()
        self._count()
        try:
            judge(self._folder, self._fed, verdict=self.outcome.verdict)
        except (TickworkError, OSError, KeyError, ValueError) as error:
            self.outcome.verdict.failures.append(f"the files cannot be judged: {type(error).__name__}: {error}")
        return self.outcome

    def _count(self) -> None:
        self.outcome.offered = len(self._fed.shapes)
        self.outcome.acknowledged = len(self._fed.acknowledged)
        self.outcome.orders = sum(shape == "order" for shape in self._fed.shapes.values())
        self.outcome.effects = len(lines(self._folder / "outside.txt"))
        self.outcome.looks = Counter(lines(self._folder / "looks.txt"))
        self.outcome.messages = self._fed.courier.acked

    # -- one cycle ------------------------------------------------------------------------------------------------

    def _cycle(self) -> None:
        rng = self._rng
        chance = rng.random()
        point = self._point() if self._plan.points or chance < 0.6 else ""
        checkpoint = "40" if point.startswith("file.") or rng.random() < 0.3 else "0"
        child = self._spawn("--checkpoint", checkpoint, point=point)
        if not point and chance > 0.93:
            time.sleep(rng.uniform(0.0, 0.6))  # while it is starting, mostly
        else:
            self._feed_while_alive(child, UNREACHED if point else rng.uniform(0.0, 0.35))
        self._reap(child, point.partition(":")[0], by_itself=child.poll() is not None)

    def _point(self) -> str:
        if not self._deck:
            self._missed.clear()
            self._deck = self._rng.sample(points := self._plan.points or POINTS, len(points))
        name = self._deck.pop()
        most = FREQUENT.get(name, 12)
        return f"{name}:{self._rng.randint(1, min(most, EARLY) if self._plan.mutation else most)}"

    def _feed_while_alive(self, child: subprocess.Popen[bytes], seconds: float) -> None:
        if not self._answering(child):
            return
        stop = time.monotonic() + seconds
        work = [*[self._feed] * 3, lambda stop: asyncio.run(self._carry(stop))]
        feeders = [threading.Thread(target=self._until_gone, args=(feed, stop)) for feed in work]
        for feeder in feeders:
            feeder.start()
        while child.poll() is None and time.monotonic() < stop:
            time.sleep(0.002)
        for feeder in feeders:
            feeder.join()

    def _reap(self, child: subprocess.Popen[bytes], point: str, by_itself: bool) -> None:
        child.kill()
        code = child.wait()
        if code != -signal.SIGKILL:
            raise Stuck(f"it ended by itself with code {code}: {self._last_words()}")
        self.outcome.kills += 1
        if point and by_itself:
            self.outcome.at_points[point] += 1
        elif point and point not in self._missed:
            self._missed.add(point)
            self._deck.insert(0, point)

    async def _ask(self, verb: str, **arguments: Any) -> Any:
        return ask_owner(self._tape, verb, timeout=10, **arguments)

    def _until_gone(self, feed: Callable[[float], None], stop: float) -> None:
        """Feed until it is time to stop, or the owner is gone: nobody knows then whether it has what it was given."""
        try:
            feed(stop)
        except (OSError, ValueError):
            return
        except Exception as error:  # noqa: BLE001 - in a thread of its own nobody else would hear of it
            self.outcome.verdict.failures.append(f"the harness was refused: {type(error).__name__}: {error}")

    async def _carry(self, stop: float) -> None:
        """Let the courier work."""
        while time.monotonic() < stop:
            await self._courier.round()
            time.sleep(0.004)  # noqa: ASYNC251 - the loop is this thread's own

    def _feed(self, stop: float) -> None:
        """Offer events; note what was acknowledged."""
        for _ in range(EVENTS_A_CYCLE // 3):
            if time.monotonic() > stop:
                return
            with self._serial:
                self._next += 1
                n = self._next
                shape = self._plan.shapes[n % len(self._plan.shapes)]
                self._fed.shapes[n] = shape
            told = ask_owner(self._tape, "emit", name="chaos/tick", payload={"n": n, "shape": shape}, timeout=10)
            self._fed.acknowledged[n] = told["seq"]
            if shape == "waiter":
                self._answers.append(n)
            self._answer_some()
            if n % COMMAND_EVERY == 0:
                self._start_commanded(n)
                self._command_one()
            time.sleep(0.004)

    def _answer_some(self) -> None:
        if len(self._answers) > 3:
            n = self._answers.pop(0)
            ask_owner(self._tape, "emit", name="chaos/answer", payload={"n": n}, timeout=10)

    def _start_commanded(self, n: int) -> None:
        kind = KINDS[n // COMMAND_EVERY % len(KINDS)]
        id = f"{kind}-{n}"
        self._fed.commanded[id] = False
        ask_owner(self._tape, "start", workflow=f"chaos-{kind}", input=n, id=id, timeout=10)
        self._fed.commanded[id] = True
        self._commands.append(id)
        if kind == "paused":
            self._command("pause", run=id)

    def _command_one(self) -> None:
        self._command("letters.redrive", every=True)
        self._command("breakers.trip", name=WIRE.name, open_for="10 ms")
        if len(self._commands) > 2:
            self._finish(self._commands.pop(0))

    def _finish(self, id: str) -> None:
        """What lets a commanded run come to its end; harmless when repeated."""
        if id.startswith("doomed"):
            self._command("cancel", run=id)
        elif id.startswith("asked"):
            self._command("approve", id=f"{id}:0", yes=True)
        elif id.startswith("paused"):
            self._command("resume", run=id)

    def _command(self, verb: str, **arguments: object) -> None:
        # refused when it is over, when it has been answered, or when an unacknowledged start never happened
        with contextlib.suppress(InvalidInput):
            ask_owner(self._tape, verb, timeout=10, **arguments)

    # -- the end --------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Without a killer: everything must come to its end, and the process must end cleanly."""
        child = self._spawn()
        try:
            if not self._answering(child):
                raise Stuck(f"it does not start any more: {self._last_words()}")
            for n, shape in self._fed.shapes.items():
                if shape == "waiter":
                    ask_owner(self._tape, "emit", name="chaos/answer", payload={"n": n})
            ask_owner(self._tape, "schedules.pause", name=CLOCK)
            limit = WRONG_SETTLED_IN if self._plan.mutation else SETTLED_IN
            self._until(self._quiet, child, limit)
            time.sleep(0.3)  # delayed events and fills that are on their way
            self._until(self._quiet, child, limit)
        except (OSError, TickworkError, TypeError) as error:
            raise Stuck(f"it went away or refused: {type(error).__name__}: {error}: {self._last_words()}") from None
        finally:
            child.terminate()
            try:
                child.wait(timeout=10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if child.returncode != 0:
            raise Stuck(f"its clean end had code {child.returncode}: {self._last_words()}")

    def _quiet(self) -> bool:
        """Is everything done? If not, do what the harness owes."""
        counts = ask_owner(self._tape, "status")["runs"]
        queues = ask_owner(self._tape, "queues.statuses")
        unfinished = sum(counts.get(status, 0) for status in UNFINISHED)
        if not unfinished and not any(queue[count] for queue in queues for count in UNDONE):
            return True
        for id in self._fed.commanded:
            self._finish(id)
        self._command("letters.redrive", every=True)
        asyncio.run(self._courier.finish())
        return False

    # -- processes ------------------------------------------------------------------------------------------------

    def _spawn(self, *options: str, point: str = "") -> subprocess.Popen[bytes]:
        self._folder.mkdir(parents=True, exist_ok=True)
        venue = "apart" if self._apart else "own"
        line = [sys.executable, "-m", "tests.chaos.child", str(self._folder), "--venue", venue, *options]
        if self._plan.mutation:
            line += ["--mutation", self._plan.mutation]
        with (self._folder / "stderr.txt").open("ab") as errors:
            return subprocess.Popen(
                line,
                cwd=ROOT,
                env={**os.environ, "TICKWORK_CRASH_AT": point},
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )

    def _answering(self, child: subprocess.Popen[bytes]) -> bool:
        """Wait until the process owns the tape and answers; False when it died before."""
        limit = time.monotonic() + STARTED_IN
        while child.poll() is None:
            try:
                ask_owner(self._tape, "status", timeout=10)
            except (OSError, ValueError):
                if time.monotonic() > limit:
                    child.kill()
                    raise Stuck(f"it does not answer: {self._last_words()}") from None
                time.sleep(0.005)
            else:
                return True
        return False

    def _until(self, true: object, child: subprocess.Popen[bytes], seconds: float) -> None:
        limit = time.monotonic() + seconds
        while not true():  # type: ignore[operator]
            if child.poll() is not None:
                raise Stuck(f"it ended by itself with code {child.returncode}: {self._last_words()}")
            if time.monotonic() > limit:
                raise Stuck(f"it has not settled in {seconds:g} s: {self._last_words()}")
            time.sleep(0.02)

    def _last_words(self) -> str:
        said = [line for line in lines(self._folder / "stderr.txt") if line.strip()]
        return " | ".join(said[-6:])[-600:] or "it said nothing"


def run(plan: Plan) -> Outcome:
    """All lanes at once."""
    started = time.monotonic()
    deadline = started + plan.seconds if plan.seconds else 0.0
    total = Outcome(Verdict())
    folder = Path(tempfile.mkdtemp(prefix="tickwork-chaos-"))
    lanes = max(1, min(plan.lanes, plan.kills))
    shares = [plan.kills // lanes + (number < plan.kills % lanes) for number in range(lanes)]
    with ThreadPoolExecutor(lanes) as pool:
        running = [
            pool.submit(Lane(plan, number, folder / f"lane{number}").run, share, deadline)
            for number, share in enumerate(shares)
        ]
        for lane in running:
            total.add(lane.result())
    total.seconds = time.monotonic() - started
    if plan.kills >= FULL and not plan.points and not plan.seconds:
        missed = [point for point in POINTS if not total.at_points[point]]
        total.verdict.check("every named point was reached", missed)
    if total.verdict.failures and not plan.mutation:
        total.verdict.failures.append(f"the files are left in {folder}")
    else:
        shutil.rmtree(folder)
    return total


def wrong(name: str, seed: int, kills: int, seconds: float = 0.0) -> Plan:
    """A round of a wrong build: fed what shows it, killed where it shows."""
    build = MUTATIONS[name]
    shapes = build.shapes or SHAPES
    return Plan(kills, seed, seconds, mutation=name, points=build.points, shapes=shapes)


def caught(name: str, seed: int, kills: int) -> Outcome:
    """A short one; its verdict must have failures."""
    return run(wrong(name, seed, kills))
