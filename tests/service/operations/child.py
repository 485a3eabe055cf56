"""A process that trades and answers calls, until it is killed: ``python -m tests.service.operations.child CONFIG``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tickwork.app import open_live
from tickwork.service.api.here import Service
from tickwork.service.operations.all import CATALOGUE


async def main(config: Path) -> None:
    assert CATALOGUE
    async with open_live(config, live=True) as session:
        service = Service(session.engine)
        service.open()
        sys.stdout.write("up\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().create_future()  # until it is killed


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
