"""Updates by path: what they reach, what they refuse, all or nothing."""

from __future__ import annotations

import json
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.graph.documents import STEPS, document, drawn
from tickwork.errors import InvalidDocument, InvalidInput
from tickwork.graph.declare import DECLARED, node, param
from tickwork.graph.document import Document
from tickwork.graph.library import Library
from tickwork.graph.versioning.diff import diff
from tickwork.graph.versioning.updates import apply_updates
from tickwork.graph.versioning.versions import checksum


def told(updates: dict[str, Any], given_one: Document | None = None) -> list[str]:
    """What a set of updates changes, in words."""
    old = given_one or document()
    return [str(change) for change in diff(old, apply_updates(old, updates))]


@pytest.mark.parametrize(
    ("updates", "changes"),
    [
        (
            {"steps[2].params.threshold": 0.9, "steps[3].params.risk_limit": 0.01},
            [
                "~ nodes.generate_signals.params.threshold: 0.7 -> 0.9",
                "~ nodes.execute_trades.params.risk_limit: 0.02 -> 0.01",
            ],
        ),
        ({"nodes[2].params.threshold": 0.9}, ["~ nodes.generate_signals.params.threshold: 0.7 -> 0.9"]),
        ({"nodes.generate_signals.params.threshold": 1}, ["~ nodes.generate_signals.params.threshold: 0.7 -> 1"]),
        ({"generate_signals.params.threshold": None}, ["- nodes.generate_signals.params = {\"threshold\": 0.7}"]),
        ({"analyze_news.params.symbols[1]": "TSLA"}, ['~ nodes.analyze_news.params.symbols[1]: "MSFT" -> "TSLA"']),
        ({"analyze_news.onError": "continue"}, ['+ nodes.analyze_news.onError = "continue"']),
        ({"analyze_news.on_error": "continue"}, ['+ nodes.analyze_news.onError = "continue"']),
        ({"analyze_news.params.model": "lexicon"}, ['+ nodes.analyze_news.params.model = "lexicon"']),
        ({'analyze_news.params["a.b"]': 1}, ['+ nodes.analyze_news.params["a.b"] = 1']),
        ({"triggers[1].threshold": "0.05"}, ['+ triggers[1].threshold = "0.05"']),
        ({"triggers[0].cron": "30 9 * * 1-5"}, ['~ triggers[0].cron: "0 9 * * 1-5" -> "30 9 * * 1-5"']),
        ({"triggers": []}, [f"- triggers = {json.dumps(STEPS['triggers'])}"]),
        ({"limits.timeout": "1 minute"}, ['~ limits.timeout: "5 minutes" -> "1 minute"']),
        ({"limits.rate_limit": {"limit": 1, "period": "1s"}}, ['+ limits.rateLimit = {"limit": 1, "period": "1s"}']),
        ({"priority": 9}, ["+ priority = 9"]),
        ({"metadata.team": "desk"}, ['+ metadata.team = "desk"']),
        ({"edges[0].label": "news"}, ['+ edges[analyze_news -> market_analysis].label = "news"']),
        ({"priority": 5}, []),
    ],
)  # fmt: skip
def test_what_paths_reach(updates: dict[str, Any], changes: list[str]) -> None:
    assert told(updates) == changes


def test_steps_count_as_the_list_did() -> None:
    """The order of the nodes is the graph's business; the steps keep theirs."""
    turned = document(nodes=list(reversed(document().plain()["nodes"])))
    assert told({"steps[2].params.threshold": 0.9}, turned) == ["~ nodes.generate_signals.params.threshold: 0.7 -> 0.9"]
    plain = document(metadata={}, nodes=list(reversed(document().plain()["nodes"])))
    assert told({"steps[0].params.risk_limit": 1}, plain) == ["~ nodes.execute_trades.params.risk_limit: 0.02 -> 1"]


def test_a_field_of_the_document_goes_before_a_node_of_its_name() -> None:
    nodes = [{"id": "limits", "type": "if", "params": {"test": "1 > 0"}}]
    given_one = document(nodes=nodes, edges=[], metadata={})
    assert told({"limits.timeout": "1s"}, given_one) == ['~ limits.timeout: "5 minutes" -> "1s"']
    assert told({"nodes.limits.timeout": "1s"}, given_one) == ['+ nodes.limits.timeout = "1s"']


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("steps[4].params.threshold", "steps[0] to steps[3]"),
        ("steps", "steps[0] to steps[3]"),
        ("nodes[9].params", "nodes[0] to nodes[3]"),
        ("nodes.generate_signal.params.threshold", "'generate_signals'"),
        ("generate_signal.params.threshold", "'generate_signals'"),
        ("steps[2].parms.threshold", "'params'"),
        ("steps[2].params.threshold.value", "nothing is inside it"),
        ("steps[2].params.deep.threshold", "one of threshold"),
        ("steps[0].params.symbols[2]", "symbols[0] to"),
        ("steps[0].params.symbols.first", "symbols[0] to"),
        ("triggers[2].threshold", "triggers[0] to triggers[1]"),
        ("limit.timeout", "'limits'"),
        ("limits.timout", "'timeout'"),
        ("steps[2]", "a field of it"),
        ("steps[2].retry.limit", "nothing is inside it"),
        ("", "a path such as"),
        (".priority", "a path such as"),
        ("[0]", "a path such as"),
        ("steps[x].params", "a path such as"),
        ("steps[-1].params", "a path such as"),
        ("priority.", "a path such as"),
    ],
)
def test_paths_that_lead_nowhere_name_the_nearest(path: str, expected: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        apply_updates(document(), {path: 1})
    assert len(caught.value.problems) == 1
    assert expected in str(caught.value)


@node("probe_of_updates", category="test", output="value")
def _probe(*, depth: Annotated[int, param("of the book")] = 10) -> int:
    """A node with one param."""
    return depth


def test_a_param_that_the_type_does_not_have() -> None:
    library = Library([DECLARED.pop("probe_of_updates")])
    given_one = document(nodes=[{"id": "check", "type": "probe_of_updates"}], edges=[], metadata={})
    assert checksum(apply_updates(given_one, {"check.params.depth": 5}, library)) != checksum(given_one)
    with pytest.raises(InvalidInput, match="'depth'"):
        apply_updates(given_one, {"check.params.deepth": 5}, library)
    assert told({"check.params.deepth": 5}, given_one) == ['+ nodes.check.params = {"deepth": 5}']


def test_all_problems_at_once_and_nothing_half_done() -> None:
    given_one = document()
    before = checksum(given_one)
    with pytest.raises(InvalidDocument) as caught:
        apply_updates(given_one, {"priority": 1, "steps[7].params.x": 1, "limits.timout": "1s", "edges[9].label": "x"})
    assert [path for path, _, _ in caught.value.problems] == ["steps[7].params.x", "limits.timout", "edges[9].label"]
    assert checksum(given_one) == before


def test_values_that_a_place_does_not_take() -> None:
    with pytest.raises(InvalidDocument) as caught:
        apply_updates(document(), {"priority": 11, "analyze_news.join": "some", "limits.concurrency": 0})
    assert {path for path, _, _ in caught.value.problems} == {
        "priority",
        "nodes.analyze_news.join",
        "limits.concurrency",
    }


@pytest.mark.parametrize(
    "updates",
    [
        {"steps[2].params.threshold": 1, "generate_signals.params.threshold": 2},
        {"steps[2].params": {}, "generate_signals.params.threshold": 2},
        {"limits.rate_limit": None, "limits.rateLimit": None},
    ],
)
def test_a_place_is_said_once(updates: dict[str, Any]) -> None:
    with pytest.raises(InvalidDocument, match="each place once"):
        apply_updates(document(), updates)


@pytest.mark.parametrize("updates", [{"name": "other"}, {"analyze_news.id": "other"}])
def test_names_stay(updates: dict[str, Any]) -> None:
    with pytest.raises(InvalidDocument, match="other"):
        apply_updates(document(), updates)


def test_values_are_copied() -> None:
    symbols = ["AAPL"]
    changed = apply_updates(document(), {"analyze_news.params.symbols": symbols})
    symbols.append("MSFT")
    assert changed.nodes[0].params["symbols"] == ["AAPL"]


@given(drawn, st.integers(0, 10))
def test_the_order_of_updates_says_nothing(given_one: Document, priority: int) -> None:
    updates = {"priority": priority, "description": "new", "metadata.x": 1, "limits.concurrency": 2}
    one = apply_updates(given_one, updates)
    other = apply_updates(given_one, dict(reversed(updates.items())))
    assert checksum(one) == checksum(other)
    assert checksum(apply_updates(one, updates)) == checksum(one)


@given(drawn)
def test_no_updates_change_nothing(given_one: Document) -> None:
    assert checksum(apply_updates(given_one, {})) == checksum(given_one)
