"""``tickwork halt``, ``unhalt`` and ``flatten``: stop trading, let it go on, close everything down."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tickwork.faces.options import HOME, Home, Json, Tape, ask, command, queries_of, tape_of

if TYPE_CHECKING:
    from tickwork.faces.doors import Doors
    from tickwork.service.bare_flatten import BareAccount, BarePlan, BareReport
    from tickwork.service.halting import HaltAnswer

Account = Annotated[str, typer.Option(help="Only this account; by default all.")]
Reason = Annotated[str, typer.Option(help="Why; recorded.")]
By = Annotated[str, typer.Option(help="Who wants it; recorded.")]
Wait = Annotated[float, typer.Option(help="Seconds to wait for the end; it goes on whether one waits or not.", min=0.0)]

_POLL_S = 0.2
_STOPPING = ("halt", "shutdown")
_REASON_MAX = 1_000


def halt(
    reason: Reason = "by hand",
    account: Account = "",
    level: Annotated[str, typer.Option(help="alert, halt or shutdown.")] = "halt",
    by: By = "cli",
    json: Json = False,
    tape: Tape = None,
    home: Home = HOME,
) -> int:
    """Take no new exposure, and cancel what rests at the venues. Reductions and cancels stay possible.

    Where no process has the tape open it is recorded, and whoever opens it next starts halted.
    """
    from tickwork.faces import tables

    found = _changed(tape, home, "halt", reason=reason, account=account, by=by, level=level)
    where = account or "all accounts"
    words = f"{where}: {found['level']} ({found['reason']})"
    return tables.say(found, words if found["changed"] else f"{words}; it stood so already", as_json=json)


def unhalt(
    reason: Reason,
    account: Account = "",
    by: By = "cli",
    json: Json = False,
    tape: Tape = None,
    home: Home = HOME,
) -> int:
    """Let trading go on. An account's own halt and the one of all are cleared apart."""
    from tickwork.faces import tables

    found = _changed(tape, home, "unhalt", reason=reason, account=account, by=by)
    still = found.get("still", [])
    where = account or "all accounts"
    words = [f"{where}: {found['level']}" if found["changed"] else f"{where}: no halt stood that could be cleared"]
    if found["level"] != "normal":
        words[0] += f" ({found['reason']})"
    words += [_still(line) for line in still]
    tables.say(found, "\n".join(words), as_json=json)
    halted = found["level"] in _STOPPING or any(line["level"] in _STOPPING for line in still)
    return 1 if halted or not found["changed"] else 0


def _still(line: Any) -> str:
    """What stands all the same, and how it is cleared."""
    account = line["account"]
    where, option = (f"account {account}", f" --account {account}") if account else ("every account", "")
    return f"{where} is still at level {line['level']}: {line['reason']}; `tickwork unhalt{option} --reason ...`"


def _changed(tape: Path | None, home: Path, verb: str, **fields: Any) -> Any:
    """Ask the owner; where there is none, record it."""
    from tickwork.service.ownership import owner_of

    path = tape_of(tape, home)
    if not path.is_file() or owner_of(str(path)) is not None:
        given = {name: value for name, value in fields.items() if name != "by"}
        if verb == "halt":  # it is not refused for what is said of it
            given["reason"] = given["reason"][:_REASON_MAX] or "by hand"
        found = command(tape, home, verb, given, who=fields["by"], **fields)
        # a halt tells of resting orders too, which the sweep sees to
        return {name: found.get(name, []) for name in ("account", "level", "reason", "changed", "still")}
    import asyncio

    import msgspec

    from tickwork.service.halting import Halting, change_unowned

    async def change(halting: Halting) -> HaltAnswer:
        if verb == "halt":
            return await halting.raise_to(**fields)
        return await halting.clear(**fields)

    return msgspec.to_builtins(asyncio.run(change_unowned(str(path), change)))


def flatten(
    context: typer.Context,
    reason: Reason = "by hand",
    account: Account = "",
    symbol: Annotated[list[str] | None, typer.Option(help="Only this position; may be given several times.")] = None,
    keep_trading: Annotated[bool, typer.Option("--keep-trading", help="Raise no halt.")] = False,
    foreign: Annotated[bool, typer.Option("--foreign", help="Cancel also orders that were not placed here.")] = False,
    id: Annotated[str | None, typer.Option(help="The same again is the same flatten.")] = None,
    without_tape: Annotated[
        bool,
        typer.Option(
            "--without-tape",
            help="Trade at the venue directly: what still works when the disk fails. It sells everything there is of "
            "the account's symbols, whoever bought it, and cancels all orders in them.",
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="With --without-tape: do it; else it is told first what would be sold.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --without-tape: even though a process has the tape open.")
    ] = False,
    by: By = "cli",
    wait: Wait = 60.0,
    json: Json = False,
    tape: Tape = None,
    home: Home = HOME,
) -> int:
    """Halt, cancel all resting orders, and close every position with market orders that can only reduce."""
    if without_tape:
        names = tuple(symbol or ())
        return _bare(context.obj, account, names, tape_of(tape, home), force=force, yes=yes, as_json=json)
    verb: dict[str, Any] = {"account": account, "reason": reason, "by": by, "halt": not keep_trading}
    verb |= {"symbols": list(symbol or ()), "foreign": foreign, "id": id}
    if id is not None:  # the same id is the same flatten, whatever is said of it the second time
        started = ask(tape, home, "flatten", **verb)
    else:
        given = {"account": account, "reason": reason[:_REASON_MAX] or "by hand", "keepTrading": keep_trading}
        given |= {"symbols": verb["symbols"], "foreign": foreign}
        told = command(tape, home, "flatten", given, who=by, **verb)
        started = told["items"] if isinstance(told, dict) else told
    from tickwork.faces import tables

    ended = {one["account"]: ending(tape, home, one["run"], wait) for one in started}
    halts = not keep_trading
    results = [{**one, **(ended[one["account"]] or {"complete": None})} for one in started]
    words = "\n".join(_told(one["account"], one["run"], ended[one["account"]], halts) for one in started)
    tables.say(results, words, as_json=json)
    return 0 if all(done is not None and done["complete"] for done in ended.values()) else 1


def _told(account: str, run: str, done: Any, halts: bool) -> str:
    halted = [f"{account} is halted; `tickwork unhalt --account {account} --reason ...` lets it trade again"]
    if done is None:
        return "\n".join([f"{account}: {run} goes on; `tickwork show {run}` tells how far it is", *halted[:halts]])
    lines = [
        f"  {line['symbol']}: {line['before']} -> {line['left']}" + (f" ({line['why']})" if line["why"] else "")
        for line in done["lines"]
    ]
    flat = "flat" if done["complete"] else "NOT flat"
    orders = "" if done["swept"] else "; resting orders are not all cancelled"
    lines += [f"  {why}" for why in done.get("orders", [])]
    return "\n".join([f"{account}: {flat}{orders}", *lines, *halted[:halts]])


def ending(tape: Path | None, home: Path, run: str, wait: float) -> Any:
    """The result of a run, once it has one; ``None`` if it has none in time.

    Raises:
        TickworkError: the run failed.
    """
    from tickwork.errors import TickworkError

    left = wait
    while True:
        detail = queries_of(tape, home).show(run)
        if detail.error is not None:
            raise TickworkError(f"{run} is {detail.info.status}: {detail.error}")
        if detail.info.status == "done":
            return detail.result
        if left <= 0:
            return None
        time.sleep(_POLL_S)
        left -= _POLL_S


def _bare(
    doors: Doors, account: str, symbols: tuple[str, ...], tape: Path, *, force: bool, yes: bool, as_json: bool
) -> int:
    import asyncio

    from tickwork.errors import InvalidInput, TapeLocked
    from tickwork.faces import tables
    from tickwork.service.bare_flatten import told
    from tickwork.service.ownership import owner_of

    owner = None if force else owner_of(str(tape))
    if owner is not None:
        raise TapeLocked(
            f"process {owner.pid or 'unknown'} has {tape} open and may trade: use `tickwork flatten`, "
            "stop it first, or say --force"
        )
    if doors.open_bare is None:
        raise InvalidInput("--without-tape", account or "all", "a configured account: none can be opened here")
    reports = asyncio.run(_bare_all(doors.open_bare(account, symbols), symbols, yes=yes, as_json=as_json))
    if reports is None:
        return 2
    tables.say(reports, "\n".join(map(told, reports)), as_json=as_json)
    return 0 if reports and all(report.complete for report in reports) else 1


async def _bare_all(
    accounts: Sequence[BareAccount], symbols: tuple[str, ...], *, yes: bool, as_json: bool
) -> list[BareReport] | None:
    """Flatten, on somebody's word; ``None``: nobody gave it, and nothing was done."""
    from contextlib import AsyncExitStack

    from tickwork.service.bare_flatten import check_symbols, flatten_without_tape, plan_without_tape

    async with AsyncExitStack() as stack:
        for one in accounts:
            stack.push_async_callback(one.venue.close)
            if symbols:
                await check_symbols(one, symbols)
        if not yes and not _confirmed([await plan_without_tape(one) for one in accounts], as_json=as_json):
            return None
        return [await flatten_without_tape(one) for one in accounts]


def _confirmed(plans: list[BarePlan], *, as_json: bool) -> bool:
    """Does somebody want what a flatten would do? Asked at a terminal; elsewhere it is only told."""
    import sys

    from tickwork.faces import tables
    from tickwork.service.bare_flatten import told_plan

    asks = not as_json and sys.stdin.isatty()
    words = "\n".join(map(told_plan, plans))
    tables.say(plans, words if asks else f"{words}\nnothing was done: say --yes to do it", as_json=as_json)
    return asks and typer.confirm("Do it?")
