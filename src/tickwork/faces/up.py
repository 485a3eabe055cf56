"""``tickwork up``: accounts, feeds and workflows in real time, on paper or live, until it is told to stop."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tickwork.faces.doors import Doors
    from tickwork.service.accounts.session import LiveSession


def up(
    context: typer.Context,
    live: Annotated[
        bool, typer.Option("--live", help='Trade real money; also needs mode = "live" in the configuration.')
    ] = False,
    config: Annotated[
        Path | None, typer.Option(help="The configuration; by default tickwork.toml.", envvar="TICKWORK_CONFIG")
    ] = None,
) -> int:
    """Trade what the configuration says, in real time. On paper, unless both it and --live say otherwise.

    Stops on Ctrl-C or SIGTERM, and goes on where it was when it is started again, however it ended.
    """
    import asyncio

    doors: Doors = context.obj
    session = doors.open_live(config, live)
    asyncio.run(_play(session))
    return 0


async def _play(session: LiveSession) -> None:
    async with session:
        _say(session)
        await session.serve()


def _say(session: LiveSession) -> None:
    mode = "live" if session.files.live else "paper"
    for name, opened in session.opened.items():
        config = opened.config
        told = f"account {name}: {mode} at {config.venue}, {', '.join(config.symbols)}"
        print(f"tickwork: {told}", file=sys.stderr)
    for note in session.notes:
        print(f"tickwork: {note}", file=sys.stderr)
    print(f"tickwork: up; the tape is {session.files.tape}", file=sys.stderr, flush=True)
