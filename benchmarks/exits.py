"""A hundred thousand open positions with exits: what a quote costs that fires none, moves stops, or fires some."""

from __future__ import annotations

import gc
import random
import sys
import time
from collections.abc import Callable
from decimal import Decimal

from benchmarks.figures import Figure, at_most, under_peer
from benchmarks.setting import Setting, child, median, report, rss_mb
from tickwork.trading.exits import ExitBook, ExitPlan, ExitRules, Target, Trailing

ROUNDS = 5
QUOTES = 20_000
"""Quotes in a round."""
DISTANCES = [Decimal(n) / 1_000 for n in range(100, 200)]
STOPS = [Decimal(n) / 1_000 for n in range(200, 300)]
PROFITS = [Decimal(n) / 1_000 for n in range(400, 600)]
HALF = Decimal("0.5")

Look = Callable[[str, Decimal, int], object]


def measure(setting: Setting) -> None:
    """Spread over many symbols, and all on one: each in a process of its own."""
    plans = setting.pick(100_000, 10_000)
    for name, symbols in (("", 100), ("-one-symbol", 1)):
        found = child("benchmarks.exits", plans, symbols)
        notes = {
            "positions": plans,
            "symbols": symbols,
            "bytesEach": found["bytes"],
            "stopsMovedAtOnce": plans // symbols,
        }
        scan = "asking every position of the symbol"
        quiet = Figure(
            f"exits-100k{name}-quiet", found["quiet"], "us", scan, found["scan"], goal=at_most(5), notes=notes
        )
        moving = Figure(
            f"exits-100k{name}-trailing",
            found["moving"],
            "us",
            scan,
            found["scan_moving"],
            goal=under_peer(0.1),
            notes=notes,
        )
        setting.add(quiet)
        setting.add(moving)
        fired = {**notes, "fired": found["fired"]}
        setting.add(Figure(f"exits-100k{name}-fired", found["firing"], "us", notes=fired))
        setting.add(Figure(f"exits-100k{name}-restore", found["restore"], "s", notes=notes))


def rules() -> list[ExitRules]:
    """Trailing from the entry on, a stop further away, and two targets: a hundred kinds."""
    draw = random.Random(1)
    return [
        ExitRules(
            stop_loss=draw.choice(STOPS),
            trailing=Trailing(draw.choice(DISTANCES)),
            take_profit=(Target(draw.choice(PROFITS[:100]), HALF), Target(draw.choice(PROFITS[100:]), HALF)),
        )
        for _ in range(100)
    ]


def plan(n: int, symbols: int, kinds: list[ExitRules]) -> ExitPlan:
    """A long of 10 that was bought at 100."""
    return ExitPlan(
        id=f"plan-{n}",
        account=f"account-{n % 1_000}",
        workflow="momentum",
        owner="me",
        venue="paper",
        symbol=_symbol(n % symbols),
        side="long",
        quantity=Decimal(10),
        entry_price=Decimal(100),
        opened_ns=0,
        rules=kinds[n % len(kinds)],
        quantity_step=Decimal("0.001"),
    )


def _symbol(n: int) -> str:
    return f"S{n:03d}/USDT"


class Scan:
    """What one does without an index: the positions of a symbol in a list, and every quote asks each of them."""

    def __init__(self, plans: list[ExitPlan]) -> None:
        self._plans: dict[str, list[list[Decimal]]] = {}
        for one in plans:
            trailing = one.rules.trailing
            assert trailing is not None
            keep = 1 - trailing.distance
            stop = max(one.entry_price * (1 - (one.rules.stop_loss or 0)), one.entry_price * keep)
            target = one.entry_price * (1 + one.rules.take_profit[0].profit)
            self._plans.setdefault(one.symbol, []).append([stop, target, one.entry_price, keep])

    def look(self, symbol: str, bid: Decimal, _: int) -> list[list[Decimal]]:
        """Positions that are due."""
        due = []
        for one in self._plans[symbol]:
            if bid > one[2]:
                one[2] = bid
                one[0] = max(one[0], bid * one[3])
            if bid <= one[0] or bid >= one[1]:
                due.append(one)
        return due


def _quiet(look: Look, symbols: int, quotes: int) -> float:
    """Microseconds a quote that changes nothing; symbols in turns."""
    taken = []
    for part in range(ROUNDS):
        prices = [Decimal("99.90") + Decimal(n % 7) / 100 for n in range(quotes)]
        names = [_symbol(n % symbols) for n in range(quotes)]
        began = time.perf_counter()
        for n in range(quotes):
            look(names[n], prices[n], part * quotes + n)
        taken.append((time.perf_counter() - began) / quotes * 1e6)
    return median(taken)


def _moving(look: Look, symbols: int, quotes: int) -> float:
    """Microseconds a quote that is a new high, and moves the stop of every position of its symbol."""
    taken = []
    for part in range(ROUNDS):
        # up to five percent in all, every symbol by as many steps
        steps = [part * quotes + n - n % symbols for n in range(quotes)]
        prices = [Decimal(100) + Decimal(5 * (step + 1)) / (ROUNDS * quotes) for step in steps]
        names = [_symbol(n % symbols) for n in range(quotes)]
        began = time.perf_counter()
        for n in range(quotes):
            look(names[n], prices[n], 10**9 + part * quotes + n)
        taken.append((time.perf_counter() - began) / quotes * 1e6)
    return median(taken)


def of_book(count: int, symbols: int) -> None:
    """The book, then the list."""
    kinds = rules()
    plans = [plan(n, symbols, kinds) for n in range(count)]
    gc.collect()
    before = rss_mb()
    book = ExitBook("1h")
    for one in plans:
        book.open(one)
    gc.collect()
    rss = rss_mb() - before

    def look(symbol: str, bid: Decimal, at_ns: int) -> object:
        return book.on_quote("paper", symbol, bid, bid, at_ns, at_ns)

    quiet, moving = _quiet(look, symbols, QUOTES), _moving(look, symbols, QUOTES)
    states = list(book.states())
    again = ExitBook("1h")
    began = time.perf_counter()
    again.restore(states, [], 0)
    restore = time.perf_counter() - began
    fired = 0
    began = time.perf_counter()
    for n in range(symbols):
        for due in book.on_quote("paper", _symbol(n), Decimal("94.40"), Decimal("94.40"), 2 * 10**9, 2 * 10**9).due:
            claim = book.claim(due)
            book.filled(claim, claim.quantity)
            fired += 1
    firing = (time.perf_counter() - began) / max(fired, 1) * 1e6
    scan = Scan(plans)
    few = max(symbols, 2_000 * symbols // count)
    report(
        {
            "bytes": round(rss * 1e6 / count),
            "quiet": quiet,
            "moving": moving,
            "scan": _quiet(scan.look, symbols, few),
            "scan_moving": _moving(scan.look, symbols, few),
            "fired": fired,
            "firing": firing,
            "restore": restore,
        }
    )


if __name__ == "__main__":
    of_book(int(sys.argv[1]), int(sys.argv[2]))
