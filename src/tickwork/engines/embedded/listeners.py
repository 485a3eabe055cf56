"""Who is started by an event: the workflows whose triggers name it, found without asking each of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from tickwork.core.conditions import canonical, wait_key
from tickwork.core.event import Event
from tickwork.core.trigger import Trigger
from tickwork.core.workflow import Workflow
from tickwork.errors import InvalidInput

_log = logging.getLogger("tickwork.engine")


def key_of(event: Event, fields: tuple[str, ...]) -> int:
    """The hash under which waits and triggers on these fields find an event."""
    return wait_key(event.event_name, fields, tuple(canonical(getattr(event, field, None)) for field in fields))


def newest(workflows: Iterable[Workflow]) -> list[Workflow]:
    """Of several versions of one workflow only the newest takes what is new."""
    return list({workflow.name: workflow for workflow in sorted(workflows, key=lambda w: w.version)}.values())


class Listeners:
    """The workflows that one event may start, in the order in which the engine was given them."""

    def __init__(self) -> None:
        self._order: dict[str, int] = {}
        self._all: list[Workflow] = []
        """Without a condition."""
        self._keyed: dict[tuple[str, ...], dict[int, list[Workflow]]] = {}
        """On equal fields: a thousand of them cost one look-up."""
        self._judged: list[tuple[Trigger, Workflow]] = []
        """With a condition of their own, which is asked."""

    def add(self, trigger: Trigger, workflow: Workflow) -> None:
        """A workflow with a trigger that names the event."""
        self._order.setdefault(workflow.name, len(self._order))
        where = trigger.where
        if type(trigger).matches is not Trigger.matches or (where is not None and where.condition is not None):
            self._judged.append((trigger, workflow))
        elif where is None or not where.fields:
            self._all.append(workflow)
        else:
            self._keyed.setdefault(where.fields, {}).setdefault(where.key, []).append(workflow)

    def of(self, event: Event) -> list[Workflow]:
        """Those that this event starts, each once however many of its triggers match."""
        if not self._keyed and not self._judged:
            return self._all
        found = list(self._all)
        for fields, keyed in self._keyed.items():
            found += keyed.get(key_of(event, fields), ())
        for trigger, workflow in self._judged:
            try:
                if trigger.matches(event):
                    found.append(workflow)
            except InvalidInput as error:
                _log.warning("trigger %s of workflow %r cannot judge %s: %s", trigger, workflow.name, event, error)
        return sorted(dict.fromkeys(found), key=lambda workflow: self._order[workflow.name])
