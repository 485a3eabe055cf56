"""A desk with documents: node types that do little, an engine in memory, and how it is opened again."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec

from tickwork.core.event import Event
from tickwork.core.run import Run
from tickwork.engines.embedded import Engine, Memory
from tickwork.errors import Rejected
from tickwork.graph.declare import DECLARED, Context, node, param, port
from tickwork.graph.library import Library
from tickwork.graph.sources import Sources, Trader, Workflows
from tickwork.service.documents import VIEWS, Documents, recovered


class Nudge(Event, name="tests/documents.nudge"):
    """What starts and wakes these documents."""

    symbol: str = "AAPL"
    n: int = 0


class Noted(Event, name="tests/documents.noted"):
    """Nobody listens to it."""


class Account:
    """A trader that only counts. It is told apart by its name."""

    def __init__(self, account: str) -> None:
        self.account = account
        self.orders: list[str] = []


FAILING: set[str] = set()
"""Nodes that fail, by id."""


class News(msgspec.Struct, frozen=True):
    sentiment: Annotated[float, port("from 0 to 1")]


@node("docs_news", category="tests", aliases=("docs_headlines",))
async def news(
    run: Run,
    *,
    symbols: Annotated[list[str], param("about")],
    seconds: Annotated[int, param("to wait")] = 1,
    context: Context,
) -> News:
    """Takes its time, and is optimistic."""
    await run.sleep(f"{seconds} s")
    return News(0.72)


class Signal(msgspec.Struct, frozen=True):
    signal: Annotated[str, port("BUY or HOLD")]


@node("docs_signal", category="tests")
def signal(
    sentiment: Annotated[float, port("from 0 to 1")],
    *,
    threshold: Annotated[float, param("to act above")] = 0.7,
    context: Context,
) -> Signal:
    """Buys on good news."""
    if context.node in FAILING:
        raise Rejected("nowhere", context.node)
    return Signal("BUY" if sentiment > threshold else "HOLD")


class Order(msgspec.Struct, frozen=True):
    order_id: Annotated[str, port("of the account")]


@node("docs_trade", category="tests", effect=True)
def trade(signal: Annotated[str, port("BUY or HOLD")], *, trader: Trader, key: str) -> Order:
    """Counts an order."""
    account: Any = trader
    account.orders.append(key)
    return Order(f"{account.account}-{len(account.orders)}")


@node("docs_wait", category="tests", output="n")
async def wait(run: Run) -> int:
    """Waits for a nudge."""
    nudge = await run.wait_for(Nudge)
    return 0 if nudge is None else nudge.n


@node("docs_large", category="tests", output="text")
def large(*, context: Context) -> str:
    """Gives much."""
    return "x" * 9_000


@node("docs_call", category="tests", output="result", calls="workflow_id")
async def call(run: Run, *, workflow_id: Annotated[str, param("which")], workflows: Workflows) -> dict[str, Any]:
    """Calls another workflow."""
    found: dict[str, Any] = msgspec.to_builtins(await run.call(workflows.get(workflow_id), {"called": True}))
    return found


LIBRARY = Library([one for name, one in DECLARED.items() if name.startswith("docs_")])

STEPS: list[dict[str, Any]] = [
    {"name": "analyze_news", "type": "docs_news", "params": {"symbols": ["AAPL"]}},
    {"name": "generate_signals", "type": "docs_signal", "params": {"threshold": 0.7}},
    {"name": "execute_trades", "type": "docs_trade"},
]
WAITING: list[dict[str, Any]] = [{"name": "wait", "type": "docs_wait"}, {"name": "again", "type": "docs_wait"}]
NUDGED = [{"type": "event", "event": "tests/documents.nudge"}]


class Desk:
    """A tape, its accounts, and the surface of whoever has it open."""

    def __init__(self, **options: Any) -> None:
        self.memory = Memory()
        self.live, self.paper = Account("live"), Account("paper")
        self.library = LIBRARY
        self.has_paper = True
        self.options = options
        self.numbers = itertools.count(1)
        FAILING.clear()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Documents]:
        """Open it, as a process does; at the end it dies."""
        test = Sources({"trader": self.paper}) if self.has_paper else None
        found = recovered(self.memory, library=self.library, sources=Sources({"trader": self.live}), test_sources=test)
        async with Engine(self.memory, workflows=found.workflows, views=VIEWS, seed=1) as engine:
            self.engine = engine
            documents = Documents(engine, found, new_id=lambda: f"x-{next(self.numbers)}", **self.options)
            await documents.open()
            yield documents
            engine.kill()


def without(report: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """A report without some of its fields."""
    return {name: value for name, value in report.items() if name not in names}
