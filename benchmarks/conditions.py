"""Conditions: what it costs to compile one and to ask it, beside simpleeval and, as the limit, a lambda of Python."""

from __future__ import annotations

import timeit
from collections.abc import Callable
from functools import partial
from typing import Any

from simpleeval import EvalWithCompoundTypes

from benchmarks.figures import Figure, Goal, at_most, under_peer
from benchmarks.setting import Setting
from tickwork.core.conditions import compile_condition
from tickwork.core.expressions import compiled

SCOPE: dict[str, Any] = {
    "opportunity": {"profit": 0.02, "spread": 0.004, "venue": "kraken"},
    "category": "urgent",
    "circuit_status": "closed",
    "attempt": 2,
}

CONDITIONS = {
    "path": "opportunity.profit > 0.01",
    "text": "category == 'urgent'",
    "several": "opportunity.profit - opportunity.spread > 0.01 and circuit_status == 'closed' and attempt < 5",
}
"""By the name of their figures."""

LIMIT: dict[str, Callable[[dict[str, Any]], bool]] = {
    "path": lambda s: s["opportunity"]["profit"] > 0.01,
    "text": lambda s: s["category"] == "urgent",
    "several": lambda s: (
        s["opportunity"]["profit"] - s["opportunity"]["spread"] > 0.01
        and s["circuit_status"] == "closed"
        and s["attempt"] < 5
    ),
}
"""The same, written in Python: no missing name is told of, and nothing is checked."""


def measure(setting: Setting) -> None:
    """Microseconds each."""
    loops = setting.pick(20_000, 1_000)
    theirs: Any = EvalWithCompoundTypes(names=SCOPE)
    for name, text in CONDITIONS.items():
        condition = compile_condition(text)
        tree = theirs.parse(text)
        assert condition(SCOPE) is bool(LIMIT[name](SCOPE)) is bool(theirs.eval(text))

        def add(what: str, ours: float, peer: str, their: float, goal: Goal | None, name: str = name) -> None:
            setting.add(Figure(f"condition-{what}-{name}", ours, "us", peer, their, goal))

        # the cache is left out: what is measured is the first time
        first = _each(partial(compiled, text, "condition"), loops // 20)
        add("compile", first, "simpleeval's parse", _each(partial(theirs.parse, text), loops // 20), None)
        ask = _each(partial(condition, SCOPE), loops)
        goal = at_most(0.5) if name == "path" else None
        add("ask", ask, "a Python lambda", _each(partial(LIMIT[name], SCOPE), loops), goal)
        if setting.peers:
            again = _each(partial(theirs.eval, text), loops // 20)
            add("ask-unparsed", ask, "simpleeval", again, under_peer(0.1))
            parsed = _each(partial(theirs.eval, text, previously_parsed=tree), loops // 10)
            add("ask-parsed", ask, "simpleeval, parsed before", parsed, under_peer(0.35))


def _each(call: Callable[[], object], loops: int) -> float:
    return min(timeit.repeat(call, number=loops, repeat=7)) / loops * 1e6
