"""Dead letters by their operations: listed by page, looked at before they are redriven, each owner's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.service.operations.calling import FAILING, HERE, Calls, Cost, failure, law, owned
from tickwork.errors import InvalidInput, NotFound
from tickwork.service.letters import Chosen, letter_page

ANN, BOB = owned("ann"), owned("bob")


async def _dead(calls: Calls, number: int = 4) -> None:
    """Runs and messages that gave up, in turns."""
    FAILING.add("bad")
    for n in range(number):
        workflow = next(one for one in calls.engine.workflows if one.name == "fails")
        await calls.engine.start(workflow, {"name": "bad"}, id=f"d{n}", owner=("ann", "bob")[n % 2])
        await calls.engine.idle()
        await calls("queues.send", queue="inbox", body={"n": n})
        for _ in range(2):
            for one in await calls("queues.lease", queue="inbox", max=1):
                await calls("queues.reject", lease=one["lease"], error="invalid_symbol", retry_in="0 s")
    await calls.engine.idle()


def test_pages_are_the_whole_newest_first(tmp_path: Path) -> None:
    async def check(calls: Calls) -> None:
        await _dead(calls)
        whole = (await calls("letters.list", limit=1_000))["items"]
        assert [one["kind"] for one in whole].count("run") == 4
        assert [one["kind"] for one in whole].count("message") == 4
        assert [one["at"] for one in whole] == sorted((one["at"] for one in whole), reverse=True)
        for limit in (1, 3, 8):
            assert await calls.pages("letters.list", limit=limit) == whole
            only = await calls.pages("letters.list", limit=limit, source="fails")
            assert only == [one for one in whole if one["source"] == "fails"]
            coded = await calls.pages("letters.list", limit=limit, code="invalid_symbol")
            assert coded == [one for one in whole if one["code"] == "invalid_symbol"]
        assert whole == (await calls.from_elsewhere("letters.list", limit=1_000))["items"]
        for one in whole:
            assert await calls("letters.show", letter=one["id"]) == one
        assert whole[-1]["error"] == "ValueError: bad is no good"
        assert whole[-1]["body"] == {"name": "bad"}

    law(check, tmp_path / "t.db")


def test_a_preview_says_what_would_be_done_and_does_nothing(tmp_path: Path) -> None:
    async def check(calls: Calls) -> None:
        await _dead(calls)
        before = (await calls("letters.list"))["items"]
        told = await calls("letters.redrive", source="fails", preview=True)
        assert (told["total"], told["preview"], sorted(told["redriven"])) == (4, True, ["d0", "d1", "d2", "d3"])
        assert (await calls("letters.redrive", every=True, preview=True))["total"] == 8
        assert (await calls("letters.redrive", code="invalid_symbol", preview=True))["total"] == 4
        assert (await calls("letters.redrive", ids=["d0"], preview=True))["redriven"] == ["d0"]
        assert (await calls("letters.list"))["items"] == before
        FAILING.clear()
        done = await calls("letters.redrive", HERE, "k", ids=["d0", "d1"])
        assert (sorted(done["redriven"]), done["total"]) == (["d0", "d1"], 2)
        assert await calls("letters.redrive", HERE, "k", ids=["d0", "d1"]) == done
        again = await calls("letters.redrive", ids=["d0"], preview=True)
        assert (again["redriven"], again["left"]) == ([], {"d0": "it is redriven"})
        assert await calls.from_elsewhere("letters.discard", source="inbox") == {"discarded": 4}
        assert {one["id"] for one in (await calls("letters.list"))["items"]} == {"d2", "d3"}
        assert len((await calls("letters.list", every=True))["items"]) == 4
        changed = await calls("letters.redrive", ids=["d2"], payload={"name": "good"})
        await calls.engine.idle()
        assert (await calls("runs.show", run=changed["redriven"][0]))["result"] == "good"

    law(check, tmp_path / "t.db")


@pytest.mark.parametrize("name", ["letters.redrive", "letters.discard"])
def test_what_is_not_said_is_not_done(tmp_path: Path, name: str) -> None:
    async def check(calls: Calls) -> None:
        await _dead(calls, 2)
        wrong: list[tuple[dict[str, Any], type[Exception]]] = [
            ({}, InvalidInput),
            ({"every": True, "source": "fails"}, InvalidInput),
            ({"ids": ["nothing"]}, NotFound),
            ({"ids": ["d0", "nothing"]}, NotFound),
        ]
        if name == "letters.redrive":
            wrong += [({"every": True, "rate": "often"}, InvalidInput), ({"every": True, "payload": 1}, InvalidInput)]
        for fields, kind in wrong:
            await failure(calls(name, **fields), kind)
            await failure(calls.from_elsewhere(name, **fields), kind)
        assert len((await calls("letters.list"))["items"]) == 4

    law(check, tmp_path / "t.db")


def test_each_sees_and_redrives_its_own(tmp_path: Path) -> None:
    async def check(calls: Calls) -> None:
        await _dead(calls)
        for limit in (1, 10):
            mine = await calls.pages("letters.list", ANN, limit=limit)
            assert sorted(one["id"] for one in mine) == ["d0", "d2"]
        message = next(one for one in (await calls("letters.list"))["items"] if one["kind"] == "message")
        for id in ("d0", message["id"], "nothing"):
            for name, fields in (
                ("letters.show", {"letter": id}),
                ("letters.redrive", {"ids": [id]}),
                ("letters.redrive", {"ids": [id], "preview": True}),
                ("letters.discard", {"ids": [id]}),
            ):
                await failure(calls(name, BOB, **fields), NotFound)
        for many in ({"every": True}, {"source": "fails"}):
            await failure(calls("letters.redrive", BOB, **many), InvalidInput)
            await failure(calls("letters.discard", BOB, **many), InvalidInput)
        assert len((await calls("letters.list"))["items"]) == 8
        assert await calls("letters.discard", ANN, ids=["d0"]) == {"discarded": 1}

    law(check, tmp_path / "t.db")


def test_a_page_reads_no_more_than_it_shows(tmp_path: Path) -> None:
    """However long the runs were whose letters these are, and however many letters there are."""
    path = tmp_path / "t.db"

    async def check(calls: Calls) -> None:
        await _dead(calls, 3)
        cost = Cost(path)
        small = cost.rows(lambda queries: letter_page(queries, Chosen(), None, 2))
        await _dead_more(calls, 60)
        assert cost.rows(lambda queries: letter_page(queries, Chosen(), None, 2)) <= small
        assert cost.rows(lambda queries: letter_page(queries, Chosen(), None, 20)) > small
        cost.close()

    law(check, path)


async def _dead_more(calls: Calls, number: int) -> None:
    for n in range(number):
        await calls("runs.start", workflow="fails", input={"name": "bad"}, id=f"m{n}")
    await calls.engine.idle()
