"""``tickwork schedules``: what starts by the clock, and when; start one now, leave one out, let one rest."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from tickwork.faces.options import HOME, Home, Json, Tape, ask, command, queries_of

if TYPE_CHECKING:
    from tickwork.engines.embedded.schedule_rows import ScheduleInfo

schedules = typer.Typer(
    help="Schedules: what starts by the clock. Without a verb, the list of them.",
    invoke_without_command=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(help="A schedule's name, as `tickwork schedules` shows it.", metavar="NAME")]
By = Annotated[str, typer.Option(help="Who wants it; recorded.")]


@schedules.callback()
def listed(context: typer.Context, json: Json = False, tape: Tape = None, home: Home = HOME) -> int:
    """Schedules: what starts by the clock. Without a verb, the list of them."""
    return _list(tape, home, as_json=json) if context.invoked_subcommand is None else 0


@schedules.command("list")
def show(json: Json = False, tape: Tape = None, home: Home = HOME) -> int:
    """All schedules of a tape; also those that no workflow declares any more."""
    return _list(tape, home, as_json=json)


@schedules.command("next")
def next_(
    name: Annotated[
        str | None, typer.Argument(help="A schedule's name. Without one, the next time of each.", metavar="NAME")
    ] = None,
    count: Annotated[int | None, typer.Option(help="How many; by default 5, without NAME all.")] = None,
    json: Json = False,
    tape: Tape = None,
    home: Home = HOME,
) -> int:
    """When a schedule comes due next; or which come due next."""
    from tickwork.faces import tables
    from tickwork.faces.grid import Grid
    from tickwork.service.schedules import due_lines, next_of_each

    queries = queries_of(tape, home)
    if name is None:
        found = next_of_each(queries, count)
    else:
        found = due_lines(queries, name, _next(tape, home, name, 5 if count is None else count))
    if json:
        tables.dump(found)
        return 0
    if not found:
        tables.console().print("nothing comes due")
        return 0
    made = Grid("schedule", "due", "in UTC", give=("in UTC",))
    for line in found:
        made.add(line.schedule, _local(line.due, line.zone), _clock(line.due))
    tables.show(made)
    return 0


@schedules.command("run-now")
def run_now(name: Name, by: By = "cli", json: Json = False, tape: Tape = None, home: Home = HOME) -> int:
    """Start its workflow now; its due times stay as they are."""
    from tickwork.faces import tables

    told = command(tape, home, "schedules.run_now", {"schedule": name}, who=by, by=by, name=name)
    run = told["run"] if isinstance(told, dict) else told
    words = f"{name}: started as {run}" if run else f"{name}: taken, but not started yet"
    return tables.say({"schedule": name, "run": run}, words, as_json=json)


@schedules.command("skip-next")
def skip_next(name: Name, by: By = "cli", json: Json = False, tape: Tape = None, home: Home = HOME) -> int:
    """Leave its next due time out, once."""
    return _change(tape, home, "skip_next", name, by, "will leave its next due time out", as_json=json)


@schedules.command()
def pause(name: Name, by: By = "cli", json: Json = False, tape: Tape = None, home: Home = HOME) -> int:
    """Start nothing until it is resumed."""
    return _change(tape, home, "pause", name, by, "is paused", as_json=json)


@schedules.command()
def resume(name: Name, by: By = "cli", json: Json = False, tape: Tape = None, home: Home = HOME) -> int:
    """Let it go on; what was due meanwhile is left out."""
    return _change(tape, home, "resume", name, by, "goes on", as_json=json)


def _change(tape: Path | None, home: Path, verb: str, name: str, by: str, words: str, *, as_json: bool) -> int:
    from tickwork.faces import tables

    found = command(tape, home, f"schedules.{verb}", {"schedule": name}, who=by, by=by, name=name)
    due = found["nextDue"]
    then = f"; due {_local(datetime.fromisoformat(due), found['zone'])}" if due else ""
    return tables.say(found, f"{name} {words}{then}", as_json=as_json)


def _next(tape: Path | None, home: Path, name: str, count: int) -> list[datetime]:
    """From the process that runs the workflows; where there is none, as far as the tape tells."""
    from tickwork.errors import TapeError
    from tickwork.service.schedules import next_on_tape

    try:
        return [datetime.fromisoformat(at) for at in ask(tape, home, "schedules.next", name=name, count=count)]
    except TapeError:
        return next_on_tape(queries_of(tape, home), name, count)


# ------------------------------------------------------------------------------------------------------------- tables


def _list(tape: Path | None, home: Path, *, as_json: bool) -> int:
    from tickwork.faces import tables
    from tickwork.faces.grid import Grid
    from tickwork.service.schedules import schedule_lines

    found = schedule_lines(queries_of(tape, home))
    if as_json:
        tables.dump(found)
        return 0
    if not found:
        tables.console().print("no schedule on this tape")
        return 0
    columns = ("schedule", "times", "due next", "in UTC", "last due", "last run", "missed", "overlap", "state")
    give = ("overlap", "missed", "last due", "in UTC", "last run")
    made = Grid(*columns, rest="state", give=give)
    for line in found:
        made.add(
            line.name,
            line.spec,
            "" if line.next_due is None else _local(line.next_due, line.zone),
            "" if line.next_due is None else _clock(line.next_due),
            "" if line.last_due is None else _local(line.last_due, line.zone),
            line.last_run or "",
            line.missed,
            line.overlap,
            _state(line),
        )
    tables.show(made)
    return 0


def _state(line: ScheduleInfo) -> str:
    told = []
    if line.stranded:
        told.append("stranded: no workflow declares it")
    if line.paused:
        told.append("paused")
    if line.problem:
        told.append(f"no next time: {line.problem}")
    if line.skip_next:
        told.append("leaves the next out")
    if line.running:
        told.append(f"runs as {', '.join(line.running)}")
    if line.queued:
        told.append(f"{line.queued} waiting")
    return ", ".join(told)


def _local(time: datetime, zone: str) -> str:
    """By the clock of the schedule's zone."""
    return f"{_clock(time.astimezone(ZoneInfo(zone)))} {time.astimezone(ZoneInfo(zone)):%Z}"


def _clock(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}" if time.second else f"{time:%Y-%m-%d %H:%M}"
