"""Alerts over an engine: each firing is on the tape exactly once, whenever the process dies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.support import crash, live, records
from tests.market.alert_model import SECOND, Model, Told, price_alerts, prices, symbols
from tickwork.core.run import Run
from tickwork.core.workflow import workflow
from tickwork.engines.embedded import Engine, Memory
from tickwork.errors import InvalidInput, TapeError
from tickwork.market.alert_events import AlertRearmed, AlertTriggered
from tickwork.market.alerts import PriceAlert
from tickwork.market.bars import Bar
from tickwork.market.position_rules import Position, PositionRule
from tickwork.market.recording import Tick
from tickwork.market.rule_events import RuleTriggered
from tickwork.outcome import Found, NotFound
from tickwork.service.alerts import ALERT_VIEWS, Alerts, Unfed

BTC = "BTC/USDT"


def alert(id: str = "a", threshold: str = "100", condition: Any = "above", **options: Any) -> PriceAlert:
    return PriceAlert(id, options.pop("owner", "me"), options.pop("symbol", BTC), condition, threshold, **options)


def rule(id: str = "r", kind: Any = "price_above", threshold: Any = "100", **options: Any) -> PositionRule:
    return PositionRule(id, options.pop("owner", "me"), kind, threshold, **options)


def price(alerts: Alerts, value: str, second: int, symbol: str = BTC) -> list[str]:
    """Feed one; the ids of what it triggered."""
    return [event.id for event in alerts.on_price(symbol, Decimal(value), second * SECOND)]


async def opened(tape: str | Memory = "memory:", **options: Any) -> tuple[Engine, Alerts]:
    engine = Engine(tape, views=ALERT_VIEWS, **options)
    await engine.open()
    return engine, Alerts(engine)


def told(engine: Engine) -> list[Told]:
    """What the tape tells of price alerts."""
    found: list[Told] = []
    for entry in records(engine, "event"):
        wire = bytes(entry.record.value)
        if entry.record.name == AlertTriggered.event_name:
            fired = AlertTriggered.from_wire(wire)
            found.append(("fired", fired.id, fired.at_ns))
        elif entry.record.name == AlertRearmed.event_name:
            armed = AlertRearmed.from_wire(wire)
            found.append(("rearmed", armed.id, armed.at_ns))
    return found


# ------------------------------------------------------------------------------------------------------- price alerts


@live
async def test_an_alert_fires_and_starts_what_listens_to_it() -> None:
    sent: dict[str, str] = {}

    def send(text: str, *, key: str) -> str:
        sent[key] = text
        return text

    def look(key: str, text: str) -> Found[str] | NotFound:
        return Found(sent[key]) if key in sent else NotFound()

    @workflow("tell", on=AlertTriggered)
    async def tell(run: Run, event: AlertTriggered) -> str:
        return await run.effect("send", send, f"{event.owner}: {event.symbol} {event.current_price}", lookup=look)

    engine, alerts = await opened(workflows=[tell])
    await alerts.set(alert())
    assert price(alerts, "99", 1) == []
    assert price(alerts, "101.5", 2) == ["a"]
    assert price(alerts, "102", 3) == []
    await engine.settled()
    assert list(sent.values()) == ["me: BTC/USDT 101.5"]
    assert alerts.list("me") == []
    await engine.close()


@live
async def test_the_event_names_the_bar() -> None:
    engine, alerts = await opened()
    await alerts.set(alert(note="sell"))
    flat = Decimal("100.5")
    bar = Bar(BTC, "test", 5 * SECOND, SECOND, flat, flat, flat, flat, Decimal(1))
    (event,) = alerts.on_tick(Tick("made", 7, bar))
    assert isinstance(event, AlertTriggered)
    assert (event.recording, event.offset, event.quote_time, event.note) == ("made", 7, bar.end, "sell")
    await engine.close()


@live
async def test_what_stands_can_be_listed() -> None:
    engine, alerts = await opened()
    many = [
        alert("b", recurring=True, cooldown="60s", note="x"),
        alert("c", "200", owner="you"),
        alert("a", "90", "below"),
    ]
    await alerts.set_all(many)
    price(alerts, "100", 5)
    below, recurring = alerts.list("me")
    assert (below.id, below.condition, below.threshold, below.armed, below.fired_at) == (
        "a", "below", Decimal(90), True, None,
    )  # fmt: skip
    assert (recurring.id, recurring.cooldown, recurring.note, recurring.armed) == ("b", "1m", "x", False)
    assert recurring.fired_at == datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)
    assert [one.id for one in alerts.list("you")] == ["c"]
    assert alerts.list("nobody") == []
    await engine.close()


@live
async def test_an_id_belongs_to_its_owner() -> None:
    engine, alerts = await opened()
    await alerts.set(alert())
    await alerts.set_rule(rule())
    with pytest.raises(InvalidInput):
        await alerts.set(alert(owner="you"))
    with pytest.raises(InvalidInput):
        await alerts.set_rule(rule(owner="you"))
    for cancel, id in ((alerts.cancel, "a"), (alerts.cancel_rule, "r")):
        for wrong in (("nothing",), (id, "you")):
            with pytest.raises(InvalidInput):
                await cancel(*wrong)
        await cancel(id, "me")
    assert (list(alerts.list("me")), list(alerts.rules("me"))) == ([], [])
    await engine.close()


@live
async def test_setting_the_same_again_changes_nothing() -> None:
    engine, alerts = await opened()
    one = alert(recurring=True)
    await alerts.set(one)
    price(alerts, "101", 1)
    await alerts.set_rule(rule())
    seq = engine.status()["seq"]
    await alerts.set(one)
    await alerts.set_rule(rule())
    assert engine.status()["seq"] == seq
    assert price(alerts, "101", 2) == []
    # another one of the same id is a new alert
    await alerts.set(alert("a", "100.5", recurring=True))
    assert price(alerts, "101", 3) == ["a"]
    await engine.close()


@live
async def test_of_many_those_before_a_wrong_one_are_set() -> None:
    engine, alerts = await opened()
    await alerts.set(alert("taken", owner="you"))
    with pytest.raises(InvalidInput):
        await alerts.set_all([alert("a"), alert("taken"), alert("b")])
    engine, alerts = await opened(crash(engine))
    assert [one.id for one in alerts.list("me")] == ["a"]
    await engine.close()


@live
async def test_what_is_no_price_decides_nothing() -> None:
    engine, alerts = await opened()
    await alerts.set(alert())
    for wrong in (Decimal("NaN"), Decimal(0), Decimal("Infinity"), 101.0, "101", None):
        with pytest.raises(InvalidInput):
            alerts.on_price(BTC, wrong, SECOND)  # type: ignore[arg-type]
    price(alerts, "99", 5)
    assert price(alerts, "101", 4) == []
    assert alerts.stale == 2  # the alerts ignored it, and so did the rules
    assert price(alerts, "101", 5) == ["a"]
    await engine.close()


@live
async def test_an_engine_without_the_views_is_refused() -> None:
    async with Engine("memory:") as engine:
        with pytest.raises(InvalidInput):
            Alerts(engine)


@live
async def test_a_closed_engine_takes_nothing() -> None:
    engine, alerts = await opened()
    await alerts.set(alert())
    await engine.close()
    with pytest.raises(TapeError):
        price(alerts, "101", 1)
    with pytest.raises(TapeError):
        await alerts.set(alert("b"))


# ------------------------------------------------------------------------------------------------------------- unfed


@live
async def test_symbols_that_nobody_feeds(caplog: pytest.LogCaptureFixture) -> None:
    engine, alerts = await opened()
    alerts.fed = {BTC}
    with caplog.at_level(logging.WARNING, "tickwork.alerts"):
        await alerts.set_all([alert("a"), alert("b", symbol="ETH/USDT"), alert("c", symbol="ETH/USDT")])
        await alerts.set_rule(rule("r", symbol="SOL/USDT"))
        await alerts.set_rule(rule("s"))
        await alerts.set_rule(rule("t", "dte_warning", 5, symbol="AAPL"))
    assert [record.args[1] for record in caplog.records] == ["ETH/USDT", "ETH/USDT", "SOL/USDT"]  # type: ignore[index]
    assert list(alerts.unfed({BTC})) == [Unfed("ETH/USDT", 2, 0), Unfed("SOL/USDT", 0, 1)]
    # a rule on whatever is held looks at what is held
    alerts.on_position(Position("me", "XRP/USDT", 1, at_ns=0))
    assert Unfed("XRP/USDT", 0, 1) in alerts.unfed({BTC})
    await alerts.cancel("b")
    await alerts.cancel("c")
    alerts.on_position(Position("me", "XRP/USDT", 0, at_ns=1))
    assert list(alerts.unfed({BTC, "SOL/USDT"})) == []
    await engine.close()


# ------------------------------------------------------------------------------------------------------------- crashes


@live
async def test_a_firing_that_did_not_reach_the_disk_happens_again() -> None:
    engine, alerts = await opened()
    await alerts.set_all([alert(), alert("r", recurring=True)])
    assert price(alerts, "101", 1) == ["a", "r"]
    engine, alerts = await opened(crash(engine))
    assert [one.armed for one in alerts.list("me")] == [True, True]
    assert price(alerts, "102", 2) == ["a", "r"]
    await engine.durable()
    engine, alerts = await opened(crash(engine))
    assert price(alerts, "103", 3) == []
    assert [(one.id, one.armed) for one in alerts.list("me")] == [("r", False)]
    await engine.close()


@live
async def test_that_it_is_armed_again_is_remembered() -> None:
    engine, alerts = await opened()
    await alerts.set(alert(recurring=True))
    price(alerts, "101", 1)
    price(alerts, "99", 2)
    await engine.durable()
    engine, alerts = await opened(crash(engine))
    # it crossed while nobody looked: without the arming on the tape this would be silence
    assert price(alerts, "101", 3) == ["a"]
    # and older prices, fed again, are no news
    engine, alerts = await opened(crash(engine))
    assert price(alerts, "101", 1) == price(alerts, "99", 2) == []
    assert price(alerts, "101", 3) == ["a"]
    await engine.close()


@live
async def test_a_price_that_went_back_in_a_cooldown_has_armed_it_over_a_restart() -> None:
    one = alert("a", "99", "below", recurring=True, hysteresis="0.01", cooldown="3s")
    for restarts in range(2):
        engine, alerts = await opened()
        await alerts.set(one)
        assert [price(alerts, value, second) for second, value in enumerate(("100", "98", "105"))] == [[], ["a"], []]
        await engine.durable()
        for _ in range(restarts):
            engine, alerts = await opened(crash(engine))
        assert price(alerts, "98", 9) == ["a"]
        # and one that was back, but did not stay there, has not
        assert [price(alerts, value, second) for second, value in enumerate(("105", "98"), 10)] == [[], []]
        await engine.durable()
        for _ in range(restarts):
            engine, alerts = await opened(crash(engine))
        assert price(alerts, "98", 19) == []
        await engine.close()


happenings = st.lists(
    st.one_of(
        price_alerts(),
        st.sampled_from("abcdefgh"),
        st.tuples(symbols, prices, st.integers(0, 3)),
        st.sampled_from(["commit", "kill"]),
    ),
    max_size=50,
)
"""An alert to set, an id to cancel, a price with the seconds since the last one; the disk is waited for; the end."""


@given(happenings, st.data())
def test_whenever_it_is_killed_the_tape_tells_the_same(happened: Sequence[Any], data: st.DataObject) -> None:
    model = Model()

    async def main() -> None:
        engine, alerts = await opened()
        fed: list[tuple[str, Decimal, int]] = []
        known = 0
        """Prices must be fed again from here: all since the disk was last waited for."""
        read = 0
        """They were read from here after the last crash: a checkpoint does not go back."""
        now = 10
        for index, what in enumerate(happened):
            if isinstance(what, PriceAlert) and alerts._alerts.get(what.id) in (None, what):
                if what.id not in alerts._alerts:
                    model.set(what)
                await alerts.set(what)
            elif isinstance(what, PriceAlert):
                await alerts.cancel(what.id)
                await alerts.set(what)
                model.set(what)
            elif isinstance(what, tuple):
                now += what[2]
                fed.append((what[0], what[1], now * SECOND + index))
                alerts.on_price(*fed[-1])
                model.price(*fed[-1])
                continue
            elif what == "kill":
                engine, alerts = await opened(crash(engine))
                read = data.draw(st.integers(read, known), label="fed again from")
                for one in fed[read:]:
                    alerts.on_price(*one)
                continue
            elif what != "commit" and what in alerts._alerts:
                await alerts.cancel(what)
                model.cancel(what)
            await engine.durable()
            known = len(fed)
        await engine.durable()
        assert told(engine) == model.told
        engine, alerts = await opened(crash(engine))
        stand = {one.id: one.armed for owner in ("owner-True", "owner-False") for one in alerts.list(owner)}
        assert stand == {id: one.fired_at is None for id, one in model.standing.items()}
        await engine.close()

    asyncio.run(main())


@settings(max_examples=10)
@given(st.lists(st.one_of(st.tuples(symbols, prices), st.just("kill")), min_size=5, max_size=40), st.data())
def test_on_a_real_disk_too(
    tmp_path_factory: pytest.TempPathFactory, happened: Sequence[Any], data: st.DataObject
) -> None:
    """The writer works beside the loop: what is on disk when it is killed is anybody's guess."""
    path: Path = tmp_path_factory.mktemp("alerts") / "t.db"
    many = [alert(f"up-{n}", f"{96 + n}", recurring=n % 2 == 0) for n in range(8)]
    many += [alert(f"down-{n}", f"{96 + n}", "below", recurring=n % 2 == 0, symbol="ETH/USDT") for n in range(8)]
    model = Model()

    async def main() -> None:
        engine, alerts = await opened(f"sqlite:///{path}")
        await alerts.set_all(many)
        for one in many:
            model.set(one)
        fed: list[tuple[str, Decimal, int]] = []
        for at, what in enumerate(happened):
            if what == "kill":
                await asyncio.sleep(data.draw(st.sampled_from([0, 0.001, 0.003])))
                engine.kill()
                engine, alerts = await opened(f"sqlite:///{path}")
                for each in fed:
                    alerts.on_price(*each)
            else:
                fed.append((what[0], what[1], at))
                alerts.on_price(*fed[-1])
                model.price(*fed[-1])
        await engine.durable()
        assert told(engine) == model.told
        await engine.close()

    asyncio.run(main())


# ------------------------------------------------------------------------------------------------------------- rules


@live
async def test_a_rule_looks_at_positions_as_they_are() -> None:
    engine, alerts = await opened()
    await alerts.set_rule(rule(note="close it"))
    assert price(alerts, "101", 1) == []
    alerts.on_position(Position("me", BTC, "0.5", at_ns=2 * SECOND))
    (event,) = alerts.on_price(BTC, Decimal(102), 3 * SECOND, recording="made", offset=5)
    assert isinstance(event, RuleTriggered)
    assert event.alert.message == "BTC/USDT is at 102, above 100"
    assert (event.quantity, event.note, event.recording, event.offset) == (Decimal("0.5"), "close it", "made", 5)
    assert [position.symbol for position in alerts.positions("me")] == [BTC]
    assert alerts.on_positions("me", [], 4 * SECOND) == []
    assert alerts.positions("me") == []
    (info,) = alerts.rules("me")
    assert (info.beyond, info.fired_at) == ([], datetime(1970, 1, 1, 0, 0, 3, tzinfo=UTC))
    await engine.close()


@live
async def test_a_delta_and_an_expiry() -> None:
    engine, alerts = await opened()
    await alerts.set_rule(rule("d", "delta_breach", "0.3"))
    await alerts.set_rule(rule("e", "dte_warning", 5, recurring=False))
    found = alerts.on_position(Position("me", "AAPL", -1, "-0.4", 5, at_ns=SECOND))
    assert [event.id for event in found] == ["d", "e"]
    assert [one.id for one in alerts.rules("me")] == ["d"]
    await engine.close()


@live
async def test_a_rule_that_has_fired_does_not_fire_again_because_of_a_restart() -> None:
    engine, alerts = await opened()
    await alerts.set_rule(rule("p"))
    await alerts.set_rule(rule("d", "delta_breach", "0.3"))
    position = Position("me", BTC, 1, "0.4", at_ns=0)
    assert [event.id for event in alerts.on_position(position)] == ["d"]
    assert price(alerts, "101", 1) == ["p"]
    # not on disk: it happens again
    engine, alerts = await opened(crash(engine))
    assert [event.id for event in alerts.on_position(position)] == ["d"]
    assert price(alerts, "101", 1) == ["p"]
    await engine.durable()
    # on disk: it does not
    engine, alerts = await opened(crash(engine))
    assert alerts.on_position(position) == []
    assert price(alerts, "101", 1) == price(alerts, "102", 2) == []
    # and is armed by what comes then
    assert price(alerts, "100", 3) == []
    alerts.on_position(Position("me", BTC, 1, "0.3", at_ns=3 * SECOND))
    await engine.durable()
    engine, alerts = await opened(crash(engine))
    assert [info.beyond for info in alerts.rules("me")] == [[], []]
    assert [event.id for event in alerts.on_position(position)] == ["d"]
    assert price(alerts, "101", 4) == ["p"]
    await engine.close()


@live
async def test_prices_of_before_a_rule_are_not_for_it_after_a_restart_either() -> None:
    engine, alerts = await opened()
    alerts.on_position(Position("me", BTC, 1, at_ns=0))
    price(alerts, "101", 1)
    await alerts.set_rule(rule())
    engine, alerts = await opened(crash(engine))
    alerts.on_position(Position("me", BTC, 1, at_ns=0))
    assert price(alerts, "101", 1) == []
    assert price(alerts, "101", 2) == ["r"]
    await engine.close()


@live
async def test_a_position_closed_while_nobody_looked_arms_its_rules() -> None:
    engine, alerts = await opened()
    await alerts.set_rule(rule())
    alerts.on_position(Position("me", BTC, 1, at_ns=0))
    assert price(alerts, "101", 1) == ["r"]
    await engine.durable()
    engine, alerts = await opened(crash(engine))
    alerts.on_positions("me", [], 2 * SECOND)
    alerts.on_position(Position("me", BTC, 1, at_ns=3 * SECOND))
    assert price(alerts, "101", 4) == ["r"]
    await engine.close()


@live
async def test_the_throttle_outlives_a_restart() -> None:
    engine = Engine("memory:", views=ALERT_VIEWS)
    await engine.open()
    alerts = Alerts(engine, throttle="5m")
    await alerts.set_rule(rule("a"))
    await alerts.set_rule(rule("b", threshold="110"))
    alerts.on_position(Position("me", BTC, 1, at_ns=0))
    assert price(alerts, "101", 1) == ["a"]
    await engine.durable()
    engine = Engine(crash(engine), views=ALERT_VIEWS)
    await engine.open()
    alerts = Alerts(engine, throttle="5m")
    alerts.on_position(Position("me", BTC, 1, at_ns=0))
    assert price(alerts, "111", 2) == price(alerts, "111", 300) == []
    assert price(alerts, "111", 301) == ["b"]
    await engine.close()
