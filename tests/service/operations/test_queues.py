"""Queues by their operations: sent once, worked on under a lease, listed by page at a bounded cost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.service.operations.calling import HERE, Calls, Cost, failure, law, owned
from tickwork.core.queue import Draft
from tickwork.errors import Forbidden, InvalidInput, LeaseExpired, NotFound
from tickwork.service.api.caller import SCOPES, Caller
from tickwork.service.api.commanded import CommandAsked
from tickwork.service.queues import message_page, queue_line


@pytest.mark.parametrize("way", ["here", "elsewhere"])
def test_with_a_key_it_is_sent_once(tmp_path: Path, way: str) -> None:
    async def check(calls: Calls) -> None:
        call = calls if way == "here" else calls.from_elsewhere
        many = await asyncio.gather(*(call("queues.send", HERE, "k", queue="inbox", body={"n": 1}) for _ in range(10)))
        assert len({one["message"] for one in many}) == 1
        other = Caller(name="other", face="http", scopes=frozenset(SCOPES))
        await call("queues.send", other, "k", queue="inbox", body={"n": 1})
        await call("queues.send", queue="inbox", body={"n": 1})
        assert (await call("queues.show", queue="inbox"))["available"] == 3
        message = await call("queues.message", message=many[0]["message"])
        assert (message["body"], message["status"], message["queue"]) == ({"n": 1}, "available", "inbox")

    law(check, tmp_path / "t.db")


@pytest.mark.parametrize("way", ["here", "elsewhere"])
def test_from_lease_to_the_end(tmp_path: Path, way: str) -> None:
    async def check(calls: Calls) -> None:
        call = calls if way == "here" else calls.from_elsewhere
        for n in range(3):
            await call("queues.send", queue="orders", body={"n": n})
        first, second, third = await call("queues.lease", queue="orders", max=3, visibility="5m")
        assert (first["body"], first["attempts"]) == ({"n": 0}, 1)
        longer = await call("queues.extend", lease=first["lease"], by="10m")
        assert longer["leaseUntil"] > first["leaseUntil"]
        assert await call("queues.ack", leases=[first["lease"]]) == {"id": first["lease"], "done": "1 acknowledged"}
        await call("queues.ack", leases=[first["lease"]])  # the answer may have been lost
        told = await call("queues.reject", lease=second["lease"], error="rate_limit", retry_in="1h")
        assert told == {"lease": second["lease"], "status": "waiting"}
        await failure(call("queues.ack", leases=[second["lease"]]), LeaseExpired)
        line = await call("queues.show", queue="orders")
        assert (line["completedToday"], line["inFlight"], line["delayed"]) == (1, 1, 1)
        assert (await call("queues.messages", queue="orders", status="in_flight"))["items"][0]["consumer"] == "local"
        assert third["lease"] != first["lease"]
        assert calls.engine.queries.events(CommandAsked.event_name) == [], "each is a record of its own"

    law(check, tmp_path / "t.db")


def test_with_a_key_a_lease_is_given_once(tmp_path: Path) -> None:
    async def check(calls: Calls) -> None:
        for n in range(2):
            await calls("queues.send", queue="orders", body=n)
        leases = [await calls("queues.lease", HERE, "k", queue="orders", max=1) for _ in range(3)]
        assert leases[0] == leases[1] == leases[2]
        assert (await calls("queues.show", queue="orders"))["inFlight"] == 1
        (one,) = leases[0]
        rejected = [await calls("queues.reject", HERE, "r", lease=one["lease"]) for _ in range(2)]
        assert rejected[0] == rejected[1]

    law(check, tmp_path / "t.db")


def test_what_cannot_be(tmp_path: Path) -> None:
    async def check(calls: Calls) -> None:
        wrong: list[tuple[str, dict[str, Any], type[Exception]]] = [
            ("queues.show", {"queue": "none"}, NotFound),
            ("queues.messages", {"queue": "none"}, NotFound),
            ("queues.messages", {"queue": "inbox", "status": "nowhere"}, InvalidInput),
            ("queues.messages", {"queue": "inbox", "cursor": "!"}, InvalidInput),
            ("queues.messages", {"queue": "inbox", "cursor": "WzEsMiwzXQ"}, InvalidInput),  # of another order
            ("queues.message", {"message": 7_777}, NotFound),
            ("queues.send", {"queue": "none", "body": 1}, InvalidInput),
            ("queues.send", {"queue": "inbox"}, InvalidInput),
            ("queues.lease", {"queue": "inbox", "max": 0}, InvalidInput),
            ("queues.lease", {"queue": "inbox", "visibility": "soon"}, InvalidInput),
            ("queues.ack", {"leases": []}, InvalidInput),
            ("queues.ack", {"leases": ["nothing"]}, InvalidInput),
            ("queues.extend", {"lease": "inbox:1.2.00000000", "by": "1 s"}, LeaseExpired),
        ]
        for name, fields, kind in wrong:
            for call in (calls, calls.from_elsewhere):
                await failure(call(name, **fields), kind)
        await failure(calls("queues.list", owned("ann")), Forbidden)

    law(check, tmp_path / "t.db")


ACTS = st.lists(st.sampled_from(["send", "lease", "ack", "reject", "delay"]), max_size=12)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ACTS, st.integers(1, 4))
def test_pages_are_the_whole_in_order(tmp_path: Path, acts: list[str], limit: int) -> None:
    """Whatever was done, the pages of each status are its messages, in the order of the list without pages."""

    async def check(calls: Calls) -> None:
        leases: list[str] = []
        for n, act in enumerate(acts):
            if act in ("send", "delay"):
                await calls("queues.send", queue="orders", body=n, delay="1 h" if act == "delay" else None)
            elif act == "lease":
                leases += [one["lease"] for one in await calls("queues.lease", queue="orders", max=2)]
            elif leases:
                fields = {"leases": [leases.pop()]} if act == "ack" else {"lease": leases.pop()}
                await calls(f"queues.{act}", **fields)
        for status in (None, "available", "delayed", "in_flight", "failed", "completed", "dead"):
            whole = await calls.engine.queues.messages("orders", status, 1_000)
            paged = await calls.pages("queues.messages", queue="orders", status=status, limit=limit)
            assert [one["seq"] for one in paged] == [one.seq for one in whole]
        names = [one["name"] for one in await calls.pages("queues.list", limit=1)]
        assert names == ["inbox", "orders"]

    law(check, tmp_path / f"{'-'.join(acts)}-{limit}.db")


def test_a_page_costs_the_same_however_many_messages_there_are(tmp_path: Path) -> None:
    path = tmp_path / "t.db"

    async def check(calls: Calls) -> None:
        cost = Cost(path)

        def page(status: str | None, after: list[int] | None = None) -> Callable[[Any], Any]:
            now = calls.engine.clock.now()
            return lambda queries: message_page(queries, "orders", status, after, 20, now)

        async def more(number: int) -> None:
            await calls.engine.queues.send_all("orders", [Draft(n) for n in range(number)])

        await more(500)
        small = cost.of(page(None))
        counted = cost.rows(lambda queries: queue_line(queries, "orders", calls.engine.clock.now()))
        await more(4_500)
        assert cost.rows(lambda queries: queue_line(queries, "orders", calls.engine.clock.now())) == counted
        assert cost.of(page(None)) <= small * 1.3
        assert cost.of(page(None, [2_500])) <= small * 1.3
        cost.close()

    law(check, path)
