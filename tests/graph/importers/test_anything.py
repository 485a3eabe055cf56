"""Whatever is given: a document, or complaints about it; never anything else."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.graph.importers.kit import DATA, LIBRARY, data
from tests.graph.importers.test_graphs import LINKS, SPREAD
from tickwork.errors import InvalidInput
from tickwork.graph.exporters import as_react
from tickwork.graph.importers import FORMATS, import_document
from tickwork.graph.reading import read_document

GRAPH: dict[str, Any] = {
    "name": "s",
    "nodes": [
        {"id": "p", "type": "venue_price", "category": "source", "config": {"symbol": "BTC/USDT"}},
        {"id": "ask", "type": "human", "category": "gate"},
    ],
    "connections": [{"from": {"node_id": "p", "output_index": 0}, "to": {"node_id": "ask", "input_index": 0}}],
    "config": {"execution_mode": "polling", "poll_interval_seconds": 60},
}
ROUTED: dict[str, Any] = {
    "name": "r",
    "steps": [
        {"id": 1, "name": "a b", "type": "classify", "parallel": True, "timeout": 3, "retry_attempts": 1},
        {"name": "g", "type": "parallel_group", "steps": ["notify", {"name": "n", "action": "alert_user"}]},
        {"name": "c", "type": "conditional", "conditions": [{"if": "category == 'x'", "then": "m", "else": ["sell"]}]},
        {"name": "m", "type": "circuit_breaker", "params": {"failure_threshold": 3}, "depends_on": ["a b"]},
        {"name": "z", "type": "notify", "condition": "{{1.category}} == 'x'", "compensate": {"type": "notify"}},
    ],
    "triggers": ["schedule:0 2 * * *", {"type": "webhook"}, "push_to_main"],
}
STARTS = [
    *(data(path.stem) for path in sorted(DATA.glob("*.json"))),
    {"name": "b", "blocks": [dict(one) for one in SPREAD], "connections": list(LINKS), "config": {"dry_run": True}},
    GRAPH,
    ROUTED,
    {"name": "n", "nodes": [
        {"id": "f", "type": "venue_price", "inputs": {"symbol": "X"}, "retry": {"max_attempts": 2, "delay": 1}},
        {"id": "q", "type": "if", "condition": "f.price > 1", "true_branch": "t", "depends_on": ["f"]},
        {"id": "t", "type": "notify", "timeout": 3}], "edges": [{"source": "q", "target": "t", "condition": True}]},
    {"name": "l", "blocks": [{"id": "a", "type": "venue_price"}, {"type": "threshold"}, {"id": "c", "type": "if"}],
     "connections": [{"from": "a", "to": 1}, {"source": 1, "target": {"block": "c"}, "sourcePort": "pass"}]},
    {"name": "d", "nodes": [
        {"id": "1", "type": "custom", "data": {"type": "venue_price", "label": "P", "params": {"symbol": "X"}}},
        {"id": "2", "type": "threshold"}], "edges": [{"source": "1", "target": "2", "sourceHandle": None}]},
    {"name": "s", "steps": [
        {"id": "p", "parallel": ["notify", {"id": "b", "type": "notify", "circuit_breaker": {"reset_timeout": 3}}]},
        {"id": "c", "type": "if", "condition": "1 > 0", "if_true": {"id": "x", "type": "sell"}, "retry": 2}]},
    as_react(read_document({"name": "x", "nodes": [{"id": "a", "type": "notify", "when": "1 > 0"}]}), LIBRARY),
]  # fmt: skip
odd = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 12) | st.floats(allow_nan=True) | st.text(max_size=6)
    | st.sampled_from(["notify", "conditional", "if", "a b", "c", "{{1.x}}", "p", "only_if_true", "binance", "gate"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(
        st.sampled_from(["id", "name", "type", "params", "steps", "index", "blockId", "then", "condition", "x"]), inner,
        max_size=3,
    ),
    max_leaves=4,
)  # fmt: skip


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container and key below a value."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    found = [(value, key) for key in keys]
    return found + [one for key in keys for one in places(value[key])]


@settings(max_examples=150)
@given(st.data())
def test_a_document_with_odd_things_in_it(draw: st.DataObject) -> None:
    value = deepcopy(draw.draw(st.sampled_from(STARTS)))
    for _ in range(draw.draw(st.integers(1, 3))):
        left = places(value)
        if not left:
            break
        holder, key = draw.draw(st.sampled_from(left))
        if isinstance(holder, dict) and draw.draw(st.integers(0, 3)) == 0:
            holder.pop(key)
        else:
            holder[key] = draw.draw(odd)
    format_ = draw.draw(st.sampled_from(["auto", "auto", *FORMATS]))
    try:
        found = import_document(value, name="w", format=format_, library=LIBRARY)
    except InvalidInput as error:
        assert str(error)
    else:
        assert read_document(found.document.plain()) == found.document


@given(odd)
def test_anything_at_all(value: Any) -> None:
    try:
        import_document(value, name="w", library=LIBRARY)
    except InvalidInput as error:
        assert str(error)
