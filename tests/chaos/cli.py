"""The command line of the three forms: ``make chaos``.

Prints one line for each form, one for each wrong build, and ``N passed, N failed``; exit code 1 when a check failed or
a wrong build was not caught, with the line that runs it again.
"""

from __future__ import annotations

import argparse
import logging
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos import kill, mutations, power
from tests.chaos.checks import Verdict
from tests.chaos.trading import kill as trading
from tests.chaos.trading.lane import Plan as TradingPlan
from tests.chaos.trading.plants import PLANTS

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "chaos.py"
TRIES = 3
"""Rounds in which a wrong build must be caught; a round draws its moments at random."""

KILLS_OF_A_ROUND = 8
WORLDS_OF_A_ROUND = 30

TRADING_KILLS = 60
"""Where form three is not asked for by itself."""


@dataclass
class Tally:
    """What was asked for, and what came of it so far."""

    given: argparse.Namespace
    say: Callable[[str], None]
    passed: int = 0
    failed: int = 0
    again: list[str] = field(default_factory=list)
    """Command lines that show a failure again."""

    def note(self, summary: str, verdict: Verdict, again: str) -> None:
        """One form is over."""
        self.say(summary)
        for failure in verdict.failures:
            self.say(f"  FAILED {failure}")
        self.passed += verdict.passed
        self.failed += len(verdict.failures)
        if verdict.failures:
            self.again.append(again)


def main(arguments: list[str] | None = None, say: Callable[[str], None] = print) -> int:
    """Run what the arguments ask for; returns the exit code."""
    given = parse(arguments)
    logging.getLogger("tickwork").setLevel(logging.CRITICAL + 1)  # a power cut is no news here
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    tally = Tally(given, say)
    say(f"seed {given.seed}" + (f", wrong build {given.mutation!r}" if given.mutation else ""))
    if given.only in ("", "kill"):
        run_kill(tally)
    if given.only in ("", "power"):
        run_power(tally)
    if given.only in ("", "trading") and not given.mutation:
        run_trading(tally)
    if given.only in ("", "mutations") and not given.mutation:
        run_mutations(tally)
    say(f"{tally.passed} passed, {tally.failed} failed")
    for line in tally.again:
        say(f'again: make chaos ARGS="{line}"')
    return 1 if tally.failed else 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The arguments, complete."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="how often the process is killed")
    parser.add_argument("--worlds", type=int, default=0, help="worlds with power cuts (default: half as many as kills)")
    parser.add_argument("--seed", type=int, default=0, help="default: drawn, and printed")
    parser.add_argument("--seconds", type=float, default=0, help="stop a form after so many seconds")
    parser.add_argument("--only", choices=("kill", "power", "trading", "mutations"), default="")
    parser.add_argument("--trading", dest="only", action="store_const", const="trading", help="--only trading")
    parser.add_argument("--plant", choices=sorted(PLANTS), default="", help="run a wrong build that trades")
    parser.add_argument("--mutation", choices=sorted(mutations.MUTATIONS), default="", help="run a wrong build")
    parser.add_argument("--world", default="", help="one world of form two by its seed, such as 1/17")
    given = parser.parse_args(arguments)
    given.seed = given.seed or secrets.randbelow(9_999) + 1
    given.worlds = given.worlds or max(given.kills // 2, 10)
    if given.world:
        given.only = "power"
    if given.plant:
        given.only = "trading"
    return given


def run_kill(tally: Tally) -> None:
    """Form one."""
    given = tally.given
    plan = kill.Plan(kills=given.kills, seed=given.seed, seconds=given.seconds)
    if given.mutation:
        plan = kill.wrong(given.mutation, given.seed, given.kills, given.seconds)
    outcome = kill.run(plan)
    again = f"--only kill --kills {given.kills} --seed {given.seed}"
    tally.note(outcome.summary(), outcome.verdict, again + _mutated(given))


def run_power(tally: Tally) -> None:
    """Form two."""
    given = tally.given
    mutations.apply(given.mutation)
    wrong = mutations.MUTATIONS.get(given.mutation)
    if given.world:
        outcome = power.Outcome(Verdict())
        power.one(given.world, outcome, wrong)
    else:
        outcome = power.run(given.worlds, given.seed, seconds=given.seconds, wrong=wrong)
    worlds = " ".join(f"--world {seed}" for seed in outcome.failing[:1])
    tally.note(outcome.summary(), outcome.verdict, worlds + _mutated(given))


def _mutated(given: argparse.Namespace) -> str:
    return f" --mutation {given.mutation}" if given.mutation else ""


def run_trading(tally: Tally) -> None:
    """Form three."""
    given = tally.given
    kills = given.kills if given.only else min(given.kills, TRADING_KILLS)
    plan = TradingPlan(kills=kills, seed=given.seed, seconds=given.seconds, plant=given.plant)
    outcome = trading.run(plan)
    again = f"--trading --kills {kills} --seed {given.seed}" + (f" --plant {given.plant}" if given.plant else "")
    tally.note(trading.summary(plan, outcome), outcome.verdict, again)


def run_mutations(tally: Tally) -> None:
    """Each wrong build must be caught by each form that can see it."""
    for mutation in mutations.MUTATIONS.values():
        for form in mutation.forms:
            started = time.monotonic()
            tries = next((n for n in range(1, TRIES + 1) if _caught(form, mutation.name, tally.given.seed + n)), 0)
            took = f"{time.monotonic() - started:.1f} s"
            if tries:
                tally.passed += 1
                tally.say(f"{form}: caught {mutation.name!r} ({mutation.says}) in round {tries}, {took}")
            else:
                tally.failed += 1
                tally.say(f"  FAILED {form} did not catch {mutation.name!r} ({mutation.says}) in {took}")
                tally.again.append(f"--only {form} --mutation {mutation.name} --seed {tally.given.seed + 1}")


def _caught(form: str, name: str, seed: int) -> bool:
    if form == "kill":
        said = kill.caught(name, seed, KILLS_OF_A_ROUND).verdict.failures
    else:
        # in a process of its own: this one must stay right
        line = ["--only", "power", "--mutation", name, "--seed", str(seed), "--worlds", str(WORLDS_OF_A_ROUND)]
        done = subprocess.run([sys.executable, str(SCRIPT), *line], capture_output=True, text=True, check=False)
        said = [line for line in done.stdout.splitlines() if "FAILED" in line] if done.returncode == 1 else []
    return mutations.MUTATIONS[name].shown(said)
