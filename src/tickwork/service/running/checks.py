"""What ``tickwork doctor`` looks at around a process: how the last one ended, its log, room in its home."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tickwork.service.finding import Finding, Severity, command
from tickwork.service.running.logs import FOLDER
from tickwork.service.running.place import MODES, Place

_FILES_LEAST: Final = 1_000
"""Files that should still fit on the disk: a full table of them stops a process as a full disk does."""


def examine_home(home: Path) -> list[Finding]:
    """Look at a home; nothing to say of one that there is not."""
    if not home.is_dir():
        return []
    return [*_processes(home), *_log(home), *_room(home)]


def _said(severity: Severity, what: str, detail: str, advice: str = "") -> Finding:
    return Finding(severity=severity, what=what, detail=detail, advice=advice)


def _processes(home: Path) -> Iterator[Finding]:
    for mode in MODES:
        place = Place(home, mode)
        word, holder = place.read(), place.holder()
        if holder:
            continue  # the tape's own check tells of it
        if word is None:
            if place.file.exists():
                yield _said("notice", f"up {mode}", f"{place.file} cannot be read", "the next `tickwork up` mends it")
        elif not word.over:
            detail = f"process {word.pid} was killed, or could leave no word of its end; its last sign of life was at "
            detail += f"{place.seen(word):%Y-%m-%d %H:%M:%S}"
            logs = command("logs", "--home", str(home))
            advice = f"{logs} tells what was before; {_start(mode)} goes on where it was"
            yield _said("notice", f"up {mode}", detail, advice)
        elif word.stage == "failed":
            detail = f"process {word.pid} ended at {word.at:%Y-%m-%d %H:%M:%S}: {word.detail}"
            yield _said("warning", f"up {mode}", detail, f"see to that; {_start(mode)} goes on where it was")


def _start(mode: str) -> str:
    return command("up", "--live") if mode == "live" else command("up")


def _log(home: Path) -> Iterator[Finding]:
    folder = home / FOLDER
    if not folder.exists():
        return
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        advice = f"give {folder} to the user that runs `tickwork up`: it logs there"
        yield _said("error", "log", f"{folder} cannot be written", advice)
        return
    open_to_all = [file.name for file in folder.iterdir() if file.is_file() and file.stat().st_mode & 0o077]
    if open_to_all:
        detail = f"others may read {', '.join(sorted(open_to_all)[:5])}"
        yield _said("notice", "log", detail, f"chmod -R go= {folder}")


def _room(home: Path) -> Iterator[Finding]:
    found = os.statvfs(home)
    if found.f_files and found.f_favail < _FILES_LEAST:
        detail = f"the disk of {home} has room for {found.f_favail:,} more files"
        yield _said("warning", "files", detail, "remove some: without any left the process stops")
