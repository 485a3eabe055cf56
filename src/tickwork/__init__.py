"""tickwork: automated trading that survives anything. Durable workflows, from backtest to live.

from tickwork import Engine, Event, Retry, Run, workflow
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tickwork.core.clock import Clock, VirtualClock
    from tickwork.core.event import Alert, Event
    from tickwork.core.flow import Batch, Concurrency, Debounce, Idempotency, RateLimit, Throttle
    from tickwork.core.letters import DeadLetterPolicy, Rule
    from tickwork.core.retry import Retry
    from tickwork.core.run import Run, Won
    from tickwork.core.saga import Saga
    from tickwork.core.trigger import Manual, Trigger, When
    from tickwork.core.view import View, view
    from tickwork.core.workflow import Workflow, workflow
    from tickwork.engines.embedded import Engine, Handle, Memory
    from tickwork.errors import (
        Cancelled,
        Fatal,
        ForeignAwait,
        InvalidInput,
        NewerEvent,
        NonDeterministic,
        NotSent,
        Refused,
        Rejected,
        Retryable,
        RunCancelled,
        Stale,
        StepFailed,
        TapeError,
        TickworkError,
        TimedOut,
        Unknown,
    )
    from tickwork.outcome import Found, NotFound

__all__ = [
    "Alert",
    "Batch",
    "Cancelled",
    "Clock",
    "Concurrency",
    "DeadLetterPolicy",
    "Debounce",
    "Engine",
    "Event",
    "Fatal",
    "ForeignAwait",
    "Found",
    "Handle",
    "Idempotency",
    "InvalidInput",
    "Manual",
    "Memory",
    "NewerEvent",
    "NonDeterministic",
    "NotFound",
    "NotSent",
    "RateLimit",
    "Refused",
    "Rejected",
    "Retry",
    "Retryable",
    "Rule",
    "Run",
    "RunCancelled",
    "Saga",
    "Stale",
    "StepFailed",
    "TapeError",
    "Throttle",
    "TickworkError",
    "TimedOut",
    "Trigger",
    "Unknown",
    "View",
    "VirtualClock",
    "When",
    "Won",
    "Workflow",
    "view",
    "workflow",
]

# Names are imported when they are first used: whoever only asks the command line for help does not load an engine.
_ROOMS = {
    "tickwork.core.clock": ("Clock", "VirtualClock"),
    "tickwork.core.event": ("Alert", "Event"),
    "tickwork.core.flow": ("Batch", "Concurrency", "Debounce", "Idempotency", "RateLimit", "Throttle"),
    "tickwork.core.letters": ("DeadLetterPolicy", "Rule"),
    "tickwork.core.retry": ("Retry",),
    "tickwork.core.run": ("Run", "Won"),
    "tickwork.core.saga": ("Saga",),
    "tickwork.core.trigger": ("Manual", "Trigger", "When"),
    "tickwork.core.view": ("View", "view"),
    "tickwork.core.workflow": ("Workflow", "workflow"),
    "tickwork.engines.embedded": ("Engine", "Handle", "Memory"),
    "tickwork.errors": (
        "Cancelled",
        "Fatal",
        "ForeignAwait",
        "InvalidInput",
        "NewerEvent",
        "NonDeterministic",
        "NotSent",
        "Refused",
        "Rejected",
        "Retryable",
        "RunCancelled",
        "Stale",
        "StepFailed",
        "TapeError",
        "TickworkError",
        "TimedOut",
        "Unknown",
    ),
    "tickwork.outcome": ("Found", "NotFound"),
}
_HOME = {name: module for module, names in _ROOMS.items() for name in names}

if not TYPE_CHECKING:

    def __getattr__(name):
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(_HOME[name]), name)
        return found

    def __dir__():
        return sorted({*globals(), *__all__})
