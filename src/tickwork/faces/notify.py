"""``tickwork notify``: test channels, look at the outbox, ask where a notification would go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tickwork.faces.doors import Doors
from tickwork.faces.options import HOME, Home, Json, Limit, Tape, queries_of

if TYPE_CHECKING:
    from tickwork.service.notifications import Explained, OutboxLine, Tried

notify = typer.Typer(invoke_without_command=True, rich_markup_mode=None)

Config = Annotated[
    Path | None,
    typer.Option(
        help="The configuration; by default tickwork.toml in the working directory.",
        envvar="TICKWORK_CONFIG",
        show_envvar=False,
    ),
]


@notify.callback()
def group(context: typer.Context) -> None:
    """Who hears of what, over which channel."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@notify.command()
def test(
    context: typer.Context,
    channel: Annotated[
        str | None,
        typer.Argument(help="A channel's name. May be left out where there is only one.", metavar="[CHANNEL]"),
    ] = None,
    everywhere: Annotated[bool, typer.Option("--all", help="Every channel.")] = False,
    message: Annotated[str, typer.Option(help="What to say.")] = "If you can read this, the channel works.",
    config: Config = None,
    json: Json = False,
) -> int:
    """Send a test over a channel, or over all of them, now: past limits and quiet hours."""
    from tickwork.service.notifications import tried

    doors: Doors = context.obj
    found = tried(doors.open_notifications(config), channel, everywhere, message)
    _show_tried(found, as_json=json)
    return 0 if all(one.sent for one in found) else 1


@notify.command()
def outbox(
    status: Annotated[
        str | None, typer.Option(help="Only those that are pending, held, sent, suppressed, failed or cancelled.")
    ] = None,
    limit: Limit = 20,
    json: Json = False,
    tape: Tape = None,
    home: Home = HOME,
) -> int:
    """What became of notifications, on each channel, newest first."""
    from tickwork.service import notifications

    return _show_outbox(notifications.outbox(queries_of(tape, home), status, limit), as_json=json)


@notify.command()
def routes(
    context: typer.Context,
    kind: Annotated[str, typer.Option(help="What it is about, e.g. price.alert.")],
    severity: Annotated[str, typer.Option(help="info, warning, error or critical.")] = "info",
    owner: Annotated[str, typer.Option(help="Whose notification it is.")] = "",
    config: Config = None,
    json: Json = False,
) -> int:
    """Where a notification would go, and why."""
    from tickwork.service.notifications import explained

    doors: Doors = context.obj
    found = explained(doors.open_notifications(config).rules, owner, kind, severity)
    return _show_explained(found, as_json=json)


# ------------------------------------------------------------------------------------------------------------- tables


def _show_tried(found: list[Tried], *, as_json: bool) -> None:
    from tickwork.faces import tables
    from tickwork.faces.grid import Grid

    if as_json:
        tables.dump(found)
        return
    made = Grid("channel", "result", "reason", rest="reason")
    for one in found:
        made.add(one.channel, tables.coloured("sent" if one.sent else "failed"), one.reason)
    tables.show(made)


def _show_outbox(found: list[OutboxLine], *, as_json: bool) -> int:
    from tickwork.faces import tables
    from tickwork.faces.grid import Grid

    if as_json:
        tables.dump(found)
        return 0
    if not found:
        tables.console().print("no notifications like that on this tape")
        return 0
    columns = ("asked", "run", "channel", "status", "changed", "severity", "owner", "kind", "title", "reason")
    give = ("owner", "changed", "kind", ("asked", tables.without_year), "reason", "asked")
    made = Grid(*columns, rest="title", give=give)
    for line in found:
        until = "" if line.held_until is None else f"until {tables.clock(line.held_until)}"
        made.add(
            tables.clock(line.asked_at),
            line.run,
            line.channel,
            tables.coloured(line.status),
            tables.clock(line.changed_at),
            line.severity,
            line.owner,
            line.kind,
            line.title,
            until or line.reason,
        )
    tables.show(made)
    return 0


def _show_explained(found: Explained, *, as_json: bool) -> int:
    from tickwork.faces import tables
    from tickwork.faces.grid import Grid

    if as_json:
        tables.dump(found)
        return 0
    if found.routes:
        made = Grid("route", "matches", "channels", "why", rest="why")
        for route in found.routes:
            made.add(str(route.route or "-"), "yes" if route.matches else "no", ", ".join(route.channels), route.why)
        tables.show(made)
    out = tables.console()
    if not found.channels:
        out.print("It would go nowhere.")
    for channel in found.channels:
        out.print(f"goes to {channel.channel}: {channel.limit}", markup=False)
        if channel.quiet_hours:
            out.print(f"  quiet hours: {channel.quiet_hours}", markup=False)
    return 0
