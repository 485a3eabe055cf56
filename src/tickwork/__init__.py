"""tickwork: automated trading that survives anything. Durable workflows, from backtest to live.

from tickwork import Engine, Event, Retry, Run, workflow
"""

from tickwork.core.clock import Clock, VirtualClock
from tickwork.core.event import Alert, Event
from tickwork.core.retry import Retry
from tickwork.core.run import Run, Won
from tickwork.core.saga import Saga
from tickwork.core.view import View, view
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded import Engine, Handle, Memory
from tickwork.errors import (
    Cancelled,
    Fatal,
    ForeignAwait,
    InvalidInput,
    NonDeterministic,
    NotSent,
    Refused,
    Rejected,
    Retryable,
    RunCancelled,
    StepFailed,
    TapeError,
    TickworkError,
    TimedOut,
    Unknown,
)
from tickwork.outcome import Found, NotFound

__all__ = [
    "Alert",
    "Cancelled",
    "Clock",
    "Engine",
    "Event",
    "Fatal",
    "ForeignAwait",
    "Found",
    "Handle",
    "InvalidInput",
    "Memory",
    "NonDeterministic",
    "NotFound",
    "NotSent",
    "Refused",
    "Rejected",
    "Retry",
    "Retryable",
    "Run",
    "RunCancelled",
    "Saga",
    "StepFailed",
    "TapeError",
    "TickworkError",
    "TimedOut",
    "Unknown",
    "View",
    "VirtualClock",
    "Won",
    "Workflow",
    "view",
    "workflow",
]
