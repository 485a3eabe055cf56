"""A million standing price alerts on a thousand symbols: what they weigh, and what a price costs them."""

from __future__ import annotations

import gc
import random
import sys
import time
from collections.abc import Callable, Iterator, Sized
from decimal import Decimal
from pathlib import Path

import uvloop

from benchmarks.figures import Figure, at_most, under_peer
from benchmarks.setting import Setting, child, folder, median, report, rss_mb
from tickwork import Engine
from tickwork.market.alert_index import AlertIndex
from tickwork.market.alerts import AlertState, Condition, PriceAlert
from tickwork.service.alerts import ALERT_VIEWS, Alerts

SYMBOLS = 1_000
OWNERS = 10_000
PRICES = 100_000
"""Prices in a round."""
ROUNDS = 5
QUIET = Decimal("100.00")
"""Reaches nothing."""
LOUD = Decimal("101.00")
"""Reaches a fiftieth of what waits above it."""

Look = Callable[[str, Decimal, int], Sized]


def measure(setting: Setting) -> None:
    """Each size in a process of its own, which is then weighed; and alerts kept on a tape, fewer of them."""
    alerts = setting.pick(1_000_000, 50_000)
    many, few = child("benchmarks.alerts", "index", alerts), child("benchmarks.alerts", "index", alerts // 100)
    notes = {"alerts": alerts, "symbols": SYMBOLS}
    setting.add(Figure("alerts-1m-rss", many["rss"], "MB", notes={**notes, "bytesPerAlert": many["bytes"]}))
    setting.add(Figure("alerts-1m-load", many["load"], "s", notes=notes))
    goal = at_most(5)
    setting.add(
        Figure("alerts-1m-quiet", many["quiet"], "us", "asking every alert", many["scan"], goal=goal, notes=notes)
    )
    # independent of what is not crossed, but for the processor's caches
    fewer = f"of {alerts // 100:,}"
    setting.add(
        Figure("alerts-1m-quiet-of-few", many["quiet"], "us", fewer, few["quiet"], goal=under_peer(3), notes=notes)
    )
    fired = {**notes, "fired": many["fired"]}
    setting.add(Figure("alerts-1m-fired", many["firing"], "us", "asking every alert", many["scan_firing"], notes=fired))
    with folder() as path:
        kept = child("benchmarks.alerts", "tape", path, setting.pick(100_000, 10_000))
    notes = {"alerts": kept["alerts"], "bytesPerAlert": kept["bytes"], "fired": kept["fired"]}
    setting.add(Figure("alerts-tape-set", kept["set"], "alerts/s", notes=notes))
    setting.add(Figure("alerts-tape-quiet", kept["quiet"], "us", goal=at_most(5), notes=notes))
    setting.add(Figure("alerts-tape-fired", kept["firing"], "us", notes=notes))
    setting.add(Figure("alerts-tape-open", kept["open"], "s", notes=notes))


def standing(count: int) -> Iterator[tuple[str, AlertState]]:
    """Alerts on both sides of 100, from a hundredth to a half away; every tenth recurs."""
    draw = random.Random(1)
    for n in range(count):
        away = draw.randrange(1, 5_000)
        side: tuple[Condition, int] = ("above", away) if n % 2 == 0 else ("below", -away)
        threshold = Decimal(10_000 + side[1]) / 100
        yield f"alert-{n}", AlertState(f"user-{n % OWNERS}", _symbol(n), side[0], threshold, n % 10 == 9)


def _symbol(n: int) -> str:
    return f"S{n % SYMBOLS:03d}/USDT"


class Scan:
    """What one does without an index: the alerts of a symbol in a list, and every price asks each of them."""

    def __init__(self) -> None:
        self._alerts: dict[str, list[tuple[bool, Decimal, str]]] = {}

    def load(self, count: int) -> None:
        """The same alerts."""
        for id, state in standing(count):
            self._alerts.setdefault(state.symbol, []).append((state.condition == "above", state.threshold, id))

    def on_price(self, symbol: str, price: Decimal, _: int) -> list[str]:
        """What the price fires; all of it once."""
        alerts = self._alerts.get(symbol, [])
        fired = {id for above, threshold, id in alerts if (price >= threshold if above else price <= threshold)}
        if fired:
            self._alerts[symbol] = [alert for alert in alerts if alert[2] not in fired]
        return list(fired)


def _quiet(look: Look, prices: int = PRICES) -> float:
    """Microseconds a price that fires nothing; symbols in turns."""
    symbols = [_symbol(n) for n in range(SYMBOLS)]
    taken = []
    for part in range(ROUNDS):
        began = time.perf_counter()
        for n in range(prices):
            look(symbols[n % SYMBOLS], QUIET, part * prices + n)
        taken.append((time.perf_counter() - began) / prices * 1e6)
    return median(taken)


def _loud(look: Look, at: int) -> tuple[float, int]:
    """Microseconds for each alert that fires, and how many did: one price on every symbol."""
    fired = 0
    began = time.perf_counter()
    for n in range(SYMBOLS):
        fired += len(look(_symbol(n), LOUD, at))
    return (time.perf_counter() - began) / max(fired, 1) * 1e6, fired


def of_index(count: int) -> None:
    """The index alone, then the list."""
    gc.collect()
    before = rss_mb()
    index = AlertIndex()
    began = time.perf_counter()
    index.load(standing(count))
    load = time.perf_counter() - began
    gc.collect()
    rss = rss_mb() - before
    quiet = _quiet(index.on_price)
    firing, fired = _loud(index.on_price, 10**9)
    scan = Scan()
    scan.load(count)
    scanned = _quiet(scan.on_price, PRICES // 50)
    scan_firing, scan_fired = _loud(scan.on_price, 10**9)
    assert fired == scan_fired
    report(
        {
            "rss": rss,
            "bytes": round(rss * 1e6 / count),
            "load": load,
            "quiet": quiet,
            "firing": firing,
            "fired": fired,
            "scan": scanned,
            "scan_firing": scan_firing,
        }
    )


async def of_tape(path: Path, count: int) -> None:
    """Set one after the other on a tape; fired, to the disk; opened again."""
    url = f"sqlite:///{path}/tape.db"
    async with Engine(url, views=ALERT_VIEWS) as engine:
        alerts = Alerts(engine)
        before = rss_mb()
        began = time.perf_counter()
        some: list[PriceAlert] = []
        for id, state in standing(count):
            some.append(state.alert(id))
            if len(some) == 1_000 or int(id.rpartition("-")[2]) == count - 1:
                await alerts.set_all(some)
                some.clear()
        taken = time.perf_counter() - began
        gc.collect()
        rss = rss_mb() - before
        quiet = _quiet(alerts.on_price)
        began = time.perf_counter()
        _, fired = _loud(alerts.on_price, 10**9)
        await engine.durable()
        firing = (time.perf_counter() - began) / max(fired, 1) * 1e6
    began = time.perf_counter()
    async with Engine(url, views=ALERT_VIEWS) as engine:
        Alerts(engine)
        opened = time.perf_counter() - began
    report(
        {
            "alerts": count,
            "set": round(count / taken),
            "bytes": round(rss * 1e6 / count),
            "quiet": quiet,
            "firing": firing,
            "fired": fired,
            "open": opened,
        }
    )


if __name__ == "__main__":
    if sys.argv[1] == "index":
        of_index(int(sys.argv[2]))
    else:
        uvloop.run(of_tape(Path(sys.argv[2]), int(sys.argv[3])))
