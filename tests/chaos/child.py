"""The process that is killed: an engine on a real file, until somebody ends it.

    python -m tests.chaos.child FOLDER [--venue own|apart] [--mutation NAME]

``TICKWORK_CRASH_AT=point:count`` names its last moment. With ``--serve-venue`` it is the venue's process instead.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from pathlib import Path

from tests.chaos import market, mutations, outside, points, workload
from tickwork import Engine, Found
from tickwork.engines.embedded import schema
from tickwork.trading.desk import Desk

TAPE = "tape.db"


async def run_engine(folder: Path, venue_kind: str, vfs: str | None) -> int:
    """Until SIGTERM, or until the tape fails."""
    venue = market.Mortal(market.paper(folder)) if venue_kind == "own" else market.RemoteVenue(folder)
    _count_looks(folder)
    desk = await market.open_desk(venue, folder / TAPE)
    workload.SHAPES["order"] = market.order_shape(desk)
    engine = Engine(
        f"sqlite:///{folder / TAPE}",
        workflows=workload.workflows(),
        queues=workload.queues(),
        hot_max=20,
        park_after="40 ms",
        vfs=vfs,
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with engine:
        tasks = [asyncio.create_task(market.follow_fills(engine, desk)), asyncio.create_task(engine.failed())]
        if isinstance(venue, market.Mortal):
            tasks.append(asyncio.create_task(market.bars(venue)))  # type: ignore[arg-type]
        ended = asyncio.create_task(stop.wait())
        await asyncio.wait({ended, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done() and not task.cancelled() and task.exception() is not None:
                raise task.exception() or AssertionError
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if engine.fault is not None:
            raise engine.fault
    if isinstance(venue, market.Mortal):
        await asyncio.to_thread(venue.close)
    return 0


def _count_looks(folder: Path) -> None:
    lookup = Desk._lookup

    async def counted(self: Desk, *args: object) -> object:
        found = await lookup(self, *args)  # type: ignore[arg-type]
        market.note_look(folder, isinstance(found, Found))
        return found

    counted.__annotations__ = lookup.__annotations__
    Desk._lookup = counted  # type: ignore[method-assign,assignment]


def main() -> int:
    """See the module's text."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--venue", choices=("own", "apart"), default="own")
    parser.add_argument("--mutation", default="")
    parser.add_argument("--checkpoint", type=int, default=0, help="fold the WAL into the file after so many pages")
    parser.add_argument("--serve-venue", action="store_true")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("tickwork").setLevel(logging.ERROR)
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.serve_venue:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(market.serve(given.folder))
        return 0
    spec = os.environ.get("TICKWORK_CRASH_AT", "")
    points.arm(spec)
    points.install()
    mutations.apply(given.mutation)
    if given.checkpoint:
        schema.CHECKPOINT_PAGES = given.checkpoint
    outside.use(outside.Outside(given.folder))
    vfs = points.MortalVFS() if spec.startswith(("wal.", "file.")) else None
    return asyncio.run(run_engine(given.folder, given.venue, points.VFS if vfs is not None else None))


if __name__ == "__main__":
    sys.exit(main())
