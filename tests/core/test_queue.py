"""Declaring queues: what is refused, what the defaults are, and what a message becomes on the tape."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwork.core.codec import MAX_VALUE
from tickwork.core.event import Event
from tickwork.core.letters import DeadLetterPolicy, Rule
from tickwork.core.queue import Draft, Queue, Sent, decode_sent, encode_sent, pack
from tickwork.core.retry import Retry
from tickwork.core.run import Run
from tickwork.core.workflow import workflow
from tickwork.errors import InvalidInput


class Signal(Event, name="queued/signal", version=2):
    symbol: str
    side: str = "buy"

    @classmethod
    def upcast(cls, version: int, fields: dict[str, Any]) -> dict[str, Any]:
        return {"symbol": fields["coin"] + "/USDT"}


class Other(Event, name="queued/other"):
    n: int = 0


def test_the_defaults_are_the_documented_ones() -> None:
    queue = Queue("hft-queue")
    assert queue.settings() == {
        "maxRetries": 3,
        "visibilityTimeout": "30s",
        "retention": "1d",
        "batchSize": 10,
        "ordering": "FIFO",
        "deduplication": True,
        "dedupeWindow": "1d",
        "capacity": 100_000,
        "consumers": 10,
        "message": None,
        "retry": repr(Retry(delay="1 second")),
        "policy": "DeadLetterPolicy()",
    }
    assert (str(queue), queue.kind, queue.event, queue.where) == ("queue 'hft-queue'", "queue", None, None)


def test_positions_and_spans() -> None:
    queue = Queue("q", 5, timedelta(seconds=10), "1h", 20, "standard", False)
    assert (queue.max_retries, queue.visibility, queue.retention, queue.batch_size) == (5, 10**10, 3600 * 10**9, 20)
    assert (queue.fifo, queue.dedupe_window) == (False, 0)
    assert Queue("q", dedupe_window="5 minutes").dedupe_window == 300 * 10**9


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"max_retries": -1}, "max_retries"),
        ({"max_retries": True}, "max_retries"),
        ({"max_retries": 1.5}, "max_retries"),
        ({"max_retries": 10**6}, "max_retries"),
        ({"visibility_timeout": "0s"}, "visibility_timeout"),
        ({"visibility_timeout": 30}, "visibility_timeout"),
        ({"visibility_timeout": "-5s"}, "visibility_timeout"),
        ({"retention": "0s"}, "retention"),
        ({"retention": "forever"}, "retention"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": "10"}, "batch_size"),
        ({"ordering": "fifo"}, "ordering"),
        ({"ordering": None}, "ordering"),
        ({"deduplication": 1}, "deduplication"),
        ({"dedupe_window": "0s"}, "dedupe_window"),
        ({"dedupe_window": "25h"}, "dedupe_window"),
        ({"capacity": 0}, "capacity"),
        ({"capacity": -5}, "capacity"),
        ({"consumers": 0}, "consumers"),
        ({"message": dict}, "message"),
        ({"message": Signal(symbol="A")}, "message"),
        ({"retry": "1s"}, "retry"),
        ({"policy": [Rule("*", "alert")]}, "policy"),
    ],
)
def test_wrong_declarations_are_refused_by_name(options: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Queue("q", **options)
    assert refused.value.path == f"queue 'q' {path}"


@pytest.mark.parametrize("name", ["", "x" * 201, "a b", "a/b", "a?b", "a#b", "a%b", "a\nb", 5, None])
def test_wrong_names_are_refused(name: Any) -> None:
    with pytest.raises(InvalidInput):
        Queue(name)


def test_a_queue_is_a_trigger() -> None:
    @workflow("work", on=[Queue("a"), Queue("b"), Signal])
    async def work(run: Run, message: Any) -> None: ...

    assert [str(trigger) for trigger in work.triggers] == ["queue 'a'", "queue 'b'", "queued/signal@2"]
    assert work.on == (Signal,)
    with pytest.raises(InvalidInput, match="twice"):
        workflow("work", on=[Queue("a"), Queue("a", max_retries=9)])


def test_equal_declarations_have_equal_settings() -> None:
    policy = DeadLetterPolicy(Rule("x", "discard"))
    assert Queue("q", policy=policy).settings() == Queue("q", policy=DeadLetterPolicy(Rule("x", "discard"))).settings()
    assert Queue("q", policy=policy).settings() != Queue("q").settings()
    assert Queue("q", retry=Retry(delay="2s")).settings() != Queue("q").settings()


# ------------------------------------------------------------------------------------------------------------ messages

json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
labels = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20)


@given(json, st.none() | labels, st.none() | labels, st.integers(-1_000_000, 1_000_000))
def test_a_message_comes_back_as_it_was(body: Any, group: str | None, id: str | None, priority: int) -> None:
    sent = decode_sent(encode_sent(pack(body, group or "", id, priority, "me")))
    assert (sent.read(), sent.group, sent.id, sent.priority, sent.owner) == (
        body,
        group or "",
        id or "",
        priority,
        "me",
    )


def test_an_event_comes_back_as_its_class_and_an_older_one_as_the_newer() -> None:
    sent = pack(Signal(symbol="A"))
    assert (sent.event, sent.version, sent.read()) == ("queued/signal", 2, Signal(symbol="A"))
    old = Sent(sent.body.__class__(b'{"coin":"BTC"}'), event="queued/signal", version=1)
    assert old.read() == Signal(symbol="BTC/USDT")
    assert Queue("q", message=Signal).fit(old) is old
    with pytest.raises(InvalidInput, match="declared"):
        Sent(old.body, event="queued/unheard-of").read()


def test_a_typed_queue_takes_its_event_or_the_fields_of_one() -> None:
    queue = Queue("q", message=Signal)
    fitted = queue.fit(pack({"symbol": "A"}, "g", "i", 3, "me"))
    assert (fitted.event, fitted.version, fitted.read()) == ("queued/signal", 2, Signal(symbol="A"))
    assert (fitted.group, fitted.id, fitted.priority, fitted.owner) == ("g", "i", 3, "me")
    unfit: list[Any] = [Other(), {"symbol": 5}, {"symbol": "A", "more": 1}, [], "x", None]
    for wrong in unfit:
        with pytest.raises(InvalidInput):
            queue.fit(pack(wrong))


@pytest.mark.parametrize(
    "body", [object(), {1, 2}, float("nan"), float("inf"), Decimal("1.5"), {"x": Decimal(1)}, "x" * MAX_VALUE]
)
def test_bodies_that_json_cannot_hold_are_refused(body: Any) -> None:
    with pytest.raises(InvalidInput):
        pack(body)


def test_an_event_that_is_too_large_is_refused() -> None:
    with pytest.raises(InvalidInput, match="send its path or key"):
        pack(Signal(symbol="x" * MAX_VALUE))


def test_a_draft_is_what_send_takes() -> None:
    assert Draft({"n": 1}) == Draft({"n": 1}, "", None, None, 0)
