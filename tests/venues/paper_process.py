"""Trades on a paper book until killed; says each client id once its order was acknowledged. Run by test_paper."""

from __future__ import annotations

import asyncio
import sys
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.trading.support import RULES, SPOT, bar
from tests.venues.test_paper import approved, key
from tickwork.venues.paper import PaperVenue


async def trade(path: str) -> None:
    venue = PaperVenue(path, rules=RULES.values(), cash={"USDT": Decimal("1e9")})
    number = venue.totals().orders
    offset = venue.cursor(SPOT)
    while True:
        number += 1
        offset += 1
        side = "buy" if number % 3 else "sell"
        await venue.submit(approved(side, "0.5"), key(number))  # type: ignore[arg-type]
        sys.stdout.write(key(number) + "\n")
        sys.stdout.flush()
        venue.on_bar(bar(Decimal(90 + number % 20), index=offset), offset)


asyncio.run(trade(sys.argv[1]))
