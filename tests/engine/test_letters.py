"""Dead letters: what a rule does with them, and what people do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.engine.support import crash, live, records
from tickwork.core.event import Alert, Event
from tickwork.core.letters import DeadLetterPolicy, Rule, error_code
from tickwork.core.queue import Queue
from tickwork.core.retry import Retry
from tickwork.core.run import Run
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded import Engine
from tickwork.engines.embedded.letters import spacing
from tickwork.errors import InvalidInput, NewerEvent, NotFound, StepFailed

SECOND = 1_000_000_000


class RateLimit(Exception):
    """A passing fault with a telling name."""


class Coded(Exception):
    """An error that says its code."""

    code = "invalid_symbol"


class Trade(Event, name="letters/trade"):
    """What runs are about."""

    n: int


RULES = DeadLetterPolicy(Rule("rate_limit", "retry", after="60s", times=2), Rule("invalid_symbol", "discard"))


def failing(errors: list[BaseException | None], policy: DeadLetterPolicy | None = None) -> Workflow:
    """A workflow that raises these, one an attempt, and then succeeds."""

    @workflow("trade", on=Trade, policy=policy)
    async def trade(run: Run, trade: Trade) -> str:
        error = errors.pop(0) if errors else None
        if error is not None:
            raise error
        return f"{trade.n} at {run.now():%H:%M:%S}"

    return trade


def listening(told: list[str]) -> Workflow:
    @workflow("listen", on=Alert)
    async def listen(run: Run, alert: Alert) -> None:
        told.append(f"{alert.what}: {alert.detail}")

    return listen


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RateLimit("slow down"), "rate_limit"),
        (Coded("no such"), "invalid_symbol"),
        (StepFailed("some.module.RateLimit", "slow down"), "rate_limit"),
        (ConnectionError("x"), "connection_error"),
        (InvalidInput("a", 1, "b"), "invalid_input"),
        (type("HTTPError", (Exception,), {})(), "http_error"),
    ],
)
def test_the_code_of_an_error(error: BaseException, code: str) -> None:
    assert error_code(error) == code


@live
async def test_a_rule_redrives_after_a_while_and_alerts_when_that_does_not_help() -> None:
    told: list[str] = []
    errors: list[BaseException | None] = [RateLimit("slow down")] * 3
    flow = failing(errors, RULES)
    async with Engine("memory:", workflows=[flow, listening(told)]) as engine:
        await engine.start(flow, Trade(n=1), id="it")
        await engine.idle()
        (letter,) = await engine.dead_letters()
        assert (letter.status, letter.attempts) == ("open", 1)
        assert letter.next_try is not None
        assert (letter.next_try - letter.at).total_seconds() == 60
        assert told == []
        await engine.settled()
        (letter,) = await engine.dead_letters()
        assert (letter.run, letter.attempts, letter.next_try) == ("it", 3, None)
        assert (letter.at - letter.first_seen).total_seconds() == 120
        assert told == ["run of 'trade' died: RateLimit: slow down"]
        await engine.redrive("it")
        assert await engine.handle("it").result() == "1 at 00:02:00"


@live
async def test_what_a_rule_has_planned_survives_a_crash() -> None:
    errors: list[BaseException | None] = [RateLimit("slow down")]
    flow = failing(errors, RULES)
    engine = Engine("memory:", workflows=[flow])
    await engine.open()
    await engine.start(flow, Trade(n=1), id="it")
    await engine.idle()
    clock, memory = engine.clock, crash(engine)
    async with Engine(memory, workflows=[flow], clock=clock) as again:
        assert await again.handle("it").status() == "dead"
        await again.settled()
        assert await again.handle("it").result() == "1 at 00:01:00"
        assert await again.dead_letters() == []


@live
async def test_a_rule_discards_with_a_record() -> None:
    told: list[str] = []
    flow = failing([Coded("no such")], RULES)
    async with Engine("memory:", workflows=[flow, listening(told)]) as engine:
        await engine.start(flow, Trade(n=1), id="it")
        await engine.settled()
        assert await engine.dead_letters() == []
        (letter,) = engine.queries.dead_letters(open_only=False)
        assert (letter.status, letter.error) == ("discarded", "Coded: no such") or letter.status == "discarded"
        (record,) = records(engine, "discarded")
        assert record.record.key == "rule"
    assert told == []


@live
async def test_an_alert_that_cannot_be_handled_does_not_alert_without_end() -> None:
    @workflow("listen", on=Alert)
    async def listen(run: Run, alert: Alert) -> None:
        raise ValueError("deaf")

    flow = failing([ValueError("no")])
    async with Engine("memory:", workflows=[flow, listen]) as engine:
        await engine.start(flow, Trade(n=1))
        await engine.settled()
        assert [letter.source for letter in await engine.dead_letters()] == ["listen", "trade"]


async def _dead(engine: Engine, flow: Workflow, count: int) -> None:
    for n in range(count):
        await engine.start(flow, Trade(n=n), id=f"t{n}")
    await engine.idle()


@live
async def test_all_of_them_at_a_pace_that_survives_a_crash() -> None:
    errors: list[BaseException | None] = [ValueError("no")] * 5
    flow = failing(errors)
    engine = Engine("memory:", workflows=[flow])
    await engine.open()
    await _dead(engine, flow, 5)
    assert await engine.letters.redrive(source="trade", rate="1/s", by="me") == [f"t{n}" for n in range(5)]
    clock, memory = engine.clock, crash(engine)
    async with Engine(memory, workflows=[flow], clock=clock) as again:
        await again.settled()
        results = [await again.handle(f"t{n}").result() for n in range(5)]
        assert results == [f"{n} at 00:00:0{n}" for n in range(5)]
        assert {entry.record.key for entry in records(again, "redriven")} == {"me"}


@live
async def test_with_another_payload_it_is_another_run() -> None:
    flow = failing([ValueError("no")])
    async with Engine("memory:", workflows=[flow]) as engine:
        await _dead(engine, flow, 1)
        (id,) = await engine.letters.redrive(["t0"], payload={"n": 9})
        assert (await engine.handle(id).result()).startswith("9 at")
        assert await engine.handle("t0").status() == "dead"
        assert await engine.dead_letters() == []


@live
async def test_discarding() -> None:
    flow = failing([ValueError("no")] * 3)
    async with Engine("memory:", workflows=[flow]) as engine:
        await _dead(engine, flow, 3)
        assert await engine.letters.discard(["t1"], by="me") == 1
        assert [letter.id for letter in await engine.dead_letters()] == ["t2", "t0"]
        with pytest.raises(InvalidInput, match="t1, which is discarded"):
            await engine.letters.redrive(["t1"])
        assert await engine.letters.discard(every=True) == 2


@live
async def test_wrong_wishes_change_nothing() -> None:
    flow = failing([ValueError("no")] * 2)
    async with Engine("memory:", workflows=[flow]) as engine:
        await _dead(engine, flow, 2)
        before = engine._log.next_seq
        wishes: list[dict[str, Any]] = [
            {},
            {"ids": ["nobody"]},
            {"ids": ["t0", "nobody"]},
            {"ids": ["t0", "t1"], "payload": {"n": 1}},
            {"ids": ["t0"], "payload": {"m": 1}},
            {"every": True, "rate": "fast"},
            {"every": True, "rate": "0/s"},
        ]
        for wish in wishes:
            with pytest.raises(InvalidInput):
                await engine.letters.redrive(**wish)
        assert engine._log.next_seq == before


@pytest.mark.parametrize(("rate", "gap"), [("10/s", SECOND // 10), ("5 / minute", 12 * SECOND), ("1/10s", 10 * SECOND)])
def test_rates(rate: str, gap: int) -> None:
    assert spacing(rate) == gap


@pytest.mark.parametrize(
    "make",
    [
        lambda: Rule("", "alert"),
        lambda: Rule("x", "explode"),  # type: ignore[arg-type]
        lambda: Rule("x", "retry", times=0),
        lambda: Rule("x", "retry", after="-1 s"),
        lambda: DeadLetterPolicy("x"),  # type: ignore[arg-type]
    ],
)
def test_wrong_rules(make: Any) -> None:
    with pytest.raises(InvalidInput):
        make()


@live
async def test_messages_are_letters_too() -> None:
    queue = Queue("trades", max_retries=0)
    flow = failing([ValueError("no")])
    async with Engine("memory:", workflows=[flow], queues=[queue]) as engine:
        await _dead(engine, flow, 1)
        for n in range(3):
            await engine.queues.send(queue, {"n": n}, group=str(n))
        for message in await engine.queues.lease(queue, 3):
            await engine.queues.reject(message.lease, error="rate_limit" if message.body["n"] else "invalid_symbol")
        found = await engine.dead_letters()
        assert {(letter.kind, letter.source, letter.code) for letter in found} == {
            ("run", "trade", "value_error"),
            ("message", "trades", "rate_limit"),
            ("message", "trades", "invalid_symbol"),
        }
        assert [letter.body for letter in engine.queries.dead_letters(code="invalid_symbol")] == [{"n": 0}]
        assert engine.queries.dead_letters(source="nobody") == []
        (bad,) = engine.queries.dead_letters(code="invalid_symbol")
        assert await engine.letters.redrive([bad.id], payload={"n": 9}) == [bad.id]
        assert len(await engine.letters.redrive(code="rate_limit")) == 2
        assert [m.body for m in await engine.queues.lease(queue, 5)] == [{"n": 9}, {"n": 1}, {"n": 2}]
        assert [letter.kind for letter in await engine.dead_letters()] == ["run"]
        assert await engine.letters.redrive(every=True) == ["t0"]


@live
async def test_the_handler_of_a_failure_is_no_attempt() -> None:
    async def told(run: Run, trade: Trade, error: BaseException) -> None:
        await run.step("note", str, error)

    @workflow("handled", on_failure=told, retry=Retry(limit=1, delay="1 s"))
    async def handled(run: Run, trade: Trade) -> None:
        raise ValueError("no")

    async with Engine("memory:", workflows=[handled]) as engine:
        await engine.start(handled, Trade(n=1), id="it")
        await engine.settled()
        assert [letter.attempts for letter in await engine.dead_letters()] == [2]
        await engine.redrive("it")
        await engine.settled()
        assert [letter.attempts for letter in await engine.dead_letters()] == [4]


@live
async def test_of_two_who_redrive_a_run_at_once_one_does() -> None:
    flow = failing([ValueError("no")])
    async with Engine("memory:", workflows=[flow]) as engine:
        await _dead(engine, flow, 1)
        await engine.emit(Alert(run="", what="something", detail="to wait for"))
        engine.post(Alert(run="", what="something", detail="to wait for"))
        found = await asyncio.gather(
            engine.letters.redrive(["t0"]), engine.letters.redrive(["t0"]), engine.letters.discard(["t0"]),
            engine.letters.redrive(["t0"], payload={"n": 2}), return_exceptions=True,
        )  # fmt: skip
        assert found[0] == ["t0"]
        assert [type(one) for one in found[1:]] == [NotFound] * 3
        await engine.idle()
        assert len(records(engine, "redriven")) == 1
        assert len(await engine.runs()) == 1


@live
async def test_of_two_answers_at_once_the_second_is_refused() -> None:
    @workflow("asks")
    async def asks(run: Run) -> bool:
        return bool(await run.approval("sure?"))

    async with Engine("memory:", workflows=[asks]) as engine:
        handle = await engine.start(asks, id="it")
        await engine.idle()
        (question,) = await engine.approvals()
        found = await asyncio.gather(
            engine.approve(question.id, False), engine.approve(question.id, True), return_exceptions=True
        )
        assert found[0] is None
        assert isinstance(found[1], InvalidInput)
        assert question.id not in found[1].expected
        assert await handle.result() is False


@live
async def test_what_cannot_be_redriven_holds_up_no_other_unless_it_was_named(caplog: pytest.LogCaptureFixture) -> None:
    flow = failing([ValueError("no")])
    queue = Queue("trades", max_retries=0)
    async with Engine("memory:", workflows=[flow], queues=[queue]) as engine:
        await _dead(engine, flow, 1)
        await engine.queues.send(queue, 1)
        (message,) = await engine.queues.lease(queue)
        await engine.queues.reject(message.lease)
        odd = str(await engine.letters.keep("letters/trade", 9, b'{"n": 1}', ValueError("newer")))
        with pytest.raises(NewerEvent):
            await engine.letters.redrive([odd, "t0"])
        assert len(await engine.dead_letters()) == 3
        found = await engine.letters.verbs()["letters.redrive"](every=True)
        assert found.redriven == [str(message.seq), "t0"]
        assert list(found.left) == [odd]
        assert f"letter {odd} of 'letters/trade' stays: NewerEvent" in caplog.text
        assert [letter.id for letter in await engine.dead_letters()] == [odd]
