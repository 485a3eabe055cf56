"""Plans end with their position, a person hears of stops that are blind, and other processes may ask."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.support import live
from tests.service.exiting import BTC, SECOND, START, Bought, House, Moody, holding
from tests.service.test_exits_crashes import PRICES, Death, Script, problems
from tickwork.core.event import Alert
from tickwork.errors import InvalidInput
from tickwork.market.bars import Quote
from tickwork.service.exits_events import (
    ExitClaimed,
    ExitFilled,
    ExitPlanClosed,
    ExitPlanShrunk,
    ExitReleased,
    exit_plans,
)
from tickwork.service.exits_lines import exit_lines
from tickwork.trading.ledger import Ledger
from tickwork.trading.orders import Fill
from tickwork.values import from_ns

D = Decimal


def wire(house: House) -> None:
    """Let each fill that is booked be heard of, and what is held now."""
    account, exits = house.account, house.exits
    book = account._book

    def booked(fill: Fill) -> None:
        book(fill)
        holder = account._holder(fill.client_order_id)
        held: Ledger | None = account.desk.activity.held(holder)
        exits.holding_changed("main", holder, fill.symbol, D(0) if held is None else held.quantity(fill.symbol))

    account._book = booked  # type: ignore[method-assign]
    for name, workflow, symbol in exits.holders():
        held = account.desk.activity.held(workflow)
        exits.holding_changed(name, workflow, symbol, D(0) if held is None else held.quantity(symbol))


class Wired(House):
    async def open(self) -> None:
        await super().open()
        wire(self)

    def told(self, quantity: str) -> None:
        self.exits.holding_changed("main", "buyer", BTC, D(quantity))


@live
async def test_a_plan_whose_position_was_sold_does_not_sell_the_next_one() -> None:
    house = Wired()
    id = await holding(house, stop_loss="0.05")
    house.told("0")
    house.told("0")
    assert house.exits.get(id) is None
    assert [(one.plan_id, one.reason) for one in house.events(ExitPlanClosed)] == [(id, "position gone")]
    house.told("3")
    await house.prices(90, 80)
    assert house.events(ExitClaimed) == []


@live
async def test_a_part_that_was_sold_is_not_sold_again_after_a_restart_either() -> None:
    house = House()
    id = await holding(house, stop_loss="0.05")
    house.exits.holding_changed("main", "buyer", BTC, D("0.4"))
    house.exits.holding_changed("main", "buyer", BTC, D("0.4"))
    assert len(house.events(ExitPlanShrunk)) == 1
    house.kill(flushed=True)
    await house.open()
    state = house.exits.get(id)
    assert state is not None and state.remaining == D("0.4")
    assert house.exits.holders() == [("main", "buyer", BTC)]
    house.exits.holding_changed("main", "buyer", BTC, D("0.4"))
    await house.prices(95, 95)
    assert await house.sales() == [("0.4", "95")]


@live
async def test_what_a_resting_exit_holds_is_looked_at_when_that_has_ended() -> None:
    house = House(lambda paper: Moody(paper, market=False), patience="3s")
    id = await holding(house, takeProfit=[{"profit": "0.1", "share": "0.5"}])
    await house.prices(110, 100)
    house.exits.holding_changed("main", "buyer", BTC, D(0))
    state = house.exits.get(id)
    assert state is not None and (state.remaining, state.on_its_way) == (D("0.5"), D("0.5"))
    await house.prices(*[100] * 6)
    assert house.exits.get(id) is None
    assert house.events(ExitPlanClosed)[0].reason == "position gone"


@live
async def test_fills_that_are_on_the_tape_count_before_the_book_is_told_of_them() -> None:
    house = House(lambda paper: Moody(paper, market=False), patience="1h")
    id = await holding(house, takeProfit=[{"profit": "0.1", "share": "0.5"}])
    await house.prices(110, 100)
    claim = house.events(ExitClaimed)[0].claim
    house.engine.post(ExitFilled(claim=claim, quantity=D("0.3"), client_order_id="x", fill_id="1"))
    house.engine.post(ExitReleased(claim=claim, retry_ns=0, why="cancelled"))
    house.exits.holding_changed("main", "buyer", BTC, D("0.5"))
    state = house.exits.get(id)
    assert state is not None and state.remaining == D("0.5")
    assert house.engine.read(exit_plans, id) == state


@live
async def test_a_plan_for_more_than_is_held_is_cut_when_it_is_made() -> None:
    house = House()
    await house.open()
    house.quote = Quote(BTC, "test", START, D(100), D(100))
    house.exits.holding_changed("main", "buyer", BTC, D("0.3"))
    await house.engine.emit(Bought(quantity="1", rules={"stopLoss": "0.05"}))
    await house.prices(100, 100)
    assert [state.remaining for state in house.exits.plans()] == [D("0.3")]
    with pytest.raises(InvalidInput, match=r"holding\.quantity"):
        house.exits.holding_changed("main", "buyer", BTC, D("NaN"))


@settings(max_examples=15)
@given(
    st.lists(st.tuples(st.integers(1, 80), st.booleans()), max_size=4),
    st.lists(st.sampled_from(["", "lost", "unsent", "reject"]), max_size=3),
)
def test_an_exit_s_own_fills_make_a_plan_smaller_once(deaths: list[Death], moods: list[str]) -> None:
    """Killed again and again, at a moody venue: nobody else sells, so no plan ever gives way."""

    async def life() -> tuple[list[str], int]:
        house = Wired(lambda paper: Moody(paper, *moods))
        await house.open()
        script = Script(house)
        for turns, flushed in deaths:
            await script.die(turns, flushed=flushed)
        await script.play([*PRICES, *[80] * (12 + 12 * len(moods))])
        return await problems(house), len(house.events(ExitPlanShrunk))

    assert asyncio.run(life()) == ([], 0)


@live
async def test_stops_that_are_blind_are_told_once_and_when_they_see_again() -> None:
    house = House()
    await holding(house, stop_loss="0.05")
    began = house.clock.now()
    for later in range(1, 100):
        await house.engine.until(from_ns(began + later * SECOND))
        house.exits.on_quote(Quote(BTC, "test", began - 40 * SECOND, D(90), D(90)))
        house.exits.on_time()
    (alert,) = house.events(Alert)
    assert alert.what == f"the stops of {BTC} at test are blind"
    assert "the last price was stale: " in alert.detail
    house.exits.on_quote(Quote(BTC, "test", house.clock.now(), D(100), D(100)))
    house.exits.on_time()
    house.exits.on_time()
    assert [one.what for one in house.events(Alert)][1:] == [f"the stops of {BTC} at test are judged again"]
    assert house.exits.unjudged == {}


@live
async def test_no_alert_where_prices_are_judged_or_nothing_is_protected() -> None:
    house = House()
    id = await holding(house, stop_loss="0.05")
    await house.prices(*[100] * 45)
    await house.exits.close(id, "enough")
    began = house.clock.now()
    for later in range(1, 60):
        await house.engine.until(from_ns(began + later * SECOND))
        house.exits.on_time()
    assert house.events(Alert) == []


@live
async def test_the_verbs_and_the_tape_tell_the_same() -> None:
    house = House()
    id = await holding(
        house, stop_loss="0.05", trailing={"distance": "0.02", "activation": "0.01"}, takeProfit="balanced"
    )
    await house.prices(102)
    verbs = house.exits.verbs()
    (line,) = await verbs["exits"](account="main")
    assert (line.plan, line.stop, line.stop_reason, line.target) == (id, D("99.96"), "trailing_stop", D(105))
    assert (line.left, line.original, line.trailing, line.state) == (1, 1, "trails", "waits")
    assert exit_lines(house.engine.queries) == [line]
    assert await verbs["exits"](account="other") == []
    assert (await verbs["exits.resize"](plan=id, quantity="0.5")).left == D("0.5")
    with pytest.raises(InvalidInput, match="quantity"):
        await verbs["exits.resize"](plan=id, quantity="many")
    with pytest.raises(InvalidInput, match="reason"):
        await verbs["exits.close"](plan=id)
    await verbs["exits.close"](plan=id, reason="by hand")
    assert await verbs["exits"]() == exit_lines(house.engine.queries) == []
    assert house.engine.items(exit_plans) == {}


PROGRAM = f"""
    import asyncio, sys
    sys.path.insert(0, {str(Path(__file__).parents[2])!r})
    from tests.service.exiting import House, holding

    async def main():
        house = House()
        house.memory = "sqlite:///tape.db"
        await holding(house, stop_loss="0.05")
        house.engine.offer(house.exits.verbs())
        await house.engine.serve()
        await house.engine.close()

    asyncio.run(main())
"""


@pytest.mark.slow
def test_the_face(tmp_path: Path) -> None:
    from tests.faces.support import answer, eventually, tickwork, worker

    def listed(tape: Path) -> Any:
        return answer(tape, "exits")

    with worker(tmp_path, PROGRAM) as tape:
        (line,) = eventually(lambda: tape.exists() and listed(tape))
        assert (line["stop"], line["left"]) == ("95", "1")
        told = tickwork(tape, "exits", "list", "--account", "main")
        assert line["plan"] in told.stdout and "95" in told.stdout
        assert answer(tape, "exits", "resize", line["plan"], "0.4")["left"] == "0.4"
        assert tickwork(tape, "exits", "close", line["plan"]).returncode == 2
    assert json.loads(tickwork(tape, "exits", "--json").stdout)[0]["left"] == "0.4"
    nobody = tickwork(tape, "exits", "close", line["plan"], "--reason", "x")
    assert nobody.returncode == 1 and "no process has this tape open" in nobody.stderr
