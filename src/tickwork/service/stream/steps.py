"""The steps of one run for the stream: those of ``service.run_steps``, read as its records come."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tickwork.core.tape import Entry
from tickwork.service.run_steps import Step, StepsRead, line_of
from tickwork.service.stream.entities import Key, encode

STEPS: Final = 1_000
"""Steps that are shown of a run: those that began last. All of them are listed over HTTP."""

_DROP: Final = frozenset({"cancel", "cancelled", "expired", "failed", "dead", "race"})


class Steps:
    """The steps of a run as its records are read; their lines are made once."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._reading = StepsRead()
        self._lines: dict[str, tuple[object, bytes]] = {}
        """By the step's id: what it was made of, and its line."""
        self._dropped = False

    @property
    def count(self) -> int:
        """All there were."""
        return len(self._reading.steps)

    @property
    def shown(self) -> list[Step]:
        """The last of them."""
        return self._reading.steps[-STEPS:]

    @property
    def answered(self) -> list[str] | None:
        """Places of all questions that are not open any more; ``None``: one may have been given up, of which no record
        tells, or there are steps that are not shown."""
        if self._dropped or self.count > STEPS:
            return None
        records = (step.last for step in self._reading.steps)
        return [f"{record.branch}{record.no}" for record in records if record.kind == "approval"]

    def add(self, entries: Iterable[Entry]) -> None:
        """Read more of the run's records."""
        for entry in entries:
            self._reading.add(entry)
            self._dropped = self._dropped or entry.record.kind in _DROP

    def lines(self) -> dict[Key, bytes]:
        """Those that are shown, by run and id."""
        known, self._lines = self._lines, {}
        for step in self.shown:
            made_of = (len(step.tries), step.answer is None, step.intent is None, step.undoes, step.undone_by)
            before = known.get(step.id)
            self._lines[step.id] = (
                before if before is not None and before[0] == made_of else (made_of, encode(line_of(step, self._run)))
            )
        return {("step", f"{self._run}/{id}"): line for id, (_, line) in self._lines.items()}
