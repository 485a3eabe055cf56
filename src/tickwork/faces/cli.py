"""The command line. It parses and renders; what things mean is the service's business.

Exit codes: 0 done, 1 the thing failed, 2 wrong use, 3 refused by the risk gate; 130 interrupted. Errors are one line on
stderr that names what to change. Heavy rooms are imported by the command that needs them, so that help comes at once.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import sys
from collections.abc import Callable
from errno import EACCES, EDQUOT, EIO, ENOSPC, EROFS
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tickwork.faces.accounts import disown
from tickwork.faces.breakers import breakers
from tickwork.faces.call import call
from tickwork.faces.doctor import doctor
from tickwork.faces.doors import Doors
from tickwork.faces.events import emit
from tickwork.faces.exits import exits
from tickwork.faces.graph import graph
from tickwork.faces.halting import flatten, halt, unhalt
from tickwork.faces.letters import discard, letters, redrive
from tickwork.faces.mcp.verb import mcp
from tickwork.faces.notify import notify
from tickwork.faces.options import HOME, Home, Json, Limit, RunId, Tape, command_of, queries_of, tape_of
from tickwork.faces.queues import queues
from tickwork.faces.reconciling import reconcile
from tickwork.faces.running import down, logs, status
from tickwork.faces.schedules import schedules
from tickwork.faces.starting import fork
from tickwork.faces.starting import run as run_
from tickwork.faces.tokens import tokens
from tickwork.faces.up import up

DONE, FAILED, WRONG_USE, REFUSED, INTERRUPTED = 0, 1, 2, 3, 130

app = typer.Typer(
    name="tickwork",
    help="Automated trading that survives anything. Begin with `tickwork demo`.",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"tickwork {version('tickwork')}")
        raise typer.Exit


@app.callback()
def main(
    context: typer.Context,
    _: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Automated trading that survives anything. Begin with `tickwork demo`."""
    if context.invoked_subcommand is None:
        print(context.get_help())
        return
    doors: Doors = context.obj
    found = doors.defaults()
    logger = logging.getLogger("tickwork")
    logger.setLevel(found.log_level.upper())
    for told in logger.handlers:
        told.setLevel(found.log_level.upper())
    if found.home is not None:
        context.default_map = _everywhere(context.command, {"home": str(found.home)})


def _everywhere(group: Any, values: dict[str, Any]) -> dict[str, Any]:
    """The same defaults for each verb of a group, in the form of the parser's ``default_map``."""
    verbs = getattr(group, "commands", None)
    return values if verbs is None else {**values, **{name: _everywhere(verb, values) for name, verb in verbs.items()}}


@app.command()
def demo(
    context: typer.Context,
    once: Annotated[
        bool, typer.Option("--once", help="Exit when the data ends. Without it, on a terminal, wait for Enter.")
    ] = False,
    json: Json = False,
    speed: Annotated[
        float | None,
        typer.Option(
            help="Seconds of the recording per second; 3600 is an hourly bar a second. Gaps count as a day at most. "
            "Default: as fast as it goes."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Makes ids repeatable. The prices are recorded, so no seed changes them.")
    ] = 1,
    data: Annotated[
        list[str] | None, typer.Option(help="A recording's name or the path of a CSV file; may be given several times.")
    ] = None,
    home: Home = HOME,
) -> int:
    """Two workflows trade recorded prices on a paper venue.

    Interrupted by Ctrl-C, a crash or kill -9, the same command continues where it was. After it has finished, or with
    another --seed or --data, it begins a fresh tape.
    """
    from tickwork.faces.demo import play
    from tickwork.service.demo import DemoOptions

    doors: Doors = context.obj
    options = DemoOptions(home=home, data=tuple(data or ()), seed=seed, speed=speed)
    return play(doors.open_demo, options, as_json=json, wait=not once)


@app.command()
def runs(
    status: Annotated[str | None, typer.Option(help="Only runs that are e.g. done, waiting, dead.")] = None,
    workflow: Annotated[str | None, typer.Option(help="Only runs of this workflow.")] = None,
    limit: Limit = 20,
    json: Json = False,
    tape: Tape = None,
    home: Home = HOME,
) -> int:
    """Runs on a tape, newest first."""
    from tickwork.faces import tables
    from tickwork.service.runs import run_lines, workflows

    queries = queries_of(tape, home)
    found = run_lines(queries, status, workflow, limit)
    if not found and workflow is not None and workflow not in (known := workflows(queries)):
        print(f"tickwork: no run of a workflow {workflow!r} is on this tape; it has {known}", file=sys.stderr)
        if not json:
            return DONE
    return tables.show_runs(found, as_json=json)


@app.command()
def show(run: RunId, json: Json = False, tape: Tape = None, home: Home = HOME) -> int:
    """One run with its steps: what it read, decided and did."""
    from tickwork.faces import tables

    return tables.show_run(queries_of(tape, home).show(run), as_json=json)


@app.command()
def orders(
    status: Annotated[
        str | None, typer.Option(help="Only orders in this state, e.g. acknowledged, filled, rejected, refused.")
    ] = None,
    limit: Limit = 20,
    json: Json = False,
    tape: Tape = None,
    home: Home = HOME,
) -> int:
    """Orders on a tape, newest first, with those our own risk gate refused."""
    from tickwork.faces import tables
    from tickwork.service.orders import orders as orders_of

    return tables.show_orders(orders_of(queries_of(tape, home), status, limit), as_json=json)


@app.command()
def positions(json: Json = False, tape: Tape = None, home: Home = HOME) -> int:
    """What the account of a tape holds, and what that is worth at the last prices on the tape."""
    from tickwork.faces import tables
    from tickwork.service.positions import last_marks
    from tickwork.service.positions import positions as positions_of

    queries = queries_of(tape, home)
    return tables.show_positions(positions_of(queries, last_marks(queries)), as_json=json)


@app.command()
def cancel(run: RunId, json: Json = False, tape: Tape = None, home: Home = HOME) -> int:
    """Cancel a run of a tape that is being played; an effect under way is followed to its outcome first."""
    return _ask("cancel", "cancelled", run, tape, home, json)


@app.command()
def pause(run: RunId, json: Json = False, tape: Tape = None, home: Home = HOME) -> int:
    """Take no more turns of a run until it is resumed."""
    return _ask("pause", "paused", run, tape, home, json)


@app.command()
def resume(run: RunId, json: Json = False, tape: Tape = None, home: Home = HOME) -> int:
    """Let a paused run go on."""
    return _ask("resume", "resumed", run, tape, home, json)


def _ask(verb: str, done: str, run: str, tape: Path | None, home: Path, as_json: bool) -> int:
    from tickwork.errors import InvalidInput
    from tickwork.faces import tables

    path = tape_of(tape, home)
    try:
        nobody = f"nobody plays {path}: only the process that owns a tape can {verb} its runs"
        command_of(path, nobody, f"runs.{verb}", {"run": run}, verb=verb, run=run)
    except InvalidInput as error:
        # it knows of no unfinished run like that; where it is on the tape, the tape says what became of it
        status = queries_of(tape, home).show(run).info.status
        raise InvalidInput("run", f"{run}, which is {status}", error.expected) from None
    return tables.say({"run": run, "done": verb}, f"{run} {done}", as_json=as_json)


for verb in (up, down, status, logs, disown, emit, letters, redrive, discard, doctor, halt, unhalt, flatten, reconcile):
    app.command()(verb)
app.command(name="run")(run_)
app.command()(fork)
app.command(add_help_option=False)(call)
app.command()(mcp)
app.add_typer(notify, name="notify")
app.add_typer(breakers, name="breakers")
app.add_typer(exits, name="exits")
app.add_typer(schedules, name="schedules")
app.add_typer(queues, name="queues")
app.add_typer(tokens, name="tokens")
app.add_typer(graph, name="graph")


# -------------------------------------------------------------------------------------------------------- the way in


_STDOUT: Final = "stdout"


class _Stdout(io.FileIO):
    """Stdout whose failures say that they are of stdout: an error of the disk alone does not tell what was written."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            error.filename = _STDOUT
            raise


def _named_stdout() -> None:
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper):
        out.flush()
        raw = io.BufferedWriter(_Stdout(out.fileno(), "w", closefd=False))
        sys.stdout = io.TextIOWrapper(raw, out.encoding, out.errors, line_buffering=out.isatty())


class _Told(logging.Handler):
    """What the rooms log, for a person, in the form of every other complaint.

    A room that stops logs why and raises it as well: that is said once, by whoever catches it.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._last: list[str] = []
        self.redact: Callable[[str], str] = str
        """Takes out of a text what nobody should read."""

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "told", False):  # a verb has said it already
            return
        text = self.format(record)
        if record.levelno >= logging.CRITICAL:
            self._last.append(text)
        else:
            self._say(text)

    def end(self, error: str) -> None:
        """The complaint with which a verb ends, if it does, after what was logged and is not in it."""
        for text in self._last:
            if text not in error:
                self._say(text)
        if error:
            self._say(error)

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError):
            # what has lines of its own (all problems of a document, the place in an expression) keeps them
            text = self.redact(text)
            whole = "Traceback" in text or "\n  " in text
            print(f"tickwork: {text if whole else ' '.join(text.split())}", file=sys.stderr)


def run(doors: Doors) -> int:
    """Run the command line's verb; returns the exit code."""
    told = _Told()
    logging.getLogger("tickwork").addHandler(told)
    try:
        _named_stdout()
        _check_words()
        code: Any = app(obj=doors, standalone_mode=False)
        print(end="", flush=True)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return _unheard()
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # how the parser ends then
            return _unheard()
        raise
    except Exception as error:  # noqa: BLE001 - here every error ends: `_complaint` raises what it does not know
        failed, text = _complaint(error)
        told.end(text)
        return failed
    told.end("")
    return code if isinstance(code, int) else DONE


def _unheard() -> int:
    """Whoever read our output has gone, e.g. ``| head``: keep the interpreter from complaining at its end."""
    sys.stdout = None
    return DONE


def _check_words() -> None:
    """
    Raises:
        InvalidInput: an argument that is no text.
    """
    from tickwork.errors import InvalidInput

    for word in sys.argv[1:]:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise InvalidInput("argument", word, "text in UTF-8") from None


_OF_THE_DISK: Final = (ENOSPC, EDQUOT, EIO, EROFS)
_ARGUMENT: Final = re.compile(r"^\w+\((\w+)=\)")
"""How the engine names an argument of one of its verbs."""


def _option(argument: re.Match[str]) -> str:
    """The option that becomes this argument."""
    return {"open_for": "--for", "by": "TIME"}.get(argument[1], f"--{argument[1].replace('_', '-')}")


def _complaint(error: Exception) -> tuple[int, str]:
    """The exit code, and what to say; raises an error that nobody raised on purpose."""
    from tickwork import errors
    from tickwork.errors import InvalidDocument, InvalidExpression, InvalidInput, Refused, StepFailed, TickworkError

    if isinstance(error, StepFailed) and error.type.startswith(f"{errors.__name__}:"):
        # one of ours whose fields did not survive the way from the owner of the tape: the words did
        kind = getattr(errors, error.type.partition(":")[2], TickworkError)
        code = WRONG_USE if issubclass(kind, InvalidInput) else REFUSED if issubclass(kind, Refused) else FAILED
        return code, str(error.args[1])
    if isinstance(error, InvalidDocument | InvalidExpression):
        return WRONG_USE, str(error)
    if isinstance(error, InvalidInput):
        return WRONG_USE, str(InvalidInput(_ARGUMENT.sub(_option, error.path), error.found, error.expected))
    if isinstance(error, Refused):
        return REFUSED, str(error)
    if isinstance(error, OSError) and error.filename == _STDOUT:
        sys.stdout = None  # or the interpreter would complain once more at its end
        return FAILED, f"stdout cannot be written: {error.strerror}"
    if isinstance(error, OSError) and error.filename is None and error.errno in _OF_THE_DISK:
        return FAILED, f"the disk cannot be used: {error.strerror}; see to it, or give another --home"
    if isinstance(error, OSError) and error.filename is not None and error.errno in (*_OF_THE_DISK, EACCES):
        return FAILED, f"{error.filename} cannot be used ({error.strerror}): see to it, or give another --home"
    if isinstance(error, TickworkError | OSError):
        return FAILED, str(error)
    if type(error).__module__ == "apsw":  # a file of ours that SQLite could not read or write
        return FAILED, f"the disk cannot be used: {error}; see to it, or give another --home"
    if hasattr(error, "format_message"):  # of the parser: it knows no common class that typer promises to keep
        context = getattr(error, "ctx", None)
        message = error.format_message()
        code = int(getattr(error, "exit_code", WRONG_USE))
        help_ = f" (see `{context.command_path} --help`)" if message and context is not None else ""
        return code, f"{message}{help_}"
    if type(error).__name__ == "Abort":
        return INTERRUPTED, ""
    raise error
