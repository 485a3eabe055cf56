"""``tickwork up --daemon``: the process goes on without the terminal, and is left alone only once it is up.

The command line is started anew in a session of its own, so that neither the terminal's end nor its Ctrl-C reaches it.
What it writes to stdout and stderr goes to ``<home>/logs/tickwork.out``: until it is up, what a person would have read;
after that nothing but what Python itself may say when it crashes. It tells that it is up by a byte over a pipe; when it
ends without one, its last words are read from there.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tickwork.service.running.home import make_home
from tickwork.service.running.logs import FOLDER

OUT: Final = "tickwork.out"
READY_FD: Final = "TICKWORK_READY_FD"
"""The environment variable that names the pipe."""
_LARGEST: Final = 1_000_000
"""Bytes of the file beyond which a new process begins it anew."""
_LAST_WORDS: Final = 4_000
_GRACE_S: Final = 30.0
_NOT_INHERITED: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", READY_FD)
"""What is said to the process that systemd started, and not to one that leaves it."""


@dataclass(frozen=True, slots=True)
class Started:
    """What came of it."""

    pid: int
    code: int
    """0: it is up; else how it ended."""
    words: str
    """What it wrote meanwhile."""


def start(arguments: Sequence[str], home: Path, within: float, environ: Mapping[str, str]) -> Started:
    """Start the command line with these arguments, and wait until it is up or has ended.

    Args:
        within: seconds; a process that is not up by then is told to stop.

    Raises:
        OSError: its output cannot be written.
        KeyboardInterrupt: Ctrl-C meanwhile; the process was told to stop, and has ended.
    """
    out = home / FOLDER / OUT
    make_home(out.parent.parent)
    out.parent.mkdir(mode=0o700, exist_ok=True)
    begin = os.O_TRUNC if out.exists() and out.stat().st_size > _LARGEST else 0
    writing = os.open(out, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | begin, 0o600)
    reading, ready = os.pipe()
    try:
        before = os.fstat(writing).st_size
        process = _spawned(arguments, environ, writing, ready)
        os.close(ready)
        ready = -1
        try:
            heard = _byte(reading, within)
        except KeyboardInterrupt:  # in a session of its own it hears nothing of that, and would come up unwatched
            _ended(process, told=True)
            raise
        up = heard == b"1"
        late = heard is None
        code = 0 if up else _ended(process, told=late)
        words = _words(out, before)
    finally:
        for descriptor in (writing, reading, ready):
            if descriptor >= 0:
                os.close(descriptor)
    if late:
        words += f"it was not up within {within:g} s, and was told to stop\n"
    return Started(process.pid, code or (0 if up else 1), words)


def _spawned(arguments: Sequence[str], environ: Mapping[str, str], out: int, ready: int) -> subprocess.Popen[bytes]:
    inherited = {name: value for name, value in environ.items() if name not in _NOT_INHERITED}
    return subprocess.Popen(  # noqa: S603 - our own command line, with the arguments that we were given
        [sys.executable, "-P", "-m", "tickwork.app", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=out,
        env={**inherited, READY_FD: str(ready)},
        pass_fds=[ready],
        start_new_session=True,
    )


def _byte(reading: int, within: float) -> bytes | None:
    """What comes over the pipe: empty when it was closed; ``None``: time is up."""
    readable, _, _ = select.select([reading], [], [], within)
    return os.read(reading, 1) if readable else None


def _ended(process: subprocess.Popen[bytes], *, told: bool) -> int:
    """How it ended, or ends; ``told``: it is told to."""
    if told:
        process.terminate()
    try:
        return process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _words(out: Path, since: int) -> str:
    text = out.read_bytes()[since:].decode(errors="replace")
    return text if len(text) <= _LAST_WORDS else text[-_LAST_WORDS:].partition("\n")[2]


def tell_ready(environ: Mapping[str, str]) -> None:
    """Tell whoever waits for this process that it is up; nobody may wait.

    Raises:
        OSError: the variable names no pipe.
    """
    text = environ.get(READY_FD, "")
    if text:
        descriptor = int(text)
        with suppress(BrokenPipeError):  # whoever waited was killed: no reason to end what was to go on alone
            os.write(descriptor, b"1")
        os.close(descriptor)
