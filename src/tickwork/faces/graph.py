"""``tickwork graph``: workflow documents. Check them, read foreign ones, write them in other forms, begin one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tickwork.faces.graph_store import StoreTape, diff, publish, rollback, store_of, trace, update, versions
from tickwork.faces.options import HOME, Home, Json, json_of

if TYPE_CHECKING:
    from datetime import datetime

    from tickwork.faces.doors import Doors
    from tickwork.graph.problems import Problem
    from tickwork.service.document_files import Checked

graph = typer.Typer(
    help="Workflow documents. Begin with `tickwork graph new`.", no_args_is_help=True, rich_markup_mode=None
)

WRONG = 2

Source = Annotated[
    str, typer.Argument(help="A file (YAML or JSON, any known format), - for stdin, or a template.", metavar="DOCUMENT")
]
Stored = Annotated[
    str,
    typer.Argument(
        help="A file (YAML or JSON, any known format), - for stdin, a published document, or a template.",
        metavar="DOCUMENT",
    ),
]
Of = Annotated[int | None, typer.Option("--version", help="Of a published document; by default what is in use.", min=1)]
Format = Annotated[
    str, typer.Option("--format", help="Of the file: canonical, steps, nodes, blocks, strategy_graph or react.")
]
Out = Annotated[Path | None, typer.Option(help="Write to this new file instead of stdout.")]


@graph.command()
def validate(
    source: Stored,
    version: Of = None,
    format: Format = "auto",
    json: Json = False,
    tape: StoreTape = None,
    home: Home = HOME,
) -> int:
    """Check a document: everything that is wrong with it, all at once."""
    from tickwork.errors import InvalidDocument
    from tickwork.faces import tables
    from tickwork.service.document_files import Checked, checked

    try:
        found = checked(store_of(tape, home).load(source, format, version))
    except InvalidDocument as error:
        found = Checked(error.path, format, 0, _problems(error), [], [])
    if json:
        tables.dump({"valid": found.valid, **_builtins(found)})
    else:
        _tell(found)
    return 0 if found.valid else WRONG


@graph.command("import")
def import_(source: Source, format: Format = "auto", out: Out = None, json: Json = False) -> int:
    """Read a document of any format and write it in the canonical one."""
    from tickwork.service.document_files import checked, load, written

    imported = load(source, format)
    for note in imported.notes:
        print(f"tickwork: note: {note}", file=sys.stderr)
    for problem in [*(found := checked(imported)).errors, *found.warnings]:
        print(f"tickwork: {problem.severity}: {problem}", file=sys.stderr)
    _give(written(imported.document, "json" if json else "yaml"), out)
    return 0 if found.valid else WRONG


@graph.command()
def export(
    source: Stored,
    to: Annotated[str, typer.Option("--to", help="yaml, json, react or python.")] = "yaml",
    version: Of = None,
    format: Format = "auto",
    out: Out = None,
    json: Json = False,
    tape: StoreTape = None,
    home: Home = HOME,
) -> int:
    """Write a document in another form: canonical JSON or YAML, an editor's graph, a Python module."""
    from tickwork.faces import tables
    from tickwork.service.document_files import written

    document = store_of(tape, home).load(source, format, version).document
    text = written(document, to)
    if json:
        tables.dump({"document": document.name, "format": to, "text": text})
    else:
        _give(text, out)
    return 0


@graph.command()
def new(
    template: Annotated[
        str | None, typer.Argument(help="A template; without one, the list of them.", metavar="TEMPLATE")
    ] = None,
    out: Out = None,
    json: Json = False,
) -> int:
    """Begin with a template: copies it to a file of your own, or to stdout."""
    from tickwork.errors import InvalidInput
    from tickwork.faces import tables
    from tickwork.faces.grid import Grid
    from tickwork.graph import templates
    from tickwork.graph.problems import nearest

    if template is not None:
        if template not in templates.names():
            raise InvalidInput("TEMPLATE", template, f"a template: {nearest(template, templates.names())}")
        _give(templates.text(template), out)
        return 0
    found = [templates.read(name) for name in templates.names()]
    if json:
        tables.dump([{"name": one.name, "description": one.description, **one.metadata} for one in found])
        return 0
    made = Grid(
        "template", "category", "difficulty", "what it does", rest="what it does", give=("difficulty",), wrap=True
    )
    for one in found:
        first = one.description.split(". ")[0].strip().rstrip(".")
        made.add(one.name, str(one.metadata.get("category", "")), str(one.metadata.get("difficulty", "")), first)
    tables.show(made)
    return 0


@graph.command()
def nodes(
    word: Annotated[str | None, typer.Argument(help="A node type, or a word to look for.", metavar="[TYPE]")] = None,
    json: Json = False,
) -> int:
    """The node library: what documents are made of."""
    from tickwork.faces import tables
    from tickwork.faces.grid import Grid
    from tickwork.service.document_files import node_types

    found = node_types(word)
    if json:
        tables.dump(found)
        return 0
    if word is not None and len(found) == 1:
        _describe(found[0])
        return 0
    made = Grid(
        "type", "category", "inputs", "outputs", "what it does",
        rest="what it does", give=("inputs", "outputs"), least=30, wrap=True,
    )  # fmt: skip
    for one in found:
        outputs = [*one["branches"], *(name for name in one["outputs"] if name != "branch")]
        made.add(one["type"], one["category"], ", ".join(one["inputs"]), ", ".join(outputs), one["help"])
    tables.show(made)
    return 0


@graph.command()
def schema(
    out: Out = None,
    json: Annotated[bool, typer.Option("--json", help="It is JSON in any case.")] = True,  # noqa: ARG001 - as it says
) -> int:
    """The JSON Schema of documents, for editors and agents."""
    import json as json_text

    from tickwork.graph.library import library
    from tickwork.graph.schema import document_schema

    _give(json_text.dumps(document_schema(library()), indent=2), out)
    return 0


@graph.command()
def run(
    context: typer.Context,
    source: Annotated[
        str, typer.Argument(help="A file, - for stdin, a published document, or a template.", metavar="DOCUMENT")
    ],
    version: Of = None,
    data: Annotated[
        list[str] | None, typer.Option(help="A recording's name or the path of a CSV file; may be given several times.")
    ] = None,
    simulated: Annotated[
        int | None, typer.Option(help="Seed of a simulated market, which the document's metadata describes.")
    ] = None,
    news: Annotated[Path | None, typer.Option(help="Recorded news: a file with one item of JSON a line.")] = None,
    beside: Annotated[
        list[str] | None, typer.Option("--with", help="Another document: one that this calls, or that works beside it.")
    ] = None,
    input: Annotated[
        str | None,
        typer.Option(help="Start it once by hand with this JSON object, beside its triggers; - reads it from stdin."),
    ] = None,
    at: Annotated[
        str | None, typer.Option(help="When to start it by hand, e.g. 2018-06-01T00:00Z; by default at three quarters.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Where to stop, e.g. 2018-12-31T00:00Z.")] = None,
    capital: Annotated[str, typer.Option(help="Paid into the account of each venue.")] = "100000",
    speed: Annotated[float | None, typer.Option(help="Seconds of the recording per second.")] = None,
    seed: Annotated[int, typer.Option(help="Makes ids repeatable.")] = 1,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew, whatever was interrupted there.")] = False,
    format: Format = "auto",
    json: Json = False,
    home: Home = HOME,
) -> int:
    """Run a document on a paper desk, over recorded or simulated prices.

    Interrupted by Ctrl-C, a crash or kill -9, the same command continues where it was.
    """
    from tickwork.faces.graph_run import play
    from tickwork.service.document_run import RunRequest, prepare
    from tickwork.values import money

    request = RunRequest(
        source=source,
        version=version,
        beside=tuple(beside or ()),
        format=format,
        data=tuple(data or ()),
        simulated=simulated,
        news=news,
        input=None if input is None else json_of(input, "--input"),
        by_hand=input is not None or at is not None,
        at=_time("--at", at),
        until=_time("--until", until),
        capital=money(capital, "--capital"),
        home=session_home(home),
        seed=seed,
        speed=speed,
        fresh=fresh,
    )
    doors: Doors = context.obj
    return play(doors.open_paper, prepare(request, store_of(None, home)), as_json=json)


for verb in (trace, publish, update, versions, diff, rollback):
    graph.command()(verb)


def session_home(home: Path) -> Path:
    """Where sessions of documents keep their tapes and books: each document in a folder of its own."""
    return home / "graph"


def _time(option: str, text: str | None) -> datetime | None:
    from datetime import datetime

    from tickwork.errors import InvalidInput

    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise InvalidInput(option, text, "a time with its offset, e.g. 2018-06-01T00:00Z")
    return found


# --------------------------------------------------------------------------------------------------------------- words


def _problems(error: Any) -> list[Problem]:
    from tickwork.graph.problems import Problems

    found = Problems()
    found.caught(error)
    return found.found


def _builtins(found: Checked) -> dict[str, Any]:
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(found)
    return plain


def _tell(found: Checked) -> None:
    from tickwork.faces import tables

    lines = [f"{problem.severity}: {problem}" for problem in [*found.errors, *found.warnings]]
    lines += [f"note: {note}" for note in found.notes]
    if found.valid:
        lines.append(f"{found.document}: valid ({found.format}, {found.nodes} nodes)")
    else:
        many = "1 error" if len(found.errors) == 1 else f"{len(found.errors)} errors"
        lines.append(f"{found.document}: {many}")
    tables.console().print("\n".join(lines), markup=False)


def _give(text: str, out: Path | None) -> None:
    from tickwork.service.document_files import write

    if out is None:
        print(text, end="" if text.endswith("\n") else "\n")
    else:
        write(text, out)
        print(f"tickwork: wrote {out}", file=sys.stderr)


def _describe(one: dict[str, Any]) -> None:
    """One node type, with all that may be said to it."""
    from tickwork.faces import tables
    from tickwork.faces.grid import Grid

    out = tables.console()
    names = f" (also {', '.join(one['aliases'])})" if one["aliases"] else ""
    out.print(f"{one['type']}{names}: {one['help']}", markup=False)
    if one["needs"]:
        out.print(f"needs: {', '.join(one['needs'])}", markup=False)
    made = Grid("", "name", "default", "what it is", rest="what it is")
    for name, port in one["inputs"].items():
        made.add("input", name, "required" if port["required"] else "", port.get("description", ""))
    needed = one["params"]["required"]
    for name, param in one["params"]["properties"].items():
        default = "required" if name in needed else str(param.get("default", ""))
        unit = f" ({param['unit']})" if param.get("unit") else ""
        made.add("param", name, default, param.get("description", "") + unit)
    for name in one["branches"]:
        made.add("branch", name, "", "")
    for name, port in one["outputs"].items():
        if name != "branch":
            made.add("output", name, "", port.get("description", ""))
    tables.show(made)
