"""Where stops stand: after a restart, and of shorts beside longs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trading.exits.model import SECOND, plan, rules
from tests.trading.exits.recorded import Recorded
from tickwork.market.bars import Bar
from tickwork.trading.exits import BreakEven, ExitBook, ExitDue, ExitPlan, ExitRules, StopAt, Target, Trailing
from tickwork.values import EXACT

D = Decimal
prices = st.lists(st.integers(700, 1_500), min_size=1, max_size=60)


def at(book: ExitBook, id: str) -> StopAt | None:
    return book.stop_of(id) if id in book else None


@given(
    prices,
    st.sampled_from(["0.001", "0.02", "0.1"]),
    st.sampled_from(["0", "0.05"]),
    st.sampled_from(["long", "short"]),
    st.lists(st.integers(0, 59), max_size=4),
)
def test_after_a_restart_a_stop_is_at_most_a_ratchet_behind(
    found: list[int], ratchet: str, activation: str, side: Any, later: list[int]
) -> None:
    """After any prefix of what was recorded: never tighter than it was, never looser than by a ratchet of the price."""
    ruled = ExitRules(trailing=Trailing(D("0.04"), D(activation)), ratchet=D(ratchet))
    book, recorded = ExitBook("1h"), Recorded()
    for n, price in enumerate(found):
        if n == 0 or n in later:
            recorded.put(book.open(plan(f"p{n}", ruled, side=side, entry=str(D(price) / 10), opened_ns=n)))
        quote = D(price) / 10
        recorded.moved(book.on_quote("paper", "BTC/USDT", quote, quote, n, n))
        restored = recorded.book(n)
        for id in recorded.states:
            was, now = book.stop_of(id), restored.stop_of(id)
            assert (was is None) == (now is None)
            if was is None or now is None:
                continue
            behind = was.price - now.price if side == "long" else now.price - was.price
            assert 0 <= behind <= D(ratchet) * max(was.price, now.price)


@given(rules(), rules(), st.lists(st.integers(160, 240), max_size=40))
def test_shorts_are_longs_in_a_mirror(one: ExitRules, two: ExitRules, halves: list[int]) -> None:
    """Prices mirrored at the entry: whatever is a fraction of the entry is due for both at once."""
    book = ExitBook("1h")
    for n, ruled in enumerate((one, two)):
        still = ExitRules(
            stop_loss=ruled.stop_loss or D("0.2"),
            hard_stop=ruled.hard_stop,
            take_profit=ruled.take_profit,
            break_even=ruled.break_even,
            max_hold=ruled.max_hold,
        )
        book.open(plan(f"{n} long", still))
        book.open(plan(f"{n} short", still, side="short", symbol="ETH/USDT"))
    for n, half in enumerate(halves):
        price = D(half) / 2
        longs = book.on_quote("paper", "BTC/USDT", price, price, n, n)
        shorts = book.on_quote("paper", "ETH/USDT", 200 - price, 200 - price, n, n)
        assert [(due.reason, due.quantity, due.legs) for due in longs.due] == [
            (due.reason, due.quantity, due.legs) for due in shorts.due
        ]
        for due in (*longs.due, *shorts.due):
            book.filled(claim, claim.quantity) if (claim := book.claim(due)).quantity else None


@given(st.lists(st.sampled_from([D(2) ** a * D(5) ** b for a in range(-3, 4) for b in range(-2, 3)]), max_size=40))
def test_a_trailing_stop_of_a_short_is_one_of_a_long_at_one_over_the_price(found: list[Decimal]) -> None:
    book = ExitBook("1h")
    book.open(plan("long", ExitRules(trailing=Trailing(D("0.2"), D("0.25"))), entry="1"))
    # 1 / (1 - 0.2) = 1 + 0.25; a distance of 0.25 is the mirror of 0.2, an activation at 0.8 that of 1.25
    book.open(
        plan("short", ExitRules(trailing=Trailing(D("0.25"), D("0.2"))), side="short", entry="1", symbol="ETH/USDT")
    )
    for n, price in enumerate(found):
        mirrored = EXACT.divide(D(1), price)
        long = book.on_quote("paper", "BTC/USDT", price, price, n, n)
        short = book.on_quote("paper", "ETH/USDT", mirrored, mirrored, n, n)
        assert [due.reason for due in long.due] == [due.reason for due in short.due]


class TestKinds:
    n = 0

    def quotes(self, book: ExitBook, *found: str) -> list[tuple[str, str]]:
        """Reason and quantity of what each price makes due and is filled at once; nothing is said of others."""
        told: list[tuple[str, str]] = []
        for price in found:
            self.n += 1
            judged = book.on_quote("paper", "BTC/USDT", D(price), D(price), self.n, self.n)
            for due in judged.due:
                claim = book.claim(due)
                book.filled(claim, claim.quantity)
                told.append((due.reason, str(due.quantity)))
        return told

    def opened(self, ruled: ExitRules, **more: Any) -> ExitBook:
        book = ExitBook("1h")
        book.open(plan("p", ruled, **more))
        return book

    def test_long_is_judged_by_the_bid_and_short_by_the_ask(self) -> None:
        book = self.opened(ExitRules(stop_loss=D("0.05")))
        book.open(plan("s", ExitRules(stop_loss=D("0.05")), side="short"))
        assert book.on_quote("paper", "BTC/USDT", D("95.01"), D("104.99"), 1, 1).due == ()
        (long,) = book.on_quote("paper", "BTC/USDT", D("95.00"), D("104.99"), 2, 2).due
        assert (long.plan.id, long.price, long.level) == ("p", D("95.00"), D("95.00"))
        (short,) = book.on_quote("paper", "BTC/USDT", D("95.01"), D("105"), 3, 3).due
        assert (short.plan.id, short.reason) == ("s", "stop_loss")

    def test_trailing_waits_for_its_activation_and_never_moves_back(self) -> None:
        book = self.opened(ExitRules(trailing=Trailing(D("0.01"), D("0.03")), hard_stop=D("0.1")))
        assert self.quotes(book, "102", "100.5", "103", "102.5", "110") == []
        assert book.stop_of("p") == StopAt(D("108.90"), "trailing_stop")
        assert self.quotes(book, "108.91", "108.90") == [("trailing_stop", "100")]
        assert "p" not in book

    def test_hard_stop_of_a_trailing_plan_keeps_its_own_reason(self) -> None:
        book = self.opened(ExitRules(trailing=Trailing(D("0.01"), D("0.03")), hard_stop=D("0.1")))
        assert self.quotes(book, "102", "90") == [("hard_stop", "100")]

    def test_break_even_moves_the_stop_to_the_entry_and_a_little_more(self) -> None:
        book = self.opened(ExitRules(stop_loss=D("0.1"), break_even=BreakEven(D("0.05"), D("0.002"))))
        assert self.quotes(book, "104.99", "100") == []
        assert self.quotes(book, "105", "100.21", "100.2") == [("break_even", "100")]

    def test_absolute_stop_price(self) -> None:
        assert self.quotes(self.opened(ExitRules(stop_price=D("93.5"))), "93.51", "93.5") == [("stop_loss", "100")]

    def test_a_gap_over_several_levels_is_one_exit(self) -> None:
        ruled = ExitRules(take_profit=tuple(Target(D(n) / 100, D("0.25")) for n in (2, 4, 6, 8)))
        assert self.quotes(self.opened(ruled), "106.5", "106.5", "108") == [
            ("take_profit", "75"), ("take_profit", "25"),
        ]  # fmt: skip

    def test_time_limit_needs_no_price(self) -> None:
        book = self.opened(ExitRules(max_hold="10s"), opened_ns=5 * SECOND)
        assert book.on_time(15 * SECOND - 1).due == ()
        (due,) = book.on_time(15 * SECOND).due
        assert (due.reason, due.quantity, due.price) == ("time_limit", D(100), None)

    def test_a_stop_that_was_refused_goes_on_whatever_the_price(self) -> None:
        book = self.opened(ExitRules(stop_loss=D("0.05")))
        (due,) = book.on_quote("paper", "BTC/USDT", D(95), D(95), 1, 1).due
        book.released(book.claim(due), retry_ns=50)
        assert book.on_quote("paper", "BTC/USDT", D(99), D(99), 49, 49).due == ()
        (again,) = book.on_quote("paper", "BTC/USDT", D(99), D(99), 50, 50).due
        assert (again.reason, again.number, again.quantity) == ("stop_loss", 2, D(100))
        assert [one.number for one in book.on_time(60).due] == [2]

    def test_a_target_that_was_not_filled_waits_for_its_price_again(self) -> None:
        book = self.opened(ExitRules(take_profit=(Target(D("0.05")),)))
        (due,) = book.on_quote("paper", "BTC/USDT", D(105), D(105), 1, 1).due
        claim = book.claim(due)
        assert book.on_quote("paper", "BTC/USDT", D(105), D(105), 2, 2).due == ()
        book.filled(claim, D(40))
        book.released(claim)
        assert book.on_quote("paper", "BTC/USDT", D(104), D(104), 3, 3).due == ()
        (again,) = book.on_quote("paper", "BTC/USDT", D(105), D(105), 4, 4).due
        assert (again.quantity, again.legs) == (D(60), (0,))

    def test_a_target_waits_out_its_pause_and_a_stop_does_not(self) -> None:
        book = self.opened(ExitRules(stop_loss=D("0.05"), take_profit=(Target(D("0.05")),)))
        (due,) = book.on_quote("paper", "BTC/USDT", D(105), D(105), 1, 1).due
        book.released(book.claim(due), retry_ns=50)
        assert book.on_quote("paper", "BTC/USDT", D(105), D(105), 49, 49).due == ()
        (stop,) = book.on_quote("paper", "BTC/USDT", D(95), D(95), 49, 49).due
        assert stop.reason == "stop_loss"
        (again,) = book.on_quote("paper", "BTC/USDT", D(105), D(105), 50, 50).due
        assert (again.reason, again.number) == ("take_profit", 2)

    def test_a_trailing_stop_far_above_the_price_is_due_until_it_is_claimed(self) -> None:
        """Also when others have begun to trail from lower prices since."""
        book = ExitBook("1h")
        book.open(plan("high", ExitRules(trailing=Trailing(D("0.1")))))
        book.on_quote("paper", "BTC/USDT", D(200), D(200), 1, 1)
        dues: list[ExitDue] = []
        for n in (2, 3, 4):
            book.open(plan(f"low {n}", ExitRules(trailing=Trailing(D("0.1"))), entry="150", opened_ns=n))
            dues += book.on_quote("paper", "BTC/USDT", D(150), D(150), n, n).due
        assert [due.plan.id for due in dues] == ["high"] * 3
        book.claim(dues[-1])
        assert book.on_quote("paper", "BTC/USDT", D(150), D(150), 5, 5).due == ()
        assert len(book.on_quote("paper", "BTC/USDT", D(135), D(135), 6, 6).due) == 3

    def test_a_stop_cancels_the_target_on_its_way_and_takes_what_that_gives_back(self) -> None:
        book = self.opened(ExitRules(stop_loss=D("0.05"), take_profit=(Target(D("0.05"), D("0.6")),)))
        (target,) = book.on_quote("paper", "BTC/USDT", D(105), D(105), 1, 1).due
        resting = book.claim(target)
        (stop,) = book.on_quote("paper", "BTC/USDT", D(95), D(95), 2, 2).due
        assert (stop.quantity, stop.cancel) == (D(40), (resting.id,))
        book.filled(first := book.claim(stop), D(40))
        assert book.on_quote("paper", "BTC/USDT", D(95), D(95), 3, 3).due == ()
        book.filled(resting, D(10))
        book.released(resting)
        (rest,) = book.on_quote("paper", "BTC/USDT", D(101), D(101), 4, 4).due
        assert (rest.reason, rest.quantity, rest.cancel) == ("stop_loss", D(50), ())
        assert first.number == 2

    def test_a_stop_while_everything_is_on_its_way_only_cancels(self) -> None:
        book = self.opened(ExitRules(stop_loss=D("0.05"), take_profit=(Target(D("0.05")),)))
        (target,) = book.on_quote("paper", "BTC/USDT", D(105), D(105), 1, 1).due
        resting = book.claim(target)
        (stop,) = book.on_quote("paper", "BTC/USDT", D(95), D(95), 2, 2).due
        assert (stop.quantity, stop.cancel) == (D(0), (resting.id,))
        assert book.claim(stop).quantity == 0
        assert book.on_quote("paper", "BTC/USDT", D(95), D(95), 3, 3).due == ()
        book.released(resting)
        (rest,) = book.on_quote("paper", "BTC/USDT", D(99), D(99), 4, 4).due
        assert rest.quantity == 100


class TestBars:
    def bar(self, start: int, *ohlc: int) -> Bar:
        return Bar("BTC/USDT", "paper", start, 10, *(D(one) for one in ohlc), volume=D(1))  # type: ignore[misc]

    @pytest.mark.parametrize("side", ["long", "short"])
    def test_stop_before_target(self, side: Any) -> None:
        book = ExitBook("1h")
        book.open(plan("p", ExitRules(stop_loss=D("0.05"), take_profit=(Target(D("0.05")),)), side=side))
        (due,) = book.on_bar(self.bar(0, 100, 106, 94, 100), 10).due
        assert (due.reason, due.price) == ("stop_loss", D(94) if side == "long" else D(106))

    def test_low_is_taken_to_come_before_the_high_that_moves_the_stop(self) -> None:
        book = ExitBook("1h")
        book.open(plan("p", ExitRules(trailing=Trailing(D("0.05")))))
        assert book.on_bar(self.bar(0, 100, 110, 96, 109), 10).due == ()
        assert book.stop_of("p") == StopAt(D("104.50"), "trailing_stop")

    def test_a_plan_opened_within_a_bar_is_judged_by_its_close_alone(self) -> None:
        book = ExitBook("1h")
        book.open(plan("p", ExitRules(stop_loss=D("0.05"), trailing=Trailing(D("0.02"))), opened_ns=5))
        assert book.on_bar(self.bar(0, 100, 110, 90, 101), 10).due == ()
        assert book.stop_of("p") == StopAt(D("98.98"), "trailing_stop")
        assert [due.reason for due in book.on_bar(self.bar(10, 101, 101, 98, 99), 20).due] == ["trailing_stop"]


class TestNotJudged:
    @pytest.mark.parametrize(
        ("bid", "ask", "time", "why"),
        [
            (None, D(90), 100, "missing"),
            (D("NaN"), D(90), 100, "not_a_price"),
            (D("sNaN"), D(90), 100, "not_a_price"),
            (D(0), D(90), 100, "not_a_price"),
            (D(90), D("Infinity"), 100, "not_a_price"),
            (D(-1), D(90), 100, "not_a_price"),
            (90.0, D(90), 100, "not_a_price"),
            (D(91), D(90), 100, "crossed"),
            (D(90), D(90), 100 - 31, "stale"),
            (D(90), D(90), 100 + 31, "future"),
            (D(90), D(90), 79, "older"),
        ],
    )
    def test_it_decides_nothing_and_says_why(self, bid: Any, ask: Any, time: int, why: str) -> None:
        book = ExitBook("30s")
        book.open(plan("p", ExitRules(stop_loss=D("0.05"))))
        assert book.on_quote("paper", "BTC/USDT", D(100), D(100), 80 * SECOND, 80 * SECOND).unjudged is None
        judged = book.on_quote("paper", "BTC/USDT", bid, ask, time * SECOND, 100 * SECOND)
        assert judged.due == () and judged.unjudged is not None
        assert judged.unjudged.why == why
        (due,) = book.on_quote("paper", "BTC/USDT", D(90), D(90), 100 * SECOND, 100 * SECOND).due
        assert due.reason == "stop_loss"

    def test_of_another_venue_or_symbol_is_nobody_s(self) -> None:
        book = ExitBook("30s")
        book.open(plan("p", ExitRules(stop_loss=D("0.05"))))
        for venue, symbol in (("paper", "ETH/USDT"), ("other", "BTC/USDT")):
            assert book.on_quote(venue, symbol, D(1), D(1), 5, 5).due == ()


def test_everything_a_plan_is_survives_json() -> None:
    import msgspec

    ruled = ExitRules(
        stop_loss=D("0.05"), take_profit=(Target(D("0.1"), D("0.5")),), trailing=Trailing(D("0.01"), D("0.05"))
    )
    data = msgspec.json.encode(plan("p", ruled))
    assert b'"takeProfit":[{"profit":"0.1","share":"0.5"}]' in data
    assert msgspec.json.decode(data, type=ExitPlan) == plan("p", ruled)
