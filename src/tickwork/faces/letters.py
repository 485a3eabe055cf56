"""``tickwork letters``, ``redrive`` and ``discard``: what gave up, and what becomes of it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tickwork.faces.options import HOME, Home, Json, Limit, Tape, check_ids, command, json_of, queries_of

Ids = Annotated[
    list[str] | None, typer.Argument(help="Ids of letters, as `tickwork letters` shows them.", metavar="[ID]...")
]
Source = Annotated[str | None, typer.Option(help="Those of this workflow, queue or event.")]
Code = Annotated[str | None, typer.Option(help="Those with this error, e.g. rate_limit.")]
By = Annotated[str, typer.Option(help="Who wants it; recorded.")]


def letters(
    source: Source = None,
    code: Code = None,
    every: Annotated[bool, typer.Option("--all", help="Also those that were redriven or discarded.")] = False,
    limit: Limit = 20,
    json: Json = False,
    tape: Tape = None,
    home: Home = HOME,
) -> int:
    """Dead letters: runs, messages, undos and events that gave up, with the error and the run to open."""
    from tickwork.faces import tables
    from tickwork.faces.grid import Give, Grid
    from tickwork.service.letters import letter_lines

    found = letter_lines(queries_of(tape, home), source, code, every, limit)
    if json:
        tables.dump(found)
        return 0
    if not found:
        tables.console().print("no dead letters" + ("" if every or source or code else "; all is well"))
        return 0
    columns = ("letter", "kind", "source", "run", "code", "tries", "since", "status", "error")
    give: tuple[Give, ...] = (("since", tables.without_year), "since", "kind", "run")
    made = Grid(*columns, rest="error", give=give, least=24)
    for line in found:
        status = f"retry {tables.clock(line.next_try)}" if line.next_try else line.status
        made.add(
            line.id, line.kind, line.source, line.run, line.code, str(line.attempts), tables.clock(line.first_seen),
            status, line.error,
        )  # fmt: skip
    tables.show(made)
    return 0


def redrive(
    ids: Ids = None,
    source: Source = None,
    code: Code = None,
    every: Annotated[bool, typer.Option("--all", help="Every open letter.")] = False,
    payload: Annotated[
        str | None, typer.Option(help="JSON instead of what it was given; for one letter. - reads it from stdin.")
    ] = None,
    rate: Annotated[str | None, typer.Option(help="Not all at once, e.g. '10/s' or '5/minute'.")] = None,
    by: By = "cli",
    json: Json = False,
    tape: Tape = None,
    home: Home = HOME,
) -> int:
    """Give dead letters another chance: one, some or all, at a pace, or one with another payload."""
    from tickwork.engines.embedded.letters import spacing
    from tickwork.errors import InvalidInput
    from tickwork.faces import tables

    chosen = _chosen(ids, source, code, every)
    if rate is not None and spacing(rate) == 0:
        raise InvalidInput("--rate", rate, "a number by a time above zero, such as '10/s' or '5/minute'")
    edited = None if payload is None else json_of(payload, "payload")
    given = {**chosen, "payload": edited, "rate": rate}
    told = command(tape, home, "letters.redrive", given, who=by, by=by, **given)
    done, left = told["redriven"], told["left"]
    found = {"redriven": done, "left": left}
    words = f"{len(done)} redriven" + (f": {', '.join(done[:20])}" if done else "")
    words += f"\n{len(left)} left: {'; '.join(f'{id} ({why})' for id, why in list(left.items())[:20])}" if left else ""
    return tables.say(found, words, as_json=json)


def discard(
    ids: Ids = None,
    source: Source = None,
    code: Code = None,
    every: Annotated[bool, typer.Option("--all", help="Every open letter.")] = False,
    by: By = "cli",
    json: Json = False,
    tape: Tape = None,
    home: Home = HOME,
) -> int:
    """Put dead letters away, with a record of it."""
    from tickwork.faces import tables

    given = _chosen(ids, source, code, every)
    told = command(tape, home, "letters.discard", given, who=by, by=by, **given)
    found = told["discarded"] if isinstance(told, dict) else told
    return tables.say({"discarded": found}, f"{found} discarded", as_json=json)


def _chosen(ids: list[str] | None, source: str | None, code: str | None, every: bool) -> dict[str, Any]:
    """Which letters are meant, as the owner of the tape is asked.

    Raises:
        InvalidInput: none, or some of them and all.
    """
    from tickwork.errors import InvalidInput

    if every and (ids or source or code):
        raise InvalidInput("letters", "--all and others", "ids, --source and --code, or --all: not both")
    if not (ids or source or code or every):
        raise InvalidInput("letters", "none", "ids, --source, --code, or --all")
    return {"ids": check_ids(ids or [], "letter"), "source": source, "code": code, "every": every}
