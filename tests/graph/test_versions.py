"""Versions: what publishing makes of a document, what the views fold, what a diff says."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.support import crash, live
from tests.graph.documents import document, drawn
from tickwork.engines.embedded import Engine
from tickwork.errors import InvalidInput
from tickwork.graph.document import Document
from tickwork.graph.versioning.diff import Change, diff, text
from tickwork.graph.versioning.versions import (
    DOCUMENT_MAX,
    DOCUMENT_VIEWS,
    DocumentPublished,
    DocumentState,
    Head,
    Line,
    Terms,
    Version,
    checksum,
    document_id,
    document_versions,
    documents,
    named,
    publish,
    version_key,
    workflow_name,
)

AT = datetime(2026, 1, 5, 9, tzinfo=UTC)


class Shelf:
    """Documents as the views fold them, without an engine."""

    def __init__(self) -> None:
        self.heads: dict[str, Head | None] = {}
        self.versions: dict[str, Version | None] = {}
        self.at = AT

    def line(self, id: str) -> Line:
        head = self.heads.get(id)
        if head is None:
            return Line()
        return Line(head, self.version(id, head.last), self.version(id, head.published) if head.published else None)

    def version(self, id: str, number: int) -> Version:
        found = self.versions[version_key(id, number)]
        assert found is not None
        return found

    def publish(self, given: Document, owner: str = "", **terms: Any) -> DocumentPublished | None:
        self.at += timedelta(seconds=1)
        event = publish(owner, given, self.line(document_id(owner, given.name)), Terms(at=self.at, **terms))
        if event is not None:
            self.fold(event)
        return event

    def fold(self, event: DocumentPublished | DocumentState) -> None:
        # as it comes back from the tape
        read = type(event).from_wire(event.to_wire())
        self.heads[event.id] = documents.fold(self.heads.get(event.id), read)
        if isinstance(read, DocumentPublished):
            key = document_versions.key(read)
            self.versions[key] = document_versions.fold(self.versions.get(key), read)


# -- names --------------------------------------------------------------------------------------------------------


def test_ids_derive_from_owner_and_name() -> None:
    ids = {document_id(owner, name) for owner, name in (("a", "b"), ("", "b"), ("a", "c"), ("a/b", ""), ("a", "/b"))}
    assert len(ids) == 5
    assert document_id("a", "b") == document_id("a", "b")
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", document_id("a", "b"))


_names = st.text(st.sampled_from("ab/@% %25t"), min_size=1, max_size=8).map(str.strip).filter(bool)


@given(st.just("") | _names, _names, st.booleans())
def test_engine_names_lead_back(owner: str, name: str, test: bool) -> None:
    found = named(workflow_name(owner, name, test))
    assert found is not None
    assert (found.owner, found.name, found.test) == (owner, name, test)


def test_names_of_code_are_no_documents() -> None:
    assert named("guard-position") is None
    assert workflow_name("", "plain name") == "doc/plain name"


# -- checksums and diffs ------------------------------------------------------------------------------------------


def test_checksum_is_of_the_canonical_form() -> None:
    spelled = document(limits={"timeout": "5 minutes", "concurrency": None}, priority=5)
    assert checksum(spelled) == checksum(document())
    assert checksum(document(priority=6)) != checksum(document())
    nodes = [{**node, "params": dict(reversed(node["params"].items()))} for node in document().plain()["nodes"]]
    assert checksum(document(nodes=nodes)) == checksum(document())


def test_what_the_tape_cannot_hold_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at most 900,000"):
        checksum(document(description="x" * (DOCUMENT_MAX + 1)))
    with pytest.raises(InvalidInput, match="JSON can hold"):
        checksum(document(metadata={"half a sign": "\ud800"}))


def patched(old: dict[str, Any], changes: list[Change]) -> dict[str, Any]:
    """What the changes make of a canonical form: an independent reading of the paths."""
    named_parts = {
        "nodes": {f".{node['id']}": node for node in old.get("nodes", [])},
        "edges": dict(_edges(old)),
    }
    orders: dict[str, list[str]] = {}
    rest = {key: value for key, value in old.items() if key not in named_parts}
    for change in changes:
        if change.path.startswith("order of "):
            orders[change.path.removeprefix("order of ")] = change.after
            continue
        field = re.match(r"nodes|edges", change.path)
        if field is None:
            _patch(rest, change.path, change)
            continue
        items, path = named_parts[field[0]], change.path.removeprefix(field[0])
        match = re.match(r"\.[^.\[]+" if field[0] == "nodes" else r"\[[^\]]*\](#\d+)?", path)
        assert match is not None
        if match[0] == path and change.kind == "added":
            items[path] = change.after
        elif match[0] == path and change.kind == "removed":
            del items[path]
        else:
            _patch(items[match[0]], path[len(match[0]) :].lstrip("."), change)
    for field_name, order in orders.items():
        items = named_parts[field_name]
        bare = {key.strip(".").replace("[", "", 1).removesuffix("]"): key for key in items}
        named_parts[field_name] = {bare[name]: items[bare[name]] for name in order}
    lists = {field: list(items.values()) for field, items in named_parts.items()}
    return rest | {field: items for field, items in lists.items() if items or field == "nodes"}


def _edges(old: dict[str, Any]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for edge in old.get("edges", []):
        ends = [
            f"{edge[node]}.{edge[port]}" if port in edge else edge[node]
            for node, port in (("from", "output"), ("to", "input"))
        ]
        name = f"[{' -> '.join(ends)}]"
        same = sum(known.partition("#")[0] == name for known, _ in found)
        found.append((name if not same else f"{name}#{same + 1}", edge))
    return found


def _patch(here: Any, path: str, change: Change) -> None:
    keys = [
        json.loads(quoted) if quoted else int(index) if index else name
        for name, index, quoted in re.findall(r'([A-Za-z_][\w-]*)|\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]', path)
    ]
    for key in keys[:-1]:
        here = here[key]
    if change.kind == "removed":
        # items of a list are told from the first that is gone
        here[keys[-1]] = _GONE
    elif isinstance(here, list) and change.kind == "added":
        here.append(change.after)
    else:
        here[keys[-1]] = change.after


_GONE = object()


def _swept(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _swept(inside) for key, inside in value.items() if inside is not _GONE}
    if isinstance(value, list):
        return [_swept(inside) for inside in value if inside is not _GONE]
    return value


def _same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@given(drawn, drawn)
def test_a_diff_makes_the_old_one_into_the_new(old: Document, new: Document) -> None:
    changes = diff(old, new)
    assert (changes == []) == (checksum(old) == checksum(new))
    assert _same(_swept(patched(json.loads(json.dumps(old.plain())), changes)), {**new.plain()})


@given(drawn)
def test_equal_documents_do_not_differ(given_one: Document) -> None:
    assert diff(given_one, Document.model_validate(given_one.plain())) == []


def test_a_diff_reads_well() -> None:
    old = document()
    nodes = [*old.plain()["nodes"][:3], {"id": "alert", "type": "notify", "when": "confidence > 0.9"}]
    nodes[2] = {**nodes[2], "params": {"threshold": 0.9}, "timeout": "10s"}
    new = document(
        nodes=nodes,
        edges=[*old.plain()["edges"][:2], {"from": "generate_signals", "to": "alert", "output": "signal"}],
        triggers=[{"type": "schedule", "cron": "0 9 * * 1-5", "timezone": "America/New_York"}],
        limits={"timeout": "1 minute", "concurrency": 1},
        metadata={},
    )
    edge = '{"from": "generate_signals", "to": "execute_trades", "label": "signal"}'
    assert text(diff(old, new)).splitlines() == [
        '+ triggers[0].timezone = "America/New_York"',
        '- triggers[1] = {"type": "price_change", "symbol": "AAPL"}',
        '- nodes.execute_trades = {"id": "execute_trades", "type": "trade_execution", "params": {"risk_limit": 0.02}}',
        "~ nodes.generate_signals.params.threshold: 0.7 -> 0.9",
        '+ nodes.generate_signals.timeout = "10s"',
        '+ nodes.alert = {"id": "alert", "type": "notify", "when": "confidence > 0.9"}',
        f"- edges[generate_signals -> execute_trades] = {edge}",
        '+ edges[generate_signals.signal -> alert] = {"from": "generate_signals", "to": "alert", "output": "signal"}',
        '~ limits.timeout: "5 minutes" -> "1 minute"',
        "+ limits.concurrency = 1",
        '- metadata = {"steps": ["analyze_news", "market_analysis", "generate_signals", "execute_trades"]}',
    ]


# -- publishing ---------------------------------------------------------------------------------------------------


def test_versions_follow_one_another() -> None:
    shelf, id = Shelf(), document_id("ann", "alpaca-trading-workflow")
    first = shelf.publish(document(), "ann", author="ann", note="first", format="steps")
    assert first is not None
    assert (first.id, first.version, first.parent, first.status) == (id, 1, None, "published")
    assert shelf.publish(document(), "ann") is None, "an equal one makes no version"
    second = shelf.publish(document(priority=6), "ann")
    assert second is not None
    assert (second.version, second.parent) == (2, 1)
    head = shelf.heads[id]
    assert head is not None
    assert (head.last, head.published, head.draft, head.checksum) == (2, 2, None, checksum(document(priority=6)))
    kept = shelf.version(id, 1)
    assert (kept.author, kept.note, kept.format, kept.at) == ("ann", "first", "steps", AT + timedelta(seconds=1))
    assert diff(kept.read(), document()) == []


def test_a_rollback_is_a_new_version_of_the_old_checksum() -> None:
    shelf, id = Shelf(), document_id("", "alpaca-trading-workflow")
    shelf.publish(document())
    shelf.publish(document(priority=6))
    back = shelf.publish(shelf.version(id, 1).read(), equals=1)
    assert back is not None
    assert (back.version, back.parent, back.equals) == (3, 2, 1)
    assert back.checksum == shelf.version(id, 1).checksum
    assert shelf.publish(shelf.version(id, 1).read(), equals=1) is None, "it is that already"


def test_a_draft_takes_no_triggers_until_it_is_published() -> None:
    shelf, id = Shelf(), document_id("", "alpaca-trading-workflow")
    shelf.publish(document())
    draft = shelf.publish(document(priority=6), draft=True)
    assert draft is not None
    head = shelf.heads[id]
    assert head is not None
    assert (draft.version, draft.status, head.last, head.published, head.draft) == (2, "draft", 2, 1, 2)
    assert shelf.publish(document(priority=6), draft=True) is None
    promoted = shelf.publish(document(priority=6))
    assert promoted is not None
    assert (promoted.version, promoted.status) == (2, "published"), "the draft's own number"
    head = shelf.heads[id]
    assert head is not None
    assert (head.published, head.draft) == (2, None)
    kept = shelf.version(id, 2)
    assert (kept.status, kept.at, kept.published_at) == ("published", draft.at, promoted.at)


def test_a_draft_that_was_overtaken_gets_a_new_number() -> None:
    """Versions that take triggers only grow: that is what the engine goes by."""
    shelf = Shelf()
    shelf.publish(document())
    shelf.publish(document(priority=6), draft=True)
    shelf.publish(document(priority=7))
    late = shelf.publish(document(priority=6))
    assert late is not None
    assert (late.version, late.parent) == (4, 3)


def test_the_published_one_stays_beside_a_newer_draft() -> None:
    shelf = Shelf()
    shelf.publish(document())
    shelf.publish(document(priority=6), draft=True)
    assert shelf.publish(document()) is None


@pytest.mark.parametrize(
    ("terms", "path"),
    [
        ({"expect_version": 1}, "expect_version"),
        ({"expect_version": 0}, "expect_version"),
        ({"expect_checksum": checksum(document())}, "expect_checksum"),
    ],
)
def test_compare_and_set(terms: dict[str, Any], path: str) -> None:
    shelf = Shelf()
    shelf.publish(document())
    shelf.publish(document(priority=6))
    with pytest.raises(InvalidInput) as caught:
        shelf.publish(document(priority=7), **terms)
    assert caught.value.path == path
    held = shelf.publish(document(priority=7), expect_version=2, expect_checksum=checksum(document(priority=6)))
    assert held is not None
    assert held.version == 3


def test_new_means_new() -> None:
    shelf = Shelf()
    assert shelf.publish(document(), expect_version=0) is not None


@pytest.mark.parametrize(
    ("owner", "name", "complaint"),
    [("a\nb", "a", "printable"), ("", " a", "printable"), ("o" * 120, "n" * 80, "shorter")],
)
def test_names_that_cannot_be_kept(owner: str, name: str, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        Shelf().publish(document(name=name), owner)


def test_a_long_note_is_refused() -> None:
    with pytest.raises(InvalidInput, match="note"):
        Shelf().publish(document(), note="x" * 1_001)


def test_states_are_kept_with_the_head() -> None:
    shelf, id = Shelf(), document_id("", "alpaca-trading-workflow")
    shelf.publish(document())
    shelf.fold(DocumentState(id=id, state="paused", note="earnings", at=AT))
    shelf.publish(document(priority=6))
    head = shelf.heads[id]
    assert head is not None
    assert (head.state, head.reason, head.published) == ("paused", "earnings", 2), "a new version wakes nothing"
    shelf.fold(DocumentState(id=id, state="retired", at=AT))
    shelf.publish(document(priority=7))
    head = shelf.heads[id]
    assert head is not None
    assert head.state == "active", "publishing brings back what was retired"


# -- on the tape --------------------------------------------------------------------------------------------------


@live
async def test_views_outlive_the_engine() -> None:
    id = document_id("", "alpaca-trading-workflow")
    engine = Engine("memory:", views=DOCUMENT_VIEWS, seed=1)
    await engine.open()
    for given_one in (document(), document(priority=6)):
        head = engine.read(documents, id)
        newest = None if head is None else engine.read(document_versions, version_key(id, head.last))
        event = publish("", given_one, Line(head, newest, newest), Terms(at=AT))
        assert event is not None
        await engine.emit(event)
    told = (engine.read(documents, id), dict(engine.items(document_versions)))
    memory = crash(engine)
    async with Engine(memory, views=DOCUMENT_VIEWS, seed=1) as again:
        assert (again.read(documents, id), dict(again.items(document_versions))) == told
        assert told[0].last == 2
        assert sorted(told[1]) == [version_key(id, 1), version_key(id, 2)]


@live
async def test_the_largest_document_fits_its_row() -> None:
    whole = document(metadata={"text": ""}, nodes=[], edges=[], triggers=[])
    left = DOCUMENT_MAX - len(json.dumps(whole.plain(), separators=(",", ":")))
    largest = document(metadata={"text": "x" * left}, nodes=[], edges=[], triggers=[])
    event = publish("o", largest, Line(), Terms(at=AT, author="a" * 1_000, note="ä" * 1_000, format="f" * 1_000))
    assert event is not None
    async with Engine("memory:", views=DOCUMENT_VIEWS, seed=1) as engine:
        await engine.emit(event)
        kept = engine.read(document_versions, version_key(event.id, 1))
        assert checksum(kept.read()) == event.checksum
