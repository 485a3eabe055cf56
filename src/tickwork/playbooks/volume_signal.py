"""Volume signal: when a volume spike says that something is going on, ask the indicators which way, and trade on it.

The steps of it::

    volume spike -> technical_analysis (RSI, MACD) -> signal_generation (threshold 0.7) -> trade_execution (risk 0.02)

**The signal.** Two votes between -1 and 1, both with the trend:

* ``rsi``:  ``(RSI(14) - 50) / 20``, so that 70 and above is a full vote up, 30 and below a full vote down;
* ``macd``: the histogram of MACD(12, 26, 9) as a fraction of the price, over one tenth of the bar's usual scale:
  ``histogram / price / 0.002`` for bars of an hour, and by the root of the bar's length for others.

``confidence`` is the size of their mean. From 0.7 on the signal is BUY or SELL by its sign, below that it is HOLD.

**The trade.** Long only. A buy puts 2 % of the equity at risk, counted the strict way: a position without a stop can
lose all of itself, so the position is 2 % of the equity. It buys when it holds nothing; a sell reduces what it holds to
nothing. With a signal and no position to reduce it says so and stands aside.
"""

from __future__ import annotations

from decimal import Decimal
from math import sqrt
from typing import Final, Literal

import msgspec

from tickwork import Run, Workflow, workflow
from tickwork.market.triggers import VolumeSpiked
from tickwork.service.account import Account, Decision, Reference
from tickwork.service.market import Market, Technicals

NAME: Final = "volume-signal"
THRESHOLD: Final = 0.7
RISK_LIMIT: Final = Decimal("0.02")
"""Of the equity, for one position."""

_FULL_VOTE_RSI: Final = 20.0
_FULL_VOTE_MACD: Final = 0.002
_HOUR_S: Final = 3600.0


class Signal(msgspec.Struct, frozen=True, rename="camel"):
    """Which way, and how sure."""

    signal: Literal["BUY", "SELL", "HOLD"]
    confidence: float
    why: str


def signal_generation(technicals: Technicals, bar_seconds: float, threshold: float) -> Signal:
    """The signal of a set of indicators. See the module's text for the formula."""
    if technicals.rsi is None or technicals.histogram is None:
        return Signal("HOLD", 0.0, "the indicators have seen too few bars")
    scale = _FULL_VOTE_MACD * sqrt(bar_seconds / _HOUR_S)
    rsi_vote = _vote((technicals.rsi - 50.0) / _FULL_VOTE_RSI)
    macd_vote = _vote(technicals.histogram / float(technicals.price) / scale)
    score = (rsi_vote + macd_vote) / 2
    confidence = round(abs(score), 4)
    why = f"RSI {technicals.rsi:.1f}, MACD histogram {technicals.histogram:+.2f}, confidence {confidence:.2f}"
    if confidence < threshold:
        return Signal("HOLD", confidence, why)
    return Signal("BUY" if score > 0 else "SELL", confidence, why)


def _vote(value: float) -> float:
    return max(-1.0, min(1.0, value))


def volume_signal(market: Market, account: Account) -> Workflow:
    """The workflow, for an account and the market it trades in."""

    @workflow(NAME, on=VolumeSpiked, key=lambda spiked: spiked.symbol)
    async def body(run: Run, spiked: VolumeSpiked) -> Decision:
        symbol = spiked.symbol
        technicals = await run.step("technical_analysis", market.technicals, symbol)
        bar_seconds = (spiked.known_at - spiked.bar_time).total_seconds()
        signal = await run.step("signal_generation", signal_generation, technicals, bar_seconds, THRESHOLD)
        if signal.signal == "HOLD":
            return Decision("hold", symbol, signal.why)
        held = await account.holding(NAME, symbol)
        if held.open:
            return Decision("hold", symbol, f"{signal.signal}, but an order is on its way")
        on = Reference(symbol, spiked.price, spiked.known_at, spiked.recording, spiked.offset)
        if signal.signal == "SELL":
            if not held.quantity:
                return Decision("hold", symbol, f"SELL, but nothing is held ({signal.why})")
            return await account.sell(run, NAME, on, held.quantity, signal.why)
        if held.quantity:
            return Decision("hold", symbol, f"BUY, but it is held already ({signal.why})")
        amount = account.share(await run.step("trade_execution", account.equity), RISK_LIMIT)
        return await account.buy(run, NAME, on, amount, signal.why)

    return body
