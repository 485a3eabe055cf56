"""Params that are texts of a kind: a wrong one is found when a document is checked, not when it runs."""

from __future__ import annotations

from typing import Any

import pytest

from tickwork.graph.document import Document
from tickwork.graph.library import library
from tickwork.graph.problems import Problem
from tickwork.graph.wiring import check


def complaints(type: str, **params: Any) -> list[Problem]:
    node = {"id": "a", "type": type, "params": params}
    return check(Document.model_validate({"name": "mine", "nodes": [node]}), library(), None)


@pytest.mark.parametrize(
    ("type", "params", "name"),
    [
        ("wait", {"duration": "forever"}, "duration"),
        ("wait", {"duration": ""}, "duration"),
        ("gate", {"timeout": "soon"}, "timeout"),
        ("wait_for_event", {"event": "dip.found", "timeout": "5"}, "timeout"),
        ("wait_for_event", {"event": "dip.found", "where": "symbol =="}, "where"),
        ("sandbox", {"code": "1", "timeout": "0s"}, "timeout"),
        ("queue_for_execution", {"queue": "spaced name"}, "queue"),
        ("queue_for_execution", {"delay": "later"}, "delay"),
        ("emit_event", {"name": "dip.found", "delay": "later"}, "delay"),
        ("news_analysis", {"window": "0h"}, "window"),
        ("reserve_funds", {"amount": 5, "valid_for": "long"}, "valid_for"),
        ("get_bars", {"interval": "hourly"}, "interval"),
        ("volatility", {"year": "365"}, "year"),
        ("time_trigger", {"schedule": "25:00"}, "schedule"),
        ("time_trigger", {"interval": "x"}, "interval"),
        ("time_trigger", {"schedule": "9:30", "zone": "Mars"}, "zone"),
        ("time_trigger", {"schedule": "9:30", "tolerance": "0s"}, "tolerance"),
        ("subprocess", {"workflow": "mine"}, "workflow"),
    ],
)
def test_a_wrong_one_is_refused(type: str, params: dict[str, Any], name: str) -> None:
    (found,) = complaints(type, **params)
    assert found.severity == "error"
    assert (found.path, found.found) == (f"nodes.a.params.{name}", params[name])


@pytest.mark.parametrize(
    ("type", "params"),
    [
        ("wait", {"duration": "5 minutes"}),
        ("wait", {"duration": "{{event.pause}}"}),
        ("gate", {"timeout": ""}),
        ("wait_for_event", {"event": "dip.found", "where": "symbol == 'BTC/USD'"}),
        ("queue_for_execution", {"queue": "orders.new", "delay": "60s"}),
        ("time_trigger", {"schedule": "0 9 * * 1-5", "zone": "America/New_York"}),
        ("subprocess", {"workflow": "other"}),
        ("buy", {"symbol": "BTC/USD", "fraction": 0.1, "quantity": None}),
        ("buy", {"symbol": "BTC/USD", "fraction": 0.1, "quantity": "{{event.quantity}}"}),
    ],
)
def test_a_good_one_is_let_be(type: str, params: dict[str, Any]) -> None:
    assert complaints(type, **params) == []


@pytest.mark.parametrize("type", ["buy", "sell", "place_order"])
def test_an_order_has_one_size(type: str) -> None:
    (found,) = complaints(type, symbol="BTC/USD", fraction=0.1, quantity=1)
    assert (found.path, found.expected) == ("nodes.a.params", "one of quantity, notional, fraction")
