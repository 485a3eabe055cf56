"""``tickwork breakers``: which dependencies rest, and since when; one opened or closed by hand."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from tickwork.faces.options import HOME, Home, Json, Tape, command, queries_of

breakers = typer.Typer(
    help="Breakers: dependencies that fail again and again are left alone. Without a verb, the list of them.",
    invoke_without_command=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(help="A breaker's name, as `tickwork breakers list` shows it.", metavar="NAME")]
Reason = Annotated[str, typer.Option(help="Why; recorded, and shown with the breaker.")]
By = Annotated[str, typer.Option(help="Who wants it; recorded.")]


@breakers.callback()
def listed(context: typer.Context, json: Json = False, tape: Tape = None, home: Home = HOME) -> int:
    """Breakers: dependencies that fail again and again are left alone. Without a verb, the list of them."""
    return _list(tape, home, as_json=json) if context.invoked_subcommand is None else 0


@breakers.command("list")
def show(json: Json = False, tape: Tape = None, home: Home = HOME) -> int:
    """All breakers that steps and effects have used."""
    return _list(tape, home, as_json=json)


def _list(tape: Path | None, home: Path, *, as_json: bool) -> int:
    from tickwork.faces import tables
    from tickwork.faces.grid import Grid
    from tickwork.service.breakers import breaker_lines

    found = breaker_lines(queries_of(tape, home))
    if as_json:
        tables.dump(found)
        return 0
    if not found:
        tables.console().print("no breaker has been used on this tape")
        return 0
    made = Grid("breaker", "state", "failures", "since", "tried again", "why", rest="why", give=("since",))
    for line in found:
        since = "" if line.changed_at is None else tables.clock(line.changed_at)
        again = "" if line.retry_at is None else _to_the_second(line.retry_at)
        failures = f"{line.failures} of {line.threshold}" if line.state == "closed" else ""
        made.add(line.name, tables.coloured(line.state), failures, since, again, line.why)
    tables.show(made)
    return 0


@breakers.command()
def reset(
    name: Name, reason: Reason = "", by: By = "cli", json: Json = False, tape: Tape = None, home: Home = HOME
) -> int:
    """Close a breaker and forget its failures: its dependency is asked again at once."""
    from tickwork.faces import tables

    given = {"breaker": name, "reason": reason}
    found = command(tape, home, "breakers.reset", given, who=by, by=by, name=name, reason=reason)
    return tables.say({"name": name, "state": found["state"]}, f"{name} is closed", as_json=json)


@breakers.command()
def trip(
    name: Name,
    reason: Reason = "",
    lasting: Annotated[
        str | None, typer.Option("--for", help="How long it rests, e.g. '2 hours'; by default as it is declared.")
    ] = None,
    by: By = "cli",
    json: Json = False,
    tape: Tape = None,
    home: Home = HOME,
) -> int:
    """Open a breaker: its dependency is left alone, e.g. during its maintenance."""
    from tickwork.errors import InvalidInput
    from tickwork.faces import tables
    from tickwork.values import duration

    if lasting is not None and duration(lasting, "--for") == 0:
        raise InvalidInput("--for", lasting, "a duration above zero; `tickwork breakers reset` closes a breaker")
    given = {"breaker": name, "reason": reason, "open_for": lasting}
    found = command(tape, home, "breakers.trip", given, who=by, by=by, name=name, reason=reason, open_for=lasting)
    retry_at = found["retryAt"] if "retryAt" in found else found["retry_at"]
    answer = {"name": name, "state": found["state"], "retryAt": retry_at}
    until = _to_the_second(datetime.fromisoformat(retry_at))
    return tables.say(answer, f"{name} is open until {until} UTC", as_json=json)


def _to_the_second(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}"
