"""Who is started by an event: the workflows whose triggers name it, found without asking each of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from tickwork.core.conditions import Where, canonical, wait_key
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


class Ranks:
    """Who comes first of those that one event starts: the order of ``newest``, kept up as workflows are added."""

    def __init__(self) -> None:
        self._ranks: dict[str, tuple[int, int]] = {}
        """Of each name the lowest version, and as the how-manieth that one was given."""
        self._count = 0

    def note(self, workflow: Workflow) -> bool:
        """One was given after the others. True if its name, known before, has moved forward."""
        known = self._ranks.get(workflow.name)
        rank = (workflow.version, self._count)
        self._count += 1
        if known is None or rank < known:
            self._ranks[workflow.name] = rank
        return known is not None and rank < known

    def of(self, workflow: Workflow) -> tuple[int, int]:
        """The place of a workflow that was given: the lowest comes first."""
        return self._ranks[workflow.name]


class Listeners:
    """The workflows that one event may start, one version of each."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._all: dict[str, Workflow] = {}
        """Without a condition, by name."""
        self._in_order: list[Workflow] | None = None
        """The same, in order; ``None``: to be made anew."""
        self._keyed: dict[tuple[str, ...], dict[int, dict[str, Workflow]]] = {}
        """On equal fields: a thousand of them cost one look-up."""
        self._judged: dict[str, list[tuple[Trigger, Workflow]]] = {}
        """With a condition of their own, which is asked."""

    def add(self, trigger: Trigger, workflow: Workflow) -> None:
        """A workflow with a trigger that names the event."""
        where = trigger.where
        if _is_judged(trigger, where):
            self._judged.setdefault(workflow.name, []).append((trigger, workflow))
        elif where is None or not where.fields:
            self._all[workflow.name] = workflow
            self._in_order = None
        else:
            self._keyed.setdefault(where.fields, {}).setdefault(where.key, {})[workflow.name] = workflow

    def remove(self, trigger: Trigger, workflow: Workflow) -> None:
        """The workflow is no longer started by the event; to be told for each of its triggers that name it."""
        where = trigger.where
        if _is_judged(trigger, where):
            self._judged.pop(workflow.name, None)
        elif where is None or not where.fields:
            self._all.pop(workflow.name, None)
            self._in_order = None
        else:
            self._remove_keyed(where, workflow)

    def _remove_keyed(self, where: Where, workflow: Workflow) -> None:
        keyed = self._keyed.get(where.fields, {})
        found = keyed.get(where.key, {})
        found.pop(workflow.name, None)
        if not found:
            keyed.pop(where.key, None)
        if not keyed:
            self._keyed.pop(where.fields, None)

    def __bool__(self) -> bool:
        """Is there any?"""
        return bool(self._all or self._keyed or self._judged)

    def of(self, event: Event) -> list[Workflow]:
        """Those that this event starts, each once however many of its triggers match."""
        if not self._keyed and not self._judged:
            if self._in_order is None:
                self._in_order = sorted(self._all.values(), key=self._ranks.of)
            return self._in_order
        found = list(self._all.values())
        for fields, keyed in self._keyed.items():
            found += keyed.get(key_of(event, fields), {}).values()
        for judged in self._judged.values():
            found += [workflow for trigger, workflow in judged if _matches(trigger, workflow, event)]
        return sorted(dict.fromkeys(found), key=self._ranks.of)


def _is_judged(trigger: Trigger, where: Where | None) -> bool:
    return type(trigger).matches is not Trigger.matches or (where is not None and where.condition is not None)


def _matches(trigger: Trigger, workflow: Workflow, event: Event) -> bool:
    try:
        return trigger.matches(event)
    except InvalidInput as error:
        _log.warning("trigger %s of workflow %r cannot judge %s: %s", trigger, workflow.name, event, error)
        return False
