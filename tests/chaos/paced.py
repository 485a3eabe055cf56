"""The shapes of the workload whose work does not begin at once: queued, in turns, gathered, scheduled, guarded.

They are called by ``workload``, and leave labels like all others, but for the schedule's: ``due-second``.
"""

from __future__ import annotations

import zlib

from tests.chaos.outside import append, append_async, append_lost, append_unsent, find, world
from tickwork import Batch, DeadLetterPolicy, Event, Fatal, Retry, Rule, Run, Workflow, workflow
from tickwork.core.breaker import Breaker
from tickwork.core.queue import Queue
from tickwork.core.schedule import Schedule, ScheduleFired

GROUPS = 3


def group(n: int) -> str:
    """The line in which a run's work stands; not by its remainder, which is its shape."""
    return str(zlib.crc32(str(n).encode()) % GROUPS)


class Brittle(Fatal):
    """Broken, and to be tried again by rule."""


class Stubborn(Fatal):
    """Broken, until a person tries it again."""


def _first(what: str) -> bool:
    """Is this asked for the first time in this process?"""
    return world().called(what) == 1


def fail_first(what: str) -> None:
    """Fails once in a process."""
    if _first(what):
        raise ConnectionError("try again")


def break_brittle(what: str) -> None:
    """The same, and trying again at once would not help."""
    if _first(what):
        raise Brittle(what)


def break_stubborn(what: str) -> None:
    """The same."""
    if _first(what):
        raise Stubborn(what)


# -- queues -----------------------------------------------------------------------------------------------------------


class Job(Event, name="chaos/job"):
    """A message for a workflow."""

    n: int
    k: int
    round: int = 1


JOBS = Queue("chaos-jobs", max_retries=1_000, retry=Retry(delay="3 ms", backoff="fixed"), consumers=4, message=Job)
PARCELS = Queue("chaos-parcels", max_retries=1_000, retry=Retry(delay="3 ms", backoff="fixed"))
"""Without a workflow: ``courier`` works on it from outside."""
FRAIL = Queue("chaos-frail", message=Job, policy=DeadLetterPolicy(Rule("Brittle", "retry", after="4 ms", times=1_000)))


async def sender(run: Run, n: int) -> None:
    """Two jobs in one line; the first is sent again later, which changes nothing."""
    first = await run.send(JOBS, Job(n=n, k=1), group=group(n), id=f"{n}/1")
    await run.send(JOBS, Job(n=n, k=2), group=group(n), id=f"{n}/2")
    await run.effect("write", append, f"{n}:sent", lookup=find)
    again = await run.send(JOBS, Job(n=n, k=1), group=group(n), id=f"{n}/1")
    await run.effect("write", append, f"{n}:{'same' if again == first else 'another'}", lookup=find)


@workflow("chaos-job", on=JOBS)
async def job(run: Run, given: Job) -> None:
    """Some fail their first delivery in a process, some go on as another run."""
    if given.n % 3 == 0:
        await run.step("may fail", fail_first, f"job {given.n}/{given.k}")
    if given.k == 2 and given.round == 1:
        await run.again(given.replace(round=2))
    await run.effect("write", append, f"{given.n}:job{given.k}", lookup=find)


async def parcel(run: Run, n: int) -> None:
    """Three parcels, one of them late."""
    for k in (1, 2, 3):
        await run.send(PARCELS, {"n": n, "k": k}, group=group(n), delay="15 ms" if k == 2 else None)


async def frail(run: Run, n: int) -> None:
    """Two messages that are dead letters at first: one comes back by rule, one by hand."""
    for k in (1, 2):
        await run.send(FRAIL, Job(n=n, k=k), group=group(n))


@workflow("chaos-frail", on=FRAIL)
async def breaking(run: Run, given: Job) -> None:
    """Cannot be done the first time in a process."""
    await run.step("may break", break_brittle if given.k == 1 else break_stubborn, f"frail {given.n}/{given.k}")
    await run.effect("write", append_async, f"{given.n}:frail{given.k}", lookup=find)


@workflow("chaos-mortal")
async def mortal(run: Run, n: int) -> None:
    """Dies the first time in a process, and is redriven."""
    await run.effect("write", append, f"{n}:before", lookup=find)
    await run.step("may break", break_stubborn, f"mortal {n}")
    await run.effect("write", append, f"{n}:after", lookup=find)


# -- flow control -----------------------------------------------------------------------------------------------------

SIZE = 4


class Piece(Event, name="chaos/piece"):
    """What is gathered."""

    n: int
    k: int


@workflow(
    "chaos-turn",
    key=lambda at: group(at[0]),
    concurrency=2,
    idempotency=lambda at: f"{at[0]}/{at[1]}",
    retry=Retry(limit=1_000, delay="2 ms", backoff="fixed"),
)
async def turn(run: Run, at: tuple[int, int]) -> None:
    """Begins and ends outside; between, some attempts fail."""
    n, k = at
    await run.effect("write", append, f"{n}:begin{k}", lookup=find)
    if n % 2:
        await run.step("may fail", fail_first, f"turn {n}/{k}")
    else:
        await run.sleep("3 ms")
    await run.effect("write", append_async, f"{n}:end{k}", lookup=find)


async def turns(run: Run, n: int) -> None:
    """Two runs that take turns; one of them is started again, which changes nothing."""
    first = await run.start(turn, (n, 1))
    await run.start(turn, (n, 2))
    await run.sleep("10 ms")
    again = await run.start(turn, (n, 1))
    await run.effect("write", append, f"{n}:{'same' if again == first else 'another'}", lookup=find)


async def gathered(run: Run, n: int) -> None:
    """Three events for one batch, or for two."""
    for k in (1, 2, 3):
        await run.emit(Piece(n=n, k=k))


@workflow("chaos-gather", on=Piece, batch=Batch(SIZE, "25 ms"))
async def gather(run: Run, pieces: list[Piece]) -> None:
    """Works on a batch."""
    for piece in pieces:
        await run.effect("write", append, f"{piece.n}:piece{piece.k}", lookup=find)


# -- schedules and breakers -------------------------------------------------------------------------------------------

CLOCK = "chaos-clock"


@workflow(CLOCK, on=Schedule("* * * * * *", missed="all", overlap="allow", grace="1 second"))
async def clock(run: Run, fired: ScheduleFired) -> None:
    """One run for each second."""
    await run.effect("write", append, f"due-{int(fired.due.timestamp())}", lookup=find)


WIRE = Breaker("chaos-wire", threshold=4, window="1 second", open_for="20 ms", successes=1, give_up="1 second")
PATIENT = Retry(limit=100_000, delay="4 ms", backoff="fixed")
"""Each refusal is an attempt."""


async def guarded(run: Run, n: int) -> None:
    """A dependency that fails each caller at first."""
    await run.step("may fail", fail_first, f"guarded {n}", retry=PATIENT, breaker=WIRE)
    await run.effect("lost", append_lost, f"{n}:lost", lookup=find, retry=PATIENT, breaker=WIRE)
    await run.effect("unsent", append_unsent, f"{n}:unsent", lookup=find, retry=PATIENT, breaker=WIRE)


def workflows() -> list[Workflow]:
    """All of them."""
    return [job, breaking, mortal, turn, gather, clock]


def queues() -> list[Queue]:
    """Those that no workflow works on."""
    return [PARCELS]
