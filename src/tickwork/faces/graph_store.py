"""``tickwork graph`` on published documents: versions, changes, roll-backs, and what happened in a run."""

from __future__ import annotations

import asyncio
import json as json_text
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tickwork.faces.options import HOME, Home, Json, RunId, json_of

if TYPE_CHECKING:
    from tickwork.graph.versioning.diff import Change
    from tickwork.service.document_store import Store, Told

Name = Annotated[str, typer.Argument(help="A published document, by name or id.", metavar="NAME")]
Note = Annotated[str, typer.Option(help="Why; recorded.")]
Draft = Annotated[bool, typer.Option("--draft", help="As a draft: stored, and not yet in use.")]
StoreTape = Annotated[
    Path | None,
    typer.Option("--tape", help="The tape of documents; by default documents.db in the home folder."),
]


def store_of(tape: Path | None, home: Path) -> Store:
    """Where published documents are."""
    from tickwork.service.document_store import TAPE, Store

    return Store(tape or home / TAPE)


def publish(
    source: Annotated[
        str,
        typer.Argument(
            help="A file, - for stdin, a template, or a published document: its draft is taken into use.",
            metavar="DOCUMENT",
        ),
    ],
    note: Note = "",
    draft: Draft = False,
    json: Json = False,
    tape: StoreTape = None,
    home: Home = HOME,
) -> int:
    """Store a document as a new version; an equal one makes none. Or take a published document's draft into use."""
    store = store_of(tape, home)
    imported = store.to_publish(source)
    made = store.publish(imported.document, draft=draft, note=note, format=imported.format)
    return _say(asyncio.run(made), as_json=json)


def update(
    name: Name,
    changes: Annotated[
        list[str],
        typer.Argument(
            help="steps[2].params.threshold=0.9: a path, and a value in JSON or a text.", metavar="PATH=VALUE..."
        ),
    ],
    note: Note = "",
    draft: Draft = False,
    json: Json = False,
    tape: StoreTape = None,
    home: Home = HOME,
) -> int:
    """Change values of a published document by path: a new version."""
    from tickwork.errors import InvalidInput

    updates: dict[str, Any] = {}
    for change in changes:
        path, sign, value = change.partition("=")
        if not sign or not path.strip():
            raise InvalidInput("PATH=VALUE", change, "a path, =, and a value")
        if path.strip() in updates:
            raise InvalidInput("PATH=VALUE", path.strip(), "each path once")
        updates[path.strip()] = _value(value)
    return _say(asyncio.run(store_of(tape, home).update(name, updates, draft=draft, note=note)), as_json=json)


def _value(text: str) -> Any:
    from tickwork.errors import InvalidInput

    try:
        return json_of(text, "value")
    except InvalidInput:
        return text


def rollback(
    name: Name,
    version: Annotated[int, typer.Argument(help="The version to go back to.", metavar="VERSION", min=1)],
    note: Note = "",
    json: Json = False,
    tape: StoreTape = None,
    home: Home = HOME,
) -> int:
    """Make a new version that is equal to an old one."""
    return _say(asyncio.run(store_of(tape, home).rollback(name, version, note=note)), as_json=json)


def versions(
    name: Annotated[
        str | None, typer.Argument(help="A published document. Without one, the list of them.", metavar="NAME")
    ] = None,
    json: Json = False,
    tape: StoreTape = None,
    home: Home = HOME,
) -> int:
    """The published documents, or the versions of one, newest first."""
    from tickwork.faces import tables
    from tickwork.faces.grid import Grid

    store = store_of(tape, home)
    if name is None:
        lines = store.lines()
        if json:
            tables.dump(lines)
        elif not lines:
            tables.console().print("nothing is published here: `tickwork graph publish`")
        else:
            made = Grid("document", "published", "versions", "state", "draft", "id")
            for line in lines:
                version = str(line.version or "")
                made.add(line.name, version, str(line.versions), line.state, str(line.draft or ""), line.id)
            tables.show(made)
        return 0
    found = store.versions(name)
    if json:
        tables.dump(found)
        return 0
    made = Grid("version", "status", "from", "made", "author", "checksum", "note", rest="note", give=("author",))
    for one in found:
        parent = f"= {one.equals}" if one.equals else str(one.parent or "")
        made.add(str(one.version), one.status, parent, tables.clock(one.at), one.author, one.checksum[:12], one.note)
    tables.show(made)
    return 0


def diff(
    first: Annotated[
        str, typer.Argument(help="A published document; with OTHER, a file or a template too.", metavar="NAME")
    ],
    other: Annotated[str | None, typer.Argument(help="A document to compare with.", metavar="[OTHER]")] = None,
    old: Annotated[int | None, typer.Option(help="A version of NAME; by default the one before.", min=1)] = None,
    new: Annotated[int | None, typer.Option(help="Another; by default the newest.", min=1)] = None,
    json: Json = False,
    tape: StoreTape = None,
    home: Home = HOME,
) -> int:
    """What two versions of a document differ in, or two documents."""
    from tickwork.errors import InvalidInput
    from tickwork.graph.versioning.diff import diff as compare

    store = store_of(tape, home)
    if other is None:
        before, after, changes = store.diff(first, old, new)
        return _show(changes, f"version {before}", f"version {after}", as_json=json)
    if old is not None or new is not None:
        raise InvalidInput("--old", "--old or --new with OTHER", "versions of one document, or two documents")
    return _show(compare(store.load(first).document, store.load(other).document), first, other, as_json=json)


def trace(
    run: RunId,
    of: Annotated[
        str | None, typer.Option("--of", help="In the last session of this document; by default in the last of all.")
    ] = None,
    json: Json = False,
    tape: Annotated[
        Path | None, typer.Option(help="A tape; by default that of the last `tickwork graph run` in the home folder.")
    ] = None,
    home: Home = HOME,
) -> int:
    """What happened in a run of a document: its nodes, and its events in order."""
    from tickwork.errors import InvalidInput
    from tickwork.faces import tables
    from tickwork.faces.graph import session_home
    from tickwork.faces.grid import Grid
    from tickwork.faces.options import queries_of
    from tickwork.service.document_trace import last_session, traced

    if tape is not None and of is not None:
        raise InvalidInput("--of", of, "either --of or --tape")
    found = traced(queries_of(tape or last_session(session_home(home), of), home), run)
    if json:
        tables.dump(found)
        return 0
    out = tables.console()
    out.print(f"{found.document} version {found.version}, {found.status}, started by {found.trigger}", markup=False)
    made = Grid("#", "time", "event", "node", "took", "what", rest="what")
    for event in found.events:
        took = "" if event.duration_ms is None else f"{event.duration_ms:,.0f} ms"
        what = event.error or event.reason or (json_text.dumps(event.outputs) if event.outputs else "")
        made.add(str(event.sequence), f"{event.timestamp:%Y-%m-%d %H:%M:%S}", event.type, event.node_id, took, what)
    tables.show(made)
    return 0


def _say(told: Told, *, as_json: bool) -> int:
    from tickwork.faces import tables

    lines = [f"warning: {warning}" for warning in told.warnings]
    if told.changed:
        lines += [f"{told.name}: version {told.version} ({told.status})", *(f"  {change}" for change in told.changes)]
    else:
        lines.append(f"{told.name}: nothing has changed, it is version {told.version}")
    return tables.say(told, "\n".join(lines), as_json=as_json)


def _show(changes: list[Change], old: str, new: str, *, as_json: bool) -> int:
    from tickwork.faces import tables

    lines = [str(change) for change in changes] or ["no difference"]
    given = [{"kind": one.kind, "path": one.path, "before": one.before, "after": one.after} for one in changes]
    return tables.say({"old": old, "new": new, "changes": given}, "\n".join(lines), as_json=as_json)
