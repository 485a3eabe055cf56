"""Who is let in: a test for each rule of the guard."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from tests.engine.support import live
from tests.faces.http.serving import LIMITS, LOCAL, SECRET, Served, problem, raw, served
from tickwork import Engine
from tickwork.errors import InvalidInput
from tickwork.faces.http.app import create_app
from tickwork.faces.http.buckets import KEPT, Buckets
from tickwork.faces.http.protocol import HEAD_MAX
from tickwork.faces.http.security import Limits, Security, is_loopback, name_of, same_site
from tickwork.faces.http.visit import caller_of, subprotocol
from tickwork.service.api.here import Service
from tickwork.service.running.redaction import Redactor
from tickwork.settings import load
from tickwork.values import from_ns

OPEN = Security(host="0.0.0.0", local=LOCAL, limits=LIMITS)


# ------------------------------------------------------------------------------------------------------ where and how


@live
async def test_others_can_reach_it_only_where_there_is_a_token(tmp_path: Path) -> None:
    async with Engine(f"sqlite:///{tmp_path}/tape.db") as engine:
        service = Service(engine)
        with pytest.raises(InvalidInput, match=r"server\.host: .*tickwork tokens create") as refused:
            create_app(service, security=OPEN)
        # said in a log, nothing of it looks like a secret to be hidden
        assert Redactor()(str(refused.value)) == str(refused.value)
        service.tokens.create("one", ["read"], from_ns(engine.clock.now()))
        create_app(service, security=OPEN)
        made = service.tokens.create("two", ["read"], from_ns(engine.clock.now()))
        assert made.secret not in Redactor()(f"somebody wrote {made.secret}, here")
        service.close()


@live
async def test_reached_by_others_everybody_needs_a_token(tmp_path: Path) -> None:
    async with served(tmp_path, security=Security(local=LOCAL, limits=LIMITS)) as world:
        world.made("read")
        # as if it listened everywhere: the same application, told so
        app = create_app(world.service, security=OPEN)
        transport = httpx2.ASGITransport(app=app, client=("127.0.0.1", 1))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            told = problem(await client.get("/api/v1/runs"), 401, "unauthenticated")
            assert "tickwork tokens create" in told["detail"]
            assert (await client.get("/api/v1/runs", headers=world.token("read"))).status_code == 200
            assert (await client.get("/healthz")).json() == {"ok": True}
            assert (await client.get("/readyz")).json() == {"ready": True}


@live
async def test_a_name_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        port = world.server.address.rpartition(":")[2]
        for host in (
            "evil.example",
            f"evil.example:{port}",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "a@localhost",
            "localhost:x",
        ):
            for path in ("/api/v1/runs", "/halt", "/", "/healthz", "/hooks/orders", "/metrics"):
                problem(await world.client.get(path, headers={"Host": host}), 421, "wrong-host")
        for host in ("localhost", f"localhost:{port}", "127.0.0.1", f"[::1]:{port}", "LOCALHOST"):
            assert (await world.client.get("/api/v1/runs", headers={"Host": host})).status_code == 200


@live
async def test_several_hosts_or_none_are_refused(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        for hosts in (b"", b"Host: localhost\r\nHost: evil.example\r\n"):
            answer = await raw(world.server, b"GET /api/v1/runs HTTP/1.1\r\n" + hosts + b"Connection: close\r\n\r\n")
            assert answer.split(b" ")[1] in (b"421", b"400")


@live
async def test_under_a_configured_name_a_token_is_needed(tmp_path: Path) -> None:
    security = Security(local=LOCAL, allowed_hosts=("desk.example",), limits=LIMITS)
    async with served(tmp_path, security=security) as world:
        host = {"Host": "desk.example"}
        problem(await world.client.get("/api/v1/runs", headers=host), 401, "unauthenticated")
        assert (await world.client.get("/api/v1/runs", headers=host | world.token("read"))).status_code == 200


@live
async def test_what_a_proxy_passes_on_is_not_local(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "X-Forwarded-Host"):
            problem(await world.client.get("/api/v1/runs", headers={name: "127.0.0.1"}), 401, "unauthenticated")
        # nginx, told no more than where to pass it on
        port = world.server.address.rpartition(":")[2].encode()
        asked = b"GET /api/v1/runs HTTP/1.0\r\nHost: 127.0.0.1:%b\r\nConnection: close\r\n\r\n" % port
        assert b" 401 " in (await raw(world.server, asked)).partition(b"\r\n")[0]


# ------------------------------------------------------------------------------------------------------- other sites


@live
async def test_another_site_can_change_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        sites: list[dict[str, str]] = [
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://localhost:1"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Origin": world.server.address.replace("127.0.0.1", "localhost")},
        ]
        for site in sites:
            for method, path in (
                ("POST", "/api/v1/runs"),
                ("DELETE", "/api/v1/runs/a"),
                ("POST", "/halt"),
                ("POST", "/login"),
            ):
                problem(await world.client.request(method, path, headers=site), 403, "cross-site")
        # what browsers send without asking first, form and text, is refused for what it is as well
        form = await world.client.post("/api/v1/runs", data={"workflow": "quick"})
        problem(form, 415, "unsupported-media-type")
        assert (await world.client.get("/api/v1/runs")).json()["items"] == []


@live
async def test_what_another_page_fetches_is_not_local(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        for site in ("cross-site", "same-site"):
            image = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}
            problem(await world.client.get("/api/v1/runs", headers=image), 401, "unauthenticated")
            link = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}
            assert (await world.client.get("/halt", headers=link)).status_code == 200
        own = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
        assert (await world.client.get("/api/v1/runs", headers=own)).status_code == 200


@live
async def test_our_own_pages_and_programs_can(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        for ours in (
            {"Origin": world.server.address},
            {"Sec-Fetch-Site": "same-origin"},
            {"Sec-Fetch-Site": "none"},
            {},
        ):
            sent = await world.client.post("/api/v1/runs", json={"workflow": "quick", "input": {}}, headers=ours)
            assert sent.status_code == 201


@live
async def test_a_site_that_is_allowed_can_with_a_token(tmp_path: Path) -> None:
    security = Security(local=LOCAL, allowed_origins=("https://desk.example",), limits=LIMITS)
    async with served(tmp_path, security=security) as world:
        site = {"Origin": "https://desk.example"}
        asked = {**site, "Access-Control-Request-Method": "POST"}
        before = await world.client.options("/api/v1/runs", headers=asked)
        assert before.status_code == 204
        assert before.headers["access-control-allow-origin"] == "https://desk.example"
        assert "idempotency-key" in before.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in before.headers
        body = {"workflow": "quick", "input": {}}
        problem(await world.client.post("/api/v1/runs", json=body, headers=site), 401, "unauthenticated")
        sent = await world.client.post("/api/v1/runs", json=body, headers=site | world.token("operate"))
        assert sent.status_code == 201
        assert sent.headers["access-control-allow-origin"] == "https://desk.example"
        other = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        refused = await world.client.options("/api/v1/runs", headers=other)
        assert "access-control-allow-origin" not in refused.headers
        read = await world.client.get("/api/v1/runs", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in read.headers


# -------------------------------------------------------------------------------------------------------------- tokens


@live
async def test_tokens_that_are_none(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        good = world.token("read")["Authorization"]
        for given in ("Bearer nonsense", "Bearer tickwork_" + "a" * 43, "Bearer", "Basic dTpw", good + "x", good[7:]):
            answer = await world.client.get("/api/v1/runs", headers={"Authorization": given})
            problem(answer, 401, "unauthenticated")
            assert answer.headers["www-authenticate"] == "Bearer"
        twice = [("Authorization", good), ("Authorization", good)]
        problem(await world.client.get("/api/v1/runs", headers=twice), 401, "unauthenticated")


@live
async def test_a_token_ends_and_is_revoked(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        now = from_ns(world.engine.clock.now())
        short = world.token("read", name="short", expires=now + timedelta(milliseconds=300))
        assert (await world.client.get("/api/v1/runs", headers=short)).status_code == 200
        await world.engine.until(now + timedelta(milliseconds=301))
        told = problem(await world.client.get("/api/v1/runs", headers=short), 401, "unauthenticated")
        assert "expired" in told["detail"]
        gone = world.token("read", name="gone")
        assert (await world.client.get("/api/v1/runs", headers=gone)).status_code == 200
        admin = world.token("admin", name="root")
        assert (await world.client.delete("/api/v1/tokens/gone", headers=admin)).json()["done"] == "revoked"
        problem(await world.client.get("/api/v1/runs", headers=gone), 401, "unauthenticated")
        problem(await world.client.delete("/api/v1/tokens/gone", headers=admin), 404, "not-found")


@live
async def test_a_token_made_over_http_is_shown_once_and_works(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with served(tmp_path) as world:
        admin = world.token("admin") | {"Idempotency-Key": "k"}
        body = {"name": "desk", "scopes": ["read"], "days": 3}
        problem(await world.client.post("/api/v1/tokens", json=body), 403, "forbidden")
        made = await world.client.post("/api/v1/tokens", json=body, headers=admin)
        assert made.status_code == 201
        secret = made.json()["secret"]
        again = await world.client.post("/api/v1/tokens", json=body, headers=admin)
        assert secret not in again.text
        problem(again, 504, "unknown")
        headers = {"Authorization": f"Bearer {secret}"}
        assert (await world.client.get("/api/v1/runs", headers=headers)).status_code == 200
        listed = await world.client.get("/api/v1/tokens", headers=admin)
        assert "desk" in listed.text
        assert secret not in listed.text
        await world.engine.durable()
        # neither on the tape, nor in the file, nor in the log
        files = [world.engine.path, f"{world.engine.path}-wal", f"{tmp_path}/tokens.json"]
        for file in map(Path, files):
            assert secret.encode() not in file.read_bytes(), file
        assert secret not in caplog.text


@live
async def test_a_right_that_is_missing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with served(tmp_path) as world:
        reader, trader = world.token("read"), world.token("trade", accounts=["main"])
        sent = await world.client.post("/api/v1/runs", json={"workflow": "quick", "input": {}}, headers=reader)
        told = problem(sent, 403, "forbidden")
        assert told["needs"] == "the right to operate"
        problem(await world.client.get("/api/v1/tokens", headers=trader), 403, "forbidden")
        halt = await world.client.post("/api/v1/unhalt", json={"reason": "x", "account": "other"}, headers=trader)
        problem(halt, 403, "forbidden")
        everything = await world.client.post("/api/v1/flatten", json={"reason": "x"}, headers=trader)
        problem(everything, 403, "forbidden")
        assert "refused" in caplog.text


@live
async def test_a_token_of_an_owner_sees_no_figures_of_all(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        theirs = world.token("read", owner="anna")
        problem(await world.client.get("/metrics", headers=theirs), 403, "forbidden")
        assert (await world.client.get("/readyz", headers=theirs)).json() == {"ready": True}
        assert (await world.client.get("/api/v1/runs", headers=theirs)).json()["items"] == []


@live
async def test_rights_of_this_machine(tmp_path: Path) -> None:
    limited = Security(local=frozenset({"read"}), limits=LIMITS)
    async with served(tmp_path, security=limited) as world:
        assert (await world.client.get("/api/v1/runs")).status_code == 200
        problem(await world.client.post("/api/v1/runs", json={"workflow": "quick", "input": {}}), 403, "forbidden")
    async with served(tmp_path, security=Security(limits=LIMITS)) as world:
        problem(await world.client.get("/api/v1/runs"), 401, "unauthenticated")
    with pytest.raises(InvalidInput, match=r"server\.local"):
        Security(local=frozenset({"admin"}))
    with pytest.raises(InvalidInput, match=r"server\.local"):
        Security(local=frozenset({"reed"}))


@live
async def test_tokens_that_cannot_be_read_let_nobody_in_and_lock_out_only_those(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path) as world:
        desk = world.token("read", name="desk")
        await world.client.get("/api/v1/runs", headers=desk)
        assert world.service.tokens.lines()[0].last_used is not None
        _write(tmp_path / "tokens.json", "{")
        problem(await world.client.get("/api/v1/runs", headers=desk), 503, "try-again")
        assert "tokens cannot be read" in caplog.text
        assert (await world.client.get("/api/v1/runs")).status_code == 200


def _write(file: Path, text: str) -> None:
    file.write_text(text)


@live
async def test_a_use_that_cannot_be_noted_keeps_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    async with served(tmp_path) as world:
        desk = world.token("read", name="desk")
        monkeypatch.setattr(world.service.tokens, "note_use", full)
        assert (await world.client.get("/api/v1/runs", headers=desk)).status_code == 200


@live
async def test_a_mistake_of_the_guard_lets_nobody_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(tmp_path) as world:
        desk = world.token("read", name="desk")
        monkeypatch.setattr(world.service.tokens, "caller", lambda *_: 1 / 0)
        problem(await world.client.get("/api/v1/runs", headers=desk), 500, "internal")


def test_what_the_configuration_says_of_the_server(tmp_path: Path) -> None:
    file = tmp_path / "tickwork.toml"
    file.write_text("")
    usual = load(file, {}).server
    assert (usual.host, usual.port, usual.enabled) == ("127.0.0.1", 8420, True)
    assert usual.security(live=False).local == {"read", "operate", "trade"}
    assert usual.security(live=True).local == {"read", "operate"}
    file.write_text(
        '[server]\nhost = "0.0.0.0"\nport = 0\nlocal = ["read"]\nallowed_hosts = ["desk.example"]\n'
        "[server.limits]\nper_caller = 3\nbody_bytes = 2048\n"
    )
    told = load(file, {"TICKWORK_SERVER__PORT": "9"}).server
    security = told.security(live=False)
    assert told.port == 9
    assert security.local == {"read"}
    assert not security.loopback
    assert security.allowed_hosts == ("desk.example",)
    assert (security.limits.per_caller, security.limits.body_bytes) == (3, 2048)
    for wrong, path in (
        ("port = 70000", "server.port"), ("prot = 1", "server.prot"), ('local = ["reed"]', "server.local"),
        ("[server.limits]\nper_caller = 0", "server.limits.per_caller"),
    ):  # fmt: skip
        file.write_text(f"[server]\n{wrong}\n")
        with pytest.raises(InvalidInput) as refused:
            load(file, {})
        assert refused.value.path.startswith(path)


@live
async def test_a_refusal_is_logged_without_what_was_sent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with served(tmp_path) as world:
        secret = world.made("read").secret[:-1]
        await world.client.get(f"/api/v1/runs?token={secret}", headers={"Authorization": f"Bearer {secret}"})
        await world.client.get("/api/v1/runs", headers={"Cookie": f"tickwork_token={secret}", "Host": "evil.example"})
        told = [record for record in caplog.records if record.name == "tickwork.http"]
        assert [record.__dict__["code"] for record in told] == ["unauthenticated", "wrong-host"]
        assert secret not in caplog.text


@live
async def test_a_flood_of_refusals_is_not_a_flood_of_lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with served(tmp_path) as world:
        for _ in range(200):
            await world.client.get("/api/v1/runs", headers={"Host": "evil.example"})
        assert 0 < sum(record.name == "tickwork.http" for record in caplog.records) < 60
        text = (await world.client.get("/metrics")).text
        assert 'tickwork_http_refusals_total{code="wrong-host"} 200.0' in text


# ------------------------------------------------------------------------------------------------------------- cookies


@live
async def test_a_browser_logs_in_and_out(tmp_path: Path) -> None:
    security = Security(limits=LIMITS)
    async with served(tmp_path, security=security) as world:
        secret = world.made("read").secret
        page = {"Accept": "text/html"}
        led = await world.client.get("/halt", headers=page)
        assert (led.status_code, led.headers["location"]) == (303, "/login?next=/halt")
        wrong = await world.client.post("/login", data={"token": "nonsense", "next": "/halt"})
        assert wrong.status_code == 401
        done = await world.client.post("/login", data={"token": secret, "next": "/halt"})
        assert (done.status_code, done.headers["location"]) == (303, "/halt")
        cookie = done.headers["set-cookie"]
        assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Path=/"))
        kept = {"Cookie": cookie.partition(";")[0]}
        assert (await world.client.get("/api/v1/runs", headers=kept)).status_code == 200
        # with the cookie as without, another site changes nothing
        other = await world.client.post(
            "/halt", data={"verb": "halt"}, headers=kept | {"Origin": "https://evil.example"}
        )
        problem(other, 403, "cross-site")
        out = await world.client.post("/logout", headers=kept)
        assert "Max-Age=0" in out.headers["set-cookie"]


@live
async def test_login_leads_nowhere_else(tmp_path: Path) -> None:
    async with served(tmp_path, security=Security(limits=LIMITS)) as world:
        secret = world.made("read").secret
        for onward in (
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "javascript:alert(1)",
            "",
            '/"><b>',
        ):
            done = await world.client.post("/login", data={"token": secret, "next": onward})
            assert done.headers["location"] == "/"
            shown = await world.client.get("/login", params={"next": onward})
            assert "evil" not in shown.text
            assert "<b>" not in shown.text


@live
async def test_a_cookie_that_has_ended_locks_nobody_out_who_needs_none(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        kept = {"Cookie": "tickwork_token=tickwork_" + "a" * 43}
        assert (await world.client.get("/api/v1/runs", headers=kept)).status_code == 200


# -------------------------------------------------------------------------------------------------------------- limits


@live
async def test_too_many_requests_of_a_caller(tmp_path: Path) -> None:
    limits = Limits(per_caller=1, burst_seconds=5, per_address=1e6)
    async with served(tmp_path, security=Security(local=LOCAL, limits=limits)) as world:
        answers = [await world.client.get("/api/v1/runs") for _ in range(10)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert 3 <= len(refused) <= 5
        problem(refused[0], 429, "too-many-requests")
        assert int(refused[0].headers["retry-after"]) >= 1
        # somebody else is not held up, and trading can be stopped
        assert (await world.client.get("/api/v1/runs", headers=world.token("read"))).status_code == 200
        for _ in range(50):
            assert (await world.client.post("/api/v1/halt", json={"reason": "x"})).status_code != 429


@live
async def test_too_many_requests_of_an_address(tmp_path: Path) -> None:
    limits = Limits(per_caller=1e6, burst_seconds=5, per_address=1)
    async with served(tmp_path, security=Security(local=LOCAL, limits=limits)) as world:
        wrong = {"Authorization": "Bearer nonsense"}
        codes = [(await world.client.get("/api/v1/runs", headers=wrong)).status_code for _ in range(10)]
        assert codes.count(401) in (5, 6, 7)
        assert set(codes) == {401, 429}
        assert (await world.client.get("/halt")).status_code == 200


@live
async def test_too_many_at_once(tmp_path: Path) -> None:
    limits = Limits(per_caller=1e6, per_address=1e6, at_once=2)
    async with served(tmp_path, security=Security(local=LOCAL, limits=limits)) as world:
        body = b'{"workflow": "quick", "input": {}}'
        head = (
            b"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        )
        host, _, port = world.server.address.removeprefix("http://").partition(":")
        slow = [await asyncio.open_connection(host, int(port)) for _ in range(2)]
        for _, writer in slow:
            writer.write(head % len(body) + body[:5])
        answer = await world.client.get("/api/v1/runs")
        while answer.status_code == 200:  # until both have come in
            answer = await world.client.get("/api/v1/runs")
        problem(answer, 429, "too-many-requests")
        assert (await world.client.get("/halt")).status_code == 200
        for reader, writer in slow:
            writer.write(body[5:])
            assert (await reader.readline()).startswith(b"HTTP/1.1 201")
            writer.close()
        assert (await world.client.get("/api/v1/runs")).status_code == 200


@live
async def test_a_body_that_does_not_come(tmp_path: Path) -> None:
    limits = Limits(body_seconds=0.2)
    async with served(tmp_path, security=Security(local=LOCAL, limits=limits)) as world:
        head = b"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\nConnection: close\r\n\r\n{"
        answer = await raw(world.server, head)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"request-timeout" in answer


@live
async def test_a_head_that_does_not_come_or_does_not_end(tmp_path: Path) -> None:
    limits = Limits(header_seconds=0.2)
    async with served(tmp_path, security=Security(local=LOCAL, limits=limits)) as world:
        assert await raw(world.server, b"GET /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nX: ") == b""
        assert await raw(world.server, b"") == b""
        assert (await world.client.get("/healthz")).status_code == 200
    async with served(tmp_path) as world:
        assert await raw(world.server, b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * 300_000) == b""


@live
@pytest.mark.parametrize("trailer", [b"X-%d: a\r\n", b"a%d", b"Authorization: Bearer x%d\r\n"])
async def test_trailers_do_not_fill_the_memory(tmp_path: Path, trailer: bytes) -> None:
    head = b"POST /hooks/orders HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: "
    async with served(tmp_path) as world:
        many = b"".join(trailer % number for number in range(8 * HEAD_MAX // len(trailer)))
        assert await raw(world.server, head + many) == b""
        assert (await world.client.get("/healthz")).status_code == 200


@live
async def test_a_trailer_is_no_header(tmp_path: Path) -> None:
    signature = hmac.new(SECRET.encode(), b"{}", hashlib.sha256).hexdigest()
    asked = (
        b"POST /hooks/orders HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        b"2\r\n{}\r\n0\r\nX-Signature: %b\r\nX-Delivery-Id: 1\r\n\r\n" % signature.encode()
    )
    async with served(tmp_path) as world:
        answer = await raw(world.server, asked)
        assert b"403" in answer.partition(b"\r\n")[0]
        assert b"found none" in answer


@live
async def test_an_answer_that_is_not_read_holds_nothing(tmp_path: Path) -> None:
    limits = Limits(answer_seconds=0.05, per_caller=1e6, per_address=1e6)
    async with served(tmp_path, security=Security(local=LOCAL, limits=limits)) as world:
        host, _, port = world.server.address.removeprefix("http://").partition(":")
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            deaf.connect((host, int(port)))
            deaf.sendall(b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 60)
            await _connected(world, 1)
            await _connected(world, 0)


async def _connected(world: Served, count: int) -> None:
    """Until so many are connected."""
    async with asyncio.timeout(20):
        while True:
            if world.server.connections == count:
                return
            await asyncio.sleep(0)


@live
async def test_connections_are_limited(tmp_path: Path) -> None:
    limits = Limits(connections=8, per_caller=1e6, per_address=1e6)
    async with served(tmp_path, security=Security(local=LOCAL, limits=limits)) as world:
        host, _, port = world.server.address.removeprefix("http://").partition(":")
        idle = [await asyncio.open_connection(host, int(port)) for _ in range(8)]
        reader, writer = await asyncio.open_connection(host, int(port))
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        for _, one in idle:
            one.close()


@given(
    st.lists(st.floats(0, 10, allow_nan=False), min_size=1, max_size=60),
    st.floats(0.1, 50),
    st.floats(1, 20),
)
def test_a_bucket_lets_through_no_more_than_its_rate_and_burst(gaps: list[float], rate: float, burst: float) -> None:
    buckets, now, passed = Buckets(rate, burst), 0.0, 0
    for gap in gaps:
        now += gap
        wait = buckets.take("a", now)
        assert wait >= 0
        if wait == 0:
            passed += 1
        else:  # after the time that is told there is one
            assert buckets.take("a", now + wait * 1.0001 + 1e-9) == 0
            now, passed = now + wait * 1.0001 + 1e-9, passed + 1
        assert passed <= burst + now * rate + 1e-6


def test_a_bucket_forgets_who_has_not_asked_for_longest() -> None:
    buckets = Buckets(1.0, 1.0)
    for n in range(KEPT + 10):
        assert buckets.take(f"a{n}", 0.0) == 0
    assert buckets.take(f"a{KEPT + 9}", 0.0) > 0
    assert buckets.take("a0", 0.0) == 0
    assert len(buckets._left) == KEPT


# ---------------------------------------------------------------------------------------------------------- websockets


async def _echo(socket: WebSocket) -> None:
    caller = caller_of(socket.scope)
    await socket.accept(subprotocol=subprotocol(socket.scope))
    await socket.send_text(f"{caller.name} {caller.face}")
    await socket.close()


async def _hear(world: Served, **given: Any) -> str:
    async with connect(world.server.address.replace("http", "ws") + "/ws", **given) as socket:
        return str(await socket.recv())


@live
async def test_websockets_are_guarded_as_everything_else(tmp_path: Path) -> None:
    async with served(tmp_path, routes=[WebSocketRoute("/ws", _echo)]) as world:
        assert await _hear(world) == "local ws"
        assert await _hear(world, origin=world.server.address) == "local ws"
        token = world.made("read", name="desk").secret
        assert await _hear(world, additional_headers={"Authorization": f"Bearer {token}"}) == "desk ws"
        assert await _hear(world, subprotocols=[Subprotocol(f"bearer.{token}")]) == "desk ws"
        offered = [Subprotocol(f"bearer.{token}"), Subprotocol("tickwork")]
        async with connect(world.server.address.replace("http", "ws") + "/ws", subprotocols=offered) as socket:
            assert socket.subprotocol == "tickwork"
        for given, status, code in (
            ({"origin": "https://evil.example"}, 403, "cross-site"),
            ({"additional_headers": {"Sec-Fetch-Site": "cross-site"}}, 403, "cross-site"),
            ({"additional_headers": {"X-Forwarded-For": "1.2.3.4"}}, 401, "unauthenticated"),
            ({"subprotocols": [Subprotocol("bearer.nonsense")]}, 401, "unauthenticated"),
        ):
            with pytest.raises(InvalidStatus) as refused:
                await _hear(world, **given)
            assert refused.value.response.status_code == status
            assert code.encode() in (refused.value.response.body or b"")
        answer = await raw(
            world.server,
            b"GET /ws HTTP/1.1\r\nHost: evil.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        assert answer.startswith(b"HTTP/1.1 421")


@live
async def test_a_websocket_lasts_longer_than_a_head_may_take(tmp_path: Path) -> None:
    limits = Limits(header_seconds=0.1, body_seconds=0.1)

    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())
        await socket.close()

    security = Security(local=LOCAL, limits=limits)
    async with (
        served(tmp_path, security=security, routes=[WebSocketRoute("/ws", echo)]) as world,
        connect(world.server.address.replace("http", "ws") + "/ws") as socket,
    ):
        # until a connection that sends nothing has been dropped, and a little longer
        assert await raw(world.server, b"GET / HTTP/1.1\r\n") == b""
        assert await raw(world.server, b"GET / HTTP/1.1\r\n") == b""
        await socket.send("still here")
        assert await socket.recv() == "still here"


# ---------------------------------------------------------------------------------------------------------------- words


def test_names_and_sites() -> None:
    assert [name_of(host) for host in ("localhost:1", "[::1]:80", "A.b", "", "a b", "a:b", "u@h", "h/p")] == [
        "localhost", "::1", "a.b", "", "a b", "", "", "",
    ]  # fmt: skip
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example.com", "")))
    assert same_site("http://localhost:8420", "localhost:8420", ())
    assert not same_site("http://localhost", "localhost:8420", ())
    assert not same_site("null", "null", ())
    assert not same_site("file://localhost", "localhost", ())
    assert same_site("https://a.example", "b.example", ("https://a.example",))
    for bad in ("desk.example:80", "https://desk.example", ""):
        with pytest.raises(InvalidInput, match="allowed_hosts"):
            Security(allowed_hosts=(bad,))
    for bad in ("desk.example", "https://desk.example/", "https://desk.example/x", "ftp://a"):
        with pytest.raises(InvalidInput, match="allowed_origins"):
            Security(allowed_origins=(bad,))


@live
async def test_what_every_answer_has(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        for path in ("/", "/halt", "/login", "/api/v1/runs", "/api/v1/docs", "/nope", "/metrics"):
            answer = await world.client.get(path)
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-frame-options"] == "DENY"
            assert "server" not in answer.headers
            if "text/html" in answer.headers["content-type"]:
                policy = answer.headers["content-security-policy"]
                assert "default-src 'none'" in policy
                assert "frame-ancestors 'none'" in policy
                assert "<script" not in answer.text
                assert " style=" not in answer.text
