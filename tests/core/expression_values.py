"""Values that the tests of expressions read: tame ones, and hostile ones."""

from __future__ import annotations

import ast
import asyncio
import dataclasses
import operator
import os
import string
import sys
import types
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, ClassVar

import msgspec
import numpy as np
from pydantic import BaseModel

from tickwork.core.event import Event
from tickwork.core.language.operators import MAX_CHARACTERS, MAX_ITEMS
from tickwork.core.language.syntax import MAX_BITS


class Side(Enum):
    BUY = "buy"


class Level(msgspec.Struct, rename="camel"):
    best_price: Decimal = Decimal("100.5")
    _hidden: int = 1

    @property
    def secret(self) -> int:
        raise AssertionError("a property was read")

    def method(self) -> Iterator[int]:
        yield 1


@dataclasses.dataclass
class Position:
    entry_price: float = 2.5
    side: Side = Side.BUY
    known: ClassVar[int] = 1

    @property
    def secret(self) -> int:
        raise AssertionError("a property was read")


class Inner(BaseModel):
    deep_value: int = 3


class Spotted(Event, name="expressions/spotted"):
    symbol: str = "BTC/USDT"
    profit: Decimal = Decimal("0.02")
    inner: Inner = Inner()


class Foo:
    shown = 5

    def bar(self) -> Iterator[int]:
        yield 1

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was looked up")


SCOPE: dict[str, Any] = {
    "event": Spotted(),
    "fetch": {"levels": [{"price": 5, "qty": 2.5}, {"price": 6, "qty": 1}], "vcoinId": "abc", "note": None},
    "step-1": {"research_results": {"score": 0.7}, "sources": ["a", "b"]},
    "order": {"quantity": Decimal("0.50"), "price": Decimal("1E+3")},
    "level": Level(),
    "position": Position(),
    "empty": None,
    "n": 3,
    "name": "Bob",
    "flag": True,
    "key": "price",
    "at": datetime(2026, 1, 1, tzinfo=UTC),
    "side": Side.BUY,
}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def _function() -> None:
    raise AssertionError("called")


def hostile_scope() -> dict[str, Any]:
    circle: list[Any] = []
    circle.append(circle)
    deep, deeper = nested(5_000), nested(5_001)
    return {
        **SCOPE,
        "foo": Foo(), "fn": _function, "gen": Foo().bar(), "error": AttributeError("x", name="n", obj=os), "os": os,
        "sys": sys, "np": np, "arr": np.arange(3), "ast": ast, "operator": operator, "asyncio": asyncio,
        "attrgetter": operator.attrgetter("__class__"), "string": string, "items": [1, 2], "d": {"a": 1}, "f": 1.5,
        "inner": Inner(), "long": "x" * MAX_CHARACTERS, "many": [0] * MAX_ITEMS, "huge": 1 << MAX_BITS - 1,
        "decimal": Decimal("9E+999999"), "dunder": "__class__", "circle": circle, "deep": deep, "deeper": deeper,
        "functools": types.SimpleNamespace(reduce=1), "coro": types.SimpleNamespace(cr_frame=1), "x": 1, "a": 1,
    }  # fmt: skip
