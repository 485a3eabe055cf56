"""Workflows from files of Python: a file says ``def workflows(trading): return [...]``.

In the list are functions decorated with ``@workflow``, and queues that others work on, or that workflows only send to.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from traceback import extract_tb
from typing import TypeVar

from tickwork.core.queue import Queue
from tickwork.core.workflow import Workflow
from tickwork.errors import InvalidInput, TickworkError
from tickwork.service.accounts.trading import Trading

MAKER = "workflows"
_T = TypeVar("_T")
_R = TypeVar("_R")


def load(path: Path, trading: Trading) -> tuple[list[Workflow], list[Queue]]:
    """What a file's ``workflows(trading)`` gives. The file is run as a module of its own.

    Raises:
        InvalidInput: no such file, it cannot be run, no such function in it, or something else in its list.
        TickworkError: what the file itself makes of ours cannot be.
    """
    if not path.is_file():
        raise InvalidInput("workflows", str(path.absolute()), "a file of Python")
    # functions of steps are found again by module and name: the name must be the same in every process
    name = f"tickwork_workflows_{path.stem}_{blake2b(str(path.resolve()).encode(), digest_size=4).hexdigest()}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InvalidInput("workflows", str(path), "a file of Python, whose name ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    _tried(path, spec.loader.exec_module, module)
    make = getattr(module, MAKER, None)
    if not callable(make):
        raise InvalidInput(f"{path}", "no function `workflows`", "def workflows(trading): return [...]")
    found = _tried(path, make, trading)
    if not isinstance(found, Sequence) or not all(isinstance(one, Workflow | Queue) for one in found):
        expected = "a list of functions decorated with @workflow, and of queues"
        raise InvalidInput(f"{path}:workflows", type(found).__name__, expected)
    return [one for one in found if isinstance(one, Workflow)], [one for one in found if isinstance(one, Queue)]


def _tried(path: Path, call: Callable[[_T], _R], argument: _T) -> _R:
    """Run somebody's own code: whoever wrote it wants its line, not those of ours that led to it."""
    try:
        return call(argument)
    except TickworkError:
        raise
    except Exception as error:
        found = f"{type(error).__name__}: {error}{_line(path, error)}"
        raise InvalidInput(str(path), found, "a file of Python that runs") from error


def _line(path: Path, error: Exception) -> str:
    """Where in the file that was, as far as it is known."""
    inside = [frame.lineno for frame in extract_tb(error.__traceback__) if Path(frame.filename) == path.absolute()]
    return f" (in line {inside[-1]})" if inside and inside[-1] else ""
