"""Pairs of nodes: funds set aside and released, portfolios noted and reverted; under any interleaving."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.support import live, park, turns
from tests.graph.support import RecordedProvider
from tests.graph.trading import CASH, World
from tickwork.core.queue import Queue
from tickwork.core.run import Run
from tickwork.errors import InvalidInput, Refused
from tickwork.graph.declare import DECLARED, Context
from tickwork.graph.nodes import messages, orders
from tickwork.graph.nodes.flow import gate
from tickwork.graph.nodes.orders import place_order
from tickwork.graph.nodes.placing import Placed
from tickwork.graph.nodes.positions import immediate_hedge
from tickwork.graph.nodes.saga import release_funds, reserve_funds, revert_portfolio, update_portfolio
from tickwork.graph.nodes.views import reserved_funds

BTC = "BTC/USD"
D = Decimal


def reserving(world: World, amount: str | None = None, node: str = "here", **more: Any) -> Any:
    async def body(run: Run, context: Context) -> Any:
        wanted = None if amount is None else D(amount)
        return await reserve_funds(run, amount=wanted, trader=world.trader, context=world.context(run, node), **more)

    return body


def releasing(world: World, reservation: str) -> Any:
    async def body(run: Run, context: Context) -> Any:
        return await release_funds(run, reservation, trader=world.trader)

    return body


async def set_aside(world: World) -> Decimal:
    async def body(run: Run, context: Context) -> Any:
        found = await reserved_funds.get("main")
        return found.total(context.now) if found else D(0)

    total: Decimal = await world.do(body)
    return total


# --------------------------------------------------------------------------------------------------------------- funds


@live
async def test_no_two_runs_set_the_same_money_aside() -> None:
    async with World().open() as world:
        first = await world.do(reserving(world, "60000"))
        assert (first.reserved, first.currency) == (60_000, "USD")
        with pytest.raises(Refused, match=r"40000 USD free.*60000"):
            await world.do(reserving(world, "60000"))
        assert (await world.do(releasing(world, first.reservation))).released == 60_000
        assert (await world.do(releasing(world, first.reservation))).released == 0
        assert (await world.do(reserving(world, "100000"))).reserved == 100_000


@live
async def test_at_once_as_many_get_money_as_there_is() -> None:
    async with World().open() as world:
        world.bodies += [reserving(world, "30000") for _ in range(8)]
        handles = [await world.engine.start(world.body, number, owner="me") for number in range(8)]
        ended = []
        for handle in handles:
            try:
                await handle.result()
                ended.append(True)
            except Refused:
                ended.append(False)
        assert sum(ended) == 3
        assert await set_aside(world) == 90_000 <= CASH


@live
async def test_money_is_free_again_after_its_time() -> None:
    async with World().open() as world:
        await world.do(reserving(world, "90000", valid_for="10 minutes"))
        world.clock.jump(world.clock.now() + 600 * 10**9)
        assert await set_aside(world) == 0
        await world.do(reserving(world, "90000"))


@live
async def test_how_much_is_said_once() -> None:
    async with World().open() as world:
        part = await world.do(reserving(world, fraction=D("0.1")))
        assert part.reserved == CASH / 10
        world.event = {"amount": "250.5"}
        assert (await world.do(reserving(world))).reserved == D("250.5")
        with pytest.raises(InvalidInput, match="one of"):
            await world.do(reserving(world, "1", fraction=D("0.1")))
        world.event = {}
        with pytest.raises(InvalidInput):
            await world.do(reserving(world))


@live
async def test_an_order_spends_what_was_set_aside_for_it() -> None:
    sizes = []
    for at in (200, 400):
        async with World(RecordedProvider("bitstamp", "bitstamp-btc-usd-1d", at=at)).open() as world:

            async def body(run: Run, context: Context, world: World = world) -> Any:
                funds = await reserve_funds(run, amount=D(1000), trader=world.trader, context=context)
                return await place_order(
                    run, True, None, None, None, funds.reservation, funds.reserved, symbol=BTC, side="buy",
                    context=context, **world.sources,
                )  # fmt: skip

            found = await world.do(body)
            assert found.quantity * world.sides[0].latest(BTC).close * D("1.001") < 1000
            assert await set_aside(world) == 0
            sizes.append(found.quantity)
    assert sizes[0] != sizes[1]


# ----------------------------------------------------------------------------------------------------------- portfolio


def updating(world: World, node: str = "here", orders: Any = None, **settings: Any) -> Any:
    async def body(run: Run, context: Context) -> Any:
        return await update_portfolio(run, orders, context=world.context(run, node), **settings)

    return body


def reverting(world: World, change: str, portfolio: str = "main") -> Any:
    async def body(run: Run, context: Context) -> Any:
        return await revert_portfolio(run, change, portfolio, context=context)

    return body


@live
async def test_a_portfolio_notes_what_was_ordered() -> None:
    async with World().open() as world:

        async def body(run: Run, context: Context) -> Any:
            placed = await place_order(run, symbol=BTC, side="buy", notional=D(1000), context=context, **world.sources)
            return placed, await update_portfolio(run, placed.orders, context=context)

        placed, updated = await world.do(body)
        assert updated.holdings == {BTC: placed.quantity}
        back = await world.do(reverting(world, updated.change))
        assert (back.reverted, back.holdings) == (True, {})
        again = await world.do(reverting(world, updated.change))
        assert (again.reverted, again.holdings) == (False, {})


@live
async def test_what_was_not_placed_changes_nothing() -> None:
    async with World().open() as world:
        tried = [Placed(BTC, "buy", D(1), "refused"), Placed(BTC, "sell", D(2), "filled", client_order_id="a")]
        assert (await world.do(updating(world, orders=tried))).holdings == {BTC: D(-2)}
        assert (await world.do(updating(world, orders=[], portfolio="other"))).holdings == {}
        with pytest.raises(InvalidInput, match="nothing"):
            await world.do(updating(world))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["A", "B", "C"]), st.decimals("-9", "9", places=3)), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
)
def test_reverting_takes_back_just_its_own(changes: list[tuple[str, Decimal]], random: Any) -> None:
    @live
    async def check() -> None:
        async with World(RecordedProvider("bitstamp", "bitstamp-btc-usd-1d")).open() as world:
            noted = [await world.do(updating(world, changes={symbol: amount})) for symbol, amount in changes]
            order = list(range(len(changes)))
            random.shuffle(order)
            kept, gone = order[: len(order) // 2], order[len(order) // 2 :]
            for number in gone * 2:
                await world.do(reverting(world, noted[number].change))
            wanted: dict[str, Decimal] = {}
            for number in kept:
                symbol, amount = changes[number]
                wanted[symbol] = wanted.get(symbol, D(0)) + amount
            found = await world.do(reverting(world, "none"))
            assert found.holdings == {symbol: amount for symbol, amount in wanted.items() if amount}

    check()


def test_pairs_know_each_other_and_pass_each_other_what_they_need() -> None:
    for done, undone in (
        ("reserve_funds", "release_funds"),
        ("place_order", "cancel_order"),
        ("buy", "cancel_order"),
        ("trade_execution", "cancel_order"),
        ("update_portfolio", "revert_portfolio"),
        ("send_notification", "send_failure_alert"),
    ):
        one, back = DECLARED[done], DECLARED[undone]
        assert one.undo == undone
        given = {*one.outputs, *one.inputs}
        needed = {name for name, port in back.inputs.items() if port.required}
        assert needed <= given
        assert not [name for name, setting in back.params.items() if setting.required]


@live
async def test_what_was_done_is_not_done_again_when_a_run_is_put_aside_and_goes_on() -> None:
    begun = []
    async with World().open(Queue("execution")) as world:

        async def body(run: Run, context: Context) -> Any:
            begun.append(run.id)
            here: dict[str, Any] = {"context": context, **world.sources}
            funds = await reserve_funds(run, fraction=D("0.1"), trader=world.trader, context=context)
            placed = await place_order(
                run, True, None, None, None, funds.reservation, funds.reserved, symbol=BTC, side="buy", **here
            )
            await update_portfolio(run, placed.orders, context=context)
            await messages.notify(run, message="bought", context=context)
            await messages.queue_for_execution(run, "BUY", context=context)
            await orders.trade_execution(run, "SELL", None, BTC, **here)
            await orders.sell(run, symbol=BTC, notional=D(100), on_refusal="report", **here)
            await immediate_hedge(run, **here)
            yes = await gate(run, question="on?", context=context)
            back = await orders.cancel_order(
                run, True, "", "", placed.orders, context=world.context(run, undoing="x"), **world.sources
            )
            return yes.approved, back.cancelled == [placed.client_order_id]

        world.bodies.append(body)
        handle = await world.engine.start(world.body, 0, owner="me")
        await turns(300)
        await world.engine.durable()
        park(world.engine)
        # the world has moved on meanwhile: prices, money, what the venue asks
        world.sides[0].at += 50
        branch = world.branches[0]
        branch.rules[BTC] = replace(branch.rules[BTC], quantity_step=D("0.1"))
        (question,) = world.engine.queries.approvals()
        await world.engine.approve(question.id, yes=True, by="ann")
        await handle.result()
        assert len(begun) == 2
        assert world.results[0] == (True, True)
        assert len(world.events("trading/order.accepted")) == 1
        assert len(world.events("tickwork/notify")) == 1
        assert await world.trader.open_orders() == []
