"""Standing alerts of an engine: kept on its tape, judged as prices and positions come in.

Theory of operation. The tape is the only memory: what is set, cancelled, fired and armed again is an event, views
fold these, and the indexes that judge prices are made from the views when the service begins. A price costs a look into
them; only what it fires touches the engine. Firings are posted and not waited for: whoever listens to
``AlertTriggered`` sends messages by effects, and those wait for the disk.

**Exactly once.** A firing is one record. If the process dies before the record is on disk, the alert is still armed
when the engine is opened again, and the next price fires it; if it was on disk, the alert has fired. Prices may be fed
again, in order of time, from any point before the crash: what they have said they do not say twice.

One service for an engine. Whoever else emits these events (a workflow that sets an alert) is heard at the next start
only: within a process, call the service.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from tickwork.core.view import View
from tickwork.engines.embedded.engine import Engine
from tickwork.errors import InvalidInput, NotFound
from tickwork.market.alert_events import (
    AlertCancelled,
    AlertRearmed,
    AlertSet,
    AlertTriggered,
    PriceNoted,
    alert_prices,
    price_alerts,
)
from tickwork.market.alert_index import AlertIndex
from tickwork.market.alerts import AlertState, PriceAlert
from tickwork.market.position_rules import Position, PositionRule, RuleState
from tickwork.market.recording import Tick
from tickwork.market.rule_events import RuleCancelled, RuleRearmed, RuleSet, RuleTriggered, position_rules
from tickwork.market.rule_index import RuleFired, RuleIndex
from tickwork.values import DurationLike, from_ns

ALERT_VIEWS: Final[tuple[View, ...]] = (price_alerts, alert_prices, position_rules)
"""The views that the engine must be given."""

HOUSE: Final = "local"
"""Whose alerts and rules those are that belong to nobody in particular: of whoever runs the process."""

_log = logging.getLogger("tickwork.alerts")

Triggered = AlertTriggered | RuleTriggered


class AlertInfo(msgspec.Struct, frozen=True, rename="camel"):
    """A standing alert, for whoever asks."""

    id: str
    owner: str
    symbol: str
    condition: str
    threshold: Decimal
    recurring: bool
    cooldown: str
    hysteresis: Decimal
    note: str
    armed: bool
    """False: it has fired, and waits for the price to go back."""
    fired_at: datetime | None
    """When it last fired."""


class RuleInfo(msgspec.Struct, frozen=True, rename="camel"):
    """A standing rule, for whoever asks."""

    id: str
    owner: str
    kind: str
    threshold: Decimal
    symbol: str | None
    recurring: bool
    hysteresis: Decimal
    note: str
    beyond: list[str]
    """The symbols it has fired for and is not armed again."""
    fired_at: datetime | None
    """When it last fired, for whichever symbol."""


class AlertSetting(msgspec.Struct, frozen=True, rename="camel"):
    """What was set."""

    id: str
    owner: str
    fed: bool
    """Some feed brings its prices; else it waits in vain."""


class Unfed(msgspec.Struct, frozen=True, rename="camel"):
    """A symbol whose prices nobody brings: what waits for them waits in vain."""

    symbol: str
    alerts: int
    rules: int


class Alerts:
    """Alerts and rules of everybody, over an open engine that was given ``ALERT_VIEWS``.

    Args:
        engine: where they are kept.
        fed: the symbols whose prices are fed to ``on_price``; setting an alert on another one is warned about.
            ``None``: not known, nothing is warned about.
        throttle: at most one firing of a kind of rule for a symbol of an owner in this time.

    Raises:
        InvalidInput: the engine does not have the views.
    """

    def __init__(self, engine: Engine, *, fed: Collection[str] | None = None, throttle: DurationLike = "0s") -> None:
        self.fed = fed
        self._engine = engine
        self._alerts = AlertIndex()
        self._rules = RuleIndex(throttle)
        self._alerts.load(engine.items(price_alerts).items(), engine.items(alert_prices))
        self._rules.load(engine.items(position_rules).items())

    @property
    def stale(self) -> int:
        """Prices and positions that were ignored because a newer one had been seen; alerts and rules each count."""
        return self._alerts.stale + self._rules.stale

    # -- price alerts ---------------------------------------------------------------------------------------------

    async def set(self, alert: PriceAlert) -> None:
        """Let an alert stand; on return it is on disk. One of the same id is replaced; an equal one is left as it is.

        Raises:
            InvalidInput: the id is that of another owner's alert.
        """
        await self.set_all([alert])

    async def set_all(self, alerts: Iterable[PriceAlert]) -> None:
        """Like ``set``, for many at once: they share the wait for the disk.

        Raises:
            InvalidInput: as ``set``; those before it are set.
        """
        try:
            for alert in alerts:
                self._set(alert)
        finally:
            await self._engine.durable()

    def _set(self, alert: PriceAlert) -> None:
        before = self._alerts.get(alert.id)
        if before == alert:
            return
        if before is not None and before.owner != alert.owner:
            raise InvalidInput("id", alert.id, "an id that no other owner's alert has")
        self._warn(alert.symbol, f"alert {alert.id!r}")
        self._engine.post(AlertSet.of(alert, self._alerts.newest_ns(alert.symbol)))
        self._alerts.set(alert)

    async def cancel(self, id: str, owner: str | None = None) -> None:
        """Take an alert away; on return that is on disk.

        Raises:
            NotFound: there is none of this id, or, where an owner is given, it is not theirs.
        """
        alert = self._alerts.get(id)
        if alert is None or owner not in (None, alert.owner):
            raise NotFound("alert", id, "the id of a standing alert" + (f" of {owner}" if owner else ""))
        self._engine.post(AlertCancelled(id=id, owner=alert.owner))
        self._alerts.cancel(id)
        await self._engine.durable()

    def list(
        self, owner: str | None, *, symbol: str = "", after: str = "", limit: int | None = None
    ) -> Sequence[AlertInfo]:
        """An owner's standing alerts, sorted by id; ``owner=None``: everybody's. ``after``: only ids beyond it."""
        found: list[AlertInfo] = []
        ids = self._alerts.ids(owner)
        for id in ids[bisect_right(ids, after) :]:
            if len(found) == limit:
                break
            state: AlertState = self._engine.read(price_alerts, id)
            if symbol not in ("", state.symbol):
                continue
            alert = state.alert(id)
            found.append(
                AlertInfo(
                    id,
                    alert.owner,
                    alert.symbol,
                    alert.condition,
                    alert.threshold,
                    alert.recurring,
                    alert.cooldown,
                    alert.hysteresis,
                    alert.note,
                    state.armed,
                    None if state.fired_ns is None else from_ns(state.fired_ns),
                )
            )
        return found

    # -- rules on positions ---------------------------------------------------------------------------------------

    async def set_rule(self, rule: PositionRule) -> None:
        """Let a rule stand; on return it is on disk. As ``set``.

        Raises:
            InvalidInput: the id is that of another owner's rule.
        """
        before = self._rules.get(rule.id)
        if before is not None and before.owner != rule.owner:
            raise InvalidInput("id", rule.id, "an id that no other owner's rule has")
        if before != rule:
            if rule.symbol is not None and rule.looks_at_prices:
                self._warn(rule.symbol, f"rule {rule.id!r}")
            self._engine.post(RuleSet.of(rule, self._rules.seen(rule)))
            self._rules.set(rule)
        await self._engine.durable()

    async def cancel_rule(self, id: str, owner: str | None = None) -> None:
        """Take a rule away; on return that is on disk.

        Raises:
            NotFound: there is none of this id, or, where an owner is given, it is not theirs.
        """
        rule = self._rules.get(id)
        if rule is None or owner not in (None, rule.owner):
            raise NotFound("rule", id, "the id of a standing rule" + (f" of {owner}" if owner else ""))
        self._engine.post(RuleCancelled(id=id, owner=rule.owner))
        self._rules.cancel(id)
        await self._engine.durable()

    def rules(self, owner: str | None) -> Sequence[RuleInfo]:
        """An owner's standing rules, sorted by id; ``None``: everybody's."""
        found: list[RuleInfo] = []
        for rule in self._rules.of(owner):
            state: RuleState = self._engine.read(position_rules, rule.id)
            times = [mark.fired_ns for mark in state.marks.values() if mark.fired_ns is not None]
            found.append(
                RuleInfo(
                    rule.id,
                    rule.owner,
                    rule.kind,
                    rule.threshold,
                    rule.symbol,
                    rule.recurring,
                    rule.hysteresis,
                    rule.note,
                    sorted(symbol for symbol, mark in state.marks.items() if mark.beyond),
                    from_ns(max(times)) if times else None,
                )
            )
        return found

    def positions(self, owner: str) -> Sequence[Position]:
        """An owner's open positions, as they were told since the service began."""
        return self._rules.positions(owner)

    # -- what comes in --------------------------------------------------------------------------------------------

    def on_price(
        self, symbol: str, price: Decimal, at_ns: int, *, recording: str = "", offset: int | None = None
    ) -> Sequence[Triggered]:
        """Take a price and when it was that (ns since 1970 UTC); what it triggers is published and returned.

        Feed each symbol from one source, or from several in order of time: a price older than the newest is ignored.

        Raises:
            InvalidInput: a price that is not a finite Decimal above zero. It decides nothing.
        """
        fired = self._alerts.on_price(symbol, price, at_ns)
        breached = self._rules.on_price(symbol, price, at_ns)
        said = fired or breached or self._alerts.rearmed or self._alerts.noted or self._rules.rearmed
        if not said:
            return []
        events: Sequence[Triggered] = [
            *(AlertTriggered.of(one, recording, offset) for one in fired),
            *(RuleTriggered.of(one, recording, offset) for one in breached),
        ]
        self._publish(events)
        return events

    def on_tick(self, tick: Tick) -> Sequence[Triggered]:
        """Like ``on_price``, with the close of a recorded bar, known at its end."""
        bar = tick.bar
        return self.on_price(bar.symbol, bar.close, bar.end_ns, recording=tick.recording, offset=tick.offset)

    def on_position(self, position: Position) -> Sequence[Triggered]:
        """Take how a position is now; what that triggers is published and returned.

        Positions are not on the tape: tell of all of them when the service has begun, and then whenever one changes or,
        for rules on deltas and expiries, whenever these are known anew.
        """
        return self._breached(self._rules.on_position(position))

    def on_positions(self, owner: str, positions: Iterable[Position], at_ns: int) -> Sequence[Triggered]:
        """Take all positions of an owner at once: what is not among them is closed.

        Raises:
            InvalidInput: a position is another owner's.
        """
        return self._breached(self._rules.on_positions(owner, positions, at_ns))

    def _breached(self, fired: Sequence[RuleFired]) -> Sequence[Triggered]:
        events = [RuleTriggered.of(one, "", None) for one in fired]
        self._publish(events)
        return events

    def _publish(self, triggered: Sequence[Triggered]) -> None:
        rearmed = [
            *(AlertRearmed.of(one) for one in self._alerts.rearmed),
            *(RuleRearmed.of(one) for one in self._rules.rearmed),
        ]
        self._alerts.rearmed.clear()
        self._rules.rearmed.clear()
        # last: a price that is kept is one whose every consequence is
        noted = [PriceNoted.of(one) for one in self._alerts.noted]
        self._alerts.noted.clear()
        for event in (*rearmed, *triggered, *noted):
            self._engine.post(event)

    # -- other processes ------------------------------------------------------------------------------------------

    def verbs(self) -> dict[str, Any]:
        """What other processes may ask for, to be given to ``Engine.offer``."""

        async def listed(
            owner: str | None = None, symbol: str = "", after: str = "", limit: int | None = None
        ) -> Sequence[AlertInfo]:
            await self._engine.durable()
            return self.list(owner, symbol=symbol, after=after, limit=limit)

        async def set_(**fields: Any) -> AlertSetting:
            alert = PriceAlert(**fields)
            await self.set(alert)
            return AlertSetting(alert.id, alert.owner, self._fed(alert.symbol))

        async def cancelled(id: str, owner: str | None = None) -> None:
            await self.cancel(id, owner)

        async def rules(owner: str | None = None) -> Sequence[RuleInfo]:
            await self._engine.durable()
            return self.rules(owner)

        async def set_rules(rules: Sequence[dict[str, Any]]) -> list[AlertSetting]:
            made = [PositionRule(**fields) for fields in rules]  # one that is wrong keeps out all
            for rule in made:
                await self.set_rule(rule)
            return [AlertSetting(one.id, one.owner, one.symbol is None or self._fed(one.symbol)) for one in made]

        async def cancelled_rule(id: str, owner: str | None = None) -> None:
            await self.cancel_rule(id, owner)

        return {
            "alerts": listed,
            "alerts.set": set_,
            "alerts.cancel": cancelled,
            "rules": rules,
            "rules.set": set_rules,
            "rules.cancel": cancelled_rule,
        }

    def _fed(self, symbol: str) -> bool:
        return self.fed is None or symbol in self.fed

    # -- symbols that nobody feeds --------------------------------------------------------------------------------

    def unfed(self, fed: Collection[str]) -> Sequence[Unfed]:
        """The symbols that something waits for and that are not among ``fed``, sorted."""
        alerts, rules = self._alerts.symbols(), self._rules.symbols()
        missing = sorted((alerts.keys() | rules.keys()) - set(fed))
        return [Unfed(symbol, alerts.get(symbol, 0), rules.get(symbol, 0)) for symbol in missing]

    def _warn(self, symbol: str, what: str) -> None:
        if self.fed is not None and symbol not in self.fed:
            _log.warning("%s waits for prices of %s, which no feed brings", what, symbol)
