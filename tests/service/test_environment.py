"""Variables by their own names and by ours: either, both alike, and never two different ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwork.errors import InvalidInput
from tickwork.service.accounts.config import AccountConfig
from tickwork.service.environment import Environment

VALUES = st.none() | st.sampled_from(["", " ", "first-key", "second-key", " first-key "])


@given(plain=VALUES, ours=VALUES)
def test_either_name(plain: str | None, ours: str | None) -> None:
    given = {"MEXC_API_KEY": plain, "TICKWORK_MEXC_API_KEY": ours}
    environ = Environment({name: value for name, value in given.items() if value is not None})
    values = {value.strip() for value in (plain, ours) if value is not None and value.strip()}
    if len(values) == 2:
        with pytest.raises(InvalidInput, match="TICKWORK_MEXC_API_KEY and MEXC_API_KEY") as raised:
            environ.get("MEXC_API_KEY")
        assert "first" not in str(raised.value) and "second" not in str(raised.value)
    else:
        assert environ.get("MEXC_API_KEY", "").strip() == next(iter(values), "")


def test_keys_of_an_account_and_what_is_missing() -> None:
    config = AccountConfig.model_validate(
        {"venue": "mexc", "symbols": ["BTC/USDT"], "capital": "1", "risk": {"account": {"max_order_notional": "1"}}}
    )
    found = config.keys("main", Environment({"TICKWORK_MEXC_API_KEY": "k", "MEXC_SECRET_KEY": "s"}))
    assert found == ("k", "s")
    with pytest.raises(InvalidInput, match="the environment variable MEXC_SECRET_KEY to be set"):
        config.keys("main", Environment({"MEXC_API_KEY": "k"}))


def test_it_shows_nothing() -> None:
    assert "k" not in repr(Environment({"MEXC_API_KEY": "k"})).replace("work", "").lower().replace("environment", "")
