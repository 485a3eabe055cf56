"""Of many cases some for every day, the rest with the slow ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def some(cases: Iterable[Any], *, quick: int) -> list[Any]:
    """Parameters of a test: after the first few, the others are marked as slow. A tuple is several arguments."""
    found = list(cases)
    rest = (one if isinstance(one, tuple) else (one,) for one in found[quick:])
    return [*found[:quick], *(pytest.param(*one, marks=pytest.mark.slow) for one in rest)]
