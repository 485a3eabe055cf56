"""The demo on a terminal: a live table; plain lines where stdout is none; one JSON object when a program asks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import apsw
import uvloop
from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from tickwork.engines.system_clock import SystemClock
from tickwork.errors import TapeError
from tickwork.faces.grid import Give, Grid
from tickwork.faces.tables import amount, clock, coloured, console, dump, without_year
from tickwork.service.demo import HOME, DemoOptions, DemoSession
from tickwork.service.demo_tape import DemoFiles, Summary
from tickwork.service.runs import RunLine, outcome
from tickwork.values import plain

INTERRUPTED = 130

_FRAME_S = 0.1
_PLAIN_LINES = 10
_LEAVE = frozenset(b"\n\r\x03\x04")
"""Enter, Ctrl-C, Ctrl-D."""

Open = Callable[[DemoOptions], DemoSession]


def play(open_demo: Open, options: DemoOptions, *, as_json: bool, wait: bool) -> int:
    """Play the demo to the end of its data; returns the exit code."""
    files = DemoFiles(options.home)
    try:
        return uvloop.run(_Player(open_demo, options, as_json, wait).play())
    except TapeError as error:
        where = "" if str(options.home) in str(error) else f"{files.tape}: "
        raise type(error)(f"{where}{error}") from None
    except apsw.Error as error:
        raise TapeError(f"the venue's book {files.book} cannot be written ({error}): see to the disk") from None


class _Player:
    def __init__(self, open_demo: Open, options: DemoOptions, as_json: bool, wait: bool) -> None:
        self._open_demo = open_demo
        self._options = options
        self._as_json = as_json
        terminal = sys.stdout.isatty() and not as_json
        self._live = terminal
        self._wait = wait and terminal and sys.stdin.isatty()
        self._clock = SystemClock()
        self._since = self._clock.now()

    async def play(self) -> int:
        session = self._open_demo(self._options)
        try:
            if session.notice:
                _tell(session.notice)
            working = asyncio.ensure_future(self._to_the_end(session))
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, working.cancel)
            try:
                summary = await working
            except asyncio.CancelledError:
                done = session.progress
                _tell(f"stopped at bar {done.bars:,} of {done.total:,}; the same command continues there")
                return INTERRUPTED
            await self._show_end(session, summary)
        finally:
            await session.close()
        return 0

    async def _to_the_end(self, session: DemoSession) -> Summary:
        if self._live:
            return await self._watched(session)
        ticker = asyncio.ensure_future(self._lines(session))
        try:
            return await session.run()
        finally:
            ticker.cancel()

    async def _show_end(self, session: DemoSession, summary: Summary) -> None:
        if self._as_json:
            dump(summary)
            return
        out = console()
        out.print(_end(session, summary, self._elapsed(), self._options.home))
        if self._wait:
            out.print("\nThe data has ended. Press Enter to leave (`--once` leaves by itself).")
            await _enter()

    # -- while it runs --------------------------------------------------------------------------------------------

    async def _watched(self, session: DemoSession) -> Summary:
        with Live(console=console(), auto_refresh=False, transient=True) as live:

            async def draw() -> None:
                while True:
                    # what is shown has happened: it is on disk
                    if session.playing:
                        await session.engine.durable()
                    live.update(_screen(session, self._elapsed()), refresh=True)
                    await asyncio.sleep(_FRAME_S)

            drawing = asyncio.ensure_future(draw())
            try:
                return await session.run()
            finally:
                drawing.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await drawing

    async def _lines(self, session: DemoSession) -> None:
        """A line for each tenth of the way."""
        if self._as_json:
            return
        shown = 0
        while True:
            done = session.progress
            tenth = done.bars * _PLAIN_LINES // done.total
            if tenth > shown and session.playing:
                shown = tenth
                figures = f"{done.events:,} events  {done.fills:,} fills  equity {amount(plain(session.equity))}"
                print(f"{done.bars:>7,} of {done.total:,} bars  {session.time}  {figures}", flush=True)
            await asyncio.sleep(0.005)

    def _elapsed(self) -> float:
        return (self._clock.now() - self._since) / 1e9


def _tell(words: str) -> None:
    """To a person, beside whatever goes to stdout."""
    print(f"tickwork: {words}", file=sys.stderr)


async def _enter() -> None:
    """Until Enter, the end of input, or Ctrl-C, which here comes as a character: the demo has ended well, and a signal
    would also reach whoever started it, such as make, and look like a failure there."""
    loop = asyncio.get_running_loop()
    pressed = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, pressed.set)
    terminal = sys.stdin.fileno()

    def read() -> None:
        typed = os.read(terminal, 64)
        if not typed or not _LEAVE.isdisjoint(typed):
            pressed.set()

    before = termios.tcgetattr(terminal)
    changed = termios.tcgetattr(terminal)
    changed[3] &= ~(termios.ISIG | termios.ICANON | termios.ECHO)
    loop.add_reader(terminal, read)
    try:
        termios.tcsetattr(terminal, termios.TCSANOW, changed)
        await pressed.wait()
    finally:
        termios.tcsetattr(terminal, termios.TCSANOW, before)
        loop.remove_reader(terminal)


# -------------------------------------------------------------------------------------------------------- what it looks


def _screen(session: DemoSession, elapsed: float) -> Group:
    done = session.progress
    what = (
        "reading up to where the tape stands" if done.rebuilding else f"{done.bars / max(elapsed, 0.001):,.0f} bars/s"
    )
    head = Text.assemble(("tickwork demo", "bold"), f"   {session.time}   {what}")
    bar = ProgressBar(total=done.total, completed=done.bars, width=min(60, console().width))
    gap = Text()
    figures, held, decided = _figures(session), _positions(session), _decisions(session.last_runs())
    return Group(head, bar, gap, figures, gap, held, gap, decided)


def _figures(session: DemoSession) -> Grid:
    done, currency = session.progress, session.streams.currency
    columns = ("bars", "events", "runs", "orders", "fills", "equity", "profit or loss")
    made = Grid(*columns, right=columns, give=("events", "runs", "orders", "bars"))
    counted = session.counts()
    made.add(
        f"{done.bars:,}",
        f"{done.events:,}",
        f"{counted.runs:,}",
        f"{counted.orders:,}",
        f"{done.fills:,}",
        f"{amount(plain(session.equity))} {currency}",
        _signed(session.equity - session.capital),
    )
    return made


def _signed(value: object) -> Text:
    text = amount(str(value))
    return Text(text if text.startswith("-") else f"+{text}", style="red" if text.startswith("-") else "green")


def _positions(session: DemoSession) -> Grid:
    made = Grid("symbol", "price", "position", "value", right=("price", "position", "value"))
    for symbol, mark in session.market.marks.items():
        quantity = session.desk.ledger.quantity(symbol)
        made.add(symbol, amount(plain(mark)), plain(quantity), amount(plain(quantity * mark)))
    return made


def _decisions(lines: list[RunLine]) -> Grid:
    give: tuple[Give, ...] = (("last decisions", without_year), "workflow", "last decisions")
    made = Grid("last decisions", "workflow", "symbol", "action", "reason", rest="reason", give=give)
    for line in lines:
        action, reason = outcome(line)
        made.add(clock(line.started_at), line.workflow, line.key, coloured(action), reason)
    return made


def _me() -> str:
    """How a person can call this command."""
    if shutil.which("tickwork"):
        return "tickwork"
    path = Path(sys.argv[0]).absolute()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _end(session: DemoSession, summary: Summary, elapsed: float, home: Path) -> Text:
    currency = session.streams.currency
    sharpe = "there is none" if summary.sharpe is None else f"{summary.sharpe:.2f}"
    rows = [
        ("bars", f"{summary.bars:,}", f"in {elapsed:.1f} s"),
        ("events", f"{summary.events:,}", "that triggers made of them"),
        ("runs", f"{summary.runs:,}", "of workflows, one for each event"),
        ("orders", f"{summary.orders:,}", "accepted by the paper venue"),
        ("fills", f"{summary.fills:,}", "the ledger agrees with the venue's book"),
        ("fees", f"{amount(summary.fees)} {currency}", ""),
        ("equity", f"{amount(summary.equity)} {currency}", f"from {amount(plain(session.capital))}"),
        ("profit or loss", f"{amount(summary.pnl)} {currency}", ""),
        ("max drawdown", f"{summary.max_drawdown:.2%}", "of the highest equity before, over all bars"),
        ("Sharpe ratio", sharpe, f"daily returns, x sqrt({session.days_per_year}), risk-free rate 0"),
        ("tape", summary.tape, ""),
    ]
    end = Text()
    for word, figure, note in rows:
        end.append(f"{word:<16}")
        end.append(figure, "bold")
        end.append(f"{'':<{max(1, 20 - len(figure))}}{note}" if note else "", "dim")
        end.append("\n")
    end.append("\nTry next\n")
    hints = [
        ("runs", "what the workflows decided"),
        (f"show {session.last_order_run() or 'RUN'}", "one of them, step by step"),
        ("orders", "what was traded"),
        ("positions", "what is left"),
    ]
    at_home = "" if home == HOME else f" --home {home}"
    commands = [f"  {_me()} {verb}{at_home}" for verb, _ in hints]
    for command, (_, words) in zip(commands, hints, strict=True):
        end.append(f"{command:<{max(map(len, commands)) + 3}}", "cyan")
        end.append(f"{words}\n", "dim")
    end.rstrip()
    return end
