"""The Hyperliquid adapter passes every numbered case that is about contracts too."""

from __future__ import annotations

import asyncio

import pytest

from tests.venues.hyperliquid.staging import staged
from tickwork.venues.conformance import CASES

OF_SPOT = {"V16", "V36"}
"""What is not owned cannot be sold; a balance for each asset (of a contract there is one by its symbol)."""

LACKING = {"V02", "V03", "V04", "V24", "V25", "V26", "V40", "V42", "V54"}
"""Deduplication, a least and a largest quantity, fill-or-kill, a stream."""


@pytest.mark.parametrize("number", sorted(CASES.keys() - OF_SPOT))
def test_case(number: str) -> None:
    async def play() -> None:
        async with staged() as stage:
            skipped = await CASES[number](stage)
            assert (skipped is not None) == (number in LACKING), skipped

    asyncio.run(play())
