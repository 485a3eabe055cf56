"""Breakers, as a list for people and programs."""

from __future__ import annotations

from datetime import datetime

import msgspec

from tickwork.engines.embedded.breakers import BreakerInfo, circuits, infos
from tickwork.engines.embedded.queries import Queries


class BreakerLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How a breaker stood when the tape was last written."""

    name: str
    state: str
    failures: int
    threshold: int
    opened_at: datetime | None
    retry_at: datetime | None
    probes: int
    changed_at: datetime | None
    why: str


def breaker_lines(queries: Queries) -> list[BreakerLine]:
    """The breakers on a tape, by name. Failures are counted back from the tape's last record."""
    _, last = queries.reader.end()
    return [breaker_line(info) for info in infos(circuits(queries.reader), last)]


def breaker_line(info: BreakerInfo) -> BreakerLine:
    """One of them."""
    return BreakerLine(**{name: getattr(info, name) for name in BreakerLine.__struct_fields__})
