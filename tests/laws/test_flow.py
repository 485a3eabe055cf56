"""Laws of flow control: for any arrivals, options and crashes, nothing is lost and no limit is passed.

``TICKWORK_EXAMPLES=2000 pytest tests/laws/test_flow.py`` looks longer.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.laws.probe import records_of
from tickwork.core.clock import VirtualClock
from tickwork.core.event import Event
from tickwork.core.flow import Batch, Concurrency, Debounce, Flow, Idempotency, Place, RateLimit, Throttle, Turnstile
from tickwork.core.retry import Retry
from tickwork.core.run import Run
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded import Engine, Memory

EXAMPLES = int(os.environ.get("TICKWORK_EXAMPLES", "40"))
law = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
SECOND = 1_000_000_000


class Job(Event, name="laws/flow.job"):
    """Something to do."""

    n: int
    key: str
    urgency: int = 0
    seconds: int = 0
    failures: int = 0


@dataclass
class Case:
    """Options of a workflow."""

    keyed: bool
    total: int | None
    per_key: int | None
    throttle: tuple[int, int, bool] | None
    rate: tuple[int, int, bool] | None
    priority: bool
    once: bool

    def options(self) -> dict[str, Any]:
        made: dict[str, Any] = {}
        if self.keyed:
            made["key"] = lambda job: job.key
        per_key = self.per_key if self.keyed else None
        if self.total is not None or per_key is not None:
            made["concurrency"] = Concurrency(total=self.total, per_key=per_key)
        for name, kind, limit in (("throttle", Throttle, self.throttle), ("rate_limit", RateLimit, self.rate)):
            if limit is not None:
                made[name] = kind(limit[0], f"{limit[1]} s", per_key=limit[2] and self.keyed)
        if self.priority:
            made["priority"] = lambda job: job.urgency
        if self.once:
            made["idempotency"] = Idempotency(lambda job: str(job.n), "1 hour")
        return made


limits = st.none() | st.tuples(st.integers(1, 3), st.integers(1, 8), st.booleans())
cases = st.builds(
    Case,
    keyed=st.booleans(),
    total=st.none() | st.integers(1, 3),
    per_key=st.none() | st.integers(1, 2),
    throttle=limits,
    rate=limits,
    priority=st.booleans(),
    once=st.booleans(),
)
jobs = st.lists(
    st.tuples(
        st.integers(0, 3),  # seconds after the one before
        st.builds(
            Job,
            n=st.integers(0, 6),
            key=st.sampled_from("abc"),
            urgency=st.integers(0, 2),
            seconds=st.integers(0, 4),
            failures=st.integers(0, 3),
        ),
    ),
    max_size=14,
)
crashes = st.lists(st.integers(1, 40), max_size=4)


def make(case: Case) -> Workflow:
    @workflow("job", on=Job, retry=Retry(limit=1, delay="2 s"), **case.options())
    async def job(run: Run, job: Job) -> int:
        await run.step("begin", lambda: job.n)
        await run.sleep(f"{job.seconds} s")
        if run.attempt <= job.failures:
            raise ConnectionError("not yet")
        return job.n

    return job


@dataclass
class Story:
    """One run, read from the tape."""

    job: Job
    started: int = 0
    begun: int = 0
    ended: int = 0
    endings: int = 0


@dataclass
class Told:
    """What the tape tells."""

    runs: dict[int, Story] = field(default_factory=dict)
    declined: Counter[str] = field(default_factory=Counter)


def read(memory: Memory) -> Told:
    told = Told()
    for position, entry in records_of(memory):
        record = entry.record
        if record.kind == "started":
            who = msgspec.json.decode(bytes(record.value))
            told.runs[entry.seq] = Story(Job(**who["input"]), entry.seq, record.at)
        elif record.kind == "admitted" and position is not None:
            told.runs[position].begun = record.at
        elif record.kind in ("done", "dead") and position is not None:
            told.runs[position].ended = record.at
            told.runs[position].endings += 1
        elif record.kind == "declined":
            told.declined[msgspec.json.decode(bytes(record.value))["why"].partition(":")[0]] += 1
    return told


async def play(flow: Workflow, arrivals: list[tuple[int, Job]], deaths: list[int]) -> Memory:
    """Emit the jobs at their times, dying now and then; then let everything come to its end."""
    memory, clock = Memory(), VirtualClock()
    began = clock.now()
    at = 0
    moments: list[tuple[int, int, Job | None]] = [(death, 0, None) for death in deaths]
    for wait, arriving in arrivals:
        at += wait
        moments.append((at, 1, arriving))
    moments.sort(key=lambda moment: moment[:2])
    engine = Engine(memory, workflows=[flow], clock=clock, seed=1)
    await engine.open()
    for second, _, job in moments:
        target = began + second * SECOND
        while (due := engine._timers.next_due()) is not None and due <= target:
            clock.jump(due)
            engine._timers.fire_due()
            await engine.idle()
        clock.jump(target)
        engine._timers.fire_due()
        if job is not None:
            await engine.emit(job)
        else:
            engine.kill()
            engine = Engine(memory, workflows=[flow], clock=clock, seed=1)
            await engine.open()
        await engine.idle()
    await engine.settled()
    assert engine._reader.one("SELECT count(*) FROM flow") == 0
    engine.kill()
    return memory


@pytest.fixture(autouse=True)
def _quietly() -> Any:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def most_at_once(runs: list[Story]) -> int:
    """How many were under way at once, at most; one that ends when another begins is over before."""
    changes = sorted([(run.begun, 1) for run in runs] + [(run.ended, 0) for run in runs])
    most = now = 0
    for _, begins in changes:
        now += 1 if begins else -1
        most = max(most, now)
    return most


@law
@given(case=cases, arrivals=jobs, deaths=crashes)
def test_nothing_is_lost_and_no_limit_is_passed(case: Case, arrivals: list[tuple[int, Job]], deaths: list[int]) -> None:
    memory = asyncio.run(play(make(case), arrivals, deaths))
    told = read(memory)
    runs = list(told.runs.values())
    assert all(run.endings == 1 for run in runs), "every run came to one end"
    assert len(runs) + sum(told.declined.values()) == len(arrivals), "each arrival is a run or a record of why not"
    if case.rate is None:
        assert not told.declined["rate_limit"]
    if not case.once:
        assert not told.declined["idempotency"]
    else:
        assert len({run.job.n for run in runs}) == len(runs)
    lasting = [run for run in runs if run.ended > run.begun]
    if case.total is not None:
        assert most_at_once(lasting) <= case.total
    groups: dict[str, list[Story]] = {}
    for run in runs:
        groups.setdefault(run.job.key, []).append(run)
    if case.keyed:
        for group in groups.values():
            assert most_at_once([run for run in group if run in lasting]) <= (case.per_key or 1)
            in_order = sorted(group, key=lambda run: run.started)
            assert [run.begun for run in in_order] == sorted(run.begun for run in in_order), "FIFO per key"
    if case.throttle is not None:
        limit, period, per_key = case.throttle
        for group in groups.values() if per_key and case.keyed else [runs]:
            begun = sorted(run.begun for run in group)
            for first, later in zip(begun, begun[limit:], strict=False):
                assert later - first >= period * SECOND, "the throttle"


@law
@given(
    arrivals=jobs,
    deaths=crashes,
    debounce=st.booleans(),
    keyed=st.booleans(),
    size=st.integers(1, 4),
    seconds=st.integers(1, 6),
)
def test_what_is_gathered_is_neither_lost_nor_doubled(
    arrivals: list[tuple[int, Job]], deaths: list[int], debounce: bool, keyed: bool, size: int, seconds: int
) -> None:
    options: dict[str, Any] = {"key": lambda job: job.key} if keyed else {}
    got: dict[str, list[Any]] = {}

    if debounce:

        @workflow("gather", on=Job, debounce=Debounce(f"{seconds} s"), **options)
        async def gather(run: Run, job: Job) -> None:
            got[run.id] = [job]
    else:

        @workflow("gather", on=Job, batch=Batch(size, f"{seconds} s"), **options)
        async def gather(run: Run, jobs: list[Job]) -> None:
            got[run.id] = jobs

    numbered = [(wait, job.replace(n=index)) for index, (wait, job) in enumerate(arrivals)]
    memory = asyncio.run(play(gather, numbered, deaths))
    batches = list(got.values())
    found = [job.n for jobs in batches for job in jobs]
    assert len(found) == len(set(found))
    if keyed:
        assert all(len({job.key for job in jobs}) == 1 for jobs in batches)
    if debounce:
        last = {job.key if keyed else "": job.n for _, job in numbered}
        assert set(last.values()) <= set(found), "the last of each is never lost"
    else:
        assert sorted(found) == list(range(len(numbered)))
        assert all(1 <= len(jobs) <= size for jobs in batches)
        assert all([job.n for job in jobs] == sorted(job.n for job in jobs) for jobs in batches)
    assert records_of(memory)


@law
@given(
    case=cases,
    acts=st.lists(st.tuples(st.sampled_from("joinleavedroptick"), st.integers(0, 5), st.integers(0, 2)), max_size=60),
)
def test_a_turnstile_never_keeps_somebody_waiting_without_a_reason(
    case: Case, acts: list[tuple[str, int, int]]
) -> None:
    options = case.options()
    flow = Flow(keyed=case.keyed, **{k: v for k, v in options.items() if k in ("concurrency", "throttle")})
    stile, now = Turnstile(flow), 0
    waiting: list[Place] = []
    held: list[Place] = []
    for count, (act, number, urgency) in enumerate(acts, 1):
        if act in "joi":
            place = Place(count, "abc"[number % 3] if case.keyed else "", urgency, count)
            stile.join(place)
            waiting.append(place)
        elif act in "leav" and held:
            stile.leave(held.pop(number % len(held)).seq)
        elif act in "drop" and waiting:
            stile.leave(waiting.pop(number % len(waiting)).seq)
        else:
            now += number * SECOND
        while (begun := stile.take(now)) is not None:
            waiting.remove(begun)
            held.append(begun)
        assert stile.waiting == len(waiting)
        assert {place.seq for place in held} == set(stile.holding)
        for place in waiting:
            ahead = [p for p in waiting if p.key == place.key and p.place < place.place]
            reasons = [
                case.keyed and bool(ahead),
                flow.total is not None and len(held) >= flow.total,
                flow.per_key is not None and sum(p.key == place.key for p in held) >= flow.per_key,
                flow.throttle is not None and stile.window(place.key).free_at(now) > now,
            ]
            assert any(reasons), "somebody waits for nothing"
