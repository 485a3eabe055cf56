"""No word that is said repeats a secret."""

from __future__ import annotations

from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwork.errors import InvalidInput
from tickwork.venues.feeds.secrets import HIDDEN, filled, redacted, told

SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="*"), min_size=6, max_size=30)


class Owner:
    """Of a secret."""

    secrets = frozenset({"KEYWORD"})


@given(SECRETS)
def test_every_way_of_writing_a_secret_is_hidden(secret: str) -> None:
    for written in (secret, quote(secret), quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1]):
        assert redacted(f"<{written}>", [secret]) == f"<{HIDDEN}>"


def test_several_variables_are_filled_in_and_named_when_they_are_missing() -> None:
    assert filled("$A-${B}$$", {"A": "x", "B": "y z"}, "f") == ("x-y z$", frozenset({"x", "y z"}))
    for text, expected in (("${A}${C}", "variable C"), ("a$", "lone")):
        with pytest.raises(InvalidInput, match=expected):
            filled(text, {"A": "x"}, "f")


def test_what_is_said_of_an_exception_leaves_secrets_out() -> None:
    assert told(ValueError("a KEYWORD"), Owner()) == f"ValueError: a {HIDDEN}"
    assert told(ValueError("a mistake")) == "ValueError: a mistake"
    with pytest.raises(UnicodeEncodeError) as wrong:
        "Bearer KEYWORD\u00e4".encode("ascii")
    assert "KEYWORD" not in told(wrong.value)
    assert "KEYWORD" in repr(wrong.value)
