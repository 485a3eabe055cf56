"""The gate refuses with rule, limit and figure; reductions pass; the limits hold under any interleaving."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trading.support import SPOT, START, SWAP, D, fill, gate, intent, limits, quote
from tickwork.errors import InvalidInput
from tickwork.trading.gate import Decision, RiskLimits
from tickwork.trading.halt import LEVELS, Halt
from tickwork.trading.ledger import Ledger, fold
from tickwork.trading.orders import Side
from tickwork.trading.reservations import Reservations

SECOND = 1_000_000_000


def check(
    wanted: Any,
    *,
    ledger: Ledger | None = None,
    reservations: Reservations | None = None,
    shown: Any = "default",
    now: int = START,
    halt: Halt | None = None,
    **changes: Any,
) -> Decision:
    return gate(**changes).check(
        wanted,
        ledger=ledger or Ledger(),
        reservations=reservations or Reservations(),
        quote=quote() if shown == "default" else shown,
        now=now,
        halt=halt or Halt(),
    )


def rule(decision: Decision) -> str:
    assert (decision.approval is None) != (decision.refusal is None)
    return decision.refusal.rule if decision.refusal else "approved"


def long(quantity: str = "5") -> Ledger:
    return fold([fill(1, "buy", quantity, 100)], {"USDT": D(10_000)})


def test_an_approval_says_what_it_was_judged_by() -> None:
    approval = check(intent(quantity="1.23456", limit_price=D("99.999"))).approval
    assert approval is not None
    assert (approval.quantity, approval.limit_price) == (D("1.2345"), D("99.99"))
    assert (approval.valuation_price, approval.quote_price, approval.quote_time) == (D(100), D(100), START)
    assert approval.expires_at == START + 300 * SECOND


def test_a_notional_becomes_a_quantity_at_the_worse_price() -> None:
    approval = check(intent(quantity=None, notional=D(100)), shown=quote("101")).approval
    assert approval is not None
    assert approval.quantity == D("0.9900")  # 100 / 101, cut to the step


@pytest.mark.parametrize(
    ("expected", "wanted", "situation"),
    [
        ("approved", {}, {}),
        ("halt", {}, {"halt": Halt("halt", "daily loss")}),
        ("halt", {}, {"halt": Halt("shutdown", "going down")}),
        ("approved", {}, {"halt": Halt("alert", "look")}),
        ("symbol", {"symbol": "ETH/USDT"}, {}),
        ("price", {}, {"shown": None}),
        ("price", {}, {"shown": quote(symbol="ETH/USDT")}),
        ("price", {"reference_price": None}, {}),
        ("price", {"reference_price": D("NaN")}, {}),
        ("price", {"reference_price": D("sNaN")}, {}),
        ("price", {"reference_price": D("Infinity")}, {}),
        ("price", {"reference_price": D(0)}, {}),
        ("price", {"reference_price": D(-1)}, {}),
        ("approved", {}, {"now": START + 30 * SECOND}),
        ("quote_age", {}, {"now": START + 30 * SECOND + 1}),
        ("quote_age", {}, {"now": START - 31 * SECOND}),
        ("approved", {"reference_price": D("95")}, {}),
        ("price_band", {"reference_price": D("94.99")}, {}),
        ("price_band", {"reference_price": D("105.01")}, {}),
        ("limit_band", {"limit_price": D("105.01")}, {}),
        ("approved", {"limit_price": D(50)}, {}),
        ("limit_band", {"side": "sell", "limit_price": D("94.99")}, {}),
        ("price_tick", {"limit_price": D("0.001")}, {}),
        ("min_quantity", {"quantity": "0.00001"}, {}),
        ("min_notional", {"quantity": "0.0099"}, {}),
        ("approved", {"quantity": "10"}, {}),
        ("max_order_notional", {"quantity": "10.0001"}, {}),
        ("max_order_notional", {"side": "sell", "quantity": "9", "limit_price": D(200)}, {"ledger": long("9")}),
        ("approved", {}, {"ledger": long("29")}),
        ("max_position_notional", {"quantity": "1.0001"}, {"ledger": long("29")}),
        ("approved", {"side": "sell", "quantity": "5"}, {"ledger": long("60")}),
        ("approved", {"side": "sell", "quantity": "5"}, {"ledger": long("5")}),
        ("holdings", {"side": "sell", "quantity": "5.0001"}, {"ledger": long("5")}),
        ("holdings", {"side": "sell"}, {}),
        ("min_notional", {"side": "sell", "quantity": "0.0099"}, {}),
        ("holdings", {"side": "sell", "quantity": "20"}, {}),
        ("approved", {"side": "sell", "symbol": SWAP}, {"shown": quote(symbol=SWAP)}),
    ],
)
def test_rules(expected: str, wanted: dict[str, Any], situation: dict[str, Any]) -> None:
    assert rule(check(intent(**wanted), **situation)) == expected


@pytest.mark.parametrize("price", ["NaN", "sNaN", "Infinity", "0", "-1"])
def test_a_quote_that_is_no_price_refuses(price: str) -> None:
    """A ``Quote`` cannot hold these; another feed's might."""
    shown = SimpleNamespace(symbol=SPOT, bid=D(price), ask=D(price), time_ns=START)
    assert rule(check(intent(), shown=shown)) == "price"


def test_a_refusal_names_limit_and_figure() -> None:
    refusal = check(intent(quantity="12")).refusal
    assert refusal is not None
    assert (refusal.rule, refusal.limit, refusal.actual) == ("max_order_notional", "1000", "1200.0000")


@pytest.mark.parametrize(("off", "told"), [(-119_815_166_599, "119.8s in the future"), (50_750_000_001, "50.8s old")])
def test_an_age_is_told_as_people_tell_it(off: int, told: str) -> None:
    refusal = check(intent(), now=START + off).refusal
    assert refusal is not None
    assert (refusal.rule, refusal.limit, refusal.actual) == ("quote_age", "30s", told)


def test_what_is_on_its_way_counts() -> None:
    reservations = Reservations()
    for number in range(3):
        approval = check(intent(quantity="10"), reservations=reservations).approval
        assert approval is not None
        reservations.decide(f"run{number}", approval)
    assert rule(check(intent(quantity="0.1"), reservations=reservations)) == "max_position_notional"
    assert rule(check(intent("sell", "0.1"), ledger=long("1"), reservations=reservations)) == "approved"


def test_an_unknown_order_blocks_its_symbol_but_no_reduction() -> None:
    reservations = Reservations()
    approval = check(intent()).approval
    assert approval is not None
    reservations.unresolve("a" * 32, approval)
    assert rule(check(intent(), reservations=reservations)) == "unresolved"
    reservations.take("", "a" * 32, approval)
    reservations.move("a" * 32, "acknowledge")
    assert rule(check(intent(), reservations=reservations)) == "approved"
    reservations.take("", "a" * 32, approval)
    reservations.move("a" * 32, "lose")
    assert rule(check(intent(), reservations=reservations)) == "unknown"
    stop = intent("sell", "9", reduce_only=True)
    assert rule(check(stop, ledger=long(), reservations=reservations)) == "approved"


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("shown", [None, quote(time_ns=0), quote("1000000")])
def test_reductions_are_always_allowed_up_to_the_position(level: Any, shown: Any) -> None:
    decision = check(
        intent("sell", "999", reduce_only=True, reference_price=D("NaN")),
        ledger=long("5"),
        shown=shown,
        halt=Halt(level, "x"),
        max_order_notional=D(1),
        max_position_notional=D(1),
    )
    assert decision.approval is not None
    assert decision.approval.quantity == 5


@pytest.mark.parametrize(
    ("side", "ledger"), [("buy", long()), ("sell", Ledger()), ("sell", fold([fill(1, "sell", 1, 9)]))]
)
def test_what_does_not_reduce_is_refused(side: Side, ledger: Ledger) -> None:
    assert rule(check(intent(side, reduce_only=True), ledger=ledger)) == "reduce_only"


def test_a_short_is_reduced_by_buying() -> None:
    ledger = fold([fill(1, "sell", 3, 100)])
    assert rule(check(intent("buy", "2", reduce_only=True), ledger=ledger)) == "approved"


@given(
    st.lists(
        st.one_of(
            st.tuples(
                st.just("place"),
                st.sampled_from(["buy", "sell"]),
                st.decimals(min_value=D("0.01"), max_value=12, places=4),
            ),
            st.tuples(
                st.sampled_from(["send", "fill", "part", "drop", "lose", "find", "end"]), st.integers(0, 9), st.none()
            ),
        ),
        max_size=60,
    )
)
def test_law_exposure_never_exceeds_its_limit(moves: list[tuple[Any, Any, Any]]) -> None:
    """Whatever order things happen in, position and worst case stay within the limit, valued at the price approved."""
    ledger, held = Ledger(), Reservations()
    waiting: list[tuple[str, Any]] = []
    sent: dict[str, tuple[Side, Decimal]] = {}
    number = 0
    for move, first, second in moves:
        if move == "place":
            decision = check(intent(first, str(second)), ledger=ledger, reservations=held)
            if decision.approval is not None:
                number += 1
                held.decide(f"t{number}", decision.approval)
                waiting.append((f"t{number}", decision.approval))
        elif move in ("send", "drop") and waiting:
            ticket, approval = waiting.pop(first % len(waiting))
            if move == "drop":
                held.abandon(ticket)
            elif held.take(ticket, ticket, approval):
                sent[ticket] = (approval.intent.side, approval.quantity)
        elif sent:
            key = sorted(sent)[first % len(sent)]
            side, left = sent[key]
            if move in ("fill", "part"):
                done = left if move == "fill" else min(left, D("0.0100"))
                number += 1
                ledger.apply(fill(number, side, done, 100))
                held.fill(key, done)
                sent[key] = (side, left - done)
                if left == done:
                    del sent[key]
            elif move == "end":
                held.release(key)
                del sent[key]
            elif move == "find" or held.state_of(key) != "unknown":  # what is lost is not sent again here
                held.move(key, "lose" if move == "lose" else "acknowledge")
        pending = held.pending(SPOT)
        position = ledger.quantity(SPOT)
        assert (position + pending.buys) * 100 <= 3_000
        assert (position - pending.sells) * 100 >= -3_000
    assert len(held) == len(waiting) + len(sent)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_order_notional": D(-1)},
        {"price_band": 0.05},
        {"max_quote_age": 30},
        {"approval_ttl": "soon"},
        {"max_position_notional": D("NaN")},
    ],
)
def test_wrong_limits_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="limits"):
        limits(**wrong)


def test_limits_are_data() -> None:
    assert limits() == limits()
    assert RiskLimits.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_a_halt_is_raised_by_rules_and_cleared_by_people() -> None:
    halt = Halt()
    assert halt.raise_to("halt", "daily loss")
    assert not halt.raise_to("alert", "less")
    assert (halt.level, halt.reason) == ("halt", "daily loss")
    halt.clear()
    assert halt.level == "normal"
    with pytest.raises(InvalidInput):
        halt.raise_to("panic", "x")  # type: ignore[arg-type]
