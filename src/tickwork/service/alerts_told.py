"""People hear of alerts: what a standing alert or rule has told becomes a notification, once for each firing."""

from __future__ import annotations

from typing import Final

from tickwork.core.run import Run
from tickwork.core.workflow import Workflow, workflow
from tickwork.market.alert_events import AlertTriggered
from tickwork.market.rule_events import RuleTriggered
from tickwork.notify.events import Notify
from tickwork.service.alerts import HOUSE
from tickwork.values import plain

TOLD: Final = "tickwork/alert.told"

PRICE_ALERT: Final = "price.alert"
POSITION_ALERT: Final = "position.alert"
"""Kinds of these notifications: routes go by them."""


def notification_of(event: AlertTriggered | RuleTriggered) -> Notify:
    """What people hear of a firing."""
    owner = "" if event.owner == HOUSE else event.owner
    if isinstance(event, AlertTriggered):
        price, threshold = plain(event.current_price), plain(event.threshold)
        kind, title = PRICE_ALERT, f"{event.symbol} is at {price}, {event.condition} {threshold}"
    else:
        kind, title = POSITION_ALERT, event.alert.message
    dedupe = f"{event.id} {event.at_ns}"
    return Notify(kind=kind, title=title, body=event.note, severity="warning", owner=owner, dedupe=dedupe)


def told_workflow() -> Workflow:
    """The workflow that makes notifications of firings; where no channel is configured nobody hears them."""

    @workflow(TOLD, on=[AlertTriggered, RuleTriggered])
    async def told(run: Run, event: AlertTriggered | RuleTriggered) -> str:
        await run.emit(notification_of(event))
        return event.id

    return told
