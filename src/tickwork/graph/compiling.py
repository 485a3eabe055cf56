"""A document as a workflow: its triggers, its limits, and a body that runs its plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tickwork.core.event import Event
from tickwork.core.expressions import compile_expression
from tickwork.core.flow import Concurrency, RateLimit, Throttle
from tickwork.core.queue import Queue
from tickwork.core.run import Run
from tickwork.core.trigger import Manual, Trigger
from tickwork.core.workflow import Body, Workflow, workflow
from tickwork.errors import InvalidInput
from tickwork.graph.document import Document
from tickwork.graph.library import Library
from tickwork.graph.running.calling import call
from tickwork.graph.running.runner import Caller, Execution, Observe
from tickwork.graph.running.states import Outcome
from tickwork.graph.sources import Sources
from tickwork.graph.wiring import plan as plan_of
from tickwork.graph.wiring.planned import Plan

MANUAL: Final = Manual.kind


class DocumentWorkflow(Workflow):
    """A workflow that runs a document."""

    plan: Plan


def compile_document(
    document: Document,
    *,
    library: Library,
    sources: Sources | None,
    version: int = 1,
    name: str = "",
    armed: bool = True,
    owner: str = "",
) -> DocumentWorkflow:
    """The workflow of a document.

    Args:
        sources: what its nodes may use.
        version: of the workflow.
        name: of the workflow, if not the document's.
        armed: do its triggers start runs? If not, only people and other workflows do.
        owner: whose it is; of any but ``""`` it names its owner's queues, breakers and schedules, and hears of the
            market and of its owner's documents alone (``graph.tenants``).

    Raises:
        InvalidDocument: every problem of the document.
    """
    plan = plan_of(document, library, sources, owner)
    made = _declared(plan, name or document.name, version, armed)
    made.__class__ = DocumentWorkflow
    assert isinstance(made, DocumentWorkflow)
    made.plan = plan
    return made


def _declared(plan: Plan, name: str, version: int, armed: bool) -> Workflow:
    document, limits = plan.document, plan.document.limits
    declare = workflow(
        name,
        on=list(plan.triggers) if armed else None,
        version=version,
        timeout=limits.timeout,
        key=None if limits.key is None else key_of(limits.key),
        concurrency=None if limits.concurrency is None else Concurrency(limits.concurrency),
        rate_limit=None if limits.rate_limit is None else RateLimit(limits.rate_limit.limit, limits.rate_limit.period),
        throttle=None if limits.throttle is None else Throttle(limits.throttle.limit, limits.throttle.period),
        debounce=limits.debounce,
        priority=document.priority,
        singleton=limits.singleton,
        valid_for=limits.valid_for,
    )
    return declare(body_of(plan))


def kinds_of(triggers: tuple[Trigger, ...]) -> dict[type[Event], str]:
    """What expressions call the trigger of an event."""
    found: dict[type[Event], str] = {}
    for trigger in triggers:
        if trigger.event is not None:
            found.setdefault(trigger.event, trigger.kind)
    return found


def kind_of_input(plan: Plan, input: Any) -> str:
    """The kind of trigger that gives a run this input.

    An event that no trigger names came as the message of a queue. Of plain JSON nobody can tell whether a message or a
    person gave it: it counts as by hand.
    """
    return _kind(input, kinds_of(plan.triggers))


def _kind(input: Any, kinds: dict[type[Event], str]) -> str:
    return kinds.get(type(input), Queue.kind) if isinstance(input, Event) else MANUAL


def key_of(text: str) -> Callable[[Any], str]:
    """A workflow's key from an expression of ``event``."""
    expression = compile_expression(text)

    def key(event: Any) -> str:
        return str(expression({"event": event}))

    return key


def _check_key(key: Callable[[Any], str] | None, input: Any) -> None:
    """Fail a run whose key cannot be told: the engine starts it all the same, and it must not go on out of its turn.

    Raises:
        InvalidInput: what is wrong with the expression, or with the event.
    """
    if key is None:
        return
    try:
        key(input)
    except InvalidInput as error:
        raise InvalidInput(f"limits.key: {error.path}", error.found, error.expected) from None


def body_of(plan: Plan, observe: Observe | None = None, caller: Caller = call) -> Body:
    """What a workflow does that runs a plan.

    Args:
        observe: is told of every change of a node's status.
        caller: does what nodes do.
    """
    kinds, limits = kinds_of(plan.triggers), plan.document.limits
    key = None if limits.key is None else key_of(limits.key)

    async def body(run: Run, input: Any = None) -> Outcome:
        _check_key(key, input)
        return await Execution(plan, run, input, _kind(input, kinds), observe, caller).result()

    body.__doc__ = plan.document.description or None
    body.__name__ = body.__qualname__ = "document"
    return body
