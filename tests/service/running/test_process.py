"""What a process says of itself where it does not come up."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.service.awaiting import awaited
from tickwork.errors import InvalidInput
from tickwork.service.running.place import Place, Word
from tickwork.service.running.process import Up
from tickwork.service.running.systemd import Systemd
from tickwork.values import from_ns


class Refusing:
    """A session that cannot be opened."""

    on_owned: Callable[[], None]

    def __init__(self, *, owns: bool) -> None:
        self._owns = owns

    async def __aenter__(self) -> Any:
        if self._owns:
            self.on_owned()
        raise InvalidInput("accounts.main.key_env", "nothing", "the environment variable MEXC_API_KEY to be set")


def made(home: Path, session: Any) -> Up:
    async def on_up() -> None:
        raise AssertionError("it came up")

    return Up(
        session,
        Place(home, "live"),
        now=time.time_ns,
        version="1",
        systemd=Systemd({}),
        on_up=on_up,
        tell=lambda _: None,
    )


@awaited
async def test_what_cannot_be_opened_has_failed_and_was_not_killed(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        await made(tmp_path, Refusing(owns=True)).run()
    word = Place(tmp_path, "live").read()
    assert word is not None and word.stage == "failed" and "MEXC_API_KEY" in word.detail


@awaited
async def test_what_another_said_stays(tmp_path: Path) -> None:
    place, now = Place(tmp_path, "live"), from_ns(time.time_ns())
    place.write(Word(pid=1, mode="live", stage="up", since=now, at=now))
    with pytest.raises(InvalidInput):
        await made(tmp_path, Refusing(owns=False)).run()
    word = place.read()
    assert word is not None and (word.pid, word.stage) == (1, "up")
