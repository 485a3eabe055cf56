"""``tickwork run`` and ``fork``: start a run, or run on from the middle of another."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tickwork.faces.options import HOME, Home, Json, RunId, Tape, command, json_of


def run(
    workflow: Annotated[str, typer.Argument(help="The name of a workflow.", metavar="WORKFLOW")],
    input: Annotated[
        str | None, typer.Argument(help="What it is given, in JSON; - reads it from stdin.", metavar="[JSON]")
    ] = None,
    id: Annotated[str | None, typer.Option(help="Its id: started again with it, it is the same run.")] = None,
    version: Annotated[int | None, typer.Option(help="Of the workflow; by default the newest.", min=1)] = None,
    json: Json = False,
    tape: Tape = None,
    home: Home = HOME,
) -> int:
    """Start a run of a workflow, in the process that knows it."""
    from tickwork.faces import tables

    given: dict[str, Any] = {"workflow": workflow, "id": id, "version": version}
    if input is not None:
        given["input"] = json_of(input, "input")
    told = command(tape, home, "runs.start", given, verb="start", **given)
    started = told["id"] if isinstance(told, dict) else told
    return tables.say({"run": started}, f"{started} is started; `tickwork show {started}` tells", as_json=json)


def fork(
    run: RunId,
    step: Annotated[
        str, typer.Option("--from", help="The name of the step to run on from; name#2 is the third of it.")
    ],
    input: Annotated[
        str | None, typer.Option(help="Instead of the input that it had, in JSON; - reads it from stdin.")
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="It acts for real, on the accounts of that process: that has to be said.")
    ] = False,
    json: Json = False,
    tape: Tape = None,
    home: Home = HOME,
) -> int:
    """Copy a run up to a step, and run on from there: a new run, with keys of its own."""
    from tickwork.errors import InvalidInput
    from tickwork.faces import tables

    if not live:
        raise InvalidInput("--live", "not said", "--live: a fork acts for real in the process that has the tape open")
    given: dict[str, Any] = {"run": run, "from_step": step, "live": True}
    if input is not None:
        given["input"] = json_of(input, "--input")
    told = command(tape, home, "runs.fork", given, verb="fork", **given)
    forked = told["id"] if isinstance(told, dict) else told
    return tables.say({"run": forked}, f"{forked} runs on from {step} of {run}", as_json=json)
