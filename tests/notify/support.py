"""What the tests of notifications share."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tickwork.core.clock import VirtualClock
from tickwork.core.retry import Retry
from tickwork.engines.embedded import Engine, Memory
from tickwork.notify.events import Notify, Severity
from tickwork.notify.notifier import DELIVER, notifier
from tickwork.notify.plan import Message
from tickwork.notify.rules import Rules
from tickwork.values import timestamp_ns

NOON = timestamp_ns(datetime(2024, 5, 1, 12, tzinfo=UTC))
ONE_TRY = Retry(limit=0)


@dataclass
class Services:
    """The outside world: what arrived, and what is out of order."""

    clock: VirtualClock = field(default_factory=lambda: VirtualClock(NOON))
    arrived: list[tuple[int, str, Message, str]] = field(default_factory=list)
    """Time, channel, message, key."""
    broken: set[str] = field(default_factory=set)
    tries: list[str] = field(default_factory=list)

    def send(self, channel: str, message: Message, *, key: str) -> None:
        self.tries.append(channel)
        if channel in self.broken:
            raise ConnectionError(f"{channel} is away")
        self.arrived.append((self.clock.now(), channel, message, key))

    def later(self, ns: int) -> None:
        """Let time pass in which nobody was there."""
        self.clock.jump(self.clock.now() + ns)

    def titles(self, channel: str) -> list[str]:
        return [message.title for _, name, message, _ in self.arrived if name == channel]

    def engine(self, rules: Rules, tape: str | Memory = "memory:", **more: Any) -> Engine:
        made = notifier(rules, self.send, **more)
        return Engine(tape, workflows=made.workflows, views=made.views, clock=self.clock, seed=1)


def note(title: str = "moved", severity: Severity = "info", **fields: Any) -> Notify:
    return Notify(**{"kind": "price.alert", "title": title, "severity": severity, **fields})


async def outcomes(engine: Engine) -> dict[str, tuple[str, Any]]:
    """Status and result of each delivery, by the id of its run."""
    infos = await engine.runs(workflow=DELIVER, limit=10_000)
    return {info.id: (info.status, (await engine.show(info.id)).result) for info in infos}
