"""The node types that read, compute and decide, and where each is declared and tried."""

from __future__ import annotations

from importlib import import_module
from typing import Final

TESTED: Final[dict[str, str]] = {
    "provider": "providers", "get_orderbook": "providers", "get_ticker": "providers", "venue_price": "providers",
    "get_bars": "providers", "get_balance": "providers", "get_markets": "providers", "venue_position": "providers",
    "get_funding_rate": "providers", "get_expiry": "providers",
    "detect_arbitrage": "analysis", "calculate_spread": "analysis", "calculate_profit": "analysis",
    "create_opportunity": "analysis", "check_threshold": "analysis",
    "technical_analysis": "indicators", "rsi_signal": "indicators", "price_change": "indicators",
    "volatility": "indicators", "z_score": "indicators",
    "and": "conditions", "or": "conditions", "not": "conditions", "compare": "conditions", "threshold": "conditions",
    "if": "conditions", "switch": "conditions", "filter": "conditions",
    "math": "maths", "formula": "maths",
    "price_cross": "triggers", "volume_spike": "triggers", "time_trigger": "triggers", "webhook": "triggers",
    "event_listener": "triggers", "manual_trigger": "triggers",
}  # fmt: skip
"""The file under ``nodes/`` that declares a type; the test file of that name tries it."""

CATEGORIES: Final = {
    "providers": "providers", "analysis": "analysis", "indicators": "analysis", "conditions": "conditions",
    "maths": "math", "triggers": "triggers",
}  # fmt: skip
FILES: Final = {file: import_module(f"tickwork.graph.nodes.{file}") for file in CATEGORIES}
