"""Form three: the real process trades with the real exchange client at a simulated exchange, and is killed.

One *lane* is one folder with one exchange process, which is never killed, and one ``tickwork up --live`` at a time. A
life begins with faults drawn for it, is fed events over its control socket, and ends with SIGKILL: at a named point, at
a random moment, or while it starts. After the last the faults are taken away, the process settles, and tape and
exchange are compared.

The seed fixes faults, points and work; the moments of a real process it cannot fix.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.chaos.trading.lane import Lane, Outcome, Plan
from tests.chaos.trading.plants import PLANTS
from tests.chaos.trading.points import POINTS

FULL = 400
"""So many kills must reach every named point."""


def run(plan: Plan) -> Outcome:
    """All lanes at once."""
    started = time.monotonic()
    deadline = started + plan.seconds if plan.seconds else 0.0
    folder = Path(tempfile.mkdtemp(prefix="tickwork-trading-"))
    lanes = max(1, min(plan.lanes, plan.kills))
    shares = [plan.kills // lanes + (number < plan.kills % lanes) for number in range(lanes)]
    total = Outcome()
    with ThreadPoolExecutor(lanes) as pool:
        running = [
            pool.submit(Lane(plan, number, folder / f"lane{number}").run, share, deadline)
            for number, share in enumerate(shares)
        ]
        for lane in running:
            _add(total, lane.result())
    total.seconds = time.monotonic() - started
    if plan.kills >= FULL and not plan.plant and not plan.seconds:
        total.verdict.check("every named point was reached", [one for one in POINTS if not total.at_points[one]])
    if total.verdict.failures and not plan.plant:
        total.verdict.failures.append(f"the files are left in {folder}")
    else:
        shutil.rmtree(folder)
    return total


def _add(total: Outcome, lane: Outcome) -> None:
    total.verdict.passed += lane.verdict.passed
    total.verdict.failures += lane.verdict.failures
    total.kills += lane.kills
    total.alone += lane.alone
    total.given_up += lane.given_up
    total.killing = max(total.killing, lane.killing)
    total.at_points += lane.at_points
    total.faults += lane.faults
    total.figures += lane.figures


def summary(plan: Plan, found: Outcome) -> str:
    """One line for people and one of JSON."""
    said = found.figures
    named, faults = sum(found.at_points.values()), sum(found.faults.values())
    line = (
        f"trading: {found.kills} kills ({named} at {len(found.at_points)} of {len(POINTS)} named points, {found.alone} "
        f"of processes started from nothing), {faults} faults of {len(found.faults)} kinds, {said['events']} events, "
        f"{said['orders']} orders, {said['fills']} fills, {said['in doubt']} in doubt while it ran, "
        f"{said['found']} found and {said['absent']} absent, {said['sent again']} sent again, {said['halts']} halts, "
        f"{found.seconds:.0f} s, {found.killing / max(found.kills, 1):.2f} s a kill"
    )
    told = {
        "form": "trading",
        "seed": plan.seed,
        "kills": found.kills,
        "atPoints": dict(sorted(found.at_points.items())),
        "startsGivenUp": found.given_up,
        "faults": dict(sorted(found.faults.items())),
        **dict(sorted(said.items())),
        "seconds": round(found.seconds, 1),
    }
    return f"{line}\n{json.dumps(told)}"


def caught(name: str, seed: int, kills: int) -> bool:
    """Whether a wrong build is found out."""
    found = run(Plan(kills=kills, seed=seed, lanes=1, plant=name))
    return PLANTS[name].shown(found.verdict.failures)
