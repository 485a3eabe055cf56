"""``tickwork down``, ``status`` and ``logs``: the process of ``tickwork up``, from beside it."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from tickwork.faces.options import HOME, Home, Json

if TYPE_CHECKING:
    from rich.console import Console

    from tickwork.faces.grid import Grid
    from tickwork.service.running.log_lines import LogLine, Wanted
    from tickwork.service.running.place import Mode
    from tickwork.service.running.status import Gone, HomeStatus, ProcessStatus
    from tickwork.service.running.stopping import Stopped

ModeOption = Annotated[
    str, typer.Option(help="Only the process that trades `paper`, or `live`, where both run.", metavar="MODE")
]


def _modes(mode: str) -> tuple[Mode, ...]:
    from tickwork.errors import InvalidInput
    from tickwork.service.running.place import MODES

    found = tuple(one for one in MODES if mode in ("", one))
    if not found:
        raise InvalidInput("--mode", mode, f"one of: {', '.join(MODES)}")
    return found


# --------------------------------------------------------------------------------------------------------- down


def down(
    home: Home = HOME,
    mode: ModeOption = "",
    timeout: Annotated[str, typer.Option(help="How long to wait for its end.", metavar="DURATION")] = "45s",
    force: Annotated[bool, typer.Option("--force", help="Kill it then. Nothing is lost, as by any crash.")] = False,
    json: Json = False,
) -> int:
    """Stop `tickwork up`: nothing new begins, what is under way is followed to its outcome, and what is left is parked.

    Returns when it has ended; 1 if it has not, or if nothing runs.
    """
    from tickwork.errors import InvalidInput
    from tickwork.faces import tables
    from tickwork.service.running.place import Place
    from tickwork.service.running.stopping import stop
    from tickwork.values import NS_PER_SECOND, duration

    seconds = duration(timeout, "--timeout") / NS_PER_SECOND
    places = [place for one in _modes(mode) if (place := Place(home, one)).holder()]
    if len(places) > 1:
        raise InvalidInput("--mode", "nothing, and both run", "paper or live: which of the two is to stop")
    found = [stopped for place in places if (stopped := stop(place, seconds, force=force)) is not None]
    if json:
        tables.dump({"stopped": found})
    for stopped in found if not json else ():
        print(_told(stopped))
    if not found and not json:
        print(f"tickwork: nothing runs in {home}", file=sys.stderr)
    return 0 if found and all(one.outcome != "running" for one in found) else 1


def _told(stopped: Stopped) -> str:
    from tickwork.service.running.process import names_of

    what = f"{stopped.mode}, process {stopped.pid}"
    if stopped.outcome == "running":
        under = f"; under way: {names_of(stopped.was_under_way)}" if stopped.was_under_way else ""
        return f"{what} was told to stop and still runs{under} (wait longer with --timeout, or --force)"
    left = f"; parked, and looked for at the next start: {names_of(stopped.left)}" if stopped.left else ""
    followed = [one for one in stopped.was_under_way if one not in stopped.left]
    ended = f"; followed to its end: {names_of(followed)}" if followed and stopped.outcome == "stopped" else ""
    return f"{what}: {stopped.outcome}{ended}{left}"


# ------------------------------------------------------------------------------------------------------- status


def status(home: Home = HOME, mode: ModeOption = "", json: Json = False) -> int:
    """What runs: its parts with their last activity and backlog, halts, runs, feeds. Ends with 1 if all is not up.

    So it is what a service manager or a container asks whether all is well.
    """
    from tickwork.engines.system_clock import SystemClock
    from tickwork.faces import tables
    from tickwork.service.running.status import status_of

    found = status_of(home, SystemClock().now, modes=_modes(mode))
    if json:
        tables.dump(found)
    else:
        _show(found, tables.console())
    return 0 if found.up else 1


def _show(found: HomeStatus, out: Console) -> None:
    from tickwork.faces.grid import printable

    for process in found.processes:
        for line in _lines(process):
            out.print(printable(line), markup=False, crop=False)
        if process.parts:
            out.print()
            out.print(_parts(process), crop=False)
    for gone in found.gone:
        out.print(_gone(gone), markup=False)
    if not found.processes and not found.gone:
        out.print(f"nothing runs in {found.home}", markup=False)


def _lines(process: ProcessStatus) -> list[str]:
    from tickwork.service.running.process import names_of

    served = f", at {', '.join(process.addresses)}" if process.addresses else ""
    told = [f"{process.mode}: {process.stage}, process {process.pid}, for {_span(process.uptime_seconds)}{served}"]
    if process.complaint:
        told.append(f"NOT WELL: {process.complaint}")
    if process.stage == "opening":
        told.append("it waits for the venues; `tickwork logs` tells for what")
    told.append(f"tape {process.tape}" + (f", record {process.seq:,}" if process.seq else ""))
    if process.runs:
        told.append("runs " + ", ".join(f"{count:,} {name}" for name, count in sorted(process.runs.items())))
    if process.only:
        told.append(f"only {', '.join(process.only)}, and what protects positions")
    if process.without:
        told.append(f"WITHOUT {', '.join(process.without)}")
    told += [f"HALT of {one.account or 'all'}: {one.level}, {one.reason} (by {one.by})" for one in process.halts]
    if process.under_way:
        told.append(f"under way: {names_of(process.under_way)}")
    return told


def _parts(process: ProcessStatus) -> Grid:
    from tickwork.faces.grid import Grid

    made = Grid("part", "state", "since", "last activity", "backlog", "detail", right=["backlog"], rest="detail")
    for part in process.parts:
        backlog = "" if part.backlog is None else f"{part.backlog:,}"
        made.add(part.name, part.state, _time(part.since), _time(part.last_activity), backlog, part.detail)
    return made


def _gone(gone: Gone) -> str:
    when = _time(gone.seen)
    if gone.killed:
        end = "was killed, or could leave no word of its end"
        return f"{gone.mode}: nothing runs; process {gone.last.pid} {end}; its last sign of life was at {when} (UTC)"
    why = f": {gone.last.detail}" if gone.last.detail else ""
    return f"{gone.mode}: nothing runs; process {gone.last.pid} {gone.last.stage} at {when} (UTC){why}"


def _time(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def _span(seconds: int) -> str:
    """A duration for people, by its two largest units."""
    told: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count or told:
            told.append(f"{count}{unit}")
    return " ".join(told[:2]) or "0s"


# --------------------------------------------------------------------------------------------------------- logs


def logs(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", help="So many of the last that fit.", min=0, max=1_000_000)
    ] = 50,
    level: Annotated[str, typer.Option(help="This and worse: debug, info, warning, error, critical.")] = "debug",
    run: Annotated[str, typer.Option(help="Only what is about this run.", metavar="RUN")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print the lines as they are, a JSON object each.")] = False,
    home: Home = HOME,
) -> int:
    """What `tickwork up` has logged in this home."""
    from tickwork.service.running.log_lines import follow as followed
    from tickwork.service.running.log_lines import last

    wanted = _wanted(level, run)
    for line in last(home, lines, wanted):
        _print(line, as_json=json)
    if follow:
        for line in followed(home, wanted):
            _print(line, as_json=json)
    return 0


def _wanted(level: str, run: str) -> Wanted:
    from tickwork.errors import InvalidInput
    from tickwork.service.running.log_lines import LEVELS, Wanted

    if level not in LEVELS:
        raise InvalidInput("--level", level, f"one of: {', '.join(LEVELS)}")
    return Wanted(level, run)


def _print(line: LogLine, *, as_json: bool) -> None:
    from tickwork.faces import tables
    from tickwork.faces.grid import printable

    if as_json:
        tables.dump(line)
        sys.stdout.flush()
        return
    about = "".join(f" [{one}]" for one in (line.run, line.step) if one and not line.message.startswith(f"[{one}]"))
    words = f"{line.time[:19].replace('T', ' ')} {line.level:<8} {line.logger}:{about} {line.message}"
    print(printable(words), flush=True)
    for text in line.error.splitlines():
        print(f"    {printable(text)}", flush=True)
