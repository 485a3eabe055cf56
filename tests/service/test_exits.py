"""Exits of an account on paper: claimed, placed through the desk, followed to their end."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.engine.support import live
from tests.service.exiting import BTC, SECOND, SMALL, START, SWAP, Bought, House, Moody, holding
from tickwork.core.event import Alert
from tickwork.errors import InvalidInput
from tickwork.market.bars import Quote
from tickwork.service.exits_events import ExitFilled, ExitPlanClosed, ExitPlanOpened, ExitReleased
from tickwork.service.trading import OrderEnded, OrderFilled
from tickwork.venues.paper import PaperVenue

D = Decimal


@live
async def test_a_stop_sells_what_is_held_and_closes_the_plan() -> None:
    house = House()
    id = await holding(house, stop_loss="0.05", takeProfit="balanced")
    await house.prices(97, 95, 94)
    assert house.reasons() == ["stop_loss"]
    assert await house.sales() == [("1", "94")]
    assert house.exits.get(id) is None
    (closed,) = house.events(ExitPlanClosed)
    assert (closed.plan_id, closed.reason) == (id, "sold")
    await house.prices(90, 110, 130)
    assert house.reasons() == ["stop_loss"]


@live
async def test_a_ladder_sells_shares_of_the_original() -> None:
    house = House()
    id = await holding(house, takeProfit="balanced", trailing={"distance": "0.05", "activation": "0.1"})
    await house.prices(105, 105, 112, 112)
    state = house.exits.get(id)
    assert state is not None
    assert state.remaining == D("0.40")
    await house.prices(130, 120, 120)
    assert house.reasons() == ["take_profit", "take_profit", "take_profit", "trailing_stop"]
    assert await house.sales() == [("0.25", "105"), ("0.35", "112"), ("0.25", "120"), ("0.15", "120")]


@live
async def test_a_short_is_bought_back() -> None:
    house = House()
    await holding(house, symbol=SWAP, short=True, stop_loss="0.05")
    await house.prices(104, 105, 106, symbol=SWAP)
    assert await house.sales() == [("1", "106")]
    assert house.account.desk.ledger.quantity(SWAP) == 0


@live
async def test_held_too_long() -> None:
    house = House()
    await holding(house, max_hold="5s", stop_loss="0.5")
    await house.prices(*[100] * 8)
    assert house.reasons() == ["time_limit"]
    assert await house.sales() == [("1", "100")]


@live
async def test_plans_are_there_again_after_a_restart() -> None:
    house = House()
    id = await holding(house, trailing={"distance": "0.05"}, takeProfit=[{"profit": "0.1", "share": "0.5"}])
    await house.prices(110, 110, 108)
    stop = house.exits.stop_of(id)
    assert stop is not None and stop.price == D("104.50")
    house.kill(flushed=True)
    await house.open()
    assert house.exits.stop_of(id) == stop
    assert len(house.events(ExitPlanOpened)) == 1
    await house.prices(105, 104, 103)
    assert await house.sales() == [("0.5", "110"), ("0.5", "103")]
    assert [str(event.quantity) for event in house.events(ExitFilled)] == ["0.50", "0.50"]


@live
async def test_a_stop_that_is_turned_away_goes_on_and_a_person_is_told() -> None:
    moody: list[Moody] = []

    def wrap(paper: PaperVenue) -> Any:
        moody.append(Moody(paper, *["reject"] * 4))
        return moody[0]

    house = House(wrap)
    id = await holding(house, stop_loss="0.05")
    await house.prices(95)
    assert house.reasons() == ["stop_loss"]
    await house.prices(*[99] * 40)
    assert [kind for kind, _ in moody[0].sent] == ["market", "limit", "market", "limit", "market"]
    assert moody[0].sent[1][1] == "97.02"  # two slippages of one percent below 99
    assert await house.sales() == [("1", "99")]
    released = [one for one in house.events(ExitReleased) if one.why]
    pauses = [(one.retry_ns - START) // SECOND for one in released]
    assert pauses == sorted(pauses) and len(released) == 4
    (alert,) = house.events(Alert)
    assert alert.what == f"stop_loss of {id} ({BTC}, account main) has failed 3 times"
    assert house.exits.get(id) is None


@live
async def test_an_answer_that_is_lost_sells_once() -> None:
    house = House(lambda paper: Moody(paper, "lost"))
    await holding(house, stop_loss="0.05")
    await house.prices(95, 94, 94, 94)
    assert house.reasons() == ["stop_loss"]
    assert await house.sales() == [("1", "94")]


@live
async def test_where_there_are_no_market_orders_a_limit_rests_for_a_while() -> None:
    house = House(lambda paper: Moody(paper, market=False), patience="3s")
    id = await holding(house, stop_loss="0.05")
    await house.prices(95, 90, 90, 90, 90, 90)
    assert await house.sales() == []
    assert "cancelled" in [event.status for event in house.events(OrderEnded)]
    await house.prices(90, 90, 90, 90, 90, 90)
    assert await house.sales() == [("1", "90")]
    assert house.exits.get(id) is None
    assert set(house.reasons()) == {"stop_loss"}


@live
async def test_a_stop_cancels_a_target_that_rests() -> None:
    house = House(lambda paper: Moody(paper, market=False), patience="1h")
    await holding(house, stop_loss="0.05", takeProfit=[{"profit": "0.1", "share": "0.5"}])
    await house.prices(110, 94, 94, 94, 94, 94, 94)
    assert house.reasons() == ["take_profit", "stop_loss", "stop_loss"]
    sold = await house.sales()
    assert sum(D(quantity) for quantity, _ in sold) == 1
    assert house.account.desk.ledger.quantity(BTC) == 0


@live
async def test_workflows_that_share_an_account_sell_only_their_own() -> None:
    house = House()
    await holding(house, stop_loss="0.05")
    await house.engine.emit(Bought(quantity="2", rules={"stop_loss": "0.2"}))
    await house.prices(100, 100)
    assert len(house.exits.plans()) == 2
    await house.prices(95, 95, 95)
    (left,) = house.exits.plans("main")
    assert (left.remaining, house.account.desk.ledger.quantity(BTC)) == (D(2), D(2))


@live
async def test_a_position_that_was_sold_by_hand_is_not_sold_again() -> None:
    house = House()
    id = await holding(house, stop_loss="0.05")
    await house.exits.resize(id, D("0.4"))
    await house.prices(95, 95)
    assert await house.sales() == [("0.4", "95")]
    assert house.events(ExitPlanClosed)[0].reason == "sold"
    with pytest.raises(InvalidInput, match="the id of a plan that is open"):
        await house.exits.close(id, "again")


@live
async def test_closing_a_plan_cancels_what_is_on_its_way() -> None:
    house = House(lambda paper: Moody(paper, market=False), patience="1h")
    id = await holding(house, takeProfit=[{"profit": "0.1"}])
    await house.price(110)
    await house.price(100)
    await house.exits.close(id, "the workflow sells it")
    await house.prices(100, 120, 120)
    assert await house.sales() == []
    assert [event.status for event in house.events(OrderEnded)][1:] == ["cancelled"]
    assert house.exits.plans() == []


@live
async def test_a_holding_that_is_gone_ends_the_plan() -> None:
    """Somebody sold what the workflow held in its name, and told nobody."""
    house = House()
    id = await holding(house, stop_loss="0.05")
    fill = house.events(OrderFilled)[0]
    house.engine.post(fill.replace(fill_id="99", side="sell"))
    await house.prices(95, 95)
    assert await house.sales() == []
    assert [(event.plan_id, event.reason) for event in house.events(ExitPlanClosed)] == [(id, "nothing held")]
    assert house.exits.get(id) is None


@live
async def test_more_than_one_order_may_be_goes_in_several() -> None:
    house = House()
    await house.open()
    house.quote = Quote(SMALL, "test", START, D(100), D(100))
    for _ in range(3):
        await house.engine.emit(Bought(quantity="4", rules={"stopLoss": "0.05"}, symbol=SMALL))
    await house.prices(100, 100, symbol=SMALL)
    first, *others = house.exits.plans()
    for other in others:
        await house.exits.close(other.plan.id, "one plan for all")
    await house.exits.resize(first.plan.id, D(12))
    await house.prices(*[94] * 6, symbol=SMALL)
    assert await house.sales() == [("4", "100"), ("4", "100"), ("5", "94"), ("5", "94"), ("2", "94")]
