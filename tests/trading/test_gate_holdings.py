"""Where nothing can be sold short, no plain sell asks the venue for coins that the account's own books do not hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.gate_account import OTHER, PAIR, SWAP, VENUE_RULES, Account
from tests.trading.support import D, fill, intent, quote
from tests.trading.test_gate_laws import EXPOSURE, picks, play, sides, sizes, workflows
from tickwork.trading.gate import Refusal, RiskGate
from tickwork.trading.halt import Halt
from tickwork.trading.ledger import Ledger, fold
from tickwork.trading.limits import RiskLimits
from tickwork.trading.orders import OrderIntent, Side
from tickwork.trading.reservations import Reservations

EUROS, IN_COINS = "BTC/EUR", "ETH/BTC"
LIMITS = RiskLimits(max_order_notional=D(10_000), max_position_notional=D(100_000))
RULES = {name: replace(VENUE_RULES[PAIR], symbol=name) for name in (PAIR, OTHER, SWAP, EUROS, IN_COINS)}


class Books:
    """What the gate is shown of one account, and what it says."""

    def __init__(self, **capital: str) -> None:
        self.ledger = Ledger({name: D(amount) for name, amount in capital.items()})
        self.reservations = Reservations()
        self.number = 0

    def book(self, side: Side, quantity: str, symbol: str = PAIR, **changes: Any) -> None:
        self.number += 1
        self.ledger.apply(fill(self.number, side, quantity, changes.pop("price", 100), symbol=symbol, **changes))

    def judge(self, side: Side, quantity: str, symbol: str = PAIR, *, shorts: bool = False, **changes: Any) -> str:
        """What the gate refuses it for, with limit and figure; ``""`` for an order that is on its way now."""
        wanted: OrderIntent = intent(side, quantity, symbol=symbol, **changes)
        decision = RiskGate(LIMITS, RULES, shorts=shorts).check(
            wanted,
            ledger=self.ledger,
            reservations=self.reservations,
            quote=quote(symbol=symbol),
            now=quote().time_ns,
            halt=Halt(),
        )
        if decision.approval is None:
            return told(decision.refusal)
        self.number += 1
        self.reservations.decide(str(self.number), decision.approval)
        self.reservations.take(str(self.number), self.key, decision.approval)
        return ""

    @property
    def key(self) -> str:
        """Client id of the last order."""
        return f"{self.number:032x}"


def told(refusal: Refusal | None) -> str:
    return "" if refusal is None else f"{refusal.rule} {refusal.limit} {refusal.actual}"


def test_sells_one_after_another_stop_at_what_the_books_hold() -> None:
    """The venue holds a coin of somebody's own beside it, and would sell that too."""
    books = Books()
    books.book("buy", "0.38")
    assert books.judge("sell", "0.2") == ""
    assert books.judge("sell", "0.2") == "holdings 0.18 0.20"
    books.book("sell", "0.2", client_order_id=books.key)
    books.reservations.fill(f"{2:032x}", D("0.2"))
    assert books.judge("sell", "0.19") == "holdings 0.18 0.19"
    assert books.judge("sell", "0.18") == ""
    assert books.judge("sell", "0.01") == "holdings 0.00 0.01"


def test_nothing_is_sold_of_nothing() -> None:
    assert Books().judge("sell", "1") == "holdings 0 1.00"
    owed = Books()
    owed.book("sell", "1")
    assert owed.judge("sell", "1") == "holdings 0 1.00"


def test_what_can_be_sold_short_is_left_to_the_limits() -> None:
    assert Books().judge("sell", "1", shorts=True) == ""
    assert Books().judge("sell", "1", SWAP) == ""


def test_a_position_in_a_contract_is_no_coin() -> None:
    books = Books()
    books.book("buy", "5", SWAP)
    assert books.judge("sell", "1") == "holdings 0 1.00"


def test_fees_taken_of_the_coin_are_not_there() -> None:
    books = Books()
    books.book("buy", "1", fee="0.01", fee_currency="BTC")
    assert books.judge("sell", "1") == "holdings 0.99 1.00"
    assert books.judge("sell", "0.99") == ""


def test_a_coin_is_the_books_by_whichever_way_it_came() -> None:
    """Paid in, bought in another pair, or received for something that was sold for coins."""
    assert Books(BTC="1").judge("sell", "1") == ""
    books = Books()
    books.book("buy", "1", EUROS)
    books.book("buy", "2", OTHER)
    books.book("sell", "2", IN_COINS, price="0.1")
    assert books.judge("sell", "1.3") == "holdings 1.2 1.30"
    assert books.judge("sell", "1.2") == ""
    assert books.judge("sell", "0.01", EUROS) == "holdings 0.00 0.01"


def test_coins_that_a_purchase_may_spend_are_spoken_for() -> None:
    books = Books(BTC="300")
    assert books.judge("buy", "2.5", IN_COINS) == ""
    assert books.judge("sell", "20") == ""
    assert books.judge("sell", "20") == ""
    assert books.judge("sell", "11") == "holdings 10.00 11.00"


def test_reductions_on_their_way_are_spoken_for_and_are_not_blocked() -> None:
    books = Books()
    books.book("buy", "2")
    assert books.judge("sell", "1.5", reduce_only=True) == ""
    assert books.judge("sell", "0.6") == "holdings 0.50 0.60"
    assert books.judge("sell", "0.5") == ""
    assert books.judge("sell", "0.5", reduce_only=True) == ""  # a plain sell never blocks a stop


def test_a_sell_in_doubt_counts_before_the_wire() -> None:
    """A decision that lost its room is judged again; in another pair of the coin nothing else would refuse it."""
    books = Books()
    books.book("buy", "2")
    gate = RiskGate(LIMITS, RULES)
    shown: Any = {"ledger": books.ledger, "quote": quote(), "now": quote().time_ns, "halt": Halt()}
    approval = gate.check(intent("sell", "1.5"), reservations=Reservations(), **shown).approval
    assert approval is not None
    assert gate.still_fits(approval, ledger=books.ledger, reservations=books.reservations) is None
    assert books.judge("sell", "1") == ""
    books.reservations.move(books.key, "lose")
    refusal = gate.still_fits(approval, ledger=books.ledger, reservations=books.reservations)
    assert told(refusal) == "holdings 1.00 1.50"
    assert books.judge("sell", "1.5", EUROS) == "holdings 1.00 1.50"
    books.reservations.release(books.key)
    assert books.judge("sell", "1.5", EUROS) == ""


selling = st.one_of(
    st.tuples(st.sampled_from(["place", "rest", "trade"]), workflows, st.just(PAIR), sides, sizes),
    st.tuples(st.sampled_from(["place", "rest", "trade"]), workflows, st.just(PAIR), st.just("sell"), sizes),
    st.tuples(st.sampled_from(["send", "withdraw", "fill", "part", "lose", "find", "end"]), picks),
    st.tuples(st.sampled_from(["book", "crash"])),
)


@settings(max_examples=150)
@given(played=st.lists(selling, min_size=10, max_size=60))
def test_law_no_plain_sell_takes_what_is_not_in_the_books(played: list[tuple[Any, ...]]) -> None:
    """Whatever is lost, late or forgotten: the venue has a thousand coins more, and none of them is sold."""
    account = Account(EXPOSURE, owned={PAIR: D(1_000)})
    for move in played:
        play(account, move)
        assert account.positions.get(PAIR, D(0)) >= 0
        assert fold(account.tape).quantity(PAIR) >= 0
