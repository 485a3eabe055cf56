"""Checks of who runs the runs, of runs that cannot go on, of what gave up, of what waits for a person."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from tickwork.core.message import Stage
from tickwork.core.view import View
from tickwork.engines.embedded.queue_tables import QueueTables
from tickwork.engines.embedded.schedule_rows import read_rows
from tickwork.engines.embedded.status import UNFINISHED, Status
from tickwork.market.alert_events import price_alerts
from tickwork.market.rule_events import position_rules
from tickwork.notify.notifier import DELIVER
from tickwork.service.finding import Case, Said, Severity, command, many, moment
from tickwork.values import from_ns

APPROVAL_AGE: Final = timedelta(days=1)
"""A question that has waited for a person for longer has been overlooked."""


def owner(case: Case) -> Iterator[Said]:
    """Does a process have the tape open, and does it answer?"""
    found = case.owner
    if found is None:
        waiting = _waiting(case)
        if waiting:
            advice = "start the process that runs your workflows"
            yield Said("warning", f"no process has the tape open, but {', '.join(waiting)} wait for one", advice)
        else:
            yield Said("notice", "no process has the tape open; nothing on it waits for one")
        return
    name = f"process {found.pid}" if found.pid else "a process"
    if found.problem:
        stop = f"kill {found.pid}" if found.pid else "stop it"
        advice = f"look at its log; where it hangs, {stop} and start it again: whatever it acknowledged is on disk"
        yield Said("error", f"{name} has the tape open, but {found.problem}", advice)
    else:
        yield Said("ok", f"{name} has the tape open and answers; {many(found.in_memory, 'run')} in memory")


def _waiting(case: Case) -> list[str]:
    counts = case.queries.counts()
    resting = sum(not (row.paused or row.stranded) for row in read_rows(case.queries.reader).values())
    found = {
        "unfinished run": sum(counts.get(status.name.lower(), 0) for status in UNFINISHED),
        "message": case.queries.reader.one("SELECT count(*) FROM messages WHERE stage<10"),
        "delayed event": case.queries.reader.one("SELECT count(*) FROM delayed"),
        "schedule": resting,
        "price alert": _keys(case, price_alerts),
        "position rule": _keys(case, position_rules),
    }
    return [many(count, noun) for noun, count in found.items() if count]


def _keys(case: Case, view: View) -> int:
    """How many keys a view has."""
    return int(case.queries.reader.one("SELECT count(*) FROM views WHERE view=?", (view.name,)))


# --------------------------------------------------------------------------------------------------------------- runs

_STUCK: Final[dict[Status, tuple[Severity, str]]] = {
    Status.STRANDED: ("error", "give it this version too, Engine(workflows=[...]): they go on then"),
    Status.DIVERGED: (
        "error",
        "start the code they began with, or tell the new one of the change (run.patched); {show} has the records",
    ),
    Status.PAUSED: ("notice", "{resume} lets it go on"),
}
_GROUPS: Final = """
    SELECT status, workflow, version, count(*), min(seq), id, problem FROM runs WHERE status BETWEEN ? AND ?
    GROUP BY status, workflow, version ORDER BY min(seq)"""


def runs(case: Case) -> Iterator[Said]:
    """Runs that do not go on by themselves: stranded, diverged, paused."""
    known = None if case.answering is None else case.answering.workflows
    # of a run that merely waits only the process tells whether it could go on
    between = (Status.PAUSED, Status.DIVERGED) if known is None else (Status.RUNNING, Status.QUEUED)
    groups: dict[tuple[Status, str, int], tuple[int, str, str]] = {}
    for number, workflow, version, count, first, id, problem in case.rows(_GROUPS, *map(int, between)):
        lacking = known is not None and (workflow, version) not in known
        status = Status.STRANDED if lacking else Status(number)
        if status in _STUCK:
            why = "the engine was not given it" if status is Status.STRANDED else problem or ""
            before = groups.get((status, workflow, version), (0, id or f"r{first}", why))
            groups[status, workflow, version] = (before[0] + count, *before[1:])
    for (status, workflow, version), (count, id, why) in groups.items():
        severity, advice = _STUCK[status]
        told = f"{many(count, 'run')} of {workflow!r} version {version} {status.name.lower()}, {id} first"
        told += f": {' '.join(why.split())}" if why else ""
        yield Said(severity, told, advice.format(show=command("show", id), resume=command("resume", id)))


# ------------------------------------------------------------------------------------------------------- dead letters

_GAVE_UP: Final[dict[str, tuple[Severity, str, str, str]]] = {
    "run": ("warning", "run", "of {source!r} died", "{letters} says why, {redrive} tries again"),
    "message": ("warning", "message", "of queue {source!r} gave up", "{letters} says why, {redrive} tries again"),
    "event": (
        "warning",
        "event",
        "{source!r} cannot be read",
        "start a process that knows this version of the event, then {redrive}",
    ),
    "undo": ("error", "undo", "{source!r} could not be done", "do by hand what {letters} tells, then {discard}"),
}


def letters(case: Case) -> Iterator[Said]:
    """Dead letters that lie open, by source and code; not those of notifications."""
    sql = """
        SELECT kind, source, code, count(*), min(at), min(due) FROM letters WHERE status=0 AND source<>?
        GROUP BY kind, source, code, due>0 ORDER BY due>0, min(at)"""
    groups = case.rows(sql, DELIVER)
    sql = """
        SELECT 'message', queue, json_extract(failures, '$[#-1].code'), count(*), min(ended_at), 0 FROM messages
        WHERE queue=? AND stage=? AND stage>=10 GROUP BY 3 ORDER BY min(ended_at)"""
    for queue in QueueTables(case.queries.reader).names():
        groups += case.rows(sql, queue, int(Stage.DEAD))
    for kind, source, code, count, oldest, due in groups:
        severity, noun, what, advice = _GAVE_UP[kind]
        told = f"{many(count, noun)} {what.format(source=source)}" + (f" with {code}" if code else "")
        chosen = ["--source", source, *(["--code", code] if code else [])]
        if due:
            told += f"; a rule tries again, on {moment(due)} first"
            severity, advice = "notice", "{letters} says why"
        else:
            told += f", the oldest on {moment(oldest)}"
        commands = {verb: command(verb, *chosen) for verb in ("letters", "redrive", "discard")}
        yield Said(severity, told, advice.format(**commands))


# ---------------------------------------------------------------------------------------------------------- approvals


def approvals(case: Case) -> Iterator[Said]:
    """Questions that have waited for a person for too long."""
    old = [one for one in case.queries.approvals() if from_ns(case.now) - one.asked_at > APPROVAL_AGE]
    if old:
        first, have = old[0], "has" if len(old) == 1 else "have"
        yield Said(
            "warning",
            f"{many(len(old), 'question')} {have} waited for a person for more than a day, the first since "
            f"{first.asked_at:%Y-%m-%d %H:%M:%S}: {first.question!r} ({first.id})",
            f"answer it: engine.approve({first.id!r}, True); or give it up: {command('cancel', first.run)}",
        )
