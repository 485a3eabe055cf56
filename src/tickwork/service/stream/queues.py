"""Queues as they stand on the tape: counts and times, no ages, so that they change only when something happens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Final

import msgspec

from tickwork.core.message import Stage
from tickwork.core.tally import DAY
from tickwork.engines.embedded.lines import COLUMNS, item_of
from tickwork.engines.embedded.queue_tables import QueueTables
from tickwork.errors import NotFound
from tickwork.service.stream.entities import Fields, Key, bounded, encode
from tickwork.service.stream.part import WINDOW, Look, Part, RowPart
from tickwork.values import from_ns

_OPEN: Final = (Stage.WAITING, Stage.DELAYED, Stage.IN_FLIGHT)


class Queues(Part):
    """All queues, by name."""

    kinds: ClassVar = ("queue",)
    scans: ClassVar = True

    def entities(self, look: Look) -> dict[Key, Fields]:
        """Each with its counts."""
        rows = look.reader.rows
        sql = "SELECT queue, stage, count(*), min(joins_at), min(visible_at) FROM messages WHERE stage<10 GROUP BY 1, 2"
        stages = {(queue, stage): told for queue, stage, *told in rows(sql)}
        found: dict[Key, Fields] = {}
        for name, settings in rows("SELECT name, settings FROM queues ORDER BY name"):
            by_stage = {stage: stages.get((name, int(stage)), [0, None, None]) for stage in _OPEN}
            counted: dict[str, Any] = msgspec.json.decode(settings)
            found["queue", name] = {
                "name": name,
                "waiting": by_stage[Stage.WAITING][0],
                "delayed": by_stage[Stage.DELAYED][0],
                "inFlight": by_stage[Stage.IN_FLIGHT][0],
                "dead": look.reader.one(
                    "SELECT count(*) FROM messages WHERE queue=? AND stage=20 AND stage>=10", (name,)
                ),
                "oldestAt": _first(by_stage[stage][1] for stage in (Stage.WAITING, Stage.IN_FLIGHT)),
                "nextAt": _first(by_stage[stage][2] for stage in (Stage.WAITING, Stage.DELAYED)),
                "capacity": counted.get("capacity"),
                "settings": counted,
                "day": _day(look, name),
            }
        return found


def _first(times: Iterable[int | None]) -> Any:
    known = [at for at in times if at]
    return from_ns(min(known)) if known else None


def _day(look: Look, name: str) -> Fields | None:
    """The counts of the last UTC day on which anything happened."""
    sql = "SELECT day, sent, completed, failed, dead, busy FROM queue_days WHERE queue=? ORDER BY day DESC LIMIT 1"
    for day, sent, completed, failed, dead, busy in look.reader.rows(sql, (name,)):
        average = busy / completed / 1e9 if completed else None
        return {"date": from_ns(day * DAY).date().isoformat(), "sent": sent, "completed": completed, "failed": failed,
                "dead": dead, "averageProcessingSeconds": average}  # fmt: skip
    return None


class Messages(RowPart):
    """The newest messages of one queue, by their positions."""

    kinds: ClassVar = ("message",)

    def __init__(self, queue: str) -> None:
        super().__init__()
        self._queue = queue

    def rows(self, look: Look) -> Iterable[tuple[Key, Any]]:
        """
        Raises:
            NotFound: there is no such queue.
        """
        if look.reader.one("SELECT 1 FROM queues WHERE name=?", (self._queue,)) is None:
            raise NotFound("queue", self._queue, "a queue of this tape")
        sql = f"SELECT {COLUMNS} FROM messages WHERE queue=? ORDER BY seq DESC LIMIT ?"  # noqa: S608 - the columns are ours
        return [(("message", str(row[0])), row) for row in look.reader.rows(sql, (self._queue, WINDOW))]

    def fields(self, look: Look, key: str, row: Any) -> Fields:
        """A message; ``status`` is its stage, and ``due`` when it can be taken."""
        item = item_of(row)
        info = QueueTables(look.reader).info(self._queue, item, 0)
        return {
            "seq": item.seq,
            "queue": self._queue,
            "status": item.stage.name.lower(),
            "id": item.id,
            "group": item.group,
            "priority": item.priority,
            "body": bounded(encode(info.body), f"/api/v1/messages/{item.seq}"),
            "event": info.event,
            "attempts": item.attempts,
            "sentAt": info.sent_at,
            "due": from_ns(item.visible_at) if item.stage in (Stage.WAITING, Stage.DELAYED) else None,
            "leaseUntil": info.lease_until,
            "consumer": item.consumer,
            "run": info.run,
            "endedAt": info.ended_at,
            "failures": [
                {"at": one.at, "why": one.why, "code": one.code, "error": one.error, "run": one.run}
                for one in info.failures
            ],
        }
