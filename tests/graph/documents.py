"""Documents that these tests share, and strategies that make some."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tickwork.graph.document import Document

STEPS: dict[str, Any] = {
    "name": "alpaca-trading-workflow",
    "description": "Automated trading workflow with news analysis",
    "triggers": [{"type": "schedule", "cron": "0 9 * * 1-5"}, {"type": "price_change", "symbol": "AAPL"}],
    "nodes": [
        {"id": "analyze_news", "type": "news_analysis", "params": {"symbols": ["AAPL", "MSFT"]}},
        {"id": "market_analysis", "type": "technical_analysis", "params": {"indicators": ["RSI", "MACD"]}},
        {"id": "generate_signals", "type": "signal_generation", "params": {"threshold": 0.7}},
        {"id": "execute_trades", "type": "trade_execution", "params": {"risk_limit": 0.02}},
    ],
    "edges": [
        {"from": "analyze_news", "to": "market_analysis"},
        {"from": "market_analysis", "to": "generate_signals"},
        {"from": "generate_signals", "to": "execute_trades", "label": "signal"},
    ],
    "limits": {"timeout": "5 minutes"},
    "metadata": {"steps": ["analyze_news", "market_analysis", "generate_signals", "execute_trades"]},
}


def document(**changes: Any) -> Document:
    """The news trader's document, with other fields where some are given."""
    return Document.model_validate({**STEPS, **changes})


_IDS = ("a", "b", "c", "d-1", "limits")
_leaves = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, -0.0, 1.0, 0.5]) | st.sampled_from("xy")
)
_values = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["p", "q", "a.b"]), inner, max_size=3),
    max_leaves=5,
)
_params = st.dictionaries(st.sampled_from(["x", "y", "z z"]), _values, max_size=3)
_times = st.sampled_from([None, "1s", "2s"])


def _node(id: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"id": st.just(id), "type": st.sampled_from(["if", "math"]), "params": _params, "timeout": _times},
        optional={"undo": st.fixed_dictionaries({"type": st.just("sell"), "params": _params})},
    )


@st.composite
def _wholes(draw: st.DrawFn) -> Document:
    ids = draw(st.lists(st.sampled_from(_IDS), unique=True, max_size=4))
    ends = st.sampled_from(ids) if ids else st.nothing()
    edge = st.fixed_dictionaries(
        {"from": ends, "to": ends}, optional={"output": st.just("true"), "label": st.sampled_from("lm")}
    )
    trigger = st.fixed_dictionaries(
        {"type": st.sampled_from(["manual", "webhook"])}, optional={"name": st.just("hook")}
    )
    return Document.model_validate(
        {
            "name": "drawn",
            "description": draw(st.sampled_from(["", "other"])),
            "nodes": [draw(_node(id)) for id in ids],
            "edges": draw(st.lists(edge, max_size=4)) if ids else [],
            "triggers": draw(st.lists(trigger, max_size=2)),
            "limits": {"timeout": draw(_times)},
            "priority": draw(st.integers(4, 6)),
            "metadata": draw(_params),
        }
    )


drawn = _wholes()
"""Documents that are read, whatever they mean; two of them often differ in little."""
