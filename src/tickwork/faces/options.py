"""Options that verbs share, and what they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tickwork.engines.embedded.queries import Queries

HOME = Path(".tickwork")
TRADING = ("live.db", "paper.db")
"""Tapes of trading in real time, that of real money first."""


def _folder(given: str | Path) -> Path:
    if not str(given):
        from tickwork.errors import InvalidInput

        raise InvalidInput("--home", given, "a folder; the one you are in is .")
    return Path(given)


Home = Annotated[
    Path,
    typer.Option(
        help="Folder of the tape and what belongs to it.",
        envvar="TICKWORK_HOME",
        show_envvar=False,
        parser=_folder,
        metavar="PATH",
    ),
]
Tape = Annotated[
    Path | None,
    typer.Option(
        help="A tape; by default that of `tickwork up` in the home folder, else the demo's.",
        envvar="TICKWORK_TAPE",
        show_envvar=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else.")]
LIMIT_MAX = 1_000_000
Limit = Annotated[int, typer.Option(help="How many, newest first.", min=1, max=LIMIT_MAX)]


def _id(given: str) -> str:
    return check_ids([given], "run")[0]


RunId = Annotated[str, typer.Argument(help="A run's id, as `tickwork runs` shows it.", metavar="RUN", callback=_id)]


def check_ids(ids: list[str], path: str) -> list[str]:
    """Ids of runs or of letters, which are looked for by a position of 64 bits or as a text.

    Raises:
        InvalidInput: one of them can be no id.
    """
    from tickwork.errors import InvalidInput

    for id in ids:
        if len(id) > 200 or (id.removeprefix("r").isdigit() and not (id.isascii() and len(id) < 20)):
            raise InvalidInput(path, id[:80], "an id, as `tickwork runs` or `tickwork letters` shows it")
    return ids


def tape_of(tape: Path | None, home: Path) -> Path:
    """The tape that is meant.

    In a home folder that of the process that is up; else that of live trading, that of paper trading, the demo's.
    """
    from tickwork.service.demo_tape import DemoFiles
    from tickwork.service.ownership import holder_of

    if tape is not None:
        return tape
    there = [path for name in TRADING if (path := home / name).is_file()]
    up = [path for path in there if holder_of(str(path))]
    return next(iter([*up, *there]), DemoFiles(home).tape)


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
        TapeError: nobody owns it. Unknown: the owner did not answer. TickworkError: what the owner answered.
    """
    path = tape_of(tape, home)
    return ask_owner_of(path, _nobody(path), verb, **arguments)


def _nobody(path: Path) -> str:
    """What to say where nobody owns a tape."""
    told = "there is no tape at" if not path.is_file() else "no process has this tape open:"
    return f"{told} {path}: start the process that runs your workflows, or give --tape or --home"


def command(
    tape: Path | None,
    home: Path,
    operation: str,
    given: dict[str, Any],
    *,
    who: str = "cli",
    key: str = "",
    verb: str = "",
    **arguments: Any,
) -> Any:
    """Have the process that owns the tape that is meant do an operation; it is recorded with who asked. Its answer.

    A program of the user's may own the tape and have no operations: then a verb of its engine is asked.

    Args:
        given: the arguments of the operation, as JSON values.
        who: whoever wants it; ``cli``: whoever sits here.
        verb, arguments: what an engine without operations is asked; by default the verb of the operation's name.

    Raises:
        As ``ask``.
    """
    path = tape_of(tape, home)
    return command_of(path, _nobody(path), operation, given, who=who, key=key, verb=verb, **arguments)


def command_of(
    path: Path,
    nobody: str,
    operation: str,
    given: dict[str, Any],
    *,
    who: str = "cli",
    key: str = "",
    verb: str = "",
    **arguments: Any,
) -> Any:
    """Like ``command``, of the tape at a path; ``nobody``: what to say if nobody owns it."""
    from tickwork.errors import NotFound

    # as ``service.api.caller.local``, without the rooms it needs: a halt is not to wait for them
    rights = ["read", "operate", "trade", "admin"]
    caller = {
        "name": "local" if who == "cli" else who,
        "face": "cli",
        "scopes": rights,
        "accounts": None,
        "owner": None,
    }
    try:
        asked = {"operation": operation, "arguments": given, "caller": caller, "key": key}
        return ask_owner_of(path, nobody, "call", **asked)["value"]
    except NotFound as error:
        if (error.path, error.found) != ("verb", "call"):
            raise
    return ask_owner_of(path, _nobody(path), verb or operation, **arguments)


def ask_owner_of(path: Path, nobody: str, verb: str, /, **arguments: Any) -> Any:
    """Like ``ask``, of the tape at a path; ``nobody``: what to say if nobody owns it."""
    from tickwork.engines.embedded.control import ask_owner
    from tickwork.errors import TapeError, TickworkError, Unknown

    try:
        return ask_owner(str(path), verb, **arguments)
    except ConnectionRefusedError:
        raise TapeError(nobody) from None
    except (ConnectionError, TimeoutError) as error:
        raise Unknown(f"{error}: look before you ask again") from None
    except (TypeError, ValueError) as error:
        raise TickworkError(f"the owner of {path} cannot do this: {error}") from None


def json_of(text: str, path: str) -> Any:
    """A JSON argument; ``-`` reads it from stdin.

    Raises:
        InvalidInput: it is not JSON, or holds a number that is not finite.
    """
    import json
    import sys

    from tickwork.errors import InvalidInput

    longest = sys.get_int_max_str_digits()

    def whole(digits: str) -> int:
        if 0 < longest < len(digits):
            raise InvalidInput(path, f"a number of {len(digits)} digits", f"a number of at most {longest} digits")
        return int(digits)

    def refuse(constant: str) -> None:
        raise InvalidInput(path, constant, "a number that is finite")

    given = text
    try:
        given = sys.stdin.read() if text == "-" else text
        found = json.loads(given, parse_int=whole, parse_constant=refuse)
        # what can be read but not sent on: 1e999, half a surrogate pair
        json.dumps(found, allow_nan=False, ensure_ascii=False).encode()
    except InvalidInput:
        raise
    except RecursionError:
        raise InvalidInput(path, given[:80], "JSON that is not nested as deeply") from None
    except ValueError as error:
        raise InvalidInput(path, given[:200], f'JSON, e.g. \'{{"symbol": "BTC/USDT"}}\' ({error})') from None
    return found
