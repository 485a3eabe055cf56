"""Declaring workflows, views, events and retries: what is refused, and what the words mean."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.driving import Tape, one
from tickwork.core.conditions import Where
from tickwork.core.event import Event
from tickwork.core.retry import NEVER, Retry
from tickwork.core.run import Run
from tickwork.core.view import view
from tickwork.core.workflow import workflow
from tickwork.errors import Fatal, InvalidInput, NotSent, Refused, StepFailed
from tickwork.values import Money, Price


class Watch(Event, name="declared/watch", version=2):
    vcoin_id: str
    attempt: int = 1
    price: Money | None = None
    at: datetime | None = None


async def body(run: Run, watch: Watch) -> int:
    return 1


def sync(run: Run) -> int:
    return 1


async def too_many(run: Run, a: int, b: int) -> None: ...


async def none_at_all() -> None: ...


@pytest.mark.parametrize(
    ("options", "fn"),
    [
        ({}, sync),
        ({}, too_many),
        ({}, none_at_all),
        ({"version": 0}, body),
        ({"version": True}, body),
        ({"on": int}, body),
        ({"on": [Watch, "x"]}, body),
        ({"timeout": "5"}, body),
        ({"timeout": "-5s"}, body),
        ({"on_failure": sync}, body),
        ({"on_failure": none_at_all}, body),
    ],
)
def test_wrong_workflows_are_refused(options: dict[str, Any], fn: Any) -> None:
    with pytest.raises(InvalidInput):
        workflow("flow", **options)(fn)


@pytest.mark.parametrize("name", ["", "x" * 201, "a\nb", 5, None])
def test_wrong_names_are_refused(name: Any) -> None:
    with pytest.raises(InvalidInput):
        workflow(name)


def test_a_workflow_says_what_it_takes() -> None:
    flow = workflow("flow", on=Watch)(body)
    assert flow.encode_input({"vcoin_id": "a"}) == flow.encode_input(Watch(vcoin_id="a"))
    for wrong in ({"nope": 1}, 5, None, {"vcoin_id": 5}):
        with pytest.raises(InvalidInput):
            flow.encode_input(wrong)


@pytest.mark.parametrize("options", [{"on": int, "key": str}, {"on": [], "key": None}, {"on": [Watch, 3], "key": str}])
def test_wrong_views_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        view("v", **options)


def test_a_view_takes_texts_as_keys() -> None:
    targets = view("targets", on=Watch, key=lambda event: event.vcoin_id)(lambda state, event: state)
    with pytest.raises(InvalidInput):
        targets.get(5)  # type: ignore[arg-type]


# -------------------------------------------------------------------------------------------------------------- events


def test_events_are_frozen_and_camel_case_on_the_wire() -> None:
    event = Watch(vcoin_id="a", price=Decimal("1.10"), at=datetime(2026, 1, 1, tzinfo=UTC))
    assert b'"vcoinId":"a"' in event.to_wire()
    assert b'"price":"1.10"' in event.to_wire()
    assert Watch.from_wire(event.to_wire()) == event
    with pytest.raises(Exception, match="frozen"):
        event.attempt = 2  # type: ignore[misc]
    assert event.replace(attempt=2).attempt == 2
    assert (Watch.event_name, Watch.event_version) == ("declared/watch", 2)


@pytest.mark.parametrize(
    "fields",
    [{}, {"vcoin_id": "a", "more": 1}, {"vcoin_id": "a", "attempt": "x"}, {"vcoin_id": "a", "price": 0.1},
     {"vcoin_id": "a", "at": datetime(2026, 1, 1)}],  # noqa: DTZ001 - a naive time is the point
)  # fmt: skip
def test_wrong_fields_are_named(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        Watch(**fields)
    assert refused.value.path


def test_an_event_has_a_name_and_a_version() -> None:
    with pytest.raises(InvalidInput):

        class Nameless(Event):
            x: int

    with pytest.raises(InvalidInput):

        class Old(Event, name="declared/old", version=0):
            x: int


@pytest.mark.parametrize("payload", [b"", b"null", b"[]", b"{", b'{"vcoinId":5}', b'{"vcoinId":"a","x":1}'])
def test_wrong_payloads_are_refused(payload: bytes) -> None:
    with pytest.raises(InvalidInput):
        Watch.from_wire(payload)


# -------------------------------------------------------------------------------------------------------------- retries


@given(st.integers(1, 10**6), st.floats(0, 1), st.sampled_from(["exponential", "fixed"]), st.floats(0, 1))
def test_waits_never_pass_the_cap_nor_go_below_zero(failures: int, chance: float, backoff: Any, jitter: float) -> None:
    retry = Retry(delay="1 second", backoff=backoff, cap="1 minute", jitter=jitter)
    assert 0 <= retry.wait(failures, chance) <= 60 * 10**9
    assert retry.wait(failures, 0.0) >= retry.wait(failures, 1.0)


def test_the_delay_doubles() -> None:
    retry = Retry(delay="1 second", cap="5 seconds")
    assert [retry.wait(n, 0.0) // 10**9 for n in range(1, 6)] == [1, 2, 4, 5, 5]
    fixed = Retry(delay=timedelta(seconds=2), backoff="fixed")
    assert [fixed.wait(n, 0.0) // 10**9 for n in range(1, 4)] == [2, 2, 2]


def test_what_is_retried() -> None:
    retry = Retry(limit=2, fatal=(KeyError,))
    assert [retry.allows(ValueError(), n) for n in (1, 2, 3)] == [True, True, False]
    assert not retry.allows(KeyError(), 1)
    assert not retry.allows(Fatal(), 1)
    assert not retry.allows(Refused("rule"), 1)
    assert retry.allows(NotSent(), 1)
    assert not NEVER.allows(ValueError(), 1)


@pytest.mark.parametrize(
    "options", [{"limit": -1}, {"limit": True}, {"limit": 1.5}, {"delay": 5}, {"delay": "-1s"}, {"cap": "x"},
                {"jitter": 1.1}, {"backoff": "linear"}],
)  # fmt: skip
def test_wrong_retries_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Retry(**options)


# ---------------------------------------------------------------------------------------------------------------- verbs


@pytest.mark.parametrize(
    "verb",
    [
        lambda run: run.step("", one),
        lambda run: run.step("a\n", one),
        lambda run: run.step("x" * 201, one),
        lambda run: run.step(one, one),
        lambda run: run.step("a", one()),
        lambda run: run.step("a", one, timeout=5),
        lambda run: run.step("a", one, timeout="-5s"),
        lambda run: run.effect("a", one, lookup=5),
        lambda run: run.effect("a", one, grace="soon"),
        lambda run: run.sleep(5),
        lambda run: run.sleep("-1s"),
        lambda run: run.sleep(timedelta(seconds=-1)),
        lambda run: run.sleep_until(datetime(2026, 1, 1)),  # noqa: DTZ001 - a naive time is the point
        lambda run: run.sleep_until("tomorrow"),
        lambda run: run.wait_for(int),
        lambda run: run.wait_for(Event),
        lambda run: run.wait_for(Watch, {"nope": 1}),
        lambda run: run.wait_for(Watch, "nope > 1"),
        lambda run: run.wait_for(Watch, timeout="-1s"),
        lambda run: run.emit("x"),
        lambda run: run.emit(Watch(vcoin_id="a"), delay="1s", at=datetime(2026, 1, 1, tzinfo=UTC)),
        lambda run: run.emit(Watch(vcoin_id="a"), delay="-1s"),
        lambda run: run.emit(Watch(vcoin_id="a"), at=datetime(2026, 1, 1)),  # noqa: DTZ001
        lambda run: run.call(body),
        lambda run: run.start("flow"),
        lambda run: run.race(),
        lambda run: run.all(5),
        lambda run: run.approval(""),
        lambda run: run.patched(""),
    ],
)
def test_wrong_verbs_raise_where_they_are_made(verb: Any) -> None:
    async def flow(run: Run) -> str:
        try:
            verb(run)
        except InvalidInput as error:
            return error.path or "unnamed"
        return "accepted"

    outcome = Tape().drive(flow).outcome
    assert outcome is not None
    assert outcome[0] not in ("accepted", None)


def test_a_where_value_is_read_as_its_field_reads_it() -> None:
    class Priced(Event, name="test/where.priced"):
        symbol: str
        price: Price

    for asked in ("12.5", Decimal("12.50"), Decimal("12.5")):
        assert Where(Priced, {"price": asked}).matches(Priced(symbol="A", price=Decimal("12.5")))
    with pytest.raises(InvalidInput, match=r"test/where.priced.symbol"):
        Where(Priced, {"symbol": 5})
    with pytest.raises(InvalidInput, match=r"test/where.priced.price"):
        Where(Priced, {"price": 12.5})


def test_a_retry_never_waits_less_than_its_delay() -> None:
    assert Retry(delay="1 hour", backoff="fixed").wait(1, 0.0) == 3_600 * 10**9
    with pytest.raises(InvalidInput, match=r"retry.cap"):
        Retry(delay="1 hour", cap="1 minute")


def test_a_failure_that_cannot_be_rebuilt_is_retried_unless_it_was_fatal() -> None:
    assert Retry(limit=1).allows(StepFailed("somewhere:Odd", "words"), 1)
    assert not Retry(limit=1).allows(StepFailed("somewhere:Odd", "words", True), 1)
