"""Errors by code: what programs that speak the step lists' language go by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from tickwork.core.letters import error_code
from tickwork.errors import InvalidDocument, InvalidInput, QueueFull, ServiceError, TimedOut
from tickwork.graph.versioning.versions import Outdated

WORKFLOW_NOT_FOUND: Final = "WORKFLOW_NOT_FOUND"
EXECUTION_NOT_FOUND: Final = "EXECUTION_NOT_FOUND"
INVALID_INPUT_DATA: Final = "INVALID_INPUT_DATA"
EXECUTION_TIMEOUT: Final = "EXECUTION_TIMEOUT"
QUEUE_FULL: Final = "QUEUE_FULL"
AGENT_UNAVAILABLE: Final = "AGENT_UNAVAILABLE"
INSUFFICIENT_CREDITS: Final = "INSUFFICIENT_CREDITS"

CODES: Final = (
    WORKFLOW_NOT_FOUND, EXECUTION_NOT_FOUND, INVALID_INPUT_DATA, EXECUTION_TIMEOUT, QUEUE_FULL, AGENT_UNAVAILABLE,
    INSUFFICIENT_CREDITS,
)  # fmt: skip


@contextmanager
def coded() -> Iterator[None]:
    """Wrong input and full queues as ``ServiceError``: all problems of a document are in its details."""
    try:
        yield
    except Outdated as error:
        details = {"problems": _problems(error), "version": error.current}
        raise ServiceError(INVALID_INPUT_DATA, str(error), details) from None
    except InvalidInput as error:
        raise ServiceError(INVALID_INPUT_DATA, str(error), {"problems": _problems(error)}) from None
    except QueueFull as error:
        raise ServiceError(QUEUE_FULL, str(error), {"queue": error.queue, "capacity": error.capacity}) from None


def _problems(error: InvalidInput) -> list[dict[str, Any]]:
    told = error.problems if isinstance(error, InvalidDocument) else [(error.path, error.found, error.expected)]
    return [{"path": one[0], "found": one[1], "expected": one[2]} for one in told]


def invalid(path: str, found: object, expected: str) -> ServiceError:
    """``INVALID_INPUT_DATA`` about one field."""
    error = InvalidInput(path, found, expected)
    return ServiceError(INVALID_INPUT_DATA, str(error), {"problems": _problems(error)})


def code_of(error: BaseException) -> str:
    """The code of what an execution died of; empty where there is none for it."""
    if isinstance(error, ServiceError):
        return error.code
    if isinstance(error, TimedOut):
        return EXECUTION_TIMEOUT
    if isinstance(error, InvalidInput):
        return INVALID_INPUT_DATA
    return error_code(error)
