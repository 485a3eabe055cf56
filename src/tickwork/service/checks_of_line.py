"""Checks of what waits in line: messages, runs that flow control holds back, due times, dependencies at rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tickwork.engines.embedded.queue_tables import QueueTables
from tickwork.engines.embedded.schedule_rows import ScheduleRow, read_rows
from tickwork.engines.embedded.status import Status
from tickwork.service.breakers import breaker_lines
from tickwork.service.finding import Case, Said, command, many, moment, some
from tickwork.values import duration, timestamp_ns

NEARLY_FULL: Final = 0.8
LINE_LONG: Final = 100
"""Runs of one workflow that wait for their turn."""
LINE_SLOW: Final = 3_600 * 10**9
"""ns that the first of them has waited for."""
OVERDUE: Final = 60 * 10**9
"""ns after its due time at which a schedule should have been dealt with: a busy process may be seconds late."""


def queues(case: Case) -> Iterator[Said]:
    """Queues that are full or nearly so, that nobody declares, or whose messages grow old."""
    tables = QueueTables(case.queries.reader)
    sql = "SELECT count(*), min(joins_at) FROM messages WHERE queue=? AND stage<10"
    for name in tables.names():
        ((count, oldest),) = case.rows(sql, name)
        if not count:
            continue
        if case.answering is not None and name in case.answering.undeclared:
            told = f"{many(count, 'message')} in {name!r}, which the process that has the tape open does not declare"
            yield Said("error", told, f"give it to the engine, Engine(queues=[Queue({name!r})]), and they go on")
            continue
        settings = tables.settings(name)
        capacity, retention = settings["capacity"], duration(settings["retention"])
        if count >= NEARLY_FULL * capacity:
            full = count >= capacity
            told = f"{name!r} {'is full' if full else 'is nearly full'}: {count:,} of {capacity:,} messages"
            advice = f"see who works on it ({command('queues', 'show', name)}); raise its consumers= or its capacity="
            yield Said("error" if full else "warning", told, advice)
        if case.now - oldest > retention // 2:
            told = f"the oldest message of {name!r} has waited since {moment(oldest)}, half its retention or more"
            advice = f"see who works on it ({command('queues', 'show', name)}): it gives up on"
            yield Said("warning", told, f"{advice} {moment(oldest + retention)}")


def flow(case: Case) -> Iterator[Said]:
    """Long lines of runs that wait for their turn."""
    sql = """
        SELECT f.workflow, count(*), min(r.started_at) FROM flow f JOIN runs r ON r.seq=f.seq WHERE f.held=0
        GROUP BY f.workflow ORDER BY 3"""
    for workflow, count, oldest in case.rows(sql):
        if count > LINE_LONG or case.now - oldest > LINE_SLOW:
            wait = "waits" if count == 1 else "wait"
            told = f"{many(count, 'run')} of {workflow!r} {wait} for a turn, the first since {moment(oldest)}"
            yield Said("warning", told, _why_held(case, workflow))


def _why_held(case: Case, workflow: str) -> str:
    """What to do about a line: a run that cannot go on keeps its turn, and all that come after it wait."""
    sql = """
        SELECT r.seq, r.id, r.status FROM flow f JOIN runs r ON r.seq=f.seq
        WHERE f.workflow=? AND f.held=1 AND r.status BETWEEN ? AND ? ORDER BY r.seq LIMIT 1"""
    for seq, id, status in case.rows(sql, workflow, int(Status.PAUSED), int(Status.DIVERGED)):
        name, said = id or f"r{seq}", Status(status).name.lower()
        return f"let {name} go on: it is {said}, and keeps a turn"
    listed = command("runs", "--workflow", workflow)
    return f"see what its runs wait for ({listed}); raise its concurrency=, or its limits, if that is too little"


def schedules(case: Case) -> Iterator[Said]:
    """Schedules that start nothing, or not in time; where nobody has the tape open, those that are late in one."""
    late: list[tuple[int, str, ScheduleRow]] = []
    for name, row in read_rows(case.queries.reader).items():
        if row.stranded:
            # it may have been given up on purpose, and there is no other way to do that
            yield Said(
                "notice", f"{name!r} is stranded: no workflow declares it", "fine if it was given up; else check"
            )
        elif row.problem:
            told = f"nobody knows the next time of {name!r}: {row.problem}"
            yield Said("error", told, f"mend its times ({row.spec}) and start the process again")
        elif row.paused:
            yield Said("notice", f"{name!r} is paused", f"{command('schedules', 'resume', name)} lets it go on")
        elif row.next_due is not None and case.now - row.next_due > OVERDUE:
            late.append((row.next_due, name, row))
    if case.owner is None:
        yield from _overdue(late)
        return
    advice = "the process that has the tape open is too busy, or stands still: look at its log"
    for due, name, _ in late:
        yield Said("warning", f"{name!r} has been due since {moment(due)}", advice)


def _overdue(late: list[tuple[int, str, ScheduleRow]]) -> Iterator[Said]:
    """Schedules whose time has come while nobody has the tape open."""
    if len(late) == 1:
        ((due, name, row),) = late
        advice = f"start the process that runs {row.workflow!r}; what was missed then goes by missed={row.missed!r}"
        yield Said("warning", f"{name!r} has been due since {moment(due)}", advice)
    elif late:
        late = sorted(late, key=lambda one: one[0])
        told = f"{len(late):,} schedules are overdue, the first since {moment(late[0][0])}: "
        advice = "start the process that runs their workflows; what was missed then goes by their missed="
        yield Said("warning", told + some([name for _, name, _ in late]), advice)


def breakers(case: Case) -> Iterator[Said]:
    """Dependencies that are left alone."""
    for line in breaker_lines(case.queries):
        reset = command("breakers", "reset", line.name)
        if line.state == "half-open":
            yield Said("notice", f"{line.name!r} is half-open: tried again with {many(line.probes, 'call')} under way")
        elif line.state == "open" and line.retry_at is not None:
            until = timestamp_ns(line.retry_at)
            if until > case.now:
                told = f"{line.name!r} is open until {moment(until)}: {line.why}"
                yield Said("warning", told, f"its dependency is left alone; if it is well again, {reset}")
            else:
                told = f"{line.name!r} is open; its next call is let through, since {moment(until)}"
                yield Said("notice", told, f"{reset} closes it before that")
