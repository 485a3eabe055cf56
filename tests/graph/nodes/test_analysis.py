"""What prices are worth together: against books by hand, by the laws that hold for all, and over recordings."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.graph.support import FEE, RecordedProvider, RecordedProviders, book, context, done
from tickwork.core.conditions import compile_condition
from tickwork.errors import InvalidInput, Stale
from tickwork.graph.nodes.analysis import (
    calculate_profit,
    calculate_spread,
    check_threshold,
    create_opportunity,
    detect_arbitrage,
)
from tickwork.graph.nodes.opportunity import Judged
from tickwork.graph.nodes.providers import get_orderbook
from tickwork.graph.sources import Level, OrderBook

PRICES = st.decimals(Decimal("0.01"), Decimal(99999), places=2)
SIZES = st.decimals(Decimal("0.001"), Decimal(100), places=3)


def found(*books: OrderBook, **options: Any) -> Judged:
    return done(detect_arbitrage(list(books), context=context(), **options))


@st.composite
def books(draw: st.DrawFn) -> list[OrderBook]:
    """Sound books of different venues, of up to three levels a side."""
    made = []
    for venue in ("a", "b", "c")[: draw(st.integers(2, 3))]:
        prices = sorted(draw(st.sets(PRICES, min_size=2, max_size=6)))
        middle = draw(st.integers(1, len(prices) - 1))
        bids = [Level(price, draw(SIZES)) for price in reversed(prices[:middle])]
        asks = [Level(price, draw(SIZES)) for price in prices[middle:]]
        made.append(OrderBook(venue, "BTC/USD", bids, asks, 0))
    return made


# ----------------------------------------------------------------------------------------------------------- arbitrage


def test_the_cheapest_ask_is_bought_and_the_dearest_bid_sold() -> None:
    one = found(
        book("a", "99", "100", size="3"), book("b", "103", "104", size="2"), book("c", "101", "102"),
        fee_rate=Decimal("0.001"),
    )  # fmt: skip
    legs = one.opportunity
    assert (legs.buy.venue, legs.sell.venue) == ("a", "b")
    assert [legs.buy.price, legs.sell.price] == [100, 103]
    assert legs.size == legs.buy.quantity == legs.sell.quantity == 2
    assert one.spread == Decimal("0.03")
    # 2 * (103 * 0.999 - 100 * 1.001) = 5.594, over the 200.2 that are paid
    assert legs.gain == Decimal("5.594")
    assert one.profit == round(Decimal("5.594") / Decimal("200.2"), 16)
    assert one.profitable


def test_one_book_is_held_against_itself_and_never_against_an_invented_one() -> None:
    one = found(book("a", "99", "101"), fee_rate=Decimal(0))
    assert (one.opportunity.buy.venue, one.opportunity.sell.venue) == ("a", "a")
    assert one.profit == one.spread == round(Decimal(99) / 101 - 1, 16) < 0
    assert not one.profitable
    crossed = found(book("a", "102", "100"), fee_rate=Decimal(0))
    assert crossed.profit == Decimal("0.02")


def test_a_size_takes_as_many_levels_as_it_needs_and_no_more_than_there_are() -> None:
    asks = [Level(Decimal(100), Decimal(1)), Level(Decimal(110), Decimal(3))]
    deep = OrderBook("a", "BTC/USD", [Level(Decimal(90), Decimal(1))], asks, 0)
    rich = book("b", "120", "121", size="2.5")
    one = found(deep, rich, size=Decimal(2), fee_rate=Decimal(0)).opportunity
    assert [one.size, one.buy.price, one.sell.price] == [2, 105, 120]
    all_ = found(deep, rich, size=Decimal(10), fee_rate=Decimal(0)).opportunity
    assert all_.size == Decimal("2.5")
    assert all_.buy.price == (Decimal(100) + Decimal("1.5") * 110) / Decimal("2.5")


def test_the_fee_is_what_the_market_says_unless_the_document_says_another() -> None:
    recorded = RecordedProvider("bitstamp", "bitstamp-eth-usd-1d", "bitstamp-btc-usd-1d")
    recorded.fees["ETH/USD"] = Decimal("0.05")
    providers = RecordedProviders(recorded)
    own = done(get_orderbook(symbol="BTC/USD", providers=providers, context=context())).orderbook
    other = book("elsewhere", "99999", "100000")
    by_market = done(detect_arbitrage([own, other], providers=providers, context=context())).opportunity
    paid, got = by_market.buy.price * (1 + FEE), by_market.sell.price * (1 - Decimal("0.001"))
    assert by_market.profit == round(got / paid - 1, 16)
    said = done(detect_arbitrage([own, other], fee_rate=Decimal(0), providers=providers, context=context())).opportunity
    assert said.profit == said.spread > by_market.profit


def test_the_conditions_that_documents_ask() -> None:
    scope = {"opportunity": found(book("a", "99", "100"), book("b", "103", "104")).opportunity}
    single = found(book("a", "99", "100"))
    assert compile_condition("opportunity.profit > 0.01")(scope)
    assert not compile_condition("opportunity.profit > 0.01")({"opportunity": single.opportunity})
    assert not compile_condition("input.profit > 0.01 or input.spread > 0.02")({"input": single})


def test_two_venues_recorded_at_the_same_days_differ_by_what_their_closes_did() -> None:
    bitstamp = RecordedProvider("bitstamp", "bitstamp-btc-usd-1d")
    coinbase = RecordedProvider("coinbase", "coinbase-btc-usd-1d")
    providers = RecordedProviders(bitstamp, coinbase)
    spreads = set()
    for offset in (300, 1000, 1500):
        coinbase.at = offset
        bitstamp.meet(coinbase, "BTC/USD")
        pair = [
            done(get_orderbook(provider=name, symbol="BTC/USD", providers=providers, context=context())).orderbook
            for name in ("bitstamp", "coinbase")
        ]
        assert pair[0].time == pair[1].time
        one = done(detect_arbitrage(pair, providers=providers, context=context(pair[0].time)))
        dear, cheap = sorted(pair, key=lambda book: book.bids[0].price, reverse=True)
        assert one.spread == round(dear.bids[0].price / cheap.asks[0].price - 1, 16)
        assert (one.opportunity.buy.venue, one.opportunity.sell.venue) == (cheap.venue, dear.venue)
        spreads.add(one.spread)
    assert len(spreads) == 3


@given(books(), SIZES | st.none(), st.decimals(0, Decimal("0.05"), places=4))
def test_nothing_beats_the_pair_that_is_found(some: list[OrderBook], size: Decimal | None, fee: Decimal) -> None:
    one = found(*some, size=size, fee_rate=fee).opportunity
    by_venue = {book.venue: book for book in some}
    assert one.buy.venue != one.sell.venue
    assert one.buy.price >= by_venue[one.buy.venue].asks[0].price
    assert one.sell.price <= by_venue[one.sell.venue].bids[0].price
    assert (one.profit > 0) == (one.gain > 0) or one.profit == 0
    if size is None:
        got = {book.venue: book.bids[0].price * (1 - fee) for book in some}
        paid = {book.venue: book.asks[0].price * (1 + fee) for book in some}
        best = max(got[sell] / paid[buy] for buy in paid for sell in got if buy != sell)
        assert abs(one.profit - (best - 1)) < Decimal("1e-12")
    else:
        assert one.size <= size
        assert one.size <= sum(level.quantity for level in by_venue[one.buy.venue].asks)


def test_what_cannot_be_held_against_each_other_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"each book once"):
        found(book("a", "99", "100"), book("a", "103", "104", time=5))
    with pytest.raises(InvalidInput, match=r"across_symbols"):
        found(book("a", "99", "100"), book("b", "103", "104", symbol="BTC/USDT"))
    assert found(
        book("a", "99", "100"), book("b", "103", "104", symbol="BTC/USDT"), across_symbols=True
    ).profitable  # fmt: skip
    with pytest.raises(InvalidInput, match=r"at least one order book"):
        found()
    with pytest.raises(InvalidInput, match=r"bids\[0\]\.price"):
        found(book("a", "NaN", "100"))
    with pytest.raises(InvalidInput, match=r"best price first"):
        out = [Level(Decimal(1), Decimal(1)), Level(Decimal(2), Decimal(1))]
        found(OrderBook("a", "BTC/USD", out, out, 0))


def test_a_book_older_than_the_document_allows_is_stale() -> None:
    second = 1_000_000_000
    books = [book("a", "99", "100", time=10 * second)]
    done(detect_arbitrage(books, max_age="5s", context=context(15 * second)))
    with pytest.raises(Stale, match=r"BTC/USD at a"):
        done(detect_arbitrage(books, max_age="5s", context=context(16 * second)))


# -------------------------------------------------------------------------------------------------------------- spread


def test_the_spread_of_two_prices_of_a_book_and_of_several() -> None:
    two = calculate_spread(buy_price=Decimal(100), sell_price=Decimal(103))
    assert [two.spread, two.spread_pct, two.difference] == [Decimal("0.03"), 3, 3]
    one = calculate_spread([book("a", "99", "101")])
    assert one.spread == Decimal("0.02")
    several = calculate_spread([book("a", "99", "100"), book("b", "103", "104")])
    assert several.spread == Decimal("0.03")
    assert several.profitable
    assert compile_condition("input.spread > 0.02")({"input": several})
    assert not compile_condition("input.spread > 0.02")({"input": one})


@pytest.mark.parametrize(
    ("sell", "fee", "least", "profitable"),
    [("103", "0.01", "0", True), ("102", "0.01", "0", False), ("103", "0", "0.03", True), ("103", "0", "0.031", False)],
)
def test_profitable_is_after_both_fees_and_from_the_least_spread_on(
    sell: str, fee: str, least: str, profitable: bool
) -> None:
    one = calculate_spread(
        buy_price=Decimal(100), sell_price=Decimal(sell), fee_rate=Decimal(fee), min_spread=Decimal(least)
    )
    assert one.profitable is profitable


def test_a_spread_needs_two_prices() -> None:
    with pytest.raises(InvalidInput, match=r"buy_price and sell_price"):
        calculate_spread(buy_price=Decimal(100))
    with pytest.raises(InvalidInput, match=r"buy_price"):
        calculate_spread(buy_price=Decimal(0), sell_price=Decimal(1))


def test_recorded_books_have_the_spread_that_their_close_gives_them() -> None:
    recorded = RecordedProvider("bitstamp", "bitstamp-btc-usd-1d")
    seen = set()
    for at in (10, 1000):
        recorded.at = at
        one = calculate_spread([done(recorded.orderbook("BTC/USD", 1))])
        assert one.spread == round(Decimal("0.02") / recorded.latest("BTC/USD").close, 16)
        seen.add(one.spread)
    assert len(seen) == 2


# ----------------------------------------------------------------------------------- profit, opportunity, threshold


@given(PRICES, PRICES, SIZES, st.decimals(0, Decimal("0.1"), places=4))
def test_profit_is_what_the_sums_say(buy: Decimal, sell: Decimal, size: Decimal, fee: Decimal) -> None:
    one = calculate_profit(buy, sell, size, fee_rate=fee)
    assert one.profit == (sell - buy) * size - fee * (buy + sell) * size
    assert one.cost == buy * size * (1 + fee)
    assert abs(one.roi - one.profit / one.cost) <= Decimal("1e-16")
    assert one.profit_pct == one.roi * 100
    made = create_opportunity(buy, sell, size, symbol="BTC/USD", buy_venue="a", sell_venue="b", fee_rate=fee)
    assert (made.opportunity.gain, made.profit) == (one.profit, one.roi)
    assert made.profitable == (made.profit > 0 and made.spread >= 0)
    assert (made.opportunity.buy.venue, made.opportunity.sell.venue) == ("a", "b")


@pytest.mark.parametrize("wrong", ["0", "-1", "NaN", "Infinity"])
def test_a_profit_of_a_price_that_is_none_is_none(wrong: str) -> None:
    for prices in ((Decimal(wrong), Decimal(1)), (Decimal(1), Decimal(wrong))):
        with pytest.raises(InvalidInput):
            calculate_profit(*prices)
        with pytest.raises(InvalidInput):
            create_opportunity(*prices, symbol="BTC/USD")


@pytest.mark.parametrize(
    ("operator", "passes"),
    [(">=", "023"), (">", "3"), ("<", "1"), ("<=", "012"), ("eq", "02"), ("not_equals", "13")],
)
def test_a_threshold_is_compared_as_the_operator_says(operator: Any, passes: str) -> None:
    values = [Decimal("0.5"), Decimal("0.4"), Decimal("0.50"), Decimal("0.6")]
    checked = [check_threshold(value, threshold=Decimal("0.5"), operator=operator) for value in values]
    assert [one.passed for one in checked] == [str(at) in passes for at in range(4)]
    assert [one.exceeded for one in checked] == [False, False, False, True]


def test_a_threshold_of_nan_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"value"):
        check_threshold(Decimal("NaN"), threshold=Decimal(1))
