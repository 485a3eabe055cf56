"""Documents in other forms come back as they were."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as few
from hypothesis import strategies as st

from tests.graph.importers.kit import DATA, LIBRARY, data, read
from tickwork.errors import InvalidInput
from tickwork.graph.document import Document
from tickwork.graph.exporters import as_json, as_react, as_yaml
from tickwork.graph.reading import read_document, read_text

# -- random documents

words = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
floats = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers(-(10**12), 10**12) | floats | words | st.sampled_from(
    ["1e6", "09:30", "2026-01-01", "true", "null", "~", "0x10", "1_000", ".5", "-1", "{{a.b}}", "no", "<<", "a: b"]
)  # fmt: skip
names = st.text(alphabet="abcdefghijxyz_", min_size=1, max_size=8)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=6
)
titles = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=20)
settings = st.dictionaries(names, values, max_size=3)
ids = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,10}", fullmatch=True)
times = st.sampled_from(["1s", "5 minutes"])


def maybe(**fields: Any) -> Any:
    return st.fixed_dictionaries({}, optional=fields)


node_fields = maybe(
    name=st.text(max_size=10),
    params=settings,
    inputs=settings,
    when=st.just("a > 1") | st.fixed_dictionaries({"test": st.just("b"), "missing": st.just("false")}),
    join=st.sampled_from(["all", "any"]),
    retry=st.integers(1, 9) | st.fixed_dictionaries({"limit": st.integers(1, 9), "delay": times}),
    timeout=times,
    onError=st.just("continue") | st.fixed_dictionaries({"fallback": ids}),
    undo=st.just("cancel_order") | st.fixed_dictionaries({"type": st.just("notify"), "params": settings}),
    breaker=st.just("b") | st.fixed_dictionaries({"name": st.just("b"), "openFor": times}),
    position=st.fixed_dictionaries({"x": floats, "y": floats}),
    metadata=settings,
)
types = st.sampled_from(["notify", "if", "place_order", "nobody_knows"])


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Canonical documents: what they say need not make sense to run."""
    found = draw(st.lists(ids, unique=True, min_size=1, max_size=5))
    nodes = [{"id": id_, "type": draw(types), **draw(node_fields)} for id_ in found]
    some = st.sampled_from(found)
    edge_fields = maybe(output=st.just("true"), input=names, label=words, after=st.booleans())
    edges = [{"from": draw(some), "to": draw(some), **draw(edge_fields)} for _ in range(draw(st.integers(0, 5)))]
    triggers = draw(
        st.lists(st.just({"type": "manual"}) | st.just({"type": "schedule", "cron": "0 9 * * *"}), max_size=2)
    )
    more = draw(
        maybe(
            description=words,
            priority=st.integers(0, 10),
            metadata=settings,
            limits=maybe(timeout=times, concurrency=st.integers(1, 5), key=st.just("event.symbol")),
        )
    )
    return read_document({"name": draw(titles), "nodes": nodes, "edges": edges,
                          "triggers": triggers, **more})  # fmt: skip


class an_export_comes_back_as_it_was:
    @few(max_examples=40)
    @given(documents())
    def test_as_plain_values(self, document: Document) -> None:
        assert read(document.plain(), format="canonical").document == document

    @few(max_examples=40)
    @given(documents())
    def test_as_json(self, document: Document) -> None:
        assert read_document(read_text(as_json(document))) == document

    @few(max_examples=40)
    @given(documents())
    def test_as_yaml(self, document: Document) -> None:
        assert read_document(read_text(as_yaml(document))) == document

    @few(max_examples=40)
    @given(documents())
    def test_as_a_react_graph(self, document: Document) -> None:
        found = json.loads(json.dumps(as_react(document, LIBRARY)))
        again = read(found, format="react")
        assert again.document == document
        assert again.notes == []


Test_round_trips = an_export_comes_back_as_it_was


@pytest.mark.parametrize("name", sorted(path.stem for path in DATA.glob("*.json")))
def test_the_systems_documents_survive_an_editor(name: str) -> None:
    document = read(data(name), name=name).document
    found = as_react(document, LIBRARY)
    again = read(found)
    assert (again.format, again.document) == ("react", document)


def test_what_an_editor_changes_counts() -> None:
    document = read(data("event-driven-trader")).document
    found = as_react(document, LIBRARY)
    found["nodes"][0]["position"] = {"x": 5, "y": 6}
    found["nodes"][0]["properties"]["categories"] = ["urgent"]
    found["edges"] = found["edges"][1:]
    found["nodes"].append({"id": "new", "type": "notify", "properties": {"message": "x"}, "position": {"x": 0, "y": 0}})
    again = read(found).document
    assert again.nodes[0].params == {"categories": ["urgent"]}
    assert again.nodes[0].position is not None
    assert (again.nodes[0].position.x, again.nodes[0].position.y) == (5, 6)
    assert again.edges == document.edges[1:]
    assert again.triggers == document.triggers
    assert again.nodes[-1].params == {"message": "x"}


def test_nodes_stand_right_of_what_comes_before_them() -> None:
    found = as_react(read(data("event-driven-trader")).document, LIBRARY)
    at = {node["id"]: node["position"] for node in found["nodes"]}
    assert all(at[edge["source"]]["x"] < at[edge["target"]]["x"] for edge in found["edges"])
    assert len({(place["x"], place["y"]) for place in at.values()}) == len(at)


def test_the_editors_form_has_what_editors_read() -> None:
    found = as_react(read(data("protected-trader")).document, LIBRARY)
    assert found["nodes"][1]["category"] == "test"
    assert found["nodes"][1]["status"] == "pending"
    assert found["edges"][1]["sourceHandle"] == "true"
    assert all({"id", "source", "target"} <= edge.keys() for edge in found["edges"])


@pytest.mark.parametrize("where", ["params", "metadata"])
def test_a_name_that_the_form_needs(where: str) -> None:
    value: dict[str, Any] = {"name": "x", "nodes": [{"id": "a", "type": "notify"}]}
    target = value["nodes"][0] if where == "params" else value
    target[where] = {"__tickwork__": 1}
    with pytest.raises(InvalidInput, match="another name"):
        as_react(read_document(value), LIBRARY)


def test_equal_documents_give_equal_texts() -> None:
    document = read(data("event-driven-trader")).document
    assert as_json(document) == as_json(read_document(document.plain()))
    assert as_json(document).endswith("}\n")
