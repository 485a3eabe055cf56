"""Halting: stop trading, let it go on, close everything down; comparing books with venues."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec
from pydantic import Field

from tickwork.engines.embedded.queries import Queries
from tickwork.errors import InvalidInput, NotFound, NotRunning
from tickwork.service.api.caller import Caller
from tickwork.service.api.operation import Args, Call, Cursor, Limit, Page, command, query
from tickwork.service.flattening import FlattenStarted
from tickwork.service.halting import STOPPING, HaltAnswer, Halting, change_unowned
from tickwork.service.halts import FlattenShown, HaltsShown, Sweep, flatten_shown, halts_shown, raised_last, sweep
from tickwork.service.operations.asking import ask_trading, by, id_of, who
from tickwork.service.operations.orders import OnlyAccount
from tickwork.service.operations.runs import position
from tickwork.service.orders import orders
from tickwork.service.owners import chosen
from tickwork.service.reconcile_events import FindingLine, reconciliations
from tickwork.values import from_ns, plain

RESTING_MAX = 1_000


class HaltsShow(Args):
    """Which halts."""

    account: OnlyAccount = ""
    limit: Limit = 20
    cursor: Cursor = None


class OneHalt(Args):
    """Which halt."""

    halt: int = Field(ge=1, lt=2**63, description="The `seq` of a halt that was raised.")


class OneFlatten(Args):
    """Which flatten."""

    run: str = Field(min_length=1, max_length=200, description="The run of a flatten.")


class Halt(Args):
    """What is halted, how far, and why."""

    reason: str = Field("by hand", min_length=1, max_length=1_000, description="Why; recorded.")
    account: str = Field("", max_length=100, description="Only this account; by default all.")
    level: Literal["alert", "halt", "shutdown"] = Field(
        "halt", description="`alert` only tells people; `halt` takes no new exposure and cancels what rests."
    )


class Unhalt(Args):
    """What is to go on, and why."""

    reason: str = Field(min_length=1, max_length=1_000, description="Why it may; recorded.")
    account: str = Field("", max_length=100, description="The halt of this account; by default the one of all.")


class Flatten(Args):
    """What is closed down, and why."""

    reason: str = Field("by hand", min_length=1, max_length=1_000, description="Why; recorded.")
    account: str = Field("", max_length=100, description="Only this account; by default all.")
    symbols: list[str] = Field([], max_length=100, description="Only these positions; by default all.")
    keep_trading: bool = Field(False, description="Raise no halt.")
    foreign: bool = Field(False, description="Cancel also orders that were not placed here.")


class Reconcile(Args):
    """What is compared, and what is done about what is found, this once."""

    account: str = Field("", max_length=100, description="Only this account; by default all.")
    orders: Literal["", "cancel", "adopt", "leave"] = Field("", description="About orders that are none of ours.")
    balances: Literal["", "adopt", "leave"] = Field("", description="About balances that are not in the books.")


class HaltTaken(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What came of asking for a halt. It stands; what rests is cancelled now."""

    account: str
    level: str
    """What stands now."""
    reason: str
    changed: bool
    """False: it stood at that level, or above, already."""
    halt: int | None
    """Its position: ``GET /halts/{halt}`` says what becomes of each order. ``None``: nobody had the tape open then."""
    look: str
    """That address."""
    resting: list[str]
    """Client ids of orders that rest; they are cancelled, but for those that only reduce a position."""


class RunStarted(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A run that does it."""

    run: str


class FindingShown(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A difference between our books and a venue's, and what was done about it. Money is text."""

    id: str
    kind: str
    symbol: str
    difference: str
    value: str | None
    severity: str
    detail: str
    action: str
    outcome: str


class Reconciliation(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Our books were compared with a venue's."""

    seq: int
    at: datetime
    run: str
    account: str
    venue: str
    by: str
    clean: bool
    level: str
    """To what it raised the halt."""
    findings: list[FindingShown]
    more: int
    unseen: dict[str, str]
    """What could not be looked at, and why."""


@query("halts.show", "GET /halts", owned=True, examples=({"account": "main"},))
def halts_show(call: Call, args: HaltsShow) -> HaltsShown:
    """Halts that stand, and what was raised and cleared, by whom and why, newest first."""
    own_account(call.queries, call.caller, args.account)
    return halts_shown(call.queries, args.limit, account=args.account, before=position(args.cursor))


@query("halts.acknowledgements", "GET /halts/{halt}", owned=True, examples=({"halt": 120},))
def halts_acknowledgements(call: Call, args: OneHalt) -> Sweep:
    """What a halt has come to at the venues: of each order that rested, whether it is gone."""
    found = sweep(call.queries, args.halt)
    _own_thing(call, found.account, "halt", args.halt)
    return found


async def _halt_unowned(tape: str, args: Halt, caller: Caller) -> HaltTaken:
    _nobodys(tape, caller)

    async def change(halting: Halting) -> HaltAnswer:
        return await halting.raise_to(args.level, args.reason, by=who(caller), account=args.account)

    return _taken(await change_unowned(tape, change), None, [])


@command(
    "halt",
    "POST /halt",
    tool="halt_trading",
    verb="halt",
    status=202,
    owned=True,
    unowned=_halt_unowned,
    examples=({"reason": "the venue behaves strangely"}, {"account": "main", "reason": "too much in one coin"}),
)
async def halt(call: Call, args: Halt) -> HaltTaken:
    """Take no new exposure, at once, and cancel what rests at the venues. Reductions and cancels stay possible.

    Whoever may operate may halt every account: which of them it may trade does not matter. A caller that is bound to an
    owner halts that owner's, each by its name.

    The answer comes when the halt stands and is on disk; what becomes of each order is asked for with `halts.show` and
    the number it gives. Where no process trades it is recorded, and whoever opens the tape next starts halted.
    """
    await _own(call, args.account)
    fields = {"level": args.level, "reason": args.reason, "account": args.account}
    answer = await ask_trading(call, HaltAnswer, "halt", by=by(call), **fields)

    def look(queries: Queries) -> HaltTaken:
        accounts = chosen(queries, None, args.account)
        working = orders(queries, "acknowledged", RESTING_MAX, accounts=accounts)
        working += orders(queries, "partially_filled", RESTING_MAX, accounts=accounts)
        resting = [one.client_order_id for one in working] if answer.level in STOPPING else []
        return _taken(answer, raised_last(queries, args.account), resting)

    taken: HaltTaken = await call.read(look)
    return taken


def _taken(answer: HaltAnswer, seq: int | None, resting: list[str]) -> HaltTaken:
    return HaltTaken(
        account=answer.account,
        level=answer.level,
        reason=answer.reason,
        changed=answer.changed,
        halt=seq,
        look=f"/api/v1/halts/{seq}" if seq is not None else "/api/v1/halts",
        resting=resting,
    )


async def _unhalt_unowned(tape: str, args: Unhalt, caller: Caller) -> HaltAnswer:
    _nobodys(tape, caller)

    async def change(halting: Halting) -> HaltAnswer:
        return await halting.clear(args.reason, by=who(caller), account=args.account)

    return await change_unowned(tape, change)


@command(
    "unhalt",
    "POST /unhalt",
    tool="resume_trading",
    verb="unhalt",
    scope="trade",
    account="account",
    owned=True,
    unowned=_unhalt_unowned,
    examples=({"reason": "looked into it: a bad quote", "account": "main"},),
)
async def unhalt(call: Call, args: Unhalt) -> HaltAnswer:
    """Let trading go on. An account's own halt and the one of all are cleared apart; `still` says what stands."""
    await _own(call, args.account)
    return await ask_trading(call, HaltAnswer, "unhalt", reason=args.reason, account=args.account, by=by(call))


@command(
    "flatten",
    "POST /flatten",
    tool="flatten",
    verb="flatten",
    scope="trade",
    account="account",
    owned=True,
    status=202,
    examples=({"account": "main", "reason": "done for the day"},),
)
async def flatten(call: Call, args: Flatten) -> Page[FlattenStarted]:
    """Halt, cancel all resting orders, and close every position with market orders that can only reduce.

    It goes on whatever becomes of whoever asked; `flattens.show` says how far it is, by its run.
    """
    await _own(call, args.account)
    started = await ask_trading(
        call,
        list[FlattenStarted],
        "flatten",
        account=args.account,
        reason=args.reason,
        by=by(call),
        halt=not args.keep_trading,
        symbols=args.symbols,
        foreign=args.foreign,
        id=id_of(call, "flatten"),
    )
    return Page(items=started)


@query("flattens.show", "GET /flattens/{run}", owned=True, examples=({"run": "r120"},))
def flattens_show(call: Call, args: OneFlatten) -> FlattenShown:
    """How a flatten stands: what became of each order, what was closed, what is left and why."""
    found = flatten_shown(call.queries, args.run)
    _own_thing(call, found.account, "run", args.run)
    return found


@command(
    "reconcile",
    "POST /reconcile",
    verb="reconcile",
    scope="trade",
    account="account",
    status=202,
    examples=({"account": "main"},),
)
async def reconcile(call: Call, args: Reconcile) -> RunStarted:
    """Compare our books with the venues' now: balances, positions, open orders, fills."""
    fields: dict[str, Any] = {"account": args.account, "orphan_orders": args.orders, "balances": args.balances}
    return RunStarted(run=await ask_trading(call, str, "reconcile", by=by(call), **fields))


@query("reconciliations.list", "GET /reconciliations", examples=({"account": "main", "limit": 5},))
def reconciliations_list(call: Call, args: HaltsShow) -> Page[Reconciliation]:
    """Reconciliations, newest first: what differed, what was done about it, what waits for a person."""
    found = reconciliations(call.queries, args.limit + 1, account=args.account, before=position(args.cursor))
    items = [
        Reconciliation(
            seq=seq,
            at=from_ns(at),
            run=done.run,
            account=done.account,
            venue=done.venue,
            by=done.by,
            clean=done.clean,
            level=done.level,
            findings=[_finding(one) for one in done.findings],
            more=done.more,
            unseen=dict(done.unseen),
        )
        for seq, at, done in found[: args.limit]
    ]
    return Page(items=items, next=str(items[-1].seq) if len(found) > args.limit else None)


def _finding(one: FindingLine) -> FindingShown:
    return FindingShown(
        id=one.id,
        kind=one.kind,
        symbol=one.symbol,
        difference=plain(one.difference),
        value=None if one.value is None else plain(one.value),
        severity=one.severity,
        detail=one.detail,
        action=one.action,
        outcome=one.outcome,
    )


# ------------------------------------------------------------------------------------------- whose account it is


def own_account(queries: Queries, caller: Caller, account: str) -> None:
    """
    Raises:
        InvalidInput: a caller that is bound to an owner names no account. NotFound: it names somebody else's.
    """
    if caller.owner is None:
        return
    if not account:
        mine = ", ".join(sorted(chosen(queries, caller.owner) or ())) or "you have none"
        raise InvalidInput("account", account, f"one of yours: {mine}")
    chosen(queries, caller.owner, account)


async def _own(call: Call, account: str) -> None:
    await call.read(lambda queries: own_account(queries, call.caller, account))


def _own_thing(call: Call, account: str, kind: str, id: object) -> None:
    """
    Raises:
        NotFound: it is about somebody else's account, or about all.
    """
    mine = chosen(call.queries, call.caller.owner)
    if mine is not None and account not in mine:
        raise NotFound(kind, id, f"a {kind} that is about an account of yours")


def _nobodys(tape: str, caller: Caller) -> None:
    """
    Raises:
        NotRunning: whose the accounts are is for the process that trades to say.
    """
    if caller.owner is not None:
        raise NotRunning(tape)
