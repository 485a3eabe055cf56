"""A folder in which `tickwork up` trades at a simulated exchange, and the command line beside it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import IO, Any

import msgspec

from tickwork.engines.system_clock import SystemClock
from tickwork.service.running.status import status_of
from tickwork.sim.exchange import Exchange, Faults, Market, MexcApi, serving, truth

PATIENCE = 60.0
"""Seconds until a process that does not answer has failed; far more than it needs."""

CODE = """
import asyncio
from decimal import Decimal
from pathlib import Path
from tickwork import Event, Run, workflow
from tickwork.trading.orders import OrderIntent

HERE = Path(__file__).parent

class Go(Event, name="test/go", version=1):
    n: int = 0

class Slow(Event, name="test/slow", version=1):
    n: int = 0

async def slowly(n: int, *, key: str) -> str:
    (HERE / "begun").touch()
    with (HERE / "made").open("a") as made:
        made.write(f"{n}\\n")
    while not (HERE / "go").exists():
        await asyncio.sleep(0.02)
    return "done"

def workflows(trading):
    @workflow("trade", on=Go)
    async def trade(run: Run, go: Go) -> str:
        run.log.warning("the key is %s", "the-key-of-mexc")
        book = await run.step("book", trading.providers.get("").orderbook, "BTC/USDT", 1)
        intent = OrderIntent(
            account="main", owner=run.owner, workflow="trade", symbol="BTC/USDT", side="buy",
            quantity=Decimal("0.001"), reference_price=book.asks[0].price,
            reference_time=book.time, reference_source=book.recording, reference_offset=book.offset,
        )
        return (await trading.trader.place(run, intent)).outcome

    @workflow("slow", on=Slow)
    async def slow(run: Run, given: Slow) -> str:
        return await run.effect("slowly", slowly, given.n)

    return [trade, slow]
"""


class Place:
    """The folder."""

    def __init__(self, folder: Path, exchange: Exchange, faults: Faults, url: str, *, live: bool) -> None:
        self.folder, self.exchange, self.faults = folder, exchange, faults
        self.home = folder / "home"
        self.live = live
        (folder / "trade.py").write_text(CODE)
        (folder / "tickwork.toml").write_text(f"""
mode = "{"live" if live else "paper"}"
home = "home"
workflows = ["trade.py"]
[server]
port = 0
[accounts.main]
venue = "mexc"
symbols = ["BTC/USDT"]
capital = "10000"
url = "{url}"
poll = "100 ms"
quotes_every = "100 ms"
[accounts.main.risk.account]
max_order_notional = "2000"
max_position_notional = "9000"
""")
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TICKWORK_")},
            "XDG_RUNTIME_DIR": str(folder),
            "MEXC_API_KEY": "the-key-of-mexc",
            "TICKWORK_MEXC_SECRET_KEY": "the-secret-of-mexc",
            "NO_COLOR": "1",
        }

    def line(self, *words: str) -> list[str]:
        """The command line."""
        return [str(Path(sys.executable).parent / "tickwork"), *words]

    def run(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a verb."""
        return subprocess.run(
            self.line(*words),
            cwd=self.folder,
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def up(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Start it as a daemon."""
        return self.run("up", "--daemon", *(["--live"] if self.live else []), *words)

    @contextmanager
    def foreground(self, *words: str, wait: bool = True, **environ: str) -> Iterator[subprocess.Popen[str]]:
        """Start it in the foreground; it is killed at the end if it still runs."""
        words = ("up", *(["--live"] if self.live else []), *words)
        process = subprocess.Popen(
            self.line(*words), cwd=self.folder, env={**self.environ, **environ}, stderr=subprocess.PIPE, text=True
        )
        limit = threading.Timer(2 * PATIENCE, process.kill)  # whoever waits for it would wait for ever
        limit.start()
        try:
            assert process.stderr is not None
            if wait:
                _come_up(process.stderr)
            yield process
        finally:
            limit.cancel()
            process.kill()
            process.wait()
            assert process.stderr is not None
            process.stderr.close()

    def status(self) -> Any:
        """What `status` answers."""
        return json.loads(msgspec.json.encode(status_of(self.home, SystemClock().now)))

    def pid(self) -> int:
        """The process that is up."""
        (process,) = self.status()["processes"]
        found: int = process["pid"]
        return found

    def kill(self) -> None:
        """kill -9 of whatever is up."""
        for process in self.status()["processes"]:
            os.kill(process["pid"], signal.SIGKILL)
            until(partial(gone, process["pid"]))

    def log(self) -> str:
        """The log."""
        return (self.home / "logs" / "tickwork.log").read_text()

    def truth(self) -> Any:
        """What the exchange knows of the account."""
        return truth(self.exchange)["accounts"]["main"]


def _come_up(words: IO[str]) -> None:
    said: list[str] = []
    for line in words:
        if "tickwork: up; the tape is" in line:
            return
        said.append(line)
    raise AssertionError(f"it did not come up: {''.join(said)}")


def gone(pid: int) -> bool:
    """Has a process ended? Its number stays where nobody asks how it did."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def until(holds: Callable[[], Any]) -> Any:
    """What other processes do can only be looked at."""
    limit = time.monotonic() + PATIENCE
    while not (found := holds()):
        assert time.monotonic() < limit, "it never came"
        time.sleep(0.02)
    return found


@contextmanager
def place(folder: Path, *, live: bool = False) -> Iterator[Place]:
    """A folder, and an exchange that is there as long."""
    exchange = MexcApi.exchange_of(SystemClock().now)
    exchange.add_market(Market(base="BTC", quote="USDT", price=Decimal(60_000)))
    exchange.add_account("main", key="the-key-of-mexc", secret="the-secret-of-mexc", balances={"USDT": "100000"})
    faults, begun, url = Faults(), threading.Event(), list[str]()
    loop, told = asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        async with serving(MexcApi(exchange, faults)) as server:
            url.append(server.url)
            begun.set()
            await told.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    begun.wait(PATIENCE)
    here = Place(folder, exchange, faults, url[0], live=live)
    try:
        yield here
    finally:
        here.kill()
        loop.call_soon_threadsafe(told.set)
        thread.join()
        loop.close()
