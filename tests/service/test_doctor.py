"""The doctor: every thing that can be not well is made so, on a real engine, and found."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.engine.dependency import SECOND, Dependency, asking, results
from tests.engine.support import crash, live, turns
from tests.faults.support import disk
from tests.notify.support import ONE_TRY, Services, note
from tickwork.core.breaker import Breaker
from tickwork.core.clock import VirtualClock
from tickwork.core.event import Event
from tickwork.core.letters import DeadLetterPolicy, Rule
from tickwork.core.queue import Queue
from tickwork.core.run import Run
from tickwork.core.schedule import Schedule
from tickwork.core.workflow import workflow
from tickwork.engines.embedded import Engine, Memory
from tickwork.engines.embedded.lock import OwnerLock
from tickwork.engines.embedded.queries import Queries
from tickwork.engines.system_clock import SystemClock
from tickwork.notify.rules import Channel, QuietHours, Route, Rules
from tickwork.service.accounts.events import OrderInDoubt
from tickwork.service.doctor import examine, is_well
from tickwork.service.finding import Finding
from tickwork.service.halting import HaltRaised, halt_lines
from tickwork.service.ownership import Owner, owner_of
from tickwork.service.reconcile_events import FindingLine, ReconciliationDone
from tickwork.values import from_ns, timestamp_ns

MINUTE, HOUR = 60 * SECOND, 3_600 * SECOND
CHECKS = {
    "owner", "runs", "dead letters", "approvals", "queues", "flow control", "schedules", "breakers", "feeds", "unfed",
    "notifications", "disk", "clock", "halts", "orders in doubt", "reconciliation",
}  # fmt: skip
ANSWERS = Owner(pid="4711")
"""An owner of no workflows that answers."""


class Go(Event, name="doctor/go"):
    """What runs wait for."""

    n: int = 0


class SlowDown(Exception):
    """Its code is ``slow_down``."""


def found(engine: Engine, what: str, owner: Owner | None = None, after: int = 0) -> list[Finding]:
    """What there is to say of one thing, ``after`` so many ns, besides that it is well."""
    findings = examine(engine.queries, owner, engine.clock.now() + after)
    assert {finding.what for finding in findings} == CHECKS
    return [finding for finding in findings if finding.what == what and finding.severity != "ok"]


def only(findings: Sequence[Finding], severity: str, *told: str) -> None:
    """There is one finding, of this severity, in whose words and advice these are."""
    (finding,) = findings
    assert finding.severity == severity
    for words in told:
        assert words in f"{finding.detail} -> {finding.advice}"


async def at(engine: Engine, ns: int) -> None:
    """Let virtual time pass, so many ns after where its clock begins."""
    await engine.until(datetime(2020, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns / 1_000))


# --------------------------------------------------------------------------------------------------------------- owner


@live
async def test_all_is_well(tmp_path: Path) -> None:
    tape = f"{tmp_path}/tape.db"
    assert owner_of(tape) is None

    @workflow("waits", on=Go)
    async def waits(run: Run, go: Go) -> None:
        await run.wait_for(Go)

    async with Engine(f"sqlite:///{tape}", workflows=[waits], queues=[Queue("q")]) as engine:
        await engine.emit(Go())
        await engine.queues.send("q", "hello")
        owner = await asyncio.to_thread(owner_of, tape)
        assert owner is not None
        assert (owner.problem, owner.in_memory, owner.workflows) == ("", 1, frozenset({("waits", 1)}))
        assert owner.pid == str(os.getpid())
        findings = examine(Queries.open(tape), owner, SystemClock().now())
        assert {finding.severity for finding in findings} == {"ok"}
        assert is_well(findings)
        assert {finding.what for finding in findings} == CHECKS
        assert f"process {os.getpid()} has the tape open and answers; 1 run in memory" in findings[0].detail
    assert owner_of(tape) is None


@live
async def test_nobody_has_the_tape_open() -> None:
    @workflow("waits")
    async def waits(run: Run) -> None:
        await run.wait_for(Go)

    async with Engine("memory:", workflows=[waits], queues=[Queue("q")]) as engine:
        only(found(engine, "owner"), "notice", "nothing on it waits for one")
        for _ in range(2):
            await engine.start(waits)
        await engine.queues.send("q", "hello")
        await engine.emit(Go(), delay="1 hour")
        only(
            found(engine, "owner"), "warning", "2 unfinished runs, 1 message, 1 delayed event wait", "start the process"
        )
        assert not is_well(examine(engine.queries, None, engine.clock.now()))


@live
async def test_an_owner_that_does_not_answer(tmp_path: Path) -> None:
    tape = f"{tmp_path}/tape.db"
    lock = OwnerLock(tape)
    opening = owner_of(tape)
    lock.release()
    assert opening is not None
    assert (opening.pid, opening.problem) == (str(os.getpid()), "does not listen (is it just opening the tape?)")
    async with Engine(f"sqlite:///{tape}") as engine:
        busy = owner_of(tape, patience=0.1)  # while it is asked, its loop does nothing else
        assert busy is not None
        only(found(engine, "owner", busy), "error", "has not answered within 0.1 seconds", f"kill {os.getpid()}")
    assert owner_of(tape) is None


@live
async def test_an_owner_whose_disk_died(tmp_path: Path) -> None:
    tape = f"{tmp_path}/tape.db"
    with disk() as (platter, vfs):
        engine = Engine(f"sqlite:///{tape}", vfs=vfs.name)
        await engine.open()
        await engine.emit(Go())
        platter.die()
        engine.post(Go())
        await engine.failed()
        stopped = await asyncio.to_thread(owner_of, tape)
        await engine.close()
    assert stopped is not None
    assert "answers:" in stopped.problem
    assert "The engine has stopped" in stopped.problem


# ---------------------------------------------------------------------------------------------------------------- runs


@live
async def test_runs_that_do_not_go_on() -> None:
    @workflow("gone", version=3)
    async def gone(run: Run) -> None:
        await run.sleep("1 h")

    @workflow("waits")
    async def waits(run: Run) -> None:
        await run.wait_for(Go)

    @workflow("changed")
    async def old(run: Run) -> None:
        await run.step("a", lambda: 1)
        await run.sleep("1 h")

    @workflow("changed")
    async def new(run: Run) -> None:
        await run.step("b", lambda: 1)

    engine = Engine("memory:", workflows=[gone, waits, old])
    await engine.open()
    for n in range(2):
        await engine.start(gone, id=f"gone-{n}")
    for flow in (waits, old):
        await engine.start(flow, id=flow.name)
    await engine.idle()
    await engine.pause("waits")
    only(found(engine, "runs"), "notice", "1 run of 'waits' version 1 paused", "`tickwork resume waits`")
    async with Engine(crash(engine), workflows=[new]) as engine:
        await engine.settled()
        stranded, diverged, paused = found(engine, "runs")
        only(
            [stranded],
            "error",
            "2 runs of 'gone' version 3 stranded, gone-0 first: the engine was not given it",
            "Engine(workflows=[...])",
        )
        only([diverged], "error", "1 run of 'changed' version 1 diverged, changed first: ", "`tickwork show changed`")
        assert "'b'" in diverged.detail
        assert paused.severity == "notice"
        knows = Owner(workflows=frozenset({("changed", 1), ("gone", 3)}))
        assert [one.detail.partition(",")[0] for one in found(engine, "runs", knows)] == [
            "2 runs of 'gone' version 3 stranded",
            "1 run of 'waits' version 1 stranded",
            "1 run of 'changed' version 1 diverged",
        ]


@live
async def test_a_run_that_merely_waits_is_stranded_where_the_owner_lacks_its_workflow(tmp_path: Path) -> None:
    tape = f"{tmp_path}/tape.db"

    @workflow("waits")
    async def waits(run: Run) -> None:
        await run.wait_for(Go)

    async with Engine(f"sqlite:///{tape}", workflows=[waits]) as engine:
        await engine.start(waits, id="it")
        await engine.idle()
    async with Engine(f"sqlite:///{tape}") as engine:
        assert found(engine, "runs") == []
        owner = await asyncio.to_thread(owner_of, tape)
        only(found(engine, "runs", owner), "error", "1 run of 'waits' version 1 stranded, it first")


# -------------------------------------------------------------------------------------------------------- dead letters


@live
async def test_dead_letters_by_source_and_code() -> None:
    async def refuse(result: str) -> None:
        raise SlowDown("no")

    @workflow("trade desk", on=Go)
    async def trade(run: Run, go: Go) -> None:
        raise SlowDown("wait") if go.n else ValueError("odd")

    @workflow("patient", on=Go, policy=DeadLetterPolicy(Rule("slow_down", "retry", after="2 hours")))
    async def patient(run: Run, go: Go) -> None:
        if go.n:
            raise SlowDown("wait")

    @workflow("saga")
    async def undoes(run: Run) -> None:
        async with run.saga() as saga:
            await saga.step("buy", lambda: "bought", undo=refuse)
            raise ValueError("no")

    queue = Queue("signals", max_retries=0)
    async with Engine("memory:", workflows=[trade, patient, undoes], queues=[queue], seed=1) as engine:
        for n in (0, 1, 1):
            await engine.emit(Go(n=n))
        await engine.queues.send(queue, {"n": 1})
        (message,) = await engine.queues.lease(queue)
        await engine.queues.reject(message.lease, "rate_limit")
        await engine.letters.keep("doctor/go", 9, b"{}", ValueError("newer"))
        await engine.start(undoes)
        await at(engine, HOUR)
        letters = {
            finding.detail.partition(",")[0].partition(";")[0]: finding for finding in found(engine, "dead letters")
        }
        assert set(letters) == {
            "1 run of 'trade desk' died with value_error",
            "2 runs of 'trade desk' died with slow_down",
            "2 runs of 'patient' died with slow_down",
            "1 run of 'saga' died with value_error",
            "1 undo 'undo buy' could not be done with slow_down",
            "1 message of queue 'signals' gave up with rate_limit",
            "1 event 'doctor/go' cannot be read with value_error",
        }
        two = letters["2 runs of 'trade desk' died with slow_down"]
        only([two], "warning", "the oldest on 2020-01-01 00:00:00")
        only([two], "warning", "`tickwork redrive --source 'trade desk' --code slow_down` tries again")
        only(
            [letters["2 runs of 'patient' died with slow_down"]], "notice", "a rule tries again, on 2020-01-01 02:00:00"
        )
        undo = letters["1 undo 'undo buy' could not be done with slow_down"]
        only([undo], "error", "by hand", "`tickwork discard --source 'undo buy' --code slow_down`")
        # what is said to be done can be done, and then all is well
        await engine.letters.discard(source="undo buy", code="slow_down")
        await engine.letters.redrive(source="signals", code="rate_limit")
        await engine.letters.discard(every=True)
        assert found(engine, "dead letters") == []


@live
async def test_a_question_that_waits_for_a_person() -> None:
    @workflow("asks")
    async def asks(run: Run) -> bool:
        return await run.approval("sell everything?")

    async with Engine("memory:", workflows=[asks]) as engine:
        await engine.start(asks, id="it")
        await engine.idle()
        assert found(engine, "approvals", after=23 * HOUR) == []
        (question,) = await engine.approvals()
        old = found(engine, "approvals", after=25 * HOUR)
        only(
            old, "warning", "1 question has", "since 2020-01-01 00:00:00: 'sell everything?'", question.id, "cancel it`"
        )


# ---------------------------------------------------------------------------------------------------------------- lines


@live
async def test_queues_that_fill_up_and_grow_old() -> None:
    queue = Queue("signals", capacity=10, retention="4 hours")
    async with Engine("memory:", queues=[queue]) as engine:
        for n in range(7):
            await engine.queues.send(queue, n)
        assert found(engine, "queues") == []
        await engine.queues.send(queue, 7)
        only(found(engine, "queues"), "warning", "'signals' is nearly full: 8 of 10 messages", "queues show signals")
        for n in (8, 9):
            await engine.queues.send(queue, n)
        only(found(engine, "queues"), "error", "'signals' is full: 10 of 10 messages")
        for message in await engine.queues.lease(queue, max=9):
            await engine.queues.ack(message.lease)
        assert found(engine, "queues", after=2 * HOUR - 1) == []
        old = found(engine, "queues", after=2 * HOUR + 1)
        only(old, "warning", "has waited since 2020-01-01 00:00:00", "gives up on 2020-01-01 04:00:00")


@live
async def test_messages_that_nobody_declares(tmp_path: Path) -> None:
    tape = f"{tmp_path}/tape.db"
    async with Engine(f"sqlite:///{tape}", queues=[Queue("old"), Queue("empty")]) as engine:
        await engine.queues.send("old", "hello")
    async with Engine(f"sqlite:///{tape}") as engine:
        owner = await asyncio.to_thread(owner_of, tape)
        only(found(engine, "queues", owner), "error", "1 message in 'old'", "Queue('old')")


@live
async def test_long_lines_and_who_holds_them_up() -> None:
    @workflow("serial", concurrency=1)
    async def serial(run: Run) -> None:
        await run.wait_for(Go)

    async with Engine("memory:", workflows=[serial]) as engine:
        holder = await engine.start(serial)
        await engine.start(serial)
        assert found(engine, "flow control", after=59 * MINUTE) == []
        slow = found(engine, "flow control", after=61 * MINUTE)
        only(slow, "warning", "1 run of 'serial' waits for a turn, the first since 2020-01-01 00:00:00", "concurrency=")
        for _ in range(100):
            engine.start_soon(serial)
        await engine.pause(holder.id)
        only(
            found(engine, "flow control"),
            "warning",
            "101 runs of 'serial' wait",
            f"let {holder.id} go on: it is paused, and keeps a turn",
        )


@live
async def test_schedules_that_start_nothing() -> None:
    class Ends:
        """Times that nobody can tell after the first day."""

        def next(self, after_ns: int) -> int:
            if after_ns > VirtualClock().now() + 3 * HOUR:
                raise LookupError("the calendar ends here")
            return after_ns + HOUR

        def __str__(self) -> str:
            return "hourly"

    @workflow("works", on=[Schedule("0 * * * *", name="hourly", missed="once"), Schedule(Ends(), name="odd")])
    async def works(run: Run) -> None: ...

    @workflow("gone", on=Schedule("0 0 * * *"))
    async def gone(run: Run) -> None: ...

    memory = Memory()
    async with Engine(memory, workflows=[works, gone]) as engine:
        assert found(engine, "schedules") == []
        only(found(engine, "owner"), "warning", "3 schedules wait")
        late = found(engine, "schedules", after=HOUR + 2 * MINUTE)
        only(late, "warning", "2 schedules are overdue, the first since 2020-01-01 01:00:00: hourly, odd", "missed=")
        only(found(engine, "schedules", ANSWERS, HOUR + 2 * MINUTE)[:1], "warning", "is too busy")
        await at(engine, 5 * HOUR)
        only(found(engine, "schedules"), "error", "next time of 'odd': the calendar ends here", "(hourly)")
        await engine.schedules.pause("hourly")
    async with Engine(memory, workflows=[works]) as engine:
        odd, stranded, paused = found(engine, "schedules")
        only([stranded], "notice", "'gone' is stranded")
        only([paused], "notice", "'hourly' is paused", "`tickwork schedules resume hourly`")
        assert odd.severity == "error"


@live
async def test_breakers_that_are_not_closed() -> None:
    world = Dependency()
    api = Breaker("api", threshold=3, open_for="30 s")
    flow = asking(world, breaker=api)

    @workflow("slow")
    async def slow(run: Run) -> str:
        return await run.step("ask", world.ask_slowly, "x", breaker=api)

    async with Engine("memory:", workflows=[flow, slow], seed=1) as engine:
        world.down = True
        await results(engine, flow, "a", "b")
        assert found(engine, "breakers") == []
        await results(engine, flow, "c")
        rests = found(engine, "breakers")
        only(rests, "warning", "'api' is open until 2020-01-01 00:00:30", "`tickwork breakers reset api`")
        only(found(engine, "breakers", after=31 * SECOND), "notice", "'api' is open; its next call is let through")
        world.hold = asyncio.Event()
        engine.clock.jump(engine.clock.now() + 31 * SECOND)
        await engine.start(slow)
        await turns()
        await engine.durable()
        only(found(engine, "breakers"), "notice", "'api' is half-open: tried again with 1 call under way")
        world.down = False
        world.hold.set()
        await engine.settled()


# --------------------------------------------------------------------------------------------------------------- around


@live
async def test_notifications_that_failed_or_are_held() -> None:
    rest = QuietHours("11:00", "14:00", "UTC")
    rules = Rules(
        (Channel("phone", quiet_hours=rest), Channel("dead")),
        (Route(kind="price.*", channels=("phone",)), Route(kind="test", channels=("dead",))),
    )
    async with Services(broken={"dead"}).engine(rules, retry=ONE_TRY) as engine:
        for number in range(3):
            await engine.emit(note(f"{number}"))
        await engine.emit(note("lost", kind="test"))
        await engine.idle()
        failed, held = found(engine, "notifications")
        only(
            [failed],
            "warning",
            "1 notification could not be delivered over 'dead': ",
            "dead is away",
            "notify test dead",
        )
        only([held], "notice", "are held back, the first until 2024-05-01 14:00:00", "notify outbox --status held")
        # said once, and not as a dead letter too
        assert found(engine, "dead letters") == []
        await engine.letters.discard(source="notify-deliver")
        await engine.until(datetime(2024, 5, 1, 15, tzinfo=UTC))
        assert found(engine, "notifications") == []


@live
async def test_a_disk_without_room_and_a_long_wal(tmp_path: Path) -> None:
    tape = tmp_path / "tape.db"
    async with Engine(f"sqlite:///{tape}") as engine:
        await engine.emit(Go())
        assert found(engine, "disk") == []
        # sparse: they take no room
        os.truncate(f"{tape}-wal", 200_000_000)
        only(found(engine, "disk"), "warning", "the -wal has grown to 200.0 MB", "reads the tape without an end")
    status = os.statvfs(tmp_path)
    os.truncate(tape, status.f_bavail * status.f_frsize + 10**10)
    findings = examine(Queries.open(str(tape)), None, SystemClock().now())
    full = [finding for finding in findings if finding.what == "disk"]
    only(full, "warning", " free, the tape takes ", "make room", "on a full disk")


@live
async def test_a_clock_that_is_behind_the_tape(tmp_path: Path) -> None:
    now = SystemClock().now()
    ahead = VirtualClock(now + 3 * HOUR)
    async with Engine(f"sqlite:///{tmp_path}/tape.db", clock=ahead) as engine:
        await engine.emit(Go())
        findings = examine(engine.queries, None, now)
        only(
            [finding for finding in findings if finding.what == "clock"], "warning", "3h ahead of this machine's clock"
        )
        assert found(engine, "clock") == []
        findings = examine(engine.queries, None, now + 2 * 10**9)
        only([finding for finding in findings if finding.what == "clock"], "warning", "2h 59m ahead of this machine's")


@live
async def test_what_cannot_be_read_does_not_hide_the_rest(tmp_path: Path) -> None:
    tape = f"{tmp_path}/tape.db"

    @workflow("fails")
    async def fails(run: Run) -> None:
        raise ValueError("no")

    async with Engine(f"sqlite:///{tape}", workflows=[fails]) as engine:
        await engine.start(fails)
        await engine.idle()
        engine._log.batch.put("breakers", ("api",), (b'{"settings": {"threshold": 0}, "state": {}}',))
        engine._log.batch.put("schedules", ("daily",), (b"{}",))
        await engine.durable()
    findings = examine(Queries.open(tape), None, timestamp_ns(datetime.now(UTC)))
    wrong = {finding.what: finding for finding in findings if finding.severity != "ok"}
    assert set(wrong) == {"owner", "breakers", "schedules", "dead letters"}
    assert findings[0].severity == "error"
    assert "'api'" in wrong["breakers"].detail
    assert "backup" in wrong["schedules"].advice


def test_the_worst_comes_first() -> None:
    async def main() -> list[Any]:
        async with Engine("memory:", queues=[Queue("q", capacity=1)]) as engine:
            await engine.queues.send("q", 1)
            return [finding.severity for finding in examine(engine.queries, None, engine.clock.now() + 13 * HOUR)]

    found = asyncio.run(main())
    assert found == ["error", "warning", "warning", *["ok"] * (len(CHECKS) - 2)]


# -------------------------------------------------------------------------------------------------------------- trading


@live
async def test_halts_doubts_and_books_that_differ() -> None:
    async with Engine("memory:", views=[halt_lines], clock=VirtualClock()) as engine:
        for name in ("halts", "orders in doubt", "reconciliation"):
            assert found(engine, name) == []
        at = from_ns(engine.clock.now())
        engine.post(
            HaltRaised(account="main", level="halt", reason="enough", by="ada", made_by="person", at=at)
        )  # fmt: skip
        engine.post(
            OrderInDoubt(
                account="main", workflow="w", venue="mexc", client_order_id="ab" * 16, symbol="BTC/USDT", side="buy",
                quantity=Decimal(1), why="no answer", stuck=True,
            )
        )  # fmt: skip
        engine.post(
            ReconciliationDone(
                run="r1", account="main", venue="mexc", by="start", clean=False, unseen={"fills": "no answer"},
                findings=(FindingLine(
                    id="x", kind="balance", symbol="", difference=Decimal(1), severity="major", detail="1 USDT more",
                    action="ask",
                ),),
            )
        )  # fmt: skip
        await engine.durable()
        only(found(engine, "halts"), "error", "account main is at level halt", "ada", "enough", "unhalt")
        only(found(engine, "orders in doubt"), "warning", "ab" * 16, "disown")
        told = found(engine, "reconciliation")
        assert sorted(one.severity for one in told) == ["error", "warning"]
        assert any("1 USDT more" in one.detail for one in told)
