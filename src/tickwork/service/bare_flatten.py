"""Flattening without a tape: what still works when the disk does not.

Theory of operation. No engine, no tape, nothing kept: gate and desk as always, and a stand-in for the verbs of a run
that forgets. What the tape would know is taken from the venue: positions are its balances in the symbols that are
given, orders are all that it lists there, whoever placed them. Client ids come from a random nonce, so they repeat none
that was ever used; they begin with ``WITHOUT_TAPE``, so that a later reconciliation books their fills as ours.

**Nothing is sent twice.** A submission whose answer is lost is looked for, again and again; only where the venue's own
declaration makes "not found" a proof is the position closed by another order. Else the symbol is left alone and
reported as unknown. This process must not die halfway: a second one knows nothing of the first, and finds its orders
only because it cancels everything and looks at the balances anew.

Nobody else may trade the account meanwhile: where a process owns the tape, that one flattens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import msgspec

from tickwork.errors import InvalidInput, NotSent, TickworkError, Unknown
from tickwork.outcome import Found, NotFound
from tickwork.service.flattening import FLATTEN, dust_of
from tickwork.trading.desk import CERTAIN, Desk
from tickwork.trading.gate import RiskGate, RiskLimits
from tickwork.trading.halt import Halt
from tickwork.trading.ledger import Ledger, LedgerState, Position
from tickwork.trading.matching import TradingRules
from tickwork.trading.order_life import WORKING
from tickwork.trading.orders import ZERO, OrderIntent
from tickwork.trading.reconciliation import WITHOUT_TAPE
from tickwork.trading.venue import Balance, VenuePort
from tickwork.values import EXACT, base_of, duration, plain, rounded_down, to_timedelta

ROUNDS: Final = 5
_POLL_S: Final = 1.0
_NO_LIMITS: Final = RiskLimits(max_order_notional=ZERO, max_position_notional=ZERO)
"""Of new exposure: none. A reduction passes them."""

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BareAccount:
    """What it takes to trade an account without a tape."""

    name: str
    currency: str
    venue: VenuePort
    nonce: bytes
    """Random: 16 bytes or more that were never used."""
    clock: Callable[[], int]
    """ns since 1970 UTC."""
    sleep: Sleep
    """Wait for so many seconds."""
    symbols: Collection[str] = ()
    """What it trades; ``()``: whatever the venue lists in the account's currency."""
    patience: timedelta = field(default=timedelta(minutes=1))
    """For each order: how long its outcome is looked for, at least; longer where the venue's grace is."""


class BareLine(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What came of one symbol."""

    symbol: str
    before: Decimal
    left: Decimal
    """By the venue's last word."""
    orders: tuple[str, ...] = ()
    why: str = ""
    """Why something is left, or may be."""


class BareReport(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What a flatten without a tape did."""

    account: str
    complete: bool
    cancelled: tuple[str, ...]
    resting: tuple[str, ...]
    """Orders that could not be cancelled, with the reason."""
    lines: tuple[BareLine, ...]


class BareRun:
    """The verbs a desk needs, kept nowhere.

    Args:
        nonce: from which client ids derive.
        patience_s: seconds for which an outcome is looked for.
    """

    def __init__(self, nonce: bytes, owner: str, *, clock: Callable[[], int], sleep: Sleep, patience_s: float) -> None:
        if len(nonce) < 16:
            raise InvalidInput("nonce", f"{len(nonce)} bytes", "16 random bytes or more")
        self._nonce = nonce
        self._owner = owner
        self._clock = clock
        self._sleep = sleep
        self._patience = patience_s
        self._made = 0

    @property
    def id(self) -> str:
        """Its name in nothing but this process."""
        return "flatten-without-tape"

    @property
    def owner(self) -> str:
        """Whose it is."""
        return self._owner

    async def step(self, name: str, fn: Callable[..., Any], *args: Any, blocking: bool | None = None) -> Any:
        """What ``fn`` gives."""
        del name, blocking
        return fn(*args)

    async def effect(
        self,
        name: str,
        fn: Callable[..., Any],
        *args: Any,
        lookup: Callable[..., Any] | None = None,
        grace: timedelta | str | None = None,
    ) -> Any:
        """``fn(*args, key=key)``, once. What is lost is looked for and never sent again.

        Raises:
            NotSent: certain that it is not there: the venue has not shown it for its whole grace.
            Unknown: nobody could tell within the patience. And what is certain: as ``fn`` raises.
        """
        self._made += 1
        digest = hashlib.blake2b(f"{self._made}/{name}".encode(), key=self._nonce[:64], digest_size=12).hexdigest()
        key = WITHOUT_TAPE + digest
        try:
            return await fn(*args, key=key)
        except CERTAIN:
            raise
        except Exception as error:
            if lookup is None:
                raise Unknown(f"{name}: {type(error).__name__}: {error}") from error
            return await self._looked(name, key, lookup, args, to_timedelta(grace or timedelta(0)), error)

    async def _looked(
        self, name: str, key: str, lookup: Callable[..., Any], args: tuple[Any, ...], grace: timedelta, why: Exception
    ) -> Any:
        begin, absent = self._clock(), 0
        last: Exception = why
        while self._clock() - begin <= (self._patience + 2 * grace.total_seconds()) * 1e9:
            try:
                found = await lookup(key, *args)
            except Exception as error:  # noqa: BLE001 - as above: it is looked again
                last, absent = error, 0
            else:
                if isinstance(found, Found):
                    return found.value
                assert isinstance(found, NotFound)
                absent = absent or self._clock()
                if self._clock() - absent >= duration(grace):
                    raise NotSent(f"{name} {key} is not there: {type(why).__name__}: {why}")
            await self._sleep(_POLL_S)
        raise Unknown(f"{name} {key}: {type(last).__name__}: {last}") from why


@dataclass(slots=True)
class _Closing:
    before: Decimal
    left: Decimal
    orders: list[str] = field(default_factory=list)
    why: str = ""
    stuck: bool = False


class BarePlan(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What a flatten without a tape would do."""

    account: str
    venue: str
    close: dict[str, Decimal]
    """Everything there is of the account's symbols, by symbol, whoever bought it; below zero for a short."""
    cancel: tuple[str, ...]
    """Orders, by their client ids, else the venue's; whoever placed them."""


async def plan_without_tape(account: BareAccount) -> BarePlan:
    """What a flatten would close and cancel now. Changes nothing.

    Raises:
        Whatever the venue raises.
    """
    return await _Bare(account).plan()


async def check_symbols(account: BareAccount, symbols: Collection[str]) -> None:
    """Does the venue list the symbols that a person named?

    Raises:
        InvalidInput: not that one. And whatever the venue raises.
    """
    rules = await account.venue.rules(symbols)
    for symbol in symbols:
        if symbol not in rules:
            raise InvalidInput("symbol", symbol, f"a symbol that {account.venue.name} lists")


async def flatten_without_tape(account: BareAccount) -> BareReport:
    """Cancel all orders in the account's symbols and close what it holds of them, as the venue tells it.

    Raises:
        Whatever the venue raises where nothing can be known at all: its rules or its balances.
    """
    return await _Bare(account).flatten()


class _Bare:
    def __init__(self, account: BareAccount) -> None:
        self._account = account
        self._venue = account.venue
        self._run = BareRun(
            account.nonce,
            FLATTEN,
            clock=account.clock,
            sleep=account.sleep,
            patience_s=account.patience.total_seconds(),
        )
        self._cancelled: list[str] = []
        self._resting: dict[str, str] = {}
        self._rules: dict[str, TradingRules] = {}

    async def flatten(self) -> BareReport:
        self._rules = await self._venue.rules(self._account.symbols)
        closing: dict[str, _Closing] = {}
        await self._cancel_all()
        for number in range(ROUNDS):
            if number:
                await self._account.sleep(2.0**number)
                await self._cancel_all()
            free = await self._look(closing)
            todo = [symbol for symbol in free if not self._settled(symbol, closing[symbol])]
            if not todo and not self._resting:
                break
            desk = self._desk(free)
            for symbol in todo:
                await self._close(desk, symbol, free[symbol], closing[symbol])
        else:
            await self._look(closing)
        return self._report(closing)

    async def plan(self) -> BarePlan:
        """What would be done."""
        self._rules = await self._venue.rules(self._account.symbols)
        held = self._held(await self._venue.balances())
        orders = [order for order in await self._venue.open_orders() if self._is_meant(order.symbol)]
        return BarePlan(
            account=self._account.name,
            venue=self._venue.name,
            close=held,
            cancel=tuple(order.client_order_id or order.venue_order_id for order in orders),
        )

    def _is_meant(self, symbol: str) -> bool:
        return not self._account.symbols or symbol in self._account.symbols

    async def _look(self, closing: dict[str, _Closing]) -> dict[str, Decimal]:
        """What there is, noted; gives what of it no order has locked, by symbol."""
        balances = await self._venue.balances()
        held = self._held(balances)
        for symbol in closing.keys() | held.keys():
            left = held.get(symbol, ZERO)
            closing.setdefault(symbol, _Closing(left, left)).left = left
        free = {symbol: _free(symbol, left, balances) for symbol, left in held.items()}
        return {symbol: quantity for symbol, quantity in free.items() if quantity}

    def _settled(self, symbol: str, one: _Closing) -> bool:
        dust = dust_of(one.left, self._rules.get(symbol), None)
        one.why = dust or one.why
        return bool(dust) or one.stuck

    async def _cancel_all(self) -> None:
        self._resting = {}
        try:
            listed = await self._venue.open_orders()
        except Exception as error:  # noqa: BLE001 - positions are closed all the same
            self._resting["all"] = f"orders cannot be listed: {type(error).__name__}: {error}"
            return
        desk = self._desk({})
        for order in listed:
            if not self._is_meant(order.symbol):
                continue
            id = order.client_order_id or order.venue_order_id
            if not order.client_order_id:
                self._resting[id] = "it bears no client id: cancel it at the venue"
                continue
            try:
                after = await desk.cancel(self._run, order.client_order_id, order.symbol)
            except TickworkError as error:
                self._resting[id] = f"{type(error).__name__}: {error}"
                continue
            if after.status in WORKING:
                self._resting[id] = f"it is {after.status}"
            elif id not in self._cancelled:
                self._cancelled.append(id)

    def _held(self, balances: Mapping[str, Balance]) -> dict[str, Decimal]:
        """What is to be closed, by symbol. A coin is sold once, in its first symbol."""
        symbols = list(self._account.symbols) or [
            symbol for symbol in self._rules if ":" in symbol or symbol.endswith(f"/{self._account.currency}")
        ]
        held: dict[str, Decimal] = {}
        sold: set[str] = set()
        for symbol in symbols:
            asset = symbol if ":" in symbol else base_of(symbol)
            balance = balances.get(asset)
            if balance is not None and balance.total and asset not in sold:
                held[symbol] = balance.total
                sold.add(asset)
        return held

    def _desk(self, held: Mapping[str, Decimal]) -> Desk:
        """A desk whose books hold what the venue says, at no cost: only quantities decide a reduction."""
        state = LedgerState(positions={symbol: Position(quantity=quantity) for symbol, quantity in held.items()})
        return Desk(
            self._account.name,
            venue=self._venue,
            gate=RiskGate(_NO_LIMITS, self._rules),
            ledger=Ledger.of(state),
            quotes=lambda _: None,
            clock=self._account.clock,
            halt=Halt("halt", "flattened without a tape"),
        )

    async def _close(self, desk: Desk, symbol: str, quantity: Decimal, one: _Closing) -> None:
        rules = self._rules.get(symbol)
        size = abs(quantity) if rules is None else rounded_down(abs(quantity), rules.quantity_step)
        intent = OrderIntent(
            account=self._account.name,
            owner=FLATTEN,
            workflow=FLATTEN,
            symbol=symbol,
            side="sell" if quantity > 0 else "buy",
            quantity=size,
            reduce_only=True,
            reason="flatten without a tape",
        )
        try:
            placement = await desk.place(self._run, intent)
        except NotSent as error:
            one.why = f"not sent: {error}"
            return
        except TickworkError as error:
            one.why, one.stuck = f"unknown: {error}", True
            return
        if placement.ack is None:
            refused = placement.refusal
            one.why = f"rejected: {placement.rejection}" if refused is None else f"refused: {refused.rule}"
            return
        one.orders.append(placement.ack.client_order_id)
        one.why = await self._ends(placement.ack.client_order_id, symbol)
        one.stuck = bool(one.why)

    async def _ends(self, key: str, symbol: str) -> str:
        """Wait for an order's end; ``""`` once it has."""
        begin, why = self._account.clock(), "it has not ended yet"
        while self._account.clock() - begin <= self._account.patience.total_seconds() * 1e9:
            try:
                found = await self._venue.find(key, symbol)
            except Exception as error:  # noqa: BLE001 - it is looked again
                why = f"nobody knows how it stands: {type(error).__name__}: {error}"
            else:
                if isinstance(found, Found) and found.value.status not in WORKING:
                    return ""
                why = "it has not ended yet" if isinstance(found, Found) else f"{self._venue.name} does not show it yet"
            await self._account.sleep(_POLL_S)
        return f"order {key}: {why}"

    def _report(self, closing: Mapping[str, _Closing]) -> BareReport:
        lines = tuple(
            BareLine(
                symbol=symbol,
                before=one.before,
                left=one.left,
                orders=tuple(one.orders),
                why=(one.why or "it was not closed in time") if one.left or one.stuck else "",
            )
            for symbol, one in sorted(closing.items())
        )
        return BareReport(
            account=self._account.name,
            complete=not self._resting and all(not line.left and not line.why for line in lines),
            cancelled=tuple(self._cancelled),
            resting=tuple(f"{id}: {why}" for id, why in self._resting.items()),
            lines=lines,
        )


def _free(symbol: str, total: Decimal, balances: Mapping[str, Balance]) -> Decimal:
    """What of a holding no order has locked; all of a contract."""
    return total if ":" in symbol else EXACT.subtract(total, balances[base_of(symbol)].held)


def told(report: BareReport) -> str:
    """A report in words."""
    lines: Sequence[str] = [
        *(f"  {line.symbol}: {plain(line.before)} -> {plain(line.left)}" + (f" ({line.why})" if line.why else "")
          for line in report.lines),
        *(f"  still resting: {one}" for one in report.resting),
    ]  # fmt: skip
    flat = "flat" if report.complete else "NOT flat"
    return "\n".join([*lines, f"{report.account}: {flat}, {len(report.cancelled)} orders cancelled"])


def told_plan(plan: BarePlan) -> str:
    """A plan in words."""
    lines = [f"  {'sell' if quantity > 0 else 'buy back'} {plain(abs(quantity))} of {symbol}, at the market"
             for symbol, quantity in sorted(plan.close.items())]  # fmt: skip
    lines += [f"  cancel order {id}" for id in plan.cancel]
    whose = "everything there is of its symbols, whoever bought it"
    return "\n".join([f"{plan.account} at {plan.venue}, {whose}:", *(lines or ["  nothing to do"])])
