"""The law of the stream: a snapshot and the deltas that follow it come to the snapshot of then, for every view."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.service.stream.streaming import (
    EVERYBODY,
    Asked,
    Boxed,
    Client,
    Noted,
    Quick,
    asks,
    bound_to,
    child,
    engine,
    flat,
    live_of,
    long,
    steps,
    views,
)
from tickwork import Engine
from tickwork.core.event import Alert
from tickwork.errors import TickworkError
from tickwork.service.halting import HaltCleared, HaltRaised
from tickwork.service.stream import steps as steps_of_runs
from tickwork.service.stream.live import Cursor, Live
from tickwork.service.stream.views import View, view_named
from tickwork.service.trading import AccountOpened, OrderAccepted, OrderEnded, OrderFilled, OrderRefused

NOW = datetime(2026, 1, 5, tzinfo=UTC)
Act = Callable[[Engine, int], Awaitable[object]]


async def note(engine: Engine, n: int) -> None:
    await engine.emit(Noted(n=n))


async def ask(engine: Engine, n: int) -> None:
    await engine.emit(Asked(n=n))


async def answer(engine: Engine, n: int) -> None:
    waiting = await engine.approvals()
    if waiting:
        await engine.approve(waiting[n % len(waiting)].id, n % 2 == 0, "me")


async def send(engine: Engine, n: int) -> None:
    await engine.queues.send("box", Boxed(n=n))


async def owned(engine: Engine, n: int) -> None:
    await engine.start(steps, Noted(n=n), owner=("ann", "bob")[n % 2])


async def redrive(engine: Engine, n: int) -> None:
    letters = await engine.dead_letters()
    if letters:
        await engine.letters.redrive([letters[n % len(letters)].id])


async def cancel(engine: Engine, n: int) -> None:
    runs = [run for run in await engine.runs() if run.status in ("waiting", "running")]
    if runs:
        await engine.cancel(runs[n % len(runs)].id)


async def pause(engine: Engine, n: int) -> None:
    runs = [run for run in await engine.runs() if run.status in ("waiting", "paused")]
    if runs:
        run = runs[n % len(runs)]
        await (engine.resume(run.id) if run.status == "paused" else engine.pause(run.id))


async def trade(engine: Engine, n: int) -> None:
    common: dict[str, Any] = {"account": "a", "workflow": "w", "symbol": "BTC/USDT", "side": "buy"}
    id = f"o{n % 4}"
    await engine.emit(AccountOpened(account="a", venue="paper", currency="USDT", amount=Decimal(1_000)))
    await engine.emit(
        OrderAccepted(
            **common, run="r1", venue="paper", client_order_id=id, venue_order_id=f"v{id}", type="limit",
            quantity=Decimal(2), limit_price=Decimal(10), reduce_only=False, reason="why", quote_time=NOW, recording="",
        )
    )  # fmt: skip
    match n % 3:
        case 0:
            await engine.emit(
                OrderFilled(
                    **common, venue="paper", fill_id=str(n), client_order_id=id, venue_order_id=f"v{id}",
                    price=Decimal(10 + n), quantity=Decimal(1), fee=Decimal("0.1"), fee_currency="USDT", time=NOW,
                    known_at=NOW,
                )
            )  # fmt: skip
        case 1:
            ended = {name: value for name, value in common.items() if name != "side"}
            await engine.emit(OrderEnded(**ended, client_order_id=id, status="cancelled", reason="", known_at=NOW))
        case _:
            await engine.emit(OrderRefused(**common, run="r1", rule="max", limit="1", actual="2"))


async def halt(engine: Engine, n: int) -> None:
    account = ("", "a")[n % 2]
    if n % 3:
        await engine.emit(HaltRaised(account=account, level="halt", reason="r", by="me", made_by="person", at=NOW))
    else:
        await engine.emit(HaltCleared(account=account, level="halt", reason="r", by="me", at=NOW))


async def alarm(engine: Engine, n: int) -> None:
    await engine.emit(Alert(run="r1", what="something", detail=str(n)))


async def wait(engine: Engine, n: int) -> None:
    await engine.until(datetime.fromtimestamp(engine.clock.now() / 1e9 + n % 4, UTC))


ACTS: dict[str, Act] = {act.__name__: act for act in (
    note, ask, answer, send, owned, redrive, cancel, pause, trade, halt, alarm, wait,
)}  # fmt: skip

moves = st.lists(
    st.tuples(st.sampled_from(sorted(ACTS)), st.integers(0, 30), st.booleans(), st.booleans()), min_size=5, max_size=30
)


class Watcher:
    """A client of a view that hears now and then, and comes back now and then."""

    def __init__(self, live: Live, view: View) -> None:
        self.live, self.view, self.client = live, view, Client()
        self.cursor: Cursor | None = None

    def hear(self, again: bool) -> None:
        if self.cursor is None or again:
            message = self.live.resume(self.view, self.client.seq, self.live.epoch, self.live.opening)
        else:
            found = self.live.next(self.view, self.cursor)
            if found is None:
                return
            message = found
        self.cursor = message.cursor
        self.client.told(message)


async def play(engine: Engine, moves: list[tuple[str, int, bool, bool]]) -> None:
    """Do what is asked, with clients that watch every view; then compare them with what somebody new is told."""
    first = await engine.start(steps, Noted(n=4), id="first")
    live = live_of(engine)
    await live.start()
    live._task.cancel()  # type: ignore[union-attr]  # looks are taken here, one by one
    watchers = [Watcher(live, view_named(name, EVERYBODY)) for name in views([first.id])]
    watchers += [Watcher(live, view_named(name, bound_to("ann"))) for name in ("runs",)]
    for watcher in watchers:
        await live.watch(watcher.view)
        watcher.hear(False)
    for index, (act, n, hears, again) in enumerate(moves):
        with suppress(TickworkError):  # what was asked for cannot be done now: nothing has changed
            await ACTS[act](engine, n)
        await engine.durable()
        await live.look()
        if hears:
            for watcher in watchers[index % 2 :: 2]:
                watcher.hear(again)
    await engine.idle()
    await live.look()
    fresh = live_of(engine)
    await fresh.start()
    for watcher in watchers:
        watcher.hear(False)
        await fresh.watch(watcher.view)
        expected = flat(json.loads(fresh.data(watcher.view)))
        assert watcher.client.seq == fresh.seq == live.seq
        assert watcher.client.state == expected, watcher.view.name
        assert watcher.client.snaps == 1, "nobody was ever too far behind"
    await fresh.close()
    await live.close()


@settings(max_examples=40)
@given(moves)
def test_a_snapshot_and_its_deltas_come_to_the_snapshot_of_then(moves: list[tuple[str, int, bool, bool]]) -> None:
    async def law() -> None:
        async with engine() as world:
            await play(world, moves)

    asyncio.run(law())


def test_the_same_of_a_tape_on_disk(tmp_path: Path) -> None:
    every = [(act, n, n % 2 == 0, n % 3 == 0) for n in range(6) for act in sorted(ACTS) if act != "wait"]

    async def law() -> None:
        async with engine(f"sqlite:///{tmp_path}/tape.db") as world:
            await play(world, every)

    asyncio.run(law())


def test_a_row_that_changes_without_a_record_is_told_all_the_same() -> None:
    async def law() -> None:
        async with engine() as world:
            await world.start(asks, Asked(n=1), id="mine")
            live = live_of(world)
            await live.start()
            here, away = (Watcher(live, view_named("runs", EVERYBODY)) for _ in range(2))
            for watcher in (here, away):
                await live.watch(watcher.view)
                watcher.hear(False)
            before = here.client.state["run", "mine"]["changedAt"]
            # as the engine does where it looks at a parked run: the row alone is written
            world.queries.reader.rows("UPDATE runs SET changed_at = changed_at + 5000000000 WHERE id = 'mine'")
            await live.look()
            here.hear(False)
            away.hear(True)
            for watcher in (here, away):
                assert watcher.client.state["run", "mine"]["changedAt"] != before
                assert watcher.client.snaps == 1
                assert watcher.client.seq == live.seq
            await live.close()

    asyncio.run(law())


def test_of_a_long_run_the_last_steps_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps_of_runs, "STEPS", 20)

    async def law() -> None:
        async with engine() as world:
            live = live_of(world)
            await live.start()
            await world.start(long, 60, id="long")
            watcher = Watcher(live, view_named("run:long", EVERYBODY))
            await live.watch(watcher.view)
            watcher.hear(False)
            for second in range(1, 70, 7):
                await world.until(datetime(2020, 1, 1, 0, 0, second % 60, tzinfo=UTC) + timedelta(minutes=second // 60))
                await live.look()
                watcher.hear(second % 2 == 0)
            fresh = live_of(world)
            await fresh.start()
            await fresh.watch(watcher.view)
            assert watcher.client.state == flat(json.loads(fresh.data(watcher.view)))
            names = [fields["name"] for (kind, _), fields in watcher.client.state.items() if kind == "step"]
            assert len(names) == 20
            assert "look 59" in names
            assert watcher.client.state["run", "long"]["stepsTotal"] == 120
            await fresh.close()
            await live.close()

    asyncio.run(law())


def test_what_falls_out_of_a_window_is_told_to_be_gone(tmp_path: Path) -> None:
    async def law() -> None:
        async with engine(f"sqlite:///{tmp_path}/tape.db") as world:
            live = live_of(world)
            await live.start()
            watchers = [Watcher(live, view_named(name, EVERYBODY)) for name in ("runs", "events", "trading", "now")]
            for watcher in watchers:
                await live.watch(watcher.view)
                watcher.hear(False)
            for n in range(6):
                for m in range(40):
                    world.post(Quick(n=n * 40 + m))
                    await world.start(child, m) if m % 20 == 0 else None
                await trade(world, n)
                await world.durable()
                await live.look()
                for watcher in watchers:
                    watcher.hear(n % 2 == 0)
            fresh = live_of(world)
            await world.idle()
            await live.look()
            await fresh.start()
            for watcher in watchers:
                watcher.hear(False)
                await fresh.watch(watcher.view)
                assert watcher.client.state == flat(json.loads(fresh.data(watcher.view))), watcher.view.name
            runs = [key for kind, key in watchers[0].client.state if kind == "run"]
            assert 100 <= len(runs) < 200, "there are more than 240"
            await fresh.close()
            await live.close()

    asyncio.run(law())
