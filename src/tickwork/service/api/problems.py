"""What went wrong, for programs: a stable code, the same over HTTP, MCP and the command line.

Over HTTP it is a problem of RFC 9457 (``application/problem+json``); ``code`` is what programs go by, ``status`` the
HTTP status, ``detail`` words for people, and the rest depends on the code.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tickwork import errors
from tickwork.errors import (
    BreakerOpen,
    Conflict,
    Expired,
    Forbidden,
    InvalidDocument,
    InvalidInput,
    LeaseExpired,
    NotFound,
    NotRunning,
    QueueFull,
    Refused,
    Rejected,
    Retryable,
    ServiceError,
    Stale,
    StepFailed,
    TapeError,
    TickworkError,
    TimedOut,
    Unknown,
)


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A problem, as it is told."""

    code: str
    status: int
    title: str
    detail: str
    more: dict[str, Any] = {}
    """Fields that belong to the code: ``path``, ``found``, ``expected``; ``kind``, ``id``; ``rule``, ``limit`` ..."""

    def told(self) -> dict[str, Any]:
        """All of it, as one JSON object."""
        known = {"code": self.code, "status": self.status, "title": self.title, "detail": self.detail}
        return {"type": f"urn:tickwork:problem:{self.code}", **known, **self.more}


TITLES: Final[dict[str, tuple[int, str]]] = {
    "invalid-input": (422, "What was given cannot be used"),
    "invalid-document": (422, "The document has problems"),
    "not-found": (404, "There is nothing of that name or id"),
    "conflict": (409, "Its state does not allow that"),
    "version-conflict": (412, "It was changed in the meantime"),
    "key-reused": (422, "This idempotency key was used for something else"),
    "unauthenticated": (401, "Nobody knows who asks"),
    "forbidden": (403, "Whoever asks has no right to it"),
    "refused": (409, "The risk gate refused"),
    "rejected": (502, "The venue said no"),
    "unknown": (504, "Nobody knows whether it was done: look, never send it again blindly"),
    "lease-expired": (410, "The right to work on the message is gone"),
    "expired": (410, "It was not done in time"),
    "stale": (503, "What is known is too old to go by"),
    "queue-full": (503, "The queue has no room"),
    "breaker-open": (503, "What it depends on is resting"),
    "not-running": (503, "No process runs that could do it"),
    "try-again": (503, "A passing fault"),
    "timed-out": (504, "It took too long"),
    "tape-error": (503, "The tape cannot be used"),
    "bad-request": (400, "The request cannot be read"),
    "not-acceptable": (406, "None of the forms that are asked for"),
    "method-not-allowed": (405, "This cannot be done to it"),
    "unsupported-media-type": (415, "The body is of another form"),
    "request-timeout": (408, "The request did not come in time"),
    "too-large": (413, "There is too much of it"),
    "too-many-requests": (429, "Too much at once"),
    "cross-site": (403, "Asked from another site"),
    "wrong-host": (421, "Asked under another name"),
    "failed": (500, "It failed"),
    "internal": (500, "A mistake in tickwork"),
}
"""Codes with their HTTP status and title."""

_SERVICE: Final = {
    "WORKFLOW_NOT_FOUND": (404, "There is no such workflow"),
    "EXECUTION_NOT_FOUND": (404, "There is no such execution"),
    "INVALID_INPUT_DATA": (422, "What was given cannot be used"),
    "INSUFFICIENT_CREDITS": (402, "There is not enough left for it"),
    "AGENT_UNAVAILABLE": (503, "No agent can take it"),
    "QUEUE_FULL": (503, "There is no room for more"),
    "EXECUTION_TIMEOUT": (504, "It goes on, and has not ended yet"),
}
"""Codes of the step lists' programs, which keep them, with their HTTP status and title."""


def problem(code: str, detail: str, **more: Any) -> Problem:
    """A problem of a known code."""
    status, title = TITLES[code]
    return Problem(code=code, status=status, title=title, detail=detail, more=more)


def problem_of(error: BaseException) -> Problem | None:
    """What an error is for programs; ``None``: nobody raised it on purpose."""
    if isinstance(error, StepFailed) and error.type.startswith(f"{errors.__name__}:"):
        # one of ours whose fields did not survive the way from the owner of the tape: the words did
        known = getattr(errors, error.type.partition(":")[2], None)
        code = next((code for kind, code in _PLAIN if isinstance(known, type) and issubclass(known, kind)), "failed")
        return problem(code, str(error.args[1]))
    if isinstance(error, ServiceError):
        status, title = _SERVICE.get(error.code, TITLES["failed"])
        more = {key: value for key, value in error.details.items() if key not in ("code", "status", "detail", "title")}
        return Problem(code=error.code, status=status, title=title, detail=str(error.args[1]), more=more)
    told = _fields(error)
    if told is not None:
        return told
    return next((problem(code, str(error)) for kind, code in _PLAIN if isinstance(error, kind)), None)


def _fields(error: BaseException) -> Problem | None:
    """Of those whose fields say more than their words."""
    if isinstance(error, VersionConflict):
        return problem("version-conflict", str(error), asked=error.args[1], current=error.args[2])
    if isinstance(error, KeyReused):
        return problem("key-reused", str(error), key=error.found)
    if isinstance(error, NotFound):
        return problem("not-found", str(error), kind=error.path, id=error.found)
    if isinstance(error, Conflict):
        return problem("conflict", str(error), kind=error.path, found=error.found, expected=error.expected)
    if isinstance(error, InvalidDocument):
        rows = [{"path": path, "found": found, "expected": expected} for path, found, expected in error.problems]
        return problem("invalid-document", str(error), problems=rows)
    if isinstance(error, InvalidInput):
        return problem("invalid-input", str(error), path=error.path, found=error.found, expected=error.expected)
    if isinstance(error, Refused):
        rule, limit, actual, *_ = error.args
        return problem("refused", str(error), rule=rule, limit=limit, actual=actual, scope=error.scope)
    if isinstance(error, BreakerOpen):
        return problem("breaker-open", str(error), breaker=error.breaker)
    return problem("forbidden", str(error), needs=error.needs) if isinstance(error, Forbidden) else None


class NotServed(NotRunning):
    """The process that owns the tape has no part that could do what was asked; nothing was done.

    Args:
        part: what it lacks, such as ``workflow documents``.
    """

    def __str__(self) -> str:
        return f"the process that owns this tape serves no {self.args[0]}: start it with `tickwork up`"


class VersionConflict(Conflict):
    """A document was changed since the version that the caller knows.

    Args:
        document: its name or id.
        asked: the version that the caller knows.
        current: the one that there is.
    """

    def __init__(self, document: str, asked: object, current: object) -> None:
        super(InvalidInput, self).__init__(document, asked, current)

    @property
    def found(self) -> Any:
        """The version that there is."""
        return self.args[2]

    @property
    def expected(self) -> str:
        """In words."""
        return f"version {self.args[1]}, which you know"

    def __str__(self) -> str:
        document, asked, current = self.args
        return f"{document} is at version {current}, not at {asked}: read it again and make your change to that"


class KeyReused(InvalidInput):
    """An idempotency key that was used for another call."""


class Unauthenticated(TickworkError):
    """Nobody knows who asks: no token, an unknown one, or one that is over.

    Args:
        why: in words.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)


_PLAIN: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (NotFound, "not-found"),
    (Conflict, "conflict"),
    (InvalidDocument, "invalid-document"),
    (InvalidInput, "invalid-input"),
    (Refused, "refused"),
    (Rejected, "rejected"),
    (Forbidden, "forbidden"),
    (Unauthenticated, "unauthenticated"),
    (LeaseExpired, "lease-expired"),
    (Expired, "expired"),
    (Stale, "stale"),
    (QueueFull, "queue-full"),
    (BreakerOpen, "breaker-open"),
    (NotRunning, "not-running"),
    (Retryable, "try-again"),
    (Unknown, "unknown"),
    (TimedOut, "timed-out"),
    (TapeError, "tape-error"),
    (TickworkError, "failed"),
)
