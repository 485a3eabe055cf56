"""A small session in which everything happens, killed before each of its parts in turn: nobody can tell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.service.papering import START, intent, told
from tickwork.app import open_paper
from tickwork.core.event import Event
from tickwork.core.run import Run
from tickwork.core.schedule import Schedule, ScheduleFired
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded.queries import Queries
from tickwork.errors import InvalidInput, TapeError
from tickwork.graph.sources import Providers, Sources, Trader
from tickwork.market.bars import Bar
from tickwork.market.recording import Recording
from tickwork.market.triggers import PriceChange, PriceChanged
from tickwork.service.paper import ByHand, PaperOptions, PaperSession
from tickwork.service.trading import OrderAccepted, OrderEnded, OrderFilled, OrderRefused
from tickwork.values import timestamp_ns

X, Y = "X/USDT", "Y/USDT"
MINUTE = 60 * 10**9
CLOSES = [
    100,
    100,
    101,
    101,
    103,
    103,
    102,
    100,
    99,
    99,
    98,
    100,
    102,
    104,
    105,
    105,
    104,
    103,
    101,
    100,
    100,
    102,
    101,
]
PARTS = (
    "_trade",
    "_book",
    "_know",
    "_feed",
    "_pass",
    "_settle",
    "_look",
    "_publish",
    "_see_end",
    "_by_hand",
    "_finish",
)
EVENTS: dict[str, type[Event]] = {
    cls.event_name: cls for cls in (PriceChanged, ScheduleFired, OrderAccepted, OrderRefused, OrderFilled, OrderEnded)
}


def recording(name: str, venue: str, symbol: str, more: int = 0) -> Recording:
    """The closes, each that much more."""
    bars = []
    for at, (before, after) in enumerate(pairwise([Decimal(close + more) for close in CLOSES])):
        high, low = max(before, after) + Decimal("0.2"), min(before, after) - Decimal("0.2")
        start = timestamp_ns(START) + at * MINUTE
        bars.append(Bar(symbol, venue, start, MINUTE, before, high, low, after, Decimal(7)))
    return Recording.from_bars(bars, name=name)


def workflows(sources: Sources) -> list[Workflow]:
    trader: Trader = sources.get("trader")
    providers: Providers = sources.get("providers")

    async def close(venue: str) -> Decimal:
        try:
            return (await providers.get(venue).bars(X, 1))[-1].close
        except InvalidInput:  # before the first bar has ended
            return Decimal(0)

    async def books() -> list[str]:
        balances = await providers.get("alpha").balances()
        held = [f"{asset} {one.total} {one.free}" for asset, one in balances.items()]
        waiting = [f"{one.symbol} {one.side} {one.quantity}" for one in await trader.open_orders()]
        return [*held, *waiting, str(trader.equity()), str(trader.free()), *map(str, trader.positions())]

    moves = [PriceChange(X, "0.009", venue=venue) for venue in ("alpha", "beta")]

    @workflow("ladder", on=moves, key=lambda moved: moved.venue)
    async def ladder(run: Run, moved: PriceChanged) -> str:
        price = moved.price
        wish = intent(
            run, "ladder", X, "buy", price, quantity=Decimal(90), type="limit", limit_price=price * Decimal("0.99")
        )
        placed = await trader.place(run, wish, moved.venue)
        return placed.outcome if placed.refusal is None else placed.refusal.rule

    @workflow("once")
    async def once(run: Run) -> list[str]:
        price = await run.step("close", close, "alpha")
        bought = await trader.place(run, intent(run, "once", Y, "buy", price, quantity=Decimal(10)), "alpha")
        await run.wait_for(OrderFilled, where={"workflow": "once"}, timeout="10m")
        await run.sleep("20s")
        more: dict[str, Any] = {"quantity": Decimal(10)}
        resting = intent(run, "once", Y, "sell", price, type="limit", limit_price=Decimal("104.5"), **more)
        later = await trader.place(run, resting, "alpha")
        sold = await trader.place(run, intent(run, "once", Y, "sell", price, reduce_only=True, **more), "alpha")
        await run.sleep("1m30s")
        return [bought.outcome, later.outcome, sold.outcome, *await run.step("books", books)]

    @workflow("clock", on=[Schedule("* * * * *"), Schedule("20 * * * * *", name="between")])
    async def clock(run: Run, fired: ScheduleFired) -> list[str]:
        return [str(await run.step("close", close, "beta")), *await run.step("books", books)]

    @workflow("reporter", on=[OrderFilled, OrderEnded])
    async def reporter(run: Run, event: Event) -> list[str]:
        return [event.event_name, str(await run.step("close", close, "alpha")), *await run.step("books", books)]

    return [once, ladder, clock, reporter]


def given(home: Path) -> PaperOptions:
    data = [recording("a", "alpha", X), recording("b", "beta", X, 1), recording("c", "alpha", Y)]
    by_hand = ByHand(workflow="once", at=timestamp_ns(START) + 4 * MINUTE)
    return PaperOptions(home=home, data=data, by_hand=by_hand)


def seen(home: Path) -> dict[str, Any]:
    """What is on a tape, without what each opening makes anew: positions and ids."""
    queries = Queries.open(str(home / "paper.db"))
    events: list[Any] = []
    for one in queries.events(*EVENTS):
        event = EVENTS[one.record.name].from_wire(bytes(one.record.value))
        fields = event.model_dump(mode="json", exclude={"client_order_id", "run"})
        events.append((one.record.at, one.record.name, fields))
    runs = [(one.workflow, one.status, one.started_at, one.changed_at, queries.show(one.id).result)
            for one in queries.runs(limit=10_000)]  # fmt: skip
    return {"events": events, "runs": runs}


class KilledError(Exception):
    """The process is dead."""


def mined(session: PaperSession, point: int) -> Callable[[], int]:
    """Make a session die before the given one of its parts; returns what tells how many there were."""
    count = 0

    def guarded(part: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            nonlocal count
            count += 1
            if count == point:
                raise KilledError
            return part(*args)

        return call

    for name in PARTS:
        setattr(session, name, guarded(getattr(session, name)))
    return lambda: count


def quiet(sources: Sources) -> list[Workflow]:
    """One run, and between what it does many bars of which the tape tells nothing."""
    return workflows(sources)[:1]


Make = Callable[[Sources], list[Workflow]]


async def played(home: Path, make: Make = workflows, point: int = 0, submitted: int = 0) -> tuple[dict[str, Any], int]:
    """The session to its end; killed before that part, or right after that submission, and begun again."""
    session = open_paper(given(home), make)
    count = mined(session, point)
    if submitted:
        cut(session, submitted)
    try:
        summary = await session.run()
    except (KilledError, TapeError):
        session.kill()
        return await played(home, make)
    await session.close()
    return {**told(summary), **seen(home)}, count()


def cut(session: PaperSession, submitted: int) -> None:
    """Make a session die once a venue has taken that order, before anybody hears of it."""
    count = 0

    def guarded(submit: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any) -> Any:
            nonlocal count
            ack = await submit(*args)
            count += 1
            if count == submitted:
                session.engine.kill()
            return ack

        return call

    for desk in session.trader.desks.values():
        desk.venue.submit = guarded(desk.venue.submit)  # type: ignore[method-assign]


@cache
def undisturbed(make: Make = workflows) -> tuple[dict[str, Any], int]:
    with TemporaryDirectory() as home:
        return asyncio.run(played(Path(home), make))


def test_everything_happens() -> None:
    found, parts = undisturbed()
    assert parts > 300
    assert found["runs"]
    assert {status for _, status, *_ in found["runs"]} == {"done"}
    results = {
        name: [result for one, *_, result in found["runs"] if one == name] for name in ("once", "ladder", "clock")
    }
    assert results["once"][0][:3] == ["accepted"] * 3
    assert set(results["ladder"]) == {"accepted", "max_position_notional"}, "orders that wait use up the room"
    ended = [fields["reason"] for _, name, fields in found["events"] if name == OrderEnded.event_name]
    assert ended == ["insufficient funds"], "what it would have sold is gone"
    assert {fields["venue"] for _, name, fields in found["events"] if name == OrderFilled.event_name} == {
        "alpha",
        "beta",
    }


def test_a_schedule_sees_the_bar_that_ends_when_it_is_due() -> None:
    found, _ = undisturbed()
    told = [(started, result[0]) for name, _, started, _, result in found["runs"] if name == "clock"]
    for started, close in told:
        minutes = (timestamp_ns(started) - timestamp_ns(START)) // MINUTE
        assert Decimal(close) == (CLOSES[minutes] + 1 if minutes else 0), "the close of the last bar that had ended"


@pytest.mark.parametrize("part", range(20))
def test_killed_before_a_part(part: int, tmp_path: Path) -> None:
    wanted, parts = undisturbed()
    for point in range(1 + part * parts // 20, parts + 1, parts):
        found, _ = asyncio.run(played(tmp_path / str(point), point=point))
        assert found == wanted, point


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_killed_before_every_part(part: int, tmp_path: Path) -> None:
    wanted, parts = undisturbed()
    for point in range(1 + part, parts + 1, 20):
        found, _ = asyncio.run(played(tmp_path / str(point), point=point))
        assert found == wanted, point


@pytest.mark.parametrize("part", range(3))
def test_killed_where_the_tape_is_silent(part: int, tmp_path: Path) -> None:
    wanted, parts = undisturbed(quiet)
    for point in range(1 + part * 4, parts + 1, 12):
        found, _ = asyncio.run(played(tmp_path / str(point), quiet, point))
        assert found == wanted, point


@pytest.mark.parametrize("submitted", range(1, 7))
def test_killed_when_a_venue_has_just_taken_an_order(submitted: int, tmp_path: Path) -> None:
    found, _ = asyncio.run(played(tmp_path, submitted=submitted))
    assert found == undisturbed()[0]
