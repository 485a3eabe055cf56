"""The schedules that a workflow declares, each with its name and with what its runs get."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Raw

from tickwork.core.event import Event
from tickwork.core.schedule import Schedule
from tickwork.core.workflow import Workflow
from tickwork.errors import InvalidInput


class Declared(NamedTuple):
    """A schedule and whose it is."""

    workflow: Workflow
    schedule: Schedule
    input: Raw | None
    """What its runs get, where that is not the ``ScheduleFired``."""


def declared_by(workflow: Workflow) -> dict[str, Declared]:
    """A workflow's schedules, by name.

    Raises:
        InvalidInput: two of one name, or an input that the workflow does not take.
    """
    found: dict[str, Declared] = {}
    schedules = [trigger for trigger in workflow.triggers if isinstance(trigger, Schedule)]
    for number, schedule in enumerate(schedules, start=1):
        name = schedule.name or (workflow.name if number == 1 else f"{workflow.name}/{number}")
        if name in found:
            expected = f"another name: it is a schedule of {workflow.name!r}"
            raise InvalidInput(f"@workflow({workflow.name!r}) on", name, expected)
        found[name] = Declared(workflow, schedule, _input(workflow, schedule))
    return found


def _input(workflow: Workflow, schedule: Schedule) -> Raw | None:
    given = schedule.input
    if given is None:
        return None
    gathers = workflow.flow is not None and (workflow.flow.batch is not None or workflow.flow.debounce is not None)
    if gathers or not workflow.takes_input:
        why = "gathers its inputs" if gathers else "takes none"
        raise InvalidInput(f"input of {schedule}", repr(given)[:80], f"none: workflow {workflow.name!r} {why}")
    return Raw(given.to_wire()) if isinstance(given, Event) else workflow.encode_input(given)
