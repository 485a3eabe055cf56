"""What is known of a process that left no word of its end."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.service.awaiting import awaited
from tickwork.service.running.place import Place, Word
from tickwork.service.running.status import status_of
from tickwork.service.running.systemd import Systemd
from tickwork.service.running.watchdog import Watchdog

BEGAN = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


@awaited
async def test_its_last_sign_of_life_is_the_last_beat_at_which_it_was_well(tmp_path: Path) -> None:
    place = Place(tmp_path, "paper")
    place.write(Word(pid=1, mode="paper", stage="up", since=BEGAN, at=BEGAN))
    os.utime(place.file, (BEGAN.timestamp(), BEGAN.timestamp()))
    ill = ""
    watchdog = Watchdog(tmp_path, fault=lambda: ill, systemd=Systemd({}), opening=lambda: False, well=place.touch)
    before = datetime.now(UTC) - timedelta(seconds=1)
    await watchdog.beat()
    (gone,) = status_of(tmp_path, time.time_ns).gone
    assert gone.killed and gone.last.at == BEGAN and gone.seen >= before

    os.utime(place.file, (BEGAN.timestamp(), BEGAN.timestamp()))
    ill = "the tape cannot be written"
    await watchdog.beat()
    assert status_of(tmp_path, time.time_ns).gone[0].seen == BEGAN, "one that is not well gives no sign"


def test_an_end_in_good_order_was_when_it_said(tmp_path: Path) -> None:
    place = Place(tmp_path, "paper")
    place.write(Word(pid=1, mode="paper", stage="stopped", since=BEGAN, at=BEGAN))
    (gone,) = status_of(tmp_path, time.time_ns).gone
    assert not gone.killed and gone.seen == BEGAN
