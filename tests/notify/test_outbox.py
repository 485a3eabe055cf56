"""The outbox: a reading of the tape that says where every notification stands."""

from __future__ import annotations

import pytest

from tests.engine.support import live
from tests.notify.support import NOON, ONE_TRY, Services, note
from tickwork.core.retry import Retry
from tickwork.errors import InvalidInput
from tickwork.notify.rules import Channel, Limit, QuietHours, Route, Rules
from tickwork.service.notifications import explained, outbox
from tickwork.values import from_ns

HOUR = 3_600 * 10**9
REST = QuietHours("11:00", "14:00", "UTC")
RULES = Rules(
    (Channel("phone", quiet_hours=REST), Channel("desk", Limit(1, "1h", reserve=0)), Channel("dead")),
    (Route(kind="price.*", channels=("phone", "desk")), Route(kind="test", channels=("dead",))),
)


@live
async def test_every_state() -> None:
    services = Services(broken={"dead"})
    async with services.engine(RULES, retry=ONE_TRY) as engine:
        for number in range(3):
            await engine.emit(note(f"{number}", owner="alice"))
        await engine.emit(note("lost", kind="test"))
        await engine.idle()
        queries = engine.queries
        states = {(line.channel, line.title): line.status for line in outbox(queries) if line.kind == "price.alert"}
        assert states == {
            ("phone", "0"): "held",
            ("phone", "1"): "held",
            ("phone", "2"): "held",
            ("desk", "0"): "sent",
            ("desk", "1"): "suppressed",
            ("desk", "2"): "suppressed",
        }
        held = outbox(queries, "held")
        assert {(line.channel, line.kind): line.held_until for line in held} == {
            ("phone", "price.alert"): from_ns(NOON + 2 * HOUR),
            ("desk", "tickwork.suppressed"): from_ns(NOON + HOUR),
        }
        (failed,) = outbox(queries, "failed")
        assert (failed.channel, failed.title, failed.asked_at) == ("dead", "lost", from_ns(NOON))
        assert "dead is away" in failed.reason
        assert [line.reason for line in outbox(queries, "suppressed", limit=2)] == ["limit", "limit"]
        cancelled = next(line for line in held if line.channel == "phone")
        await engine.cancel(cancelled.run)
        assert [line.run for line in outbox(queries, "cancelled")] == [cancelled.run]
        await engine.settled()
        assert not outbox(queries, "held")
        assert not outbox(queries, "pending")
        assert len(outbox(queries, "sent", limit=1_000)) == len(services.arrived)


@live
async def test_one_that_is_tried_again_is_pending_not_held() -> None:
    services = Services(broken={"dead"})
    async with services.engine(RULES, retry=Retry(limit=1, delay="1 hour")) as engine:
        await engine.emit(note("lost", kind="test"))
        await engine.idle()
        (line,) = outbox(engine.queries)
        assert (line.status, line.held_until) == ("pending", None)
        assert "send to dead" in line.reason
        assert outbox(engine.queries, "pending") == [line]


@live
async def test_many_pages() -> None:
    services = Services()
    async with services.engine(Rules((Channel("phone", Limit(200, "1h", reserve=0)),))) as engine:
        for number in range(230):
            engine.post(note(f"{number}"))
        await engine.idle()
        assert len(outbox(engine.queries, limit=10_000)) == 231
        assert len(outbox(engine.queries, "sent", limit=10_000)) == 200
        assert len(outbox(engine.queries, "suppressed", limit=10_000)) == 30
        # the newest first, and no more than asked for
        assert [line.title for line in outbox(engine.queries, "sent", limit=2)] == ["199", "198"]
        with pytest.raises(InvalidInput, match="held"):
            outbox(engine.queries, "lost")
        with pytest.raises(InvalidInput, match="limit"):
            outbox(engine.queries, limit=0)


@live
async def test_an_empty_tape() -> None:
    async with Services().engine(RULES) as engine:
        for status in (None, "pending", "held", "sent"):
            assert outbox(engine.queries, status) == []


def test_where_one_would_go() -> None:
    found = explained(RULES, "alice", "price.alert", "info")
    assert [line.channel for line in found.channels] == ["phone", "desk"]
    assert "11:00 to 14:00 UTC" in found.channels[0].quiet_hours
    assert "at most 1 per 1h" in found.channels[1].limit
    assert [route.matches for route in found.routes] == [True, False]
    assert not explained(RULES, "", "news", "error").channels
    with pytest.raises(InvalidInput, match="severity"):
        explained(RULES, "", "news", "loud")
