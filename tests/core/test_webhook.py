"""Webhooks: published vectors of the signature, and laws of tampering."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tickwork.core.webhook import BODY_MAX, Webhook, WebhookReceived, verify
from tickwork.core.workflow import workflow
from tickwork.errors import InvalidInput, Refused

SECRET = b"correct horse battery staple"
NOW = 1_700_000_000 * 1_000_000_000
SECOND = 1_000_000_000
PLAIN = Webhook("plain", secret_env="SECRET")
GITHUB = Webhook("github", secret_env="SECRET", scheme="github")
STRIPE = Webhook("stripe", secret_env="SECRET", scheme="stripe")


def signature(body: bytes, secret: bytes = SECRET) -> str:
    return hmac.new(secret, body, hashlib.sha256).hexdigest()


def plain_headers(body: bytes, id: str = "d1", secret: bytes = SECRET) -> dict[str, str]:
    return {"X-Signature": signature(body, secret), "X-Delivery-Id": id}


def stripe_headers(body: bytes, at: int = NOW // SECOND, secret: bytes = SECRET) -> dict[str, str]:
    return {"Stripe-Signature": f"t={at},v1={signature(b'%d.' % at + body, secret)}"}


def posted(body: bytes) -> WebhookReceived:
    return verify(PLAIN, SECRET, plain_headers(body), body, NOW)


# ------------------------------------------------------------------------------------------------- published vectors

RFC_4231 = [
    (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    (b"\xaa" * 20, b"\xdd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    (bytes(range(1, 26)), b"\xcd" * 50, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
    (
        b"\xaa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
    (
        b"\xaa" * 131,
        (
            b"This is a test using a larger than block-size key and a larger than block-size data. The key needs to be "
            b"hashed before being used by the HMAC algorithm."
        ),
        "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
    ),
]
TEXT = Webhook("text", secret_env="SECRET", text=True, id_field="")


@pytest.mark.parametrize(("key", "data", "digest"), RFC_4231)
def test_the_vectors_of_rfc_4231(key: bytes, data: bytes, digest: str) -> None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        with pytest.raises(InvalidInput, match="UTF-8"):  # what is not text is found after its signature was right
            verify(TEXT, key, {"X-Signature": digest}, data, NOW)
    else:
        assert verify(TEXT, key, {"X-Signature": digest}, data, NOW).body == text
    with pytest.raises(Refused, match="webhook signature"):
        verify(TEXT, key + b"!", {"X-Signature": digest}, data, NOW)


def test_the_example_of_githubs_documentation() -> None:
    """ "Validating webhook deliveries": the secret, the payload and the signature that it gives for testing."""
    hook = Webhook("github", secret_env="SECRET", scheme="github", text=True)
    told = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    headers = {"X-Hub-Signature-256": told, "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958"}
    received = verify(hook, b"It's a Secret to Everybody", headers, b"Hello, World!", NOW)
    assert (received.hook, received.body) == ("github", "Hello, World!")
    assert received.delivery_id == "72d3162e-cc78-11e3-81ab-4c9367dc0958"
    with pytest.raises(Refused):
        verify(hook, b"It's a Secret to Everybody", headers, b"Hello, World?", NOW)


def test_a_rotated_secret_of_stripe_signs_twice() -> None:
    body = b'{"id": "evt_1", "type": "charge.failed"}'
    at = NOW // SECOND
    old, new = (signature(b"%d." % at + body, secret) for secret in (b"old", b"new"))
    headers = [("stripe-signature", f"t={at}, v1={old},v1={new},v0=whatever")]
    for secret in (b"old", b"new"):
        assert verify(STRIPE, secret, headers, body, NOW).delivery_id == "evt_1"
    with pytest.raises(Refused):
        verify(STRIPE, b"other", headers, body, NOW)


def test_telegram_sends_the_secret_itself() -> None:
    hook = Webhook("telegram", secret_env="SECRET", scheme="token")
    body = b'{"update_id": 7001, "message": {"text": "BUY"}}'
    headers = {"X-Telegram-Bot-Api-Secret-Token": SECRET.decode()}
    assert verify(hook, SECRET, headers, body, NOW).delivery_id == "7001"
    for wrong in ("", "correct", SECRET.decode() + " ", "\u20ac", "\ud800"):
        given = {"X-Telegram-Bot-Api-Secret-Token": wrong}
        if wrong.strip() != SECRET.decode():
            with pytest.raises(Refused):
                verify(hook, SECRET, given, body, NOW)


# -------------------------------------------------------------------------------------------------------------- laws

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
@example(2**80)
@example(-0.0)
@example("\u2028 \x00 \U0001f600")
def test_what_was_sent_is_what_comes_back_from_the_tape(value: Any) -> None:
    body = json.dumps(value).encode() if not _lone(value) else b"null"
    received = posted(body)
    assert received.body == (value if not _lone(value) else None)
    assert WebhookReceived.from_wire(received.to_wire()) == received


def _lone(value: Any) -> bool:
    """Does it hold half a surrogate pair, which JSON can write and UTF-8 cannot?"""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


@given(st.binary(min_size=1, max_size=200), st.data())
def test_one_changed_bit_is_refused(body: bytes, data: st.DataObject) -> None:
    bit = data.draw(st.integers(0, len(body) * 8 - 1))
    changed = bytearray(body)
    changed[bit // 8] ^= 1 << (bit % 8)
    for hook, headers in (
        (PLAIN, plain_headers(body)),
        (GITHUB, {"X-Hub-Signature-256": f"sha256={signature(body)}", "X-GitHub-Delivery": "d1"}),
        (STRIPE, stripe_headers(body)),
    ):
        with pytest.raises(Refused, match="webhook signature"):
            verify(hook, SECRET, headers, bytes(changed), NOW)


@given(st.integers(0, 63), st.sampled_from("0123456789abcdef"))
def test_one_changed_digit_of_the_signature_is_refused(place: int, digit: str) -> None:
    body = b"{}"
    right = signature(body)
    wrong = right[:place] + digit + right[place + 1 :]
    headers = {"X-Signature": wrong, "X-Delivery-Id": "d1"}
    if wrong == right:
        assert verify(PLAIN, SECRET, headers, body, NOW).body == {}
    else:
        with pytest.raises(Refused, match="webhook signature"):
            verify(PLAIN, SECRET, headers, body, NOW)


@given(st.binary(min_size=1, max_size=80))
def test_another_secret_is_refused(secret: bytes) -> None:
    body = b"[]"
    if secret != SECRET and secret.ljust(64, b"\0") != SECRET.ljust(64, b"\0"):  # HMAC pads its key with zeros
        with pytest.raises(Refused):
            verify(PLAIN, SECRET, plain_headers(body, secret=secret), body, NOW)


@given(st.integers(-700, 700))
def test_a_signed_time_counts_for_five_minutes_either_way(seconds: int) -> None:
    body = b'{"id": "evt_1"}'
    headers = stripe_headers(body, NOW // SECOND + seconds)
    if abs(seconds) <= 300:
        assert verify(STRIPE, SECRET, headers, body, NOW).delivery_id == "evt_1"
    else:
        with pytest.raises(Refused, match="webhook time: limit 5m from now"):
            verify(STRIPE, SECRET, headers, body, NOW)


def test_a_signed_time_that_was_changed_is_a_wrong_signature() -> None:
    body = b'{"id": "evt_1"}'
    old = stripe_headers(body, NOW // SECOND - 1_000)["Stripe-Signature"]
    fresh = old.replace(f"t={NOW // SECOND - 1_000}", f"t={NOW // SECOND}")
    with pytest.raises(Refused, match="webhook signature"):
        verify(STRIPE, SECRET, {"Stripe-Signature": fresh}, body, NOW)


# ------------------------------------------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("hook", "headers", "rule"),
    [
        (PLAIN, {}, "webhook signature: limit one X-Signature header, actual none"),
        (PLAIN, [("X-Signature", "a"), ("x-signature", "a")], "actual 2 of them"),
        (PLAIN, {"X-Signature": ""}, "another form"),
        (PLAIN, {"X-Signature": f"sha256={signature(b'{}')}"}, "another form"),
        (PLAIN, {"X-Signature": signature(b"{}")[:-1]}, "another form"),
        (PLAIN, {"X-Signature": " ".join(signature(b"{}"))}, "another form"),
        (PLAIN, {"X-Signature": signature(b"{}")}, "webhook delivery id: limit one X-Delivery-Id header, actual none"),
        (PLAIN, {**plain_headers(b"{}"), "X-Delivery-Id": ""}, "webhook delivery id"),
        (PLAIN, {**plain_headers(b"{}"), "X-Delivery-Id": "x" * 201}, "webhook delivery id"),
        (PLAIN, {**plain_headers(b"{}"), "X-Delivery-Id": "a\x00b"}, "webhook delivery id"),
        (GITHUB, {"X-Hub-Signature-256": signature(b"{}")}, "another form"),
        (STRIPE, {"Stripe-Signature": f"v1={signature(b'{}')}"}, "another form"),
        (STRIPE, {"Stripe-Signature": "t=1,t=2,v1=" + "a" * 64}, "another form"),
        (STRIPE, {"Stripe-Signature": "t=-1,v1=" + "a" * 64}, "another form"),
        (STRIPE, {"Stripe-Signature": "t=1"}, "another form"),
        (STRIPE, {"Stripe-Signature": "t=1,v1=zz"}, "another form"),
        (STRIPE, stripe_headers(b"{}"), "webhook delivery id: limit a text or a whole number at 'id'"),
    ],
)
def test_what_is_missing_or_malformed_is_named(hook: Webhook, headers: Any, rule: str) -> None:
    with pytest.raises(Refused, match=rule) as told:
        verify(hook, SECRET, headers, b"{}", NOW)
    assert SECRET.decode() not in str(told.value)
    assert signature(b"{}") not in str(told.value)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"a": 1,}', "byte 8"),
        (b'{"a": NaN}', "byte 6"),
        (b"\xff", "byte 0"),
        (b"", "JSON"),
        (b'{"a": 1e999}', "out of range"),
        (b'"\\ud800"', "JSON"),
        (b"[" * 5_000, "JSON"),
        (b"[" * 500 + b"]" * 500, "nested"),
    ],
)
def test_a_body_that_is_not_json_is_named_with_its_place(body: bytes, told: str) -> None:
    with pytest.raises(InvalidInput, match=told) as error:
        posted(body)
    assert "body of webhook 'plain'" in str(error.value)


def test_a_text_that_is_not_utf_8_is_named_with_its_place() -> None:
    body = b"good \xff bad"
    with pytest.raises(InvalidInput, match="at byte 5"):
        verify(TEXT, SECRET, {"X-Signature": signature(body)}, body, NOW)


def test_a_mebibyte_is_the_most() -> None:
    body = b'"' + b"a" * (BODY_MAX - 2) + b'"'
    assert len(posted(body).body) == BODY_MAX - 2
    with pytest.raises(Refused, match=f"webhook size: limit {BODY_MAX} bytes, actual {BODY_MAX + 1}"):
        posted(body + b" ")


def test_an_empty_secret_signs_nothing() -> None:
    body = b"{}"
    with pytest.raises(InvalidInput, match="secret of webhook 'plain'"):
        verify(PLAIN, b"", plain_headers(body, secret=b"\0"), body, NOW)


def test_only_the_headers_that_are_asked_for_are_kept() -> None:
    hook = Webhook("plain", secret_env="SECRET", headers=["X-Topic", "X-Absent"])
    body = b"{}"
    headers = {**plain_headers(body), "x-topic": "orders", "Authorization": "Bearer secret"}
    received = verify(hook, SECRET, headers, body, NOW)
    assert received.headers == {"X-Topic": "orders"}


def test_an_id_may_be_anywhere_in_the_body() -> None:
    hook = Webhook("deep", secret_env="SECRET", id_field="data.id")
    body = b'{"data": {"id": 17}}'
    assert verify(hook, SECRET, {"X-Signature": signature(body)}, body, NOW).delivery_id == "17"
    for other in (
        b'{"data": {"id": true}}',
        b'{"data": [1]}',
        b"[]",
        b'{"data": {"id": null}}',
        b'{"data": {"id": ""}}',
    ):
        with pytest.raises(Refused, match="webhook delivery id"):
            verify(hook, SECRET, {"X-Signature": signature(other)}, other, NOW)


def test_what_has_no_id_is_known_by_what_was_signed() -> None:
    hook = Webhook("bare", secret_env="SECRET", id_field="")
    ids = {
        verify(hook, SECRET, {"X-Signature": signature(body)}, body, NOW).delivery_id
        for body in (b"[1]", b"[2]", b"[1]", b"[1] ")
    }
    assert len(ids) == 3


# -------------------------------------------------------------------------------------------------------- declarations


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"name": "No"}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "a' or 'a"}, "name"),
        ({"scheme": "md5"}, "scheme"),
        ({"secret_env": ""}, "secret"),
        ({"secret_file": "/run/secret"}, "secret"),
        ({"signature_header": "X Signature"}, "signature_header"),
        ({"id_header": "a:b"}, "id_header"),
        ({"id_field": "a..b"}, "id_field"),
        ({"id_field": "a", "id_header": "X-Id"}, "id_field"),
        ({"id_field": "a", "text": True}, "id_field"),
        ({"headers": ["Authorization"]}, "no secret"),
        ({"headers": ["x-signature"]}, "no secret"),
        ({"headers": ["a b"]}, "headers"),
        ({"tolerance": 300}, "tolerance"),
        ({"window": "soon"}, "window"),
        ({"scheme": "stripe", "window": "9 minutes"}, "twice the tolerance"),
        ({"where": 3}, "where"),
        ({"where": "nothing == 1"}, "where"),
        ({"where": "true) or (true"}, "condition"),
        ({"where": {"nothing": 1}}, "where"),
    ],
)
def test_a_wrong_declaration_is_named(arguments: dict[str, Any], named: str) -> None:
    given_: dict[str, Any] = {"name": "good", "secret_env": "SECRET", **arguments}
    with pytest.raises(InvalidInput, match=named):
        Webhook(given_.pop("name"), **given_)


def received(hook: str = "plain", **body: Any) -> WebhookReceived:
    return posted(json.dumps(body).encode()).replace(hook=hook)


def test_it_starts_runs_of_its_own_deliveries() -> None:
    both = {"hook": "plain", "delivery_id": "d1"}
    assert PLAIN.matches(received())
    assert not PLAIN.matches(received("other"))
    assert not PLAIN.where.condition  # so that it is found by its name and not asked
    also = Webhook("plain", secret_env="SECRET", where={"delivery_id": "d1"})
    assert also.matches(received())
    assert set(also.where.fields) == set(both)
    assert not also.matches(received().replace(delivery_id="d2"))
    text = Webhook("plain", secret_env="SECRET", where="body.action == 'opened' or body.action == 'closed'")
    assert text.matches(received(action="opened"))
    assert text.matches(received(action="closed"))
    assert not text.matches(received(action="other"))
    assert not text.matches(received("other", action="closed"))
    assert not text.matches(received("other"))  # another hook's body need not have the field


def test_its_text_tells_declarations_apart_and_no_secret() -> None:
    some = [
        PLAIN,
        GITHUB,
        Webhook("plain", secret_env="SECRET", where="body.a == 1"),
        Webhook("plain", secret_env="SECRET", where={"delivery_id": "7"}),
    ]
    assert [str(hook) for hook in some] == [
        "webhook plain",
        "webhook github",
        "webhook plain where (body.a == 1)",
        "webhook plain where delivery_id = 7",
    ]
    assert repr(GITHUB) == "Webhook('github', secret_env='SECRET', scheme='github')"
    assert "file" in repr(Webhook("a", secret_file="/run/file"))


def test_a_workflow_takes_several() -> None:
    @workflow("deploy", on=[PLAIN, GITHUB])
    async def deploy(run: Any, hook: WebhookReceived) -> None: ...

    assert deploy.triggers == (PLAIN, GITHUB)
    assert deploy.on == (WebhookReceived,)
