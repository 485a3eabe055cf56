"""Whether something is the case now, asked within a run. What *starts* runs are the document's ``triggers``."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import msgspec
from pydantic import BaseModel

from tickwork.core.cron import Cron
from tickwork.core.event import Event
from tickwork.core.webhook import WebhookReceived
from tickwork.errors import InvalidInput
from tickwork.graph.declare import Context, node, param, port
from tickwork.graph.nodes.prices import Bars, Interval, ProviderName, SymbolName, positive, provider_check, recent
from tickwork.graph.sources import Providers
from tickwork.graph.texts import DurationAboveZero, checked
from tickwork.market.triggers.options import Direction, quotient
from tickwork.values import EXACT, NS_PER_SECOND, duration

Way = Literal["up", "down", ""]

_CLOCK: Final = re.compile(r"\s*([0-9]{1,2}):([0-9]{2})\s*")
_MINUTE_NS: Final = 60 * NS_PER_SECOND


class CrossOutputs(msgspec.Struct, frozen=True):
    """What ``price_cross`` gives."""

    signal: Annotated[bool, port("has the price crossed the threshold?")]
    way: Annotated[Way, port("up or down; nothing where it has not crossed")]
    price: Annotated[Decimal, port("the price, quote currency per unit")]
    previous: Annotated[Decimal, port("the close before it")]


@node("price_cross", category="triggers", check=provider_check)
async def price_cross(
    price: Annotated[Decimal | None, port("the price now; the latest close where none comes")] = None,
    time: Annotated[int | None, port("when that price was said, ns since 1970 UTC; the run's time where none")] = None,
    previous: Annotated[Decimal | None, port("the close before it; of the bar before where none comes")] = None,
    *,
    threshold: Annotated[Decimal, param("the level, quote currency per unit", gt=0)],
    direction: Annotated[Direction, param("which crossing counts")] = "any",
    symbol: SymbolName = "",
    provider: ProviderName = "",
    interval: Interval = "",
    providers: Providers,
    context: Context,
) -> CrossOutputs:
    """A price has crossed a level since the bar before.

    Up: previous < threshold <= price; down: previous > threshold >= price. The bar before is the latest that had ended
    before the price was said.
    """
    if price is None or previous is None:
        bars = await recent(
            providers, context, count=2, least=1, provider=provider, symbol=symbol, interval=interval
        )  # fmt: skip
        if price is None:
            price, time = bars[-1].close, bars[-1].end_ns
        said = context.now if time is None else time
        earlier = [bar for bar in bars if bar.end_ns < said]
        if previous is None and not earlier:
            raise InvalidInput(f"{context.node}.previous", "no bar that ended before the price", "two bars")
        previous = earlier[-1].close if previous is None else previous
    positive(price, f"{context.node}.price")
    positive(previous, f"{context.node}.previous")
    way: Way = "up" if previous < threshold <= price else "down" if previous > threshold >= price else ""
    signal = bool(way) and direction in ("any", way)
    return CrossOutputs(signal, way if signal else "", price, previous)


class SpikeOutputs(msgspec.Struct, frozen=True):
    """What ``volume_spike`` gives."""

    signal: Annotated[bool, port("is the volume that much above the average?")]
    ratio: Annotated[Decimal | None, port("volume over average, to sixteen places; null where the average is zero")]
    volume: Annotated[Decimal, port("of the latest bar, base units")]
    average: Annotated[Decimal, port("of the bars before it, base units")]


@node("volume_spike", category="triggers", check=provider_check)
async def volume_spike(
    volume: Annotated[Decimal | None, port("the volume to judge; the latest bar's where none comes")] = None,
    bars: Bars = None,
    *,
    multiplier: Annotated[Decimal, param("how many times the average is a spike", gt=1)] = Decimal(2),
    window: Annotated[int, param("over how many bars the average is taken", unit="bars", ge=1, le=1_000)] = 20,
    symbol: SymbolName = "",
    provider: ProviderName = "",
    interval: Interval = "",
    providers: Providers,
    context: Context,
) -> SpikeOutputs:
    """The latest volume is a multiple of what it was on average in the bars before; never where that is zero."""
    found = await recent(
        providers, context, bars=bars, count=window + 1, provider=provider, symbol=symbol, interval=interval
    )
    latest = found[-1].volume if volume is None else volume
    if not latest.is_finite() or latest < 0:
        raise InvalidInput(f"{context.node}.volume", latest, "a volume of zero or more")
    total = Decimal(0)
    for bar in found[-1 - window : -1]:
        total = EXACT.add(total, bar.volume)
    average = quotient(total, Decimal(window))
    ratio = quotient(EXACT.multiply(latest, Decimal(window)), total) if total else None
    return SpikeOutputs(ratio is not None and ratio >= multiplier, ratio, latest, average)


class TimeOutputs(msgspec.Struct, frozen=True):
    """What ``time_trigger`` gives."""

    signal: Annotated[bool, port("is it one of the times?")]
    due: Annotated[int | None, port("which, ns since 1970 UTC; null where it is none")]


def _times(schedule: str, zone: str) -> list[Cron]:
    """
    Raises:
        InvalidInput: neither times of the day nor a cron text, or no such zone.
    """
    if not schedule.strip():
        return []
    clocks = [_CLOCK.fullmatch(part) for part in schedule.split(",")]
    if not all(clocks):
        return [Cron(schedule.strip(), zone)]
    return [Cron(f"{int(clock[2])} {int(clock[1])} * * *", zone) for clock in clocks if clock]


def _step(interval: str | int) -> int:
    """ns, 0 where none is said.

    Raises:
        InvalidInput: no duration above zero.
    """
    if interval == "":
        return 0
    number = int(interval) if isinstance(interval, str) and interval.isdecimal() else interval
    found = number * _MINUTE_NS if isinstance(number, int) else duration(number, "interval")
    if found <= 0:
        raise InvalidInput("interval", interval, "minutes above zero, or a duration such as '15m'")
    return found


def _zone(zone: str) -> None:
    Cron("0 0 * * *", zone)


Times = Annotated[str, checked(lambda text: _times(text, "UTC"))]
Every = Annotated[str | int, checked(_step)]
Zone = Annotated[str, checked(_zone)]


@node("time_trigger", category="triggers")
def time_trigger(
    *,
    schedule: Annotated[Times, param("times of the day such as '9:30,15:45', or a cron text")] = "",
    interval: Annotated[
        Every,
        param("or every so often since 1970 UTC: '15m', or a number of minutes", aliases=("interval_minutes",)),
    ] = "",
    zone: Annotated[Zone, param("whose clock the times are of", aliases=("timezone",))] = "UTC",
    tolerance: Annotated[DurationAboveZero, param("how long after a time it still counts")] = "1 minute",
    context: Context,
) -> TimeOutputs:
    """Whether the run is at one of these times, or not long after it."""
    late, times, step = duration(tolerance, "tolerance"), _times(schedule, zone), _step(interval)
    if not times and not step:
        raise InvalidInput(f"{context.node}.schedule", "nothing", "times of the day, a cron text, or an interval")
    # the time of the run itself counts; one that is as long ago as the tolerance does not
    found = [due for one in times if (due := one.next(context.now - late)) is not None and due <= context.now]
    if step and context.now % step < late:
        found.append(context.now - context.now % step)
    due = max(found, default=None)
    return TimeOutputs(due is not None, due)


class WebhookOutputs(msgspec.Struct, frozen=True):
    """What ``webhook`` gives."""

    data: Annotated[Any, port("the body that was posted; else what the run was started with")]
    headers: Annotated[dict[str, str], port("those headers that the webhook keeps")]
    received: Annotated[bool, port("was the run started by this webhook?")]


@node("webhook", category="triggers")
def webhook(
    *,
    hook: Annotated[
        str, param("name of the webhook, or a path that ends in it; any where none is named", aliases=("url", "name"))
    ] = "",
    context: Context,
) -> WebhookOutputs:
    """What a webhook brought; null where another one started the run."""
    event, wanted = context.event, hook.rstrip("/").rpartition("/")[2]
    if not isinstance(event, WebhookReceived):
        return WebhookOutputs(_plain(event), {}, received=False)
    if wanted and event.hook != wanted:
        return WebhookOutputs(None, {}, received=False)
    return WebhookOutputs(event.body, event.headers, received=True)


class ListenerOutputs(msgspec.Struct, frozen=True):
    """What ``event_listener`` gives."""

    event: Annotated[Any, port("the event's fields, in snake_case; null where it was another one")]
    matched: Annotated[bool, port("was the run started by such an event?")]


@node("event_listener", category="triggers")
def event_listener(
    *,
    event_type: Annotated[
        str, param("name of the event such as market/price.changed, its `type`, or the kind of trigger; any where none")
    ] = "",
    context: Context,
) -> ListenerOutputs:
    """The event that started the run, if it is one of the type."""
    event = context.event
    named = {context.trigger, *(str(context.given(field) or "") for field in ("type", "event_type"))}
    if isinstance(event, Event):
        named.add(event.event_name)
    matched = not event_type or event_type in named
    return ListenerOutputs(_plain(event) if matched else None, matched)


class ManualOutputs(msgspec.Struct, frozen=True):
    """What ``manual_trigger`` gives."""

    trigger: Annotated[bool, port("was the run started by hand?")]


@node("manual_trigger", category="triggers")
def manual_trigger(*, context: Context) -> ManualOutputs:
    """Whether the run was started by hand."""
    return ManualOutputs(context.trigger == "manual")


def _plain(event: Any) -> Any:
    return event.model_dump(mode="json") if isinstance(event, BaseModel) else msgspec.to_builtins(event)
