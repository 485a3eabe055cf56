"""Tables for people, JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final

import msgspec
from pydantic.alias_generators import to_camel
from rich.console import Console
from rich.text import Text

from tickwork.engines.embedded.queries import RunDetail
from tickwork.faces.grid import Give, Grid, printable
from tickwork.service.orders import OrderLine
from tickwork.service.positions import Positions
from tickwork.service.runs import RunLine, outcome

_WIDE: Final = 200
"""Columns of what is not a terminal: a pipe should get whole lines."""
_DISPLAY: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)


class _Stdout(Console):
    """A console that leaves it to the command line what is to be done when its reader has gone."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        raise BrokenPipeError


def console() -> Console:
    """Stdout, with colours where it is a terminal."""
    return _Stdout(width=None if sys.stdout.isatty() else _WIDE, highlight=False)


def show(made: Grid) -> None:
    """A table on stdout; what does not fit even then is left to the terminal to wrap."""
    console().print(made, crop=False)


def dump(value: object) -> None:
    """One JSON value on stdout."""
    print(msgspec.json.encode(value).decode())


def say(value: object, words: str, *, as_json: bool) -> int:
    """A short answer."""
    if as_json:
        dump(value)
    else:
        console().print("\n".join(map(printable, words.split("\n"))), markup=False)
    return 0


def amount(text: str, places: int = 2) -> str:
    """Money for people: thousands apart, two places."""
    return f"{Decimal(text).quantize(Decimal(1).scaleb(-places), context=_DISPLAY):,}" if text else ""


def clock(time: datetime) -> str:
    """A time for people; all are UTC."""
    return f"{time:%Y-%m-%d %H:%M}"


def without_year(text: str) -> str:
    """A shorter form of what ``clock`` makes."""
    return text[5:]


def coloured(word: str) -> Text:
    """A status or an action in its colour."""
    colours = {
        "done": "green",
        "filled": "green",
        "buy": "green",
        "sell": "magenta",
        "hold": "dim",
        "stopped": "yellow",
    }
    bad = ("dead", "failed", "refused", "rejected", "diverged", "stranded", "canceled", "cancelled")
    return Text(printable(word), style=colours.get(word, "red" if word in bad else ""))


# --------------------------------------------------------------------------------------------------------------- runs


def show_runs(found: Sequence[RunLine], *, as_json: bool) -> int:
    """Runs as a table."""
    if as_json:
        dump(found)
        return 0
    if not found:
        console().print("no runs like that on this tape")
        return 0
    columns = ("run", "workflow", "key", "started", "status", "result", "reason")
    made = Grid(*columns, rest="reason", give=(("started", without_year), "started", "workflow"))
    for line in found:
        action, reason = outcome(line)
        result = Text() if action == line.status else coloured(action)
        made.add(line.id, line.workflow, line.key, clock(line.started_at), coloured(line.status), result, reason)
    show(made)
    return 0


def show_run(detail: RunDetail, *, as_json: bool) -> int:
    """One run with its records."""
    info, out = detail.info, console()
    if as_json:
        more = {
            "input": detail.input,
            "result": detail.result,
            "error": detail.error,
            "waitingFor": detail.waiting_for,
            "records": detail.records,
        }
        dump({**{to_camel(field): getattr(info, field) for field in info.__slots__}, **more})
        return 0
    head = Text.assemble((info.id, "bold"), f"  {info.workflow}  {printable(info.key)}  ", coloured(info.status))
    head.append(f"  started {clock(info.started_at)}")
    lines = [head, Text(f"input   {_short(detail.input)}")]
    if detail.result is not None:
        lines.append(Text(f"result  {_short(detail.result)}"))
    if detail.error:
        words = "\n".join(map(printable, detail.error.splitlines()))
        lines.append(Text(f"error   {words}", style="red"))
    lines += [Text(f"waiting for {printable(waiting)}") for waiting in detail.waiting_for]
    for line in [*lines, Text(), *_records(detail.records)]:
        out.print(line, soft_wrap=True)
    return 0


def _records(records: Sequence[dict[str, Any]]) -> list[Text]:
    """A line for each record; on a terminal cut to its width."""
    rows = [("seq", "kind", "name", "value")]
    for record in records:
        # what the run was started with has been shown
        value = "" if record["kind"] == "started" else record.get("value", record.get("error", ""))
        rows.append((str(record["seq"]), record["kind"], record.get("name", ""), _short(value)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    longest = console().width if sys.stdout.isatty() else None
    lines = []
    for number, row in enumerate(rows):
        text = f"{row[0]:>{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:<{widths[2]}}  {row[3]}".rstrip()
        cut = text if longest is None or len(text) <= longest else text[: longest - 1] + "…"
        lines.append(Text(cut, style="" if number else "bold"))
    return lines


def _short(value: object) -> str:
    return printable(value) if isinstance(value, str) else msgspec.json.encode(value).decode()


# ------------------------------------------------------------------------------------------------------------- orders


def show_orders(found: Sequence[OrderLine], *, as_json: bool) -> int:
    """Orders as a table."""
    if as_json:
        dump(found)
        return 0
    if not found:
        console().print("no orders like that on this tape")
        return 0
    columns = ("time", "run", "workflow", "symbol", "side", "quantity", "status", "price", "fee", "reason")
    give: tuple[Give, ...] = ("workflow", ("time", without_year), "fee", "time")
    made = Grid(*columns, right=("quantity", "price", "fee"), rest="reason", give=give)
    for line in found:
        made.add(
            clock(line.time),
            line.run,
            line.workflow,
            line.symbol,
            coloured(line.side),
            line.quantity,
            coloured(line.status),
            amount(line.price),
            amount(line.fee, 4),
            line.reason,
        )
    show(made)
    return 0


def show_positions(held: Positions, *, as_json: bool) -> int:
    """Positions and the account's money."""
    if as_json:
        dump(held)
        return 0
    out = console()
    if held.positions:
        columns = ("account", "symbol", "venue", "quantity", "average price", "cost", "price", "value", "held by")
        give = ("average price", "cost", "venue", "price", "account")
        made = Grid(*columns, right=columns[3:-1], rest="held by", give=give)
        for line in held.positions:
            holders = ", ".join(f"{name} {quantity}" for name, quantity in line.workflows.items())
            figures = (amount(line.average_price), amount(line.cost), known(line.price), known(line.value))
            made.add(line.account, line.symbol, line.venue, line.quantity, *figures, holders)
        show(made)
    else:
        out.print("no open position")
    out.print()
    coins = [f"{quantity} {asset}" for asset, quantity in held.coins.items()]
    rows = (
        ("capital", held.capital, f"and {', '.join(coins)}" if coins else ""),
        ("cash", held.cash, ""),
        ("value", held.value, "of the positions"),
        ("equity", held.equity, "cash and value"),
        ("realised", held.realised, "before fees"),
        ("fees", held.fees, ""),
    )
    for word, text, note in rows:
        money = f"{amount(text):>14} {held.currency}" if text is not None else f"{'not known':>14}"
        out.print(f"{word:<9} {money}{'  ' + note if note else ''}")
    if held.equity is None:
        out.print("The tape does not hold a price of each position.")
    elif held.priced_at is not None:
        out.print(f"Prices: the last on the tape, until {clock(held.priced_at)}.")
    return 0


def known(text: str | None) -> str:
    """Money that may not be known."""
    return "not known" if text is None else amount(text)
