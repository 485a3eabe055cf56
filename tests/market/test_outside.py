"""What outside services write becomes our values exactly, or is refused by its place."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwork.errors import InvalidInput
from tickwork.market.outside import at, instant_ns, maybe_at, read_json
from tickwork.market.posts import PostMapping, post_from_webhook, worth_reading
from tickwork.values import from_ns, timestamp_ns

SECOND_NS = 1_000_000_000


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_number_keeps_every_digit(number: Decimal) -> None:
    text = str(number)
    assert Decimal(read_json(f'{{"price": {text}}}')["price"]) == number


@pytest.mark.parametrize("body", ["", "{", "<html>", "NaN", '{"a": Infinity}', "[" * 100_000, b"\xff\xfe", "{'a': 1}"])
def test_what_is_no_json_is_refused(body: str | bytes) -> None:
    with pytest.raises(InvalidInput):
        read_json(body)


def test_paths_lead_through_objects_and_lists() -> None:
    document = {"data": [{"quotes": {"0": "a", "price": 5}}, "text"]}
    assert at(document, "") is document
    assert at(document, "data.0.quotes.price") == 5
    assert at(document, "data.0.quotes.0") == "a"
    assert at(document, "data.-1") == "text"
    for path in ("other", "data.2", "data.x", "data.1.0", "data.0.quotes.price.x"):
        with pytest.raises(InvalidInput) as wrong:
            at(document, path)
        assert path.startswith(wrong.value.path)
        assert maybe_at(document, path) is None
    assert maybe_at(document, None) is None
    assert maybe_at({"a": ""}, "a") is None


instants = st.datetimes(datetime(2001, 9, 10), datetime(2200, 1, 1)).map(lambda time: time.replace(tzinfo=UTC))  # noqa: DTZ001


@given(instants)
def test_a_time_is_the_same_in_every_way_of_writing_it(time: datetime) -> None:
    ns = timestamp_ns(time)
    assert instant_ns(time.isoformat(), "t") == ns
    assert instant_ns(time.isoformat().replace("+00:00", "Z"), "t") == ns
    assert instant_ns(ns // 1_000, "t") == instant_ns(str(ns // 1_000), "t") == ns
    assert instant_ns(ns, "t") == ns
    assert instant_ns(Decimal(ns // 1_000).scaleb(-6), "t") == ns
    assert instant_ns(ns // SECOND_NS, "t") == ns // SECOND_NS * SECOND_NS
    local = time.astimezone(ZoneInfo("America/New_York"))
    if not local.fold:
        bare = local.replace(tzinfo=None).isoformat(" ")
        assert instant_ns(bare, "t", ZoneInfo("America/New_York")) == ns
        with pytest.raises(InvalidInput, match="zone"):
            instant_ns(bare, "t")


@pytest.mark.parametrize("value", [None, "", "soon", "12", 5, True, "NaN", "Infinity", 10**25, [], "2026-13-01T00:00Z"])
def test_what_is_no_time_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput):
        instant_ns(value, "quote.time")


@pytest.mark.parametrize(
    ("text", "worth"),
    [
        ("gm", False),
        ("GM everyone, what a day it is going to be today", False),
        ("gn $BTC", False),
        ("  🌞 Good morning to all of you who hold on tight", False),
        ("$GM beats earnings", True),
        ("gmx", False),
        ("gmx is listed on another exchange today, they say", True),
        ("Buy $BTC", True),
        ("Buy BTC", False),
        ("It costs $5 now", False),
        ("x" * 29, False),
        ("x" * 30, True),
        ("", False),
    ],
)
def test_greetings_and_short_texts_without_a_token_are_not_worth_reading(text: str, worth: bool) -> None:
    assert worth_reading(text) is worth


def test_a_webhook_becomes_a_post() -> None:
    payload = json.loads(
        '{"event": "cast", "data": {"hash": 77, "body": "Long $ETH", "user": {"handle": "@carol"}, "ts": 1790000000}}'
    )
    mapping = PostMapping(id="data.hash", text="data.body", author="data.user.handle", published_at="data.ts")
    made = post_from_webhook(payload, mapping, source="farcaster", known_ns=5 * SECOND_NS)
    assert (made.id, made.author, made.text, made.url) == ("77", "carol", "Long $ETH", "")
    assert (made.published_at, made.known_at) == (from_ns(1_790_000_000 * SECOND_NS), from_ns(5 * SECOND_NS))
    assert made.happened_at == made.known_at
    plain = {"id": "1", "text": "t", "author": "a", "url": "https://x.example/1"}
    undated = post_from_webhook(plain, source="hook", known_ns=0)
    assert (undated.url, undated.published_at) == ("https://x.example/1", None)


@pytest.mark.parametrize(
    ("change", "path"),
    [({"id": None}, "id"), ({"text": " "}, "text"), ({"author": {}}, "author"), ({"created_at": "soon"}, "created_at")],
)
def test_a_webhook_without_what_makes_a_post_is_refused(change: dict[str, object], path: str) -> None:
    with pytest.raises(InvalidInput) as wrong:
        post_from_webhook({"id": "1", "text": "t", "author": "a"} | change, source="hook", known_ns=0)
    assert wrong.value.path == path
    with pytest.raises(InvalidInput):
        post_from_webhook({}, source="hook", known_ns=0)
