"""Intents are checked where they are made, only the gate makes approved orders, and an order's life is its table."""

from __future__ import annotations

import ast
import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

import tickwork
from tests.trading.support import SPOT, START, D, fill, gate, intent, quote
from tickwork.errors import InvalidInput, TickworkError
from tickwork.trading.desk import Placement
from tickwork.trading.gate import Decision, Refusal
from tickwork.trading.halt import Halt
from tickwork.trading.ledger import Ledger
from tickwork.trading.orders import (
    Ack,
    Approval,
    ApprovedOrder,
    Order,
    OrderIntent,
    require_approved,
)
from tickwork.trading.reservations import Reservations


def approval() -> Approval:
    decision = gate().check(
        intent(limit_price=D("99.50")),
        ledger=Ledger(),
        reservations=Reservations(),
        quote=quote(),
        now=START,
        halt=Halt(),
    )
    assert decision.approval is not None
    return decision.approval


def order(**changes: Any) -> Order:
    fields: dict[str, Any] = {
        "venue": "test",
        "client_order_id": "a" * 32,
        "venue_order_id": "1",
        "account": "main",
        "symbol": SPOT,
        "side": "buy",
        "type": "market",
        "quantity": D(3),
    }
    return Order(**{**fields, **changes})


@pytest.mark.parametrize(
    "wrong",
    [
        {"quantity": None},
        {"notional": D(5)},
        {"quantity": D(0)},
        {"quantity": D(-1)},
        {"quantity": D("NaN")},
        {"quantity": 0.5},
        {"quantity": None, "notional": 100.0},
        {"quantity": None, "notional": D(0)},
        {"quantity": None, "notional": D(10), "reduce_only": True},
        {"side": "long"},
        {"type": "stop"},
        {"type": "limit"},
        {"type": "limit", "limit_price": D(0)},
        {"type": "limit", "limit_price": 99.5},
        {"limit_price": D(1)},
        {"symbol": "btcusdt/"},
        {"reference_price": 100.0},
    ],
)
def test_a_wrong_intent_cannot_be_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        OrderIntent(**{**fields_of(intent()), **wrong})


def fields_of(made: OrderIntent) -> dict[str, Any]:
    return {name: getattr(made, name) for name in OrderIntent.__dataclass_fields__}


def test_a_reference_price_that_is_no_number_is_for_the_gate_to_refuse() -> None:
    assert intent(reference_price=D("NaN")).reference_price is not None


# ------------------------------------------------------------------------------------------------ who may approve


def test_only_the_gate_seals() -> None:
    approved = approval()
    with pytest.raises(TypeError, match="only RiskGate"):
        ApprovedOrder(approved, None)
    with pytest.raises(TypeError):
        ApprovedOrder(approved)  # type: ignore[call-arg]
    sealed = gate().seal(approved)
    assert require_approved(sealed) is sealed
    with pytest.raises(ValueError, match="seal"):
        replace(sealed, approval=replace(approved, quantity=D(1_000_000)))  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        sealed.approval = approved  # type: ignore[misc]
    assert copy.copy(sealed) == sealed
    with pytest.raises(InvalidInput, match="ApprovedOrder"):
        require_approved(approved)


def test_an_approved_order_is_written_but_never_read() -> None:
    sealed = gate().seal(approval())
    written = msgspec.json.encode(sealed)
    assert b'"quantity":"1' in written
    with pytest.raises(TypeError, match="InitVar"):
        msgspec.json.decode(written, type=ApprovedOrder)


def test_no_other_module_can_approve() -> None:
    """The seal and its use stand in two modules, sealing is called in three: the gate, the desk, the venues' suite."""
    package = Path(tickwork.__file__).parent
    names: dict[str, set[str]] = {"_SEAL": set(), "seal": set()}
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            where = path.relative_to(package).as_posix()
            if isinstance(node, ast.Name) and node.id == "_SEAL":
                names["_SEAL"].add(where)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "seal":
                names["seal"].add(where)
    assert names["_SEAL"] == {"trading/orders.py", "trading/gate.py"}
    assert names["seal"] == {"trading/desk.py", "venues/conformance/stage.py"}


# --------------------------------------------------------------------------------------------------- on the tape


def values() -> list[Any]:
    refusal = Refusal(rule="halt", limit="0", actual="1")
    ack = Ack(venue="test", client_order_id="a" * 32, venue_order_id="1", status="acknowledged")
    return [
        intent(notional=D("12.50"), quantity=None, reference_offset=4),
        approval(),
        Decision(approval=approval()),
        Decision(refusal=refusal),
        Placement(outcome="refused", refusal=refusal),
        Placement(outcome="accepted", ack=ack),
        order(limit_price=D("0.00000001"), type="limit"),
        fill(1, "buy", "1.5", "100.25", "0.15", offset=7),
    ]


@pytest.mark.parametrize("value", values(), ids=lambda value: type(value).__name__)
def test_everything_survives_the_tape(value: Any) -> None:
    written = msgspec.json.encode(value)
    assert msgspec.json.decode(written, type=type(value)) == value


# ------------------------------------------------------------------------------------------------- an order's life


def test_an_order_adds_up_its_fills() -> None:
    half = order().with_fill(fill(1, "buy", 1, "100.10", "0.1"))
    assert (half.status, half.filled, half.remaining) == ("partially_filled", D(1), D(2))
    whole = half.with_fill(fill(2, "buy", 2, "100.40", "0.2"))
    assert (whole.status, whole.filled_notional, whole.fee) == ("filled", D("300.90"), D("0.3"))
    assert (whole.average_price, whole.remaining) == (D("100.3"), D(0))
    assert order().average_price is None


def test_an_order_cannot_be_overfilled_nor_moved_after_its_end() -> None:
    with pytest.raises(TickworkError, match="cannot be filled to"):
        order().with_fill(fill(1, "buy", 4, 100))
    done = order().with_fill(fill(1, "buy", 3, 100))
    with pytest.raises(TickworkError):
        done.ended("cancel", "too late")


def test_a_fill_may_race_a_cancel() -> None:
    cancelled = order().ended("cancel", "asked")
    assert cancelled.remaining == 0
    assert cancelled.with_fill(fill(1, "buy", 1, 100)).status == "partially_cancelled"
    assert cancelled.with_fill(fill(1, "buy", 3, 100)).status == "filled"


def test_signs_of_a_fill() -> None:
    assert fill(1, "sell", 2, 100).signed_quantity == -2
    assert fill(1, "buy", "0.3", "0.1").notional == D("0.03")
