"""Bars and quotes refuse what no market can say."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tests.market.support import HOUR_NS, START_NS, flat
from tickwork.errors import InvalidInput
from tickwork.market.bars import Bar, Quote


def bar(**changes: Any) -> Bar:
    fields: dict[str, Any] = {
        "symbol": "BTC/USD",
        "venue": "test",
        "start_ns": START_NS,
        "interval_ns": HOUR_NS,
        "open": Decimal(10),
        "high": Decimal(12),
        "low": Decimal(9),
        "close": Decimal(11),
        "volume": Decimal(0),
    }
    return Bar(**{**fields, **changes})


def test_a_bar_knows_its_times() -> None:
    made = bar(start_ns=0)
    assert made.start == datetime(1970, 1, 1, tzinfo=UTC)
    assert made.end == datetime(1970, 1, 1, 1, tzinfo=UTC)
    assert made.end_ns == HOUR_NS
    assert made.close_float == 11.0


@pytest.mark.parametrize("field", ["open", "high", "low", "close", "volume"])
@pytest.mark.parametrize("value", ["NaN", "sNaN", "Infinity", "-Infinity", "-1", "1e31"])
def test_a_price_or_volume_that_is_no_amount_is_refused(field: str, value: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        bar(**{field: Decimal(value)})
    assert refused.value.path.startswith("bar.")


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"low": Decimal(0)}, "bar.low"),
        ({"low": Decimal("10.5")}, "bar.low"),
        ({"high": Decimal("10.5")}, "bar.high"),
        ({"open": Decimal(13)}, "bar.high"),
        ({"close": Decimal(8)}, "bar.low"),
        ({"open": 10.0}, "bar.open"),
        ({"close": 11.0}, "bar.close"),
        ({"high": "12"}, "bar.high"),
        ({"interval_ns": 0}, "bar.intervalNs"),
        ({"start_ns": 2**63}, "bar.startNs"),
    ],
)
def test_the_complaint_names_the_field(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        bar(**changes)
    assert refused.value.path == path


def test_every_price_may_be_equal_and_the_volume_zero() -> None:
    assert flat("5", volume="0").volume == 0


def test_a_bar_goes_over_the_wire_in_camel_case_with_texts() -> None:
    wire = msgspec.json.encode(bar())
    assert b'"startNs":' in wire
    assert b'"close":"11"' in wire
    assert msgspec.json.decode(wire, type=Bar) == bar()


def quote(bid: str = "99", ask: str = "101", time_ns: int = 1_000) -> Quote:
    return Quote("BTC/USD", "test", time_ns, Decimal(bid), Decimal(ask))


def test_a_quote_has_a_middle_and_a_spread() -> None:
    assert quote().mid == 100
    assert quote().spread_bps == 200
    assert quote("100", "100").spread_bps == 0


@pytest.mark.parametrize(("bid", "ask"), [("0", "1"), ("1", "NaN"), ("-1", "1"), ("Infinity", "Infinity"), ("2", "1")])
def test_a_quote_that_is_none_is_refused(bid: str, ask: str) -> None:
    with pytest.raises(InvalidInput):
        quote(bid, ask)


@pytest.mark.parametrize(
    ("now_ns", "stale"),
    [(1_000, False), (1_500, False), (1_501, True), (500, False), (499, True)],
)
def test_a_quote_goes_stale_by_age_and_is_not_believed_from_the_future(now_ns: int, stale: bool) -> None:
    assert quote().is_stale(now_ns, max_age_ns=500) is stale
