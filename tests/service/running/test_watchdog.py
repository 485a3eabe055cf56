"""The watchdog says that all is well only while it is."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.service.awaiting import awaited
from tickwork.service.running import watchdog as module
from tickwork.service.running.systemd import Systemd
from tickwork.service.running.watchdog import Watchdog


class Manager(Systemd):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__({})
        self.heard: list[str] = []

    def tell(self, *states: str, keep: bool = False) -> bool:
        self.heard += states
        return True


def watching(home: Path, manager: Manager, **fields: Any) -> Watchdog:
    return Watchdog(home, **{"fault": str, "systemd": manager, "opening": lambda: False, **fields})


@awaited
async def test_well(tmp_path: Path) -> None:
    manager = Manager()
    assert await watching(tmp_path, manager).beat() == ""
    assert manager.heard == ["WATCHDOG=1"]


@awaited
async def test_while_it_opens_it_asks_for_more_time(tmp_path: Path) -> None:
    manager = Manager()
    await watching(tmp_path, manager, opening=lambda: True).beat()
    assert manager.heard[0].startswith("EXTEND_TIMEOUT_USEC=")


@awaited
async def test_a_fault_is_silence(tmp_path: Path) -> None:
    manager, faults = Manager(), ["TapeError: the disk failed", "TapeError: the disk failed", ""]
    dog = watching(tmp_path, manager, fault=lambda: faults.pop(0))
    assert "disk failed" in await dog.beat() and "disk failed" in await dog.beat()
    assert manager.heard == []
    assert await dog.beat() == "" and manager.heard == ["WATCHDOG=1"]


@awaited
async def test_a_disk_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = Manager()
    dog = watching(tmp_path, manager)

    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    assert "Input/output error" in await dog.beat()
    monkeypatch.undo()
    monkeypatch.setattr(os, "pread", lambda *_: b"something else")
    assert "does not keep" in await dog.beat()
    assert manager.heard == []


@awaited
async def test_a_disk_that_hangs_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manager, go_on, asked = Manager(), threading.Event(), list[Path]()

    def hanging(file: Path) -> str:
        asked.append(file)
        go_on.wait(30)
        return ""

    monkeypatch.setattr(module, "_write", hanging)
    dog = watching(tmp_path, manager)
    dog.every_s = 0.01
    assert "does not answer" in await dog.beat() and "does not answer" in await dog.beat()
    assert len(asked) == 1 and manager.heard == []
    go_on.set()
    dog.every_s = 30
    assert await dog.beat() == "" and manager.heard == ["WATCHDOG=1"]
