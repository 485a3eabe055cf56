"""Flattening: an account closed down to nothing, durably.

Theory of operation. A flatten is a run: it raises a halt (unless told not to), sweeps all resting orders, those that
only reduce too (they would sell the same coins a second time), and then closes every position the books hold with
market orders that can only reduce, through the desk like any order. It waits for what becomes of each, and does the
same for what is left, a few times. At the end it says per symbol what was closed, what is left and why: dust below the
venue's least, a refusal, a rejection, an order nobody knows the fate of, one that has not traded yet.

A symbol is closed by an order in the name of each workflow that holds it, so that each knows that it holds nothing any
more; parts that no venue would take go with the largest, and what nobody holds is closed in the name ``FLATTEN``.

Flattens of one account take turns, so that a second one finds what the first has closed. What only the venue knows of
is not closed here: reconciliation adopts it first, or ``flatten --without-tape`` looks at the venue alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec
from pydantic import BaseModel, ConfigDict

from tickwork.core.event import Alert, Event
from tickwork.core.run import Run
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded.engine import Engine
from tickwork.errors import InvalidInput, TickworkError
from tickwork.service.guarded import GuardedAccount, account_named
from tickwork.service.halting import STOPPING, HaltLine, HaltRaised, check_words, halt_lines
from tickwork.service.sweeping import Sweeper, SweepPlan, Swept, pause
from tickwork.service.trading import OrderEnded, OrderFilled, place
from tickwork.trading.desk import CERTAIN, Placement
from tickwork.trading.halt import Halts
from tickwork.trading.ledger import Ledger
from tickwork.trading.matching import TradingRules
from tickwork.trading.orders import ZERO, OrderIntent
from tickwork.values import EXACT, Money, base_of, plain, rounded_down

FLATTEN: Final = "flatten"
"""Name of the workflow, and of whoever places its orders."""

ROUNDS: Final = 6
LOOKS: Final = 12
"""So often resting orders are looked for, a little more than two minutes, before positions are closed all the same."""
WAITS: Final = 12
"""So often it is looked whether an order has ended, for about five minutes."""


class FlattenAsked(Event, name="trading/flatten.asked", version=1):
    """What a flatten is given."""

    account: str
    reason: str
    by: str
    halt: bool = True
    """Raise a halt of the account first."""
    symbols: tuple[str, ...] = ()
    """Only these positions; ``()``: all. Orders are cancelled in all symbols."""
    foreign: bool = False
    """Cancel also orders that were not placed here."""


class FlattenLine(BaseModel):
    """What came of one symbol."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    symbol: str
    before: Money
    """The position, in base units; below zero for a short."""
    left: Money
    orders: tuple[str, ...] = ()
    """Client ids of the orders that were to close it."""
    why: str = ""
    """Why something is left."""


class FlattenDone(Event, name="trading/flatten.done", version=1):
    """How a flatten ended."""

    run: str
    account: str
    complete: bool
    """No position is left, and no order that could open one."""
    swept: bool
    """All resting orders are gone."""
    orders: tuple[str, ...] = ()
    """Where they are not: which rest, or may, and why."""
    lines: tuple[FlattenLine, ...]


class Held(msgspec.Struct, frozen=True, rename="camel"):
    """A position."""

    symbol: str
    quantity: Decimal
    size: Decimal
    """What an order can close of it."""
    dust: str = ""
    """Why no venue takes an order that closes it."""
    parts: dict[str, Decimal] = {}
    """Whose it is: the size of an order in each workflow's name, so that each knows that it holds nothing any more."""


class _Closing(msgspec.Struct):
    """What is known of closing a symbol."""

    before: Decimal
    orders: list[str] = []
    why: str = ""
    stuck: bool = False
    """An order for it is still under way, or may be: another one could sell twice."""


class Flattener:
    """Steps of a flatten.

    Args:
        accounts: those that are open, by name; it may change.
        halts: what their desks look at.
    """

    def __init__(self, accounts: Mapping[str, GuardedAccount], halts: Halts) -> None:
        self._accounts = accounts
        self._halts = halts
        self._sweeper = Sweeper(accounts)

    async def flatten(self, run: Run, asked: FlattenAsked) -> FlattenDone:
        """The body of the workflow."""
        if asked.halt:
            await self._halt(run, asked)
        plan = SweepPlan(foreign=asked.foreign, reductions=True, looks=LOOKS)
        swept: Swept = await self._sweeper.sweep(run, asked.account, plan)
        closing: dict[str, _Closing] = {}
        for number in range(ROUNDS):
            if number:
                await run.sleep(pause(number))
            held: list[Held] = await run.step("positions", self.positions, asked.account, asked.symbols)
            for one in held:
                closing.setdefault(one.symbol, _Closing(one.quantity, []))
            todo = [one for one in held if not one.dust and not closing[one.symbol].stuck]
            if not todo:
                break
            await run.all(*(self._close(run, asked, one, closing[one.symbol]) for one in todo))
        left: list[Held] = await run.step("left", self.positions, asked.account, asked.symbols)
        done = _done(run.id, asked.account, closing, left, swept)
        await run.emit(done)
        if not done.complete:
            detail = f"account {asked.account}: " + "; ".join(
                [f"{plain(line.left)} {line.symbol} is left: {line.why}" for line in done.lines if line.left]
                + list(done.orders)
            )
            await run.emit(Alert(run=run.id, what="an account is not flat", detail=detail))
        return done

    async def _halt(self, run: Run, asked: FlattenAsked) -> None:
        line: HaltLine | None = await halt_lines.get(asked.account)
        if line is not None and line.level in STOPPING:
            return
        reason = f"flatten: {asked.reason}"
        owner: str = await run.step("halt", self.raise_at_once, asked.account, reason)
        raised = HaltRaised(
            account=asked.account,
            owner=owner,
            level="halt",
            reason=reason,
            by=asked.by,
            made_by="person",
            at=run.now(),
        )
        await run.emit(raised)

    def raise_at_once(self, account: str, reason: str) -> str:
        """The halt takes effect before it is recorded. Gives the account's owner."""
        self._halts.of(account).raise_to("halt", reason)
        return account_named(self._accounts, account).owner

    async def positions(self, name: str, symbols: Sequence[str]) -> list[Held]:
        """What is to be closed. Asks for news first, so that what was just cancelled holds nothing any more."""
        account = account_named(self._accounts, name)
        with contextlib.suppress(Exception):  # without news the books are a little older
            await account.pull()
        ledger = account.desk.ledger
        held = {symbol: closable(ledger, symbol) for symbol in ledger.positions() if not symbols or symbol in symbols}
        held = {symbol: quantity for symbol, quantity in held.items() if quantity}
        try:
            rules = await account.venue.rules(list(held)) if held else {}
        except Exception:  # noqa: BLE001 - without the rules nothing is called dust, and the venue may say no
            rules = {}
        return [_held(account, symbol, quantity, rules.get(symbol)) for symbol, quantity in held.items()]

    async def _close(self, run: Run, asked: FlattenAsked, one: Held, closing: _Closing) -> None:
        """An order for each part of a position, one after the other."""
        for part in one.parts.items():
            await self._close_part(run, asked, one, part, closing)

    async def _close_part(
        self, run: Run, asked: FlattenAsked, one: Held, part: tuple[str, Decimal], closing: _Closing
    ) -> None:
        """One order, and what becomes of it."""
        account = account_named(self._accounts, asked.account)
        intent = OrderIntent(
            account=asked.account,
            owner=run.owner,
            workflow=part[0],
            agent=FLATTEN,
            symbol=one.symbol,
            side="sell" if one.quantity > 0 else "buy",
            quantity=part[1],
            reduce_only=True,
            reason=f"flatten: {asked.reason}",
        )
        try:
            placement = await place(run, account.desk, intent)
        except TickworkError as error:
            # nobody knows: then another order could sell twice. What was not sent is tried again in the next round
            closing.why = f"{type(error).__name__}: {error}"
            closing.stuck = not isinstance(error, CERTAIN)
            return
        closing.why = _why_not(placement)
        if placement.ack is None:
            return
        key = placement.ack.client_order_id
        closing.orders.append(key)
        if not await self._ends(run, asked.account, key):
            closing.why, closing.stuck = f"order {key} has not ended yet", True

    async def _ends(self, run: Run, name: str, key: str) -> bool:
        """Wait for an order's end."""
        mine = {"client_order_id": key}
        for number in range(WAITS):
            if await run.step("ended", self.ended, name, key):
                return True
            wait = pause(number + 2)
            await run.race(
                run.wait_for(OrderFilled, where=mine, timeout=wait), run.wait_for(OrderEnded, where=mine, timeout=wait)
            )
        ended: bool = await run.step("ended", self.ended, name, key)
        return ended

    async def ended(self, name: str, key: str) -> bool:
        """Has an order ended, and are all its fills booked? Asks the venue for news; where it does not answer: no."""
        account = account_named(self._accounts, name)
        try:
            await account.pull()
        except Exception:  # noqa: BLE001 - whatever the wire raises: the account's own loop asks on, and so do we
            return False
        return account.desk.reservations.state_of(key) is None


def _held(account: GuardedAccount, symbol: str, quantity: Decimal, rules: TradingRules | None) -> Held:
    mark, size, activity = account.mark(symbol), cut(quantity, rules), account.desk.activity
    books = ((name, activity.held(name)) for name in activity.workflows())
    holders = {name: book.quantity(symbol) for name, book in books if name and book is not None}
    same = {name: held for name, held in holders.items() if held and (held > 0) == (quantity > 0)}
    return Held(symbol, quantity, size, dust_of(quantity, rules, mark), parts_of(size, same, rules, mark))


def parts_of(
    size: Decimal, holders: Mapping[str, Decimal], rules: TradingRules | None, mark: Decimal | None
) -> dict[str, Decimal]:
    """How an order's size is cut over those who hold what it closes; they sum to it.

    The largest holder comes first. What nobody holds is ``flatten``'s own, and a part that no venue would take goes
    with the largest.
    """
    parts: dict[str, Decimal] = {}
    left = size
    for name, held in sorted(holders.items(), key=lambda one: (-one[1].copy_abs(), one[0])):
        part = min(left, cut(held, rules))
        if part:
            parts[name] = part
            left = EXACT.subtract(left, part)
    if left:
        parts[FLATTEN] = EXACT.add(parts.get(FLATTEN, ZERO), left)
    largest = max(parts, key=lambda name: parts[name], default="")
    for name in [name for name in parts if name != largest and dust_of(parts[name], rules, mark)]:
        parts[largest] = EXACT.add(parts[largest], parts.pop(name))
    return parts


def closable(ledger: Ledger, symbol: str) -> Decimal:
    """What of a position there is to close: coins that a fee was taken in are not there any more."""
    quantity = ledger.quantity(symbol)
    if ":" in symbol or quantity < 0:
        return quantity
    return max(EXACT.add(quantity, min(ledger.cash(base_of(symbol)), ZERO)), ZERO)


def cut(quantity: Decimal, rules: TradingRules | None) -> Decimal:
    """The size of an order that closes it, on the venue's step."""
    return abs(quantity) if rules is None else rounded_down(abs(quantity), rules.quantity_step)


def dust_of(quantity: Decimal, rules: TradingRules | None, mark: Decimal | None) -> str:
    """Why a venue takes no order for a quantity; ``""`` where it does, or nobody can tell."""
    if rules is None:
        return ""
    size = abs(quantity)
    if size < max(rules.quantity_step, rules.min_quantity):
        least = max(rules.quantity_step, rules.min_quantity)
        return f"dust: {plain(size)} is below the least quantity, {plain(least)}"
    if mark is not None and mark.is_finite() and 0 < EXACT.multiply(size, mark) < rules.min_notional:
        worth = plain(EXACT.multiply(size, mark))
        return f"dust: it is worth {worth}, below the least notional, {plain(rules.min_notional)}"
    return ""


def _why_not(placement: Placement) -> str:
    if placement.refusal is not None:
        return f"refused: {placement.refusal.rule}: limit {placement.refusal.limit}, actual {placement.refusal.actual}"
    return f"rejected: {placement.rejection}" if placement.ack is None else ""


def _done(run: str, account: str, closing: Mapping[str, _Closing], left: Sequence[Held], swept: Swept) -> FlattenDone:
    still = {one.symbol: one for one in left}
    lines = []
    for symbol, one in sorted(closing.items()):
        rest = still.get(symbol)
        why = "" if rest is None else rest.dust or one.why or "it was not closed in time"
        lines.append(
            FlattenLine(
                symbol=symbol,
                before=one.before,
                left=ZERO if rest is None else rest.quantity,
                orders=tuple(one.orders),
                why=why,
            )
        )
    return FlattenDone(
        run=run,
        account=account,
        complete=swept.complete and not still,
        swept=swept.complete,
        orders=swept.undone(),
        lines=tuple(lines),
    )


def flatten_workflow(accounts: Mapping[str, GuardedAccount], halts: Halts) -> Workflow:
    """The workflow ``flatten``; its input is a ``FlattenAsked``, and its runs belong to the account's owner."""
    flattener = Flattener(accounts, halts)

    @workflow(FLATTEN, key=lambda asked: asked.account)
    async def flatten(run: Run, asked: FlattenAsked) -> FlattenDone:
        return await flattener.flatten(run, asked)

    return flatten


def _check_symbols(symbols: Sequence[str], accounts: Sequence[GuardedAccount]) -> None:
    """
    Raises:
        InvalidInput: a symbol that none of the accounts trades or holds.
    """
    known = sorted(set().union(*(account.known_symbols() for account in accounts)))
    for symbol in symbols:
        if symbol not in known:
            names = ", ".join(account.name for account in accounts)
            has = ", ".join(known) or "it has none"
            raise InvalidInput("symbol", symbol, f"a symbol that {names} trades or holds: {has}")


class FlattenStarted(msgspec.Struct, frozen=True, rename="camel"):
    """A flatten that has begun."""

    account: str
    run: str


class Flattening:
    """Starts flattens on an open engine that was given ``flow``."""

    def __init__(self, engine: Engine, flow: Workflow, accounts: Mapping[str, GuardedAccount]) -> None:
        self._engine = engine
        self._flow = flow
        self._accounts = accounts

    async def start(self, asked: FlattenAsked, *, id: str | None = None) -> FlattenStarted:
        """Flatten an account; on return it is on disk, and goes on whatever becomes of the process.

        ``id``: the same again is the same flatten.

        Raises:
            InvalidInput: no such account, no reason, nobody; a symbol that the account neither trades nor holds; the id
                of another flatten.
        """
        check_words(asked.reason, asked.by)
        account = account_named(self._accounts, asked.account)
        _check_symbols(asked.symbols, [account])
        handle = await self._engine.start(self._flow, asked, id=id, owner=account.owner)
        return FlattenStarted(asked.account, handle.id)

    def verbs(self) -> dict[str, Callable[..., Any]]:
        """What other processes may ask for, to be given to ``Engine.offer``."""

        async def flatten(
            account: str = "",
            reason: str = "",
            by: str = "cli",
            halt: bool = True,
            symbols: Sequence[str] = (),
            foreign: bool = False,
            id: str | None = None,
        ) -> list[FlattenStarted]:
            if not self._accounts:
                raise InvalidInput("account", account, "an account that is open here: none is")
            names = [account] if account else sorted(self._accounts)
            known = {name: account_named(self._accounts, name).known_symbols() for name in names}
            _check_symbols(symbols, [self._accounts[name] for name in names])
            mine = {name: tuple(one for one in symbols if one in known[name]) for name in names}
            names = [name for name in names if mine[name] or not symbols]
            asked = [
                FlattenAsked(account=name, reason=reason, by=by, halt=halt, symbols=mine[name], foreign=foreign)
                for name in names
            ]
            ids = [id if account or id is None else f"{id}.{name}" for name in names]
            return [await self.start(one, id=given) for one, given in zip(asked, ids, strict=True)]

        return {"flatten": flatten}
