"""Our side of ``http_events``: an engine that serves HTTP, until it is told to stop. Prints its port."""

from __future__ import annotations

import asyncio
import signal
import sys
from decimal import Decimal

import uvloop

from tickwork import Engine, Event
from tickwork.faces.http.app import create_app
from tickwork.faces.http.security import Limits, Security
from tickwork.faces.http.server import Server
from tickwork.service.api.here import Service


class Tick(Event, name="bench/tick"):
    """What is published."""

    symbol: str
    price: Decimal
    quantity: Decimal
    n: int


async def main(folder: str) -> None:
    """Serve."""
    limits = Limits(per_caller=1e9, per_address=1e9)
    async with Engine(f"sqlite:///{folder}/tape.db") as engine:
        service = Service(engine)
        service.open()
        app = create_app(service, security=Security(local=frozenset({"read", "operate"}), limits=limits))
        async with Server(app, port=0, limits=limits) as server:
            print(server.address.rpartition(":")[2], flush=True)
            told = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
            await told.wait()
        service.close()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
