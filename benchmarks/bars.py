"""Recorded bars in virtual time: through a trigger and indicators, with runs for signals and for every bar."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal

import uvloop

from benchmarks.figures import Figure, at_least
from benchmarks.setting import Setting, median
from tickwork import Engine, Event, Run, VirtualClock, workflow
from tickwork.market.indicators import EMA, RSI
from tickwork.market.recording import Recording, Tick
from tickwork.market.triggers import PriceChange, PriceChanged

RECORDING = "coinbase-btc-usd-1h"


class BarClosed(Event, name="bench/bar.closed"):
    """Every bar, as an event."""

    symbol: str
    close: float
    rsi: float
    offset: int


@workflow("bench-on-signal", on=PriceChanged)
async def on_signal(run: Run, signal: PriceChanged) -> str:
    """A run for a signal."""
    return await run.step("side", side, signal.direction)


@workflow("bench-on-bar", on=BarClosed)
async def on_bar(run: Run, bar: BarClosed) -> float:
    """Four steps for a bar."""
    trend = await run.step("trend", double, bar.close)
    score = await run.step("score", double, bar.rsi)
    size = await run.step("size", double, score)
    return await run.step("total", add, trend, size)


def side(direction: str) -> str:
    """A step."""
    return "buy" if direction == "down" else "sell"


def double(value: float) -> float:
    """A step."""
    return value * 2


def add(left: float, right: float) -> float:
    """A step."""
    return left + right


def measure(setting: Setting) -> None:
    """Bars a second; the indicators are an EMA and an RSI, the trigger a move of two percent in three bars."""
    recording = Recording.open(RECORDING)
    limit = setting.pick(len(recording), 4_000)
    rounds = setting.pick(5, 2)
    read = [_rate(limit, _read(recording, limit)) for _ in range(rounds)]
    setting.add(Figure("bars-read", median(read), "bars/s", notes={"bars": limit, "recording": RECORDING}))
    found = [uvloop.run(signals(recording, limit)) for _ in range(rounds)]
    notes = {"bars": limit, "runs": found[0][1]}
    setting.add(
        Figure("bars-signals", median([rate for rate, _ in found]), "bars/s", goal=at_least(150_000), notes=notes)
    )
    rates = [uvloop.run(every_bar(recording, limit)) for _ in range(rounds)]
    setting.add(Figure("bars-run-each", median(rates), "bars/s", goal=at_least(30_000), notes={"bars": limit}))


def _rate(count: int, seconds: float) -> float:
    return count / seconds


def _read(recording: Recording, limit: int) -> float:
    began = time.perf_counter()
    for _ in recording.ticks(0, limit):
        pass
    return time.perf_counter() - began


async def signals(recording: Recording, limit: int) -> tuple[float, int]:
    """Bars a second, and the runs that were started."""
    head = recording.header
    trigger = PriceChange(head.symbol, Decimal("0.02"), window=3)
    clock = VirtualClock(recording[0].start_ns)
    fired = 0
    async with Engine("memory:", workflows=[on_signal], clock=clock, seed=1) as engine:
        began = time.perf_counter()
        for tick, _ in _indicated(recording, limit):
            clock.jump(tick.bar.end_ns)
            event = trigger.on_tick(tick)
            if event is not None:
                fired += 1
                engine.post(event)
        await engine.idle()
        took = time.perf_counter() - began
        assert engine.queries.counts() == {"done": fired}
    return limit / took, fired


async def every_bar(recording: Recording, limit: int) -> float:
    """Bars a second when every bar starts a run of four steps."""
    clock = VirtualClock(recording[0].start_ns)
    async with Engine("memory:", workflows=[on_bar], clock=clock, seed=1) as engine:
        began = time.perf_counter()
        for tick, rsi in _indicated(recording, limit):
            bar = tick.bar
            clock.jump(bar.end_ns)
            engine.post(BarClosed(symbol=bar.symbol, close=bar.close_float, rsi=rsi or 50.0, offset=tick.offset))
        await engine.idle()
        took = time.perf_counter() - began
        assert engine.queries.counts() == {"done": limit}
    return limit / took


def _indicated(recording: Recording, limit: int) -> Iterator[tuple[Tick, float | None]]:
    """The ticks with the value of their indicators."""
    average, strength = EMA(20), RSI(14)
    for tick in recording.ticks(0, limit):
        close = tick.bar.close_float
        average.update(close)
        yield tick, strength.update(close)
