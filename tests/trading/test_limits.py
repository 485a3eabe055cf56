"""Limits are data: what is wrong in them is an error with its path, never a rule that does not bite."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.trading.support import D
from tickwork.errors import InvalidInput
from tickwork.market.sessions import Sessions
from tickwork.trading.hours import hours_of
from tickwork.trading.limits import Limits, RiskLimits, RiskRules, read_limits, read_rules
from tickwork.values import timestamp_ns

ACCOUNT = {"max_order_notional": "1000", "max_position_notional": 3000}


def test_rules_are_read_from_plain_data() -> None:
    rules = read_rules(
        {
            "currency": "USDT",
            "account": {**ACCOUNT, "max_drawdown": "0.2", "maxOpenOrders": 8, "session": "mon-fri 09:30-16:00 UTC"},
            "workflows": {"sniper": {"max_exposure": "500", "allowed_symbols": ["BTC/USDT"]}},
            "symbols": {"DOGE/USDT": {"max_position_notional": "200"}},
        }
    )
    assert rules == RiskRules(
        currency="USDT",
        account=RiskLimits(
            max_order_notional=D(1_000),
            max_position_notional=D(3_000),
            max_drawdown=D("0.2"),
            max_open_orders=8,
            session="mon-fri 09:30-16:00 UTC",
        ),
        workflows={"sniper": Limits(max_exposure=D(500), allowed_symbols=("BTC/USDT",))},
        symbols={"DOGE/USDT": Limits(max_position_notional=D(200))},
    )


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({}, "risk.account.max_order_notional"),
        ({"account": {"max_order_notional": 1}}, "risk.account.max_position_notional"),
        ({"account": {**ACCOUNT, "max_exposur": 1}}, "risk.account.max_exposur"),
        ({"account": {**ACCOUNT, "max_exposure": 0.5}}, "risk.account.max_exposure"),
        ({"account": {**ACCOUNT, "max_exposure": "NaN"}}, "risk.account.max_exposure"),
        ({"account": {**ACCOUNT, "max_exposure": -1}}, "risk.account.max_exposure"),
        ({"account": {**ACCOUNT, "max_drawdown": 20}}, "risk.account.max_drawdown"),
        ({"account": {**ACCOUNT, "max_daily_loss": 0}}, "risk.account.max_daily_loss"),
        ({"account": {**ACCOUNT, "max_leverage": 0}}, "risk.account.max_leverage"),
        ({"account": {**ACCOUNT, "max_open_orders": "3"}}, "risk.account.max_open_orders"),
        ({"account": {**ACCOUNT, "max_open_orders": True}}, "risk.account.max_open_orders"),
        ({"account": {**ACCOUNT, "max_failures": 0}}, "risk.account.max_failures"),
        ({"account": {**ACCOUNT, "warn_at": 0}}, "risk.account.warn_at"),
        ({"account": {**ACCOUNT, "session": "9-5"}}, "risk.account.session"),
        ({"account": {**ACCOUNT, "session": "09:00-17:00 Nowhere"}}, "risk.account.session"),
        ({"account": {**ACCOUNT, "max_quote_age": 30}}, "risk.account.max_quote_age"),
        ({"account": {**ACCOUNT, "allowed_symbols": "BTC/USDT"}}, "risk.account.allowed_symbols"),
        ({"account": {**ACCOUNT, "forbidden_symbols": ["btc"]}}, "risk.account.forbidden_symbols"),
        ({"account": {**ACCOUNT, "max_exposure": 1, "maxExposure": 1}}, "risk.account.maxExposure"),
        ({"account": ACCOUNT, "workflows": {"a": {"max_drawdown": "0.1"}}}, "risk.workflows.a.max_drawdown"),
        ({"account": ACCOUNT, "workflows": {"a": 3}}, "risk.workflows.a"),
        ({"account": ACCOUNT, "symbols": {"BTC/USDT": {"max_positions": 1}}}, "risk.symbols.BTC/USDT.max_positions"),
        ({"account": ACCOUNT, "symbols": {"btc": {}}}, "risk.symbols"),
        ({"account": ACCOUNT, "agents": {}}, "risk.agents"),
        ({"account": ACCOUNT, "zone": "Nowhere"}, "risk.zone"),
        ([], "risk"),
    ],
)
def test_what_is_wrong_is_named_with_its_path(data: Any, path: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        read_rules(data)
    assert raised.value.args[0] == path


def test_a_misspelt_limit_is_told_what_was_probably_meant() -> None:
    with pytest.raises(InvalidInput, match="max_exposure was probably meant"):
        read_limits({"max_exposre": 1})


def test_an_account_has_the_limits_it_must() -> None:
    with pytest.raises(InvalidInput, match="price_band"):
        RiskLimits(max_order_notional=D(1), max_position_notional=D(1), price_band=None)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="RiskLimits"):
        RiskRules(account=Limits())  # type: ignore[arg-type]


def at(text: str) -> int:
    return timestamp_ns(datetime.fromisoformat(text).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("session", "time", "is_open"),
    [
        ("24/7", "2026-01-03T04:00", True),
        ("09:30-16:00 America/New_York", "2026-01-05T14:30", True),
        ("09:30-16:00 America/New_York", "2026-01-05T14:29", False),
        ("09:30-16:00 America/New_York", "2026-01-05T21:00", False),
        ("09:30-16:00 America/New_York", "2026-07-06T13:30", True),  # summer time
        ("mon-fri 09:00-17:00 UTC", "2026-01-03T10:00", False),
        ("sat 09:00-17:00 UTC", "2026-01-03T10:00", True),
        ("fri-mon 09:00-17:00 UTC", "2026-01-04T10:00", True),
        ("fri 22:00-02:00 UTC", "2026-01-03T01:59", True),  # the night that Friday began
        ("fri 22:00-02:00 UTC", "2026-01-02T01:59", False),
        ("00:00-24:00 UTC", "2026-01-03T23:59", True),
        ("NYSE", "2026-11-27T17:59", True),  # an early close
        ("NYSE", "2026-11-27T18:00", False),
    ],
)
def test_hours(session: str, time: str, is_open: bool) -> None:
    assert hours_of(session, Sessions).is_open(at(time)) == is_open


def test_a_market_needs_its_sessions() -> None:
    with pytest.raises(InvalidInput, match="no sessions"):
        hours_of("NYSE")
    with pytest.raises(InvalidInput):
        hours_of("MARS", Sessions)
