"""``/api/v1``: paths, arguments, answers, keys, pages, versions; and everything that can be wrong with a request."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import Field

from tests.engine.support import live
from tests.faces.http.serving import Served, problem, raw, served
from tickwork.errors import NotFound
from tickwork.faces.http.routing import Routes
from tickwork.service.api import operation as table
from tickwork.service.api.caller import Caller
from tickwork.service.api.operation import CATALOGUE, Args, Call, Operation
from tickwork.service.api.problems import VersionConflict


async def started(world: Served, count: int) -> None:
    for n in range(count):
        answer = await world.client.post("/api/v1/runs", json={"workflow": "waits", "input": {}, "id": f"run{n}"})
        assert answer.status_code == 201, answer.text


@live
async def test_a_run_is_started_shown_listed_and_cancelled(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        made = await world.client.post("/api/v1/runs", json={"workflow": "waits", "input": {"n": 1}, "id": "a:b+c"})
        assert made.status_code == 201
        assert made.headers["location"] == "/api/v1/runs/a%3Ab%2Bc"
        shown = await world.client.get(made.headers["location"])
        assert shown.status_code == 200
        assert shown.headers["content-type"] == "application/json"
        listed = (await world.client.get("/api/v1/runs", params={"workflow": "waits"})).json()
        assert [line["id"] for line in listed["items"]] == ["a:b+c"]
        cancelled = await world.client.post(made.headers["location"] + "/cancel")
        assert cancelled.json() == {"id": "a:b+c", "done": "cancelled"}


@live
async def test_pages_lead_to_the_next(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        await started(world, 7)
        found: list[str] = []
        where: str | None = "/api/v1/runs?limit=3&workflow=waits"
        while where is not None:
            answer = await world.client.get(where)
            found += [line["id"] for line in answer.json()["items"]]
            where = answer.links["next"]["url"] if "next" in answer.links else None
            assert (where is None) == (answer.json()["next"] is None)
        assert sorted(found) == [f"run{n}" for n in range(7)]


@live
async def test_a_command_under_a_key_is_done_once_and_answered_as_then(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        send: dict[str, Any] = {"json": {"workflow": "quick", "input": {"n": 1}}, "headers": {"Idempotency-Key": "k1"}}
        answers = await asyncio.gather(*(world.client.post("/api/v1/runs", **send) for _ in range(10)))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.text for answer in answers}) == 1
        assert sorted(answer.headers.get("idempotency-replayed", "") for answer in answers) == [""] + ["true"] * 9
        assert len((await world.client.get("/api/v1/runs?workflow=quick")).json()["items"]) == 1
        other: dict[str, Any] = {"json": {"workflow": "quick", "input": {"n": 2}}, "headers": {"Idempotency-Key": "k1"}}
        problem(await world.client.post("/api/v1/runs", **other), 422, "key-reused")


@live
async def test_a_failure_under_a_key_is_told_again(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        send: dict[str, Any] = {"headers": {"Idempotency-Key": "k1"}}
        first = await world.client.post("/api/v1/runs/none/cancel", **send)
        again = await world.client.post("/api/v1/runs/none/cancel", **send)
        assert problem(first, 404, "not-found")["detail"] == problem(again, 404, "not-found")["detail"]
        assert again.headers["idempotency-replayed"] == "true"


@live
async def test_keys_that_are_none(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        for keys, status, code in (
            (["a", "b"], 400, "bad-request"),
            ([""], 400, "bad-request"),
            (["x" * 300], 400, "bad-request"),
            (["a b"], 400, "bad-request"),
        ):
            headers = [("Idempotency-Key", key) for key in keys]
            problem(await world.client.post("/api/v1/runs/none/cancel", headers=headers), status, code)


@live
async def test_an_unknown_id_says_its_kind_and_id(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        told = problem(await world.client.get("/api/v1/runs/nope"), 404, "not-found")
        assert (told["kind"], told["id"]) == ("run", "nope")


BODIES: list[tuple[dict[str, Any], int, str]] = [
    ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "bad-request"),
    ({"content": b'{"a": NaN}', "headers": {"content-type": "application/json"}}, 400, "bad-request"),
    ({"content": b'{"a": Infinity}', "headers": {"content-type": "application/json"}}, 400, "bad-request"),
    ({"content": b'{"a": 1e999}', "headers": {"content-type": "application/json"}}, 400, "bad-request"),
    ({"content": b"\xff\xfe", "headers": {"content-type": "application/json"}}, 400, "bad-request"),
    ({"content": b'{"a": "\\ud800"}', "headers": {"content-type": "application/json"}}, 400, "bad-request"),
    ({"content": b"[" * 5_000 + b"]" * 5_000, "headers": {"content-type": "application/json"}}, 400, "bad-request"),
    ({"content": b"[]", "headers": {"content-type": "application/json"}}, 400, "bad-request"),
    ({"content": b"{}", "headers": {"content-type": "text/plain"}}, 415, "unsupported-media-type"),
    ({"content": b"{}"}, 415, "unsupported-media-type"),
    ({"data": {"workflow": "quick"}}, 415, "unsupported-media-type"),
    ({"content": b"{}", "headers": {"content-type": "application/json; charset=x"}}, 415, "unsupported-media-type"),
    (
        {"content": b"{}", "headers": {"content-type": "application/json", "content-encoding": "gzip"}},
        415, "unsupported-media-type",
    ),
    ({"json": {"workflow": "quick", "inputs": {}}}, 422, "invalid-input"),
    ({"json": {}}, 422, "invalid-input"),
    ({"content": b""}, 422, "invalid-input"),
    ({"json": {"workflow": 5}}, 422, "invalid-input"),
    ({"json": {"workflow": "quick", "input": {"a": "x" * (1 << 20)}}}, 413, "too-large"),
]  # fmt: skip


@live
async def test_bodies_that_cannot_be_used(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        for sent, status, code in BODIES:
            problem(await world.client.post("/api/v1/runs", **sent), status, code)
        assert (await world.client.get("/api/v1/runs")).json()["items"] == []


@live
async def test_a_body_without_a_length_is_limited_as_well(tmp_path: Path) -> None:
    async def endless() -> Any:
        for _ in range(100):
            yield b" " * 65_536

    async with served(tmp_path) as world:
        headers = {"content-type": "application/json"}
        problem(await world.client.post("/api/v1/runs", content=endless(), headers=headers), 413, "too-large")


QUERIES = [
    ("limit=0", 422, "invalid-input"),
    ("limit=1001", 422, "invalid-input"),
    ("limit=x", 422, "invalid-input"),
    ("limit=1&limit=2", 400, "bad-request"),
    ("unknown=1", 422, "invalid-input"),
    ("workflow=%ff", 400, "bad-request"),
    ("cursor=abc", 422, "invalid-input"),
    ("&".join(["workflow=a"] * 200), 400, "bad-request"),
]


@live
async def test_query_strings_that_cannot_be_used(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        for query, status, code in QUERIES:
            problem(await world.client.get(f"/api/v1/runs?{query}"), status, code)


class Still:
    """A stream that stands still."""

    async def snapshot(self, view: str, caller: Caller) -> dict[str, Any]:
        if view != "now":
            raise NotFound("view", view, "now")
        return {"epoch": "e", "seq": 1, "view": view, "data": {"by": caller.name}}


@live
async def test_snapshots(tmp_path: Path) -> None:
    async with served(tmp_path, live=Still()) as world:
        found = await world.client.get("/api/v1/snapshot?view=now")
        assert found.json() == {"epoch": "e", "seq": 1, "view": "now", "data": {"by": "local"}}
        problem(await world.client.get("/api/v1/snapshot?view=nope"), 404, "not-found")
        for query in ("", "?view=", "?view=a&view=b", "?other=now", "?" + "&".join(["view=a"] * 500), "?view=%ff"):
            problem(await world.client.get(f"/api/v1/snapshot{query}"), 400, "bad-request")
        problem(await world.client.post("/api/v1/snapshot?view=now"), 405, "method-not-allowed")
        assert "/api/v1/snapshot" in (await world.client.get("/api/v1/openapi.json")).json()["paths"]
    async with served(tmp_path) as world:
        problem(await world.client.get("/api/v1/snapshot?view=now"), 404, "not-found")


@live
async def test_what_is_unknown_is_shown_without_its_value(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        answer = await world.client.get("/api/v1/runs?token=tickwork_secret")
        problem(answer, 422, "invalid-input")
        assert "tickwork_secret" not in answer.text


@live
async def test_a_command_takes_no_query_and_a_path_is_not_said_again(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        problem(await world.client.post("/api/v1/runs/a/cancel?reason=x"), 400, "bad-request")
        problem(await world.client.post("/api/v1/runs/a/cancel", json={"run": "b"}), 400, "bad-request")


@live
async def test_paths_that_are_none(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        for path in ("/api/v1/nope", "/api/v1/", "/api/v1/runs/", "/api/v1//runs", "/api/v1/runs//steps", "/nope"):
            problem(await world.client.get(path), 404, "not-found")
            problem(await world.client.post(path), 404, "not-found")


@live
async def test_paths_that_are_not_utf8(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        answer = await raw(
            world.server, b"GET /api/v1/runs/%ff HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        assert answer.startswith(b"HTTP/1.1 400")


@live
async def test_methods(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        answer = await world.client.put("/api/v1/runs")
        problem(answer, 405, "method-not-allowed")
        assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"
        options = await world.client.options("/api/v1/runs")
        assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")
        got, head = await world.client.get("/api/v1/runs"), await world.client.head("/api/v1/runs")
        assert head.status_code == 200
        assert head.content == b""
        assert head.headers["content-length"] == got.headers["content-length"]
        assert (await world.client.request("BREW", "/api/v1/runs")).status_code in (400, 405)


@live
async def test_what_nobody_raised_on_purpose_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(call: Call, args: Any) -> Any:
        raise ZeroDivisionError("the password is hunter2")

    found = CATALOGUE["runs.list"]
    fields = {name: getattr(found, name) for name in Operation.__slots__}
    monkeypatch.setitem(CATALOGUE, "runs.list", Operation(**{**fields, "answering": broken}))
    async with served(tmp_path) as world:
        answer = await world.client.get("/api/v1/runs")
        problem(answer, 500, "internal")
        assert "hunter2" not in answer.text
        assert "hunter2" in caplog.text  # whoever runs it has to find it


class DocumentArgs(Args):
    """Which document."""

    doc: str = Field(max_length=10, description="Its id.")


class DocumentChange(DocumentArgs):
    """What changes."""

    title: str = Field("", max_length=10, description="What it is called.")
    version: int | None = Field(None, ge=1, description="The version that you know.")


@live
async def test_versions_of_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {"version": 3, "title": "old"}
    monkeypatch.setattr(table, "CATALOGUE", {})

    async def show(call: Call, args: DocumentArgs) -> dict[str, Any]:
        """Show it."""
        return {"document": dict(kept)}

    async def change(call: Call, args: DocumentChange) -> dict[str, Any]:
        """Change it."""
        if args.version is not None and args.version != kept["version"]:
            raise VersionConflict(args.doc, args.version, kept["version"])
        kept.update(version=int(kept["version"]) + 1, title=args.title)  # type: ignore[call-overload]
        return dict(kept)

    show.__annotations__ = {"call": Call, "args": DocumentArgs, "return": dict[str, Any]}
    change.__annotations__ = {"call": Call, "args": DocumentChange, "return": dict[str, Any]}
    table.query("docs.show", "GET /docs/{doc}", etag="document.version")(show)
    table.command("docs.change", "PATCH /docs/{doc}", if_match="version")(change)
    made = dict(table.CATALOGUE)
    monkeypatch.undo()
    for name, one in made.items():
        monkeypatch.setitem(CATALOGUE, name, one)
    async with served(tmp_path) as world:
        client, where = world.client, "/api/v1/docs/a"
        first = await client.get(where)
        tag = first.headers["etag"]
        assert tag.startswith('"3~')
        same = await client.get(where, headers={"If-None-Match": tag})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
        assert (await client.patch(where, json={"title": "new"}, headers={"If-Match": tag})).status_code == 200
        told = problem(
            await client.patch(where, json={"title": "x"}, headers={"If-Match": tag}), 412, "version-conflict"
        )
        assert (told["asked"], told["current"]) == (3, 4)
        problem(await client.patch(where, json={"title": "x"}, headers={"If-Match": '"3"'}), 412, "version-conflict")
        problem(await client.patch(where, json={"title": "x"}, headers={"If-Match": "three"}), 400, "bad-request")
        problem(await client.patch(where, json={"version": 4}, headers={"If-Match": tag}), 400, "bad-request")
        assert (await client.get(where, headers={"If-None-Match": tag})).json()["document"]["title"] == "new"
        assert (await client.patch(where, json={"title": "last"}, headers={"If-Match": "*"})).status_code == 200
        problem(await client.post("/api/v1/runs/a/cancel", headers={"If-Match": tag}), 400, "bad-request")


def test_no_two_operations_share_a_place() -> None:
    routes = Routes(CATALOGUE.values())
    shapes = [
        tuple("{}" if name else part for name, part in zip(place.names, place.parts, strict=True))
        for place in routes.places.values()
    ]
    assert len(shapes) == len(set(shapes))
    for place in routes.places.values():
        wanted = {name: f"x{n}" for n, name in enumerate(place.names) if name}
        path = "/" + "/".join(
            wanted[name] if name else part for name, part in zip(place.names, place.parts, strict=True)
        )
        assert routes.find(path.encode()) == (place, wanted)


def test_an_id_may_have_a_slash_that_is_written_as_such() -> None:
    place, fields = Routes(CATALOGUE.values()).find(b"/runs/a%2Fb%20c/steps")
    assert (place.path, fields) == ("/runs/{run}/steps", {"run": "a/b c"})


@live
async def test_a_client_that_leaves_in_the_middle_does_no_harm(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        host, _, port = world.server.address.removeprefix("http://").partition(":")
        for sent in (
            b"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
            b"GET /api",
            b"",
        ):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(sent)
            await writer.drain()
            writer.close()
        assert (await world.client.get("/healthz")).status_code == 200


@live
async def test_many_at_once(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        limits = httpx2.Limits(max_connections=50)
        async with httpx2.AsyncClient(base_url=world.server.address, limits=limits, timeout=20) as client:
            sent = [client.post("/api/v1/runs", json={"workflow": "quick", "input": {"n": n}}) for n in range(100)]
            answers = await asyncio.gather(*sent)
        assert {answer.status_code for answer in answers} == {201}
        assert (
            len({answer.json()["run"] if "run" in answer.json() else answer.json()["id"] for answer in answers}) == 100
        )
