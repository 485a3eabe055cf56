"""The documents that ship with tickwork: they are valid, told about, and do on a market what they say."""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.graph.playing import Played, cut, equity, news_file, on_recordings, on_simulated, play
from tests.some import some
from tickwork.core.event import Event
from tickwork.core.run import Run
from tickwork.core.schedule import ScheduleFired
from tickwork.core.workflow import Workflow, workflow
from tickwork.errors import InvalidInput
from tickwork.graph import templates
from tickwork.graph.document import Document
from tickwork.graph.exporters import as_json, as_yaml
from tickwork.graph.library import library
from tickwork.graph.reading import read_document, read_text
from tickwork.graph.schema import document_schema
from tickwork.graph.sources import Sources
from tickwork.graph.wiring import check
from tickwork.market.liquidations import Liquidation
from tickwork.market.news import NewsItem
from tickwork.market.recording import Recording
from tickwork.market.triggers import PriceChange, PriceChanged, VolatilityRose, VolumeSpiked
from tickwork.trading.ledger import fold
from tickwork.values import from_ns

ARBITRAGE = (
    "basis_trading", "binary_arbitrage", "cross_exchange_arbitrage", "cross_platform_arbitrage", "defi_cefi_arbitrage",
    "funding_rate_arbitrage", "statistical_arbitrage", "triangular_arbitrage",
)  # fmt: skip
STRATEGIES = (*ARBITRAGE, "high_probability_bond", "liquidation_sniping", "market_making", "momentum_trading")
EXAMPLES = ("event_driven_trader", "news_driven", "risk_management", "ten_symbols")
EVERY = tuple(sorted((*STRATEGIES, *EXAMPLES)))

SEEDS = {
    "binary_arbitrage": (1, 3), "cross_platform_arbitrage": (3, 6), "high_probability_bond": (1, 2),
    "liquidation_sniping": (3, 4), "momentum_trading": (2, 6), "triangular_arbitrage": (2, 7),
}  # fmt: skip
"""Two markets of each that show what it does; (2, 3) where nothing else is said."""
BARS = {
    "binary_arbitrage": 120, "cross_platform_arbitrage": 150, "funding_rate_arbitrage": 300, "liquidation_sniping": 240,
    "market_making": 120, "momentum_trading": 200, "statistical_arbitrage": 120, "triangular_arbitrage": 120,
}  # fmt: skip
"""Fewer than the document proposes, where that shows it too."""


# ----------------------------------------------------------------------------------------------------------- documents


def test_these_are_the_documents() -> None:
    assert templates.names() == EVERY


def test_a_name_that_there_is_not_is_told() -> None:
    with pytest.raises(InvalidInput, match="market_making"):
        templates.read("market_makin")


@pytest.mark.parametrize("name", EVERY)
def test_it_is_valid_without_a_warning(name: str) -> None:
    assert check(templates.read(name), library(), None) == []


@pytest.mark.parametrize("name", EVERY)
def test_it_says_what_it_is(name: str) -> None:
    document, about = templates.read(name), templates.about(name)
    assert about.id == document.name == name
    assert about.title
    assert document.triggers
    assert about.simulated or about.recordings
    assert "What it risks: " in document.description
    assert re.search(r"\bChosen: ", document.description)
    assert not re.search(r"\broi\b|per month|guarantee", document.description, re.IGNORECASE)
    assert "#" in templates.text(name), "a document for people has comments"
    assert about.providers == _venues(document), "the venues that it names, in their order"


def _venues(document: Document) -> list[str]:
    named: list[str] = []
    for spec in document.triggers:
        named += [spec.fields[word] for word in ("venue", "provider") if word in spec.fields]
    for node in document.nodes:
        for word in ("provider", "providers", "provider_names", "venue", "buy_venue", "sell_venue"):
            found = node.params.get(word, [])
            named += [found] if isinstance(found, str) else found
    known = templates.about(document.name).providers
    return sorted(set(named), key=lambda one: known.index(one) if one in known else -1)


@pytest.mark.parametrize("name", EVERY)
def test_it_is_the_same_after_it_was_written_and_read(name: str) -> None:
    document = templates.read(name)
    assert read_document(document.plain()) == document
    for text in (as_yaml(document), as_json(document)):
        assert read_document(read_text(text)) == document


def test_they_are_what_the_schema_asks_for() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(document_schema(library()))
    for name in EVERY:
        plain = templates.read(name).plain()
        assert [error.message for error in validator.iter_errors(plain)] == []
        wrong = {**plain, "nodes": [*plain["nodes"], {"id": "x", "type": "buy", "params": {"quantiti": 1}}]}
        assert not validator.is_valid(wrong)


@pytest.mark.parametrize("name", STRATEGIES)
def test_what_goes_wrong_with_an_order_kills_no_run(name: str) -> None:
    """Every order's refusal is reported, and two legs have somewhere to go when the second breaks."""
    for node in templates.read(name).nodes:
        if "on_refusal" in library().get(node.type).params:
            assert node.params["on_refusal"] == "report", node.id
        if node.type == "place_order" and "opportunity" in node.inputs:
            assert node.on_error != "stop", node.id


# ----------------------------------------------------------------------------------------------------- simulated market


def lives(played: Played) -> None:
    """No run died, none failed in the middle, all have ended but those that wait for their time."""
    assert played.dead == []
    assert played.errors == []
    assert set(played.summary.runs) <= {"done", "waiting"}


@pytest.mark.parametrize("name", some(STRATEGIES, quick=6))
def test_it_trades_on_a_simulated_market(name: str) -> None:
    first, second = (on_simulated(name, seed, bars=BARS.get(name, 0)) for seed in SEEDS.get(name, (2, 3)))
    for played in (first, second):
        lives(played)
    assert first.fills and second.fills
    assert (equity(first), len(first.fills)) != (equity(second), len(second.fills)), "prices decide"


@pytest.mark.slow
@pytest.mark.parametrize("name", STRATEGIES)
def test_it_survives_other_markets(name: str) -> None:
    seen = set()
    for seed in range(10, 18):
        played = on_simulated(name, seed)
        lives(played)
        seen.add((played.summary.equity, played.summary.fills))
    assert len(seen) > 1


def test_the_same_market_gives_the_same_figures() -> None:
    first, second = (on_simulated("basis_trading", 3) for _ in range(2))
    assert first.orders == second.orders
    assert first.summary.equity == second.summary.equity


def test_both_outcomes_are_bought_in_pairs_that_cost_less_than_they_pay() -> None:
    fills = on_simulated("binary_arbitrage", 3, bars=120).fills
    pairs = list(zip(fills[::2], fills[1::2], strict=True))
    assert pairs
    for one, other in pairs:
        assert {one.symbol, other.symbol} == {"RAIN-YES/USDC", "RAIN-NO/USDC"}
        assert one.time == other.time
        assert one.quantity == other.quantity == 50
        # 0.99 as it was seen; the two prices of the next bar's open may be a little apart from that
        assert one.price + other.price < 1


@pytest.mark.parametrize("name", ["basis_trading", "defi_cefi_arbitrage", "funding_rate_arbitrage"])
def test_both_legs_are_of_one_size_and_are_closed_together(name: str) -> None:
    """After every instant at which something filled, what is held on one side is owed on the other."""
    held: dict[tuple[str, str], Decimal] = {}
    fills = on_simulated(name, 3, bars=BARS.get(name, 0)).fills
    last = fills[-1].known_at
    for number, fill in enumerate(fills):
        place = (fill.venue, fill.symbol)
        held[place] = held.get(place, Decimal(0)) + (fill.quantity if fill.side == "buy" else -fill.quantity)
        whole = number + 1 == len(fills) or fills[number + 1].known_at != fill.known_at
        if whole and fill.known_at < last:
            assert sum(held.values()) == 0, fill
    assert Counter(fill.side for fill in fills)["buy"] == Counter(fill.side for fill in fills)["sell"]


def test_a_round_of_three_orders_ends_where_it_began() -> None:
    played = on_simulated("triangular_arbitrage", 1, bars=120)
    rounds = Counter(order.time for order in played.orders)
    assert set(rounds.values()) == {3}
    for time in rounds:
        legs = {order.symbol: order for order in played.orders if order.time == time}
        assert set(legs) == {"BTC/USD", "BTC/EUR", "EUR/USD"}
        assert legs["BTC/USD"].quantity == legs["BTC/EUR"].quantity
        assert legs["BTC/USD"].side != legs["BTC/EUR"].side == legs["EUR/USD"].side
        euros = Decimal(legs["BTC/EUR"].quantity) * Decimal(legs["BTC/EUR"].price)
        assert euros / Decimal(legs["EUR/USD"].quantity) == pytest.approx(Decimal(1), abs=Decimal("0.02"))


def test_old_quotes_are_taken_back_before_new_ones_are_made() -> None:
    played = on_simulated("market_making", 2, bars=120)
    assert len(played.orders) > 40
    assert Counter((order.time, order.side) for order in played.orders).most_common(1)[0][1] == 1
    assert len([order for order in played.orders if order.status == "acknowledged"]) <= 2, (
        "only those of the last minute"
    )
    assert {order.status for order in played.orders} >= {"cancelled", "filled"}


def test_a_bond_is_bought_late_and_dear_and_sold_when_it_falls() -> None:
    played = on_simulated("high_probability_bond", 1)
    bought, sold = ([fill for fill in played.fills if fill.side == side] for side in ("buy", "sell"))
    assert bought and all(Decimal("0.93") < fill.price < 1 for fill in bought)
    assert sold and all(fill.price < Decimal("0.92") for fill in sold)
    assert len(played.said) == len(sold)


def _forced_sales(sources: Sources) -> list[Workflow]:
    """A feed of liquidations: of a small position and a large one, when the contract falls."""

    @workflow("liquidations", on=PriceChange("BTC/USDT:USDT", "0.008", venue="bybit", direction="down"))
    async def body(run: Run, moved: PriceChanged) -> None:
        for size in (Decimal(5), Decimal(40)):
            told = Liquidation(
                id=f"{moved.offset}-{size}", venue="bybit", symbol=moved.symbol, position="long", price=moved.price,
                size=size, value=size * moved.price, known_at=moved.known_at,
            )  # fmt: skip
            await run.emit(told)

    return [body]


def test_a_large_liquidation_is_answered_and_the_position_closed_in_time() -> None:
    document = templates.read("liquidation_sniping")
    listens = document.model_copy(
        update={"triggers": tuple(one for one in document.triggers if one.type != "price_change")}
    )
    events: list[type[Event]] = [Liquidation, ScheduleFired]
    found = [
        on_simulated("liquidation_sniping", seed, bars=240, document=listens, more=_forced_sales, events=events)
        for seed in (3, 4)
    ]
    for played in found:
        lives(played)
        told = [event for event in played.events if isinstance(event, Liquidation)]
        large = [event for event in told if event.value >= 1_000_000]
        assert 0 < len(large) == len(told) / 2
        scheduled = sum(isinstance(event, ScheduleFired) for event in played.events)
        assert len([run for run in played.runs if run.workflow == listens.name]) == scheduled + len(large)
        assert len(played.by("snipe")) <= len(large)
        for bought, sold in zip(played.fills[::2], played.fills[1::2], strict=False):
            assert (bought.side, sold.side) == ("buy", "sell")
            # five minutes, and one until the next bar's open
            assert sold.time - bought.time <= timedelta(minutes=6)
    assert any(played.by("snipe") for played in found)


# ----------------------------------------------------------------------------------------------------------- recordings


def test_momentum_on_recorded_hours() -> None:
    text = templates.text("momentum_trading").replace("BTC/USDT", "BTC/USD").replace("binance", "coinbase")
    played = play([read_document(read_text(text))], data=[cut("coinbase-btc-usd-1h", 3_000, 3_400)])
    lives(played)
    assert played.by("enter") and played.by("leave")
    assert len(played.runs) == 400


def test_cross_exchange_arbitrage_on_recorded_days() -> None:
    text = templates.text("cross_exchange_arbitrage").replace("BTC/USDT", "BTC/USD")
    text = text.replace("coinbase", "bitstamp").replace("binance", "coinbase")
    data = [cut("coinbase-btc-usd-1d", 1_000, 1_200), cut("bitstamp-btc-usd-1d", 1_003, 1_203)]
    played = play([read_document(read_text(text))], data=data, stock=Decimal("0.5"))
    lives(played)
    assert {fill.venue for fill in played.fills} == {"coinbase", "bitstamp"}
    assert Counter(fill.side for fill in played.fills)["buy"] == Counter(fill.side for fill in played.fills)["sell"]


def moves(recordings: list[Recording], least: Decimal) -> list[tuple[int, str, Decimal]]:
    """When which close was how far from the one before, and the one before not as far on the same side."""
    found = []
    for recording in recordings:
        side = 0
        for before, bar in pairwise(recording.bars(0, len(recording))):
            change = bar.close / before.close - 1
            was, side = side, 0 if abs(change) < least else 1 if change > 0 else -1
            if side not in (0, was):
                found.append((bar.end_ns, bar.symbol, change))
    return sorted(found)


CRASH = (1_200, 1_290)
"""Offsets of the daily shares: December 2019 to April 2020."""


NAMES = {"AAPL": "Apple", "NVDA": "Nvidia", "TSLA": "Tesla", "XOM": "Exxon", "MSFT": "Microsoft"}


def _item(day: int, symbol: str, number: int, sentiment: float, **more: Any) -> NewsItem:
    words = "soars on a record profit, outstanding results" if sentiment > 0 else "crashes after fraud, terrible losses"
    known_at = Recording.open("aapl-1d")[day].end - timedelta(hours=8)
    given: dict[str, Any] = {
        "source": "reuters", "title": f"{NAMES[symbol]} {words}", "priority": "critical", "symbols": (symbol,),
        "known_at": known_at, **more,
    }  # fmt: skip
    return NewsItem(id=str(number), sentiment=sentiment, **given)


def test_ten_symbols(tmp_path: Path) -> None:
    first, last = CRASH
    data = [cut(name, first, last) for name in templates.about("ten_symbols").recordings]
    expected = moves(data, Decimal("0.02"))
    falls = [one for one in expected if one[2] <= Decimal("-0.05")]
    quiet = on_recordings("ten_symbols", first, last)
    lives(quiet)
    # one run for every move, and every fall of 5 % went the short way
    assert len(quiet.runs) == len(expected) > 250
    assert len(quiet.reached("protect")) == len(falls) > 20
    # of what was held, half was sold, and a person told
    hedges = [order for order in quiet.orders if order.reason.startswith("hedge 50%")]
    assert hedges and all(order.side == "sell" for order in hedges)
    assert (
        len([one for one in quiet.said if one.title == "A share is falling"])
        == len(quiet.reached("warn"))
        == len(hedges)
    )
    # nothing is bought twice, nothing is sold that is not held
    held: Counter[str] = Counter()
    for fill in quiet.fills:
        assert (held[fill.symbol] == 0) if fill.side == "buy" else (held[fill.symbol] >= fill.quantity)
        held[fill.symbol] += int(fill.quantity if fill.side == "buy" else -fill.quantity)
    for order in quiet.orders:
        if order.side == "buy":
            assert 1_500 < Decimal(order.quantity) * Decimal(order.price) < 2_500, "2 % of the account"
    assert not quiet.reached("with_news")

    items = [_item(day, symbol, day * 100 + number, 0.9)
             for day in range(first + 40, last - 5) for number, symbol in enumerate(("AAPL", "XOM"))]  # fmt: skip
    loud = on_recordings("ten_symbols", first, last, news=news_file(tmp_path / "news.jsonl", items))
    lives(loud)
    assert loud.reached("with_news")
    assert len(loud.runs) == len(quiet.runs)
    assert _trades(loud, "XOM") != _trades(quiet, "XOM"), "news changes what is traded"
    assert _trades(loud, "JPM") == _trades(quiet, "JPM"), "of what it is about"


def _trades(played: Played, symbol: str) -> list[tuple[Any, str]]:
    return [(order.time, order.side) for order in played.orders if order.symbol == symbol]


def test_risk_management() -> None:
    played = on_recordings("risk_management", 1_150, 1_290, events=[VolatilityRose])
    lives(played)
    # positions were made, filled up and cut
    assert {order.symbol for order in played.by("buy_more")} == {"AAPL", "JPM", "NVDA", "XOM"}
    assert played.by("sell_some")
    # a wild share took a quarter of everything, each time, and a person was told
    wild = [event for event in played.events if isinstance(event, VolatilityRose)]
    assert wild
    assert len([one for one in played.said if one.severity == "critical"]) == len(wild)
    assert [order for order in played.orders if order.reason.startswith("hedge 25%")]
    # more than 60 % at stake was brought back to a half
    reduced = [one for one in played.said if one.title == "Too much at stake"]
    assert reduced
    for one in reduced:
        said = re.match(r"Exposure ([0-9.]+); ([0-9.]+) of it", one.body)
        assert said is not None
        exposure, sold = Decimal(said[1]), Decimal(said[2])
        assert exposure > Decimal("0.6")
        assert exposure * (1 - sold) == pytest.approx(Decimal("0.5"), abs=Decimal("0.0001"))
    # a stop closed all of it
    stops = [order for order in played.orders if order.reason.startswith("close 100%")]
    assert stops
    assert len([one for one in played.said if one.title == "A stop was reached"]) == len(played.reached("close"))


def test_news_driven(tmp_path: Path) -> None:
    first, last = 1_290, 1_400
    days = range(first + 5, last - 5, 6)
    items = [
        _item(day, ("AAPL", "NVDA", "TSLA")[number % 3], number, 0.9 if number // 3 % 2 == 0 else -0.9)
        for number, day in enumerate(days)
    ]
    items.append(_item(first + 7, "AAPL", 900, 0.0, title="Apple opens a shop", priority="low"))
    items.append(_item(first + 8, "MSFT", 901, 0.9, source="blog", title="Microsoft soars, wonderful success"))
    saturday = Recording.open("aapl-1d")[first].end + timedelta(
        days=(5 - Recording.open("aapl-1d")[first].end.weekday()) % 7, hours=20
    )
    items.append(_item(first, "AAPL", 902, 0.95, known_at=saturday))
    items.sort(key=lambda item: item.known_at)
    played = on_recordings("news_driven", first, last, news=news_file(tmp_path / "news.jsonl", items))
    assert played.dead == []
    # breaking or clear news became signals and orders; the shop and the other company did not
    assert len(played.reached("importance")) == len([item for item in items if item.priority in ("high", "critical")])
    assert {order.symbol for order in played.orders} == {"AAPL", "NVDA", "TSLA"}
    assert {order.side for order in played.orders} == {"buy", "sell"}
    # news of a Saturday has no price to be traded at
    assert [one for one in played.said if one.title == "News that could not be traded"]
    assert played.errors and all("Stale" in error for error in played.errors)
    # the report of every Friday is what its fills have come to
    reports = [one for one in played.said if one.title == "What the news was worth"]
    weeks = (
        from_ns(cut("aapl-1d", first, last)[-1].end_ns) - from_ns(cut("aapl-1d", first, last)[0].start_ns)
    ).days / 7
    assert abs(len(reports) - weeks) <= 1
    said = re.match(
        r"Profit (\S+) \((\S+) of the capital\), drawdown (\S+), (\d+) trades closed, win rate (\S+), equity (\S+)\.",
        reports[-1].body,
    )
    assert said is not None
    ledger = fold((fill.fill() for fill in played.fills), {"USD": Decimal(100_000)})
    marks = {
        bar.symbol: bar.close for name in ("aapl-1d", "nvda-1d", "tsla-1d") for bar in [cut(name, first, last)[-1]]
    }
    assert Decimal(said[6]) == pytest.approx(ledger.equity(marks, "USD"), rel=Decimal("0.01"))
    assert Decimal(said[1]) == Decimal(said[6]) - 100_000
    assert Decimal(said[2]) == pytest.approx(Decimal(said[1]) / 100_000, abs=Decimal("0.000002"))
    assert int(said[4]) == len([fill for fill in played.fills if fill.side == "sell"])
    assert 0 <= Decimal(said[5]) <= 1
    assert Decimal(said[3]) >= 0


def test_event_driven_trader(tmp_path: Path) -> None:
    first, last = 1_200, 1_320
    items = [_item(day, "AAPL", day, 0.9 if day % 20 else -0.9) for day in range(first + 40, last - 5, 10)]
    starts: tuple[type[Event], ...] = (PriceChanged, VolumeSpiked, VolatilityRose, NewsItem, ScheduleFired)
    news = news_file(tmp_path / "news.jsonl", items)
    played = on_recordings("event_driven_trader", first, last, news=news, events=starts)
    assert played.dead == []
    # each of the five kinds of triggers started runs, and so did every message of the queue
    found = Counter(type(event) for event in played.events if isinstance(event, starts))
    assert set(found) == set(starts)
    assert len(played.reached("message")) == len(played.runs)
    assert len(played.reached("classify_event")) == sum(found.values())
    assert len(played.runs) - len(played.reached("classify_event")) == len(played.reached("queue_for_execution"))
    # what is urgent alerts a person and hedges; what is normal is queued and traded from there
    assert len(played.said) == len(played.reached("alert")) == len(played.reached("hedge"))
    assert [order for order in played.orders if order.reason.startswith("hedge 50%")]
    assert 0 < len(played.reached("execute")) <= len(played.reached("queue_for_execution"))
    assert [order for order in played.orders if re.match("BUY, confidence", order.reason)]
