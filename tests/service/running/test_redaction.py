"""No secret is logged: known ones in every form, and what stands where a secret stands."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwork.service.running.logs import begin, log_file
from tickwork.service.running.redaction import Redactor, secrets_in
from tickwork.venues.notifications import conceal

SECRETS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=6, max_size=60).map(str.strip)


@given(secret=SECRETS.filter(lambda one: len(one) >= 6), before=st.text(max_size=20), after=st.text(max_size=20))
def test_a_known_secret_is_nowhere(secret: str, before: str, after: str) -> None:
    redact = Redactor([secret])
    for form in (secret, quote(secret, safe=""), repr(secret)[1:-1]):
        shown = redact(f"{before}{form}{after}")
        if form not in f"{before}***{after}":  # what surrounds it may spell it once more
            assert form not in shown


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("GET /api/v3/order?symbol=BTCUSDT&signature=0a1b2c3d4e5f60718293", "0a1b2c3d4e5f60718293"),
        ("headers {'X-MEXC-APIKEY': 'mx0vglabcdefg12345'}", "mx0vglabcdefg12345"),
        ("Authorization: Bearer eyJhbGciOi.J9.abc-def", "eyJhbGciOi.J9.abc-def"),
        ("api_key=abcd1234efgh", "abcd1234efgh"),
        ('{"secretKey": "hunter2hunter2"}', "hunter2hunter2"),
        ("postgres://trader:p4ssw0rd@db/tape", "p4ssw0rd"),
        ("openai said no to sk-proj-AbCdEfGhIjKlMnOpQrSt", "sk-proj-AbCdEfGhIjKlMnOpQrSt"),
        ("POST /bot123456789:AAEhBOweik6ad9r_QXMENQjcrGbqCr4K-bc/send", "AAEhBOweik6ad9r_QXMENQjcrGbqCr4K-bc"),
        ("access_token=ya29.a0AfH6SMB", "ya29.a0AfH6SMB"),
    ],
)  # fmt: skip
def test_what_looks_like_a_secret(text: str, secret: str) -> None:
    shown = Redactor()(text)
    assert secret not in shown and "***" in shown


@pytest.mark.parametrize(
    "text",
    [
        "order tw-3f2a of main is in doubt: ReadTimeout",
        "accounts.main.key_env: expected the environment variable MEXC_API_KEY to be set; found nothing",
        "[r12] effect 'place' is unknown and its look-up failed: mexc: 502",
        "effect key 4f5e6d is kept; https://example.com/path is asked",
    ],
)
def test_what_is_none_stays(text: str) -> None:
    assert Redactor()(text) == text


@pytest.mark.parametrize("part", ["a-", "a.", "api-key-", "tokentoken-", "a://", "Bearer ", "sk-", "0", "_"])
def test_a_long_text_takes_as_long_as_it_is(part: str) -> None:
    # were anything looked at twice for each character, this would take hours
    text = part * (400_000 // len(part))
    assert len(Redactor(["another"])(text)) <= len(text)


def test_secrets_of_the_environment() -> None:
    environ = {
        "MEXC_API_KEY": "aaaaaaaa",
        "TICKWORK_MEXC_SECRET_KEY": "bbbbbbbb",
        "TELEGRAM_TOKEN": "cccccccc",
        "HYPERLIQUID_ACCOUNT": "dddddddd",
        "SMTP_PASSWORD": "eeeeeeee",
        "HOME": "/root",
        "KEYBOARD": "us-intl",
    }
    assert secrets_in(environ, ["HYPERLIQUID_ACCOUNT"]) == {name * 8 for name in "abcde"}


def test_a_token_in_a_log_line_is_not_in_the_file(tmp_path: Path) -> None:
    conceal("tgram://987654:QWERTYUIOPasdfghjklZXCVBNM/-1001")
    end = begin(tmp_path, Redactor(["the-api-key-of-mexc"]), on_stderr=False)
    try:
        log = logging.getLogger("tickwork.test")
        log.warning("signed with %s", "the-api-key-of-mexc")
        log.warning("sent to %s", "QWERTYUIOPasdfghjklZXCVBNM")
        log.warning("of a run", extra={"run": "the-api-key-of-mexc", "step": "the-api-key-of-mexc"})
        try:
            raise ConnectionError("https://api?apiKey=the-api-key-of-mexc failed")
        except ConnectionError:
            log.exception("it failed")
    finally:
        end()
    written = log_file(tmp_path).read_text()
    assert "the-api-key" not in written and "QWERTY" not in written
    assert len([json.loads(line) for line in written.splitlines()]) == 4


def test_a_token_is_not_said_on_stderr_either(capsys: pytest.CaptureFixture[str]) -> None:
    from tickwork.faces.cli import _Told

    told = _Told()
    told.redact = Redactor(["the-api-key-of-mexc"])
    for level in (logging.WARNING, logging.CRITICAL):
        told.handle(logging.LogRecord("tickwork.x", level, "", 1, "with the-api-key-of-mexc", (), None))
    told.end("ended: the-api-key-of-mexc is wrong")
    said = capsys.readouterr().err
    assert "the-api-key" not in said and said.count("***") == 3
