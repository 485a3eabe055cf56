"""What is drawn and listed in the pages on trading is what the code says."""

from __future__ import annotations

import re
from pathlib import Path

from tickwork.trading.order_life import diagram

ROOT = Path(__file__).resolve().parent.parent.parent
TRADING = (ROOT / "docs" / "trading.md").read_text()


def test_the_life_of_an_order_is_drawn_from_its_table() -> None:
    drawn = re.search(r"```mermaid\n(.*?)\n```", TRADING, re.DOTALL)
    assert drawn is not None
    assert drawn[1] == diagram(), "docs/trading.md: paste what tickwork.trading.order_life.diagram() gives"
