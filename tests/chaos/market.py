"""The account of the workload: a desk in front of a paper venue, in this process or in another one.

The venue is the outside world: its book survives whatever happens to the engine. Fills go on the tape first and are
booked then; after a restart the desk is rebuilt from the tape.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from tests.chaos.outside import add_line
from tests.chaos.points import reach
from tests.chaos.workload import FillSeen
from tests.trading.support import RULES, SPOT, bar, limits
from tickwork import Engine, Found, NotFound, Rejected, Run, Unknown
from tickwork.core.tape import Record, decode_chunk
from tickwork.engines.embedded.schema import connect
from tickwork.market.bars import Quote
from tickwork.trading.desk import Desk, OpenIntent, Placement
from tickwork.trading.gate import RiskGate
from tickwork.trading.halt import Halt
from tickwork.trading.ledger import Ledger
from tickwork.trading.matching import TradingRules
from tickwork.trading.orders import Ack, Approval, ApprovedOrder, Fill, Order, OrderIntent
from tickwork.trading.venue import Balance, Capabilities, VenuePort, VenueReport
from tickwork.venues.paper import PaperVenue

CASH = {"USDT": Decimal(1_000_000)}
GATE = RiskGate(limits(max_order_notional=Decimal(10**6), max_position_notional=Decimal(10**7)), RULES)
SOCKET = "venue.sock"
BOOK = "book.db"


def paper(folder: Path) -> PaperVenue:
    """The venue of a folder, in this process."""
    return PaperVenue(folder / BOOK, rules=RULES.values(), cash=CASH)


class Mortal:
    """The paper venue in this process: dies between its commit and its answer."""

    def __init__(self, venue: PaperVenue) -> None:
        self._venue = venue

    def __getattr__(self, name: str) -> Any:
        return getattr(self._venue, name)

    async def submit(self, order: ApprovedOrder, key: str) -> Ack:
        """The book has it; the process may never hear of it."""
        ack = await self._venue.submit(order, key)
        reach("venue.accepted")
        return ack


# -- the venue in a process of its own ------------------------------------------------------------------------------


class RemoteVenue:
    """The client's side: one JSON line each way over a Unix socket. It resends nothing by itself."""

    name = "paper"
    capabilities = Capabilities(deduplicates=True)

    def __init__(self, folder: Path) -> None:
        self._path = folder / SOCKET

    async def _ask(self, verb: str, *args: Any) -> bytes:
        try:
            reader, writer = await asyncio.open_unix_connection(str(self._path))
        except OSError as error:
            raise Unknown(f"the venue does not answer: {error}") from None
        try:
            writer.write(msgspec.json.encode([verb, *args]) + b"\n")
            await writer.drain()
            line = await reader.readline()
        finally:
            writer.close()
        if not line.endswith(b"\n"):
            raise Unknown("the venue went away before it answered")
        reach("venue.accepted")
        if line.startswith(b"!"):
            raise Rejected("paper", line[1:].decode().strip())
        return line

    async def submit(self, order: ApprovedOrder, key: str) -> Ack:
        """See the port."""
        return msgspec.json.decode(await self._ask("submit", order.approval, key), type=Ack)

    async def rules(self, symbols: Collection[str] = ()) -> dict[str, TradingRules]:
        """See the port."""
        return {name: rule for name, rule in RULES.items() if not symbols or name in symbols}

    async def find(self, key: str, symbol: str) -> Found[Order] | NotFound:
        """See the port."""
        order = msgspec.json.decode(await self._ask("find", key), type=Order | None)
        return NotFound() if order is None else Found(order)

    async def cancel(self, key: str, symbol: str) -> Order:
        """See the port."""
        return msgspec.json.decode(await self._ask("cancel", key), type=Order)

    async def fills(self, symbol: str, since: int) -> list[Fill]:
        """See the port."""
        return msgspec.json.decode(await self._ask("fills", symbol, since), type=list[Fill])

    async def open_orders(self) -> list[Order]:
        """See the port."""
        return msgspec.json.decode(await self._ask("open"), type=list[Order])

    async def balances(self) -> dict[str, Balance]:
        """See the port."""
        return msgspec.json.decode(await self._ask("balances"), type=dict[str, Balance])

    async def examine(self) -> VenueReport:
        """See the port."""
        return VenueReport()

    async def updates(self) -> AsyncIterator[Order | Fill]:
        """See the port."""
        return
        yield

    async def close(self) -> None:
        """See the port."""


async def serve(folder: Path) -> None:
    """The venue's process: it trades on bars of its own until it is ended."""
    with paper(folder) as venue:

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                writer.write(await _answered(venue, await reader.readline()) + b"\n")
                await writer.drain()
            except (ConnectionError, ValueError):
                pass  # the client died in the middle of a line
            finally:
                writer.close()

        path = folder / SOCKET
        path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(answer, str(path))
        async with server:
            await bars(venue)


async def _answered(venue: PaperVenue, line: bytes) -> bytes:
    verb, *args = json.loads(line)
    if verb == "submit":
        order = GATE.seal(msgspec.convert(args[0], Approval, strict=False))
        try:
            return msgspec.json.encode(await venue.submit(order, args[1]))
        except Rejected as rejected:
            return f"!{rejected}".encode()
    if verb == "find":
        found = await venue.find(args[0])
        return msgspec.json.encode(found.value if isinstance(found, Found) else None)
    verbs: dict[str, Callable[..., Awaitable[Any]]]
    verbs = {"cancel": venue.cancel, "fills": venue.fills, "open": venue.open_orders, "balances": venue.balances}
    return msgspec.json.encode(await verbs[verb](*args))


async def bars(venue: PaperVenue) -> None:
    """A market that walks around 100, some bars a second, for ever."""
    while True:
        offset = venue.cursor(SPOT) + 1
        price = Decimal(100) + Decimal(offset * 7 % 11 - 5) / 10
        await asyncio.to_thread(venue.on_bar, bar(price, index=offset), offset)
        await asyncio.sleep(0.01)


# -- the desk -------------------------------------------------------------------------------------------------------


@dataclass
class Told:
    """What the tape says of orders and fills."""

    submitted: dict[str, Ack] = field(default_factory=dict)
    """Accepted orders by client id."""
    open: dict[str, OpenIntent] = field(default_factory=dict)
    """Submissions without an outcome."""
    refused: int = 0
    orders: list[Order] = field(default_factory=list)
    """The accepted ones, as they were accepted."""
    fills: list[Fill] = field(default_factory=list)

    def add(self, record: Record) -> None:
        """Read one record."""
        if record.kind == "event" and record.name == FillSeen.event_name:
            seen = FillSeen.from_wire(bytes(record.value))
            self.fills.append(msgspec.json.decode(seen.fill, type=Fill))
        elif record.name == "submit" and record.kind == "intent":
            self.open[record.key] = OpenIntent.read(record.key, bytes(record.value))
        elif record.name == "submit" and record.kind == "effect":
            sent = self.open.pop(record.key)
            if bytes(record.error):
                self.refused += 1
            else:
                ack = self.submitted[record.key] = msgspec.json.decode(record.value, type=Ack)
                self.orders.append(Order.acknowledged(sent.approval, ack))


def records(path: Path) -> Iterator[Record]:
    """All records of a tape that nobody has open."""
    if not path.exists() or not path.stat().st_size:
        return
    connection = connect(str(path))
    try:
        for (data,) in connection.execute("SELECT data FROM tape ORDER BY seq"):
            yield from decode_chunk(data)
    finally:
        connection.close()


def told(path: Path) -> Told:
    """What a tape says."""
    found = Told()
    for record in records(path):
        found.add(record)
    return found


def quote_now(symbol: str) -> Quote:
    """A fresh quote; the paper venue's prices stay within the band around it."""
    return Quote(symbol=symbol, venue="chaos", time_ns=time.time_ns(), bid=Decimal(100), ask=Decimal(100))


async def open_desk(venue: VenuePort, tape: Path) -> Desk:
    """The desk, rebuilt from the tape."""
    desk = Desk("main", venue=venue, gate=GATE, ledger=Ledger(CASH), quotes=quote_now, clock=time.time_ns, halt=Halt())
    known = told(tape)
    desk.restore(known.orders, known.fills, known.open.values())
    return desk


def order_shape(desk: Desk) -> Any:
    """A shape of the workload: one order."""

    async def order(run: Run, n: int) -> None:
        intent = OrderIntent(
            account="main",
            owner=run.owner,
            workflow="chaos",
            symbol=SPOT,
            side="sell" if n % 3 == 0 else "buy",  # some sell what is not there: rejected
            type="market" if n % 2 else "limit",
            quantity=Decimal(n % 4 + 1) / 10,
            limit_price=None if n % 2 else Decimal(100),
            reference_price=Decimal(100),
            reference_time=int(run.now().timestamp()) * 10**9,
            reference_source="chaos",
        )
        placed: Placement = await desk.place(run, intent)
        assert placed.outcome in ("accepted", "refused", "rejected")

    return order


async def follow_fills(engine: Engine, desk: Desk) -> None:
    """Tape first, then the ledger, for ever."""
    while True:
        try:
            news = await desk.news()
            for fill in news.fills:
                await engine.emit(FillSeen(fill=msgspec.json.encode(fill).decode()))
                desk.apply(fill)
            for order in news.ended:
                desk.follow(order)
        except Unknown:
            pass  # the venue's process is being started again
        await asyncio.sleep(0.005)


def note_look(folder: Path, found: bool) -> None:
    """Count what a look-up at the venue answered."""
    add_line(folder / "looks.txt", "found\n" if found else "not found\n", sync=False)
