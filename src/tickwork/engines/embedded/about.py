"""What a run is about: its key, how urgent it is, and since when that has been known."""

from __future__ import annotations

import logging
from typing import Any

from msgspec import Raw

from tickwork.core.event import Event
from tickwork.core.flow import bounded
from tickwork.core.workflow import Workflow
from tickwork.engines.embedded.live import LiveRun
from tickwork.values import timestamp_ns

_log = logging.getLogger("tickwork.engine")


def about(workflow: Workflow, given: Any) -> tuple[str, int]:
    """Key and priority of a run with this input, as its workflow says."""
    flow = workflow.flow
    key, priority = "", 0
    try:
        if workflow.key is not None:
            key = str(workflow.key(given))
        if flow is not None:
            priority = bounded(int(flow.priority(given)) if callable(flow.priority) else flow.priority)
    except Exception as error:  # noqa: BLE001 - the user's functions; what starts the run has happened all the same
        _log.error("key or priority of workflow %r failed: %r; its run is started without", workflow.name, error)
    return key, priority


def about_input(workflow: Workflow, input: Raw, event: str) -> tuple[str, int]:
    """The same from the input's bytes, ``event`` being the tag of the event that it is."""
    flow = workflow.flow
    if workflow.key is None and (flow is None or not callable(flow.priority)):
        return "", 0 if flow is None else bounded(flow.priority)  # type: ignore[arg-type]
    given = workflow.decode_input(input, event)
    gathered = flow is not None and flow.batch is not None and isinstance(given, list) and given
    return about(workflow, given[-1] if gathered else given)


def age_of(run: LiveRun, now: int) -> int:
    """How long ago became known what a run is about (ns): its event says so, or it is when the run was started."""
    given = run.workflow.decode_input(run.input, run.event) if run.workflow.takes_input else None
    last = given[-1] if isinstance(given, list) and given else given
    known = last.happened_at if isinstance(last, Event) else None
    return now - (run.started_at if known is None else timestamp_ns(known))
