"""Run by the Python of ``.bench-env``: ten thousand schedules on APScheduler, in memory. Prints one line of JSON.

It imports nothing of tickwork. Its jobs are coroutines on the loop, which is its fastest way; nothing of it is durable.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger

late: list[float] = []


async def tick(due: float) -> None:
    """The job: how late it is."""
    late.append(time.time() - due)


def daily(at: datetime) -> CronTrigger:
    """Once a day at a time."""
    return CronTrigger(second=at.second, minute=at.minute, hour=at.hour, timezone=UTC)


async def fired(count: int, due: int, seconds: int) -> tuple[float, list[float]]:
    """Some of so many schedules come due over so many seconds: seconds to declare all, and how late each was."""
    late.clear()
    scheduler = AsyncIOScheduler(timezone=UTC, job_defaults={"misfire_grace_time": None})
    scheduler.start(paused=True)
    first = (datetime.now(UTC) + timedelta(seconds=12)).replace(microsecond=0)
    began = time.perf_counter()
    for n in range(count):
        at = first + timedelta(seconds=n % seconds if n < due else 1_800)
        scheduler.add_job(tick, daily(at), args=[at.timestamp()])
    declared = time.perf_counter() - began
    scheduler.resume()
    await asyncio.sleep((first - datetime.now(UTC)).total_seconds() + seconds + 15)
    scheduler.shutdown(wait=False)
    assert len(late) == due, f"{len(late)} of {due} ran"
    return declared, sorted(late)


async def main(count: int) -> None:
    """Measure and print."""
    logging.disable(logging.CRITICAL)
    declared, spread = await fired(count, 200, 10)
    _, burst = await fired(count, count, 1)
    result = {
        "version": version("apscheduler"),
        "declared": declared,
        "late_p50": spread[len(spread) // 2],
        "late_p99": spread[int(len(spread) * 0.99)],
        "burst_last": burst[-1],
    }
    print("RESULT " + json.dumps(result), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
