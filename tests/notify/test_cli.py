"""``tickwork notify``, as its users run it."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo.support import COMMAND, ENVIRONMENT
from tests.notify.loopback import Server, serving
from tests.notify.support import Services, note
from tickwork.notify.rules import Channel, Limit, Rules

CONFIG = """
[notify.channels.hook]
url = "json://${{HOOK_USER}}@127.0.0.1:{port}/hook"

[notify.channels.form]
url_env = "FORM_URL"

[[notify.routes]]
kind = "price.*"
severity = "warning"
channels = ["hook"]
"""


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as made:
        yield made


def notify(folder: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "notify", *args],
        cwd=folder,
        env={**ENVIRONMENT, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_test_of_all_channels(tmp_path: Path, server: Server) -> None:
    (tmp_path / "tickwork.toml").write_text(CONFIG.format(port=server.port))
    env = {"HOOK_USER": "me:pa55word", "FORM_URL": f"form://127.0.0.1:{server.port}/form"}
    done = notify(tmp_path, "test", "--all", "--json", "--message", "Is anybody there?", **env)
    assert (done.returncode, done.stderr) == (0, "")
    assert [one["sent"] for one in json.loads(done.stdout)] == [True, True]
    assert sorted(request.path for request in server.requests) == ["/form", "/hook"]
    assert "Is anybody there?" in json.loads(next(r.body for r in server.requests if r.path == "/hook"))["message"]


def test_one_that_fails(tmp_path: Path, server: Server) -> None:
    (tmp_path / "tickwork.toml").write_text(CONFIG.format(port=server.port))
    server.status = 401
    done = notify(tmp_path, "test", "hook", HOOK_USER="me:pa55word")
    assert done.returncode == 1
    assert "failed" in done.stdout
    assert "401" in done.stdout
    assert "pa55word" not in done.stdout + done.stderr
    unset = notify(tmp_path, "test", "--all", "--json", HOOK_USER="me:pa55word")
    assert unset.returncode == 1
    assert "FORM_URL" in json.loads(unset.stdout)[1]["reason"]


def test_wrong_use(tmp_path: Path) -> None:
    none = notify(tmp_path, "test")
    assert none.returncode == 2
    assert "tickwork.toml" in none.stderr
    assert "[notify.channels.phone]" in none.stderr
    elsewhere = tmp_path / "other.toml"
    elsewhere.write_text(CONFIG.format(port=1))
    for args, named in (
        (("test", "--config", "other.toml"), "--all"),
        (("test", "fax", "--config", "other.toml"), "hook, form"),
        (("test", "--config", "nowhere.toml"), "nowhere.toml"),
        (("routes", "--kind", "x", "--severity", "loud", "--config", "other.toml"), "critical"),
    ):
        done = notify(tmp_path, *args)
        assert (done.returncode, done.stdout) == (2, ""), args
        assert named in done.stderr
        assert done.stderr.count("\n") == 1


def test_where_one_would_go(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(CONFIG.format(port=1))
    done = notify(tmp_path, "routes", "--kind", "price.alert", "--severity", "error", TICKWORK_CONFIG="c.toml")
    assert done.returncode == 0, done.stderr
    assert "goes to hook: at most 10 per 1 hour" in done.stdout
    said = json.loads(notify(tmp_path, "routes", "--kind", "news", "--json", "--config", "c.toml").stdout)
    assert said["channels"] == []
    assert said["routes"][0]["matches"] is False
    assert "nowhere" in notify(tmp_path, "routes", "--kind", "news", "--config", "c.toml").stdout


def test_the_outbox_of_a_tape(tmp_path: Path) -> None:
    async def play() -> None:
        services = Services()
        rules = Rules((Channel("phone", Limit(1, "1h", reserve=0)),))
        async with services.engine(rules, f"sqlite:///{tmp_path}/t.db") as engine:
            await engine.emit(note("first"))
            await engine.emit(note("second"))
            await engine.idle()

    asyncio.run(play())
    done = notify(tmp_path, "outbox", "--tape", "t.db", "--json", "--status", "suppressed")
    assert done.returncode == 0, done.stderr
    (line,) = json.loads(done.stdout)
    assert (line["title"], line["channel"], line["reason"]) == ("second", "phone", "limit")
    assert line["askedAt"].startswith("2024-05-01T12:00")
    table = notify(tmp_path, "outbox", "--tape", "t.db").stdout
    assert "first" in table
    assert "until 2024-05-01 13:00" in table
    assert "no notifications like that" in notify(tmp_path, "outbox", "--tape", "t.db", "--status", "failed").stdout
    lost = notify(tmp_path, "outbox", "--tape", "t.db", "--status", "lost")
    assert (lost.returncode, lost.stdout) == (2, "")
    assert "suppressed" in lost.stderr
    missing = notify(tmp_path, "outbox")
    assert (missing.returncode, missing.stdout) == (1, "")


def test_help_of_the_group(tmp_path: Path) -> None:
    for args in ((), ("--help",)):
        done = notify(tmp_path, *args)
        assert (done.returncode, done.stderr) == (0, "")
        assert all(verb in done.stdout for verb in ("test", "outbox", "routes"))
