"""What needs a person, and how things stand: questions, dead letters, halts, breakers, alerts, feeds, schedules."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, ClassVar

import msgspec

from tickwork.core.breaker import BreakerState
from tickwork.core.event import Alert
from tickwork.engines.embedded.breakers import Row
from tickwork.engines.embedded.schedule_rows import ScheduleRow, info_of
from tickwork.errors import TapeCorrupt
from tickwork.market.alert_events import AlertTriggered, price_alerts
from tickwork.market.rule_events import RuleTriggered
from tickwork.market.staleness import FeedDropped, FeedResumed, FeedSilent, silences
from tickwork.service.halting import HaltCleared, HaltRaised, halts_on
from tickwork.service.stream.entities import Fields, Key, bounded, encode
from tickwork.service.stream.one_run import approval_fields
from tickwork.service.stream.part import WINDOW, Look, Part, RowPart, newest
from tickwork.values import from_ns

_row = msgspec.json.Decoder(Row).decode
_schedule = msgspec.json.Decoder(ScheduleRow).decode


class Approvals(RowPart):
    """Questions that wait for a person, the oldest first."""

    kinds: ClassVar = ("approval",)
    scans: ClassVar = True

    def rows(self, look: Look) -> Iterable[tuple[Key, Any]]:
        """By id."""
        sql = "SELECT id, question, asked_at, due FROM approvals ORDER BY asked_at, id LIMIT ?"
        return [(("approval", row[0]), row) for row in look.reader.rows(sql, (WINDOW,))]

    def fields(self, look: Look, key: str, row: Any) -> Fields:
        """The question."""
        return approval_fields(*row)


class Letters(Part):
    """Open dead letters, the newest."""

    kinds: ClassVar = ("letter",)
    scans: ClassVar = True

    def sign(self, look: Look) -> Hashable:
        """The newest rows; a letter is made anew when one of them has changed."""
        rows = look.reader.rows
        return (
            tuple(rows("SELECT * FROM letters WHERE status=0 ORDER BY at DESC, seq DESC LIMIT ?", (WINDOW,))),
            tuple(
                rows(
                    "SELECT m.seq, m.ended_at, m.redrives FROM queues q JOIN messages m ON m.queue=q.name "
                    "AND m.stage=20 AND m.stage>=10 ORDER BY m.ended_at DESC, m.seq DESC LIMIT ?",
                    (WINDOW,),
                )
            ),
        )

    def entities(self, look: Look) -> dict[Key, Fields]:
        """By what `redrive` takes."""
        found: dict[Key, Fields] = {}
        for letter in look.queries.dead_letters(limit=WINDOW):
            href = f"/api/v1/letters/{letter.id}"
            found["letter", letter.id] = {
                "id": letter.id, "kind": letter.kind, "source": letter.source, "run": letter.run,
                "error": letter.error, "code": letter.code, "attempts": letter.attempts,
                "firstSeen": letter.first_seen, "at": letter.at, "status": letter.status,
                "nextTry": letter.next_try, "body": bounded(encode(letter.body), href),
            }  # fmt: skip
        return found


class Halts(Part):
    """Halts that stand, by account; that of all under ``*``."""

    kinds: ClassVar = ("halt",)

    def sign(self, look: Look) -> Hashable:
        """The newest event of a halt."""
        return tuple(newest(look.reader, (HaltRaised.event_name, HaltCleared.event_name), 1))

    def entities(self, look: Look) -> dict[Key, Fields]:
        """By scope."""
        return {
            ("halt", scope): {
                "account": line.account, "level": line.level, "reason": line.reason, "by": line.by,
                "madeBy": line.made_by, "since": line.since,
            }
            for scope, line in halts_on(look.queries).items()
        }  # fmt: skip


class Breakers(RowPart):
    """Breakers, by name, as the tape has them: one that rests may be tried again from ``retryAt`` on."""

    kinds: ClassVar = ("breaker",)

    def rows(self, look: Look) -> Iterable[tuple[Key, Any]]:
        """By name."""
        sql = "SELECT name, state FROM breakers ORDER BY name"
        return [(("breaker", name), bytes(state)) for name, state in look.reader.rows(sql)]

    def fields(self, look: Look, key: str, row: Any) -> Fields:
        """Its settings and its state."""
        found = _row(row)
        return {"name": key, "settings": found.settings, **_breaker(found.state)}


def _breaker(state: BreakerState) -> Fields:
    return {
        "state": state.mode, "failures": len(state.failures), "probes": len(state.probes), "why": state.why,
        "openedAt": from_ns(state.opened_at) if state.opened_at else None,
        "retryAt": from_ns(state.retry_at) if state.retry_at else None,
        "changedAt": from_ns(state.since) if state.since else None,
    }  # fmt: skip


class Schedules(RowPart):
    """Schedules, by name."""

    kinds: ClassVar = ("schedule",)

    def rows(self, look: Look) -> Iterable[tuple[Key, Any]]:
        """By name."""
        sql = "SELECT name, state FROM schedules ORDER BY name"
        return [(("schedule", name), bytes(state)) for name, state in look.reader.rows(sql)]

    def fields(self, look: Look, key: str, row: Any) -> Fields:
        """As people see it."""
        told: Fields = msgspec.to_builtins(info_of(key, _schedule(row)))
        return told


class Feeds(RowPart):
    """Sources of market data that are silent or were: by name, with the symbols that nothing is heard of."""

    kinds: ClassVar = ("feed",)

    def rows(self, look: Look) -> Iterable[tuple[Key, Any]]:
        """Those that are silent now."""
        sql = "SELECT key, state FROM views WHERE view=? ORDER BY key LIMIT ?"
        return [(("feed", key), bytes(state)) for key, state in look.reader.rows(sql, (silences.name, WINDOW))]

    def fields(self, look: Look, key: str, row: Any) -> Fields:
        """What it is silent about."""
        return {"name": key, "stale": True, "silent": msgspec.json.decode(row)}


class PriceAlerts(RowPart):
    """Standing price alerts, the first by id."""

    kinds: ClassVar = ("priceAlert",)

    def rows(self, look: Look) -> Iterable[tuple[Key, Any]]:
        """By id."""
        sql = "SELECT key, state FROM views WHERE view=? ORDER BY key LIMIT ?"
        rows = look.reader.rows(sql, (price_alerts.name, WINDOW))
        return [(("priceAlert", key), bytes(state)) for key, state in rows]

    def fields(self, look: Look, key: str, row: Any) -> Fields:
        """Where it stands."""
        return {"id": key, "state": msgspec.Raw(row)}


class Alerts(RowPart):
    """The newest of what alarmed people: alerts of the engine, of prices, of positions, of feeds."""

    kinds: ClassVar = ("alert",)
    names: ClassVar = (
        *(cls.event_name for cls in (Alert, AlertTriggered, RuleTriggered, FeedSilent, FeedResumed, FeedDropped)),
    )

    def rows(self, look: Look) -> Iterable[tuple[Key, Any]]:
        """By position; what is on the tape does not change."""
        return [(("alert", str(seq)), seq) for seq in newest(look.reader, self.names, WINDOW // 2)]

    def fields(self, look: Look, key: str, row: Any) -> Fields:
        """The event."""
        entry = look.reader.record(row)
        if entry is None:
            raise TapeCorrupt(f"event {row} is missing from the tape: restore it from a backup")
        href = f"/api/v1/events/{entry.seq}"
        return {
            "seq": entry.seq, "at": from_ns(entry.record.at), "name": entry.record.name,
            "event": bounded(entry.record.value, href),
        }  # fmt: skip
