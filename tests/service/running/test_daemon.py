"""Starting a process that goes on alone, and what becomes of it when the starter does not wait to the end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tickwork.service.running import daemon
from tickwork.service.running.daemon import READY_FD, start, tell_ready


def test_interrupted_while_it_comes_up_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spawned: list[subprocess.Popen[bytes]] = []

    def spawn(_: Sequence[str], __: Mapping[str, str], out: int, ready: int) -> subprocess.Popen[bytes]:
        code = "import time; time.sleep(600)"
        spawned.append(
            subprocess.Popen([sys.executable, "-c", code], stdout=out, pass_fds=[ready], start_new_session=True)
        )
        return spawned[0]

    def interrupted(_: int, __: float) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(daemon, "_spawned", spawn)
    monkeypatch.setattr(daemon, "_byte", interrupted)
    with pytest.raises(KeyboardInterrupt):
        start([], tmp_path, 60, {})
    assert spawned[0].returncode is not None, "nobody looks at it any more: it must not come up"


def test_whoever_waited_was_killed_and_it_goes_on() -> None:
    reading, ready = os.pipe()
    os.close(reading)
    tell_ready({READY_FD: str(ready)})
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.close(ready)
