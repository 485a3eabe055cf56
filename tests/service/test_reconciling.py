"""Reconciling on the real engine and the paper venue: what is found, what is done about it, races and deaths."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.support import live
from tests.service.guarding import CASH, NAME, World, adjusted, order
from tests.trading.support import SPOT, D, bar, fill
from tickwork.engines.embedded import Engine
from tickwork.errors import InvalidInput
from tickwork.service.bare_flatten import BareAccount, flatten_without_tape
from tickwork.service.halting import HaltRaised
from tickwork.service.positions import Marks, positions
from tickwork.service.reconcile_events import AccountAdjusted, ReconcileAsked, ReconciliationDone, last_done
from tickwork.service.reconciling import Every
from tickwork.service.trading import AccountOpened, OrderEnded, OrderFilled, holdings
from tickwork.trading.adoptions import Policy
from tickwork.trading.orders import Order
from tickwork.values import from_ns


async def reconciled(world: World, **asked: Any) -> ReconciliationDone:
    run = await world.reconciling.start(ReconcileAsked(by="ada", **asked))
    (done,) = await world.engine.handle(run).result()
    assert isinstance(done, ReconciliationDone)
    return done


def foreign(key: str = "someone-elses", price: str = "10") -> Order:
    return Order(
        venue="paper", client_order_id=key, venue_order_id=f"x{key}", account=NAME, symbol=SPOT, side="buy",
        type="limit", quantity=D(1), limit_price=D(price),
    )  # fmt: skip


@live
async def test_equal_books_are_clean_and_the_tape_says_so() -> None:
    world = World()
    await world.open()
    await world.hold("2")
    await world.trade(order("buy", "1", limit_price="90"))
    done = await reconciled(world)
    assert done.clean
    assert world.told(ReconciliationDone) == [done]
    assert last_done(world.engine.queries) == [done]
    assert world.desk._halt.level == "normal"
    await world.close()


@live
async def test_a_fill_nobody_told_us_of_is_booked_before_anything_is_said() -> None:
    world = World()
    await world.open()
    assert await world.trade(order("buy", "2")) == "accepted"
    assert world.bar(100)
    assert (await reconciled(world)).clean  # by asking for news
    assert world.desk.ledger.quantity(SPOT) == D(2)
    assert len(world.told(OrderFilled)) == 1
    await world.close()


@live
async def test_a_fill_of_an_order_that_is_forgotten_is_booked_once() -> None:
    world = World()
    await world.open()
    await world.hold("2")
    # one more of the same order, long after it ended
    late = fill(77, "buy", "1", "100", "0.1", venue="paper", client_order_id=next(iter(world.whose)))
    world.wire.more_fills = [late]
    world.wire.more_balance = {"BTC": D(1), "USDT": D("-100.1")}
    done = await reconciled(world)
    (line,) = done.findings
    assert (line.kind, line.key, line.action, line.settled) == ("missing_fill", "77", "book", True)
    assert done.clean
    assert done.level == "normal"
    assert world.desk.ledger.quantity(SPOT) == D(3)
    assert (await reconciled(world)).findings == ()
    assert len(world.told(OrderFilled)) == 2
    await world.close()


@live
async def test_critical_halts_major_alerts_and_nothing_is_done_without_a_word() -> None:
    for more, level in (("0.5", "normal"), ("5", "normal"), ("50", "alert"), ("500", "halt")):
        world = World()
        await world.open()
        world.wire.more_balance = {"USDT": D(more)}
        done = await reconciled(world)
        assert not done.clean
        assert done.level == level == world.desk._halt.level
        (line,) = done.findings
        assert (line.action, line.difference) == ("ask", D(more))
        assert [one.made_by for one in world.told(HaltRaised)] == (["rule"] if level != "normal" else [])
        await reconciled(world)
        assert len(world.told(HaltRaised)) == (level != "normal")
        assert not adjusted(world)
        await world.close()


@live
async def test_a_word_settles_what_was_there_before_also_after_a_restart() -> None:
    for word in ("adopt", "leave"):
        world = World()
        await world.open()
        await world.hold("2")
        world.wire.more_balance = {"USDT": D(500), "BTC": D(1)}
        world.wire.foreign = [foreign()]
        assert len((await reconciled(world)).findings) == 3
        done = await reconciled(world, balances=word, orphan_orders=word)
        assert done.clean
        assert [one.settled for one in done.findings] == [True] * 3
        assert len(adjusted(world)) == 3
        assert (await reconciled(world)).clean
        quantity, cash = world.desk.ledger.quantity(SPOT), world.desk.ledger.cash("USDT")
        assert quantity == (D(3) if word == "adopt" else D(2))
        world.kill()
        await world.open()
        assert (world.desk.ledger.quantity(SPOT), world.desk.ledger.cash("USDT")) == (quantity, cash)
        world.desk.ledger.check()
        assert (await reconciled(world)).findings == ()
        assert len(adjusted(world)) == 3
        await world.close()


@live
async def test_orders_of_nobody_are_cancelled_by_policy() -> None:
    world = World(policy=Policy(orphan_orders="cancel"))
    await world.open()
    world.wire.foreign = [foreign("a"), foreign("b")]
    done = await reconciled(world)
    assert {one.action for one in done.findings} == {"cancel"}
    assert done.clean
    assert world.wire.foreign == []
    await world.close()


@live
async def test_a_word_counts_more_than_what_a_policy_has_left() -> None:
    for word in ("cancel", "adopt"):
        world = World(policy=Policy(orphan_orders="leave"))
        await world.open()
        world.wire.foreign = [foreign("a")]
        assert (await reconciled(world)).clean
        assert (await reconciled(world)).findings == ()
        done = await reconciled(world, orphan_orders=word)
        assert [(one.action, one.settled) for one in done.findings] == [(word, True)]
        assert done.clean
        assert (world.wire.foreign == []) is (word == "cancel")
        assert (world.desk.reservations.state_of("a") is not None) is (word == "adopt")
        await world.close()


@live
async def test_an_order_without_a_client_id_stays_reported() -> None:
    world = World(policy=Policy(orphan_orders="leave"))
    await world.open()
    world.wire.foreign = [foreign("")]
    assert (await reconciled(world)).clean
    for word in ("cancel", "adopt"):
        done = await reconciled(world, orphan_orders=word)
        (line,) = done.findings
        assert not done.clean
        assert line.outcome.startswith("it bears no client id: cancel it at the venue")
    await world.close()


@live
async def test_books_that_hold_what_somebody_else_has_sold_are_not_clean_because_that_was_left() -> None:
    world = World()
    await world.open()
    await world.hold("2")
    world.wire.more_fills = [fill(77, "sell", "1", "100", venue="paper", client_order_id="theirs")]
    world.wire.more_balance = {"BTC": D(-1), "USDT": D(100)}
    done = await reconciled(world, balances="leave")
    (line,) = done.findings
    assert (line.kind, line.action, line.settled, done.clean) == ("foreign_fill", "leave", False, False)
    assert "1 BTC" in line.outcome
    for word in ("", "leave"):
        done = await reconciled(world, balances=word)
        (line,) = done.findings
        assert (line.kind, line.action, line.difference, done.clean) == ("shortage", "ask", D(-1), False)
        assert done.level == "normal", "somebody has decided about it"
    assert (await reconciled(world, balances="adopt")).clean
    assert world.desk.ledger.quantity(SPOT) == D(1)
    assert (await reconciled(world)).findings == ()
    await world.close()


@live
async def test_the_gates_ledger_and_the_positions_of_the_tape_are_one() -> None:
    world = World()
    await world.open()
    world.engine.post(AccountOpened(account=NAME, venue="paper", currency="USDT", amount=CASH["USDT"]))
    await world.hold("2")
    world.wire.more_balance = {"BTC": D(1), "USDT": D(7)}
    assert (await reconciled(world, balances="adopt")).clean
    found = positions(world.engine.queries, Marks())
    (line,) = found.positions
    assert (line.account, D(line.quantity), D(line.cost)) == (NAME, D(3), world.desk.ledger.cost(SPOT))
    assert {name: D(held) for name, held in line.workflows.items()} == {"trader": D(2)}
    assert D(found.cash) == world.desk.ledger.cash("USDT")
    await world.close()


@live
async def test_positions_are_told_apart_by_account() -> None:
    async with Engine("memory:", views=[]) as engine:
        for number, name in enumerate(("main", "other"), 1):
            engine.post(AccountOpened(account=name, venue="paper", currency="USDT", amount=D(100)))
            made = fill(number, "buy", number, "10", venue="paper", account=name)
            engine.post(OrderFilled.of(made, "trader", "", from_ns(0)))
        await engine.durable()
        found = positions(engine.queries, Marks(prices={SPOT: D(20)}))
    assert [(one.account, one.quantity) for one in found.positions] == [("main", "1"), ("other", "2")]
    assert [one.workflows for one in found.positions] == [{"trader": "1"}, {"trader": "2"}]
    assert (found.capital, found.cash, found.equity) == ("200", "170", "230")


@live
async def test_what_was_flattened_without_a_tape_is_booked_as_the_holders() -> None:
    world = World()
    await world.open()
    await world.hold("2")
    world.kill()

    async def sleep(seconds: float) -> None:
        world.bar(100)

    bare = BareAccount(
        name=NAME, currency="USDT", venue=world.wire, nonce=b"n" * 16, clock=world.clock.now, sleep=sleep,
        symbols=(SPOT,),
    )  # fmt: skip
    assert (await flatten_without_tape(bare)).complete
    await world.open()
    assert world.desk.ledger.quantity(SPOT) == D(2)
    done = await reconciled(world)
    assert [(one.kind, one.action) for one in done.findings] == [("missing_fill", "book")]
    assert done.clean
    assert world.desk.ledger.positions() == {}
    assert {one.quantity for one in world.engine.items(holdings).values()} == {D(0)}
    held = world.desk.activity.held("trader")
    assert held is not None
    assert held.quantity(SPOT) == 0
    assert (await reconciled(world)).findings == ()
    world.kill()
    await world.open()
    assert world.desk.ledger.positions() == {}
    assert (await reconciled(world)).findings == ()
    await world.close()


@live
async def test_an_order_the_venue_has_no_trace_of_ends() -> None:
    world = World()
    await world.open()
    await world.trade(order("buy", "1", limit_price="90"))
    (key,) = [one.client_order_id for one in await world.paper.open_orders()]
    world.wire.hidden = {key}
    done = await reconciled(world)
    (line,) = done.findings
    assert (line.kind, line.key, line.action) == ("missing_order", key, "end")
    (ended,) = world.told(OrderEnded)
    assert (ended.client_order_id, ended.status) == (key, "expired")
    assert "no trace" in ended.reason
    assert world.desk.reservations.state_of(key) is None
    assert (await reconciled(world)).clean
    await world.close()


async def nothing() -> list[Order]:
    return []


@live
async def test_what_cannot_be_looked_at_is_said_and_is_no_empty_answer() -> None:
    for method in ("balances", "open_orders", "fills", "find"):
        world = World()
        await world.open()
        await world.hold("2")
        await world.trade(order("buy", "1", limit_price="90"))
        world.wire.faults = {method: ["before"] * 50}
        if method == "find":
            # it is not listed, and cannot be looked for
            world.paper.open_orders = nothing  # type: ignore[method-assign]
        done = await reconciled(world)
        assert not done.clean
        assert done.unseen
        assert all("ConnectionError" in why for why in done.unseen.values())
        assert done.findings == ()
        assert done.level == "normal"
        assert "expired" not in [one.status for one in world.told(OrderEnded)]
        await world.close()


@live
async def test_a_fee_that_the_venue_tells_otherwise() -> None:
    world = World()
    await world.open()
    await world.hold("2")
    (booked,) = await world.paper.fills(SPOT, 0)
    real = world.paper.fills

    async def fills(symbol: str, since: int) -> list[Any]:
        return [replace(one, fee=one.fee + 20) for one in await real(symbol, since)]

    world.paper.fills = fills  # type: ignore[method-assign]
    world.wire.more_balance = {"USDT": D(-20)}
    (line,) = (await reconciled(world)).findings
    assert (line.kind, line.key, line.value, line.severity) == ("altered_fill", booked.fill_id, D(20), "major")
    assert (await reconciled(world, balances="adopt")).clean
    assert (await reconciled(world)).findings == ()
    await world.close()


# --------------------------------------------------------------------------------------------------------------- races


moments = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from(["bar", "order", "cancel"])), min_size=1, max_size=8
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(moments)
def test_a_picture_taken_while_orders_trade_shows_nothing_that_is_not_so(plan: list[tuple[int, str]]) -> None:
    """Between any two calls orders trade, end and are listed: what the looks agree on is nothing."""

    async def law() -> None:
        world = World()
        await world.open()
        for price in ("99", "98", "97", "96"):
            await world.trade(order("buy", "1", limit_price=price))
        world.price = D(100)
        calls = 0
        left = dict(plan)
        down = D(100)

        def meanwhile(method: str) -> None:
            nonlocal calls, down
            calls += 1
            act = left.pop(calls, None)
            if act == "bar":
                down -= 1
                world.paper.on_bar(bar(D(100), low=down - D("0.5"), index=world.bars), world.bars)
                world.bars += 1
            elif act == "cancel":
                for by_key in world.paper._state.open.values():
                    for key in list(by_key)[:1]:
                        world.paper._cancel(key)

        world.wire.meanwhile = meanwhile
        done = await reconciled(world)
        assert done.findings == (), done
        assert done.level == "normal"
        world.wire.meanwhile = None
        assert (await reconciled(world)).clean
        await world.close()

    live(law)()


@live
async def test_balances_of_an_account_that_never_stands_still_are_not_judged() -> None:
    world = World()
    await world.open()
    for number in range(40):
        await world.trade(order("buy", "0.1", limit_price=str(99 - number)))
    low = Decimal("99.5")

    def meanwhile(method: str) -> None:
        nonlocal low
        if method == "balances":
            low -= 1
            world.paper.on_bar(bar(D(100), low=low, index=world.bars), world.bars)
            world.bars += 1

    world.wire.meanwhile = meanwhile
    done = await reconciled(world)
    assert (done.clean, set(done.unseen), done.findings) == (False, {"balances"}, ())
    await world.close()


# -------------------------------------------------------------------------------------------------------------- deaths


@pytest.mark.parametrize("flushed", [True, False])
def test_a_death_at_any_turn_settles_everything_once(flushed: bool) -> None:
    async def law(lives: int) -> bool:
        world = World(policy=Policy(orphan_orders="adopt", balances="adopt"))
        await world.open()
        await world.hold("2")
        late = fill(77, "buy", "1", "100", "0.1", venue="paper", client_order_id=next(iter(world.whose)))
        world.wire.more_fills = [late]
        world.wire.more_balance = {"BTC": D(2), "USDT": D("399.9")}
        world.wire.foreign = [foreign()]
        await world.reconciling.start(ReconcileAsked(by="ada"))
        over = await world.live(lives, flushed=flushed)
        await world.open()
        await world.engine.settled()
        assert (await reconciled(world)).clean
        assert (await reconciled(world)).findings == ()
        assert world.desk.ledger.quantity(SPOT) == D(4)
        assert world.desk.ledger.holding("USDT") == (await world.wire.balances())["USDT"].total
        assert len([one for one in world.told(OrderFilled) if one.fill_id == "77"]) == 1
        ids = [one.id for one in adjusted(world)]
        assert len(ids) == len(set(ids)) == 3
        world.desk.ledger.check()
        assert world.desk._halt.level == "normal"
        await world.close()
        return over

    @live
    async def main() -> None:
        for lives in range(400):
            if await law(lives):
                return
        raise AssertionError("it never ended")

    main()


# --------------------------------------------------------------------------------------------------------------- other


@live
async def test_the_schedule_reconciles_all_accounts() -> None:
    from tickwork.values import from_ns

    world = World()
    world.every = "5 minutes"
    await world.open()
    await world.engine.until(from_ns(world.clock.now() + 11 * 60 * 1_000_000_000))
    assert [one.by for one in world.told(ReconciliationDone)] == ["schedule", "schedule"]
    await world.close()


@live
async def test_no_such_account() -> None:
    world = World()
    await world.open()
    with pytest.raises(InvalidInput, match="mian"):
        await world.reconciling.start(ReconcileAsked(account="mian"))
    assert await world.reconciling.verbs()["reconcile"]()
    await world.close()


def test_every() -> None:
    minutes = Every("5 minutes")
    assert minutes.next(0) == 300_000_000_000 == minutes.next(299_999_999_999)
    assert minutes.next(300_000_000_000) == 600_000_000_000
    assert str(minutes) == "every 5m"
    with pytest.raises(InvalidInput):
        Every("0s")


def test_an_adoption_comes_back_from_its_event() -> None:
    told = AccountAdjusted.from_wire(
        b'{"id":"a","account":"main","venue":"paper","action":"adopt","finding":"f","detail":"d","by":"ada",'
        b'"at":"2026-01-01T00:00:00Z","taken":[{"asset":"BTC","amount":"1","symbol":"BTC/USDT","price":"100"}],'
        b'"left":{"BNB":"-2"}}'
    )
    again = AccountAdjusted.from_wire(told.to_wire())
    assert again.adoption() == told.adoption()
    assert told.adoption().left == {"BNB": D(-2)}
