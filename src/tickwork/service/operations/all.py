"""Fills the catalogue: to import this is to know every operation."""

from tickwork.service.api.operation import CATALOGUE
from tickwork.service.operations import (
    accounts,
    alerts,
    exits,
    halts,
    ledger,
    market,
    monitors,
    notifications,
    orders,
    performance,
    positions,
    risk,
    runs,
    system,
    tokens,
)

__all__ = [
    "CATALOGUE",
    "accounts",
    "alerts",
    "exits",
    "halts",
    "ledger",
    "market",
    "monitors",
    "notifications",
    "orders",
    "performance",
    "positions",
    "risk",
    "runs",
    "system",
    "tokens",
]
