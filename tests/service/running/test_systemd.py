"""What systemd hears, over a real socket: a path, and a name of the abstract namespace."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tickwork.errors import InvalidInput
from tickwork.service.running.systemd import Systemd


@contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{address[1:]}" if address[0] == "@" else address)
        manager.setblocking(False)
        yield manager


@pytest.mark.parametrize("abstract", [False, True])
def test_what_it_is_told(tmp_path: Path, abstract: bool) -> None:
    address = f"@tickwork-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with listening(address) as manager:
        systemd = Systemd({"NOTIFY_SOCKET": address})
        systemd.ready("up,\npaper")
        systemd.well()
        systemd.wait(30)
        systemd.stopping("stopping")
        found = [manager.recv(4096).decode() for _ in range(4)]
    assert found == [
        "READY=1\nSTATUS=up, paper",
        "WATCHDOG=1",
        "EXTEND_TIMEOUT_USEC=30000000",
        "STOPPING=1\nSTATUS=stopping",
    ]


def test_nobody_listens(tmp_path: Path) -> None:
    assert not Systemd({}).listens and not Systemd({}).tell("READY=1")
    assert not Systemd({"NOTIFY_SOCKET": str(tmp_path / "gone")}).tell("READY=1")


def test_a_manager_that_does_not_read_keeps_nobody_waiting(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with listening(address):
        systemd = Systemd({"NOTIFY_SOCKET": address})
        taken = [systemd.tell("WATCHDOG=1") for _ in range(5_000)]
    assert taken[0] and not taken[-1]


def test_what_has_to_be_heard_is_told_again_to_a_manager_that_was_busy(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with listening(address) as manager:
        systemd = Systemd({"NOTIFY_SOCKET": address})
        while systemd.tell("WATCHDOG=1"):
            pass
        systemd.ready("up")
        systemd.well()  # nobody reads yet
        while "WATCHDOG=1" in _read(manager):
            pass
        systemd.well()
        assert _read(manager) == "READY=1\nWATCHDOG=1"
        systemd.well()
        assert _read(manager) == "WATCHDOG=1"


def _read(manager: socket.socket) -> str:
    try:
        return manager.recv(4096).decode()
    except BlockingIOError:
        return ""


def test_the_watchdog_is_for_the_process_it_names() -> None:
    known = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "60000000"}
    assert Systemd(known, 7).watchdog_s == 60
    assert Systemd({**known, "WATCHDOG_PID": "7"}, 7).watchdog_s == 60
    assert Systemd({**known, "WATCHDOG_PID": "8"}, 7).watchdog_s == 0
    assert Systemd({"WATCHDOG_USEC": "60000000"}, 7).watchdog_s == 0, "there is nobody to tell"


@pytest.mark.parametrize("environ", [{"NOTIFY_SOCKET": "relative"}, {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "soon"}])
def test_what_systemd_never_sets(environ: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        Systemd(environ)
