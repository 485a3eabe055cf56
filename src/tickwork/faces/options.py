"""Options that verbs share, and what they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tickwork.engines.embedded.queries import Queries

HOME = Path(".tickwork")

Home = Annotated[Path, typer.Option(help="Folder of the demo's tape.", envvar="TICKWORK_HOME", show_envvar=False)]
Tape = Annotated[Path | None, typer.Option(help="A tape; by default the demo's in the home folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else.")]
Limit = Annotated[int, typer.Option(help="How many, newest first.")]
RunId = Annotated[str, typer.Argument(help="A run's id, as `tickwork runs` shows it.", metavar="RUN")]


def tape_of(tape: Path | None, home: Path) -> Path:
    """The tape that is meant."""
    from tickwork.service.demo_tape import DemoFiles

    return tape or DemoFiles(home).tape


def queries_of(tape: Path | None, home: Path) -> Queries:
    """Read the tape that is meant.

    Raises:
        TapeError: there is none.
    """
    from tickwork.engines.embedded.queries import Queries
    from tickwork.errors import TapeError

    path = tape_of(tape, home)
    if not path.is_file():
        raise TapeError(f"there is no tape at {path}: run `tickwork demo` first, or give --tape or --home")
    return Queries.open(str(path))


def ask(tape: Path | None, home: Path, verb: str, /, **arguments: Any) -> Any:
    """Ask the process that owns the tape that is meant to do something; on return it is on disk.

    Raises:
        TapeError: nobody owns it. TickworkError: what the owner answered.
    """
    from tickwork.engines.embedded.control import ask_owner
    from tickwork.errors import TapeError

    path = tape_of(tape, home)
    try:
        return ask_owner(str(path), verb, **arguments)
    except ConnectionError:
        told = "there is no tape at" if not path.is_file() else "no process has this tape open:"
        raise TapeError(
            f"{told} {path}: start the process that runs your workflows, or give --tape or --home"
        ) from None


def json_of(text: str, path: str) -> Any:
    """A JSON argument; ``-`` reads it from stdin.

    Raises:
        InvalidInput: it is not JSON.
    """
    import json
    import sys

    from tickwork.errors import InvalidInput

    given = sys.stdin.read() if text == "-" else text
    try:
        return json.loads(given)
    except ValueError as error:
        raise InvalidInput(path, given[:200], f'JSON, e.g. \'{{"symbol": "BTC/USDT"}}\' ({error})') from None
