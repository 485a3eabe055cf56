"""``tickwork queues``: how they stand, their messages; send one, and work on some from outside."""

from __future__ import annotations

import json as json_text
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tickwork.faces.options import HOME, LIMIT_MAX, Home, Json, Tape, ask, json_of, queries_of

if TYPE_CHECKING:
    from tickwork.service.queues import MessageLine

queues = typer.Typer(
    help="Queues and their messages. Without a verb, how the queues stand.",
    invoke_without_command=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(help="A queue's name, as `tickwork queues` shows it.", metavar="NAME")]
Lease = Annotated[str, typer.Argument(help="A lease, as `tickwork queues lease` gave it.", metavar="LEASE")]


@queues.callback()
def listed(context: typer.Context, json: Json = False, tape: Tape = None, home: Home = HOME) -> int:
    """Queues and their messages. Without a verb, how the queues stand."""
    return _list(tape, home, as_json=json) if context.invoked_subcommand is None else 0


@queues.command("list")
def show_all(json: Json = False, tape: Tape = None, home: Home = HOME) -> int:
    """How all queues of a tape stand; also those that nobody declares any more."""
    return _list(tape, home, as_json=json)


@queues.command()
def show(
    name: Name,
    status: Annotated[
        str | None,
        typer.Option(help="Only those that are available, delayed, in_flight, failed, completed, dead or discarded."),
    ] = None,
    limit: Annotated[
        int,
        typer.Option(help="How many; newest first, of those in line the next to come first.", min=1, max=LIMIT_MAX),
    ] = 20,
    json: Json = False,
    tape: Tape = None,
    home: Home = HOME,
) -> int:
    """Messages of a queue, with what failed before."""
    from tickwork.faces import tables
    from tickwork.service.queues import message_lines

    found = message_lines(queries_of(tape, home), name, status, limit)
    if json:
        tables.dump(found)
    elif found:
        _show(found)
    else:
        tables.console().print("no message like that in this queue")
    return 0


@queues.command()
def send(
    name: Name,
    body: Annotated[str, typer.Argument(help="JSON; - reads it from stdin.", metavar="JSON")],
    group: Annotated[str, typer.Option(help="Messages of one group stay in order.")] = "",
    id: Annotated[str | None, typer.Option("--id", help="A second message with the same id is the first one.")] = None,
    delay: Annotated[str | None, typer.Option(help="Join the line later, e.g. 30s.")] = None,
    priority: Annotated[int, typer.Option(help="Between groups, the higher goes first.")] = 0,
    json: Json = False,
    tape: Tape = None,
    home: Home = HOME,
) -> int:
    """Put a message into a queue."""
    from tickwork.faces import tables

    given = {"body": json_of(body, "message"), "group": group, "id": id, "delay": delay, "priority": priority}
    seq = ask(tape, home, "queues.send", queue=name, **given)
    return tables.say({"queue": name, "message": seq}, f"{name}: message {seq}", as_json=json)


@queues.command()
def lease(
    name: Name,
    max: Annotated[int | None, typer.Option("--max", help="How many at most; by default a batch.", min=1)] = None,
    visibility: Annotated[str | None, typer.Option(help="How long the leases last, e.g. 5m.")] = None,
    consumer: Annotated[str, typer.Option(help="Who takes them; recorded.")] = "cli",
    json: Json = False,
    tape: Tape = None,
    home: Home = HOME,
) -> int:
    """Take messages to work on; acknowledge each, or it is delivered again."""
    from tickwork.faces import tables
    from tickwork.faces.grid import Grid

    found = ask(tape, home, "queues.lease", queue=name, max=max, visibility=visibility, consumer=consumer)
    if json:
        tables.dump([{_CAMEL.get(key, key): value for key, value in message.items()} for message in found])
        return 0
    if not found:
        tables.console().print("no message to be had just now")
        return 0
    made = Grid("lease", "group", "attempt", "until", "body", rest="body", give=("group", "attempt"))
    for message in found:
        until = _moment(datetime.fromisoformat(message["lease_until"]))
        made.add(message["lease"], message["group"], str(message["attempts"]), until, _text(message["body"]))
    tables.show(made)
    return 0


@queues.command()
def ack(
    leases: Annotated[list[str], typer.Argument(help="Leases; of one group in their order.", metavar="LEASE...")],
    json: Json = False,
    tape: Tape = None,
    home: Home = HOME,
) -> int:
    """These messages are done."""
    from tickwork.faces import tables

    ask(tape, home, "queues.ack", leases=leases)
    return tables.say({"acknowledged": leases}, f"{len(leases)} done", as_json=json)


@queues.command()
def extend(
    lease: Lease,
    by: Annotated[str, typer.Argument(help="How long from now, e.g. 60s.", metavar="TIME")],
    json: Json = False,
    tape: Tape = None,
    home: Home = HOME,
) -> int:
    """Keep a message for longer."""
    from tickwork.faces import tables

    until = ask(tape, home, "queues.extend", lease=lease, by=by)
    words = f"until {_moment(datetime.fromisoformat(until))}"
    return tables.say({"lease": lease, "leaseUntil": until}, words, as_json=json)


@queues.command()
def reject(
    lease: Lease,
    error: Annotated[str, typer.Option(help="A code, e.g. rate_limit: the queue's policy goes by it.")] = "rejected",
    detail: Annotated[str, typer.Option(help="Words for people.")] = "",
    retry_in: Annotated[str | None, typer.Option(help="When to deliver it again, e.g. 60s.")] = None,
    json: Json = False,
    tape: Tape = None,
    home: Home = HOME,
) -> int:
    """It could not be done: it is delivered again, or is a dead letter after too many times."""
    from tickwork.faces import tables

    became = ask(tape, home, "queues.reject", lease=lease, error=error, detail=detail, retry_in=retry_in)
    words = {"waiting": "it waits for another delivery", "dead": "it is a dead letter"}[became]
    return tables.say({"lease": lease, "status": became}, words, as_json=json)


_ERROR: Final = 24
"""Letters of an error where there is no room for all of it: its code, mostly."""
_CAMEL = {"sent_at": "sentAt", "lease_until": "leaseUntil"}


# ------------------------------------------------------------------------------------------------------------- tables


def _list(tape: Path | None, home: Path, *, as_json: bool) -> int:
    from tickwork.faces import tables
    from tickwork.faces.grid import Grid
    from tickwork.service.queues import queue_lines

    found = queue_lines(queries_of(tape, home))
    if as_json:
        tables.dump(found)
        return 0
    if not found:
        tables.console().print("no queue on this tape")
        return 0
    columns = ("queue", "available", "in flight", "delayed", "blocked", "oldest", "done today", "failed today", "dead",
               "average", "per minute", "capacity")  # fmt: skip
    give = ("capacity", "blocked", "average", "per minute", "oldest", "failed today", "delayed")
    made = Grid(*columns, right=columns[1:], give=give)
    for line in found:
        made.add(
            line.name,
            *map(str, (line.available, line.in_flight, line.delayed, line.blocked)),
            _seconds(line.oldest_age_seconds),
            *map(str, (line.completed_today, line.failed_today, line.dead)),
            _seconds(line.average_processing_seconds),
            str(line.rate_per_minute),
            "" if line.capacity is None else f"{line.capacity:,}",
        )
    tables.show(made)
    return 0


def _show(found: list[MessageLine]) -> None:
    from tickwork.faces import tables
    from tickwork.faces.grid import Give, Grid

    columns = ("message", "status", "group", "attempts", "sent", "due", "run", "failed with", "body")
    give: tuple[Give, ...] = (("failed with", _beginning), "sent", "group", "due", "failed with")
    made = Grid(*columns, rest="body", give=give)
    for line in found:
        due = line.due or line.lease_until
        made.add(
            str(line.seq),
            tables.coloured(line.status),
            line.group,
            str(line.attempts),
            _moment(line.sent_at),
            "" if due is None else _moment(due),
            line.run,
            line.failures[-1].error if line.failures else "",
            _text(line.body),
        )
    tables.show(made)


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}"


def _beginning(error: str) -> str:
    return error if len(error) <= _ERROR else f"{error[: _ERROR - 1]}…"


def _text(value: object) -> str:
    return value if isinstance(value, str) else json_text.dumps(value)


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.2g}s" if seconds < 10 else str(timedelta(seconds=round(seconds)))
