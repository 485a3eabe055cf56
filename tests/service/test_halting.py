"""The halt on the tape, and what a halt does: laws, faults, and a death at every turn."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import patch

import pytest

from tests.engine.support import live, turns
from tests.service.guarding import NAME, World, order
from tests.trading.support import SPOT, D
from tickwork.core.event import Alert, Event
from tickwork.engines.embedded import Engine
from tickwork.errors import InvalidInput, TapeError
from tickwork.service.halting import ALL, HaltCleared, Halting, HaltRaised, halt_lines, halts_on
from tickwork.service.sweeping import HaltAcknowledged, HaltSwept, SweepPlan
from tickwork.trading.halt import Cause, Halts
from tickwork.trading.orders import Order


@pytest.fixture
def world() -> World:
    return World()


async def resting(world: World, *prices: str) -> list[str]:
    """Orders far from the market; their client ids."""
    for price in prices:
        assert await world.trade(order("buy", "1", limit_price=price)) == "accepted"
    return [one.client_order_id for one in await world.paper.open_orders()]


# ------------------------------------------------------------------------------------------------------------ the flag


@live
async def test_raising_takes_effect_before_it_is_on_disk() -> None:
    world = World()
    await world.open()
    seen: list[bool] = []
    post = world.engine.post

    def posted(event: Event) -> int:
        seen.append(world.desk._halt.stops_new_exposure)
        return post(event)

    with patch.object(world.engine, "post", posted):
        answer = await world.halting.raise_to("halt", "by hand", by="ada")
    assert seen == [True]
    assert (answer.level, answer.changed) == ("halt", True)
    (raised,) = world.told(HaltRaised)
    assert (raised.level, raised.by, raised.made_by, raised.reason, raised.account) == (
        "halt", "ada", "person", "by hand", "",
    )  # fmt: skip
    await world.close()


@live
async def test_a_raise_that_the_disk_will_not_take_stands() -> None:
    world = World()
    await world.open()
    world.engine._log.fault = TapeError("the disk is full")
    with pytest.raises(TapeError):
        await world.halting.raise_to("halt", "by hand", by="ada")
    assert world.desk._halt.stops_new_exposure


@live
async def test_clearing_takes_effect_after_it_is_on_disk() -> None:
    world = World()
    await world.open()
    await world.halting.raise_to("halt", "look", by="ada", account=NAME)
    durable = world.engine.durable

    async def slow() -> None:
        assert world.desk._halt.stops_new_exposure
        await durable()
        assert world.desk._halt.stops_new_exposure

    with patch.object(world.engine, "durable", slow):
        assert (await world.halting.clear("seen to", by="bob", account=NAME)).level == "normal"
    assert not world.desk._halt.stops_new_exposure
    (cleared,) = world.told(HaltCleared)
    assert (cleared.level, cleared.by, cleared.reason, cleared.owner) == ("halt", "bob", "seen to", "ann")
    await world.close()


@live
async def test_what_is_raised_while_it_is_cleared_stands() -> None:
    world = World()
    await world.open()
    await world.halting.raise_to("shutdown", "look", by="ada")
    durable = world.engine.durable

    async def slow() -> None:
        world.halting.raise_soon("halt", "drawdown", by="max_drawdown")
        await durable()

    with patch.object(world.engine, "durable", slow):
        answer = await world.halting.clear("seen to", by="bob")
    assert (answer.level, world.desk._halt.level, world.desk._halt.reason) == ("halt", "halt", "drawdown")
    world.kill()
    await world.open()
    assert (world.desk._halt.level, world.desk._halt.reason) == ("halt", "drawdown")
    await world.close()


@live
async def test_a_restart_knows_the_halts_before_anything_runs() -> None:
    world = World()
    await world.open()
    await world.halting.raise_to("alert", "look", by="ada")
    await world.halting.raise_to("halt", "mine", by="ada", account=NAME)
    before = {line.account: (line.level, line.reason) for line in world.halting.standing()}
    world.kill()
    await world.open()
    assert {line.account: (line.level, line.reason) for line in world.halting.standing()} == before
    assert world.halts.of("").level == "alert"
    assert world.desk._halt.level == "halt"
    assert await world.trade(order()) == "refused"
    answer = await world.halting.clear("seen to", by="ada", account=NAME)
    assert answer.level == "alert"
    assert await world.trade(order()) == "accepted"
    world.kill()
    await world.open()
    assert world.halts.of(NAME).stops_new_exposure is False
    await world.close()


@live
async def test_two_halts_at_once() -> None:
    world = World()
    await world.open()
    await resting(world, "90", "91")
    answers = await asyncio.gather(
        world.halting.raise_to("halt", "one", by="ada", account=NAME),
        world.halting.raise_to("halt", "two", by="bob", account=NAME),
        world.halting.raise_to("halt", "three", by="eve"),
    )
    assert [one.changed for one in answers] == [True, False, True]
    assert len(world.told(HaltRaised)) == 2
    await world.engine.settled()
    assert not await world.paper.open_orders()
    swept = world.told(HaltSwept)
    assert all(one.complete for one in swept)
    assert {one.run for one in swept} == {one.id for one in await world.engine.runs(workflow="halt")}
    # each order is acknowledged to each halt, by whatever it came to
    told = world.told(HaltAcknowledged)
    assert len(told) == len({(one.run, one.client_order_id) for one in told})
    assert {one.outcome for one in told} == {"cancelled"}
    # clearing one leaves the other
    await world.halting.clear("seen to", by="ada", account=NAME)
    assert world.desk._halt.reason == "three"
    await world.close()


@live
async def test_rules_raise_and_never_clear() -> None:
    world = World()
    await world.open()
    verdict = world.halting.judged(
        [
            Cause(rule="max_positions", limit="3", actual="3", level="alert"),
            Cause(rule="max_daily_loss", limit="100", actual="120", level="halt"),
        ],
        account=NAME,
    )
    assert (verdict.level, verdict.rule) == ("halt", "max_daily_loss")
    for _ in range(3):  # as often as it is found
        world.halting.judged([Cause(rule="max_daily_loss", limit="100", actual="130", level="halt")], account=NAME)
    await world.engine.durable()
    (raised,) = world.told(HaltRaised)
    assert (raised.by, raised.made_by) == ("max_daily_loss", "rule")
    with pytest.raises(InvalidInput, match="never clear"):
        await world.halting.clear("it is over", by="max_daily_loss", made_by="rule", account=NAME)
    assert world.halting.judged([]).level == "normal"
    assert world.desk._halt.level == "halt"
    await world.close()


@live
async def test_what_is_wrong_is_said() -> None:
    world = World()
    await world.open()
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("level", {"level": "panic", "reason": "x", "by": "ada"}),
        ("level", {"level": "normal", "reason": "x", "by": "ada"}),
        ("reason", {"level": "halt", "reason": "  ", "by": "ada"}),
        ("by", {"level": "halt", "reason": "x", "by": ""}),
        ("account", {"level": "halt", "reason": "x", "by": "ada", "account": "mian"}),
    ]
    for path, fields in wrong:
        with pytest.raises(InvalidInput) as caught:
            await world.halting.raise_to(**fields)
        assert path in caught.value.path
    with pytest.raises(InvalidInput, match="reason"):
        await world.halting.clear("", by="ada")
    assert (await world.halting.clear("nothing to clear", by="ada")).changed is False
    assert world.desk._halt.level == "normal"
    assert not world.told(HaltRaised, HaltCleared)
    await world.close()


# --------------------------------------------------------------------------------------------------------- the sweep


@live
async def test_a_halt_cancels_what_rests_and_says_so() -> None:
    world = World()
    await world.open()
    keys = await resting(world, "90", "91", "92")
    await world.halting.raise_to("halt", "by hand", by="ada")
    await world.engine.settled()
    assert not await world.paper.open_orders()
    told = world.told(HaltAcknowledged)
    assert sorted(one.client_order_id for one in told) == sorted(keys)
    assert {(one.outcome, one.account, one.symbol) for one in told} == {("cancelled", NAME, SPOT)}
    (swept,) = world.told(HaltSwept)
    assert (swept.complete, swept.cancelled, swept.ended, swept.failed, swept.in_doubt) == (True, 3, 0, (), ())
    await world.close()


@live
async def test_an_alert_cancels_nothing() -> None:
    world = World()
    await world.open()
    await resting(world, "90")
    await world.halting.raise_to("alert", "look", by="ada")
    await world.engine.settled()
    assert len(await world.paper.open_orders()) == 1
    assert not world.told(HaltSwept)
    await world.close()


@live
async def test_reductions_and_orders_of_others_stay_unless_told_otherwise() -> None:
    for plan in (SweepPlan(), SweepPlan(foreign=True, reductions=True)):
        world = World(plan=plan)
        await world.open()
        await world.hold("2")
        await world.trade(order("sell", "1", limit_price="150", reduce_only=True))
        (reduction,) = await world.paper.open_orders()
        await resting(world, "90")
        other = Order(
            venue="paper", client_order_id="someone-elses", venue_order_id="x9", account=NAME, symbol=SPOT, side="buy",
            type="limit", quantity=D(1), limit_price=D(10),
        )  # fmt: skip
        world.wire.foreign = [other]
        await world.halting.raise_to("halt", "by hand", by="ada")
        await world.engine.settled()
        left = {one.client_order_id for one in await world.wire.open_orders()}
        (swept,) = world.told(HaltSwept)
        assert swept.complete
        if plan.foreign:
            assert (left, swept.left, swept.cancelled) == (set(), (), 3)
        else:
            assert left == set(swept.left) == {reduction.client_order_id, "someone-elses"}
            assert swept.cancelled == 1
        await world.close()


@live
async def test_an_order_on_the_wire_when_the_halt_is_raised_is_cancelled_too() -> None:
    world = World()
    await world.open()

    async def halt() -> None:
        """The order is past its last look at the halt, and the venue has not got it yet."""
        world.wire.on_submit = None
        await world.halting.raise_to("halt", "by hand", by="ada", account=NAME)
        await turns(60)  # the first look finds nothing

    world.wire.on_submit = halt
    assert await world.trade(order("buy", "1", limit_price="90")) == "accepted"
    assert await world.trade(order("buy", "1", limit_price="90")) == "refused"
    await world.engine.settled()
    assert not await world.paper.open_orders()
    (told,) = world.told(HaltAcknowledged)
    assert told.outcome == "cancelled"
    (swept,) = world.told(HaltSwept)
    assert swept.complete
    await world.close()


@live
async def test_cancels_that_fail_are_made_again_and_said() -> None:
    world = World()
    await world.open()
    await resting(world, "90", "91")
    world.wire.faults = {"cancel": ["after", "before", "before"], "open_orders": ["before", "", "before"]}
    await world.halting.raise_to("halt", "by hand", by="ada")
    await world.engine.settled()
    assert not await world.paper.open_orders()
    assert [one.outcome for one in world.told(HaltAcknowledged)] == ["cancelled", "cancelled"]
    assert world.told(HaltSwept)[-1].complete
    await world.close()


@live
async def test_a_venue_that_is_down_for_long_is_told_of_and_swept_when_it_is_back() -> None:
    world = World()
    await world.open()
    await resting(world, "90")
    world.wire.down = True
    down = {"looks": 0}

    def meanwhile(method: str) -> None:
        if method == "open_orders":
            down["looks"] += 1
            world.wire.down = down["looks"] < 20

    world.wire.meanwhile = meanwhile
    await world.halting.raise_to("halt", "by hand", by="ada")
    await world.engine.settled()
    middle, end = world.told(HaltSwept)
    assert not middle.complete
    assert "ConnectionError" in middle.reason
    assert end.complete
    assert end.cancelled == 1
    assert [one.what for one in world.told(Alert)] == ["resting orders are not all cancelled"]
    assert not await world.paper.open_orders()
    await world.close()


@live
async def test_a_sweep_ends_when_the_halt_is_cleared() -> None:
    world = World()
    await world.open()
    await resting(world, "90")
    world.wire.down = True
    await world.halting.raise_to("halt", "by hand", by="ada")
    for _ in range(5):
        await world.engine.idle()
    await world.halting.clear("it was a mistake", by="ada")
    await world.engine.settled()
    assert world.told(HaltSwept)[-1].reason == "the halt was cleared"
    assert (await world.engine.runs(workflow="halt"))[0].status == "done"
    await world.close()


@live
async def test_an_order_that_trades_first_has_ended_by_itself() -> None:
    world = World()
    await world.open()
    (key,) = await resting(world, "90")

    def meanwhile(method: str) -> None:
        if method == "cancel":
            world.wire.meanwhile = None
            assert world.bar(89)

    world.wire.meanwhile = meanwhile
    await world.halting.raise_to("halt", "by hand", by="ada")
    await world.engine.settled()
    (told,) = world.told(HaltAcknowledged)
    assert (told.client_order_id, told.outcome, told.filled) == (key, "ended", D(1))
    await world.close()


@live
async def test_an_order_that_cannot_be_cancelled_is_said_to_rest() -> None:
    world = World(plan=SweepPlan(foreign=True, looks=10))
    await world.open()
    world.wire.foreign = [
        Order(
            venue="paper",
            client_order_id="",
            venue_order_id="x9",
            account=NAME,
            symbol=SPOT,
            side="buy",
            type="limit",
            quantity=D(1),
            limit_price=D(10),
        )
    ]
    await world.halting.raise_to("halt", "by hand", by="ada")
    await world.engine.settled()
    (told,) = world.told(HaltAcknowledged)
    assert (told.outcome, told.venue_order_id) == ("failed", "x9")
    swept = world.told(HaltSwept)[-1]
    assert (swept.complete, swept.failed) == (False, ("x9",))
    await world.close()


@live
async def test_an_order_in_doubt_is_listed_and_cancelled_once_it_is_seen() -> None:
    from datetime import timedelta

    from tickwork.trading.venue import Capabilities

    world = World()
    world.wire.declared = Capabilities(deduplicates=False, visibility_bound=None, request_validity=timedelta(0))
    await world.open()
    world.wire.faults = {"submit": ["after"]}
    handle = await world.engine.start(world.trader, order("buy", "1", limit_price="90"), owner="ann")
    key = ""

    def meanwhile(method: str) -> None:
        nonlocal key
        if not key and method == "submit":
            world.wire.hidden = set()
        if method == "open_orders" and key and world.wire.calls.count("open_orders") > 12:
            world.wire.hidden.discard(key)

    real = world.paper.submit

    async def submit(approved: Any, client_id: str) -> Any:
        nonlocal key
        ack = await real(approved, client_id)
        key = client_id
        world.wire.hidden.add(key)
        return ack

    world.paper.submit = submit  # type: ignore[assignment, method-assign]
    world.wire.meanwhile = meanwhile
    await turns(60)
    assert world.desk.unknown == [key]
    await world.halting.raise_to("halt", "by hand", by="ada")
    await world.engine.settled()
    middle, end = world.told(HaltSwept)
    assert (middle.complete, middle.in_doubt) == (False, (key,))
    assert end.complete
    assert [one.outcome for one in world.told(HaltAcknowledged)] == ["unknown", "cancelled"]
    assert not await world.paper.open_orders()
    assert await handle.result() == "accepted"
    await world.close()


# ------------------------------------------------------------------------------------------------------------- deaths


@pytest.mark.parametrize("flushed", [True, False])
def test_a_death_at_any_turn_changes_nothing_of_what_a_halt_does(flushed: bool) -> None:
    """Whatever the process knew when it died: once the halt is on the tape, every order is gone and acknowledged."""

    async def law(lives: int) -> bool:
        world = World()
        await world.open()
        keys = await resting(world, "90", "91")
        world.wire.faults = {"cancel": ["after"], "open_orders": ["", "before"]}
        world.halting.raise_soon("halt", "by hand", by="ada", made_by="person")
        over = await world.live(lives, flushed=flushed)
        on_tape = {one.client_order_id for one in await world.paper.open_orders()}
        await world.open()
        standing = world.engine.read(halt_lines, ALL)
        assert world.desk._halt.stops_new_exposure == (standing is not None)
        await world.engine.settled()
        if standing is None:  # nobody was told of it
            assert on_tape == set(keys)
            assert not world.told(HaltSwept)
        else:
            assert not await world.paper.open_orders()
            told = world.told(HaltAcknowledged)
            assert sorted(one.client_order_id for one in told) == sorted(keys)
            assert [one.complete for one in world.told(HaltSwept)] == [True]
        await world.close()
        return over

    @live
    async def main() -> None:
        for lives in range(400):
            if await law(lives):
                return
        raise AssertionError("it never ended")

    main()


@live
async def test_a_halt_that_was_raised_while_nobody_was_there_is_swept_at_the_start() -> None:
    world = World()
    await world.open()
    await resting(world, "90")
    world.kill()
    assert world.memory is not None
    async with Engine(world.memory, views=[halt_lines], clock=world.clock) as engine:
        await Halting(engine, Halts(), None, world.clock.now).raise_to("halt", "by hand", by="ada")
    await world.open()
    assert world.desk._halt.stops_new_exposure
    for _ in range(3):
        await world.halting.sweep_standing(world.halt_flow)
    await world.engine.settled()
    assert not await world.paper.open_orders()
    (swept,) = world.told(HaltSwept)
    assert (swept.complete, swept.cancelled) == (True, 1)
    await world.close()


@live
async def test_halts_on_a_tape_without_any() -> None:
    assert halts_on(None) == {}


@live
async def test_clearing_tells_what_stands_all_the_same() -> None:
    world = World()
    await world.open()
    await world.halting.raise_to("halt", "mine", by="ada", account=NAME)
    for changed in (False, True):
        if changed:
            await world.halting.raise_to("halt", "all", by="ada")
        answer = await world.halting.clear("over", by="ada")
        assert answer.changed is changed
        assert [(one.account, one.level, one.reason) for one in answer.still] == [(NAME, "halt", "mine")]
    await world.halting.raise_to("alert", "all", by="ada")
    answer = await world.halting.clear("over", by="ada", account=NAME)
    assert [(one.account, one.level) for one in answer.still] == [("", "alert")]
    await world.close()
