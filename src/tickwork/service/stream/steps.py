"""The steps of one run, folded from its records: whatever it asked for is a step here, of its kind."""

from __future__ import annotations

from typing import Final

from tickwork.core.tape import Entry, Record
from tickwork.service.stream.entities import Fields, bounded, words
from tickwork.values import from_ns

ANSWERS: Final = frozenset(
    {"step", "effect", "sleep", "wait", "emit", "send", "start", "call", "approval", "claim", "read", "race", "patched"}
)
"""Kinds of records that answer an ask."""

STEPS: Final = 1_000
"""Steps that are shown of a run: those that it came to last."""

_DROP: Final = frozenset({"cancel", "cancelled", "expired", "failed", "dead", "race"})

_NOTHING: Final[Fields] = {
    "name": "", "seq": None, "kind": "", "status": "", "attempt": 1, "startedAt": None, "endedAt": None, "tookMs": None,
    "value": None, "error": None, "retryAt": None, "fn": "", "undoes": "", "undone": False,
}  # fmt: skip


class Steps:
    """Folds records of one run, in order, into its steps by their places.

    A place is the branch and the number of the ask there, such as ``4`` or ``all0.1/2``; a new attempt takes the same
    places again.
    """

    def __init__(self, run: str) -> None:
        self.by_place: dict[str, Fields] = {}
        self._run = run
        self._identities: dict[str, str] = {}
        """Places of steps that an undo may name."""
        self.dropped = False
        """May it have given up a question that nobody answered, of which no record tells? Or are steps not shown?"""
        self.changed: set[str] = set()
        """Places that have changed since somebody emptied this."""
        self.gone: set[str] = set()
        """Places that are not shown any more, since then."""
        self.count = 0
        """All places there were."""

    def take(self, entry: Entry) -> None:
        """One more record."""
        self._take(entry)
        while len(self.by_place) > STEPS:
            place = next(iter(self.by_place))
            del self.by_place[place]
            self.changed.discard(place)
            self.gone.add(place)
            self.dropped = True

    def _take(self, entry: Entry) -> None:
        record = entry.record
        self.dropped = self.dropped or record.kind in _DROP
        if record.kind == "intent":
            self._put(self._place(record), entry, kind="effect", status="running", startedAt=from_ns(record.at))
        elif record.kind == "tried":
            known = self.by_place.get(self._place(record), {})
            self._put(
                self._place(record), entry, kind=known.get("kind", "step"), status="retrying", attempt=record.attempt,
                error=words(record.error), retryAt=from_ns(record.due) if record.due else None,
            )  # fmt: skip
        elif record.kind in ANSWERS and record.no >= 0:
            self._answered(entry)

    def asks(self, place: str, question: str, asked_at: int) -> Fields:
        """A question to a person that is open: its record is none of the run's, so its row tells."""
        told = {"name": question, "kind": "approval", "status": "waiting", "startedAt": from_ns(asked_at)}
        return {"run": self._run, "place": place, "branch": place.rpartition("/")[0], **_NOTHING, **told}

    @property
    def answered(self) -> list[str]:
        """Places of questions that were answered."""
        return [place for place, fields in self.by_place.items() if fields["kind"] == "approval"]

    def _answered(self, entry: Entry) -> None:
        record, place = entry.record, self._place(entry.record)
        known = self.by_place.get(place, {})
        failed = bool(bytes(record.error))
        tries = known.get("attempt", 0) if known.get("status") == "retrying" else 0
        begun = known.get("startedAt") or from_ns(record.at - record.took)
        self._put(
            place, entry, kind=record.kind, status="failed" if failed else "completed", startedAt=begun,
            endedAt=from_ns(record.at), tookMs=record.took / 1e6 if record.took else None, error=words(record.error),
            value=bounded(record.value, f"/api/v1/runs/{self._run}/steps/{place}/io"), retryAt=None,
            attempt=tries + 1 - (failed and tries > 0), fn=record.fn,
        )  # fmt: skip
        self._identities[f"{record.branch}|{record.kind}|{record.name}|{record.occ}"] = place
        if record.undoes:
            self._undone(record, failed)

    def _undone(self, record: Record, failed: bool) -> None:
        place = self._identities.get(record.undoes)
        if place is not None:
            self.by_place[place] = {**self.by_place[place], "undone": not failed}
            self.changed.add(place)

    def _place(self, record: Record) -> str:
        return f"{record.branch}{record.no}"

    def _put(self, place: str, entry: Entry, **told: object) -> None:
        record = entry.record
        fields = {"run": self._run, "place": place, "branch": record.branch, **_NOTHING, "name": record.name,
                  "seq": entry.seq}  # fmt: skip
        known = self.by_place.get(place, {})
        begun = known.get("startedAt") if told.get("status") == "retrying" else None
        fields |= {"startedAt": begun or (from_ns(record.at) if told.get("status") == "retrying" else None)}
        undoes = record.undoes or (known.get("undoes") if known.get("name") == record.name else "")
        self.count += place not in self.by_place
        self.gone.discard(place)
        self.by_place[place] = {**fields, "undoes": undoes or "", **told}
        self.changed.add(place)
