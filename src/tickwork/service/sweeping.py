"""Sweeping: cancelling what rests of an account at its venue, durably, and saying of each order what became of it.

Theory of operation. A sweep looks, cancels what it finds, and looks again. A look is what the venue lists *and* what
the desk believes to be working, because a venue's list lags behind; orders in doubt are looked for by their client ids.
Each cancel is an effect of the run; one that fails is made again after the next look. A sweep is complete when two
looks in succession find nothing that could trade: no order, none being sent, none in doubt. So an order that was past
its last look at the halt when that was raised is found by the second look.

It goes on while anything is left, with longer and longer pauses, until whoever wanted it does not any more or it has
looked very often; what is not done is said in the middle and at the end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

import msgspec

from tickwork.core.event import Alert, Event
from tickwork.core.run import Run
from tickwork.errors import TickworkError
from tickwork.service.guarded import GuardedAccount, account_named
from tickwork.trading.order_life import FINAL
from tickwork.trading.orders import ZERO, Order, Side
from tickwork.values import Quantity

AT_ONCE: Final = 20
"""So many orders are cancelled side by side."""
TELL_AFTER: Final = 8
"""After so many looks it is said what is not done yet."""
GIVEN_UP: Final = 4
"""So often cancelling an order must have failed before that is said; it is tried on."""

CLEARED: Final = "the halt was cleared"
"""Why a sweep ended early, where nobody wants it any more."""

Outcome = Literal["cancelled", "ended", "unknown", "failed"]


class HaltAcknowledged(Event, name="trading/halt.acknowledged", version=1):
    """What became of one resting order when its account was swept, by a halt or to flatten it."""

    run: str
    account: str
    client_order_id: str
    venue_order_id: str
    symbol: str
    outcome: Outcome
    """``ended``: it had ended by itself; ``unknown``: nobody knows whether it exists; ``failed``: cancelling did, so
    far."""
    filled: Quantity
    reason: str = ""


class HaltSwept(Event, name="trading/halt.swept", version=1):
    """How a sweep stands: once at its end, and once before where it takes long."""

    run: str
    account: str
    complete: bool
    """Nothing is left that could trade but what was to be left."""
    cancelled: int
    ended: int
    failed: tuple[str, ...]
    """Client ids (or the venue's, of orders without one) of those that rest all the same."""
    in_doubt: tuple[str, ...]
    left: tuple[str, ...]
    """Orders that were to be left: reductions, those of others."""
    looks: int
    reason: str = ""
    """Why it is not complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPlan:
    """What is swept."""

    foreign: bool = False
    """Also orders that were not placed here."""
    reductions: bool = False
    """Also orders that can only reduce a position."""
    looks: int = 300
    """At most."""


class Resting(msgspec.Struct, frozen=True, rename="camel"):
    """An order that may trade."""

    client_order_id: str
    venue_order_id: str
    symbol: str
    side: Side | None

    @property
    def id(self) -> str:
        """By what it is known."""
        return self.client_order_id or self.venue_order_id


class Look(msgspec.Struct, frozen=True, rename="camel"):
    """What a look found."""

    resting: tuple[Resting, ...] = ()
    left: tuple[str, ...] = ()
    sending: int = 0
    """Orders that are on the wire just now."""
    doubts: tuple[Resting, ...] = ()
    problem: str = ""
    """Why nobody could look."""


class Swept(msgspec.Struct, rename="camel", kw_only=True):
    """What a sweep came to."""

    complete: bool = False
    outcomes: dict[str, Outcome] = {}
    doubts: tuple[Resting, ...] = ()
    left: tuple[str, ...] = ()
    looks: int = 0
    reason: str = ""
    problems: dict[str, str] = {}
    """Why the last cancel of an order failed, by what it is known by."""

    def count(self, outcome: Outcome) -> int:
        """How many orders came to that."""
        return sum(one == outcome for one in self.outcomes.values())

    def failed(self) -> tuple[str, ...]:
        """Those that rest all the same."""
        return tuple(key for key, one in self.outcomes.items() if one == "failed")

    def undone(self) -> tuple[str, ...]:
        """What keeps it from being complete, in words: each order with the reason."""
        if self.complete:
            return ()
        found = [f"order {key} still rests: {self.problems.get(key, 'it could not be cancelled')}"
                 for key in self.failed()]  # fmt: skip
        found += [f"order {one.id}: nobody knows whether it exists" for one in self.doubts]
        return tuple(found) or (self.reason,)


class _Cancelled(msgspec.Struct, frozen=True):
    resting: Resting
    order: Order | None = None
    error: str = ""


class Sweeper:
    """Sweeps accounts. ``accounts``: those that are open, by name; it may change."""

    def __init__(self, accounts: Mapping[str, GuardedAccount]) -> None:
        self._accounts = accounts

    async def sweep(
        self, run: Run, name: str, plan: SweepPlan, wanted: Callable[[], Awaitable[bool]] | None = None
    ) -> Swept:
        """Cancel what rests in an account; verbs of a body. ``wanted``: whether to go on, asked before every look."""
        swept = Swept(outcomes={}, problems={})
        failures: dict[str, int] = {}
        quiet = 0
        for number in range(plan.looks):
            if number:
                await run.sleep(pause(number))
                if wanted is not None and not await wanted():
                    swept.reason = CLEARED
                    break
            found: Look = await run.step("look", self.look, name, plan.foreign, plan.reductions)
            swept.looks, swept.doubts, swept.left = number + 1, found.doubts, found.left
            todo = [one for one in found.resting if _may_be_cancelled(one, swept)]
            if not found.problem:
                await self._gone(run, name, found, swept)
            await self._cancel_all(run, name, todo, swept, failures)
            swept.reason = found.problem or _undone(todo, found)
            quiet = 0 if swept.reason else quiet + 1
            if quiet == 2:
                swept.complete = not swept.failed()
                swept.reason = "" if swept.complete else f"cannot be cancelled here: {', '.join(swept.failed())}"
                break
            if number + 1 == TELL_AFTER < plan.looks:
                await self._tell(run, name, swept)
        await self._tell(run, name, swept)
        return swept

    async def look(self, name: str, foreign: bool, reductions: bool) -> Look:
        """What could trade in an account now. That nobody can look is an answer, so that it is on the tape."""
        try:
            account = account_named(self._accounts, name)
            listed = {
                order.client_order_id or order.venue_order_id: order for order in await account.venue.open_orders()
            }
        except Exception as error:  # noqa: BLE001 - whatever the wire raises: it is looked again
            return Look(problem=f"nobody could look: {type(error).__name__}: {error}"[:500])
        for key in account.desk.unknown:
            with contextlib.suppress(Exception):  # it stays in doubt, and is listed as such
                await account.desk.resolve(key)
        return _look(account, listed, foreign=foreign, reductions=reductions)

    async def _gone(self, run: Run, name: str, found: Look, swept: Swept) -> None:
        """What could not be cancelled and is not there any more has ended by itself."""
        there = {one.id for one in found.resting}
        for key in swept.failed():
            if key not in there:
                swept.outcomes[key] = "ended"
                await self._acknowledge(
                    run, name, Resting(key, "", "", None), "ended", reason="it is not there any more"
                )

    async def _cancel_all(
        self, run: Run, name: str, todo: Sequence[Resting], swept: Swept, failures: dict[str, int]
    ) -> None:
        for begin in range(0, len(todo), AT_ONCE):
            ended: list[_Cancelled] = await run.all(
                *(self._cancel(run, name, one) for one in todo[begin : begin + AT_ONCE])
            )
            for one in ended:
                await self._note(run, name, one, swept, failures)

    async def _cancel(self, run: Run, name: str, one: Resting) -> _Cancelled:
        if not one.client_order_id:
            return _Cancelled(one, error="it bears no client id, by which orders are cancelled here: cancel it there")
        try:
            desk = account_named(self._accounts, name).desk
            return _Cancelled(one, await desk.cancel(run, one.client_order_id, one.symbol))
        except TickworkError as error:
            return _Cancelled(one, error=f"{type(error).__name__}: {error}")

    async def _note(self, run: Run, name: str, one: _Cancelled, swept: Swept, failures: dict[str, int]) -> None:
        key, order = one.resting.id, one.order
        if order is None:
            failures[key] = failures.get(key, 0) + 1
            swept.outcomes[key] = "failed"
            swept.problems[key] = one.error
            if failures[key] == (GIVEN_UP if one.resting.client_order_id else 1):
                await self._acknowledge(run, name, one.resting, "failed", reason=one.error)
        elif order.status in FINAL:  # else the venue takes its time, and the next look tells
            swept.outcomes[key] = outcome = _outcome(order)
            await self._acknowledge(run, name, one.resting, outcome, order, order.reason)

    async def _acknowledge(
        self, run: Run, name: str, one: Resting, outcome: Outcome, order: Order | None = None, reason: str = ""
    ) -> None:
        told = HaltAcknowledged(
            run=run.id,
            account=name,
            client_order_id=one.client_order_id,
            venue_order_id=one.venue_order_id if order is None else order.venue_order_id,
            symbol=one.symbol,
            outcome=outcome,
            filled=ZERO if order is None else order.filled,
            reason=reason,
        )
        await run.emit(told)

    async def _tell(self, run: Run, name: str, swept: Swept) -> None:
        for one in swept.doubts:
            if swept.outcomes.get(one.id) != "unknown":
                swept.outcomes[one.id] = "unknown"
                await self._acknowledge(run, name, one, "unknown", reason="nobody knows whether it exists")
        told = HaltSwept(
            run=run.id,
            account=name,
            complete=swept.complete,
            cancelled=swept.count("cancelled"),
            ended=swept.count("ended"),
            failed=swept.failed(),
            in_doubt=tuple(one.id for one in swept.doubts),
            left=swept.left,
            looks=swept.looks,
            reason=swept.reason,
        )
        await run.emit(told)
        if not swept.complete and swept.reason != CLEARED:
            detail = f"account {name}: {swept.reason}"
            await run.emit(Alert(run=run.id, what="resting orders are not all cancelled", detail=detail))


def _look(account: GuardedAccount, listed: Mapping[str, Order], *, foreign: bool, reductions: bool) -> Look:
    held = account.desk.reservations
    resting, left = [], []
    for id, order in listed.items():
        known = held.get(order.client_order_id)
        reduces = order.reduce_only or (known is not None and known.reduce_only)
        if (reduces and not reductions) or not (foreign or account.is_ours(order.client_order_id)):
            left.append(id)
        else:
            resting.append(Resting(order.client_order_id, order.venue_order_id, order.symbol, order.side))
    for key, known in held.working().items():
        if key in listed:
            continue
        if known.reduce_only and not reductions:
            left.append(key)
        else:
            resting.append(Resting(key, "", known.symbol, known.side))
    unknown = account.desk.unknown
    return Look(
        resting=tuple(sorted(resting, key=lambda one: one.id)),
        left=tuple(sorted(left)),
        sending=len(held.doubtful()) - len(unknown),
        doubts=tuple(Resting(key, "", held.symbol_of(key), None) for key in unknown),
    )


def _may_be_cancelled(one: Resting, swept: Swept) -> bool:
    """Not done yet; one without a client id is tried once."""
    outcome = swept.outcomes.get(one.id)
    return outcome in (None, "unknown") or (outcome == "failed" and bool(one.client_order_id))


def _undone(todo: Sequence[Resting], found: Look) -> str:
    parts = [
        f"{len(todo)} orders were resting" if todo else "",
        f"{found.sending} orders were being sent" if found.sending else "",
        f"nobody knows what became of {', '.join(one.id for one in found.doubts)}" if found.doubts else "",
    ]
    return "; ".join(part for part in parts if part)


def _outcome(order: Order | None) -> Outcome:
    if order is None:
        return "failed"
    return "cancelled" if order.status in ("cancelled", "partially_cancelled") else "ended"


def pause(number: int) -> timedelta:
    """How long to wait before the look of a number: doubled each time up to half a minute, and 5 minutes after long."""
    return timedelta(minutes=5) if number > 60 else timedelta(seconds=min(0.5 * 2 ** (number - 1), 30.0))
