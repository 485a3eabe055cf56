"""tickwork: automated trading that survives anything. Durable workflows, from backtest to live.

from tickwork import Engine, Event, Retry, Run, workflow
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tickwork.core.backoff import anchored_backoff, backoff, with_retry
    from tickwork.core.breaker import Breaker, BreakerClosed, BreakerOpened
    from tickwork.core.clock import Clock, VirtualClock
    from tickwork.core.event import Alert, Event
    from tickwork.core.flow import Batch, Concurrency, Debounce, Idempotency, RateLimit, Throttle
    from tickwork.core.letters import DeadLetterPolicy, Rule
    from tickwork.core.queue import Queue
    from tickwork.core.retry import Retry
    from tickwork.core.run import Run, Won
    from tickwork.core.saga import Saga
    from tickwork.core.schedule import Schedule, ScheduleFired
    from tickwork.core.trigger import Manual, Trigger, When
    from tickwork.core.view import View, view
    from tickwork.core.webhook import Webhook, WebhookReceived
    from tickwork.core.workflow import Workflow, workflow
    from tickwork.engines.embedded import Engine, Handle, Memory
    from tickwork.errors import (
        BreakerOpen,
        Cancelled,
        Fatal,
        ForeignAwait,
        InvalidInput,
        LeaseExpired,
        NewerEvent,
        NonDeterministic,
        NotSent,
        QueueFull,
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
    from tickwork.market.sessions import MarketClose, MarketOpen, Sessions
    from tickwork.market.triggers import BreakingNews, NewsSentiment, PriceChange, PriceCross, Volatility, VolumeSpike
    from tickwork.notify.events import Notify
    from tickwork.outcome import Found, NotFound

__all__ = [
    "Alert",
    "Batch",
    "Breaker",
    "BreakerClosed",
    "BreakerOpen",
    "BreakerOpened",
    "BreakingNews",
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
    "LeaseExpired",
    "Manual",
    "MarketClose",
    "MarketOpen",
    "Memory",
    "NewerEvent",
    "NewsSentiment",
    "NonDeterministic",
    "NotFound",
    "NotSent",
    "Notify",
    "PriceChange",
    "PriceCross",
    "Queue",
    "QueueFull",
    "RateLimit",
    "Refused",
    "Rejected",
    "Retry",
    "Retryable",
    "Rule",
    "Run",
    "RunCancelled",
    "Saga",
    "Schedule",
    "ScheduleFired",
    "Sessions",
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
    "Volatility",
    "VolumeSpike",
    "Webhook",
    "WebhookReceived",
    "When",
    "Won",
    "Workflow",
    "anchored_backoff",
    "backoff",
    "view",
    "with_retry",
    "workflow",
]

# Names are imported when they are first used: whoever only asks the command line for help does not load an engine.
_ROOMS = {
    "tickwork.core.backoff": (
        "anchored_backoff",
        "backoff",
        "with_retry",
    ),
    "tickwork.core.breaker": (
        "Breaker",
        "BreakerClosed",
        "BreakerOpened",
    ),
    "tickwork.core.clock": (
        "Clock",
        "VirtualClock",
    ),
    "tickwork.core.event": (
        "Alert",
        "Event",
    ),
    "tickwork.core.flow": (
        "Batch",
        "Concurrency",
        "Debounce",
        "Idempotency",
        "RateLimit",
        "Throttle",
    ),
    "tickwork.core.letters": (
        "DeadLetterPolicy",
        "Rule",
    ),
    "tickwork.core.queue": ("Queue",),
    "tickwork.core.retry": ("Retry",),
    "tickwork.core.run": (
        "Run",
        "Won",
    ),
    "tickwork.core.saga": ("Saga",),
    "tickwork.core.schedule": (
        "Schedule",
        "ScheduleFired",
    ),
    "tickwork.core.trigger": (
        "Manual",
        "Trigger",
        "When",
    ),
    "tickwork.core.view": (
        "View",
        "view",
    ),
    "tickwork.core.webhook": (
        "Webhook",
        "WebhookReceived",
    ),
    "tickwork.core.workflow": (
        "Workflow",
        "workflow",
    ),
    "tickwork.engines.embedded": (
        "Engine",
        "Handle",
        "Memory",
    ),
    "tickwork.errors": (
        "BreakerOpen",
        "Cancelled",
        "Fatal",
        "ForeignAwait",
        "InvalidInput",
        "LeaseExpired",
        "NewerEvent",
        "NonDeterministic",
        "NotSent",
        "QueueFull",
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
    "tickwork.market.sessions": (
        "MarketClose",
        "MarketOpen",
        "Sessions",
    ),
    "tickwork.market.triggers": (
        "BreakingNews",
        "NewsSentiment",
        "PriceChange",
        "PriceCross",
        "Volatility",
        "VolumeSpike",
    ),
    "tickwork.notify.events": ("Notify",),
    "tickwork.outcome": (
        "Found",
        "NotFound",
    ),
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
