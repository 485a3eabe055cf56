"""How the desk hears of an order's end: always, once, and the same when a run is replayed."""

from __future__ import annotations

from typing import Any

from tests.trading.support import SPOT, D, intent
from tests.trading.world import Play, StandIn, now
from tickwork.trading.desk import Cleared, DeskNews, InDoubt


def accepted(world: Play, **changes: Any) -> str:
    run_id = world.start(intent(**changes))
    world.finish()
    placement = world.tapes[run_id].placement
    assert placement is not None
    return placement.require().client_order_id


class Noting:
    """A run that notes what its effects are called with, and makes them."""

    id, owner = "run0", "ann"

    def __init__(self) -> None:
        self.given: list[tuple[Any, ...]] = []

    async def step(self, name: str, fn: Any, *args: Any, blocking: bool | None = None) -> Any:
        raise NotImplementedError

    async def effect(self, name: str, fn: Any, *args: Any, lookup: Any = None, grace: Any = None) -> Any:
        self.given.append(args)
        return await fn(*args, key="0" * 32)


def test_a_cancel_is_called_with_the_same_whatever_the_desk_holds_by_then() -> None:
    world, run = Play(":memory:"), Noting()
    key = accepted(world, quantity="2")
    now(world.desk.cancel(run, key))
    assert world.desk.reservations.symbol_of(key) == ""
    now(world.desk.cancel(run, key))
    assert run.given[0] == run.given[1]


def test_an_order_in_doubt_that_is_refused_before_it_is_sent_again_is_in_doubt_no_more() -> None:
    world, told = Play(":memory:"), list[DeskNews]()
    world.desk._tell = told.append
    world.venue.faults["lost"] = "request lost"
    run_id = world.start(intent(quantity="2", reason="lost"))
    while not told:
        world.advance(run_id)
    world.halt.raise_to("halt", "while nobody knew")
    world.finish()
    placement = world.tapes[run_id].placement
    assert placement is not None
    assert placement.outcome == "refused"
    doubt, cleared = told
    assert isinstance(doubt, InDoubt)
    assert cleared == Cleared(key=doubt.key, order=None)


def test_an_end_that_was_told_is_not_told_again_for_a_late_cancel() -> None:
    world = Play(":memory:")
    key = accepted(world, quantity="2")
    now(world.paper.cancel(key))
    (ended,) = now(world.desk.news()).ended
    world.desk.follow(ended)
    now(world.desk.cancel(StandIn("late", world.tapes["run0"]), key))
    assert now(world.desk.news()).ended == []


def test_an_order_whose_last_fill_came_first_still_ends() -> None:
    world = Play(":memory:")
    key = accepted(world, quantity="2")
    world.trade("100")
    held = world.desk.reservations.get(key)
    assert held is not None
    for one in now(world.paper.fills(SPOT, 0)):
        assert world.desk.apply(one)
    assert now(world.desk.news()).ended == []
    world.desk.expect_end(key, held)
    (ended,) = now(world.desk.news()).ended
    assert (ended.status, ended.filled) == ("filled", D(2))
    assert world.desk.holder_of(key) == held.workflow
    world.desk.follow(ended)
    assert now(world.desk.news()).ended == []
