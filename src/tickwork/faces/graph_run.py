"""``tickwork graph run``: documents on a paper desk, on a terminal: lines on the way, then the result."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import uvloop

from tickwork.engines.embedded.status import Status
from tickwork.errors import TapeError
from tickwork.faces.grid import Grid
from tickwork.faces.tables import amount, console, dump
from tickwork.graph.versioning.versions import named
from tickwork.service.document_run import Prepared
from tickwork.service.paper import BY_HAND, PaperSession
from tickwork.service.paper_summary import PaperSummary, WorkflowLine

INTERRUPTED = 130
FAILED = 1

_LINES = 10
_GONE_WRONG = {Status.DEAD.name.lower(), Status.FAILED.name.lower()}


def play(open_paper: Callable[..., PaperSession], prepared: Prepared, *, as_json: bool) -> int:
    """Play a session to the end of its data; returns the exit code: 1 where the run by hand or a node of it failed."""
    for note in prepared.notes:
        print(f"tickwork: {note}", file=sys.stderr)
    try:
        return uvloop.run(_play(open_paper, prepared, as_json))
    except TapeError as error:
        where = "" if str(prepared.options.home) in str(error) else f"{prepared.options.home}: "
        raise type(error)(f"{where}{error}") from None


async def _play(open_paper: Callable[..., PaperSession], prepared: Prepared, as_json: bool) -> int:
    session = open_paper(prepared.options, prepared.make, views=prepared.views)
    try:
        if session.notice:
            print(f"tickwork: {session.notice}", file=sys.stderr)
        for warning in session.warnings:
            print(f"tickwork: warning: {warning}", file=sys.stderr)
        playing = asyncio.ensure_future(session.run())
        telling = asyncio.ensure_future(_tell(session, silent=as_json))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, playing.cancel)
        try:
            summary = await playing
        except asyncio.CancelledError:
            done = session.progress
            told = f"stopped at bar {done.bars:,} of {done.total:,}; the same command continues there"
            print(f"tickwork: {told}", file=sys.stderr)
            return INTERRUPTED
        finally:
            telling.cancel()
        by_hand = session.engine.queries.show(BY_HAND) if prepared.options.by_hand is not None else None
        if as_json:
            dump({"summary": summary, "run": None if by_hand is None else _run(by_hand)})
        else:
            _show(summary, by_hand)
        return FAILED if by_hand is not None and _went_wrong(by_hand) else 0
    finally:
        await session.close()


async def _tell(session: PaperSession, *, silent: bool) -> None:
    """A line for each tenth of the way."""
    shown = 0
    while not silent:
        done = session.progress
        tenth = done.bars * _LINES // max(done.total, 1)
        if tenth > shown and not done.rebuilding:
            shown = tenth
            figures = f"{session.events():,} events  {done.fills:,} fills"
            print(f"{done.bars:>9,} of {done.total:,} bars  {figures}", flush=True)
        await asyncio.sleep(0.02)


def _run(detail: Any) -> dict[str, Any]:
    return {"id": detail.info.id, "status": detail.info.status, "result": detail.result, "error": detail.error}


def _result(detail: Any) -> dict[str, Any]:
    return detail.result if isinstance(detail.result, dict) else {}


def _went_wrong(detail: Any) -> bool:
    """Did it fail, or any of its nodes?"""
    return detail.info.status in _GONE_WRONG or bool(_result(detail).get("errors"))


def _by_document(summary: PaperSummary) -> dict[str, list[WorkflowLine]]:
    """Runs are listed under the engine's name of a document, orders under its own."""
    found: dict[str, list[WorkflowLine]] = {}
    for name, line in summary.workflows.items():
        whose = named(name)
        found.setdefault(name if whose is None else whose.name, []).append(line)
    return found


def _show(summary: PaperSummary, by_hand: Any) -> None:
    out = console()
    made = Grid("workflow", "runs", "orders", "fills")
    for name, lines in sorted(_by_document(summary).items()):
        runs = ", ".join(f"{count:,} {status}" for line in lines for status, count in sorted(line.runs.items()))
        orders = ", ".join(f"{count:,} {status}" for line in lines for status, count in sorted(line.orders.items()))
        made.add(name, runs or "none", orders or "none", f"{sum(line.fills for line in lines):,}")
    out.print(made, crop=False)
    events = f"{summary.events:,} events of triggers, schedules and news"
    out.print(f"{summary.bars:,} bars, {events}, {summary.fills:,} fills", markup=False)
    money = f"equity {amount(summary.equity)} {summary.currency}, result of trading {amount(summary.pnl)}"
    coins = f", of coins paid in {amount(summary.stock_pnl)}" if Decimal(summary.stock_pnl) else ""
    fees = f"fees {amount(summary.fees)}, largest fall {summary.max_drawdown:.2%}"
    out.print(f"{money}{coins}, {fees}", markup=False)
    if by_hand is not None:
        result = _result(by_hand)
        errors = {one["node"]: one["error"] for one in result.get("errors", [])}
        status = f"{by_hand.info.status}, with errors" if errors else by_hand.info.status
        out.print(f"run {by_hand.info.id}: {status}", markup=False)
        if by_hand.error:
            out.print(f"  {by_hand.error}", markup=False)
        for node, status in result.get("nodes", {}).items():
            why = f": {errors[node]}" if node in errors else ""
            out.print(f"  {node}: {status}{why}", markup=False)
        for node, outputs in result.get("outputs", {}).items():
            out.print(f"  {node} gave {outputs}", markup=False)
    told = f"more: tickwork runs --tape {summary.tape}   tickwork graph trace RUN --tape {summary.tape}"
    out.print(told, markup=False)
