"""Prices of before a plan was opened, or older than what is known already, decide nothing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.trading.exits.model import plan, rules, told
from tests.trading.exits.recorded import Recorded
from tickwork.market.bars import Bar
from tickwork.trading.exits import BreakEven, ExitBook, ExitRules, Trailing

D = Decimal
BTC = "BTC/USDT"
PAPER = "paper"

opens = st.tuples(st.just("open"), st.integers(0, 60), rules(), st.sampled_from(["long", "short"]))
quotes = st.tuples(st.just("quote"), st.integers(0, 60), st.integers(160, 240))
restarts = st.tuples(st.just("restart"), st.integers(0, 60))


@given(st.lists(st.one_of(opens, quotes, quotes, quotes), max_size=40))
def test_a_plan_is_judged_as_if_it_were_alone_and_older_quotes_had_never_come(things: list[Any]) -> None:
    """Against a book for each plan, which is only given the quotes that are for it."""
    book, alone, newest = ExitBook("1h"), dict[str, ExitBook](), -1
    opened: dict[str, int] = {}
    for n, thing in enumerate(things):
        if thing[0] == "open":
            new = plan(f"p{n:02}", thing[2], side=thing[3], opened_ns=thing[1])
            book.open(new)
            alone[new.id] = ExitBook("1h")
            alone[new.id].open(new)
            opened[new.id] = thing[1]
            continue
        at, price = thing[1], D(thing[2]) / 2
        found = [told(due) for due in book.on_quote(PAPER, BTC, price, price, at, 60).due]
        wanted = []
        if at >= newest:
            newest = at
            for id, own in alone.items():
                if at >= opened[id]:
                    wanted += [told(due) for due in own.on_quote(PAPER, BTC, price, price, at, 60).due]
        assert found == wanted
        for id, own in alone.items():
            if newest >= opened[id] and own.markets():
                assert book.stop_of(id) == own.stop_of(id) or own.stop_of(id) is None


@given(st.lists(st.one_of(opens, quotes, quotes, quotes, restarts), max_size=40))
def test_nothing_is_due_by_a_price_of_before_the_plan_whatever_is_restarted(things: list[Any]) -> None:
    book, recorded = ExitBook("1h"), Recorded()
    for n, thing in enumerate(things):
        match thing[0]:
            case "open":
                recorded.put(book.open(plan(f"p{n:02}", thing[2], side=thing[3], opened_ns=thing[1])))
            case "restart":
                book = recorded.book(60)
            case _:
                price = D(thing[2]) / 2
                judged = book.on_quote(PAPER, BTC, price, price, thing[1], 60)
                recorded.moved(judged)
                for due in judged.due:
                    assert thing[1] >= due.plan.opened_ns
                for moved in judged.moved:
                    if not hasattr(moved, "venue"):
                        assert thing[1] >= recorded.state(moved.plan_id).plan.opened_ns


def test_a_recording_that_is_replayed_after_a_restart_sells_nothing() -> None:
    for ruled in (ExitRules(stop_loss=D("0.05")), ExitRules(trailing=Trailing(D("0.01"), D(0)))):
        book, recorded = ExitBook("1h"), Recorded()
        recorded.put(book.open(plan("p", ruled, opened_ns=50)))
        book = recorded.book(60)
        for at, price in enumerate([100, 130, 90, 50]):
            judged = book.on_quote(PAPER, BTC, D(price), D(price), at, 60)
            assert judged.due == () and judged.moved == ()
            assert judged.unjudged is not None and judged.unjudged.why == "older"
        bar = Bar(BTC, PAPER, 10, 30, D(100), D(130), D(50), D(50), D(1))
        assert book.on_bar(bar, 60).due == ()
        recorded.moved(book.on_quote(PAPER, BTC, D(100), D(100), 55, 60))
        assert [due.plan.id for due in book.on_quote(PAPER, BTC, D(90), D(90), 56, 60).due] == ["p"]


def test_what_a_price_has_moved_is_not_met_by_an_earlier_one_after_a_restart() -> None:
    """The stop follows 110 now; that the price had been at 100 before is no reason to sell."""
    for ruled in (
        ExitRules(trailing=Trailing(D("0.05"), D("0.08"))),
        ExitRules(stop_loss=D("0.1"), break_even=BreakEven(D("0.05"), D("0.01"))),
    ):
        book, recorded = ExitBook("1h"), Recorded()
        recorded.put(book.open(plan("p", ruled, opened_ns=1)))
        for at, price in ((2, 100), (3, 110), (4, 120)):
            recorded.moved(book.on_quote(PAPER, BTC, D(price), D(price), at, at))
        book = recorded.book(5)
        assert book.on_quote(PAPER, BTC, D(100), D(100), 2, 5).due == ()
        assert len(book.on_quote(PAPER, BTC, D(100), D(100), 5, 5).due) == 1


def test_of_a_bar_that_reaches_back_behind_the_newest_quote_only_the_close_counts() -> None:
    book = ExitBook("1h")
    book.open(plan("p", opened_ns=10))
    assert book.on_quote(PAPER, BTC, D(100), D(100), 12, 12).due == ()
    assert book.on_bar(Bar(BTC, PAPER, 0, 20, D(100), D(100), D(80), D(99), D(1)), 20).due == ()
    assert len(book.on_bar(Bar(BTC, PAPER, 20, 20, D(100), D(100), D(80), D(99), D(1)), 40).due) == 1


def test_no_going_back_behind_a_quote_that_came_before_there_was_a_plan() -> None:
    book = ExitBook("1h")
    assert book.on_quote(PAPER, BTC, D(100), D(100), 20, 20).unjudged is None
    assert book.on_quote(PAPER, BTC, D(100), D(100), 19, 20).unjudged is None
    book.open(plan("p", opened_ns=10))
    assert book.on_quote(PAPER, BTC, D(80), D(80), 15, 20).due == ()
    assert len(book.on_quote(PAPER, BTC, D(80), D(80), 20, 20).due) == 1
