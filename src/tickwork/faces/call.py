"""``tickwork call``: every operation from the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tickwork.faces.options import HOME, Home, Json, Tape, json_of, tape_of

if TYPE_CHECKING:
    from tickwork.service.api.here import Answer
    from tickwork.service.api.operation import Operation
    from tickwork.service.api.problems import Problem

WRONG_USE, REFUSED, FAILED = 2, 3, 1

_USE: Final = frozenset(
    {
        "invalid-input",
        "invalid-document",
        "not-found",
        "conflict",
        "version-conflict",
        "key-reused",
        "INVALID_INPUT_DATA",
    }
)
"""Codes of problems that lie in what was asked."""


def call(
    context: typer.Context,
    operation: Annotated[str, typer.Argument(help="Its name, e.g. runs.list.", metavar="[OPERATION]")] = "",
    values: Annotated[
        list[str] | None,
        typer.Argument(
            help="Its arguments. What is not a text is JSON; a list of texts is given text by text.",
            metavar="[NAME=VALUE]...",
        ),
    ] = None,
    json_args: Annotated[
        str | None, typer.Option(help="Its arguments as a JSON object; - reads it from stdin.", metavar="JSON")
    ] = None,
    key: Annotated[str, typer.Option(help="Asked for again with the same key, a command is done once.")] = "",
    list_all: Annotated[bool, typer.Option("--list", help="Show every operation, and leave.")] = False,
    help_: Annotated[bool, typer.Option("--help", help="Show this, or what an operation takes, and leave.")] = False,
    json: Json = False,
    tape: Tape = None,
    home: Home = HOME,
) -> int:
    """Ask for any operation: whatever is possible over HTTP and MCP, with the same meaning and the same errors."""
    if list_all:
        return _list(as_json=json)
    if help_ and not operation:
        print(context.get_help())
        return 0
    return _called(operation, values or [], json_args, key, tape_of(tape, home), help_=help_, as_json=json)


def _called(
    name: str, values: list[str], json_args: str | None, key: str, tape: Path, *, help_: bool, as_json: bool
) -> int:
    from tickwork.errors import TickworkError
    from tickwork.faces.describing import text_of
    from tickwork.service.api.here import operation_named, told
    from tickwork.service.operations.all import CATALOGUE

    try:
        if not name:
            raise _unnamed()
        operation = operation_named(name)
        assert operation.name in CATALOGUE
        if help_:
            print(text_of(operation))
            return 0
        answer = asked(tape, name, arguments_of(operation, values, json_args), key)
    except TickworkError as error:
        found = told(error)
        if found is None:
            raise
        return _fail(found, as_json=as_json)
    return _say(answer, as_json=as_json)


def _unnamed() -> Exception:
    from tickwork.errors import InvalidInput

    return InvalidInput("OPERATION", "none", "the name of one: see `tickwork call --list`")


def asked(tape: Path, name: str, arguments: dict[str, Any], key: str = "") -> Answer:
    """What an operation comes to, asked for by whoever sits here.

    Raises:
        TapeError: there is no tape. TickworkError: what it came to.
    """
    import asyncio

    from tickwork.errors import TapeError
    from tickwork.service.api.caller import local
    from tickwork.service.api.there import Remote

    if not tape.is_file():
        raise TapeError(f"there is no tape at {tape}: run `tickwork demo` first, or give --tape or --home")
    remote = Remote(str(tape))
    try:
        return asyncio.run(remote.call(name, arguments, local("cli"), key))
    finally:
        remote.close()


def arguments_of(operation: Operation, values: list[str], json_args: str | None) -> dict[str, Any]:
    """The arguments that words of the command line mean, as JSON values.

    Raises:
        InvalidInput: a word is not name=value, what is no list is given twice, or what is no text is no JSON.
    """
    from tickwork.errors import InvalidInput
    from tickwork.faces.describing import field_of, form_of

    found: Any = {} if json_args is None else json_of(json_args, "--json-args")
    if not isinstance(found, dict):
        raise InvalidInput("--json-args", json_args, "a JSON object of the operation's fields")
    names = {field_of(operation, name) or name for name in found}
    several: dict[str, list[Any]] = {}
    for word in values:
        name, is_, value = word.partition("=")
        if not is_ or not name:
            raise InvalidInput("argument", word[:80], "NAME=VALUE, e.g. limit=5")
        field = field_of(operation, name) or name
        form = form_of(operation, field)
        if form == "texts" and not value.startswith("[") and (field in several or field not in names):
            names.add(field)
            several.setdefault(field, found.setdefault(name, [])).append(value)
            continue
        if field in names:
            raise InvalidInput(name, value[:80], "to be given once")
        names.add(field)
        found[name] = value if form == "text" else json_of(value, name)
    return found


def _say(answer: Answer, *, as_json: bool) -> int:
    import msgspec

    from tickwork.faces import tables

    if as_json:
        tables.dump(answer.value)
    else:
        print(msgspec.json.format(msgspec.json.encode(answer.value), indent=2).decode())
    if answer.repeated:
        print("tickwork: done before under this key; this is the answer of then", file=sys.stderr)
    return 0


def _fail(found: Problem, *, as_json: bool) -> int:
    from tickwork.faces import tables

    if as_json:
        tables.dump(found.told())
    else:
        print(f"tickwork: {found.detail} ({found.code})", file=sys.stderr)
    return WRONG_USE if found.code in _USE else REFUSED if found.code == "refused" else FAILED


def _list(*, as_json: bool) -> int:
    from tickwork.faces import tables
    from tickwork.faces.grid import Grid
    from tickwork.service.operations.all import CATALOGUE

    every = [CATALOGUE[name] for name in sorted(CATALOGUE)]
    if as_json:
        tables.dump([{"name": one.name, "scope": one.scope, "summary": one.summary} for one in every])
        return 0
    made = Grid("operation", "right", "what it does", rest="what it does")
    for one in every:
        made.add(one.name, one.scope, one.summary)
    tables.show(made)
    return 0
