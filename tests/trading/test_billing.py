"""Billing: the rows of the field's own examples, each position charged once, and two books that balance together."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trading.support import D, fill
from tickwork.errors import InvalidInput
from tickwork.trading.attribution import Attribution, Episode
from tickwork.trading.billing import LOWER_SHARE, Billing, BillingEntry, BillingState, BillingTerms
from tickwork.trading.ledger import Ledger
from tickwork.values import EXACT, plain

TERMS = BillingTerms(asset="USDC", receiver="0xabc")


def position(number: int, profit: str | int | Decimal, **changes: object) -> Episode:
    """A closed long of 1,000 USDC that made ``profit``."""
    made = Episode(
        position_id=f"p{number}",
        account="main",
        venue="test",
        symbol="ETH/USDC",
        workflow="sniper",
        agent="rules",
        side="long",
        opened_at=number * 10,
        closed_at=number * 10 + 5,
        entered=D(1),
        entry_notional=D(1_000),
        exited=D(1),
        exit_notional=D(1_000) + D(profit),
        realised=D(profit),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def _row(entry: BillingEntry) -> dict[str, object]:
    return {"kind": entry.kind, "amount": plain(entry.amount), "asset": entry.asset, "status": entry.status}


def test_the_rows_of_a_position_with_a_profit_of_125_50() -> None:
    fee, share = Billing(TERMS).take(position(1, "125.50"))
    assert _row(fee) == {"kind": "INFRA_FEE", "amount": "0.20", "asset": "USDC", "status": "CHARGED"}
    assert _row(share) == {"kind": "PROFIT_SHARE", "amount": "25.10", "asset": "USDC", "status": "CHARGED"}
    assert share.metadata == {"pnl": "125.50", "bps": 2000, "receiver": "0xabc"}
    assert {(entry.position_id, entry.workflow, entry.agent) for entry in (fee, share)} == {("p1", "sniper", "rules")}
    assert (fee.time, share.time) == (10, 15)


def test_the_other_convention_is_ten_percent() -> None:
    _, share = Billing(replace(TERMS, profit_share=LOWER_SHARE)).take(position(1, "125.50"))
    assert (plain(share.amount), share.metadata["bps"]) == ("12.55", 1000)


def test_the_fee_is_due_when_it_opens_and_the_share_when_it_closes() -> None:
    billing, whole = Billing(TERMS), position(1, 10)
    opened = replace(whole, closed_at=None, exited=D(0), exit_notional=D(0), realised=D(0))
    assert [entry.kind for entry in billing.take(opened)] == ["INFRA_FEE"]
    assert billing.take(opened) == ()
    assert [entry.kind for entry in billing.take(whole)] == ["PROFIT_SHARE"]
    assert billing.take(whole) == ()
    assert billing.take(opened) == ()


@pytest.mark.parametrize("profit", ["-5", "0", "0.04"])
def test_no_profit_or_less_than_a_cent_of_it_is_no_share(profit: str) -> None:
    assert [entry.kind for entry in Billing(TERMS).take(position(1, profit))] == ["INFRA_FEE"]


def test_fees_of_the_venue_are_taken_off_first() -> None:
    _, share = Billing(TERMS).take(position(1, 10, costs=D(4)))
    assert (share.amount, share.metadata["pnl"]) == (D("1.20"), "6")


def test_fees_in_a_third_currency_need_their_rate_and_until_then_nothing_is_charged() -> None:
    billing, one = Billing(TERMS), position(1, 10, fees={"BNB": D("0.01")})
    with pytest.raises(InvalidInput, match=r"rates\[BNB/USDC\]"):
        billing.take(one)
    assert billing.state() == BillingState()
    assert [entry.amount for entry in billing.take(one, {"BNB/USDC": D(500)})] == [D("0.20"), D("1.00")]


def test_a_share_is_in_what_the_profit_is_in() -> None:
    made = position(1, "0.00123456789", symbol="ETH/BTC")
    fee, share = Billing(TERMS).take(made)
    assert (fee.asset, share.asset, plain(share.amount)) == ("USDC", "BTC", "0.00024691")
    _, share = Billing(replace(TERMS, steps={"BTC": D("0.0001")})).take(made)
    assert plain(share.amount) == "0.0002"


@given(
    st.lists(st.decimals(-1_000, 1_000, places=6), max_size=20),
    st.booleans(),
    st.sampled_from(["0", "0.1", "0.2", "1"]),
)
def test_law_charges_are_made_once_and_never_too_much(profits: list[Decimal], mark: bool, share: str) -> None:
    terms = replace(TERMS, profit_share=D(share), high_water_mark=mark)
    billing, again = Billing(terms), Billing(terms)
    made = [position(number, profit) for number, profit in enumerate(profits)]
    entries = [entry for one in made for entry in billing.take(one)]
    twice = [entry for one in made for _ in range(2) for entry in again.take(one)]
    assert twice == entries
    assert [entry for one in made for entry in billing.take(one)] == []
    shares = [entry for entry in entries if entry.kind == "PROFIT_SHARE"]
    exact = _above(profits) if mark else sum((max(one, D(0)) for one in profits), D(0))
    taken = sum((entry.amount for entry in shares), D(0))
    assert taken <= exact * D(share) < taken + D("0.01") * (len(profits) + 1)
    assert all(entry.amount == entry.amount.quantize(D("0.01")) > 0 for entry in entries)
    assert billing.charged("USDC") == billing.owed("USDC") == taken + D("0.20") * len(profits)


def _above(profits: list[Decimal]) -> Decimal:
    """The highest that the sum of profits has been; at least zero."""
    highest = total = D(0)
    for one in profits:
        total += one
        highest = max(highest, total)
    return highest


def test_with_a_high_water_mark_a_loss_is_earned_back_first() -> None:
    billing = Billing(replace(TERMS, infra_fee=D(0), high_water_mark=True))
    taken = [[plain(entry.amount) for entry in billing.take(position(n, p))] for n, p in enumerate((100, -60, 50, 30))]
    assert taken == [["20.00"], [], [], ["4.00"]]
    assert billing.take(position(9, 1))[0].metadata == {"pnl": "1", "bps": 2000, "above": "1", "receiver": "0xabc"}


@given(st.lists(st.decimals(-1_000, 1_000, places=6), max_size=12), st.booleans(), st.integers(0, 12))
def test_law_a_state_read_back_goes_on_as_if_nothing_had_been(profits: list[Decimal], mark: bool, at: int) -> None:
    terms = replace(TERMS, high_water_mark=mark)
    made = [position(number, profit) for number, profit in enumerate(profits)]
    whole, billing = Billing(terms), Billing(terms)
    entries = [entry for one in made for entry in whole.take(one)]
    before = [entry for one in made[:at] for entry in billing.take(one)]
    read = Billing(terms, msgspec.json.decode(msgspec.json.encode(billing.state()), type=BillingState))
    assert before + [entry for one in made for entry in read.take(one)] == entries
    assert read.state() == whole.state()


def test_an_entry_survives_json() -> None:
    for entry in Billing(TERMS).take(position(1, "125.50")):
        assert msgspec.json.decode(msgspec.json.encode(entry), type=BillingEntry) == entry


def _sums(*books: Ledger | Billing) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for book in books:
        for line in book.postings():
            found[line.currency] = EXACT.add(found.get(line.currency, D(0)), line.amount)
    return found


def _balance(account: str, *books: Ledger | Billing) -> Decimal:
    return sum((line.amount for book in books for line in book.postings() if line.account == account), D(0))


@given(st.lists(st.decimals(-1_000, 1_000, places=6), max_size=12), st.decimals(0, 1, places=2))
def test_law_ledger_and_billing_balance_alone_and_together(profits: list[Decimal], part: Decimal) -> None:
    ledger, billing = Ledger({"USDC": D(10_000)}), Billing(TERMS)
    for number, profit in enumerate(profits):
        billing.take(position(number, profit))
    paid = (billing.owed("USDC") * part).quantize(D("0.01"))
    if paid:
        ledger.deposit("USDC", -paid)
        billing.settle("USDC", paid)
    assert not any(_sums(billing).values())
    assert not any(_sums(ledger, billing).values())
    # what the customer paid in is what it was; what was paid out is the expense, not capital
    assert _balance("capital", ledger, billing) == -10_000
    assert _balance("billing", ledger, billing) == billing.charged("USDC")
    assert _balance("cash", ledger, billing) == 10_000 - paid
    assert _balance("payable", ledger, billing) == -billing.owed("USDC")


@pytest.mark.parametrize("amount", ["0", "-1", "0.21", "NaN"])
def test_no_more_is_settled_than_is_owed(amount: str) -> None:
    billing = Billing(TERMS)
    billing.take(position(1, 0))
    with pytest.raises(InvalidInput, match=r"settle\.amount"):
        billing.settle("USDC", D(amount))
    assert billing.owed("USDC") == D("0.20")


@pytest.mark.parametrize(
    "changes",
    [
        {"infra_fee": D(-1)},
        {"infra_fee": 0.2},
        {"profit_share": D("1.5")},
        {"profit_share": D("-0.1")},
        {"profit_share": D("0.00001")},
        {"profit_share": D("NaN")},
        {"steps": {"BTC": D(0)}},
    ],
)
def test_terms_that_cannot_be_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match=r"billing\."):
        BillingTerms(**changes)  # type: ignore[arg-type]


def test_from_fills_to_charges() -> None:
    """Two workflows on one account: each is charged for its own positions, whoever the account's fills closed."""
    books, billing = Attribution({"USDT": D(10_000)}), Billing(BillingTerms())
    entries: list[BillingEntry] = []
    for number, (side, quantity, price, workflow) in enumerate(
        (("buy", 1, 100, "ann"), ("buy", 1, 200, "bob"), ("sell", 2, 160, "")), start=1
    ):
        one = replace(fill(number, side, quantity, price), fill_id=str(number))  # type: ignore[arg-type]
        for episode in books.apply(one, workflow) if workflow else books.apply_pro_rata(one):
            entries += billing.take(episode)
    assert [(entry.workflow, entry.kind, plain(entry.amount)) for entry in entries] == [
        ("ann", "INFRA_FEE", "0.20"),
        ("bob", "INFRA_FEE", "0.20"),
        ("ann", "PROFIT_SHARE", "12.00"),
    ]
