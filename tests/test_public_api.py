"""``from tickwork import ...``: names are imported late, so three lists must say the same."""

from __future__ import annotations

import ast
from pathlib import Path

import tickwork


def test_every_public_name_is_there() -> None:
    for name in tickwork.__all__:
        assert getattr(tickwork, name) is not None


def test_what_types_see_is_what_runs() -> None:
    tree = ast.parse(Path(tickwork.__file__).read_text())
    seen = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("tickwork.")
        for alias in node.names
    }
    assert seen == tickwork._HOME
    assert sorted(seen) == sorted(tickwork.__all__)
