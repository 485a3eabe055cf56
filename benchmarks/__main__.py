"""``make bench ARGS="--only steps,latency --quick"``: measure, print ratios, keep the figures."""

from __future__ import annotations

import argparse
import importlib
import sys
import time

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure, machine, save
from benchmarks.setting import Setting, Subject

SUBJECTS = (
    "steps",
    "latency",
    "events",
    "decision",
    "gate",
    "queues",
    "sleeping",
    "delayed",
    "waiting",
    "flow",
    "schedules",
    "alerts",
    "exits",
    "submit",
    "desk",
    "recovery",
    "bars",
    "replay",
    "conditions",
    "documents",
    "http_events",
    "mcp_calls",
    "ws_fanout",
    "micro",
)


def main() -> int:
    """Measure what was asked for; 1 if a goal was missed."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", default="", help=f"subjects, separated by commas: {', '.join(SUBJECTS)}")
    parser.add_argument("--quick", action="store_true", help="small rounds, not judged; nothing is written to results/")
    parser.add_argument("--no-peers", action="store_true", help="leave out the other engine")
    options = parser.parse_args()
    names = [name.strip() for name in options.only.split(",") if name.strip()] or list(SUBJECTS)
    unknown = [name for name in names if name not in SUBJECTS]
    if unknown:
        parser.error(f"no subject {', '.join(unknown)}; there are {', '.join(SUBJECTS)}")
    setting = Setting(quick=options.quick, peers=not options.no_peers)
    print(f"machine: {machine()}", flush=True)
    for name in names:
        measure(name, setting)
        if not options.quick:
            save(setting.figures, f"make bench ARGS={' '.join(sys.argv[1:])!r}")
    show(setting.figures)
    if options.quick:
        print("small rounds: printed, not held against the goals")
        return 0
    missed = [figure.name for figure in setting.figures if figure.met is False]
    print(f"goals missed: {', '.join(missed)}" if missed else "every goal measured here was met")
    return int(bool(missed))


def measure(name: str, setting: Setting) -> None:
    """One subject."""
    print(f"{name}:", flush=True)
    began = time.perf_counter()
    subject: Subject = importlib.import_module(f"benchmarks.{name}").measure
    subject(setting)
    print(f"  ({time.perf_counter() - began:.1f} s)", flush=True)


def show(figures: list[Figure]) -> None:
    """The table at the end."""
    table = Table(title="tickwork, measured")
    for heading in ("figure", "value", "unit", "held against", "its value", "ratio", "goal", ""):
        table.add_column(heading, justify="right" if heading in ("value", "its value", "ratio") else "left")
    for figure in figures:
        verdict = {True: "[green]met[/]", False: "[bold red]MISSED[/]", None: ""}[figure.met]
        table.add_row(
            figure.name,
            f"{figure.value:,.4g}" if figure.value < 10_000 else f"{figure.value:,.0f}",
            figure.unit,
            figure.peer,
            "" if figure.peer_value is None else f"{figure.peer_value:,.4g}",
            "" if figure.ratio is None else f"{figure.ratio:,.3g}",
            "" if figure.goal is None else figure.goal.text(figure.unit),
            verdict,
        )
    Console(width=None if sys.stdout.isatty() else 170).print(table)


if __name__ == "__main__":
    sys.exit(main())
