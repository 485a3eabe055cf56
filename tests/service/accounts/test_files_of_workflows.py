"""Workflows from files of Python: what is wrong with a file is told as one line of that file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tickwork.errors import InvalidInput
from tickwork.service.accounts.files_of_workflows import load

TRADING: Any = None
"""The files here look at nothing of it."""


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import nonexistent_library", "ModuleNotFoundError: No module named 'nonexistent_library' (in line 1)"),
        ("\nx = (", "SyntaxError: '(' was never closed (desk.py, line 2)"),
        ("def workflows(trading):\n    return 1 / 0\n", "ZeroDivisionError: division by zero (in line 2)"),
        ("def workflows():\n    return []\n", "TypeError: workflows() takes 0 positional arguments but 1 was given"),
    ],
)
def test_a_file_that_does_not_run(tmp_path: Path, code: str, told: str) -> None:
    path = tmp_path / "desk.py"
    path.write_text(code)
    with pytest.raises(InvalidInput) as raised:
        load(path, TRADING)
    assert (raised.value.path, raised.value.found) == (str(path), told)
    assert raised.value.__cause__ is not None, "the log has it whole"


def test_what_is_ours_says_it_itself(tmp_path: Path) -> None:
    path = tmp_path / "desk.py"
    path.write_text("from tickwork import Queue\ndef workflows(trading):\n    return [Queue('')]\n")
    with pytest.raises(InvalidInput, match=r"Queue|queue"):
        load(path, TRADING)
