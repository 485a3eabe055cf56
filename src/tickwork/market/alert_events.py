"""What the tape tells of price alerts, and the view that keeps where each of them stands.

An alert that fires once is gone from the view when it has fired. One that recurs is told of twice a round: when it has
fired, and when the price has gone back and it is armed again. That second event is what makes "armed" durable: without
it a restart could not know whether the price had been back while the process still ran. While it cools down nothing
is told of it; but when that is over, the price that stood then counts, and so a price that comes to the other side of
its band meanwhile is kept: once for all alerts of a symbol.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec.structs import replace
from pydantic import Field

from tickwork.core.event import Event
from tickwork.core.view import view
from tickwork.market.alert_index import Fired, Noted, Rearmed
from tickwork.market.alerts import AlertState, Condition, NotedPrice, PriceAlert
from tickwork.values import Duration, Price, Quantity, Symbol, duration, from_ns, to_timedelta


class AlertSet(Event, name="market/alert.set", version=1):
    """Somebody wants to be told of a price. One of the same id is replaced."""

    id: str
    owner: str
    symbol: Symbol
    condition: Condition
    threshold: Price
    recurring: bool
    cooldown: Duration
    hysteresis: Quantity
    note: str
    since_ns: int | None
    """Time of the newest price of the symbol; ``None``: there was none yet."""

    @classmethod
    def of(cls, alert: PriceAlert, since_ns: int | None) -> AlertSet:
        """The event of an alert."""
        return cls(
            id=alert.id,
            owner=alert.owner,
            symbol=alert.symbol,
            condition=alert.condition,
            threshold=alert.threshold,
            recurring=alert.recurring,
            cooldown=to_timedelta(alert.cooldown, "cooldown"),
            hysteresis=alert.hysteresis,
            note=alert.note,
            since_ns=since_ns,
        )


class AlertCancelled(Event, name="market/alert.cancelled", version=1):
    """Somebody does not want to be told any more."""

    id: str
    owner: str


class AlertTriggered(Event, name="market/alert.triggered", version=1):
    """The price has come. On the wire with the names that listeners of ``price_alert_triggered`` expect."""

    type: Literal["price_alert_triggered"] = "price_alert_triggered"
    id: str
    owner: str = Field(alias="userId")
    symbol: Symbol
    condition: Condition
    threshold: Price
    current_price: Price
    recurring: bool
    note: str = ""
    quote_time: datetime
    """When the price was that."""
    at_ns: int
    """The same to the nanosecond."""
    recording: str = ""
    """Where the price stands recorded, and at which offset."""
    offset: int | None = None

    @classmethod
    def of(cls, fired: Fired, recording: str, offset: int | None) -> AlertTriggered:
        """The event of a firing."""
        alert = fired.alert
        return cls(
            id=alert.id,
            owner=alert.owner,
            symbol=alert.symbol,
            condition=alert.condition,
            threshold=alert.threshold,
            current_price=fired.price,
            recurring=alert.recurring,
            note=alert.note,
            quote_time=from_ns(fired.at_ns),
            at_ns=fired.at_ns,
            recording=recording,
            offset=offset,
        )

    @property
    def happened_at(self) -> datetime:
        """When the price was that."""
        return self.quote_time


class AlertRearmed(Event, name="market/alert.rearmed", version=1):
    """The price has gone back: the alert is armed again."""

    id: str
    owner: str
    symbol: Symbol
    at_ns: int
    """Time of the price that showed it."""

    @classmethod
    def of(cls, rearmed: Rearmed) -> AlertRearmed:
        """The event of an arming."""
        return cls(id=rearmed.id, owner=rearmed.owner, symbol=rearmed.symbol, at_ns=rearmed.at_ns)


class PriceNoted(Event, name="market/alert.noted", version=1):
    """While alerts cool down: the price of their symbol has come to another side of the band of one of them."""

    symbol: Symbol
    price: Price
    at_ns: int
    """When the price was that."""

    @classmethod
    def of(cls, noted: Noted) -> PriceNoted:
        """The event of such a price."""
        return cls(symbol=noted.symbol, price=noted.price, at_ns=noted.at_ns)


@view("market/alert-prices", on=(AlertTriggered, PriceNoted), key=lambda event: event.symbol)
def alert_prices(state: NotedPrice | None, event: AlertTriggered | PriceNoted) -> NotedPrice | None:
    """By symbol the last price that an alert which cools down, or did, must know of."""
    if isinstance(event, PriceNoted):
        return NotedPrice(event.price, event.at_ns)
    return NotedPrice(event.current_price, event.at_ns) if event.recurring else state


@view("market/alerts", on=(AlertSet, AlertCancelled, AlertTriggered, AlertRearmed), key=lambda event: event.id)
def price_alerts(state: AlertState | None, event: Any) -> AlertState | None:
    """Every standing alert by its id."""
    match event:
        case AlertSet():
            return AlertState(
                event.owner,
                event.symbol,
                event.condition,
                event.threshold,
                event.recurring,
                duration(event.cooldown),
                event.hysteresis,
                event.note,
                event.since_ns,
            )
        case AlertTriggered() if state is not None and state.recurring:
            return replace(state, armed=False, since_ns=event.at_ns, fired_ns=event.at_ns)
        case AlertRearmed() if state is not None:
            return replace(state, armed=True, since_ns=event.at_ns)
        case _:
            return None
