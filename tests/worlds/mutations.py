"""Builds made wrong on purpose. Worlds that let one of them pass prove nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import msgspec

from tests.worlds.outside import Outside
from tickwork.engines.embedded.effects import Effects
from tickwork.market.bars import Quote
from tickwork.outcome import NotFound
from tickwork.trading.desk import Desk
from tickwork.trading.exits import ExitPlan, Leg
from tickwork.trading.gate import Decision, Refusal, RiskGate, RiskLimits
from tickwork.trading.halt import Halt
from tickwork.trading.ledger import Ledger
from tickwork.trading.orders import Fill, OrderIntent
from tickwork.trading.reservations import Reservations
from tickwork.trading.venue import Capabilities
from tickwork.values import EXACT, rounded_down
from tickwork.venues.ccxt import answers, session, wire
from tickwork.venues.ccxt.looking import Looking
from tickwork.venues.ccxt.verdicts import Judge

ONCE, BOOKS, LIMITS, HALT, EXITS = "one order each", "books agree", "limits", "halt", "exits"
RESTART, PASS, UNKNOWN, CANCELS = "restart first", "reductions pass", "nothing stays unknown", "cancels are true"


class Patches:
    """Changes that are taken back."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Put ``value`` in the place of an attribute."""
        self._before.append((owner, name, vars(owner)[name]))
        setattr(owner, name, value)

    def undo(self) -> None:
        """Take all back."""
        while self._before:
            owner, name, value = self._before.pop()
            setattr(owner, name, value)


@dataclass(frozen=True, slots=True)
class Mutation:
    """One wrong build."""

    name: str
    says: str
    apply: Callable[[Patches], None]
    shows: tuple[str, ...]
    """The laws of which one must break: a build that merely does not run has not been caught."""
    within: int
    """Seeds from 1 on in which it must be caught."""

    def shown(self, failures: list[str]) -> str:
        """The failure that catches it; empty where there is none."""
        found = [failure for failure in failures if any(failure.startswith(f"{law}:") for law in self.shows)]
        return found[0] if found else ""


# -- what is unknown ----------------------------------------------------------------------------------------------


def _resend(patches: Patches) -> None:
    """What is unknown is sent again at once, and nobody looks."""

    async def wrong(self: Desk, key: str, *_: Any) -> NotFound:
        return NotFound()

    patches.set(Desk, "_lookup", wrong)
    patches.set(Capabilities, "grace", property(lambda self: timedelta(0)))


def _no_grace(patches: Patches) -> None:
    patches.set(Capabilities, "grace", property(lambda self: timedelta(0)))


def _look_once(patches: Patches) -> None:
    """Only the order itself is asked for, and in no list."""

    async def nowhere(self: Looking, key: str, symbol: str) -> None:
        return None

    patches.set(Looking, "_in_lists", nowhere)


def _absence_is_proof(patches: Patches) -> None:
    """Where the venue declares no bound, "not found" is taken for proof all the same."""
    patches.set(Capabilities, "absence_is_proof", property(lambda self: True))


def _server_error_is_no(patches: Patches) -> None:
    """An answer of 5xx is taken for a no."""
    right = Judge.meaning

    def wrong(self: Judge, error: BaseException, call: Any) -> Any:
        return "rejected" if call.status is not None and call.status >= 500 else right(self, error, call)

    patches.set(Judge, "meaning", wrong)


def _time_out_is_not_sent(patches: Patches) -> None:
    """No answer is taken for "nothing was sent"."""
    right = Judge.meaning

    def wrong(self: Judge, error: BaseException, call: Any) -> Any:
        return "throttled" if call.sent and call.status is None else right(self, error, call)

    patches.set(Judge, "meaning", wrong)


def _library_retries(patches: Patches) -> None:
    """ccxt repeats what failed, and nothing of ours keeps it from that."""
    right = Outside.prepare

    def prepared(self: Outside, client: Any, line: Any) -> None:
        right(self, client, line)
        client.options["maxRetriesOnFailure"] = 2
        client.options["maxRetriesOnFailureDelay"] = 0

    def unguarded(exchange: Any) -> None:
        inner = exchange.fetch

        async def fetch(url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
            call = wire._CALL.get()
            if call is not None:
                call.sent, call.status, call.answer, call.headers = True, None, None, {}
            return await inner(url, method, headers, body)

        exchange.fetch = fetch

    patches.set(Outside, "prepare", prepared)
    patches.set(session, "retries_in", lambda config, path: "")
    patches.set(wire, "_watch_fetch", unguarded)


def _unstable_id(patches: Patches) -> None:
    """After a crash an open intent gets another client id."""
    right = Effects.answer

    def wrong(self: Effects, run: Any, waiting: Any, intent: Any, late: bool) -> Any:
        if intent is not None and intent.record.name == "submit":
            key = hashlib.blake2b(f"{intent.record.key} again".encode(), digest_size=16).hexdigest()
            record = intent.record
            other = type(record)(**{name: getattr(record, name) for name in record.__struct_fields__} | {"key": key})
            intent = type(intent)(**{name: getattr(intent, name) for name in _fields(intent)} | {"record": other})
        return right(self, run, waiting, intent, late)

    patches.set(Effects, "answer", wrong)


def _fields(thing: Any) -> list[str]:
    return list(getattr(thing, "__struct_fields__", None) or getattr(thing, "_fields", None) or thing.__slots__)


# -- books --------------------------------------------------------------------------------------------------------


def _float_notional(patches: Patches) -> None:
    """Price times quantity is a float."""
    patches.set(Fill, "notional", property(lambda self: Decimal(repr(float(self.price) * float(self.quantity)))))


def _float_cash(patches: Patches) -> None:
    """Cash is summed up in floats."""

    def wrong(account: dict[str, Decimal], currency: str, amount: Decimal) -> None:
        account[currency] = Decimal(repr(float(account.get(currency, 0)) + float(amount)))

    patches.set(Ledger, "_add", staticmethod(wrong))


def _fees_forgotten(patches: Patches) -> None:
    """Fees in another currency are not booked."""
    right = Ledger.apply

    def wrong(self: Ledger, fill: Fill) -> bool:
        foreign = fill.fee_currency != fill.symbol.split("/")[1]
        return right(self, replace(fill, fee=Decimal(0)) if foreign else fill)

    patches.set(Ledger, "apply", wrong)


def _booked_twice(patches: Patches) -> None:
    """After a restart the books do not know any more which fills they hold."""
    right = Desk.restore

    def wrong(self: Desk, *args: Any, **named: Any) -> None:
        right(self, *args, **named)
        self.ledger._named.clear()
        self.ledger._state.seen.clear()

    patches.set(Desk, "restore", wrong)


def _self_trade_once(patches: Patches) -> None:
    """Both sides of a trade with ourselves are one fill."""
    patches.set(answers, "fill_id", lambda number, side: number)


# -- limits -------------------------------------------------------------------------------------------------------


def _gate_bypassed(patches: Patches) -> None:
    """The limits are not for one of the workflows."""
    right, vast = RiskGate.check, Decimal("1e12")

    def wrong(self: RiskGate, intent: OrderIntent, **shown: Any) -> Decision:
        decision = right(self, intent, **shown)
        if decision.refusal is None or intent.workflow != "w1" or not decision.refusal.rule.startswith("max_"):
            return decision
        limits = RiskLimits(max_order_notional=vast, max_position_notional=vast, price_band=Decimal("0.1"))
        return right(RiskGate(limits, self.rules), intent, **shown)

    patches.set(RiskGate, "check", wrong)


def _no_room_held(patches: Patches) -> None:
    """What is on its way does not count."""
    right = Reservations.pending

    def wrong(self: Reservations, symbol: str, workflow: str = "") -> Any:
        return replace(right(self, symbol, workflow), buys=Decimal(0), orders=0, highest_buy=Decimal(0))

    patches.set(Reservations, "pending", wrong)


def _unknown_frees_room(patches: Patches) -> None:
    """An order in doubt gives its room back, and blocks nothing."""
    right = Reservations.pending

    def wrong(self: Reservations, symbol: str, workflow: str = "") -> Any:
        found = right(self, symbol, workflow)
        lost = sum((left for held, left in self.of(symbol) if held.state == "unknown"), Decimal(0))
        return replace(found, unknown=0, buys=max(found.buys - lost, Decimal(0)))

    patches.set(Reservations, "pending", wrong)


def _working_forgotten(patches: Patches) -> None:
    """A restart forgets what rests at the venue."""
    right = Desk.restore

    def wrong(self: Desk, orders: Any, *args: Any, **named: Any) -> None:
        right(self, (), *args, **named)

    patches.set(Desk, "restore", wrong)


def _ladder_on_remainder(patches: Patches) -> None:
    """Each level of a ladder sells its share of what is left by then."""
    right = ExitPlan.legs

    def wrong(self: ExitPlan) -> tuple[Leg, ...]:
        left, found = self.quantity, []
        legs = right(self)
        for leg in legs[:-1]:
            size = rounded_down(EXACT.multiply(leg.share, left), self.quantity_step)
            left = EXACT.subtract(left, size)
            found.append(msgspec.structs.replace(leg, quantity=size))
        return (*found, *(msgspec.structs.replace(leg, quantity=left) for leg in legs[-1:]))

    patches.set(ExitPlan, "legs", wrong)


# -- halts and restarts -------------------------------------------------------------------------------------------


def _halt_not_looked_at(patches: Patches) -> None:
    """The halt is looked at in the gate and not again before the wire."""
    right = Desk._late_refusal

    def wrong(self: Desk, approval: Any, held: bool) -> Refusal | None:
        halt, self._halt = self._halt, Halt()
        try:
            return right(self, approval, held)
        finally:
            self._halt = halt

    patches.set(Desk, "_late_refusal", wrong)


def _halt_in_no_gate(patches: Patches) -> None:
    """The halt is looked at nowhere."""
    patches.set(Halt, "stops_new_exposure", property(lambda self: False))


def _no_barrier(patches: Patches) -> None:
    """New exposure is taken while intents of before a restart are open."""
    patches.set(Reservations, "unresolved", property(lambda self: 0))


def _doubtful_forgotten(patches: Patches) -> None:
    """A restart does not know of open intents."""
    patches.set(Reservations, "unresolve", lambda self, key, approval: None)


def _reductions_blocked(patches: Patches) -> None:
    """An order in doubt blocks reductions too."""
    right = RiskGate._reduction

    def wrong(self: RiskGate, intent: Any, plan: Any, ledger: Any, reservations: Any, quote: Any, now: int) -> Decision:
        unknown = reservations.pending(intent.symbol).unknown
        if unknown:
            return Decision(refusal=Refusal(rule="unknown", limit="0", actual=str(unknown)))
        return right(self, intent, plan, ledger, reservations, quote, now)

    patches.set(RiskGate, "_reduction", wrong)


def _stale_quote_blocks(patches: Patches) -> None:
    """Without a fresh price nothing is reduced."""
    right = RiskGate._reduction

    def wrong(
        self: RiskGate, intent: Any, plan: Any, ledger: Any, reservations: Any, quote: Quote | None, now: int
    ) -> Decision:
        if quote is None or now - quote.time_ns > 30_000_000_000:
            return Decision(refusal=Refusal(rule="price", limit="a quote above zero", actual="none"))
        return right(self, intent, plan, ledger, reservations, quote, now)

    patches.set(RiskGate, "_reduction", wrong)


def _cancel_is_certain(patches: Patches) -> None:
    """That a venue does not show an order is told as if there were none."""

    async def wrong(self: Desk, client_order_id: str, symbol: str, *, key: str) -> Any:
        self.reservations.asked(client_order_id)
        order = await self._venue.cancel(client_order_id, symbol)
        self._follower.saw(order, told=False)
        return order

    wrong.__qualname__, wrong.__module__ = Desk._cancel.__qualname__, Desk._cancel.__module__
    wrong.__annotations__ = Desk._cancel.__annotations__
    patches.set(Desk, "_cancel", wrong)


def _all() -> Iterator[Mutation]:
    yield Mutation("resend", "what is unknown is sent again, unlooked for", _resend, (ONCE,), 12)
    yield Mutation("no-grace", "not found is taken for proof at once", _no_grace, (ONCE,), 100)
    yield Mutation("look-once", "an order is looked for in one place only", _look_once, (ONCE,), 200)
    yield Mutation("absence-is-proof", "where no bound is declared too", _absence_is_proof, (ONCE,), 800)
    yield Mutation("5xx-is-no", "a server's error is taken for a no", _server_error_is_no, (ONCE, BOOKS), 20)
    yield Mutation("time-out-is-not-sent", "no answer: nothing was sent", _time_out_is_not_sent, (ONCE, BOOKS), 20)
    yield Mutation("library-retries", "ccxt repeats submissions", _library_retries, (ONCE,), 60)
    yield Mutation("unstable-id", "another client id after a crash", _unstable_id, (ONCE,), 60)
    yield Mutation("float-notional", "price times quantity is a float", _float_notional, (BOOKS,), 20)
    yield Mutation("float-cash", "cash is summed up in floats", _float_cash, (BOOKS,), 20)
    yield Mutation("foreign-fees", "fees in another currency are lost", _fees_forgotten, (BOOKS,), 40)
    yield Mutation("booked-twice", "fills are booked again after a restart", _booked_twice, (BOOKS,), 60)
    yield Mutation("self-trade-once", "a trade with ourselves is one fill", _self_trade_once, (BOOKS,), 500)
    yield Mutation("gate-bypassed", "no limits for one workflow", _gate_bypassed, (LIMITS,), 40)
    yield Mutation("no-room-held", "what is on its way does not count", _no_room_held, (LIMITS,), 60)
    yield Mutation("unknown-frees-room", "an order in doubt holds no room", _unknown_frees_room, (LIMITS, UNKNOWN), 200)
    yield Mutation("working-forgotten", "a restart forgets resting orders", _working_forgotten, (LIMITS, BOOKS), 60)
    yield Mutation("ladder-on-remainder", "shares of what is left", _ladder_on_remainder, (EXITS,), 200)
    yield Mutation("halt-late", "the halt is not looked at before the wire", _halt_not_looked_at, (HALT,), 500)
    yield Mutation("no-halt", "the halt is looked at nowhere", _halt_in_no_gate, (HALT,), 40)
    yield Mutation("no-barrier", "exposure before open intents are resolved", _no_barrier, (RESTART,), 200)
    yield Mutation("doubtful-forgotten", "a restart forgets open intents", _doubtful_forgotten, (RESTART, LIMITS), 100)
    yield Mutation("reductions-blocked", "an order in doubt blocks reductions", _reductions_blocked, (PASS,), 200)
    yield Mutation("stale-blocks", "no price, no reduction", _stale_quote_blocks, (PASS,), 60)
    yield Mutation("cancel-is-certain", "not shown is told as not there", _cancel_is_certain, (CANCELS,), 800)


MUTATIONS: Final[Mapping[str, Mutation]] = {one.name: one for one in _all()}


@contextmanager
def applied(name: str) -> Iterator[None]:
    """Make this process a wrong build meanwhile; an empty name leaves it right."""
    patches = Patches()
    try:
        if name:
            MUTATIONS[name].apply(patches)
        yield
    finally:
        patches.undo()
