"""The process that is killed: an engine with its server, until somebody ends it.

python -m tests.faces.http.mortal FOLDER PORT
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

from tickwork import Engine, Event, Queue, Run, workflow
from tickwork.faces.http.app import create_app
from tickwork.faces.http.security import Limits, Security
from tickwork.faces.http.server import Server
from tickwork.service.api.here import Service

LINE = Queue("line", capacity=1_000_000)


class Written(Event, name="mortal/written"):
    """What clients write."""

    client: int
    n: int


@workflow("written", on=Written)
async def written(run: Run, what: Written) -> int:
    """Runs once for each."""
    return await run.step("count", lambda: what.n)


@workflow("asked")
async def asked(run: Run, what: dict[str, Any]) -> Any:
    """Started by clients."""
    return what


async def main(folder: Path, port: int) -> None:
    limits = Limits(per_caller=1e6, per_address=1e6)
    async with Engine(f"sqlite:///{folder}/tape.db", workflows=[written, asked], queues=[LINE]) as engine:
        service = Service(engine)
        service.open()
        security = Security(local=frozenset({"read", "operate"}), limits=limits)
        async with Server(create_app(service, security=security), port=port):
            told = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
            await told.wait()
        service.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
