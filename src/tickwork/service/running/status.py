"""How the processes of a home are: each one's own answer, or what can be seen of one that does not answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import msgspec

from tickwork.engines.embedded.control import ask_owner
from tickwork.engines.embedded.draining import UnderWay
from tickwork.errors import TickworkError
from tickwork.service.feed_status import FeedStatus
from tickwork.service.halting import HaltLine
from tickwork.service.running.parts import PartStatus
from tickwork.service.running.place import MODES, Mode, Place, Stage, Word
from tickwork.values import from_ns

PATIENCE_S: Final = 5.0
"""Seconds after which a process that has not answered is said not to."""


class ProcessStatus(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A process of ``tickwork up`` at one moment."""

    stage: Stage | Literal["silent"]
    """``silent``: it holds its lock, and does not answer."""
    mode: Mode
    pid: int
    since: datetime | None = None
    uptime_seconds: int = 0
    version: str = ""
    tape: str = ""
    addresses: list[str] = []
    """Where it is reached over HTTP."""
    complaint: str = ""
    """Why it is not well; empty: it is."""
    only: list[str] = []
    """The roles that it was started with; empty: all."""
    without: list[str] = []
    seq: int = 0
    """The last position of the tape that is on disk."""
    runs: dict[str, int] = {}
    """Runs by status."""
    halts: list[HaltLine] = []
    parts: list[PartStatus] = []
    feeds: list[FeedStatus] = []
    under_way: list[UnderWay] = []
    """Steps and effects that have begun and not ended."""
    notes: list[str] = []
    """Sentences for a person, from its start."""

    @property
    def is_up(self) -> bool:
        """Does it answer, and is it well?"""
        return self.stage in ("up", "stopping") and not self.complaint


class Gone(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The last process of a mode, where none runs."""

    mode: Mode
    killed: bool
    """It left no word of its end: it was killed, the machine went down, or its disk took no more."""
    last: Word
    seen: datetime
    """Its last sign of life: within a few seconds of its end where it left no word of that."""


class HomeStatus(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The processes of a home."""

    up: bool
    """Is there at least one, and are all of them up and well?"""
    home: str
    processes: list[ProcessStatus] = []
    gone: list[Gone] = []


def status_of(
    home: Path, now: Callable[[], int], *, modes: tuple[Mode, ...] = MODES, patience: float = PATIENCE_S
) -> HomeStatus:
    """Ask the processes of a home how they are."""
    found: list[ProcessStatus] = []
    gone: list[Gone] = []
    for mode in modes:
        place = Place(home, mode)
        pid, word = place.holder(), place.read()
        if pid:
            found.append(_asked(place, pid, word, now(), patience))
        elif word is not None:
            gone.append(Gone(mode=mode, killed=not word.over, last=word, seen=place.seen(word)))
    up = bool(found) and all(one.is_up for one in found)
    return HomeStatus(up=up, home=str(home.absolute()), processes=found, gone=gone)


def _asked(place: Place, pid: int, word: Word | None, now: int, patience: float) -> ProcessStatus:
    """The answer of the process that holds a place's lock."""
    why = "it does not listen"
    try:
        return msgspec.convert(ask_owner(str(place.tape), "up.status", timeout=patience), ProcessStatus)
    except ConnectionError:
        pass  # its engine is not open yet, or not any more
    except TimeoutError:
        why = f"it has not answered within {patience:g} s"
    except (OSError, TickworkError, msgspec.MsgspecError, ValueError, TypeError) as error:
        why = f"it answers: {error}"
    own = word if word is not None and word.pid == pid and not word.over else None
    since = own.since if own is not None else None
    # without a word of its own it is at the very beginning, where the lock is taken and nothing is written yet
    stage = (own.stage if own is not None else "opening") if why == "it does not listen" else "silent"
    return ProcessStatus(
        stage="silent" if stage == "up" else stage,
        mode=place.mode,
        pid=pid,
        since=since,
        uptime_seconds=0 if since is None else max(0, int((from_ns(now) - since).total_seconds())),
        version="" if own is None else own.version,
        tape=str(place.tape.absolute()),
        complaint=why if stage in ("up", "silent") else "",
    )
