"""``tickwork doctor``: what is not well, and what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tickwork.faces.options import HOME, Home, Json, Tape, queries_of, tape_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from tickwork.faces.doors import Doors
    from tickwork.service.finding import Finding

_COLOURS: Final = {"ok": "green", "notice": "cyan", "warning": "yellow", "error": "red"}


def doctor(
    context: typer.Context,
    json: Json = False,
    tape: Tape = None,
    home: Home = HOME,
    config: Annotated[
        Path | None, typer.Option(help="The configuration; by default tickwork.toml.", envvar="TICKWORK_CONFIG")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no venue about the configured accounts.")] = False,
) -> int:
    """What is not well with a tape, the process that owns it and the configured accounts, and what to do about it.

    Accounts are looked at without trading: keys, clock, permissions, symbols. Ends with 1 when something is worse than
    a notice.
    """
    from tickwork.engines.system_clock import SystemClock
    from tickwork.faces import tables
    from tickwork.service.doctor import examine, is_well, worst_first
    from tickwork.service.ownership import owner_of
    from tickwork.service.running.checks import examine_home

    doors: Doors = context.obj
    findings = [] if offline else doors.examine_accounts(config)
    findings += examine_home(home)
    path = tape_of(tape, home)
    if path.is_file() or not findings:  # where accounts are configured, nothing need have been traded yet
        queries = queries_of(tape, home)
        findings = worst_first([*findings, *examine(queries, owner_of(str(path)), SystemClock().now())])
    if json:
        tables.dump(findings)
    else:
        show(findings, tables.console())
    return 0 if is_well(findings) else 1


def show(findings: Sequence[Finding], out: Console) -> None:
    """What is not well with its advice; where that is nothing, what was looked at."""
    from rich.table import Table
    from rich.text import Text

    from tickwork.faces.grid import printable

    told = [finding for finding in findings if finding.severity != "ok"]
    made = Table.grid(padding=(0, 2))
    for whole in (True, True, False):
        made.add_column(no_wrap=whole, overflow="fold")
    for finding in told or findings:
        words = Text(printable(finding.detail))
        if finding.advice:
            words.append(f"\n-> {printable(finding.advice)}", style="dim")
        made.add_row(Text(finding.severity, style=_COLOURS[finding.severity]), finding.what, words)
    out.print(made)
    well = ", ".join(dict.fromkeys(finding.what for finding in findings if finding.severity == "ok"))
    out.print("all is well" if not told else f"well: {well or 'nothing'}", markup=False)
