"""The ccxt venue passes every numbered case, with the real client over the loopback: as MEXC, as Binance, as any."""

from __future__ import annotations

import pytest

from tests.venues.ccxt.support import in_loop, stage
from tickwork.venues.conformance import CASES

SKIPPED = {"V02", "V03", "V04", "V26", "V54"}
"""It declares neither to deduplicate nor, unasked, to stream."""


@pytest.mark.parametrize("kind", ["mexc", "binance", "binanceus"])
@pytest.mark.parametrize("number", CASES)
@in_loop
async def test_case(number: str, kind: str) -> None:
    async with stage(kind) as made:
        skipped = await CASES[number](made)
        # MEXC has one number for the least quantity and the step
        assert (skipped is not None) == (number in SKIPPED or (kind, number) == ("mexc", "V24")), skipped
