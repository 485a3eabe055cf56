"""Stopping the processes of a home from outside: they are asked, waited for, and killed if that is wanted."""

from __future__ import annotations

import signal
from typing import Literal

import msgspec

from tickwork.engines.embedded.control import ask_owner
from tickwork.engines.embedded.draining import UnderWay
from tickwork.errors import TickworkError
from tickwork.service.running.place import Mode, Place, Process

_ASKING_S = 5.0


class Stopped(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What came of stopping a process."""

    mode: Mode
    pid: int
    outcome: Literal["stopped", "killed", "running"]
    """``running``: it had not ended when the time was up."""
    was_under_way: list[UnderWay] = []
    """When it was asked."""
    left: list[UnderWay] = []
    """What it parked; the next process looks for it."""


def stop(place: Place, timeout: float, *, force: bool) -> Stopped | None:
    """Stop the process of a place; ``None``: none runs there.

    Args:
        timeout: seconds to wait for its end.
        force: kill it then.

    Raises:
        TickworkError: it belongs to somebody else.
    """
    pid = place.holder()
    if not pid:
        return None
    try:
        process = Process(pid)
    except ProcessLookupError:
        return None
    with process:
        if place.holder() != pid:  # it ended meanwhile, and its number may be another's
            return None
        under_way = _asked(place, process)
        outcome: Literal["stopped", "killed", "running"] = "stopped"
        if not process.ended(timeout):
            outcome = "running"
            if force:
                process.signal(signal.SIGKILL)
                process.ended(timeout)
                outcome = "killed"
    word = place.read()
    left = word.left if word is not None and word.pid == pid and word.over else []
    if outcome == "killed":
        left = under_way
    return Stopped(mode=place.mode, pid=pid, outcome=outcome, was_under_way=under_way, left=left)


def _asked(place: Place, process: Process) -> list[UnderWay]:
    """Ask it over its control socket; one that does not listen yet, or not any more, by a signal."""
    try:
        return msgspec.convert(ask_owner(str(place.tape), "up.stop", timeout=_ASKING_S), list[UnderWay])
    except (OSError, TickworkError, msgspec.MsgspecError, ValueError, TypeError):
        word = place.read()
        if word is None or word.pid != process.pid or word.stage != "stopping":  # a second one would end it at once
            process.signal(signal.SIGTERM)
        return []
