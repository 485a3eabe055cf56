"""The Alpaca adapter passes every numbered case with a share, and with a pair those in which it is another thing."""

from __future__ import annotations

import asyncio

import pytest

from tests.venues.alpaca.staging import staged
from tickwork.venues.conformance import CASES

LACKING = {"V18", "V24", "V25", "V47", "V54"}
"""A least notional and a least quantity (shares have none), a largest one, a no for now, a stream."""

OF_PAIRS = ("V01", "V13", "V14", "V16", "V18", "V19", "V21", "V23", "V24", "V30", "V36", "V38", "V39")


@pytest.mark.parametrize(
    ("symbol", "number"), [*(("AAPL", one) for one in sorted(CASES)), *(("BTC/USD", one) for one in OF_PAIRS)]
)
def test_case(symbol: str, number: str) -> None:
    async def play() -> None:
        async with staged(symbol) as stage:
            stage.broker.shorting = number != "V16"  # the case of an account that cannot sell short
            skipped = await CASES[number](stage)
            assert (skipped is not None) == (symbol == "AAPL" and number in LACKING), skipped

    asyncio.run(play())
