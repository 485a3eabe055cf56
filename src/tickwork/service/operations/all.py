"""Fills the catalogue: to import this is to know every operation."""

from tickwork.service.api.operation import CATALOGUE
from tickwork.service.operations import (
    accounts,
    ledger,
    orders,
    positions,
    risk,
    runs,
    system,
    tokens,
)

__all__ = [
    "CATALOGUE",
    "accounts",
    "ledger",
    "orders",
    "positions",
    "risk",
    "runs",
    "system",
    "tokens",
]
