"""What a run is about: its key, how urgent it is, and since when that has been known."""

from __future__ import annotations

import logging
from typing import Any

from msgspec import Raw

from tickwork.core.codec import said
from tickwork.core.event import Event
from tickwork.core.flow import bounded
from tickwork.core.workflow import Workflow
from tickwork.engines.embedded.live import LiveRun
from tickwork.errors import InvalidInput
from tickwork.values import timestamp_ns

_log = logging.getLogger("tickwork.engine")


def about(workflow: Workflow, given: Any) -> tuple[str, int]:
    """Key and priority of a run with this input, as its workflow says.

    What cannot be told, or not be kept, is left out, with a warning: what starts the run has happened all the same.
    """
    flow = workflow.flow
    key, priority = "", 0
    if workflow.key is not None:
        try:
            key = kept(workflow.key(given))
        except Exception as error:  # noqa: BLE001 - the user's function
            why = "so it takes no turns with others, whatever they are about"
            _warn(workflow, "key", error, why if flow is not None else "so nothing tells what it is about")
    if flow is not None:
        try:
            priority = bounded(int(flow.priority(given)) if callable(flow.priority) else flow.priority)
        except Exception as error:  # noqa: BLE001 - the user's function
            _warn(workflow, "priority", error, "so it is as urgent as others without one")
    return key, priority


def kept(key: Any) -> str:
    """A key as the tape keeps it.

    Raises:
        InvalidInput: it is no text that could be kept.
    """
    text = str(key)
    if not text.isascii() and text != text.encode(errors="replace").decode():
        raise InvalidInput("key", repr(text)[:80], "a text of whole characters: half of a pair of surrogates is none")
    return text


def _warn(workflow: Workflow, what: str, error: Exception, so: str) -> None:
    why = f"{type(error).__name__}: {said(error)}"
    _log.error("the %s of a run of workflow %r cannot be told: %s. It is started without, %s",
               what, workflow.name, why, so)  # fmt: skip


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
