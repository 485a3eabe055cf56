"""``/hooks/{name}``: what is signed comes in once, and nothing else does."""

from __future__ import annotations

import hashlib
import hmac
import logging
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.support import live
from tests.faces.http.serving import LIMITS, SECRET, Served, problem, served
from tickwork.core.webhook import WebhookReceived
from tickwork.faces.http.security import Limits, Security


def signed(body: bytes, id: str = "d1") -> dict[str, str]:
    return {"X-Signature": hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest(), "X-Delivery-Id": id}


async def deliveries(world: Served) -> int:
    await world.engine.durable()
    return len(world.engine.queries.events(WebhookReceived.event_name))


@live
async def test_a_delivery_is_taken_once_however_often_it_comes(tmp_path: Path) -> None:
    # nobody is known here, not even this machine: the signature alone lets it in
    async with served(tmp_path, security=Security(limits=LIMITS)) as world:
        first = await world.client.post("/hooks/orders", content=b'{"n": 1}', headers=signed(b'{"n": 1}'))
        assert first.status_code == 202
        again = await world.client.post("/hooks/orders", content=b'{"n": 1}', headers=signed(b'{"n": 1}'))
        assert (again.status_code, again.json()) == (202, first.json())
        assert await deliveries(world) == 1
        other = await world.client.post("/hooks/orders", content=b"2", headers=signed(b"2", "d2"))
        assert other.json()["seq"] > first.json()["seq"]
        assert await deliveries(world) == 2


@live
async def test_what_is_not_signed_is_refused_and_logged_without_its_body(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path) as world:
        wrong: list[tuple[dict[str, str], int, str]] = [
            ({}, 403, "forbidden"),
            ({"X-Signature": "0" * 64, "X-Delivery-Id": "d"}, 403, "forbidden"),
            ({"X-Signature": "nonsense", "X-Delivery-Id": "d"}, 403, "forbidden"),
            ({"X-Signature": signed(b"other")["X-Signature"], "X-Delivery-Id": "d"}, 403, "forbidden"),
            ({"X-Signature": signed(b'"hush"')["X-Signature"]}, 403, "forbidden"),
        ]
        for headers, status, code in wrong:
            problem(await world.client.post("/hooks/orders", content=b'"hush"', headers=headers), status, code)
        assert "hush" not in caplog.text
        assert caplog.text.count("refused: webhook orders") == len(wrong)
        problem(await world.client.post("/hooks/orders", content=b"{", headers=signed(b"{")), 422, "invalid-input")
        told = problem(await world.client.post("/hooks/nope", content=b"1", headers=signed(b"1")), 404, "not-found")
        assert "orders" not in str(told)  # who knows no name is told none
        assert (await world.client.get("/hooks/orders")).status_code == 405
        big = b'"' + b"x" * (1 << 20) + b'"'
        problem(await world.client.post("/hooks/orders", content=big, headers=signed(big)), 413, "too-large")
        assert await deliveries(world) == 0


@live
async def test_a_secret_that_is_missing_is_our_trouble(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with served(tmp_path) as world:
        hooks = world.service.engine.workflows[2].triggers[0]
        assert hooks.secret_env == "SECRET"  # type: ignore[attr-defined]
        hooks.secret_env = "GONE"  # type: ignore[attr-defined]
        try:
            told = problem(
                await world.client.post("/hooks/orders", content=b"1", headers=signed(b"1")), 503, "try-again"
            )
        finally:
            hooks.secret_env = "SECRET"  # type: ignore[attr-defined]
        assert "GONE" not in str(told)
        assert "GONE" in caplog.text


@live
async def test_hooks_draw_from_the_limit_of_their_address(tmp_path: Path) -> None:
    limits = Limits(per_address=1, burst_seconds=5)
    async with served(tmp_path, security=Security(limits=limits)) as world:
        sent = [await world.client.post("/hooks/orders", content=b"1", headers=signed(b"1")) for _ in range(9)]
        assert {answer.status_code for answer in sent} == {202, 429}
        assert await deliveries(world) == 1


HEADER = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=80)


def test_whatever_is_posted_there_is_an_answer(tmp_path: Path) -> None:
    """Fuzz: any name, body and headers; nothing is a failure of ours, and nothing comes in that is not signed."""

    @live
    async def all_of_it() -> None:
        async with served(tmp_path) as world:
            sent = st.tuples(
                st.sampled_from(["orders", "nope", "%00", "..%2f", "a" * 300, "é"]),
                st.binary(max_size=200),
                st.dictionaries(st.sampled_from(["X-Signature", "X-Delivery-Id", "Content-Type", "X-Other"]), HEADER),
            )
            cases: list[tuple[str, bytes, dict[str, str]]] = []

            @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
            @given(sent)
            def gather(case: tuple[str, bytes, dict[str, str]]) -> None:
                cases.append(case)

            gather()
            for name, body, headers in cases:
                answer = await world.client.post(f"/hooks/{name}", content=body, headers=headers)
                assert 400 <= answer.status_code < 500, (name, body, headers, answer.text)
                assert answer.headers["content-type"] == "application/problem+json"
            # signed, any body is an event or a complaint
            for at, (_, body, _) in enumerate(cases):
                answer = await world.client.post("/hooks/orders", content=body, headers=signed(body, f"d{at}"))
                assert answer.status_code in (202, 422), (body, answer.text)
            assert "tickwork_up 1.0" in (await world.client.get("/metrics")).text

    logging.getLogger("tickwork.http").setLevel(logging.CRITICAL)
    try:
        all_of_it()
    finally:
        logging.getLogger("tickwork.http").setLevel(logging.NOTSET)
