"""The risk gate: the one place where an intent becomes an approved order.

Theory of operation. The rules are data (``RiskLimits``); the gate is a pure function of them and of what it is shown:
the intent, the ledger, the reservations, a quote, the time and the halt. It keeps no counters of its own, because a
counter beside the ledger is a second truth that a restart forgets. The answer is a value. A refusal names the rule,
the limit and the actual figure; nothing is raised, so that it goes on the tape like any other decision.

An order that would take exposure must pass all of these, in this order:

    halt · unresolved (a restart's open intents) · unknown (an order in this symbol) · symbol · price (missing, NaN,
    zero) · quote age · price band (reference against quote) · limit band · min quantity · min notional
    · max order notional · max position notional

``max position notional`` counts the worst case: the position, plus everything on its way in the same direction, plus
this order, none of what is on its way in the other direction, at the worse of quote and limit price. If it holds at
every approval it holds whatever fills first.

**Reductions are always allowed**, whatever the halt, the quote or the limits say: an order marked ``reduce_only``,
against the position, capped at the position. They neither need nor count as room: the venue is told that they only
reduce (every venue must honour it or lack the means to go short), so they cannot open anything.

A sell that is not marked so is judged as if it might open a short, which it might.

Approvals expire (``approval_ttl``): what was judged by a price must not be sent long after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from tickwork.errors import InvalidInput
from tickwork.market.bars import Quote
from tickwork.trading.halt import Halt
from tickwork.trading.ledger import Ledger
from tickwork.trading.matching import TradingRules
from tickwork.trading.orders import _SEAL, ZERO, Approval, ApprovedOrder, OrderIntent
from tickwork.trading.reservations import Reservations
from tickwork.values import EXACT, DurationLike, duration, duration_text, money, ratio, rounded_down, rounded_up


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskLimits:
    """The rules, as data. Money is in the quote currency of the symbol; fractions say 1 for 100 %.

    Raises:
        InvalidInput: a limit below zero, or a float.
    """

    max_order_notional: Decimal
    """One order's price times quantity."""
    max_position_notional: Decimal
    """Per symbol: the worst case of position and orders on their way."""
    price_band: Decimal = Decimal("0.05")
    """How far the intent's reference price, and a limit price on its aggressive side, may be from the quote."""
    min_notional: Decimal = ZERO
    """Besides the venue's own; the larger of the two holds."""
    max_quote_age: DurationLike = "30 seconds"
    approval_ttl: DurationLike = "5 minutes"

    def __post_init__(self) -> None:
        for name in ("max_order_notional", "max_position_notional", "price_band", "min_notional"):
            if money(getattr(self, name), f"limits.{name}") < 0:
                raise InvalidInput(f"limits.{name}", getattr(self, name), "zero or more")
        duration(self.max_quote_age, "limits.max_quote_age")
        duration(self.approval_ttl, "limits.approval_ttl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Our own no. Limit and actual are texts, so that no digit is lost and any rule can state what it compares."""

    rule: str
    limit: str = ""
    actual: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the gate said to an intent: exactly one of the two is there. This is what the tape keeps."""

    approval: Approval | None = None
    refusal: Refusal | None = None


class RiskGate:
    """Judges intents by fixed limits. ``rules``: what the venue asks, by symbol."""

    def __init__(self, limits: RiskLimits, rules: Mapping[str, TradingRules]) -> None:
        self.limits = limits
        self.rules = rules
        self._max_quote_age = duration(limits.max_quote_age)
        self._approval_ttl = duration(limits.approval_ttl)

    def check(
        self,
        intent: OrderIntent,
        *,
        ledger: Ledger,
        reservations: Reservations,
        quote: Quote | None,
        now: int,
        halt: Halt,
    ) -> Decision:
        """Judge ``intent``. ``now`` is in ns; ``quote`` is the freshest there is, or ``None``."""
        if intent.reduce_only:
            return self._reduction(intent, ledger, quote, now)
        refusal = (
            self._blocked(intent, reservations, halt)
            or self._price(intent, quote, now)
            or self._limit_band(intent, quote)
        )
        if refusal is not None:
            return Decision(refusal=refusal)
        assert quote is not None  # `_price` refuses a missing one
        rules = self.rules[intent.symbol]
        meets = quote.ask if intent.side == "buy" else quote.bid
        limit = _on_tick(intent, rules)
        if limit == 0:
            return Decision(refusal=_below_tick(intent, rules))
        worst = meets if limit is None else max(meets, limit)
        wanted = intent.quantity if intent.quantity is not None else ratio(intent.notional or ZERO, worst)
        quantity = rounded_down(wanted, rules.quantity_step)
        refusal = self._size(quantity, worst, rules) or self._room(intent, quantity, worst, ledger, reservations)
        if refusal is not None:
            return Decision(refusal=refusal)
        return Decision(
            approval=Approval(
                intent=intent,
                quantity=quantity,
                limit_price=limit,
                valuation_price=worst,
                quote_price=meets,
                quote_time=quote.time_ns,
                approved_at=now,
                expires_at=now + self._approval_ttl,
            )
        )

    def still_fits(self, approval: Approval, *, ledger: Ledger, reservations: Reservations) -> Refusal | None:
        """Is there room left for a decision whose reservation was lost, by a restart or a retry? ``None``: yes."""
        intent = approval.intent
        if intent.reduce_only:
            return None
        return self._room(intent, approval.quantity, approval.valuation_price, ledger, reservations)

    @staticmethod
    def seal(approval: Approval) -> ApprovedOrder:
        """The approved order of a decision of this gate, fresh or read back from the tape. For the desk alone."""
        return ApprovedOrder(approval, _SEAL)

    # -- the rules ------------------------------------------------------------------------------------------------

    def _reduction(self, intent: OrderIntent, ledger: Ledger, quote: Quote | None, now: int) -> Decision:
        held = ledger.quantity(intent.symbol)
        wanted = intent.quantity or ZERO
        if held == 0 or (held > 0) == (intent.side == "buy"):
            nothing = f"a {intent.side} against a position of {held}"
            return Decision(refusal=Refusal(rule="reduce_only", limit=nothing, actual=str(wanted)))
        rules = self.rules.get(intent.symbol)
        quantity = abs(held) if wanted >= abs(held) else rounded_down(wanted, rules.quantity_step) if rules else wanted
        if quantity == 0:
            step = str(rules.quantity_step) if rules else ""
            return Decision(refusal=Refusal(rule="min_quantity", limit=step, actual=str(wanted)))
        limit = _on_tick(intent, rules) if rules else intent.limit_price
        if rules and limit == 0:
            return Decision(refusal=_below_tick(intent, rules))
        meets = None if quote is None else quote.ask if intent.side == "buy" else quote.bid
        usable = meets if _is_price(meets) else None
        return Decision(
            approval=Approval(
                intent=intent,
                quantity=quantity,
                limit_price=limit,
                valuation_price=usable or ZERO,
                quote_price=usable,
                quote_time=quote.time_ns if quote is not None else 0,
                approved_at=now,
                expires_at=now + self._approval_ttl,
            )
        )

    def _blocked(self, intent: OrderIntent, reservations: Reservations, halt: Halt) -> Refusal | None:
        if halt.stops_new_exposure:
            return Refusal(rule="halt", limit="reductions only", actual=f"{halt.level}: {halt.reason}")
        if reservations.unresolved:
            return Refusal(rule="unresolved", limit="0", actual=str(reservations.unresolved))
        unknown = reservations.pending(intent.symbol).unknown
        if unknown:
            return Refusal(rule="unknown", limit="0", actual=str(unknown))
        if intent.symbol not in self.rules:
            return Refusal(rule="symbol", limit=", ".join(sorted(self.rules)), actual=intent.symbol)
        return None

    def _price(self, intent: OrderIntent, quote: Quote | None, now: int) -> Refusal | None:
        if quote is None or not _is_price(quote.bid) or not _is_price(quote.ask):
            actual = "none" if quote is None else f"bid {quote.bid}, ask {quote.ask}"
            return Refusal(rule="price", limit="a quote above zero", actual=actual)
        if quote.symbol != intent.symbol:
            return Refusal(rule="price", limit=f"a quote of {intent.symbol}", actual=quote.symbol)
        if quote.is_stale(now, self._max_quote_age):
            age = quote.age_ns(now)
            actual = f"{duration_text(abs(age))} {'old' if age > 0 else 'in the future'}"
            return Refusal(rule="quote_age", limit=duration_text(self._max_quote_age), actual=actual)
        reference = intent.reference_price
        if reference is None or not _is_price(reference):
            return Refusal(rule="price", limit="a reference price above zero", actual=str(reference))
        meets = quote.ask if intent.side == "buy" else quote.bid
        off = ratio(abs(EXACT.subtract(reference, meets)), meets)
        if off > self.limits.price_band:
            return Refusal(rule="price_band", limit=str(self.limits.price_band), actual=f"{off:.6f}")
        return None

    def _limit_band(self, intent: OrderIntent, quote: Quote | None) -> Refusal | None:
        """A limit far on the aggressive side is a slip of the finger; far on the passive side it only waits."""
        if intent.limit_price is None or quote is None:
            return None
        meets = quote.ask if intent.side == "buy" else quote.bid
        beyond = EXACT.subtract(intent.limit_price, meets)
        off = ratio(beyond if intent.side == "buy" else -beyond, meets)
        if off > self.limits.price_band:
            return Refusal(rule="limit_band", limit=str(self.limits.price_band), actual=f"{off:.6f}")
        return None

    def _size(self, quantity: Decimal, worst: Decimal, rules: TradingRules) -> Refusal | None:
        if quantity == 0:
            return Refusal(rule="min_quantity", limit=str(rules.quantity_step), actual="0")
        notional = EXACT.multiply(quantity, worst)
        least = max(self.limits.min_notional, rules.min_notional)
        if notional < least:
            return Refusal(rule="min_notional", limit=str(least), actual=str(notional))
        if notional > self.limits.max_order_notional:
            return Refusal(rule="max_order_notional", limit=str(self.limits.max_order_notional), actual=str(notional))
        return None

    def _room(
        self, intent: OrderIntent, quantity: Decimal, worst: Decimal, ledger: Ledger, reservations: Reservations
    ) -> Refusal | None:
        held, pending = ledger.quantity(intent.symbol), reservations.pending(intent.symbol)
        if intent.side == "buy":
            after = EXACT.add(EXACT.add(held, pending.buys), quantity)
        else:
            after = EXACT.add(EXACT.subtract(pending.sells, held), quantity)
        exposure = EXACT.multiply(max(after, ZERO), worst)
        if exposure > self.limits.max_position_notional:
            limit = str(self.limits.max_position_notional)
            return Refusal(rule="max_position_notional", limit=limit, actual=str(exposure))
        return None


def _is_price(value: Decimal | None) -> bool:
    # `is_finite` first: comparing a NaN raises
    return value is not None and value.is_finite() and value > 0


def _below_tick(intent: OrderIntent, rules: TradingRules) -> Refusal:
    return Refusal(rule="price_tick", limit=str(rules.price_tick), actual=str(intent.limit_price))


def _on_tick(intent: OrderIntent, rules: TradingRules) -> Decimal | None:
    """The limit price on the venue's tick, rounded to the passive side: never a worse price than was asked for."""
    if intent.limit_price is None:
        return None
    rounding = rounded_up if intent.side == "sell" else rounded_down
    return rounding(intent.limit_price, rules.price_tick)
