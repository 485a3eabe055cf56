"""One folder, one exchange, and one process after another that trades there until it is killed."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from tests.chaos.checks import UNFINISHED, Verdict
from tests.chaos.outside import lines
from tests.chaos.trading import checks
from tests.chaos.trading.exchange import PRICES, Exchange, drawn
from tests.chaos.trading.lives import Life, Midwife, configured
from tests.chaos.trading.plants import PLANTS
from tests.chaos.trading.points import OF_HALTS, ONCE, POINTS
from tests.chaos.trading.workflows import KINDS, Trade
from tickwork import InvalidInput, TickworkError
from tickwork.engines.embedded.control import ask_owner
from tickwork.values import plain

STARTED_IN: Final = 40.0
SETTLED_IN: Final = 90.0
WRONG_SETTLED_IN: Final = 15.0
"""The same for a wrong build, which may never settle."""
UNREACHED: Final = 3.5
"""Seconds after which a named point is given up and the process is killed where it is."""
CHAIN: Final = 6
AT_ONCE: Final = 8
"""Events whose runs may be under way."""
BREATH: Final = 4.0
"""Seconds of a long life: longer than an order in doubt has to be looked for."""


@dataclass
class Plan:
    """What to do."""

    kills: int = 60
    seed: int = 1
    seconds: float = 0.0
    """Stop killing after this long; 0: never."""
    lanes: int = 2
    plant: str = ""


@dataclass
class Outcome:
    """What came of it."""

    verdict: Verdict = field(default_factory=Verdict)
    kills: int = 0
    alone: int = 0
    """Kills of processes that were started from nothing."""
    at_points: Counter[str] = field(default_factory=Counter)
    given_up: int = 0
    """Starts that the process itself gave up, because the exchange was not well."""
    faults: Counter[str] = field(default_factory=Counter)
    figures: Counter[str] = field(default_factory=Counter)
    """Orders, fills, doubts and halts."""
    killing: float = 0.0
    """Seconds."""
    seconds: float = 0.0


class Stuck(Exception):
    """The process did not do what it must always do; carries its last words."""


class Lane:
    """See the module's text."""

    def __init__(self, plan: Plan, number: int, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._plan = plan
        self._rng = random.Random(f"{plan.seed}/trading/{number}")
        self._folder = folder
        self._tape = folder / "home" / "live.db"
        self._fed = checks.Fed()
        self._n = number * 1_000_000
        self._plant = PLANTS.get(plan.plant)
        self._deck: list[str] = []
        """Points not yet drawn: each comes up before any comes up again."""
        self._missed: set[str] = set()
        """Points that a process has not come to: they are tried once more."""
        self.outcome = Outcome()

    def run(self, kills: int, deadline: float) -> Outcome:
        """All lives, the settling, and the judgement."""
        began, plan = time.monotonic(), self._plan
        with Exchange(f"{plan.seed}/{self._folder.name}") as exchange:
            self._exchange = exchange
            self._midwife = Midwife(self._folder, configured(self._folder, exchange.url), plan.plant, exchange.key)
            try:
                while self.outcome.kills < kills and (not deadline or time.monotonic() < deadline):
                    self._life()
                self.outcome.killing = time.monotonic() - began
                self._settle()
                self.outcome.verdict.passed += 1
            except Stuck as stuck:
                self.outcome.verdict.failures.append(f"the process is stuck or broken: {stuck}")
            finally:
                self._midwife.close()
            self.outcome.faults += Counter(exchange.counts())
            exchange.become([])
            truth = exchange.truth()
        try:
            checks.judge(self._tape, truth, self._fed, self.outcome.verdict, self.outcome.figures)
        except (TickworkError, OSError, KeyError, ValueError) as error:
            self.outcome.verdict.failures.append(f"it cannot be judged: {type(error).__name__}: {error}")
        return self.outcome

    # -- one life -------------------------------------------------------------------------------------------------

    def _life(self) -> None:
        rng = self._rng
        chance, alone = rng.random(), rng.random() < 0.06
        point = self._point() if chance < 0.5 or (self._plant and self._plant.points) else ""
        faults = drawn(rng, self._plant.faults if self._plant else ())
        # mostly the exchange is well while a process starts; else that may give up, and is started again
        sick = rng.random() < 0.2
        self._exchange.become(faults if sick else [])
        life = self._midwife.born(point, alone=alone)
        try:
            if not point and chance > 0.94:
                time.sleep(rng.uniform(0.0, 3.0 if alone else 0.6))  # while it is starting, mostly
            elif self._answering(life):
                self._exchange.become(faults)
                pulls = point.partition(":")[0] in OF_HALTS or rng.random() < 0.2
                pulls = pulls or (self._plant is not None and self._plant.pulls)
                long = BREATH if rng.random() < 0.16 else 0.0
                self._work(life, (UNREACHED if point else rng.uniform(0.05, 2.0)) + long, pulls)
        finally:
            by_itself = life.poll() is not None
            life.kill()
            code = life.wait()
        self._note(code, point.partition(":")[0], by_itself, alone)

    def _note(self, code: int, point: str, by_itself: bool, alone: bool) -> None:
        if code == 1 and by_itself:
            self.outcome.given_up += 1
            if self.outcome.given_up > 5 + self.outcome.kills:
                raise Stuck(f"it gives up again and again: {self._last_words()}")
            return
        if code != -9:
            raise Stuck(f"it ended by itself with code {code}: {self._last_words()}")
        self.outcome.kills += 1
        self.outcome.alone += alone
        if point and by_itself:
            self.outcome.at_points[point] += 1
        elif point and point not in self._missed:
            self._missed.add(point)
            self._deck.insert(0, point)

    def _point(self) -> str:
        if not self._deck:
            points = self._plant.points if self._plant and self._plant.points else POINTS
            self._deck, self._missed = self._rng.sample(points, len(points)), set()
        name = self._deck.pop()
        return f"{name}:{1 if name in ONCE else self._rng.randint(1, 40 if name.startswith('commit') else 3)}"

    def _answering(self, life: Life) -> bool:
        """Wait until the process owns the tape and answers; False when it died before."""
        limit = time.monotonic() + STARTED_IN
        while life.poll() is None:
            try:
                ask_owner(str(self._tape), "halts", timeout=10)  # offered last: until then it is being opened
            except (OSError, ValueError, InvalidInput):
                if time.monotonic() > limit:
                    life.kill()
                    raise Stuck(f"it does not answer: {self._last_words()}") from None
                time.sleep(0.02)
            else:
                return True
        return False

    def _work(self, life: Life, seconds: float, pulls: bool) -> None:
        """Give it work until its time is over, or it is."""
        rng, end = self._rng, time.monotonic() + seconds
        halting = time.monotonic() + rng.uniform(0.1, 0.6) * min(seconds, 2.0) if pulls else 0.0
        clearing = time.monotonic() + rng.uniform(0.0, 1.2)
        try:
            while time.monotonic() < end and life.poll() is None:
                now = time.monotonic()
                if clearing and now > clearing:
                    self._clear()
                    clearing = 0.0
                if halting and now > halting:
                    self._pull()
                    halting = 0.0
                if len(self._fed.offered) - self._done_about() < AT_ONCE:
                    self._feed()
                self._stir()
                time.sleep(rng.uniform(0.02, 0.15))
        except (OSError, ValueError) as error:
            # it died while it was asked: nobody knows what it has done of that
            if isinstance(error, TickworkError):
                raise Stuck(f"the harness was refused: {error}") from None
            gone = time.monotonic() + 1.0
            while life.poll() is None and time.monotonic() < gone:
                time.sleep(0.01)

    def _done_about(self) -> int:
        counts = ask_owner(str(self._tape), "status", timeout=10)["runs"]
        return len(self._fed.offered) - int(sum(counts.get(status, 0) for status in UNFINISHED))

    def _feed(self) -> None:
        self._n += 1
        kinds = self._plant.kinds if self._plant and self._plant.kinds else (*KINDS, "out")
        symbol = self._rng.choice(sorted(PRICES))
        kind = self._rng.choice(kinds)
        payload = {"n": self._n, "kind": kind, "symbol": symbol, "left": CHAIN if kind == "chain" else 0}
        self._fed.offered.add(self._n)
        told = ask_owner(str(self._tape), "emit", name=Trade.event_name, payload=payload, timeout=10)
        self._fed.acknowledged[self._n] = told["seq"]

    def _stir(self) -> None:
        """Let a market move, and so fill what rests in its way."""
        symbol = self._rng.choice(sorted(PRICES))
        factor = Decimal(self._rng.randint(9_985, 10_015)) / 10_000
        self._exchange.move(symbol, plain((PRICES[symbol] * factor).quantize(Decimal("0.01"))))

    def _pull(self) -> None:
        ask_owner(str(self._tape), "halt", level="halt", reason="chaos", by="chaos", timeout=10)
        self.outcome.figures["halts pulled"] += 1

    def _clear(self) -> None:
        """Clear the halts that stand: the one that was pulled, and what a rule made of the faults."""
        for line in ask_owner(str(self._tape), "halts", timeout=10):
            ask_owner(str(self._tape), "unhalt", account=line["account"], reason="chaos", by="chaos", timeout=10)

    # -- the end --------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Without a killer and without faults: everything comes to its end, and the process ends cleanly."""
        self._exchange.become([])
        life = self._midwife.born()
        try:
            if not self._answering(life):
                raise Stuck(f"it does not start any more: {self._last_words()}")
            self._clear()
            limit = time.monotonic() + (WRONG_SETTLED_IN if self._plant else SETTLED_IN)
            while (owed := self._owed()) != "":
                if life.poll() is not None:
                    raise Stuck(f"it ended by itself: {self._last_words()}")
                if time.monotonic() > limit:
                    raise Stuck(f"it has not settled: {owed}; {self._last_words()}")
                time.sleep(0.1)
        except (OSError, TickworkError, TypeError) as error:
            raise Stuck(f"it went away or refused: {type(error).__name__}: {error}: {self._last_words()}") from None
        finally:
            code = life.stop(15) if life.poll() is None else life.wait()
        if code != 0:
            raise Stuck(f"its clean end had code {code}: {self._last_words()}")

    def _owed(self) -> str:
        """What is not done yet; empty when all is."""
        counts: dict[str, Any] = ask_owner(str(self._tape), "status", timeout=10)["runs"]
        unfinished = {status: counts[status] for status in UNFINISHED if counts.get(status)}
        if unfinished.keys() == {"dead"}:
            raise Stuck(f"{unfinished['dead']} runs are dead")
        if unfinished:
            return f"runs are {unfinished}"
        return checks.lacking(self._tape, self._exchange.truth())

    def _last_words(self) -> str:
        said = [line for line in lines(self._folder / "stderr.txt") if line.strip()]
        return " | ".join(said[-6:])[-900:] or "it said nothing"
