"""The command line of worlds: ``make world ARGS=--trading``, ``python scripts/worlds.py``.

Prints a summary and ``N passed, N failed``; exit code 1 when a law is broken or a wrong build was not caught, with the
line that shows it again.
"""

from __future__ import annotations

import argparse
import json
import logging
import secrets
import sys
import time
from collections.abc import Callable

from tests.worlds import runner
from tests.worlds.mutations import MUTATIONS


def main(arguments: list[str] | None = None, say: Callable[[str], None] = print) -> int:
    """Run what the arguments ask for; returns the exit code."""
    given = parse(arguments)
    runner.quiet()
    if given.digests:
        for digest in runner.digests(given.digests):
            say(digest)
        return 0
    if given.trace:
        return _trace(given, say)
    if given.mutations:
        return _mutations(given, say)
    seeds = range(given.seed, given.seed + given.worlds * given.step, given.step)
    if not given.json:
        say(f"seeds {seeds[0]} to {seeds[-1]}" + (f", wrong build {given.mutation!r}" if given.mutation else ""))
    if given.mutation or given.step > 1:
        tally = runner.several(seeds, mutation=given.mutation)
    else:
        tally = runner.spread(seeds, given.jobs)
    if given.json:
        say(json.dumps(tally.data()))
        return 0 if given.step > 1 else int(bool(tally.failing))
    say(tally.summary())
    for seed, failures in list(tally.failing.items())[:10]:
        say(f"  FAILED seed {seed}: {failures[0][:300]}")
        say(f'  again: make world SEED={seed} ARGS="--trading --trace{_mutated(given)}"')
    say(f"{tally.worlds - len(tally.failing)} passed, {len(tally.failing)} failed")
    return int(bool(tally.failing))


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The arguments, complete."""
    parser = argparse.ArgumentParser(prog="worlds", description=__doc__)
    parser.add_argument("--worlds", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first; default: drawn, and printed")
    parser.add_argument("--step", type=int, default=1, help="from one seed to the next")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--trace", action="store_true", help="the story of one world")
    parser.add_argument("--mutation", choices=sorted(MUTATIONS), default="", help="run a wrong build")
    parser.add_argument("--mutations", action="store_true", help="each wrong build must be caught")
    parser.add_argument("--digests", nargs="*", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    given.seed = given.seed or secrets.randbelow(1_000_000) + 1
    return given


def _mutated(given: argparse.Namespace) -> str:
    return f" --mutation {given.mutation}" if given.mutation else ""


def _trace(given: argparse.Namespace, say: Callable[[str], None]) -> int:
    logging.getLogger("tickwork").setLevel(logging.INFO)
    logging.getLogger("tickwork").propagate = False
    story = runner.told(given.seed, trace=True, mutation=given.mutation)
    for line in story.told:
        say(line)
    for failure in story.failures:
        say(f"FAILED {failure}")
    say(f"{int(not story.failures)} passed, {int(bool(story.failures))} failed")
    return int(bool(story.failures))


def _mutations(given: argparse.Namespace, say: Callable[[str], None]) -> int:
    missed = 0
    for name, mutation in MUTATIONS.items():
        begun = time.monotonic()
        seeds, shown = runner.caught(name)
        took = f"{time.monotonic() - begun:.1f} s"
        if seeds:
            say(f"caught {name!r} ({mutation.says}) after {seeds} of {mutation.within} seeds, {took}: {shown[:120]}")
        else:
            missed += 1
            say(f"  FAILED to catch {name!r} ({mutation.says}) in {mutation.within} seeds, {took}")
            say(f'  again: make world SEED=1 ARGS="--trading --worlds {mutation.within} --mutation {name}"')
    say(f"{len(MUTATIONS) - missed} passed, {missed} failed")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
