"""``tickwork up``: accounts, feeds and workflows in real time, on paper or live, until it is told to stop."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from tickwork.faces.doors import Doors
    from tickwork.service.accounts.session import LiveSession


_LOOK_S: Final = 0.5


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
    import asyncio

    _tell(f"opening {session.files.tape}, and asking the venues")
    async with session:
        _say(session)
        telling = asyncio.create_task(_tell_orders(session))
        try:
            await session.serve()
        finally:
            telling.cancel()


async def _tell_orders(session: LiveSession) -> None:
    """A line for each thing that becomes of an order, and for each halt, as it happens."""
    import asyncio

    from tickwork.service.accounts.telling import lines_after

    _, seq = session.engine.queries.reader.end(), session.engine.queries.reader.end()[0]
    while True:
        await asyncio.sleep(_LOOK_S)
        found = list(lines_after(session.engine.queries, seq))
        for _, line in found:
            _tell(line)
        seq = found[-1][0] if found else seq


def _tell(line: str) -> None:
    print(f"tickwork: {line}", file=sys.stderr, flush=True)


def _say(session: LiveSession) -> None:
    mode = "live" if session.files.live else "paper"
    for name, opened in session.opened.items():
        config = opened.config
        told = f"account {name}: {mode} at {config.venue}, {', '.join(config.symbols)}"
        _tell(told)
    for note in session.notes:
        _tell(note)
    _tell(f"up; the tape is {session.files.tape}")
