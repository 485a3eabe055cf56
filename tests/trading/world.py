"""A small world for the desk: runs that can be suspended anywhere, a tape that survives, a venue that plays tricks.

``Play`` runs bodies by hand, one pause at a time, so that a test chooses the interleaving. A pause stands where a real
run would wait: before and after the disk, before and after the wire. A crash forgets everything but the tape and the
venue's book, then the engine's promises are kept: recorded steps are not run again, an intent without an outcome is
looked up before anything else.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Generator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from tests.trading.support import RULES, SPOT, START, D, bar, gate, quote
from tickwork.errors import Fatal, NotSent, TickworkError
from tickwork.outcome import Found, NotFound
from tickwork.trading.desk import Desk, OpenIntent, Placement
from tickwork.trading.gate import Decision
from tickwork.trading.halt import Halt
from tickwork.trading.ledger import Ledger
from tickwork.trading.matching import TradingRules
from tickwork.trading.orders import Ack, Approval, ApprovedOrder, Fill, Order, OrderIntent
from tickwork.trading.venue import Balance, Capabilities, VenueReport
from tickwork.venues.paper import PaperVenue

CASH = {"USDT": D(10_000)}


class Pause:
    """One point where a run waits."""

    def __await__(self) -> Generator[None, None, None]:
        yield


@dataclass
class RunTape:
    """What one run has on the tape."""

    intent: OrderIntent
    fault: str = ""
    answers: dict[str, bytes | BaseException] = field(default_factory=dict)
    open_intents: dict[str, ApprovedOrder] = field(default_factory=dict)
    placement: Placement | None = None


class StandIn:
    """The desk's ``RunVerbs`` over a ``RunTape``."""

    def __init__(self, run_id: str, tape: RunTape) -> None:
        self._id, self._tape = run_id, tape

    @property
    def id(self) -> str:
        return self._id

    @property
    def owner(self) -> str:
        return "ann"

    async def step(self, name: str, fn: Callable[..., Any], *args: Any, blocking: bool | None = None) -> Any:
        assert blocking is False, "the gate must run on the loop"
        if name not in self._tape.answers:
            self._tape.answers[name] = msgspec.json.encode(fn(*args))
        await Pause()
        return self._answer(name, fn)

    async def effect(
        self,
        name: str,
        fn: Callable[..., Any],
        *args: Any,
        lookup: Callable[..., Any] | None = None,
        grace: timedelta | str | None = None,
    ) -> Any:
        if name not in self._tape.answers:
            key = hashlib.blake2b(f"{self._id}/{name}".encode(), digest_size=16).hexdigest()
            answer = await self._make(key, fn, args, lookup, fresh=key not in self._tape.open_intents)
            await Pause()
            self._tape.answers[name] = answer
            self._tape.open_intents.pop(key, None)
        return self._answer(name, fn)

    async def _make(
        self, key: str, fn: Callable[..., Any], args: tuple[Any, ...], lookup: Any, *, fresh: bool
    ) -> bytes | BaseException:
        self._tape.open_intents[key] = args[0]
        await Pause()
        while True:
            if not fresh and lookup is not None:
                found = await lookup(key, *args)
                if isinstance(found, Found):
                    return msgspec.json.encode(found.value)
            fresh = False
            try:
                return msgspec.json.encode(await fn(*args, key=key))
            except NotSent:
                fresh = True  # certain: the engine may simply call again
                await Pause()
            except Fatal as error:
                return error
            except ConnectionError:
                await Pause()

    def _answer(self, name: str, fn: Callable[..., Any]) -> Any:
        answer = self._tape.answers[name]
        if isinstance(answer, BaseException):
            raise answer
        hints = get_type_hints(fn)
        return msgspec.json.decode(answer, type=hints["return"])


class TrickyVenue:
    """The paper venue behind a wire that can lose a request or its answer, once per order."""

    def __init__(self, paper: PaperVenue, capabilities: Capabilities | None = None) -> None:
        self.paper = paper
        self.faults: dict[str, str] = {}
        self.submissions: list[str] = []
        self._capabilities = capabilities

    @property
    def name(self) -> str:
        return self.paper.name

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities or self.paper.capabilities

    async def submit(self, order: ApprovedOrder, key: str) -> Ack:
        fault = self.faults.pop(order.approval.intent.reason, "")
        if fault == "not sent":
            raise NotSent("no socket")
        self.submissions.append(key)
        await Pause()
        if fault == "request lost":
            raise ConnectionError(fault)
        ack = await self.paper.submit(order, key)
        await Pause()
        if fault == "answer lost":
            raise ConnectionError(fault)
        return ack

    async def rules(self, symbols: Collection[str] = ()) -> dict[str, TradingRules]:
        return await self.paper.rules(symbols)

    async def find(self, key: str, symbol: str) -> Found[Order] | NotFound:
        await Pause()
        return await self.paper.find(key)

    async def cancel(self, key: str, symbol: str) -> Order:
        await Pause()
        return await self.paper.cancel(key)

    async def fills(self, symbol: str, since: int) -> list[Fill]:
        return await self.paper.fills(symbol, since)

    async def open_orders(self) -> list[Order]:
        return await self.paper.open_orders()

    async def balances(self) -> dict[str, Balance]:
        return await self.paper.balances()

    async def examine(self) -> VenueReport:
        return await self.paper.examine()

    def updates(self) -> AsyncIterator[Order | Fill]:
        return self.paper.updates()

    async def close(self) -> None:
        await self.paper.close()


def now(answer: Awaitable[Any]) -> Any:
    """Run something that needs no loop to its end."""

    async def body() -> Any:
        return await answer

    made = body()
    while True:
        try:
            made.send(None)
        except StopIteration as stop:
            return stop.value


class Play:
    """The world. ``path``: of the venue's book."""

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self.paper = self._open()
        self.tapes: dict[str, RunTape] = {}
        self.fills: list[Fill] = []
        self.bars = 0
        self.halt = Halt()
        self.time = START
        self._boot(self.paper)

    def _open(self) -> PaperVenue:
        return PaperVenue(self.path, rules=RULES.values(), cash=CASH)

    def _boot(self, paper: PaperVenue) -> None:
        self.venue = TrickyVenue(paper)
        self.desk = Desk(
            "main",
            venue=self.venue,
            gate=gate(),
            ledger=Ledger(CASH),
            quotes=lambda symbol: quote(time_ns=self.time, symbol=symbol),
            clock=lambda: self.time,
            halt=self.halt,
        )
        self.active: dict[str, Coroutine[Any, Any, None]] = {}

    def start(self, wanted: OrderIntent, fault: str = "") -> str:
        run_id = f"run{len(self.tapes)}"
        self.tapes[run_id] = RunTape(wanted, fault)
        self._resume(run_id)
        return run_id

    def _resume(self, run_id: str) -> None:
        tape = self.tapes[run_id]
        if tape.fault:
            self.venue.faults[tape.intent.reason] = tape.fault

        async def body() -> None:
            tape.placement = await self.desk.place(StandIn(run_id, tape), tape.intent)

        made = body()
        assert inspect.iscoroutine(made)
        self.active[run_id] = made

    def advance(self, run_id: str) -> None:
        """Run to the next pause."""
        try:
            self.active[run_id].send(None)
        except StopIteration:
            del self.active[run_id]

    def finish(self) -> None:
        """Run all runs to their end, in turn."""
        for _ in range(1_000):
            for run_id in list(self.active):
                self.advance(run_id)
        if self.active:
            raise TickworkError(f"never ended: {sorted(self.active)}")

    def trade(self, *prices: Any, symbol: str = SPOT) -> None:
        """The next bar: open, low, high."""
        self.paper.on_bar(bar(*prices, index=self.bars, symbol=symbol), self.bars)
        self.bars += 1

    def pull(self) -> None:
        """New fills: on the tape, then in the books; orders the venue has ended are followed."""
        news = now(self.desk.news())
        assert not news.missing
        for one in news.fills:
            self.fills.append(one)
            self.desk.apply(one)
        for order in news.ended:
            self.desk.follow(order)

    def accepted(self) -> list[tuple[Approval, Ack]]:
        """What the tape knows of orders that were acknowledged."""
        found = []
        for tape in self.tapes.values():
            submitted, decided = tape.answers.get("submit"), tape.answers.get("gate")
            if isinstance(submitted, bytes) and isinstance(decided, bytes):
                approval = msgspec.json.decode(decided, type=Decision).approval
                assert approval is not None
                found.append((approval, msgspec.json.decode(submitted, type=Ack)))
        return found

    def crash(self) -> None:
        """Forget all but tape and book; come back; recover."""
        for body in self.active.values():
            body.close()
        if str(self.path) != ":memory:":
            self.paper.shut()
            self.paper = self._open()
        self._boot(self.paper)
        orders = [Order.acknowledged(approval, ack) for approval, ack in self.accepted()]
        unsent = [
            OpenIntent(key=key, approval=order.approval)
            for tape in self.tapes.values()
            for key, order in tape.open_intents.items()
        ]
        self.desk.restore(orders, self.fills, unsent)
        for run_id, tape in self.tapes.items():
            if tape.placement is None:
                self._resume(run_id)
