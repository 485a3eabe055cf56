"""What the two workflows of the demo compute."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tickwork.core.event import Event
from tickwork.errors import InvalidInput
from tickwork.playbooks.convergence import ENTER, LEAVE, Opportunity, detect
from tickwork.playbooks.volume_signal import signal_generation
from tickwork.service.market import Book, Technicals, VenueQuote
from tickwork.values import Price

NOW = datetime(2018, 1, 1, tzinfo=UTC)


def quote(venue: str, price: str, *, stale: bool = False) -> VenueQuote:
    """What a venue said."""
    return VenueQuote(venue, Decimal(price), NOW, "0s", stale, f"{venue}-recording", 1)


def test_profit_is_what_costs_leave_of_the_spread() -> None:
    book = Book("BTC/USD", NOW, quote("here", "1000"), quote("there", "1020"))
    found = detect(book, Decimal("0.003"))
    assert found == Opportunity(spread=Decimal("0.020000"), profit=Decimal("0.017000"))


@pytest.mark.parametrize(
    ("book", "problem"),
    [
        (Book("BTC/USD", NOW, None, quote("there", "1")), "no quote of BTC/USD on the traded venue"),
        (Book("BTC/USD", NOW, quote("here", "1"), None), "no quote of BTC/USD on the watched venue"),
        (Book("BTC/USD", NOW, quote("here", "1"), quote("there", "9", stale=True)), "the quote of there is 0s old"),
    ],
)
def test_a_missing_or_stale_quote_is_a_problem(book: Book, problem: str) -> None:
    found = detect(book, Decimal("0.003"))
    assert found.problem == problem
    assert found.profit == 0


@pytest.mark.parametrize(
    ("spread", "profit", "enters", "leaves"),
    [("0.0131", "0.0101", True, False), ("0.013", "0.01", False, False), ("0", "-0.003", False, True)],
)
def test_conditions_at_their_edges(spread: str, profit: str, enters: bool, leaves: bool) -> None:
    facts = {"opportunity": {"spread": Decimal(spread), "profit": Decimal(profit)}}
    assert ENTER(facts) is enters
    assert LEAVE(facts) is leaves


@pytest.mark.parametrize(
    ("rsi", "histogram", "signal", "confidence"),
    [
        (70.0, 2.0, "BUY", 1.0),
        (30.0, -2.0, "SELL", 1.0),
        (70.0, 0.8, "BUY", 0.7),
        (70.0, 0.79, "HOLD", 0.6975),
        (70.0, -2.0, "HOLD", 0.0),
        (None, None, "HOLD", 0.0),
    ],
)
def test_the_signal_at_its_threshold(
    rsi: float | None, histogram: float | None, signal: str, confidence: float
) -> None:
    technicals = Technicals("BTC/USD", NOW, Decimal(1000), rsi, 0.0, 0.0, histogram)
    found = signal_generation(technicals, 3600.0, 0.7)
    assert str(found.signal) == signal
    assert found.confidence == pytest.approx(confidence, abs=1e-4)


def test_a_bad_field_of_an_event_says_expected_once() -> None:
    class Asked(Event, name="demo-tests/asked"):
        at: Price

    with pytest.raises(InvalidInput) as caught:
        Asked(at=1.5)  # type: ignore[arg-type]
    assert str(caught.value).count("expected") == 1
    assert "expected a price" in str(caught.value)
