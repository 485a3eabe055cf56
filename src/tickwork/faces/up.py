"""``tickwork up``: accounts, feeds and workflows in real time, on paper or live, until it is told to stop."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tickwork.faces.doors import Doors
    from tickwork.service.accounts.session import LiveSession
    from tickwork.service.running.parts import Part


_LOOK_S: Final = 0.5
_FOR_THE_LOG: Final = {"told": True}
"""``service.running.logs.TOLD``: such a record is not said a second time on stderr."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """What the command line says."""

    live: bool
    config: Path | None
    only: str
    without: str
    port: int | None
    stop_within: float
    start_within: float

    def words(self) -> list[str]:
        """The same as arguments, for a process that goes on alone."""
        flags = ["--live"] if self.live else []
        config = ["--config", str(self.config)] if self.config is not None else []
        port = [f"--port={self.port}"] if self.port is not None else []
        chosen = [f"--only={self.only}", f"--without={self.without}", f"--stop-within={self.stop_within}s"]
        return ["up", *flags, *config, *port, *chosen]


def up(
    context: typer.Context,
    live: Annotated[
        bool, typer.Option("--live", help='Trade real money; also needs mode = "live" in the configuration.')
    ] = False,
    config: Annotated[
        Path | None, typer.Option(help="The configuration; by default tickwork.toml.", envvar="TICKWORK_CONFIG")
    ] = None,
    daemon: Annotated[
        bool, typer.Option("--daemon", help="Go on without this terminal; returns once it is up, or says why not.")
    ] = False,
    only: Annotated[
        str,
        typer.Option(
            help="What takes new work, with commas between: workflows, workflow:NAME. What protects positions "
            "(accounts, halts, exits, reconciliation) always runs, so `--only exits` begins nothing new.",
            metavar="ROLE,...",
        ),
    ] = "",
    without: Annotated[
        str, typer.Option(help="What does not run: exits, reconciliation, notifications.", metavar="ROLE,...")
    ] = "",
    port: Annotated[
        int | None,
        typer.Option(help="Serve at this port; by default [server] port, 8420; 0 is any.", min=0, max=65_535),
    ] = None,
    stop_within: Annotated[
        str, typer.Option(help="How long what is under way is followed when it is told to stop.", metavar="DURATION")
    ] = "20s",
    start_within: Annotated[
        str, typer.Option(help="With --daemon: how long it may take to come up.", metavar="DURATION")
    ] = "60s",
) -> int:
    """Trade what the configuration says, in real time. On paper, unless both it and --live say otherwise.

    Stops on Ctrl-C, SIGTERM or `tickwork down`, and goes on where it was when it is started again, however it ended. A
    second signal ends it at once. It logs to logs/tickwork.log in the home folder.
    """
    given = _Given(
        live=live,
        config=config,
        only=only,
        without=without,
        port=port,
        stop_within=_seconds(stop_within, "--stop-within"),
        start_within=_seconds(start_within, "--start-within"),
    )
    session = _opened(context.obj, given)
    doors: Doors = context.obj
    serve = partial(doors.serve, session, config, port)
    return _detach(session, given) if daemon else _play(session, given, serve)


def _seconds(text: str, option: str) -> float:
    from tickwork.errors import InvalidInput
    from tickwork.values import NS_PER_SECOND, duration

    seconds = duration(text, option) / NS_PER_SECOND
    if seconds > 3_600:
        raise InvalidInput(option, text, "at most 1h")
    return seconds


def _opened(doors: Doors, given: _Given) -> LiveSession:
    from tickwork.service.running.roles import read_roles

    return doors.open_live(given.config, given.live, read_roles(given.only, given.without))


# ------------------------------------------------------------------------------------------------------- alone


def _detach(session: LiveSession, given: _Given) -> int:
    """Start the same in a process of its own; 0 once that is up."""
    from tickwork.service.running.daemon import start

    started = start(given.words(), session.files.home, given.start_within, os.environ)
    print(started.words, end="", file=sys.stderr)
    if started.code:
        print("tickwork: it did not come up", file=sys.stderr)
        return started.code if 0 < started.code < 128 else 1
    mode = "live" if session.files.live else "paper"
    print(f"up as process {started.pid}, {mode}; `tickwork status` shows it, `tickwork down` stops it")
    return 0


class _Logged(io.TextIOBase):
    """Stands for stdout and stderr of a process that has none: what is printed goes to the log, line by line."""

    def __init__(self, level: int) -> None:
        self._level = level
        self._rest = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line.strip():
                logging.getLogger("tickwork.printed").log(self._level, "%s", line)
        return len(text)


def _leave_the_terminal() -> None:
    """It is up, and whoever started it has been told: nobody reads stdout and stderr any more."""
    from tickwork.service.running.daemon import READY_FD, tell_ready

    tell_ready(os.environ)
    del os.environ[READY_FD]
    ours = logging.getLogger("tickwork")
    for handler in list(ours.handlers):
        ours.removeHandler(handler)
    sys.stdout.flush()
    faulthandler.enable(2)  # a crash of the interpreter itself is told there all the same
    sys.stdout, sys.stderr = _Logged(logging.INFO), _Logged(logging.WARNING)


# ------------------------------------------------------------------------------------------------------- playing


def _play(session: LiveSession, given: _Given, serve: Callable[[], Iterable[Part]]) -> int:
    import asyncio

    from tickwork.errors import TapeError
    from tickwork.service.running.logs import begin
    from tickwork.service.running.redaction import Redactor, secrets_in

    alone = "TICKWORK_READY_FD" in os.environ
    redact = Redactor(secrets_in(os.environ, session.names_of_secrets))
    for handler in logging.getLogger("tickwork").handlers:
        if hasattr(handler, "redact"):
            handler.redact = redact
    try:
        end = begin(session.files.home, redact, on_stderr=not alone)
    except OSError as error:
        text = f"{error.filename} cannot be written ({error.strerror}): see to it, or give another home"
        raise TapeError(text) from None
    try:
        asyncio.run(_run(session, given, _Teller(redact), serve, alone=alone))
    finally:
        if alone:  # nothing is logged from here on: last words go to the file of the process's own stderr
            sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        end()
    return 0


class _Teller:
    """Lines for a person, and for the log."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self._log = logging.getLogger("tickwork.up")
        self.silent = False

    def __call__(self, line: str, level: int = logging.INFO) -> None:
        self._log.log(level, "%s", line, extra=_FOR_THE_LOG)
        if not self.silent:
            with contextlib.suppress(OSError):  # a terminal that has gone ends no trading
                print(f"tickwork: {self._redact(line)}", file=sys.stderr, flush=True)


async def _run(
    session: LiveSession, given: _Given, tell: _Teller, serve: Callable[[], Iterable[Part]], *, alone: bool
) -> None:
    import asyncio
    from importlib.metadata import version

    from tickwork.service.running.place import Place
    from tickwork.service.running.process import Up
    from tickwork.service.running.systemd import Systemd

    telling: list[asyncio.Task[None]] = []

    async def on_up() -> None:
        _say(session, tell)
        telling.append(asyncio.create_task(_tell_orders(session, tell)))
        if alone:
            _leave_the_terminal()
            tell.silent = True

    tell(f"opening {session.files.tape}, and asking the venues")
    process = Up(
        session,
        Place(session.files.home, "live" if session.files.live else "paper"),
        now=session.now,
        version=version("tickwork"),
        systemd=Systemd(os.environ),
        make_parts=serve,
        on_up=on_up,
        tell=tell,
        stop_within=given.stop_within,
    )
    try:
        await process.run()
    finally:
        for task in telling:
            task.cancel()


async def _tell_orders(session: LiveSession, tell: Callable[[str], None]) -> None:
    """A line for each thing that becomes of an order, and for each halt, as it happens."""
    import asyncio

    from tickwork.service.accounts.telling import lines_after

    _, seq = session.engine.queries.reader.end(), session.engine.queries.reader.end()[0]
    while True:
        await asyncio.sleep(_LOOK_S)
        found = list(lines_after(session.engine.queries, seq))
        for _, line in found:
            tell(line)
        seq = found[-1][0] if found else seq


def _say(session: LiveSession, tell: _Teller) -> None:
    mode = "live" if session.files.live else "paper"
    for name, opened in session.opened.items():
        config = opened.config
        tell(f"account {name}: {mode} at {config.venue}, {', '.join(config.symbols)}")
    for note in session.notes:
        tell(note, logging.WARNING)
    tell(f"up; the tape is {session.files.tape}")
