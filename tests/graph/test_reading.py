"""Reading documents: what YAML and JSON mean, and every complaint at once."""

from __future__ import annotations

from typing import Any

import pytest

from tickwork.errors import InvalidDocument, InvalidInput
from tickwork.graph.reading import MAX_TEXT, read_document, read_text

WRONG = """
name: x
nodes:
  - {id: a, type: t, onEror: 3, join: some, retry: {limit: 0}, when: 7}
  - {id: "1b", type: 09:30, onError: stopp}
  - {type: t, when: {tst: "1 > 0"}}
edges:
  - {from: a, output: true}
bogus: 1
priority: 11
"""


def test_every_complaint_at_once() -> None:
    with pytest.raises(InvalidDocument) as caught:
        read_document(read_text(WRONG))
    told = {path: expected for path, _, expected in caught.value.problems}
    assert set(told) == {
        "nodes.a.onEror", "nodes.a.join", "nodes.a.retry.limit", "nodes.a.when", "nodes.1b.id", "nodes.1b.onError",
        "nodes[2].id", "nodes[2].when.test", "nodes[2].when.tst", "edges[0].to", "bogus", "priority",
    }  # fmt: skip
    assert told["nodes.a.onEror"] == "no field of this name: did you mean 'onError'?"
    assert told["nodes.1b.onError"] == "stop, continue, or {fallback: <id of a node>}"
    assert "did you mean 'test'?" in told["nodes[2].when.tst"]
    assert type(caught.value)(*caught.value.args).args == caught.value.args
    assert "12 problems" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 09:30\nb: 2026-01-01\nc: yes\nd: true\ne: 1e3\nf: .5\ng: ~\nh: 0x10\non: off",
         {"a": "09:30", "b": "2026-01-01", "c": "yes", "d": True, "e": 1000.0, "f": 0.5, "g": None, "h": "0x10",
          "on": "off"}),
        ('{"a": [1, 2.5, "x", null, true]}', {"a": [1, 2.5, "x", None, True]}),
        ("{a: 1}", {"a": 1}),
        ("\ufeff  [1]", [1]),
    ],
)  # fmt: skip
def test_texts(text: str, value: Any) -> None:
    assert read_text(text) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1,}', "trailing commas"),
        ('{"a": 1, "a": 2}', "'a' twice"),
        ("a: b: c", "line 1 column 5"),
        ("{a: 1, a: 2}", "a second time"),
        ("a: &x [1]\nb: *x", "an alias"),
        ("x: !!python/object:os.system a", "constructor"),
        ("? [a]: b", "key that is no text"),
        ("[" * 100_000, "deeper nesting"),
        ("a: " + "[ " * 500 + "]" * 500, "deeper nesting"),
        ('{"a":' * 60 + "1" + "}" * 60, "deeper nesting"),
        ("[NaN]", "finite numbers"),
        ('{"a": Infinity}', "finite numbers"),
        ("[" + "9" * 5_000 + "]", "numbers of a sane length"),
        ("x" * (MAX_TEXT + 1), "characters"),
        ("[" + "1," * 200_001 + "1]", "values"),
        ("a: \x07", "YAML or JSON"),
        ("a: [1", "YAML or JSON"),
        ("a: {{y.result}}", 'it in quotes: "{{y.result}}"'),
        ("a: {{y.result}} and more", 'it in quotes: "{{y.result}} and more"'),
        ("{a: {{y.result}}}", 'it in quotes: "{{y.result}}"'),
        ("a: 'b: {{y}}' c", "YAML or JSON"),
        ("- {{y}}", 'it in quotes: "{{y}}"'),
        ("a:\n\tb: 1", "found 'a tab'"),
        ("", "an object with a name and nodes; found 'nothing'"),
        ("# nothing yet\n", "an object with a name and nodes; found 'nothing'"),
    ],
)
def test_texts_that_are_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_text(text)
    assert words in str(caught.value)


@pytest.mark.parametrize("value", [None, [], 3, "x"])
def test_what_is_no_object(value: Any) -> None:
    with pytest.raises(InvalidDocument):
        read_document(value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"name": "a\nb", "nodes": []}, "printable"),
        ({"name": "a", "nodes": [{"id": "a", "type": "t", "params": {"x": float("nan")}}]}, "finite"),
    ],
)
def test_what_no_tape_would_take(value: Any, words: str) -> None:
    with pytest.raises(InvalidDocument, match=words):
        read_document(value)


@pytest.mark.parametrize(
    ("value", "path", "words"),
    [
        ({"name": "a", "nodes": [{"id": 12, "type": "t"}]}, "nodes[0].id", 'a text: in quotes, "12"'),
        ({"name": "a", "nodes": [{"id": ["b"], "type": "t"}]}, "nodes[0].id", "a text"),
        ({"name": "a", "nodes": {"b": {"type": "t"}}}, "nodes", "a list, each with its id inside"),
        ({"name": "a", "nodes": [7]}, "nodes[0]", "an object"),
        ({"name": "a", "nodes": [{"id": "b", "type": "t", "params": 7}]}, "nodes.b.params", "an object"),
    ],
)
def test_a_wrong_kind_of_value_is_told_in_plain_words(value: Any, path: str, words: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        read_document(value)
    assert [(where, expected) for where, _, expected in caught.value.problems] == [(path, words)]


def test_a_bare_truth_value_names_a_branch() -> None:
    document = read_document(read_text("{name: x, nodes: [{id: a, type: t}], edges: [{from: a, to: a, output: true}]}"))
    assert document.edges[0].output == "true"
    assert read_document(document.plain()) == document
