"""Checks of what is around the tape: feeds, what nobody feeds, notifications, the disk, the clock."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tickwork.market.staleness import FeedSilent, silences
from tickwork.market.standing import Unfed
from tickwork.market.standing import unfed as unfed_now
from tickwork.notify.notifier import DELIVER
from tickwork.service.finding import Case, Said, command, many, moment, some
from tickwork.service.notifications import outbox
from tickwork.values import NS_PER_SECOND, timestamp_ns

MANY: Final = 1_000
"""Of notifications so many are looked at."""
SILENCES: Final = 500
"""So many of the last silences are looked at to say since when."""
MB: Final = 1_000_000
FREE: Final = 200 * MB
"""Bytes that should be free beside the tape."""
WAL_LONG: Final = 150 * MB
"""Bytes of the ``-wal`` file: it is folded into the tape at about 35 MB, unless somebody reads all the time."""
AHEAD: Final = NS_PER_SECOND


def feeds(case: Case) -> Iterator[Said]:
    """Feeds that are silent now, by source."""
    silent: dict[str, list[str]] = case.states(silences)
    if not silent:
        return
    since: dict[tuple[str, str], int] = {}
    sql = "SELECT seq FROM events WHERE name=? ORDER BY seq DESC LIMIT ?"
    for (seq,) in case.rows(sql, FeedSilent.event_name, SILENCES):
        entry = case.queries.reader.record(seq)
        if entry is not None:
            event = FeedSilent.read(entry.record.version, bytes(entry.record.value))
            for symbol in event.symbols:
                since.setdefault((event.source, symbol), timestamp_ns(event.known_at))
    for source, symbols in silent.items():
        times = [since[source, symbol] for symbol in symbols if (source, symbol) in since]
        told = f"{source!r} is silent" + (f" about {some(symbols)}" if any(symbols) else "")
        told += f", noticed on {moment(min(times))}" if times else ""
        yield Said("warning", told, "look at the log of the process that watches it, and at the other side")


def unfed(case: Case) -> Iterator[Said]:
    """Triggers and alerts that wait for what no feed brings."""
    told: Unfed | None = case.states(unfed_now).get("")
    if told is None:
        return
    for trigger in told.triggers:
        yield Said("warning", f"{trigger.trigger} waits for {trigger.needs}", "give the watch a feed that brings it")
    if told.alerts:
        advice = "give the watch a feed that brings their prices, or cancel what waits for them"
        yield Said("warning", f"alerts or rules wait for prices of {some(told.alerts)}", advice)


def notifications(case: Case) -> Iterator[Said]:
    """Notifications that could not be delivered, or have yet to be."""
    failed: dict[str, list[str]] = {}
    for letter in case.queries.dead_letters(source=DELIVER, limit=MANY):
        failed.setdefault(str(letter.body["channel"]), []).append(letter.error)
    for channel, errors in sorted(failed.items()):
        test, again = command("notify", "test", channel), command("redrive", "--source", DELIVER)
        yield Said(
            "warning",
            f"{many(len(errors), 'notification')} could not be delivered over {channel!r}: {errors[0]}",
            f"{test} tries the channel, {again} delivers them again",
        )
    held = outbox(case.queries, "held", MANY)
    if held:
        until = min(timestamp_ns(line.held_until) for line in held if line.held_until is not None)
        are = "is" if len(held) == 1 else "are"
        told = f"{many(len(held), 'notification')} {are} held back, the first until {moment(until)}"
        yield Said("notice", told, f"{command('notify', 'outbox', '--status', 'held')} lists them")


def disk(case: Case) -> Iterator[Said]:
    """Size of the tape, and room beside it."""
    path = case.queries.reader.one("SELECT file FROM pragma_database_list WHERE name='main'")
    if not path:
        yield Said("ok", "the tape is in memory")
        return
    tape, wal = Path(path), Path(f"{path}-wal")
    size, log = tape.stat().st_size, wal.stat().st_size if wal.exists() else 0
    free = shutil.disk_usage(tape.parent).free
    told = f"{_bytes(free)} free, the tape takes {_bytes(size)} and {_bytes(log)} of -wal"
    least = max(FREE, size)
    if free < least:
        advice = f"make room in {tape.parent}, {_bytes(least)} at least: on a full disk the process stops"
        yield Said("warning", told, advice)
    if log > WAL_LONG:
        advice = "some process reads the tape without an end, or has died: the -wal is folded in when none reads"
        yield Said("warning", f"the -wal has grown to {_bytes(log)}", advice)
    elif free >= least:
        yield Said("ok", told)


def clock(case: Case) -> Iterator[Said]:
    """Is the machine's clock behind the tape?"""
    _, last = case.queries.reader.end()
    ahead = last - case.now
    if ahead > AHEAD:
        told = f"the last record is of {moment(last)}, {_about(ahead)} ahead of this machine's clock"
        advice = (
            "if this machine's clock is slow, set it; if a clock was fast when that was written, times on the tape "
            f"stand still or are wrong until {moment(last)}: a tape's time never goes back"
        )
        yield Said("warning", told, advice)


def _about(ns: int) -> str:
    """A duration for people, by its two largest units: ``59m 58s``, ``3h``, ``400d 7h``."""
    left, told = ns // NS_PER_SECOND, []
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, left = divmod(left, seconds)
        told.append(f"{count}{unit}" if count else "")
    first = next((place for place, words in enumerate(told) if words), len(told) - 1)
    return " ".join(filter(None, told[first : first + 2])) or "0s"


def _bytes(count: int) -> str:
    return f"{count / MB:,.1f} MB" if count < 10_000 * MB else f"{count / MB / 1_000:,.0f} GB"
