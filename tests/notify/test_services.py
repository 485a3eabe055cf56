"""The real client (apprise) against servers on loopback; and that no secret shows anywhere."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from pydantic import SecretStr

from tests.engine.support import live
from tests.notify.loopback import Server, serving
from tests.notify.support import note
from tickwork.core.retry import Retry
from tickwork.core.run import Run
from tickwork.core.workflow import workflow
from tickwork.engines.embedded import Engine
from tickwork.errors import InvalidInput
from tickwork.notify.events import NotificationSent
from tickwork.notify.notifier import notifier
from tickwork.notify.plan import Message
from tickwork.notify.rules import Channel, Rules
from tickwork.settings import ChannelSettings, NotifySettings
from tickwork.venues.notifications import NotDelivered, Sender, exposes, secrets_of

HELLO = Message("[warning] moved", "It moved.", "warning")
KEY = "0123456789abcdef0123456789abcdef"
TOKEN = "123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as made:
        yield made


def sender(**urls: str) -> Sender:
    return Sender({name: SecretStr(url) for name, url in urls.items()})


def telegram_at(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A Telegram channel whose service is on this machine."""
    from apprise.plugins.telegram import NotifyTelegram

    monkeypatch.setattr(NotifyTelegram, "notify_url", f"http://{server.host}/bot")
    server.answer = b'{"ok": true, "result": {}}'
    return f"tgram://{TOKEN}/-100123456"


def test_json(server: Server) -> None:
    sender(hook=f"json://{server.host}/moved").send("hook", HELLO, key=KEY)
    (request,) = server.requests
    said = json.loads(request.body)
    assert request.path == "/moved"
    assert (said["title"], said["message"], said["type"]) == (
        "[warning] moved",
        "It moved.\nref 0123456789ab",
        "warning",
    )


def test_form(server: Server) -> None:
    critical = Message("[critical] halt", "Everything stops.", "critical")
    sender(hook=f"form://user:pa55word@{server.host}").send("hook", critical, key=KEY)
    (request,) = server.requests
    said = parse_qs(request.body.decode())
    assert said["type"] == ["failure"]
    assert said["message"] == ["Everything stops.\nref 0123456789ab"]
    assert request.headers["Authorization"].startswith("Basic ")


def test_telegram(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    url = telegram_at(server, monkeypatch)
    long = Message("[info] long", "x" * 10_000, "info")
    sender(phone=url).send("phone", long, key=KEY)
    (request,) = server.requests
    assert request.path == f"/bot{TOKEN}/sendMessage"
    said = json.loads(request.body)
    assert said["chat_id"] == -100123456
    assert "long" in said["text"]
    assert len(said["text"]) <= 4_096
    assert said["text"].endswith("…\r\nref 0123456789ab")


def test_a_long_title_is_cut(server: Server) -> None:
    sender(hook=f"json://{server.host}").send("hook", Message("t" * 1_000, "", "info"), key=KEY)
    (request,) = server.requests
    said = json.loads(request.body)
    assert said["title"] == "t" * 250
    assert said["message"] == "ref 0123456789ab"


def test_text_is_taken_as_it_is(server: Server) -> None:
    odd = Message("<b> & :smile: {{x}}", "50 % \\n *not* <i>markup</i>", "info")
    sender(hook=f"json://{server.host}").send("hook", odd, key=KEY)
    said = json.loads(server.requests[0].body)
    assert (said["title"], said["message"]) == (odd.title, f"{odd.body}\nref 0123456789ab")


@pytest.mark.parametrize("status", [401, 404, 429, 500])
def test_a_refusal_is_an_error_that_says_why(server: Server, status: int) -> None:
    server.status = status
    with pytest.raises(NotDelivered) as failed:
        sender(hook=f"json://user:pa55word@{server.host}/x").send("hook", HELLO, key=KEY)
    assert str(status) in str(failed.value)
    assert "pa55word" not in str(failed.value)


def test_nobody_there() -> None:
    with serving() as gone:
        url = f"json://{gone.host}"
    with pytest.raises(NotDelivered, match="channel hook: A Connection error"):
        sender(hook=url).send("hook", HELLO, key=KEY)


def test_no_answer_in_time(server: Server) -> None:
    server.hold = threading.Event()
    with pytest.raises(NotDelivered):
        sender(hook=f"json://{server.host}?rto=0.2").send("hook", HELLO, key=KEY)
    assert len(server.requests) == 1


def test_what_cannot_be_used_is_refused_without_being_shown() -> None:
    for url in ("bogus://s3cr3t-token/x", "tgram://s3cr3t-token", "s3cr3t-token", ""):
        with pytest.raises(InvalidInput) as refused:
            sender(phone=url)
        assert "s3cr3t" not in str(refused.value)
    with pytest.raises(InvalidInput, match="hook"):
        sender(hook="json://localhost").send("fax", HELLO, key=KEY)


# ------------------------------------------------------------------------------------------------------------- secrets


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("json://localhost:8080/hook", set()),
        ("json://me:pa55word@localhost/hook", {"pa55word"}),
        ("json://localhost/?+X-Api-Key=abcdef", {"abcdef"}),
        (f"tgram://{TOKEN}/-100123456", {TOKEN, *TOKEN.split(":")}),
        ("discord://123456789012345678/abcdefghijklmnopqrstuvwxyzABCDEFGHIJ", {"abcdefghijklmnopqrstuvwxyzABCDEFGHIJ"}),
        (
            "https://discord.com/api/webhooks/123456789012345678/abcdefghijklmnopqrstuvwxyz",
            {"abcdefghijklmnopqrstuvwxyz"},
        ),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/%23general", {"TIiajkdnlazkcOXrIdevi7FQ"}),
        ("mailtos://me:hunter2@example.com?to=you@example.com", {"hunter2"}),
        ("ntfys://me:hunter2@ntfy.example.com/topic", {"hunter2"}),
        ("pover://uQiRzpo4DXghDmr9QzzfQu27cmVRsG@azGDORePK8gMaC0QOYAMyEEuzJnyUi", {"azGDORePK8gMaC0QOYAMyEEuzJnyUi"}),
        ("gotify://gotify.example.com/Axyz.123456789abc", {"Axyz.123456789abc"}),
    ],
)
def test_what_is_secret_in_a_url(url: str, secrets: set[str]) -> None:
    found = secrets_of(SecretStr(url), "x")
    assert secrets <= found
    assert bool(secrets) == bool(found)
    assert exposes(url, SecretStr(url), "x") is bool(secrets)
    assert not exposes("tgram:////-100123456", SecretStr(url), "x")


@pytest.fixture
def everything_logged() -> Iterator[list[str]]:
    """Every line that any library logs, as a handler at the root would write it."""
    lines: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    root, listener = logging.getLogger(), Listener(0)
    level = root.level
    root.addHandler(listener)
    root.setLevel(1)
    yield lines
    root.setLevel(level)
    root.removeHandler(listener)


def test_no_secret_is_logged(
    server: Server, monkeypatch: pytest.MonkeyPatch, everything_logged: list[str], caplog: Any
) -> None:
    phone = telegram_at(server, monkeypatch)
    made = sender(phone=phone, hook=f"json://me:pa55word@{server.host}/?+X-Token=t0psecret")
    for name in ("phone", "hook"):
        made.send(name, HELLO, key=KEY)
    server.status = 400
    for name in ("phone", "hook"):
        with pytest.raises(NotDelivered):
            made.send(name, HELLO, key=KEY)
    with serving() as gone:
        pass
    from apprise.plugins.telegram import NotifyTelegram

    monkeypatch.setattr(NotifyTelegram, "notify_url", f"http://{gone.host}/bot")
    with pytest.raises(NotDelivered):
        made.send("phone", HELLO, key=KEY)
    with pytest.raises(InvalidInput):
        sender(phone="slack://n0t-a-token")
    text = "\n".join(everything_logged)
    assert "sendMessage" in text, "the libraries have logged the paths of their requests"
    for secret in (TOKEN, *TOKEN.split(":"), "pa55word", "t0psecret", "n0t-a-token"):
        assert secret not in text
    assert not [secret for secret in ("pa55word", TOKEN) if secret in repr(made) + repr(vars(made))]


def test_what_a_variable_holds_is_not_logged_whatever_apprise_hides(
    server: Server, everything_logged: list[str], tmp_path: Path
) -> None:
    file, env = tmp_path / "hook.url", {"HOOK_TOKEN": "HOOKSECRET123", "ALL": f"json://{server.host}/in/W%20OLESECRET"}
    file.write_text(f"json://{server.host}/from/FILESECRET77?sort=QUERYSECRET9")
    channels = {
        "part": ChannelSettings(url=SecretStr(f"json://{server.host}/hook/${{HOOK_TOKEN}}")),
        "whole": ChannelSettings(url_env="ALL"),
        "file": ChannelSettings(url_file=file),
    }
    made = Sender(NotifySettings(channels=channels).urls(env=env))
    for status in (200, 400):
        server.status = status
        for name in channels:
            with contextlib.nullcontext() if status == 200 else pytest.raises(NotDelivered) as failed:
                made.send(name, HELLO, key=KEY)
            everything_logged.append(str(failed))
    assert server.requests[0].path == "/hook/HOOKSECRET123"
    text = "\n".join(everything_logged)
    assert "POST /hook/*** HTTP/1.1" in text, "the libraries have logged the paths of their requests"
    for secret in ("HOOKSECRET123", "OLESECRET", "FILESECRET77", "QUERYSECRET9"):
        assert secret not in text


@workflow("four-sent")
async def four_sent(run: Run) -> None:
    for _ in range(4):
        await run.wait_for(NotificationSent)


def files_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@live
async def test_no_secret_reaches_the_tape(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    phone = telegram_at(server, monkeypatch)
    made = sender(
        phone=phone, hook=f"json://me:pa55word@{server.host}/?+X-Token=t0psecret", dead="json://me:pa55word@[::1]:1"
    )
    rules = Rules((Channel("phone"), Channel("hook"), Channel("dead")))
    tickwork = notifier(rules, made.send, retry=Retry(limit=1, delay="1 ms"))
    workflows = [*tickwork.workflows, four_sent]
    async with Engine(f"sqlite:///{tmp_path}/t.db", workflows=workflows, views=tickwork.views) as engine:
        handle = await engine.start(four_sent)
        await engine.emit(note("found on the tape"))
        await handle.result()
        (letter,) = await engine.dead_letters()
        assert "Connection error" in letter.error
    kept = files_in(tmp_path)
    assert b"found on the tape" in kept
    for secret in (TOKEN, *TOKEN.split(":"), "pa55word", "t0psecret"):
        assert secret.encode() not in kept
    # the channel that is away was told of over the others
    assert sorted(request.path for request in server.requests) == ["/"] * 2 + [f"/bot{TOKEN}/sendMessage"] * 2
