"""What only the start of a run can give: a document that a manual start, or its own triggers, will find lacking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tickwork.core.event import newest_event
from tickwork.graph.document import TriggerSpec
from tickwork.graph.problems import Problems
from tickwork.graph.wiring.planned import Planned

_ANYTHING: Final = ("queue", "webhook")
"""Triggers whose messages hold what their senders please."""

_NOTHING: Final = ("schedule", "manual")
"""Triggers that tell of nothing but their ``input``; others are about a symbol."""

_SYMBOL: Final = "symbol"


def warn_of_start(planned: Planned, triggers: Sequence[TriggerSpec], problems: Problems) -> None:
    """Of params and inputs of a node that neither the document nor one of its triggers says."""
    said = _said(planned)
    for name, others in planned.type.from_event.items():
        if said.isdisjoint((name, *others)) and not any(_gives(one, {name, *others}) for one in triggers):
            kind = "inputs" if name in planned.type.inputs else "params"
            also = f" (or {', '.join(others)})" if others else ""
            expected = f"a {name}{also}: only the input of a run can give it one, and without it the node fails"
            problems.warn(f"nodes.{planned.id}.{kind}.{name}", "nothing", expected)


def _said(planned: Planned) -> set[str]:
    """Inputs and params that have a value of the document's own."""
    fed = {one.port.name for one in planned.fed if one.feed is not None}
    fixed = {name for name, value in planned.constants.items() if value not in (None, "", [])}
    return fed | fixed | {one.param.name for one in planned.settings}


def _gives(trigger: TriggerSpec, names: set[str]) -> bool:
    """Can what it starts a run with have a field of one of these names?"""
    if trigger.type in _ANYTHING:
        return True
    if trigger.type == "event":
        spoken = next((trigger.fields[one] for one in ("event", "name", "event_type") if one in trigger.fields), None)
        found = newest_event(spoken) if isinstance(spoken, str) else None
        return found is not None and not names.isdisjoint(found.model_fields)
    given = trigger.fields.get("input")
    if trigger.type in _NOTHING:
        return isinstance(given, Mapping) and not names.isdisjoint(given)
    return _SYMBOL in names
