"""The workflows that deliver, on the engine: what happens to a notification, whatever happens to the process."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.support import crash, live
from tests.notify.support import NOON, ONE_TRY, Services, note, outcomes
from tickwork.core.event import Alert, Event
from tickwork.core.retry import Retry
from tickwork.core.run import Run
from tickwork.core.workflow import workflow
from tickwork.engines.embedded import Engine
from tickwork.notify.events import NotificationFailed, NotificationSent, NotificationSuppressed, Severity
from tickwork.notify.notifier import NOTIFY, channel_states, notifier
from tickwork.notify.plan import Message
from tickwork.notify.rules import Channel, Limit, QuietHours, Route, Rules
from tickwork.values import NS_PER_SECOND, from_ns

HOUR = 3_600 * NS_PER_SECOND
EVENING = QuietHours("12:30", "20:00", "UTC")
PLENTY = Limit(100, "1h", reserve=0)


@live
async def test_any_workflow_may_notify() -> None:
    services = Services()

    class Fell(Event, name="notify-test/fell"):
        price: int

    @workflow("tell", on=Fell)
    async def tell(run: Run, fell: Fell) -> None:
        await run.emit(note(f"fell to {fell.price}", "warning", owner="alice", body="Look at it."))

    made = notifier(Rules((Channel("phone"),)), services.send)
    async with Engine("memory:", workflows=[tell, *made.workflows], views=made.views, clock=services.clock) as engine:
        await engine.emit(Fell(price=7))
        await engine.settled()
        sent = engine.queries.events(NotificationSent.event_name)
    ((_, channel, message, key),) = services.arrived
    assert (channel, message) == (
        "phone",
        Message("[warning] fell to 7", "Look at it.\n\nprice.alert, alice", "warning"),
    )
    assert len(key) == 32
    assert len(sent) == 1


@live
async def test_alerts_of_the_engine_are_told() -> None:
    services = Services()
    async with services.engine(Rules((Channel("phone"),))) as engine:
        await engine.emit(Alert(run="r1", what="undo of buy", detail="Rejected: no"))
        await engine.settled()
        # of a delivery that died the other channels tell by themselves
        await engine.emit(Alert(run="r3.notify-deliver.start0", what="dead", detail="ConnectionError: away"))
        await engine.settled()
    assert services.titles("phone") == ["[critical] undo of buy (run r1)"]


@live
async def test_where_no_route_leads_nothing_is_sent_and_the_run_says_so() -> None:
    services = Services()
    rules = Rules((Channel("phone"),), (Route(kind="news", channels=("phone",)),))
    async with services.engine(rules) as engine:
        await engine.emit(note())
        await engine.settled()
        (info,) = await engine.runs(workflow=NOTIFY)
        assert (await engine.show(info.id)).result == {"action": "no route", "channels": []}
    assert not services.arrived


# --------------------------------------------------------------------------------------------------------- quiet hours


@live
async def test_held_over_a_crash_and_told_in_the_morning() -> None:
    services = Services()
    services.later(HOUR)
    rules = Rules((Channel("phone", quiet_hours=EVENING), Channel("desk")))
    engine = services.engine(rules)
    await engine.open()
    await engine.emit(note())
    await engine.emit(note("now", "critical"))
    await engine.idle()
    assert services.titles("phone") == ["[critical] now"]
    assert services.titles("desk") == ["[info] moved", "[critical] now"]
    async with services.engine(rules, crash(engine)) as second:
        await second.settled()
    assert services.titles("phone") == ["[critical] now", "[info] moved"]
    assert services.arrived[-1][0] == NOON + 8 * HOUR
    assert services.arrived[-1][2].body == "price.alert, 2024-05-01 13:00 UTC"


@live
async def test_dropped_in_quiet_hours() -> None:
    services = Services()
    services.later(HOUR)
    drop = QuietHours("12:30", "20:00", "UTC", then="drop")
    async with services.engine(Rules((Channel("phone", quiet_hours=drop),))) as engine:
        await engine.emit(note())
        await engine.settled()
        assert [result for _, result in (await outcomes(engine)).values()] == [
            {"action": "suppressed", "reason": "quiet hours"}
        ]
        (entry,) = engine.queries.events(NotificationSuppressed.event_name)
        assert b'"quiet hours"' in bytes(entry.record.value)
    assert not services.arrived


@live
async def test_rules_may_change_while_one_is_held() -> None:
    services = Services()
    services.later(HOUR)
    engine = services.engine(Rules((Channel("phone", quiet_hours=EVENING), Channel("fax", quiet_hours=EVENING))))
    await engine.open()
    await engine.emit(note())
    await engine.idle()
    # the fax is no more, and the phone's evening is longer
    longer = QuietHours("12:30", "21:00", "UTC")
    async with services.engine(Rules((Channel("phone", quiet_hours=longer),)), crash(engine)) as second:
        assert not await second.check()
        await second.settled()
        assert [status for status, _ in (await outcomes(second)).values()].count("dead") == 1
        (letter,) = await second.dead_letters()
        assert "fax" in letter.error
    moved = [at for at, _, message, _ in services.arrived if message.title == "[info] moved"]
    assert moved == [NOON + 9 * HOUR]
    assert "[critical] The channel fax could not be reached" in services.titles("phone")


# --------------------------------------------------------------------------------------------- duplicates and the limit


@live
async def test_a_restart_forgets_nothing() -> None:
    services = Services()
    rules = Rules((Channel("phone", Limit(2, "1h", reserve=0)),))
    engine = services.engine(rules)
    await engine.open()
    for title in ("a", "b"):
        await engine.emit(note(title))
    await engine.idle()
    second = services.engine(rules, crash(engine))
    await second.open()
    for title in ("a", "c", "d"):
        await second.emit(note(title))
    await second.idle()
    assert services.titles("phone") == ["[info] a", "[info] b"]
    third = services.engine(rules, crash(second))
    async with third:
        assert third.read(channel_states, "phone").suppressed == 2
        await third.settled()
        reasons = [result["reason"] for _, result in (await outcomes(third)).values() if result["reason"]]
    assert sorted(reasons) == ["duplicate", "limit", "limit"]
    assert services.titles("phone")[2:] == ["[info] 2 more suppressed"]
    assert services.arrived[-1][0] == NOON + HOUR


@live
async def test_two_at_once_cannot_both_pass() -> None:
    services = Services()
    async with services.engine(Rules((Channel("phone", Limit(1, "1h")), Channel("desk", PLENTY)))) as engine:
        # all of them are on the tape before the first is looked at
        for number in range(20):
            engine.post(note(f"{number % 10}"))
        await engine.idle()
        assert len(services.titles("phone")) == 1
        assert len({key for *_, key in services.arrived}) == 11
        assert sorted(services.titles("desk")) == sorted({f"[info] {number}" for number in range(10)})


@live
async def test_a_later_duplicate_passes() -> None:
    services = Services()
    async with services.engine(Rules((Channel("phone", PLENTY),))) as engine:
        for seconds in (0, 299, 1, 299):
            services.later(seconds * NS_PER_SECOND)
            await engine.emit(note())
            await engine.idle()
        assert [at for at, *_ in services.arrived] == [NOON, NOON + 300 * NS_PER_SECOND]


# ------------------------------------------------------------------------------------------------------------- failure


@live
async def test_a_channel_that_is_away_holds_up_no_other_and_the_others_tell() -> None:
    services = Services(broken={"phone"})
    rules = Rules((Channel("phone"), Channel("desk")))
    async with services.engine(rules, retry=Retry(limit=2, delay="10s", backoff="fixed")) as engine:
        await engine.emit(note())
        await engine.idle()
        assert services.titles("desk") == ["[info] moved"]
        await engine.settled()
        (letter,) = await engine.dead_letters()
        assert "phone is away" in letter.error
        assert services.tries.count("phone") == 3
        assert services.titles("desk") == ["[info] moved", "[critical] The channel phone could not be reached"]
        assert letter.run in services.arrived[-1][2].body
        # an equal one is no duplicate of one that nobody got
        services.broken.clear()
        await engine.emit(note())
        await engine.settled()
        assert services.titles("phone") == ["[info] moved"]
        await engine.redrive(letter.run)
        await engine.settled()
        assert services.titles("phone") == ["[info] moved"] * 2
        assert not await engine.dead_letters()


@live
async def test_when_all_channels_are_away_it_ends() -> None:
    services = Services(broken={"phone", "desk"})
    async with services.engine(Rules((Channel("phone", PLENTY), Channel("desk", PLENTY))), retry=ONE_TRY) as engine:
        await engine.emit(note())
        await engine.settled()
        # the notification on both, and on each what the other could not say
        assert len(services.tries) == 4
        failures = engine.queries.events(NotificationFailed.event_name)
        assert len(failures) == 4


@live
async def test_killed_between_the_decision_and_the_sending() -> None:
    services = Services()
    rules = Rules((Channel("phone", Limit(1, "1h")),))
    killed: list[str] = []

    class Dying(Services):
        def send(self, channel: str, message: Message, *, key: str) -> None:
            killed.append(key)
            engine.kill()

    engine = Dying(clock=services.clock).engine(rules)
    await engine.open()
    engine.post(note())
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(killed) == 1
    assert engine._memory is not None
    async with services.engine(rules, engine._memory) as second:
        await second.settled()
        # it was let through once: the one that comes now has no room
        await second.emit(note("other"))
        await second.idle()
    ((_, _, message, key),) = services.arrived
    assert (message.title, [key]) == ("[info] moved", killed)


@live
async def test_an_answer_that_got_lost_means_the_same_reference_twice() -> None:
    services = Services()

    class Lossy(Services):
        def send(self, channel: str, message: Message, *, key: str) -> None:
            services.send(channel, message, key=key)
            if len(services.arrived) == 1:
                raise TimeoutError

    async with Lossy(clock=services.clock).engine(Rules((Channel("phone"),))) as engine:
        await engine.emit(note())
        await engine.settled()
    assert len(services.arrived) == 2
    assert services.arrived[0][1:] == services.arrived[1][1:]


# ---------------------------------------------------------------------------------------------------------------- laws

STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1, 200, 600, 3_600, 9_000]),
        st.sampled_from("abc"),
        st.sampled_from(["info", "error", "critical"]),
    ),
    min_size=1,
    max_size=25,
)
LAWS = Rules(
    (
        Channel("phone", Limit(3, "1h", reserve=1), QuietHours("14:00", "18:00", "UTC", except_severity="critical")),
        Channel("desk", Limit(2, "30m"), QuietHours("13:00", "15:00", "UTC", except_severity="error", then="drop")),
        Channel("dead", Limit(5, "1h")),
    )
)


@settings(max_examples=40)
@given(STEPS)
def test_every_notification_ends_in_exactly_one_way(steps: list[tuple[int, str, Severity]]) -> None:
    async def play() -> None:
        services = Services(broken={"dead"})
        async with services.engine(LAWS, retry=ONE_TRY) as engine:
            after, asked = 0, []
            for wait, title, severity in steps:
                after += wait
                asked.append((NOON + after * NS_PER_SECOND, severity))
                await engine.emit(note(title, severity), delay=f"{after}s")
            await engine.settled()
            await check(engine, services, asked)

    asyncio.run(play())


@settings(max_examples=40)
@given(STEPS)
def test_also_when_the_process_dies_again_and_again(steps: list[tuple[int, str, Severity]]) -> None:
    async def play() -> None:
        services, asked = Services(broken={"dead"}), []
        engine = services.engine(LAWS, retry=ONE_TRY)
        await engine.open()
        for wait, title, severity in steps:
            services.later(wait * NS_PER_SECOND)
            asked.append((services.clock.now(), severity))
            await engine.emit(note(title, severity))
            await engine.idle()
            engine = services.engine(LAWS, crash(engine), retry=ONE_TRY)
            await engine.open()
        await engine.settled()
        await check(engine, services, asked)
        await engine.close()

    asyncio.run(play())


async def check(engine: Engine, services: Services, asked: list[tuple[int, Severity]]) -> None:
    found = await outcomes(engine)
    ends: dict[str, list[Any]] = {"phone": [], "desk": [], "dead": []}
    for id in found:
        given = (await engine.show(id)).input
        if given["notify"]["kind"] == "price.alert":
            ends[given["channel"]].append(found[id])
    for channel, of_channel in ends.items():
        assert len(of_channel) == len(asked)
        for status, result in of_channel:
            if status == "dead":
                assert channel == "dead"
            else:
                assert status == "done"
                assert result["action"] in ("sent", "suppressed")
                assert (result["action"] == "sent") == (result["reason"] is None)
    events = {
        kind: len(engine.queries.events(f"tickwork/notification.{kind}")) for kind in ("sent", "suppressed", "failed")
    }
    every = list(found.values())
    assert events["sent"] == sum(status == "done" and result["action"] == "sent" for status, result in every)
    assert events["suppressed"] == sum(
        status == "done" and result["action"] == "suppressed" for status, result in every
    )
    assert events["failed"] == sum(status == "dead" for status, _ in every)
    for rule in LAWS.channels:
        arrived = [(at, message) for at, name, message, _ in services.arrived if name == rule.name]
        for at, message in arrived:
            assert sum(at - rule.limit.per_ns < other <= at for other, _ in arrived) <= rule.limit.max
            assert rule.quiet_hours is None or rule.quiet_hours.until(message.severity, from_ns(at)) is None
        # what is exempt is told when it was asked, or not at all
        told = {at for at, message in arrived if message.title in TITLES}
        assert told <= {at for at, severity in asked if severity == "critical"}


TITLES = {f"[critical] {title}" for title in "abc"}


def test_the_day_of_the_laws() -> None:
    """They play by day, in the zone of the rules: the quiet hours above are met."""
    assert from_ns(NOON) == datetime(2024, 5, 1, 12, tzinfo=UTC)
    assert EVENING.until("info", from_ns(NOON) + timedelta(hours=1)) is not None
