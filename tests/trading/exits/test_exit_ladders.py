"""Ladders sell shares of the original quantity, on the venue's steps, and never more than there is."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trading.exits.model import plan
from tickwork.errors import InvalidInput
from tickwork.trading.exits import LADDERS, ExitBook, ExitDue, ExitRules, Leg, Target, ladder
from tickwork.trading.exits.market import MarketSide
from tickwork.values import rounded_down

D = Decimal


def legs(*targets: tuple[str, str], quantity: str = "100", step: str = "1", least: str = "0") -> list[tuple[str, str]]:
    """Profit and quantity of each leg; the entry is at 100."""
    ruled = ExitRules(take_profit=tuple(Target(D(profit), D(share)) for profit, share in targets))
    made = plan("p", ruled, quantity=quantity, step=step, min_notional=least).legs()
    return [(str(leg.profit), str(leg.quantity)) for leg in made]


class TestRounding:
    def test_legs_are_cut_to_the_step_and_the_last_takes_the_rest(self) -> None:
        assert legs(("0.1", "0.3"), ("0.2", "0.3"), ("0.3", "0.4"), quantity="10.5") == [
            ("0.1", "3"), ("0.2", "3"), ("0.3", "4.5"),
        ]  # fmt: skip

    def test_what_is_not_in_the_ladder_stays(self) -> None:
        assert legs(("0.1", "0.3"), ("0.2", "0.3"), quantity="10.5") == [("0.1", "3"), ("0.2", "3")]

    def test_a_leg_too_small_to_be_traded_is_merged_into_the_next(self) -> None:
        assert legs(("0.1", "0.1"), ("0.2", "0.5"), ("0.3", "0.4"), least="1500") == [("0.2", "60"), ("0.3", "40")]

    def test_the_last_one_into_the_one_before(self) -> None:
        assert legs(("0.1", "0.45"), ("0.2", "0.45"), ("0.3", "0.1"), least="1500") == [("0.1", "45"), ("0.2", "55")]
        assert legs(("0.1", "0.4"), ("0.2", "0.4"), ("0.3", "0.1"), least="1500") == [("0.1", "40"), ("0.2", "50")]

    def test_nothing_large_enough_is_one_leg_at_the_end(self) -> None:
        assert legs(("0.1", "0.5"), ("0.2", "0.5"), quantity="1", least="500") == [("0.2", "1")]

    def test_smaller_than_a_step(self) -> None:
        assert legs(("0.1", "0.5"), ("0.2", "0.5"), quantity="0.7") == [("0.2", "0.7")]
        assert legs(("0.1", "0.5"), quantity="0.7") == []


@given(
    st.sampled_from(sorted(LADDERS)),
    st.decimals("0.001", 10_000, places=6),
    st.sampled_from(["1", "0.01", "0.000001"]),
    st.sampled_from(["0", "10", "5000"]),
)
def test_no_ladder_sells_more_than_its_shares(name: str, quantity: Decimal, step: str, least: str) -> None:
    made = plan("p", ExitRules(take_profit=ladder(name)), quantity=str(quantity), step=step, min_notional=least)
    found = made.legs()
    share, total = sum(one.share for one in ladder(name)), sum((leg.quantity for leg in found), D(0))
    assert all(leg.quantity > 0 for leg in found)
    assert (
        total == quantity if share == 1 else quantity * share - max(len(found), 1) * D(step) < total <= quantity * share
    )
    worth = [leg.quantity * made.price_at(leg.profit) >= D(least) for leg in found]
    assert all(worth) or len(found) == 1


def sells_shares_of_the_original(book: ExitBook, fills: list[int], *, manual: bool) -> None:
    """The law: however the exits before were filled, and whoever else sold, by each level its share of 100 is sold."""
    book.open(plan("p", ExitRules(take_profit=ladder("balanced"))))
    sold, by_hand = D(0), 0
    for n, (price, shares) in enumerate([("105", 25), ("112", 60), ("120", 85), ("135", 100)]):
        for part in fills:
            due = book.on_quote("paper", "BTC/USDT", D(price), D(price), n, n).due
            if not due:
                break
            claim = book.claim(due[0])
            some = min(claim.quantity, D(part))
            book.filled(claim, some)
            book.released(claim)
            sold += some
        if manual and n == 0:
            by_hand = 10
            book.resize("p", 100 - sold - by_hand)
        assert sold <= shares
        if sum(fills) >= 100:
            assert sold == min(shares, 100 - by_hand)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.booleans())
def test_percentages_are_of_the_original_quantity(fills: list[int], manual: bool) -> None:
    sells_shares_of_the_original(ExitBook("1h"), fills, manual=manual)


def test_a_ladder_on_the_shrinking_remainder_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    right = MarketSide._target_due

    def of_the_remainder(self: MarketSide, standing: Any, *prices: Any) -> ExitDue | None:
        due, state = right(self, standing, *prices), standing.state
        if due is None:
            return None
        share = sum((state.legs[n].share for n in due.legs), D(0))
        fields = {name: getattr(due, name) for name in due.__struct_fields__}
        return ExitDue(**{**fields, "quantity": rounded_down(share * state.remaining, D(1))})

    monkeypatch.setattr(MarketSide, "_target_due", of_the_remainder)
    with pytest.raises(AssertionError):
        sells_shares_of_the_original(ExitBook("1h"), [40, 40, 40], manual=False)


def test_what_is_left_of_a_leg_and_too_small_goes_with_the_next() -> None:
    book = ExitBook("1h")
    book.open(plan("p", ExitRules(take_profit=ladder("balanced")), min_notional="500"))
    (due,) = book.on_quote("paper", "BTC/USDT", D(105), D(105), 1, 1).due
    book.filled(claim := book.claim(due), D(22))
    book.released(claim)
    assert book.on_quote("paper", "BTC/USDT", D(106), D(106), 2, 2).due == ()
    (due,) = book.on_quote("paper", "BTC/USDT", D(112), D(112), 3, 3).due
    assert (due.quantity, due.legs) == (D(38), (0, 1))


class TestPositionChanges:
    def test_a_smaller_position_gives_the_last_legs_what_is_left(self) -> None:
        book = ExitBook("1h")
        book.open(plan("p", ExitRules(take_profit=ladder("balanced"))))
        assert book.resize("p", D(45)) == ()
        told = []
        for n, price in enumerate(("105", "112", "120", "135")):
            for due in book.on_quote("paper", "BTC/USDT", D(price), D(price), n, n).due:
                claim = book.claim(due)
                book.filled(claim, claim.quantity)
                told.append(str(due.quantity))
        assert told == ["25", "20"]
        assert "p" not in book

    def test_a_larger_position_sizes_anew_what_has_not_begun(self) -> None:
        book = ExitBook("1h")
        book.open(plan("p", ExitRules(take_profit=ladder("balanced"))))
        (due,) = book.on_quote("paper", "BTC/USDT", D(105), D(105), 1, 1).due
        book.filled(claim := book.claim(due), D(25))
        assert claim.legs == (0,)
        book.resize("p", D(175))
        state = book.get("p")
        assert state is not None
        assert state.original == 200
        assert [str(leg.quantity) for leg in state.legs] == ["25", "70", "50", "55"]
        assert sum(leg.left for leg in state.legs) == state.remaining

    def test_less_than_what_is_on_its_way_names_what_to_cancel(self) -> None:
        book = ExitBook("1h")
        book.open(plan("p", ExitRules(take_profit=ladder("balanced"))))
        (due,) = book.on_quote("paper", "BTC/USDT", D(112), D(112), 1, 1).due
        claim = book.claim(due)
        assert book.resize("p", D(70)) == ()
        assert book.resize("p", D(50)) == (claim,)
        assert book.close("p") == (claim,)
        assert book.on_quote("paper", "BTC/USDT", D(200), D(200), 2, 2).due == ()
        assert book.filled(claim, D(5)) == ()

    def test_of_several_on_their_way_the_newest_goes_first(self) -> None:
        book = ExitBook("1h")
        book.open(plan("p", ExitRules(take_profit=ladder("balanced"))))
        claims = []
        for n, price in enumerate(("105", "112", "120")):
            (due,) = book.on_quote("paper", "BTC/USDT", D(price), D(price), n, n).due
            claims.append(book.claim(due))
        assert book.resize("p", D(60)) == (claims[2],)
        assert book.resize("p", D(59)) == (claims[2], claims[1])

    def test_a_fill_after_the_release_counts(self) -> None:
        book = ExitBook("1h")
        book.open(plan("p", ExitRules(take_profit=ladder("balanced"))))
        (due,) = book.on_quote("paper", "BTC/USDT", D(105), D(105), 1, 1).due
        claim = book.claim(due)
        book.released(claim)
        book.filled(claim, D(20))
        state = book.get("p")
        assert state is not None
        assert (state.remaining, state.legs[0]) == (D(80), Leg(D("0.05"), D("0.25"), D("25.00"), D(20)))

    def test_a_claim_of_another_plan_or_one_never_made(self) -> None:
        book = ExitBook("1h")
        book.open(plan("p", ExitRules(stop_loss=D("0.05"))))
        (due,) = book.on_quote("paper", "BTC/USDT", D(95), D(95), 1, 1).due
        with pytest.raises(InvalidInput, match="claim: expected a claim of plan p"):
            book.filled(due.claim(), D(1))
        with pytest.raises(InvalidInput, match=r"filled\.quantity"):
            book.filled(book.claim(due), D(0))
