"""A small node library of known ports, so that what importers do does not depend on what ours happens to hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from tickwork.graph.declare import NodeType, Param, Port
from tickwork.graph.importers import Imported, import_document
from tickwork.graph.library import Library

DATA: Final = Path(__file__).parent / "data"


def _nothing() -> None:
    """Nothing."""


def made(
    name: str,
    inputs: str = "",
    params: str = "",
    outputs: str = "",
    *,
    category: str = "test",
    branches: tuple[str, ...] = (),
    aliases: tuple[str, ...] = (),
) -> NodeType:
    """A node type: ports and params by name. ``x?``: may be missing; ``x*``: many; ``x=fraction``: its unit;
    ``x!``: an expression; an output ``x:bool`` is true or false."""
    ports = {}
    for one in inputs.split():
        bare = one.rstrip("?*")
        ports[bare] = Port(bare, Any, many=one.endswith("*"))
        if one.endswith("?"):
            ports[bare] = Port(bare, Any, default=None)
    settings = {}
    for one in params.split():
        bare, _, unit = one.rstrip("!").partition("=")
        expression = "test" if one.endswith("!") else ""
        settings[bare] = Param(bare, TypeAdapter(Any), "of the test", unit, expression, None)  # type: ignore[arg-type]
    giving = {}
    for one in outputs.split():
        bare, _, kind = one.partition(":")
        giving[bare] = Port(bare, bool if kind == "bool" else Any)
    return NodeType(
        name=name, category=category, help="of the test", fn=_nothing, kind="step", inputs=ports, params=settings,
        outputs=giving, needs=(), context="", output="", open=False, branches=branches, aliases=aliases, undo="",
        lookup=None, check=None, more_branches=None,
    )  # fmt: skip


LIBRARY: Final = Library(
    [
        made("news_analysis", params="symbols", outputs="sentiment"),
        made("technical_analysis", params="indicators symbols", outputs="rsi macd"),
        made("signal_generation", "sentiment? rsi?", "threshold", "signal confidence"),
        made("trade_execution", "signal? confidence?", "risk_limit symbol", "order_id status", aliases=("trade",)),
        made("classify", params="categories", outputs="category"),
        made(
            "circuit_breaker", params="name failure_threshold timeout_duration reset_timeout", outputs="circuit_status"
        ),
        made("subprocess", "input?", "workflow_id", "result"),
        made("agent", "input?", "agent_type task", "result"),
        made("immediate_hedge", "category?", outputs="order_id"),
        made("alert_user", "category?", "message", outputs="sent:bool"),
        made("queue_for_execution", "rsi? category?", outputs="queued:bool"),
        made("reserve_funds", "amount?", outputs="reservation"),
        made("release_funds", "reservation?"),
        made("place_order", "signal? opportunity?", "symbol side quantity provider", "order"),
        made("cancel_order", "order?", "provider", "done:bool"),
        made("update_portfolio"),
        made("revert_portfolio"),
        made("send_notification", params="message"),
        made("send_failure_alert", params="message"),
        made("get_orderbook", params="provider pair depth", outputs="orderbook bids asks"),
        made("detect_arbitrage", "orderbook*", "min_spread", "opportunity"),
        made("calculate_spread", "orderbook?", outputs="spread spread_pct profitable:bool"),
        made("check_threshold", "value", "threshold", "pass:bool"),
        made("if", params="test!", outputs="branch result", branches=("true", "false")),
        made("switch", "value", "cases", "branch", branches=("case1", "case2", "case3", "default")),
        made("notify", "signal?", "message", "sent:bool"),
        made("provider", params="provider symbol enabled_endpoints", outputs="price_feed balance positions orderbook"),
        made("price_cross", "price", "threshold", "signal:bool"),
        made("time_trigger", params="schedule timezone", outputs="signal:bool"),
        made("manual_trigger", outputs="trigger"),
        made("event_listener", params="event_type", outputs="event"),
        made("webhook", params="url", outputs="data"),
        made("threshold", "value min? max?", outputs="pass:bool"),
        made("compare", "value1 value2", "operator", "result:bool"),
        made("and", "input1 input2", outputs="output:bool"),
        made("math", "value1 value2?", "operation", "result"),
        made("buy", "signal amount?", outputs="order"),
        made("sell", "signal? amount?", outputs="order"),
        made("stop_loss", "price", "percentage=fraction", "trigger:bool"),
        made("take_profit", "price", "percentage=percent", "trigger:bool"),
        made("approval", params="question", branches=("approved", "refused"), outputs="branch"),
        made("execute_action", "opportunity?", outputs="order"),
        made("venue_price", params="provider symbol", outputs="price"),
        made("gpu_profitability", "rate", outputs="profit profitable:bool"),
        made("gpu_list_action", "profit?", outputs="listed"),
    ]
)


def data(name: str) -> dict[str, Any]:
    """A system's own document."""
    found: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text())
    return found


def read(value: Any, *, name: str = "", format: str = "auto") -> Imported:
    """Import with the library of the tests."""
    return import_document(value, name=name, format=format, library=LIBRARY)


def edges(found: Imported) -> set[tuple[str, ...]]:
    """Edges as short tuples: from, to, and what else they say."""
    return {
        (one.from_, one.to, *(text for text in (one.output, one.input) if text), *(("after",) if one.after else ()))
        for one in found.document.edges
    }
