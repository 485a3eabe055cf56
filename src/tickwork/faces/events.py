"""``tickwork emit``: publish an event."""

from __future__ import annotations

from typing import Annotated

import typer

from tickwork.faces.options import HOME, Home, Json, Tape, ask, json_of


def emit(
    name: Annotated[str, typer.Argument(help="The event's name, e.g. mexc/symbol.watch.", metavar="NAME")],
    payload: Annotated[
        str, typer.Argument(help="Its fields as a JSON object; - reads them from stdin.", metavar="[JSON]")
    ] = "{}",
    delay: Annotated[str | None, typer.Option(help="Publish it later, e.g. '5 minutes'.")] = None,
    version: Annotated[
        int | None, typer.Option(help="The version these fields are of; by default the newest.", min=1)
    ] = None,
    json: Json = False,
    tape: Tape = None,
    home: Home = HOME,
) -> int:
    """Publish an event to the process that runs the workflows; done when it is on disk."""
    from tickwork.faces import tables

    found = ask(tape, home, "emit", name=name, payload=json_of(payload, "payload"), delay=delay, version=version)
    if found["letter"]:
        words = f"{name} is of a version that is not known there: kept as dead letter {found['seq']}"
    else:
        words = f"{name} {'will be published' if delay else 'published'} at {found['seq']}"
    return tables.say(found, words, as_json=json)
