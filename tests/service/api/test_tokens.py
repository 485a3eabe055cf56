"""Tokens: what is kept of them, who is known by them, and a file that several processes change."""

from __future__ import annotations

import json
import string
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwork.errors import Conflict, InvalidInput, NotFound
from tickwork.service.api.problems import Unauthenticated
from tickwork.service.api.tokens import TokenStore
from tickwork.service.running.logs import LogFile

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def store(folder: Path) -> TokenStore:
    return TokenStore(folder / "tokens.json")


def test_who_is_known_by_a_secret(tmp_path: Path) -> None:
    tokens = store(tmp_path)
    assert not tokens.any()
    assert tokens.lines() == []
    made = tokens.create("desk", ["trade", "read"], NOW, accounts=["main"], owner="anna")
    caller = tokens.caller(made.secret, "http", NOW)
    assert (caller.name, caller.face, caller.owner) == ("desk", "http", "anna")
    assert caller.scopes == {"read", "trade"}
    assert caller.accounts == frozenset({"main"})
    everything = tokens.create("root", ["admin"], NOW, accounts=["*"])
    assert tokens.caller(everything.secret, "mcp", NOW).accounts is None
    assert [line.name for line in tokens.lines()] == ["desk", "root"]
    assert tokens.any()


def test_nothing_in_the_file_lets_anybody_in(tmp_path: Path) -> None:
    tokens = store(tmp_path)
    made = tokens.create("desk", ["read"], NOW)
    text = (tmp_path / "tokens.json").read_text()
    assert made.secret not in text
    assert (tmp_path / "tokens.json").stat().st_mode & 0o777 == 0o600
    for value in json.loads(text)["tokens"][0].values():
        with pytest.raises(Unauthenticated):
            tokens.caller(str(value), "http", NOW)


@given(st.text(alphabet=string.printable, max_size=80))
def test_nobody_is_known_by_anything_else(text: str) -> None:
    tokens = TokenStore(None)
    tokens.create("desk", ["read"], NOW)
    with pytest.raises(Unauthenticated):
        tokens.caller(text, "http", NOW)


@given(st.integers(0, 51), st.sampled_from(string.ascii_letters + string.digits + "_-"))
def test_a_secret_with_one_sign_changed_is_nobodys(at: int, sign: str) -> None:
    tokens = TokenStore(None)
    secret = tokens.create("desk", ["read"], NOW).secret
    changed = secret[:at] + sign + secret[at + 1 :]
    if changed == secret:
        tokens.caller(changed, "http", NOW)
        return
    with pytest.raises(Unauthenticated):
        tokens.caller(changed, "http", NOW)


def test_an_end(tmp_path: Path) -> None:
    tokens = store(tmp_path)
    made = tokens.create("short", ["read"], NOW, expires=NOW + timedelta(hours=1))
    tokens.caller(made.secret, "http", NOW + timedelta(minutes=59))
    with pytest.raises(Unauthenticated, match="'short' expired at 2026-01-01T01:00:00Z"):
        tokens.caller(made.secret, "http", NOW + timedelta(hours=1))


def test_what_others_change_is_seen_at_once(tmp_path: Path) -> None:
    one, other = store(tmp_path), store(tmp_path)
    made = one.create("desk", ["read"], NOW)
    other.caller(made.secret, "http", NOW)
    other.revoke("desk")
    with pytest.raises(Unauthenticated):
        one.caller(made.secret, "http", NOW)
    again = other.create("desk", ["read"], NOW)
    one.caller(again.secret, "http", NOW)
    (tmp_path / "tokens.json").unlink()
    with pytest.raises(Unauthenticated):
        one.caller(again.secret, "http", NOW)


def test_many_change_it_at_once(tmp_path: Path) -> None:
    def make(lane: int) -> None:
        for n in range(10):
            store(tmp_path).create(f"t{lane}-{n}", ["read"], NOW)

    lanes = [threading.Thread(target=make, args=(lane,)) for lane in range(4)]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    assert len(store(tmp_path).lines()) == 40


def test_its_last_use_is_known_to_the_hour(tmp_path: Path) -> None:
    tokens = store(tmp_path)
    made = tokens.create("desk", ["read"], NOW)
    late = NOW + timedelta(hours=5, minutes=30)
    tokens.caller(made.secret, "http", late)
    assert tokens.used("desk", late)
    tokens.note_use("desk", late)
    assert tokens.lines()[0].last_used == NOW + timedelta(hours=5)
    tokens.caller(made.secret, "http", late)
    assert not tokens.used("desk", late + timedelta(minutes=20))
    assert tokens.used("desk", late + timedelta(hours=1))
    assert not tokens.used("nobody", late)
    tokens.note_use("nobody", late)


WRONG = [
    ({"name": "", "scopes": ["read"]}, "name"),
    ({"name": "a b", "scopes": ["read"]}, "name"),
    ({"name": "local", "scopes": ["read"]}, "name"),
    ({"name": "../x", "scopes": ["read"]}, "name"),
    ({"name": "a", "scopes": []}, "scopes"),
    ({"name": "a", "scopes": ["write"]}, "scopes"),
    ({"name": "a", "scopes": ["trade"]}, "accounts"),
    ({"name": "a", "scopes": ["admin"]}, "accounts"),
    ({"name": "a", "scopes": ["admin"], "accounts": ["*"], "owner": "anna"}, "owner"),
    ({"name": "a", "scopes": ["read"], "expires": NOW}, "expires"),
    ({"name": "a", "scopes": ["read"], "expires": datetime(2027, 1, 1)}, "expires"),  # noqa: DTZ001
]


@pytest.mark.parametrize(("given_", "path"), WRONG)
def test_tokens_that_cannot_be_made(tmp_path: Path, given_: dict[str, object], path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        store(tmp_path).create(now=NOW, **given_)  # type: ignore[arg-type]
    assert refused.value.path == path
    assert store(tmp_path).lines() == []


def test_names_are_of_one_token(tmp_path: Path) -> None:
    tokens = store(tmp_path)
    tokens.create("a", ["read"], NOW)
    with pytest.raises(Conflict):
        tokens.create("a", ["read"], NOW)
    with pytest.raises(NotFound, match="a"):
        tokens.revoke("b")


def test_a_file_that_is_none_or_that_others_can_read(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    file.write_text("{")
    file.chmod(0o600)
    with pytest.raises(InvalidInput, match="tickwork tokens"):
        store(tmp_path).lines()
    file.write_text('{"version":1,"tokens":[]}')
    file.chmod(0o644)
    with pytest.raises(InvalidInput, match="chmod 600"):
        store(tmp_path).lines()


def test_a_home_that_is_made_is_for_its_user_alone(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"
    TokenStore(home / "tokens.json").create("a", ["read"], NOW)
    assert home.stat().st_mode & 0o777 == 0o700
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o750)
    for folder in (shared, tmp_path / "other"):
        handler = LogFile(folder, str)
        handler.close()
    assert shared.stat().st_mode & 0o777 == 0o750, "its user has said otherwise"
    assert (tmp_path / "other").stat().st_mode & 0o777 == 0o700
