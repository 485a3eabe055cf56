"""Schedules: when each is due, and what people do about it."""

from __future__ import annotations

from datetime import datetime

import msgspec
from pydantic import Field

from tickwork.engines.embedded.schedule_rows import ScheduleInfo
from tickwork.errors import NotRunning
from tickwork.service.api.operation import Args, Call, Limit, Page, command, query
from tickwork.service.operations.asking import by
from tickwork.service.operations.paging import LongCursor, cursor_of, place_of
from tickwork.service.schedules import DueLine, due_lines, next_of_each, next_on_tape, schedule_page


class SchedulesList(Args):
    """Which schedules."""

    limit: Limit = 100
    cursor: LongCursor = None


class SchedulesNext(Args):
    """Of which schedule, and how many."""

    schedule: str | None = Field(None, max_length=500, description="By default the next due time of each.")
    count: int = Field(5, ge=1, le=1_000, description="How many times.")


class OneSchedule(Args):
    """Which schedule."""

    schedule: str = Field(min_length=1, max_length=500, description="The name of a schedule.")


class RunNow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What came of starting a schedule's run at once."""

    schedule: str
    run: str | None
    """``None``: it waits for the run before, or flow control gathers or declines it."""


@query("schedules.list", "GET /schedules", verb="schedules list", examples=({"limit": 10},))
def schedules_list(call: Call, args: SchedulesList) -> Page[ScheduleInfo]:
    """Schedules by name: their times, what they start, when they are due; also those nobody declares any more."""
    found = schedule_page(call.queries, place_of(args.cursor, str) or "", args.limit + 1)
    items = found[: args.limit]
    return Page(items=items, next=cursor_of(items[-1].name) if len(found) > args.limit else None)


@query("schedules.next", "GET /schedules/next", verb="schedules next", examples=({"count": 3},))
async def schedules_next(call: Call, args: SchedulesNext) -> list[DueLine]:
    """When schedules are due next: each once, or one schedule several times."""
    name = args.schedule
    if name is None:
        found: list[DueLine] = await call.read(lambda queries: next_of_each(queries, args.count))
        return found
    try:
        times = [datetime.fromisoformat(one) for one in await call.ask("schedules.next", name=name, count=args.count)]
    except NotRunning:
        times = await call.read(lambda queries: next_on_tape(queries, name, args.count))
    lines: list[DueLine] = await call.read(lambda queries: due_lines(queries, name, times))
    return lines


@command(
    "schedules.run_now", "POST /schedules/{schedule}/run-now", verb="schedules run-now", again="look",
    examples=({"schedule": "report"},),
)  # fmt: skip
async def schedules_run_now(call: Call, args: OneSchedule) -> RunNow:
    """Start a schedule's run at once, also of a paused one; its due times stay as they are."""
    run = await call.ask("schedules.run_now", name=args.schedule, by=by(call))
    return RunNow(schedule=args.schedule, run=run)


@command(
    "schedules.skip_next",
    "POST /schedules/{schedule}/skip-next",
    verb="schedules skip-next",
    examples=({"schedule": "report"},),
)
async def schedules_skip_next(call: Call, args: OneSchedule) -> ScheduleInfo:
    """Start no run the next time a schedule is due; once."""
    return await _changed(call, "skip_next", args.schedule)


@command(
    "schedules.pause", "POST /schedules/{schedule}/pause", verb="schedules pause", examples=({"schedule": "report"},)
)
async def schedules_pause(call: Call, args: OneSchedule) -> ScheduleInfo:
    """Let a schedule start no runs until it is resumed; the run under way goes on."""
    return await _changed(call, "pause", args.schedule)


@command(
    "schedules.resume", "POST /schedules/{schedule}/resume", verb="schedules resume", examples=({"schedule": "report"},)
)
async def schedules_resume(call: Call, args: OneSchedule) -> ScheduleInfo:
    """Let a schedule go on with its next due time; what was due meanwhile is skipped, with a record of it."""
    return await _changed(call, "resume", args.schedule)


async def _changed(call: Call, verb: str, schedule: str) -> ScheduleInfo:
    return msgspec.convert(await call.ask(f"schedules.{verb}", name=schedule, by=by(call)), ScheduleInfo)
