"""Configuration: what it takes, what it refuses and how it says so, and that it keeps its secrets."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwork.errors import InvalidInput
from tickwork.notify.rules import Limit, QuietHours
from tickwork.settings import Settings, load

TOKEN = "123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"
TELEGRAM = f"tgram://{TOKEN}/-100123456"
WHOLE = """
home = "elsewhere"
mode = "paper"
log_level = "warning"

[notify]
dedupe = "10 minutes"
limit = { max = 20, per = "2 hours" }

[notify.quiet_hours]
start = "22:00"
end = 07:00:00
zone = "Europe/Berlin"
except_severity = "error"

[notify.channels.phone]
url = "tgram://${BOT_TOKEN}/-100123456"
limit = { max = 5, per = "1 hour", reserve = 2 }

[notify.channels.desk]
url_env = "DESK_URL"
quiet_hours = false

[notify.channels.mail]
url_file = "mail.secret"

[[notify.routes]]
kind = "price.*"
severity = "warning"
channels = ["phone"]

[[notify.routes]]
channels = ["desk", "mail"]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loaded(folder: Path, text: str, env: Mapping[str, str] | None = None) -> Settings:
    (folder / "tickwork.toml").write_text(text)
    return load(env=env or {})


def refusal(folder: Path, text: str, env: Mapping[str, str] | None = None) -> InvalidInput:
    with pytest.raises(InvalidInput) as refused:
        loaded(folder, text, env)
    return refused.value


def test_without_a_file(folder: Path) -> None:
    found = load(env={})
    assert (found.mode, found.home, found.log_level) == ("paper", Path(".tickwork"), "warning")
    assert found.notify.rules().channels == ()
    assert found.notify.dedupe == timedelta(minutes=5)
    with pytest.raises(InvalidInput, match=r"other\.toml"):
        load(Path("other.toml"), {})


def test_the_whole_file(folder: Path) -> None:
    (folder / "mail.secret").write_text("mailto://me:hunter2@example.com\n")
    found = loaded(folder, WHOLE)
    assert (found.home, found.log_level) == (Path("elsewhere"), "warning")
    phone, desk, mail = found.notify.rules().channels
    assert (phone.limit, mail.limit) == (Limit(5, "1 hour", 2), Limit(20, "2 hours"))
    assert desk.quiet_hours is None
    assert isinstance(mail.quiet_hours, QuietHours)
    assert mail.quiet_hours.except_severity == "error"
    urls = found.notify.urls(env={"BOT_TOKEN": TOKEN, "DESK_URL": "json://localhost"})
    assert {name: url.get_secret_value() for name, url in urls.items()} == {
        "phone": TELEGRAM,
        "desk": "json://localhost",
        "mail": "mailto://me:hunter2@example.com",
    }
    assert load(folder / "tickwork.toml", {}) == found


def test_the_file_of_the_documentation(folder: Path) -> None:
    document = Path(__file__).parent.parent / "docs" / "notifications.md"
    (block,) = re.findall(r"^```toml\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)
    found = loaded(folder, block.replace("/run/secrets/mail_url", str(folder / "mail_url")))
    (folder / "mail_url").write_text("mailto://me@example.com\n")
    assert set(found.notify.urls(env={"TELEGRAM_TOKEN": TOKEN, "DESK_WEBHOOK": "json://localhost"})) == {
        "phone",
        "mail",
        "desk",
    }
    assert found.model_copy(update={"notify": None}) == Settings().model_copy(update={"notify": None})
    assert (found.notify.dedupe, found.notify.limit) == (Settings().notify.dedupe, Settings().notify.limit)


def test_variables_win(folder: Path) -> None:
    env = {
        "TICKWORK_MODE": "live",
        "TICKWORK_NOTIFY__DEDUPE": "1 minute",
        "TICKWORK_NOTIFY__LIMIT__MAX": "7",
        "TICKWORK_NOTIFY__CHANNELS__PAGER__URL": "json://me:pa55word@localhost",
    }
    found = loaded(folder, WHOLE, env)
    assert found.mode == "live"
    assert found.log_level == "warning"
    assert found.notify.dedupe == timedelta(minutes=1)
    assert found.notify.limit == Limit(7, "2 hours")
    assert [channel.name for channel in found.notify.rules().channels] == ["phone", "desk", "mail", "pager"]
    # a secret may come from the environment as it is
    assert found.notify.urls(["pager"], {})["pager"].get_secret_value() == "json://me:pa55word@localhost"


def test_the_environment_of_the_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKWORK_MODE", "live")
    assert load().mode == "live"
    assert load(env={}).mode == "paper"
    assert Settings().mode == "paper", "made by hand, it looks at nothing"
    assert os.environ["TICKWORK_MODE"] == "live"


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("hom = 'x'", "hom", "'home'"),
        ("xyz = 1", "xyz", "home, mode, accounts, workflows, documents, log_level, notify"),
        ("mode = 'real'", "mode", "'paper' or 'live'"),
        ("mode = ", "tickwork.toml", "TOML"),
        (f"mode = {'1' * 6_000}", "tickwork.toml", "TOML"),
        ("[notify.quiet_hours]\nstart = 22\nend = '07:00'\nzone = 'UTC'", "notify.quiet_hours.start", "'22:00'"),
        ("[notify]\nlimit = { per = 3600 }", "notify.limit.per", "a bare number names no unit"),
        ("notify = 1", "notify", "table"),
        ("[notify]\ndedup = '5m'", "notify.dedup", "'dedupe'"),
        ("[notify]\ndedupe = 5", "notify.dedupe", "a bare number names no unit"),
        ("[notify]\nlimit = { max = 0 }", "notify.limit.max", "from 1"),
        ("[notify]\nlimit = { maximum = 3 }", "notify.limit.maximum", "'max'"),
        ("[notify.quiet_hours]\nstrat = '22:00'", "notify.quiet_hours.strat", "'start'"),
        ("[notify.quiet_hours]\nstart = '22:00'\nend = '7:00'\nzone = 'UTC'", "notify.quiet_hours.end", "'22:00'"),
        (
            "[notify.quiet_hours]\nstart = '22:00'\nend = '07:00'\nzone = 'Europe/Berln'",
            "notify.quiet_hours.zone",
            "Europe/Berlin",
        ),
        ("[[notify.routes]]\nkind = 'x'", "notify.routes.0.channels", "required"),
        ("[[notify.routes]]\nchanels = ['a']", "notify.routes.0.chanels", "'channels'"),
        ("[[notify.routes]]\nchannels = ['a']", "notify.routes.0.channels", "configured"),
        ("[[notify.routes]]\nchannels = ['a']\nseverity = 'warn'", "notify.routes.0.severity", "'warning'"),
        ("[notify.channels.a]\nquiet_hours = true", "notify.channels.a", "exactly one of url"),
        ("[notify.channels.a]\nurl_env = 'A'\nurl_file = 'b'", "notify.channels.a", "exactly one of url"),
        ("[notify.channels.a]\nurl_evn = 'A'", "notify.channels.a.url_evn", "'url_env'"),
        ("[notify.channels.'a b']\nurl_env = 'A'", "channel.name", "letters"),
    ],
)
def test_what_is_wrong_is_named(folder: Path, text: str, path: str, expected: str) -> None:
    refused = refusal(folder, text)
    assert refused.path == path
    assert expected in refused.expected
    assert refused.found != "00:00:22+00:00"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("TICKWORK_MOED", "TICKWORK_MODE"),
        ("TICKWORK_LOGLEVEL", "TICKWORK_LOG_LEVEL"),
        ("TICKWORK_NOTIFFY__DEDUPE", "TICKWORK_NOTIFY"),
        ("TICKWORK_OTHER__THING", "TICKWORK_NOTIFY"),
    ],
)
def test_a_misspelt_variable(folder: Path, name: str, meant: str) -> None:
    refused = refusal(folder, "", {name: "x"})
    assert refused.path == name
    assert meant in refused.expected


def test_variables_of_others(folder: Path) -> None:
    for name in ("TICKWORK_TOKEN", "TICKWORK_CONFIG", "TICKWORK_EXAMPLES", "TICKWORK_BOT_KEY", "OTHER__THING"):
        assert loaded(folder, "", {name: "x"}).mode == "paper"
    assert refusal(folder, "", {"TICKWORK_NOTIFY__DEDUP": "x"}).path == "notify.dedup"
    assert refusal(folder, "", {"TICKWORK_NOTIFY": "{"}).path == "TICKWORK_*"


# ------------------------------------------------------------------------------------------------------------- secrets

SECRETS = (TOKEN, *TOKEN.split(":"), "hunter2", "abcdefghijklmnopqrstuvwxyz")


@pytest.mark.parametrize(
    "url",
    [
        TELEGRAM,
        "mailtos://me:hunter2@example.com",
        "discord://123456789012345678/abcdefghijklmnopqrstuvwxyz",
        "json://localhost/?+X-Api-Key=hunter2",
        "json://me:hunter2@localhost/${PATH_OF_IT}",
        "tgram://123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr/${CHAT}",
        "discord://${WEBHOOK}/abcdefghijklmnopqrstuvwxyz",
        "mailtos://${USER}:hunter2@example.com",
        "json://${HOST}/?+X-Api-Key=hunter2",
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_shown(folder: Path, url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        loaded(folder, f"[notify.channels.phone]\nurl = '{url}'")
    assert refused.value.path == "notify.channels.phone.url"
    assert "${NAME}" in refused.value.expected
    assert not any(secret in str(refused.value) for secret in SECRETS)


@pytest.mark.parametrize(
    "text",
    [
        f"[notify.channels.phone]\ntoken = '{TOKEN}'\nurl_env = 'A'",
        f"[notify.channels]\nphone = '{TELEGRAM}'",
        f"[notify]\nchannels = '{TELEGRAM}'",
        f"notify = '{TELEGRAM}'",
        f"[notify.channels.phone]\nurl = ['{TELEGRAM}']",
        f"[notify.channels.phone]\nurl = '{TOKEN}'",
        f"[notify.channels.phone]\nurl = '{TELEGRAM}\n",
        f"[notify.channels.phone]\nurl = '{TELEGRAM}'\nurl_env = 'A'",
        f"[notify.channels.phone]\nurl_env = ['{TELEGRAM}']",
        f"[notify.channels.phone]\nurl_env = '{TELEGRAM}'",
        f"[notify.channels.phone]\nurl_env = '{TOKEN}'",
        f"[notify.channels.phone]\nurl_file = '{TELEGRAM}'",
        f"[notify.channels.phone]\nurl_file = '{TOKEN}'",
    ],
)
def test_no_complaint_shows_a_secret_that_is_where_it_should_not_be(folder: Path, text: str) -> None:
    refused = refusal(folder, text)
    assert not any(secret in f"{refused} {refused!r} {refused.args}" for secret in SECRETS)


def test_urls_whose_secrets_are_named_are_taken_whatever_they_are(folder: Path) -> None:
    for url in (
        "tgram://${TOKEN}/-100123456", "tgram://${TOKEN}/${CHAT}", "discord://${ID}/${TOKEN}", "${ALL}",
        "slack://${A}/${B}/${C}/#general", "mailtos://me:${PASS}@example.com", "json://localhost/hook/${HOOK}",
        "pover://${USER}@${TOKEN}", "twilio://${SID}:${TOKEN}@${FROM}/${TO}", "ntfys://${TOKEN}@ntfy.sh/topic",
    ):  # fmt: skip
        assert loaded(folder, f"[notify.channels.a]\nurl = '{url}'").notify.rules().channels


def test_plain_urls_may_be_written(folder: Path) -> None:
    for url in ("json://localhost:8080/hook", "ntfy://my-topic", "mailto://me@example.com?smtp=localhost&from=a@b.c"):
        assert loaded(folder, f"[notify.channels.a]\nurl = '{url}'").notify.urls(env={})["a"].get_secret_value() == url


def test_settings_do_not_show_what_they_know(folder: Path) -> None:
    found = loaded(
        folder, "[notify.channels.a]\nurl = 'json://${U}@localhost'", {"TICKWORK_NOTIFY__CHANNELS__B__URL": TELEGRAM}
    )
    urls = found.notify.urls(env={"U": "me:hunter2"})
    shown = f"{found!r} {found} {found.model_dump()} {found.model_dump_json()} {urls} {urls!r}"
    assert not any(secret in shown for secret in SECRETS)
    assert urls["a"].get_secret_value() == "json://me:hunter2@localhost"
    assert pickle.loads(pickle.dumps(found)) == found


@pytest.mark.parametrize(
    ("channel", "env", "path", "named"),
    [
        ("url = 'tgram://${BOT_TOKEN}/1'", {}, "url", "BOT_TOKEN"),
        ("url_env = 'DESK_URL'", {"DESK_URL": " "}, "url_env", "DESK_URL"),
        ("url_file = 'nowhere'", {}, "url_file", "nowhere"),
        ("url_file = 'two'", {}, "url_file", "one line"),
    ],
)
def test_a_secret_that_cannot_be_found(folder: Path, channel: str, env: dict[str, str], path: str, named: str) -> None:
    (folder / "two").write_text("hunter2 hunter2")
    found = loaded(folder, f"[notify.channels.a]\n{channel}")
    assert found.notify.rules().channels, "the rules need no secret"
    with pytest.raises(InvalidInput) as refused:
        found.notify.urls(env=env)
    assert refused.value.path == f"notify.channels.a.{path}"
    assert named in str(refused.value)
    assert "hunter2" not in str(refused.value)


@given(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=8, max_size=40))
def test_whatever_the_password_is_it_is_found(password: str) -> None:
    from pydantic import SecretStr

    from tickwork.venues.notifications import exposes

    url = f"json://me:{password}@host.example/hook"
    assert exposes(url, SecretStr(url), "x")
    assert not exposes("json://me:/@host.example/hook", SecretStr(url), "x")


@pytest.mark.parametrize(
    ("told", "live", "rights"),
    [
        ("", False, {"read", "operate", "trade"}),
        ("", True, {"read", "operate"}),
        ('local = ["read"]', False, {"read"}),
        ('allowed_hosts = ["desk.example"]', False, set()),
        ('allowed_hosts = ["desk.example"]\nlocal = ["read"]', True, {"read"}),
    ],
)
def test_what_whoever_sits_here_may(tmp_path: Path, told: str, live: bool, rights: set[str]) -> None:
    (tmp_path / "tickwork.toml").write_text(f"[server]\n{told}\n")
    assert load(tmp_path / "tickwork.toml", {}).server.security(live=live).local == rights
