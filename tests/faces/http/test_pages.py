"""Pages for people: without JavaScript, escaped, and saying only what stands."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import live
from tests.faces.http.serving import LIMITS, Served, problem, served
from tickwork.errors import TapeError
from tickwork.faces.http import home_page
from tickwork.faces.http.pages import PAGE_POLICY
from tickwork.faces.http.security import Security
from tickwork.service.accounts.events import AccountOwned
from tickwork.service.api.caller import local
from tickwork.service.halting import Halting, halt_lines
from tickwork.trading.halt import Halts

HERE = local("http")
PAGE = {"Accept": "text/html"}


class _Forms(HTMLParser):
    """The forms of a page: their fields with what stands in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: list[dict[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        fields = {key: value or "" for key, value in attrs}
        if tag == "form":
            assert fields["method"] == "post"
            self.forms.append({})
        elif tag == "input":
            self.forms[-1][fields["name"]] = fields.get("value", "")


def forms(text: str) -> dict[str, dict[str, str]]:
    """By verb."""
    return {form["verb"]: form for form in _Forms(text).forms}


class Noted:
    """What was asked to be flattened."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    async def flatten(self, **given: Any) -> list[dict[str, str]]:
        self.asked.append(given)
        return [{"account": "main", "run": f"flatten{len(self.asked)}"}]


@asynccontextmanager
async def trading(folder: Path, **given: Any) -> AsyncIterator[tuple[Served, Noted]]:
    """A process that can be halted."""
    async with served(folder, views=[halt_lines], **given) as world:
        noted = Noted()
        world.engine.offer(
            Halting(world.engine, Halts(), None, world.engine.clock.now, known=["main", "hers", "his"]).verbs()
        )
        world.engine.offer({"flatten": noted.flatten})
        yield world, noted


@live
async def test_halted_and_let_go_on_by_forms_alone(tmp_path: Path) -> None:
    async with trading(tmp_path) as (world, _):
        first = await world.client.get("/halt", headers=PAGE)
        assert "No halt stands" in first.text
        done = await world.client.post("/halt", data=forms(first.text)["halt"] | {"reason": "<script>x</script>"})
        assert (done.status_code, done.headers["location"]) == (303, "/halt")
        shown = (await world.client.get("/halt")).text
        assert "Trading is halted" in shown
        assert "&lt;script&gt;" in shown
        assert "<script" not in shown
        unhalt = forms(shown)["unhalt"] | {"reason": "looked into it"}
        refused = await world.client.post("/halt", data=unhalt | {"word": "unhalt"})
        assert refused.status_code == 422
        assert "type UNHALT" in refused.text
        assert "Trading is halted" in refused.text
        assert (await world.client.post("/halt", data=unhalt | {"word": "UNHALT"})).status_code == 303
        assert "No halt stands" in (await world.client.get("/halt")).text


@live
async def test_flatten_takes_a_typed_word_and_pressing_twice_is_asking_once(tmp_path: Path) -> None:
    async with trading(tmp_path) as (world, noted):
        form = forms((await world.client.get("/halt")).text)["flatten"]
        for word in ("", "flatten", "FLATTEN "):
            assert (await world.client.post("/halt", data=form | {"word": word})).status_code == 422
        assert noted.asked == []
        for _ in range(3):
            await world.client.post("/halt", data=form | {"word": "FLATTEN", "account": "main"})
        assert [one["account"] for one in noted.asked] == ["main"]


@live
async def test_a_form_that_is_not_from_a_page_of_ours(tmp_path: Path) -> None:
    async with trading(tmp_path) as (world, _):
        form = forms((await world.client.get("/halt")).text)["halt"]
        for wrong in ({"seal": ""}, {"seal": "0" * 64}, {"seal": "é"}):
            refused = await world.client.post("/halt", data=form | wrong)
            assert refused.status_code == 403
            assert "NOTHING WAS DONE" in refused.text and "another site:" not in refused.text, "what a person can do"
            assert forms(refused.text)["halt"]["seal"] == form["seal"], "and a form that works"
        json = await world.client.post("/halt", json=form)
        assert json.status_code == 415
        twice = await world.client.post(
            "/halt", content="verb=halt&verb=halt", headers={"content-type": "application/x-www-form-urlencoded"}
        )
        assert twice.status_code == 400
        assert (await world.client.post("/halt", data=form | {"verb": "shutdown"})).status_code == 404
        assert (await world.client.post("/halt", data=form | {"account": "nobody's"})).status_code == 404
        assert (await world.client.put("/halt")).status_code == 405
        assert "No halt stands" in (await world.client.get("/halt")).text


@live
async def test_who_may_not_do_it_is_not_shown_how_and_cannot(tmp_path: Path) -> None:
    async with trading(tmp_path, security=Security(local=frozenset({"read", "operate"}), limits=LIMITS)) as (
        world,
        noted,
    ):
        shown = forms((await world.client.get("/halt")).text)
        assert list(shown) == ["halt"]
        stolen = shown["halt"] | {"verb": "flatten", "word": "FLATTEN", "reason": "x"}
        assert (await world.client.post("/halt", data=stolen)).status_code == 403
        assert noted.asked == []


@live
async def test_whoever_is_bound_to_an_owner_sees_halts_of_his_own_and_of_all(tmp_path: Path) -> None:
    async with trading(tmp_path) as (world, _):
        for account, owner in (("hers", "ann"), ("his", "bob")):
            await world.engine.emit(AccountOwned(account=account, owner=owner))
            await world.service.call("halt", {"account": account, "reason": f"about {account}"}, HERE)
        theirs = world.token("operate", "trade", owner="ann")
        shown = (await world.client.get("/halt", headers=theirs)).text
        assert "about hers" in shown
        assert "about his" not in shown
        assert {"halt", "flatten"} <= forms(shown).keys(), "it may halt and close its own accounts"
        await world.service.call("halt", {"reason": "about all"}, HERE)
        assert "about all" in (await world.client.get("/halt", headers=theirs)).text


@live
async def test_a_process_that_cannot_halt_says_so(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        form = forms((await world.client.get("/halt")).text)
        answer = await world.client.post("/halt", data=form["halt"])
        assert answer.status_code >= 400
        assert 'role="alert"' in answer.text


@live
async def test_the_page_is_there_when_the_tape_is_not(tmp_path: Path) -> None:
    async with trading(tmp_path) as (world, _):
        world.engine._log.fail(TapeError("the disk is gone"))
        shown = await world.client.get("/halt")
        assert shown.status_code == 200
        assert "the disk is gone" in shown.text
        done = await world.client.post("/halt", data=forms(shown.text)["halt"])
        assert done.status_code == 503
        assert (await world.client.get("/healthz")).json() == {"ok": True}
        ready = await world.client.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["problems"] == [{"what": "tape", "detail": "the disk is gone"}]
        assert "tickwork_up 0.0" in (await world.client.get("/metrics")).text
        assert "the disk is gone" in (await world.client.get("/")).text


@live
async def test_the_home_page_says_what_runs(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        text = (await world.client.get("/")).text
        assert "hooked, quick, waits" in text
        for where in re.findall(r'href="([^"]+)"', text):
            assert (await world.client.get(where)).status_code == 200, where
        theirs = (await world.client.get("/", headers=world.token("read", owner="anna"))).text
        assert "hooked" not in theirs


@live
async def test_the_dashboard_is_served_where_it_is_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dist = tmp_path / "dist"
    (dist / "a").mkdir(parents=True)
    (dist / "index.html").write_text("<!doctype html><title>the dashboard</title>")
    (dist / "a" / "index.js").write_text("1")
    (tmp_path / "secret.txt").write_text("secret")
    monkeypatch.setattr(home_page.HomePage.__init__, "__defaults__", (dist,))
    async with served(tmp_path) as world:
        for path in ("/", "/runs/r12", "/trading"):
            shown = await world.client.get(path, headers=PAGE)
            assert "the dashboard" in shown.text
            assert "default-src 'self'" in shown.headers["content-security-policy"]
        script = await world.client.get("/a/index.js")
        assert script.headers["content-type"].startswith("text/javascript")
        problem(await world.client.get("/a/nope.js"), 404, "not-found")
        for path in (
            "/../secret.txt",
            "/%2e%2e/secret.txt",
            "/..%2fsecret.txt",
            "//etc/passwd",
            "/a/%2e%2e/%2e%2e/secret.txt",
        ):
            answer = await world.client.get(path)
            assert answer.status_code in (404, 421)
            assert "secret" not in answer.text.replace("secret.txt", "")
        problem(await world.client.get("/api/v1/nope", headers=PAGE), 404, "not-found")
        assert (await world.client.get("/halt")).headers["content-security-policy"] == PAGE_POLICY


@live
async def test_the_page_of_the_api_names_every_operation(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        text = (await world.client.get("/api/v1/docs")).text
        document = (await world.client.get("/api/v1/openapi.json")).json()
        for path, methods in document["paths"].items():
            for method in methods:
                assert f"{method.upper()} {path}" in text
        tag = (await world.client.get("/api/v1/openapi.json")).headers["etag"]
        same = await world.client.get("/api/v1/openapi.json", headers={"If-None-Match": tag})
        assert (same.status_code, same.content) == (304, b"")
