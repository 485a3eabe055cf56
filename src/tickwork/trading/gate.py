"""The risk gate: the one place where an intent becomes an approved order.

Theory of operation. The rules are data (``limits``); the gate is a pure function of them and of what it is shown: the
intent, the ledger, the reservations, the activity, quotes, the time and the halt. It keeps no counters of its own,
because a counter beside the tape is a second truth that a restart forgets. The answer is a value. A refusal names the
rule, whose limit it is, the limit and the actual figure; nothing is raised, so that it goes on the tape like any other
decision. Of several refusals the first is given, in this order:

    halt · unresolved (a restart's open intents) · unknown (an order in this symbol) · symbol (not the venue's)
    · symbols (allowed, forbidden) · session · price (missing, NaN, zero) · quote age · price band (reference against
    quote) · limit band · price tick · min quantity · max quantity · min notional · holdings (selling what is not
    ours) · and then all of ``measures.RULES``, which counts worst cases: each of account, workflow and symbol that has
    a limit, in this order

What is missing, stale or not a number refuses wherever a limit needs it. An approval carries a warning for each limit
that it brings near its end.

**Reductions are always allowed**, whatever the halt, the quote or the limits say: an order marked ``reduce_only``,
against the position, capped at the position. They neither need nor count as room. That they cannot open anything is
seen to by whoever can:

* In a contract, the venue: it is told that the order only reduces, and cuts or drops it when the position is gone. Any
  number of reductions may be on their way, so a stop and a take-profit can rest side by side.
* Where nothing can be sold short, a sell cannot open anything, whatever happens: the venue has nothing to deliver. But
  there may be more of the coin than this position (somebody's own, paid in, or bought in another pair), and two
  reductions would sell it. So a reduction is cut down to what reductions already on their way leave of the position,
  and fees that were taken of the coin itself, and refused where these leave nothing. To replace one, cancel it first:
  the venue's answer to the cancel frees its quantity. A reduction whose fate is *unknown* does not count, because an
  unknown order must never block a stop; if it was executed after all, the second one sells what else there is, never
  what there is not.
* Where pairs or shares can be sold short and the venue knows no order that only reduces (``shorts``), and in a purchase
  that reduces a pair, unknown reductions count too: there the second one could open a position.

A sell that is not marked so is judged as if it might open a short, which it might. Where nothing can be sold short it
may come to no more than the *holdings* instead: what the books have of the coin (positions in all its pairs and cash,
from which fees taken of the coin are gone) less everything that may still take some of it away, known or not. The
venue's balance is not asked: it may hold coins that are no business of this account.

Approvals expire (``approval_ttl``): what was judged by a price must not be sent long after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tickwork.errors import Refused
from tickwork.market.bars import Quote
from tickwork.trading.activity import Activity
from tickwork.trading.exposure import Case, Exposure, Measured, Quotes, Terms, exposure_of, is_price, share
from tickwork.trading.halt import Halt
from tickwork.trading.hours import OpenHours
from tickwork.trading.ledger import Ledger
from tickwork.trading.limits import Reading, RiskLimits, RiskRules
from tickwork.trading.matching import TradingRules
from tickwork.trading.measures import Bound, Rule
from tickwork.trading.orders import _SEAL, ZERO, Approval, ApprovedOrder, OrderIntent
from tickwork.trading.reservations import Reservations
from tickwork.trading.rulebook import Plan, Rulebook
from tickwork.values import EXACT, age_text, base_of, duration_text, quote_of, ratio, rounded_down, rounded_up

__all__ = ["Decision", "Reading", "Refusal", "RiskGate", "RiskLimits", "RiskRules"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Our own no. Limit and actual are texts, so that no digit is lost and any rule can state what it compares."""

    rule: str
    limit: str = ""
    actual: str = ""
    scope: str = ""
    """Whose limit: ``account``, ``workflow NAME``, ``symbol NAME``; ``""`` for a rule that is nobody's."""

    def error(self) -> Refused:
        """To be raised."""
        return Refused(self.rule, self.limit, self.actual, self.scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the gate said to an intent: exactly one of the two is there. This is what the tape keeps."""

    approval: Approval | None = None
    refusal: Refusal | None = None


class RiskGate:
    """Judges intents by fixed limits.

    Args:
        limits: of the account, or of it, its workflows and symbols.
        rules: what the venue asks, by symbol.
        shorts: what is no contract can be sold short at the venue too.
        markets: the sessions of a market by its name, for limits that name one: ``market.sessions.Sessions``.

    Raises:
        InvalidInput: a session of a market that is not known.
    """

    def __init__(
        self,
        limits: RiskLimits | RiskRules,
        rules: Mapping[str, TradingRules],
        *,
        shorts: bool = False,
        markets: Callable[[str], OpenHours] | None = None,
    ) -> None:
        self.limits = limits if isinstance(limits, RiskRules) else RiskRules(account=limits)
        self.rules = rules
        self._book = Rulebook(self.limits, markets)
        currencies = {quote_of(name) for name in rules}
        self._terms = Terms(
            currency=self.limits.currency or (currencies.pop() if len(currencies) == 1 else ""),
            shorts=shorts,
            quote_age=self._book.plan("", "").quote_age,
            equity_age=self._book.equity_age,
        )

    @property
    def currency(self) -> str:
        """Of all money in its limits; ``""``: that of each symbol."""
        return self._terms.currency

    def check(
        self,
        intent: OrderIntent,
        *,
        ledger: Ledger,
        reservations: Reservations,
        quote: Quote | None,
        now: int,
        halt: Halt,
        activity: Activity | None = None,
        marks: Quotes | None = None,
    ) -> Decision:
        """Judge ``intent``.

        Args:
            intent: what is wanted.
            ledger: what is held.
            reservations: what is on its way.
            quote: the freshest of the intent's symbol, or ``None``.
            now: in ns.
            halt: whether trading is halted.
            activity: what else limits count; without it those that need it refuse.
            marks: the freshest quotes of other symbols; without it limits that need one refuse.
        """
        plan = self._book.plan(intent.workflow, intent.symbol)
        if intent.reduce_only:
            return self._reduction(intent, plan, ledger, reservations, quote, now)
        refusal = (
            self._blocked(intent, reservations, halt)
            or _admitted(intent, plan, now)
            or _priced(intent, plan, quote, now)
        )
        if refusal is not None:
            return Decision(refusal=refusal)
        assert quote is not None  # `_priced` refuses a missing one
        rules = self.rules[intent.symbol]
        meets = quote.ask if intent.side == "buy" else quote.bid
        limit = _on_tick(intent, rules)
        if limit == 0:
            return Decision(refusal=_below_tick(intent, rules))
        worst = meets if limit is None else max(meets, limit)
        wanted = intent.quantity if intent.quantity is not None else ratio(intent.notional or ZERO, worst)
        quantity = rounded_down(wanted, rules.quantity_step)
        case = Case(
            terms=self._terms,
            ledger=ledger,
            reservations=reservations,
            activity=activity,
            marks=marks or (lambda name: quote if name == quote.symbol else None),
            now=now,
            symbol=intent.symbol,
            side=intent.side,
            quantity=quantity,
            price=worst,
            ask=quote.ask,
            leverage=intent.leverage,
        )
        warnings: list[Reading] = []
        refusal = _size(case, plan, rules) or _held(case) or _first(case, plan, warnings)
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
                expires_at=now + plan.approval_ttl,
                warnings=tuple(warnings),
            )
        )

    def still_fits(
        self,
        approval: Approval,
        *,
        ledger: Ledger,
        reservations: Reservations,
        now: int = 0,
        activity: Activity | None = None,
        marks: Quotes = lambda name: None,
    ) -> Refusal | None:
        """Is there room left for a decision whose reservation was lost, by a restart or a retry? ``None``: yes."""
        intent = approval.intent
        if intent.reduce_only:
            left = self._left_to_reduce(intent, ledger, reservations)
            return None if approval.quantity <= left else _covered(left, approval.quantity)
        case = Case(
            terms=self._terms,
            ledger=ledger,
            reservations=reservations,
            activity=activity,
            marks=marks,
            now=now,
            symbol=intent.symbol,
            side=intent.side,
            quantity=approval.quantity,
            price=approval.valuation_price,
            leverage=intent.leverage,
            counted=True,
        )
        return _held(case) or _first(case, self._book.plan(intent.workflow, intent.symbol), [])

    def explain(
        self,
        *,
        ledger: Ledger,
        reservations: Reservations,
        now: int,
        activity: Activity | None = None,
        marks: Quotes = lambda name: None,
    ) -> list[Reading]:
        """How every limit stands that can be measured without an order: those of symbols for each that has something.

        For people: nothing is decided by it.
        """
        found = self.standing(ledger=ledger, reservations=reservations, now=now, activity=activity, marks=marks)
        return [reading for reading, _ in found]

    def standing(
        self,
        *,
        ledger: Ledger,
        reservations: Reservations,
        now: int,
        activity: Activity | None = None,
        marks: Quotes = lambda name: None,
    ) -> list[tuple[Reading, bool]]:
        """As ``explain``, each with whether it is near its end, beyond it, or cannot be measured."""
        case = Case(
            terms=self._terms, ledger=ledger, reservations=reservations, activity=activity, marks=marks, now=now
        )
        found: list[tuple[Reading, bool]] = []
        for rule, bound in self._book.standing(case):
            actual = rule.measure(case, bound)
            near = isinstance(actual, str) or (actual is not None and actual >= bound.warn)
            found.append((_reading(rule, bound, actual, case.symbol), near))
        return found

    def exposure(
        self,
        *,
        ledger: Ledger,
        reservations: Reservations,
        now: int,
        activity: Activity | None = None,
        marks: Quotes = lambda name: None,
    ) -> Exposure:
        """What an account is exposed to, as limits count it. For people: nothing is decided by it."""
        return exposure_of(
            Case(terms=self._terms, ledger=ledger, reservations=reservations, activity=activity, marks=marks, now=now)
        )

    @staticmethod
    def seal(approval: Approval) -> ApprovedOrder:
        """The approved order of a decision of this gate, fresh or read back from the tape. For the desk alone."""
        return ApprovedOrder(approval, _SEAL)

    # -- the rules ------------------------------------------------------------------------------------------------

    def _reduction(
        self,
        intent: OrderIntent,
        plan: Plan,
        ledger: Ledger,
        reservations: Reservations,
        quote: Quote | None,
        now: int,
    ) -> Decision:
        held = ledger.quantity(intent.symbol)
        wanted = intent.quantity or ZERO
        if held == 0 or (held > 0) == (intent.side == "buy"):
            nothing = f"a {intent.side} against a position of {held}"
            return Decision(refusal=Refusal(rule="reduce_only", limit=nothing, actual=str(wanted)))
        left = self._left_to_reduce(intent, ledger, reservations)
        if left <= 0:
            return Decision(refusal=_covered(left, wanted))
        rules = self.rules.get(intent.symbol)
        quantity = min(wanted, left)
        if rules is not None:
            quantity = rounded_down(quantity, rules.quantity_step)
        if quantity == 0:
            step = str(rules.quantity_step) if rules else ""
            return Decision(refusal=Refusal(rule="min_quantity", limit=step, actual=str(wanted)))
        limit = _on_tick(intent, rules) if rules else intent.limit_price
        if rules and limit == 0:
            return Decision(refusal=_below_tick(intent, rules))
        meets = None if quote is None else quote.ask if intent.side == "buy" else quote.bid
        usable = meets if is_price(meets) else None
        return Decision(
            approval=Approval(
                intent=intent,
                quantity=quantity,
                limit_price=limit,
                valuation_price=usable or ZERO,
                quote_price=usable,
                quote_time=quote.time_ns if quote is not None else 0,
                approved_at=now,
                expires_at=now + plan.approval_ttl,
            )
        )

    def _left_to_reduce(self, intent: OrderIntent, ledger: Ledger, reservations: Reservations) -> Decimal:
        """How much a reduction may come to: see the module's text."""
        held = ledger.quantity(intent.symbol)
        if (held > 0) == (intent.side == "buy"):
            return ZERO
        left = abs(held)
        if ":" in intent.symbol:
            return left
        if intent.side == "sell":
            # fees that were taken of the coin itself were never there to be sold
            left = EXACT.add(left, min(ledger.cash(base_of(intent.symbol)), ZERO))
        doubtful_too = self._terms.shorts or intent.side == "buy"
        for one, quantity in reservations.of(intent.symbol):
            if one.reduce_only and one.side == intent.side and (doubtful_too or one.state != "unknown"):
                left = EXACT.subtract(left, quantity)
        return max(left, ZERO)

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


def _admitted(intent: OrderIntent, plan: Plan, now: int) -> Refusal | None:
    """May this symbol be traded, now?"""
    for scope, allowed, forbidden in plan.symbols:
        if allowed is not None and intent.symbol not in allowed:
            named = ", ".join(sorted(allowed)) or "none"
            return Refusal(rule="allowed_symbols", limit=named, actual=intent.symbol, scope=scope)
        if intent.symbol in forbidden:
            return Refusal(rule="forbidden_symbols", limit=f"not {intent.symbol}", actual=intent.symbol, scope=scope)
    for scope, session in plan.sessions:
        closed = session.closed(now)
        if closed:
            return Refusal(rule="session", limit=session.text, actual=closed, scope=scope)
    return None


def _priced(intent: OrderIntent, plan: Plan, quote: Quote | None, now: int) -> Refusal | None:
    """Is there a fresh price, and was the intent made near it?"""
    if quote is None or not is_price(quote.bid) or not is_price(quote.ask):
        actual = "none" if quote is None else f"bid {quote.bid}, ask {quote.ask}"
        return Refusal(rule="price", limit="a quote above zero", actual=actual)
    if quote.symbol != intent.symbol:
        return Refusal(rule="price", limit=f"a quote of {intent.symbol}", actual=quote.symbol)
    age = now - quote.time_ns
    if abs(age) > plan.quote_age:
        actual = age_text(age)
        limit = duration_text(plan.quote_age)
        return Refusal(rule="quote_age", limit=limit, actual=actual, scope=plan.quote_age_scope)
    reference = intent.reference_price
    if reference is None or not is_price(reference):
        return Refusal(rule="price", limit="a reference price above zero", actual=str(reference))
    meets = quote.ask if intent.side == "buy" else quote.bid
    bands = plan.bands
    off = share(abs(EXACT.subtract(reference, meets)), meets) if reference != meets else ZERO
    refusal = _outside("price_band", bands, off)
    if refusal is not None or intent.limit_price is None:
        return refusal
    # far on the aggressive side is a slip of the finger; far on the passive side it only waits
    beyond = EXACT.subtract(intent.limit_price, meets)
    return _outside("limit_band", bands, share(beyond if intent.side == "buy" else -beyond, meets))


def _outside(rule: str, bands: Sequence[Bound], off: Decimal) -> Refusal | None:
    for band in bands:
        if off > band.limit:
            return Refusal(rule=rule, limit=str(band.limit), actual=f"{off:.6f}", scope=band.scope)
    return None


def _size(case: Case, plan: Plan, rules: TradingRules) -> Refusal | None:
    """Is the order large enough, and not too large, for the venue and for us?"""
    quantity = case.quantity
    least = max(rules.quantity_step, rules.min_quantity)
    if quantity < least:
        return Refusal(rule="min_quantity", limit=str(least), actual=str(quantity))
    if rules.max_quantity is not None and quantity > rules.max_quantity:
        return Refusal(rule="max_quantity", limit=str(rules.max_quantity), actual=str(quantity))
    notional = EXACT.multiply(quantity, case.price)
    if notional < rules.min_notional:
        return Refusal(rule="min_notional", limit=str(rules.min_notional), actual=str(notional))
    if plan.min_notional:
        rate = case.rate(case.symbol)
        ours = rate if isinstance(rate, str) else EXACT.multiply(notional, rate)
        for bound in plan.min_notional:
            if isinstance(ours, str) or ours < bound.limit:
                return Refusal(rule=bound.rule, limit=str(bound.limit), actual=str(ours), scope=bound.scope)
    return None


def _held(case: Case) -> Refusal | None:
    """Do the books hold what is sold, where it cannot be sold short?"""
    if case.side == "buy" or case.terms.can_short(case.symbol):
        return None
    free = case.free()
    if case.quantity <= free:
        return None
    return Refusal(rule="holdings", limit=str(max(free, ZERO)), actual=str(case.quantity))


def _first(case: Case, plan: Plan, warnings: list[Reading]) -> Refusal | None:
    """The first limit that refuses; warnings of those before it."""
    for measure, warn, rule, bound in plan.counted:
        actual = measure(case, bound)
        if actual is None:
            continue
        if isinstance(actual, str):
            return Refusal(rule=rule.name, limit=str(bound.limit), actual=actual, scope=bound.scope)
        if actual < warn:
            continue
        if actual > bound.limit or (rule.reached and actual == bound.limit):
            return Refusal(rule=rule.name, limit=str(bound.limit), actual=_text(actual), scope=bound.scope)
        warnings.append(_reading(rule, bound, actual))
    return None


def _reading(rule: Rule, bound: Bound, actual: Measured, symbol: str = "") -> Reading:
    return Reading(
        rule=rule.name,
        scope=f"{bound.scope}, {symbol}" if rule.of_symbol and symbol and bound.kind != "symbol" else bound.scope,
        limit=str(bound.limit),
        actual=_text(actual) if isinstance(actual, Decimal) else actual or "none",
        used=rounded_down(share(actual, bound.limit), _STEP) if isinstance(actual, Decimal) and bound.limit else None,
    )


_STEP: Final = Decimal("0.0001")


def _text(actual: Decimal) -> str:
    """A quotient may be endless; nobody reads beyond its sixth digit."""
    exponent = actual.as_tuple().exponent
    return f"{actual:.6f}" if isinstance(exponent, int) and exponent < -18 else str(actual)


def _covered(left: Decimal, wanted: Decimal) -> Refusal:
    limit = f"{left} that reductions on their way leave of the position; to replace one, cancel it first"
    return Refusal(rule="reduce_only", limit=limit, actual=str(wanted))


def _below_tick(intent: OrderIntent, rules: TradingRules) -> Refusal:
    return Refusal(rule="price_tick", limit=str(rules.price_tick), actual=str(intent.limit_price))


def _on_tick(intent: OrderIntent, rules: TradingRules) -> Decimal | None:
    """The limit price on the venue's tick, rounded to the passive side: never a worse price than was asked for."""
    if intent.limit_price is None:
        return None
    rounding = rounded_up if intent.side == "sell" else rounded_down
    return rounding(intent.limit_price, rules.price_tick)
